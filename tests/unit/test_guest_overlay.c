/* Planned changes, and carrying them out under power cuts. */
#include "test.h"

#include "base/json.h"
#include "base/str.h"
#include "memfs.h"

struct fixture {
    struct memfs m;
    struct overlay o;
    struct gfs fs;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    memfs_init(&f->m);
    memfs_file(&f->m, "/etc/a", "old a");
    memfs_file(&f->m, "/etc/b", "old b");
    memfs_link(&f->m, "/etc/to-a", "a");
    memfs_link(&f->m, "/etc/unit", "/lib/unit");
    memfs_dir(&f->m, "/var/lib");
    memfs_find(&f->m, "/etc/a")->mode = 0640;
    f->o.base = memfs_gfs(&f->m);
    f->fs = overlay_gfs(&f->o);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    overlay_release(&f->o);
    memfs_release(&f->m);
    free(f);
    return 0;
}

static int must(int r, const struct err *e)
{
    if (r < 0)
        fail_msg("%s", e->msg);
    return r;
}

static int write_text(struct fixture *f, const char *path, const char *text)
{
    struct err e = ERR_INIT;

    return must(overlay_write(&f->o, path, text, strlen(text), 0600, "what", "why", &e),
                &e);
}

static int removed(struct fixture *f, const char *path)
{
    struct err e = ERR_INIT;

    return must(overlay_remove(&f->o, path, "what", "why", &e), &e);
}

static int linked(struct fixture *f, const char *target, const char *path)
{
    struct err e = ERR_INIT;

    return must(overlay_link(&f->o, target, path, "what", "why", &e), &e);
}

static void check_text(const struct gfs *fs, const char *path, const char *want)
{
    auto_buf struct buf b = BUF_INIT;

    assert_ok(gfs_text(fs, path, &b, e));
    assert_string_equal(buf_str(&b), want);
}

/* ---- planning ---- */

static void test_a_plan_shows_the_guest_as_it_will_be(void **state)
{
    struct fixture *f = *state;
    auto_strv struct strv names = {0};
    auto_free char *all = NULL;

    assert_int_equal(write_text(f, "/etc/a", "new a"), 1);
    assert_int_equal(write_text(f, "/etc/new/c", "c"), 1);
    assert_int_equal(removed(f, "/etc/b"), 1);
    check_text(&f->fs, "/etc/a", "new a");
    check_text(&f->fs, "/etc/to-a", "new a");
    check_text(&f->fs, "/etc/new/c", "c");
    assert_ok(gfs_list(&f->fs, "/etc", &names, e));
    assert_ok(strv_join(&names, " ", &all, e));
    assert_string_equal(all, "a new to-a unit");
    assert_int_equal(f->m.writes, 0);
    assert_string_equal(memfs_text(&f->m, "/etc/a"), "old a");
}

static void test_what_is_so_already_is_no_change(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(write_text(f, "/etc/a", "old a"), 0);
    assert_int_equal(write_text(f, "/etc/to-a", "old a"), 0);
    assert_int_equal(removed(f, "/etc/none"), 0);
    assert_int_equal(linked(f, "/lib/unit", "/etc/unit"), 0);
    assert_int_equal(f->o.changes.n, 0);
}

static void test_a_link_is_written_through(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(write_text(f, "/etc/to-a", "new"), 1);
    assert_string_equal(f->o.changes.v[0].path, "/etc/a");
}

static void test_two_changes_of_a_file_are_one(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(write_text(f, "/etc/a", "1"), 1);
    assert_int_equal(write_text(f, "/etc/a", "2"), 1);
    assert_int_equal(f->o.changes.n, 1);
    check_text(&f->fs, "/etc/a", "2");
}

static void test_a_removed_file_can_come_back(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(removed(f, "/etc/b"), 1);
    assert_int_equal(write_text(f, "/etc/b", "again"), 1);
    check_text(&f->fs, "/etc/b", "again");
    assert_int_equal(f->o.changes.n, 1);
}

static void test_links_that_loop_are_refused(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;

    memfs_link(&f->m, "/etc/x", "y");
    memfs_link(&f->m, "/etc/y", "x");
    assert_int_equal(overlay_write(&f->o, "/etc/x", "", 0, 0, "", "", &e), -1);
    assert_non_null(strstr(e.msg, "too many symbolic links"));
}

/* ---- carrying out ---- */

static void plan_everything(struct fixture *f)
{
    write_text(f, "/etc/a", "new a");
    write_text(f, "/etc/new/c", "c");
    removed(f, "/etc/b");
    removed(f, "/etc/unit");
    linked(f, "/lib/other", "/etc/wants/other");
}

static void check_done(struct memfs *m)
{
    assert_string_equal(memfs_text(m, "/etc/a"), "new a");
    assert_int_equal(memfs_find(m, "/etc/a")->mode, 0640);
    assert_string_equal(memfs_text(m, "/etc/new/c"), "c");
    assert_int_equal(memfs_find(m, "/etc/new/c")->mode, 0600);
    assert_null(memfs_find(m, "/etc/b"));
    assert_null(memfs_find(m, "/etc/unit"));
    assert_int_equal(memfs_find(m, "/etc/wants/other")->type, GFS_LINK);
    assert_string_equal(memfs_text(m, "/var/lib/hotadd/original/etc/a"), "old a");
    assert_string_equal(memfs_text(m, "/var/lib/hotadd/original/etc/b"), "old b");
    assert_int_equal(memfs_find(m, "/var/lib/hotadd/original/etc/unit")->type, GFS_LINK);
}

static void test_changes_are_made_and_originals_kept(void **state)
{
    struct fixture *f = *state;
    auto_free char *dump = NULL;

    plan_everything(f);
    assert_ok(changes_apply(&f->o.base, &memfs_write_ops, &f->o, e));
    check_done(&f->m);
    dump = memfs_dump(&f->m, NULL);
    assert_null(strstr(dump, ".hotadd-new"));
}

static void test_the_journal_names_each_change(void **state)
{
    struct fixture *f = *state;
    json_auto_t *j = NULL;
    const char *text;

    plan_everything(f);
    assert_ok(changes_apply(&f->o.base, &memfs_write_ops, &f->o, e));
    text = memfs_text(&f->m, GUEST_STATE_DIR "/" GUEST_JOURNAL);
    assert_ok(json_parse(text, strlen(text), "journal", &j, e));
    assert_string_equal(json_str_or(j, "state", ""), "done");
    assert_int_equal(json_array_size(json_object_get(j, "files")), 5);
    json_t *first = json_array_get(json_object_get(j, "files"), 0);
    assert_string_equal(json_str_or(first, "path", ""), "/etc/a");
    assert_string_equal(json_str_or(first, "original", ""),
                        "/var/lib/hotadd/original/etc/a");
}

static void test_nothing_to_change_touches_nothing(void **state)
{
    struct fixture *f = *state;

    assert_ok(changes_apply(&f->o.base, &memfs_write_ops, &f->o, e));
    assert_int_equal(f->m.writes, 0);
}

static void test_a_second_conversion_keeps_the_first_originals(void **state)
{
    struct fixture *f = *state;
    json_auto_t *j = NULL;
    const char *text;

    plan_everything(f);
    assert_ok(changes_apply(&f->o.base, &memfs_write_ops, &f->o, e));
    overlay_release(&f->o);
    f->o.changes = (__typeof__(f->o.changes)){0};
    write_text(f, "/etc/a", "newer a");
    assert_ok(changes_apply(&f->o.base, &memfs_write_ops, &f->o, e));
    assert_string_equal(memfs_text(&f->m, "/var/lib/hotadd/original/etc/a"), "old a");
    text = memfs_text(&f->m, GUEST_STATE_DIR "/" GUEST_JOURNAL);
    assert_ok(json_parse(text, strlen(text), "journal", &j, e));
    assert_int_equal(json_array_size(json_object_get(j, "files")), 5);
}

static void test_large_originals_need_room(void **state)
{
    struct fixture *f = *state;
    auto_free char *large = malloc(3u << 20);
    struct err err = ERR_INIT;

    memset(large, 'x', 3u << 20);
    memfs_bytes(&f->m, "/boot/initrd", large, 2u << 20);
    f->m.free_bytes = 10u << 20;
    must(overlay_write(&f->o, "/boot/initrd", large, 3u << 20, 0600, "", "", &err), &err);
    assert_ok(changes_apply(&f->o.base, &memfs_write_ops, &f->o, e));
    assert_null(memfs_find(&f->m, "/var/lib/hotadd/original/boot/initrd"));
    assert_int_equal(memfs_find(&f->m, "/boot/initrd")->data.len, 3u << 20);
}

/* Each file is the old one or the new one, whatever operation was the last; and doing it
 * again ends in the same guest. */
static void check_cut(struct memfs *before, struct overlay *o, size_t at)
{
    struct memfs m;
    struct gfs fs;
    const char *a;

    memfs_copy(&m, before);
    m.fail_at = at;
    fs = memfs_gfs(&m);
    assert_fails(changes_apply(&fs, &memfs_write_ops, o, e), ERR_FAILED, "power cut");
    a = memfs_text(&m, "/etc/a");
    assert_true(str_eq(a, "old a") || str_eq(a, "new a"));
    if (str_eq(a, "new a"))
        assert_string_equal(memfs_text(&m, "/var/lib/hotadd/original/etc/a"), "old a");
    if (!memfs_find(&m, "/etc/b"))
        assert_string_equal(memfs_text(&m, "/var/lib/hotadd/original/etc/b"), "old b");

    struct fixture again = {.m = m};
    again.m.fail_at = 0;
    again.o.base = memfs_gfs(&again.m);
    plan_everything(&again);
    assert_ok(changes_apply(&again.o.base, &memfs_write_ops, &again.o, e));
    check_done(&again.m);
    overlay_release(&again.o);
    memfs_release(&again.m);
}

static void test_a_power_cut_at_any_write_leaves_old_or_new(void **state)
{
    struct fixture *f = *state;
    struct memfs before;

    plan_everything(f);
    memfs_copy(&before, &f->m);
    assert_ok(changes_apply(&f->o.base, &memfs_write_ops, &f->o, e));
    for (size_t at = 1; at <= f->m.writes; at++)
        check_cut(&before, &f->o, at);
    memfs_release(&before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_plan_shows_the_guest_as_it_will_be),
        TEST(test_what_is_so_already_is_no_change),
        TEST(test_a_link_is_written_through),
        TEST(test_two_changes_of_a_file_are_one),
        TEST(test_a_removed_file_can_come_back),
        TEST(test_links_that_loop_are_refused),
        TEST(test_changes_are_made_and_originals_kept),
        TEST(test_the_journal_names_each_change),
        TEST(test_nothing_to_change_touches_nothing),
        TEST(test_a_second_conversion_keeps_the_first_originals),
        TEST(test_large_originals_need_room),
        TEST(test_a_power_cut_at_any_write_leaves_old_or_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
