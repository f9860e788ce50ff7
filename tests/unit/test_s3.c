/* The S3 client against a small server: what it sends, what it makes of the answers, and
 * what becomes of lost ones. */
#include "test.h"

#include "aws_env.h"

#include "aws/s3.h"
#include "aws/s3_objects.h"
#include "base/clock.h"
#include "base/str.h"

#define S3_ERROR(code)                                                                   \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>" code                     \
    "</Code><Message>m</Message><RequestId>req-1</RequestId></Error>"
#define LIST(more)                                                                       \
    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" more          \
    "</ListBucketResult>"

struct fixture {
    struct fake_script script;
    struct fake_http *fake;
    struct aws *aws;
    struct s3_bucket *b;
};

static void start(struct fixture *f, const struct fake_answer *answers, size_t n)
{
    f->script = (struct fake_script){answers, n};
    f->fake = fake_http_start(fake_script_handler, &f->script, NULL, NULL);
    f->aws = aws_env_client(f->fake);
    assert_ok(s3_bucket_new(f->aws, "bucket", &f->b, e));
}

static void stop(struct fixture *f)
{
    s3_bucket_free(f->b);
    aws_free(f->aws);
    fake_http_stop(f->fake);
}

#define START(...)                                                                       \
    const struct fake_answer answers[] = {__VA_ARGS__};                                  \
    struct fixture f;                                                                    \
    start(&f, answers, sizeof answers / sizeof answers[0])

static const char *uri(struct fixture *f, size_t n)
{
    return fake_http_request(f->fake, n)->uri;
}

static void test_an_object_is_read_whole(void **state)
{
    auto_buf struct buf out = BUF_INIT;
    START({.status = 200, .body = "hello"});

    assert_ok(s3_get_object(f.b, "a/key", 100, &out, e));
    assert_string_equal(buf_str(&out), "hello");
    assert_ok(s3_get_object(f.b, "a/key", 5, &out, e));
    assert_string_equal(buf_str(&out), "hellohello");
    assert_string_equal(uri(&f, 0), "/bucket/a/key");
    assert_string_equal(fake_http_request(f.fake, 0)->method, "GET");
    assert_true(fake_has_header(fake_http_request(f.fake, 0), "x-amz-content-sha256",
                                "e3b0c44298fc1c149afbf4c8996fb924"));
    assert_true(fake_has_header(fake_http_request(f.fake, 0), "authorization",
                                "/eu-west-1/s3/aws4_request"));
    assert_fails(s3_get_object(f.b, "k", 4, &out, e), ERR_INPUT, "larger than 4 bytes");
    stop(&f);
}

static void test_a_small_limit_does_not_hide_the_reason(void **state)
{
    auto_buf struct buf out = BUF_INIT;
    START({.status = 404, .body = S3_ERROR("NoSuchKey")},
          {.status = 404, .body = S3_ERROR("NoSuchBucket")},
          {.status = 403, .body = S3_ERROR("AccessDenied")});

    assert_fails(s3_get_object(f.b, "k", 1, &out, e), ERR_NOT_FOUND,
                 "s3://bucket/k: GetObject: NoSuchKey: m");
    assert_fails(s3_get_object(f.b, "k", 1, &out, e), ERR_NOT_FOUND,
                 "check the bucket's name");
    assert_fails(s3_get_object(f.b, "k", 1, &out, e), ERR_DENIED,
                 "allow s3:GetObject and s3:ListBucket");
    assert_int_equal(out.len, 0);
    stop(&f);
}

static void test_odd_keys_are_sent_as_they_are(void **state)
{
    static const char *const keys[][2] = {
        {"a b+c%2F", "/bucket/a%20b%2Bc%252F"},
        {"../x/./y//z/", "/bucket/../x/./y//z/"},
        {"\xc3\xa4\xe2\x82\xac", "/bucket/%C3%A4%E2%82%AC"},
        {"/lead", "/bucket//lead"},
        {"?&=#;:@", "/bucket/%3F%26%3D%23%3B%3A%40"},
        {"\x01\x7f", "/bucket/%01%7F"},
    };
    START({.status = 204});

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        assert_ok(s3_delete_object(f.b, keys[i][0], e));
        assert_string_equal(uri(&f, i), keys[i][1]);
    }
    stop(&f);
}

static void test_what_is_no_key_is_not_sent(void **state)
{
    char longest[S3_MAX_KEY + 2];
    START({.status = 204});

    memset(longest, 'k', sizeof longest - 1);
    longest[S3_MAX_KEY + 1] = 0;
    assert_fails(s3_delete_object(f.b, longest, e), ERR_USAGE, "1 to 1024 bytes");
    assert_fails(s3_delete_object(f.b, "", e), ERR_USAGE, "1 to 1024 bytes");
    assert_fails(s3_delete_object(f.b, "a\xff", e), ERR_USAGE, "no UTF-8 at its byte 1");
    assert_fails(s3_delete_object(f.b, "\xc0\xaf", e), ERR_USAGE, "no UTF-8");
    assert_fails(s3_delete_object(f.b, "\xed\xa0\x80", e), ERR_USAGE, "no UTF-8");
    assert_fails(s3_delete_object(f.b, "a\xe2\x82", e), ERR_USAGE, "no UTF-8");
    assert_int_equal(fake_http_count(f.fake), 0);
    longest[S3_MAX_KEY] = 0;
    assert_ok(s3_delete_object(f.b, longest, e));
    stop(&f);
}

static void test_bucket_names_follow_the_rules(void **state)
{
    static const char *const bad[] = {"ab",         "Bucket", "a_b",       "-ab",
                                      "ab-",        "a..b",   "192.0.2.1", "a/b/c",
                                      "b\xc3\xa4r", "",       "ab."};
    static const char *const good[] = {"abc", "my.bucket-1", "0ab"};
    char longest[65];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(s3_bucket_name_check(bad[i], e), ERR_USAGE, "is no bucket's name");
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_ok(s3_bucket_name_check(good[i], e));
    memset(longest, 'a', 64);
    longest[64] = 0;
    assert_fails(s3_bucket_name_check(longest, e), ERR_USAGE, "3 to 63");
}

static void test_urls_are_taken_apart(void **state)
{
    static const char *const good[][3] = {{"s3://bucket", "bucket", ""},
                                          {"s3://bucket/", "bucket", ""},
                                          {"s3://bucket/a", "bucket", "a"},
                                          {"s3://buck.et//a/b c//", "buck.et", "a/b c"}};
    static const char *const bad[] = {"s3:bucket", "http://bucket/a", "s3:///a",
                                      "s3://A/b", "s3://bucket/\xff"};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char *bucket, *prefix;

        assert_ok(s3_url_parse(good[i][0], &bucket, &prefix, e));
        assert_string_equal(bucket, good[i][1]);
        assert_string_equal(prefix, good[i][2]);
        free(bucket);
        free(prefix);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char *bucket, *prefix;

        assert_fails(s3_url_parse(bad[i], &bucket, &prefix, e), ERR_USAGE, "");
    }
}

static void test_the_bucket_goes_into_host_or_path(void **state)
{
    static const struct {
        const char *config, *bucket, *host, *uri;
    } rows[] = {
        {"", "bucket", "localhost:", "/bucket/k"},
        {"addressing_style = auto", "bucket", "localhost:", "/bucket/k"},
        {"addressing_style = virtual", "bucket", "bucket.localhost:", "/k"},
        {"addressing_style = virtual", "dotted.bucket", "localhost:", "/dotted.bucket/k"},
        {"addressing_style = path", "bucket", "localhost:", "/bucket/k"},
    };
    static const struct fake_answer answer = {.status = 204};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fake_script script = {&answer, 1};
        struct fake_http *fake =
            fake_http_start(fake_script_handler, &script, NULL, NULL);
        struct aws_options o = aws_env_options(fake);
        char url[64], config[200];
        struct s3_bucket *b;
        struct aws *aws;

        snprintf(url, sizeof url, "http://localhost%s",
                 strrchr(fake_http_url(fake), ':'));
        snprintf(config, sizeof config, "[default]\ns3 =\n  %s\n", rows[i].config);
        o.endpoint_url = url;
        aws_env_keys();
        aws_env_file("config", config);
        assert_ok(aws_new(&o, &aws, e));
        assert_ok(s3_bucket_new(aws, rows[i].bucket, &b, e));
        assert_ok(s3_delete_object(b, "k", e));
        assert_true(fake_has_header(fake_http_request(fake, 0), "host", rows[i].host));
        assert_false(str_starts(rows[i].host, "localhost") &&
                     fake_has_header(fake_http_request(fake, 0), "host", "bucket."));
        assert_string_equal(fake_http_request(fake, 0)->uri, rows[i].uri);
        s3_bucket_free(b);
        aws_free(aws);
        fake_http_stop(fake);
    }
    aws_env_file("config", "[default]\ns3 =\n  addressing_style = funny\n");
    assert_fails(
        aws_new(&(struct aws_options){.region = "eu-west-1"}, &(struct aws *){NULL}, e),
        ERR_USAGE, "'funny' is none of");
    aws_env_file("config", "");
}

/* Where AWS itself is asked: seen in the error, since the proxy on the way is none. */
static void test_aws_is_asked_by_the_buckets_name(void **state)
{
    static const struct {
        const char *region, *bucket, *url;
    } rows[] = {
        {"eu-west-1", "bucket", "https://bucket.s3.eu-west-1.amazonaws.com/a%20b:"},
        {"eu-west-1", "my.bucket", "https://s3.eu-west-1.amazonaws.com/my.bucket/a%20b:"},
        {"cn-north-1", "bucket", "https://bucket.s3.cn-north-1.amazonaws.com.cn/a%20b:"},
    };

    setenv("https_proxy", "http://127.0.0.1:1", 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct aws_options o = aws_env_options(NULL);
        struct s3_bucket *b;
        struct aws *aws;

        o.region = rows[i].region;
        aws_env_keys();
        assert_ok(aws_new(&o, &aws, e));
        assert_ok(s3_bucket_new(aws, rows[i].bucket, &b, e));
        assert_fails(s3_delete_object(b, "a b", e), ERR_NETWORK, rows[i].url);
        s3_bucket_free(b);
        aws_free(aws);
    }
    unsetenv("https_proxy");
}

static void test_a_bucket_is_not_put_before_an_address(void **state)
{
    static const struct fake_answer answer = {.status = 204};
    struct fake_script script = {&answer, 1};
    struct fixture f = {.fake =
                            fake_http_start(fake_script_handler, &script, NULL, NULL)};

    aws_env_file("config", "[default]\ns3 =\n  addressing_style = virtual\n");
    f.aws = aws_env_client(f.fake); /* at 127.0.0.1 */
    aws_env_file("config", "");
    assert_ok(s3_bucket_new(f.aws, "bucket", &f.b, e));
    assert_ok(s3_delete_object(f.b, "k", e));
    assert_string_equal(uri(&f, 0), "/bucket/k");
    stop(&f);
}

static void test_a_range_goes_into_the_callers_memory(void **state)
{
    char buf[6] = "......";
    START({.status = 206, .body = "wor", .headers = "Content-Range: bytes 6-8/11"});

    assert_ok(s3_get_object_range(f.b, "k", 6, buf, 3, e));
    assert_memory_equal(buf, "wor...", 6);
    assert_true(fake_has_header(fake_http_request(f.fake, 0), "range", "bytes=6-8"));
    assert_ok(s3_get_object_range(f.b, "k", 6, NULL, 0, e));
    assert_int_equal(fake_http_count(f.fake), 1);
    stop(&f);
}

static void test_a_wrong_range_is_no_data(void **state)
{
    char buf[10];
    START({.status = 206, .body = "ab", .headers = "Content-Range: bytes 8-9/10"},
          {.status = 206, .body = "abc", .headers = "Content-Range: bytes 7-9/10"},
          {.status = 206, .body = "abc"}, {.status = 200, .body = "abc"},
          {.status = 206, .body = "abcd", .headers = "Content-Range: bytes 8-11/12"},
          {.status = 416, .body = S3_ERROR("InvalidRange")});

    assert_fails(s3_get_object_range(f.b, "k", 8, buf, 3, e), ERR_INPUT, "is shorter");
    assert_fails(s3_get_object_range(f.b, "k", 8, buf, 3, e), ERR_INPUT,
                 "'bytes 7-9/10'");
    assert_fails(s3_get_object_range(f.b, "k", 8, buf, 3, e), ERR_INPUT, "Content-Range");
    assert_fails(s3_get_object_range(f.b, "k", 8, buf, 3, e), ERR_INPUT, "status 200");
    assert_fails(s3_get_object_range(f.b, "k", 8, buf, 3, e), ERR_INPUT, "larger than 3");
    assert_fails(s3_get_object_range(f.b, "k", 8, buf, 3, e), ERR_INPUT, "shorter");
    stop(&f);
}

static void test_an_answer_cut_off_is_asked_for_again(void **state)
{
    static const char ten[] = "0123456789";
    auto_buf struct buf out = BUF_INIT;
    char buf[10];
    START({.status = 200, .body = ten, .cut_at = 4},
          {.status = 503, .body = S3_ERROR("SlowDown")},
          {.status = 500, .body = S3_ERROR("InternalError")}, {.status = 0},
          {.status = 200, .body = ten},
          {.status = 206,
           .body = ten,
           .cut_at = 9,
           .headers = "Content-Range: bytes 0-9/20"},
          {.status = 206, .body = ten, .headers = "Content-Range: bytes 0-9/20"});

    assert_ok(s3_get_object(f.b, "k", 100, &out, e));
    assert_string_equal(buf_str(&out), ten);
    assert_ok(s3_get_object_range(f.b, "k", 0, buf, 10, e));
    assert_memory_equal(buf, ten, 10);
    assert_int_equal(fake_http_count(f.fake), 7);
    stop(&f);
}

static void test_head_tells_the_size(void **state)
{
    struct s3_head h;
    char *region;
    START({.status = 200, .body = "0123456789", .headers = "ETag: \"abc\""},
          {.status = 404, .headers = "x-amz-request-id: req-2"}, {.status = 403},
          {.status = 200, .headers = "x-amz-bucket-region: eu-west-1"});

    assert_ok(s3_head_object(f.b, "k", &h, e));
    assert_int_equal(h.size_bytes, 10);
    assert_string_equal(h.etag, "\"abc\"");
    s3_head_release(&h);
    assert_fails(s3_head_object(f.b, "k", &h, e), ERR_NOT_FOUND,
                 "s3://bucket/k: HeadObject");
    assert_fails(s3_head_object(f.b, "k", &h, e), ERR_DENIED, "allow s3:GetObject");
    assert_ok(s3_head_bucket(f.b, &region, e));
    assert_string_equal(region, "eu-west-1");
    assert_string_equal(uri(&f, 3), "/bucket");
    free(region);
    stop(&f);
}

/* Whose Date differs from ours for as long as we sign with our own. */
static void other_clock(void *ctx, size_t n, const struct fake_request *r,
                        struct fake_answer *ret)
{
    ret->headers = "Date: Fri, 01 Jan 2100 00:00:00 GMT\nETag: \"e\"";
    if (!strcasestr(r->headers, "x-amz-date: 2100"))
        ret->status = 403;
}

static void test_a_wrong_clock_shows_in_head_too(void **state)
{
    struct fixture f = {.fake = fake_http_start(other_clock, NULL, NULL, NULL)};
    struct s3_head h;

    f.aws = aws_env_client(f.fake);
    assert_ok(s3_bucket_new(f.aws, "bucket", &f.b, e));
    assert_ok(s3_head_object(f.b, "k", &h, e));
    assert_int_equal(fake_http_count(f.fake), 2);
    s3_head_release(&h);
    stop(&f);
}

static void test_an_object_is_put(void **state)
{
    const struct fake_request *r;
    START({.status = 200});

    assert_ok(s3_put_object(f.b, "k", "a\0b", 3, S3_REPLACE, NULL, e));
    r = fake_http_request(f.fake, 0);
    assert_string_equal(r->method, "PUT");
    assert_int_equal(r->body_len, 3);
    assert_memory_equal(r->body, "a\0b", 3);
    assert_true(fake_has_header(r, "content-type", "application/octet-stream"));
    assert_true(fake_has_header(r, "content-length", "3"));
    /* printf 'a\0b' | sha256sum */
    assert_true(fake_has_header(
        r, "x-amz-content-sha256",
        "59b271ae1bbcb1d31d41929817f4b16fb439eb4f31520b5ad1d5ce98920a7138"));
    assert_true(fake_has_header(r, "x-amz-checksum-sha256",
                                "WbJxrhu8sdMdQZKYF/Sxb7Q5608xUgta0dXOmJIKcTg="));
    assert_true(fake_has_header(r, "authorization", "x-amz-checksum-sha256"));
    assert_false(fake_has_header(r, "if-none-match", ""));
    assert_ok(s3_put_object(f.b, "empty", "", 0, S3_REPLACE, NULL, e));
    assert_int_equal(fake_http_request(f.fake, 1)->body_len, 0);
    stop(&f);
}

static void test_if_absent_leaves_what_is_there(void **state)
{
    bool existed = true;
    START({.status = 200},
          {.status = 409, .body = S3_ERROR("ConditionalRequestConflict")},
          {.status = 412, .body = S3_ERROR("PreconditionFailed")});

    assert_ok(s3_put_object(f.b, "k", "x", 1, S3_IF_ABSENT, &existed, e));
    assert_false(existed);
    assert_true(fake_has_header(fake_http_request(f.fake, 0), "if-none-match", "*"));
    assert_true(
        fake_has_header(fake_http_request(f.fake, 0), "authorization", "if-none-match"));
    assert_ok(s3_put_object(f.b, "k", "x", 1, S3_IF_ABSENT, &existed, e));
    assert_true(existed);
    assert_int_equal(fake_http_count(f.fake), 3);
    stop(&f);
}

/* The answer to our PUT is lost; then it is "there already", with our own token or with
 * another's. */
static void own_token(void *ctx, size_t n, const struct fake_request *r,
                      struct fake_answer *ret)
{
    static char headers[300];
    static char token[64];
    const char *mine = strcasestr(r->headers, "x-amz-meta-hotadd-put: ");

    if (n == 0) {
        snprintf(token, sizeof token, "%.32s", mine + 23);
        ret->status = 0;
    } else if (n == 1) {
        ret->status = 412;
        ret->body = S3_ERROR("PreconditionFailed");
    } else {
        snprintf(headers, sizeof headers, "ETag: \"x\"\nx-amz-meta-hotadd-put: %s",
                 *(bool *)ctx ? token : "00000000000000000000000000000000");
        ret->headers = headers;
    }
}

static void test_our_own_lost_put_did_not_exist(void **state)
{
    for (int ours = 0; ours < 2; ours++) {
        bool flag = ours, existed = ours;
        struct fixture f = {.fake = fake_http_start(own_token, &flag, NULL, NULL)};

        f.aws = aws_env_client(f.fake);
        assert_ok(s3_bucket_new(f.aws, "bucket", &f.b, e));
        assert_ok(s3_put_object(f.b, "k", "x", 1, S3_IF_ABSENT, &existed, e));
        assert_int_equal(existed, !ours);
        assert_int_equal(fake_http_count(f.fake), 3);
        stop(&f);
    }
}

static void test_many_are_deleted_at_once(void **state)
{
    auto_strv struct strv keys = {0}, odd = {0};
    START({.status = 200, .body = "<DeleteResult/>"},
          {.status = 200,
           .body = "<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code><Message>no"
                   "</Message></Error></DeleteResult>"});

    assert_ok(s3_delete_objects(f.b, &keys, e));
    assert_int_equal(fake_http_count(f.fake), 0);
    assert_ok(strv_add(&keys, "a", e));
    assert_ok(strv_add(&keys, "b<&", e));
    assert_ok(s3_delete_objects(f.b, &keys, e));
    assert_string_equal(uri(&f, 0), "/bucket?delete=");
    assert_non_null(strstr(fake_http_request(f.fake, 0)->body,
                           "<Object><Key>b&lt;&amp;</Key></Object>"));
    assert_true(fake_has_header(fake_http_request(f.fake, 0), "content-md5", "=="));
    assert_fails(s3_delete_objects(f.b, &keys, e), ERR_DENIED,
                 "a: DeleteObjects: AccessDenied");
    assert_ok(strv_add(&odd, "\x01", e));
    assert_fails(s3_delete_objects(f.b, &odd, e), ERR_UNSUPPORTED, "control character");
    stop(&f);
}

static int note(void *ctx, const char *key, uint64_t bytes, bool is_prefix, struct err *e)
{
    buf_addf(ctx, "%s%s%d ", key, is_prefix ? "*" : "=", (int)bytes);
    return 0;
}

static int refuse(void *ctx, const char *key, uint64_t bytes, bool is_prefix,
                  struct err *e)
{
    return err_set(e, ERR_BUSY, "enough");
}

#define ITEM(key, size) "<Contents><Key>" key "</Key><Size>" size "</Size></Contents>"
#define DEEPER(key)     "<CommonPrefixes><Prefix>" key "</Prefix></CommonPrefixes>"

static void test_pages_are_merged_in_order(void **state)
{
    auto_buf struct buf seen = BUF_INIT;
    struct s3_list what = {
        .prefix = "p ", .delimiter = '/', .start_after = "p", .page = 2};
    START({.status = 200,
           .body = LIST("<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
                        "<NextContinuationToken>a+b/=</NextContinuationToken>" ITEM(
                            "p+0%2B", "1") ITEM("p+2", "22") DEEPER("p+1%25/"))},
          {.status = 200,
           .body = LIST("<EncodingType>url</EncodingType><IsTruncated>false"
                        "</IsTruncated>" ITEM("p+%C3%A4", "3"))});

    assert_ok(s3_list_objects_v2(f.b, &what, note, &seen, e));
    assert_string_equal(buf_str(&seen), "p 0+=1 p 1%/*0 p 2=22 p \xc3\xa4=3 ");
    assert_string_equal(uri(&f, 0), "/bucket?delimiter=%2F&encoding-type=url&list-type=2&"
                                    "max-keys=2&prefix=p%20&start-after=p");
    assert_string_equal(uri(&f, 1),
                        "/bucket?continuation-token=a%2Bb%2F%3D&delimiter=%2F&"
                        "encoding-type=url&list-type=2&max-keys=2&prefix=p%20&"
                        "start-after=p");
    stop(&f);
}

static void test_a_listing_that_makes_no_sense_is_refused(void **state)
{
    static const struct {
        const char *body, *why;
    } rows[] = {
        {LIST("<IsTruncated>true</IsTruncated>"), "does not say where"},
        {LIST(ITEM("a", "1") ITEM("a", "1")), "comes after"},
        {LIST(ITEM("a", "x")), "<Size>"},
        {LIST(ITEM("", "1")), "1 to 1024"},
        {LIST("<EncodingType>url</EncodingType>" ITEM("a%00b", "1")), "NUL"},
        {LIST("<EncodingType>url</EncodingType>" ITEM("%FF", "1")), "no UTF-8"},
        {"<html/>", "is the endpoint S3's?"},
    };
    struct s3_list what = {0};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        auto_buf struct buf seen = BUF_INIT;
        START({.status = 200, .body = rows[i].body});

        assert_fails(s3_list_objects_v2(f.b, &what, note, &seen, e), ERR_INPUT,
                     rows[i].why);
        stop(&f);
    }
}

static void test_the_same_page_twice_ends_the_listing(void **state)
{
    auto_buf struct buf seen = BUF_INIT;
    struct s3_list what = {0};
    START({.status = 200,
           .body = LIST("<IsTruncated>true</IsTruncated><NextContinuationToken>t"
                        "</NextContinuationToken>")});

    assert_fails(s3_list_objects_v2(f.b, &what, note, &seen, e), ERR_INPUT,
                 "the same page twice");
    stop(&f);
}

static void test_the_callers_error_ends_the_listing(void **state)
{
    struct s3_list what = {0};
    struct err e = ERR_INIT;
    START({.status = 200, .body = LIST(ITEM("a", "1") ITEM("b", "1"))});

    assert_int_equal(s3_list_objects_v2(f.b, &what, refuse, NULL, &e), -1);
    assert_string_equal(e.msg, "enough");
    stop(&f);
}

/* ---- regions ---- */

static void test_the_bucket_is_followed_to_its_region(void **state)
{
    auto_buf struct buf out = BUF_INIT;
    START({.status = 301,
           .body = S3_ERROR("PermanentRedirect"),
           .headers = "x-amz-bucket-region: us-east-2"},
          {.status = 200, .body = "x"});

    assert_ok(s3_get_object(f.b, "k", 10, &out, e));
    assert_ok(s3_get_object(f.b, "k", 10, &out, e));
    assert_int_equal(fake_http_count(f.fake), 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(fake_has_header(fake_http_request(f.fake, i), "authorization",
                                    i ? "/us-east-2/s3/" : "/eu-west-1/s3/"));
    stop(&f);
}

static void test_a_bucket_is_followed_once_only(void **state)
{
    auto_buf struct buf out = BUF_INIT;
    START({.status = 400,
           .body = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message>"
                   "<Region>us-east-2</Region></Error>"},
          {.status = 301,
           .body = S3_ERROR("PermanentRedirect"),
           .headers = "x-amz-bucket-region: us-west-1"});

    assert_fails(s3_get_object(f.b, "k", 10, &out, e), ERR_USAGE, "set AWS_REGION");
    assert_int_equal(fake_http_count(f.fake), 2);
    stop(&f);
}

static void test_a_region_that_is_none_is_refused(void **state)
{
    struct s3_head h;
    START({.status = 400, .headers = "x-amz-bucket-region: evil.example/"});

    assert_fails(s3_head_object(f.b, "k", &h, e), ERR_INPUT, "'evil.example/'");
    assert_int_equal(fake_http_count(f.fake), 1);
    stop(&f);
}

/* ---- multipart ---- */

static void test_parts_become_an_object(void **state)
{
    struct s3_part p[] = {{1, 0, (char *)"\"e1\""}, {2, 0, (char *)"\"e2\""}};
    struct s3_parts parts = {p, 2, 2}, listed;
    struct s3_uploads uploads;
    char *id, *etag;
    START({.status = 200,
           .body = "<InitiateMultipartUploadResult><UploadId>u/1</UploadId>"
                   "</InitiateMultipartUploadResult>"},
          {.status = 200, .headers = "ETag: \"e1\""},
          {.status = 200,
           .body =
               "<ListPartsResult><IsTruncated>true</IsTruncated><Part><PartNumber>1"
               "</PartNumber><ETag>\"e1\"</ETag><Size>5</Size></Part></ListPartsResult>"},
          {.status = 200,
           .body = "<ListPartsResult><Part><PartNumber>7</PartNumber><ETag>\"e2\"</ETag>"
                   "<Size>6</Size></Part></ListPartsResult>"},
          {.status = 200,
           .body =
               "<ListMultipartUploadsResult><Upload><Key>k</Key><UploadId>u/1</UploadId>"
               "<Initiated>2026-01-02T03:04:05.000Z</Initiated></Upload>"
               "</ListMultipartUploadsResult>"},
          {.status = 200, .body = S3_ERROR("InternalError")},
          {.status = 200, .body = "<CompleteMultipartUploadResult/>"},
          {.status = 404, .body = S3_ERROR("NoSuchUpload")});

    assert_ok(s3_create_multipart_upload(f.b, "k", &id, e));
    assert_string_equal(id, "u/1");
    assert_string_equal(uri(&f, 0), "/bucket/k?uploads=");
    assert_ok(s3_upload_part(f.b, "k", id, 1, "data", 4, &etag, e));
    assert_string_equal(uri(&f, 1), "/bucket/k?partNumber=1&uploadId=u%2F1");
    assert_string_equal(etag, "\"e1\"");
    assert_ok(s3_list_parts(f.b, "k", id, &listed, e));
    assert_int_equal(listed.n, 2);
    assert_int_equal(listed.v[1].number, 7);
    assert_int_equal(listed.v[1].size_bytes, 6);
    assert_string_equal(uri(&f, 3), "/bucket/k?part-number-marker=1&uploadId=u%2F1");
    assert_ok(s3_list_multipart_uploads(f.b, "k", &uploads, e));
    assert_int_equal(uploads.n, 1);
    assert_int_equal(uploads.v[0].initiated_s, 1767323045);
    assert_ok(s3_complete_multipart_upload(f.b, "k", id, &parts, e));
    assert_int_equal(fake_http_count(f.fake), 7); /* the error in a 200 was no success */
    assert_non_null(
        strstr(fake_http_request(f.fake, 6)->body,
               "<Part><PartNumber>2</PartNumber><ETag>&quot;e2&quot;</ETag>"));
    assert_ok(s3_abort_multipart_upload(f.b, "k", id, e));
    s3_parts_release(&listed);
    s3_uploads_release(&uploads);
    free(id);
    free(etag);
    stop(&f);
}

static void test_an_error_in_a_200_is_an_error(void **state)
{
    struct s3_part p[] = {{1, 0, (char *)"\"e1\""}};
    struct s3_parts parts = {p, 1, 1};
    START({.status = 200, .body = S3_ERROR("InvalidPart")});

    assert_fails(s3_complete_multipart_upload(f.b, "k", "u", &parts, e), ERR_CLOUD,
                 "InvalidPart");
    stop(&f);
}

/* MD5s of "a" and "b"; the object's is that of both digests one after the other. */
static void test_a_lost_completion_is_recognised(void **state)
{
    struct s3_part p[] = {{1, 0, (char *)"\"0cc175b9c0f1b6a831c399e269772661\""},
                          {2, 0, (char *)"\"92eb5ffee6ae2fec3ad71c777531578f\""}};
    struct s3_parts parts = {p, 2, 2};
    static const char *const etags[] = {
        "ETag: \"4b43b0aee35624cd95b910189b3dc231\"",
        "ETag: \"71d8b7e5f6b2ea3a4f6a3c4c2a0b7f05-2\"",
    };
    char right[80];

    for (int ours = 0; ours < 3; ours++) {
        START({.status = 0}, {.status = 404, .body = S3_ERROR("NoSuchUpload")},
              {.status = 200, .headers = ours == 2 ? right : etags[ours]});

        snprintf(right, sizeof right, "ETag: \"%s-2\"",
                 "96e024ba2074fe77e8e965ba43a704be");
        if (ours == 2)
            assert_ok(s3_complete_multipart_upload(f.b, "k", "u", &parts, e));
        else
            assert_fails(s3_complete_multipart_upload(f.b, "k", "u", &parts, e),
                         ERR_NOT_FOUND, "NoSuchUpload");
        stop(&f);
    }
}

/* ---- the store of objects ---- */

static void test_a_store_of_objects_lies_below_its_prefix(void **state)
{
    auto_buf struct buf seen = BUF_INIT;
    struct objects *o;
    uint64_t bytes;
    START({.status = 200,
           .body = LIST(ITEM("a b/", "0") ITEM("a b/x/1", "5") ITEM("a b/x/2", "6"))},
          {.status = 200, .body = "0123", .headers = "ETag: \"e\""}, {.status = 204},
          {.status = 200, .body = LIST(ITEM("other", "1"))});

    assert_fails(s3_objects_new(f.aws, "NO", "", &o, e), ERR_USAGE, "no bucket's name");
    assert_ok(s3_objects_new(f.aws, "bucket", "a b", &o, e));
    assert_string_equal(o->desc, "s3://bucket/a b");
    assert_ok(o->ops->list(o, "", 0, note, &seen, e));
    assert_string_equal(buf_str(&seen), "x/1=5 x/2=6 ");
    assert_non_null(strstr(uri(&f, 0), "prefix=a%20b%2F"));
    assert_ok(o->ops->stat(o, "x/1", &bytes, e));
    assert_int_equal(bytes, 4);
    assert_string_equal(uri(&f, 1), "/bucket/a%20b/x/1");
    assert_ok(o->ops->remove(o, "x/1", e));
    assert_fails(o->ops->list(o, "", 0, note, &seen, e), ERR_INPUT, "not asked for");
    assert_fails(o->ops->remove(o, "/x", e), ERR_USAGE, "begins with '/'");
    objects_free(o);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_object_is_read_whole),
        cmocka_unit_test(test_a_small_limit_does_not_hide_the_reason),
        cmocka_unit_test(test_odd_keys_are_sent_as_they_are),
        cmocka_unit_test(test_what_is_no_key_is_not_sent),
        cmocka_unit_test(test_bucket_names_follow_the_rules),
        cmocka_unit_test(test_urls_are_taken_apart),
        cmocka_unit_test(test_the_bucket_goes_into_host_or_path),
        cmocka_unit_test(test_aws_is_asked_by_the_buckets_name),
        cmocka_unit_test(test_a_bucket_is_not_put_before_an_address),
        cmocka_unit_test(test_a_range_goes_into_the_callers_memory),
        cmocka_unit_test(test_a_wrong_range_is_no_data),
        cmocka_unit_test(test_an_answer_cut_off_is_asked_for_again),
        cmocka_unit_test(test_head_tells_the_size),
        cmocka_unit_test(test_a_wrong_clock_shows_in_head_too),
        cmocka_unit_test(test_an_object_is_put),
        cmocka_unit_test(test_if_absent_leaves_what_is_there),
        cmocka_unit_test(test_our_own_lost_put_did_not_exist),
        cmocka_unit_test(test_many_are_deleted_at_once),
        cmocka_unit_test(test_pages_are_merged_in_order),
        cmocka_unit_test(test_a_listing_that_makes_no_sense_is_refused),
        cmocka_unit_test(test_the_same_page_twice_ends_the_listing),
        cmocka_unit_test(test_the_callers_error_ends_the_listing),
        cmocka_unit_test(test_the_bucket_is_followed_to_its_region),
        cmocka_unit_test(test_a_bucket_is_followed_once_only),
        cmocka_unit_test(test_a_region_that_is_none_is_refused),
        cmocka_unit_test(test_parts_become_an_object),
        cmocka_unit_test(test_an_error_in_a_200_is_an_error),
        cmocka_unit_test(test_a_lost_completion_is_recognised),
        cmocka_unit_test(test_a_store_of_objects_lies_below_its_prefix),
    };

    return cmocka_run_group_tests(tests, aws_env_setup, aws_env_teardown);
}
