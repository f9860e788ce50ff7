/* QEMU's dirty bitmaps, read over NBD: what changed on a disk since the bitmap was made
 * or cleared. qemu-nbd --bitmap and QEMU's block exports offer one as the metadata
 * context "qemu:dirty-bitmap:NAME" (QEMU's docs/interop/nbd.rst). */
#ifndef HOTADD_IMAGE_BITMAP_H
#define HOTADD_IMAGE_BITMAP_H

#include "base/cancel.h"
#include "disk/extent.h"

/* Adds the dirty ranges of the export at `uri` to ret_dirty. ERR_USAGE when `uri` is no
 * NBD URI; ERR_NOT_FOUND when the export offers no such bitmap. Blocks; the connection
 * is its own and closed before it returns. */
int image_dirty_bitmap(const char *uri, const char *bitmap, const struct cancel *cancel,
                       struct extent_set *ret_dirty, uint64_t *ret_size_bytes,
                       struct err *e) err_warn_unused;

#endif
