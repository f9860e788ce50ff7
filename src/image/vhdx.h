/* Pieces of the VHDX reader; vhdx.c puts them together.
 *
 * Source of the format: Microsoft's [MS-VHDX]. docs/formats/vhdx.md lists every rule. */
#ifndef HOTADD_IMAGE_VHDX_H
#define HOTADD_IMAGE_VHDX_H

#include "image/formats.h"

#define VHDX_MIB       (1u << 20)
#define VHDX_MAX_BYTES (64ull << 40)

/* What the structures before the data say, checked: the table lies inside the file. */
struct vhdx_layout {
    uint64_t size_bytes;   /* of the disk */
    uint64_t block_bytes;  /* a power of two, 1 to 256 MiB */
    uint32_t chunk_blocks; /* a bitmap entry follows each of so many in the table */
    uint64_t n_blocks;
    uint64_t bat_offset, bat_len; /* the block allocation table's region, bytes */
};

/* CRC-32C, of a few hundred KiB a file. */
uint32_t vhdx_crc32c(const uint8_t *p, size_t len);

int vhdx_layout_read(const struct blob *b, struct vhdx_layout *ret,
                     struct err *e) err_warn_unused;

#endif
