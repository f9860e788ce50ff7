/* Objects: getting, putting, removing; see s3.h. */
#include "aws/s3_impl.h"

#include "base/base64.h"
#include "base/digest.h"
#include "base/rand.h"
#include "base/str.h"
#include "base/xml.h"

#include <inttypes.h>

/* Which PutObject made an object: how a try whose answer was lost is known again. */
#define PUT_TOKEN     "x-amz-meta-hotadd-put"
#define PUT_TOKEN_LEN 33

/* ---- Getting ---- */

int s3_get_object(struct s3_bucket *b, const char *key, size_t max_bytes, struct buf *out,
                  struct err *e)
{
    struct call call = {
        .action = "GetObject", .method = "GET", .max_answer = max_bytes, .sized = true};
    auto_reply struct reply reply = REPLY_INIT;

    if (s3_send(b, key, &call, &reply, NULL, e) < 0)
        return -1;
    if (!out->data) {
        *out = reply.http.body;
        reply.http.body = (struct buf)BUF_INIT;
        return 0;
    }
    buf_add(out, buf_str(&reply.http.body), reply.http.body.len);
    return buf_check(out, e);
}

/* The answer must be the very range asked for: "bytes 0-9/443". */
static int check_range(const struct reply *reply, uint64_t offset, size_t len,
                       struct err *e)
{
    auto_free char *got = NULL;
    char want[64];

    if (reply->http.status != 206)
        return err_set(e, ERR_INPUT, "HTTP status %d where a part was asked for",
                       reply->http.status);
    if (s3_header(reply, "Content-Range", &got, e) < 0)
        return -1;
    snprintf(want, sizeof want, "bytes %" PRIu64 "-%" PRIu64 "/", offset,
             offset + len - 1);
    if (str_starts(got, want) && reply->http.into_len == len)
        return 0;
    return err_set(e, ERR_INPUT,
                   "%zu bytes at %" PRIu64 " were asked for, the answer is '%.60s' with "
                   "%zu: the object is shorter than that",
                   len, offset, got, reply->http.into_len);
}

int s3_get_object_range(struct s3_bucket *b, const char *key, uint64_t offset, void *buf,
                        size_t len, struct err *e)
{
    auto_reply struct reply reply = REPLY_INIT;
    char range[64];
    struct http_header h = {"Range", range};
    struct call call = {.action = "GetObject",
                        .method = "GET",
                        .headers = &h,
                        .n_headers = 1,
                        .into = buf,
                        .into_len = len,
                        .sized = true};

    if (len == 0)
        return 0;
    if (len - 1 > UINT64_MAX - offset)
        return err_set(e, ERR_USAGE, "a range beyond all objects");
    snprintf(range, sizeof range, "bytes=%" PRIu64 "-%" PRIu64, offset, offset + len - 1);
    if (s3_send(b, key, &call, &reply, NULL, e) < 0)
        return -1;
    if (check_range(&reply, offset, len, e) < 0)
        return err_prefix(e, "s3://%s/%s: GetObject", s3_bucket_name(b), key);
    return 0;
}

static int head(struct s3_bucket *b, const char *key, struct reply *ret, struct err *e)
{
    struct call call = {.action = "HeadObject", .method = "HEAD"};

    return s3_send(b, key, &call, ret, NULL, e);
}

int s3_head_object(struct s3_bucket *b, const char *key, struct s3_head *ret,
                   struct err *e)
{
    auto_reply struct reply reply = REPLY_INIT;
    auto_free char *length = NULL, *etag = NULL;
    uint64_t size_bytes;

    if (head(b, key, &reply, e) < 0)
        return -1;
    if (s3_header(&reply, "Content-Length", &length, e) < 0 ||
        str_to_u64(length, &size_bytes, e) < 0 || s3_header(&reply, "ETag", &etag, e) < 0)
        return err_prefix(e, "s3://%s/%s: HeadObject", s3_bucket_name(b), key);
    *ret = (struct s3_head){size_bytes, take_ptr(etag)};
    return 0;
}

void s3_head_release(struct s3_head *h)
{
    free(h->etag);
    *h = (struct s3_head){0};
}

/* ---- Putting ---- */

/* After "it is there already" and a lost answer: 1 when what is there has our token. */
static int is_ours(struct s3_bucket *b, const char *key, const char *token, struct err *e)
{
    auto_reply struct reply reply = REPLY_INIT;
    auto_free char *found = NULL;

    if (head(b, key, &reply, e) < 0) {
        /* It came and went: no "not found" for somebody who puts. */
        if (e->kind == ERR_NOT_FOUND)
            e->kind = ERR_BUSY;
        return -1;
    }
    if (http_answer_header(&reply.http, PUT_TOKEN, &found, e) < 0)
        return -1;
    return found && str_eq(found, token);
}

/* The refusal is in e. 1 when the object was there before us, 0 when it is ours. */
static int put_refused(struct s3_bucket *b, const char *key, const char *token,
                       bool maybe_done, struct err *e)
{
    int ours = 0;

    if (!str_eq(e->aws_code, "PreconditionFailed"))
        return -1;
    if (maybe_done)
        ours = is_ours(b, key, token, e);
    return ours < 0 ? -1 : !ours;
}

int s3_put_object(struct s3_bucket *b, const char *key, const void *data, size_t len,
                  enum s3_put_how how, bool *ret_existed, struct err *e)
{
    auto_reply struct reply reply = REPLY_INIT;
    auto_buf struct buf sum64 = BUF_INIT;
    unsigned char sum[SHA256_BYTES];
    char hex[SHA256_HEX_LEN], token[PUT_TOKEN_LEN];
    struct http_header h[3];
    struct call call = {.action = "PutObject",
                        .method = "PUT",
                        .content_type = "application/octet-stream",
                        .body = data,
                        .body_len = len,
                        .body_sha256 = hex,
                        .headers = h,
                        .n_headers = how == S3_IF_ABSENT ? 3 : 1};
    bool maybe_done;
    int existed = 0;

    if (len > S3_MAX_PUT)
        return err_set(e, ERR_USAGE, "s3://%s/%s: more than 5 GiB go in parts only",
                       s3_bucket_name(b), key);
    digest_sha256(data, len, sum);
    str_hex(hex, sum, sizeof sum);
    base64_encode(sum, sizeof sum, &sum64);
    if (buf_check(&sum64, e) < 0)
        return -1;
    h[0] = (struct http_header){"x-amz-checksum-sha256", buf_str(&sum64)};
    h[1] = (struct http_header){"If-None-Match", "*"};
    h[2] = (struct http_header){PUT_TOKEN, rand_hex(token, sizeof token - 1)};
    if (s3_send(b, key, &call, &reply, &maybe_done, e) < 0)
        existed = how == S3_IF_ABSENT ? put_refused(b, key, token, maybe_done, e) : -1;
    if (existed < 0)
        return -1;
    if (ret_existed)
        *ret_existed = existed;
    return 0;
}

/* ---- Removing ---- */

int s3_delete_object(struct s3_bucket *b, const char *key, struct err *e)
{
    struct call call = {.action = "DeleteObject", .method = "DELETE"};

    if (s3_do(b, key, &call, e) == 0)
        return 0;
    /* S3 answers 204 for an absent object; other makes say this. */
    return str_eq(e->aws_code, "NoSuchKey") ? 0 : -1;
}

static int delete_body(const struct strv *keys, struct buf *out, struct err *e)
{
    struct s3_xml x;

    vec_foreach (k, keys) {
        if (s3_key_check(*k, e) < 0)
            return -1;
        for (const char *p = *k; *p; p++)
            if ((unsigned char)*p < 0x20)
                return err_set(e, ERR_UNSUPPORTED,
                               "a key with a control character must be deleted alone");
    }
    if (s3_xml_begin(&x, "Delete", e) < 0)
        return -1;
    s3_xml_text(&x, "Quiet", "true");
    vec_foreach (k, keys) {
        s3_xml_open(&x, "Object");
        s3_xml_text(&x, "Key", *k);
        s3_xml_close(&x);
    }
    return s3_xml_end(&x, out, e);
}

static int content_md5(const struct buf *body, struct buf *out, struct err *e)
{
    unsigned char sum[DIGEST_MAX_BYTES];
    struct digest *d;

    if (digest_new(DIGEST_MD5, &d, e) < 0)
        return -1;
    digest_update(d, buf_str(body), body->len);
    base64_encode(sum, digest_final(d, sum), out);
    digest_free(d);
    return buf_check(out, e);
}

int s3_delete_result(xmlNode *root, struct err *e)
{
    xmlNode *error = xml_child(root, "Error");
    auto_free char *key = NULL, *code = NULL;

    if (!error)
        return 0;
    if (s3_text(error, "Key", false, &key, e) < 0 ||
        s3_text(error, "Code", false, &code, e) < 0)
        return -1;
    err_set(e, str_starts(code, "AccessDenied") ? ERR_DENIED : ERR_CLOUD,
            "%.200s: DeleteObjects: %.80s", key, code);
    e->retryable = str_eq(code, "InternalError") || str_eq(code, "SlowDown");
    snprintf(e->aws_code, sizeof e->aws_code, "%s", code);
    return -1;
}

int s3_delete_objects(struct s3_bucket *b, const struct strv *keys, struct err *e)
{
    auto_reply struct reply reply = REPLY_INIT;
    auto_buf struct buf body = BUF_INIT, md5 = BUF_INIT;
    struct http_header h;
    struct call call = {.action = "DeleteObjects",
                        .method = "POST",
                        .query = "delete=",
                        .content_type = "application/xml",
                        .headers = &h,
                        .n_headers = 1,
                        .max_answer = S3_MAX_XML,
                        .xml = true};

    if (keys->n == 0)
        return 0;
    if (keys->n > S3_MAX_DELETE)
        return err_set(e, ERR_USAGE, "%zu keys in one DeleteObjects, at most %d", keys->n,
                       S3_MAX_DELETE);
    if (delete_body(keys, &body, e) < 0 || content_md5(&body, &md5, e) < 0)
        return -1;
    h = (struct http_header){"Content-MD5", buf_str(&md5)};
    call.body = body.data;
    call.body_len = body.len;
    if (s3_send(b, NULL, &call, &reply, NULL, e) < 0)
        return -1;
    if (s3_check_root(&reply, "DeleteResult", e) < 0 ||
        s3_delete_result(xml_root(reply.doc), e) < 0)
        return err_prefix(e, "s3://%s", s3_bucket_name(b));
    return 0;
}
