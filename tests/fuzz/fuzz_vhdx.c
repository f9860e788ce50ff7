/* A VHDX: headers, regions, metadata, table, blocks. The checksums of its structures are
 * made right, or the fuzzer would never get behind them. */
#include "image_fuzz.h"

#include "image/vhdx.h"

#include <endian.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void seal(uint8_t *p, size_t len)
{
    uint32_t crc;

    memset(p + 4, 0, 4);
    crc = htole32(vhdx_crc32c(p, len));
    memcpy(p + 4, &crc, sizeof crc);
}

/* The structures of a small file lie where qemu-img puts them, but most of the file is a
 * hole: the input holds 256 bytes of each place that matters, one after the other. */
static const size_t parts[] = {0,
                               64u << 10,
                               128u << 10,
                               192u << 10,
                               256u << 10,
                               2u << 20 /* the table */,
                               3u << 20 /* metadata */,
                               (3u << 20) + 65536};
#define PART_BYTES 256u
#define N_PARTS    (sizeof parts / sizeof parts[0])
#define FILE_BYTES (8u << 20)

/* The parts lie at the same places each time: nothing of an earlier run is left. */
static struct blob *sparse_blob(const uint8_t *file)
{
    struct err e;

    assert(ftruncate(fuzz_file(), FILE_BYTES) == 0);
    for (size_t i = 0; i < N_PARTS; i++)
        assert(io_pwrite_full(fuzz_file(), file + parts[i], PART_BYTES, parts[i], "fuzz",
                              &e) == 0);
    return fuzz_file_blob();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t file[FILE_BYTES];

    for (size_t i = 0; i < N_PARTS; i++) {
        size_t from = i * PART_BYTES, n = from < len ? len - from : 0;

        memset(file + parts[i], 0, PART_BYTES);
        if (n)
            memcpy(file + parts[i], data + from, n < PART_BYTES ? n : PART_BYTES);
    }
    seal(file + (64u << 10), 4096);
    seal(file + (192u << 10), 65536);
    fuzz_image_blob(sparse_blob(file), vhdx_open);
    return 0;
}
