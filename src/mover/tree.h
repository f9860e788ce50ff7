/* Inside src/mover only: the digest of a disk that is hashed in any order: SHA-256 of the
 * SHA-256 digests of its pieces of 4 MiB. */
#ifndef HOTADD_MOVER_TREE_H
#define HOTADD_MOVER_TREE_H

#include "base/digest.h"

#include <stdint.h>

#define TREE_PIECE_BYTES (4u << 20)

struct tree;

/* Of a disk of size_bytes. Owned. */
int tree_new(uint64_t size_bytes, struct tree **ret, struct err *e) err_warn_unused;
void tree_free(struct tree *t);

/* Bytes of the disk, each once, in any order, by any threads. They begin at a piece and
 * end at one or at the disk's end; what is given beyond that end is not hashed. */
int tree_add(struct tree *t, uint64_t offset, const void *data, uint64_t len,
             struct err *e) err_warn_unused;
int tree_add_zeros(struct tree *t, uint64_t offset, uint64_t len,
                   struct err *e) err_warn_unused;

/* Every byte was added. */
void tree_final(struct tree *t, unsigned char out[SHA256_BYTES]);

#endif
