/* Objects: put, get, head, copy, delete. */
#include "lab/s3_impl.h"

#include "base/auto.h"
#include "base/str.h"

#include <inttypes.h>
#include <sys/stat.h>

#define MAX_METADATA 2048
#define MAX_COPY     (5ull << 30)

/* ---- What is kept of a request ---- */

/* Without "aws-chunked", which is no coding of the object. */
static const char *kept_value(const struct http_header *h)
{
    if (!str_eq(h->name, "content-encoding") || !str_starts(h->value, "aws-chunked"))
        return h->value;
    return h->value + strlen("aws-chunked") +
           strspn(h->value + strlen("aws-chunked"), ", ");
}

static bool is_kept(const char *name)
{
    static const char *const names[] = {"cache-control",    "content-disposition",
                                        "content-encoding", "content-language",
                                        "content-type",     "expires"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq(names[i], name))
            return true;
    return str_starts(name, "x-amz-meta-");
}

int s3_kept_headers(const struct http_request *rq, json_t **ret, struct err *e)
{
    json_t *kept = json_object(), *v;
    size_t bytes = 0;
    int r = kept ? 0 : err_nomem(e);

    if (r == 0 && http_header_get(rq, "x-amz-tagging"))
        r = refuse(e, "NotImplemented", "The lab's S3 knows no tags");

    vec_foreach (h, &rq->headers) {
        const char *value = kept_value(h);

        if (r < 0 || !is_kept(h->name) || !*value)
            continue;
        if (str_starts(h->name, "x-amz-meta-"))
            bytes += strlen(h->name + strlen("x-amz-meta-")) + strlen(value);
        v = json_string(value);
        r = v ? json_put(kept, h->name, v, e)
              : refuse(e, "InvalidArgument", "The header %.60s is not UTF-8", h->name);
    }
    if (r == 0 && bytes > MAX_METADATA)
        r = refuse(e, "MetadataTooLarge",
                   "Your metadata headers exceed the maximum allowed metadata size");
    if (r < 0) {
        json_decref(kept);
        return -1;
    }
    *ret = kept;
    return 0;
}

/* ---- Putting ---- */

static int add_checksum(const struct s3_received *got, json_t *headers, struct err *e)
{
    char name[40];

    if (!got->sum[0])
        return 0;
    snprintf(name, sizeof name, "x-amz-checksum-%s", s3_sum_name(got->kind));
    return json_put(headers, name, json_string(got->sum), e);
}

static int store_object(struct s3_call *c, const struct s3_received *got, json_t *headers,
                        struct err *e)
{
    struct s3_condition condition = {http_header_get(c->rq, "if-match"),
                                     http_header_get(c->rq, "if-none-match")};
    auto_s3_object struct s3_object o = {.size_bytes = got->size_bytes,
                                         .modified_ms = lab_now_ms()};

    memcpy(o.file, got->file, sizeof o.file);
    memcpy(o.etag, got->etag, sizeof o.etag);
    o.key = str_dup(c->target.key, e);
    if (!o.key || json_text(headers, &o.headers, e) < 0)
        return -1;
    if (condition.if_none_match && !str_eq(condition.if_none_match, "*"))
        return refuse(e, "NotImplemented", "If-None-Match of a PUT can be '*' only");
    if (s3_object_put(c->lab->s3, c->target.bucket, &o, &condition, NULL, e) < 0)
        return -1;
    return s3_header_add(c, "etag", o.etag, e);
}

static int put_object(struct s3_call *c, struct err *e)
{
    struct s3_received got;
    json_t *headers;
    char name[40];
    int r;

    if (s3_body_end(c->body, &got, e) < 0)
        return -1;
    r = s3_kept_headers(c->rq, &headers, e);
    if (r == 0) {
        r = add_checksum(&got, headers, e);
        if (r == 0)
            r = store_object(c, &got, headers, e);
        json_decref(headers);
    }
    if (r < 0)
        s3_store_remove_file(c->lab->s3, got.file);
    snprintf(name, sizeof name, "x-amz-checksum-%s", s3_sum_name(got.kind));
    return r == 0 && got.sum[0] ? s3_header_add(c, name, got.sum, e) : r;
}

/* ---- Getting ---- */

/* "abc", abc and W/"abc" name one entity here. */
static bool same_etag(const char *header, const char *etag)
{
    size_t len = strlen(etag);

    if (str_eq(header, "*"))
        return true;
    header += str_starts(header, "W/") ? 2 : 0;
    if (*header == '"')
        return str_eq(header, etag);
    return strlen(header) == len - 2 && strncmp(header, etag + 1, len - 2) == 0;
}

static int check_conditions(const struct s3_call *c, const struct s3_object *o,
                            struct err *e)
{
    const char *match = http_header_get(c->rq, "if-match");
    const char *none = http_header_get(c->rq, "if-none-match");

    if (match && !same_etag(match, o->etag))
        return refuse(e, "PreconditionFailed",
                      "At least one of the pre-conditions you specified did not hold");
    if (none && same_etag(none, o->etag))
        return refuse(e, "NotModified", "Not Modified");
    return 0;
}

static void http_date(char out[40], int64_t ms)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;

    out[0] = 0;
    if (gmtime_r(&t, &tm))
        strftime(out, 40, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static int object_headers(struct s3_call *c, const struct s3_object *o, bool whole,
                          struct err *e)
{
    const char *mode = http_header_get(c->rq, "x-amz-checksum-mode"), *name;
    char date[40];
    json_t *kept, *v;
    int r;

    http_date(date, o->modified_ms);
    if (json_parse(o->headers, strlen(o->headers), "headers", &kept, e) < 0)
        return -1;
    r = s3_header_add(c, "etag", o->etag, e);
    if (r == 0)
        r = s3_header_add(c, "last-modified", date, e);
    if (r == 0)
        r = s3_header_add(c, "accept-ranges", "bytes", e);
    if (r == 0 && !json_object_get(kept, "content-type"))
        r = s3_header_add(c, "content-type", "binary/octet-stream", e);
    json_object_foreach (kept, name, v)
        if (r == 0 && (!str_starts(name, "x-amz-checksum-") ||
                       (whole && mode && strcasecmp(mode, "ENABLED") == 0)))
            r = s3_header_add(c, name, json_string_value(v), e);
    json_decref(kept);
    return r;
}

/* The file as the answer's body. Shorter than its row says, it was lost with the
 * computer's power. */
static int send_file(struct s3_call *c, const struct s3_object *o, uint64_t offset,
                     uint64_t len_bytes, struct err *e)
{
    struct http_file *file = mem_zalloc(1, sizeof *file, e);
    struct stat st;

    if (!file)
        return -1;
    if (s3_store_open_file(c->lab->s3, o->file, &file->fd, e) < 0) {
        free(file);
        return -1;
    }
    file->offset = offset;
    file->len_bytes = len_bytes;
    c->rp->file = file;
    if (fstat(file->fd, &st) < 0)
        return err_sys(e, "%s", o->file);
    if ((uint64_t)st.st_size != o->size_bytes)
        return err_set(e, ERR_INPUT, "%s: %lld bytes, not %" PRIu64, o->file,
                       (long long)st.st_size, o->size_bytes);
    return 0;
}

static int get_object(struct s3_call *c, struct err *e)
{
    auto_s3_object struct s3_object o = {0};
    const char *range = http_header_get(c->rq, "range");
    uint64_t offset = 0, len;
    char text[80];
    int part = 0;

    if (s3_object_find(c->lab->s3, c->target.bucket, c->target.key, &o, e) < 0 ||
        check_conditions(c, &o, e) < 0)
        return -1;
    len = o.size_bytes;
    if (range)
        part = s3_range_parse(range, o.size_bytes, &offset, &len, e);
    if (part < 0 || object_headers(c, &o, !part, e) < 0)
        return -1;
    if (part) {
        c->status = 206;
        snprintf(text, sizeof text, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, offset,
                 offset + len - 1, o.size_bytes);
        if (s3_header_add(c, "content-range", text, e) < 0)
            return -1;
    }
    return send_file(c, &o, offset, len, e);
}

/* The AWS command line asks before it copies; tags cannot be set here. */
static int get_object_tagging(struct s3_call *c, struct err *e)
{
    auto_s3_object struct s3_object o = {0};

    if (s3_object_find(c->lab->s3, c->target.bucket, c->target.key, &o, e) < 0 ||
        s3_answer(c, "Tagging", e) < 0)
        return -1;
    return json_put(c->out, "TagSet", json_object(), e);
}

/* ---- Copying ---- */

int s3_open_source(struct s3_call *c, struct s3_object *ret, int *ret_fd, struct err *e)
{
    const char *header = http_header_get(c->rq, "x-amz-copy-source");
    auto_free char *bucket = NULL, *key = NULL;

    if (s3_copy_source(header, &bucket, &key, e) < 0 ||
        s3_object_find(c->lab->s3, bucket, key, ret, e) < 0)
        return -1;
    if (s3_store_open_file(c->lab->s3, ret->file, ret_fd, e) == 0)
        return 0;
    s3_object_release(ret);
    return -1;
}

static int copy_headers(struct s3_call *c, const struct s3_object *from, json_t **ret,
                        struct err *e)
{
    const char *directive = http_header_get(c->rq, "x-amz-metadata-directive");

    if (directive && str_eq(directive, "REPLACE"))
        return s3_kept_headers(c->rq, ret, e);
    return json_parse(from->headers, strlen(from->headers), "headers", ret, e);
}

static int check_copy(struct s3_call *c, const struct s3_object *from, struct err *e)
{
    const char *source = http_header_get(c->rq, "x-amz-copy-source");
    const char *directive = http_header_get(c->rq, "x-amz-metadata-directive");
    auto_free char *bucket = NULL, *key = NULL;

    if (from->size_bytes > MAX_COPY)
        return refuse(e, "InvalidRequest",
                      "The specified copy source is larger than the maximum allowable "
                      "size for a copy source: %llu",
                      MAX_COPY);
    if (s3_copy_source(source, &bucket, &key, e) < 0)
        return -1;
    if (str_eq(bucket, c->target.bucket) && str_eq(key, c->target.key) &&
        !(directive && str_eq(directive, "REPLACE")))
        return refuse(e, "InvalidRequest",
                      "This copy request is illegal because it is trying to copy an "
                      "object to itself without changing the object's metadata");
    return 0;
}

/* Files never change once they are an object's: a copy is another name. */
static int copy_object(struct s3_call *c, struct err *e)
{
    auto_s3_object struct s3_object from = {0};
    auto_fd int fd = -1;
    struct s3_received got = {0};
    json_t *headers;
    char when[LAB_TIME_LEN];
    int r;

    if (s3_open_source(c, &from, &fd, e) < 0 || check_copy(c, &from, e) < 0 ||
        copy_headers(c, &from, &headers, e) < 0)
        return -1;
    got.size_bytes = from.size_bytes;
    memcpy(got.etag, from.etag, sizeof got.etag);
    r = s3_store_link_file(c->lab->s3, from.file, got.file, e);
    if (r == 0)
        r = store_object(c, &got, headers, e);
    if (r < 0)
        s3_store_remove_file(c->lab->s3, got.file);
    json_decref(headers);
    if (r < 0 || s3_answer(c, "CopyObjectResult", e) < 0 ||
        s3_put_str(c, "LastModified", lab_time(when, lab_now_ms()), e) < 0)
        return -1;
    return s3_put_str(c, "ETag", got.etag, e);
}

/* ---- Deleting ---- */

static int delete_object(struct s3_call *c, struct err *e)
{
    c->status = 204;
    return s3_object_remove(c->lab->s3, c->target.bucket, c->target.key, e);
}

static bool is_guarded(const struct http_request *rq)
{
    vec_foreach (h, &rq->headers)
        if (str_eq(h->name, "content-md5") || str_starts(h->name, "x-amz-checksum-"))
            return true;
    return false;
}

static int delete_objects(struct s3_call *c, struct err *e)
{
    json_t *keys, *key, *gone;
    bool quiet = false;
    size_t i;
    int r;

    if (!is_guarded(c->rq))
        return refuse(e, "InvalidRequest",
                      "Missing required header for this request: Content-MD5 OR "
                      "x-amz-checksum-*");
    gone = json_array();
    r = gone ? s3_delete_parse(&c->rq->body, &keys, &quiet, e) : err_nomem(e);

    if (r < 0) {
        json_decref(gone);
        return -1;
    }
    json_array_foreach (keys, i, key) {
        if (r == 0)
            r = s3_object_remove(c->lab->s3, c->target.bucket, json_string_value(key), e);
        if (r == 0 && !quiet)
            r = json_add(gone, json_pack("{s:O}", "Key", key), e);
    }
    json_decref(keys);
    if (r < 0 || s3_answer(c, "DeleteResult", e) < 0) {
        json_decref(gone);
        return -1;
    }
    return json_put(c->out, "Deleted[]", gone, e);
}

const struct s3_action s3_object_actions[] = {
    {"CopyObject", "PUT", S3_KEY, NULL, "x-amz-copy-source", copy_object},
    {"PutObject", "PUT", S3_KEY, NULL, NULL, put_object},
    {"GetObjectTagging", "GET", S3_KEY, "tagging", NULL, get_object_tagging},
    {"GetObject", "GET", S3_KEY, NULL, NULL, get_object},
    {"HeadObject", "HEAD", S3_KEY, NULL, NULL, get_object},
    {"DeleteObject", "DELETE", S3_KEY, NULL, NULL, delete_object},
    {"DeleteObjects", "POST", S3_BUCKET, "delete", NULL, delete_objects},
    {NULL, NULL, 0, NULL, NULL, NULL},
};
