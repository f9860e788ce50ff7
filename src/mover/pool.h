/* Inside src/mover only: the memory of all copies of this process.
 *
 * One budget for the process, because memory is the process's: every mover_run() takes
 * its share before it starts and gives it back when it ends. A share is taken at once or
 * waited for, holding nothing, and whoever holds one ends without waiting for others; so
 * the budget is never exceeded and no two runs wait for each other. */
#ifndef HOTADD_MOVER_POOL_H
#define HOTADD_MOVER_POOL_H

#include "base/cancel.h"

#include <stdint.h>

#define POOL_BYTES (192ull << 20)

/* Takes between min_bytes and want_bytes: all that is wanted while much is free, else
 * half of what is free, so that later runs find something too. Waits, in order of
 * arrival, until min_bytes are free. ERR_USAGE when the budget is smaller than that;
 * ERR_CANCELLED. */
int pool_take(uint64_t min_bytes, uint64_t want_bytes, const struct cancel *cancel,
              uint64_t *ret_bytes, struct err *e) err_warn_unused;
void pool_give_back(uint64_t bytes);

#endif
