/* Compressed streams; see codec.h.
 *
 * Each format has one function with the same loop: hand the library all the input, take
 * the output in pieces of OUT_BYTES, stop at the stream's end. All of them insist that
 * the stream ends properly (a stream cut short unpacks to a tree that lacks files), and
 * all stay within WINDOW_MAX for their dictionary, which is also the kernel's limit for
 * zstd. */
#include "guest/initrd/codec.h"

#include "base/bytes.h"
#include "base/str.h"

#include <bzlib.h>
#include <lz4.h>
#include <lz4hc.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define OUT_BYTES      (128u << 10)
#define WINDOW_MAX_LOG 27
#define XZ_MEMORY_MAX  (256ull << 20)
#define LZ4_MAGIC      0x184C2102u
#define LZ4_BLOCK_MAX  (8u << 20)

struct magic {
    uint8_t bytes[2];
    enum initrd_format format;
    const char *refused;
};

/* The kernel looks at two bytes only (lib/decompress.c), so we do. */
static const struct magic magics[] = {
    {{0x1f, 0x8b}, INITRD_GZIP, NULL}, {{0x42, 0x5a}, INITRD_BZIP2, NULL},
    {{0x5d, 0x00}, INITRD_LZMA, NULL}, {{0xfd, 0x37}, INITRD_XZ, NULL},
    {{0x02, 0x21}, INITRD_LZ4, NULL},  {{0x28, 0xb5}, INITRD_ZSTD, NULL},
    {{0x89, 0x4c}, INITRD_LZO, NULL},  {{0x1f, 0x9e}, INITRD_RAW, "old gzip (1f 9e)"},
};

const char *initrd_format_name(enum initrd_format format)
{
    static const char *const names[] = {"uncompressed", "gzip", "bzip2", "lzma",
                                        "xz",           "lz4",  "zstd",  "lzo"};

    return names[format];
}

enum codec_guess codec_detect(const uint8_t *in, size_t len,
                              enum initrd_format *ret_format, const char **ret_name)
{
    for (size_t i = 0; len >= 2 && i < sizeof magics / sizeof magics[0]; i++) {
        if (memcmp(in, magics[i].bytes, 2))
            continue;
        if (magics[i].refused) {
            *ret_name = magics[i].refused;
            return CODEC_REFUSED;
        }
        *ret_format = magics[i].format;
        return CODEC_KNOWN;
    }
    return CODEC_UNKNOWN;
}

static int bad_stream(struct err *e, const char *format, size_t at, const char *what)
{
    return err_set(e, ERR_INPUT, "%s stream is damaged at its byte %zu (%s)", format, at,
                   what);
}

static int cut_short(struct err *e, const char *format, size_t len)
{
    return err_set(e, ERR_INPUT, "%s stream does not end within its %zu bytes: truncated",
                   format, len);
}

static int unpack_gzip(const uint8_t *in, size_t len, uint8_t *out, codec_sink sink,
                       void *ctx, size_t *ret_used, struct err *e)
{
    z_stream z = {.next_in = (Bytef *)in, .avail_in = (uInt)len};
    int rc = Z_OK, s = 0;

    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
        return err_nomem(e);
    while (rc == Z_OK && s == 0) {
        z.next_out = out;
        z.avail_out = OUT_BYTES;
        rc = inflate(&z, Z_NO_FLUSH);
        if (rc == Z_MEM_ERROR)
            s = err_nomem(e);
        else if (rc == Z_BUF_ERROR || (rc == Z_OK && z.avail_out && !z.avail_in))
            s = cut_short(e, "gzip", len);
        else if (rc != Z_OK && rc != Z_STREAM_END)
            s = bad_stream(e, "gzip", len - z.avail_in, z.msg ? z.msg : "bad data");
        else if (z.avail_out != OUT_BYTES)
            s = sink(ctx, out, OUT_BYTES - z.avail_out, e);
    }
    *ret_used = len - z.avail_in;
    inflateEnd(&z);
    return s < 0 ? -1 : 0;
}

static int unpack_bzip2(const uint8_t *in, size_t len, uint8_t *out, codec_sink sink,
                        void *ctx, size_t *ret_used, struct err *e)
{
    bz_stream z = {.next_in = (char *)in, .avail_in = (unsigned)len};
    int rc = BZ_OK, s = 0;

    if (BZ2_bzDecompressInit(&z, 0, 0) != BZ_OK)
        return err_nomem(e);
    while (rc == BZ_OK && s == 0) {
        z.next_out = (char *)out;
        z.avail_out = OUT_BYTES;
        rc = BZ2_bzDecompress(&z);
        if (rc == BZ_MEM_ERROR)
            s = err_nomem(e);
        else if (rc != BZ_OK && rc != BZ_STREAM_END)
            s = bad_stream(e, "bzip2", len - z.avail_in, "bad data");
        else if (rc == BZ_OK && z.avail_out && !z.avail_in)
            s = cut_short(e, "bzip2", len);
        else if (z.avail_out != OUT_BYTES)
            s = sink(ctx, out, OUT_BYTES - z.avail_out, e);
    }
    *ret_used = len - z.avail_in;
    BZ2_bzDecompressEnd(&z);
    return s < 0 ? -1 : 0;
}

static int unpack_lzma(enum initrd_format format, const uint8_t *in, size_t len,
                       uint8_t *out, codec_sink sink, void *ctx, size_t *ret_used,
                       struct err *e)
{
    const char *name = initrd_format_name(format);
    lzma_stream z = LZMA_STREAM_INIT;
    lzma_ret rc = format == INITRD_XZ ? lzma_stream_decoder(&z, XZ_MEMORY_MAX, 0)
                                      : lzma_alone_decoder(&z, XZ_MEMORY_MAX);
    int s = 0;

    if (rc != LZMA_OK)
        return err_nomem(e);
    z.next_in = in;
    z.avail_in = len;
    while (rc == LZMA_OK && s == 0) {
        z.next_out = out;
        z.avail_out = OUT_BYTES;
        rc = lzma_code(&z, LZMA_RUN);
        if (rc == LZMA_MEM_ERROR)
            s = err_nomem(e);
        else if (rc == LZMA_MEMLIMIT_ERROR)
            s = err_set(e, ERR_INPUT, "%s stream wants more than %llu MiB of memory",
                        name, XZ_MEMORY_MAX >> 20);
        else if (rc == LZMA_BUF_ERROR || (rc == LZMA_OK && z.avail_out && !z.avail_in))
            s = cut_short(e, name, len);
        else if (rc != LZMA_OK && rc != LZMA_STREAM_END)
            s = bad_stream(e, name, len - z.avail_in, "bad data");
        else if (z.avail_out != OUT_BYTES)
            s = sink(ctx, out, OUT_BYTES - z.avail_out, e);
    }
    *ret_used = len - z.avail_in;
    lzma_end(&z);
    return s < 0 ? -1 : 0;
}

static int unpack_zstd(const uint8_t *in, size_t len, uint8_t *out, codec_sink sink,
                       void *ctx, size_t *ret_used, struct err *e)
{
    ZSTD_inBuffer zin = {.src = in, .size = len};
    ZSTD_DCtx *z = ZSTD_createDCtx();
    size_t rc = 1;
    int s = 0;

    if (!z)
        return err_nomem(e);
    ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, WINDOW_MAX_LOG);
    /* One frame only, as the kernel: 0 says that the frame is complete. */
    while (rc && s == 0) {
        ZSTD_outBuffer zout = {.dst = out, .size = OUT_BYTES};

        rc = ZSTD_decompressStream(z, &zout, &zin);
        if (ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation)
            s = err_nomem(e);
        else if (ZSTD_isError(rc))
            s = bad_stream(e, "zstd", zin.pos, ZSTD_getErrorName(rc));
        else if (zout.pos)
            s = sink(ctx, out, zout.pos, e);
        if (s == 0 && rc && zout.pos < OUT_BYTES && zin.pos == len)
            s = cut_short(e, "zstd", len);
    }
    *ret_used = zin.pos;
    ZSTD_freeDCtx(z);
    return s < 0 ? -1 : 0;
}

static void put_le32(struct buf *b, uint32_t v)
{
    const uint8_t bytes[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
                              (uint8_t)(v >> 24)};

    buf_add(b, bytes, sizeof bytes);
}

enum lz4_part { LZ4_BLOCK, LZ4_RESTART, LZ4_END, LZ4_BAD };

/* What stands at offset `at` of a legacy stream. The format has no end mark: it ends
 * where the input does, or at a block of size zero, which is padding. */
static enum lz4_part lz4_part(const uint8_t *in, size_t len, size_t at,
                              uint32_t *ret_size, struct err *e)
{
    uint32_t size;

    if (len - at < 4) {
        for (size_t i = at; i < len; i++)
            if (in[i]) {
                cut_short(e, "lz4", len);
                return LZ4_BAD;
            }
        return LZ4_END;
    }
    size = le32_at(in + at);
    if (size == LZ4_MAGIC)
        return LZ4_RESTART;
    if (!size)
        return LZ4_END;
    if (size > len - at - 4 || size > (uint32_t)LZ4_COMPRESSBOUND(LZ4_BLOCK_MAX)) {
        err_set(e, ERR_INPUT,
                "lz4 stream is damaged at its byte %zu (a block of %u bytes, %zu left)",
                at, size, len - at - 4);
        return LZ4_BAD;
    }
    *ret_size = size;
    return LZ4_BLOCK;
}

static int unpack_lz4(const uint8_t *in, size_t len, codec_sink sink, void *ctx,
                      size_t *ret_used, struct err *e)
{
    auto_free uint8_t *out = NULL;
    uint32_t size = 0;
    size_t at = 4;
    int n, s = 0;

    if (len < 4 || le32_at(in) != LZ4_MAGIC)
        return bad_stream(e, "lz4", 0, "not the legacy magic, the only one Linux reads");
    if (!(out = malloc(LZ4_BLOCK_MAX)))
        return err_nomem(e);
    while (s == 0) {
        switch (lz4_part(in, len, at, &size, e)) {
        case LZ4_BAD:
            return -1;
        case LZ4_RESTART:
            at += 4;
            continue;
        case LZ4_END:
            *ret_used = at;
            return 0;
        case LZ4_BLOCK:
            break;
        }
        n = LZ4_decompress_safe((const char *)in + at + 4, (char *)out, (int)size,
                                LZ4_BLOCK_MAX);
        if (n < 0)
            return bad_stream(e, "lz4", at, "bad block");
        s = n ? sink(ctx, out, (size_t)n, e) : 0;
        at += 4 + (size_t)size;
    }
    *ret_used = at;
    return s < 0 ? -1 : 0;
}

int codec_unpack(enum initrd_format format, const uint8_t *in, size_t len,
                 codec_sink sink, void *ctx, size_t *ret_used, struct err *e)
{
    auto_free uint8_t *out = NULL;

    if (len > CODEC_MAX_INPUT)
        return err_set(e, ERR_INPUT, "more than %llu bytes of compressed data",
                       CODEC_MAX_INPUT);
    if (format == INITRD_LZO)
        return codec_unlzo(in, len, sink, ctx, ret_used, e);
    if (format == INITRD_LZ4)
        return unpack_lz4(in, len, sink, ctx, ret_used, e);
    if (!(out = malloc(OUT_BYTES)))
        return err_nomem(e);
    switch (format) {
    case INITRD_GZIP:
        return unpack_gzip(in, len, out, sink, ctx, ret_used, e);
    case INITRD_BZIP2:
        return unpack_bzip2(in, len, out, sink, ctx, ret_used, e);
    case INITRD_LZMA:
    case INITRD_XZ:
        return unpack_lzma(format, in, len, out, sink, ctx, ret_used, e);
    case INITRD_ZSTD:
        return unpack_zstd(in, len, out, sink, ctx, ret_used, e);
    default:
        return err_set(e, ERR_FAILED, "no decompressor for %s data",
                       initrd_format_name(format));
    }
}

struct collect {
    struct buf *out;
    size_t max_bytes, got;
};

static int collect_sink(void *ctx, const uint8_t *data, size_t len, struct err *e)
{
    struct collect *c = ctx;

    if (len > c->max_bytes - c->got)
        return err_set(e, ERR_INPUT, "unpacks to more than the limit of %zu bytes",
                       c->max_bytes);
    c->got += len;
    buf_add(c->out, data, len);
    return buf_check(c->out, e);
}

int codec_unpack_buf(enum initrd_format format, const uint8_t *in, size_t len,
                     size_t max_bytes, struct buf *out, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    struct collect c = {.out = &b, .max_bytes = max_bytes};
    size_t used = 0;

    if (codec_unpack(format, in, len, collect_sink, &c, &used, e) < 0)
        return -1;
    for (; used < len; used++)
        if (in[used])
            return err_set(e, ERR_INPUT, "something follows the %s stream at byte %zu",
                           initrd_format_name(format), used);
    buf_add(out, b.data, b.len);
    return buf_check(out, e);
}

int codec_lz4_pack(const uint8_t *data, size_t len, struct buf *out, struct err *e)
{
    size_t bound = (size_t)LZ4_COMPRESSBOUND(LZ4_BLOCK_MAX);

    put_le32(out, LZ4_MAGIC);
    for (size_t at = 0; at < len;) {
        size_t n = len - at < LZ4_BLOCK_MAX ? len - at : LZ4_BLOCK_MAX, size_at;
        int packed;

        size_at = out->len;
        put_le32(out, 0);
        if (buf_reserve(out, bound, e) < 0)
            return -1;
        packed = LZ4_compress_HC((const char *)data + at, out->data + out->len, (int)n,
                                 (int)bound, LZ4HC_CLEVEL_DEFAULT);
        if (packed <= 0)
            return err_nomem(e);
        for (int i = 0; i < 4; i++)
            out->data[size_at + (size_t)i] = (char)((uint32_t)packed >> (8 * i));
        out->len += (size_t)packed;
        at += n;
    }
    return buf_check(out, e);
}

int codec_lz4_restarts(const uint8_t *in, size_t len,
                       int (*fn)(void *ctx, size_t offset, struct err *e), void *ctx,
                       struct err *e)
{
    uint32_t size = 0;
    size_t at = 4;
    int s = 0;

    while (s == 0 && at <= len) {
        switch (lz4_part(in, len, at, &size, e)) {
        case LZ4_BAD:
            return -1;
        case LZ4_END:
            return 0;
        case LZ4_RESTART:
            s = fn(ctx, at, e);
            at += 4;
            break;
        case LZ4_BLOCK:
            at += 4 + (size_t)size;
            break;
        }
    }
    return s;
}

struct codec_gzip {
    z_stream z;
    struct buf *out; /* borrowed */
};

int codec_gzip_new(struct buf *out, struct codec_gzip **ret, struct err *e)
{
    struct codec_gzip *g = mem_zalloc(1, sizeof *g, e);

    if (!g)
        return -1;
    g->out = out;
    if (deflateInit2(&g->z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
        free(g);
        return err_nomem(e);
    }
    *ret = g;
    return 0;
}

static int gzip_run(struct codec_gzip *g, int flush, struct err *e)
{
    int rc;

    do {
        if (buf_reserve(g->out, OUT_BYTES, e) < 0)
            return -1;
        g->z.next_out = (Bytef *)g->out->data + g->out->len;
        g->z.avail_out = OUT_BYTES;
        rc = deflate(&g->z, flush);
        g->out->len += OUT_BYTES - g->z.avail_out;
        if (rc == Z_STREAM_ERROR)
            return err_set(e, ERR_FAILED, "gzip: cannot compress");
    } while (flush == Z_FINISH ? rc != Z_STREAM_END : g->z.avail_in || !g->z.avail_out);
    return 0;
}

int codec_gzip_add(struct codec_gzip *g, const uint8_t *data, size_t len, struct err *e)
{
    while (len) {
        size_t n = len < 1u << 30 ? len : 1u << 30;

        g->z.next_in = (Bytef *)data;
        g->z.avail_in = (uInt)n;
        if (gzip_run(g, Z_NO_FLUSH, e) < 0)
            return -1;
        data += n;
        len -= n;
    }
    return 0;
}

int codec_gzip_finish(struct codec_gzip *g, struct err *e)
{
    g->z.next_in = NULL;
    g->z.avail_in = 0;
    return gzip_run(g, Z_FINISH, e);
}

void codec_gzip_free(struct codec_gzip *g)
{
    if (!g)
        return;
    deflateEnd(&g->z);
    free(g);
}
