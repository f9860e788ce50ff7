#include "test.h"

#include "base/buf.h"

static void test_grows_and_terminates(void **state)
{
    auto_buf struct buf b = BUF_INIT;

    for (int i = 0; i < 1000; i++)
        buf_addf(&b, "%d,", i);
    assert_ok(buf_check(&b, e));
    assert_int_equal(b.len, strlen(b.data));
    assert_true(strstr(b.data, ",999,") != NULL);
}

static void test_take_of_empty_is_a_string(void **state)
{
    struct buf b = BUF_INIT;
    char *s = NULL;

    assert_ok(buf_take(&b, &s, e));
    assert_string_equal(s, "");
    free(s);
}

static void test_impossible_size_is_remembered(void **state)
{
    auto_buf struct buf b = BUF_INIT;

    assert_fails(buf_reserve(&b, SIZE_MAX - 1, e), ERR_NOMEM, "out of memory");
    buf_adds(&b, "lost");
    assert_fails(buf_check(&b, e), ERR_NOMEM, "");
    assert_string_equal(buf_str(&b), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_and_terminates),
        cmocka_unit_test(test_take_of_empty_is_a_string),
        cmocka_unit_test(test_impossible_size_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
