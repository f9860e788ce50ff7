/* Starting and stopping the appliance, and looking at its disks; see appliance.h.
 *
 * TCG is chosen explicitly where KVM does not really work, because a /dev/kvm that is
 * there but broken hangs the appliance for minutes. One virtual CPU: under emulation a
 * second one costs more than it brings. */
#include "guest/child/appliance.h"

#include "base/kvm.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY_MIB 512

int appliance_error(const struct appliance *a, struct err *e, const char *what)
{
    const char *msg = guestfs_last_error(a->g);
    int n = guestfs_last_errno(a->g);

    return err_set(e, n == ENOSPC ? ERR_NOSPACE : ERR_FAILED, "%s: %s", what,
                   msg ? msg : "libguestfs failed");
}

/* supermin takes a kernel from /boot; its own message for none speaks of its insides. */
static int no_kernel(void)
{
    return access("/boot", R_OK) != 0 ? 1 : 0;
}

static int explain_launch(const struct appliance *a, struct err *e)
{
    const char *msg = guestfs_last_error(a->g);

    if (msg && (strstr(msg, "supermin") || strstr(msg, "appliance")))
        return err_set(
            e, ERR_FAILED,
            "the libguestfs appliance cannot be made or started: %s; it needs a "
            "readable kernel: install linux-image-amd64, and as a user other "
            "than root make /boot/vmlinuz-* readable%s",
            msg, no_kernel() ? " (/boot is not readable here)" : "");
    return appliance_error(a, e, "start the libguestfs appliance");
}

static int choose_accelerator(struct appliance *a, struct err *e)
{
    char why[KVM_WHY_LEN];
    static char tcg[] = "force_tcg";
    char *const settings[] = {tcg, NULL};

    if (guestfs_set_backend(a->g, "direct") < 0)
        return appliance_error(a, e, "libguestfs backend");
    if (kvm_probe(NULL, why) == KVM_WORKS)
        return 0;
    return guestfs_set_backend_settings(a->g, settings) < 0
               ? appliance_error(a, e, "libguestfs backend settings")
               : 0;
}

static int add_disk(struct appliance *a, const struct guest_disk *d,
                    enum appliance_access access, struct err *e)
{
    struct guestfs_add_drive_opts_argv o = {.bitmask =
                                                GUESTFS_ADD_DRIVE_OPTS_READONLY_BITMASK |
                                                GUESTFS_ADD_DRIVE_OPTS_FORMAT_BITMASK |
                                                GUESTFS_ADD_DRIVE_OPTS_CACHEMODE_BITMASK,
                                            .readonly = access == APPLIANCE_READ,
                                            .format = "raw",
                                            .cachemode = "writeback"};
    auto_free char *server = NULL;
    char *servers[2] = {NULL, NULL};

    if (d->nbd_socket) {
        server = str_fmt(e, "unix:%s", d->nbd_socket);
        if (!server)
            return -1;
        servers[0] = server;
        o.bitmask |= GUESTFS_ADD_DRIVE_OPTS_PROTOCOL_BITMASK |
                     GUESTFS_ADD_DRIVE_OPTS_SERVER_BITMASK;
        o.protocol = "nbd";
        o.server = servers;
    }
    if (guestfs_add_drive_opts_argv(
            a->g, d->nbd_socket ? (d->nbd_export ? d->nbd_export : "") : d->path, &o) < 0)
        return appliance_error(a, e, d->nbd_socket ? d->nbd_socket : d->path);
    return 0;
}

int appliance_start(struct appliance *a, const struct guest_disk *disks, size_t n,
                    enum appliance_access access, struct err *e)
{
    a->g = guestfs_create();
    if (!a->g)
        return err_sys(e, "libguestfs");
    guestfs_set_error_handler(a->g, NULL, NULL);
    if (choose_accelerator(a, e) < 0)
        return -1;
    if (guestfs_set_memsize(a->g, MEMORY_MIB) < 0 || guestfs_set_smp(a->g, 1) < 0 ||
        guestfs_set_pgroup(a->g, 0) < 0 || guestfs_set_autosync(a->g, 1) < 0)
        return appliance_error(a, e, "libguestfs settings");
    for (size_t i = 0; i < n; i++)
        if (add_disk(a, &disks[i], access, e) < 0)
            return -1;
    return guestfs_launch(a->g) < 0 ? explain_launch(a, e) : 0;
}

int appliance_stop(struct appliance *a, struct err *e)
{
    if (appliance_unmount_all(a, e) < 0)
        return -1;
    /* Reports what QEMU could not write. */
    if (guestfs_shutdown(a->g) < 0)
        return appliance_error(a, e, "finish writing to the guest's disks");
    return 0;
}

void appliance_release(struct appliance *a)
{
    if (a->g)
        guestfs_close(a->g);
    a->g = NULL;
    strv_release(&a->mounted);
}

/* ---- storage ---- */

struct device {
    struct appliance *a;
    const char *name;
};

static int read_device(void *ctx, uint64_t offset, size_t len, struct buf *out,
                       struct err *e)
{
    struct device *d = ctx;

    while (len) {
        size_t got = 0, want = len > (1u << 20) ? 1u << 20 : len;
        auto_free char *data =
            guestfs_pread_device(d->a->g, d->name, (int)want, (int64_t)offset, &got);

        if (!data)
            return appliance_error(d->a, e, d->name);
        if (!got)
            return err_set(e, ERR_INPUT, "%s: ends at byte %llu", d->name,
                           (unsigned long long)offset);
        buf_add(out, data, got);
        offset += got;
        len -= got;
    }
    return buf_check(out, e);
}

/* What our own prober does not know, blkid may. */
static int ask_blkid(struct appliance *a, const char *device, struct fs_facts *f)
{
    auto_free char *type = guestfs_vfs_type(a->g, device);

    if (type)
        snprintf(f->type, sizeof f->type, "%s", type);
    return 0;
}

static int probe_volume(struct appliance *a, const char *device, uint64_t size_bytes,
                        struct fs_facts *ret, struct err *e)
{
    struct device d = {a, device};
    auto_buf struct buf head = BUF_INIT;
    uint64_t ends[2];

    *ret = (struct fs_facts){.type = ""};
    if (size_bytes < 512)
        return 0;
    if (read_device(&d, 0,
                    size_bytes < FS_PROBE_BYTES ? (size_t)size_bytes : FS_PROBE_BYTES,
                    &head, e) < 0)
        return -1;
    fs_probe(head.data, head.len, ret);
    md_end_offsets(size_bytes, ends);
    for (int i = 0; i < 2 && ends[i]; i++) {
        auto_buf struct buf tail = BUF_INIT;

        if (read_device(&d, ends[i], 4096, &tail, e) < 0)
            return -1;
        if (md_at_end(tail.data, tail.len)) {
            *ret = (struct fs_facts){.type = "linux_raid_member"};
            return 0;
        }
    }
    return ret->type[0] ? 0 : ask_blkid(a, device, ret);
}

static int add_volume(struct appliance *a, struct storage *s, const char *device,
                      uint64_t size_bytes, uint32_t disk, const struct partition *p,
                      struct err *e)
{
    struct volume v = {.size_bytes = size_bytes, .disk = disk};

    if (p) {
        v.partition = p->number;
        v.esp = p->esp;
        snprintf(v.partuuid, sizeof v.partuuid, "%s", p->uuid);
    }
    if (probe_volume(a, device, size_bytes, &v.fs, e) < 0)
        return -1;
    v.device = str_dup(device, e);
    if (!v.device || vec_push(&s->volumes, v, e) < 0) {
        free(v.device);
        return -1;
    }
    return 0;
}

static int add_disk_volumes(struct appliance *a, struct storage *s, uint32_t index,
                            struct err *e)
{
    /* The vector does not grow meanwhile. */
    struct storage_disk *d = &s->disks.v[index];
    struct device dev = {a, d->device};

    if (partitions_read(d, read_device, &dev, e) < 0)
        return -1;
    if (!d->partitions.n)
        return add_volume(a, s, d->device, d->size_bytes, index, NULL, e);
    vec_foreach (p, &d->partitions) {
        auto_free char *name = NULL;

        if (p->container || p->bios_boot)
            continue;
        name = str_fmt(e, "%s%u", d->device, p->number);
        if (!name || add_volume(a, s, name, p->size_bytes, index, p, e) < 0)
            return -1;
    }
    return 0;
}

static void free_strings(char ***list)
{
    for (char **p = *list; p && *p; p++)
        free(*p);
    free(*list);
}
#define auto_strings auto_call(free_strings)

/* The name in the array's superblock, with the host's before it: "web:root". An array
 * without one (format 0.90) is known by its number here. */
static void note_array(struct appliance *a, struct volume *v)
{
    auto_strings char **detail = guestfs_md_detail(a->g, v->device);

    for (char **p = detail; p && *p && p[1]; p += 2) {
        const char *colon = strrchr(p[1], ':');

        if (str_eq(*p, "name"))
            snprintf(v->array, sizeof v->array, "%s", colon ? colon + 1 : p[1]);
    }
}

/* Logical volumes and md arrays, which the appliance activated. */
static int add_mapped(struct appliance *a, struct storage *s, char **devices,
                      struct err *e)
{
    for (char **p = devices; *p; p++) {
        int64_t size = guestfs_blockdev_getsize64(a->g, *p);

        if (size > 0 && add_volume(a, s, *p, (uint64_t)size, UINT32_MAX, NULL, e) < 0)
            return -1;
    }
    return 0;
}

static bool any_of_type(const struct storage *s, const char *type)
{
    vec_foreach (v, &s->volumes)
        if (str_eq(v->fs.type, type))
            return true;
    return false;
}

int appliance_storage(struct appliance *a, struct storage *ret, struct err *e)
{
    auto_call(storage_release) struct storage s = {0};
    auto_strings char **disks = guestfs_list_devices(a->g);

    if (!disks)
        return appliance_error(a, e, "list the guest's disks");
    for (char **p = disks; *p; p++) {
        struct storage_disk d = {0};
        int64_t size = guestfs_blockdev_getsize64(a->g, *p);

        if (size < 0)
            return appliance_error(a, e, *p);
        d.size_bytes = (uint64_t)size;
        d.device = str_dup(*p, e);
        if (!d.device || vec_push(&s.disks, d, e) < 0) {
            free(d.device);
            return -1;
        }
    }
    for (size_t i = 0; i < s.disks.n; i++)
        if (add_disk_volumes(a, &s, (uint32_t)i, e) < 0)
            return -1;
    if (any_of_type(&s, "linux_raid_member")) {
        auto_strings char **md = guestfs_list_md_devices(a->g);

        size_t first = s.volumes.n;

        if (!md || add_mapped(a, &s, md, e) < 0)
            return md ? -1 : appliance_error(a, e, "list software RAID arrays");
        for (size_t i = first; i < s.volumes.n; i++)
            note_array(a, &s.volumes.v[i]);
    }
    if (any_of_type(&s, "LVM2_member")) {
        auto_strings char **lvs = guestfs_lvs(a->g);

        if (!lvs || add_mapped(a, &s, lvs, e) < 0)
            return lvs ? -1 : appliance_error(a, e, "list logical volumes");
    }
    *ret = s;
    s = (struct storage){0};
    return 0;
}

int appliance_mount(struct appliance *a, const char *options, const char *device,
                    const char *mountpoint, struct err *e)
{
    if (guestfs_mount_options(a->g, options, device, mountpoint) < 0)
        return appliance_error(a, e, device);
    return strv_add(&a->mounted, mountpoint, e);
}

int appliance_unmount_all(struct appliance *a, struct err *e)
{
    while (a->mounted.n) {
        char **last = &a->mounted.v[a->mounted.n - 1];

        if (guestfs_umount(a->g, *last) < 0)
            return appliance_error(a, e, *last);
        free(*last);
        a->mounted.n--;
    }
    return 0;
}
