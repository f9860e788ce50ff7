#include "test.h"

#include "aws_env.h"

#include "aws/imds.h"
#include "aws/imds_impl.h"
#include "base/clock.h"

#define DOCUMENT                                                                         \
    "{\"accountId\": \"123456789012\", \"architecture\": \"x86_64\", "                   \
    "\"availabilityZone\": \"eu-west-1b\", \"imageId\": \"ami-1\", "                     \
    "\"instanceId\": \"i-0123456789abcdef0\", \"instanceType\": \"m6i.large\", "         \
    "\"region\": \"eu-west-1\", \"privateIp\": null}"

/* What the service does, and what it was asked. */
struct service {
    bool no_role;
    int token_status;      /* 0: 200 */
    unsigned unauthorized; /* so many GETs answer 401 first */
    unsigned tokens;
    unsigned broken; /* so many requests answer 503 first */
};

static void serve(void *ctx, size_t n, const struct fake_request *r,
                  struct fake_answer *ret)
{
    struct service *s = ctx;

    if (s->broken) {
        s->broken--;
        ret->status = 503;
    } else if (strcmp(r->path, "/latest/api/token") == 0) {
        bool asked_well =
            strcmp(r->method, "PUT") == 0 &&
            fake_has_header(r, "X-aws-ec2-metadata-token-ttl-seconds", "21600");

        s->tokens++;
        ret->status = s->token_status ? s->token_status : asked_well ? 200 : 400;
        ret->body = "TOKEN==";
    } else if (!fake_has_header(r, "X-aws-ec2-metadata-token", "TOKEN==") ||
               s->unauthorized) {
        s->unauthorized -= s->unauthorized > 0;
        ret->status = 401;
    } else if (strcmp(r->path, "/latest/dynamic/instance-identity/document") == 0) {
        ret->body = DOCUMENT;
    } else if (strcmp(r->path, "/latest/meta-data/mac") == 0) {
        ret->body = "0a:b1:c2:d3:e4:f5";
    } else if (strcmp(r->path, "/latest/meta-data/iam/security-credentials/") == 0 &&
               !s->no_role) {
        ret->body = "proxy-role\n";
    } else {
        ret->status = 404;
    }
}

struct fixture {
    struct service service;
    struct fake_http *fake;
    struct imds *imds;
};

static void start(struct fixture *f)
{
    f->fake = fake_http_start(serve, &f->service, NULL, NULL);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake_http_url(f->fake), 1);
    assert_ok(imds_new(&(struct imds_options){0}, &f->imds, e));
}

static void stop(struct fixture *f)
{
    imds_free(f->imds);
    fake_http_stop(f->fake);
}

static void test_identity_is_complete(void **state)
{
    struct fixture f = {0};
    struct imds_identity id = {0};

    start(&f);
    assert_ok(imds_identity(f.imds, &id, e));
    assert_string_equal(id.instance_id, "i-0123456789abcdef0");
    assert_string_equal(id.instance_type, "m6i.large");
    assert_string_equal(id.zone, "eu-west-1b");
    assert_string_equal(id.region, "eu-west-1");
    assert_string_equal(id.account, "123456789012");
    assert_string_equal(id.architecture, "x86_64");
    assert_string_equal(id.mac, "0a:b1:c2:d3:e4:f5");
    assert_string_equal(id.role, "proxy-role");
    imds_identity_release(&id);
    assert_int_equal(f.service.tokens, 1);
    stop(&f);
}

static void test_an_instance_may_have_no_role(void **state)
{
    struct fixture f = {.service.no_role = true};
    struct imds_identity id = {0};

    start(&f);
    assert_ok(imds_identity(f.imds, &id, e));
    assert_string_equal(id.role, "");
    imds_identity_release(&id);
    stop(&f);
}

static void test_token_is_renewed_when_refused(void **state)
{
    struct fixture f = {.service.unauthorized = 1};
    char *text = NULL;

    start(&f);
    assert_ok(imds_get(f.imds, "meta-data/mac", &text, e));
    assert_int_equal(f.service.tokens, 2);
    free(text);
    stop(&f);
}

static void test_a_moment_of_trouble_is_survived(void **state)
{
    struct fixture f = {.service.broken = 2};
    char *text = NULL;

    start(&f);
    assert_ok(imds_get(f.imds, "meta-data/mac", &text, e));
    free(text);
    stop(&f);
}

static void test_absent_path_is_not_found(void **state)
{
    struct fixture f = {0};
    char *text = NULL;

    start(&f);
    assert_fails(imds_get(f.imds, "meta-data/nothing", &text, e), ERR_NOT_FOUND,
                 "meta-data/nothing");
    stop(&f);
}

static void test_service_switched_off_is_explained(void **state)
{
    struct fixture f = {.service.token_status = 403};
    char *text = NULL;

    start(&f);
    assert_fails(imds_get(f.imds, "meta-data/mac", &text, e), ERR_DENIED,
                 "HttpEndpoint=disabled");
    stop(&f);
}

static void test_version_one_only_is_explained(void **state)
{
    struct fixture f = {.service.token_status = 404};
    char *text = NULL;

    start(&f);
    assert_fails(imds_get(f.imds, "meta-data/mac", &text, e), ERR_NETWORK, "version 2");
    stop(&f);
}

static void test_silence_is_explained(void **state)
{
    struct imds *imds = NULL;
    char *text = NULL;
    uint64_t start_ns = clock_mono_ns();

    assert_ok(
        imds_new(&(struct imds_options){.endpoint = "http://127.0.0.1:1"}, &imds, e));
    assert_fails(imds_get(imds, "meta-data/mac", &text, e), ERR_NETWORK, "hop limit");
    assert_true(clock_mono_ns() - start_ns < 5 * NS_PER_S);
    imds_free(imds);
}

static void test_disabled_by_environment(void **state)
{
    struct imds *imds = NULL;
    char *text = NULL;

    setenv("AWS_EC2_METADATA_DISABLED", "TRUE", 1);
    assert_ok(imds_new(&(struct imds_options){0}, &imds, e));
    assert_fails(imds_get(imds, "meta-data/mac", &text, e), ERR_NETWORK,
                 "AWS_EC2_METADATA_DISABLED");
    imds_free(imds);
}

static void test_endpoint_elsewhere_is_refused(void **state)
{
    struct imds *imds = NULL;

    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://metadata.example.com", 1);
    assert_fails(imds_new(&(struct imds_options){0}, &imds, e), ERR_USAGE,
                 "AWS_EC2_METADATA_SERVICE_ENDPOINT");
}

static void test_damaged_documents_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "null",
        "{\"instanceId\": 5}",
        "{\"instanceId\": \"i-1\"}",
        "<html>",
        "{\"instanceId\": \"a\", \"instanceId\": \"b\"}",
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct imds_identity id = {0};

        assert_fails(imds_identity_parse(bad[i], strlen(bad[i]), &id, e), ERR_INPUT,
                     "identity document");
        assert_null(id.instance_id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, aws_env_setup, aws_env_teardown)
        T(test_identity_is_complete),          T(test_an_instance_may_have_no_role),
        T(test_token_is_renewed_when_refused), T(test_a_moment_of_trouble_is_survived),
        T(test_absent_path_is_not_found),      T(test_service_switched_off_is_explained),
        T(test_version_one_only_is_explained), T(test_silence_is_explained),
        T(test_disabled_by_environment),       T(test_endpoint_elsewhere_is_refused),
        T(test_damaged_documents_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
