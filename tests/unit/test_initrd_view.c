/* The kernel's view: what a sequence of members leaves behind. */
#include "initrd_test.h"

static const char *content(const struct initrd *im, const char *path)
{
    static char text[256];
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;

    text[0] = 0;
    if (initrd_read(im, path, sizeof text - 1, &b, &e) < 0)
        snprintf(text, sizeof text, "error: %s", e.msg);
    else
        snprintf(text, sizeof text, "%s", buf_str(&b));
    buf_release(&b);
    return text;
}

static void test_later_file_overwrites_earlier(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;

    put_file(&b, "f", "old");
    put_trailer(&b);
    put_file(&b, "./f", "new");
    im = parsed(&b);
    assert_string_equal(content(im, "f"), "new");
}

static void test_file_without_its_directory_is_dropped(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;

    put_file(&b, "no/such/f", "x");
    put_dirs(&b, "no");
    im = parsed(&b);
    assert_false(initrd_has_file(im, "no/such/f"));
    assert_true(initrd_has_dir(im, "no"));
}

static void test_directory_over_link_deletes_the_link(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;

    put_dirs(&b, "usr/lib");
    put_file(&b, "usr/lib/libc", "x");
    put_link(&b, "lib", "usr/lib");
    put_trailer(&b);
    put_dirs(&b, "lib");
    im = parsed(&b);
    assert_false(initrd_has_file(im, "lib/libc"));
    assert_true(initrd_has_file(im, "usr/lib/libc"));
}

static void test_directory_with_slash_keeps_the_link(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;

    put_dirs(&b, "usr/lib");
    put_file(&b, "usr/lib/libc", "x");
    put_link(&b, "lib", "usr/lib");
    put(&b, &(struct newc){.mode = S_IFDIR | 0700}, "lib/", NULL, 0);
    im = parsed(&b);
    assert_true(initrd_has_file(im, "lib/libc"));
}

static void test_full_directory_resists_a_file(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;

    put_dirs(&b, "d");
    put_file(&b, "d/f", "x");
    put_file(&b, "d", "replaced");
    put_dirs(&b, "empty");
    put_file(&b, "empty", "replaced");
    im = parsed(&b);
    assert_true(initrd_has_file(im, "d/f"));
    assert_string_equal(content(im, "empty"), "replaced");
}

static void test_link_over_file_always_replaces(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    struct initrd_stat st;

    put_file(&b, "a", "a");
    put_file(&b, "f", "x");
    put_link(&b, "f", "a");
    im = parsed(&b);
    assert_true(initrd_stat(im, "f", INITRD_NOFOLLOW, &st));
    assert_string_equal(st.link, "a");
    assert_string_equal(content(im, "f"), "a");
}

static void test_hard_links_share_contents(void **state)
{
    const struct newc h = {.mode = S_IFREG | 0644, .nlink = 2, .ino = 7};
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    struct initrd_stat st;

    put(&b, &h, "a", NULL, 0);
    put(&b, &h, "b", "data", 4);
    im = parsed(&b);
    assert_string_equal(content(im, "a"), "data");
    assert_true(initrd_stat(im, "a", INITRD_FOLLOW, &st));
    assert_int_equal(st.nlink, 2);
}

static void test_writing_to_one_hard_link_writes_to_all(void **state)
{
    const struct newc h = {.mode = S_IFREG | 0644, .nlink = 2, .ino = 7};
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;

    put(&b, &h, "a", "data", 4);
    put(&b, &h, "b", NULL, 0);
    put_trailer(&b);
    put_file(&b, "b", "new");
    im = parsed(&b);
    assert_string_equal(content(im, "a"), "new");
}

static void test_link_between_takes_a_name_off_its_file(void **state)
{
    const struct newc h = {.mode = S_IFREG | 0644, .nlink = 2, .ino = 7};
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;

    put(&b, &h, "a", "data", 4);
    put(&b, &h, "b", NULL, 0);
    put_link(&b, "b", "a");
    put_file(&b, "b", "new");
    im = parsed(&b);
    assert_string_equal(content(im, "a"), "data");
    assert_string_equal(content(im, "b"), "new");
}

static void test_trailer_ends_hard_link_groups(void **state)
{
    const struct newc h = {.mode = S_IFREG | 0644, .nlink = 2, .ino = 7};
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;

    put(&b, &h, "a", "one", 3);
    put_trailer(&b);
    put(&b, &h, "b", "two", 3);
    im = parsed(&b);
    assert_string_equal(content(im, "a"), "one");
    assert_string_equal(content(im, "b"), "two");
}

static void test_kernel_brings_dev_and_root(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    struct initrd_stat st;

    put_file(&b, "root/f", "x");
    im = parsed(&b);
    assert_true(initrd_has_file(im, "root/f"));
    assert_true(initrd_stat(im, "dev/console", INITRD_NOFOLLOW, &st));
    assert_true(S_ISCHR(st.mode));
}

static void test_paths_walk_like_paths(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;

    put_dirs(&b, "usr/lib/x");
    put_link(&b, "lib", "/usr/lib");
    put_link(&b, "up", "usr/../lib/x");
    put_file(&b, "/lib//x/../x/./f", "x");
    im = parsed(&b);
    assert_true(initrd_has_file(im, "usr/lib/x/f"));
    assert_true(initrd_has_file(im, "up/f"));
    assert_true(initrd_has_file(im, "../../lib/x/f"));
    assert_false(initrd_has_file(im, "lib/x/f/"));
}

static void test_links_that_loop_lead_nowhere(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    char *path;

    put_link(&b, "a", "b");
    put_link(&b, "b", "a");
    put_file(&b, "a/f", "x");
    im = parsed(&b);
    assert_false(initrd_stat(im, "a/f", INITRD_FOLLOW, NULL));
    assert_true(initrd_stat(im, "a", INITRD_NOFOLLOW, NULL));
    assert_fails(initrd_canonical(im, "a/f", &path, e), ERR_INPUT, "loop");
}

static void assert_canonical(const struct initrd *im, const char *path, const char *want)
{
    auto_free char *got = NULL;

    assert_ok(initrd_canonical(im, path, &got, e));
    assert_string_equal(got, want);
}

static void test_canonical_paths(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    char *path;

    put_dirs(&b, "usr/lib/modules");
    put_link(&b, "lib", "usr/lib");
    put_link(&b, "lib64", "/lib/../lib64real");
    put_file(&b, "file", "");
    im = parsed(&b);
    assert_canonical(im, "", "");
    assert_canonical(im, "/lib/modules/6.1/kernel", "usr/lib/modules/6.1/kernel");
    assert_canonical(im, "lib64/x", "usr/lib64real/x");
    assert_canonical(im, "usr/../lib", "usr/lib");
    assert_fails(initrd_canonical(im, "file/x", &path, e), ERR_INPUT,
                 "/file is no directory");
    assert_fails(initrd_canonical(im, "none/../x", &path, e), ERR_INPUT, "'..'");
}

static int note_path(void *ctx, const char *path, const struct initrd_stat *st,
                     struct err *e)
{
    buf_addf(ctx, "%s ", path);
    return 0;
}

static void test_walk_is_sorted_and_parents_come_first(void **state)
{
    auto_buf struct buf b = BUF_INIT, seen = BUF_INIT;
    auto_initrd struct initrd *im = NULL;

    put_dirs(&b, "d/b");
    put_file(&b, "d/a", "");
    put_file(&b, "d/b/c", "");
    put_link(&b, "l", "d");
    im = parsed(&b);
    assert_ok(initrd_walk(im, "l", note_path, &seen, e));
    assert_string_equal(buf_str(&seen), "d/a d/b d/b/c ");
}

static void test_entangled_links_are_refused_in_time(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    struct initrd *im;
    char deep[3900], target[4000];

    /* Each lookup through l walks 40 links of 1900 steps. */
    put_dirs(&b, "d");
    for (size_t i = 0; i + 3 < sizeof deep; i += 2)
        memcpy(deep + i, "./\0", 3);
    for (int i = 0; i < 39; i++) {
        char name[8];

        snprintf(name, sizeof name, "l%d", i);
        snprintf(target, sizeof target, i ? "%sl%d" : "%sd", deep, i - 1);
        put_link(&b, name, target);
    }
    for (int i = 0; i < 3000; i++)
        put_file(&b, "l38/f", "");
    assert_fails(initrd_parse(b.data, b.len, NULL, &im, e), ERR_INPUT, "entangled");
}

static void test_depth_is_limited(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_buf struct buf path = BUF_INIT;
    struct initrd *im;

    for (int i = 0; i < 300; i++) {
        buf_adds(&path, i ? "/d" : "d");
        put(&b, &(struct newc){.mode = S_IFDIR | 0755}, path.data, NULL, 0);
    }
    assert_fails(initrd_parse(b.data, b.len, NULL, &im, e), ERR_INPUT, "nested");
}

static int module_path(const struct initrd *im, const char *name, char **ret)
{
    struct err e = ERR_INIT;

    return initrd_find_module(im, "6.1", name, ret, &e);
}

static void test_finds_modules_by_any_spelling_and_packing(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_initrd struct initrd *im = NULL;
    auto_free char *path = NULL;

    put_dirs(&b, "usr/lib/modules/6.1/kernel");
    put_link(&b, "lib", "usr/lib");
    put_file(&b, "usr/lib/modules/6.1/kernel/nvme-core.ko.xz", "x");
    put_file(&b, "usr/lib/modules/6.1/kernel/plain.ko", "x");
    put_file(&b, "usr/lib/modules/6.1/kernel/z.ko.zst", "x");
    put_file(&b, "usr/lib/modules/6.1/kernel/not.ko.bak", "x");
    im = parsed(&b);
    assert_int_equal(module_path(im, "nvme_core", &path), 1);
    assert_string_equal(path, "usr/lib/modules/6.1/kernel/nvme-core.ko.xz");
    assert_int_equal(module_path(im, "nvme-core", NULL), 1);
    assert_int_equal(module_path(im, "plain", NULL), 1);
    assert_int_equal(module_path(im, "z", NULL), 1);
    assert_int_equal(module_path(im, "not", NULL), 0);
    assert_int_equal(module_path(im, "../x", NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_later_file_overwrites_earlier),
        cmocka_unit_test(test_file_without_its_directory_is_dropped),
        cmocka_unit_test(test_directory_over_link_deletes_the_link),
        cmocka_unit_test(test_directory_with_slash_keeps_the_link),
        cmocka_unit_test(test_full_directory_resists_a_file),
        cmocka_unit_test(test_link_over_file_always_replaces),
        cmocka_unit_test(test_hard_links_share_contents),
        cmocka_unit_test(test_writing_to_one_hard_link_writes_to_all),
        cmocka_unit_test(test_link_between_takes_a_name_off_its_file),
        cmocka_unit_test(test_trailer_ends_hard_link_groups),
        cmocka_unit_test(test_kernel_brings_dev_and_root),
        cmocka_unit_test(test_paths_walk_like_paths),
        cmocka_unit_test(test_links_that_loop_lead_nowhere),
        cmocka_unit_test(test_canonical_paths),
        cmocka_unit_test(test_walk_is_sorted_and_parents_come_first),
        cmocka_unit_test(test_entangled_links_are_refused_in_time),
        cmocka_unit_test(test_depth_is_limited),
        cmocka_unit_test(test_finds_modules_by_any_spelling_and_packing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
