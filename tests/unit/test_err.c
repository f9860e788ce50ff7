#include "test.h"

#include <errno.h>

static void test_message_is_one_clean_line(void **state)
{
    struct err e = ERR_INIT;

    assert_int_equal(err_set(&e, ERR_INPUT, "name\n\x1b[31m%s", "x"), -1);
    assert_string_equal(e.msg, "name  [31mx");
}

static void test_sys_takes_errno_and_kind(void **state)
{
    struct err e = ERR_INIT;

    errno = ENOSPC;
    assert_int_equal(err_sys(&e, "%s", "/x"), -1);
    assert_int_equal(e.kind, ERR_NOSPACE);
    assert_int_equal(e.sys_errno, ENOSPC);
    assert_string_equal(e.msg,
                        "/x: No space left on device (free some there, then try again)");
    assert_int_equal(err_sys_n(&e, EMFILE, "%s", "/x"), -1);
    assert_string_equal(e.msg,
                        "/x: Too many open files (raise the limit with ulimit -n)");
}

static void test_prefix_keeps_kind_and_codes(void **state)
{
    struct err e = ERR_INIT;

    err_set(&e, ERR_DENIED, "no");
    memcpy(e.aws_code, "AuthFailure", 12);
    err_prefix(&e, "volume %d", 3);
    assert_string_equal(e.msg, "volume 3: no");
    assert_int_equal(e.kind, ERR_DENIED);
    assert_string_equal(e.aws_code, "AuthFailure");
}

static void test_long_chains_stay_inside(void **state)
{
    struct err e = ERR_INIT;
    char big[3000];

    memset(big, 'a', sizeof big - 1);
    big[sizeof big - 1] = 0;
    err_set(&e, ERR_FAILED, "%s", big);
    for (int i = 0; i < 10; i++)
        err_prefix(&e, "%s", big);
    assert_true(strlen(e.msg) < sizeof e.msg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_is_one_clean_line),
        cmocka_unit_test(test_sys_takes_errno_and_kind),
        cmocka_unit_test(test_prefix_keeps_kind_and_codes),
        cmocka_unit_test(test_long_chains_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
