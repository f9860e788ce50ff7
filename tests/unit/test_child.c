#include "test.h"

#include "base/child.h"
#include "base/clock.h"

static void test_output_is_captured(void **state)
{
    const char *const argv[] = {"sh", "-c", "printf hello; printf bad >&2", NULL};
    auto_buf struct buf out = BUF_INIT;

    assert_ok(child_run(argv, 1000, &out, NULL, 10 * NS_PER_S, e));
    assert_string_equal(buf_str(&out), "hello");
}

static void test_failure_quotes_stderr(void **state)
{
    const char *const argv[] = {"sh", "-c", "echo why >&2; exit 3", NULL};
    auto_buf struct buf out = BUF_INIT;

    assert_fails(child_run(argv, 1000, &out, NULL, 10 * NS_PER_S, e), ERR_FAILED,
                 "sh: exit 3: why");
}

static void test_too_much_output_is_refused(void **state)
{
    const char *const argv[] = {"sh", "-c", "head -c 100000 /dev/zero", NULL};
    auto_buf struct buf out = BUF_INIT;

    assert_fails(child_run(argv, 1000, &out, NULL, 10 * NS_PER_S, e), ERR_INPUT,
                 "more than 1000 bytes");
}

static void test_deadline_ends_it(void **state)
{
    const char *const argv[] = {"sleep", "60", NULL};
    auto_buf struct buf out = BUF_INIT;

    assert_fails(child_run(argv, 1000, &out, NULL, NS_PER_S / 10, e), ERR_TIMEOUT,
                 "did not end");
}

static void test_missing_program_is_named(void **state)
{
    const char *const argv[] = {"no-such-program-here", NULL};
    auto_buf struct buf out = BUF_INIT;

    assert_fails(child_run(argv, 1000, &out, NULL, NS_PER_S, e), ERR_SYS,
                 "no-such-program-here");
}

static void test_descriptors_are_handed_over(void **state)
{
    const char *const argv[] = {"sh", "-c", "cat <&3", NULL};
    struct child c = CHILD_INIT;
    auto_buf struct buf out = BUF_INIT;
    int p[2], status;

    assert_int_equal(pipe(p), 0);
    assert_int_equal(write(p[1], "via 3", 5), 5);
    close(p[1]);
    struct child_spec spec = {
        .argv = argv, .in = CHILD_NULL, .out = CHILD_PIPE, .fds = p, .n_fds = 1};
    assert_ok(child_spawn(&spec, &c, e));
    close(p[0]);
    assert_int_equal(read(c.stdout_fd, (buf_adds(&out, "12345"), out.data), 5), 5);
    assert_string_equal(out.data, "via 3");
    assert_ok(child_wait(&c, 5 * NS_PER_S, NULL, &status, e));
    assert_int_equal(status, 0);
    child_stop(&c, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_is_captured),
        cmocka_unit_test(test_failure_quotes_stderr),
        cmocka_unit_test(test_too_much_output_is_refused),
        cmocka_unit_test(test_deadline_ends_it),
        cmocka_unit_test(test_missing_program_is_named),
        cmocka_unit_test(test_descriptors_are_handed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
