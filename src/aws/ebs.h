/* EBS direct APIs (REST with JSON, version 2019-11-02): what is in snapshots, block by
 * block, without a volume made of them.
 *
 * Only blocks that were ever written are listed; all others read as zeros. Answers are
 * foreign: lists must be in order and inside the volume, data must have the length and
 * the SHA-256 that the answer names. See aws.h for threads, blocking and errors. */
#ifndef HOTADD_AWS_EBS_H
#define HOTADD_AWS_EBS_H

#include "aws/aws.h"
#include "disk/extent.h"
#include "disk/source.h"

#include <stddef.h>

#define EBS_TOKEN_LEN 257 /* with the NUL */

/* What every page of a list says of the whole. */
struct ebs_shape {
    uint64_t volume_bytes;
    uint32_t block_bytes; /* 512 KiB today */
};

/* One block. The token (borrowed, NULL when it has none) is what GetSnapshotBlock wants;
 * AWS lets it expire after a week. 0: go on; 1: enough; -1. */
typedef int ebs_block_fn(void *ctx, const struct ebs_shape *shape, uint64_t index,
                         const char *token, struct err *e);

/* The blocks of the snapshot from `start` on, in order, until `each` has enough. */
int ebs_list_snapshot_blocks(struct aws *aws, const char *snapshot_id, uint64_t start,
                             ebs_block_fn *each, void *ctx, struct ebs_shape *ret,
                             struct err *e) err_warn_unused;

/* The blocks that differ between two snapshots of one volume's line; the token is that
 * of the second one, NULL for a block that is zeros there. Snapshots of volumes that
 * have nothing to do with each other are ERR_CLOUD. */
int ebs_list_changed_blocks(struct aws *aws, const char *first_snapshot_id,
                            const char *second_snapshot_id, uint64_t start,
                            ebs_block_fn *each, void *ctx, struct ebs_shape *ret,
                            struct err *e) err_warn_unused;

/* Adds the bytes that differ to the set, cut at the second's size. */
int ebs_changed_extents(struct aws *aws, const char *first_snapshot_id,
                        const char *second_snapshot_id, struct extent_set *ret,
                        struct err *e) err_warn_unused;

/* A block's data into buf, which holds block_bytes. Data that does not fit its checksum
 * is asked for again, then ERR_INPUT. */
int ebs_get_snapshot_block(struct aws *aws, const char *snapshot_id, uint64_t index,
                           const char *token, void *buf, uint32_t block_bytes,
                           struct err *e) err_warn_unused;

/* A completed snapshot as a disk. Blocks are listed in windows as the reader comes to
 * them, and a few windows are kept, so that memory does not grow with the volume; an
 * expired token lists its window anew. `desc` (copied) names it in errors. The first
 * window is listed at once: ERR_DENIED and the like come from here. Borrows aws. */
int ebs_source_new(struct aws *aws, const char *snapshot_id, const char *desc,
                   struct source **ret, struct err *e) err_warn_unused;

#endif
