/* A VHD: footer, header, table, blocks. The checksums of its structures are made right,
 * or the fuzzer would never get behind them. */
#include "image_fuzz.h"

#include <endian.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void seal(uint8_t *p, size_t len, size_t at_checksum)
{
    uint32_t sum = 0;

    memset(p + at_checksum, 0, 4);
    for (size_t i = 0; i < len; i++)
        sum += p[i];
    sum = htobe32(~sum);
    memcpy(p + at_checksum, &sum, sizeof sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint64_t header;
    uint8_t *file;

    if (len < 1024)
        return 0;
    file = malloc(len);
    assert(file);
    memcpy(file, data, len);
    memcpy(&header, file + len - 512 + 16, sizeof header);
    header = be64toh(header);
    if (header <= len - 1024)
        seal(file + header, 1024, 36);
    seal(file + len - 512, 512, 64);
    fuzz_image(file, len, vhd_open);
    free(file);
    return 0;
}
