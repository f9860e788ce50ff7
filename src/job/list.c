/* Reading jobs for people: `hotadd jobs` and the monitor; see journal.h. */
#include "job/job_private.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"

#include <assert.h>

const char *const job_state_words[] = {
    [JOB_RUNNING] = "running",         [JOB_FAILED] = "failed",
    [JOB_INTERRUPTED] = "interrupted", [JOB_DONE] = "done",
    [JOB_UNDOING] = "undoing",         [JOB_UNDONE] = "undone",
    [JOB_UNDONE + 1] = NULL,
};
const char *const job_step_state_words[] = {
    [JOB_STEP_PENDING] = "pending", [JOB_STEP_RUNNING] = "running",
    [JOB_STEP_FAILED] = "failed",   [JOB_STEP_DONE] = "done",
    [JOB_STEP_DONE + 1] = NULL,
};
const char *const job_resource_state_words[] = {
    [JOB_RESOURCE_INTENDED] = "intended",
    [JOB_RESOURCE_MADE] = "made",
    [JOB_RESOURCE_GONE] = "gone",
    [JOB_RESOURCE_GONE + 1] = NULL,
};
const char *const job_event_level_words[] = {
    [JOB_EVENT_INFO] = "info",
    [JOB_EVENT_WARNING] = "warning",
    [JOB_EVENT_ERROR] = "error",
    [JOB_EVENT_ERROR + 1] = NULL,
};

const char *job_state_name(enum job_state s)
{
    assert(s <= JOB_UNDONE);
    return job_state_words[s];
}

const char *job_step_state_name(enum job_step_state s)
{
    assert(s <= JOB_STEP_DONE);
    return job_step_state_words[s];
}

const char *job_resource_state_name(enum job_resource_state s)
{
    assert(s <= JOB_RESOURCE_GONE);
    return job_resource_state_words[s];
}

const char *job_event_level_name(enum job_event_level l)
{
    assert(l <= JOB_EVENT_ERROR);
    return job_event_level_words[l];
}

void job_info_release(struct job_info *i)
{
    free(i->kind);
    free(i->title);
    json_decref(i->params);
    free(i->step);
    vec_foreach (s, &i->steps)
        free(s->name);
    vec_release(&i->steps);
    vec_release(&i->disks);
    job_resources_release(&i->resources);
    free(i->error_step);
    *i = (struct job_info){0};
}

void job_infos_release(struct job_infos *v)
{
    vec_foreach (i, v)
        job_info_release(i);
    vec_release(v);
}

void job_events_release(struct job_events *v)
{
    vec_foreach (ev, v) {
        free(ev->step);
        free(ev->message);
    }
    vec_release(v);
}

static enum err_kind kind_by_name(const char *name)
{
    for (int k = ERR_NONE; k <= ERR_CANCELLED; k++)
        if (str_eq(name, err_kind_name((enum err_kind)k)))
            return (enum err_kind)k;
    return ERR_FAILED;
}

#define JOB_COLUMNS                                                                      \
    "id, kind, title, params, state, step, owner_pid, created_s, updated_s, error_kind," \
    " error_message, error_aws_code, error_request_id, error_errno, error_step, error_s"

static int read_error(struct journal *j, sqlite3_stmt *s, struct job_info *i,
                      struct err *e)
{
    const char *kind = (const char *)sqlite3_column_text(s, 9);

    if (!kind)
        return 0;
    i->error.kind = kind_by_name(kind);
    i->error.sys_errno = sqlite3_column_int(s, 13);
    i->error_s = sqlite3_column_int64(s, 15);
    if (db_text_into(j, s, 10, i->error.msg, sizeof i->error.msg, e) < 0 ||
        db_text_into(j, s, 11, i->error.aws_code, sizeof i->error.aws_code, e) < 0 ||
        db_text_into(j, s, 12, i->error.request_id, sizeof i->error.request_id, e) < 0)
        return -1;
    return db_text(j, s, 14, &i->error_step, e);
}

static int read_job(struct journal *j, sqlite3_stmt *s, int64_t seq, struct job_info *i,
                    struct err *e)
{
    int state;

    if (db_text_into(j, s, 0, i->id, sizeof i->id, e) < 0 ||
        db_text(j, s, 1, &i->kind, e) < 0 || db_text(j, s, 2, &i->title, e) < 0 ||
        db_object(j, s, 3, &i->params, e) < 0 ||
        db_word(j, s, 4, job_state_words, &state, e) < 0 ||
        db_text(j, s, 5, &i->step, e) < 0)
        return -1;
    i->state = (enum job_state)state;
    if (lock_held(j->lock_fd, LOCK_BYTE_JOB(seq)))
        i->owner_pid = (pid_t)sqlite3_column_int64(s, 6);
    else if (i->state == JOB_RUNNING)
        i->state = JOB_INTERRUPTED;
    i->created_s = sqlite3_column_int64(s, 7);
    i->updated_s = sqlite3_column_int64(s, 8);
    return read_error(j, s, i, e);
}

static int read_steps(struct journal *j, int64_t seq, struct job_info *i, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    int r;

    if (db_query(j, &s, e,
                 "SELECT name, state, runs, started_s, ended_s FROM step WHERE job = ?"
                 " ORDER BY position",
                 "i", seq) < 0)
        return -1;
    while ((r = db_step(j, s, e)) > 0) {
        struct job_step_info st = {0};
        int state;

        if (db_word(j, s, 1, job_step_state_words, &state, e) < 0 ||
            db_text(j, s, 0, &st.name, e) < 0)
            return -1;
        st.state = (enum job_step_state)state;
        st.runs = (unsigned)sqlite3_column_int(s, 2);
        st.started_s = sqlite3_column_int64(s, 3);
        st.ended_s = sqlite3_column_int64(s, 4);
        if (vec_push(&i->steps, st, e) < 0) {
            free(st.name);
            return -1;
        }
    }
    return r;
}

static int read_resources(struct journal *j, int64_t seq, struct job_info *i,
                          struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;

    if (db_query(j, &s, e,
                 "SELECT " RESOURCE_COLUMNS " FROM resource WHERE job = ? ORDER BY ord",
                 "i", seq) < 0)
        return -1;
    return resources_read(j, s, &i->resources, e);
}

static int read_disks(struct journal *j, int64_t seq, struct job_info *i, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    int r;

    if (db_query(j, &s, e,
                 "SELECT disk, size_bytes, (SELECT sum(len) FROM progress p"
                 " WHERE p.job = d.job AND p.disk = d.disk) FROM disk d WHERE job = ?"
                 " ORDER BY disk",
                 "i", seq) < 0)
        return -1;
    while ((r = db_step(j, s, e)) > 0) {
        const struct job_disk_info d = {.disk = (uint32_t)db_u64(s, 0),
                                        .size_bytes = db_u64(s, 1),
                                        .done_bytes = db_u64(s, 2)};

        if (vec_push(&i->disks, d, e) < 0)
            return -1;
        i->done_bytes += d.done_bytes;
        i->total_bytes += d.size_bytes;
    }
    return r;
}

static int read_info(struct journal *j, int64_t seq, struct job_info *ret, struct err *e)
{
    auto_job_info struct job_info i = {0};
    auto_stmt sqlite3_stmt *s = NULL;
    int r;

    if (db_query(j, &s, e, "SELECT " JOB_COLUMNS " FROM job WHERE seq = ?", "i", seq) < 0)
        return -1;
    r = db_step(j, s, e);
    if (r < 0)
        return -1;
    if (r == 0)
        return err_set(e, ERR_NOT_FOUND, "the job was just removed from journal %s",
                       j->path);
    if (read_job(j, s, seq, &i, e) < 0 || read_steps(j, seq, &i, e) < 0 ||
        read_resources(j, seq, &i, e) < 0 || read_disks(j, seq, &i, e) < 0)
        return -1;
    *ret = i;
    i = (struct job_info){0};
    return 0;
}

/* The jobs whose seq the statement gives. */
static int read_all(struct journal *j, sqlite3_stmt *s, struct job_infos *v,
                    struct err *e)
{
    int r;

    while ((r = db_step(j, s, e)) > 0) {
        struct job_info i;

        if (read_info(j, sqlite3_column_int64(s, 0), &i, e) < 0)
            return -1;
        if (vec_push(v, i, e) < 0) {
            job_info_release(&i);
            return -1;
        }
    }
    return r;
}

static int read_since(struct journal *j, int64_t since_s, struct job_infos *v,
                      uint64_t *all, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL, *n = NULL;

    if (db_query(j, &n, e, "SELECT count(*) FROM job", "") < 0 || db_step(j, n, e) < 0)
        return -1;
    *all = db_u64(n, 0);
    if (db_query(j, &s, e,
                 "SELECT seq FROM job WHERE state NOT IN ('done', 'undone')"
                 " OR updated_s >= ? ORDER BY seq",
                 "i", since_s) < 0)
        return -1;
    return read_all(j, s, v, e);
}

int journal_jobs_since(struct journal *j, int64_t since_s, struct job_infos *ret,
                       uint64_t *ret_all, struct err *e)
{
    auto_job_infos struct job_infos v = {0};
    uint64_t all = 0;

    /* One read transaction: the picture of one moment. */
    if (db_exec(j, "BEGIN", e) < 0)
        return -1;
    if (db_end(j, read_since(j, since_s, &v, &all, e), e) < 0)
        return -1;
    *ret = v;
    *ret_all = all;
    v = (struct job_infos){0};
    return 0;
}

int journal_jobs(struct journal *j, struct job_infos *ret, struct err *e)
{
    uint64_t all;

    return journal_jobs_since(j, INT64_MIN, ret, &all, e);
}

int journal_job(struct journal *j, const char *id, struct job_info *ret, struct err *e)
{
    int64_t seq;
    int r;

    if (db_exec(j, "BEGIN", e) < 0)
        return -1;
    r = job_seq(j, id, &seq, e);
    if (r == 0)
        r = read_info(j, seq, ret, e);
    return db_end(j, r, e);
}

static int read_event(struct journal *j, sqlite3_stmt *s, struct job_events *v,
                      struct err *e)
{
    struct job_event_info ev = {.time_s = sqlite3_column_int64(s, 0),
                                .seq = db_u64(s, 4)};
    int level;

    if (db_word(j, s, 1, job_event_level_words, &level, e) < 0 ||
        db_text_into(j, s, 5, ev.job, sizeof ev.job, e) < 0)
        return -1;
    ev.level = (enum job_event_level)level;
    if (db_text(j, s, 2, &ev.step, e) < 0 || db_text(j, s, 3, &ev.message, e) < 0 ||
        vec_push(v, ev, e) < 0) {
        free(ev.step);
        free(ev.message);
        return -1;
    }
    return 0;
}

static int read_events(struct journal *j, sqlite3_stmt *s, struct job_events *ret,
                       struct err *e)
{
    auto_job_events struct job_events v = {0};
    int r;

    while ((r = db_step(j, s, e)) > 0)
        if (read_event(j, s, &v, e) < 0)
            return -1;
    if (r < 0)
        return -1;
    *ret = v;
    v = (struct job_events){0};
    return 0;
}

#define EVENT_COLUMNS "ev.time_s, ev.level, ev.step, ev.message, ev.seq, job.id"
#define EVENT_TABLES  "event ev JOIN job ON job.seq = ev.job"

int journal_events(struct journal *j, const char *id, size_t max, struct job_events *ret,
                   struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    int64_t seq;

    if (job_seq(j, id, &seq, e) < 0 ||
        db_query(j, &s, e,
                 "SELECT " EVENT_COLUMNS " FROM " EVENT_TABLES " WHERE ev.seq IN"
                 " (SELECT seq FROM event WHERE job = ? ORDER BY seq DESC LIMIT ?)"
                 " ORDER BY ev.seq",
                 "iI", seq, (uint64_t)max) < 0)
        return -1;
    return read_events(j, s, ret, e);
}

int journal_events_after(struct journal *j, uint64_t after, size_t max,
                         struct job_events *ret, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;

    if (db_query(j, &s, e,
                 "SELECT " EVENT_COLUMNS " FROM " EVENT_TABLES
                 " WHERE ev.seq > ? ORDER BY ev.seq LIMIT ?",
                 "II", after, (uint64_t)max) < 0)
        return -1;
    return read_events(j, s, ret, e);
}

int journal_last_event(struct journal *j, uint64_t *ret, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    int r;

    /* AUTOINCREMENT keeps the number of events that were removed with their job. */
    if (db_query(j, &s, e, "SELECT seq FROM sqlite_sequence WHERE name = 'event'", "") <
        0)
        return -1;
    r = db_step(j, s, e);
    if (r < 0)
        return -1;
    *ret = r ? db_u64(s, 0) : 0;
    return 0;
}

int journal_version(struct journal *j, int64_t *ret, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;

    if (db_query(j, &s, e, "PRAGMA data_version", "") < 0 || db_step(j, s, e) < 0)
        return -1;
    *ret = sqlite3_column_int64(s, 0);
    return 0;
}

int journal_value(struct journal *j, const char *id, const char *name, json_t **ret,
                  struct err *e)
{
    int64_t seq;

    return job_seq(j, id, &seq, e) < 0 ? -1 : value_read(j, seq, name, ret, e);
}

/* ---- JSON ---- */

static json_t *time_json(int64_t s)
{
    char text[CLOCK_ISO_LEN];

    return s ? json_string(clock_iso8601(text, s)) : json_null();
}

static int add_steps(json_t *o, const struct job_info *i, struct err *e)
{
    json_auto_t *steps = json_array();

    vec_foreach (s, &i->steps)
        if (json_add(steps,
                     json_pack("{s:s, s:s, s:I, s:o, s:o}", "name", s->name, "state",
                               job_step_state_name(s->state), "runs", (json_int_t)s->runs,
                               "started", time_json(s->started_s), "ended",
                               time_json(s->ended_s)),
                     e) < 0)
            return -1;
    return json_put(o, "steps", json_incref(steps), e);
}

static int add_resources(json_t *o, const struct job_info *i, struct err *e)
{
    json_auto_t *resources = json_array();

    vec_foreach (r, &i->resources)
        if (json_add(resources,
                     json_pack("{s:s, s:s, s:s, s:s?, s:O}", "key", r->key, "kind",
                               r->kind, "state", job_resource_state_name(r->state), "id",
                               r->cloud_id, "attributes", r->attrs),
                     e) < 0)
            return -1;
    return json_put(o, "resources", json_incref(resources), e);
}

static int add_disks(json_t *o, const struct job_info *i, struct err *e)
{
    json_auto_t *disks = json_array();

    vec_foreach (d, &i->disks)
        if (json_add(disks,
                     json_pack("{s:I, s:I, s:I}", "disk", (json_int_t)d->disk,
                               "done_bytes", (json_int_t)d->done_bytes, "total_bytes",
                               (json_int_t)d->size_bytes),
                     e) < 0)
            return -1;
    return json_put(o, "disks", json_incref(disks), e);
}

static json_t *error_json(const struct job_info *i)
{
    if (i->error.kind == ERR_NONE)
        return json_null();
    return json_pack("{s:s, s:o, s:s, s:s, s:s?, s:o}", "kind",
                     err_kind_name(i->error.kind), "message", json_any_text(i->error.msg),
                     "aws_code", i->error.aws_code, "request_id", i->error.request_id,
                     "step", i->error_step, "time", time_json(i->error_s));
}

json_t *job_info_json(const struct job_info *i, struct err *e)
{
    json_auto_t *o =
        json_pack("{s:s, s:s, s:o, s:s, s:s?, s:o, s:o, s:o, s:I, s:I, s:O, s:o}", "id",
                  i->id, "kind", i->kind, "title", json_any_text(i->title), "state",
                  job_state_name(i->state), "step", i->step, "created",
                  time_json(i->created_s), "updated", time_json(i->updated_s), "pid",
                  i->owner_pid ? json_integer(i->owner_pid) : json_null(), "done_bytes",
                  (json_int_t)i->done_bytes, "total_bytes", (json_int_t)i->total_bytes,
                  "params", i->params, "error", error_json(i));

    if (!o) {
        err_nomem(e);
        return NULL;
    }
    if (add_steps(o, i, e) < 0 || add_disks(o, i, e) < 0 || add_resources(o, i, e) < 0)
        return NULL;
    return json_incref(o);
}

/* ---- removal ---- */

static int forget(struct journal *j, const char *id, struct err *e)
{
    auto_job_info struct job_info i = {0};
    int64_t seq;

    if (job_seq(j, id, &seq, e) < 0 || read_info(j, seq, &i, e) < 0)
        return -1;
    if (i.owner_pid)
        return err_set(e, ERR_BUSY, "job %s: process %ld works on it", id,
                       (long)i.owner_pid);
    if (i.state != JOB_DONE && i.state != JOB_UNDONE)
        return err_set(e, ERR_BUSY,
                       "job %s is %s: `hotadd resume %s` or `hotadd undo %s` first", id,
                       job_state_name(i.state), id, id);
    return db_run(j, e, "DELETE FROM job WHERE seq = ?", "i", seq) < 0 ? -1 : 0;
}

int journal_forget(struct journal *j, const char *id, struct err *e)
{
    if (db_begin(j, e) < 0)
        return -1;
    return db_end(j, forget(j, id, e), e);
}
