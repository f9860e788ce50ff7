/* Disks in blocks of one size, each somewhere in the file or nowhere, as a table of
 * entries says: what VHDX, dynamic VHD and VDI have in common. */
#ifndef HOTADD_IMAGE_BLOCKS_H
#define HOTADD_IMAGE_BLOCKS_H

#include "image/formats.h"

#define BLOCKS_MAX_BYTES (64ull << 40) /* of a disk: EBS's largest volume */

/* What a format's header says, checked: the table lies inside the file. */
struct blocks {
    const char *format;   /* static: names the operations, "vhdx" */
    uint64_t size_bytes;  /* of the disk */
    uint64_t block_bytes; /* a power of two, 4 KiB to 256 MiB */
    uint64_t n_blocks;
    uint64_t table_at, table_len; /* bytes */
    uint64_t first_data;          /* no block is before this byte of the file */
    uint32_t entry_bytes;         /* 4 or 8 */
    uint32_t group;  /* after so many entries stands one of another kind; 0: never */
    uint64_t origin; /* for place(): where it counts from */

    /* Where the entry of block i says it is: a byte of the file, or 0 when it reads as
     * zeros. Its being inside the file is not this function's to check. */
    int (*place)(const struct blocks *k, const struct blob *b, uint64_t i,
                 const void *entry, uint64_t *ret, struct err *e);
};

/* For a table of which the header says how many entries it has: checks sizes and place,
 * fills in n_blocks and table_len, and opens. */
int blocks_open_counted(const struct blob *b, struct blocks *k, uint64_t entries,
                        struct source **ret, struct err *e) err_warn_unused;

/* Reads and validates the whole table. Copies everything. */
int blocks_open(const struct blob *b, const struct blocks *k, struct source **ret,
                struct err *e) err_warn_unused;

#endif
