/* Chunks and small files, encoded and decoded; see datablob.h.
 *
 * Decoding checks in the order of cost and of what a failure means: length, magic and
 * CRC (disk rot), tag (wrong key or tampering), zstd, length, digest. repo.c hands no
 * chunk out before the last. */
#include "repo/datablob.h"

#include "base/bytes.h"
#include "base/rand.h"
#include "base/sha256_pair.h"
#include "base/str.h"
#include "repo/key.h"

#include <assert.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <openssl/evp.h>
#include <zstd.h>
#include <zstd_errors.h>

static const unsigned char magics[2][2][8] = {
    [DATABLOB_PLAIN] = {{0x42, 0xab, 0x38, 0x07, 0xbe, 0x83, 0x70, 0xa1},
                        {0x31, 0xb9, 0x58, 0x42, 0x6f, 0xb6, 0xa3, 0x7f}},
    [DATABLOB_ENCRYPTED] = {{0x7b, 0x67, 0x85, 0xbe, 0x22, 0x2d, 0x4c, 0xf0},
                            {0xe6, 0x59, 0x1b, 0xbf, 0x0b, 0xbf, 0xd8, 0x0b}},
};

struct datablob_work {
    struct datablob_work *next;
    const struct repo_key *key;  /* borrowed; may be NULL */
    unsigned char *raw;          /* owned, `cap` bytes */
    size_t cap;                  /* bytes */
    EVP_MD_CTX *md;              /* the rest: owned, made when first needed */
    EVP_MD *sha256;              /* fetched: by name costs more than a small chunk */
    EVP_CIPHER_CTX *seal, *open; /* keyed once */
    ZSTD_CCtx *cctx;
    ZSTD_DCtx *dctx;
};

/* ---- the pool ---- */

void datablob_pool_init(struct datablob_pool *p, const struct repo_key *key)
{
    pthread_mutex_init(&p->lock, NULL);
    p->free = NULL;
    p->key = key;
}

static void work_free(struct datablob_work *w)
{
    free(w->raw);
    EVP_MD_CTX_free(w->md);
    EVP_MD_free(w->sha256);
    EVP_CIPHER_CTX_free(w->seal);
    EVP_CIPHER_CTX_free(w->open);
    ZSTD_freeCCtx(w->cctx);
    ZSTD_freeDCtx(w->dctx);
    free(w);
}

void datablob_pool_release(struct datablob_pool *p)
{
    struct datablob_work *w;

    while ((w = p->free)) {
        p->free = w->next;
        work_free(w);
    }
    pthread_mutex_destroy(&p->lock);
}

static int work_new(const struct repo_key *key, struct datablob_work **ret, struct err *e)
{
    struct datablob_work *w = mem_zalloc(1, sizeof *w, e);

    if (!w)
        return -1;
    w->key = key;
    w->md = EVP_MD_CTX_new();
    w->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!w->md || !w->sha256) {
        work_free(w);
        return err_set(e, ERR_FAILED, "SHA-256 is not available in libcrypto");
    }
    *ret = w;
    return 0;
}

int datablob_take(struct datablob_pool *p, size_t raw_bytes, struct datablob_work **ret,
                  struct err *e)
{
    struct datablob_work *w;

    pthread_mutex_lock(&p->lock);
    w = p->free;
    if (w)
        p->free = w->next;
    pthread_mutex_unlock(&p->lock);
    if (!w && work_new(p->key, &w, e) < 0)
        return -1;
    if (w->cap < raw_bytes) {
        free(w->raw);
        w->cap = 0;
        w->raw = malloc(raw_bytes);
        if (!w->raw) {
            work_free(w);
            return err_nomem(e);
        }
        w->cap = raw_bytes;
    }
    *ret = w;
    return 0;
}

void datablob_give(struct datablob_pool *p, struct datablob_work *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&p->lock);
    w->next = p->free;
    p->free = w;
    pthread_mutex_unlock(&p->lock);
}

unsigned char *datablob_raw(struct datablob_work *w)
{
    return w->raw;
}

void datablob_digest(struct datablob_work *w, enum datablob_crypt crypt, const void *data,
                     size_t len, unsigned char out[SHA256_BYTES])
{
    int ok = EVP_DigestInit_ex2(w->md, w->sha256, NULL) &&
             EVP_DigestUpdate(w->md, data, len) &&
             (crypt == DATABLOB_PLAIN ||
              EVP_DigestUpdate(w->md, repo_key_id(w->key), KEY_BYTES)) &&
             EVP_DigestFinal_ex(w->md, out, NULL);

    assert(ok);
}

/* ---- decoding ---- */

static int damaged(enum repo_damage_kind *ret_kind, enum repo_damage_kind kind,
                   struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static int damaged(enum repo_damage_kind *ret_kind, enum repo_damage_kind kind,
                   struct err *e, const char *fmt, ...)
{
    va_list ap;

    *ret_kind = kind;
    va_start(ap, fmt);
    err_vset(e, ERR_INPUT, fmt, ap);
    va_end(ap);
    return -1;
}

struct head {
    enum datablob_crypt crypt;
    bool zstd;
    size_t len; /* bytes */
};

static int read_head(const unsigned char *raw, size_t raw_len, struct head *h,
                     enum repo_damage_kind *kind, struct err *e)
{
    if (raw_len == 0)
        return damaged(kind, REPO_DAMAGE_EMPTY, e, "it is empty");
    if (raw_len < DATABLOB_HEAD)
        return damaged(kind, REPO_DAMAGE_SHORT, e, "it has only %zu bytes", raw_len);
    for (int i = 0; i < 4; i++)
        if (memcmp(raw, magics[i >> 1][i & 1], 8) == 0) {
            h->crypt = i >> 1 ? DATABLOB_ENCRYPTED : DATABLOB_PLAIN;
            h->zstd = i & 1;
            h->len = i >> 1 ? DATABLOB_CRYPT_HEAD : DATABLOB_HEAD;
            return raw_len >= h->len ? 0
                                     : damaged(kind, REPO_DAMAGE_SHORT, e,
                                               "it has only %zu bytes", raw_len);
        }
    return damaged(kind, REPO_DAMAGE_MAGIC, e, "it does not begin as a data blob");
}

/* The key is there. `body` becomes plain or compressed. */
static int decrypt(struct datablob_work *w, const unsigned char *raw, unsigned char *body,
                   size_t body_len, enum repo_damage_kind *kind, struct err *e)
{
    const unsigned char *key = w->open ? NULL : repo_key_enc(w->key);

    if (!w->open && !(w->open = EVP_CIPHER_CTX_new()))
        return err_nomem(e);
    *kind = REPO_DAMAGE_TAG;
    return gcm_open(w->open, key, raw + DATABLOB_IV_AT, body, body_len, body,
                    raw + DATABLOB_TAG_AT, e);
}

/* Header, CRC, encryption as expected and decryption. 0 and what is left to decompress;
 * 1 when the key is missing. */
static int open_body(struct datablob_work *w, unsigned char *raw, size_t raw_len,
                     enum datablob_crypt crypt, struct head *h, unsigned char **ret_body,
                     size_t *ret_len, enum repo_damage_kind *kind, struct err *e)
{
    unsigned char *body;
    size_t len;

    *kind = REPO_DAMAGE_READ;
    if (read_head(raw, raw_len, h, kind, e) < 0)
        return -1;
    body = raw + h->len;
    len = raw_len - h->len;
    if (libdeflate_crc32(0, body, len) != le32_at(raw + DATABLOB_CRC_AT))
        return damaged(kind, REPO_DAMAGE_CRC, e, "its CRC is wrong");
    if ((h->crypt == DATABLOB_PLAIN) != (crypt == DATABLOB_PLAIN))
        return damaged(kind, REPO_DAMAGE_CRYPT, e,
                       crypt != DATABLOB_PLAIN
                           ? "it is not encrypted, but the manifest says it is"
                           : "it is encrypted, but the manifest says it is not");
    if (crypt == DATABLOB_SEALED || (crypt == DATABLOB_ENCRYPTED && !w->key))
        return 1;
    if (crypt == DATABLOB_ENCRYPTED && decrypt(w, raw, body, len, kind, e) < 0)
        return -1;
    *ret_body = body;
    *ret_len = len;
    return 0;
}

static int need_dctx(struct datablob_work *w, struct err *e)
{
    if (!w->dctx && !(w->dctx = ZSTD_createDCtx()))
        return err_nomem(e);
    return 0;
}

static int unpack_chunk(struct datablob_work *w, const struct head *h,
                        const unsigned char *body, size_t body_len, void *out, size_t len,
                        enum repo_damage_kind *kind, struct err *e)
{
    size_t n = body_len;

    if (h->zstd) {
        if (need_dctx(w, e) < 0)
            return -1;
        n = ZSTD_decompressDCtx(w->dctx, out, len, body, body_len);
        if (ZSTD_isError(n) && ZSTD_getErrorCode(n) != ZSTD_error_dstSize_tooSmall)
            return damaged(kind, REPO_DAMAGE_ZSTD, e, "it does not decompress: %s",
                           ZSTD_getErrorName(n));
        if (ZSTD_isError(n))
            return damaged(kind, REPO_DAMAGE_LENGTH, e,
                           "it holds more than the %zu bytes expected", len);
    }
    if (n != len)
        return damaged(kind, REPO_DAMAGE_LENGTH, e, "it holds %zu bytes instead of %zu",
                       n, len);
    if (!h->zstd)
        memcpy(out, body, len);
    return 0;
}

int datablob_unpack_chunk(struct datablob_work *w, size_t raw_len,
                          enum datablob_crypt crypt, void *out, size_t len,
                          enum repo_damage_kind *ret_kind, struct err *e)
{
    unsigned char *body;
    struct head h;
    size_t body_len;
    int r = open_body(w, w->raw, raw_len, crypt, &h, &body, &body_len, ret_kind, e);

    return r != 0 ? r : unpack_chunk(w, &h, body, body_len, out, len, ret_kind, e);
}

int datablob_check(struct datablob_work *w, enum datablob_crypt crypt,
                   const unsigned char digest[][SHA256_BYTES], size_t n, const void *data,
                   size_t len, size_t *ret_which, enum repo_damage_kind *ret_kind,
                   struct err *e)
{
    const unsigned char *at = data;
    const unsigned char *tail = crypt == DATABLOB_PLAIN ? NULL : repo_key_id(w->key);
    unsigned char is[2][SHA256_BYTES];

    assert(n == 1 || n == 2);
    if (n == 1 || !sha256_pair(at, at + len, len, tail, tail ? KEY_BYTES : 0, is))
        for (size_t i = 0; i < n; i++)
            datablob_digest(w, crypt, at + i * len, len, is[i]);
    for (size_t i = 0; i < n; i++)
        if (memcmp(is[i], digest[i], SHA256_BYTES) != 0) {
            *ret_which = i;
            return damaged(ret_kind, REPO_DAMAGE_DIGEST, e,
                           "its data does not have the digest that it is named for");
        }
    return 0;
}

/* The plain length of a small file is nowhere said: it grows, up to the limit. */
static int unpack_stream(ZSTD_DCtx *d, const unsigned char *body, size_t body_len,
                         size_t max_bytes, struct buf *out, enum repo_damage_kind *kind,
                         struct err *e)
{
    ZSTD_inBuffer in = {body, body_len, 0};
    size_t left = 1, start = out->len;

    ZSTD_DCtx_reset(d, ZSTD_reset_session_only);
    while (in.pos < in.size || left) {
        ZSTD_outBuffer o;
        size_t before = in.pos;

        if (buf_reserve(out, ZSTD_DStreamOutSize(), e) < 0)
            return -1;
        o = (ZSTD_outBuffer){out->data + out->len, ZSTD_DStreamOutSize(), 0};
        left = ZSTD_decompressStream(d, &o, &in);
        if (ZSTD_isError(left))
            return damaged(kind, REPO_DAMAGE_ZSTD, e, "it does not decompress: %s",
                           ZSTD_getErrorName(left));
        out->len += o.pos;
        out->data[out->len] = 0;
        if (out->len - start > max_bytes)
            return damaged(kind, REPO_DAMAGE_LENGTH, e,
                           "it holds more than the %zu bytes allowed", max_bytes);
        if (left && o.pos == 0 && in.pos == before)
            return damaged(kind, REPO_DAMAGE_ZSTD, e, "its last zstd frame is cut off");
    }
    return 0;
}

int datablob_decode(struct datablob_work *w, unsigned char *raw, size_t raw_len,
                    enum datablob_crypt crypt, size_t max_bytes, struct buf *out,
                    enum repo_damage_kind *ret_kind, struct err *e)
{
    unsigned char *body;
    struct head h;
    size_t body_len;
    int r = open_body(w, raw, raw_len, crypt, &h, &body, &body_len, ret_kind, e);

    if (r < 0)
        return -1;
    if (r > 0)
        return err_set(e, ERR_DENIED, "it is encrypted: give the key");
    if (h.zstd)
        return need_dctx(w, e) < 0
                   ? -1
                   : unpack_stream(w->dctx, body, body_len, max_bytes, out, ret_kind, e);
    if (body_len > max_bytes)
        return damaged(ret_kind, REPO_DAMAGE_LENGTH, e,
                       "it holds more than the %zu bytes allowed", max_bytes);
    buf_add(out, body, body_len);
    return buf_check(out, e);
}

/* ---- encoding ---- */

/* Bytes in the work's buffer, or 0 when it does not pay. */
static size_t pack(struct datablob_work *w, int level, const void *data, size_t len)
{
    size_t n;

    if (level == 0 || len < 2 || (!w->cctx && !(w->cctx = ZSTD_createCCtx())))
        return 0;
    n = ZSTD_compressCCtx(w->cctx, w->raw, len - 1, data, len, level);
    return ZSTD_isError(n) ? 0 : n;
}

static int encrypt(struct datablob_work *w, struct datablob_encoded *x, struct err *e)
{
    const unsigned char *key = w->seal ? NULL : repo_key_enc(w->key);

    if (!w->seal && !(w->seal = EVP_CIPHER_CTX_new()))
        return err_nomem(e);
    rand_bytes(x->head + DATABLOB_IV_AT, IV_BYTES);
    if (gcm_seal(w->seal, key, x->head + DATABLOB_IV_AT, x->body, x->body_len, w->raw,
                 x->head + DATABLOB_TAG_AT, e) < 0)
        return -1;
    x->body = w->raw;
    return 0;
}

int datablob_encode(struct datablob_work *w, enum datablob_crypt crypt, int level,
                    const void *data, size_t len, struct datablob_encoded *ret,
                    struct err *e)
{
    size_t packed = pack(w, level, data, len);
    struct datablob_encoded x = {.body = packed ? w->raw : data,
                                 .body_len = packed ? packed : len};

    assert(w->cap >= len && (crypt == DATABLOB_PLAIN || w->key));
    memcpy(x.head, magics[crypt][packed != 0], 8);
    x.head_len = crypt == DATABLOB_ENCRYPTED ? DATABLOB_CRYPT_HEAD : DATABLOB_HEAD;
    if (crypt == DATABLOB_ENCRYPTED && encrypt(w, &x, e) < 0)
        return -1;
    le32_put(x.head + DATABLOB_CRC_AT, libdeflate_crc32(0, x.body, x.body_len));
    *ret = x;
    return 0;
}

int datablob_encode_buf(struct datablob_pool *p, enum datablob_crypt crypt,
                        const void *data, size_t len, struct buf *out, struct err *e)
{
    struct datablob_encoded x;
    struct datablob_work *w;
    int r;

    if (datablob_take(p, DATABLOB_MAX_RAW(len), &w, e) < 0)
        return -1;
    r = datablob_encode(w, crypt, 1, data, len, &x, e);
    if (r == 0) {
        buf_add(out, x.head, x.head_len);
        buf_add(out, x.body, x.body_len);
        r = buf_check(out, e);
    }
    datablob_give(p, w);
    return r;
}
