/* Inside src/mover only: cutting one disk into tasks. */
#ifndef HOTADD_MOVER_PLAN_H
#define HOTADD_MOVER_PLAN_H

#include "disk/extent.h"
#include "disk/sink.h"
#include "disk/source.h"

#include <pthread.h>
#include <stdatomic.h>

/* Tasks begin and end at multiples of the sink's blocks, and of this where it has none,
 * or at the end of the disk: the strictest alignment of O_DIRECT. */
#define TASK_ALIGN 4096u
/* Cancellation and progress wait no longer than for this much zeroing. */
#define TASK_MAX_ZERO_BYTES (64u << 20)

enum task_kind {
    TASK_FETCH,    /* one unit, fetched straight into the buffer */
    TASK_ASSEMBLE, /* several units, or parts of units */
    TASK_ZERO,     /* reads as zeros */
    TASK_SKIP,     /* durable already */
};

/* What the sink holds in a task's range before it is written. */
enum task_holds {
    HOLDS_UNKNOWN, /* anything */
    HOLDS_ZEROS,   /* zeros: what is zero need not be written */
    HOLDS_BASE,    /* what the base holds: what is equal need not be written */
};

struct task {
    enum task_kind kind;
    enum task_holds holds;
    uint64_t offset, len; /* in the sink */
    struct unit unit;     /* of TASK_FETCH */
};

/* A source that is read for this disk. */
struct feed {
    struct source *source; /* borrowed; NULL: none */
    uint64_t limit_bytes;  /* largest fetch; a multiple of its unit_align */
    struct unit zeros; /* told of last; of no length: none. Guarded by the plan's lock */
};

struct plan {
    struct feed data, base;
    const struct sink *sink;
    const struct extent_set *already; /* may be NULL */
    uint64_t block_bytes;             /* tasks begin and end at multiples of it */
    uint64_t granule_bytes;           /* what is written or left as a whole */
    uint64_t base_end;                /* up to here the base says what the sink holds */
    uint64_t end;                     /* of what must be right in the sink */
    pthread_mutex_t lock;             /* guards the cursor's movement, and zeros */
    _Atomic uint64_t cursor;          /* read without the lock for fairness only */
};

struct plan_facts {
    struct source *source;
    struct source *base; /* may be NULL */
    const struct sink *sink;
    const struct extent_set *already; /* may be NULL */
    uint64_t piece_bytes;             /* tasks hold whole ones; 0, or a power of two */
};

/* Smallest buffer that holds any task of the disk. */
uint64_t plan_min_slot(const struct plan_facts *f);

/* ERR_REQUIREMENT when the sink is too small. slot_bytes is the size of the buffers: at
 * least plan_min_slot(). What the facts name is borrowed. */
int plan_init(struct plan *p, const struct plan_facts *f, uint64_t slot_bytes,
              struct err *e) err_warn_unused;
void plan_release(struct plan *p);

/* The next task; 0 when there is none left, 1 when *ret is one. Any thread. */
int plan_next(struct plan *p, struct task *ret, struct err *e) err_warn_unused;

/* Fills buf with the len bytes of the task; scratch is a second buffer of the same size,
 * not looked at for TASK_FETCH. Buffers are aligned to 4 KiB. */
int plan_fill(struct plan *p, const struct task *t, void *buf, void *scratch,
              struct err *e) err_warn_unused;
/* The same with what the base holds there. */
int plan_fill_base(struct plan *p, const struct task *t, void *buf, void *scratch,
                   struct err *e) err_warn_unused;

#endif
