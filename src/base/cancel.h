/* A request to stop, seen by every long loop: a flag for code that computes, an eventfd
 * for code that polls. cancel_request() may be called from any thread and from a signal
 * handler. */
#ifndef HOTADD_BASE_CANCEL_H
#define HOTADD_BASE_CANCEL_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdint.h>

struct cancel {
    atomic_bool requested;
    int event_fd; /* readable once requested; owned */
};

int cancel_init(struct cancel *c, struct err *e) err_warn_unused;
void cancel_release(struct cancel *c);
void cancel_request(struct cancel *c);

/* `c` may be NULL everywhere below: never cancelled. */
bool cancel_requested(const struct cancel *c);

/* -1 with ERR_CANCELLED once a stop was asked for. */
int cancel_check(const struct cancel *c, struct err *e) err_warn_unused;

/* Sleeps; -1 (ERR_CANCELLED) as soon as a stop is asked for. */
int cancel_sleep_ns(const struct cancel *c, uint64_t ns, struct err *e) err_warn_unused;

#endif
