/* AWS's published vectors: the Signature Version 4 test suite (us-east-1, service
 * "service", 20150830T123600Z) and the examples of the S3 API Reference. */
#include "test.h"

#include "aws/sigv4.h"
#include "aws/uri.h"

#define H(name, value)                                                                   \
    {                                                                                    \
        name, value                                                                      \
    }
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct vector {
    const char *name, *method, *path, *query;
    struct http_header headers[6];
    const char *body, *signed_headers, *signature;
};

#define HOST H("Host", "example.amazonaws.com")
#define DATE H("X-Amz-Date", "20150830T123600Z")
#define TOKEN                                                                            \
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAe"  \
    "MicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZ" \
    "ampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVq" \
    "r7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICC" \
    "R/oLxBA=="

static const struct vector suite[] = {
    {"get-vanilla",
     "GET",
     "/",
     "",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-vanilla-query-order-key-case",
     "GET",
     "/",
     "Param2=value2&Param1=value1",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-query-order-encoded",
     "GET",
     "/",
     "Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
    {"get-vanilla-query-unreserved",
     "GET",
     "/",
     "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789"
     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-vanilla-utf8-query",
     "GET",
     "/",
     "\u1234=bar",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"get-utf8",
     "GET",
     "/\u1234",
     "",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-unreserved",
     "GET",
     "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     "",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"normalize-path/get-space",
     "GET",
     "/example space/",
     "",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {"normalize-path/get-slashes",
     "GET",
     "//example//",
     "",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
    {"normalize-path/get-slash",
     "GET",
     "//",
     "",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"normalize-path/get-slash-dot-slash",
     "GET",
     "/./",
     "",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"normalize-path/get-slash-pointless-dot",
     "GET",
     "/./example",
     "",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
    {"normalize-path/get-relative-relative",
     "GET",
     "/example1/example2/../..",
     "",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-header-key-duplicate",
     "GET",
     "/",
     "",
     {HOST, H("My-Header1", "value2"), H("My-Header1", "value2"),
      H("My-Header1", "value1"), DATE},
     "",
     "host;my-header1;x-amz-date",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"get-header-value-order",
     "GET",
     "/",
     "",
     {HOST, H("My-Header1", "value4"), H("My-Header1", "value1"),
      H("My-Header1", "value3"), H("My-Header1", "value2"), DATE},
     "",
     "host;my-header1;x-amz-date",
     "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {"get-header-value-trim",
     "GET",
     "/",
     "",
     {HOST, H("My-Header1", " value1"), H("My-Header2", " \"a   b   c\""), DATE},
     "",
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"post-vanilla",
     "POST",
     "/",
     "",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-vanilla-query",
     "POST",
     "/",
     "Param1=value1",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {"post-header-key-sort",
     "POST",
     "/",
     "",
     {HOST, H("My-Header1", "value1"), DATE},
     "",
     "host;my-header1;x-amz-date",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post-header-value-case",
     "POST",
     "/",
     "",
     {HOST, H("My-Header1", "VALUE1"), DATE},
     "",
     "host;my-header1;x-amz-date",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post-x-www-form-urlencoded",
     "POST",
     "/",
     "",
     {H("Content-Type", "application/x-www-form-urlencoded"), HOST, DATE},
     "Param1=value1",
     "content-type;host;x-amz-date",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    {"post-x-www-form-urlencoded-parameters",
     "POST",
     "/",
     "",
     {H("Content-Type", "application/x-www-form-urlencoded; charset=utf8"), HOST, DATE},
     "Param1=value1",
     "content-type;host;x-amz-date",
     "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
    {"post-sts-header-before",
     "POST",
     "/",
     "",
     {HOST, DATE, H("X-Amz-Security-Token", TOKEN)},
     "",
     "host;x-amz-date;x-amz-security-token",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
    {"post-sts-header-after",
     "POST",
     "/",
     "",
     {HOST, DATE},
     "",
     "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"get-vanilla-with-session-token",
     "GET",
     "/",
     "",
     {HOST, DATE,
      H("X-Amz-Security-Token",
        "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267")},
     "",
     "host;x-amz-date;x-amz-security-token",
     "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
};

static size_t n_headers(const struct vector *v)
{
    size_t n = 0;

    while (n < 6 && v->headers[n].name)
        n++;
    return n;
}

static void sha256_hex(const char *text, char out[SHA256_HEX_LEN])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char sum[SHA256_BYTES];

    digest_sha256(text, strlen(text), sum);
    for (int i = 0; i < SHA256_BYTES; i++) {
        out[2 * i] = digits[sum[i] >> 4];
        out[2 * i + 1] = digits[sum[i] & 15];
    }
    out[64] = 0;
}

static char *authorization(const struct sigv4_request *r, const char *id,
                           const char *secret)
{
    struct secret *key = NULL;
    char *auth = NULL;

    assert_ok(secret_new(secret, strlen(secret), &key, e));
    assert_ok(sigv4_sign(r, id, key, &auth, e));
    secret_free(key);
    return auth;
}

static void test_signature_v4_suite(void **state)
{
    for (size_t i = 0; i < sizeof suite / sizeof suite[0]; i++) {
        const struct vector *v = &suite[i];
        char sum[SHA256_HEX_LEN], want[1024];
        struct sigv4_request r = {.method = v->method,
                                  .path = v->path,
                                  .query = v->query,
                                  .headers = v->headers,
                                  .n_headers = n_headers(v),
                                  .payload_sha256 = sum,
                                  .date = "20150830T123600Z",
                                  .region = "us-east-1",
                                  .service = "service"};
        char *auth;

        sha256_hex(v->body, sum);
        auth =
            authorization(&r, "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        snprintf(want, sizeof want,
                 "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/"
                 "aws4_request, SignedHeaders=%s, Signature=%s",
                 v->signed_headers, v->signature);
        if (strcmp(auth, want) != 0)
            fail_msg("%s: got %s", v->name, auth);
        free(auth);
    }
}

#define S3_HOST  H("Host", "examplebucket.s3.amazonaws.com")
#define S3_DATE  H("x-amz-date", "20130524T000000Z")
#define S3_EMPTY H("x-amz-content-sha256", EMPTY_SHA256)

static const struct vector s3[] = {
    {"GET object",
     "GET",
     "/test.txt",
     "",
     {S3_HOST, H("Range", "bytes=0-9"), S3_EMPTY, S3_DATE},
     "",
     NULL,
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"PUT object",
     "PUT",
     "test$file.text",
     "",
     {S3_HOST, H("Date", "Fri, 24 May 2013 00:00:00 GMT"), S3_DATE,
      H("x-amz-storage-class", "REDUCED_REDUNDANCY"),
      H("x-amz-content-sha256",
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072")},
     "Welcome to Amazon S3.",
     NULL,
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"GET bucket lifecycle",
     "GET",
     "/",
     "lifecycle",
     {S3_HOST, S3_DATE, S3_EMPTY},
     "",
     NULL,
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"list objects",
     "GET",
     "/",
     "max-keys=2&prefix=J",
     {S3_HOST, S3_DATE, S3_EMPTY},
     "",
     NULL,
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

static void test_s3_examples(void **state)
{
    for (size_t i = 0; i < sizeof s3 / sizeof s3[0]; i++) {
        const struct vector *v = &s3[i];
        char sum[SHA256_HEX_LEN];
        auto_buf struct buf path = BUF_INIT;
        struct sigv4_request r = {.method = v->method,
                                  .query = v->query,
                                  .headers = v->headers,
                                  .n_headers = n_headers(v),
                                  .payload_sha256 = sum,
                                  .date = "20130524T000000Z",
                                  .region = "us-east-1",
                                  .service = "s3",
                                  .s3 = true};
        char *auth;

        /* Keys are encoded once, for the wire and for the signature alike. */
        if (v->path[0] != '/')
            buf_addc(&path, '/');
        uri_encode_path(&path, v->path, strlen(v->path));
        r.path = buf_str(&path);
        sha256_hex(v->body, sum);
        auth = authorization(&r, "AKIAIOSFODNN7EXAMPLE",
                             "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        if (strcmp(strstr(auth, "Signature=") + 10, v->signature) != 0)
            fail_msg("%s: got %s", v->name, auth);
        free(auth);
    }
}

static void test_s3_path_is_signed_as_sent(void **state)
{
    const struct http_header h[] = {S3_HOST, S3_DATE};
    struct sigv4_request r = {.method = "GET",
                              .path = "/a//b/../c",
                              .query = "",
                              .headers = h,
                              .n_headers = 2,
                              .payload_sha256 = EMPTY_SHA256,
                              .date = "20130524T000000Z",
                              .region = "us-east-1",
                              .service = "s3",
                              .s3 = true};
    char *as_sent = authorization(&r, "A", "B"), *tidied;

    r.path = "/a/c";
    tidied = authorization(&r, "A", "B");
    assert_string_not_equal(as_sent, tidied);
    free(as_sent);
    free(tidied);
}

static void test_bad_date_is_refused(void **state)
{
    struct sigv4_request r = {.method = "GET", .path = "/", .query = "", .date = "today"};
    char *auth = NULL;

    assert_fails(sigv4_sign(&r, "A", NULL, &auth, e), ERR_USAGE, "today");
    assert_null(auth);
}

static void test_percent_coding_comes_back(void **state)
{
    auto_buf struct buf coded = BUF_INIT, plain = BUF_INIT;
    unsigned char all[256];

    for (int i = 0; i < 256; i++)
        all[i] = (unsigned char)i;
    uri_encode(&coded, all, sizeof all);
    uri_decode(&plain, buf_str(&coded), coded.len);
    assert_int_equal(plain.len, sizeof all);
    assert_memory_equal(plain.data, all, sizeof all);
    buf_reset(&plain);
    uri_decode(&plain, "100%", 4);
    assert_string_equal(buf_str(&plain), "100%");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signature_v4_suite),
        cmocka_unit_test(test_s3_examples),
        cmocka_unit_test(test_s3_path_is_signed_as_sent),
        cmocka_unit_test(test_bad_date_is_refused),
        cmocka_unit_test(test_percent_coding_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
