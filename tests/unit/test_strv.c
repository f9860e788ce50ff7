#include "test.h"

#include "base/strv.h"

static void test_adding_copies(void **state)
{
    auto_strv struct strv v = {0};
    char text[] = "abc";

    assert_ok(strv_add(&v, text, e));
    text[0] = 'x';
    assert_string_equal(v.v[0], "abc");
}

static void test_add_once_leaves_out_what_is_there(void **state)
{
    auto_strv struct strv v = {0};

    assert_ok(strv_add_once(&v, "a", e));
    assert_ok(strv_add_once(&v, "a", e));
    assert_ok(strv_addf(&v, e, "%s%d", "a", 1));
    assert_int_equal(v.n, 2);
    assert_true(strv_has(&v, "a1"));
    assert_false(strv_has(&v, "b"));
}

static void test_sorting_and_joining(void **state)
{
    auto_strv struct strv v = {0};
    auto_free char *s = NULL;

    assert_ok(strv_add(&v, "b", e));
    assert_ok(strv_add_n(&v, "abc", 1, e));
    strv_sort(&v);
    assert_ok(strv_join(&v, ", ", &s, e));
    assert_string_equal(s, "a, b");
}

static void test_joining_nothing_gives_an_empty_string(void **state)
{
    auto_strv struct strv v = {0};
    auto_free char *s = NULL;

    strv_sort(&v);
    assert_ok(strv_join(&v, ",", &s, e));
    assert_string_equal(s, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adding_copies),
        cmocka_unit_test(test_add_once_leaves_out_what_is_there),
        cmocka_unit_test(test_sorting_and_joining),
        cmocka_unit_test(test_joining_nothing_gives_an_empty_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
