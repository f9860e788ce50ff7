/* The lab's memory: documents by kind and id, kept whole in memory and written to
 * DIR/lab.db (SQLite, WAL) at each commit.
 *
 * A document is a JSON object whose members carry the names that EC2 puts on the wire
 * (volumeId, attachmentSet, …), so that an answer is a document written out. Members
 * beginning with '_' are the lab's own and never leave it; `_seq` orders documents of
 * all kinds by creation.
 *
 * Between commits, changes are private copies: a rollback forgets them, and a process
 * killed at any moment finds the last commit again. One thread at a time (the lab's
 * lock). */
#ifndef HOTADD_LAB_STORE_H
#define HOTADD_LAB_STORE_H

#include "base/err.h"
#include "base/json.h"

struct store;

/* Opens or makes the database at `path`. Blocks on the disk. */
int store_open(const char *path, struct store **ret, struct err *e) err_warn_unused;
void store_close(struct store *s);

/* The document as this transaction sees it, or NULL. Borrowed until the next change,
 * commit or rollback; not to be changed. */
const json_t *store_get(const struct store *s, const char *kind, const char *id);

/* A copy to change, written by the next commit; borrowed until then. ERR_NOT_FOUND. */
int store_edit(struct store *s, const char *kind, const char *id, json_t **ret,
               struct err *e) err_warn_unused;

/* Adds or replaces; takes `doc` over, also on failure (NULL counts as out of memory). */
int store_put(struct store *s, const char *kind, const char *id, json_t *doc,
              struct err *e) err_warn_unused;

/* Absent is fine. */
int store_delete(struct store *s, const char *kind, const char *id,
                 struct err *e) err_warn_unused;

/* Owned array of all documents of a kind in order of creation. The elements are shared:
 * not to be changed. */
int store_list(const struct store *s, const char *kind, json_t **ret,
               struct err *e) err_warn_unused;

/* On failure nothing is changed, in memory or on disk: roll back. */
int store_commit(struct store *s, struct err *e) err_warn_unused;
void store_rollback(struct store *s);

#endif
