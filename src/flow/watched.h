/* A source that remembers its first error, so that of several machines that are copied
 * at once only the one whose source failed is given up. */
#ifndef HOTADD_FLOW_WATCHED_H
#define HOTADD_FLOW_WATCHED_H

#include "disk/source.h"

#include <stdatomic.h>

struct watched {
    struct source base;   /* what is handed to the mover */
    struct source *inner; /* borrowed; must outlive it */
    atomic_bool failed;
    struct err why; /* written once, by the thread that set `failed`; read when no
                       thread uses the source any more */
};

/* Nothing to release. A stop that was asked for is no failure of the source. */
void watched_init(struct watched *w, struct source *inner);

#endif
