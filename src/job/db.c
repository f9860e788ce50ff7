/* The journal's statements, errors and locks; see db.h.
 *
 * SQLite is trusted to be atomic: a crash inside a transaction leaves what was before
 * it. Locks are open-file-description locks, which end with the last descriptor of their
 * open(), so a killed process leaves none and threads of one process exclude each
 * other. */
#include "job/db.h"

#include "base/json.h"
#include "base/str.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>

int db_fail(struct journal *j, int rc, struct err *e)
{
    const char *text = j->db ? sqlite3_errmsg(j->db) : sqlite3_errstr(rc);
    int n = j->db ? sqlite3_system_errno(j->db) : 0;

    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return err_nomem(e);
    case SQLITE_FULL:
        return err_set(e, ERR_NOSPACE,
                       "journal %s: no space left on its disk: free some, then resume "
                       "the job",
                       j->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        err_set(e, ERR_BUSY, "journal %s: another process has kept it locked too long",
                j->path);
        e->retryable = true;
        return -1;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(e, ERR_INPUT,
                       "journal %s is damaged (%s): move it away; what its jobs made "
                       "carries the tag hotadd:job, and `hotadd gc` lists it",
                       j->path, text);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        if (n == 0)
            break;
        return err_sys_n(e, n, "journal %s: %s", j->path, text);
    default:
        break;
    }
    return err_set(e, ERR_FAILED, "journal %s: %s", j->path, text);
}

int db_exec(struct journal *j, const char *sql, struct err *e)
{
    int rc = sqlite3_exec(j->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : db_fail(j, rc, e);
}

static int bind_all(sqlite3_stmt *s, const char *types, va_list ap)
{
    int rc = SQLITE_OK;

    for (int i = 1; *types && rc == SQLITE_OK; types++, i++) {
        if (*types == 's') {
            rc = sqlite3_bind_text(s, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
        } else if (*types == 'i') {
            rc = sqlite3_bind_int64(s, i, va_arg(ap, int64_t));
        } else {
            uint64_t v = va_arg(ap, uint64_t);

            assert(*types == 'I');
            rc = v > INT64_MAX ? SQLITE_TOOBIG : sqlite3_bind_int64(s, i, (int64_t)v);
        }
    }
    return rc;
}

static int vquery(struct journal *j, sqlite3_stmt **ret, struct err *e, const char *sql,
                  const char *types, va_list ap)
{
    auto_stmt sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(j->db, sql, -1, &s, NULL);

    if (rc != SQLITE_OK)
        return db_fail(j, rc, e);
    assert((size_t)sqlite3_bind_parameter_count(s) == strlen(types));
    rc = bind_all(s, types, ap);
    if (rc == SQLITE_TOOBIG)
        return err_set(e, ERR_UNSUPPORTED, "journal %s: a number above 2^63", j->path);
    if (rc != SQLITE_OK)
        return db_fail(j, rc, e);
    *ret = take_ptr(s);
    return 0;
}

int db_query(struct journal *j, sqlite3_stmt **ret, struct err *e, const char *sql,
             const char *types, ...)
{
    va_list ap;
    int r;

    va_start(ap, types);
    r = vquery(j, ret, e, sql, types, ap);
    va_end(ap);
    return r;
}

int db_step(struct journal *j, sqlite3_stmt *s, struct err *e)
{
    int rc = sqlite3_step(s);

    if (rc == SQLITE_ROW)
        return 1;
    return rc == SQLITE_DONE ? 0 : db_fail(j, rc, e);
}

int db_run(struct journal *j, struct err *e, const char *sql, const char *types, ...)
{
    auto_stmt sqlite3_stmt *s = NULL;
    va_list ap;
    int r;

    va_start(ap, types);
    r = vquery(j, &s, e, sql, types, ap);
    va_end(ap);
    if (r < 0 || db_step(j, s, e) < 0)
        return -1;
    return sqlite3_changes(j->db);
}

int db_begin(struct journal *j, struct err *e)
{
    /* IMMEDIATE: the write lock now, where waiting for it is allowed, and not at the
     * first write, where SQLite may refuse. */
    return db_exec(j, "BEGIN IMMEDIATE", e);
}

int db_end(struct journal *j, int result, struct err *e)
{
    if (result >= 0 && db_exec(j, "COMMIT", e) < 0)
        result = -1;
    /* Some errors have rolled back already. */
    if (result < 0 && !sqlite3_get_autocommit(j->db))
        sqlite3_exec(j->db, "ROLLBACK", NULL, NULL, NULL);
    return result;
}

int db_text(struct journal *j, sqlite3_stmt *s, int col, char **ret, struct err *e)
{
    const unsigned char *text = sqlite3_column_text(s, col);
    char *copy = NULL;

    if (!text && sqlite3_column_type(s, col) != SQLITE_NULL)
        return err_nomem(e);
    if (text) {
        copy = str_dup((const char *)text, e);
        if (!copy)
            return -1;
    }
    *ret = copy;
    return 0;
}

int db_text_into(struct journal *j, sqlite3_stmt *s, int col, char *out, size_t out_len,
                 struct err *e)
{
    const char *text = (const char *)sqlite3_column_text(s, col);
    size_t len = text ? strlen(text) : 0;

    if (len >= out_len)
        return err_set(e, ERR_INPUT, "journal %s: column %s is too long", j->path,
                       sqlite3_column_name(s, col));
    memcpy(out, text ? text : "", len + 1);
    return 0;
}

int db_object(struct journal *j, sqlite3_stmt *s, int col, json_t **ret, struct err *e)
{
    const char *text = (const char *)sqlite3_column_text(s, col);
    json_t *v = NULL;

    if (!text) {
        *ret = NULL;
        return 0;
    }
    if (json_parse(text, strlen(text), sqlite3_column_name(s, col), &v, e) < 0)
        return err_prefix(e, "journal %s", j->path);
    *ret = v;
    return 0;
}

int db_word(struct journal *j, sqlite3_stmt *s, int col, const char *const *words,
            int *ret, struct err *e)
{
    const char *text = (const char *)sqlite3_column_text(s, col);

    for (int i = 0; text && words[i]; i++)
        if (str_eq(text, words[i])) {
            *ret = i;
            return 0;
        }
    return err_set(e, ERR_INPUT, "journal %s: \"%s\" is no %s", j->path, text ? text : "",
                   sqlite3_column_name(s, col));
}

uint64_t db_u64(sqlite3_stmt *s, int col)
{
    int64_t v = sqlite3_column_int64(s, col);

    return v < 0 ? 0 : (uint64_t)v;
}

int lock_open(const char *journal_path, int *ret_fd, struct err *e)
{
    auto_free char *path = str_fmt(e, "%s.lock", journal_path);
    int fd;

    if (!path)
        return -1;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_sys(e, "%s: open", path);
    *ret_fd = fd;
    return 0;
}

static struct flock one_byte(short type, int64_t byte)
{
    return (struct flock){
        .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
}

int lock_try(int fd, int64_t byte, struct err *e)
{
    struct flock f = one_byte(F_WRLCK, byte);

    if (fcntl(fd, F_OFD_SETLK, &f) == 0)
        return 1;
    if (errno == EAGAIN || errno == EACCES)
        return 0;
    return err_sys(e, "journal's lock file");
}

bool lock_held(int fd, int64_t byte)
{
    struct flock f = one_byte(F_WRLCK, byte);

    /* When in doubt it is held: taking a live job over would be worse. */
    return fcntl(fd, F_OFD_GETLK, &f) < 0 || f.l_type != F_UNLCK;
}

void lock_drop(int fd, int64_t byte)
{
    struct flock f = one_byte(F_UNLCK, byte);

    /* Unlocking a byte of an open file cannot fail. */
    if (fcntl(fd, F_OFD_SETLK, &f) < 0)
        assert(errno != EBADF);
}
