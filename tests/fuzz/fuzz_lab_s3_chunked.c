/* Bodies in aws-chunked: the first byte says whether chunks are signed and in what pieces
 * the rest arrives. However it is cut, the same data must come out. */
#include "lab/s3_chunked.h"

#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int collect(void *ctx, const void *data, size_t len, struct err *e)
{
    buf_add(ctx, data, len);
    return 0;
}

/* 1 when the body is whole. */
static int decode(const uint8_t *data, size_t len, bool is_signed, size_t step,
                  struct buf *out)
{
    struct s3_chain chain = {.date = "20130524T000000Z", .scope = "s"};
    struct s3_chunked *c;
    struct err e;
    int r = 0;

    if (s3_chunked_new(is_signed ? &chain : NULL, collect, out, &c, &e) < 0)
        return -1;
    for (size_t at = 0; at < len && r == 0; at += step)
        r = s3_chunked_feed(c, data + at, len - at < step ? len - at : step, &e);
    if (r == 0)
        r = s3_chunked_end(c, &e) == 0;
    if (s3_chunked_trailer(c, "x-amz-checksum-crc32"))
        buf_adds(out, s3_chunked_trailer(c, "x-amz-checksum-crc32"));
    s3_chunked_free(c);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    auto_buf struct buf once = BUF_INIT, pieces = BUF_INIT;
    int a, b;

    if (len == 0)
        return 0;
    a = decode(data + 1, len - 1, data[0] & 1, len, &once);
    b = decode(data + 1, len - 1, data[0] & 1, 1 + (data[0] >> 1), &pieces);
    if (a != b || (a == 1 && !str_eq(buf_str(&once), buf_str(&pieces))))
        abort();
    return 0;
}
