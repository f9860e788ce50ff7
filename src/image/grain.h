/* Compressed grains of a streamOptimized VMDK: what a fetching thread needs for them, and
 * how one is decoded. */
#ifndef HOTADD_IMAGE_GRAIN_H
#define HOTADD_IMAGE_GRAIN_H

#include "image/vmdk.h"

/* One thread's tools for the time of one fetch. */
struct grain_tools {
    struct libdeflate_decompressor *inflate; /* owned */
    uint8_t *in;                             /* owned: compressed bytes as read */
    size_t in_len;
    uint8_t *out; /* owned: a whole grain, when only a part of it is wanted */
    size_t out_len;
    struct grain_tools *next; /* in the pool */
};

/* Blocks only for memory. The tools go back with grain_pool_put. */
int grain_pool_get(struct grain_pool *p, size_t in_len, size_t out_len,
                   struct grain_tools **ret, struct err *e) err_warn_unused;
void grain_pool_put(struct grain_pool *p, struct grain_tools *t);

#define GRAIN_MARKER_BYTES 12u /* sector number (8), length of the stream (4) */

/* Most bytes that a grain may take in the file, marker included. A zlib stream of
 * incompressible data is a little longer than the data; twice is refused as a lie. */
static inline uint64_t grain_max_record(uint64_t grain_bytes)
{
    return GRAIN_MARKER_BYTES + 2 * grain_bytes;
}

/* Decodes the record at `in`, of which `in_len` bytes are there: the marker must name
 * `sector`, the stream must inflate to at least `need` (out_len, unless the disk ends
 * inside the grain) and at most out_len bytes, a whole grain. `at` is its place in the
 * file, for errors. */
int grain_decode(struct grain_tools *t, const uint8_t *in, uint64_t in_len,
                 uint64_t sector, void *out, uint64_t out_len, uint64_t need,
                 const char *name, uint64_t at, struct err *e) err_warn_unused;

#endif
