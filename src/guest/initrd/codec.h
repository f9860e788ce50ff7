/* Compressed streams as the kernel's initramfs loader and kmod know them. Internal to
 * this folder. Pure computation on memory; thread-safe. */
#ifndef HOTADD_GUEST_INITRD_CODEC_H
#define HOTADD_GUEST_INITRD_CODEC_H

#include "base/buf.h"
#include "base/err.h"
#include "guest/initrd/initrd.h"

#include <stdint.h>

/* Larger inputs are refused: an initramfs must fit in memory next to its contents. */
#define CODEC_MAX_INPUT (1ull << 30)

enum codec_guess {
    CODEC_KNOWN,   /* *ret_format is set */
    CODEC_REFUSED, /* a format the kernel knows and we do not: *ret_name */
    CODEC_UNKNOWN,
};

/* By the first bytes. Never answers INITRD_RAW. */
enum codec_guess codec_detect(const uint8_t *in, size_t len,
                              enum initrd_format *ret_format, const char **ret_name);

/* Takes unpacked bytes: 0 go on, 1 enough (unpacking ends with success), -1 error. */
typedef int (*codec_sink)(void *ctx, const uint8_t *data, size_t len, struct err *e);

/* Unpacks one stream from the start of `in` and stores how many bytes it took. Memory is
 * bounded (a window of at most 128 MiB, output handed on in pieces); how much is let out
 * in total is the sink's business. Bytes after the stream are left alone. When the sink
 * had enough, *ret_used is unspecified. */
int codec_unpack(enum initrd_format format, const uint8_t *in, size_t len,
                 codec_sink sink, void *ctx, size_t *ret_used,
                 struct err *e) err_warn_unused;

/* The part of it for LZO, in a file of its own (lzo.c). */
int codec_unlzo(const uint8_t *in, size_t len, codec_sink sink, void *ctx,
                size_t *ret_used, struct err *e) err_warn_unused;

/* Appends the whole unpacked stream to out; more than max_bytes is ERR_INPUT. Anything
 * but zero bytes after the stream is ERR_INPUT too. */
int codec_unpack_buf(enum initrd_format format, const uint8_t *in, size_t len,
                     size_t max_bytes, struct buf *out, struct err *e) err_warn_unused;

/* Appends one legacy LZ4 stream holding data: magic, then blocks of at most 8 MiB. */
int codec_lz4_pack(const uint8_t *data, size_t len, struct buf *out,
                   struct err *e) err_warn_unused;

/* Offsets in a legacy LZ4 stream at which a new one was appended to it (the magic number
 * where a block would be), found from the block sizes alone. Calls fn for each. */
int codec_lz4_restarts(const uint8_t *in, size_t len,
                       int (*fn)(void *ctx, size_t offset, struct err *e), void *ctx,
                       struct err *e) err_warn_unused;

/* Packs a stream with gzip, deterministically. */
struct codec_gzip; /* one thread at a time */
int codec_gzip_new(struct buf *out, struct codec_gzip **ret,
                   struct err *e) err_warn_unused;
int codec_gzip_add(struct codec_gzip *g, const uint8_t *data, size_t len,
                   struct err *e) err_warn_unused;
int codec_gzip_finish(struct codec_gzip *g, struct err *e) err_warn_unused;
void codec_gzip_free(struct codec_gzip *g);
DEFINE_AUTO_PTR(struct codec_gzip, codec_gzip_free)

#endif
