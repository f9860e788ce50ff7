/* A Windows guest in memory, looked at and converted as the child does it. Tests change
 * its hives before they look(). */
#ifndef HOTADD_TESTS_UNIT_WINDOWS_GUEST_H
#define HOTADD_TESTS_UNIT_WINDOWS_GUEST_H

#include "driverkit.h"
#include "winkit.h"

#include "base/str.h"
#include "guest/convert.h"
#include "guest/info.h"
#include "guest/windows/windows.h"

struct fixture {
    struct memfs m;
    struct subject s;
    struct guest_options o;
    struct hive *sys, *soft; /* to be changed before look() */
    char *drivers;
    enum ntfs_state ntfs;
    struct buf bcd; /* of another volume */
    const char *table;
    bool esp, dynamic;
};

/* What the session does once the root is mounted. */
static inline void look(struct fixture *f)
{
    struct storage_disk d = {
        .device = strdup("/dev/sda"), .table = f->table, .boot_code = true};
    struct partition p = {
        .number = 1, .active = true, .mbr_type = 7, .dynamic_disk = f->dynamic};
    struct volume v = {.device = strdup("/dev/sda1"),
                       .fs = {.type = "ntfs"},
                       .partition = 1,
                       .size_bytes = 40ull << 30};
    struct volume esp = {.device = strdup("/dev/sda2"), .partition = 2, .esp = f->esp};

    if (f->sys) {
        winkit_put(&f->m, f->sys, f->soft);
        hive_free(f->sys);
        hive_free(f->soft);
        f->sys = f->soft = NULL;
    }
    subject_release(&f->s);
    f->s = (struct subject){.fs = memfs_gfs(&f->m), .options = &f->o};
    assert_ok(vec_push(&d.partitions, p, e));
    assert_ok(vec_push(&f->s.storage.disks, d, e));
    assert_ok(vec_push(&f->s.storage.volumes, v, e));
    assert_ok(vec_push(&f->s.storage.volumes, esp, e));
    f->s.root = &f->s.storage.volumes.v[0];
    f->s.info = calloc(1, sizeof *f->s.info);
    assert_ok(windows_inspect(&f->s, f->ntfs, &f->bcd, e));
    assert_ok(requirements_run(&f->s, windows_requirements, e));
}

static inline int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    memfs_init(&f->m);
    f->sys = winkit_system();
    f->soft = winkit_software(14393);
    f->drivers = driverkit_folder("2.6.0.0", "NTamd64.6.3");
    f->o = (struct guest_options){
        .purpose = GUEST_CONVERT, .drivers = f->drivers, .first_boot = "/proc/self/exe"};
    f->ntfs = NTFS_CLEAN;
    f->table = "msdos";
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;

    subject_release(&f->s);
    memfs_release(&f->m);
    buf_release(&f->bcd);
    hive_free(f->sys);
    hive_free(f->soft);
    driverkit_remove(f->drivers);
    free(f);
    return 0;
}

static inline void is(const struct fixture *f, const char *id, enum finding_state state,
                      const char *seen)
{
    const struct finding *x = guest_info_finding(f->s.info, id);

    if (!x)
        fail_msg("no finding %s", id);
    if (x->state != state || !strstr(x->seen, seen))
        fail_msg("%s: %s, seen: %s", id, finding_state_name(x->state), x->seen);
}

static inline void set32(struct hive *h, const char *key, const char *name, uint32_t v)
{
    assert_ok(hive_set_u32(h, key, name, v, e));
}

static inline void set_text(struct hive *h, const char *key, const char *name,
                            const char *v)
{
    assert_ok(hive_set_str(h, key, name, REG_T_SZ, v, e));
}

/* How many files it changed. */
static inline size_t convert(struct fixture *f)
{
    auto_conversion struct conversion c = {.s = &f->s};
    size_t n;

    assert_ok(windows_convert(&c, e));
    n = c.overlay.changes.n;
    assert_ok(changes_apply(&f->s.fs, &memfs_write_ops, &c.overlay, e));
    look(f);
    return n;
}

static inline uint32_t number(struct hive *h, const char *key, const char *name)
{
    auto_free char *path = NULL;
    struct err err;
    uint32_t v = 0xdead;

    path = str_fmt(&err, WINKIT_CCS "%s", key);
    assert_ok(hive_get_u32(h, path, name, &v, e));
    return v;
}

#define WITH_GUEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
