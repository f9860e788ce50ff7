/* Fixed indexes (src/repo/fidx.c), held in memory and by block. The checksum is made
 * right unless the first byte of the UUID is odd. */
#include "base/auto.h"
#include "repo/fidx.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A store of one file. */
struct one_file {
    struct store base;
    const uint8_t *data;
    size_t len;
};

static int file_open(struct store *s, const char *path, struct store_file *ret,
                     struct err *e)
{
    *ret = (struct store_file){.fd = -1, .size_bytes = ((struct one_file *)s)->len};
    return 0;
}

static int file_pread(struct store *s, struct store_file *f, void *buf, size_t len,
                      uint64_t offset, struct err *e)
{
    struct one_file *o = (struct one_file *)s;

    assert(offset <= o->len && len <= o->len - offset);
    memcpy(buf, o->data + offset, len);
    return 0;
}

static void file_close(struct store *s, struct store_file *f)
{
}

static const struct store_ops ops = {
    .name = "fuzz", .open = file_open, .pread = file_pread, .close = file_close};

#define UUID_AT 8
#define CSUM_AT 32
#define SIZE_AT 64

static void open_and_read(struct one_file *f, enum fidx_hold hold)
{
    unsigned char csum[SHA256_BYTES] = {0}, digest[SHA256_BYTES];
    struct fidx *x = NULL;
    struct err e = ERR_INIT;
    uint64_t size = 0;

    if (f->len >= SIZE_AT + sizeof size) {
        memcpy(csum, f->data + CSUM_AT, sizeof csum);
        memcpy(&size, f->data + SIZE_AT, sizeof size);
    }
    if (fidx_open(&f->base, "x.fidx", csum, size, hold, &x, &e) < 0) {
        assert(e.msg[0] && !x);
        return;
    }
    for (uint64_t i = 0; i < fidx_n(x); i++) {
        int r = fidx_digest(x, i, digest, &e);

        assert(r == 0 && fidx_len(x, i) > 0 && fidx_len(x, i) <= fidx_chunk_bytes(x));
        assert(memcmp(digest, f->data + FIDX_HEADER_BYTES + i * SHA256_BYTES,
                      SHA256_BYTES) == 0);
    }
    fidx_free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char desc[] = "fuzz";
    auto_free uint8_t *own = malloc(len + 1);
    struct one_file f = {.base = {.ops = &ops, .desc = desc}, .data = own, .len = len};

    assert(own);
    memcpy(own, data, len);
    if (len > FIDX_HEADER_BYTES && !(data[UUID_AT] & 1))
        digest_sha256(own + FIDX_HEADER_BYTES, len - FIDX_HEADER_BYTES, own + CSUM_AT);
    open_and_read(&f, FIDX_IN_MEMORY);
    open_and_read(&f, FIDX_BY_BLOCK);
    return 0;
}
