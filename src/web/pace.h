/* How fast a job goes, from how much was durable when. The mover's own figures stay in
 * its process; these follow from the journal. */
#ifndef HOTADD_WEB_PACE_H
#define HOTADD_WEB_PACE_H

#include "job/journal.h"

#include <stdint.h>

#define PACE_SAMPLES   32
#define PACE_WINDOW_NS (45 * 1000000000ull)
#define PACE_UNKNOWN   UINT64_MAX

/* A zeroed one is empty. */
struct pace_meter {
    struct {
        uint64_t at_ns, done_bytes;
    } v[PACE_SAMPLES]; /* a ring, oldest at `first` */
    unsigned first, n;
};

struct pace {
    uint64_t bytes_per_s; /* PACE_UNKNOWN: not moving data, or too early to say */
    uint64_t eta_s;       /* PACE_UNKNOWN likewise */
};

/* What is durable now. Less than before (another volume took the place of one) begins
 * anew. */
void pace_note(struct pace_meter *m, uint64_t now_ns, uint64_t done_bytes);

/* Over the last PACE_WINDOW_NS; a monitor that has just begun to look takes the mean
 * since the running step began. Only a job that runs and has bytes left has a pace. */
struct pace pace_of(const struct pace_meter *m, const struct job_info *i, uint64_t now_ns,
                    int64_t now_s);

#endif
