/* One pass: finishing what an earlier one left, deciding, running its job, and keeping
 * account of it. See sync.h for the promises, pass.h for the parts.
 *
 * What a crash leaves: before the record names the job, a job that made nothing, which
 * the next pass sweeps away; after that, a job that the next pass goes on with. */
#include "sync/pass.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

#include <inttypes.h>

#define MAX_HISTORY 100

static const struct job_step steps[] = {
    {"protect-point", step_protect_point},
    {"create-volumes", step_create_replica},
    {"attach-volumes", step_attach_replica},
    {"write-changes", step_write_changes},
    {"snapshot", step_snapshot},
    {"record-point", step_record_point},
    {"detach-volumes", step_detach_replica},
    {"retire-snapshots", step_retire},
    {NULL, NULL},
};

static const struct job_resource_kind resources[] = {
    {KIND_VOLUME, keep_or_remove_volume},
    {KIND_ATTACHMENT, remove_attachment},
    {KIND_SNAPSHOT, keep_or_remove_snapshot},
    {NULL, NULL},
};

const struct job_flow sync_flow = {
    .kind = KIND_SYNC, .steps = steps, .resources = resources};

/* ---- what earlier processes left ---- */

int pass_abandon(struct pass *pass, struct job *job, const struct job_flow *flow,
                 struct err *e)
{
    if (job_state(job) == JOB_UNDONE)
        return 0;
    if (sync_reload(pass->sync, e) < 0 ||
        job_undo(job, flow, pass, pass->base.cancel, e) < 0)
        return err_prefix(e, "giving job %s up", job_id(job));
    return 0;
}

static int sweep_job(struct pass *pass, const struct job_info *i, struct err *e)
{
    const struct job_flow *flow =
        str_eq(i->kind, KIND_SYNC) ? &sync_flow : &sync_verify_flow;
    auto_job struct job *job = NULL;
    char id[JOB_ID_LEN];

    snprintf(id, sizeof id, "%s", i->id);
    if (i->state != JOB_DONE && i->state != JOB_UNDONE) {
        if (job_open(pass->sync->journal, id, &job, e) < 0)
            return e->kind == ERR_BUSY || e->kind == ERR_NOT_FOUND ? 0 : -1;
        if (pass_abandon(pass, job, flow, e) < 0)
            return -1;
        job_close(take_ptr(job));
    }
    if (journal_forget(pass->sync->journal, id, e) < 0)
        return e->kind == ERR_BUSY || e->kind == ERR_NOT_FOUND ? 0 : -1;
    return 0;
}

int pass_sweep(struct pass *pass, const char *keep, struct err *e)
{
    auto_job_infos struct job_infos infos = {0};

    if (journal_jobs(pass->sync->journal, &infos, e) < 0)
        return -1;
    vec_foreach (i, &infos) {
        bool ours = (str_eq(i->kind, KIND_SYNC) || str_eq(i->kind, KIND_SYNC_VERIFY)) &&
                    str_eq(i->title, pass->sync->record.name);

        if (ours && !str_eq_null(i->id, keep) && sweep_job(pass, i, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- keeping account ---- */

struct account {
    struct pass *pass;
    struct job *job;       /* NULL: it failed before there was one */
    json_t *entry;         /* for the history; owned by the caller */
    const struct err *why; /* NULL: done */
};

/* A failure that repeats is one line of history, not thousands. */
static int put_history(json_t *body, const struct account *a, struct err *e)
{
    json_t *history = json_object_get(body, "history");
    json_t *last = json_array_get(history, 0);

    if (a->why && last && str_eq(json_str_or(last, "error", ""), a->why->msg))
        return json_put(last, "ended", json_deep_copy(json_object_get(a->entry, "ended")),
                        e);
    if (json_array_insert(history, 0, a->entry) < 0)
        return err_nomem(e);
    while (json_array_size(history) > MAX_HISTORY)
        json_array_remove(history, json_array_size(history) - 1);
    return 0;
}

static int edit_account(json_t *body, void *ctx, struct err *e)
{
    const struct account *a = ctx;
    uint64_t written = json_u64_or(a->entry, "written_bytes", 0);
    json_t *error = a->why ? json_pack("{s:s, s:s, s:I}", "message", a->why->msg, "kind",
                                       err_kind_name(a->why->kind), "time",
                                       (json_int_t)clock_real_s())
                           : json_null();
    enum sync_state now;

    if (json_put(body, "error", error, e) < 0 || put_history(body, a, e) < 0 ||
        sync_body_state(body, &now, e) < 0)
        return -1;
    if (a->why) {
        if (a->pass->needs_resync && now == SYNC_ACTIVE)
            return json_put(body, "state",
                            json_string(sync_state_name(SYNC_NEEDS_RESYNC)), e);
        return 0;
    }
    return json_put(body, "job", json_null(), e) < 0 ||
                   json_put(body, "passes",
                            json_integer((json_int_t)json_u64_or(body, "passes", 0) + 1),
                            e) < 0 ||
                   json_put(body, "total_written_bytes",
                            json_integer(
                                (json_int_t)(json_u64_or(body, "total_written_bytes", 0) +
                                             written)),
                            e) < 0
               ? -1
               : 0;
}

/* What happened, as history keeps it: times are numbers there. */
static json_t *history_entry(struct pass *pass, struct job *job, const struct err *why,
                             struct err *e)
{
    int64_t now = clock_real_s();
    json_auto_t *moved = NULL, *started = NULL;
    json_int_t began = now;
    json_t *o;

    if (job && (job_value_get(job, "moved", &moved, e) < 0 ||
                job_value_get(job, "started", &started, e) < 0))
        return NULL;
    if (started)
        began = json_integer_value(started);
    o = json_pack("{s:I, s:I, s:s?, s:s?, s:I, s:I, s:I, s:I, s:s?, s:s?}", "started",
                  began, "ended", (json_int_t)now, "from",
                  json_str_or(pass->decided, "from", NULL), "to",
                  json_str_or(pass->decided, "to", NULL), "changed_bytes",
                  (json_int_t)json_u64_or(moved, "changed_bytes", 0), "data_bytes",
                  (json_int_t)json_u64_or(moved, "data_bytes", 0), "written_bytes",
                  (json_int_t)json_u64_or(moved, "written_bytes", 0), "seconds",
                  (json_int_t)(now - began), "job", job ? job_id(job) : NULL, "error",
                  why ? why->msg : NULL);
    if (!o)
        err_nomem(e);
    return o;
}

/* Notes the pass's end. Its own failure must not hide the pass's: then it is logged. */
static int account(struct pass *pass, struct job *job, const struct err *why,
                   json_t **ret_result, struct err *e)
{
    json_auto_t *entry = history_entry(pass, job, why, e);
    struct account a = {pass, job, entry, why};
    json_t *o;

    if (!entry || sync_edit(pass->sync, edit_account, &a, e) < 0)
        return -1;
    o = json_deep_copy(entry);
    if (sync_times_to_text(o, "started", e) < 0 ||
        sync_times_to_text(o, "ended", e) < 0 ||
        json_put(o, "sync", json_string(pass->sync->record.name), e) < 0 ||
        json_put(o, "state", json_string(sync_state_name(pass->sync->state)), e) < 0 ||
        json_put(o, "outcome", json_string(why ? "failed" : "synced"), e) < 0) {
        json_decref(o);
        return -1;
    }
    json_decref(*ret_result);
    *ret_result = o;
    return 0;
}

static int failed(struct pass *pass, struct job *job, json_t **ret_result, struct err *e)
{
    struct err lost = ERR_INIT;

    /* An interruption is nobody's fault: the next pass goes on. */
    if (e->kind != ERR_CANCELLED && account(pass, job, e, ret_result, &lost) < 0)
        log_warning("sync %s: %s", pass->sync->record.name, lost.msg);
    return -1;
}

/* ---- running a job ---- */

static int run_to_end(struct pass *pass, struct job *job, json_t **ret_result,
                      struct err *e)
{
    if (job_run(job, &sync_flow, pass, pass->base.cancel, e) < 0)
        return failed(pass, job, ret_result, e);
    return account(pass, job, NULL, ret_result, e);
}

static int start_job(struct pass *pass, struct job **ret, struct err *e)
{
    json_auto_t *params = json_pack("{s:s, s:O, s:s?}", "sync", pass->sync->record.name,
                                    "to", json_object_get(pass->decided, "to"), "from",
                                    json_str_or(pass->decided, "from", NULL));
    json_auto_t *now = json_integer((json_int_t)clock_real_s());
    auto_job struct job *job = NULL;

    if (!params || !now)
        return err_nomem(e);
    if (job_create(pass->sync->journal, KIND_SYNC, pass->sync->record.name, params, &job,
                   e) < 0 ||
        job_value_set(job, "pass", pass->decided, e) < 0 ||
        job_value_set(job, "started", now, e) < 0 ||
        sync_set(pass->sync, "job", json_string(job_id(job)), e) < 0)
        return -1;
    log_info("job %s: sync %s to %s", job_id(job), pass->sync->record.name,
             json_str_or(pass->decided, "to", "?"));
    *ret = take_ptr(job);
    return 0;
}

/* ---- an unfinished pass ---- */

enum old_job { OLD_NONE, OLD_FINISHED };

/* Its target is gone or damaged: another point may be better. */
static bool is_hopeless(const struct err *e)
{
    return e->kind == ERR_NOT_FOUND || e->kind == ERR_INPUT;
}

static int forget_job(struct pass *pass, struct job *job, struct err *e)
{
    return pass_abandon(pass, job, &sync_flow, e) < 0
               ? -1
               : sync_set(pass->sync, "job", json_null(), e);
}

/* Goes on with the job that the record names, or gives it up when its point is no more.
 * `newest` is the newest point, NULL: not known. */
static int finish_old(struct pass *pass, const char *newest, json_t **ret_result,
                      enum old_job *ret, struct err *e)
{
    auto_free char *id = NULL;
    auto_job struct job *job = NULL;
    auto_job_info struct job_info info = {0};
    json_t *decided = NULL;
    const char *to;
    bool better;

    *ret = OLD_NONE;
    if (str_set(&id, json_str_or(pass->sync->record.body, "job", NULL), e) < 0)
        return -1;
    if (!id)
        return 0;
    if (job_open(pass->sync->journal, id, &job, e) < 0)
        return e->kind == ERR_NOT_FOUND ? sync_set(pass->sync, "job", json_null(), e)
                                        : -1;
    if (journal_job(pass->sync->journal, id, &info, e) < 0 ||
        job_value_get(job, "pass", &decided, e) < 0)
        return -1;
    to = json_str_or(decided, "to", "");
    if (!decided || job_state(job) == JOB_UNDOING || job_state(job) == JOB_UNDONE ||
        (job_state(job) != JOB_DONE &&
         (json_bool_or(decided, "resync", false) !=
              json_bool_or(pass->sync->record.body, "resync", false) ||
          (is_hopeless(&info.error) && newest && !str_eq(newest, to))))) {
        json_decref(decided);
        return forget_job(pass, job, e);
    }
    if (pass_take(pass, decided, e) < 0)
        return -1;
    log_info("job %s: sync %s to %s goes on", id, pass->sync->record.name, to);
    better = newest && !str_eq(newest, to);
    if (run_to_end(pass, job, ret_result, e) == 0) {
        *ret = OLD_FINISHED;
        return 0;
    }
    if (!better || !is_hopeless(e))
        return -1;
    log_info("sync %s: that point is given up for a newer one", pass->sync->record.name);
    err_clear(e);
    return forget_job(pass, job, e);
}

/* ---- a new pass ---- */

static int edit_seen(json_t *body, void *ctx, struct err *e)
{
    const json_t *seen = ctx;

    return json_object_update(body, (json_t *)seen) < 0 ? err_nomem(e) : 0;
}

static int note_newest(struct sync *s, const char *point, int64_t time, struct err *e)
{
    json_auto_t *seen =
        json_pack("{s:s, s:I, s:I}", "newest", point, "newest_time", (json_int_t)time,
                  "newest_seen", (json_int_t)clock_real_s());

    return seen ? sync_edit(s, edit_seen, seen, e) : err_nomem(e);
}

/* The point to bring the replica to: `to`, else the newest. */
static int choose_target(struct pass *pass, const char *to, char **ret, struct err *e)
{
    struct sync *s = pass->sync;
    auto_free char *newest = NULL;
    int64_t time = 0;

    if (sync_newest(&s->params, pass->base.cancel, &newest, &time, e) < 0)
        return -1;
    if (!newest)
        return err_set(e, ERR_NOT_FOUND,
                       "%s has no recovery point of %s (any more): back it up",
                       s->params.repo, s->params.source);
    if (note_newest(s, newest, time, e) < 0)
        return -1;
    *ret = to ? str_dup(to, e) : take_ptr(newest);
    return *ret ? 0 : -1;
}

/* The exact text of a point of the sync's machine; another machine's is refused. */
static int exact_text(struct pass *pass, const char *wanted, int64_t time, char **ret,
                      struct err *e)
{
    struct repo_where where = sync_where(pass->sync);
    struct repo_name own = {0}, name = {0};
    int r = flow_repo_name(&where, pass->sync->params.source, &own, e);

    if (r == 0)
        r = flow_repo_name(&where, wanted, &name, e);
    if (r == 0 && (!str_eq(own.id, name.id) || !str_eq(own.ns, name.ns)))
        r = err_set(e, ERR_USAGE, "%s is no point of %s, which sync %s follows", wanted,
                    pass->sync->params.source, pass->sync->record.name);
    if (r == 0) {
        *ret = flow_point_text(&own, time, e);
        r = *ret ? 0 : -1;
    }
    repo_name_release(&own);
    repo_name_release(&name);
    return r;
}

/* *ret: the point's exact text; NULL when the replica holds it already. */
static int open_target(struct pass *pass, const char *wanted, char **ret, struct err *e)
{
    const json_t *body = pass->sync->record.body;
    int64_t held = json_integer_value(json_object_get(body, "time")), time;

    if (pass_open_point(pass, wanted, &pass->target, &pass->target_m, e) < 0)
        return -1;
    time = repo_point_time(pass->target);
    if (exact_text(pass, wanted, time, ret, e) < 0)
        return -1;
    if (time < held && !json_bool_or(body, "resync", false)) {
        free(take_ptr(*ret));
        return err_set(e, ERR_REQUIREMENT,
                       "the newest point, %s, is older than what the replica holds, %s: "
                       "newer ones were removed; wait for the next backup, or "
                       "`hotadd sync resync %s` to go back to it",
                       wanted, json_str_or(body, "point", "?"), pass->sync->record.name);
    }
    if (time == held && !json_bool_or(body, "resync", false) &&
        json_is_null(json_object_get(body, "dirty")))
        free(take_ptr(*ret));
    return 0;
}

/* The base must be there before a job is made of it. */
static int open_base(struct pass *pass, struct err *e)
{
    const json_t *body = pass->sync->record.body;
    const char *from = json_str_or(body, "point", NULL);

    if (!from || json_bool_or(body, "resync", false) ||
        pass_open_point(pass, from, &pass->held, &pass->held_m, e) == 0)
        return 0;
    if (e->kind != ERR_NOT_FOUND)
        return -1;
    pass->needs_resync = true;
    return err_set(e, ERR_REQUIREMENT,
                   "%s, which the replica holds, is gone from the repository, so what "
                   "differs cannot be told from the indexes: `hotadd sync resync %s` "
                   "compares the volumes instead",
                   from, pass->sync->record.name);
}

static int new_pass(struct pass *pass, const char *wanted, json_t **ret_result,
                    struct err *e)
{
    auto_job struct job *job = NULL;
    auto_free char *to = NULL;
    json_t *decided = NULL, *o;

    if (open_target(pass, wanted, &to, e) < 0)
        return failed(pass, NULL, ret_result, e);
    if (!to) {
        o = json_pack("{s:s, s:s, s:s, s:O}", "sync", pass->sync->record.name, "state",
                      sync_state_name(pass->sync->state), "outcome", "current", "to",
                      json_object_get(pass->sync->record.body, "point"));
        if (!o)
            return err_nomem(e);
        json_decref(*ret_result);
        *ret_result = o;
        return sync_set(pass->sync, "error", json_null(), e);
    }
    if (open_base(pass, e) < 0 || pass_decide(pass, to, &decided, e) < 0 ||
        pass_take(pass, decided, e) < 0 || start_job(pass, &job, e) < 0)
        return failed(pass, NULL, ret_result, e);
    return run_to_end(pass, job, ret_result, e);
}

/* ---- the whole ---- */

static int new_after(struct sync *s, const char *to, const struct flow_env *env,
                     json_t **ret_result, struct err *e)
{
    auto_pass struct pass pass = {0};
    auto_free char *wanted = NULL;

    if (pass_init(&pass, s, env, e) < 0 || choose_target(&pass, to, &wanted, e) < 0)
        return failed(&pass, NULL, ret_result, e);
    if (pass_sweep(&pass, NULL, e) < 0)
        return -1;
    return new_pass(&pass, wanted, ret_result, e);
}

int sync_pass(struct sync *s, const char *to, const struct flow_env *env,
              json_t **ret_result, struct err *e)
{
    auto_free char *newest = NULL;
    enum old_job old = OLD_NONE;
    struct err ignored = ERR_INIT;
    int64_t time;

    if (sync_reload(s, e) < 0)
        return -1;
    if (!json_is_null(json_object_get(s->record.body, "job"))) {
        auto_pass struct pass pass = {0};

        /* Only to know whether there is a better point; the old job needs no answer. */
        if (sync_newest(&s->params, env->cancel, &newest, &time, &ignored) < 0)
            log_debug("sync %s: %s", s->record.name, ignored.msg);
        if (pass_init(&pass, s, env, e) < 0)
            return failed(&pass, NULL, ret_result, e);
        if (finish_old(&pass, newest, ret_result, &old, e) < 0)
            return -1;
    }
    /* What the finished one brought is told, unless a newer pass has more to tell. */
    if (old == OLD_FINISHED && !to && newest &&
        str_eq(newest, json_str_or(s->record.body, "point", "")))
        return 0;
    return new_after(s, to, env, ret_result, e);
}

int sync_run(const char *name, const struct sync_run_how *how, const struct flow_env *env,
             json_t **ret_result, struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_sync struct sync *s = NULL;

    *ret_result = NULL;
    if (journal_open(env->journal_path, &journal, e) < 0 ||
        sync_open(journal, name, SYNC_CLAIM, &s, e) < 0 ||
        sync_allowed(name, s->state, SYNC_RUN, e) < 0)
        return -1;
    if (how && how->max_rate)
        s->params.max_rate = how->max_rate;
    return sync_pass(s, how ? how->to : NULL, env, ret_result, e);
}

static int edit_resync(json_t *body, void *ctx, struct err *e)
{
    enum sync_state now;

    if (sync_body_state(body, &now, e) < 0 ||
        sync_allowed(ctx, now, SYNC_RESYNC, e) < 0 ||
        json_put(body, "resync", json_true(), e) < 0)
        return -1;
    return json_put(body, "state", json_string(sync_state_name(SYNC_ACTIVE)), e);
}

int sync_resync(const char *name, const struct flow_env *env, json_t **ret_result,
                struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_sync struct sync *s = NULL;

    *ret_result = NULL;
    if (journal_open(env->journal_path, &journal, e) < 0 ||
        sync_open(journal, name, SYNC_CLAIM, &s, e) < 0 ||
        sync_edit(s, edit_resync, (void *)name, e) < 0)
        return -1;
    return sync_pass(s, NULL, env, ret_result, e);
}
