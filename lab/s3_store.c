/* The index and the files; see s3_store.h. */
#include "lab/s3_store.h"

#include "lab/lab.h"
#include "lab/refuse.h"

#include "base/io.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>

enum query {
    BEGIN,
    COMMIT,
    ROLLBACK,
    BUCKET_GET,
    BUCKET_PUT,
    BUCKET_DELETE,
    BUCKET_USED,
    BUCKET_LIST,
    OBJECT_GET,
    OBJECT_FROM,
    OBJECT_AFTER,
    OBJECT_PUT,
    OBJECT_DELETE,
    UPLOAD_GET,
    UPLOAD_PUT,
    UPLOAD_DELETE,
    UPLOAD_LIST,
    PART_GET,
    PART_NEXT,
    PART_PUT,
    FILE_USED,
    QUERIES
};

static const char schema[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
    "CREATE TABLE IF NOT EXISTS bucket (name TEXT PRIMARY KEY, region TEXT NOT NULL,"
    "  created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS object (bucket TEXT NOT NULL REFERENCES bucket,"
    "  key TEXT NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,"
    "  modified_ms INTEGER NOT NULL, headers TEXT NOT NULL, PRIMARY KEY (bucket, key))"
    "  STRICT, WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS object_file ON object (file);"
    "CREATE TABLE IF NOT EXISTS upload (id TEXT PRIMARY KEY,"
    "  bucket TEXT NOT NULL REFERENCES bucket, key TEXT NOT NULL,"
    "  initiated_ms INTEGER NOT NULL, headers TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS part (upload TEXT NOT NULL REFERENCES upload"
    "  ON DELETE CASCADE, number INTEGER NOT NULL, file TEXT NOT NULL,"
    "  size INTEGER NOT NULL, etag TEXT NOT NULL, modified_ms INTEGER NOT NULL,"
    "  PRIMARY KEY (upload, number)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS part_file ON part (file);"
    "PRAGMA user_version=1;";

#define OBJECT_COLUMNS "SELECT key, file, size, etag, modified_ms, headers FROM object "

static const char *const queries[QUERIES] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [BUCKET_GET] = "SELECT region FROM bucket WHERE name=?1",
    [BUCKET_PUT] = "INSERT INTO bucket (name, region, created_ms) VALUES (?1, ?2, ?3)",
    [BUCKET_DELETE] = "DELETE FROM bucket WHERE name=?1",
    [BUCKET_USED] = "SELECT 1 FROM object WHERE bucket=?1 UNION ALL"
                    " SELECT 1 FROM upload WHERE bucket=?1 LIMIT 1",
    [BUCKET_LIST] = "SELECT name, created_ms FROM bucket ORDER BY name",
    [OBJECT_GET] = OBJECT_COLUMNS "WHERE bucket=?1 AND key=?2",
    [OBJECT_FROM] = OBJECT_COLUMNS "WHERE bucket=?1 AND key>=?2 ORDER BY key LIMIT 1",
    [OBJECT_AFTER] = OBJECT_COLUMNS "WHERE bucket=?1 AND key>?2 ORDER BY key LIMIT 1",
    [OBJECT_PUT] = "INSERT OR REPLACE INTO object (bucket, key, file, size, etag,"
                   " modified_ms, headers) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [OBJECT_DELETE] = "DELETE FROM object WHERE bucket=?1 AND key=?2",
    [UPLOAD_GET] = "SELECT headers FROM upload WHERE bucket=?1 AND key=?2 AND id=?3",
    [UPLOAD_PUT] = "INSERT INTO upload (bucket, key, id, headers, initiated_ms)"
                   " VALUES (?1, ?2, ?3, ?4, ?5)",
    [UPLOAD_DELETE] = "DELETE FROM upload WHERE id=?1",
    [UPLOAD_LIST] = "SELECT key, id, initiated_ms FROM upload WHERE bucket=?1"
                    " ORDER BY key, id",
    [PART_GET] = "SELECT file FROM part WHERE upload=?1 AND number=?2",
    [PART_NEXT] = "SELECT number, file, size, etag, modified_ms FROM part"
                  " WHERE upload=?1 AND number>?2 ORDER BY number LIMIT 1",
    [PART_PUT] = "INSERT OR REPLACE INTO part (upload, number, file, size, etag,"
                 " modified_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [FILE_USED] = "SELECT 1 FROM object WHERE file=?1 UNION ALL"
                  " SELECT 1 FROM part WHERE file=?1",
};

struct s3_store {
    char *data_dir;
    sqlite3 *db;
    sqlite3_stmt *q[QUERIES];
    pthread_mutex_t lock; /* guards db and q; held over a transaction */
};

/* ---- SQLite ---- */

static int db_err(const struct s3_store *s, struct err *e)
{
    return err_set(e, sqlite3_errcode(s->db) == SQLITE_FULL ? ERR_NOSPACE : ERR_FAILED,
                   "the lab's S3 index: %s", sqlite3_errmsg(s->db));
}

static void bind_str(struct s3_store *s, enum query q, int n, const char *v)
{
    sqlite3_bind_text(s->q[q], n, v, -1, SQLITE_TRANSIENT);
}

static void bind_int(struct s3_store *s, enum query q, int n, int64_t v)
{
    sqlite3_bind_int64(s->q[q], n, v);
}

/* 1 with a row, which lasts until done(); 0 without. */
static int step(struct s3_store *s, enum query q, struct err *e)
{
    int rc = sqlite3_step(s->q[q]);

    if (rc == SQLITE_ROW)
        return 1;
    return rc == SQLITE_DONE ? 0 : db_err(s, e);
}

static void done(struct s3_store *s, enum query q)
{
    sqlite3_reset(s->q[q]);
    sqlite3_clear_bindings(s->q[q]);
}

/* A statement without rows, or whether there is a row. */
static int run(struct s3_store *s, enum query q, struct err *e)
{
    int r = step(s, q, e);

    done(s, q);
    return r;
}

static const char *text(struct s3_store *s, enum query q, int column)
{
    const char *v = (const char *)sqlite3_column_text(s->q[q], column);

    return v ? v : "";
}

static int64_t number(struct s3_store *s, enum query q, int column)
{
    return sqlite3_column_int64(s->q[q], column);
}

static int begin(struct s3_store *s, struct err *e)
{
    pthread_mutex_lock(&s->lock);
    if (run(s, BEGIN, e) >= 0)
        return 0;
    pthread_mutex_unlock(&s->lock);
    return -1;
}

/* Commits when r is not negative, else rolls back. Returns r, or -1. */
static int finish(struct s3_store *s, int r, struct err *e)
{
    struct err ignored;

    if (r >= 0 && run(s, COMMIT, e) < 0)
        r = -1;
    if (r < 0 && run(s, ROLLBACK, &ignored) < 0)
        log_debug("roll back: %s", ignored.msg);
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* ---- Files ---- */

static char *path_of(const struct s3_store *s, const char *name, struct err *e)
{
    return str_fmt(e, "%s/%s", s->data_dir, name);
}

static void new_name(char name[S3_FILE_LEN])
{
    char hex[33];

    rand_hex(hex, 32);
    snprintf(name, S3_FILE_LEN, "%.2s/%s", hex, hex + 2);
}

int s3_store_new_file(struct s3_store *s, char ret_name[S3_FILE_LEN], int *ret_fd,
                      struct err *e)
{
    char name[S3_FILE_LEN];
    auto_free char *path = NULL;
    int fd;

    new_name(name);
    path = path_of(s, name, e);
    if (!path)
        return -1;
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, "%s: create", path);
    memcpy(ret_name, name, sizeof name);
    *ret_fd = fd;
    return 0;
}

int s3_store_link_file(struct s3_store *s, const char *name, char ret_name[S3_FILE_LEN],
                       struct err *e)
{
    char other[S3_FILE_LEN];
    auto_free char *from = path_of(s, name, e);
    auto_free char *to = NULL;

    new_name(other);
    to = path_of(s, other, e);
    if (!from || !to)
        return -1;
    if (link(from, to) < 0)
        return err_sys(e, "%s: link", from);
    memcpy(ret_name, other, sizeof other);
    return 0;
}

int s3_store_open_file(struct s3_store *s, const char *name, int *ret_fd, struct err *e)
{
    auto_free char *path = path_of(s, name, e);
    int fd;

    if (!path)
        return -1;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, "%s: open", path);
    *ret_fd = fd;
    return 0;
}

void s3_store_remove_file(struct s3_store *s, const char *name)
{
    struct err e = ERR_INIT;
    auto_free char *path = *name ? path_of(s, name, &e) : NULL;

    /* What stays is swept at the next start. */
    if (path)
        unlink(path);
}

static int sweep_dir(struct s3_store *s, const char *sub, struct err *e)
{
    auto_free char *path = path_of(s, sub, e);
    struct dirent *d;
    DIR *dir;
    int r = 0;

    if (!path)
        return -1;
    dir = opendir(path);
    if (!dir)
        return err_sys(e, "%s: open", path);
    while (r == 0 && (d = readdir(dir))) {
        char name[S3_FILE_LEN];

        if (strlen(d->d_name) != 30)
            continue;
        snprintf(name, sizeof name, "%.2s/%.30s", sub, d->d_name);
        bind_str(s, FILE_USED, 1, name);
        r = run(s, FILE_USED, e);
        if (r == 0)
            s3_store_remove_file(s, name);
        r = r < 0 ? -1 : 0;
    }
    closedir(dir);
    return r;
}

static int open_files(struct s3_store *s, struct err *e)
{
    for (unsigned i = 0; i < 256; i++) {
        char sub[3];
        auto_free char *path = NULL;

        snprintf(sub, sizeof sub, "%02x", i);
        path = path_of(s, sub, e);
        if (!path || io_mkdir_all(path, 0700, e) < 0 || sweep_dir(s, sub, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- Opening ---- */

static int open_db(struct s3_store *s, const char *path, struct err *e)
{
    if (sqlite3_open_v2(path, &s->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        return err_set(e, ERR_FAILED, "%s: %s", path,
                       s->db ? sqlite3_errmsg(s->db) : "out of memory");
    sqlite3_busy_timeout(s->db, 5000);
    if (sqlite3_exec(s->db, schema, NULL, NULL, NULL) != SQLITE_OK)
        return db_err(s, e);
    for (int i = 0; i < QUERIES; i++)
        if (sqlite3_prepare_v2(s->db, queries[i], -1, &s->q[i], NULL) != SQLITE_OK)
            return db_err(s, e);
    return 0;
}

int s3_store_open(const char *state_dir, struct s3_store **ret, struct err *e)
{
    auto_free char *db = str_fmt(e, "%s/s3/index.db", state_dir);
    struct s3_store *s = mem_zalloc(1, sizeof *s, e);

    if (!db || !s) {
        free(s);
        return -1;
    }
    pthread_mutex_init(&s->lock, NULL);
    s->data_dir = str_fmt(e, "%s/s3/data", state_dir);
    if (!s->data_dir || io_mkdir_all(s->data_dir, 0700, e) < 0 || open_db(s, db, e) < 0 ||
        open_files(s, e) < 0) {
        s3_store_close(s);
        return -1;
    }
    *ret = s;
    return 0;
}

void s3_store_close(struct s3_store *s)
{
    if (!s)
        return;
    for (int i = 0; i < QUERIES; i++)
        sqlite3_finalize(s->q[i]);
    sqlite3_close(s->db);
    pthread_mutex_destroy(&s->lock);
    free(s->data_dir);
    free(s);
}

/* ---- Buckets ---- */

/* Under the lock. */
static int find_bucket(struct s3_store *s, const char *name, char *ret_region,
                       struct err *e)
{
    int r;

    bind_str(s, BUCKET_GET, 1, name);
    r = step(s, BUCKET_GET, e);
    if (r == 1 && ret_region)
        snprintf(ret_region, 64, "%s", text(s, BUCKET_GET, 0));
    done(s, BUCKET_GET);
    if (r == 0)
        return refuse(e, "NoSuchBucket", "The specified bucket does not exist");
    return r < 0 ? -1 : 0;
}

int s3_bucket_find(struct s3_store *s, const char *name, char *ret_region, struct err *e)
{
    int r;

    pthread_mutex_lock(&s->lock);
    r = find_bucket(s, name, ret_region, e);
    pthread_mutex_unlock(&s->lock);
    return r;
}

int s3_bucket_add(struct s3_store *s, const char *name, const char *region,
                  int64_t now_ms, struct err *e)
{
    struct err ignored;
    int r = 0;

    if (begin(s, e) < 0)
        return -1;
    if (find_bucket(s, name, NULL, &ignored) == 0)
        r = refuse(e, "BucketAlreadyOwnedByYou",
                   "Your previous request to create the named bucket succeeded and you "
                   "already own it.");
    bind_str(s, BUCKET_PUT, 1, name);
    bind_str(s, BUCKET_PUT, 2, region);
    bind_int(s, BUCKET_PUT, 3, now_ms);
    if (r == 0)
        r = run(s, BUCKET_PUT, e);
    return finish(s, r, e);
}

int s3_bucket_remove(struct s3_store *s, const char *name, struct err *e)
{
    int r;

    if (begin(s, e) < 0)
        return -1;
    r = find_bucket(s, name, NULL, e);
    bind_str(s, BUCKET_USED, 1, name);
    if (r == 0)
        r = run(s, BUCKET_USED, e);
    if (r == 1)
        r = refuse(e, "BucketNotEmpty", "The bucket you tried to delete is not empty");
    bind_str(s, BUCKET_DELETE, 1, name);
    if (r == 0)
        r = run(s, BUCKET_DELETE, e);
    return finish(s, r, e);
}

/* Rows as an owned array of what `row` makes of each; of one bucket's when it is not
 * NULL. */
static int list_rows(struct s3_store *s, enum query q, const char *bucket,
                     json_t *(*row)(struct s3_store *s), json_t **ret, struct err *e)
{
    json_t *list = json_array();
    int r = list ? 0 : err_nomem(e);

    pthread_mutex_lock(&s->lock);
    if (r == 0 && bucket) {
        r = find_bucket(s, bucket, NULL, e);
        bind_str(s, q, 1, bucket);
    }
    while (r >= 0 && (r = step(s, q, e)) == 1)
        r = json_add(list, row(s), e);
    done(s, q);
    pthread_mutex_unlock(&s->lock);
    if (r < 0) {
        json_decref(list);
        return -1;
    }
    *ret = list;
    return 0;
}

static json_t *bucket_row(struct s3_store *s)
{
    char when[LAB_TIME_LEN];

    return json_pack("{s:s, s:s}", "Name", text(s, BUCKET_LIST, 0), "CreationDate",
                     lab_time(when, number(s, BUCKET_LIST, 1)));
}

int s3_bucket_list(struct s3_store *s, json_t **ret, struct err *e)
{
    return list_rows(s, BUCKET_LIST, NULL, bucket_row, ret, e);
}

/* ---- Objects ---- */

void s3_object_release(struct s3_object *o)
{
    free(o->key);
    free(o->headers);
    *o = (struct s3_object){0};
}

static int read_object(struct s3_store *s, enum query q, struct s3_object *ret,
                       struct err *e)
{
    struct s3_object o = {.size_bytes = (uint64_t)number(s, q, 2),
                          .modified_ms = number(s, q, 4)};

    o.key = str_dup(text(s, q, 0), e);
    o.headers = str_dup(text(s, q, 5), e);
    snprintf(o.file, sizeof o.file, "%s", text(s, q, 1));
    snprintf(o.etag, sizeof o.etag, "%s", text(s, q, 3));
    if (!o.key || !o.headers) {
        s3_object_release(&o);
        return -1;
    }
    *ret = o;
    return 1;
}

/* Under the lock: 1 with the object, 0 without. */
static int find_object(struct s3_store *s, enum query q, const char *bucket,
                       const char *key, struct s3_object *ret, struct err *e)
{
    int r;

    bind_str(s, q, 1, bucket);
    bind_str(s, q, 2, key);
    r = step(s, q, e);
    if (r == 1)
        r = read_object(s, q, ret, e);
    done(s, q);
    return r;
}

int s3_object_find(struct s3_store *s, const char *bucket, const char *key,
                   struct s3_object *ret, struct err *e)
{
    int r;

    pthread_mutex_lock(&s->lock);
    r = find_bucket(s, bucket, NULL, e);
    if (r == 0)
        r = find_object(s, OBJECT_GET, bucket, key, ret, e);
    else
        r = -1;
    pthread_mutex_unlock(&s->lock);
    if (r == 0)
        return refuse(e, "NoSuchKey", "The specified key does not exist.");
    return r < 0 ? -1 : 0;
}

int s3_object_next(struct s3_store *s, const char *bucket, const char *from,
                   bool inclusive, struct s3_object *ret, struct err *e)
{
    int r;

    pthread_mutex_lock(&s->lock);
    r = find_object(s, inclusive ? OBJECT_FROM : OBJECT_AFTER, bucket, from, ret, e);
    pthread_mutex_unlock(&s->lock);
    return r;
}

static int check_condition(const struct s3_condition *c, const struct s3_object *old,
                           bool found, struct err *e)
{
    if (c->if_match && !found)
        return refuse(e, "NoSuchKey", "The specified key does not exist.");
    if ((c->if_match && !str_eq(c->if_match, old->etag) && !str_eq(c->if_match, "*")) ||
        (c->if_none_match && found))
        return refuse(e, "PreconditionFailed",
                      "At least one of the pre-conditions you specified did not hold");
    return 0;
}

static int put_row(struct s3_store *s, const char *bucket, const struct s3_object *o,
                   struct err *e)
{
    bind_str(s, OBJECT_PUT, 1, bucket);
    bind_str(s, OBJECT_PUT, 2, o->key);
    bind_str(s, OBJECT_PUT, 3, o->file);
    bind_int(s, OBJECT_PUT, 4, (int64_t)o->size_bytes);
    bind_str(s, OBJECT_PUT, 5, o->etag);
    bind_int(s, OBJECT_PUT, 6, o->modified_ms);
    bind_str(s, OBJECT_PUT, 7, o->headers);
    return run(s, OBJECT_PUT, e);
}

/* Under the lock. */
static int find_upload(struct s3_store *s, const char *bucket, const char *key,
                       const char *id, char **ret_headers, struct err *e)
{
    int r;

    bind_str(s, UPLOAD_GET, 1, bucket);
    bind_str(s, UPLOAD_GET, 2, key);
    bind_str(s, UPLOAD_GET, 3, id);
    r = step(s, UPLOAD_GET, e);
    if (r == 1 && ret_headers) {
        *ret_headers = str_dup(text(s, UPLOAD_GET, 0), e);
        r = *ret_headers ? 1 : -1;
    }
    done(s, UPLOAD_GET);
    if (r == 0)
        return refuse(
            e, "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, "
            "or the upload may have been aborted or completed.");
    return r < 0 ? -1 : 0;
}

/* Under the lock: 1 with the part, 0 without. */
static int next_part(struct s3_store *s, const char *upload_id, unsigned after,
                     struct s3_part *ret, struct err *e)
{
    int r;

    bind_str(s, PART_NEXT, 1, upload_id);
    bind_int(s, PART_NEXT, 2, after);
    r = step(s, PART_NEXT, e);
    if (r == 1) {
        *ret = (struct s3_part){.number = (unsigned)number(s, PART_NEXT, 0),
                                .size_bytes = (uint64_t)number(s, PART_NEXT, 2),
                                .modified_ms = number(s, PART_NEXT, 4)};
        snprintf(ret->file, sizeof ret->file, "%s", text(s, PART_NEXT, 1));
        snprintf(ret->etag, sizeof ret->etag, "%s", text(s, PART_NEXT, 3));
    }
    done(s, PART_NEXT);
    return r;
}

/* Under the lock. The parts' files are swept at the next start should we die before
 * they are removed. */
static int drop_upload(struct s3_store *s, const char *id, json_t *files, struct err *e)
{
    struct s3_part p = {0};
    int r;

    while ((r = next_part(s, id, p.number, &p, e)) == 1)
        if (json_add(files, json_string(p.file), e) < 0)
            return -1;
    if (r < 0)
        return -1;
    bind_str(s, UPLOAD_DELETE, 1, id);
    return run(s, UPLOAD_DELETE, e);
}

/* A transaction after which files are no longer needed: *ret_files collects them. */
static int begin_removal(struct s3_store *s, json_t **ret_files, struct err *e)
{
    json_t *files = json_array();

    if (!files)
        return err_nomem(e);
    if (begin(s, e) < 0) {
        json_decref(files);
        return -1;
    }
    *ret_files = files;
    return 0;
}

static int finish_removal(struct s3_store *s, json_t *files, int result, struct err *e)
{
    int r = finish(s, result, e);
    json_t *f;
    size_t i;

    if (r >= 0)
        json_array_foreach (files, i, f)
            s3_store_remove_file(s, json_string_value(f));
    json_decref(files);
    return r;
}

static int replace(struct s3_store *s, const char *bucket, const struct s3_object *o,
                   const struct s3_condition *condition, const char *upload_id,
                   json_t *files, struct err *e)
{
    auto_s3_object struct s3_object old = {0};
    int found;

    if (find_bucket(s, bucket, NULL, e) < 0)
        return -1;
    found = find_object(s, OBJECT_GET, bucket, o->key, &old, e);
    if (found < 0 || check_condition(condition, &old, found, e) < 0)
        return -1;
    if (found && json_add(files, json_string(old.file), e) < 0)
        return -1;
    if (upload_id && (find_upload(s, bucket, o->key, upload_id, NULL, e) < 0 ||
                      drop_upload(s, upload_id, files, e) < 0))
        return -1;
    return put_row(s, bucket, o, e);
}

int s3_object_put(struct s3_store *s, const char *bucket, const struct s3_object *o,
                  const struct s3_condition *condition, const char *upload_id,
                  struct err *e)
{
    json_t *files = NULL;

    if (begin_removal(s, &files, e) < 0)
        return -1;
    return finish_removal(s, files, replace(s, bucket, o, condition, upload_id, files, e),
                          e);
}

int s3_object_remove(struct s3_store *s, const char *bucket, const char *key,
                     struct err *e)
{
    auto_s3_object struct s3_object old = {0};
    int r;

    if (begin(s, e) < 0)
        return -1;
    r = find_bucket(s, bucket, NULL, e);
    if (r == 0)
        r = find_object(s, OBJECT_GET, bucket, key, &old, e);
    if (r == 1) {
        bind_str(s, OBJECT_DELETE, 1, bucket);
        bind_str(s, OBJECT_DELETE, 2, key);
        r = run(s, OBJECT_DELETE, e);
    }
    r = finish(s, r, e);
    if (r >= 0)
        s3_store_remove_file(s, old.file);
    return r;
}

/* ---- Uploads ---- */

int s3_upload_add(struct s3_store *s, const char *bucket, const char *key,
                  const char *headers, int64_t now_ms, char ret_id[S3_UPLOAD_ID_LEN],
                  struct err *e)
{
    char id[S3_UPLOAD_ID_LEN];
    int r;

    if (begin(s, e) < 0)
        return -1;
    r = find_bucket(s, bucket, NULL, e);
    bind_str(s, UPLOAD_PUT, 1, bucket);
    bind_str(s, UPLOAD_PUT, 2, key);
    bind_str(s, UPLOAD_PUT, 3, rand_hex(id, sizeof id - 1));
    bind_str(s, UPLOAD_PUT, 4, headers);
    bind_int(s, UPLOAD_PUT, 5, now_ms);
    if (r == 0)
        r = run(s, UPLOAD_PUT, e);
    r = finish(s, r, e);
    if (r >= 0)
        memcpy(ret_id, id, sizeof id);
    return r;
}

int s3_upload_find(struct s3_store *s, const char *bucket, const char *key,
                   const char *id, char **ret_headers, struct err *e)
{
    int r;

    pthread_mutex_lock(&s->lock);
    r = find_upload(s, bucket, key, id, ret_headers, e);
    pthread_mutex_unlock(&s->lock);
    return r;
}

int s3_upload_remove(struct s3_store *s, const char *bucket, const char *key,
                     const char *id, struct err *e)
{
    json_t *files = NULL;
    int r;

    if (begin_removal(s, &files, e) < 0)
        return -1;
    r = find_upload(s, bucket, key, id, NULL, e);
    if (r == 0)
        r = drop_upload(s, id, files, e);
    return finish_removal(s, files, r, e);
}

static json_t *upload_row(struct s3_store *s)
{
    char when[LAB_TIME_LEN];

    return json_pack("{s:s, s:s, s:s}", "Key", text(s, UPLOAD_LIST, 0), "UploadId",
                     text(s, UPLOAD_LIST, 1), "Initiated",
                     lab_time(when, number(s, UPLOAD_LIST, 2)));
}

int s3_upload_list(struct s3_store *s, const char *bucket, json_t **ret, struct err *e)
{
    return list_rows(s, UPLOAD_LIST, bucket, upload_row, ret, e);
}

int s3_part_put(struct s3_store *s, const char *upload_id, const struct s3_part *p,
                struct err *e)
{
    char old[S3_FILE_LEN] = "";
    int r;

    if (begin(s, e) < 0)
        return -1;
    bind_str(s, PART_GET, 1, upload_id);
    bind_int(s, PART_GET, 2, p->number);
    r = step(s, PART_GET, e);
    if (r == 1)
        snprintf(old, sizeof old, "%s", text(s, PART_GET, 0));
    done(s, PART_GET);
    bind_str(s, PART_PUT, 1, upload_id);
    bind_int(s, PART_PUT, 2, p->number);
    bind_str(s, PART_PUT, 3, p->file);
    bind_int(s, PART_PUT, 4, (int64_t)p->size_bytes);
    bind_str(s, PART_PUT, 5, p->etag);
    bind_int(s, PART_PUT, 6, p->modified_ms);
    if (r >= 0) {
        r = run(s, PART_PUT, e);
        /* The reference to its upload dangles: that went while the data came. */
        if (r < 0 && (sqlite3_errcode(s->db) & 0xff) == SQLITE_CONSTRAINT)
            refuse(e, "NoSuchUpload", "The specified upload does not exist.");
    }
    r = finish(s, r, e);
    if (r >= 0)
        s3_store_remove_file(s, old);
    return r;
}

int s3_part_next(struct s3_store *s, const char *upload_id, unsigned after,
                 struct s3_part *ret, struct err *e)
{
    int r;

    pthread_mutex_lock(&s->lock);
    r = next_part(s, upload_id, after, ret, e);
    pthread_mutex_unlock(&s->lock);
    return r;
}
