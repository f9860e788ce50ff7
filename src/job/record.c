/* Records and their claims; see record.h.
 *
 * Every change is one transaction, so a crash leaves a record as it was or as it shall
 * be. Claims are locks on bytes of the journal's lock file, far above those of jobs. */
#include "job/record.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "job/db.h"

#include <assert.h>

#define LOCK_BYTE_RECORD(seq) (((int64_t)1 << 40) + (seq))
#define MAX_NAMES_IN_ERROR    8

void record_release(struct record *r)
{
    free(r->name);
    json_decref(r->body);
    *r = (struct record){0};
}

void records_release(struct records *v)
{
    vec_foreach (r, v)
        record_release(r);
    vec_release(v);
}

/* ---- reading ---- */

#define COLUMNS "name, version, body, created_s, updated_s"

static int read_row(struct journal *j, sqlite3_stmt *s, struct record *ret, struct err *e)
{
    struct record r = {.version = db_u64(s, 1),
                       .created_s = sqlite3_column_int64(s, 3),
                       .updated_s = sqlite3_column_int64(s, 4)};

    if (db_text(j, s, 0, &r.name, e) < 0 || db_object(j, s, 2, &r.body, e) < 0) {
        record_release(&r);
        return -1;
    }
    *ret = r;
    return 0;
}

int record_list(struct journal *j, const char *kind, struct records *ret, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    auto_records struct records v = {0};
    int r;

    if (db_query(j, &s, e, "SELECT " COLUMNS " FROM record WHERE kind = ? ORDER BY name",
                 "s", kind) < 0)
        return -1;
    while ((r = db_step(j, s, e)) > 0) {
        struct record one = {0};

        if (read_row(j, s, &one, e) < 0)
            return -1;
        if (vec_push(&v, one, e) < 0) {
            record_release(&one);
            return -1;
        }
    }
    if (r < 0)
        return -1;
    *ret = v;
    v = (struct records){0};
    return 0;
}

static int not_found(struct journal *j, const char *kind, const char *name, struct err *e)
{
    auto_records struct records v = {0};
    char list[300] = "";

    if (record_list(j, kind, &v, e) < 0)
        return -1;
    for (size_t i = 0; i < v.n && i < MAX_NAMES_IN_ERROR; i++) {
        size_t n = strlen(list);

        snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", v.v[i].name);
    }
    return err_set(e, ERR_NOT_FOUND, "there is no %s %s in journal %s%s%s%s%s", kind,
                   name, j->path, v.n ? " (there are: " : " (there are none)", list,
                   v.n > MAX_NAMES_IN_ERROR ? ", …" : "", v.n ? ")" : "");
}

int record_get(struct journal *j, const char *kind, const char *name, struct record *ret,
               struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    int r;

    if (db_query(j, &s, e, "SELECT " COLUMNS " FROM record WHERE kind = ? AND name = ?",
                 "ss", kind, name) < 0)
        return -1;
    r = db_step(j, s, e);
    if (r <= 0)
        return r < 0 ? -1 : not_found(j, kind, name, e);
    return read_row(j, s, ret, e);
}

/* 0 in *ret: there is none. */
static int find_seq(struct journal *j, const char *kind, const char *name, int64_t *ret,
                    struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    int r;

    if (db_query(j, &s, e, "SELECT seq FROM record WHERE kind = ? AND name = ?", "ss",
                 kind, name) < 0)
        return -1;
    r = db_step(j, s, e);
    if (r < 0)
        return -1;
    *ret = r ? sqlite3_column_int64(s, 0) : 0;
    return 0;
}

/* ---- changing ---- */

static int store_resources(struct journal *j, int64_t seq, const struct strv *ids,
                           struct err *e)
{
    if (db_run(j, e, "DELETE FROM record_resource WHERE record = ?", "i", seq) < 0)
        return -1;
    if (!ids)
        return 0;
    vec_foreach (id, ids)
        if (db_run(j, e,
                   "INSERT INTO record_resource(record, cloud_id) VALUES(?, ?)"
                   " ON CONFLICT DO NOTHING",
                   "is", seq, *id) < 0)
            return -1;
    return 0;
}

static int insert(struct journal *j, const char *kind, const char *name, const char *text,
                  const struct strv *ids, struct err *e)
{
    int64_t now = clock_real_s();
    int n = db_run(j, e,
                   "INSERT INTO record(kind, name, version, body, created_s, updated_s)"
                   " VALUES(?, ?, 1, ?, ?, ?) ON CONFLICT(kind, name) DO NOTHING",
                   "sssii", kind, name, text, now, now);

    if (n < 0)
        return -1;
    if (n == 0)
        return err_set(e, ERR_EXISTS, "there is a %s %s already", kind, name);
    return store_resources(j, sqlite3_last_insert_rowid(j->db), ids, e);
}

int record_create(struct journal *j, const char *kind, const char *name,
                  const json_t *body, const struct strv *resources, struct err *e)
{
    auto_free char *text = NULL;

    assert(json_is_object(body));
    if (json_text(body, &text, e) < 0 || db_begin(j, e) < 0)
        return -1;
    return db_end(j, insert(j, kind, name, text, resources, e), e);
}

static int changed_meanwhile(const char *kind, const char *name, struct err *e)
{
    err_set(e, ERR_BUSY, "%s %s was changed by another process meanwhile", kind, name);
    e->retryable = true;
    return -1;
}

static int update(struct journal *j, const char *kind, const char *name, uint64_t version,
                  const char *text, const struct strv *ids, struct err *e)
{
    int64_t seq;
    int n;

    if (find_seq(j, kind, name, &seq, e) < 0)
        return -1;
    if (!seq)
        return not_found(j, kind, name, e);
    n = db_run(j, e,
               "UPDATE record SET version = version + 1, body = ?, updated_s = ?"
               " WHERE seq = ? AND version = ?",
               "siiI", text, clock_real_s(), seq, version);
    if (n <= 0)
        return n < 0 ? -1 : changed_meanwhile(kind, name, e);
    return store_resources(j, seq, ids, e);
}

int record_put(struct journal *j, const char *kind, const char *name, uint64_t version,
               const json_t *body, const struct strv *resources, struct err *e)
{
    auto_free char *text = NULL;

    assert(json_is_object(body));
    if (json_text(body, &text, e) < 0 || db_begin(j, e) < 0)
        return -1;
    return db_end(j, update(j, kind, name, version, text, resources, e), e);
}

static int drop(struct journal *j, const char *kind, const char *name, uint64_t version,
                struct err *e)
{
    int64_t seq;
    int n = db_run(j, e, "DELETE FROM record WHERE kind = ? AND name = ? AND version = ?",
                   "ssI", kind, name, version);

    if (n != 0)
        return n < 0 ? -1 : 0;
    if (find_seq(j, kind, name, &seq, e) < 0)
        return -1;
    return seq ? changed_meanwhile(kind, name, e) : 0;
}

int record_remove(struct journal *j, const char *kind, const char *name, uint64_t version,
                  struct err *e)
{
    if (db_begin(j, e) < 0)
        return -1;
    return db_end(j, drop(j, kind, name, version, e), e);
}

/* ---- claims ---- */

struct record_claim {
    int lock_fd;
};

int record_claim(struct journal *j, const char *kind, const char *name,
                 struct record_claim **ret, struct err *e)
{
    struct record_claim *c;
    int64_t seq;
    int r;

    if (find_seq(j, kind, name, &seq, e) < 0)
        return -1;
    if (!seq)
        return not_found(j, kind, name, e);
    c = mem_zalloc(1, sizeof *c, e);
    if (!c)
        return -1;
    c->lock_fd = -1;
    r = lock_open(j->path, &c->lock_fd, e);
    if (r == 0)
        r = lock_try(c->lock_fd, LOCK_BYTE_RECORD(seq), e);
    if (r == 0)
        err_set(e, ERR_BUSY, "%s %s: another process works on it", kind, name);
    if (r <= 0) {
        record_claim_drop(c);
        return -1;
    }
    *ret = c;
    return 0;
}

void record_claim_drop(struct record_claim *c)
{
    if (!c)
        return;
    if (c->lock_fd >= 0)
        close(c->lock_fd);
    free(c);
}

bool record_claimed(struct journal *j, const char *kind, const char *name)
{
    struct err ignored;
    int64_t seq;

    return find_seq(j, kind, name, &seq, &ignored) == 0 && seq &&
           lock_held(j->lock_fd, LOCK_BYTE_RECORD(seq));
}
