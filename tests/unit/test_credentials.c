#include "test.h"

#include "aws_env.h"

#include "aws/chain.h"
#include "aws/client.h"
#include "aws/sts.h"
#include "base/clock.h"

#include <unistd.h>

/* Answers as STS, the metadata service and a container's agent, counting. */
struct clouds {
    unsigned assumed, fetched;
    const char *expiration; /* of role credentials */
    char text[4][2048];
};

static const char role_xml[] =
    "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
    "<AssumeRoleResult><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn>"
    "</AssumedRoleUser><Credentials><AccessKeyId>ASIAROLE%u</AccessKeyId>"
    "<SecretAccessKey>role-secret</SecretAccessKey>"
    "<SessionToken>role-token</SessionToken><Expiration>%s</Expiration></Credentials>"
    "</AssumeRoleResult></AssumeRoleResponse>";

static void serve(void *ctx, size_t n, const struct fake_request *r,
                  struct fake_answer *ret)
{
    struct clouds *c = ctx;
    const char *action = fake_form(r, "Action"), *end = c->expiration;

    if (!end)
        end = "2099-01-02T03:04:05Z";
    if (action && strcmp(action, "AssumeRole") == 0) {
        snprintf(c->text[0], sizeof c->text[0], role_xml, ++c->assumed, end);
        ret->body = c->text[0];
    } else if (action && strcmp(action, "AssumeRoleWithWebIdentity") == 0) {
        ret->body =
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>"
            "<Credentials><AccessKeyId>ASIAWEB</AccessKeyId><SecretAccessKey>s"
            "</SecretAccessKey><SessionToken>t</SessionToken></Credentials>"
            "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
    } else if (action) {
        ret->body = "<GetCallerIdentityResponse><GetCallerIdentityResult>"
                    "<Arn>arn:aws:iam::123456789012:user/x</Arn><UserId>AIDA</UserId>"
                    "<Account>123456789012</Account></GetCallerIdentityResult>"
                    "</GetCallerIdentityResponse>";
    } else if (strcmp(r->path, "/latest/api/token") == 0) {
        ret->body = "IMDSTOKEN";
    } else if (strcmp(r->path, "/latest/meta-data/iam/security-credentials/") == 0) {
        ret->body = "proxy-role";
    } else if (strcmp(r->path, "/latest/meta-data/placement/region") == 0) {
        ret->body = "ap-south-1";
    } else if (strstr(r->path, "/proxy-role") || strcmp(r->path, "/container") == 0) {
        snprintf(c->text[1], sizeof c->text[1],
                 "{\"Code\": \"Success\", \"AccessKeyId\": \"ASIALOCAL%u\", "
                 "\"SecretAccessKey\": \"s\", \"Token\": \"t\", \"Expiration\": \"%s\"}",
                 ++c->fetched, end);
        ret->body = c->text[1];
    } else {
        ret->status = 404;
    }
}

struct fixture {
    struct clouds clouds;
    struct fake_http *fake;
    struct aws *aws;
};

static void start(struct fixture *f)
{
    f->fake = fake_http_start(serve, &f->clouds, NULL, NULL);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

static void open_client(struct fixture *f, const char *profile)
{
    struct aws_options o = aws_env_options(f->fake);

    o.profile = profile;
    assert_ok(aws_new(&o, &f->aws, e));
}

static void stop(struct fixture *f)
{
    aws_free(f->aws);
    fake_http_stop(f->fake);
}

/* The client's credentials are these, and say that they come from there. */
static void assert_creds(struct aws *aws, const char *id, const char *secret,
                         const char *token, const char *source)
{
    auto_creds struct creds *c = NULL;
    char *said = NULL;

    assert_ok(client_creds(aws, &c, e));
    assert_string_equal(c->access_key_id, id);
    assert_string_equal(secret_reveal(c->secret_key), secret);
    assert_string_equal(secret_reveal(c->token), token);
    assert_ok(aws_credentials_source(aws, &said, e));
    if (!strstr(said, source))
        fail_msg("source is '%s', not '%s'", said, source);
    free(said);
}

static void test_environment_comes_first(void **state)
{
    struct fixture f = {0};

    start(&f);
    aws_env_keys();
    aws_env_file("credentials",
                 "[default]\naws_access_key_id=FILE\naws_secret_access_key=x\n");
    open_client(&f, NULL);
    assert_creds(f.aws, TEST_KEY_ID, TEST_SECRET, TEST_TOKEN, "AWS_ACCESS_KEY_ID");
    stop(&f);
}

static void test_profile_option_beats_the_environment(void **state)
{
    struct fixture f = {0};

    start(&f);
    aws_env_keys();
    aws_env_file("credentials", "[p]\naws_access_key_id=FILE\naws_secret_access_key=x\n");
    open_client(&f, "p");
    assert_creds(f.aws, "FILE", "x", "", "profile p in /tmp/hotadd-aws-");
    stop(&f);
}

static void test_half_a_key_is_named(void **state)
{
    struct aws_options o = aws_env_options(NULL);
    struct aws *aws = NULL;

    setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
    assert_fails(aws_new(&o, &aws, e), ERR_USAGE,
                 "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY");
    assert_null(aws);
}

static void test_profiles_in_both_files(void **state)
{
    struct fixture f = {0};
    char token[1500];
    char text[2000];

    /* Longer than many INI readers allow. */
    memset(token, 'T', sizeof token - 1);
    token[sizeof token - 1] = 0;
    snprintf(text, sizeof text,
             "[work]\naws_access_key_id = AKIDW\naws_secret_access_key = a/b+c=\n"
             "aws_session_token = %s\n",
             token);
    start(&f);
    aws_env_file("credentials", text);
    aws_env_file("config", "[profile work]\nregion = us-east-2\n");
    setenv("AWS_PROFILE", "work", 1);
    open_client(&f, NULL);
    assert_creds(f.aws, "AKIDW", "a/b+c=", token, "profile work");
    stop(&f);
}

static void test_files_are_read_again_when_keys_expire(void **state)
{
    struct fixture f = {0};
    auto_creds struct creds *old = NULL, *fresh = NULL;

    start(&f);
    aws_env_file("credentials",
                 "[default]\naws_access_key_id=A\naws_secret_access_key=x\n");
    open_client(&f, NULL);
    assert_ok(client_creds(f.aws, &old, e));
    assert_fails(client_creds_renew(f.aws, old, &fresh, e), ERR_DENIED,
                 "still holds the expired");
    aws_env_file("credentials",
                 "[default]\naws_access_key_id=B\naws_secret_access_key=y\n");
    assert_ok(client_creds_renew(f.aws, old, &fresh, e));
    assert_string_equal(fresh->access_key_id, "B");
    stop(&f);
}

static void test_role_through_source_profile(void **state)
{
    struct fixture f = {0};
    const struct fake_request *r;

    start(&f);
    aws_env_file("config", "[profile base]\naws_access_key_id=AKIDBASE\n"
                           "aws_secret_access_key=x\n"
                           "[profile admin]\nrole_arn = arn:aws:iam::1:role/admin\n"
                           "source_profile = base\nexternal_id = ext 1\n"
                           "role_session_name = me\nduration_seconds = 3600\n");
    open_client(&f, "admin");
    assert_creds(f.aws, "ASIAROLE1", "role-secret", "role-token",
                 "role arn:aws:iam::1:role/admin of profile admin");
    r = fake_http_request(f.fake, 0);
    assert_string_equal(fake_form(r, "RoleArn"), "arn:aws:iam::1:role/admin");
    assert_string_equal(fake_form(r, "ExternalId"), "ext 1");
    assert_string_equal(fake_form(r, "RoleSessionName"), "me");
    assert_string_equal(fake_form(r, "DurationSeconds"), "3600");
    assert_true(fake_has_header(r, "Authorization", "Credential=AKIDBASE/"));
    assert_true(fake_has_header(r, "Authorization", "/eu-west-1/sts/aws4_request"));
    assert_int_equal(f.clouds.assumed, 1);
    stop(&f);
}

static void test_role_of_a_role(void **state)
{
    struct fixture f = {0};

    start(&f);
    aws_env_file("config", "[profile a]\naws_access_key_id=A\naws_secret_access_key=x\n"
                           "[profile b]\nrole_arn=arn:b\nsource_profile=a\n"
                           "[profile c]\nrole_arn=arn:c\nsource_profile=b\n");
    open_client(&f, "c");
    assert_creds(f.aws, "ASIAROLE2", "role-secret", "role-token", "role arn:c");
    assert_true(fake_has_header(fake_http_request(f.fake, 1), "Authorization",
                                "Credential=ASIAROLE1/"));
    assert_true(fake_has_header(fake_http_request(f.fake, 1), "X-Amz-Security-Token",
                                "role-token"));
    stop(&f);
}

static void test_role_from_environment_and_instance(void **state)
{
    struct fixture f = {0};

    start(&f);
    aws_env_keys();
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake_http_url(f.fake), 1);
    aws_env_file("config",
                 "[profile e]\nrole_arn=arn:e\ncredential_source=Environment\n"
                 "[profile i]\nrole_arn=arn:i\ncredential_source=Ec2InstanceMetadata\n");
    open_client(&f, "e");
    assert_creds(f.aws, "ASIAROLE1", "role-secret", "role-token", "role arn:e");
    aws_free(f.aws);
    open_client(&f, "i");
    assert_creds(f.aws, "ASIAROLE2", "role-secret", "role-token", "role arn:i");
    assert_int_equal(f.clouds.fetched, 1);
    stop(&f);
}

static void test_broken_profiles_are_explained(void **state)
{
    static const struct {
        const char *profile, *message;
        enum err_kind kind;
    } bad[] = {
        {"circle", "they go in a circle", ERR_USAGE},
        {"lonely", "also needs a source_profile", ERR_USAGE},
        {"wrong", "there is no source_profile 'nobody'", ERR_USAGE},
        {"both", "both source_profile and credential_source", ERR_USAGE},
        {"half", "has aws_access_key_id without aws_secret_access_key", ERR_USAGE},
        {"mfa", "MFA", ERR_UNSUPPORTED},
        {"sso", "export-credentials", ERR_UNSUPPORTED},
        {"empty", "its source_profile holds no credentials", ERR_DENIED},
        {"process", "credential_process of profile process failed", ERR_DENIED},
        {"quote", "a quote is not closed", ERR_USAGE},
        {"rubbish", "credential_process of profile rubbish: not a JSON", ERR_INPUT},
    };
    struct fixture f = {0};

    start(&f);
    aws_env_file(
        "config",
        "[profile circle]\nrole_arn=a\nsource_profile=circle2\n"
        "[profile circle2]\nrole_arn=a\nsource_profile=circle\n"
        "[profile lonely]\nrole_arn=a\n"
        "[profile wrong]\nrole_arn=a\nsource_profile=nobody\n"
        "[profile both]\nrole_arn=a\nsource_profile=half\n"
        "credential_source=Environment\n"
        "[profile half]\naws_access_key_id=A\n"
        "[profile mfa]\nrole_arn=a\nsource_profile=half\nmfa_serial=m\n"
        "[profile sso]\nsso_session=corp\n"
        "[profile empty]\nrole_arn=a\nsource_profile=nothing\n"
        "[profile nothing]\nregion=eu-west-1\n"
        "[profile process]\ncredential_process=sh -c 'echo TOPSECRET >&2; exit 1'\n"
        "[profile quote]\ncredential_process=sh -c 'x\n"
        "[profile rubbish]\ncredential_process=echo TOPSECRET\n");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err e = ERR_INIT;
        struct creds *c = NULL;

        open_client(&f, bad[i].profile);
        assert_int_equal(client_creds(f.aws, &c, &e), -1);
        if (e.kind != bad[i].kind || !strstr(e.msg, bad[i].message))
            fail_msg("%s: %s: %s", bad[i].profile, err_kind_name(e.kind), e.msg);
        assert_null(strstr(e.msg, "TOPSECRET"));
        aws_free(f.aws);
        f.aws = NULL;
    }
    stop(&f);
}

static void test_unknown_profile_is_named(void **state)
{
    struct aws_options o = aws_env_options(NULL);
    struct aws *aws = NULL;

    setenv("AWS_PROFILE", "nobody", 1);
    assert_fails(aws_new(&o, &aws, e), ERR_USAGE,
                 "there is no profile 'nobody' in /tmp/");
}

static void test_credential_process(void **state)
{
    struct fixture f = {0};

    start(&f);
    aws_env_file("config",
                 "[default]\ncredential_process = printf '{\"Version\": 1, "
                 "\"AccessKeyId\": \"%s\", \"SecretAccessKey\": \"S\", "
                 "\"SessionToken\": \"T\", \"Expiration\": \"2099-01-01T00:00:00Z\"}' "
                 "\"AK\"ID\n");
    open_client(&f, NULL);
    assert_creds(f.aws, "AKID", "S", "T", "credential_process of profile default");
    stop(&f);
}

static void test_command_lines_are_split_as_by_a_shell(void **state)
{
    char **argv = NULL;

    assert_ok(chain_split_command("  a 'b c'\"d e\" f\\ g '' \"h\\\"i\"", &argv, e));
    assert_string_equal(argv[0], "a");
    assert_string_equal(argv[1], "b cd e");
    assert_string_equal(argv[2], "f g");
    assert_string_equal(argv[3], "");
    assert_string_equal(argv[4], "h\"i");
    assert_null(argv[5]);
    free(argv);
    argv = NULL;
    assert_fails(chain_split_command("   ", &argv, e), ERR_USAGE, "empty");
    assert_fails(chain_split_command("a\\", &argv, e), ERR_USAGE, "quote");
    assert_null(argv);
}

static void test_container_agent(void **state)
{
    struct fixture f = {0};
    char url[128];

    start(&f);
    snprintf(url, sizeof url, "%s/container", fake_http_url(f.fake));
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "agent-token", 1);
    open_client(&f, NULL);
    assert_creds(f.aws, "ASIALOCAL1", "s", "t", "container");
    assert_true(
        fake_has_header(fake_http_request(f.fake, 0), "Authorization", "agent-token"));
    stop(&f);
}

static void test_container_agent_elsewhere_is_refused(void **state)
{
    static const char *const bad[] = {"http://example.com/creds", "http://10.1.2.3/"};
    struct fixture f = {0};

    start(&f);
    for (size_t i = 0; i < 2; i++) {
        struct creds *c = NULL;

        setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", bad[i], 1);
        open_client(&f, NULL);
        assert_fails(client_creds(f.aws, &c, e), ERR_USAGE, "loopback only");
        aws_free(f.aws);
        f.aws = NULL;
    }
    stop(&f);
}

static void test_web_identity(void **state)
{
    struct fixture f = {0};
    const struct fake_request *r;

    start(&f);
    aws_env_file("token", "eyJ.web.token\n");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "", 1);
    {
        char path[256];

        snprintf(path, sizeof path, "%s/.aws/token", getenv("HOME"));
        setenv("AWS_WEB_IDENTITY_TOKEN_FILE", path, 1);
    }
    setenv("AWS_ROLE_ARN", "arn:web", 1);
    open_client(&f, NULL);
    assert_creds(f.aws, "ASIAWEB", "s", "t", "web identity");
    r = fake_http_request(f.fake, 0);
    assert_string_equal(fake_form(r, "WebIdentityToken"), "eyJ.web.token");
    assert_false(fake_has_header(r, "Authorization", ""));
    stop(&f);
}

static void test_instance_role_and_region(void **state)
{
    struct fixture f = {0};
    struct aws_options o;

    start(&f);
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake_http_url(f.fake), 1);
    o = aws_env_options(f.fake);
    o.region = NULL;
    assert_ok(aws_new(&o, &f.aws, e));
    assert_string_equal(aws_region(f.aws), "ap-south-1");
    assert_string_equal(aws_region_source(f.aws), "from the instance metadata service");
    assert_creds(f.aws, "ASIALOCAL1", "s", "t", "role proxy-role of this instance");
    stop(&f);
}

static void test_role_credentials_are_renewed_before_they_end(void **state)
{
    struct fixture f = {0};
    char soon[CLOCK_ISO_LEN];

    start(&f);
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake_http_url(f.fake), 1);
    f.clouds.expiration = clock_iso8601(soon, clock_real_s() + 200);
    open_client(&f, NULL);
    assert_creds(f.aws, "ASIALOCAL1", "s", "t", "proxy-role");
    /* aws_credentials_source() in there asked again already. */
    f.clouds.expiration = NULL;
    assert_creds(f.aws, "ASIALOCAL3", "s", "t", "proxy-role");
    assert_creds(f.aws, "ASIALOCAL3", "s", "t", "proxy-role");
    stop(&f);
}

static void test_renewal_that_fails_keeps_what_still_works(void **state)
{
    struct fixture f = {0};
    char soon[CLOCK_ISO_LEN];

    start(&f);
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake_http_url(f.fake), 1);
    f.clouds.expiration = clock_iso8601(soon, clock_real_s() + 200);
    open_client(&f, NULL);
    assert_creds(f.aws, "ASIALOCAL1", "s", "t", "proxy-role");
    fake_http_stop(f.fake);
    f.fake = NULL;
    assert_creds(f.aws, "ASIALOCAL2", "s", "t", "proxy-role");
    stop(&f);
}

static void test_nothing_anywhere_lists_the_places(void **state)
{
    struct fixture f = {0};
    struct creds *c = NULL;

    start(&f);
    open_client(&f, NULL);
    assert_fails(client_creds(f.aws, &c, e), ERR_DENIED, "no AWS credentials: looked at");
    assert_fails(client_creds(f.aws, &c, e), ERR_DENIED, "AWS_EC2_METADATA_DISABLED");
    stop(&f);
}

static void test_unbelievable_keys_are_refused(void **state)
{
    static const char *const bad[][2] = {
        {"A B", "x"}, {"A\nX-Evil: 1", "x"}, {"", "x"}, {"A", ""}, {"A", "\x01"}};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct creds *c = NULL;

        assert_fails(creds_new(bad[i][0], bad[i][1], NULL, CREDS_NO_END, "there", &c, e),
                     ERR_INPUT, "there");
    }
}

static void test_region_and_endpoints(void **state)
{
    struct aws_options o = {0};
    struct aws *aws = NULL;

    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    assert_fails(aws_new(&o, &aws, e), ERR_USAGE,
                 "no AWS region: give --region, set AWS_REGION");
    setenv("AWS_DEFAULT_REGION", "not a region", 1);
    assert_fails(aws_new(&o, &aws, e), ERR_USAGE, "AWS_DEFAULT_REGION");
    setenv("AWS_REGION", "cn-north-1", 1);
    aws_env_file("config", "[default]\nservices = dev\n[services dev]\nec2 =\n"
                           "  endpoint_url = https://ec2.dev.example:8443/api/\n");
    assert_ok(aws_new(&o, &aws, e));
    assert_string_equal(aws_partition(aws), "aws-cn");
    assert_string_equal(aws_endpoint(aws, AWS_EC2), "https://ec2.dev.example:8443/api");
    assert_string_equal(aws->client->endpoints[AWS_EC2].host, "ec2.dev.example:8443");
    assert_string_equal(aws->client->endpoints[AWS_EC2].prefix, "/api");
    assert_string_equal(aws_endpoint(aws, AWS_S3),
                        "https://s3.cn-north-1.amazonaws.com.cn");
    aws_free(aws);
    setenv("AWS_ENDPOINT_URL", "http://localhost:4566", 1);
    setenv("AWS_ENDPOINT_URL_S3", "https://s3.example", 1);
    assert_ok(aws_new(&o, &aws, e));
    assert_string_equal(aws_endpoint(aws, AWS_EC2), "http://localhost:4566");
    assert_string_equal(aws_endpoint(aws, AWS_S3), "https://s3.example");
    aws_free(aws);
    aws = NULL;
    setenv("AWS_ENDPOINT_URL_EC2", "http://ec2.example.com", 1);
    assert_fails(aws_new(&o, &aws, e), ERR_USAGE, "AWS_ENDPOINT_URL_EC2: http://ec2");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
    assert_ok(aws_new(&o, &aws, e));
    assert_string_equal(aws_endpoint(aws, AWS_EC2),
                        "https://ec2.cn-north-1.amazonaws.com.cn");
    aws_free(aws);
}

static void test_caller_identity_and_assumed_client(void **state)
{
    struct fixture f = {0};
    struct sts_identity id = {0};
    struct aws *as = NULL;

    start(&f);
    aws_env_keys();
    open_client(&f, NULL);
    assert_ok(sts_get_caller_identity(f.aws, &id, e));
    assert_string_equal(id.account, "123456789012");
    assert_string_equal(id.arn, "arn:aws:iam::123456789012:user/x");
    sts_identity_release(&id);
    assert_ok(sts_assume_role(f.aws, "arn:r", "hotadd-import", "vmimport", 900, &as, e));
    assert_creds(as, "ASIAROLE1", "role-secret", "role-token", "role arn:r");
    assert_ok(sts_get_caller_identity(as, &id, e));
    assert_true(fake_has_header(fake_http_request(f.fake, 2), "Authorization",
                                "Credential=ASIAROLE1/"));
    sts_identity_release(&id);
    aws_free(as);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, aws_env_setup, aws_env_teardown)
        T(test_environment_comes_first),
        T(test_profile_option_beats_the_environment),
        T(test_half_a_key_is_named),
        T(test_profiles_in_both_files),
        T(test_files_are_read_again_when_keys_expire),
        T(test_role_through_source_profile),
        T(test_role_of_a_role),
        T(test_role_from_environment_and_instance),
        T(test_broken_profiles_are_explained),
        T(test_unknown_profile_is_named),
        T(test_credential_process),
        T(test_command_lines_are_split_as_by_a_shell),
        T(test_container_agent),
        T(test_container_agent_elsewhere_is_refused),
        T(test_web_identity),
        T(test_instance_role_and_region),
        T(test_role_credentials_are_renewed_before_they_end),
        T(test_renewal_that_fails_keeps_what_still_works),
        T(test_nothing_anywhere_lists_the_places),
        T(test_unbelievable_keys_are_refused),
        T(test_region_and_endpoints),
        T(test_caller_identity_and_assumed_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
