/* Memory that another process can be given: helpers put what they decoded straight into
 * our buffers. It has a size that nobody can change any more. Who is given it can change
 * its contents at any time: nothing may be decided by reading it twice. */
#ifndef HOTADD_BASE_SHARED_H
#define HOTADD_BASE_SHARED_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Zeroed memory, aligned to pages; freed with shared_free(). Thread-safe. */
int shared_alloc(size_t bytes, void **ret, struct err *e) err_warn_unused;
void shared_free(void *p); /* NULL is fine */

struct shared_place {
    uint64_t id;     /* of the whole; never used again */
    int fd;          /* of the whole; borrowed while it is not freed */
    uint64_t offset; /* in it */
};

/* Where these bytes are, if they are within one of them. Thread-safe. */
bool shared_find(const void *p, size_t len, struct shared_place *ret);

#endif
