/* Live Sync: replicas of machines, kept fresh from their backups.
 *
 * A *sync* is one machine of a repository and the EBS volumes (its *replica*) that hold
 * one of its recovery points exactly. A *pass* brings the replica to a newer point and
 * writes only what differs between the two. docs/live-sync.md tells the whole story, with
 * the state diagram.
 *
 * What outlives a pass is a record in the journal (job/record.h); each pass is a job of
 * kind "sync". Two rules make it safe for whoever asks in the middle of a pass:
 *   - before a pass writes, the point that the replica holds exists as completed
 *     snapshots, and
 *   - the record moves to the new point, with its snapshots, in one transaction, when all
 *     disks are flushed.
 * So sync_clone_sources() always names a complete recovery point, whatever fails.
 *
 * Threads: as struct journal: one at a time. All calls block. Outputs are untouched on
 * failure unless said otherwise. */
#ifndef HOTADD_SYNC_SYNC_H
#define HOTADD_SYNC_SYNC_H

#include "base/strv.h"
#include "flow/flow.h"
#include "job/job.h"

#include <jansson.h>
#include <stdint.h>

#define TAG_SYNC "hotadd:sync" /* on replica volumes and snapshots: the sync's name */

/* ---- states and commands ---- */

enum sync_state {
    SYNC_NEW,          /* created; the first pass has not seeded the replica yet */
    SYNC_ACTIVE,       /* the replica holds a point; passes bring it forward */
    SYNC_PAUSED,       /* the same, but passes wait for resume */
    SYNC_NEEDS_RESYNC, /* what the volumes hold is not known any more: resync */
    SYNC_FAILING_OVER, /* a failover began: clones are made and launched */
    SYNC_FAILED_OVER,  /* an instance runs in the machine's place; passes stopped */
    SYNC_UNDOING,      /* undo-failover began */
    SYNC_FAILING_BACK, /* the instance is being backed up into the repository */
    SYNC_FAILED_BACK,  /* the repository has the instance's state as newest point */
    SYNC_COMMITTED,    /* for good: the instance (or the source) stays; nothing follows */
    SYNC_DELETING,     /* delete began and has not removed everything yet */
    SYNC_STATES
};
const char *sync_state_name(enum sync_state s); /* "needs-resync" */

enum sync_command {
    SYNC_RUN,
    SYNC_PAUSE,
    SYNC_RESUME,
    SYNC_RESYNC,
    SYNC_DELETE,
    SYNC_VERIFY,
    SYNC_TEST,
    SYNC_FAILOVER,
    SYNC_UNDO_FAILOVER,
    SYNC_FAILBACK,
    SYNC_COMMIT,
    SYNC_COMMANDS
};
const char *sync_command_name(enum sync_command c); /* "undo-failover" */

/* 0 when the command may be given in that state. ERR_USAGE says what to do instead; the
 * name is for the message. The table is in states.c. */
int sync_allowed(const char *name, enum sync_state s, enum sync_command c,
                 struct err *e) err_warn_unused;

/* ---- what people ask for ---- */

/* The words of `sync create`. All borrowed; 0 and NULL: the default. */
struct sync_config {
    const char *name; /* of the sync: letters, digits, '-', '_', '.' */
    /* source is the machine, "ID" or "vm/ID", without a time; repo, ns, key… as for
     * restore. The other fields are for the replica's volumes (volume_type, encrypted,
     * …) and for the instances of test and failover. */
    const struct restore_params *params;
    const char *group;       /* passes of a group run together, apart from others */
    uint64_t group_priority; /* smaller groups first (100) */
    uint64_t group_delay_s;  /* `run` waits so long before this group */
    uint64_t priority;       /* within the group, smaller first (100) */
    uint64_t rpo_s;          /* the replica should never be older (3600) */
    const char *window;      /* "22:00-06:00", several with commas; NULL: always */
    const char *keep;   /* "last=3,hourly=24,daily=7,weekly=4,monthly=12"; NULL: last=3 */
    bool keep_attached; /* between passes, while slots allow it */
};

/* Checks the words and the repository, and notes the sync. Nothing is created in the
 * cloud before the first pass. ERR_EXISTS. */
int sync_create(const struct sync_config *config, const struct flow_env *env,
                struct err *e) err_warn_unused;

struct sync_run_how {
    /* "ID@TIME": not the newest point but that one, which must not be older than the
     * replica's. NULL: the newest. */
    const char *to;
    uint64_t max_rate; /* bytes a second; 0: as the sync says */
};

/* One pass of one sync. An interrupted pass is finished first. `how` may be NULL.
 * *ret_result (owned; set also on failure, when there is something to say): {sync, state,
 * outcome: "synced", "current", "failed", from, to, changed_bytes, data_bytes,
 * written_bytes, seconds, job, error}. ERR_BUSY: another process works on this sync. */
int sync_run(const char *name, const struct sync_run_how *how, const struct flow_env *env,
             json_t **ret_result, struct err *e) err_warn_unused;

struct sync_many {
    const struct strv *names; /* NULL or empty: all that may run */
    uint64_t concurrency;     /* passes at once; 0: 2 */
    uint64_t max_rate;        /* bytes a second, of all passes together; 0: no limit */
    const char *program;      /* NULL: this one; passes are `PROGRAM sync run NAME` */
};

/* One pass of each, by group and priority, each in a process of its own. *ret_result: an
 * array of what sync_run() says of each, with "exit" (its exit code), in the order of
 * their ends; set also on failure. Returns 0 when all ended well. */
int sync_run_many(const struct sync_many *how, const struct flow_env *env,
                  json_t **ret_result, struct err *e) err_warn_unused;

struct sync_watch {
    struct sync_many many;
    uint64_t poll_s;  /* looks into repositories at least so often; 0: 60 */
    uint64_t retry_s; /* after a failed pass, doubled each time up to an hour; 0: 60 */
};

/* Serves until env->cancel: notices new points (inotify for folders, polling for all),
 * starts passes inside their windows. Returns 0 after a clean stop: passes were asked to
 * stop and have ended. */
int sync_watch(const struct sync_watch *how, const struct flow_env *env,
               struct err *e) err_warn_unused;

/* Array of what sync_show() gives, without its history. Owned. Reads the journal only. */
int sync_list(const struct flow_env *env, json_t **ret, struct err *e) err_warn_unused;

/* {name, state, vm, repo, created, group, group_priority, group_delay_s, priority,
 *  window, keep, keep_attached,
 *  point, point_time, newest, newest_time, newest_seen (times: RFC 3339 or null),
 *  lag_s (age of what the replica holds; null before the seed), rpo_s, rpo_met,
 *  job (of an unfinished pass, or null), running (a process works on it now),
 *  error (null or {message, kind, time}), disks: [{name, size_bytes, volume}],
 *  points: [{point, time, pinned_by: […], snapshots: [{disk, snapshot}]}] newest first,
 *  passes, total_written_bytes, last (as in history),
 *  history: [{started, ended, from, to, changed_bytes, data_bytes, written_bytes,
 *             seconds, error}] newest first,
 *  failover, tests (what failover code keeps; null)}. Owned. */
int sync_show(const char *name, const struct flow_env *env, json_t **ret,
              struct err *e) err_warn_unused;

int sync_pause(const char *name, const struct flow_env *env,
               struct err *e) err_warn_unused;
int sync_resume(const char *name, const struct flow_env *env,
                struct err *e) err_warn_unused;

/* Marks that the volumes' content is not known, and runs a pass that reads them and
 * writes what differs from the newest point. As sync_run(). */
int sync_resync(const char *name, const struct flow_env *env, json_t **ret_result,
                struct err *e) err_warn_unused;

enum sync_keep { SYNC_KEEP_NOTHING, SYNC_KEEP_SNAPSHOTS, SYNC_KEEP_ALL };

/* Ends the sync; what is kept loses its tags hotadd:* and is the user's from then on. May
 * be entered again after any failure. */
int sync_delete(const char *name, enum sync_keep keep, const struct flow_env *env,
                struct err *e) err_warn_unused;

/* Reads the replica's volumes and the recovery point and compares their digests. *ret
 * (owned): {sync, point, equal, disks: [{name, volume, size_bytes, point_digest,
 * volume_digest, equal}], seconds}. A difference is a result: *ret_equal, and the sync
 * needs a resync. */
int sync_verify(const char *name, const struct flow_env *env, json_t **ret,
                bool *ret_equal, struct err *e) err_warn_unused;

/* ---- for failover code (src/sync/failover*.c) ---- */

struct sync; /* one sync's record, opened */

enum sync_open {
    SYNC_LOOK,  /* reads, and small edits that others may make at the same time */
    SYNC_CLAIM, /* excludes passes and every other claim; ERR_BUSY */
};

/* `journal` is borrowed while the sync is open. ERR_NOT_FOUND lists what there is. */
int sync_open(struct journal *journal, const char *name, enum sync_open how,
              struct sync **ret, struct err *e) err_warn_unused;
void sync_close(struct sync *s);
DEFINE_AUTO_PTR(struct sync, sync_close)
#define auto_sync auto_call(sync_close_autop)

/* As last read; borrowed until the next call that takes the sync as non-const. */
const char *sync_name(const struct sync *s);
enum sync_state sync_state(const struct sync *s);
/* The words of create: where the repository is, the instance's options. params->source is
 * the machine without time. */
const struct restore_params *sync_params(const struct sync *s);
/* The whole record, for --json and for members not named here. */
const json_t *sync_body(const struct sync *s);

/* Reads the record again. */
int sync_reload(struct sync *s, struct err *e) err_warn_unused;

/* Changes the record in one transaction: `edit` changes the body it is given, and is
 * called again on a newer one when another process was faster. -1 from it changes
 * nothing. */
typedef int sync_edit_fn(json_t *body, void *ctx, struct err *e);
int sync_edit(struct sync *s, sync_edit_fn *edit, void *ctx,
              struct err *e) err_warn_unused;

/* Moves to another state and stores `detail` (borrowed; NULL: leave as it is) under
 * `member` ("failover", "tests"), in one transaction; allowed from `from` only (ERR_BUSY
 * when the state is another by now). */
int sync_move(struct sync *s, enum sync_state from, enum sync_state to,
              const char *member, const json_t *detail, struct err *e) err_warn_unused;

/* A point of the replica from which clones can be made. */
struct sync_clone_disk {
    char *name;          /* owned: "drive-scsi0.img" */
    uint64_t size_bytes; /* of the machine's disk */
    uint64_t size_gib;   /* of volume or snapshot */
    /* Owned; NULL unless this volume holds the point exactly now. It stays so only as
     * long as the caller holds a claim: CopyVolumes under it. */
    char *volume_id;
    /* Owned; "" when the point has no snapshot yet (volume_id is set then). */
    char *snapshot_id;
};

struct sync_clone {
    char *point;  /* owned: "vm/web01@2026-…" as restore takes it */
    int64_t time; /* of the backup */
    struct VEC(struct sync_clone_disk) disks; /* in the machine's order; first boots */
};
void sync_clone_release(struct sync_clone *c);
#define auto_sync_clone auto_call(sync_clone_release)

/* The clone sources of the point of that time, REPO_LATEST: of the one that the replica
 * holds (its last complete one, while a pass is writing). ERR_NOT_FOUND lists the points
 * there are. Reads the record only. */
int sync_clone_sources(const struct sync *s, int64_t time, struct sync_clone *ret,
                       struct err *e) err_warn_unused;

/* Keeps the snapshots of a point from being retired while `who` ("test j-…") uses them;
 * unpin with the same words. Unpinning what is not pinned is fine. */
int sync_pin(struct sync *s, int64_t time, const char *who,
             struct err *e) err_warn_unused;
int sync_unpin(struct sync *s, int64_t time, const char *who,
               struct err *e) err_warn_unused;

/* A pass on a sync that is claimed already, as sync_run(): the last one of a planned
 * failover. The state must be SYNC_ACTIVE, SYNC_NEW or SYNC_PAUSED. */
int sync_pass(struct sync *s, const char *to, const struct flow_env *env,
              json_t **ret_result, struct err *e) err_warn_unused;

#endif
