/* Putting a supplement behind an image, and recompressing; see internal.h.
 *
 * Which way is right depends on what the kernel's decompressor makes of bytes after its
 * stream (docs/formats/initramfs.md):
 *   - after gzip, xz, zstd, lzo and plain archives: zeros, then a plain archive;
 *   - after lz4: the same stream goes on, since before mid-2021 the kernel took zeros
 *     there for a block and gave up, while a repeated magic number was always fine;
 *   - bzip2 and lzma: nobody tests what follows them, so that segment is repacked. */
#include "guest/initrd/internal.h"

#include "guest/initrd/codec.h"

#define ALIGN_BYTES 512

static const struct initrd_segment *last_segment(const struct initrd *im)
{
    return &im->segments.v[im->segments.n - 1];
}

enum initrd_join initrd_join_choose(const struct initrd *im)
{
    switch (last_segment(im)->format) {
    case INITRD_LZ4:
        return INITRD_JOIN_LZ4;
    case INITRD_BZIP2:
    case INITRD_LZMA:
        return INITRD_JOIN_RECOMPRESS;
    default:
        return INITRD_JOIN_RAW;
    }
}

static void zeros_to(struct buf *b, size_t start, size_t multiple)
{
    while ((b->len - start) % multiple && !b->failed)
        buf_addc(b, 0);
}

static int join_raw(const struct initrd *im, const uint8_t *supplement, size_t len,
                    struct buf *out, struct err *e)
{
    const struct initrd_segment *s = last_segment(im);
    size_t start = out->len;

    if (buf_reserve(out, s->offset + s->len_bytes + len + 2 * ALIGN_BYTES, e) < 0)
        return -1;
    buf_add(out, im->image, s->offset + s->len_bytes);
    /* What ends an lz4 stream is a block size of zero: four bytes of it. */
    if (s->format == INITRD_LZ4)
        buf_add(out, "\0\0\0\0", 4);
    zeros_to(out, start, ALIGN_BYTES);
    buf_add(out, supplement, len);
    return buf_check(out, e);
}

static int join_lz4(const struct initrd *im, const uint8_t *supplement, size_t len,
                    struct buf *out, struct err *e)
{
    const struct initrd_segment *s = last_segment(im);
    auto_buf struct buf payload = BUF_INIT;
    size_t pad = (ALIGN_BYTES - s->unpacked_bytes % ALIGN_BYTES) % ALIGN_BYTES;

    if (s->format != INITRD_LZ4)
        return err_set(e, ERR_FAILED, "the initramfs does not end in an lz4 stream");
    for (size_t i = 0; i < pad; i++)
        buf_addc(&payload, 0);
    buf_add(&payload, supplement, len);
    if (buf_check(&payload, e) < 0)
        return -1;
    buf_add(out, im->image, s->offset + s->len_bytes);
    return codec_lz4_pack((const uint8_t *)payload.data, payload.len, out, e);
}

struct repack {
    struct codec_gzip *gzip;
    uint64_t left, done;
};

static int repack_sink(void *ctx, const uint8_t *data, size_t len, struct err *e)
{
    struct repack *r = ctx;
    size_t n = len < r->left ? len : (size_t)r->left;

    if (codec_gzip_add(r->gzip, data, n, e) < 0)
        return -1;
    r->left -= n;
    r->done += n;
    return !r->left;
}

int initrd_recompress(const struct initrd *im, uint64_t upto, const uint8_t *more,
                      size_t more_len, struct buf *out, struct err *e)
{
    static const uint8_t zeros[ALIGN_BYTES];
    const struct initrd_segment *s = last_segment(im);
    auto_call(codec_gzip_free_autop) struct codec_gzip *gzip = NULL;
    struct repack r = {.left = upto};
    size_t used;
    int rc;

    if (codec_gzip_new(out, &gzip, e) < 0)
        return -1;
    r.gzip = gzip;
    if (s->format == INITRD_RAW)
        rc = repack_sink(&r, im->image + s->offset, s->len_bytes, e) < 0 ? -1 : 0;
    else
        rc = codec_unpack(s->format, im->image + s->offset, s->len_bytes, repack_sink, &r,
                          &used, e);
    if (rc < 0 ||
        codec_gzip_add(gzip, zeros, (ALIGN_BYTES - r.done % ALIGN_BYTES) % ALIGN_BYTES,
                       e) < 0 ||
        codec_gzip_add(gzip, more, more_len, e) < 0)
        return -1;
    return codec_gzip_finish(gzip, e);
}

int initrd_join_make(const struct initrd *im, enum initrd_join join,
                     const uint8_t *supplement, size_t len, struct buf *out,
                     struct err *e)
{
    switch (join) {
    case INITRD_JOIN_LZ4:
        return join_lz4(im, supplement, len, out, e);
    case INITRD_JOIN_RECOMPRESS:
        buf_add(out, im->image, last_segment(im)->offset);
        return initrd_recompress(im, UINT64_MAX, supplement, len, out, e);
    default:
        return join_raw(im, supplement, len, out, e);
    }
}
