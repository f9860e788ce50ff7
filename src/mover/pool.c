/* The budget of the process; see pool.h. The one mutable global of this folder. */
#include "mover/pool.h"

#include "base/clock.h"
#include "base/minmax.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/queue.h>
#include <time.h>

#define LOOK_NS (50 * NS_PER_MS) /* for cancellation, while waiting */

struct waiter {
    STAILQ_ENTRY(waiter) next;
};

static struct {
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    uint64_t free_bytes;
    STAILQ_HEAD(, waiter) waiters; /* in order of arrival; each lives on its own stack */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .changed = PTHREAD_COND_INITIALIZER,
          .free_bytes = POOL_BYTES,
          .waiters = STAILQ_HEAD_INITIALIZER(pool.waiters)};

/* With the lock held. */
static void wait_a_moment(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += (long)LOOK_NS;
    if (ts.tv_nsec >= (long)NS_PER_S) {
        ts.tv_nsec -= (long)NS_PER_S;
        ts.tv_sec++;
    }
    pthread_cond_timedwait(&pool.changed, &pool.lock, &ts);
}

int pool_take(uint64_t min_bytes, uint64_t want_bytes, const struct cancel *cancel,
              uint64_t *ret_bytes, struct err *e)
{
    struct waiter me;
    uint64_t n;
    int r = 0;

    assert(min_bytes && min_bytes <= want_bytes);
    if (min_bytes > POOL_BYTES)
        return err_set(e, ERR_USAGE,
                       "the disks need buffers of %" PRIu64
                       " bytes together; there are %" PRIu64,
                       min_bytes, (uint64_t)POOL_BYTES);
    pthread_mutex_lock(&pool.lock);
    STAILQ_INSERT_TAIL(&pool.waiters, &me, next);
    while (r == 0 &&
           (STAILQ_FIRST(&pool.waiters) != &me || pool.free_bytes < min_bytes)) {
        r = cancel_check(cancel, e);
        if (r == 0)
            wait_a_moment();
    }
    STAILQ_REMOVE(&pool.waiters, &me, waiter, next);
    if (r == 0) {
        n = max64(min64(want_bytes, pool.free_bytes / 2), min_bytes);
        pool.free_bytes -= n;
        *ret_bytes = n;
    }
    pthread_cond_broadcast(&pool.changed);
    pthread_mutex_unlock(&pool.lock);
    return r;
}

void pool_give_back(uint64_t bytes)
{
    pthread_mutex_lock(&pool.lock);
    pool.free_bytes += bytes;
    assert(pool.free_bytes <= POOL_BYTES);
    pthread_cond_broadcast(&pool.changed);
    pthread_mutex_unlock(&pool.lock);
}
