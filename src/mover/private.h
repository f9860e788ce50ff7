/* Inside src/mover only: what the coordinator (the thread that called mover_run) and the
 * workers share. */
#ifndef HOTADD_MOVER_PRIVATE_H
#define HOTADD_MOVER_PRIVATE_H

#include "base/digest.h"
#include "base/vec.h"
#include "mover/mover.h"
#include "mover/pace.h"
#include "mover/plan.h"
#include "mover/tree.h"

#include <pthread.h>

/* What was written, for reading it back after the flush. */
struct record {
    size_t disk;
    uint64_t offset, len;
    enum { RECORD_DATA, RECORD_ZERO } kind;
    unsigned char sha256[SHA256_BYTES]; /* of RECORD_DATA */
};
struct records VEC(struct record);

/* The coordinator flushes a disk after this many tasks at the latest, and workers wait
 * when it cannot keep up: the lists below stay small however large the disk. */
#define SOFT_TASKS 8192
#define HARD_TASKS 32768

struct disk {
    const struct mover_disk *d; /* borrowed */
    struct plan plan;           /* locks itself */
    struct tree *tree;          /* owned, locks itself; NULL: no digest is wanted */
    size_t index;
    bool flush_failed; /* the coordinator's: all since the last flush is void */
    /* The rest is guarded by mover.lock. */
    bool exhausted;            /* the plan has no tasks left */
    struct extent_set written; /* complete since the last flush */
    struct records records;    /* of the same, when verifying */
    uint64_t unflushed_bytes;  /* written or zeroed by the sink since then */
    size_t unflushed_tasks;
    uint64_t flushed_ns;
};

struct mover {
    const struct mover_options *opt;
    struct disk *disks; /* owned */
    size_t n_disks;
    uint64_t pool_bytes; /* taken from the process's */
    uint64_t slot_bytes;
    unsigned n_workers;
    size_t slots_per_worker;
    bool use_ring;

    _Atomic bool stop; /* an error or a cancellation: set with the lock held */

    pthread_mutex_t lock;  /* guards everything below, and struct disk's tail */
    pthread_cond_t wakeup; /* of workers and coordinator, whenever these change */
    struct err error;      /* the first */
    size_t active;         /* tasks taken and not complete */
    bool finished;         /* workers may end */
    struct throttle throttle;
    struct records verify; /* being read back; verify_next are taken, verify_left open */
    size_t verify_next, verify_left;
    struct mover_result result;
    uint64_t position; /* bytes of all disks that are right in the sink */
};

/* Notes an error if it is the first, and stops everybody. */
void mover_fail(struct mover *m, const struct err *e);

/* What became of a task. */
struct outcome {
    uint64_t written_bytes, zeroed_bytes;
    unsigned char sha256[SHA256_BYTES]; /* of all its data, when verifying */
};

/* A task is complete: its writes succeeded, or nothing was to be written. Takes the
 * lock. */
void mover_task_done(struct mover *m, size_t disk, const struct task *t,
                     const struct outcome *o);
/* A task ended without being complete: the run has failed. Takes the lock. */
void mover_task_dropped(struct mover *m);

/* ---- worker.c ---- */

struct worker;
int worker_start(struct mover *m, struct worker **ret, struct err *e) err_warn_unused;
/* Waits for its end; frees it. Afterwards it has no write in flight. */
void worker_join(struct worker *w);

#endif
