/* Snapshots of instances, groups and screenshots: what becomes of a lost answer, and of
 * bytes that are another's. */
#include "test.h"

#include "aws_env.h"

#include "aws/ec2.h"
#include "base/str.h"

#define SET(action, body)                                                                \
    "<" action "Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">" body       \
    "</" action "Response>"
#define NONE SET("DescribeSnapshots", "<snapshotSet/>")
#define ONE(id, volume)                                                                  \
    "<item><snapshotId>" id "</snapshotId><volumeId>" volume                             \
    "</volumeId><status>pending</status><volumeSize>1</volumeSize></item>"
#define BOTH                                                                             \
    SET("DescribeSnapshots",                                                             \
        "<snapshotSet>" ONE("snap-1", "vol-1") ONE("snap-2", "vol-2") "</snapshotSet>")
#define FIRST                                                                            \
    SET("DescribeSnapshots", "<snapshotSet>" ONE("snap-1", "vol-1") "</snapshotSet>")
#define MADE                                                                             \
    SET("CreateSnapshots",                                                               \
        "<snapshotSet>" ONE("snap-1", "vol-1") ONE("snap-2", "vol-2") "</snapshotSet>")
#define EC2_ERROR(code)                                                                  \
    "<Response><Errors><Error><Code>" code "</Code><Message>m</Message></Error>"         \
    "</Errors></Response>"

struct fixture {
    struct fake_script script;
    struct fake_http *fake;
    struct aws *aws;
};

static void start(struct fixture *f, const struct fake_answer *answers, size_t n)
{
    f->script = (struct fake_script){answers, n};
    f->fake = fake_http_start(fake_script_handler, &f->script, NULL, NULL);
    f->aws = aws_env_client(f->fake);
}

static void stop(struct fixture *f)
{
    aws_free(f->aws);
    fake_http_stop(f->fake);
}

#define START(...)                                                                       \
    const struct fake_answer answers[] = {__VA_ARGS__};                                  \
    struct fixture f;                                                                    \
    start(&f, answers, sizeof answers / sizeof answers[0])

static const struct ec2_create_snapshots_in in = {.instance_id = "i-1",
                                                  .client_token = "token-1"};

static size_t creates(struct fixture *f)
{
    size_t n = 0;

    for (size_t i = 0; i < fake_http_count(f->fake); i++) {
        const char *action = fake_form(fake_http_request(f->fake, i), "Action");

        n += action && str_eq(action, "CreateSnapshots");
    }
    return n;
}

static void test_all_snapshots_are_waited_for(void **state)
{
    struct ec2_snapshots made = {0};
    START({.status = 200, .body = NONE}, {.status = 200, .body = MADE},
          {.status = 200, .body = FIRST}, {.status = 200, .body = FIRST},
          {.status = 200, .body = BOTH});

    assert_ok(ec2_create_snapshots(f.aws, &in, &made, e));
    assert_int_equal(made.n, 2);
    assert_string_equal(made.v[1].volume_id, "vol-2");
    assert_int_equal(creates(&f), 1);
    assert_string_equal(
        fake_form(fake_http_request(f.fake, 1), "TagSpecification.1.Tag.1.Value"),
        "token-1");
    ec2_snapshots_release(&made);
    stop(&f);
}

static void test_a_lost_answer_makes_them_once(void **state)
{
    struct ec2_snapshots made = {0};
    START({.status = 200, .body = NONE}, {.status = 0}, {.status = 200, .body = BOTH});

    assert_ok(ec2_create_snapshots(f.aws, &in, &made, e));
    assert_int_equal(made.n, 2);
    assert_int_equal(creates(&f), 1);
    ec2_snapshots_release(&made);
    stop(&f);
}

static void test_the_same_token_makes_none_again(void **state)
{
    struct ec2_snapshots made = {0};
    START({.status = 200, .body = BOTH});

    assert_ok(ec2_create_snapshots(f.aws, &in, &made, e));
    assert_int_equal(made.n, 2);
    assert_int_equal(creates(&f), 0);
    ec2_snapshots_release(&made);
    stop(&f);
}

static void test_a_refusal_makes_none(void **state)
{
    struct ec2_snapshots made = {0};
    START({.status = 200, .body = NONE},
          {.status = 403, .body = EC2_ERROR("UnauthorizedOperation")});

    assert_fails(ec2_create_snapshots(f.aws, &in, &made, e), ERR_DENIED,
                 "ec2:CreateSnapshots");
    assert_int_equal(creates(&f), 1);
    assert_int_equal(made.n, 0);
    stop(&f);
}

static void test_a_rule_that_is_not_there_is_revoked(void **state)
{
    START({.status = 200,
           .body = SET("RevokeSecurityGroupEgress", "<return>true</return>")},
          {.status = 400, .body = EC2_ERROR("InvalidPermission.NotFound")});

    assert_ok(ec2_revoke_default_egress(f.aws, "sg-1", e));
    assert_string_equal(
        fake_form(fake_http_request(f.fake, 0), "IpPermissions.1.IpRanges.1.CidrIp"),
        "0.0.0.0/0");
    assert_string_equal(
        fake_form(fake_http_request(f.fake, 1), "IpPermissions.1.Ipv6Ranges.1.CidrIpv6"),
        "::/0");
    stop(&f);
}

static void test_a_screenshot_is_decoded(void **state)
{
    auto_buf struct buf image = BUF_INIT;
    START({.status = 200,
           .body = SET("GetConsoleScreenshot", "<instanceId>i-1</instanceId><imageData>"
                                               "/9j/4AAQ</imageData>")},
          {.status = 200,
           .body = SET("GetConsoleScreenshot", "<imageData>(not)</imageData>")});

    assert_ok(ec2_get_console_screenshot(f.aws, "i-1", &image, e));
    assert_int_equal(image.len, 6);
    assert_memory_equal(image.data, "\xff\xd8\xff\xe0\x00\x10", 6);
    assert_fails(ec2_get_console_screenshot(f.aws, "i-1", &image, e), ERR_INPUT,
                 "GetConsoleScreenshot: i-1");
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_snapshots_are_waited_for),
        cmocka_unit_test(test_a_lost_answer_makes_them_once),
        cmocka_unit_test(test_the_same_token_makes_none_again),
        cmocka_unit_test(test_a_refusal_makes_none),
        cmocka_unit_test(test_a_rule_that_is_not_there_is_revoked),
        cmocka_unit_test(test_a_screenshot_is_decoded),
    };

    return cmocka_run_group_tests(tests, aws_env_setup, aws_env_teardown);
}
