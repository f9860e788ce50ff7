/* `hotadd verify`: reads every chunk of recovery points and says what is damaged. */
#ifndef HOTADD_FLOW_VERIFY_H
#define HOTADD_FLOW_VERIFY_H

#include "flow/flow.h"
#include "flow/open_repo.h"

/* All borrowed. */
struct verify_params {
    struct repo_where repo;
    const char *name; /* VM: all of its points; VM@TIME: that one; NULL: all there are */
    struct repo_verify_options options;
    uint64_t max_rate; /* bytes a second; 0: no limit */
    unsigned workers;  /* 0: the mover's choice */
};

/* *ret_result (owned; set on success) is {points, points_bad, points_skipped,
 * points_without_key, chunks, chunks_bad, bytes, seconds, damages: [{kind, point, disk,
 * offset, file, message}]}. Damage is a result, not an error: *ret_damaged. Errors: those
 * of opening, and ERR_CANCELLED; points that were verified by then stay recorded as such.
 */
int flow_verify(const struct verify_params *p, const struct flow_env *env,
                json_t **ret_result, bool *ret_damaged, struct err *e) err_warn_unused;

#endif
