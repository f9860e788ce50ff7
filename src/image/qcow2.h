/* Pieces of the qcow2 reader; qcow2.c puts them together.
 *
 * Source of the format: QEMU's docs/interop/qcow2.txt. docs/formats/qcow2.md lists every
 * rule. */
#ifndef HOTADD_IMAGE_QCOW2_H
#define HOTADD_IMAGE_QCOW2_H

#include "image/formats.h"

#define QCOW2_MAX_BYTES (64ull << 40)
#define QCOW2_MAX_L1    (32ull << 20) /* bytes; QEMU's own limit */
#define QCOW2_SUBS      32u /* subclusters of a cluster, with extended L2 entries */

/* What the header says, checked: the first table lies inside the file. */
struct qcow2_header {
    uint64_t size_bytes; /* of the disk */
    uint32_t cluster_bits;
    uint64_t cluster_bytes; /* 512 bytes to 2 MiB */
    uint64_t n_clusters;
    uint32_t n_subs;         /* pieces of a cluster that may be absent: 1 or QCOW2_SUBS */
    uint32_t entry_bytes;    /* of the tables of the second level: 8 or 16 */
    uint64_t table_clusters; /* that one table of the second level maps */
    uint64_t l1_at, n_tables; /* the first table: its byte in the file, its entries */
    bool zstd;      /* compressed clusters are zstd frames, else deflate streams */
    bool zero_flag; /* an entry may say that its cluster is zeros (version 3) */
};

int qcow2_header_read(const struct blob *b, struct qcow2_header *ret,
                      struct err *e) err_warn_unused;

/* Where a cluster is. */
struct qcow2_place {
    uint64_t at;      /* byte in the file */
    uint32_t packed;  /* compressed: bytes there at most; 0: stored as it is */
    uint32_t present; /* its n_subs pieces, a bit each from the first on: data or zeros */
};

/* The tables of one image. Any number of threads may ask. */
struct qcow2_map {
    struct blob *blob; /* owned */
    struct qcow2_header h;
    uint64_t *l1; /* owned; byte of each table, 0: all of it is zeros */
    /* What all tables together say. */
    uint64_t data_bytes;
    bool any_packed;
};

/* Reads and validates all tables; the second level is read again when it is needed. The
 * blob is copied. */
int qcow2_map_open(const struct blob *b, struct qcow2_map *ret,
                   struct err *e) err_warn_unused;
void qcow2_map_release(struct qcow2_map *m);

#define QCOW2_BATCH 512u /* clusters asked for at once, at most */

/* Clusters c, c+1, …: as many as one read of their table gives, at most n, at least one;
 * at most QCOW2_BATCH, or to the end of a table that is absent. Returns how many through
 * ret_n; ret_absent: all of these are zeros, and `out` holds nothing. */
int qcow2_map_at(const struct qcow2_map *m, uint64_t c, uint64_t n,
                 struct qcow2_place out[QCOW2_BATCH], uint64_t *ret_n, bool *ret_absent,
                 struct err *e) err_warn_unused;

#endif
