/* `hotadd sync failover`, `undo-failover` and `commit`.
 *
 * The sync's record is moved first, then the cloud is changed, then the record is moved
 * on: whatever is killed in between is gone on with by the same command. The record's
 * member "failover" names the job, and the job's journal what was made. */
#include "sync/failover_job.h"

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

#define MEMBER "failover"

static const char *detail(const struct sync *s, const char *key)
{
    return json_str_or(json_object_get(sync_body(s), MEMBER), key, "");
}

/* A copy of the record's member, to change. Owned; NULL with e set. */
static json_t *detail_copy(const struct sync *s, struct err *e)
{
    json_t *now = json_object_get(sync_body(s), MEMBER);
    json_t *copy = json_is_object(now) ? json_copy(now) : json_object();

    if (!copy)
        err_nomem(e);
    return copy;
}

/* ---- while the source still runs ---- */

static int last_pass(struct sync *s, const struct flow_env *env, struct err *e)
{
    json_auto_t *result = NULL;

    return sync_pass(s, NULL, env, &result, e) < 0
               ? err_prefix(e, "the last sync before the failover")
               : 0;
}

static int backup_and_pass(struct sync *s, const struct failover_how *how,
                           const char *phase, const struct flow_env *env, struct err *e)
{
    if (how->backup_hook && how->backup_hook->n &&
        failover_hook(how->backup_hook, s, phase, env->cancel, e) < 0)
        return -1;
    return last_pass(s, env, e);
}

/* Most of what is new goes while the source runs; what is left after its stop is little,
 * and nothing is lost. Killed in between, the state is as before, and all is done again.
 */
static int prepare(struct sync *s, const struct failover_how *how,
                   const struct flow_env *env, struct err *e)
{
    bool stops = how->stop_hook && how->stop_hook->n;

    if (!how->planned)
        return 0;
    if (how->at)
        return err_set(e, ERR_USAGE,
                       "--planned fails over to the newest point; leave --at out");
    if (backup_and_pass(s, how, "running", env, e) < 0)
        return -1;
    if (!stops)
        return 0;
    if (failover_hook(how->stop_hook, s, "running", env->cancel, e) < 0)
        return -1;
    if (backup_and_pass(s, how, "stopped", env, e) < 0)
        return err_prefix(e, "the source is stopped, and nothing was failed over");
    return 0;
}

/* ---- failover ---- */

static int move_to_failing_over(struct sync *s, const struct failover *f, struct job *job,
                                const struct failover_how *how, struct err *e)
{
    json_auto_t *began = failover_now();
    json_auto_t *o = json_pack("{s:s, s:s, s:O, s:b, s:s}", "job", job_id(job), "point",
                               f->params.source, "began", began, "planned", how->planned,
                               "from_state", sync_state_name(sync_state(s)));

    return o ? sync_move(s, sync_state(s), SYNC_FAILING_OVER, MEMBER, o, e)
             : err_nomem(e);
}

static int begin(struct sync *s, struct failover *f, struct journal *journal,
                 const struct failover_how *how, const struct flow_env *env,
                 struct job **ret, struct err *e)
{
    json_auto_t *words = NULL;

    if (prepare(s, how, env, e) < 0)
        return -1;
    words = failover_words(s, KIND_FAILOVER, how, e);
    if (!words || failover_init(f, journal, words, env, e) < 0 ||
        failover_plan(f, s, e) < 0 || json_put(words, "at", json_integer(f->at), e) < 0 ||
        job_create(journal, KIND_FAILOVER, sync_name(s), words, ret, e) < 0 ||
        failover_plan_keep(f, *ret, e) < 0 ||
        move_to_failing_over(s, f, *ret, how, e) < 0)
        return -1;
    log_info("job %s: failover of sync %s to %s", job_id(*ret), sync_name(s),
             f->params.source);
    return 0;
}

static int go_on(struct sync *s, struct failover *f, struct journal *journal,
                 const struct flow_env *env, struct job **ret, struct err *e)
{
    if (job_open(journal, detail(s, "job"), ret, e) < 0 ||
        failover_init(f, journal, job_params(*ret), env, e) < 0 ||
        failover_plan_of(f, *ret, e) < 0)
        return -1;
    log_info("job %s: going on with the failover of sync %s", job_id(*ret), sync_name(s));
    return 0;
}

static int move_to_failed_over(struct sync *s, struct job *job, struct err *e)
{
    json_auto_t *o = detail_copy(s, e), *result = NULL;

    if (!o || job_value_get(job, "result", &result, e) < 0 ||
        json_put(o, "ended", failover_now(), e) < 0)
        return -1;
    if (result &&
        (json_put(o, "instance", json_string(json_str_or(result, "instance_id", "")), e) <
             0 ||
         json_put(o, "private_ip", json_string(json_str_or(result, "private_ip", "")),
                  e) < 0 ||
         json_put(o, "status_checks",
                  json_string(json_str_or(result, "status_checks", "")), e) < 0 ||
         json_put(o, "console", json_string(json_str_or(result, "console", "")), e) < 0))
        return -1;
    return sync_move(s, SYNC_FAILING_OVER, SYNC_FAILED_OVER, MEMBER, o, e);
}

static json_t *named_detail(const struct sync *s)
{
    json_t *o = json_copy(json_object_get(sync_body(s), MEMBER));

    if (o && json_object_set_new(o, "sync", json_string(sync_name(s))) < 0) {
        json_decref(o);
        return NULL;
    }
    return o;
}

int sync_failover(const char *name, const struct failover_how *how,
                  const struct flow_env *env, json_t **ret, struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_sync struct sync *s = NULL;
    auto_job struct job *job = NULL;
    auto_failover struct failover f = {0};
    int r;

    if (journal_open(env->journal_path, &journal, e) < 0 ||
        sync_open(journal, name, SYNC_CLAIM, &s, e) < 0 ||
        sync_allowed(name, sync_state(s), SYNC_FAILOVER, e) < 0)
        return -1;
    r = sync_state(s) == SYNC_FAILING_OVER ? go_on(s, &f, journal, env, &job, e)
                                           : begin(s, &f, journal, how, env, &job, e);
    if (r < 0)
        return -1;
    f.claimed = s;
    r = job_run(job, &failover_flow, &f, env->cancel, e);
    if (r < 0)
        err_prefix(e,
                   "the failover is not complete; `hotadd sync failover %s` goes on, "
                   "`hotadd sync undo-failover %s` removes what it made",
                   name, name);
    else
        r = move_to_failed_over(s, job, e);
    *ret = named_detail(s);
    return r;
}

/* ---- undo-failover ---- */

/* A job of which nothing is known any more made nothing that is left. */
static int undo_job(struct sync *s, struct journal *journal, const struct flow_env *env,
                    struct err *e)
{
    auto_failover struct failover f = {0};
    auto_job struct job *job = NULL;

    if (job_open(journal, detail(s, "job"), &job, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    if (job_state(job) == JOB_UNDONE)
        return 0;
    if (failover_init(&f, journal, job_params(job), env, e) < 0 ||
        failover_plan_of(&f, job, e) < 0)
        return -1;
    f.claimed = s;
    return job_undo(job, &failover_flow, &f, env->cancel, e);
}

/* Passes go on; a replica whose content was not known before still is not. */
static enum sync_state state_after_undo(const struct sync *s)
{
    return str_eq(detail(s, "from_state"), sync_state_name(SYNC_NEEDS_RESYNC))
               ? SYNC_NEEDS_RESYNC
               : SYNC_ACTIVE;
}

int sync_undo_failover(const char *name, const struct flow_env *env, struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_sync struct sync *s = NULL;
    json_auto_t *none = json_null();

    if (journal_open(env->journal_path, &journal, e) < 0 ||
        sync_open(journal, name, SYNC_CLAIM, &s, e) < 0 ||
        sync_allowed(name, sync_state(s), SYNC_UNDO_FAILOVER, e) < 0)
        return -1;
    if (sync_state(s) != SYNC_UNDOING &&
        sync_move(s, sync_state(s), SYNC_UNDOING, NULL, NULL, e) < 0)
        return -1;
    if (undo_job(s, journal, env, e) < 0)
        return err_prefix(e, "`hotadd sync undo-failover %s` goes on with it", name);
    return sync_move(s, SYNC_UNDOING, state_after_undo(s), MEMBER, none, e);
}

/* ---- commit ---- */

int sync_commit(const char *name, enum sync_replica replica, const struct flow_env *env,
                struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_sync struct sync *s = NULL;
    json_auto_t *o = NULL;
    enum sync_state from;

    if (journal_open(env->journal_path, &journal, e) < 0 ||
        sync_open(journal, name, SYNC_CLAIM, &s, e) < 0 ||
        sync_allowed(name, sync_state(s), SYNC_COMMIT, e) < 0)
        return -1;
    from = sync_state(s);
    /* After a failback the source is the machine again. */
    if (from == SYNC_FAILED_BACK && undo_job(s, journal, env, e) < 0)
        return err_prefix(e, "the instance is not removed; `hotadd sync commit %s` again",
                          name);
    o = detail_copy(s, e);
    if (!o || json_put(o, "committed", failover_now(), e) < 0 ||
        json_put(o, "stays",
                 json_string(from == SYNC_FAILED_BACK ? "source" : "instance"), e) < 0 ||
        sync_move(s, from, SYNC_COMMITTED, MEMBER, o, e) < 0)
        return -1;
    if (replica == SYNC_REPLICA_KEEP)
        return 0;
    sync_close(take_ptr(s)); /* delete claims it itself */
    return sync_delete(name, SYNC_KEEP_NOTHING, env, e);
}
