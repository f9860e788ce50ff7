/* Inside src/mover only: the writes of one worker, through its own io_uring where there
 * is one, else by the sink's operations at once. One thread. */
#ifndef HOTADD_MOVER_RING_H
#define HOTADD_MOVER_RING_H

#include "disk/sink.h"

#include <liburing.h>

#define RING_ENTRIES 128

struct ring_op {
    struct sink *sink;
    const unsigned char *buf;
    uint64_t offset;
    uint32_t len;
    void *owner;
    struct ring_op *next_free;
};

struct ring {
    struct io_uring uring;
    bool on;         /* io_uring is there */
    bool registered; /* the arena is known to the kernel */
    unsigned in_flight, unsubmitted;
    struct ring_op ops[RING_ENTRIES];
    struct ring_op *free;
};

/* arena: all buffers that will be written from. Never fails: without io_uring, writes go
 * out by operations. */
void ring_init(struct ring *r, void *arena, size_t arena_len, bool want);
void ring_release(struct ring *r); /* nothing may be in flight */

/* Called when a write has ended: e is NULL after success. */
typedef void ring_done_fn(void *ctx, void *owner, const struct err *e);

/* Queues a write of at most 1 GiB; buf stays unchanged until done was called for owner,
 * which may be before this returns. May wait for earlier writes. */
void ring_write(struct ring *r, struct sink *sink, const void *buf, size_t len,
                uint64_t offset, void *owner, ring_done_fn *done, void *ctx);

/* Hands queued writes to the kernel. */
void ring_submit(struct ring *r, ring_done_fn *done, void *ctx);

enum ring_wait { RING_POLL, RING_WAIT };

/* Takes what has ended; RING_WAIT: blocks for at least one when any is in flight. */
void ring_reap(struct ring *r, enum ring_wait wait, ring_done_fn *done, void *ctx);

#endif
