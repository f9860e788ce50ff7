/* Partition tables and superblocks: the input is the beginning of a disk of 1 GiB whose
 * remainder is zeros. */
#include "base/buf.h"
#include "guest/storage/storage.h"

#include <assert.h>

#define DISK_BYTES (1ull << 30)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct image {
    const uint8_t *data;
    size_t len;
};

static int read_image(void *ctx, uint64_t offset, size_t len, struct buf *out,
                      struct err *e)
{
    const struct image *im = ctx;

    assert(offset <= DISK_BYTES && len <= DISK_BYTES - offset);
    assert(len <= 2u << 20);
    for (size_t i = 0; i < len; i++)
        buf_addc(out, offset + i < im->len ? (char)im->data[offset + i] : 0);
    return buf_check(out, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct storage_disk d = {.device = (char[]){"/dev/sda"}, .size_bytes = DISK_BYTES};
    struct image im = {data, len};
    struct err e = ERR_INIT;
    struct fs_facts f;

    if (partitions_read(&d, read_image, &im, &e) == 0)
        vec_foreach (p, &d.partitions)
            assert(p->offset_bytes + p->size_bytes <= DISK_BYTES);
    vec_release(&d.partitions);
    fs_probe(data, len, &f);
    assert(strnlen(f.uuid, sizeof f.uuid) < sizeof f.uuid);
    return 0;
}
