#include "test.h"

#include "aws_env.h"

#include "aws/wait.h"
#include "base/clock.h"

#define ANSWER(action, inside) "<" action "Response>" inside "</" action "Response>"
#define VOLUME(state, attachments)                                                       \
    {                                                                                    \
        .status = 200,                                                                   \
        .body = ANSWER("DescribeVolumes",                                                \
                       "<volumeSet><item><volumeId>vol-1</volumeId><status>" state       \
                       "</status><attachmentSet>" attachments                            \
                       "</attachmentSet></item></volumeSet>")                            \
    }
#define AT(instance, state)                                                              \
    "<item><instanceId>" instance "</instanceId><status>" state "</status></item>"
#define INSTANCE(state, more)                                                            \
    {                                                                                    \
        .status = 200,                                                                   \
        .body = ANSWER("DescribeInstances",                                              \
                       "<reservationSet><item><instancesSet><item><instanceId>i-1"       \
                       "</instanceId><instanceState><name>" state                        \
                       "</name></instanceState>" more                                    \
                       "</item></instancesSet></item></reservationSet>")                 \
    }
#define STATUS(state, instance, host)                                                    \
    {                                                                                    \
        .status = 200,                                                                   \
        .body = ANSWER("DescribeInstanceStatus",                                         \
                       "<instanceStatusSet><item><instanceId>i-1</instanceId>"           \
                       "<instanceState><name>" state "</name></instanceState>"           \
                       "<instanceStatus><status>" instance "</status></instanceStatus>"  \
                       "<systemStatus><status>" host "</status></systemStatus>"          \
                       "</item></instanceStatusSet>")                                    \
    }
#define SNAPSHOT(state, progress)                                                        \
    {                                                                                    \
        .status = 200,                                                                   \
        .body =                                                                          \
            ANSWER("DescribeSnapshots",                                                  \
                   "<snapshotSet><item><snapshotId>snap-1</snapshotId><status>" state    \
                   "</status><volumeSize>100</volumeSize><progress>" progress            \
                   "</progress></item></snapshotSet>")                                   \
    }
#define EC2_ERROR(http, code)                                                            \
    {                                                                                    \
        .status = http, .body =                                                          \
                            "<Response><Errors><Error><Code>" code                       \
                            "</Code><Message>m</Message></Error></Errors></Response>"    \
    }

static const struct wait_options quick = {
    .timeout_ns = 5 * NS_PER_S, .first_ns = NS_PER_MS, .max_ns = 2 * NS_PER_MS};
static const struct wait_options brief = {
    .timeout_ns = 50 * NS_PER_MS, .first_ns = NS_PER_MS, .max_ns = 2 * NS_PER_MS};

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

static void test_volume_not_yet_visible_then_available(void **state)
{
    struct ec2_volume v = {0};
    START(EC2_ERROR(400, "InvalidVolume.NotFound"), VOLUME("creating", ""),
          VOLUME("available", ""));

    assert_ok(ec2_wait_volume_available(f.aws, "vol-1", &quick, &v, e));
    assert_string_equal(v.state, "available");
    assert_int_equal(fake_http_count(f.fake), 3);
    ec2_volume_release(&v);
    stop(&f);
}

static void test_volume_that_never_appears(void **state)
{
    START(EC2_ERROR(400, "InvalidVolume.NotFound"));

    assert_fails(ec2_wait_volume_available(f.aws, "vol-1", &quick, NULL, e),
                 ERR_NOT_FOUND, "waiting for volume vol-1 to become available");
    stop(&f);
}

static void test_volume_in_error_ends_at_once(void **state)
{
    START(VOLUME("creating", ""), VOLUME("error", ""));

    assert_fails(ec2_wait_volume_available(f.aws, "vol-1", &quick, NULL, e), ERR_CLOUD,
                 "state error");
    assert_int_equal(fake_http_count(f.fake), 2);
    stop(&f);
}

static void test_deadline_says_what_was_seen_last(void **state)
{
    START(VOLUME("creating", ""));

    assert_fails(ec2_wait_volume_available(f.aws, "vol-1", &brief, NULL, e), ERR_TIMEOUT,
                 "last seen: creating");
    stop(&f);
}

static void test_deleted_volume_is_waited_for(void **state)
{
    START(VOLUME("deleting", ""), EC2_ERROR(400, "InvalidVolume.NotFound"));

    assert_ok(ec2_wait_volume_deleted(f.aws, "vol-1", &quick, e));
    stop(&f);
}

static void test_attachment_is_waited_for(void **state)
{
    START(VOLUME("available", ""), VOLUME("in-use", AT("i-1", "attaching")),
          VOLUME("in-use", AT("i-1", "attached")));

    assert_ok(ec2_wait_attached(f.aws, "vol-1", "i-1", &quick, e));
    assert_int_equal(fake_http_count(f.fake), 3);
    stop(&f);
}

static void test_attachment_to_another_does_not_count(void **state)
{
    START(VOLUME("in-use", AT("i-2", "attached")));

    assert_fails(ec2_wait_attached(f.aws, "vol-1", "i-1", &brief, e), ERR_TIMEOUT,
                 "attachment not there");
    stop(&f);
}

static void test_detachment_is_waited_for(void **state)
{
    START(VOLUME("in-use", AT("i-1", "detaching")),
          VOLUME("in-use", AT("i-2", "attached")));

    assert_ok(ec2_wait_detached(f.aws, "vol-1", "i-1", &quick, e));
    stop(&f);
}

static void test_busy_volume_is_explained(void **state)
{
    START(VOLUME("in-use", AT("i-1", "busy")));

    assert_fails(ec2_wait_detached(f.aws, "vol-1", "i-1", &brief, e), ERR_BUSY,
                 "still has vol-1 open");
    stop(&f);
}

struct seen {
    uint64_t done[10];
    size_t n;
};

static void see(void *ctx, const struct progress_state *p)
{
    struct seen *s = ctx;

    if (s->n < 10)
        s->done[s->n++] = p->done_bytes;
}

static void test_snapshot_tells_its_progress(void **state)
{
    struct seen seen = {0};
    struct progress progress = {.report = see, .ctx = &seen};
    struct wait_options o = quick;
    START(SNAPSHOT("pending", ""), SNAPSHOT("pending", "45%"),
          SNAPSHOT("completed", "100%"));

    o.progress = &progress;
    assert_ok(ec2_wait_snapshot_completed(f.aws, "snap-1", &o, NULL, e));
    assert_int_equal(seen.n, 2);
    assert_int_equal(seen.done[0], 45ull << 30);
    assert_int_equal(seen.done[1], 100ull << 30);
    stop(&f);
}

static void test_snapshot_in_error(void **state)
{
    START(SNAPSHOT("error", "10%"));

    assert_fails(ec2_wait_snapshot_completed(f.aws, "snap-1", &quick, NULL, e), ERR_CLOUD,
                 "snapshot snap-1 failed");
    stop(&f);
}

static void test_image_failing_says_why(void **state)
{
    START({.status = 200,
           .body = ANSWER("DescribeImages",
                          "<imagesSet><item><imageId>ami-1</imageId><imageState>failed"
                          "</imageState><stateReason><message>bad snapshot</message>"
                          "</stateReason></item></imagesSet>")});

    assert_fails(ec2_wait_image_available(f.aws, "ami-1", &quick, NULL, e), ERR_CLOUD,
                 "bad snapshot");
    stop(&f);
}

static void test_instance_runs(void **state)
{
    struct ec2_instance i = {0};
    START(EC2_ERROR(400, "InvalidInstanceID.NotFound"), INSTANCE("pending", ""),
          INSTANCE("running", "<privateIpAddress>10.0.0.1</privateIpAddress>"));

    assert_ok(ec2_wait_instance_running(f.aws, "i-1", &quick, &i, e));
    assert_string_equal(i.private_ip, "10.0.0.1");
    ec2_instance_release(&i);
    stop(&f);
}

static void test_instance_that_dies_says_why(void **state)
{
    START(INSTANCE("pending", ""),
          INSTANCE("terminated", "<stateReason><code>Client.InvalidKMSKey</code><message>"
                                 "no such key</message></stateReason>"));

    assert_fails(ec2_wait_instance_running(f.aws, "i-1", &quick, NULL, e), ERR_CLOUD,
                 "is terminated instead: Client.InvalidKMSKey no such key");
    stop(&f);
}

static void test_instance_stops_and_terminates(void **state)
{
    START(INSTANCE("stopping", ""), INSTANCE("stopped", ""),
          INSTANCE("shutting-down", ""), EC2_ERROR(400, "InvalidInstanceID.NotFound"));

    assert_ok(ec2_wait_instance_stopped(f.aws, "i-1", &quick, NULL, e));
    assert_ok(ec2_wait_instance_terminated(f.aws, "i-1", &quick, e));
    stop(&f);
}

static void test_status_checks(void **state)
{
    START(STATUS("running", "initializing", "ok"), STATUS("running", "ok", "ok"),
          STATUS("stopped", "not-applicable", "not-applicable"));

    assert_ok(ec2_wait_instance_status_ok(f.aws, "i-1", &quick, e));
    assert_fails(ec2_wait_instance_status_ok(f.aws, "i-1", &quick, e), ERR_CLOUD,
                 "console output");
    stop(&f);
}

static void test_passing_trouble_is_waited_out(void **state)
{
    const struct fake_answer answers[] = {
        EC2_ERROR(500, "InternalError"), EC2_ERROR(500, "InternalError"),
        EC2_ERROR(500, "InternalError"), EC2_ERROR(500, "InternalError"),
        EC2_ERROR(500, "InternalError"), EC2_ERROR(500, "InternalError"),
        EC2_ERROR(500, "InternalError"), EC2_ERROR(500, "InternalError"),
        VOLUME("available", "")};
    struct fixture f;

    /* More failures than one call is repeated for. */
    start(&f, answers, 9);
    assert_ok(ec2_wait_volume_available(f.aws, "vol-1", &quick, NULL, e));
    stop(&f);
}

static void test_denied_ends_at_once(void **state)
{
    START(EC2_ERROR(403, "UnauthorizedOperation"));

    assert_fails(ec2_wait_volume_available(f.aws, "vol-1", &quick, NULL, e), ERR_DENIED,
                 "allow ec2:DescribeVolumes");
    assert_int_equal(fake_http_count(f.fake), 1);
    stop(&f);
}

/* ---- The generic waiter ---- */

static int never(struct aws *aws, void *ctx, enum wait_state *ret, char *seen,
                 size_t seen_len, struct err *e)
{
    cancel_request(ctx);
    return 0;
}

static void test_cancellation_ends_a_wait(void **state)
{
    struct cancel cancel;
    struct aws_options o = aws_env_options(NULL);
    struct aws *aws = NULL;

    assert_ok(cancel_init(&cancel, e));
    o.cancel = &cancel;
    aws_env_keys();
    assert_ok(aws_new(&o, &aws, e));
    assert_fails(aws_wait(aws, "the end of the world", never, &cancel, NULL, e),
                 ERR_CANCELLED, "waiting for the end of the world");
    aws_free(aws);
    cancel_release(&cancel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, aws_env_setup, aws_env_teardown)
        T(test_volume_not_yet_visible_then_available),
        T(test_volume_that_never_appears),
        T(test_volume_in_error_ends_at_once),
        T(test_deadline_says_what_was_seen_last),
        T(test_deleted_volume_is_waited_for),
        T(test_attachment_is_waited_for),
        T(test_attachment_to_another_does_not_count),
        T(test_detachment_is_waited_for),
        T(test_busy_volume_is_explained),
        T(test_snapshot_tells_its_progress),
        T(test_snapshot_in_error),
        T(test_image_failing_says_why),
        T(test_instance_runs),
        T(test_instance_that_dies_says_why),
        T(test_instance_stops_and_terminates),
        T(test_status_checks),
        T(test_passing_trouble_is_waited_out),
        T(test_denied_ends_at_once),
        T(test_cancellation_ends_a_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
