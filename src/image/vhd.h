/* The footer that makes a fixed VHD of a raw disk. (vhd_open, which reads all kinds, is
 * in image/formats.h.) Source of the format: "Virtual Hard Disk Image Format
 * Specification" 1.0, Microsoft 2006; docs/formats/vhd.md lists every rule. */
#ifndef HOTADD_IMAGE_VHD_H
#define HOTADD_IMAGE_VHD_H

#include <stdint.h>

#define VHD_FOOTER_BYTES 512
#define VHD_MAX_BYTES    ((uint64_t)2040 << 30) /* of a disk */
#define VHD_UUID_BYTES   16

/* Fills `out`: what follows the disk's size_bytes (whole sectors, at most VHD_MAX_BYTES)
 * in the file. unix_s is the time of its making. */
void vhd_fixed_footer(uint64_t size_bytes, const unsigned char uuid[VHD_UUID_BYTES],
                      int64_t unix_s, unsigned char out[VHD_FOOTER_BYTES]);

#endif
