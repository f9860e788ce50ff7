/* No secret in anything that people see: everything that can go wrong goes wrong here
 * with debug logging on and with servers that repeat what they were told, and whatever
 * was logged or reported is searched for the secrets and their signatures. */
#include "test.h"

#include "aws_env.h"

#include "aws/ec2.h"
#include "aws/s3.h"
#include "aws/sts.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#include <fcntl.h>
#include <unistd.h>

#define AGENT_SECRET "Ag3ntS3cr3tTh4tMustN3verB3Shown"
#define AGENT_TOKEN  "Ag3ntT0kenTh4tMustN3verB3Shown"
#define IMDS_TOKEN   "ImdsT0kenTh4tMustN3verB3Shown"
#define BEARER       "B34rerTh4tMustN3verB3Shown"

static const char *const secrets[] = {TEST_SECRET,  TEST_TOKEN,  AGENT_SECRET,
                                      AGENT_TOKEN,  IMDS_TOKEN,  BEARER,
                                      "Signature=", "AWS4-HMAC", "aws4_request"};

/* Standard error, caught in a file. */
struct caught {
    int saved, file;
};

static void catch_begin(struct caught *c)
{
    char path[] = "/tmp/hotadd-log-XXXXXX";

    c->file = mkstemp(path);
    assert_true(c->file >= 0);
    unlink(path);
    fflush(stderr);
    c->saved = dup(STDERR_FILENO);
    dup2(c->file, STDERR_FILENO);
    log_setup("hotadd", LOG_DEBUG, LOG_TEXT);
}

static void catch_end(struct caught *c, struct buf *out)
{
    log_setup("hotadd", LOG_INFO, LOG_TEXT);
    dup2(c->saved, STDERR_FILENO);
    close(c->saved);
    lseek(c->file, 0, SEEK_SET);
    assert_ok(io_read_fd(c->file, 10 << 20, out, "log", e));
    close(c->file);
}

static void assert_clean(const char *text, const char *where)
{
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        if (strstr(text, secrets[i]))
            fail_msg("%s shows secret %zu: %s", where, i, text);
}

/* A server that hides nothing: it repeats headers and body in its refusal. */
struct parrot {
    const char *code;
    int status;
    bool s3_style;
    struct buf text;
};

static void add_escaped(struct buf *b, const char *s)
{
    for (; *s; s++) {
        if (*s == '<' || *s == '&')
            buf_addf(b, "&#%d;", *s);
        else
            buf_addc(b, *s);
    }
}

static void repeat(void *ctx, size_t n, const struct fake_request *r,
                   struct fake_answer *ret)
{
    struct parrot *p = ctx;

    buf_reset(&p->text);
    buf_addf(&p->text, "%s<Error><Code>%s</Code><Message>You sent: ",
             p->s3_style ? "" : "<Response><Errors>", p->code);
    add_escaped(&p->text, r->headers);
    buf_adds(&p->text,
             " keys " TEST_SECRET " " TEST_TOKEN
             ". The Canonical String for this request should have been 'POST\n");
    add_escaped(&p->text, r->headers);
    buf_addf(&p->text, "'</Message></Error>%s",
             p->s3_style ? "" : "</Errors><RequestID>r</RequestID></Response>");
    ret->status = p->status;
    ret->body = buf_str(&p->text);
}

static void test_servers_that_repeat_what_they_were_told(void **state)
{
    static const struct {
        const char *code;
        int status;
    } rows[] = {{"SignatureDoesNotMatch", 403},
                {"AuthFailure", 401},
                {"InternalError", 500},
                {"RequestLimitExceeded", 503},
                {"ExpiredToken", 400},
                {"UnauthorizedOperation", 403},
                {"Whatever", 400}};

    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        struct parrot p = {
            .code = rows[i / 2].code, .status = rows[i / 2].status, .s3_style = i % 2};
        struct fake_http *fake = fake_http_start(repeat, &p, NULL, NULL);
        struct aws_options o = aws_env_options(fake);
        auto_buf struct buf log = BUF_INIT, out = BUF_INIT;
        struct caught c;
        struct ec2_volumes v;
        struct s3_bucket *bucket = NULL;
        struct aws *aws = NULL;
        struct err why = ERR_INIT, why_s3 = ERR_INIT;

        aws_env_keys();
        o.call_timeout_ns = 400 * NS_PER_MS;
        catch_begin(&c);
        assert_ok(aws_new(&o, &aws, e));
        assert_int_equal(ec2_describe_volumes(aws, NULL, &v, &why), -1);
        assert_ok(s3_bucket_new(aws, "bucket", &bucket, e));
        assert_int_equal(s3_get_object(bucket, "k", 10, &out, &why_s3), -1);
        catch_end(&c, &log);
        assert_clean(why.msg, "the error");
        assert_clean(why_s3.msg, "the error of S3");
        assert_clean(buf_str(&log), "the log");
        assert_non_null(strstr(why.msg, rows[i / 2].code));
        assert_non_null(strstr(buf_str(&log), "DescribeVolumes"));
        assert_non_null(strstr(buf_str(&log), "GetObject"));
        s3_bucket_free(bucket);
        aws_free(aws);
        fake_http_stop(fake);
        buf_release(&p.text);
    }
}

/* Damaged in a different way each time. */
struct agent {
    const char *text;
};

static void serve_agent(void *ctx, size_t n, const struct fake_request *r,
                        struct fake_answer *ret)
{
    struct agent *a = ctx;

    if (strcmp(r->path, "/latest/api/token") == 0)
        ret->body = IMDS_TOKEN;
    else if (strcmp(r->path, "/latest/meta-data/iam/security-credentials/") == 0)
        ret->body = "role";
    else
        ret->body = a->text;
}

static void test_agents_that_answer_badly(void **state)
{
    static const char *const texts[] = {
        "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"" AGENT_SECRET
        "\", \"Token\": \"" AGENT_TOKEN "\", \"Expiration\": \"soon\"}",
        "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"" AGENT_SECRET "\", ",
        "{\"SecretAccessKey\": \"" AGENT_SECRET "\", \"Token\": \"" AGENT_TOKEN "\"}",
        "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"" AGENT_SECRET
        " \\n\", \"Token\": \"" AGENT_TOKEN "\"}",
        "\"" AGENT_SECRET "\"",
        AGENT_SECRET,
        "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"" AGENT_SECRET
        "\", \"Token\": \"" AGENT_TOKEN "\", \"Expiration\": \"2099-01-01T00:00:00Z\"}",
    };

    for (size_t i = 0; i < 2 * sizeof texts / sizeof texts[0]; i++) {
        struct agent a = {texts[i / 2]};
        struct fake_http *fake = fake_http_start(serve_agent, &a, NULL, NULL);
        struct aws_options o = aws_env_options(fake);
        auto_buf struct buf log = BUF_INIT;
        struct caught c;
        struct sts_identity id;
        struct aws *aws = NULL;
        struct err why = ERR_INIT;
        char url[100];

        snprintf(url, sizeof url, "%s/agent", fake_http_url(fake));
        setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake_http_url(fake), 1);
        setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", BEARER, 1);
        if (i % 2)
            setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
        else
            unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        catch_begin(&c);
        assert_ok(aws_new(&o, &aws, e));
        assert_int_equal(sts_get_caller_identity(aws, &id, &why), -1);
        catch_end(&c, &log);
        assert_clean(why.msg, "the error");
        assert_clean(buf_str(&log), "the log");
        aws_free(aws);
        fake_http_stop(fake);
    }
}

static void test_files_with_faults(void **state)
{
    static const char *const files[] = {
        "aws_secret_access_key = " TEST_SECRET "\n",
        "[default]\n" TEST_SECRET "\n",
        "[default]\naws_secret_access_key = " TEST_SECRET "\n",
        "[default]\naws_access_key_id = A\naws_secret_access_key = " TEST_SECRET " x\n",
        "[default]\naws_access_key_id = A\naws_secret_access_key = " TEST_SECRET
        "\naws_session_token = " TEST_TOKEN "\x01\n",
    };

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct aws_options o = aws_env_options(NULL);
        auto_buf struct buf log = BUF_INIT;
        struct caught c;
        struct aws *aws = NULL;
        char *source = NULL;
        struct err why = ERR_INIT;

        setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
        aws_env_file("credentials", files[i]);
        catch_begin(&c);
        if (aws_new(&o, &aws, &why) == 0)
            assert_int_equal(aws_credentials_source(aws, &source, &why), -1);
        catch_end(&c, &log);
        assert_true(why.msg[0]);
        assert_clean(why.msg, "the error");
        assert_clean(buf_str(&log), "the log");
        aws_free(aws);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, aws_env_setup, aws_env_teardown)
        T(test_servers_that_repeat_what_they_were_told),
        T(test_agents_that_answer_badly),
        T(test_files_with_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
