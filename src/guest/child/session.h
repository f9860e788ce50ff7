/* One request to hotadd-guest, from disks to result. */
#ifndef HOTADD_GUEST_CHILD_SESSION_H
#define HOTADD_GUEST_CHILD_SESSION_H

#include "guest/guest.h"

struct session_request {
    struct VEC(struct guest_disk) disks; /* strings borrowed from the request's JSON */
    struct guest_options options;
    bool convert;
};

/* Tells the client how far it is. */
typedef void (*session_progress_fn)(const char *what, unsigned done, unsigned total);

/* The result's JSON, owned. */
int session_run(const struct session_request *rq, session_progress_fn progress,
                json_t **ret, struct err *e) err_warn_unused;

#endif
