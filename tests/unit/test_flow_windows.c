/* Following a first boot on a console that forgets its beginning; names of images. */
#include "test.h"

#include "base/str.h"
#include "flow/windows.h"

static void lines_are_found_among_others(void **state)
{
    static const char text[] = "SeaBIOS\r\nhotadd: first-boot: start 1\r\n"
                               "<0>noise hotadd: first-boot: step 1 of 2: dhcp \r\n\r\n"
                               "hotadd: first-boot: \033[2Jfinished: ok\n"
                               "hotadd: first-boot: finished: o";
    auto_strv struct strv lines = {0};

    assert_ok(first_boot_lines(text, sizeof text - 1, &lines, e));
    assert_int_equal(lines.n, 3);
    assert_string_equal(lines.v[0], "start 1");
    assert_string_equal(lines.v[1], "step 1 of 2: dhcp ");
    assert_string_equal(lines.v[2], "?[2Jfinished: ok");
}

static void put(struct strv *v, const char *letters)
{
    strv_release(v);
    for (; *letters; letters++)
        assert_ok(strv_add_n(v, letters, 1, e));
}

static void only_new_lines_are_told(void **state)
{
    static const struct {
        const char *before, *now;
        size_t known;
    } cases[] = {{"", "abc", 0},      {"abc", "abc", 3}, {"abc", "abcd", 3},
                 {"abc", "bcd", 2},   {"abc", "xyz", 0}, {"abab", "ababab", 4},
                 {"abcd", "cdcd", 2}, {"abc", "", 0}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        auto_strv struct strv before = {0}, now = {0};

        put(&before, cases[i].before);
        put(&now, cases[i].now);
        assert_int_equal(first_boot_known(&before, &now), cases[i].known);
    }
}

static void versions_are_named_as_amazon_does(void **state)
{
    assert_string_equal(windows_image_version("Windows Server 2012 R2 Datacenter"),
                        "2012-R2");
    assert_string_equal(windows_image_version("Windows Server 2019 Standard"), "2019");
    assert_null(windows_image_version("Windows Server 2012 Standard"));
    assert_null(windows_image_version("?"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_found_among_others),
        cmocka_unit_test(only_new_lines_are_told),
        cmocka_unit_test(versions_are_named_as_amazon_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
