/* A guest's module lists: where a module is and what it needs. */
#include "initrd_test.h"

#include "guest/initrd/modname.h"

struct texts {
    const char *dep, *builtin, *alias, *softdep;
};

static int read_text(void *ctx, const char *path, struct buf *out, struct err *e)
{
    const struct texts *t = ctx;
    const char *text = NULL;

    if (str_ends(path, "/6.1/modules.dep"))
        text = t->dep;
    else if (str_ends(path, "/6.1/modules.builtin"))
        text = t->builtin;
    else if (str_ends(path, "/6.1/modules.alias"))
        text = t->alias;
    else if (str_ends(path, "/6.1/modules.softdep"))
        text = t->softdep;
    if (!text)
        return err_set(e, ERR_NOT_FOUND, "no %s", path);
    buf_adds(out, text);
    return buf_check(out, e);
}

static const struct texts usual = {
    .dep = "kernel/nvme.ko.xz: kernel/nvme-core.ko.xz kernel/t10-pi.ko.xz\n"
           "kernel/nvme-core.ko.xz: kernel/t10-pi.ko.xz\r\n"
           "kernel/t10-pi.ko.xz:\n"
           "/lib/modules/6.1/kernel/ext4.ko:\n"
           "kernel/crc32c_generic.ko:\nkernel/crc32c-intel.ko:\n",
    .builtin = "kernel/scsi-mod.ko\nkernel/virtio.ko\n",
    .alias = "# comment\nalias crypto-crc32c crc32c_intel\nalias crypto-crc32c* "
             "crc32c_generic\n",
    .softdep = "softdep ext4 pre: crypto-crc32c post: gone\n"
               "softdep t10-pi post: nvme virtio\n",
};

static struct modules *loaded(const struct texts *t)
{
    struct modules *m = NULL;

    assert_ok(modules_load("6.1", read_text, (void *)t, &m, e));
    return m;
}

static void test_finds_by_any_spelling(void **state)
{
    auto_modules struct modules *m = loaded(&usual);
    const char *path = NULL;

    assert_int_equal(modules_find(m, "nvme_core", &path), MODULES_FILE);
    assert_string_equal(path, "kernel/nvme-core.ko.xz");
    assert_int_equal(modules_find(m, "nvme-core", NULL), MODULES_FILE);
    assert_int_equal(modules_find(m, "scsi_mod", NULL), MODULES_BUILTIN);
    assert_int_equal(modules_find(m, "xen-blkfront", NULL), MODULES_ABSENT);
}

static void test_absolute_paths_of_old_tools_are_made_relative(void **state)
{
    auto_modules struct modules *m = loaded(&usual);
    const char *path = NULL;

    assert_int_equal(modules_find(m, "ext4", &path), MODULES_FILE);
    assert_string_equal(path, "kernel/ext4.ko");
}

static char *closure(const struct modules *m, const char *name, enum modules_deps deps)
{
    auto_modules_names struct modules_names names = {0};
    struct buf b = BUF_INIT;
    char *text = NULL;

    assert_ok(modules_closure(m, name, deps, &names, e));
    vec_foreach (n, &names)
        buf_addf(&b, "%s ", *n);
    assert_ok(buf_take(&b, &text, e));
    return text;
}

static void test_hard_closure_has_needs_before_users(void **state)
{
    auto_modules struct modules *m = loaded(&usual);
    auto_free char *text = closure(m, "nvme", MODULES_HARD);

    assert_string_equal(text, "t10_pi nvme_core nvme ");
}

static void test_soft_closure_resolves_aliases_and_survives_loops(void **state)
{
    auto_modules struct modules *m = loaded(&usual);
    auto_free char *ext4 = closure(m, "ext4", MODULES_HARD_AND_SOFT);
    auto_free char *pi = closure(m, "t10_pi", MODULES_HARD_AND_SOFT);

    assert_string_equal(ext4, "crc32c_generic crc32c_intel ext4 ");
    assert_non_null(strstr(pi, "nvme "));
    assert_non_null(strstr(pi, "t10_pi "));
}

static void test_builtin_has_an_empty_closure(void **state)
{
    auto_modules struct modules *m = loaded(&usual);
    auto_free char *text = closure(m, "virtio", MODULES_HARD);

    assert_string_equal(text, "");
}

static void test_absent_module_is_not_found(void **state)
{
    auto_modules struct modules *m = loaded(&usual);
    auto_modules_names struct modules_names names = {0};

    assert_fails(modules_closure(m, "ena", MODULES_HARD, &names, e), ERR_NOT_FOUND,
                 "ena");
}

static void test_missing_need_is_named_and_leaves_nothing(void **state)
{
    const struct texts t = {.dep = "kernel/a.ko: kernel/b.ko\n"};
    auto_modules struct modules *m = loaded(&t);
    auto_modules_names struct modules_names names = {0};

    assert_fails(modules_closure(m, "a", MODULES_HARD, &names, e), ERR_INPUT,
                 "b, needed by a, is not listed");
    assert_int_equal(names.n, 0);
}

static void test_loop_of_hard_needs_ends(void **state)
{
    const struct texts t = {.dep =
                                "kernel/a.ko: kernel/b.ko\nkernel/b.ko: kernel/a.ko\n"};
    auto_modules struct modules *m = loaded(&t);
    auto_free char *text = closure(m, "a", MODULES_HARD);

    assert_string_equal(text, "b a ");
}

static void test_bad_lists_are_refused(void **state)
{
    static const struct {
        const char *dep, *says;
    } cases[] = {
        {"kernel/../../etc/passwd.ko:\n", "no path of a module"},
        {"kernel/a.ko\n", "without ':'"},
        {"kernel//a.ko:\n", "no path of a module"},
        {"kernel/a.txt:\n", "no path of a module"},
        {NULL, "modules.dep"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct texts t = {.dep = cases[i].dep};
        struct modules *m = NULL;

        assert_fails(modules_load("6.1", read_text, (void *)&t, &m, e),
                     cases[i].dep ? ERR_INPUT : ERR_NOT_FOUND, cases[i].says);
    }
}

static void test_kernel_release_is_one_name(void **state)
{
    struct modules *m = NULL;

    assert_fails(modules_load("../6.1", read_text, (void *)&usual, &m, e), ERR_INPUT,
                 "no kernel release");
    assert_fails(modules_load("", read_text, (void *)&usual, &m, e), ERR_INPUT,
                 "no kernel release");
}

static void test_patterns_match_as_modprobe_does(void **state)
{
    assert_true(modname_glob("pci:v*d*sv*sd*bc01sc08i02*",
                             "pci:v00001D0Fd00008061sv0sd0bc01sc08i02"));
    assert_true(modname_glob("fs-ext4", "fs_ext4"));
    assert_true(modname_glob("a[b-d]?", "ac-"));
    assert_true(modname_glob("a[!b]", "ac"));
    assert_true(modname_glob("*", ""));
    assert_false(modname_glob("a[b", "ab"));
    assert_false(modname_glob("abc", "ab"));
    assert_false(modname_glob("", "a"));
    /* Would take for ever if stars were tried in all combinations. */
    assert_false(
        modname_glob("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b",
                     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_by_any_spelling),
        cmocka_unit_test(test_absolute_paths_of_old_tools_are_made_relative),
        cmocka_unit_test(test_hard_closure_has_needs_before_users),
        cmocka_unit_test(test_soft_closure_resolves_aliases_and_survives_loops),
        cmocka_unit_test(test_builtin_has_an_empty_closure),
        cmocka_unit_test(test_absent_module_is_not_found),
        cmocka_unit_test(test_missing_need_is_named_and_leaves_nothing),
        cmocka_unit_test(test_loop_of_hard_needs_ends),
        cmocka_unit_test(test_bad_lists_are_refused),
        cmocka_unit_test(test_kernel_release_is_one_name),
        cmocka_unit_test(test_patterns_match_as_modprobe_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
