/* Inside src/sync: passes as processes of their own, for `run` of several and `watch`.
 * One process per pass keeps a crash, a stuck device or a leak to one machine. */
#ifndef HOTADD_SYNC_MANY_H
#define HOTADD_SYNC_MANY_H

#include "base/child.h"
#include "sync/private.h"

#define DEFAULT_CONCURRENCY 2

/* One sync as the scheduler sees it. */
struct turn {
    char *name, *group; /* owned */
    uint64_t group_priority, group_delay_s, priority;
    struct child child; /* pid -1: no pass runs */
    struct buf out;     /* what its pass said on standard output… */
    struct buf log;     /* …and on standard error: JSON lines, errors only */
    bool done;          /* `run`: its pass has ended */

    /* watch.c */
    uint64_t check_ns;          /* when the repository is looked into next */
    uint64_t not_before_ns;     /* after a failure */
    unsigned failures;          /* in a row */
    int watch_dir, watch_point; /* inotify; -1: none */
    bool listed;                /* still among the records */
};
struct turns VEC(struct turn *); /* each owned */
void turns_release(struct turns *v);
#define auto_turns auto_call(turns_release)

/* A new turn from a record; NULL with e set. */
struct turn *turn_new(const struct sync *s, struct err *e);
void turn_free(struct turn *t); /* its child must have ended */
/* By group priority, group, priority, name. */
void turns_sort(struct turns *v);

/* Starts `PROGRAM sync run --json --quiet NAME`. */
int turn_start(struct turn *t, const struct sync_many *how, const struct flow_env *env,
               struct err *e) err_warn_unused;
/* Takes what the child has written. Called when its pipe is readable or it has ended. */
void turn_read(struct turn *t);
/* Reaps a child that has ended: *ret_exit is its exit code (128 + signal). 0 while it
 * runs, else 1. *ret_result (owned) is what it said, with "sync" and "exit". */
int turn_reap(struct turn *t, int *ret_exit, json_t **ret_result,
              struct err *e) err_warn_unused;

/* How many children run. */
size_t turns_running(const struct turns *v);
/* Waits for a child to end, a stop, `fd` (-1: none) to be readable, or timeout_ms. */
int turns_poll(struct turns *v, const struct cancel *cancel, int fd, int timeout_ms,
               struct err *e) err_warn_unused;
/* SIGTERM to all; waits until they have ended. They stop at the next unit of data. */
void turns_stop(struct turns *v);

/* One line for the log. */
void turn_tell(const struct turn *t, const json_t *result, int exit_code);

#endif
