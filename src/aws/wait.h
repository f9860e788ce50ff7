/* Waiting for a state. EC2 works asynchronously: calls return when it has begun.
 *
 * Every waiter polls with a growing pause (with jitter), stops with ERR_TIMEOUT at its
 * deadline saying the state it saw last, with ERR_CANCELLED when asked to, and at once
 * when the state can no longer be reached (a volume in `error`, an instance that
 * terminated itself, with EC2's reason). An Invalid…NotFound within the settle time of
 * aws_options counts as "not visible yet". Errors that may pass are waited out until
 * the deadline. */
#ifndef HOTADD_AWS_WAIT_H
#define HOTADD_AWS_WAIT_H

#include "aws/ec2.h"
#include "base/progress.h"

enum wait_state { WAIT_MORE, WAIT_DONE };

struct wait_options {
    uint64_t timeout_ns;             /* 0: the waiter's default, stated with each */
    uint64_t first_ns, max_ns;       /* pauses between polls; 0: 1 s and 15 s */
    const struct progress *progress; /* snapshots only; NULL: nobody listens */
};

/* One look. Stores the state and may describe what it saw in `seen` ("creating") for the
 * message of a timeout; -1 ends the wait, unless it is ERR_NOT_FOUND within settle time
 * or retryable. */
typedef int wait_look_fn(struct aws *aws, void *ctx, enum wait_state *ret_state,
                         char *seen, size_t seen_len, struct err *e);

/* The generic one. `what` for messages: "volume vol-1 to become available". `options`
 * may be NULL everywhere in this header. */
int aws_wait(struct aws *aws, const char *what, wait_look_fn *look, void *ctx,
             const struct wait_options *options, struct err *e) err_warn_unused;

/* `ret` (may be NULL) receives what was described last, to be released. Default 5 min. */
int ec2_wait_volume_available(struct aws *aws, const char *volume_id,
                              const struct wait_options *options, struct ec2_volume *ret,
                              struct err *e) err_warn_unused;
int ec2_wait_volume_deleted(struct aws *aws, const char *volume_id,
                            const struct wait_options *options,
                            struct err *e) err_warn_unused;

/* Attached to that instance. Default 5 min. */
int ec2_wait_attached(struct aws *aws, const char *volume_id, const char *instance_id,
                      const struct wait_options *options, struct err *e) err_warn_unused;
/* No longer attached to that instance, in any state. A volume that is gone counts.
 * Staying `busy` ends as ERR_BUSY: something in the machine still uses it. Default
 * 10 min. */
int ec2_wait_detached(struct aws *aws, const char *volume_id, const char *instance_id,
                      const struct wait_options *options, struct err *e) err_warn_unused;

/* Reports progress in bytes of the volume's size. Default 24 h. */
int ec2_wait_snapshot_completed(struct aws *aws, const char *snapshot_id,
                                const struct wait_options *options,
                                struct ec2_snapshot *ret, struct err *e) err_warn_unused;

/* Default 1 h. */
int ec2_wait_image_available(struct aws *aws, const char *image_id,
                             const struct wait_options *options, struct ec2_image *ret,
                             struct err *e) err_warn_unused;

/* Defaults: running and status 10 min, stopped and terminated 15 min. */
int ec2_wait_instance_running(struct aws *aws, const char *instance_id,
                              const struct wait_options *options,
                              struct ec2_instance *ret, struct err *e) err_warn_unused;
int ec2_wait_instance_stopped(struct aws *aws, const char *instance_id,
                              const struct wait_options *options,
                              struct ec2_instance *ret, struct err *e) err_warn_unused;
int ec2_wait_instance_terminated(struct aws *aws, const char *instance_id,
                                 const struct wait_options *options,
                                 struct err *e) err_warn_unused;
/* Both status checks `ok`. */
int ec2_wait_instance_status_ok(struct aws *aws, const char *instance_id,
                                const struct wait_options *options,
                                struct err *e) err_warn_unused;

#endif
