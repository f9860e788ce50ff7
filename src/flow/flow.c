/* Planning, starting, resuming and undoing jobs; see flow.h.
 *
 * A job is created in the journal with the user's words and the whole plan, before the
 * first call that makes anything: from there on it can be resumed or undone by its id
 * alone. */
#include "flow/flow.h"

#include "aws/aws.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "flow/ec2_backup.h"
#include "flow/flows.h"
#include "flow/restore.h"
#include "image/image.h"

#include <limits.h>

const struct job_flow *flow_of_kind(const char *kind)
{
    static const struct job_flow *const flows[] = {&convert_flow, &restore_flow,
                                                   &import_flow};

    for (size_t i = 0; i < sizeof flows / sizeof flows[0]; i++)
        if (str_eq(flows[i]->kind, kind))
            return flows[i];
    return NULL;
}

static int connect_aws(const struct restore_params *params, const struct flow_env *env,
                       struct aws **ret, struct err *e)
{
    struct aws_options opt = {
        .region = params->region, .profile = params->aws_profile, .cancel = env->cancel};

    return aws_new(&opt, ret, e);
}

static enum restore_kind kind_of(const char *kind)
{
    return str_eq(kind, "import")    ? RESTORE_IMPORT
           : str_eq(kind, "convert") ? RESTORE_CONVERT
                                     : RESTORE_PLAIN;
}

static int plan_with(struct aws *aws, const char *kind,
                     const struct restore_params *params, const struct flow_env *env,
                     struct plan *plan, struct err *e)
{
    if (preflight(kind_of(kind), params, aws, env->cancel, env->progress, plan, e) < 0)
        return -1;
    if (env->show_plan)
        env->show_plan(env->show_ctx, plan);
    return 0;
}

int flow_plan(const char *kind, const struct restore_params *params,
              const struct flow_env *env, struct plan **ret, struct err *e)
{
    auto_aws struct aws *aws = NULL;

    if (plan_new(ret, e) < 0)
        return -1;
    return connect_aws(params, env, &aws, e) < 0 ||
                   plan_with(aws, kind, params, env, *ret, e) < 0
               ? -1
               : 0;
}

/* ---- results ---- */

static int result_of(struct journal *journal, struct job *job, json_t **ret,
                     struct err *e)
{
    auto_job_info struct job_info info = {0};
    json_auto_t *instance = NULL;
    json_t *o;

    if (journal_job(journal, job_id(job), &info, e) < 0 ||
        job_value_get(job, "result", &instance, e) < 0)
        return -1;
    o = job_info_json(&info, e);
    if (!o)
        return -1;
    if (instance && json_put(o, "instance", json_incref(instance), e) < 0) {
        json_decref(o);
        return -1;
    }
    *ret = o;
    return 0;
}

/* The result must not hide the job's own error: its failure is only logged. */
static void take_result(struct journal *journal, struct job *job, json_t **ret)
{
    struct err e = ERR_INIT;

    if (result_of(journal, job, ret, &e) < 0)
        log_warning("the result of job %s: %s", job_id(job), e.msg);
}

/* ---- running ---- */

static void fill_ctx(struct restore_ctx *ctx, const struct restore_params *params,
                     struct plan *plan, struct aws *aws, const struct flow_env *env)
{
    *ctx = (struct restore_ctx){.params = params,
                                .plan = plan,
                                .aws = aws,
                                .cancel = env->cancel,
                                .progress = env->progress,
                                .paths = {.dev = params->device_root}};
}

/* --on-failure undo. An interruption asked the job to stop, not its clean-up: that runs
 * with a client of its own that no longer hears of it. */
static int undo_now(struct job *job, const struct restore_ctx *ctx, struct err *e)
{
    const struct flow_env deaf = {.cancel = NULL};
    struct restore_ctx own = *ctx;
    auto_aws struct aws *aws = NULL;

    own.cancel = NULL;
    if (connect_aws(ctx->params, &deaf, &aws, e) < 0)
        return -1;
    own.aws = aws;
    return job_undo(job, flow_of_kind(job_kind(job)), &own, NULL, e);
}

static int run_job(struct job *job, struct restore_ctx *ctx,
                   enum flow_on_failure on_failure, struct err *e)
{
    struct err undo_error = ERR_INIT;

    if (job_run(job, flow_of_kind(job_kind(job)), ctx, ctx->cancel, e) == 0)
        return 0;
    if (on_failure == FLOW_UNDO) {
        log_error("%s", e->msg);
        log_info("job %s failed; removing what it made", job_id(job));
        if (undo_now(job, ctx, &undo_error) < 0) {
            *e = undo_error;
            return err_prefix(e, "undo of job %s is not complete; run `hotadd undo %s`",
                              job_id(job), job_id(job));
        }
        log_info("job %s undone", job_id(job));
    }
    return -1;
}

static int create_job(struct journal *journal, const char *kind,
                      const struct restore_params *params, const struct plan *plan,
                      struct job **ret, struct err *e)
{
    json_auto_t *words = restore_params_json(params, e);
    json_auto_t *decided = words ? plan_json(plan, e) : NULL;
    auto_job struct job *job = NULL;

    if (!decided || job_create(journal, kind, plan->name, words, &job, e) < 0 ||
        job_value_set(job, "plan", decided, e) < 0)
        return -1;
    *ret = take_ptr(job);
    return 0;
}

int flow_start(const char *kind, const struct restore_params *params,
               enum flow_on_failure on_failure, const struct flow_env *env,
               json_t **ret_result, struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_aws struct aws *aws = NULL;
    auto_plan struct plan *plan = NULL;
    auto_job struct job *job = NULL;
    struct restore_ctx ctx;
    int r;

    *ret_result = NULL;
    if (connect_aws(params, env, &aws, e) < 0 || plan_new(&plan, e) < 0 ||
        plan_with(aws, kind, params, env, plan, e) < 0)
        return -1;
    if (journal_open(env->journal_path, &journal, e) < 0 ||
        create_job(journal, kind, params, plan, &job, e) < 0)
        return -1;
    log_info("job %s: %s %s", job_id(job), kind, plan->name);
    fill_ctx(&ctx, params, plan, aws, env);
    r = run_job(job, &ctx, on_failure, e);
    take_result(journal, job, ret_result);
    return r;
}

/* A job from the journal with all it needs to go on. */
struct reopened {
    struct journal *journal;
    struct job *job;
    struct restore_params params;
    struct plan *plan;
    struct aws *aws;
    struct restore_ctx ctx;
};
#define auto_reopened auto_call(reopened_release)

static void reopened_release(struct reopened *r)
{
    aws_free(r->aws);
    plan_free(r->plan);
    restore_params_release(&r->params);
    job_close(r->job);
    journal_close(r->journal);
}

static int reopen(const char *id, const struct flow_env *env, struct reopened *r,
                  struct err *e)
{
    json_auto_t *plan = NULL;

    if (journal_open(env->journal_path, &r->journal, e) < 0 ||
        job_open(r->journal, id, &r->job, e) < 0)
        return -1;
    if (ec2_backup_is(job_kind(r->job)))
        return 0; /* it opens what it needs by itself */
    if (str_starts(job_kind(r->job), "sync"))
        return err_set(e, ERR_USAGE,
                       "job %s belongs to sync %s: `hotadd sync run %s` goes on with a "
                       "pass, and `hotadd sync show %s` says where it stands",
                       id, job_title(r->job), job_title(r->job), job_title(r->job));
    if (!flow_of_kind(job_kind(r->job)))
        return err_set(e, ERR_UNSUPPORTED,
                       "job %s is a %s, which this hotadd does not "
                       "know; use the one that began it",
                       id, job_kind(r->job));
    if (restore_params_from_json(job_params(r->job), &r->params, e) < 0 ||
        job_value_get(r->job, "plan", &plan, e) < 0)
        return -1;
    /* Died between the job's creation and its plan: nothing was made. */
    if (!plan)
        return plan_new(&r->plan, e);
    if (plan_from_json(plan, &r->plan, e) < 0 ||
        connect_aws(&r->params, env, &r->aws, e) < 0)
        return -1;
    fill_ctx(&r->ctx, &r->params, r->plan, r->aws, env);
    return 0;
}

int flow_resume(const char *job_id_text, enum flow_on_failure on_failure,
                const struct flow_env *env, json_t **ret_result, struct err *e)
{
    auto_reopened struct reopened r = {0};
    int rc;

    *ret_result = NULL;
    if (reopen(job_id_text, env, &r, e) < 0)
        return -1;
    if (ec2_backup_is(job_kind(r.job)))
        return ec2_backup_resume(r.journal, r.job, on_failure, env, ret_result, e);
    if (!r.aws)
        return err_set(e, ERR_USAGE,
                       "job %s ended before it had a plan and made nothing; "
                       "`hotadd undo %s` and begin anew",
                       job_id_text, job_id_text);
    rc = run_job(r.job, &r.ctx, on_failure, e);
    take_result(r.journal, r.job, ret_result);
    return rc;
}

int flow_undo(const char *job_id_text, enum flow_undo how, const struct flow_env *env,
              json_t **ret_result, struct err *e)
{
    auto_reopened struct reopened r = {0};
    int rc;

    *ret_result = NULL;
    if (reopen(job_id_text, env, &r, e) < 0)
        return -1;
    if (job_state(r.job) == JOB_DONE && how != FLOW_UNDO_EVEN_DONE &&
        ec2_backup_is(job_kind(r.job)))
        return err_set(e, ERR_USAGE,
                       "job %s is done; undoing it would delete the snapshots that the "
                       "next backup asks for changes since: say --done if you mean that",
                       job_id_text);
    if (job_state(r.job) == JOB_DONE && how != FLOW_UNDO_EVEN_DONE)
        return err_set(e, ERR_USAGE,
                       "job %s is done; undoing it would terminate its instance and "
                       "delete its volumes: say --done if you mean that",
                       job_id_text);
    if (ec2_backup_is(job_kind(r.job)))
        return ec2_backup_undo(r.journal, r.job, env, ret_result, e);
    rc = job_undo(r.job, flow_of_kind(job_kind(r.job)), &r.ctx, env->cancel, e);
    take_result(r.journal, r.job, ret_result);
    return rc;
}
