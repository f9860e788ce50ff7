/* Pieces of the VMDK reader; vmdk.c puts them together.
 *
 * Source of the format: VMware's "Virtual Disk Format 5.0" technical note, and what
 * VMware's, VirtualBox's and QEMU's writers produce. docs/formats/vmdk.md lists every
 * rule. */
#ifndef HOTADD_IMAGE_VMDK_H
#define HOTADD_IMAGE_VMDK_H

#include "base/vec.h"
#include "image/formats.h"

#define VMDK_SECTOR    512u
#define VMDK_GT_SIZE   512u /* entries of a grain table */
#define VMDK_GT_BYTES  (VMDK_GT_SIZE * 4u)
#define VMDK_MAX_BYTES (128ull << 40) /* twice what VMware allows */

/* The header of a sparse extent ("hosted sparse"), checked against the file: every
 * range below lies inside of it. */
struct vmdk_header {
    uint64_t capacity_bytes;
    uint64_t grain_bytes; /* a power of two, 4 KiB to 2 MiB */
    uint64_t n_grains, n_tables;
    uint64_t desc_offset, desc_len; /* bytes; len 0: no descriptor inside */
    uint64_t gd_offset, rgd_offset; /* bytes; rgd 0: there is none */
    bool compressed;                /* grains are zlib streams behind markers */
    bool zero_entries;              /* a table entry of 1 is a grain of zeros */
    bool unclean;                   /* its writer did not close it */
};

/* Reads the header, or the footer that it points to. */
int vmdk_header_read(const struct blob *b, struct vmdk_header *ret,
                     struct err *e) err_warn_unused;

enum vmdk_extent_kind { VMDK_FLAT, VMDK_SPARSE, VMDK_ZERO };

struct vmdk_extent_line {
    enum vmdk_extent_kind kind;
    uint64_t len_bytes;
    uint64_t offset_bytes; /* flat: in the file */
    char *file;            /* owned; NULL for zero */
};

struct vmdk_desc {
    char *create_type; /* owned; NULL when it names none */
    uint64_t len_bytes;
    struct VEC(struct vmdk_extent_line) extents;
};

/* Parses a descriptor (NULs at its end are padding). What hotadd does not read (deltas,
 * raw device mappings, encryption, …) is refused here with the remedy. */
int vmdk_desc_parse(const char *text, size_t len, const char *name, struct vmdk_desc *ret,
                    struct err *e) err_warn_unused;
void vmdk_desc_release(struct vmdk_desc *d);

/* Decompressors and buffers of the threads that fetch; shared by a disk's extents. */
struct unpack_pool;

/* The grains of one sparse extent. */
struct sparse;

/* Reads and validates both levels of tables. `len_bytes` is what the descriptor says;
 * `cache_tables` bounds the tables kept in memory. The pool is borrowed and outlives
 * the result. */
int sparse_open(const struct blob *b, uint64_t len_bytes, size_t cache_tables,
                struct unpack_pool *pool, const struct image_options *opt,
                struct sparse **ret, struct err *e) err_warn_unused;
void sparse_free(struct sparse *s);
uint64_t sparse_grain_bytes(const struct sparse *s);
uint64_t sparse_data_bytes(const struct sparse *s); /* in allocated grains */

/* At `offset` (a multiple of 512 below `end`): zeros up to `end` at most, or data up to
 * `limit` bytes. Any thread. */
int sparse_unit_at(struct sparse *s, uint64_t offset, uint64_t end, uint64_t limit,
                   bool *ret_data, uint64_t *ret_len, struct err *e) err_warn_unused;

/* Any range of whole sectors. Any thread. */
int sparse_read(struct sparse *s, void *buf, uint64_t len, uint64_t offset,
                struct err *e) err_warn_unused;

#endif
