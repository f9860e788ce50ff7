/* What jobs make in the cloud; see job.h. Intentions are durable before the API call
 * they announce: a crash leaves at worst one that never happened, which undo and resume
 * look up by its token. */
#include "job/job_private.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/rand.h"
#include "base/str.h"

void job_resource_release(struct job_resource *r)
{
    free(r->key);
    free(r->kind);
    free(r->cloud_id);
    json_decref(r->attrs);
    *r = (struct job_resource){0};
}

void job_resources_release(struct job_resources *v)
{
    vec_foreach (r, v)
        job_resource_release(r);
    vec_release(v);
}

int resource_read(struct journal *j, sqlite3_stmt *s, struct job_resource *ret,
                  struct err *e)
{
    struct job_resource r = {0};
    int state;

    if (db_text(j, s, 0, &r.key, e) < 0 || db_text(j, s, 1, &r.kind, e) < 0 ||
        db_word(j, s, 2, job_resource_state_words, &state, e) < 0 ||
        db_text_into(j, s, 3, r.token, sizeof r.token, e) < 0 ||
        db_text(j, s, 4, &r.cloud_id, e) < 0 || db_object(j, s, 5, &r.attrs, e) < 0) {
        job_resource_release(&r);
        return -1;
    }
    r.state = (enum job_resource_state)state;
    r.order = db_u64(s, 6);
    *ret = r;
    return 0;
}

int resources_read(struct journal *j, sqlite3_stmt *s, struct job_resources *ret,
                   struct err *e)
{
    auto_job_resources struct job_resources v = {0};
    int r;

    while ((r = db_step(j, s, e)) > 0) {
        struct job_resource one;

        if (resource_read(j, s, &one, e) < 0)
            return -1;
        if (vec_push(&v, one, e) < 0) {
            job_resource_release(&one);
            return -1;
        }
    }
    if (r < 0)
        return -1;
    *ret = v;
    v = (struct job_resources){0};
    return 0;
}

/* The row of a key that counts: the one not gone, else the last that went.
 * 1 found, 0 none, -1. */
static int find(struct job *job, const char *key, struct job_resource *ret, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    int r;

    if (db_query(job->journal, &s, e,
                 "SELECT " RESOURCE_COLUMNS " FROM resource WHERE job = ? AND key = ?"
                 " ORDER BY ord DESC LIMIT 1",
                 "is", job->seq, key) < 0)
        return -1;
    r = db_step(job->journal, s, e);
    if (r > 0 && resource_read(job->journal, s, ret, e) < 0)
        return -1;
    return r;
}

int job_resource_get(struct job *job, const char *key, struct job_resource *ret,
                     struct err *e)
{
    int r = find(job, key, ret, e);

    if (r == 0)
        return err_set(e, ERR_NOT_FOUND, "job %s has no resource %s", job->id, key);
    return r < 0 ? -1 : 0;
}

static int insert(struct job *job, const char *kind, const char *key, const char *attrs,
                  struct err *e)
{
    char token[JOB_TOKEN_LEN], tail[33];

    snprintf(token, sizeof token, "hotadd-%s-%s", job->id, rand_hex(tail, 32));
    return db_run(job->journal, e,
                  "INSERT INTO resource(job, key, kind, state, token, attrs, changed_s)"
                  " VALUES(?, ?, ?, 'intended', ?, ?, ?)",
                  "issssi", job->seq, key, kind, token, attrs, clock_real_s()) < 0
               ? -1
               : 0;
}

int job_resource_intend(struct job *job, const char *kind, const char *key,
                        const json_t *attrs, struct job_resource *ret, struct err *e)
{
    auto_job_resource struct job_resource old = {0};
    auto_free char *text = NULL;
    int r = find(job, key, &old, e);

    if (r < 0)
        return -1;
    if (r > 0 && old.state != JOB_RESOURCE_GONE) {
        if (!str_eq(old.kind, kind))
            return err_set(e, ERR_EXISTS, "job %s: %s is a %s already, not a %s", job->id,
                           key, old.kind, kind);
        *ret = old;
        old = (struct job_resource){0};
        return 0;
    }
    if (attrs ? json_text(attrs, &text, e) < 0 : str_set(&text, "{}", e) < 0)
        return -1;
    if (insert(job, kind, key, text, e) < 0)
        return -1;
    return job_resource_get(job, key, ret, e);
}

static int store_made(struct job *job, const struct job_resource *r, const char *cloud_id,
                      struct err *e)
{
    auto_free char *text = NULL;

    if (json_text(r->attrs, &text, e) < 0)
        return -1;
    return db_run(job->journal, e,
                  "UPDATE resource SET state = 'made', cloud_id = ?, attrs = ?,"
                  " changed_s = ? WHERE ord = ?",
                  "ssiI", cloud_id, text, clock_real_s(), r->order) < 0
               ? -1
               : 0;
}

int job_resource_made(struct job *job, const char *key, const char *cloud_id,
                      const json_t *attrs, struct err *e)
{
    auto_job_resource struct job_resource r = {0};

    if (job_resource_get(job, key, &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_GONE)
        return err_set(e, ERR_FAILED,
                       "job %s: %s is gone, and cannot be made again "
                       "without a new intention",
                       job->id, key);
    if (r.cloud_id && !str_eq(r.cloud_id, cloud_id))
        return err_set(e, ERR_EXISTS, "job %s: %s is %s already, not %s", job->id, key,
                       r.cloud_id, cloud_id);
    if (attrs && json_object_update(r.attrs, (json_t *)attrs) < 0)
        return err_nomem(e);
    return store_made(job, &r, cloud_id, e);
}

int job_resource_gone(struct job *job, const char *key, struct err *e)
{
    auto_job_resource struct job_resource r = {0};

    if (job_resource_get(job, key, &r, e) < 0)
        return -1;
    return db_run(job->journal, e,
                  "UPDATE resource SET state = 'gone', changed_s = ? WHERE ord = ?", "iI",
                  clock_real_s(), r.order) < 0
               ? -1
               : 0;
}

int job_resources(struct job *job, const char *kind, struct job_resources *ret,
                  struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;

    if (db_query(job->journal, &s, e,
                 "SELECT " RESOURCE_COLUMNS " FROM resource"
                 " WHERE job = ?1 AND state <> 'gone' AND (?2 IS NULL OR kind = ?2)"
                 " ORDER BY ord",
                 "is", job->seq, kind) < 0)
        return -1;
    return resources_read(job->journal, s, ret, e);
}

int journal_resource_owner(struct journal *j, const char *cloud_id,
                           char ret_id[JOB_ID_LEN], struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    int r;

    if (db_query(j, &s, e,
                 "SELECT * FROM (SELECT job.id FROM resource"
                 " JOIN job ON job.seq = resource.job"
                 " WHERE cloud_id = ?1 AND resource.state <> 'gone'"
                 " ORDER BY ord DESC LIMIT 1)"
                 " UNION ALL SELECT substr(kind, 1, 19) FROM record_resource"
                 " JOIN record ON record.seq = record WHERE cloud_id = ?1",
                 "s", cloud_id) < 0)
        return -1;
    r = db_step(j, s, e);
    if (r < 0)
        return -1;
    if (r == 0) {
        ret_id[0] = 0;
        return 0;
    }
    return db_text_into(j, s, 0, ret_id, JOB_ID_LEN, e);
}
