/* Linux guests in memory, looked at and converted as the session in the appliance does
 * it. */
#ifndef HOTADD_TESTS_UNIT_GUEST_KIT_H
#define HOTADD_TESTS_UNIT_GUEST_KIT_H

#include "initrd_test.h"
#include "memfs.h"

#include "guest/info.h"
#include "guest/linux/linux.h"

#define KIT_ELF                                                                          \
    "\177ELF is how an object begins, and sixty-four bytes at least it has to be."

struct kit_volume {
    const char *device;
    uint32_t disk, partition;
    const char *type, *uuid, *partuuid;
};

struct kit {
    struct memfs m;
    struct subject s;
    struct guest_options o;
    const struct kit_volume *volumes; /* the first is the root */
    size_t n_volumes;
    const char *table; /* NULL: msdos */
    const char *esp;   /* mount point; NULL: none */
};

static inline void kit_add_volume(struct kit *f, const struct kit_volume *k)
{
    struct volume v = {
        .disk = k->disk, .partition = k->partition, .size_bytes = 1u << 30};

    snprintf(v.fs.type, sizeof v.fs.type, "%s", k->type);
    snprintf(v.fs.uuid, sizeof v.fs.uuid, "%s", k->uuid ? k->uuid : "");
    snprintf(v.partuuid, sizeof v.partuuid, "%s", k->partuuid ? k->partuuid : "");
    v.device = strdup(k->device);
    assert_ok(vec_push(&f->s.storage.volumes, v, e));
}

/* What the session does once everything is mounted. */
static inline void kit_look(struct kit *f)
{
    auto_call(linux_mounts_release) struct linux_mounts mounts = {0};
    struct storage_disk d = {.device = strdup("/dev/sda"),
                             .table = f->table ? f->table : "msdos",
                             .boot_code = !f->esp,
                             .grub = !f->esp};
    struct guest_filesystem root = {.mountpoint = strdup("/"),
                                    .device = strdup(f->volumes[0].device),
                                    .type = strdup(f->volumes[0].type)};

    subject_release(&f->s);
    f->s = (struct subject){.fs = memfs_gfs(&f->m), .options = &f->o};
    assert_ok(vec_push(&f->s.storage.disks, d, e));
    for (size_t i = 0; i < f->n_volumes; i++)
        kit_add_volume(f, &f->volumes[i]);
    f->s.root = &f->s.storage.volumes.v[0];
    f->s.info = calloc(1, sizeof *f->s.info);
    if (f->esp)
        f->s.esp = strdup(f->esp);
    assert_ok(vec_push(&f->s.info->filesystems, root, e));
    assert_ok(linux_read_fstab(&f->s, &mounts, e));
    assert_ok(linux_inspect(&f->s, e));
    assert_ok(requirements_run(&f->s, linux_requirements, e));
}

static inline void kit_release(struct kit *f)
{
    subject_release(&f->s);
    memfs_release(&f->m);
}

static inline void kit_finding(struct kit *f, const char *id, enum finding_state state,
                               const char *seen)
{
    const struct finding *x = guest_info_finding(f->s.info, id);

    assert_non_null(x);
    if (x->state != state || !strstr(x->seen, seen))
        fail_msg("%s is %s: %s", id, finding_state_name(x->state), x->seen);
}

static inline void kit_refused(struct kit *f, const char *id, const char *seen)
{
    kit_look(f);
    kit_finding(f, id, FINDING_REFUSED, seen);
    assert_non_null(guest_info_blocker(f->s.info, &f->o));
}

/* The number of changes. */
static inline size_t kit_convert(struct kit *f)
{
    auto_conversion struct conversion c = {.s = &f->s};
    struct gfs fs = memfs_gfs(&f->m);

    assert_ok(conversion_plan(&c, e));
    assert_ok(changes_apply(&fs, &memfs_write_ops, &c.overlay, e));
    return c.overlay.changes.n;
}

static inline void kit_nothing_open(struct kit *f)
{
    vec_foreach (x, &f->s.info->findings)
        if (x->state != FINDING_MET && x->state != FINDING_NOT_NEEDED)
            fail_msg("%s is %s: %s", x->id, finding_state_name(x->state), x->seen);
}

static inline bool kit_has(struct kit *f, const char *path, const char *text)
{
    const char *now = memfs_text(&f->m, path);

    return now && strstr(now, text);
}

/* Two dumps, whose first difference is shown. */
static inline void kit_same(const char *a, const char *b, size_t at)
{
    size_t i = 0;

    while (a[i] && a[i] == b[i])
        i++;
    if (a[i] != b[i])
        fail_msg("cut at write %zu: \"%.200s\" is not \"%.200s\"", at,
                 a + (i > 60 ? i - 60 : 0), b + (i > 60 ? i - 60 : 0));
}

/* Power fails at each write in turn; each time the repetition ends where a conversion
 * without trouble does. */
static inline void kit_power_cuts(struct kit *f)
{
    auto_free char *end = NULL;
    struct memfs whole;
    size_t writes;

    kit_look(f);
    memfs_copy(&whole, &f->m);
    kit_convert(f);
    writes = f->m.writes;
    assert_true(writes > 10);
    end = memfs_dump(&f->m, GUEST_STATE_DIR);
    for (size_t at = 1; at <= writes; at++) {
        auto_conversion struct conversion c = {.s = &f->s};
        struct gfs fs = memfs_gfs(&f->m);
        auto_free char *again = NULL;

        memfs_release(&f->m);
        memfs_copy(&f->m, &whole);
        kit_look(f);
        f->m.fail_at = at;
        assert_ok(conversion_plan(&c, e));
        assert_fails(changes_apply(&fs, &memfs_write_ops, &c.overlay, e), ERR_FAILED,
                     "power cut");
        f->m.fail_at = 0;
        kit_look(f);
        kit_convert(f);
        kit_look(f);
        kit_nothing_open(f);
        again = memfs_dump(&f->m, GUEST_STATE_DIR);
        kit_same(again, end, at);
    }
    memfs_release(&whole);
}

#endif
