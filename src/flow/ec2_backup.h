/* Backups of EC2 instances, as jobs of kind "backup": snapshots of all volumes at one
 * moment, read through the EBS direct APIs (or, where those are refused, from volumes
 * made of the snapshots and attached to this proxy), a recovery point, and away with what
 * the next backup does not need.
 *
 * The newest snapshot of each volume is kept: the recovery point names it as the origin
 * of its disk, so that the next backup asks EBS what changed since, and reads that. */
#ifndef HOTADD_FLOW_EC2_BACKUP_H
#define HOTADD_FLOW_EC2_BACKUP_H

#include "flow/backup.h"
#include "flow/restore.h"

#define TAG_BACKUP                                                                       \
    "hotadd:backup" /* on kept snapshots: the machine in the repository                  \
                     */

/* What such a job works with. A struct restore_ctx comes first, since removers get it. */
struct ec2_backup {
    struct restore_ctx ctx;
    struct restore_params no_params; /* what ctx points at: all defaults */
    struct plan *plan;               /* owned */
    struct aws *aws;                 /* owned */
    json_t *words;                   /* owned: what `p` and `item` borrow from */
    struct backup_params p;
    struct backup_item item;
    const struct flow_env *env; /* borrowed */
    json_t *result;             /* owned: flow_backup's, once there is one */
};

/* The words of one instance's backup, as a job's parameters keep them: those of `p` that
 * are not about images, and the item. Paths become absolute. Owned; NULL with e set. */
json_t *ec2_backup_words(const struct backup_params *p, const struct backup_item *item,
                         struct err *e);

/* Connects and finds out where this is. `words` is kept. Released also after a failure.
 */
int ec2_backup_init(struct ec2_backup *b, json_t *words, const struct flow_env *env,
                    struct err *e) err_warn_unused;
void ec2_backup_release(struct ec2_backup *b);
#define auto_ec2_backup auto_call(ec2_backup_release)

/* The steps; ctx is a struct ec2_backup. Each may be entered again after any crash. */
int step_create_snapshots(struct job *job, void *ctx, struct err *e);
int step_read_volumes(struct job *job, void *ctx, struct err *e);
int step_retire_snapshots(struct job *job, void *ctx, struct err *e);

extern const struct job_resource_kind ec2_backup_resources[];
extern const struct job_flow ec2_backup_flow;

/* Whether a job of that kind is one of these; then resume and undo are: */
bool ec2_backup_is(const char *kind);
int ec2_backup_resume(struct journal *journal, struct job *job,
                      enum flow_on_failure on_failure, const struct flow_env *env,
                      json_t **ret_result, struct err *e) err_warn_unused;
int ec2_backup_undo(struct journal *journal, struct job *job, const struct flow_env *env,
                    json_t **ret_result, struct err *e) err_warn_unused;

#endif
