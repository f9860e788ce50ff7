/* A qcow2: header, two levels of tables, plain and compressed clusters. */
#include "image_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    fuzz_image(data, len, qcow2_open);
    return 0;
}
