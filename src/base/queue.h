/* Bounded queue of pointers between threads. */
#ifndef HOTADD_BASE_QUEUE_H
#define HOTADD_BASE_QUEUE_H

#include "base/err.h"

#include <pthread.h>
#include <stddef.h>

struct queue {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t not_full, not_empty;
    void **items; /* owned ring of cap pointers; what they point at is the users' */
    size_t cap, head, count;
    bool closed;
};

int queue_init(struct queue *q, size_t cap, struct err *e) err_warn_unused;
void queue_release(struct queue *q);

/* Blocks while full. False when the queue was closed: item was not taken over. */
bool queue_push(struct queue *q, void *item);

/* Blocks while empty. NULL when the queue is closed and drained. */
void *queue_pop(struct queue *q);

/* Wakes everybody; pushes fail from now on, pops drain what is left. */
void queue_close(struct queue *q);

#endif
