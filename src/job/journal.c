/* Opening and creating the journal; see journal.h and docs/job.md.
 *
 * A crash while the file is made leaves an empty file, or one without schema: the next
 * open finishes it, under the lock of the schema's byte. */
#include "job/journal.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "job/db.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#define SCHEMA_VERSION 2
#define APPLICATION_ID 0x48414444 /* "HADD" */
#define BUSY_WAIT_MS   10000

static const char schema_1[] =
    "CREATE TABLE job("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  id TEXT NOT NULL UNIQUE,"
    "  kind TEXT NOT NULL,"
    "  title TEXT NOT NULL,"
    "  params TEXT NOT NULL,"
    "  state TEXT NOT NULL CHECK(state IN"
    "    ('running','failed','interrupted','done','undoing','undone')),"
    "  step TEXT,"
    "  owner_pid INTEGER NOT NULL,"
    "  created_s INTEGER NOT NULL,"
    "  updated_s INTEGER NOT NULL,"
    "  error_kind TEXT,"
    "  error_message TEXT,"
    "  error_aws_code TEXT,"
    "  error_request_id TEXT,"
    "  error_errno INTEGER,"
    "  error_step TEXT,"
    "  error_s INTEGER"
    ") STRICT;"
    "CREATE TABLE step("
    "  job INTEGER NOT NULL REFERENCES job(seq) ON DELETE CASCADE,"
    "  position INTEGER NOT NULL,"
    "  name TEXT NOT NULL,"
    "  state TEXT NOT NULL CHECK(state IN ('pending','running','failed','done')),"
    "  runs INTEGER NOT NULL DEFAULT 0,"
    "  started_s INTEGER NOT NULL DEFAULT 0,"
    "  ended_s INTEGER NOT NULL DEFAULT 0,"
    "  PRIMARY KEY(job, name)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE resource("
    "  ord INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  job INTEGER NOT NULL REFERENCES job(seq) ON DELETE CASCADE,"
    "  key TEXT NOT NULL,"
    "  kind TEXT NOT NULL,"
    "  state TEXT NOT NULL CHECK(state IN ('intended','made','gone')),"
    "  token TEXT NOT NULL UNIQUE,"
    "  cloud_id TEXT,"
    "  attrs TEXT NOT NULL,"
    "  changed_s INTEGER NOT NULL"
    ") STRICT;"
    /* A key that is gone may be intended again; one that is not exists once. */
    "CREATE UNIQUE INDEX resource_key ON resource(job, key) WHERE state <> 'gone';"
    "CREATE INDEX resource_job ON resource(job, key);"
    "CREATE INDEX resource_cloud_id ON resource(cloud_id) WHERE cloud_id IS NOT NULL;"
    "CREATE TABLE value("
    "  job INTEGER NOT NULL REFERENCES job(seq) ON DELETE CASCADE,"
    "  name TEXT NOT NULL,"
    "  json TEXT NOT NULL,"
    "  PRIMARY KEY(job, name)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE disk("
    "  job INTEGER NOT NULL REFERENCES job(seq) ON DELETE CASCADE,"
    "  disk INTEGER NOT NULL,"
    "  size_bytes INTEGER NOT NULL,"
    "  PRIMARY KEY(job, disk)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE progress("
    "  job INTEGER NOT NULL REFERENCES job(seq) ON DELETE CASCADE,"
    "  disk INTEGER NOT NULL,"
    "  offset INTEGER NOT NULL CHECK(offset >= 0),"
    "  len INTEGER NOT NULL CHECK(len > 0),"
    "  PRIMARY KEY(job, disk, offset)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE event("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  job INTEGER NOT NULL REFERENCES job(seq) ON DELETE CASCADE,"
    "  time_s INTEGER NOT NULL,"
    "  level TEXT NOT NULL,"
    "  step TEXT,"
    "  message TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX event_job ON event(job);"
    "CREATE TABLE slot("
    "  proxy TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  job INTEGER NOT NULL REFERENCES job(seq) ON DELETE CASCADE,"
    "  key TEXT NOT NULL,"
    "  leased_s INTEGER NOT NULL,"
    "  PRIMARY KEY(proxy, name),"
    "  UNIQUE(proxy, job, key)"
    ") STRICT, WITHOUT ROWID;";

/* What version 2 adds: records (record.h). */
static const char schema_2[] =
    "CREATE TABLE record("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  kind TEXT NOT NULL,"
    "  name TEXT NOT NULL,"
    "  version INTEGER NOT NULL,"
    "  body TEXT NOT NULL,"
    "  created_s INTEGER NOT NULL,"
    "  updated_s INTEGER NOT NULL,"
    "  UNIQUE(kind, name)"
    ") STRICT;"
    "CREATE TABLE record_resource("
    "  record INTEGER NOT NULL REFERENCES record(seq) ON DELETE CASCADE,"
    "  cloud_id TEXT NOT NULL,"
    "  PRIMARY KEY(record, cloud_id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX record_resource_cloud_id ON record_resource(cloud_id);";

/* Makes the file with its mode and sees to it that its name survives a power loss.
 *
 * A file that is there is not opened: closing a descriptor of a file drops all of the
 * process's POSIX locks on it, those of SQLite's other connections included, and the next
 * process to end would take itself for the last one and remove the WAL under them. */
static int create_file(const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    auto_free char *dir =
        slash ? str_ndup(path, (size_t)(slash - path) + 1, e) : str_dup(".", e);
    auto_fd int fd = -1, dir_fd = -1;

    if (!dir)
        return -1;
    if (slash && io_mkdir_all(dir, 0700, e) < 0)
        return -1;
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EEXIST ? 0 : err_sys(e, "journal %s: open", path);
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || fsync(dir_fd) < 0)
        return err_sys(e, "%s: sync", dir);
    return 0;
}

static int pragma_int(struct journal *j, const char *sql, int64_t *ret, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    int r;

    if (db_query(j, &s, e, sql, "") < 0)
        return -1;
    r = db_step(j, s, e);
    if (r < 0)
        return -1;
    *ret = r ? sqlite3_column_int64(s, 0) : 0;
    return 0;
}

/* A journal with a flipped bit must be found before its rows steer API calls. */
static int check_sound(struct journal *j, struct err *e)
{
    auto_stmt sqlite3_stmt *s = NULL;
    const char *said;

    if (db_query(j, &s, e, "PRAGMA quick_check(1)", "") < 0)
        return -1;
    if (db_step(j, s, e) < 0)
        return -1;
    said = (const char *)sqlite3_column_text(s, 0);
    if (said && str_eq(said, "ok"))
        return 0;
    return err_set(e, ERR_INPUT,
                   "journal %s is damaged (%s): move it away; what its jobs made carries "
                   "the tag hotadd:job, and `hotadd gc` lists it",
                   j->path, said ? said : "no answer");
}

static int check_ours(struct journal *j, int64_t *ret_version, struct err *e)
{
    int64_t app, version, tables;

    if (pragma_int(j, "PRAGMA application_id", &app, e) < 0 ||
        pragma_int(j, "PRAGMA user_version", &version, e) < 0 ||
        pragma_int(j, "SELECT count(*) FROM sqlite_schema", &tables, e) < 0)
        return -1;
    if (app != APPLICATION_ID && (app != 0 || tables != 0))
        return err_set(e, ERR_INPUT, "%s is an SQLite database, but no hotadd journal",
                       j->path);
    if (version > SCHEMA_VERSION)
        return err_set(e, ERR_UNSUPPORTED,
                       "journal %s was written by a newer hotadd (schema %lld, this one "
                       "knows %d): use that version, or another journal",
                       j->path, (long long)version, SCHEMA_VERSION);
    *ret_version = version;
    return 0;
}

/* From any older version, 0 being an empty file, to this one. */
static int upgrade_schema(struct journal *j, int64_t version, struct err *e)
{
    if (version < 1 && db_exec(j, schema_1, e) < 0)
        return -1;
    if (version < 2 && db_exec(j, schema_2, e) < 0)
        return -1;
    return db_exec(j, "PRAGMA application_id = 0x48414444; PRAGMA user_version = 2", e);
}

static int set_up(struct journal *j, struct err *e)
{
    int64_t version = 0;

    if (db_exec(j,
                "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                "PRAGMA foreign_keys = ON",
                e) < 0 ||
        check_ours(j, &version, e) < 0)
        return -1;
    /* WAL is a property of the file: asking for it where it is costs no write. */
    if (db_exec(j, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", e) < 0)
        return -1;
    if (version < SCHEMA_VERSION &&
        (db_begin(j, e) < 0 || db_end(j, upgrade_schema(j, version, e), e) < 0))
        return -1;
    return check_sound(j, e);
}

static int open_db(struct journal *j, struct err *e)
{
    int rc = sqlite3_open_v2(
        j->path, &j->db,
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);

    if (rc != SQLITE_OK)
        return db_fail(j, rc, e);
    sqlite3_busy_timeout(j->db, BUSY_WAIT_MS);
    if (sqlite3_db_config(j->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK)
        return err_set(e, ERR_FAILED, "journal %s: cannot be set up", j->path);
    return 0;
}

/* Two processes that meet at a new journal: one makes the schema, the other waits. */
static int lock_schema(struct journal *j, struct err *e)
{
    uint64_t deadline_ns = clock_mono_ns() + BUSY_WAIT_MS * NS_PER_MS;

    for (;;) {
        const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
        int r = lock_try(j->lock_fd, LOCK_BYTE_SCHEMA, e);

        if (r != 0)
            return r < 0 ? -1 : 0;
        if (clock_mono_ns() > deadline_ns)
            return err_set(e, ERR_BUSY, "journal %s: another process is opening it",
                           j->path);
        nanosleep(&pause, NULL);
    }
}

static int open_parts(struct journal *j, const char *path, struct err *e)
{
    auto_free char *real = NULL;
    int r;

    if (create_file(path, e) < 0)
        return -1;
    /* One journal has one lock file, under whatever name it was reached. */
    real = realpath(path, NULL);
    if (!real)
        return err_sys(e, "journal %s", path);
    j->path = take_ptr(real);
    if (lock_open(j->path, &j->lock_fd, e) < 0 || lock_schema(j, e) < 0)
        return -1;
    r = open_db(j, e);
    if (r == 0)
        r = set_up(j, e);
    lock_drop(j->lock_fd, LOCK_BYTE_SCHEMA);
    return r;
}

int journal_open(const char *path, struct journal **ret, struct err *e)
{
    auto_journal struct journal *j = mem_zalloc(1, sizeof *j, e);

    if (!j)
        return -1;
    j->lock_fd = -1;
    if (open_parts(j, path, e) < 0)
        return -1;
    *ret = take_ptr(j);
    return 0;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    /* Everything committed is durable already; this only folds the WAL back. */
    sqlite3_close(j->db);
    if (j->lock_fd >= 0)
        close(j->lock_fd);
    free(j->path);
    free(j);
}

const char *journal_path(const struct journal *j)
{
    return j->path;
}
