/* `hotadd copy`: one disk of any source to a device or file of this machine. */
#ifndef HOTADD_FLOW_COPY_H
#define HOTADD_FLOW_COPY_H

#include "flow/flow.h"
#include "flow/open_repo.h"

/* Strings are borrowed; NULL where nothing was said. */
struct copy_params {
    const char *source;     /* path or URI, "#DISK" behind it where there are several */
    const char *target;     /* path */
    const char *base;       /* what the target holds, as a source; NULL: unknown */
    const char *format;     /* of a bare image, when it cannot be seen */
    struct repo_where repo; /* whose recovery point the source is; all NULL: none's */
    bool force;             /* write over what the target holds */
    bool target_is_zero;
    bool verify;       /* read back what was written */
    bool digest;       /* of what was copied; see docs/mover.md */
    uint64_t max_rate; /* bytes of data a second; 0: no limit */
    uint64_t workers;  /* 0: the mover's choice */
};

/* *ret (owned) tells what was done: sizes in bytes, seconds, bytes a second. Nothing is
 * left of a new file after a failure. */
int flow_copy(const struct copy_params *params, const struct flow_env *env, json_t **ret,
              struct err *e) err_warn_unused;

#endif
