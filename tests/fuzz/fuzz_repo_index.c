/* Fixed indexes (src/repo/fidx.c), held in memory and by block. */
#include "repo/fidx.h"

#include <assert.h>
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char desc[] = "fuzz";
    struct one_file f = {.base = {.ops = &ops, .desc = desc}, .data = data, .len = len};
    unsigned char csum[SHA256_BYTES] = {0}, digest[SHA256_BYTES];
    uint64_t size = 0;

    if (len >= 80) {
        memcpy(csum, data + 32, sizeof csum);
        memcpy(&size, data + 64, sizeof size);
    }
    for (int hold = FIDX_IN_MEMORY; hold <= FIDX_BY_BLOCK; hold++) {
        struct fidx *x = NULL;
        struct err e = ERR_INIT;

        if (fidx_open(&f.base, "x.fidx", csum, size, (enum fidx_hold)hold, &x, &e) < 0)
            continue;
        for (uint64_t i = 0; i < fidx_n(x); i++) {
            int r = fidx_digest(x, i, digest, &e);

            assert(r == 0 && fidx_len(x, i) > 0 && fidx_len(x, i) <= fidx_chunk_bytes(x));
        }
        fidx_free(x);
    }
    return 0;
}
