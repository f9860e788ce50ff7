/* Making, claiming and closing jobs, their values and events; see job.h.
 *
 * A job is claimed while its byte of the lock file is locked. The row says "running" and
 * names the process, for people; when the lock is free the process is dead, whatever the
 * row says. A crash between the insertion of a job and its first step leaves a job
 * without steps, which can be run or undone. */
#include "job/job_private.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/str.h"

#include <assert.h>
#include <time.h>

#define MAX_MESSAGE 2000

static int make_id(char out[JOB_ID_LEN], struct err *e)
{
    time_t now = (time_t)clock_real_s();
    struct tm tm;
    char day[9], tail[5];

    if (!gmtime_r(&now, &tm) || strftime(day, sizeof day, "%Y%m%d", &tm) == 0)
        return err_set(e, ERR_FAILED, "the system's clock shows no date");
    snprintf(out, JOB_ID_LEN, "j-%s-%s", day, rand_hex(tail, 4));
    return 0;
}

/* Inserts under an id nobody has; 65,536 a day are possible. */
static int insert(struct job *job, const char *params, struct err *e)
{
    for (int tries = 0; tries < 100; tries++) {
        int64_t now = clock_real_s();
        int n;

        if (make_id(job->id, e) < 0)
            return -1;
        n = db_run(job->journal, e,
                   "INSERT INTO job(id, kind, title, params, state, owner_pid,"
                   " created_s, updated_s) VALUES(?, ?, ?, ?, 'running', ?, ?, ?)"
                   " ON CONFLICT(id) DO NOTHING",
                   "ssssiii", job->id, job->kind, job->title, params, (int64_t)getpid(),
                   now, now);
        if (n < 0)
            return -1;
        if (n == 1) {
            job->seq = sqlite3_last_insert_rowid(job->journal->db);
            return 0;
        }
    }
    return err_set(e, ERR_FAILED, "journal %s: too many jobs today", job->journal->path);
}

static int claim(struct job *job, struct err *e)
{
    int r;

    if (lock_open(job->journal->path, &job->lock_fd, e) < 0)
        return -1;
    r = lock_try(job->lock_fd, LOCK_BYTE_JOB(job->seq), e);
    if (r == 0)
        err_set(e, ERR_BUSY, "job %s: another process works on it", job->id);
    return r > 0 ? 0 : -1;
}

static struct job *job_new(struct journal *j, struct err *e)
{
    struct job *job = mem_zalloc(1, sizeof *job, e);

    if (job) {
        job->journal = j;
        job->lock_fd = -1;
        job->claimed_ns = clock_mono_ns();
    }
    return job;
}

static int create_row(struct job *job, const char *params, struct err *e)
{
    if (db_begin(job->journal, e) < 0)
        return -1;
    /* Claimed before anybody can see it. */
    return db_end(job->journal, insert(job, params, e) < 0 || claim(job, e) < 0 ? -1 : 0,
                  e);
}

int job_create(struct journal *j, const char *kind, const char *title,
               const json_t *params, struct job **ret, struct err *e)
{
    auto_job struct job *job = job_new(j, e);
    auto_free char *text = NULL;

    if (!job)
        return -1;
    assert(json_is_object(params));
    if (str_set(&job->kind, kind, e) < 0 || str_set(&job->title, title, e) < 0 ||
        json_text(params, &text, e) < 0)
        return -1;
    job->params = json_deep_copy(params);
    if (!job->params)
        return err_nomem(e);
    if (create_row(job, text, e) < 0)
        return -1;
    job->state = JOB_RUNNING;
    *ret = take_ptr(job);
    return 0;
}

int job_seq(struct journal *j, const char *id, int64_t *ret, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    int r;

    if (db_query(j, &s, e, "SELECT seq FROM job WHERE id = ?", "s", id) < 0)
        return -1;
    r = db_step(j, s, e);
    if (r < 0)
        return -1;
    if (r == 0)
        return err_set(e, ERR_NOT_FOUND,
                       "job %s is not in journal %s (`hotadd jobs` "
                       "lists those that are)",
                       id, j->path);
    *ret = sqlite3_column_int64(s, 0);
    return 0;
}

static int read_row(struct job *job, int64_t *ret_owner, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    struct journal *j = job->journal;
    int r, state;

    if (db_query(j, &s, e,
                 "SELECT id, kind, title, params, state, owner_pid FROM job"
                 " WHERE seq = ?",
                 "i", job->seq) < 0)
        return -1;
    r = db_step(j, s, e);
    if (r < 0)
        return -1;
    if (r == 0)
        return err_set(e, ERR_NOT_FOUND, "job %s was removed from the journal", job->id);
    if (db_text_into(j, s, 0, job->id, sizeof job->id, e) < 0 ||
        db_text(j, s, 1, &job->kind, e) < 0 || db_text(j, s, 2, &job->title, e) < 0 ||
        db_object(j, s, 3, &job->params, e) < 0 ||
        db_word(j, s, 4, job_state_words, &state, e) < 0)
        return -1;
    job->state = (enum job_state)state;
    *ret_owner = sqlite3_column_int64(s, 5);
    return 0;
}

static int owner_of(struct journal *j, int64_t seq, int64_t *ret, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;

    if (db_query(j, &s, e, "SELECT owner_pid FROM job WHERE seq = ?", "i", seq) < 0 ||
        db_step(j, s, e) < 0)
        return -1;
    *ret = sqlite3_column_int64(s, 0);
    return 0;
}

/* Once the claim is held: takes over what the dead owner left. */
static int take_over(struct job *job, struct err *e)
{
    int64_t owner;

    if (read_row(job, &owner, e) < 0)
        return -1;
    if (job->state == JOB_RUNNING)
        job->state = JOB_INTERRUPTED;
    return db_run(job->journal, e,
                  "UPDATE job SET owner_pid = ?, state = ? WHERE seq = ?", "isi",
                  (int64_t)getpid(), job_state_name(job->state), job->seq) < 0
               ? -1
               : 0;
}

int job_open(struct journal *j, const char *id, struct job **ret, struct err *e)
{
    auto_job struct job *job = job_new(j, e);
    int64_t owner = 0;

    if (!job || job_seq(j, id, &job->seq, e) < 0)
        return -1;
    snprintf(job->id, sizeof job->id, "%s", id);
    if (claim(job, e) < 0) {
        struct err ignored;

        if (e->kind == ERR_BUSY && owner_of(j, job->seq, &owner, &ignored) == 0 && owner)
            err_set(e, ERR_BUSY, "job %s: process %lld works on it", job->id,
                    (long long)owner);
        return -1;
    }
    /* The row is read only now: until the claim its owner could have changed it. */
    if (db_begin(j, e) < 0 || db_end(j, take_over(job, e), e) < 0)
        return -1;
    *ret = take_ptr(job);
    return 0;
}

void job_close(struct job *job)
{
    if (!job)
        return;
    if (job->lock_fd >= 0)
        close(job->lock_fd);
    json_decref(job->params);
    free(job->kind);
    free(job->title);
    free(job);
}

const char *job_id(const struct job *job)
{
    return job->id;
}

const char *job_kind(const struct job *job)
{
    return job->kind;
}

const char *job_title(const struct job *job)
{
    return job->title;
}

const json_t *job_params(const struct job *job)
{
    return job->params;
}

enum job_state job_state(const struct job *job)
{
    return job->state;
}

const struct cancel *job_cancel(const struct job *job)
{
    return job->cancel;
}

uint64_t job_claimed_ns(const struct job *job)
{
    return job->claimed_ns;
}

/* ---- values ---- */

int job_value_set(struct job *job, const char *name, const json_t *value, struct err *e)
{
    auto_free char *text = NULL;

    if (json_text(value, &text, e) < 0)
        return -1;
    return db_run(job->journal, e,
                  "INSERT INTO value(job, name, json) VALUES(?, ?, ?)"
                  " ON CONFLICT(job, name) DO UPDATE SET json = excluded.json",
                  "iss", job->seq, name, text) < 0
               ? -1
               : 0;
}

int value_read(struct journal *j, int64_t seq, const char *name, json_t **ret,
               struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    int r;

    if (db_query(j, &s, e, "SELECT json FROM value WHERE job = ? AND name = ?", "is", seq,
                 name) < 0)
        return -1;
    r = db_step(j, s, e);
    if (r < 0)
        return -1;
    if (r == 0) {
        *ret = NULL;
        return 0;
    }
    return db_object(j, s, 0, ret, e);
}

int job_value_get(struct job *job, const char *name, json_t **ret, struct err *e)
{
    return value_read(job->journal, job->seq, name, ret, e);
}

int job_value_once(struct job *job, const char *name, const json_t *proposal,
                   json_t **ret, struct err *e)
{
    auto_free char *text = NULL;

    /* The claim keeps other processes out: no transaction around the two. */
    if (json_text(proposal, &text, e) < 0 ||
        db_run(job->journal, e,
               "INSERT INTO value(job, name, json) VALUES(?, ?, ?)"
               " ON CONFLICT(job, name) DO NOTHING",
               "iss", job->seq, name, text) < 0)
        return -1;
    return job_value_get(job, name, ret, e);
}

/* ---- events ---- */

void job_event(struct job *job, enum job_event_level level, const char *fmt, ...)
{
    char msg[MAX_MESSAGE];
    struct err e;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    log_line(level == JOB_EVENT_ERROR     ? LOG_ERROR
             : level == JOB_EVENT_WARNING ? LOG_WARNING
                                          : LOG_INFO,
             "%s%s%s: %s", job->id, job->step ? ": " : "", job->step ? job->step : "",
             msg);
    if (db_run(job->journal, &e,
               "INSERT INTO event(job, time_s, level, step, message)"
               " VALUES(?, ?, ?, ?, ?)",
               "iisss", job->seq, clock_real_s(), job_event_level_name(level), job->step,
               msg) < 0)
        log_warning("%s: an event could not be journaled: %s", job->id, e.msg);
}
