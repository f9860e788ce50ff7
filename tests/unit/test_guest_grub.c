/* GRUB 2, GRUB legacy and Boot Loader Specification menus. */
#include "test.h"

#include "base/str.h"
#include "guest/text/grub.h"

static const char cfg[] =
    "if [ \"${next_entry}\" ] ; then\n"
    "   set default=\"${next_entry}\"\n"
    "else\n"
    "   set default=\"%s\"\n"
    "fi\n"
    "menuentry 'Debian GNU/Linux' --class debian --class gnu-linux $menuentry_id_option "
    "'gnulinux-simple-u' {\n"
    "\tload_video\n"
    "\tif [ x$grub_platform = xxen ]; then insmod xzio; fi\n"
    "\tif [ x$feature = xy ]; then\n"
    "\t  search --no-floppy --fs-uuid --set=root u\n"
    "\tfi\n"
    "\tlinux\t/boot/vmlinuz-2 root=UUID=u ro  quiet\n"
    "\tinitrd\t/boot/amd-ucode.img /boot/initrd.img-2\n"
    "}\n"
    "submenu 'Advanced options > more' $menuentry_id_option 'gnulinux-advanced-u' {\n"
    "\tmenuentry 'Linux 2' --class x $menuentry_id_option 'two' {\n"
    "\t\tlinux /boot/vmlinuz-2 root=UUID=u ro\n"
    "\t}\n"
    "\tmenuentry 'Linux 1' --class x $menuentry_id_option 'one' {\n"
    "\t\tlinux /boot/vmlinuz-1 root=/dev/sda1 ro\n"
    "\t\tinitrd /boot/initrd.img-1\n"
    "\t}\n"
    "}\n"
    "menuentry 'Memory test' {\n"
    "\tlinux16 /boot/memtest\n"
    "}\n";

static void parse(const char *chosen, struct grub_menu *m)
{
    char text[sizeof cfg + 100];

    snprintf(text, sizeof text, cfg, chosen);
    assert_ok(grub_cfg_parse(text, m, e));
}

static void test_entries_and_nesting(void **state)
{
    auto_grub_menu struct grub_menu m = {0};

    parse("0", &m);
    assert_int_equal(m.entries.n, 5);
    assert_string_equal(m.entries.v[0].title, "Debian GNU/Linux");
    assert_string_equal(m.entries.v[0].id, "gnulinux-simple-u");
    assert_string_equal(m.entries.v[0].kernel, "/boot/vmlinuz-2");
    assert_string_equal(m.entries.v[0].args, "root=UUID=u ro quiet");
    assert_int_equal(m.entries.v[0].initrds.n, 2);
    assert_true(m.entries.v[1].submenu);
    assert_int_equal(m.entries.v[3].parent, 1);
    assert_int_equal(m.entries.v[3].number, 1);
    assert_int_equal(m.entries.v[4].parent, UINT32_MAX);
    assert_int_equal(m.entries.v[4].number, 2);
}

static void check_default(const char *chosen, const char *saved, const char *kernel)
{
    auto_grub_menu struct grub_menu m = {0};
    const struct grub_entry *x;

    parse(chosen, &m);
    x = grub_default(&m, saved);
    assert_non_null(x);
    assert_string_equal(x->kernel, kernel);
}

static void test_default_by_number(void **state)
{
    check_default("0", NULL, "/boot/vmlinuz-2");
    check_default("2", NULL, "/boot/memtest");
    check_default("1>1", NULL, "/boot/vmlinuz-1");
}

static void test_default_by_title_and_id(void **state)
{
    check_default("gnulinux-advanced-u>one", NULL, "/boot/vmlinuz-1");
    check_default("one", NULL, "/boot/vmlinuz-1");
    check_default("Memory test", NULL, "/boot/memtest");
}

static void test_default_saved(void **state)
{
    check_default("${saved_entry}", "gnulinux-advanced-u>one", "/boot/vmlinuz-1");
    check_default("${saved_entry}", NULL, "/boot/vmlinuz-2");
}

static void test_a_default_that_leads_nowhere_is_the_first(void **state)
{
    check_default("17", NULL, "/boot/vmlinuz-2");
    check_default("no such title", NULL, "/boot/vmlinuz-2");
}

static void test_a_submenu_as_default_is_its_first_kernel(void **state)
{
    check_default("1", NULL, "/boot/vmlinuz-2");
}

static void test_rewriting_touches_kernel_lines_only(void **state)
{
    const struct cmdline_want want = {.serial_console = true};
    auto_buf struct buf b = BUF_INIT;

    assert_ok(grub_cfg_rewrite("set x=1\n\tlinux\t/vmlinuz ro  quiet\n\tinitrd /i\n",
                               &want, &b, e));
    assert_string_equal(buf_str(&b), "set x=1\n\tlinux\t/vmlinuz ro quiet console=tty0 "
                                     "console=ttyS0,115200n8\n\tinitrd /i\n");
}

static void test_rewriting_refuses_continued_kernel_lines(void **state)
{
    const struct cmdline_want want = {.serial_console = true};
    auto_buf struct buf b = BUF_INIT;

    assert_fails(grub_cfg_rewrite("linux /vmlinuz ro \\\n quiet\n", &want, &b, e),
                 ERR_UNSUPPORTED, "continues");
}

static void test_blscfg_is_noticed(void **state)
{
    auto_grub_menu struct grub_menu m = {0};

    assert_ok(grub_cfg_parse("insmod blscfg\nblscfg\n", &m, e));
    assert_true(m.blscfg);
    assert_null(grub_default(&m, NULL));
}

static void test_legacy_menu(void **state)
{
    auto_grub_menu struct grub_menu m = {0};

    assert_ok(grub_legacy_parse("default=1\ntimeout=5\ntitle A\n\troot (hd0,0)\n"
                                "\tkernel /vmlinuz-1 ro root=/dev/sda2\n\tinitrd /i1\n"
                                "title B\n\tkernel --type=linux /vmlinuz-2 ro\n",
                                &m, e));
    assert_int_equal(m.entries.n, 2);
    assert_string_equal(grub_default(&m, NULL)->kernel, "/vmlinuz-2");
    assert_string_equal(m.entries.v[0].args, "ro root=/dev/sda2");
    assert_string_equal(m.entries.v[0].initrds.v[0], "/i1");
}

static void test_bls_entries_sort_newest_first(void **state)
{
    auto_grub_menu struct grub_menu m = {0};

    assert_ok(
        grub_bls_parse("title A\nlinux /vmlinuz-5.14.0-70\ninitrd /i $tuned_initrd\n"
                       "options $kernelopts quiet\n",
                       "id-5.14.0-70.el9", "root=UUID=u", &m, e));
    assert_ok(grub_bls_parse("title B\nlinux /vmlinuz-5.14.0-427\n", "id-5.14.0-427.el9",
                             NULL, &m, e));
    grub_bls_sort(&m);
    assert_string_equal(m.entries.v[0].title, "B");
    assert_string_equal(m.entries.v[1].args, "root=UUID=u quiet");
    assert_string_equal(m.entries.v[1].initrds.v[0], "/i");
    assert_string_equal(grub_default(&m, "id-5.14.0-70.el9")->title, "A");
}

static void test_environment_block(void **state)
{
    static const char env[] = "# GRUB Environment Block\nsaved_entry=a>b\nx=1\\\n2\n####";
    auto_free char *v = NULL, *x = NULL, *none = NULL;

    assert_ok(grubenv_get(env, sizeof env - 1, "saved_entry", &v, e));
    assert_string_equal(v, "a>b");
    assert_ok(grubenv_get(env, sizeof env - 1, "x", &x, e));
    assert_string_equal(x, "1\n2");
    assert_ok(grubenv_get(env, sizeof env - 1, "saved", &none, e));
    assert_null(none);
}

/* What each writer makes of a text with a serial console wanted. */
static void check_written(int (*write)(const char *, const struct cmdline_want *,
                                       struct buf *, struct err *),
                          const char *text, const char *want)
{
    const struct cmdline_want console = {.serial_console = true};
    auto_buf struct buf out = BUF_INIT;

    assert_ok(write(text, &console, &out, e));
    assert_string_equal(buf_str(&out), want);
}

static void test_legacy_kernel_lines_are_rewritten(void **state)
{
    check_written(grub_legacy_rewrite,
                  "default 0\n  kernel --no-mem-option /vmlinuz ro\r\n"
                  "kernel=/vmlinuz\nkernel /xen.gz dom0\n#kernel /old\n",
                  "default 0\n  kernel --no-mem-option /vmlinuz ro console=tty0 "
                  "console=ttyS0,115200n8\r\n"
                  "kernel=/vmlinuz console=tty0 console=ttyS0,115200n8\n"
                  "kernel /xen.gz dom0\n#kernel /old\n");
}

static void test_bls_options_are_rewritten_unless_they_are_elsewhere(void **state)
{
    check_written(grub_bls_rewrite, "title x\noptions ro $tuned_params\n",
                  "title x\noptions ro $tuned_params console=tty0 "
                  "console=ttyS0,115200n8\n");
    check_written(grub_bls_rewrite, "options $kernelopts\n", "options $kernelopts\n");
}

static void test_kernelopts_of_a_menu_are_rewritten(void **state)
{
    auto_grub_menu struct grub_menu m = {0};

    check_written(grub_cfg_rewrite, "  set kernelopts=\"ro \"\nset timeout=1\n",
                  "  set kernelopts=\"ro console=tty0 console=ttyS0,115200n8\"\n"
                  "set timeout=1\n");
    assert_ok(grub_cfg_parse("set kernelopts=\"root=x ro \"\nblscfg\n", &m, e));
    assert_string_equal(m.kernelopts, "root=x ro ");
}

static void test_setting_in_the_environment_block_keeps_its_size(void **state)
{
    static const char block[] = "# GRUB Environment Block\n# WARNING: by tools only\n"
                                "kernelopts=ro\nsaved_entry=a\n##########";
    auto_buf struct buf out = BUF_INIT, none = BUF_INIT;
    auto_free char *value = NULL;

    assert_ok(grubenv_set(block, sizeof block - 1, "kernelopts", "rw \\x", &out, e));
    assert_int_equal(out.len, sizeof block - 1);
    assert_string_equal(buf_str(&out),
                        "# GRUB Environment Block\n# WARNING: by tools only\n"
                        "saved_entry=a\nkernelopts=rw \\\\x\n######");
    assert_ok(grubenv_get(out.data, out.len, "kernelopts", &value, e));
    assert_string_equal(value, "rw \\x");
    assert_fails(
        grubenv_set(block, sizeof block - 1, "k", "more than has room", &none, e),
        ERR_NOSPACE, "does not fit");
    assert_fails(grubenv_set("saved_entry=a\n", 14, "k", "v", &none, e), ERR_INPUT,
                 "no GRUB environment block");
}

static void test_menus_nested_without_end_are_refused(void **state)
{
    auto_grub_menu struct grub_menu m = {0};
    auto_buf struct buf b = BUF_INIT;

    for (int i = 0; i < 100; i++)
        buf_adds(&b, "submenu x {\n");
    assert_fails(grub_cfg_parse(buf_str(&b), &m, e), ERR_INPUT, "nested too deeply");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_and_nesting),
        cmocka_unit_test(test_default_by_number),
        cmocka_unit_test(test_default_by_title_and_id),
        cmocka_unit_test(test_default_saved),
        cmocka_unit_test(test_a_default_that_leads_nowhere_is_the_first),
        cmocka_unit_test(test_a_submenu_as_default_is_its_first_kernel),
        cmocka_unit_test(test_rewriting_touches_kernel_lines_only),
        cmocka_unit_test(test_rewriting_refuses_continued_kernel_lines),
        cmocka_unit_test(test_blscfg_is_noticed),
        cmocka_unit_test(test_legacy_menu),
        cmocka_unit_test(test_bls_entries_sort_newest_first),
        cmocka_unit_test(test_environment_block),
        cmocka_unit_test(test_legacy_kernel_lines_are_rewritten),
        cmocka_unit_test(test_bls_options_are_rewritten_unless_they_are_elsewhere),
        cmocka_unit_test(test_kernelopts_of_a_menu_are_rewritten),
        cmocka_unit_test(test_setting_in_the_environment_block_keeps_its_size),
        cmocka_unit_test(test_menus_nested_without_end_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
