/* The coordinator of a copy: starts workers, flushes, reports; see mover.h.
 *
 * What a crash leaves: sinks with any mixture of old and new in ranges that were not
 * reported as durable, and the data of the source in those that were. The set of a disk's
 * completed writes is taken before its flush and reported after it, so a write that
 * completes during a flush waits for the next. */
#include "mover/private.h"
#include "mover/pool.h"

#include "base/clock.h"
#include "base/minmax.h"
#include "base/str.h"

#include <assert.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define DEFAULT_POOL_BYTES (64ull << 20) /* at most */
/* Large enough for the device and for what a task costs; and what a worker has in all its
 * buffers should still be in the processor's caches when it is written. */
#define DEFAULT_SLOT_BYTES  (2ull << 20)
#define DEFAULT_FLUSH_BYTES (512ull << 20)
#define DEFAULT_FLUSH_NS    (5 * NS_PER_S)
#define TICK_NS             (50 * NS_PER_MS)
#define REPORT_NS           (200 * NS_PER_MS)
#define MAX_WORKERS         64

void mover_fail(struct mover *m, const struct err *e)
{
    pthread_mutex_lock(&m->lock);
    if (m->error.kind == ERR_NONE)
        m->error = *e;
    atomic_store(&m->stop, true);
    pthread_cond_broadcast(&m->wakeup);
    pthread_mutex_unlock(&m->lock);
}

/* With the lock held. */
static int note_written(struct mover *m, struct disk *d, const struct task *t,
                        const struct outcome *o, struct err *e)
{
    uint64_t end = min64(t->offset + t->len, d->plan.end);
    struct record r = {.disk = d->index, .offset = t->offset, .len = t->len};

    if (extent_set_add(&d->written, t->offset, end - t->offset, e) < 0)
        return -1;
    if (++d->unflushed_tasks == SOFT_TASKS)
        pthread_cond_broadcast(&m->wakeup);
    if (m->opt->verify == MOVER_VERIFY_NONE ||
        (t->kind == TASK_ZERO && t->holds == HOLDS_ZEROS))
        return 0;
    r.kind = t->kind == TASK_ZERO ? RECORD_ZERO : RECORD_DATA;
    memcpy(r.sha256, o->sha256, sizeof r.sha256);
    return vec_push(&d->records, r, e);
}

static bool all_exhausted(const struct mover *m)
{
    bool all = true;

    for (size_t i = 0; i < m->n_disks; i++)
        all &= m->disks[i].exhausted;
    return all;
}

/* With the lock held. Wakes the coordinator only where it has something to do: there are
 * tens of thousands of these in a second. */
static void end_task(struct mover *m)
{
    assert(m->active);
    if (--m->active == 0 && all_exhausted(m))
        pthread_cond_broadcast(&m->wakeup);
}

void mover_task_dropped(struct mover *m)
{
    pthread_mutex_lock(&m->lock);
    end_task(m);
    pthread_mutex_unlock(&m->lock);
}

void mover_task_done(struct mover *m, size_t disk, const struct task *t,
                     const struct outcome *o)
{
    struct disk *d = &m->disks[disk];
    struct err e = ERR_INIT;
    int r = 0;

    pthread_mutex_lock(&m->lock);
    m->position += min64(t->offset + t->len, d->plan.end) - t->offset;
    m->result.written_bytes += o->written_bytes;
    m->result.zeroed_bytes += o->zeroed_bytes;
    d->unflushed_bytes += o->written_bytes + o->zeroed_bytes;
    if (t->kind == TASK_SKIP)
        m->result.already_bytes += t->len;
    else
        r = note_written(m, d, t, o, &e);
    end_task(m);
    pthread_mutex_unlock(&m->lock);
    if (r < 0)
        mover_fail(m, &e);
}

/* ---- sizes ---- */

static unsigned usable_cores(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    return (unsigned)CPU_COUNT(&set);
}

static struct plan_facts facts_of(const struct mover_disk *d)
{
    return (struct plan_facts){.source = d->source,
                               .base = d->base,
                               .sink = d->sink,
                               .already = d->already,
                               .piece_bytes = d->sha256 ? TREE_PIECE_BYTES : 0};
}

/* What the disks need: buffers of at least min_bytes, better of want_bytes; and so many
 * for each worker at least: one to fill while the other is written or holds what is taken
 * apart, one for a base. */
struct needs {
    uint64_t min_bytes, want_bytes;
    uint64_t slots, want_slots;
    uint64_t workers;     /* wanted */
    uint64_t total_bytes; /* of all disks; saturates */
};

static void need_of_source(const struct source *s, struct needs *n)
{
    n->want_bytes = max64(n->want_bytes, s->fetch_bytes);
    n->workers = max64(n->workers, s->calls_at_once);
}

static void need_of_disk(const struct mover_disk *d, struct needs *n)
{
    struct plan_facts f = facts_of(d);

    n->min_bytes = max64(n->min_bytes, plan_min_slot(&f));
    n->workers = max64(n->workers, d->sink->calls_at_once);
    need_of_source(d->source, n);
    if (__builtin_add_overflow(n->total_bytes, d->source->size_bytes, &n->total_bytes))
        n->total_bytes = UINT64_MAX;
    if (!d->base)
        return;
    need_of_source(d->base, n);
    n->slots = 3;
}

static struct needs needs_of(const struct mover *m, const struct mover_disk *disks)
{
    struct needs n = {.min_bytes = TASK_ALIGN,
                      .want_bytes = DEFAULT_SLOT_BYTES,
                      .slots = 2,
                      .workers = max64(usable_cores(), 1)};

    for (size_t i = 0; i < m->n_disks; i++)
        need_of_disk(&disks[i], &n);
    if (m->opt->workers)
        n.workers = m->opt->workers;
    n.workers = min64(n.workers, MAX_WORKERS);
    n.want_bytes = max64(n.want_bytes, n.min_bytes);
    /* Of several disks none may hold more than half of them. */
    n.want_slots = 2 * n.slots * (m->n_disks > 1 ? 2 : 1);
    return n;
}

/* Chooses buffer size and number of workers so that all buffers fit into what the pool
 * gives and every worker has as many as it needs. */
static void choose_sizes(struct mover *m, const struct needs *n)
{
    uint64_t workers = min64(n->workers, m->pool_bytes / n->slots / n->min_bytes);
    uint64_t min = n->min_bytes, want, slots;

    /* Multiples of `min`, whose power-of-two factor the units of the sources need. */
    want = min64(n->want_bytes, m->pool_bytes / workers / n->want_slots);
    m->slot_bytes = want > min ? want - want % min : min;
    slots = m->pool_bytes / workers / m->slot_bytes;
    /* Small disks do not need a large pool. */
    m->slots_per_worker =
        (size_t)min64(slots, n->total_bytes / m->slot_bytes + n->slots + 1);
    m->n_workers = (unsigned)workers;
}

static int take_memory(struct mover *m, const struct mover_disk *disks, struct err *e)
{
    struct needs n = needs_of(m, disks);
    uint64_t want = m->opt->pool_bytes, min = n.slots * n.min_bytes;

    if (want && want < min)
        return err_set(e, ERR_USAGE,
                       "a buffer pool of %" PRIu64
                       " bytes is too small: the disks need %" PRIu64,
                       want, min);
    /* Large blocks are no reason to let all but one worker rest. */
    if (!want)
        want = max64(min64(n.workers * n.want_slots * n.want_bytes, DEFAULT_POOL_BYTES),
                     min * usable_cores());
    want = min64(want, POOL_BYTES);
    if (pool_take(min, max64(want, min), m->opt->cancel, &m->pool_bytes, e) < 0)
        return -1;
    choose_sizes(m, &n);
    return 0;
}

/* ---- progress ---- */

struct report {
    struct meter meter;
    uint64_t reported_ns;
    uint64_t total_bytes, data_total_bytes;
};

static uint64_t data_total(const struct mover *m)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < m->n_disks; i++) {
        const struct mover_disk *d = m->disks[i].d;

        /* How much of it an earlier run has fetched is not known. */
        if (d->source->data_bytes_hint == UINT64_MAX || (d->already && d->already->n))
            return UINT64_MAX;
        sum += d->source->data_bytes_hint;
    }
    return sum;
}

static void report_now(struct mover *m, struct report *r, uint64_t now_ns)
{
    struct progress_state s = {.what = m->opt->what ? m->opt->what : "copy",
                               .total_bytes = r->total_bytes};
    struct eta_facts f = {.total_bytes = r->total_bytes,
                          .data_total_bytes = r->data_total_bytes};

    pthread_mutex_lock(&m->lock);
    f.done_bytes = s.done_bytes = m->position;
    f.data_bytes = s.data_bytes = m->result.data_bytes;
    f.start_bytes = m->result.already_bytes;
    pthread_mutex_unlock(&m->lock);
    meter_add(&r->meter, now_ns, s.data_bytes);
    f.bytes_per_s = s.bytes_per_s = meter_rate(&r->meter);
    s.eta_s = eta_seconds(&f);
    r->reported_ns = now_ns;
    progress_report(m->opt->progress, &s);
}

/* ---- coordinating ---- */

/* One turn of every wait of the coordinator: cancellation and progress. */
static void tick(struct mover *m, struct report *r)
{
    uint64_t now_ns = clock_mono_ns();
    struct err e;

    if (cancel_check(m->opt->cancel, &e) < 0)
        mover_fail(m, &e);
    if (now_ns - r->reported_ns >= REPORT_NS)
        report_now(m, r, now_ns);
}

/* With the lock held: sleeps until something changes, or a tick. */
static void wait_tick(struct mover *m)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_nsec += (long)TICK_NS;
    if (ts.tv_nsec >= (long)NS_PER_S) {
        ts.tv_nsec -= (long)NS_PER_S;
        ts.tv_sec++;
    }
    pthread_cond_timedwait(&m->wakeup, &m->lock, &ts);
}

/* Lets the workers read back what was flushed; returns when all is compared or the run
 * has stopped. Takes the records over. */
static void verify_all(struct mover *m, struct report *r, struct records *records)
{
    bool more;

    pthread_mutex_lock(&m->lock);
    m->verify = *records;
    m->verify_next = 0;
    m->verify_left = records->n;
    *records = (struct records){0};
    pthread_cond_broadcast(&m->wakeup);
    pthread_mutex_unlock(&m->lock);
    do {
        tick(m, r);
        pthread_mutex_lock(&m->lock);
        more = m->verify_left && !atomic_load(&m->stop);
        if (more)
            wait_tick(m);
        pthread_mutex_unlock(&m->lock);
    } while (more);
    if (atomic_load(&m->stop))
        return; /* workers may still be at it */
    pthread_mutex_lock(&m->lock);
    vec_release(&m->verify);
    m->verify_next = 0;
    pthread_mutex_unlock(&m->lock);
}

static int flush_sink(struct disk *d, struct err *e)
{
    struct sink *s = d->d->sink;

    if (s->ops->flush(s, e) == 0)
        return 0;
    if (!strstr(e->msg, s->desc))
        err_prefix(e, "%s", s->desc);
    return -1;
}

/* Flushes one disk and reports what that made durable. `written` is ours already. */
static int make_durable(struct mover *m, struct report *r, struct disk *d,
                        const struct extent_set *written, struct records *records,
                        struct err *e)
{
    if (flush_sink(d, e) < 0) {
        d->flush_failed = true;
        return -1;
    }
    if (records->n) {
        verify_all(m, r, records);
        if (atomic_load(&m->stop))
            return 0; /* not known to be right: not reported */
    }
    if (!d->d->durable)
        return 0;
    return d->d->durable(d->d->durable_ctx, d->index, written->v, written->n, e);
}

static int flush_disk(struct mover *m, struct report *r, struct disk *d, struct err *e)
{
    auto_extent_set struct extent_set written = {0};
    struct records records = {0};
    int result = 0;

    pthread_mutex_lock(&m->lock);
    written = d->written;
    records = d->records;
    d->written = (struct extent_set){0};
    d->records = (struct records){0};
    d->unflushed_bytes = 0;
    d->unflushed_tasks = 0;
    d->flushed_ns = clock_mono_ns();
    pthread_cond_broadcast(&m->wakeup);
    pthread_mutex_unlock(&m->lock);
    if (written.n)
        result = make_durable(m, r, d, &written, &records, e);
    vec_release(&records);
    return result;
}

static bool flush_is_due(struct mover *m, struct disk *d, uint64_t now_ns)
{
    uint64_t bytes = m->opt->flush_interval_bytes, ns = m->opt->flush_interval_ns;
    bool due;

    pthread_mutex_lock(&m->lock);
    due = d->written.n && (d->unflushed_bytes >= (bytes ? bytes : DEFAULT_FLUSH_BYTES) ||
                           d->unflushed_tasks >= SOFT_TASKS ||
                           now_ns - d->flushed_ns >= (ns ? ns : DEFAULT_FLUSH_NS));
    pthread_mutex_unlock(&m->lock);
    return due;
}

/* Waits for a tick or a change; true when every task of every disk is complete. */
static bool wait_for_workers(struct mover *m)
{
    bool all;

    pthread_mutex_lock(&m->lock);
    all = m->active == 0 && all_exhausted(m);
    if (!all && !atomic_load(&m->stop))
        wait_tick(m);
    pthread_mutex_unlock(&m->lock);
    return all;
}

static void coordinate(struct mover *m, struct report *r)
{
    struct err e = ERR_INIT;
    bool all = false;

    while (!all && !atomic_load(&m->stop)) {
        uint64_t now_ns;

        all = wait_for_workers(m);
        tick(m, r);
        now_ns = clock_mono_ns();
        for (size_t i = 0; i < m->n_disks && !atomic_load(&m->stop); i++)
            if ((all || flush_is_due(m, &m->disks[i], now_ns)) &&
                flush_disk(m, r, &m->disks[i], &e) < 0)
                mover_fail(m, &e);
    }
    pthread_mutex_lock(&m->lock);
    m->finished = true;
    pthread_cond_broadcast(&m->wakeup);
    pthread_mutex_unlock(&m->lock);
}

/* After a stop, with the workers gone: what they completed need not be copied again.
 * What cannot be verified any more is not reported, and the first error stays. */
static void save_the_rest(struct mover *m, struct report *r)
{
    for (size_t i = 0; i < m->n_disks; i++) {
        struct disk *d = &m->disks[i];
        struct err ignored = ERR_INIT;

        if (m->opt->verify != MOVER_VERIFY_NONE || d->flush_failed)
            continue;
        if (flush_disk(m, r, d, &ignored) < 0)
            continue;
    }
}

/* ---- beginning and end ---- */

static void release(struct mover *m)
{
    for (size_t i = 0; m->disks && i < m->n_disks; i++) {
        plan_release(&m->disks[i].plan);
        tree_free(m->disks[i].tree);
        extent_set_release(&m->disks[i].written);
        vec_release(&m->disks[i].records);
    }
    free(m->disks);
    pool_give_back(m->pool_bytes);
    vec_release(&m->verify);
    pthread_cond_destroy(&m->wakeup);
    pthread_mutex_destroy(&m->lock);
}

static void init_locks(struct mover *m)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&m->wakeup, &attr);
    pthread_condattr_destroy(&attr);
    atomic_init(&m->stop, false);
}

static int init_disks(struct mover *m, const struct mover_disk *disks, struct err *e)
{
    uint64_t now_ns = clock_mono_ns();

    m->disks = mem_zalloc(m->n_disks, sizeof *m->disks, e);
    if (!m->disks)
        return -1;
    for (size_t i = 0; i < m->n_disks; i++) {
        struct plan_facts f = facts_of(&disks[i]);
        struct disk *d = &m->disks[i];

        d->d = &disks[i];
        d->index = i;
        d->flushed_ns = now_ns;
        if (disks[i].sha256 && disks[i].already && disks[i].already->n)
            return err_set(e, ERR_USAGE,
                           "%s: no digest of a copy that an earlier run began",
                           disks[i].source->desc);
        if (plan_init(&d->plan, &f, m->slot_bytes, e) < 0 ||
            (disks[i].sha256 && tree_new(disks[i].source->size_bytes, &d->tree, e) < 0))
            return -1;
        m->result.total_bytes += disks[i].source->size_bytes;
    }
    return 0;
}

/* Signals are the main thread's: a worker must not be the one a handler runs on. */
static void start_workers(struct mover *m, struct worker **workers)
{
    struct err e = ERR_INIT;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < m->n_workers; i++)
        if (worker_start(m, &workers[i], &e) < 0) {
            mover_fail(m, &e);
            break;
        }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void run(struct mover *m)
{
    struct worker *workers[MAX_WORKERS] = {0};
    struct report r = {.data_total_bytes = data_total(m)};

    for (size_t i = 0; i < m->n_disks; i++)
        r.total_bytes += m->disks[i].plan.end;
    report_now(m, &r, clock_mono_ns());
    start_workers(m, workers);
    coordinate(m, &r);
    for (unsigned i = 0; i < MAX_WORKERS; i++)
        if (workers[i])
            worker_join(workers[i]);
    if (atomic_load(&m->stop))
        save_the_rest(m, &r);
    for (size_t i = 0; i < m->n_disks && !atomic_load(&m->stop); i++)
        if (m->disks[i].tree)
            tree_final(m->disks[i].tree, m->disks[i].d->sha256);
    report_now(m, &r, clock_mono_ns());
}

int mover_run(const struct mover_disk *disks, size_t n, const struct mover_options *opt,
              struct mover_result *ret, struct err *e)
{
    uint64_t start_ns = clock_mono_ns();
    struct mover m = {.opt = opt,
                      .n_disks = n,
                      .use_ring = opt->io == MOVER_IO_AUTO,
                      .throttle = {.bytes_per_s = opt->max_bytes_per_s}};

    if (n == 0) {
        *ret = m.result;
        return 0;
    }
    init_locks(&m);
    if (take_memory(&m, disks, &m.error) == 0 && init_disks(&m, disks, &m.error) == 0)
        run(&m);
    m.result.elapsed_ns = clock_mono_ns() - start_ns;
    *ret = m.result;
    if (m.error.kind != ERR_NONE)
        *e = m.error;
    release(&m);
    return m.error.kind == ERR_NONE ? 0 : -1;
}
