/* INF files of drivers. */
#include "guest/drivers/inf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_inf struct inf f = {0};
    struct err e;

    if (inf_parse(data, size, &f, &e) == 0)
        inf_serves_device(&f, 14393, "PCI\\VEN_1D0F");
    return 0;
}
