/* Ranges of bytes of a disk, and ordered sets of them. */
#ifndef HOTADD_DISK_EXTENT_H
#define HOTADD_DISK_EXTENT_H

#include "base/auto.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct extent {
    uint64_t offset; /* bytes */
    uint64_t len;    /* bytes, > 0 */
};

/* Sorted, disjoint, neighbours merged. One thread at a time. */
struct extent_set {
    struct extent *v; /* owned */
    size_t n, cap;
};

#define auto_extent_set auto_call(extent_set_release)

void extent_set_release(struct extent_set *s);

/* Adds a range; what is there already stays. len 0 is ignored. */
int extent_set_add(struct extent_set *s, uint64_t offset, uint64_t len,
                   struct err *e) err_warn_unused;

/* True when every byte of the range is in the set. */
bool extent_set_covers(const struct extent_set *s, uint64_t offset, uint64_t len);

/* At `offset`: is it in the set, and for how many bytes (at most len) does that hold?
 * Walks set and gaps alike: `for (o = 0; o < size; o += n) in = …(s, o, size - o, &n)`.
 */
bool extent_set_at(const struct extent_set *s, uint64_t offset, uint64_t len,
                   uint64_t *ret_len);

uint64_t extent_set_bytes(const struct extent_set *s);

#endif
