/* aws-chunked; see s3_chunked.h.
 *
 *     400;chunk-signature=HEX CRLF  data CRLF  …  0;chunk-signature=HEX CRLF
 *     x-amz-checksum-crc32c:BASE64 CRLF  x-amz-trailer-signature:HEX CRLF  CRLF
 *
 * without the signatures when chunks are not signed. */
#include "lab/s3_chunked.h"

#include "lab/refuse.h"

#include "base/digest.h"
#include "base/secret.h"
#include "base/str.h"

#include <ctype.h>
#include <openssl/crypto.h>

#define MAX_LINE     2048
#define MAX_TRAILER  16
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum state { SIZE, DATA, DATA_END, TRAILER, ENDED };

struct s3_chunked {
    enum state state;
    bool is_signed;
    struct s3_chain chain;
    s3_take *take;
    void *ctx;
    uint64_t left; /* of the chunk's data */
    char line[MAX_LINE];
    size_t line_len;
    char signature[SIGV4_HEX_LEN]; /* of the chunk, as sent */
    struct digest *digest;         /* of the chunk's data */
    struct buf signed_trailer;     /* "name:value\n"… */
    struct http_headers trailer;
};

int s3_chunked_new(const struct s3_chain *chain, s3_take *take, void *ctx,
                   struct s3_chunked **ret, struct err *e)
{
    struct s3_chunked *c = mem_zalloc(1, sizeof *c, e);

    if (!c)
        return -1;
    if (chain) {
        c->is_signed = true;
        c->chain = *chain;
    }
    c->take = take;
    c->ctx = ctx;
    if (digest_new(DIGEST_SHA256, &c->digest, e) < 0) {
        s3_chunked_free(c);
        return -1;
    }
    *ret = c;
    return 0;
}

void s3_chunked_free(struct s3_chunked *c)
{
    if (!c)
        return;
    vec_foreach (h, &c->trailer) {
        free(h->name);
        free(h->value);
    }
    vec_release(&c->trailer);
    buf_release(&c->signed_trailer);
    digest_free(c->digest);
    secret_wipe(&c->chain, sizeof c->chain);
    free(c);
}

static int malformed(struct err *e, const char *why)
{
    return refuse(e, "InvalidRequest", "The body is not in the form of aws-chunked: %s",
                  why);
}

/* "AWS4-HMAC-SHA256-PAYLOAD" of a chunk, or "…-TRAILER", and what of it is signed. */
static int check_signature(struct s3_chunked *c, const char *what, const char *rest,
                           const char *claimed, struct err *e)
{
    auto_buf struct buf text = BUF_INIT;
    char want[SIGV4_HEX_LEN];

    buf_addf(&text, "AWS4-HMAC-SHA256-%s\n%s\n%s\n%s\n%s", what, c->chain.date,
             c->chain.scope, c->chain.before, rest);
    if (buf_check(&text, e) < 0)
        return -1;
    sigv4_hmac_hex(c->chain.key, buf_str(&text), want);
    if (strlen(claimed) != sizeof want - 1 ||
        CRYPTO_memcmp(want, claimed, sizeof want) != 0)
        return refuse(
            e, "SignatureDoesNotMatch",
            "The chunk signature we calculated does not match the signature you "
            "provided.");
    memcpy(c->chain.before, want, sizeof want);
    return 0;
}

/* The chunk's data are complete. */
static int chunk_done(struct s3_chunked *c, struct err *e)
{
    unsigned char sum[DIGEST_MAX_BYTES];
    char rest[SHA256_HEX_LEN * 2], hex[SHA256_HEX_LEN];

    digest_final(c->digest, sum);
    if (!c->is_signed)
        return 0;
    snprintf(rest, sizeof rest, "%s\n%s", EMPTY_SHA256, str_hex(hex, sum, SHA256_BYTES));
    return check_signature(c, "PAYLOAD", rest, c->signature, e);
}

static int size_line(struct s3_chunked *c, struct err *e)
{
    char *semicolon = strchr(c->line, ';'), *end;
    const char *mark = ";chunk-signature=";

    if (semicolon && str_starts(semicolon, mark))
        snprintf(c->signature, sizeof c->signature, "%s", semicolon + strlen(mark));
    else if (c->is_signed)
        return malformed(e, "a chunk has no chunk-signature");
    if (semicolon)
        *semicolon = 0;
    if (!isxdigit((unsigned char)c->line[0]) || strlen(c->line) > 15)
        return malformed(e, "a chunk's size is no hexadecimal number");
    c->left = strtoull(c->line, &end, 16);
    if (*end)
        return malformed(e, "a chunk's size is no hexadecimal number");
    c->state = c->left ? DATA : TRAILER;
    return c->left ? 0 : chunk_done(c, e);
}

static int end_of_trailer(struct s3_chunked *c, struct err *e)
{
    const char *claimed = s3_chunked_trailer(c, "x-amz-trailer-signature");
    unsigned char sum[SHA256_BYTES];
    char hex[SHA256_HEX_LEN];

    c->state = ENDED;
    if (!c->is_signed || c->trailer.n == 0)
        return 0;
    if (!claimed)
        return malformed(e, "the trailer is not signed");
    digest_sha256(buf_str(&c->signed_trailer), c->signed_trailer.len, sum);
    return check_signature(c, "TRAILER", str_hex(hex, sum, sizeof sum), claimed, e);
}

static int trailer_line(struct s3_chunked *c, struct err *e)
{
    char *colon = strchr(c->line, ':'), *value;

    if (!c->line[0])
        return end_of_trailer(c, e);
    if (!colon || c->trailer.n >= MAX_TRAILER)
        return malformed(e, "a line of the trailer makes no sense");
    *colon = 0;
    value = str_trim(colon + 1);
    for (char *p = c->line; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (!str_eq(c->line, "x-amz-trailer-signature"))
        buf_addf(&c->signed_trailer, "%s:%s\n", c->line, value);
    if (buf_check(&c->signed_trailer, e) < 0)
        return -1;
    return http_header_add(&c->trailer, c->line, value, e);
}

/* A whole line is in c->line, without its end. */
static int on_line(struct s3_chunked *c, struct err *e)
{
    if (strlen(c->line) != c->line_len)
        return malformed(e, "it holds a NUL");
    c->line_len = 0;
    switch (c->state) {
    case SIZE:
        return size_line(c, e);
    case DATA_END:
        c->state = SIZE;
        return c->line[0] ? malformed(e, "a chunk is longer than it says") : 0;
    default:
        return trailer_line(c, e);
    }
}

/* Eats up to the end of a line; returns how much. */
static size_t feed_line(struct s3_chunked *c, const char *p, size_t len, bool *ret_whole)
{
    const char *nl = memchr(p, '\n', len);
    size_t n = nl ? (size_t)(nl - p) : len;
    size_t room = sizeof c->line - 1 - c->line_len, keep = n < room ? n : room;

    memcpy(c->line + c->line_len, p, keep);
    c->line_len += keep;
    *ret_whole = nl != NULL;
    if (nl && c->line_len && c->line[c->line_len - 1] == '\r')
        c->line_len--;
    c->line[c->line_len] = 0;
    return n + (nl != NULL);
}

static int feed_data(struct s3_chunked *c, const char *p, size_t len, size_t *ret_eaten,
                     struct err *e)
{
    size_t n = len < c->left ? len : (size_t)c->left;

    if (c->is_signed)
        digest_update(c->digest, p, n);
    if (c->take(c->ctx, p, n, e) < 0)
        return -1;
    *ret_eaten = n;
    c->left -= n;
    if (c->left)
        return 0;
    c->state = DATA_END;
    return chunk_done(c, e);
}

int s3_chunked_feed(struct s3_chunked *c, const void *data, size_t len, struct err *e)
{
    const char *p = data, *end = p + len;

    while (p < end) {
        size_t n = 0;
        bool whole = false;

        if (c->state == ENDED)
            return malformed(e, "it goes on after its end");
        if (c->state == DATA) {
            if (feed_data(c, p, (size_t)(end - p), &n, e) < 0)
                return -1;
        } else {
            n = feed_line(c, p, (size_t)(end - p), &whole);
            if (c->line_len >= sizeof c->line - 1)
                return malformed(e, "a line is too long");
            if (whole && on_line(c, e) < 0)
                return -1;
        }
        p += n;
    }
    return 0;
}

int s3_chunked_end(const struct s3_chunked *c, struct err *e)
{
    if (c->state == ENDED)
        return 0;
    return refuse(e, "IncompleteBody",
                  "The request body terminated unexpectedly: its last chunk is missing");
}

const char *s3_chunked_trailer(const struct s3_chunked *c, const char *name)
{
    vec_foreach (h, &c->trailer)
        if (str_eq(h->name, name))
            return h->value;
    return NULL;
}
