/* The lab's documents; see store.h.
 *
 * Invariants: `all` equals the database; `pending` holds what the running transaction
 * changed (JSON null: deleted) and nothing else. store_commit() writes `pending` in one
 * SQLite transaction and only then merges it, so a crash at any point leaves the
 * database at one commit or the next. The rowid of a document never changes, which keeps
 * the order over restarts. */
#include "lab/store.h"

#include "base/auto.h"
#include "base/str.h"

#include <inttypes.h>
#include <sqlite3.h>

struct store {
    sqlite3 *db;
    sqlite3_stmt *put, *del;
    json_t *all;     /* kind → id → document */
    json_t *pending; /* same shape */
    json_int_t next_seq;
};

static int db_err(const struct store *s, const char *what, struct err *e)
{
    int code = sqlite3_errcode(s->db);

    return err_set(e, code == SQLITE_FULL ? ERR_NOSPACE : ERR_FAILED,
                   "the lab's database: %s: %s", what, sqlite3_errmsg(s->db));
}

static int exec(struct store *s, const char *sql, struct err *e)
{
    if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return db_err(s, sql, e);
    return 0;
}

/* The object of one kind, made when missing. */
static json_t *kind_of(json_t *root, const char *kind)
{
    json_t *k = json_object_get(root, kind);

    if (k)
        return k;
    k = json_object();
    return json_object_set_new(root, kind, k) < 0 ? NULL : k;
}

static int load_row(struct store *s, sqlite3_stmt *st, struct err *e)
{
    const char *kind = (const char *)sqlite3_column_text(st, 0);
    const char *id = (const char *)sqlite3_column_text(st, 1);
    const char *body = (const char *)sqlite3_column_text(st, 2);
    json_t *doc = NULL, *k;
    json_int_t seq;

    if (!kind || !id || !body)
        return err_nomem(e);
    if (json_parse(body, strlen(body), id, &doc, e) < 0)
        return -1;
    seq = json_integer_value(json_object_get(doc, "_seq"));
    if (seq >= s->next_seq)
        s->next_seq = seq + 1;
    k = kind_of(s->all, kind);
    if (!k) {
        json_decref(doc);
        return err_nomem(e);
    }
    return json_put(k, id, doc, e);
}

static int load(struct store *s, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int rc, r = 0;

    if (sqlite3_prepare_v2(s->db, "SELECT kind, id, body FROM document ORDER BY rowid",
                           -1, &st, NULL) != SQLITE_OK)
        return db_err(s, "read", e);
    while (r == 0 && (rc = sqlite3_step(st)) != SQLITE_DONE)
        r = rc == SQLITE_ROW ? load_row(s, st, e) : db_err(s, "read", e);
    sqlite3_finalize(st);
    return r;
}

static int open_schema(struct store *s, struct err *e)
{
    static const char schema[] =
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
        "CREATE TABLE IF NOT EXISTS document ("
        "  kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,"
        "  UNIQUE (kind, id)) STRICT;"
        "PRAGMA user_version=1;";
    static const char put[] = "INSERT INTO document (kind, id, body) VALUES (?1, ?2, ?3) "
                              "ON CONFLICT (kind, id) DO UPDATE SET body=excluded.body";
    static const char del[] = "DELETE FROM document WHERE kind=?1 AND id=?2";

    sqlite3_busy_timeout(s->db, 5000);
    if (exec(s, schema, e) < 0)
        return -1;
    if (sqlite3_prepare_v2(s->db, put, -1, &s->put, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(s->db, del, -1, &s->del, NULL) != SQLITE_OK)
        return db_err(s, "prepare", e);
    return load(s, e);
}

int store_open(const char *path, struct store **ret, struct err *e)
{
    struct store *s = mem_zalloc(1, sizeof *s, e);
    int r = -1;

    if (!s)
        return -1;
    s->next_seq = 1;
    s->all = json_object();
    s->pending = json_object();
    if (!s->all || !s->pending)
        err_nomem(e);
    else if (sqlite3_open_v2(path, &s->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                                 SQLITE_OPEN_NOMUTEX,
                             NULL) != SQLITE_OK)
        err_set(e, ERR_FAILED, "%s: %s", path,
                s->db ? sqlite3_errmsg(s->db) : "out of memory");
    else
        r = open_schema(s, e);
    if (r < 0) {
        store_close(s);
        return -1;
    }
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    sqlite3_finalize(s->put);
    sqlite3_finalize(s->del);
    sqlite3_close(s->db);
    json_decref(s->all);
    json_decref(s->pending);
    free(s);
}

static json_t *look(const struct store *s, const char *kind, const char *id)
{
    json_t *p = json_object_get(json_object_get(s->pending, kind), id);

    if (json_is_null(p))
        return NULL;
    return p ? p : json_object_get(json_object_get(s->all, kind), id);
}

const json_t *store_get(const struct store *s, const char *kind, const char *id)
{
    return look(s, kind, id);
}

int store_edit(struct store *s, const char *kind, const char *id, json_t **ret,
               struct err *e)
{
    json_t *p = json_object_get(json_object_get(s->pending, kind), id);
    json_t *doc, *k;

    if (p && !json_is_null(p)) {
        *ret = p;
        return 0;
    }
    doc = look(s, kind, id);
    if (!doc)
        return err_set(e, ERR_NOT_FOUND, "no %s %s", kind, id);
    k = kind_of(s->pending, kind);
    doc = k ? json_deep_copy(doc) : NULL;
    if (!doc || json_object_set_new(k, id, doc) < 0)
        return err_nomem(e);
    *ret = doc;
    return 0;
}

int store_put(struct store *s, const char *kind, const char *id, json_t *doc,
              struct err *e)
{
    const json_t *old = look(s, kind, id);
    const json_t *old_seq = json_object_get(old, "_seq");
    json_int_t seq = old_seq ? json_integer_value(old_seq) : s->next_seq;
    json_t *k = kind_of(s->pending, kind);

    if (!k || !doc || json_object_set_new(doc, "_seq", json_integer(seq)) < 0) {
        json_decref(doc);
        return err_nomem(e);
    }
    if (json_put(k, id, doc, e) < 0)
        return -1;
    if (!old_seq)
        s->next_seq++;
    return 0;
}

int store_delete(struct store *s, const char *kind, const char *id, struct err *e)
{
    json_t *k = kind_of(s->pending, kind);

    if (!k)
        return err_nomem(e);
    return json_put(k, id, json_null(), e);
}

int store_list(const struct store *s, const char *kind, json_t **ret, struct err *e)
{
    json_t *list = json_array(), *all = json_object_get(s->all, kind);
    json_t *pend = json_object_get(s->pending, kind), *doc, *p;
    const char *id;
    bool bad = !list;

    json_object_foreach (all, id, doc) {
        p = json_object_get(pend, id);
        if (!json_is_null(p))
            bad = bad || json_array_append(list, p ? p : doc) < 0;
    }
    json_object_foreach (pend, id, doc)
        if (!json_is_null(doc) && !json_object_get(all, id))
            bad = bad || json_array_append(list, doc) < 0;
    if (bad) {
        json_decref(list);
        return err_nomem(e);
    }
    *ret = list;
    return 0;
}

static int write_one(struct store *s, const char *kind, const char *id, json_t *doc,
                     struct err *e)
{
    sqlite3_stmt *st = json_is_null(doc) ? s->del : s->put;
    auto_free char *text = NULL;
    int rc;

    if (!json_is_null(doc) && json_text(doc, &text, e) < 0)
        return -1;
    sqlite3_bind_text(st, 1, kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 2, id, -1, SQLITE_STATIC);
    if (text)
        sqlite3_bind_text(st, 3, text, -1, SQLITE_STATIC);
    rc = sqlite3_step(st);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return rc == SQLITE_DONE ? 0 : db_err(s, "write", e);
}

static int write_pending(struct store *s, struct err *e)
{
    const char *kind, *id;
    json_t *docs, *doc;

    json_object_foreach (s->pending, kind, docs)
        json_object_foreach (docs, id, doc)
            if (write_one(s, kind, id, doc, e) < 0)
                return -1;
    return 0;
}

/* Copies what the merge will need room for, so that it cannot fail half way. */
static json_t *merged(const struct store *s, struct err *e)
{
    json_t *root = json_copy(s->all), *docs, *doc, *k;
    const char *kind, *id;
    bool bad = !root;

    json_object_foreach (s->pending, kind, docs) {
        k = json_object_get(root, kind);
        k = k ? json_copy(k) : json_object();
        bad = bad || json_object_set_new(root, kind, k) < 0;
        if (bad)
            break;
        json_object_foreach (docs, id, doc)
            if (json_is_null(doc))
                json_object_del(k, id);
            else
                bad = bad || json_object_set(k, id, doc) < 0;
    }
    if (bad) {
        json_decref(root);
        err_nomem(e);
        return NULL;
    }
    return root;
}

int store_commit(struct store *s, struct err *e)
{
    json_t *root;

    if (json_object_size(s->pending) == 0)
        return 0;
    root = merged(s, e);
    if (!root)
        return -1;
    if (exec(s, "BEGIN IMMEDIATE", e) < 0) {
        json_decref(root);
        return -1;
    }
    if (write_pending(s, e) < 0 || exec(s, "COMMIT", e) < 0) {
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
        json_decref(root);
        return -1;
    }
    json_decref(s->all);
    s->all = root;
    json_object_clear(s->pending);
    return 0;
}

void store_rollback(struct store *s)
{
    json_object_clear(s->pending);
}
