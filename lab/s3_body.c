/* Bodies; see s3_body.h. */
#include "lab/s3_body.h"

#include "lab/refuse.h"

#include "base/base64.h"
#include "base/digest.h"
#include "base/io.h"
#include "base/str.h"

/* What the request claims about its data. */
struct claims {
    char sha256[SHA256_HEX_LEN]; /* "" when it is not claimed */
    char md5[64];                /* base 64 */
    enum s3_sum_kind kind;
    char sum[64]; /* base 64; "" when it comes in the trailer */
    bool has_size;
    uint64_t size_bytes;
};

struct s3_body {
    struct s3_store *store;
    struct claims claims;
    char file[S3_FILE_LEN];
    int fd;
    uint64_t size_bytes;
    struct digest *md5, *sha256; /* sha256: NULL unless claimed */
    struct s3_sum *sum;          /* NULL for no checksum */
    struct s3_chunked *chunked;  /* NULL for plain data */
};

/* ---- Claims ---- */

static int claim(const struct http_request *rq, const char *name, char out[64],
                 struct err *e)
{
    const char *v = http_header_get(rq, name);

    if (v && strlen(v) >= 64)
        return refuse(e, "InvalidDigest", "The %s you specified is not valid", name);
    snprintf(out, 64, "%s", v ? v : "");
    return 0;
}

/* The one x-amz-checksum-… header, or the one that the trailer announces. */
static int claim_sum(const struct http_request *rq, struct claims *c, struct err *e)
{
    const char *trailer = http_header_get(rq, "x-amz-trailer");

    for (int k = S3_SUM_CRC32; k < S3_SUM_KINDS; k++) {
        char name[40], value[64];
        bool late;

        snprintf(name, sizeof name, "x-amz-checksum-%s", s3_sum_name(k));
        if (claim(rq, name, value, e) < 0)
            return -1;
        late = trailer && strcasecmp(trailer, name) == 0;
        if (!value[0] && !late)
            continue;
        if (c->kind)
            return refuse(e, "InvalidRequest",
                          "Expecting a single x-amz-checksum- header. Multiple checksum "
                          "Types are not allowed.");
        c->kind = k;
        snprintf(c->sum, sizeof c->sum, "%s", late ? "" : value);
    }
    return 0;
}

static int claim_size(const struct http_request *rq, const char *name, struct claims *c,
                      struct err *e)
{
    const char *v = http_header_get(rq, name);

    if (!v || str_to_u64(v, &c->size_bytes, e) < 0)
        return refuse(e, "MissingContentLength",
                      "You must provide the Content-Length HTTP header (and with "
                      "aws-chunked x-amz-decoded-content-length).");
    if (c->size_bytes > S3_MAX_PUT)
        return refuse(e, "EntityTooLarge",
                      "Your proposed upload exceeds the maximum allowed size");
    c->has_size = true;
    return 0;
}

static int read_claims(const struct http_request *rq, struct claims *c, struct err *e)
{
    const char *sha = http_header_get(rq, "x-amz-content-sha256");

    if (sha && !str_starts(sha, "STREAMING-") && !str_eq(sha, "UNSIGNED-PAYLOAD")) {
        if (strlen(sha) != 64)
            return refuse(e, "InvalidArgument",
                          "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-…, "
                          "or a valid sha256 value.");
        snprintf(c->sha256, sizeof c->sha256, "%s", sha);
    }
    if (claim(rq, "content-md5", c->md5, e) < 0)
        return -1;
    return claim_sum(rq, c, e);
}

/* ---- Making ---- */

/* The file is written as the data come. */
static int take(void *ctx, const void *data, size_t len, struct err *e)
{
    struct s3_body *b = ctx;

    if (b->size_bytes + len > (b->claims.has_size ? b->claims.size_bytes : S3_MAX_PUT))
        return refuse(e, "EntityTooLarge",
                      "The data are longer than the request announced");
    if (io_write_full(b->fd, data, len, "an object's file", e) < 0)
        return -1;
    digest_update(b->md5, data, len);
    if (b->sha256)
        digest_update(b->sha256, data, len);
    if (b->sum)
        s3_sum_update(b->sum, data, len);
    b->size_bytes += len;
    return 0;
}

static int prepare(struct s3_body *b, struct err *e)
{
    if (digest_new(DIGEST_MD5, &b->md5, e) < 0 ||
        (b->claims.sha256[0] && digest_new(DIGEST_SHA256, &b->sha256, e) < 0) ||
        (b->claims.kind && s3_sum_new(b->claims.kind, &b->sum, e) < 0))
        return -1;
    return s3_store_new_file(b->store, b->file, &b->fd, e);
}

static int prepare_request(struct s3_body *b, const struct http_request *rq,
                           const struct s3_chain *chain, struct err *e)
{
    const char *sha = http_header_get(rq, "x-amz-content-sha256");
    bool chunked = sha && str_starts(sha, "STREAMING-");
    bool is_signed = chunked && str_starts(sha, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");

    if (chunked && !is_signed && !str_eq(sha, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"))
        return refuse(e, "NotImplemented", "x-amz-content-sha256: %.60s", sha);
    if (read_claims(rq, &b->claims, e) < 0 ||
        claim_size(rq, chunked ? "x-amz-decoded-content-length" : "content-length",
                   &b->claims, e) < 0)
        return -1;
    if (chunked && s3_chunked_new(is_signed ? chain : NULL, take, b, &b->chunked, e) < 0)
        return -1;
    return prepare(b, e);
}

static struct s3_body *alloc(struct s3_store *store, struct err *e)
{
    struct s3_body *b = mem_zalloc(1, sizeof *b, e);

    if (b) {
        b->store = store;
        b->fd = -1;
    }
    return b;
}

int s3_body_new(struct s3_store *store, const struct http_request *rq,
                const struct s3_chain *chain, struct s3_body **ret, struct err *e)
{
    struct s3_body *b = alloc(store, e);

    if (!b)
        return -1;
    if (prepare_request(b, rq, chain, e) < 0) {
        s3_body_free(b);
        return -1;
    }
    *ret = b;
    return 0;
}

int s3_body_plain(struct s3_store *store, struct s3_body **ret, struct err *e)
{
    struct s3_body *b = alloc(store, e);

    if (!b)
        return -1;
    if (prepare(b, e) < 0) {
        s3_body_free(b);
        return -1;
    }
    *ret = b;
    return 0;
}

void s3_body_free(struct s3_body *b)
{
    if (!b)
        return;
    auto_fd_fn(&b->fd);
    s3_store_remove_file(b->store, b->file);
    digest_free(b->md5);
    digest_free(b->sha256);
    s3_sum_free(b->sum);
    s3_chunked_free(b->chunked);
    free(b);
}

int s3_body_add(struct s3_body *b, const void *data, size_t len, struct err *e)
{
    return b->chunked ? s3_chunked_feed(b->chunked, data, len, e) : take(b, data, len, e);
}

/* ---- Judging ---- */

static int check_sha256(const char *claimed, const unsigned char sum[SHA256_BYTES],
                        struct err *e)
{
    char hex[SHA256_HEX_LEN];

    if (!claimed[0] || str_eq(claimed, str_hex(hex, sum, SHA256_BYTES)))
        return 0;
    return refuse(e, "XAmzContentSHA256Mismatch",
                  "The provided 'x-amz-content-sha256' header does not match what was "
                  "computed.");
}

static int check_md5(const char *claimed, const unsigned char *sum, struct err *e)
{
    auto_buf struct buf real = BUF_INIT;

    if (!claimed[0])
        return 0;
    base64_encode(sum, 16, &real);
    if (buf_check(&real, e) < 0)
        return -1;
    if (strlen(claimed) != 24)
        return refuse(e, "InvalidDigest", "The Content-MD5 you specified is not valid.");
    if (!str_eq(claimed, buf_str(&real)))
        return refuse(e, "BadDigest",
                      "The Content-MD5 you specified did not match what we received.");
    return 0;
}

static int check_sum(const struct claims *c, const char *trailer, struct s3_sum *sum,
                     char out[64], struct err *e)
{
    const char *claimed = c->sum[0] ? c->sum : trailer;
    auto_buf struct buf real = BUF_INIT;

    out[0] = 0;
    if (!sum)
        return 0;
    s3_sum_final(sum, &real);
    if (buf_check(&real, e) < 0)
        return -1;
    if (!claimed)
        return refuse(e, "MalformedTrailerError",
                      "The trailer does not hold x-amz-checksum-%s",
                      s3_sum_name(c->kind));
    if (!str_eq(claimed, buf_str(&real)))
        return refuse(e, "BadDigest",
                      "The %s you specified did not match the calculated checksum.",
                      s3_sum_name(c->kind));
    snprintf(out, 64, "%s", buf_str(&real));
    return 0;
}

int s3_body_end(struct s3_body *b, struct s3_received *ret, struct err *e)
{
    struct s3_received r = {.size_bytes = b->size_bytes, .kind = b->claims.kind};
    unsigned char sum[DIGEST_MAX_BYTES];
    char name[40], hex[33];

    if (b->chunked && s3_chunked_end(b->chunked, e) < 0)
        return -1;
    if (b->claims.has_size && b->size_bytes != b->claims.size_bytes)
        return refuse(e, "IncompleteBody",
                      "You did not provide the number of bytes specified by the "
                      "Content-Length HTTP header");
    if (b->sha256)
        digest_final(b->sha256, sum);
    if (check_sha256(b->claims.sha256, sum, e) < 0)
        return -1;
    digest_final(b->md5, sum);
    snprintf(r.etag, sizeof r.etag, "\"%s\"", str_hex(hex, sum, 16));
    snprintf(name, sizeof name, "x-amz-checksum-%s", s3_sum_name(b->claims.kind));
    if (check_md5(b->claims.md5, sum, e) < 0 ||
        check_sum(&b->claims, b->chunked ? s3_chunked_trailer(b->chunked, name) : NULL,
                  b->sum, r.sum, e) < 0)
        return -1;
    memcpy(r.file, b->file, sizeof r.file);
    b->file[0] = 0;
    *ret = r;
    return 0;
}

int s3_body_check(const struct http_request *rq, struct err *e)
{
    struct claims c = {0};
    unsigned char sum[DIGEST_MAX_BYTES];
    char out[64];
    struct s3_sum *s = NULL;
    struct digest *md5;
    int r;

    if (read_claims(rq, &c, e) < 0)
        return -1;
    digest_sha256(buf_str(&rq->body), rq->body.len, sum);
    if (check_sha256(c.sha256, sum, e) < 0 || digest_new(DIGEST_MD5, &md5, e) < 0)
        return -1;
    digest_update(md5, buf_str(&rq->body), rq->body.len);
    digest_final(md5, sum);
    digest_free(md5);
    if (check_md5(c.md5, sum, e) < 0 || (c.kind && s3_sum_new(c.kind, &s, e) < 0))
        return -1;
    if (s)
        s3_sum_update(s, buf_str(&rq->body), rq->body.len);
    r = check_sum(&c, NULL, s, out, e);
    s3_sum_free(s);
    return r;
}
