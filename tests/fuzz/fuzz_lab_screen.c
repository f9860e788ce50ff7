/* Pictures that a QEMU writes which its guest may control. */
#include "lab/screen.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    auto_buf struct buf out = BUF_INIT;
    struct err e = ERR_INIT;

    if (screen_jpeg(data, len, &out, &e) < 0)
        buf_reset(&out);
    return 0;
}
