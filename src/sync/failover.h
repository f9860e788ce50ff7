/* Failover of a sync, in every direction: test, failover, undo, failback, commit. See
 * docs/live-sync.md for the states; which command may be given when is states.c.
 *
 * Neither the replica nor the source is ever booted or changed: what is launched are
 * clones. Everything that is made belongs to a job (kinds "test-failover", "failover",
 * "failback") of the journal. Threads and outputs: as in sync.h. */
#ifndef HOTADD_SYNC_FAILOVER_H
#define HOTADD_SYNC_FAILOVER_H

#include "sync/sync.h"

/* All borrowed; NULL and false: the default. */
struct failover_how {
    const char *at; /* time of a point; NULL: what the replica holds */
    /* Instance settings that count instead of the sync's own: those that are set. */
    const struct restore_params *instance;
    /* test: with the settings of sync_test_schedule() instead of `instance`. */
    bool scheduled;
    /* test: keep what was launched, for a look; `hotadd undo --done JOB` removes it. */
    bool keep;
    /* failover: while the source still runs, bring the replica up to date. */
    bool planned;
    /* Programs and their arguments, run without a shell, with HOTADD_SYNC, HOTADD_VM,
     * HOTADD_REPO and HOTADD_PHASE ("running", "stopped") in the environment. */
    const struct strv *backup_hook; /* makes a backup of the source */
    const struct strv *stop_hook;   /* stops the source */
};

/* Clones a point, converts the clone, launches it where nothing gets in or out, waits for
 * both status checks, keeps the evidence and removes everything. *ret (owned, set also
 * when it did not boot): {sync, job, point, started, ended, booted, seconds, instance_id,
 * kept, error, console} as the sync's "tests" keep it. -1 when it did not boot. */
int sync_test(const char *name, const struct failover_how *how,
              const struct flow_env *env, json_t **ret, struct err *e) err_warn_unused;

/* Notes that `sync watch` is to test every so often, with these instance settings; 0:
 * never. */
int sync_test_schedule(const char *name, uint64_t every_s,
                       const struct restore_params *instance, const struct flow_env *env,
                       struct err *e) err_warn_unused;

/* What a test's job kept: {console, screenshot_base64 (JPEG; null), instance, booted,
 * error}. Owned. `job` NULL: the newest test's. */
int sync_test_evidence(const char *name, const char *job, const struct flow_env *env,
                       json_t **ret, struct err *e) err_warn_unused;

/* Launches a clone in the machine's place. Goes on with one that was interrupted. *ret
 * (owned): the sync's "failover": {job, point, began, ended, planned, instance,
 * private_ip, …}. */
int sync_failover(const char *name, const struct failover_how *how,
                  const struct flow_env *env, json_t **ret,
                  struct err *e) err_warn_unused;

/* Removes the failover's instance and continues syncing. */
int sync_undo_failover(const char *name, const struct flow_env *env,
                       struct err *e) err_warn_unused;

struct failback_how {
    bool stop; /* stop the instance first: nothing it does afterwards would be in it */
    uint64_t max_rate;
};

/* Backs the running instance up into the repository, as a point of the sync's machine.
 * May be done again: the second reads what changed. *ret as sync_failover(), with member
 * "failback": {job, point, ended, stopped}. */
int sync_failback(const char *name, const struct failback_how *how,
                  const struct flow_env *env, json_t **ret,
                  struct err *e) err_warn_unused;

enum sync_replica { SYNC_REPLICA_KEEP, SYNC_REPLICA_RETIRE };

/* For good: after a failover the instance stays, after a failback the source, and the
 * instance is removed. A retired replica is deleted, and the sync with it. */
int sync_commit(const char *name, enum sync_replica replica, const struct flow_env *env,
                struct err *e) err_warn_unused;

/* `hotadd resume` and `hotadd undo` of these jobs. A test is undone; a failover and a
 * failback are answered with the command that goes on with them. */
bool failover_job_is(const struct flow_env *env, const char *id);
int failover_job_resume(const char *id, const struct flow_env *env, json_t **ret,
                        struct err *e) err_warn_unused;
int failover_job_undo(const char *id, const struct flow_env *env, json_t **ret,
                      struct err *e) err_warn_unused;

#endif
