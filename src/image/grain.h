/* How a compressed grain of a streamOptimized VMDK is decoded. */
#ifndef HOTADD_IMAGE_GRAIN_H
#define HOTADD_IMAGE_GRAIN_H

#include "image/unpack.h"
#include "image/vmdk.h"

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
int grain_decode(struct unpack_tools *t, const uint8_t *in, uint64_t in_len,
                 uint64_t sector, void *out, uint64_t out_len, uint64_t need,
                 const char *name, uint64_t at, struct err *e) err_warn_unused;

#endif
