/* Check and conversion of one guest; see session.h.
 *
 * A check opens the disks read-only (libguestfs puts a scratch overlay over them, where
 * journals are replayed). A conversion opens them for writing, runs the same check first
 * and stops before writing anything if the guest must not be converted. Afterwards the
 * guest is inspected again from what was really written. */
#include "guest/child/session.h"

#include "base/str.h"
#include "guest/child/appliance.h"
#include "guest/convert.h"
#include "guest/info.h"
#include "guest/linux/linux.h"
#include "guest/subject.h"
#include "guest/windows/windows.h"

#include <string.h>
#include <strings.h>

struct session {
    const struct session_request *rq;
    session_progress_fn progress;
    struct appliance appliance;
};

static const char *mount_options(const struct session *x)
{
    return x->rq->convert && !x->rq->options.dry_run ? "" : "ro";
}

static int combine_options(const char *a, const char *b, char **ret, struct err *e)
{
    *ret = str_fmt(e, "%s%s%s", a, *a && *b ? "," : "", b);
    return *ret ? 0 : -1;
}

/* ---- which volume is the root ---- */

enum os { OS_NONE, OS_LINUX, OS_WINDOWS };

static int identify(const struct gfs *fs, enum os *ret, struct err *e)
{
    static const char *const release[] = {"/etc/os-release", "/usr/lib/os-release",
                                          "/etc/redhat-release", "/etc/debian_version",
                                          "/etc/SuSE-release"};
    auto_strv struct strv top = {0};

    *ret = OS_NONE;
    if (gfs_list(fs, "/", &top, e) < 0)
        return -1;
    vec_foreach (n, &top)
        if (!strcasecmp(*n, "windows")) {
            auto_free char *dir = NULL, *hive = NULL;
            int r;

            if (gfs_join("/", *n, &dir, e) < 0 || gfs_join(dir, "System32", &hive, e) < 0)
                return -1;
            r = gfs_is_dir(fs, hive, e);
            if (r < 0)
                return -1;
            if (r)
                *ret = OS_WINDOWS;
        }
    if (*ret != OS_NONE || !strv_has(&top, "etc"))
        return 0;
    for (size_t i = 0; i < sizeof release / sizeof release[0]; i++) {
        int r = gfs_is_file(fs, release[i], e);

        if (r < 0)
            return -1;
        if (r)
            *ret = OS_LINUX;
    }
    return 0;
}

struct root {
    const struct volume *volume;
    enum os os;
    const char *options; /* for mounting it again: a Btrfs subvolume */
};
struct roots VEC(struct root);

/* A Btrfs root is often a subvolume that only fstab names. */
static const char *const subvolumes[] = {"", "subvol=@", "subvol=root", "subvol=@rootfs",
                                         "subvol=@/.snapshots/1/snapshot"};

static int try_root(struct session *x, const struct volume *v, const char *extra,
                    struct roots *ret, struct err *e)
{
    struct gfs fs = appliance_gfs(&x->appliance);
    struct root found = {.volume = v, .options = extra};
    auto_free char *options = NULL;
    struct err ignored = ERR_INIT;

    if (combine_options("ro", extra, &options, e) < 0)
        return -1;
    if (appliance_mount(&x->appliance, options, v->device, "/", &ignored) < 0)
        return 0; /* damaged, in use by an array, or no such subvolume: not the root */
    if (identify(&fs, &found.os, e) < 0 || appliance_unmount_all(&x->appliance, e) < 0)
        return -1;
    if (found.os != OS_NONE && vec_push(ret, found, e) < 0)
        return -1;
    return found.os != OS_NONE;
}

static int find_roots(struct session *x, const struct storage *s, struct roots *ret,
                      struct err *e)
{
    vec_foreach (v, &s->volumes) {
        bool btrfs = str_eq(v->fs.type, "btrfs");
        int r = 0;

        if (!fs_is_linux_root(v->fs.type) && !str_eq(v->fs.type, "ntfs") &&
            !str_eq(v->fs.type, "reiserfs"))
            continue;
        for (size_t i = 0;
             r == 0 && i < (btrfs ? sizeof subvolumes / sizeof subvolumes[0] : 1); i++)
            r = try_root(x, v, subvolumes[i], ret, e);
        if (r < 0)
            return -1;
    }
    return 0;
}

/* ---- mounting ---- */

static int add_filesystem(struct subject *s, const struct volume *v,
                          const char *mountpoint, struct err *e)
{
    struct guest_filesystem f = {.size_bytes = v->size_bytes};

    if (str_set(&f.mountpoint, mountpoint, e) < 0 ||
        str_set(&f.device, v->device, e) < 0 || str_set(&f.type, v->fs.type, e) < 0 ||
        (v->fs.uuid[0] && str_set(&f.uuid, v->fs.uuid, e) < 0) ||
        gfs_space(&s->fs, mountpoint, &f.free_bytes, e) < 0 ||
        vec_push(&s->info->filesystems, f, e) < 0) {
        guest_filesystem_release(&f);
        return -1;
    }
    return 0;
}

static int mount_at(struct session *x, struct subject *s, const struct volume *v,
                    const char *extra, const char *mountpoint, struct err *e)
{
    auto_free char *options = NULL;

    if (combine_options(mount_options(x), extra, &options, e) < 0 ||
        appliance_mount(&x->appliance, options, v->device, mountpoint, e) < 0)
        return err_prefix(e, "mount %s of the guest", mountpoint);
    return add_filesystem(s, v, mountpoint, e);
}

/* A mount that silently became read-only would make writes fail half-way. */
static int check_writable(struct session *x, struct err *e)
{
    if (mount_options(x)[0])
        return 0;
    vec_foreach (m, &x->appliance.mounted) {
        struct guestfs_statvfs *v = guestfs_statvfs(x->appliance.g, *m);
        bool readonly = v && v->flag & 1; /* ST_RDONLY */

        if (!v)
            return appliance_error(&x->appliance, e, *m);
        guestfs_free_statvfs(v);
        if (readonly)
            return err_set(
                e, ERR_REQUIREMENT,
                "%s of the guest can only be mounted read-only: check its file "
                "system in the source machine",
                *m);
    }
    return 0;
}

/* An ESP that fstab does not name has no place of its own: /mnt is in every system. */
static int mount_esp(struct session *x, struct subject *s, struct err *e)
{
    vec_foreach (f, &s->info->filesystems) {
        const struct volume *v = storage_by_device(&s->storage, f->device);

        if (v && v->esp)
            return str_set(&s->esp, f->mountpoint, e);
    }
    vec_foreach (v, &s->storage.volumes) {
        int r;

        if (!v->esp || !str_eq(v->fs.type, "vfat"))
            continue;
        r = gfs_is_dir(&s->fs, "/mnt", e);
        if (r <= 0)
            return r;
        if (mount_at(x, s, v, "", "/mnt", e) < 0)
            return -1;
        return str_set(&s->esp, "/mnt", e);
    }
    return 0;
}

static int mount_all(struct session *x, struct subject *s, const struct root *root,
                     struct err *e)
{
    auto_call(linux_mounts_release) struct linux_mounts mounts = {0};

    if (mount_at(x, s, root->volume, root->options, "/", e) < 0 ||
        linux_read_fstab(s, &mounts, e) < 0)
        return -1;
    vec_foreach (m, &mounts)
        if (m->volume != root->volume || m->options[0])
            if (mount_at(x, s, m->volume, m->options, m->mountpoint, e) < 0)
                return -1;
    if (mount_esp(x, s, e) < 0)
        return -1;
    return check_writable(x, e);
}

/* ---- check ---- */

static int check_one_system(const struct subject *s, struct verdict *v, struct err *e);

static const struct requirement one_system = {
    .id = "one-system",
    .title = "Exactly one operating system",
    .why = "hotadd converts the system that boots, and must not guess which that is",
    .remedy =
        "see that all disks of the machine are there and in order; remove the second "
        "system of a dual-boot machine",
    .methods = FOR_ALL,
    .check = check_one_system,
};

static bool encrypted(const struct subject *s)
{
    vec_foreach (v, &s->storage.volumes)
        if (str_eq(v->fs.type, "crypto_LUKS") || str_eq(v->fs.type, "BitLocker"))
            return true;
    return false;
}

static int describe_disks(const struct subject *s, struct buf *b, struct err *e)
{
    vec_foreach (v, &s->storage.volumes)
        buf_addf(b, "%s%s (%s)", b->len ? ", " : "", v->device,
                 v->fs.type[0] ? v->fs.type : "nothing known");
    return buf_check(b, e);
}

/* Which is decided before: s->info->type is set by then if there is one. */
static int check_one_system(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;

    if (s->root)
        return verdict_met(v, e, "%s", s->root->device);
    if (s->n_roots > 1)
        return verdict_refused(v, e, "%zu operating systems on the disks", s->n_roots);
    if (describe_disks(s, &b, e) < 0)
        return -1;
    return verdict_refused(v, e, "no operating system found: %s",
                           b.len ? buf_str(&b) : "the disks are empty");
}

static int decide_root(struct session *x, struct subject *s, const struct roots *roots,
                       const struct root **ret, struct err *e)
{
    *ret = NULL;
    s->n_roots = roots->n;
    if (roots->n == 1) {
        *ret = &roots->v[0];
        s->root = roots->v[0].volume;
    }
    if (requirement_run(s, &one_system, e) < 0)
        return -1;
    /* Nothing found, and the reason is in plain sight. */
    return !s->root && encrypted(s) ? requirement_run(s, &linux_encryption, e) : 0;
}

/* What a mount for writing would meet, asked before it: ntfs-3g mounts a hibernated
 * volume read-only without a word. Codes: ntfs-3g.probe(8). */
static int probe_ntfs(struct session *x, const char *device, enum ntfs_state *ret,
                      struct err *e)
{
    int r = guestfs_ntfs_3g_probe(x->appliance.g, 1, device);

    if (r < 0)
        return appliance_error(&x->appliance, e, device);
    *ret = r == 0    ? NTFS_CLEAN
           : r == 14 ? NTFS_HIBERNATED
           : r == 15 ? NTFS_UNCLEAN
                     : NTFS_DAMAGED;
    return 0;
}

/* A BIOS starts the active partition, UEFI what is on the ESP. */
static bool starts(const struct storage *s, const struct volume *v)
{
    if (v->esp)
        return true;
    if (v->disk >= s->disks.n)
        return false;
    vec_foreach (p, &s->disks.v[v->disk].partitions)
        if (p->number == v->partition)
            return p->active;
    return false;
}

/* The boot configuration, where it has a partition of its own. What cannot be read is as
 * if it were not there: a finding says so. */
static int read_bcd(struct session *x, const struct subject *s, struct buf *ret,
                    struct err *e)
{
    vec_foreach (v, &s->storage.volumes) {
        auto_free char *path = NULL;
        struct err ignored = ERR_INIT;
        int r;

        if (v == s->root || !starts(&s->storage, v) ||
            (!str_eq(v->fs.type, "ntfs") && !str_eq(v->fs.type, "vfat")) ||
            appliance_mount(&x->appliance, "ro", v->device, "/", &ignored) < 0)
            continue;
        r = windows_read_bcd(&s->fs, ret, &path, &ignored);
        if (appliance_unmount_all(&x->appliance, e) < 0)
            return -1;
        if (r > 0)
            return 0;
        buf_reset(ret);
    }
    return 0;
}

static int look_at_windows(struct session *x, struct subject *s, const struct root *root,
                           struct err *e)
{
    enum ntfs_state ntfs = NTFS_UNKNOWN;
    auto_buf struct buf bcd = BUF_INIT;
    bool writable;

    if (str_set(&s->info->type, "windows", e) < 0 ||
        str_set(&s->info->root_fs, root->volume->fs.type, e) < 0 ||
        probe_ntfs(x, root->volume->device, &ntfs, e) < 0 || read_bcd(x, s, &bcd, e) < 0)
        return -1;
    /* One that must not be written is refused by a requirement, with the reason. */
    writable = !mount_options(x)[0] && (ntfs == NTFS_CLEAN || ntfs == NTFS_UNCLEAN);
    x->appliance.ntfs = true;
    if (appliance_mount(&x->appliance, writable ? "" : "ro", root->volume->device, "/",
                        e) < 0 ||
        add_filesystem(s, root->volume, "/", e) < 0 ||
        (writable && check_writable(x, e) < 0) || windows_inspect(s, ntfs, &bcd, e) < 0)
        return -1;
    return requirements_run(s, windows_requirements, e);
}

static int look(struct session *x, struct subject *s, struct err *e)
{
    struct roots roots = {0};
    const struct root *root;
    int r;

    s->fs = appliance_gfs(&x->appliance);
    s->options = &x->rq->options;
    s->info = mem_zalloc(1, sizeof *s->info, e);
    if (!s->info || appliance_storage(&x->appliance, &s->storage, e) < 0)
        return -1;
    r = find_roots(x, &s->storage, &roots, e);
    if (r == 0)
        r = decide_root(x, s, &roots, &root, e);
    if (r == 0 && root && root->os == OS_WINDOWS)
        r = look_at_windows(x, s, root, e);
    if (r == 0 && root && root->os == OS_LINUX) {
        r = str_set(&s->info->root_fs, root->volume->fs.type, e);
        if (r == 0)
            r = mount_all(x, s, root, e);
        if (r == 0)
            r = linux_inspect(s, e);
        if (r == 0)
            r = requirements_run(s, linux_requirements, e);
    }
    vec_release(&roots);
    return r;
}

/* ---- conversion ---- */

static int report_edits(struct guest_report *r, const struct conversion *c, bool done,
                        struct err *e)
{
    vec_foreach (x, &c->overlay.changes) {
        struct guest_edit edit = {.done = done};

        if (str_set(&edit.path, x->path, e) < 0 || str_set(&edit.what, x->what, e) < 0 ||
            str_set(&edit.why, x->why, e) < 0 || vec_push(&r->edits, edit, e) < 0) {
            guest_edit_release(&edit);
            return -1;
        }
        if (done && strv_add(&r->changed, x->path, e) < 0)
            return -1;
    }
    return 0;
}

/* The journal of an NTFS that was not unmounted is gone once it was mounted for writing;
 * Windows shall check the volume when it starts. */
static int ask_for_chkdsk(struct session *x, const struct subject *s, struct err *e)
{
    if (!s->windows ||
        (s->windows->ntfs != NTFS_UNCLEAN && s->windows->ntfs != NTFS_HIBERNATED))
        return 0;
    return guestfs_ntfsfix(x->appliance.g, s->root->device, -1) < 0
               ? appliance_error(&x->appliance, e, s->root->device)
               : 0;
}

/* ntfs-3g removes the saved session where it mounts with this option; it did not before
 * the guest was found fit. */
static int discard_session(struct session *x, const struct subject *s, struct err *e)
{
    if (appliance_unmount_all(&x->appliance, e) < 0 ||
        appliance_mount(&x->appliance, "remove_hiberfile", s->root->device, "/", e) < 0)
        return -1;
    return check_writable(x, e);
}

static bool has_session(const struct subject *s)
{
    const struct finding *f = guest_info_finding(s->info, "windows-hibernation");

    return f && f->state == FINDING_FIXABLE;
}

static int report_session(struct guest_report *r, bool done, struct err *e)
{
    struct guest_edit edit = {.done = done};

    if (str_set(&edit.path, "/hiberfil.sys", e) < 0 ||
        str_set(&edit.what, "saved session discarded", e) < 0 ||
        str_set(&edit.why, "a hibernated volume cannot be changed", e) < 0 ||
        vec_push(&r->edits, edit, e) < 0) {
        guest_edit_release(&edit);
        return -1;
    }
    return done ? strv_add(&r->changed, "/hiberfil.sys", e) : 0;
}

/* From the disks, with everything read anew. */
static int verify(struct session *x, const struct subject *before, struct err *e)
{
    auto_call(subject_release) struct subject after = {0};
    int r;

    if (appliance_unmount_all(&x->appliance, e) < 0 || ask_for_chkdsk(x, before, e) < 0)
        return -1;
    /* The page cache would hand our own writes back. */
    if (guestfs_drop_caches(x->appliance.g, 3) < 0)
        return appliance_error(&x->appliance, e, "drop caches");
    r = look(x, &after, e);
    if (r < 0)
        return err_prefix(e, "verify the converted guest");
    vec_foreach (f, &after.info->findings)
        if (finding_blocks(f, &x->rq->options) ||
            (f->state == FINDING_FIXABLE && f->fix == FINDING_FIX_CONVERT))
            return err_set(e, ERR_FAILED, "after the conversion %s is still not met: %s",
                           f->id, f->seen);
    return 0;
}

static int convert(struct session *x, struct subject *s, struct guest_report *r,
                   struct err *e)
{
    auto_conversion struct conversion c = {.s = s};
    const struct finding *f = guest_info_blocker(s->info, &x->rq->options);
    bool write = !x->rq->options.dry_run, discard = has_session(s);

    if (f)
        return err_set(e, ERR_REQUIREMENT, "%s is not met: %s; %s", f->id, f->seen,
                       f->remedy);
    x->progress("plan", 2, 5);
    if ((s->windows ? windows_convert(&c, e) : conversion_plan(&c, e)) < 0 ||
        report_edits(r, &c, write, e) < 0 || (discard && report_session(r, write, e) < 0))
        return -1;
    r->dry_run = !write;
    if (!write || (!c.overlay.changes.n && !discard))
        return 0;
    x->progress("write", 3, 5);
    if ((discard && discard_session(x, s, e) < 0) ||
        changes_apply(&s->fs, &appliance_write_ops, &c.overlay, e) < 0)
        return -1;
    x->progress("verify", 4, 5);
    return verify(x, s, e);
}

static int run(struct session *x, json_t **ret, struct err *e)
{
    auto_call(subject_release) struct subject s = {0};
    auto_guest_report struct guest_report *r = mem_zalloc(1, sizeof *r, e);
    bool write = x->rq->convert && !x->rq->options.dry_run;

    if (!r)
        return -1;
    x->progress("start", 0, 5);
    if (appliance_start(&x->appliance, x->rq->disks.v, x->rq->disks.n,
                        write ? APPLIANCE_WRITE : APPLIANCE_READ, e) < 0)
        return -1;
    x->progress("inspect", 1, 5);
    if (look(x, &s, e) < 0 || (x->rq->convert && convert(x, &s, r, e) < 0) ||
        appliance_stop(&x->appliance, e) < 0)
        return -1;
    r->info = take_ptr(s.info);
    *ret = x->rq->convert ? guest_report_json(r, e) : guest_info_json(r->info, e);
    return *ret ? 0 : -1;
}

int session_run(const struct session_request *rq, session_progress_fn progress,
                json_t **ret, struct err *e)
{
    struct session x = {.rq = rq, .progress = progress};
    int r = run(&x, ret, e);

    appliance_release(&x.appliance);
    return r;
}
