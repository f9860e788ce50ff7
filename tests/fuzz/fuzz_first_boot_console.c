/* The console of an instance whose first boot is followed: anyone in the guest writes it.
 * What comes out must be plain. */
#include "flow/windows.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_strv struct strv a = {0}, b = {0};
    struct err e;

    if (first_boot_lines((const char *)data, size, &a, &e) < 0 ||
        first_boot_lines((const char *)data, size / 2, &b, &e) < 0)
        return 0;
    if (first_boot_known(&b, &a) > a.n)
        abort();
    vec_foreach (line, &a)
        for (const char *p = *line; *p; p++)
            if (*p < 0x20 || *p > 0x7e)
                abort();
    return 0;
}
