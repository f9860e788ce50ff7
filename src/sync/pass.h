/* Inside src/sync: one pass, from its plan to its record.
 *
 * What a pass is going to do is decided once, before its job's first step, and kept as
 * the job's value "pass":
 *   {to, time, from, resync, disks: [{name, size_bytes, size_gib, held, volume}],
 *    drop: [volume, …]}
 * held: the volume holds that disk of `from`, once create-volumes is done; volume null:
 * create-volumes makes it, from the snapshot of `from` when held. drop: volumes that are
 * of no use after the pass. */
#ifndef HOTADD_SYNC_PASS_H
#define HOTADD_SYNC_PASS_H

#include "flow/restore.h"
#include "mover/mover.h"
#include "repo/repo.h"
#include "sync/private.h"

struct pass {
    struct restore_ctx base; /* first: flow's steps take a pass for one */
    struct sync *sync;       /* borrowed, claimed */
    json_t *decided;         /* owned; NULL before it is decided */
    bool needs_resync;       /* set with the error that shows it */
    /* The repository and both points, opened when first needed. */
    struct flow_repo repo;
    struct repo_point *target, *held;  /* owned */
    struct machine *target_m, *held_m; /* owned; their sources read the points */
};
#define auto_pass auto_call(pass_release)

/* Connects and asks who this proxy is. `pass` is zeroed by the caller and released also
 * after a failure. */
int pass_init(struct pass *pass, struct sync *s, const struct flow_env *env,
              struct err *e) err_warn_unused;
void pass_release(struct pass *pass);

/* ---- pass_plan.c ---- */

/* Opens the repository, and the point (its machine too) by the text that names it. */
int pass_open_repo(struct pass *pass, struct err *e) err_warn_unused;
int pass_open_point(struct pass *pass, const char *point, struct repo_point **ret,
                    struct machine **ret_machine, struct err *e) err_warn_unused;

/* Decides what a pass to the opened target does. Looks at the replica's volumes:
 * pass->needs_resync when somebody else has one. *ret is owned. */
int pass_decide(struct pass *pass, const char *to, json_t **ret,
                struct err *e) err_warn_unused;
/* Takes a decision (given over) for pass->decided and fills the plan's volumes. */
int pass_take(struct pass *pass, json_t *decided, struct err *e) err_warn_unused;

/* ---- accessors of the decision ---- */

static inline const json_t *pass_disk(const struct pass *p, size_t i)
{
    return json_array_get(json_object_get(p->decided, "disks"), i);
}

static inline size_t pass_n_disks(const struct pass *p)
{
    return json_array_size(json_object_get(p->decided, "disks"));
}

/* ---- the steps ---- */

extern const struct job_flow sync_flow;
extern const struct job_flow sync_verify_flow;

int step_protect_point(struct job *job, void *ctx, struct err *e);
int step_create_replica(struct job *job, void *ctx, struct err *e);
int step_attach_replica(struct job *job, void *ctx, struct err *e);
int step_write_changes(struct job *job, void *ctx, struct err *e);
int step_snapshot(struct job *job, void *ctx, struct err *e);
int step_record_point(struct job *job, void *ctx, struct err *e);
int step_detach_replica(struct job *job, void *ctx, struct err *e);
int step_retire(struct job *job, void *ctx, struct err *e);
int step_compare(struct job *job, void *ctx, struct err *e);

/* Removers: what the record accounts for stays. */
int keep_or_remove_volume(struct job *job, void *ctx, const struct job_resource *r,
                          struct err *e);
int keep_or_remove_snapshot(struct job *job, void *ctx, const struct job_resource *r,
                            struct err *e);

/* The tags of everything that a pass makes: the job's, the sync's, the user's. */
int pass_tags(struct tag_set *ret, struct job *job, const struct pass *pass,
              const char *key, const char *name, struct err *e) err_warn_unused;

/* Deletes one of the ids that the record calls retired, and forgets it there; gone
 * already is success. ERR_BUSY, ERR_REQUIREMENT: somebody uses it. */
int pass_remove_retired(struct pass *pass, const char *id, struct err *e) err_warn_unused;

/* Undoes and forgets what earlier processes left of this sync's jobs: those that no
 * record names. `keep` (may be NULL) is the job to leave alone. */
int pass_sweep(struct pass *pass, const char *keep, struct err *e) err_warn_unused;

/* Undoes a job of this sync: detached, and gone what it made and the record does not
 * account for. */
int pass_abandon(struct pass *pass, struct job *job, const struct job_flow *flow,
                 struct err *e) err_warn_unused;

#endif
