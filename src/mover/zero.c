/* Finding zeros and differences; see zero.h. No state. */
#include "mover/zero.h"

#include <string.h>

#define ZERO_BLOCK_BYTES 4096u

static const unsigned char zeros[ZERO_BLOCK_BYTES];

bool zero_all(const void *data, size_t len)
{
    const unsigned char *p = data;

    for (; len > sizeof zeros; p += sizeof zeros, len -= sizeof zeros)
        if (memcmp(p, zeros, sizeof zeros) != 0)
            return false;
    return memcmp(p, zeros, len) == 0;
}

static size_t block_len(size_t len, size_t at, size_t block)
{
    return len - at < block ? len - at : block;
}

static bool same(const unsigned char *buf, const unsigned char *base, size_t at, size_t n)
{
    return base ? memcmp(buf + at, base + at, n) == 0 : zero_all(buf + at, n);
}

bool diff_next(const unsigned char *buf, const unsigned char *base, size_t len,
               size_t block, size_t *pos, size_t *ret_offset, size_t *ret_len)
{
    size_t at = *pos, end;

    while (at < len && same(buf, base, at, block_len(len, at, block)))
        at += block_len(len, at, block);
    if (at == len) {
        *pos = len;
        return false;
    }
    *ret_offset = at;
    end = at;
    /* `end` is behind the last block that differs; the stretch to be left begins there.
     */
    while (at < len && at - end < ZERO_MIN_HOLE_BYTES) {
        size_t n = block_len(len, at, block);

        if (!same(buf, base, at, n))
            end = at + n;
        at += n;
    }
    *ret_len = end - *ret_offset;
    *pos = at;
    return true;
}
