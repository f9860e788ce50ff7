/* Archives of drivers: what comes out must be within the limits and safely named. */
#include "guest/drivers/bundle.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_bundle struct bundle b = {0};
    struct err e;

    if (bundle_read(data, size, &b, &e) < 0)
        return 0;
    vec_foreach (f, &b.files)
        if (f->name[0] == '/' || strstr(f->name, "../") || strchr(f->name, '\\'))
            abort();
    return 0;
}
