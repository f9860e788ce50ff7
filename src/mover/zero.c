/* Finding zeros; see zero.h. No state. */
#include "mover/zero.h"

#include <string.h>

static const unsigned char zeros[ZERO_BLOCK_BYTES];

bool zero_all(const void *data, size_t len)
{
    const unsigned char *p = data;

    for (; len > sizeof zeros; p += sizeof zeros, len -= sizeof zeros)
        if (memcmp(p, zeros, sizeof zeros) != 0)
            return false;
    return memcmp(p, zeros, len) == 0;
}

static size_t block_len(size_t len, size_t at)
{
    return len - at < ZERO_BLOCK_BYTES ? len - at : ZERO_BLOCK_BYTES;
}

bool zero_next_data(const unsigned char *buf, size_t len, size_t *pos, size_t *ret_offset,
                    size_t *ret_len)
{
    size_t at = *pos, end;

    while (at < len && zero_all(buf + at, block_len(len, at)))
        at += block_len(len, at);
    if (at == len) {
        *pos = len;
        return false;
    }
    *ret_offset = at;
    end = at;
    /* `end` is behind the last block with data; the hole begins there. */
    while (at < len && at - end < ZERO_MIN_HOLE_BYTES) {
        size_t n = block_len(len, at);

        if (!zero_all(buf + at, n))
            end = at + n;
        at += n;
    }
    *ret_len = end - *ret_offset;
    *pos = at;
    return true;
}
