#include "lab_fixture.h"

#include "lab/imds.h"

#include "base/str.h"

static void ask(struct lab_fixture *f, const char *method, const char *path,
                const char *header, const char *value)
{
    struct http_request rq = {
        .method = strdup(method), .path = strdup(path), .raw_query = strdup("")};

    http_reply_release(&f->rp);
    if (header)
        assert_ok(http_header_add(&rq.headers, header, value, e));
    imds_handle(f->lab, &rq, &f->rp);
    http_request_release(&rq);
}

#define TTL   "x-aws-ec2-metadata-token-ttl-seconds"
#define TOKEN "x-aws-ec2-metadata-token"

static void get_token(struct lab_fixture *f, char out[160])
{
    ask(f, "PUT", "/latest/api/token", TTL, "60");
    assert_int_equal(f->rp.status, 200);
    snprintf(out, 160, "%s", buf_str(&f->rp.body));
}

static void expect(struct lab_fixture *f, const char *token, const char *path,
                   const char *want)
{
    ask(f, "GET", path, TOKEN, token);
    if (f->rp.status != 200 || !str_eq(buf_str(&f->rp.body), want))
        fail_msg("%s: %u: %s", path, f->rp.status, buf_str(&f->rp.body));
}

static void test_values_need_a_token(void **state)
{
    struct lab_fixture *f = *state;
    char token[160];

    ask(f, "GET", "/latest/meta-data/instance-id", NULL, NULL);
    assert_int_equal(f->rp.status, 401);
    ask(f, "GET", "/latest/meta-data/instance-id", TOKEN, "forged");
    assert_int_equal(f->rp.status, 401);
    get_token(f, token);
    token[strlen(token) - 1] ^= 1;
    ask(f, "GET", "/latest/meta-data/instance-id", TOKEN, token);
    assert_int_equal(f->rp.status, 401);
    token[strlen(token) - 1] ^= 1;
    expect(f, token, "/latest/meta-data/instance-id", lab_meta(f->lab, "proxy"));
    lab_reopen(f);
    expect(f, token, "/latest/meta-data/instance-id", lab_meta(f->lab, "proxy"));
}

static void test_token_requests_are_checked(void **state)
{
    static const char *const bad[] = {"0", "21601", "x", "-1", ""};
    struct lab_fixture *f = *state;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ask(f, "PUT", "/latest/api/token", TTL, bad[i]);
        assert_int_equal(f->rp.status, 400);
    }
    ask(f, "PUT", "/latest/api/token", NULL, NULL);
    assert_int_equal(f->rp.status, 400);
    ask(f, "GET", "/latest/api/token", TTL, "60");
    assert_int_equal(f->rp.status, 405);
}

static void test_the_proxy_learns_what_it_is(void **state)
{
    struct lab_fixture *f = *state;
    char token[160], path[200], mac[40];

    get_token(f, token);
    expect(f, token, "/latest/meta-data/placement/availability-zone", "us-east-1a");
    expect(f, token, "/latest/meta-data/placement/region", "us-east-1");
    expect(f, token, "/latest/meta-data/instance-type", "m5.large");
    expect(f, token, "/latest/meta-data//local-ipv4/", "172.31.0.10");
    expect(f, token, "/latest/meta-data/services/domain", "amazonaws.com");
    expect(f, token, "/latest/meta-data/hostname", "ip-172-31-0-10.ec2.internal");
    expect(f, token, "/latest/meta-data/iam/security-credentials/", LAB_ROLE);
    expect(f, token, "/latest/meta-data/block-device-mapping/root", "/dev/xvda");
    ask(f, "GET", "/latest/meta-data/mac", TOKEN, token);
    snprintf(mac, sizeof mac, "%s", buf_str(&f->rp.body));
    snprintf(path, sizeof path,
             "/latest/meta-data/network/interfaces/macs/%s/vpc-ipv4-cidr-block", mac);
    expect(f, token, path, "172.31.0.0/16");
    ask(f, "GET", "/latest/dynamic/instance-identity/document", TOKEN, token);
    assert_non_null(strstr(buf_str(&f->rp.body), "\"region\": \"us-east-1\""));
    ask(f, "GET", "/latest/meta-data/nothing", TOKEN, token);
    assert_int_equal(f->rp.status, 404);
    ask(f, "GET", "/latest/user-data", TOKEN, token);
    assert_int_equal(f->rp.status, 404);
}

static void test_the_role_s_credentials_sign_requests(void **state)
{
    struct lab_fixture *f = *state;
    char token[160], arn[80];
    json_t *doc;

    get_token(f, token);
    ask(f, "GET", "/latest/meta-data/iam/security-credentials/" LAB_ROLE, TOKEN, token);
    doc = json_loads(buf_str(&f->rp.body), 0, NULL);
    f->key = json_string_value(json_object_get(doc, "AccessKeyId"));
    f->secret = json_string_value(json_object_get(doc, "SecretAccessKey"));
    f->token = json_string_value(json_object_get(doc, "Token"));
    assert_int_equal(lab_call(f, "sts", "Action=GetCallerIdentity"), 200);
    assert_true(str_starts(lab_value(f, "Arn", arn),
                           "arn:aws:sts::123456789012:assumed-role/" LAB_ROLE "/i-"));
    json_decref(doc);
}

static void test_guests_are_served_by_the_same_handler(void **state)
{
    struct lab_fixture *f = *state;
    struct vm_imds_header ttl = {"X-aws-ec2-metadata-token-ttl-seconds", "30"};
    struct vm_imds_request rq = {.instance_id = lab_meta(f->lab, "proxy"),
                                 .method = "PUT",
                                 .path = "/latest/api/token",
                                 .headers = &ttl,
                                 .n_headers = 1};
    struct vm_imds_reply reply = {.status = 0};
    struct vm_imds_header token = {"X-AWS-EC2-Metadata-Token", NULL};
    char text[160];

    assert_ok(imds_answer_vm(f->lab, &rq, &reply, e));
    assert_int_equal(reply.status, 200);
    snprintf(text, sizeof text, "%s", buf_str(&reply.body));
    buf_release(&reply.body);
    buf_release(&reply.headers);
    token.value = text;
    rq.method = "GET";
    rq.path = "/latest/meta-data/ami-id?x=y";
    rq.headers = &token;
    assert_ok(imds_answer_vm(f->lab, &rq, &reply, e));
    assert_int_equal(reply.status, 200);
    assert_true(str_starts(buf_str(&reply.body), "ami-"));
    assert_non_null(strstr(buf_str(&reply.headers), "Content-Type: text/plain\r\n"));
    buf_release(&reply.body);
    buf_release(&reply.headers);
}

#define LAB_TEST(fn)                                                                     \
    cmocka_unit_test_setup_teardown(fn, lab_fixture_setup, lab_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(test_values_need_a_token),
        LAB_TEST(test_token_requests_are_checked),
        LAB_TEST(test_the_proxy_learns_what_it_is),
        LAB_TEST(test_the_role_s_credentials_sign_requests),
        LAB_TEST(test_guests_are_served_by_the_same_handler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
