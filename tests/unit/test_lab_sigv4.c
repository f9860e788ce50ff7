/* The lab's verification of Signature Version 4, against the values that AWS published
 * (its "Signature Version 4 test suite") and a few made with botocore. */
#include "test.h"

#include "lab/sigv4.h"

#include "base/clock.h"
#include "base/str.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define NOW    1440938160 /* 2015-08-30T12:36:00Z */

struct header {
    const char *name, *value;
};

struct vector {
    const char *method, *path, *query, *body, *signed_headers, *signature;
    struct header extra[3];
};

static void fill(const struct vector *v, struct http_request *rq)
{
    memset(rq, 0, sizeof *rq);
    rq->method = strdup(v->method);
    rq->path = strdup(v->path);
    rq->raw_query = strdup(v->query);
    buf_adds(&rq->body, v->body);
    assert_ok(http_header_add(&rq->headers, "host", "example.amazonaws.com", e));
    assert_ok(http_header_add(&rq->headers, "x-amz-date", "20150830T123600Z", e));
    for (size_t i = 0; i < 3 && v->extra[i].name; i++)
        assert_ok(http_header_add(&rq->headers, v->extra[i].name, v->extra[i].value, e));
}

static void authorize(struct http_request *rq, const char *signed_headers,
                      const char *signature)
{
    char text[400];

    snprintf(text, sizeof text,
             "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/"
             "aws4_request, SignedHeaders=%s, Signature=%s",
             signed_headers, signature);
    assert_ok(http_header_add(&rq->headers, "authorization", text, e));
}

static const struct vector vectors[] = {
    /* get-vanilla */
    {"GET",
     "/",
     "",
     "",
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
     {{0}}},
    /* get-vanilla-query-order-key-case */
    {"GET",
     "/",
     "Param2=value2&Param1=value1",
     "",
     "host;x-amz-date",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
     {{0}}},
    /* get-unreserved */
    {"GET",
     "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     "",
     "",
     "host;x-amz-date",
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
     {{0}}},
    /* post-x-www-form-urlencoded */
    {"POST",
     "/",
     "",
     "Param1=value1",
     "content-type;host;x-amz-date",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
     {{"content-type", "application/x-www-form-urlencoded"}}},
    /* get-vanilla-utf8-query */
    {"GET",
     "/",
     "%E1%88%B4=bar",
     "",
     "host;x-amz-date",
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
     {{0}}},
    /* a path to be normalised and escaped twice; botocore */
    {"GET",
     "/a/./b//c/../d%20e/",
     "",
     "",
     "host;x-amz-date",
     "1227524b02626874526f88f9ab4f4fb3074b470418293e9904f609a83b909577",
     {{0}}},
    /* white space in values; botocore */
    {"GET",
     "/",
     "",
     "",
     "host;my-header1;my-header2;x-amz-date",
     "17bf0fd75efb33ef89beb430b0eae198c3ab25cd092abc6a0ed2f1fd854f9a0e",
     {{"my-header1", " value1  x "}, {"my-header2", "\"a   b   c\""}}},
    /* a session token; botocore */
    {"POST",
     "/",
     "",
     "x",
     "host;x-amz-date;x-amz-security-token",
     "2c0e6c2c3e67900524e79b6f3e96cf8741c0d096c11a6210641980cc630c7221",
     {{"x-amz-security-token", "TOKEN"}}},
};

static void test_published_signatures_are_accepted(void **state)
{
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct http_request rq;
        struct sigv4 s;

        fill(&vectors[i], &rq);
        authorize(&rq, vectors[i].signed_headers, vectors[i].signature);
        assert_ok(sigv4_parse(&rq, &s, e));
        assert_string_equal(s.access_key, "AKIDEXAMPLE");
        assert_string_equal(s.service, "service");
        assert_ok(sigv4_check_time(&s, NOW, e));
        assert_ok(sigv4_verify(&rq, &s, SECRET, e));
        sigv4_release(&s);
        http_request_release(&rq);
    }
}

static void test_another_body_or_secret_is_refused(void **state)
{
    struct http_request rq;
    struct sigv4 s;

    fill(&vectors[3], &rq);
    authorize(&rq, vectors[3].signed_headers, vectors[3].signature);
    assert_ok(sigv4_parse(&rq, &s, e));
    assert_fails(sigv4_verify(&rq, &s, "other", e), ERR_CLOUD, "does not match");
    buf_addc(&rq.body, '2');
    assert_fails(sigv4_verify(&rq, &s, SECRET, e), ERR_CLOUD, "does not match");
    sigv4_release(&s);
    http_request_release(&rq);
}

static void test_host_and_amz_headers_must_be_signed(void **state)
{
    struct http_request rq;
    struct sigv4 s;

    fill(&vectors[0], &rq);
    authorize(&rq, "x-amz-date", vectors[0].signature);
    assert_ok(sigv4_parse(&rq, &s, e));
    assert_fails(sigv4_verify(&rq, &s, SECRET, e), ERR_CLOUD, "'Host'");
    sigv4_release(&s);
    http_request_release(&rq);

    fill(&vectors[0], &rq);
    authorize(&rq, "host;x-amz-date", vectors[0].signature);
    assert_ok(http_header_add(&rq.headers, "x-amz-target", "sneaked.in", e));
    assert_ok(sigv4_parse(&rq, &s, e));
    assert_fails(sigv4_verify(&rq, &s, SECRET, e), ERR_CLOUD, "x-amz-target");
    sigv4_release(&s);
    http_request_release(&rq);
}

static void test_the_time_must_be_near(void **state)
{
    struct http_request rq;
    struct sigv4 s;

    fill(&vectors[0], &rq);
    authorize(&rq, vectors[0].signed_headers, vectors[0].signature);
    assert_ok(sigv4_parse(&rq, &s, e));
    assert_ok(sigv4_check_time(&s, NOW + 899, e));
    assert_fails(sigv4_check_time(&s, NOW + 901, e), ERR_CLOUD, "expired");
    assert_fails(sigv4_check_time(&s, NOW - 901, e), ERR_CLOUD, "expired");
    free(s.date);
    s.date = strdup("20150831");
    assert_fails(sigv4_check_time(&s, NOW, e), ERR_CLOUD, "scope");
    sigv4_release(&s);
    http_request_release(&rq);
}

static void test_malformed_headers_are_named(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"Basic dXNlcg==", "algorithm"},
        {"AWS4-HMAC-SHA256 SignedHeaders=host", "Credential"},
        {"AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws4_request", "SignedHeaders"},
        {"AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws4_request, SignedHeaders=host, "
         "Signature=xyz",
         "Signature"},
        {"AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, "
         "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
         "5 slash-delimited"},
        {"AWS4-HMAC-SHA256 Credential=a, Credential=b", "repeated"},
    };
    struct sigv4 s;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(sigv4_parse_header(bad[i].text, &s, e), ERR_CLOUD, bad[i].why);
}

static void test_a_presigned_request_verifies_until_it_expires(void **state)
{
    static const char head[] =
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2F"
        "us-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-Expires="
        "1800&X-Amz-SignedHeaders=host&X-Amz-Signature=";
    struct vector v = {"GET", "/", "", "", "", "", {{0}}};
    struct http_request rq;
    char hex[SIGV4_HEX_LEN], query[500];
    struct sigv4 s;

    snprintf(query, sizeof query, "%s%064d", head, 0);
    v.query = query;
    fill(&v, &rq);
    /* The date travels in the query. */
    free(rq.headers.v[1].name);
    free(rq.headers.v[1].value);
    rq.headers.n = 1;
    assert_ok(sigv4_parse(&rq, &s, e));
    assert_ok(sigv4_sign(&rq, &s, SECRET, hex, e));
    assert_fails(sigv4_verify(&rq, &s, SECRET, e), ERR_CLOUD, "does not match");
    free(s.signature);
    s.signature = strdup(hex);
    assert_ok(sigv4_verify(&rq, &s, SECRET, e));
    assert_ok(sigv4_check_time(&s, NOW + 1799, e));
    assert_fails(sigv4_check_time(&s, NOW + 1801, e), ERR_CLOUD, "expired");
    sigv4_release(&s);
    http_request_release(&rq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_signatures_are_accepted),
        cmocka_unit_test(test_another_body_or_secret_is_refused),
        cmocka_unit_test(test_host_and_amz_headers_must_be_signed),
        cmocka_unit_test(test_the_time_must_be_near),
        cmocka_unit_test(test_malformed_headers_are_named),
        cmocka_unit_test(test_a_presigned_request_verifies_until_it_expires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
