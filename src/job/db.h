/* Inside src/job only: the journal's connection and the few shapes of statements it
 * needs. */
#ifndef HOTADD_JOB_DB_H
#define HOTADD_JOB_DB_H

#include "base/auto.h"
#include "base/err.h"

#include <jansson.h>
#include <sqlite3.h>
#include <stdint.h>

struct journal {
    sqlite3 *db; /* owned */
    char *path;  /* owned */
    int lock_fd; /* the lock file, for the schema's byte and for probing; owned */
};

static inline void stmt_autop(sqlite3_stmt **s)
{
    sqlite3_finalize(*s); /* NULL is fine; the error was reported by the step */
}
#define auto_stmt auto_call(stmt_autop)

/* Fills e from the connection's last error; returns -1. */
int db_fail(struct journal *j, int rc, struct err *e);

/* One or more statements without parameters or results. */
int db_exec(struct journal *j, const char *sql, struct err *e) err_warn_unused;

/* Prepares and binds. `types` has a letter per parameter: s (const char *, NULL for
 * NULL), i (int64_t), I (uint64_t that must fit into int64_t). Texts are borrowed until
 * the statement is finalized. */
int db_query(struct journal *j, sqlite3_stmt **ret, struct err *e, const char *sql,
             const char *types, ...) err_warn_unused;

/* db_query() and a step, for statements without results. Returns the number of rows
 * changed, or -1. */
int db_run(struct journal *j, struct err *e, const char *sql, const char *types,
           ...) err_warn_unused;

/* 1: a row; 0: no more; -1. */
int db_step(struct journal *j, sqlite3_stmt *s, struct err *e) err_warn_unused;

/* A write transaction: `begin`, then `end` with what the work between returned. end
 * commits after 0 or more and rolls back after -1, whose error it keeps. */
int db_begin(struct journal *j, struct err *e) err_warn_unused;
int db_end(struct journal *j, int result, struct err *e) err_warn_unused;

/* Columns. Texts and objects are owned; NULL columns give NULL. Text that a damaged or
 * foreign file could hold is ERR_INPUT. */
int db_text(struct journal *j, sqlite3_stmt *s, int col, char **ret,
            struct err *e) err_warn_unused;
int db_object(struct journal *j, sqlite3_stmt *s, int col, json_t **ret,
              struct err *e) err_warn_unused;
/* Copies into a fixed buffer; longer is ERR_INPUT. */
int db_text_into(struct journal *j, sqlite3_stmt *s, int col, char *out, size_t out_len,
                 struct err *e) err_warn_unused;
/* Position of the text in a NULL-terminated list of words. */
int db_word(struct journal *j, sqlite3_stmt *s, int col, const char *const *words,
            int *ret, struct err *e) err_warn_unused;
uint64_t db_u64(sqlite3_stmt *s, int col);

/* ---- locks: bytes of PATH.lock, dropped by the kernel with their process ---- */

#define LOCK_BYTE_SCHEMA   0
#define LOCK_BYTE_JOB(seq) ((seq) + 1)

int lock_open(const char *journal_path, int *ret_fd, struct err *e) err_warn_unused;
/* 1: locked now; 0: somebody else has it. */
int lock_try(int fd, int64_t byte, struct err *e) err_warn_unused;
/* True when somebody holds it through another descriptor. */
bool lock_held(int fd, int64_t byte);
void lock_drop(int fd, int64_t byte);

#endif
