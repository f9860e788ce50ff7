/* Inside failover*.c: what their jobs work with. */
#ifndef HOTADD_SYNC_FAILOVER_JOB_H
#define HOTADD_SYNC_FAILOVER_JOB_H

#include "flow/restore.h"
#include "sync/failover.h"

#define KIND_TEST     "test-failover"
#define KIND_FAILOVER "failover"
#define KIND_FAILBACK "failback"

#define KIND_GROUP "security-group"

#define KEY_LAST_PLAN "last_plan" /* of the record */

/* A test or a failover. The struct restore_ctx comes first: the steps and removers of
 * restores get it. */
struct failover {
    struct restore_ctx ctx;
    struct restore_params params; /* owned: the sync's, with the user's over them */
    struct plan *plan;            /* owned */
    struct aws *aws;              /* owned */
    struct journal *journal;      /* borrowed */
    struct sync *claimed;       /* borrowed; NULL: the steps open it when they need it */
    const struct flow_env *env; /* borrowed */
    char *name;                 /* owned: of the sync */
    int64_t at;                 /* the point's time, or REPO_LATEST */
    bool keep;
};
void failover_release(struct failover *f);
#define auto_failover auto_call(failover_release)

/* The words of a job, from the sync's own and the user's: params of a restore, and sync,
 * at, keep. Owned; NULL with e set. */
json_t *failover_words(const struct sync *s, const char *kind,
                       const struct failover_how *how, struct err *e);

/* From a job's words; then a plan is made (failover_plan) or taken from the job. */
int failover_init(struct failover *f, struct journal *journal, const json_t *words,
                  const struct flow_env *env, struct err *e) err_warn_unused;
int failover_plan(struct failover *f, struct sync *s, struct err *e) err_warn_unused;
int failover_plan_of(struct failover *f, struct job *job, struct err *e) err_warn_unused;
int failover_plan_keep(struct failover *f, struct job *job,
                       struct err *e) err_warn_unused;

/* "HOTADD…Z" of now, for records. */
json_t *failover_now(void);

/* Steps. A machine that runs on EC2 already (skip_check) is launched as it is. */
int step_convert_clone(struct job *job, void *ctx, struct err *e);
int step_isolate(struct job *job, void *ctx, struct err *e);
int step_clone_volumes(struct job *job, void *ctx, struct err *e);
int step_test_boot(struct job *job, void *ctx, struct err *e);
int step_clean_up(struct job *job, void *ctx, struct err *e);

extern const struct job_flow test_flow, failover_flow, failback_flow;

/* Runs the user's program. ERR_FAILED tells its end and what it said. */
int failover_hook(const struct strv *argv, const struct sync *s, const char *phase,
                  const struct cancel *cancel, struct err *e) err_warn_unused;

#endif
