/* The pieces of the lab's S3 by themselves: the signatures that Amazon publishes as
 * examples, chunks, checksums, targets, ranges, documents. */
#include "test.h"

#include "lab/s3_chunked.h"
#include "lab/s3_request.h"
#include "lab/s3_sum.h"

#include "base/str.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define SCOPE  "20130524/us-east-1/s3/aws4_request"
#define EMPTY  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* ---- "Authenticating Requests: Using the Authorization Header", its examples ---- */

struct example {
    const char *method, *path, *query, *signed_headers, *sha256, *signature;
    const char *headers[8];
};

static const struct example examples[] = {
    {"GET",
     "/test.txt",
     "",
     "host;range;x-amz-content-sha256;x-amz-date",
     EMPTY,
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
     {"range", "bytes=0-9"}},
    {"PUT",
     "/test%24file.text",
     "",
     "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
     "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
     {"date", "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class",
      "REDUCED_REDUNDANCY"}},
    {"GET",
     "/",
     "lifecycle",
     "host;x-amz-content-sha256;x-amz-date",
     EMPTY,
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
     {NULL}},
    {"GET",
     "/",
     "max-keys=2&prefix=J",
     "host;x-amz-content-sha256;x-amz-date",
     EMPTY,
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
     {NULL}},
};

static void fill(const struct example *x, struct http_request *rq)
{
    char auth[400];

    *rq = (struct http_request){.method = strdup(x->method),
                                .path = strdup(x->path),
                                .raw_query = strdup(x->query)};
    snprintf(auth, sizeof auth,
             "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/" SCOPE
             ",SignedHeaders=%s,Signature=%s",
             x->signed_headers, x->signature);
    assert_ok(http_header_add(&rq->headers, "host", "examplebucket.s3.amazonaws.com", e));
    assert_ok(http_header_add(&rq->headers, "x-amz-date", "20130524T000000Z", e));
    assert_ok(http_header_add(&rq->headers, "x-amz-content-sha256", x->sha256, e));
    assert_ok(http_header_add(&rq->headers, "authorization", auth, e));
    for (size_t i = 0; x->headers[i]; i += 2)
        assert_ok(http_header_add(&rq->headers, x->headers[i], x->headers[i + 1], e));
}

static void test_published_examples_verify(void **state)
{
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        struct http_request rq;
        struct sigv4 s = {0};

        fill(&examples[i], &rq);
        assert_ok(sigv4_parse(&rq, &s, e));
        assert_ok(sigv4_verify(&rq, &s, SECRET, e));
        assert_fails(sigv4_verify(&rq, &s, SECRET "x", e), ERR_CLOUD, "does not match");
        sigv4_release(&s);
        http_request_release(&rq);
    }
}

/* ---- chunks ---- */

static int collect(void *ctx, const void *data, size_t len, struct err *e)
{
    buf_add(ctx, data, len);
    return 0;
}

static void chain(struct s3_chain *ret, const char *seed)
{
    const struct sigv4 s = {.date = (char *)"20130524",
                            .region = (char *)"us-east-1",
                            .service = (char *)"s3"};

    *ret = (struct s3_chain){.date = "20130524T000000Z", .scope = SCOPE};
    snprintf(ret->before, sizeof ret->before, "%s", seed);
    assert_ok(sigv4_key(&s, SECRET, ret->key, e));
}

/* 65,536 and 1,024 letters, as in the examples of the documentation. */
static void example_body(struct buf *b, const char *sig1, const char *sig2,
                         const char *rest)
{
    buf_addf(b, "10000;chunk-signature=%s\r\n", sig1);
    for (int i = 0; i < 65536; i++)
        buf_addc(b, 'a');
    buf_addf(b, "\r\n400;chunk-signature=%s\r\n", sig2);
    for (int i = 0; i < 1024; i++)
        buf_addc(b, 'a');
    buf_addf(b, "\r\n%s", rest);
}

static const struct {
    const char *seed, *sig1, *sig2, *rest;
} chunk_examples[] = {
    /* "Transferring payload in multiple chunks" */
    {"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
     "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
     "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
     "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
     "\r\n\r\n"},
    /* "…including trailing headers" */
    {"106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
     "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
     "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
     "0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"
     "\r\nx-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"
     "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"},
};

static void test_published_chunks_verify(void **state)
{
    for (size_t i = 0; i < sizeof chunk_examples / sizeof chunk_examples[0]; i++) {
        auto_buf struct buf body = BUF_INIT, out = BUF_INIT, sum64 = BUF_INIT;
        struct s3_chain first;
        struct s3_chunked *c;
        struct s3_sum *sum;

        chain(&first, chunk_examples[i].seed);
        example_body(&body, chunk_examples[i].sig1, chunk_examples[i].sig2,
                     chunk_examples[i].rest);
        assert_ok(s3_chunked_new(&first, collect, &out, &c, e));
        assert_ok(s3_chunked_feed(c, body.data, body.len, e));
        assert_ok(s3_chunked_end(c, e));
        assert_int_equal(out.len, 66560);
        if (i == 1) {
            assert_ok(s3_sum_new(S3_SUM_CRC32C, &sum, e));
            s3_sum_update(sum, out.data, out.len);
            s3_sum_final(sum, &sum64);
            s3_sum_free(sum);
            assert_string_equal(s3_chunked_trailer(c, "x-amz-checksum-crc32c"),
                                buf_str(&sum64));
        }
        s3_chunked_free(c);
    }
}

static void test_a_changed_chunk_is_refused(void **state)
{
    for (size_t i = 0; i < sizeof chunk_examples / sizeof chunk_examples[0]; i++)
        for (int where = 0; where < 3; where++) {
            auto_buf struct buf body = BUF_INIT, out = BUF_INIT;
            struct s3_chain first;
            struct s3_chunked *c;
            char *at;

            chain(&first, chunk_examples[i].seed);
            example_body(&body, chunk_examples[i].sig1, chunk_examples[i].sig2,
                         chunk_examples[i].rest);
            at = where == 0   ? body.data + 1000
                 : where == 1 ? strstr(body.data, "\r\n400;") + 100
                              : strstr(body.data, "\r\n0;chunk-signature=") + 25;
            *at = *at == 'b' ? 'c' : 'b';
            assert_ok(s3_chunked_new(&first, collect, &out, &c, e));
            assert_fails(s3_chunked_feed(c, body.data, body.len, e), ERR_CLOUD,
                         "does not match");
            s3_chunked_free(c);
        }
}

static void test_chunks_may_be_split_anywhere(void **state)
{
    static const char body[] =
        "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-One: 1\r\nx-two:2\r\n\r\n";

    for (size_t step = 1; step < sizeof body; step++) {
        auto_buf struct buf out = BUF_INIT;
        struct s3_chunked *c;

        assert_ok(s3_chunked_new(NULL, collect, &out, &c, e));
        for (size_t at = 0; at < sizeof body - 1; at += step) {
            size_t left = sizeof body - 1 - at;

            assert_fails(s3_chunked_end(c, e), ERR_CLOUD, "last chunk");
            assert_ok(s3_chunked_feed(c, body + at, left < step ? left : step, e));
        }
        assert_ok(s3_chunked_end(c, e));
        assert_string_equal(buf_str(&out), "abcde");
        assert_string_equal(s3_chunked_trailer(c, "x-one"), "1");
        assert_string_equal(s3_chunked_trailer(c, "x-two"), "2");
        assert_null(s3_chunked_trailer(c, "x-three"));
        s3_chunked_free(c);
    }
}

static void test_what_is_no_chunk_is_refused(void **state)
{
    static const char *const bad[] = {"x\r\n",         "\r\n",
                                      "-1\r\n",        "1 \r\na",
                                      "1\r\nab\r\n",   "0\r\nnocolon\r\n",
                                      "0\r\n\r\nmore", "1000000000000000\r\n"};
    char line[4000];

    for (size_t i = 0; i <= sizeof bad / sizeof bad[0]; i++) {
        auto_buf struct buf out = BUF_INIT;
        struct s3_chunked *c;
        const char *text = line;

        memset(line, '1', sizeof line - 1);
        line[sizeof line - 1] = 0;
        if (i < sizeof bad / sizeof bad[0])
            text = bad[i];
        assert_ok(s3_chunked_new(NULL, collect, &out, &c, e));
        assert_fails(s3_chunked_feed(c, text, strlen(text), e), ERR_CLOUD,
                     "not in the form of aws-chunked");
        s3_chunked_free(c);
    }
}

static void test_checksums_of_the_digits(void **state)
{
    static const char *const want[S3_SUM_KINDS] = {
        [S3_SUM_CRC32] = "y/Q5Jg==",
        [S3_SUM_CRC32C] = "4waSgw==",
        [S3_SUM_CRC64NVME] = "rosUhgp5mIg=",
        [S3_SUM_SHA1] = "98O8HYCOBHMq32eZZczDTKeuNEE=",
        [S3_SUM_SHA256] = "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="};

    for (int k = S3_SUM_CRC32; k < S3_SUM_KINDS; k++) {
        auto_buf struct buf out = BUF_INIT;
        struct s3_sum *s;

        assert_int_equal(s3_sum_kind_of(s3_sum_name(k)), k);
        assert_ok(s3_sum_new(k, &s, e));
        s3_sum_update(s, "1234", 4);
        s3_sum_update(s, "56789", 5);
        s3_sum_final(s, &out);
        s3_sum_free(s);
        assert_string_equal(buf_str(&out), want[k]);
    }
}

/* ---- targets ---- */

static void test_targets(void **state)
{
    static const struct {
        const char *host, *path, *bucket, *key;
    } rows[] = {
        {"127.0.0.1:80", "/", NULL, NULL},
        {"127.0.0.1:80", "/bucket", "bucket", NULL},
        {"127.0.0.1:80", "/bucket/", "bucket", NULL},
        {"localhost", "/bucket/a%2Fb", "bucket", "a/b"},
        {"localhost", "/bucket//a", "bucket", "/a"},
        {"bucket.localhost:80", "/", "bucket", NULL},
        {"Bucket.LOCALHOST", "/a/b", "Bucket", "a/b"},
        {".localhost", "/a/b", "a", "b"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        auto_s3_target struct s3_target t = {0};
        struct http_request rq = {.path = (char *)rows[i].path,
                                  .raw_query = (char *)"a=1%2B&b&c=x=y"};

        assert_ok(http_header_add(&rq.headers, "host", rows[i].host, e));
        assert_ok(s3_target_parse(&rq, &t, e));
        assert_true(str_eq_null(t.bucket, rows[i].bucket));
        assert_true(str_eq_null(t.key, rows[i].key));
        assert_string_equal(s3_param(&t, "a"), "1+");
        assert_string_equal(s3_param(&t, "b"), "");
        assert_string_equal(s3_param(&t, "c"), "x=y");
        rq.path = rq.raw_query = NULL;
        http_request_release(&rq);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_examples_verify),
        cmocka_unit_test(test_published_chunks_verify),
        cmocka_unit_test(test_a_changed_chunk_is_refused),
        cmocka_unit_test(test_chunks_may_be_split_anywhere),
        cmocka_unit_test(test_what_is_no_chunk_is_refused),
        cmocka_unit_test(test_checksums_of_the_digits),
        cmocka_unit_test(test_targets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
