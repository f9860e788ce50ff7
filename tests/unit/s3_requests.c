/* Makes every S3 call with every parameter it has and prints the requests, one a line
 * (action, method, path and query, headers, XML body), for check-s3-model to hold
 * against the service's own model. */
#include "aws_env.h"

#include "test.h"

#include "aws/s3.h"

/* Every call is answered by an error that is not retried: only what we send counts. */
static void refuse(void *ctx, size_t n, const struct fake_request *r,
                   struct fake_answer *ret)
{
    ret->status = 400;
    ret->body = "<Error><Code>InvalidArgument</Code><Message>m</Message></Error>";
}

static void print_line(const char *text)
{
    for (; *text; text++)
        putchar(*text == '\n' ? '\x1f' : *text);
}

/* Prints the last request, which was that action. */
static void show(struct fake_http *fake, const char *action)
{
    const struct fake_request *r = fake_http_request(fake, fake_http_count(fake) - 1);

    printf("%s\t%s\t%s\t", action, r->method, r->uri);
    print_line(r->headers);
    putchar('\t');
    if (r->body[0] == '<')
        print_line(r->body);
    putchar('\n');
}

static int ignore(void *ctx, const char *key, uint64_t bytes, bool is_prefix,
                  struct err *e)
{
    return 0;
}

static void objects(struct s3_bucket *b, struct fake_http *fake, struct err *e)
{
    auto_buf struct buf out = BUF_INIT;
    char *two[] = {(char *)"a", (char *)"b"};
    struct strv keys = {two, 2, 2};
    struct s3_head head;
    bool existed;
    char c;
    int n = 0;

    n += s3_get_object(b, "k", 10, &out, e);
    show(fake, "GetObject");
    n += s3_get_object_range(b, "k", 5, &c, 1, e);
    show(fake, "GetObject");
    n += s3_head_object(b, "k", &head, e);
    show(fake, "HeadObject");
    n += s3_put_object(b, "k", "data", 4, S3_REPLACE, NULL, e);
    show(fake, "PutObject");
    n += s3_put_object(b, "k", "data", 4, S3_IF_ABSENT, &existed, e);
    show(fake, "PutObject");
    n += s3_delete_object(b, "k", e);
    show(fake, "DeleteObject");
    n += s3_delete_objects(b, &keys, e);
    show(fake, "DeleteObjects");
    assert_int_equal(n, -7);
}

static void lists(struct s3_bucket *b, struct fake_http *fake, struct err *e)
{
    struct s3_list what = {
        .prefix = "p", .delimiter = '/', .start_after = "a", .page = 7};
    struct s3_parts parts;
    struct s3_uploads uploads;
    char *region;
    int n = 0;

    n += s3_head_bucket(b, &region, e);
    show(fake, "HeadBucket");
    n += s3_list_objects_v2(b, &what, ignore, NULL, e);
    show(fake, "ListObjectsV2");
    n += s3_list_parts(b, "k", "u", &parts, e);
    show(fake, "ListParts");
    n += s3_list_multipart_uploads(b, "p", &uploads, e);
    show(fake, "ListMultipartUploads");
    assert_int_equal(n, -4);
}

static void multipart(struct s3_bucket *b, struct fake_http *fake, struct err *e)
{
    struct s3_part p[] = {{1, 0, (char *)"\"e1\""}, {2, 0, (char *)"\"e2\""}};
    struct s3_parts parts = {p, 2, 2};
    char *text;
    int n = 0;

    n += s3_create_multipart_upload(b, "k", &text, e);
    show(fake, "CreateMultipartUpload");
    n += s3_upload_part(b, "k", "u", 1, "data", 4, &text, e);
    show(fake, "UploadPart");
    n += s3_upload_part_copy(b, "k", "u", 2, "from here/z", &text, e);
    show(fake, "UploadPartCopy");
    n += s3_complete_multipart_upload(b, "k", "u", &parts, e);
    show(fake, "CompleteMultipartUpload");
    n += s3_abort_multipart_upload(b, "k", "u", e);
    show(fake, "AbortMultipartUpload");
    assert_int_equal(n, -5);
}

int main(void)
{
    struct err e = ERR_INIT;
    struct fake_http *fake;
    struct s3_bucket *b = NULL;
    struct aws *aws;
    void *state = NULL;

    if (aws_env_setup(&state) < 0)
        return 1;
    fake = fake_http_start(refuse, NULL, NULL, NULL);
    aws = aws_env_client(fake);
    if (s3_bucket_new(aws, "bucket", &b, &e) < 0)
        return 1;
    objects(b, fake, &e);
    lists(b, fake, &e);
    multipart(b, fake, &e);
    s3_bucket_free(b);
    aws_free(aws);
    fake_http_stop(fake);
    return aws_env_teardown(&state) < 0;
}
