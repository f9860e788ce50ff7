/* Inside src/repo only: fixed indexes (format, section 4), read and made.
 *
 * A small index (16 MiB: 2 TiB of disk in chunks of 4 MiB) is held in memory. Of a larger
 * one, or when asked for, only a digest of each of its blocks is kept; blocks are read
 * again when needed and compared, so that a file that changes after it was checked is
 * noticed. */
#ifndef HOTADD_REPO_FIDX_H
#define HOTADD_REPO_FIDX_H

#include "repo/store.h"

#define FIDX_HEADER_BYTES 4096
#define FIDX_MIN_CHUNK    (64u << 10)
#define FIDX_MAX_CHUNK    (16u << 20)

enum fidx_hold { FIDX_IN_MEMORY, FIDX_BY_BLOCK };

struct fidx;

/* Opens and checks it: sizes, checksum against header and manifest (`csum`,
 * `size_bytes`). Damaged is ERR_INPUT. Owned; any number of threads. */
int fidx_open(struct store *s, const char *path, const unsigned char csum[SHA256_BYTES],
              uint64_t size_bytes, enum fidx_hold hold, struct fidx **ret,
              struct err *e) err_warn_unused;
void fidx_free(struct fidx *x);
DEFINE_AUTO_PTR(struct fidx, fidx_free)

uint64_t fidx_size(const struct fidx *x);            /* of the disk, bytes */
uint32_t fidx_chunk_bytes(const struct fidx *x);     /* a power of two */
uint64_t fidx_n(const struct fidx *x);               /* chunks */
uint32_t fidx_len(const struct fidx *x, uint64_t i); /* of chunk i, bytes */

int fidx_digest(struct fidx *x, uint64_t i, unsigned char out[SHA256_BYTES],
                struct err *e) err_warn_unused;
/* Gives back file and buffers until the next question. No other thread may ask. */
void fidx_rest(struct fidx *x);

/* The header of an index as untrusted bytes; its file is file_bytes long. */
struct fidx_header {
    uint64_t size_bytes, n;
    uint32_t chunk_bytes;
    unsigned char csum[SHA256_BYTES];
};
int fidx_parse_header(const unsigned char h[FIDX_HEADER_BYTES], uint64_t file_bytes,
                      struct fidx_header *ret, struct err *e) err_warn_unused;

/* ---- making ---- */

/* Digests are set in any order and by any number of threads, in a file of the store. */
struct fidx_writer {
    int fd; /* owned; -1 */
    uint64_t size_bytes, n;
    uint32_t chunk_bytes;
    _Atomic uint64_t *set; /* owned: one bit for each chunk that has a digest */
    const char *what;      /* borrowed: its name, for errors */
};

int fidx_writer_init(struct fidx_writer *w, struct store *s, const char *dir,
                     const char *name, uint64_t size_bytes, uint32_t chunk_bytes,
                     struct err *e) err_warn_unused;
void fidx_writer_release(struct fidx_writer *w);
/* n chunks from i on get the same digest. */
int fidx_writer_set(struct fidx_writer *w, uint64_t i, uint64_t n,
                    const unsigned char digest[SHA256_BYTES],
                    struct err *e) err_warn_unused;
bool fidx_writer_has(const struct fidx_writer *w, uint64_t i);
int fidx_writer_get(const struct fidx_writer *w, uint64_t i,
                    unsigned char out[SHA256_BYTES], struct err *e) err_warn_unused;
/* Writes the header; every chunk must have its digest. Not published yet. */
int fidx_writer_finish(struct fidx_writer *w, unsigned char ret_csum[SHA256_BYTES],
                       struct err *e) err_warn_unused;

#endif
