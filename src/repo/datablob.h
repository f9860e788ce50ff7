/* Inside src/repo only: the container of chunks and small files (format, section 2).
 *
 * Contexts and buffers live in a `struct datablob_work`, taken from a pool for the
 * duration of one chunk, so that nothing is allocated per chunk once as many exist as
 * there are threads. */
#ifndef HOTADD_REPO_DATABLOB_H
#define HOTADD_REPO_DATABLOB_H

#include "base/buf.h"
#include "base/digest.h"
#include "repo/repo.h"

#include <pthread.h>

#define DATABLOB_MAX_PLAIN (16u << 20) /* what anybody writes */
/* No encoder makes a file of a chunk larger than this. */
#define DATABLOB_MAX_RAW(plain) ((size_t)(plain) + ((size_t)(plain) >> 7) + 1024)

/* The header: magic, CRC-32 of what follows it; when encrypted also IV and tag. Bytes. */
#define DATABLOB_HEAD       12
#define DATABLOB_CRYPT_HEAD 44
#define DATABLOB_CRC_AT     8
#define DATABLOB_IV_AT      12
#define DATABLOB_TAG_AT     28

enum datablob_crypt {
    DATABLOB_PLAIN,
    DATABLOB_ENCRYPTED,
    DATABLOB_SEALED, /* encrypted with a key that we do not have: reading only */
};

struct datablob_work;

struct datablob_pool {
    pthread_mutex_t lock;       /* guards free */
    struct datablob_work *free; /* owned list */
    const struct repo_key *key; /* borrowed; NULL: nothing encrypted can be read */
};

void datablob_pool_init(struct datablob_pool *p, const struct repo_key *key);
void datablob_pool_release(struct datablob_pool *p);
/* One whose buffer holds raw_bytes. Give it back. */
int datablob_take(struct datablob_pool *p, size_t raw_bytes, struct datablob_work **ret,
                  struct err *e) err_warn_unused;
void datablob_give(struct datablob_pool *p, struct datablob_work *w);
unsigned char *datablob_raw(struct datablob_work *w); /* borrowed: its buffer */

/* SHA-256 of the data, and of the derived key when encrypted. */
void datablob_digest(struct datablob_work *w, enum datablob_crypt crypt, const void *data,
                     size_t len, unsigned char out[SHA256_BYTES]);

/* Checks and decodes the first raw_len bytes of the work's buffer, which is used up:
 * exactly `len` bytes of plain data into `out`, whose digest is still to be checked.
 * Without the key only the CRC of encrypted data can be checked: then `out` is untouched
 * and 1 returned. On failure *ret_kind says how it is damaged. */
int datablob_unpack_chunk(struct datablob_work *w, size_t raw_len,
                          enum datablob_crypt crypt, void *out, size_t len,
                          enum repo_damage_kind *ret_kind, struct err *e) err_warn_unused;

/* Have the n chunks, one or two of `len` bytes, these digests? Two at once cost less than
 * one after the other. On failure *ret_which is the first that has not. */
int datablob_check(struct datablob_work *w, enum datablob_crypt crypt,
                   const unsigned char digest[][SHA256_BYTES], size_t n, const void *data,
                   size_t len, size_t *ret_which, enum repo_damage_kind *ret_kind,
                   struct err *e) err_warn_unused;

/* A small file's: appends at most max_bytes of plain data. `raw` is used up. */
int datablob_decode(struct datablob_work *w, unsigned char *raw, size_t raw_len,
                    enum datablob_crypt crypt, size_t max_bytes, struct buf *out,
                    enum repo_damage_kind *ret_kind, struct err *e) err_warn_unused;

struct datablob_encoded {
    unsigned char head[DATABLOB_CRYPT_HEAD];
    size_t head_len;
    const void *body; /* borrowed: the caller's data, or the work's buffer */
    size_t body_len;
};

/* `level` is zstd's; 0: stored as it is. */
int datablob_encode(struct datablob_work *w, enum datablob_crypt crypt, int level,
                    const void *data, size_t len, struct datablob_encoded *ret,
                    struct err *e) err_warn_unused;

/* A small file's, whole. */
int datablob_encode_buf(struct datablob_pool *p, enum datablob_crypt crypt,
                        const void *data, size_t len, struct buf *out,
                        struct err *e) err_warn_unused;

#endif
