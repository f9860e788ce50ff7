/* Calls of S3 on a lab inside this process. */
#include "lab_fixture.h"

#include "lab/faults.h"

#include "base/base64.h"
#include "base/digest.h"
#include "base/io.h"
#include "base/str.h"

#include <ctype.h>
#include <dirent.h>

#define RQ(verb, where, ...)                                                             \
    ((struct lab_s3_request){.method = verb, .target = where, ##__VA_ARGS__})
#define expect(f, status, code, ...) lab_s3_expect(f, RQ(__VA_ARGS__), status, code)

static void put(struct lab_fixture *f, const char *target, const char *body)
{
    expect(f, 200, "", "PUT", target, .body = body, .body_len = strlen(body));
}

static const char *get(struct lab_fixture *f, const char *target)
{
    expect(f, 200, "", "GET", target);
    return buf_str(&f->rp.body);
}

static int new_bucket(void **state)
{
    if (lab_fixture_setup(state) < 0)
        return -1;
    expect(*state, 200, "", "PUT", "/bucket");
    return 0;
}

/* How many files of data there are. */
static size_t n_files(struct lab_fixture *f)
{
    size_t n = 0;

    for (unsigned i = 0; i < 256; i++) {
        char path[200];
        struct dirent *d;
        DIR *dir;

        snprintf(path, sizeof path, "%s/s3/data/%02x", f->dir, i);
        dir = opendir(path);
        assert_non_null(dir);
        while ((d = readdir(dir)))
            n += strlen(d->d_name) == 30;
        closedir(dir);
    }
    return n;
}

static void test_buckets_are_made_and_removed(void **state)
{
    struct lab_fixture *f = *state;

    expect(f, 200, "", "PUT", "/other");
    expect(f, 200, "", "PUT", "/other"); /* as us-east-1 does */
    expect(f, 200, "", "HEAD", "/other");
    assert_string_equal(lab_header(f, "x-amz-bucket-region"), "us-east-1");
    expect(f, 200, "", "GET", "/");
    assert_non_null(strstr(buf_str(&f->rp.body), "<Bucket><Name>bucket</Name>"));
    put(f, "/other/k", "x");
    expect(f, 409, "BucketNotEmpty", "DELETE", "/other");
    expect(f, 204, "", "DELETE", "/other/k");
    expect(f, 204, "", "DELETE", "/other");
    expect(f, 404, "NoSuchBucket", "DELETE", "/other");
    expect(f, 404, "", "HEAD", "/other");
    expect(f, 404, "NoSuchBucket", "GET", "/other?list-type=2");
    expect(f, 404, "NoSuchBucket", "PUT", "/other/k", .body = "x", .body_len = 1);
    expect(f, 400, "InvalidBucketName", "PUT", "/Other");
    expect(f, 400, "InvalidBucketName", "PUT", "/192.0.2.1");
    expect(f, 400, "InvalidBucketName", "PUT", "/a..b");
    expect(f, 501, "NotImplemented", "GET", "/bucket?acl");
    expect(f, 405, "MethodNotAllowed", "POST", "/bucket/k");
}

static void test_an_object_is_kept_with_its_headers(void **state)
{
    struct lab_fixture *f = *state;

    expect(f, 200, "", "PUT", "/bucket/k", .body = "hello", .body_len = 5,
           .headers = {"content-type", "text/x", "x-amz-meta-colour", "red"});
    assert_string_equal(lab_header(f, "etag"), "\"5d41402abc4b2a76b9719d911017c592\"");
    lab_reopen(f);
    assert_string_equal(get(f, "/bucket/k"), "hello");
    assert_string_equal(lab_header(f, "content-type"), "text/x");
    assert_string_equal(lab_header(f, "x-amz-meta-colour"), "red");
    assert_string_equal(lab_header(f, "etag"), "\"5d41402abc4b2a76b9719d911017c592\"");
    assert_true(str_ends(lab_header(f, "last-modified"), " GMT"));
    expect(f, 200, "", "HEAD", "/bucket/k");
    assert_int_equal(f->rp.file->len_bytes, 5);
    put(f, "/bucket/k", "");
    assert_string_equal(get(f, "/bucket/k"), "");
    assert_string_equal(lab_header(f, "content-type"), "binary/octet-stream");
    assert_int_equal(n_files(f), 1);
    expect(f, 204, "", "DELETE", "/bucket/k");
    expect(f, 204, "", "DELETE", "/bucket/k");
    expect(f, 404, "NoSuchKey", "GET", "/bucket/k");
    assert_int_equal(n_files(f), 0);
}

static void test_odd_keys_are_keys(void **state)
{
    static const char *const keys[] = {
        "a%20b%2Bc", "../x/..//y/", "/lead", "%C3%A4%E2%82%AC", "%01", "%25", "."};
    struct lab_fixture *f = *state;
    size_t n = sizeof keys / sizeof keys[0];
    char target[100];

    for (size_t i = 0; i < n; i++) {
        snprintf(target, sizeof target, "/bucket/%s", keys[i]);
        put(f, target, keys[i]);
    }
    for (size_t i = 0; i < n; i++) {
        snprintf(target, sizeof target, "/bucket/%s", keys[i]);
        assert_string_equal(get(f, target), keys[i]);
    }
    assert_int_equal(n_files(f), n);
    get(f, "/bucket?list-type=2&encoding-type=url");
    assert_non_null(strstr(buf_str(&f->rp.body), "<Key>a+b%2Bc</Key>"));
    assert_non_null(strstr(buf_str(&f->rp.body), "<Key>../x/..//y/</Key>"));
    assert_non_null(strstr(buf_str(&f->rp.body), "<Key>%01</Key>"));
    expect(f, 400, "InvalidURI", "GET", "/bucket/%00");
    expect(f, 400, "InvalidURI", "GET", "/bucket/%FF");
}

static void test_a_key_has_1024_bytes_at_most(void **state)
{
    struct lab_fixture *f = *state;
    char target[1100] = "/bucket/";

    memset(target + 8, 'k', 1024);
    put(f, target, "x");
    target[8 + 1024] = 'k';
    expect(f, 400, "KeyTooLongError", "PUT", target, .body = "x", .body_len = 1);
}

static void test_ranges(void **state)
{
    static const struct {
        const char *range;
        unsigned status;
        const char *body, *content_range;
    } rows[] = {
        {"bytes=0-3", 206, "0123", "bytes 0-3/10"},
        {"bytes=7-", 206, "789", "bytes 7-9/10"},
        {"bytes=8-99", 206, "89", "bytes 8-9/10"},
        {"bytes=-2", 206, "89", "bytes 8-9/10"},
        {"bytes=-99", 206, "0123456789", "bytes 0-9/10"},
        {"bytes=9-9", 206, "9", "bytes 9-9/10"},
        {"bytes=3-1", 200, "0123456789", ""},
        {"bytes=0-1,3-4", 200, "0123456789", ""},
        {"lines=0-1", 200, "0123456789", ""},
        {"bytes=99999999999999999999-", 200, "0123456789", ""},
        {"bytes=", 200, "0123456789", ""},
        {"bytes=-", 200, "0123456789", ""},
    };
    struct lab_fixture *f = *state;

    put(f, "/bucket/k", "0123456789");
    put(f, "/bucket/empty", "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect(f, rows[i].status, "", "GET", "/bucket/k",
               .headers = {"range", rows[i].range});
        assert_string_equal(buf_str(&f->rp.body), rows[i].body);
        assert_string_equal(lab_header(f, "content-range"), rows[i].content_range);
    }
    expect(f, 416, "InvalidRange", "GET", "/bucket/k", .headers = {"range", "bytes=10-"});
    expect(f, 416, "InvalidRange", "GET", "/bucket/k", .headers = {"range", "bytes=-0"});
    expect(f, 416, "InvalidRange", "GET", "/bucket/empty",
           .headers = {"range", "bytes=0-0"});
}

static void test_conditions(void **state)
{
    struct lab_fixture *f = *state;
    const char *hello = "\"5d41402abc4b2a76b9719d911017c592\"";

    expect(f, 200, "", "PUT", "/bucket/k", .body = "hello", .body_len = 5,
           .headers = {"if-none-match", "*"});
    expect(f, 412, "PreconditionFailed", "PUT", "/bucket/k", .body = "other",
           .body_len = 5, .headers = {"if-none-match", "*"});
    assert_string_equal(get(f, "/bucket/k"), "hello");
    assert_int_equal(n_files(f), 1);
    expect(f, 412, "PreconditionFailed", "PUT", "/bucket/k", .body = "other",
           .body_len = 5, .headers = {"if-match", "\"00\""});
    expect(f, 200, "", "PUT", "/bucket/k", .body = "hello", .body_len = 5,
           .headers = {"if-match", hello});
    expect(f, 404, "NoSuchKey", "PUT", "/bucket/none", .body = "x", .body_len = 1,
           .headers = {"if-match", hello});
    expect(f, 200, "", "GET", "/bucket/k", .headers = {"if-match", hello});
    expect(f, 412, "PreconditionFailed", "GET", "/bucket/k",
           .headers = {"if-match", "\"00\""});
    expect(f, 304, "", "GET", "/bucket/k", .headers = {"if-none-match", hello});
    assert_int_equal(f->rp.body.len, 0);
}

/* ---- what is claimed of the data ---- */

static void test_data_must_be_what_is_claimed(void **state)
{
    static const char *const sums[][2] = {
        {"x-amz-checksum-crc32", "y/Q5Jg=="},
        {"x-amz-checksum-crc32c", "4waSgw=="},
        {"x-amz-checksum-crc64nvme", "rosUhgp5mIg="},
        {"x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="},
        {"x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="},
        {"content-md5", "JfnnlDI7RTiF9RgfG2JNCw=="},
    };
    struct lab_fixture *f = *state;

    for (size_t i = 0; i < sizeof sums / sizeof sums[0]; i++) {
        expect(f, 200, "", "PUT", "/bucket/k", .body = "123456789", .body_len = 9,
               .headers = {sums[i][0], sums[i][1]});
        expect(f, 400, "BadDigest", "PUT", "/bucket/no", .body = "1234567890",
               .body_len = 10, .headers = {sums[i][0], sums[i][1]});
    }
    expect(f, 400, "XAmzContentSHA256Mismatch", "PUT", "/bucket/no", .body = "123",
           .body_len = 3,
           .sha256 = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");
    expect(f, 400, "InvalidArgument", "PUT", "/bucket/no", .body = "1", .body_len = 1,
           .sha256 = "abc");
    expect(f, 400, "IncompleteBody", "PUT", "/bucket/no",
           .headers = {"x-amz-decoded-content-length", "5"}, .body = "", .body_len = 0,
           .sha256 = "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    expect(f, 400, "InvalidRequest", "PUT", "/bucket/no", .body = "1", .body_len = 1,
           .headers = {"x-amz-checksum-crc32", "y/Q5Jg==", "x-amz-checksum-crc32c",
                       "4waSgw=="});
    expect(f, 404, "NoSuchKey", "GET", "/bucket/no");
    assert_int_equal(n_files(f), 1);
    expect(f, 200, "", "PUT", "/bucket/k", .body = "123456789", .body_len = 9,
           .sha256 = "UNSIGNED-PAYLOAD", .headers = {"x-amz-checksum-crc32", "y/Q5Jg=="});
    get(f, "/bucket/k");
    assert_string_equal(lab_header(f, "x-amz-checksum-crc32"), "");
    expect(f, 200, "", "GET", "/bucket/k", .headers = {"x-amz-checksum-mode", "ENABLED"});
    assert_string_equal(lab_header(f, "x-amz-checksum-crc32"), "y/Q5Jg==");
}

static void test_chunks_without_signatures_and_a_trailer(void **state)
{
    static const char body[] = "5\r\n12345\r\n4\r\n6789\r\n0\r\n"
                               "x-amz-checksum-crc32:y/Q5Jg==\r\n\r\n";
    static const char wrong[] = "9\r\n123456780\r\n0\r\n"
                                "x-amz-checksum-crc32:y/Q5Jg==\r\n\r\n";
    static const char bare[] = "9\r\n123456789\r\n0\r\n\r\n";
    struct lab_fixture *f = *state;

#define CHUNKED(text)                                                                    \
    .body = text, .body_len = sizeof text - 1,                                           \
    .sha256 = "STREAMING-UNSIGNED-PAYLOAD-TRAILER",                                      \
    .headers = {"x-amz-decoded-content-length",                                          \
                "9",                                                                     \
                "x-amz-trailer",                                                         \
                "x-amz-checksum-crc32",                                                  \
                "content-encoding",                                                      \
                "aws-chunked"}
    expect(f, 200, "", "PUT", "/bucket/k", CHUNKED(body));
    assert_string_equal(get(f, "/bucket/k"), "123456789");
    assert_string_equal(lab_header(f, "content-encoding"), "");
    expect(f, 400, "BadDigest", "PUT", "/bucket/no", CHUNKED(wrong));
    expect(f, 400, "MalformedTrailerError", "PUT", "/bucket/no", CHUNKED(bare));
    expect(f, 404, "NoSuchKey", "GET", "/bucket/no");
}

static void test_what_breaks_off_is_not_there(void **state)
{
    struct lab_fixture *f = *state;
    struct lab_s3_request in =
        RQ("PUT", "/bucket/k", .body = "hello", .body_len = 5, .lost = true);

    lab_s3(f, &in);
    expect(f, 404, "NoSuchKey", "GET", "/bucket/k");
    assert_int_equal(n_files(f), 0);
}

static void test_files_without_an_object_are_swept(void **state)
{
    struct lab_fixture *f = *state;
    char path[200];

    put(f, "/bucket/k", "hello");
    snprintf(path, sizeof path, "%s/s3/data/ab/0123456789abcdef0123456789abcd", f->dir);
    assert_ok(io_write_file_atomic(path, "x", 1, 0600, e));
    assert_int_equal(n_files(f), 2);
    lab_reopen(f);
    assert_int_equal(n_files(f), 1);
    assert_string_equal(get(f, "/bucket/k"), "hello");
}

/* ---- who asks ---- */

static void test_who_is_not_known_is_refused(void **state)
{
    struct lab_fixture *f = *state;

    expect(f, 403, "AccessDenied", "GET", "/bucket/k", .is_unsigned = true);
    expect(f, 403, "AccessDenied", "PUT", "/bucket/k", .body = "x", .body_len = 1,
           .is_unsigned = true);
    f->secret = "wrong";
    expect(f, 403, "SignatureDoesNotMatch", "GET", "/bucket/k");
    expect(f, 403, "SignatureDoesNotMatch", "PUT", "/bucket/k", .body = "x",
           .body_len = 1);
    assert_int_equal(n_files(f), 0);
    f->key = "AKIANOBODY";
    expect(f, 403, "InvalidAccessKeyId", "GET", "/bucket/k");
    f->key = f->secret = NULL;
    expect(f, 403, "AccessDenied", "GET", "/bucket/k",
           .headers = {"x-amz-expected-bucket-owner", "999999999999"});
}

static void test_a_bucket_has_a_region(void **state)
{
    static const char there[] = "<CreateBucketConfiguration><LocationConstraint>eu-west-1"
                                "</LocationConstraint></CreateBucketConfiguration>";
    struct lab_fixture *f = *state;
    char region[80];

    expect(f, 200, "", "PUT", "/far-away", .body = there, .body_len = sizeof there - 1);
    expect(f, 400, "AuthorizationHeaderMalformed", "PUT", "/far-away/k", .body = "x",
           .body_len = 1);
    assert_string_equal(lab_header(f, "x-amz-bucket-region"), "eu-west-1");
    assert_string_equal(lab_value(f, "Region", region), "eu-west-1");
    expect(f, 200, "", "PUT", "/far-away/k", .body = "x", .body_len = 1,
           .region = "eu-west-1");
    expect(f, 400, "AuthorizationHeaderMalformed", "GET", "/bucket?list-type=2",
           .region = "eu-west-1");
    expect(f, 200, "", "GET", "/far-away?location", .region = "eu-west-1");
    assert_non_null(strstr(buf_str(&f->rp.body), ">eu-west-1</LocationConstraint>"));
    expect(f, 409, "BucketAlreadyOwnedByYou", "PUT", "/far-away", .body = there,
           .body_len = sizeof there - 1, .region = "eu-west-1");
    expect(f, 400, "MalformedXML", "PUT", "/third", .body = "<x", .body_len = 2);
}

static void test_the_bucket_may_be_in_the_host(void **state)
{
    struct lab_fixture *f = *state;

    expect(f, 200, "", "PUT", "/dir/k", .host = "bucket.localhost:4566", .body = "x",
           .body_len = 1);
    assert_string_equal(get(f, "/bucket/dir/k"), "x");
    expect(f, 200, "", "GET", "/?list-type=2", .host = "bucket.localhost");
    assert_non_null(strstr(buf_str(&f->rp.body), "<Key>dir/k</Key>"));
}

/* ---- lists ---- */

/* The keys and prefixes of the last answer, blank between. */
static const char *listed(struct lab_fixture *f, const char *target)
{
    static char out[2000];
    size_t n = 0;

    out[0] = 0;
    for (const char *p = get(f, target); (p = strchr(p, '<')); p++) {
        size_t skip = str_starts(p, "<Key>")                      ? 5
                      : str_starts(p, "<CommonPrefixes><Prefix>") ? 24
                                                                  : 0;

        if (skip)
            n += (size_t)snprintf(out + n, sizeof out - n, "%.*s ",
                                  (int)strcspn(p + skip, "<"), p + skip);
    }
    return out;
}

static void test_lists(void **state)
{
    static const char *const keys[] = {"a", "a/1", "a/2/x", "a0", "b/1", "%C3%A4"};
    struct lab_fixture *f = *state;
    char target[60];

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        snprintf(target, sizeof target, "/bucket/%s", keys[i]);
        put(f, target, "x");
    }
    assert_string_equal(listed(f, "/bucket?list-type=2"), "a a/1 a/2/x a0 b/1 \xc3\xa4 ");
    assert_string_equal(listed(f, "/bucket?list-type=2&prefix=a/"), "a/1 a/2/x ");
    assert_string_equal(listed(f, "/bucket?list-type=2&delimiter=/"),
                        "a a0 \xc3\xa4 a/ b/ ");
    assert_string_equal(listed(f, "/bucket?list-type=2&delimiter=/&prefix=a/"),
                        "a/1 a/2/ ");
    assert_string_equal(listed(f, "/bucket?list-type=2&start-after=a/1"),
                        "a/2/x a0 b/1 \xc3\xa4 ");
    assert_string_equal(listed(f, "/bucket?list-type=2&prefix=a&start-after=b"), "");
    assert_string_equal(listed(f, "/bucket?list-type=2&prefix=b&start-after=a"), "b/1 ");
    assert_string_equal(listed(f, "/bucket?list-type=2&max-keys=0"), "");
    assert_string_equal(listed(f, "/bucket?marker=a0"), "b/1 \xc3\xa4 ");
    assert_string_equal(listed(f, "/bucket?delimiter=/&marker=a/"), "a0 \xc3\xa4 b/ ");
    expect(f, 400, "InvalidArgument", "GET", "/bucket?list-type=2&max-keys=x");
    expect(f, 400, "InvalidArgument", "GET", "/bucket?list-type=3");
    expect(f, 400, "InvalidArgument", "GET",
           "/bucket?list-type=2&continuation-token=%21");
}

/* Pages of every size give the same as one. */
static void test_pages(void **state)
{
    static const char *const keys[] = {"a", "a/1", "a/2", "a/3", "b", "c/1", "c/2", "d"};
    struct lab_fixture *f = *state;
    char target[300];

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        snprintf(target, sizeof target, "/bucket/%s", keys[i]);
        put(f, target, "x");
    }
    for (int size = 1; size <= 9; size++)
        for (int deep = 0; deep < 2; deep++) {
            char all[200] = "", token[200] = "", more[80];
            int pages = 0;

            do {
                size_t n = strlen(all);

                snprintf(target, sizeof target, "/bucket?list-type=2&max-keys=%d%s%s%s",
                         size, deep ? "" : "&delimiter=/",
                         *token ? "&continuation-token=" : "", token);
                snprintf(all + n, sizeof all - n, "%s", listed(f, target));
                lab_value(f, "NextContinuationToken", more);
                token[0] = 0;
                for (const char *p = more; *p; p++)
                    snprintf(token + strlen(token), 4,
                             isalnum((unsigned char)*p) ? "%c" : "%%%02X",
                             (unsigned char)*p);
                assert_true(++pages < 20);
            } while (*token);
            /* Within a page, keys come before prefixes. */
            if (deep)
                assert_string_equal(all, "a a/1 a/2 a/3 b c/1 c/2 d ");
            else if (size == 1)
                assert_string_equal(all, "a a/ b c/ d ");
            else
                assert_int_equal(strlen(all), strlen("a a/ b c/ d "));
        }
}

static void test_many_are_deleted_at_once(void **state)
{
    static const char body[] =
        "<Delete><Object><Key> a </Key></Object><Object><Key>b</Key>"
        "</Object><Object><Key>none</Key></Object></Delete>";
    auto_buf struct buf md5 = BUF_INIT;
    struct lab_fixture *f = *state;
    unsigned char sum[DIGEST_MAX_BYTES];
    struct digest *d;

    assert_ok(digest_new(DIGEST_MD5, &d, e));
    digest_update(d, body, sizeof body - 1);
    base64_encode(sum, digest_final(d, sum), &md5);
    digest_free(d);
    put(f, "/bucket/%20a%20", "x");
    put(f, "/bucket/b", "x");
    put(f, "/bucket/c", "x");
    expect(f, 400, "InvalidRequest", "POST", "/bucket?delete", .body = body,
           .body_len = sizeof body - 1);
    expect(f, 200, "", "POST", "/bucket?delete", .body = body,
           .body_len = sizeof body - 1, .headers = {"content-md5", buf_str(&md5)});
    assert_non_null(strstr(buf_str(&f->rp.body), "<Deleted><Key>none</Key></Deleted>"));
    assert_string_equal(listed(f, "/bucket?list-type=2"), "c ");
    expect(f, 400, "BadDigest", "POST", "/bucket?delete", .body = "<Delete/>",
           .body_len = 9, .headers = {"content-md5", buf_str(&md5)});
}

static void test_copies(void **state)
{
    struct lab_fixture *f = *state;

    expect(f, 200, "", "PUT", "/bucket/a%20b", .body = "hello", .body_len = 5,
           .headers = {"content-type", "text/x"});
    expect(f, 200, "", "PUT", "/bucket/copy",
           .headers = {"x-amz-copy-source", "/bucket/a%20b"});
    expect(f, 204, "", "DELETE", "/bucket/a%20b");
    assert_string_equal(get(f, "/bucket/copy"), "hello");
    assert_string_equal(lab_header(f, "content-type"), "text/x");
    expect(f, 400, "InvalidRequest", "PUT", "/bucket/copy",
           .headers = {"x-amz-copy-source", "bucket/copy"});
    expect(f, 200, "", "PUT", "/bucket/copy",
           .headers = {"x-amz-copy-source", "bucket/copy", "x-amz-metadata-directive",
                       "REPLACE", "content-type", "text/y"});
    assert_string_equal(get(f, "/bucket/copy"), "hello");
    assert_string_equal(lab_header(f, "content-type"), "text/y");
    expect(f, 404, "NoSuchKey", "PUT", "/bucket/c",
           .headers = {"x-amz-copy-source", "bucket/none"});
    expect(f, 400, "InvalidArgument", "PUT", "/bucket/c",
           .headers = {"x-amz-copy-source", "bucket"});
    assert_int_equal(n_files(f), 1);
}

/* ---- multipart ---- */

static void begin_upload(struct lab_fixture *f, char id[80])
{
    expect(f, 200, "", "POST",
           "/bucket/big?uploads=", .headers = {"content-type", "text/big"});
    lab_value(f, "UploadId", id);
}

static void put_part(struct lab_fixture *f, const char *id, unsigned n, const char *data,
                     size_t len, char etag[80])
{
    char target[200];

    snprintf(target, sizeof target, "/bucket/big?partNumber=%u&uploadId=%s", n, id);
    expect(f, 200, "", "PUT", target, .body = data, .body_len = len);
    snprintf(etag, 80, "%s", lab_header(f, "etag"));
}

static void complete(struct lab_fixture *f, const char *id, const char *parts,
                     unsigned status, const char *code)
{
    char target[200], body[1000];

    snprintf(target, sizeof target, "/bucket/big?uploadId=%s", id);
    snprintf(body, sizeof body, "<CompleteMultipartUpload>%s</CompleteMultipartUpload>",
             parts);
    lab_s3_expect(f, RQ("POST", target, .body = body, .body_len = strlen(body)), status,
                  code);
}

static void test_parts_become_an_object(void **state)
{
    static char large[5 << 20];
    struct lab_fixture *f = *state;
    char id[80], e1[80], e2[80], e3[80], parts[600], target[200];

    memset(large, 'p', sizeof large);
    begin_upload(f, id);
    put_part(f, id, 2, "tail", 4, e3);
    put_part(f, id, 2, "end", 3, e2); /* replaces it */
    put_part(f, id, 1, large, sizeof large, e1);
    lab_reopen(f);
    expect(f, 404, "NoSuchKey", "GET", "/bucket/big");
    expect(f, 409, "BucketNotEmpty", "DELETE", "/bucket");
    snprintf(target, sizeof target, "/bucket/big?uploadId=%s&max-parts=1", id);
    get(f, target);
    assert_non_null(strstr(buf_str(&f->rp.body), "<IsTruncated>true</IsTruncated>"));
    assert_non_null(strstr(buf_str(&f->rp.body), "<Size>5242880</Size>"));
    get(f, "/bucket?uploads");
    assert_non_null(strstr(buf_str(&f->rp.body), "<Key>big</Key>"));

#define PART(n, etag) "<Part><PartNumber>" n "</PartNumber><ETag>" etag "</ETag></Part>"
    snprintf(parts, sizeof parts, PART("2", "%s") PART("1", "%s"), e2, e1);
    complete(f, id, parts, 400, "InvalidPartOrder");
    snprintf(parts, sizeof parts, PART("1", "%s") PART("2", "%s"), e1, e3);
    complete(f, id, parts, 400, "InvalidPart");
    snprintf(parts, sizeof parts, PART("1", "%s") PART("3", "%s"), e1, e2);
    complete(f, id, parts, 400, "InvalidPart");
    complete(f, id, "", 400, "MalformedXML");
    snprintf(parts, sizeof parts, PART("1", "%s") PART("2", "%s"), e1, e2);
    complete(f, id, parts, 200, "");
    expect(f, 200, "", "HEAD", "/bucket/big");
    assert_int_equal(f->rp.file->len_bytes, sizeof large + 3);
    assert_string_equal(lab_header(f, "content-type"), "text/big");
    /* md5 of both digests, by the shell's md5sum and xxd. */
    assert_string_equal(lab_header(f, "etag"), "\"46d35c5ad9bc6410d1564c87922ac597-2\"");
    expect(f, 206, "", "GET", "/bucket/big", .headers = {"range", "bytes=-5"});
    assert_string_equal(buf_str(&f->rp.body), "ppend");
    complete(f, id, parts, 404, "NoSuchUpload");
    assert_int_equal(n_files(f), 1);
}

static void test_small_parts_and_lost_uploads_are_refused(void **state)
{
    struct lab_fixture *f = *state;
    char id[80], e1[80], e2[80], parts[600], target[200];

    begin_upload(f, id);
    put_part(f, id, 1, "a", 1, e1);
    put_part(f, id, 2, "b", 1, e2);
    snprintf(parts, sizeof parts, PART("1", "%s") PART("2", "%s"), e1, e2);
    complete(f, id, parts, 400, "EntityTooSmall");
    snprintf(target, sizeof target, "/bucket/big?uploadId=%s", id);
    expect(f, 204, "", "DELETE", target);
    expect(f, 404, "NoSuchUpload", "DELETE", target);
    complete(f, id, parts, 404, "NoSuchUpload");
    snprintf(target, sizeof target, "/bucket/big?partNumber=1&uploadId=%s", id);
    expect(f, 404, "NoSuchUpload", "PUT", target, .body = "x", .body_len = 1);
    begin_upload(f, id);
    snprintf(target, sizeof target, "/bucket/big?partNumber=0&uploadId=%s", id);
    expect(f, 400, "InvalidArgument", "PUT", target, .body = "x", .body_len = 1);
    snprintf(target, sizeof target, "/bucket/big?partNumber=10001&uploadId=%s", id);
    expect(f, 400, "InvalidArgument", "PUT", target, .body = "x", .body_len = 1);
    assert_int_equal(n_files(f), 0);
}

static void test_parts_may_be_copies(void **state)
{
    struct lab_fixture *f = *state;
    char id[80], etag[80], target[200], parts[300];

    put(f, "/bucket/source", "0123456789");
    begin_upload(f, id);
    snprintf(target, sizeof target, "/bucket/big?partNumber=1&uploadId=%s", id);
    expect(f, 200, "", "PUT", target,
           .headers = {"x-amz-copy-source", "bucket/source", "x-amz-copy-source-range",
                       "bytes=3-5"});
    snprintf(etag, sizeof etag, "%.32s", strstr(buf_str(&f->rp.body), "<ETag>") + 12);
    snprintf(parts, sizeof parts, PART("1", "%s"), etag);
    /* printf 345 | md5sum */
    assert_string_equal(etag, "d81f9c1be2e08964bf9f24b15f0e4900");
    complete(f, id, parts, 200, "");
    assert_string_equal(get(f, "/bucket/big"), "345");
}

/* ---- faults ---- */

static void add_fault(struct lab_fixture *f, const char *action, const char *effect)
{
    const json_t *doc;
    json_t *spec =
        json_pack("{s:s, s:s, s:i}", "action", action, "effect", effect, "times", 1);

    assert_ok(faults_add(f->lab, spec, &doc, e));
    json_decref(spec);
}

static void test_faults_on_demand(void **state)
{
    struct lab_fixture *f = *state;

    put(f, "/bucket/k", "0123456789");
    add_fault(f, "GetObject", "SlowDown");
    expect(f, 503, "SlowDown", "GET", "/bucket/k");
    add_fault(f, "GetObject", "deny");
    expect(f, 403, "AccessDenied", "GET", "/bucket/k");
    add_fault(f, "GetObject", "drop-body");
    expect(f, 200, "", "GET", "/bucket/k");
    assert_int_equal(f->rp.delivery, HTTP_CUT);
    add_fault(f, "PutObject", "drop-request");
    expect(f, 0, "", "PUT", "/bucket/new", .body = "x", .body_len = 1);
    expect(f, 404, "NoSuchKey", "GET", "/bucket/new");
    add_fault(f, "PutObject", "drop-reply");
    expect(f, 0, "", "PUT", "/bucket/new", .body = "x", .body_len = 1);
    assert_string_equal(get(f, "/bucket/new"), "x");
}

#define T(name) cmocka_unit_test_setup_teardown(name, new_bucket, lab_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_buckets_are_made_and_removed),
        T(test_an_object_is_kept_with_its_headers),
        T(test_odd_keys_are_keys),
        T(test_a_key_has_1024_bytes_at_most),
        T(test_ranges),
        T(test_conditions),
        T(test_data_must_be_what_is_claimed),
        T(test_chunks_without_signatures_and_a_trailer),
        T(test_what_breaks_off_is_not_there),
        T(test_files_without_an_object_are_swept),
        T(test_who_is_not_known_is_refused),
        T(test_a_bucket_has_a_region),
        T(test_the_bucket_may_be_in_the_host),
        T(test_lists),
        T(test_pages),
        T(test_many_are_deleted_at_once),
        T(test_copies),
        T(test_parts_become_an_object),
        T(test_small_parts_and_lost_uploads_are_refused),
        T(test_parts_may_be_copies),
        T(test_faults_on_demand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
