/* Inside src/sync: the record of a sync, and what passes and commands share.
 *
 * The record's body, an object (docs/live-sync.md lists the members for people):
 *   state, config {params, group, priority, rpo_s, window, keep, keep_attached}
 *   point, time    what the replica holds; null and 0 before the first pass
 *   disks          [{name, size_bytes, size_gib, volume}] of that point, boot disk first
 *   points         [{point, time, pinned_by, snapshots: [{disk, size_bytes, size_gib,
 *                  snapshot}]}], newest first
 *   dirty          null, or {to, mixed, disks: {NAME: [[offset, len], …]}}: where a pass
 *                  that has begun to write may have touched the volumes; mixed: they may
 *                  hold anything there, else what `point` or `to` holds
 *   resync         true: nothing is known about what the volumes hold
 *   retired        ids of volumes and snapshots that no point needs any more and that are
 *                  to be deleted
 *   job            of the unfinished pass, or null
 *   newest, newest_time, newest_seen, error, passes, total_written_bytes, history,
 *   failover, tests */
#ifndef HOTADD_SYNC_PRIVATE_H
#define HOTADD_SYNC_PRIVATE_H

#include "aws/aws.h"
#include "flow/open_repo.h"
#include "job/record.h"
#include "sync/sync.h"

#define KIND_SYNC        "sync"        /* of records, and of the jobs of passes */
#define KIND_SYNC_VERIFY "sync-verify" /* of verify's jobs */

#define GIB ((uint64_t)1 << 30)

struct sync {
    struct journal *journal;    /* borrowed */
    struct record record;       /* owned */
    struct record_claim *claim; /* owned; NULL: only looking */
    struct restore_params params;
    enum sync_state state;
};

/* ---- record.c ---- */

/* Every cloud id that the body accounts for. */
int sync_body_resources(const json_t *body, struct strv *ret,
                        struct err *e) err_warn_unused;
int sync_body_state(const json_t *body, enum sync_state *ret,
                    struct err *e) err_warn_unused;

/* Sets members (taking over the value) in a transaction of their own. */
int sync_set(struct sync *s, const char *member, json_t *value,
             struct err *e) err_warn_unused;

/* The point's entry in body.points, NULL: none. Borrowed. */
json_t *sync_point_of(const json_t *body, const char *point);
/* The same, made where it belongs (newest first) when there is none. */
int sync_point_need(json_t *body, const char *point, int64_t time, json_t **ret,
                    struct err *e) err_warn_unused;
/* The snapshot of the disk in an entry of points, NULL: none. Borrowed. */
const char *sync_snapshot_of(const json_t *point, const char *disk);
/* The entry of body.disks with that name, NULL: none. Borrowed. */
json_t *sync_disk_of(const json_t *body, const char *name);

/* The sync's member of the config, or the fallback. */
const char *sync_word(const struct sync *s, const char *member, const char *fallback);
uint64_t sync_number(const struct sync *s, const char *member, uint64_t fallback);
bool sync_flag(const struct sync *s, const char *member);

int sync_connect(const struct sync *s, const struct flow_env *env, struct aws **ret,
                 struct err *e) err_warn_unused;
struct repo_where sync_where(const struct sync *s);

/* ---- create.c ---- */

/* The newest finished point of the sync's machine: its text (owned) and time. *ret_point
 * is NULL when the machine has none. The repository's other errors pass through. */
int sync_newest(const struct restore_params *params, const struct cancel *cancel,
                char **ret_point, int64_t *ret_time, struct err *e) err_warn_unused;

/* ---- show.c ---- */

/* A member of a record's part that holds Unix seconds (0: none), as people read it: RFC
 * 3339 or null. */
int sync_times_to_text(json_t *o, const char *member, struct err *e) err_warn_unused;

int sync_name_check(const char *name, struct err *e) err_warn_unused;

#endif
