/* A sparse VMDK extent: header, descriptor, both levels of tables, grains. */
#include "image_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct blob *b = fuzz_blob(data, len);
    struct source *s = NULL;
    struct err e = ERR_INIT;

    if (vmdk_open(b, FORMAT_VMDK_SPARSE, NULL, NULL, &s, &e) < 0)
        assert(e.msg[0] && !s);
    else
        fuzz_read_units(s);
    source_free(s);
    blob_free(b);
    return 0;
}
