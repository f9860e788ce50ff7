/* What is tried again, what is not, and what an error says in the end. */
#include "test.h"

#include "aws_env.h"

#include "aws/client.h"
#include "aws/ec2.h"
#include "aws/fault.h"
#include "aws/retry.h"
#include "base/clock.h"

#include <pthread.h>
#include <time.h>

#define OK_VOLUMES                                                                       \
    "<DescribeVolumesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">"       \
    "<requestId>r-ok</requestId><volumeSet/></DescribeVolumesResponse>"
#define OK_VOLUME                                                                        \
    "<CreateVolumeResponse><volumeId>vol-1</volumeId><status>creating</status>"          \
    "</CreateVolumeResponse>"
#define EC2_ERROR(code, message)                                                         \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>" code   \
    "</Code><Message>" message "</Message></Error></Errors><RequestID>req-1</RequestID>" \
    "</Response>"

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

static int describe(struct aws *aws, struct err *e)
{
    struct ec2_volumes v;

    if (ec2_describe_volumes(aws, NULL, &v, e) < 0)
        return -1;
    ec2_volumes_release(&v);
    return 0;
}

static const struct ec2_create_volume_in new_volume = {
    .zone = "eu-west-1a", .type = "gp3", .size_gib = 8, .client_token = "token-1"};

#define START(...)                                                                       \
    const struct fake_answer answers[] = {__VA_ARGS__};                                  \
    struct fixture f;                                                                    \
    start(&f, answers, sizeof answers / sizeof answers[0])

static void test_passing_trouble_is_waited_out(void **state)
{
    START({.status = 500, .body = EC2_ERROR("InternalError", "oops")},
          {.status = 503, .body = "<html>busy</html>"},
          {.status = 503, .body = EC2_ERROR("RequestLimitExceeded", "slow down")},
          {.status = 400, .body = EC2_ERROR("Throttling.User", "slower")}, {.status = 0},
          {.status = 200, .body = "<DescribeVolumesResponse><volumeSet>"},
          {.status = 200, .body = OK_VOLUMES});

    assert_ok(describe(f.aws, e));
    assert_int_equal(fake_http_count(f.fake), 7);
    stop(&f);
}

static void test_trouble_that_stays_is_reported(void **state)
{
    struct err e = ERR_INIT;
    START({.status = 500, .body = EC2_ERROR("InternalError", "oops")});

    assert_int_equal(describe(f.aws, &e), -1);
    assert_int_equal(fake_http_count(f.fake), 8);
    assert_int_equal(e.kind, ERR_CLOUD);
    assert_true(e.retryable);
    assert_string_equal(e.aws_code, "InternalError");
    assert_string_equal(e.request_id, "req-1");
    stop(&f);
}

static void test_throttling_is_waited_for_until_the_deadline(void **state)
{
    const struct fake_answer slow = {.status = 503,
                                     .body = EC2_ERROR("RequestLimitExceeded", "wait"),
                                     .headers = "Retry-After: 3600"};
    struct fake_script script = {&slow, 1};
    struct fake_http *fake = fake_http_start(fake_script_handler, &script, NULL, NULL);
    struct aws *aws = aws_env_client(fake);
    uint64_t start_ns = clock_mono_ns();

    /* The server asks for more patience than the call has. */
    assert_fails(describe(aws, e), ERR_CLOUD, "RequestLimitExceeded");
    assert_int_equal(fake_http_count(fake), 1);
    assert_true(clock_mono_ns() - start_ns < 5 * NS_PER_S);
    aws_free(aws);
    fake_http_stop(fake);
}

static void test_retry_after_is_honoured(void **state)
{
    uint64_t start_ns = clock_mono_ns();
    START({.status = 503,
           .body = EC2_ERROR("RequestLimitExceeded", "wait"),
           .headers = "Retry-After: 1"},
          {.status = 200, .body = OK_VOLUMES});

    assert_ok(describe(f.aws, e));
    assert_true(clock_mono_ns() - start_ns >= NS_PER_S);
    stop(&f);
}

static void test_refusals_are_not_repeated(void **state)
{
    static const struct {
        const char *body;
        enum err_kind kind;
        const char *message;
    } rows[] = {
        {EC2_ERROR("UnauthorizedOperation",
                   "You are not authorized to perform this operation. Encoded "
                   "authorization failure message: AAAABBBB"),
         ERR_DENIED,
         "DescribeVolumes: UnauthorizedOperation: You are not authorized to perform this "
         "operation: allow ec2:DescribeVolumes in the IAM policy"},
        {EC2_ERROR("UnauthorizedOperation",
                   "User: x is not authorized to perform: ec2:CreateTags on resource: y"),
         ERR_DENIED, "allow ec2:CreateTags in"},
        {EC2_ERROR("AuthFailure", "no"), ERR_DENIED, "check the credentials"},
        {EC2_ERROR("InvalidVolume.NotFound", "The volume 'vol-1' does not exist."),
         ERR_NOT_FOUND, "vol-1"},
        {EC2_ERROR("VolumeInUse", "vol-1 is in use"), ERR_BUSY, "vol-1 is in use"},
        {EC2_ERROR("InvalidAction", "unknown"), ERR_UNSUPPORTED, "does not know"},
        {EC2_ERROR("InvalidVolume.ZoneMismatch", "zones"), ERR_REQUIREMENT, "one Avail"},
        {EC2_ERROR("InvalidAMIName.Duplicate", "x"), ERR_EXISTS, "x"},
        {EC2_ERROR("MissingParameter", "must contain Size"), ERR_CLOUD, "Size"},
        {"<html>no XML of theirs</html>", ERR_CLOUD, "HTTP status 400"},
        {"", ERR_CLOUD, "HTTP status 400"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        START({.status = 400, .body = rows[i].body});

        assert_fails(describe(f.aws, e), rows[i].kind, rows[i].message);
        assert_int_equal(fake_http_count(f.fake), 1);
        stop(&f);
    }
}

static void test_no_capacity_is_left_to_the_caller(void **state)
{
    struct ec2_run_instances_in in = {
        .image_id = "ami-1", .type = "m5.large", .client_token = "t"};
    struct ec2_instance i;
    struct err e = ERR_INIT;
    START(
        {.status = 500, .body = EC2_ERROR("InsufficientInstanceCapacity", "none left")});

    assert_int_equal(ec2_run_instances(f.aws, &in, &i, &e), -1);
    assert_int_equal(fake_http_count(f.fake), 1);
    assert_true(e.retryable);
    stop(&f);
}

static void test_lost_reply_repeats_with_the_same_token(void **state)
{
    struct ec2_volume v = {0};
    char first[100];
    START({.status = 0}, {.status = 200, .body = OK_VOLUME});

    assert_ok(ec2_create_volume(f.aws, &new_volume, &v, e));
    assert_string_equal(v.id, "vol-1");
    snprintf(first, sizeof first, "%s",
             fake_form(fake_http_request(f.fake, 0), "ClientToken"));
    assert_string_equal(first, "token-1");
    assert_string_equal(fake_form(fake_http_request(f.fake, 1), "ClientToken"), first);
    ec2_volume_release(&v);
    stop(&f);
}

static void test_nobody_there_gives_up_soon(void **state)
{
    struct fake_http *fake = fake_http_start(fake_script_handler, NULL, NULL, NULL);
    struct aws *aws = aws_env_client(fake);
    struct err e = ERR_INIT;

    fake_http_stop(fake);
    assert_int_equal(describe(aws, &e), -1);
    assert_int_equal(e.kind, ERR_NETWORK);
    assert_non_null(strstr(e.msg, "DescribeVolumes: http://127.0.0.1:"));
    assert_true(e.retryable);
    aws_free(aws);
}

static void test_redirect_is_refused(void **state)
{
    START({.status = 307, .headers = "Location: http://127.0.0.1:1/"});

    assert_fails(describe(f.aws, e), ERR_CLOUD, "redirects are not followed");
    assert_int_equal(fake_http_count(f.fake), 1);
    stop(&f);
}

static void test_answers_of_another_kind_are_refused(void **state)
{
    START({.status = 200, .body = "<ListBucketResult/>"});

    assert_fails(describe(f.aws, e), ERR_INPUT, "is the endpoint EC2's?");
    stop(&f);
}

static void test_endless_answer_is_refused(void **state)
{
    START({.status = 200, .endless = 10ull << 30});

    assert_fails(describe(f.aws, e), ERR_INPUT, "larger than");
    assert_int_equal(fake_http_count(f.fake), 1);
    stop(&f);
}

static void test_deep_answer_is_refused(void **state)
{
    static char deep[20000];
    char *p = deep + snprintf(deep, 100, "<DescribeVolumesResponse>");

    for (int i = 0; i < 100; i++)
        p += snprintf(p, 10, "<a>");
    for (int i = 0; i < 100; i++)
        p += snprintf(p, 10, "</a>");
    snprintf(p, 100, "</DescribeVolumesResponse>");
    START({.status = 200, .body = deep});

    assert_fails(describe(f.aws, e), ERR_INPUT, "nested deeper");
    stop(&f);
}

static void test_nonsense_in_a_field_is_named(void **state)
{
    START({.status = 200,
           .body = "<DescribeVolumesResponse><volumeSet><item><size>big</size></item>"
                   "</volumeSet></DescribeVolumesResponse>"});

    assert_fails(describe(f.aws, e), ERR_INPUT, "DescribeVolumes: answer: <size>");
    stop(&f);
}

/* ---- Expired credentials and wrong clocks ---- */

static void test_expired_token_is_renewed_once(void **state)
{
    const struct fake_answer answers[] = {
        {.status = 400, .body = EC2_ERROR("RequestExpired", "Request has expired.")},
        {.status = 200, .body = OK_VOLUMES}};
    struct fake_script script = {answers, 2};
    struct fake_http *fake = fake_http_start(fake_script_handler, &script, NULL, NULL);
    struct aws_options o = aws_env_options(fake);
    auto_creds struct creds *first = NULL;
    struct aws *aws = NULL;

    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    aws_env_file("credentials",
                 "[default]\naws_access_key_id=OLD\naws_secret_access_key=x\n");
    assert_ok(aws_new(&o, &aws, e));
    assert_ok(client_creds(aws, &first, e));
    aws_env_file("credentials",
                 "[default]\naws_access_key_id=NEW\naws_secret_access_key=y\n");
    assert_ok(describe(aws, e));
    assert_true(fake_has_header(fake_http_request(fake, 0), "Authorization", "=OLD/"));
    assert_true(fake_has_header(fake_http_request(fake, 1), "Authorization", "=NEW/"));
    aws_free(aws);
    fake_http_stop(fake);
}

static void test_keys_that_stay_expired_are_reported(void **state)
{
    START({.status = 400, .body = EC2_ERROR("ExpiredToken", "The token has expired")});

    assert_fails(describe(f.aws, e), ERR_DENIED, "renew them");
    assert_int_equal(fake_http_count(f.fake), 1);
    stop(&f);
}

/* The server's clock is an hour ahead of ours. */
struct ahead {
    int refusals;
    const char *code;
    char date[64], body[512], headers[100];
};

static void serve_ahead(void *ctx, size_t n, const struct fake_request *r,
                        struct fake_answer *ret)
{
    struct ahead *a = ctx;
    time_t t = time(NULL) + 3600;
    struct tm tm;
    char day[32];

    gmtime_r(&t, &tm);
    strftime(a->date, sizeof a->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    strftime(day, sizeof day, "%Y%m%dT%H", &tm);
    snprintf(a->headers, sizeof a->headers, "Date: %s", a->date);
    ret->headers = a->headers;
    if (fake_has_header(r, "X-Amz-Date", day)) {
        ret->body = OK_VOLUMES;
        return;
    }
    a->refusals++;
    ret->status = 400;
    snprintf(a->body, sizeof a->body,
             "<Response><Errors><Error><Code>%s</Code><Message>m</Message></Error>"
             "</Errors></Response>",
             a->code);
    ret->body = a->body;
}

static void test_wrong_clock_is_corrected(void **state)
{
    static const char *const codes[] = {"AuthFailure", "RequestExpired",
                                        "SignatureDoesNotMatch", "RequestTimeTooSkewed"};

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct ahead a = {.code = codes[i]};
        struct fake_http *fake = fake_http_start(serve_ahead, &a, NULL, NULL);
        struct aws *aws = aws_env_client(fake);

        assert_ok(describe(aws, e));
        assert_ok(describe(aws, e));
        assert_int_equal(a.refusals, 1);
        aws_free(aws);
        fake_http_stop(fake);
    }
}

static void test_right_clock_is_no_excuse(void **state)
{
    START({.status = 403, .body = EC2_ERROR("SignatureDoesNotMatch", "no")});

    assert_fails(describe(f.aws, e), ERR_DENIED, "does not belong to");
    assert_int_equal(fake_http_count(f.fake), 1);
    stop(&f);
}

/* ---- Threads ---- */

static void *describe_often(void *arg)
{
    intptr_t failed = 0;

    for (int i = 0; i < 20; i++) {
        struct err why;

        failed += describe(arg, &why) < 0;
    }
    return (void *)failed;
}

static void test_many_threads_share_a_client(void **state)
{
    pthread_t threads[8];
    START({.status = 500, .body = EC2_ERROR("InternalError", "oops")},
          {.status = 200, .body = OK_VOLUMES});

    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, describe_often, f.aws), 0);
    for (size_t i = 0; i < 8; i++) {
        void *failed;

        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(fake_http_count(f.fake), 161);
    stop(&f);
}

/* ---- The policy itself ---- */

static void test_pauses_grow_and_are_capped(void **state)
{
    for (unsigned n = 0; n < 70; n++)
        for (int i = 0; i < 50; i++) {
            uint64_t ns = retry_jitter_ns(100, 5000, n);

            assert_true(ns <= 5000);
            if (n < 5)
                assert_true(ns <= 100ull << n);
        }
    assert_int_equal(retry_jitter_ns(0, 5000, 3), 0);
}

static void test_no_pause_goes_beyond_the_deadline(void **state)
{
    struct retry r = {.base_ns = NS_PER_S,
                      .cap_ns = NS_PER_S,
                      .deadline_ns = clock_mono_ns() + NS_PER_MS};
    struct err e = ERR_INIT;

    assert_int_equal(retry_pause(&r, RETRY_THROTTLED, 2 * NS_PER_S, &e), 0);
}

static void test_cancellation_ends_a_pause(void **state)
{
    struct cancel cancel;
    struct retry r = {.base_ns = NS_PER_S,
                      .cap_ns = NS_PER_S,
                      .deadline_ns = UINT64_MAX,
                      .cancel = &cancel};

    assert_ok(cancel_init(&cancel, e));
    cancel_request(&cancel);
    assert_fails(retry_pause(&r, RETRY_TRANSIENT, NS_PER_S, e), ERR_CANCELLED, "");
    cancel_release(&cancel);
}

static void test_ebs_errors_are_json(void **state)
{
    static const char text[] = "{\"Message\": \"Snapshot not found\", \"Reason\": \"X\"}";
    struct http_answer a = {.status = 404};
    struct fault f;
    struct err e = ERR_INIT;

    buf_adds(&a.headers, "x-amzn-ErrorType: com.amazon#ResourceNotFoundException:http\n"
                         "x-amzn-RequestId: id-1\n");
    buf_adds(&a.body, text);
    fault_read(&a, AWS_EBS, NULL, &f);
    assert_int_equal(fault_err(&f, AWS_EBS, "GetSnapshotBlock", &e), -1);
    assert_int_equal(e.kind, ERR_NOT_FOUND);
    assert_string_equal(e.aws_code, "ResourceNotFoundException");
    assert_string_equal(e.request_id, "id-1");
    http_answer_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, aws_env_setup, aws_env_teardown)
        T(test_passing_trouble_is_waited_out),
        T(test_trouble_that_stays_is_reported),
        T(test_throttling_is_waited_for_until_the_deadline),
        T(test_retry_after_is_honoured),
        T(test_refusals_are_not_repeated),
        T(test_no_capacity_is_left_to_the_caller),
        T(test_lost_reply_repeats_with_the_same_token),
        T(test_nobody_there_gives_up_soon),
        T(test_redirect_is_refused),
        T(test_answers_of_another_kind_are_refused),
        T(test_endless_answer_is_refused),
        T(test_deep_answer_is_refused),
        T(test_nonsense_in_a_field_is_named),
        T(test_expired_token_is_renewed_once),
        T(test_keys_that_stay_expired_are_reported),
        T(test_wrong_clock_is_corrected),
        T(test_right_clock_is_no_excuse),
        T(test_many_threads_share_a_client),
        T(test_pauses_grow_and_are_capped),
        T(test_no_pause_goes_beyond_the_deadline),
        T(test_cancellation_ends_a_pause),
        T(test_ebs_errors_are_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
