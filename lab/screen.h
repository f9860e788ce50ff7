/* Pictures of a machine's display. */
#ifndef HOTADD_LAB_SCREEN_H
#define HOTADD_LAB_SCREEN_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>

/* Appends the picture, given as QEMU writes it (PPM, "P6", 8 bits), as JPEG. What is no
 * such picture, or larger than 4096 x 4096, is ERR_INPUT: QEMU may be under the guest's
 * control by then. */
int screen_jpeg(const void *ppm, size_t len, struct buf *out,
                struct err *e) err_warn_unused;

#define SCREEN_MAX_PPM (3u * 4096 * 4096 + 64)

#endif
