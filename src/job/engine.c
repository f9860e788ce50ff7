/* Running and undoing a job; see job.h.
 *
 * Each change of a step's state is one transaction. A crash inside a step leaves it
 * "running": the next run enters it again. A crash between a step and the note of its end
 * means the same, which is why every step may be entered again. A crash inside an undo
 * leaves the job "undoing" with the resources that are not gone. */
#include "job/job_private.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/rand.h"
#include "base/str.h"

#include <assert.h>

#define DEFAULT_ATTEMPTS  3
#define DEFAULT_WAIT_NS   (2 * NS_PER_S)
#define MAX_WAIT_NS       (60 * NS_PER_S)
#define MAX_LEFT_IN_ERROR 5

static int set_state(struct job *job, enum job_state state, const char *step,
                     struct err *e)
{
    if (db_run(job->journal, e,
               "UPDATE job SET state = ?, step = ?, owner_pid = ?, updated_s = ?"
               " WHERE seq = ?",
               "ssiii", job_state_name(state), step, (int64_t)getpid(), clock_real_s(),
               job->seq) < 0)
        return -1;
    job->state = state;
    return 0;
}

/* Stores the failure `why`; e is for the journal's own. */
static int store_error(struct job *job, enum job_state state, const char *step,
                       const struct err *why, struct err *e)
{
    int64_t now = clock_real_s();

    if (db_run(job->journal, e,
               "UPDATE job SET state = ?, step = ?, updated_s = ?, error_kind = ?,"
               " error_message = ?, error_aws_code = ?, error_request_id = ?,"
               " error_errno = ?, error_step = ?, error_s = ? WHERE seq = ?",
               "ssissssisii", job_state_name(state), step, now, err_kind_name(why->kind),
               why->msg, why->aws_code, why->request_id, (int64_t)why->sys_errno, step,
               now, job->seq) < 0)
        return -1;
    job->state = state;
    return 0;
}

/* ---- steps ---- */

static int store_steps(struct job *job, const struct job_step *steps, struct err *e)
{
    for (int64_t i = 0; steps[i].name; i++)
        if (db_run(job->journal, e,
                   "INSERT INTO step(job, position, name, state)"
                   " VALUES(?, ?, ?, 'pending')"
                   " ON CONFLICT(job, name) DO UPDATE SET position = excluded.position",
                   "iis", job->seq, i, steps[i].name) < 0)
            return -1;
    if (db_run(job->journal, e,
               "UPDATE job SET error_kind = NULL, error_message = NULL,"
               " error_aws_code = NULL, error_request_id = NULL, error_errno = NULL,"
               " error_step = NULL, error_s = NULL WHERE seq = ?",
               "i", job->seq) < 0)
        return -1;
    return set_state(job, JOB_RUNNING, NULL, e);
}

static int step_is_done(struct job *job, const char *name, bool *ret, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    int r;

    if (db_query(job->journal, &s, e,
                 "SELECT state = 'done' FROM step WHERE job = ? AND name = ?", "is",
                 job->seq, name) < 0)
        return -1;
    r = db_step(job->journal, s, e);
    if (r < 0)
        return -1;
    *ret = r > 0 && sqlite3_column_int(s, 0);
    return 0;
}

static int store_begin(struct job *job, const char *name, struct err *e)
{
    if (db_run(job->journal, e,
               "UPDATE step SET state = 'running', runs = runs + 1, started_s = ?,"
               " ended_s = 0 WHERE job = ? AND name = ?",
               "iis", clock_real_s(), job->seq, name) < 0)
        return -1;
    return set_state(job, JOB_RUNNING, name, e);
}

static int store_end(struct job *job, const char *name, struct err *e)
{
    return db_run(job->journal, e,
                  "UPDATE step SET state = 'done', ended_s = ? WHERE job = ?"
                  " AND name = ?",
                  "iis", clock_real_s(), job->seq, name) < 0
               ? -1
               : 0;
}

static int store_failure(struct job *job, const char *name, const struct err *why,
                         struct err *e)
{
    enum job_state state = why->kind == ERR_CANCELLED ? JOB_INTERRUPTED : JOB_FAILED;

    if (db_run(job->journal, e,
               "UPDATE step SET state = 'failed', ended_s = ? WHERE job = ?"
               " AND name = ? AND state = 'running'",
               "iis", clock_real_s(), job->seq, name) < 0)
        return -1;
    return store_error(job, state, name, why, e);
}

/* Notes why the run ends, which stays in `why` for the caller. */
static int end_failed(struct job *job, const char *name, struct err *why)
{
    struct err je;
    int r = -1;

    if (db_begin(job->journal, &je) == 0)
        r = db_end(job->journal, store_failure(job, name, why, &je), &je);
    if (r < 0) {
        job->state = why->kind == ERR_CANCELLED ? JOB_INTERRUPTED : JOB_FAILED;
        err_prefix(why, "(this failure could not be journaled: %.150s)", je.msg);
    } else if (why->kind == ERR_CANCELLED) {
        job_event(job, JOB_EVENT_WARNING, "interrupted");
    } else {
        job_event(job, JOB_EVENT_ERROR, "%s", why->msg);
    }
    return -1;
}

static int begin_step(struct job *job, const char *name, struct err *e)
{
    if (db_begin(job->journal, e) < 0)
        return -1;
    return db_end(job->journal, store_begin(job, name, e), e);
}

/* Waits before try number `tries` + 1: doubled each time, half of it by chance. */
static int wait_to_retry(struct job *job, const struct job_flow *flow, unsigned tries,
                         const struct err *why, struct err *e)
{
    uint64_t ns = flow->first_wait_ns ? flow->first_wait_ns : DEFAULT_WAIT_NS;

    for (unsigned i = 1; i < tries && ns < MAX_WAIT_NS; i++)
        ns *= 2;
    if (ns > MAX_WAIT_NS)
        ns = MAX_WAIT_NS;
    ns = ns / 2 + rand_below(ns / 2 + 1);
    job_event(job, JOB_EVENT_WARNING, "%s; trying again in %.1f s", why->msg,
              (double)ns / 1e9);
    return cancel_sleep_ns(job->cancel, ns, e);
}

static unsigned attempts_of(const struct job_flow *flow)
{
    return flow->attempts ? flow->attempts : DEFAULT_ATTEMPTS;
}

static int run_step(struct job *job, const struct job_flow *flow,
                    const struct job_step *step, void *ctx, struct err *e)
{
    for (unsigned tries = 1;; tries++) {
        struct err why = ERR_INIT;

        if (cancel_check(job->cancel, e) < 0 || begin_step(job, step->name, e) < 0)
            return -1;
        if (step->run(job, ctx, &why) == 0)
            return store_end(job, step->name, e);
        assert(why.kind != ERR_NONE);
        if (!why.retryable || tries >= attempts_of(flow) ||
            cancel_requested(job->cancel)) {
            *e = why;
            return -1;
        }
        if (wait_to_retry(job, flow, tries, &why, e) < 0)
            return -1;
    }
}

static int run_steps(struct job *job, const struct job_flow *flow, void *ctx,
                     struct err *e)
{
    for (const struct job_step *step = flow->steps; step->name; step++) {
        uint64_t start_ns = clock_mono_ns();
        bool done;

        if (step_is_done(job, step->name, &done, e) < 0)
            return -1;
        if (done)
            continue;
        job->step = step->name;
        if (run_step(job, flow, step, ctx, e) < 0)
            return end_failed(job, step->name, e);
        job_event(job, JOB_EVENT_INFO, "done in %.1f s",
                  (double)(clock_mono_ns() - start_ns) / 1e9);
        job->step = NULL;
    }
    return 0;
}

static int store_finished(struct job *job, enum job_state state, struct err *e)
{
    if (db_run(job->journal, e, "DELETE FROM slot WHERE job = ?", "i", job->seq) < 0)
        return -1;
    return set_state(job, state, NULL, e);
}

static int finish(struct job *job, enum job_state state, struct err *e)
{
    enum job_state before = job->state;
    int r;

    if (db_begin(job->journal, e) < 0)
        return -1;
    r = db_end(job->journal, store_finished(job, state, e), e);
    if (r < 0)
        job->state = before;
    return r;
}

static int check_flow(const struct job *job, const struct job_flow *flow, struct err *e)
{
    if (!str_eq(job->kind, flow->kind))
        return err_set(e, ERR_USAGE, "job %s is a %s, not a %s", job->id, job->kind,
                       flow->kind);
    return 0;
}

int job_run(struct job *job, const struct job_flow *flow, void *ctx,
            const struct cancel *cancel, struct err *e)
{
    int r;

    if (check_flow(job, flow, e) < 0)
        return -1;
    if (job->state == JOB_DONE)
        return 0;
    if (job->state == JOB_UNDONE)
        return err_set(e, ERR_USAGE, "job %s was undone: start a new one", job->id);
    if (job->state == JOB_UNDOING)
        return err_set(e, ERR_USAGE,
                       "job %s is half undone: finish that with `hotadd undo %s`",
                       job->id, job->id);
    if (db_begin(job->journal, e) < 0 ||
        db_end(job->journal, store_steps(job, flow->steps, e), e) < 0)
        return -1;
    job->cancel = cancel;
    r = run_steps(job, flow, ctx, e);
    job->cancel = NULL;
    job->step = NULL;
    return r < 0 ? -1 : finish(job, JOB_DONE, e);
}

/* ---- undo ---- */

static const struct job_resource_kind *kind_of(const struct job_flow *flow,
                                               const char *kind)
{
    for (const struct job_resource_kind *k = flow->resources; k && k->kind; k++)
        if (str_eq(k->kind, kind))
            return k;
    return NULL;
}

static int remove_one(struct job *job, const struct job_flow *flow, void *ctx,
                      const struct job_resource *r, struct err *e)
{
    const struct job_resource_kind *k = kind_of(flow, r->kind);

    if (!k)
        return err_set(e, ERR_UNSUPPORTED, "this hotadd knows no %s", r->kind);
    for (unsigned tries = 1;; tries++) {
        struct err why = ERR_INIT;

        if (cancel_check(job->cancel, e) < 0)
            return -1;
        if (k->remove(job, ctx, r, &why) == 0)
            return job_resource_gone(job, r->key, e);
        assert(why.kind != ERR_NONE);
        if (!why.retryable || tries >= attempts_of(flow)) {
            *e = why;
            return -1;
        }
        if (wait_to_retry(job, flow, tries, &why, e) < 0)
            return -1;
    }
}

/* What undo could not remove, told in one error. */
struct left {
    struct buf text;
    struct err first;
    size_t n;
};

static void left_add(struct job *job, struct left *left, const struct job_resource *r,
                     const struct err *why)
{
    if (left->n++ == 0)
        left->first = *why;
    if (left->n <= MAX_LEFT_IN_ERROR)
        buf_addf(&left->text, "; %s%s%s%s: %s", r->key, r->cloud_id ? " (" : "",
                 r->cloud_id ? r->cloud_id : "", r->cloud_id ? ")" : "", why->msg);
    job_event(job, JOB_EVENT_ERROR, "%s (%s) could not be removed: %s", r->key,
              r->cloud_id ? r->cloud_id : "no id", why->msg);
}

static int undo_all(struct job *job, const struct job_flow *flow, void *ctx,
                    const struct job_resources *v, struct left *left, struct err *e)
{
    for (size_t i = v->n; i-- > 0;) {
        const struct job_resource *r = &v->v[i];
        struct err why = ERR_INIT;

        if (remove_one(job, flow, ctx, r, &why) == 0) {
            job_event(job, JOB_EVENT_INFO, "%s%s%s is gone", r->key,
                      r->cloud_id ? " " : "", r->cloud_id ? r->cloud_id : "");
            continue;
        }
        if (why.kind == ERR_CANCELLED || cancel_requested(job->cancel)) {
            *e = why;
            return err_prefix(e, "undo of job %s, %zu resources left", job->id,
                              i + 1 + left->n);
        }
        left_add(job, left, r, &why);
    }
    return 0;
}

static int end_undo(struct job *job, struct left *left, struct err *e)
{
    struct err why = ERR_INIT, ignored;

    if (left->n == 0)
        return finish(job, JOB_UNDONE, e);
    err_set(&why, left->first.kind,
            "job %s: %zu resources are left%s: mend that, then "
            "`hotadd undo %s` again",
            job->id, left->n, buf_str(&left->text), job->id);
    why.sys_errno = left->first.sys_errno;
    memcpy(why.aws_code, left->first.aws_code, sizeof why.aws_code);
    memcpy(why.request_id, left->first.request_id, sizeof why.request_id);
    /* Each failure is an event already; this is the summary for `hotadd jobs`. */
    if (store_error(job, JOB_UNDOING, NULL, &why, &ignored) < 0)
        job->state = JOB_UNDOING;
    *e = why;
    return -1;
}

static int undo(struct job *job, const struct job_flow *flow, void *ctx, struct err *e)
{
    auto_job_resources struct job_resources v = {0};
    struct left left = {.text = BUF_INIT};
    int r;

    if (set_state(job, JOB_UNDOING, NULL, e) < 0 || job_resources(job, NULL, &v, e) < 0)
        return -1;
    r = undo_all(job, flow, ctx, &v, &left, e);
    if (r == 0)
        r = end_undo(job, &left, e);
    buf_release(&left.text);
    return r;
}

int job_undo(struct job *job, const struct job_flow *flow, void *ctx,
             const struct cancel *cancel, struct err *e)
{
    int r;

    if (check_flow(job, flow, e) < 0)
        return -1;
    if (job->state == JOB_UNDONE)
        return 0;
    job->cancel = cancel;
    r = undo(job, flow, ctx, e);
    job->cancel = NULL;
    return r;
}
