/* Inside src/mover only: cutting one disk into tasks. */
#ifndef HOTADD_MOVER_PLAN_H
#define HOTADD_MOVER_PLAN_H

#include "disk/extent.h"
#include "disk/sink.h"
#include "disk/source.h"

#include <pthread.h>
#include <stdatomic.h>

/* Tasks begin and end at multiples of this, or at the end of the disk: the strictest
 * alignment of O_DIRECT. */
#define TASK_ALIGN 4096u
/* Cancellation and progress wait no longer than for this much zeroing. */
#define TASK_MAX_ZERO_BYTES (64u << 20)

enum task_kind {
    TASK_FETCH,    /* one unit, fetched straight into the buffer */
    TASK_ASSEMBLE, /* parts of several units whose borders are not aligned */
    TASK_ZERO,     /* reads as zeros; on a known-zero sink nothing is to be done */
    TASK_SKIP,     /* durable already */
};

struct task {
    enum task_kind kind;
    uint64_t offset, len; /* in the sink */
    struct unit unit;     /* of TASK_FETCH */
};

struct plan {
    struct source *source;
    const struct sink *sink;
    const struct extent_set *already; /* may be NULL */
    uint64_t limit_bytes;             /* largest fetch; a multiple of unit_align */
    uint64_t end;                     /* of what must be right in the sink */
    pthread_mutex_t lock;             /* guards the cursor's movement */
    _Atomic uint64_t cursor;          /* read without the lock for fairness only */
};

/* ERR_REQUIREMENT when the sink is too small. slot_bytes is the size of the buffers: at
 * least plan_min_slot(). */
int plan_init(struct plan *p, struct source *source, const struct sink *sink,
              const struct extent_set *already, uint64_t slot_bytes,
              struct err *e) err_warn_unused;
void plan_release(struct plan *p);

/* Smallest buffer that holds any task of the source. */
uint64_t plan_min_slot(const struct source *source);

/* The next task; 0 when there is none left, 1 when *ret is one. Any thread. */
int plan_next(struct plan *p, struct task *ret, struct err *e) err_warn_unused;

/* Fills buf with the len bytes of the task; scratch is a second buffer of the same
 * size. */
int plan_fill(struct plan *p, const struct task *t, void *buf, void *scratch,
              struct err *e) err_warn_unused;

#endif
