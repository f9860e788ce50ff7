/* What a fetching thread needs to unpack compressed pieces of a disk image, kept for the
 * next one: as many sets as threads have ever fetched from the disk at the same time. */
#ifndef HOTADD_IMAGE_UNPACK_H
#define HOTADD_IMAGE_UNPACK_H

#include "base/auto.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct libdeflate_decompressor;
struct ZSTD_DCtx_s;

/* One thread's tools for the time of one fetch. */
struct unpack_tools {
    struct libdeflate_decompressor *inflate; /* owned */
    struct ZSTD_DCtx_s *zstd;                /* owned; NULL until unpack_zstd */
    uint8_t *in;                             /* owned: compressed bytes as read */
    size_t in_len;
    uint8_t *out; /* owned: a whole piece, when only a part of it is wanted */
    size_t out_len;
    struct unpack_tools *next; /* in the pool */
};

/* A request: bytes [offset, offset + len) of a disk that is made of pieces of one size.
 */
struct unpack_want {
    uint8_t *buf; /* borrowed */
    uint64_t offset, len;
};

/* Piece i's part of the request: where it begins in the piece, how long it is, and where
 * it goes. The piece must have one. */
static inline uint8_t *unpack_part(const struct unpack_want *w, uint64_t piece_bytes,
                                   uint64_t i, uint64_t *ret_skip, uint64_t *ret_len)
{
    uint64_t start = i * piece_bytes, end = start + piece_bytes;
    uint64_t lo = start > w->offset ? start : w->offset;
    uint64_t hi = end < w->offset + w->len ? end : w->offset + w->len;

    *ret_skip = lo - start;
    *ret_len = hi - lo;
    return w->buf + (lo - w->offset);
}

struct unpack_pool;
int unpack_pool_new(struct unpack_pool **ret, struct err *e) err_warn_unused;
void unpack_pool_free(struct unpack_pool *p);

/* Blocks only for memory. `in` and `out` hold at least so much. The tools go back with
 * unpack_put. */
int unpack_get(struct unpack_pool *p, size_t in_len, size_t out_len,
               struct unpack_tools **ret, struct err *e) err_warn_unused;
void unpack_put(struct unpack_pool *p, struct unpack_tools *t);

/* The zstd decoder of these tools, made when it is first asked for. Borrowed. */
int unpack_zstd(struct unpack_tools *t, struct ZSTD_DCtx_s **ret,
                struct err *e) err_warn_unused;

#endif
