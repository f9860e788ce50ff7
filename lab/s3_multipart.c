/* Multipart uploads. Parts are files like objects; completing copies them into one, by
 * copy_file_range(2), and then exchanges upload for object in one transaction. */
#include "lab/s3_impl.h"

#include "base/digest.h"
#include "base/io.h"
#include "base/str.h"

#include <inttypes.h>
#include <sys/stat.h>

#define MIN_PART  (5ull << 20)
#define MAX_PARTS 10000
#define COPY_STEP (1u << 20)

static const char *upload_id(const struct s3_call *c)
{
    return s3_param(&c->target, "uploadId");
}

static int need_upload(struct s3_call *c, char **ret_headers, struct err *e)
{
    if (s3_need_bucket(c, e) < 0)
        return -1;
    return s3_upload_find(c->lab->s3, c->target.bucket, c->target.key, upload_id(c),
                          ret_headers, e);
}

static int create_upload(struct s3_call *c, struct err *e)
{
    auto_free char *text = NULL;
    char id[S3_UPLOAD_ID_LEN];
    json_t *headers;
    int r;

    if (s3_kept_headers(c->rq, &headers, e) < 0)
        return -1;
    r = json_text(headers, &text, e);
    json_decref(headers);
    if (r < 0 || s3_upload_add(c->lab->s3, c->target.bucket, c->target.key, text,
                               lab_now_ms(), id, e) < 0)
        return -1;
    if (s3_answer(c, "InitiateMultipartUploadResult", e) < 0 ||
        s3_put_str(c, "Bucket", c->target.bucket, e) < 0 ||
        s3_put_str(c, "Key", c->target.key, e) < 0)
        return -1;
    return s3_put_str(c, "UploadId", id, e);
}

/* ---- Parts ---- */

static int store_part(struct s3_call *c, const struct s3_received *got, struct err *e)
{
    struct s3_part p = {.size_bytes = got->size_bytes, .modified_ms = lab_now_ms()};
    uint64_t number = 0;

    if (s3_param_number(&c->target, "partNumber", MAX_PARTS, &number, e) < 0 ||
        number == 0)
        return refuse(e, "InvalidArgument",
                      "Part number must be an integer between 1 and 10000, inclusive");
    if (need_upload(c, NULL, e) < 0)
        return -1;
    p.number = (unsigned)number;
    memcpy(p.file, got->file, sizeof p.file);
    memcpy(p.etag, got->etag, sizeof p.etag);
    return s3_part_put(c->lab->s3, upload_id(c), &p, e);
}

static int upload_part(struct s3_call *c, struct err *e)
{
    struct s3_received got;
    char name[40];

    if (!upload_id(c))
        return refuse(e, "InvalidArgument", "This operation needs an uploadId");
    if (s3_body_end(c->body, &got, e) < 0)
        return -1;
    if (store_part(c, &got, e) < 0) {
        s3_store_remove_file(c->lab->s3, got.file);
        return -1;
    }
    snprintf(name, sizeof name, "x-amz-checksum-%s", s3_sum_name(got.kind));
    if (got.sum[0] && s3_header_add(c, name, got.sum, e) < 0)
        return -1;
    return s3_header_add(c, "etag", got.etag, e);
}

static int copy_into(struct s3_body *b, int fd, uint64_t offset, uint64_t len,
                     struct err *e)
{
    auto_buf struct buf block = BUF_INIT;

    if (buf_reserve(&block, COPY_STEP, e) < 0)
        return -1;
    while (len) {
        size_t n = len < COPY_STEP ? (size_t)len : COPY_STEP;

        if (io_pread_full(fd, block.data, n, offset, "an object's file", e) < 0 ||
            s3_body_add(b, block.data, n, e) < 0)
            return -1;
        offset += n;
        len -= n;
    }
    return 0;
}

static int copy_part(struct s3_call *c, struct s3_body *b, struct s3_received *ret,
                     struct err *e)
{
    const char *range = http_header_get(c->rq, "x-amz-copy-source-range");
    auto_s3_object struct s3_object from = {0};
    auto_fd int fd = -1;
    uint64_t offset = 0, len;

    if (s3_open_source(c, &from, &fd, e) < 0)
        return -1;
    len = from.size_bytes;
    if (range && s3_range_parse(range, from.size_bytes, &offset, &len, e) != 1)
        return refuse(e, "InvalidArgument",
                      "The x-amz-copy-source-range value must be of the form "
                      "bytes=first-last within the source");
    if (copy_into(b, fd, offset, len, e) < 0)
        return -1;
    return s3_body_end(b, ret, e);
}

static int upload_part_copy(struct s3_call *c, struct err *e)
{
    struct s3_received got = {0};
    char when[LAB_TIME_LEN];
    struct s3_body *b;
    int r;

    if (!upload_id(c))
        return refuse(e, "InvalidArgument", "This operation needs an uploadId");
    if (s3_body_plain(c->lab->s3, &b, e) < 0)
        return -1;
    r = copy_part(c, b, &got, e);
    s3_body_free(b);
    if (r == 0)
        r = store_part(c, &got, e);
    if (r < 0) {
        s3_store_remove_file(c->lab->s3, got.file);
        return -1;
    }
    if (s3_answer(c, "CopyPartResult", e) < 0 ||
        s3_put_str(c, "LastModified", lab_time(when, lab_now_ms()), e) < 0)
        return -1;
    return s3_put_str(c, "ETag", got.etag, e);
}

/* ---- Completing ---- */

struct joined {
    struct s3_call *c;
    int fd;
    struct s3_object object;
    struct digest *md5; /* of the parts' MD5s */
    size_t n;
};

static int join_part(struct joined *j, const struct s3_part *p, struct err *e)
{
    auto_fd int from = -1;
    loff_t in = 0, out = (loff_t)j->object.size_bytes;
    unsigned char sum[16];
    char hex[33];

    snprintf(hex, sizeof hex, "%s", p->etag + 1);
    if (str_unhex(hex, sum, sizeof sum, e) < 0 ||
        s3_store_open_file(j->c->lab->s3, p->file, &from, e) < 0)
        return -1;
    digest_update(j->md5, sum, sizeof sum);
    while ((uint64_t)in < p->size_bytes) {
        ssize_t n =
            copy_file_range(from, &in, j->fd, &out, p->size_bytes - (uint64_t)in, 0);

        if (n < 0)
            return err_sys(e, "copy a part");
        if (n == 0)
            return err_set(e, ERR_INPUT, "%s ends at byte %lld", p->file, (long long)in);
    }
    j->object.size_bytes += p->size_bytes;
    j->n++;
    return 0;
}

/* The part that the list names must be there, and large enough unless it is the last. */
static int find_part(struct s3_call *c, const json_t *item, bool last,
                     struct s3_part *ret, struct err *e)
{
    unsigned number = (unsigned)json_integer_value(json_object_get(item, "number"));
    int r = number ? s3_part_next(c->lab->s3, upload_id(c), number - 1, ret, e) : 0;

    if (r < 0)
        return -1;
    if (r == 0 || ret->number != number ||
        !str_eq(ret->etag, json_str_or(item, "etag", "")))
        return refuse(e, "InvalidPart",
                      "One or more of the specified parts could not be found. The part "
                      "may not have been uploaded, or the specified entity tag may not "
                      "match the part's entity tag.");
    if (!last && ret->size_bytes < MIN_PART)
        return refuse(e, "EntityTooSmall",
                      "Your proposed upload is smaller than the minimum allowed size");
    return 0;
}

/* Everything is checked before anything is copied. */
static int check_parts(struct s3_call *c, const json_t *list, struct err *e)
{
    json_int_t before = 0;
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        json_int_t number = json_integer_value(json_object_get(item, "number"));

        if (number <= before && i)
            return refuse(e, "InvalidPartOrder",
                          "The list of parts was not in ascending order. The parts list "
                          "must be specified in order by part number.");
        before = number;
    }
    json_array_foreach (list, i, item) {
        struct s3_part p;

        if (find_part(c, item, i + 1 == json_array_size(list), &p, e) < 0)
            return -1;
    }
    return 0;
}

static int join(struct joined *j, const json_t *list, struct err *e)
{
    struct s3_call *c = j->c;
    unsigned char sum[DIGEST_MAX_BYTES];
    char hex[33];
    json_t *item;
    size_t i;

    if (digest_new(DIGEST_MD5, &j->md5, e) < 0 ||
        s3_store_new_file(c->lab->s3, j->object.file, &j->fd, e) < 0)
        return -1;
    json_array_foreach (list, i, item) {
        struct s3_part p;

        if (find_part(c, item, i + 1 == json_array_size(list), &p, e) < 0 ||
            join_part(j, &p, e) < 0)
            return -1;
    }
    digest_final(j->md5, sum);
    snprintf(j->object.etag, sizeof j->object.etag, "\"%s-%zu\"", str_hex(hex, sum, 16),
             j->n);
    return 0;
}

static int put_joined(struct joined *j, struct err *e)
{
    struct s3_call *c = j->c;
    struct s3_condition condition = {http_header_get(c->rq, "if-match"),
                                     http_header_get(c->rq, "if-none-match")};

    j->object.modified_ms = lab_now_ms();
    return s3_object_put(c->lab->s3, c->target.bucket, &j->object, &condition,
                         upload_id(c), e);
}

static int complete_upload(struct s3_call *c, struct err *e)
{
    struct joined j = {.c = c, .fd = -1};
    auto_free char *location = NULL;
    json_t *list;
    int r;

    if (need_upload(c, &j.object.headers, e) < 0)
        return -1;
    r = s3_complete_parse(&c->rq->body, &list, e);
    if (r == 0) {
        r = check_parts(c, list, e);
        if (r == 0 && !(j.object.key = str_dup(c->target.key, e)))
            r = -1;
        if (r == 0)
            r = join(&j, list, e);
        if (r == 0)
            r = put_joined(&j, e);
        if (r < 0)
            s3_store_remove_file(c->lab->s3, j.object.file);
        json_decref(list);
    }
    auto_fd_fn(&j.fd);
    digest_free(j.md5);
    location = str_fmt(e, "http://127.0.0.1:%u/%s/%s", c->lab->api_port, c->target.bucket,
                       c->target.key);
    if (r == 0 && (!location || s3_answer(c, "CompleteMultipartUploadResult", e) < 0 ||
                   s3_put_str(c, "Location", location, e) < 0 ||
                   s3_put_str(c, "Bucket", c->target.bucket, e) < 0 ||
                   s3_put_str(c, "Key", c->target.key, e) < 0 ||
                   s3_put_str(c, "ETag", j.object.etag, e) < 0))
        r = -1;
    s3_object_release(&j.object);
    return r;
}

static int abort_upload(struct s3_call *c, struct err *e)
{
    c->status = 204;
    if (s3_need_bucket(c, e) < 0)
        return -1;
    return s3_upload_remove(c->lab->s3, c->target.bucket, c->target.key, upload_id(c), e);
}

/* ---- Lists ---- */

static int list_parts(struct s3_call *c, struct err *e)
{
    uint64_t marker = 0, max = 1000, n = 0;
    json_t *list;
    struct s3_part p;
    int r;

    if (need_upload(c, NULL, e) < 0 ||
        s3_param_number(&c->target, "part-number-marker", INT32_MAX, &marker, e) < 0 ||
        s3_param_number(&c->target, "max-parts", 1000, &max, e) < 0 ||
        s3_answer(c, "ListPartsResult", e) < 0)
        return -1;
    list = json_array();
    p.number = (unsigned)marker;
    while ((r = s3_part_next(c->lab->s3, upload_id(c), p.number, &p, e)) == 1 &&
           n < max) {
        char when[LAB_TIME_LEN];

        n++;
        marker = p.number;
        if (json_add(list,
                     json_pack("{s:i, s:s, s:s, s:I}", "PartNumber", (int)p.number,
                               "LastModified", lab_time(when, p.modified_ms), "ETag",
                               p.etag, "Size", (json_int_t)p.size_bytes),
                     e) < 0) {
            json_decref(list);
            return -1;
        }
    }
    if (json_put(c->out, "Part[]", list, e) < 0 || r < 0 ||
        s3_put_str(c, "Bucket", c->target.bucket, e) < 0 ||
        s3_put_name(c, "Key", c->target.key, e) < 0 ||
        s3_put_str(c, "UploadId", upload_id(c), e) < 0 ||
        s3_put_int(c, "NextPartNumberMarker", (int64_t)marker, e) < 0 ||
        s3_put_int(c, "MaxParts", (int64_t)max, e) < 0)
        return -1;
    return s3_put_bool(c, "IsTruncated", r == 1, e);
}

/* Is this upload after the place where the last page ended? */
static bool is_after(const json_t *u, const char *key_marker, const char *id_marker)
{
    int d;

    if (!key_marker || !*key_marker)
        return true;
    d = strcmp(json_str_or(u, "Key", ""), key_marker);
    if (d == 0 && id_marker && *id_marker)
        return strcmp(json_str_or(u, "UploadId", ""), id_marker) > 0;
    return d > 0;
}

static int add_upload(struct s3_call *c, const json_t *u, json_t *out, struct err *e)
{
    auto_buf struct buf key = BUF_INIT;

    if (s3_param(&c->target, "encoding-type"))
        s3_url_encode(json_str_or(u, "Key", ""), &key);
    else
        buf_adds(&key, json_str_or(u, "Key", ""));
    if (buf_check(&key, e) < 0)
        return -1;
    return json_add(out,
                    json_pack("{s:s, s:O, s:O, s:s}", "Key", buf_str(&key), "UploadId",
                              json_object_get(u, "UploadId"), "Initiated",
                              json_object_get(u, "Initiated"), "StorageClass",
                              "STANDARD"),
                    e);
}

static int write_uploads(struct s3_call *c, const json_t *all, json_t *page,
                         struct err *e)
{
    const char *prefix = s3_param(&c->target, "prefix");
    const char *key_marker = s3_param(&c->target, "key-marker");
    const char *id_marker = s3_param(&c->target, "upload-id-marker");
    const json_t *last = NULL;
    uint64_t max = 1000;
    bool more = false;
    json_t *u;
    size_t i;

    if (s3_param_number(&c->target, "max-uploads", 1000, &max, e) < 0)
        return -1;
    json_array_foreach (all, i, u) {
        if (!str_starts(json_str_or(u, "Key", ""), prefix ? prefix : "") ||
            !is_after(u, key_marker, id_marker) || more)
            continue;
        more = json_array_size(page) >= max;
        if (more)
            continue;
        last = u;
        if (add_upload(c, u, page, e) < 0)
            return -1;
    }
    if (more && last &&
        (s3_put_name(c, "NextKeyMarker", json_str_or(last, "Key", ""), e) < 0 ||
         s3_put_str(c, "NextUploadIdMarker", json_str_or(last, "UploadId", ""), e) < 0))
        return -1;
    return s3_put_bool(c, "IsTruncated", more, e);
}

int s3_list_uploads(struct s3_call *c, struct err *e)
{
    json_t *all, *page;
    int r;

    if (s3_answer(c, "ListMultipartUploadsResult", e) < 0 ||
        s3_put_str(c, "Bucket", c->target.bucket, e) < 0 ||
        (s3_param(&c->target, "encoding-type") &&
         s3_put_str(c, "EncodingType", "url", e) < 0) ||
        s3_upload_list(c->lab->s3, c->target.bucket, &all, e) < 0)
        return -1;
    page = json_array();
    r = page ? write_uploads(c, all, page, e) : err_nomem(e);
    json_decref(all);
    if (r < 0) {
        json_decref(page);
        return -1;
    }
    return json_put(c->out, "Upload[]", page, e);
}

const struct s3_action s3_multipart_actions[] = {
    {"CreateMultipartUpload", "POST", S3_KEY, "uploads", NULL, create_upload},
    {"UploadPartCopy", "PUT", S3_KEY, "partNumber", "x-amz-copy-source",
     upload_part_copy},
    {"UploadPart", "PUT", S3_KEY, "partNumber", NULL, upload_part},
    {"CompleteMultipartUpload", "POST", S3_KEY, "uploadId", NULL, complete_upload},
    {"AbortMultipartUpload", "DELETE", S3_KEY, "uploadId", NULL, abort_upload},
    {"ListParts", "GET", S3_KEY, "uploadId", NULL, list_parts},
    {NULL, NULL, 0, NULL, NULL, NULL},
};
