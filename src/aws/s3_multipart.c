/* Multipart uploads; see s3.h. */
#include "aws/s3_impl.h"

#include "aws/uri.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/str.h"
#include "base/xml.h"

#include <inttypes.h>

#define MAX_PAGES 1000

void s3_parts_release(struct s3_parts *v)
{
    vec_foreach (p, v)
        free(p->etag);
    vec_release(v);
}

void s3_uploads_release(struct s3_uploads *v)
{
    vec_foreach (u, v) {
        free(u->key);
        free(u->id);
    }
    vec_release(v);
}

int s3_create_multipart_upload(struct s3_bucket *b, const char *key, char **ret_id,
                               struct err *e)
{
    auto_reply struct reply reply = REPLY_INIT;
    auto_free char *id = NULL;
    struct call call = {.action = "CreateMultipartUpload",
                        .method = "POST",
                        .query = "uploads=",
                        .content_type = "application/octet-stream",
                        .max_answer = S3_MAX_XML,
                        .xml = true};

    if (s3_send(b, key, &call, &reply, NULL, e) < 0)
        return -1;
    if (s3_check_root(&reply, "InitiateMultipartUploadResult", e) < 0 ||
        s3_text(xml_root(reply.doc), "UploadId", false, &id, e) < 0)
        return err_prefix(e, "s3://%s/%s", s3_bucket_name(b), key);
    if (!id[0])
        return err_set(e, ERR_INPUT, "s3://%s/%s: the answer holds no UploadId",
                       s3_bucket_name(b), key);
    *ret_id = take_ptr(id);
    return 0;
}

int s3_upload_part(struct s3_bucket *b, const char *key, const char *id, unsigned number,
                   const void *data, size_t len, char **ret_etag, struct err *e)
{
    auto_reply struct reply reply = REPLY_INIT;
    auto_buf struct buf query = BUF_INIT;
    char text[16];
    struct call call = {.action = "UploadPart",
                        .method = "PUT",
                        .content_type = "application/octet-stream",
                        .body = data,
                        .body_len = len};

    snprintf(text, sizeof text, "%u", number);
    s3_query(&query, "partNumber", text);
    s3_query(&query, "uploadId", id);
    if (buf_check(&query, e) < 0)
        return -1;
    call.query = buf_str(&query);
    if (s3_send(b, key, &call, &reply, NULL, e) < 0)
        return -1;
    if (s3_header(&reply, "ETag", ret_etag, e) < 0)
        return err_prefix(e, "s3://%s/%s: UploadPart", s3_bucket_name(b), key);
    return 0;
}

int s3_upload_part_copy(struct s3_bucket *b, const char *key, const char *id,
                        unsigned number, const char *from_key, char **ret_etag,
                        struct err *e)
{
    auto_reply struct reply reply = REPLY_INIT;
    auto_buf struct buf query = BUF_INIT, source = BUF_INIT;
    struct http_header header = {"X-Amz-Copy-Source", NULL};
    char text[16];
    struct call call = {.action = "UploadPartCopy",
                        .method = "PUT",
                        .headers = &header,
                        .n_headers = 1,
                        .max_answer = S3_MAX_XML,
                        .xml = true};

    snprintf(text, sizeof text, "%u", number);
    s3_query(&query, "partNumber", text);
    s3_query(&query, "uploadId", id);
    buf_addf(&source, "/%s/", s3_bucket_name(b));
    uri_encode_path(&source, from_key, strlen(from_key));
    if (buf_check(&query, e) < 0 || buf_check(&source, e) < 0)
        return -1;
    call.query = buf_str(&query);
    header.value = buf_str(&source);
    if (s3_send(b, key, &call, &reply, NULL, e) < 0)
        return -1;
    if (s3_check_root(&reply, "CopyPartResult", e) < 0 ||
        s3_text(xml_root(reply.doc), "ETag", false, ret_etag, e) < 0)
        return err_prefix(e, "s3://%s/%s: UploadPartCopy", s3_bucket_name(b), key);
    return 0;
}

static int complete_body(const struct s3_parts *parts, struct buf *out, struct err *e)
{
    struct s3_xml x;
    char text[16];

    if (s3_xml_begin(&x, "CompleteMultipartUpload", e) < 0)
        return -1;
    vec_foreach (p, parts) {
        snprintf(text, sizeof text, "%u", p->number);
        s3_xml_open(&x, "Part");
        s3_xml_text(&x, "PartNumber", text);
        s3_xml_text(&x, "ETag", p->etag);
        s3_xml_close(&x);
    }
    return s3_xml_end(&x, out, e);
}

int s3_multipart_etag(const struct s3_parts *parts, char out[80], bool *ret_known,
                      struct err *e)
{
    unsigned char sum[DIGEST_MAX_BYTES];
    char hex[33];
    struct digest *d;
    bool known = true;

    if (digest_new(DIGEST_MD5, &d, e) < 0)
        return -1;
    vec_foreach (p, parts) {
        const char *at = p->etag + (p->etag[0] == '"');
        struct err ignored;
        char digits[33];

        snprintf(digits, sizeof digits, "%s", at);
        known &= str_unhex(digits, sum, 16, &ignored) == 0 &&
                 str_eq(at + strlen(digits), p->etag[0] == '"' ? "\"" : "");
        if (known)
            digest_update(d, sum, 16);
    }
    digest_final(d, sum);
    digest_free(d);
    snprintf(out, 80, "\"%s-%zu\"", str_hex(hex, sum, 16), parts->n);
    *ret_known = known;
    return 0;
}

/* S3 no longer knows the upload (the error is in e), and an earlier try of ours may be
 * why: then the object is there and is what our parts make. */
static int completed_before(struct s3_bucket *b, const char *key,
                            const struct s3_parts *parts, struct err *e)
{
    char want[80];
    struct s3_head h;
    struct err other;
    bool same, known;

    if (s3_multipart_etag(parts, want, &known, &other) < 0 || !known ||
        s3_head_object(b, key, &h, &other) < 0)
        return -1;
    same = str_eq(h.etag, want);
    s3_head_release(&h);
    return same ? 0 : -1;
}

int s3_complete_multipart_upload(struct s3_bucket *b, const char *key, const char *id,
                                 const struct s3_parts *parts, struct err *e)
{
    auto_reply struct reply reply = REPLY_INIT;
    auto_buf struct buf query = BUF_INIT, body = BUF_INIT;
    bool maybe_done = false;
    struct call call = {.action = "CompleteMultipartUpload",
                        .method = "POST",
                        .content_type = "application/xml",
                        .max_answer = S3_MAX_XML,
                        .xml = true};

    s3_query(&query, "uploadId", id);
    if (buf_check(&query, e) < 0 || complete_body(parts, &body, e) < 0)
        return -1;
    call.query = buf_str(&query);
    call.body = body.data;
    call.body_len = body.len;
    if (s3_send(b, key, &call, &reply, &maybe_done, e) < 0)
        return maybe_done && str_eq(e->aws_code, "NoSuchUpload")
                   ? completed_before(b, key, parts, e)
                   : -1;
    if (s3_check_root(&reply, "CompleteMultipartUploadResult", e) < 0)
        return err_prefix(e, "s3://%s/%s", s3_bucket_name(b), key);
    return 0;
}

int s3_abort_multipart_upload(struct s3_bucket *b, const char *key, const char *id,
                              struct err *e)
{
    auto_buf struct buf query = BUF_INIT;
    struct call call = {.action = "AbortMultipartUpload", .method = "DELETE"};

    s3_query(&query, "uploadId", id);
    if (buf_check(&query, e) < 0)
        return -1;
    call.query = buf_str(&query);
    if (s3_do(b, key, &call, e) == 0 || str_eq(e->aws_code, "NoSuchUpload"))
        return 0;
    return -1;
}

/* ---- Lists ---- */

int s3_parts_read(xmlNode *root, struct s3_parts *parts, struct err *e)
{
    for (XML_EACH (n, xml_child(root, "Part"))) {
        struct s3_part p = {0};
        uint64_t number;

        if (s3_u64(n, "PartNumber", &number, e) < 0 ||
            s3_u64(n, "Size", &p.size_bytes, e) < 0)
            return -1;
        if (number == 0 || number > S3_MAX_PARTS || parts->n >= S3_MAX_PARTS)
            return err_set(e, ERR_INPUT, "a part with number %" PRIu64, number);
        p.number = (unsigned)number;
        if (s3_text(n, "ETag", false, &p.etag, e) < 0)
            return -1;
        if (vec_push(parts, p, e) < 0) {
            free(p.etag);
            return -1;
        }
    }
    return 0;
}

int s3_uploads_read(xmlNode *root, bool coded, struct s3_uploads *uploads, struct err *e)
{
    for (XML_EACH (n, xml_child(root, "Upload"))) {
        struct s3_upload u = {0};
        auto_free char *when = NULL;

        if (s3_text(n, "Key", coded, &u.key, e) < 0 ||
            s3_text(n, "UploadId", false, &u.id, e) < 0 ||
            s3_text(n, "Initiated", false, &when, e) < 0 ||
            clock_parse_iso8601(when, &u.initiated_s, e) < 0 ||
            vec_push(uploads, u, e) < 0) {
            free(u.key);
            free(u.id);
            return -1;
        }
    }
    return 0;
}

/* Sends one page's question; more pages follow when *ret_more. */
static int list_page(struct s3_bucket *b, const char *key, const char *action,
                     const struct buf *query, const char *root, struct reply *reply,
                     bool *ret_more, struct err *e)
{
    struct call call = {.action = action,
                        .method = "GET",
                        .query = buf_str(query),
                        .max_answer = S3_MAX_XML,
                        .xml = true};

    if (buf_check(query, e) < 0 || s3_send(b, key, &call, reply, NULL, e) < 0 ||
        s3_check_root(reply, root, e) < 0)
        return -1;
    *ret_more = s3_is_true(xml_root(reply->doc), "IsTruncated");
    return 0;
}

int s3_list_parts(struct s3_bucket *b, const char *key, const char *id,
                  struct s3_parts *ret, struct err *e)
{
    auto_call(s3_parts_release) struct s3_parts parts = {0};
    bool more = true;

    while (more) {
        auto_reply struct reply reply = REPLY_INIT;
        auto_buf struct buf query = BUF_INIT;
        size_t before = parts.n;
        char text[16];

        snprintf(text, sizeof text, "%u", before ? parts.v[before - 1].number : 0);
        s3_query(&query, "part-number-marker", before ? text : NULL);
        s3_query(&query, "uploadId", id);
        if (list_page(b, key, "ListParts", &query, "ListPartsResult", &reply, &more, e) <
                0 ||
            s3_parts_read(xml_root(reply.doc), &parts, e) < 0)
            return -1;
        if (more && parts.n == before)
            return err_set(e, ERR_INPUT, "ListParts: an empty page before the end");
    }
    *ret = parts;
    parts = (struct s3_parts){0};
    return 0;
}

int s3_list_multipart_uploads(struct s3_bucket *b, const char *prefix,
                              struct s3_uploads *ret, struct err *e)
{
    auto_call(s3_uploads_release) struct s3_uploads found = {0};
    bool more = true;

    for (int pages = 0; more; pages++) {
        auto_reply struct reply reply = REPLY_INIT;
        auto_buf struct buf query = BUF_INIT;
        const struct s3_upload *last = found.n ? &found.v[found.n - 1] : NULL;
        auto_free char *coding = NULL;

        s3_query(&query, "uploads", "");
        s3_query(&query, "encoding-type", "url");
        s3_query(&query, "key-marker", last ? last->key : NULL);
        s3_query(&query, "prefix", prefix && *prefix ? prefix : NULL);
        s3_query(&query, "upload-id-marker", last ? last->id : NULL);
        if (list_page(b, NULL, "ListMultipartUploads", &query,
                      "ListMultipartUploadsResult", &reply, &more, e) < 0 ||
            s3_text(xml_root(reply.doc), "EncodingType", false, &coding, e) < 0 ||
            s3_uploads_read(xml_root(reply.doc), str_eq(coding, "url"), &found, e) < 0)
            return -1;
        if (more && pages >= MAX_PAGES)
            return err_set(e, ERR_UNSUPPORTED, "s3://%s: more than %d pages of uploads",
                           s3_bucket_name(b), MAX_PAGES);
    }
    *ret = found;
    found = (struct s3_uploads){0};
    return 0;
}
