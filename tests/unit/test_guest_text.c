/* fstab, shell variables, kernel command lines, INI. */
#include "test.h"

#include "base/str.h"
#include "guest/text/cmdline.h"
#include "guest/text/fstab.h"
#include "guest/text/shvar.h"
#include "guest/text/text.h"

/* ---- lines and words ---- */

static void test_lines_may_end_in_any_way(void **state)
{
    const char *at = "a\r\n\nb";
    struct text_line l;

    assert_true(text_next(&at, &l));
    assert_int_equal(l.len, 1);
    assert_true(text_next(&at, &l));
    assert_int_equal(l.len, 0);
    assert_true(text_next(&at, &l));
    assert_memory_equal(l.s, "b", 1);
    assert_false(text_next(&at, &l));
}

static void test_continued_lines_are_joined(void **state)
{
    const char *at = "# no\n  a \\\n  b \nc";
    auto_free char *one = NULL, *two = NULL;

    assert_ok(text_next_trimmed(&at, '#', true, &one, e));
    assert_string_equal(one, "a  b");
    assert_ok(text_next_trimmed(&at, '#', true, &two, e));
    assert_string_equal(two, "c");
}

static void test_quotes_keep_words_together(void **state)
{
    auto_strv struct strv w = {0};

    assert_ok(text_words("a 'b c' d=\"e f\"", true, &w, e));
    assert_int_equal(w.n, 3);
    assert_string_equal(w.v[1], "'b c'");
    assert_string_equal(w.v[2], "d=\"e f\"");
}

static void test_ini_takes_the_last_value(void **state)
{
    auto_free char *v = NULL;

    assert_ok(
        text_ini_get("x=0\n[a]\nx = 1\n;x=5\n[b]\nx=9\n[a]\nx=2\n", "a", "x", &v, e));
    assert_string_equal(v, "2");
}

static void test_a_word_is_not_part_of_another(void **state)
{
    assert_true(text_has_word("NEW,ESTABLISHED", "NEW"));
    assert_false(text_has_word("RENEWED", "NEW"));
    assert_false(text_has_word("centos-like", "centos"));
}

/* ---- shell variables ---- */

static void check_value(const char *text, const char *want)
{
    auto_free char *v = NULL;

    assert_ok(shvar_get(text, "A", &v, e));
    if (want)
        assert_string_equal(v, want);
    else
        assert_null(v);
}

static void test_values_are_unquoted_as_sh_does(void **state)
{
    check_value("A=b c", "b");
    check_value("A=\"b c\"", "b c");
    check_value("A='b \"c'", "b \"c");
    check_value("A=\"b\\\"c\\n\"", "b\"c\\n");
    check_value("export A=1", "1");
    check_value("  A=1 # x", "1");
}

static void test_the_last_assignment_counts(void **state)
{
    check_value("A=1\n#A=2\nAB=3\nA=4\n", "4");
    check_value("AB=3\n", NULL);
}

static void test_setting_replaces_in_place(void **state)
{
    auto_buf struct buf b = BUF_INIT;
    auto_free char *v = NULL;

    assert_ok(shvar_set("X=1\nA=old # gone\nY=2\n", "A", "a \"$b\"", &b, e));
    assert_string_equal(buf_str(&b), "X=1\nA=\"a \\\"\\$b\\\"\"\nY=2\n");
    assert_ok(shvar_get(buf_str(&b), "A", &v, e));
    assert_string_equal(v, "a \"$b\"");
}

static void test_setting_appends_what_is_absent(void **state)
{
    auto_buf struct buf b = BUF_INIT;

    assert_ok(shvar_set("X=1", "A", "2", &b, e));
    assert_string_equal(buf_str(&b), "X=1\nA=\"2\"\n");
}

/* ---- fstab ---- */

static const char fstab_text[] = "# comment\n"
                                 "/dev/sda1\t/ ext4   errors=remount-ro 0 1\n"
                                 "\n"
                                 "UUID=x /boot ext2 defaults 0 2\n"
                                 "/dev/sdb1 /srv/my\\040data ext4\n";

static void test_fstab_fields(void **state)
{
    auto_fstab struct fstab t = {0};

    assert_ok(fstab_parse(fstab_text, &t, e));
    assert_int_equal(t.n, 3);
    assert_string_equal(t.v[0].spec, "/dev/sda1");
    assert_int_equal(t.v[0].number, 2);
    assert_true(fstab_has_option(&t.v[0], "errors"));
    assert_false(fstab_has_option(&t.v[0], "error"));
    assert_string_equal(t.v[2].mountpoint, "/srv/my data");
    assert_string_equal(t.v[2].options, "defaults");
}

static void test_fstab_changes_only_the_fields_asked(void **state)
{
    const struct fstab_change c[] = {{.number = 2, .spec = "UUID=r"},
                                     {.number = 5, .add_options = "nofail"}};
    auto_buf struct buf b = BUF_INIT;

    assert_ok(fstab_rewrite(fstab_text, c, 2, &b, e));
    assert_string_equal(buf_str(&b), "# comment\n"
                                     "UUID=r\t/ ext4   errors=remount-ro 0 1\n"
                                     "\n"
                                     "UUID=x /boot ext2 defaults 0 2\n"
                                     "/dev/sdb1 /srv/my\\040data ext4 defaults,nofail\n");
}

static void test_fstab_options_are_added_to_others(void **state)
{
    const struct fstab_change c = {.number = 1, .add_options = "nofail"};
    auto_buf struct buf b = BUF_INIT;

    assert_ok(fstab_rewrite("/dev/sdz1 /x ext4 ro 0 0", &c, 1, &b, e));
    assert_string_equal(buf_str(&b), "/dev/sdz1 /x ext4 ro,nofail 0 0");
}

static void check_device(const char *spec, int naming, uint32_t disk, uint32_t partition)
{
    uint32_t d = 99, p = 99;

    assert_int_equal(device_name(spec, &d, &p), naming);
    if (naming == DEVICE_BY_ORDER) {
        assert_int_equal(d, disk);
        assert_int_equal(p, partition);
    }
}

static void test_device_names(void **state)
{
    check_device("/dev/sda1", DEVICE_BY_ORDER, 0, 1);
    check_device("/dev/vdb", DEVICE_BY_ORDER, 1, 0);
    check_device("/dev/sdaa15", DEVICE_BY_ORDER, 26, 15);
    check_device("/dev/xvda1", DEVICE_BY_ORDER, 0, 1);
    check_device("/dev/nvme1n1p3", DEVICE_BY_ORDER, 1, 3);
    check_device("/dev/nvme0n1", DEVICE_BY_ORDER, 0, 0);
    check_device("/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:1:0-part1",
                 DEVICE_BY_HARDWARE, 0, 0);
    check_device("/dev/sda1x", DEVICE_STABLE, 0, 0);
    check_device("/dev/sda0", DEVICE_STABLE, 0, 0);
    check_device("/dev/mapper/vg-root", DEVICE_STABLE, 0, 0);
    check_device("/dev/sdata/lv", DEVICE_STABLE, 0, 0);
    check_device("UUID=1", DEVICE_STABLE, 0, 0);
}

/* ---- kernel command lines ---- */

static int to_uuid(void *ctx, const char *spec, char **ret, struct err *e)
{
    *ret = str_starts(spec, "/dev/sda") ? str_dup("UUID=r", e) : NULL;
    return 0;
}

static void check_args(const char *args, const struct cmdline_want *want, const char *out)
{
    auto_buf struct buf b = BUF_INIT, twice = BUF_INIT;

    assert_ok(cmdline_apply(args, want, &b, e));
    assert_string_equal(buf_str(&b), out);
    assert_ok(cmdline_apply(buf_str(&b), want, &twice, e));
    assert_string_equal(buf_str(&twice), out);
}

static void test_console_is_added_once(void **state)
{
    const struct cmdline_want want = {.serial_console = true};

    check_args("ro quiet", &want, "ro quiet console=tty0 console=ttyS0,115200n8");
    check_args("console=ttyS0,9600", &want, "console=ttyS0,9600");
    check_args("console=tty1", &want, "console=tty1 console=ttyS0,115200n8");
    check_args("console=ttyS01", &want, "console=ttyS01 console=ttyS0,115200n8");
}

static void test_a_timeout_that_is_set_stays(void **state)
{
    const struct cmdline_want want = {.nvme_timeout = "nvme_core.io_timeout=4294967295"};

    check_args("nvme-core.io_timeout=60", &want, "nvme-core.io_timeout=60");
    check_args("", &want, "nvme_core.io_timeout=4294967295");
}

static void test_root_and_resume_are_renamed(void **state)
{
    const struct cmdline_map map = {to_uuid, NULL};
    const struct cmdline_want want = {.map = &map, .eth_names = true};

    check_args("root=/dev/sda1 resume=/dev/sdb2 x=\"a b\"", &want,
               "root=UUID=r resume=/dev/sdb2 x=\"a b\" net.ifnames=0 biosdevname=0");
}

static void test_an_open_quote_is_refused(void **state)
{
    const struct cmdline_want want = {.serial_console = true};
    auto_buf struct buf b = BUF_INIT;

    assert_fails(cmdline_apply("ro x='y", &want, &b, e), ERR_UNSUPPORTED, "open quote");
}

static void test_last_value_of_a_parameter(void **state)
{
    auto_free char *v = NULL, *none = NULL;

    assert_ok(cmdline_get("console=a console=b quiet", "console", &v, e));
    assert_string_equal(v, "b");
    assert_ok(cmdline_get("consoles=a", "console", &none, e));
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_may_end_in_any_way),
        cmocka_unit_test(test_continued_lines_are_joined),
        cmocka_unit_test(test_quotes_keep_words_together),
        cmocka_unit_test(test_ini_takes_the_last_value),
        cmocka_unit_test(test_a_word_is_not_part_of_another),
        cmocka_unit_test(test_values_are_unquoted_as_sh_does),
        cmocka_unit_test(test_the_last_assignment_counts),
        cmocka_unit_test(test_setting_replaces_in_place),
        cmocka_unit_test(test_setting_appends_what_is_absent),
        cmocka_unit_test(test_fstab_fields),
        cmocka_unit_test(test_fstab_changes_only_the_fields_asked),
        cmocka_unit_test(test_fstab_options_are_added_to_others),
        cmocka_unit_test(test_device_names),
        cmocka_unit_test(test_console_is_added_once),
        cmocka_unit_test(test_a_timeout_that_is_set_stays),
        cmocka_unit_test(test_root_and_resume_are_renamed),
        cmocka_unit_test(test_an_open_quote_is_refused),
        cmocka_unit_test(test_last_value_of_a_parameter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
