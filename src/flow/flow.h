/* What hotadd does, for its command line and its monitor: plan, start, resume and undo
 * jobs, check sources, and find what no job accounts for.
 *
 * All calls block until done, failed (the job is kept) or cancelled. */
#ifndef HOTADD_FLOW_FLOW_H
#define HOTADD_FLOW_FLOW_H

#include "base/cancel.h"
#include "base/progress.h"
#include "flow/params.h"
#include "flow/plan.h"
#include "job/job.h"

struct flow_env {
    const char *journal_path;        /* borrowed, as is all here */
    const struct cancel *cancel;     /* may be NULL */
    const struct progress *progress; /* may be NULL */
    /* Shown when it is made, before anything is created; may be NULL. */
    void (*show_plan)(void *ctx, const struct plan *plan);
    void *show_ctx;
};

enum flow_on_failure { FLOW_KEEP, FLOW_UNDO };

/* Results below are what `job_info_json()` says of the job, and, once there is one, a
 * member "instance" with its id, addresses, checks and the end of its console. */

/* Decides everything and creates nothing: --dry-run. *ret is set as far as it got also
 * on failure (may be NULL), owned. */
int flow_plan(const char *kind, const struct restore_params *params,
              const struct flow_env *env, struct plan **ret,
              struct err *e) err_warn_unused;

/* Plans, creates the job and runs it. Before the job exists nothing was made; after a
 * failure the job is kept for resume and undo, or undone at once. *ret_result (owned) is
 * set whenever a job exists, else NULL. */
int flow_start(const char *kind, const struct restore_params *params,
               enum flow_on_failure on_failure, const struct flow_env *env,
               json_t **ret_result, struct err *e) err_warn_unused;

/* Goes on with a job that failed or was interrupted. */
int flow_resume(const char *job_id, enum flow_on_failure on_failure,
                const struct flow_env *env, json_t **ret_result,
                struct err *e) err_warn_unused;

enum flow_undo { FLOW_UNDO_UNFINISHED, FLOW_UNDO_EVEN_DONE };

/* Removes everything the job made. One that is done is refused unless asked. */
int flow_undo(const char *job_id, enum flow_undo how, const struct flow_env *env,
              json_t **ret_result, struct err *e) err_warn_unused;

/* Looks into a source and answers with its hardware and findings: `hotadd check`. The
 * source is only read, no account is needed. *ret_blocked says whether a conversion would
 * be refused. Owned. */
int flow_check(const struct restore_params *params, const char *kind,
               const struct flow_env *env, json_t **ret, bool *ret_blocked,
               struct err *e) err_warn_unused;

enum flow_setup { FLOW_SETUP_PRINT, FLOW_SETUP_APPLY };

/* The role that VM Import needs for params->bucket (of params: bucket, role, region and
 * aws_profile are looked at): {role, policy_name, trust, policy, applied}, the policies
 * as text. FLOW_SETUP_APPLY makes it, and may be repeated. Owned. */
int flow_import_setup(const struct restore_params *params, enum flow_setup how,
                      const struct flow_env *env, json_t **ret,
                      struct err *e) err_warn_unused;

enum flow_gc { FLOW_GC_LIST, FLOW_GC_REMOVE };

/* Everything in the account's region tagged by hotadd that no job of this proxy's
 * journal accounts for: array of {id, type, job, proxy, removed}. Resources of other
 * proxies are listed, never removed. Owned. */
int flow_gc(const struct restore_params *params, enum flow_gc how,
            const struct flow_env *env, json_t **ret, struct err *e) err_warn_unused;

#endif
