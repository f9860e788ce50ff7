/* Inside flow: what a look at source, account and guest has found so far. */
#ifndef HOTADD_FLOW_PREFLIGHT_H
#define HOTADD_FLOW_PREFLIGHT_H

#include "flow/finish.h"

struct look {
    enum restore_kind kind;
    const struct restore_params *params;
    struct aws *aws;
    const struct cancel *cancel;
    const struct progress *progress;
    struct plan *plan;
    enum guest_method method;  /* the finisher as the guest was looked at */
    struct flow_source source; /* owned: held open, so that a point stays */
    struct machine *machine;   /* the source's */
    char *refused;             /* owned: what only VM Import takes; see finish_facts */
    bool nitro_ok, xen_ok;     /* what the guest drives, as it is or will be */
};

/* ---- import_plan.c: what is different when the disks go through S3 ---- */

/* Where it runs, if on EC2 at all; role and bucket. */
int import_look(struct look *l, struct err *e) err_warn_unused;
/* The finisher's part of the plan. */
int import_plan(struct look *l, struct err *e) err_warn_unused;

#endif
