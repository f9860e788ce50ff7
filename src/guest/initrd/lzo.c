/* LZO as lzop writes it and the kernel reads it; see codec.h. Pure.
 *
 * Format: lib/decompress_unlzo.c of Linux. Numbers are big-endian. A header of magic,
 * versions, method, flags, mode, times and name, with a checksum; then blocks of an
 * unpacked size, a packed size, an Adler-32 of what is unpacked, and the data, which are
 * stored where both sizes are equal. An unpacked size of zero ends the stream. */
#include "guest/initrd/codec.h"

#include <lzo/lzo1x.h>
#include <string.h>
#include <zlib.h>

#define BLOCK_MAX (256u << 10) /* the kernel's limit, and lzop's block */

#define VERSION_TIMES_64  0x0940 /* from here on: a level, and times of 64 bits */
#define FLAG_ADLER_PLAIN  0x00000001u
#define FLAG_ADLER_PACKED 0x00000002u
#define FLAG_CRC_PLAIN    0x00000100u
#define FLAG_CRC_PACKED   0x00000200u
#define FLAG_EXTRA_FIELD  0x00000040u
#define FLAG_FILTER       0x00000800u
#define FLAGS_OF_CHECKSUMS                                                               \
    (FLAG_ADLER_PLAIN | FLAG_ADLER_PACKED | FLAG_CRC_PLAIN | FLAG_CRC_PACKED)

static const uint8_t magic[9] = {0x89, 'L', 'Z', 'O', 0, '\r', '\n', 0x1a, '\n'};

struct reader {
    const uint8_t *in;
    size_t len, at;
    bool past_end;
};

static const uint8_t *take(struct reader *r, size_t n)
{
    if (r->past_end || n > r->len - r->at) {
        r->past_end = true;
        return NULL;
    }
    r->at += n;
    return r->in + r->at - n;
}

static uint32_t number(struct reader *r, size_t n)
{
    const uint8_t *p = take(r, n);
    uint32_t v = 0;

    for (size_t i = 0; p && i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static int cut_short(const struct reader *r, struct err *e)
{
    return err_set(e, ERR_INPUT,
                   "lzo stream does not end within its %zu bytes: truncated", r->len);
}

static int damaged(const struct reader *r, const char *what, struct err *e)
{
    return err_set(e, ERR_INPUT, "lzo stream is damaged at its byte %zu (%s)", r->at,
                   what);
}

/* The kernel wants one checksum a block, of the plain data, and skips it unread. */
static int read_header(struct reader *r, struct err *e)
{
    const uint8_t *m = take(r, sizeof magic);
    uint32_t version, flags;

    if (m && memcmp(m, magic, sizeof magic) != 0)
        return damaged(r, "not lzop's magic", e);
    version = number(r, 2);
    take(r, 2 + 2 + 1 + (version >= VERSION_TIMES_64));
    flags = number(r, 4);
    if (r->past_end)
        return cut_short(r, e);
    if ((flags & FLAGS_OF_CHECKSUMS) != FLAG_ADLER_PLAIN || flags & FLAG_EXTRA_FIELD)
        return err_set(e, ERR_UNSUPPORTED,
                       "lzo stream with flags %08x, which Linux does not read", flags);
    take(r, (flags & FLAG_FILTER ? 4 : 0) + 8 + (version >= VERSION_TIMES_64 ? 4 : 0));
    take(r, number(r, 1) + 4);
    return r->past_end ? cut_short(r, e) : 0;
}

static int unpack_block(struct reader *r, uint32_t plain, uint8_t *out, codec_sink sink,
                        void *ctx, struct err *e)
{
    uint32_t packed = number(r, 4), sum = number(r, 4);
    const uint8_t *data = take(r, packed);
    lzo_uint n = plain;

    if (r->past_end)
        return cut_short(r, e);
    if (packed > plain || plain > BLOCK_MAX)
        return damaged(r, "sizes of a block", e);
    if (packed == plain)
        memcpy(out, data, plain);
    else if (lzo1x_decompress_safe(data, packed, out, &n, NULL) != LZO_E_OK || n != plain)
        return damaged(r, "bad block", e);
    if (adler32(1, out, plain) != sum)
        return damaged(r, "checksum of a block", e);
    return sink(ctx, out, plain, e);
}

int codec_unlzo(const uint8_t *in, size_t len, codec_sink sink, void *ctx,
                size_t *ret_used, struct err *e)
{
    struct reader r = {.in = in, .len = len};
    auto_free uint8_t *out = NULL;
    int s = 0;

    if (lzo_init() != LZO_E_OK)
        return err_set(e, ERR_FAILED, "the LZO library does not fit this machine");
    if (read_header(&r, e) < 0)
        return -1;
    if (!(out = malloc(BLOCK_MAX)))
        return err_nomem(e);
    while (s == 0) {
        uint32_t plain = number(&r, 4);

        if (r.past_end)
            return cut_short(&r, e);
        if (!plain)
            break;
        s = unpack_block(&r, plain, out, sink, ctx, e);
    }
    *ret_used = r.at;
    return s < 0 ? -1 : 0;
}
