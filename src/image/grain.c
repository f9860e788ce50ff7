/* Decoding compressed grains; see grain.h. */
#include "image/grain.h"

#include "base/bytes.h"

#include <inttypes.h>
#include <libdeflate.h>
#include <string.h>

static int check_marker(uint64_t lba, uint64_t len, uint64_t in_len, uint64_t sector,
                        uint64_t grain_bytes, const char *name, uint64_t at,
                        struct err *e)
{
    if (len == 0)
        return err_set(e, ERR_INPUT,
                       "%s: byte %" PRIu64
                       ": a metadata marker where the grain of sector %" PRIu64
                       " should be: the file is damaged",
                       name, at, sector);
    if (lba != sector)
        return err_set(e, ERR_INPUT,
                       "%s: byte %" PRIu64 ": the grain there is of sector %" PRIu64
                       ", the tables say %" PRIu64 ": the file is damaged",
                       name, at, lba, sector);
    if (len > grain_max_record(grain_bytes) - GRAIN_MARKER_BYTES)
        return err_set(e, ERR_INPUT,
                       "%s: byte %" PRIu64 ": a compressed grain of %" PRIu64
                       " bytes, for %" PRIu64 " bytes of data: the file is damaged",
                       name, at, len, grain_bytes);
    if (len > in_len - GRAIN_MARKER_BYTES)
        return err_set(e, ERR_INPUT,
                       "%s: byte %" PRIu64 ": a compressed grain of %" PRIu64
                       " bytes, but the file or the next grain is %" PRIu64
                       " bytes further: the file is truncated or damaged",
                       name, at, len, in_len);
    return 0;
}

int grain_decode(struct unpack_tools *t, const uint8_t *in, uint64_t in_len,
                 uint64_t sector, void *out, uint64_t out_len, uint64_t need,
                 const char *name, uint64_t at, struct err *e)
{
    enum libdeflate_result r;
    size_t used, got = 0;
    uint64_t lba;
    uint32_t len;

    if (in_len < GRAIN_MARKER_BYTES)
        return err_set(e, ERR_INPUT,
                       "%s: byte %" PRIu64
                       ": the file ends, or the next grain begins, inside a grain's "
                       "marker: the file is truncated or damaged",
                       name, at);
    lba = le64_at(in);
    len = le32_at(in + 8);
    if (check_marker(lba, len, in_len, sector, out_len, name, at, e) < 0)
        return -1;
    r = libdeflate_zlib_decompress_ex(t->inflate, in + GRAIN_MARKER_BYTES, len, out,
                                      out_len, &used, &got);
    if (r == LIBDEFLATE_INSUFFICIENT_SPACE)
        return err_set(e, ERR_INPUT,
                       "%s: byte %" PRIu64
                       ": the grain inflates to more than the %" PRIu64
                       " bytes of a grain: the file is damaged",
                       name, at, out_len);
    if (r != LIBDEFLATE_SUCCESS)
        return err_set(e, ERR_INPUT,
                       "%s: byte %" PRIu64 ": the compressed grain of sector %" PRIu64
                       " is damaged",
                       name, at, sector);
    if (got < need)
        return err_set(e, ERR_INPUT,
                       "%s: byte %" PRIu64 ": the grain inflates to %zu bytes, not to "
                       "%" PRIu64 ": the file is damaged",
                       name, at, got, need);
    return 0;
}
