/* How often and how soon a failed call is tried again: the one place that decides.
 * Exponential backoff with full jitter (each pause is uniform in [0, base * 2^n],
 * capped), under the call's deadline. */
#ifndef HOTADD_AWS_RETRY_H
#define HOTADD_AWS_RETRY_H

#include "base/cancel.h"
#include "base/err.h"

#include <stdint.h>

struct retry {
    uint64_t base_ns, cap_ns, deadline_ns; /* deadline of the monotonic clock */
    const struct cancel *cancel;
    unsigned n_tries; /* failed ones so far */
};

enum retry_cause {
    RETRY_NOT_SENT,  /* nothing listens there, no such name: 5 tries */
    RETRY_TRANSIENT, /* lost connection, 5xx: 8 tries */
    RETRY_THROTTLED, /* until the deadline */
};

/* Sleeps before another try: 1, or 0 when there shall be none, or -1 (ERR_CANCELLED).
 * `after_ns` is the server's Retry-After, 0 for none. */
int retry_pause(struct retry *r, enum retry_cause cause, uint64_t after_ns,
                struct err *e) err_warn_unused;

/* The pause itself, for tests and other pollers: uniform in [0, min(cap, base * 2^n)]. */
uint64_t retry_jitter_ns(uint64_t base_ns, uint64_t cap_ns, unsigned n);

#endif
