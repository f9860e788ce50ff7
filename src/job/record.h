/* Records: what outlives jobs, in the journal's file. A record is a JSON object with a
 * name that is unique among those of its kind, and a version that every change raises:
 * who changes one says which version he saw, so no change is lost to another process.
 *
 * A record may account for cloud resources: `hotadd gc` takes none of those for an
 * orphan (journal_resource_owner()). Rules, threads and durability are the journal's;
 * nothing secret is put into a record. */
#ifndef HOTADD_JOB_RECORD_H
#define HOTADD_JOB_RECORD_H

#include "base/strv.h"
#include "job/journal.h"

struct record {
    char *name;       /* owned */
    uint64_t version; /* 1 when new */
    json_t *body;     /* owned object */
    int64_t created_s, updated_s;
};
void record_release(struct record *r); /* also of a zeroed one */
#define auto_record auto_call(record_release)
struct records VEC(struct record);
void records_release(struct records *v);
#define auto_records auto_call(records_release)

/* `resources` (borrowed, may be NULL): the cloud ids that the record accounts for from
 * now on. ERR_EXISTS. */
int record_create(struct journal *j, const char *kind, const char *name,
                  const json_t *body, const struct strv *resources,
                  struct err *e) err_warn_unused;

/* ERR_NOT_FOUND names the others of the kind. */
int record_get(struct journal *j, const char *kind, const char *name, struct record *ret,
               struct err *e) err_warn_unused;

/* Replaces body and resources of that version. ERR_BUSY (retryable): it has another
 * version by now, read it again. ERR_NOT_FOUND. */
int record_put(struct journal *j, const char *kind, const char *name, uint64_t version,
               const json_t *body, const struct strv *resources,
               struct err *e) err_warn_unused;

/* Removes that version. Gone already is success. ERR_BUSY as above. */
int record_remove(struct journal *j, const char *kind, const char *name, uint64_t version,
                  struct err *e) err_warn_unused;

/* All of the kind, by name. */
int record_list(struct journal *j, const char *kind, struct records *ret,
                struct err *e) err_warn_unused;

/* ---- claims: one process works on a record, for longer than a transaction ---- */

/* Dropped by the kernel with the process, like a job's. */
struct record_claim;

/* ERR_BUSY when another claim is alive; ERR_NOT_FOUND. Owned. */
int record_claim(struct journal *j, const char *kind, const char *name,
                 struct record_claim **ret, struct err *e) err_warn_unused;
void record_claim_drop(struct record_claim *c);

/* True while somebody has claimed it; a record that is gone is not claimed. */
bool record_claimed(struct journal *j, const char *kind, const char *name);

#endif
