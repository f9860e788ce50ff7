/* How long work tells how far it is. The worker fills a state and calls report() a few
 * times a second, from one thread at a time; who listens (a terminal bar, lines, JSON,
 * the journal, the monitor) decides what to do with it. */
#ifndef HOTADD_BASE_PROGRESS_H
#define HOTADD_BASE_PROGRESS_H

#include <stdint.h>

struct progress_state {
    const char *what;     /* borrowed: "restore-data", "disk 1 of 2" */
    uint64_t done_bytes;  /* of total_bytes: position, zeros included */
    uint64_t total_bytes; /* 0: unknown */
    uint64_t data_bytes;  /* really read and written so far */
    uint64_t bytes_per_s; /* of data, over the last seconds */
    uint64_t eta_s;       /* UINT64_MAX: unknown */
};

struct progress {
    void (*report)(void *ctx, const struct progress_state *state);
    void *ctx;
};

/* `p` may be NULL: nobody listens. */
static inline void progress_report(const struct progress *p,
                                   const struct progress_state *state)
{
    if (p && p->report)
        p->report(p->ctx, state);
}

#endif
