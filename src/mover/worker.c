/* One thread of the copy; see mover.h and docs/mover.md.
 *
 * A worker owns its buffers and its ring and shares nothing but struct mover. It never
 * waits for a buffer that another thread holds: when it has none left it waits for its
 * own writes, so no two workers can wait for each other. It ends with nothing in flight.
 */
#include "mover/private.h"

#include "base/clock.h"
#include "base/shared.h"
#include "base/str.h"
#include "mover/ring.h"
#include "mover/zero.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

struct slot {
    unsigned char *buf;
    struct slot *next_free;
    size_t disk;
    struct task task;
    unsigned pending; /* writes not ended, and one for the worker while it queues */
    bool failed;
    struct outcome outcome;
};

struct worker {
    struct mover *m;
    pthread_t thread;
    unsigned char *arena; /* owned mapping of arena_len */
    size_t arena_len;
    struct slot *slots; /* owned */
    struct slot *free;
    size_t n_free;
    size_t *held; /* owned: slots in use per disk */
    struct ring ring;
};

static bool hashing(const struct mover *m)
{
    return m->opt->verify != MOVER_VERIFY_NONE || m->opt->check != MOVER_CHECK_NONE;
}

/* ---- slots ---- */

static void slot_end(struct worker *w, struct slot *s)
{
    struct mover *m = w->m;
    unsigned char now[SHA256_BYTES];

    if (!s->failed && m->opt->check == MOVER_CHECK_BUFFERS) {
        digest_sha256(s->buf, s->task.len, now);
        if (memcmp(now, s->outcome.sha256, sizeof now) != 0) {
            struct err e;

            err_set(&e, ERR_FAILED, "bug: a buffer changed while it was written");
            mover_fail(m, &e);
            s->failed = true;
        }
    }
    if (s->failed)
        mover_task_dropped(m);
    else
        mover_task_done(m, s->disk, &s->task, &s->outcome);
    w->held[s->disk]--;
    s->next_free = w->free;
    w->free = s;
    w->n_free++;
}

static void write_ended(void *ctx, void *owner, const struct err *e)
{
    struct worker *w = ctx;
    struct slot *s = owner;

    if (e) {
        mover_fail(w->m, e);
        s->failed = true;
    }
    if (--s->pending == 0)
        slot_end(w, s);
}

/* Waits until n slots are free. */
static void need_slots(struct worker *w, size_t n)
{
    while (w->n_free < n) {
        assert(w->ring.in_flight);
        ring_reap(&w->ring, RING_WAIT, write_ended, w);
    }
}

static struct slot *take_slot(struct worker *w, size_t disk, const struct task *t)
{
    struct slot *s = w->free;

    assert(s);
    w->free = s->next_free;
    w->n_free--;
    w->held[disk]++;
    s->disk = disk;
    s->task = *t;
    s->pending = 1;
    s->failed = false;
    s->outcome = (struct outcome){0};
    return s;
}

/* ---- copying ---- */

/* Waits as --max-rate wants; -1 when the run was stopped meanwhile. */
static int pace(struct mover *m, uint64_t bytes)
{
    uint64_t until_ns, now_ns = clock_mono_ns();
    struct err ignored;

    if (m->opt->max_bytes_per_s == 0)
        return 0;
    pthread_mutex_lock(&m->lock);
    until_ns = now_ns + throttle_take(&m->throttle, now_ns, bytes);
    pthread_mutex_unlock(&m->lock);
    while ((now_ns = clock_mono_ns()) < until_ns) {
        uint64_t left_ns = until_ns - now_ns;

        if (atomic_load(&m->stop) ||
            cancel_sleep_ns(m->opt->cancel,
                            left_ns < 50 * NS_PER_MS ? left_ns : 50 * NS_PER_MS,
                            &ignored) < 0)
            return -1;
    }
    return 0;
}

static struct sink *sink_of(const struct worker *w, size_t disk)
{
    return w->m->disks[disk].d->sink;
}

/* What is compared and, where the sink has blocks, written at once. */
static size_t granule(const struct worker *w, size_t disk)
{
    return (size_t)w->m->disks[disk].plan.granule_bytes;
}

static void queue_write(struct worker *w, struct slot *s, size_t at, size_t len)
{
    s->pending++;
    s->outcome.written_bytes += len;
    ring_write(&w->ring, sink_of(w, s->disk), s->buf + at, len, s->task.offset + at, s,
               write_ended, w);
}

static int zero_range(struct worker *w, size_t disk, uint64_t offset, uint64_t len,
                      struct outcome *o)
{
    struct sink *sink = sink_of(w, disk);
    struct err e = ERR_INIT;

    if (sink->ops->zero(sink, offset, len, &e) < 0) {
        mover_fail(w->m, &e);
        return -1;
    }
    o->zeroed_bytes += len;
    return 0;
}

/* A run of the slot that the sink does not hold yet. */
static void put_run(struct worker *w, struct slot *s, size_t at, size_t len)
{
    if (!zero_all(s->buf + at, len))
        queue_write(w, s, at, len);
    else if (zero_range(w, s->disk, s->task.offset + at, len, &s->outcome) < 0)
        s->failed = true;
}

/* A sink with blocks takes them one by one, so that those of zeros are told apart. */
static void put(struct worker *w, struct slot *s, size_t at, size_t len)
{
    size_t block = sink_of(w, s->disk)->block_bytes ? granule(w, s->disk) : len;

    for (size_t n; len; at += n, len -= n) {
        n = len < block ? len : block;
        put_run(w, s, at, n);
    }
}

/* Writes what the sink does not hold yet: on one that holds anything all of it, else
 * what differs from `base` (NULL: zeros). */
static void write_slot(struct worker *w, struct slot *s, const unsigned char *base)
{
    size_t len = (size_t)s->task.len, pos = 0, at, n;

    if (s->task.holds == HOLDS_UNKNOWN)
        put(w, s, 0, len);
    else
        while (diff_next(s->buf, base, len, granule(w, s->disk), &pos, &at, &n))
            put(w, s, at, n);
    ring_submit(&w->ring, write_ended, w);
}

static void count_fetched(struct mover *m, const struct task *t)
{
    uint64_t n = t->kind == TASK_FETCH ? t->unit.len : t->kind == TASK_ZERO ? 0 : t->len;

    pthread_mutex_lock(&m->lock);
    m->result.data_bytes += n;
    m->result.compared_bytes += t->holds == HOLDS_BASE ? t->len : 0;
    pthread_mutex_unlock(&m->lock);
}

/* Buffers for the time of one task, while it is not queued: nothing of them is written,
 * so they stay in the list of free ones. */
struct spare {
    unsigned char *scratch, *base;
};

static struct spare spare_buffers(struct worker *w, const struct task *t)
{
    struct slot *first = w->free;
    struct spare x = {0};

    if (t->kind != TASK_FETCH || t->holds == HOLDS_BASE)
        x.scratch = first->buf;
    if (t->holds == HOLDS_BASE)
        x.base = first->next_free->buf;
    return x;
}

static void copy_data(struct worker *w, size_t disk, const struct task *t)
{
    struct mover *m = w->m;
    struct disk *d = &m->disks[disk];
    struct plan *p = &d->plan;
    struct err e = ERR_INIT;
    struct spare x;
    struct slot *s;

    need_slots(w, t->holds == HOLDS_BASE ? 3 : t->kind == TASK_ASSEMBLE ? 2 : 1);
    s = take_slot(w, disk, t);
    x = spare_buffers(w, t);
    if (pace(m, x.base ? 2 * t->len : t->len) < 0) {
        s->failed = true;
    } else if (plan_fill(p, t, s->buf, x.scratch, &e) < 0 ||
               (x.base && plan_fill_base(p, t, x.base, x.scratch, &e) < 0)) {
        mover_fail(m, &e);
        s->failed = true;
    } else if (d->tree && tree_add(d->tree, t->offset, s->buf, t->len, &e) < 0) {
        mover_fail(m, &e);
        s->failed = true;
    } else {
        count_fetched(m, t);
        if (hashing(m))
            digest_sha256(s->buf, t->len, s->outcome.sha256);
        write_slot(w, s, x.base);
    }
    write_ended(w, s, NULL);
}

/* Zeroes what the base has there. */
static int zero_over_base(struct worker *w, size_t disk, const struct task *t,
                          struct outcome *o)
{
    size_t pos = 0, at, n;
    struct err e = ERR_INIT;
    struct spare x;

    need_slots(w, 2);
    x = spare_buffers(w, t);
    if (pace(w->m, t->len) < 0)
        return -1;
    if (plan_fill_base(&w->m->disks[disk].plan, t, x.base, x.scratch, &e) < 0) {
        mover_fail(w->m, &e);
        return -1;
    }
    count_fetched(w->m, t);
    while (diff_next(x.base, NULL, (size_t)t->len, granule(w, disk), &pos, &at, &n))
        if (zero_range(w, disk, t->offset + at, n, o) < 0)
            return -1;
    return 0;
}

static void make_zero(struct worker *w, size_t disk, const struct task *t)
{
    struct tree *tree = w->m->disks[disk].tree;
    struct outcome o = {0};
    struct err e = ERR_INIT;
    int r = 0;

    if (tree && tree_add_zeros(tree, t->offset, t->len, &e) < 0) {
        mover_fail(w->m, &e);
        r = -1;
    } else if (t->holds == HOLDS_BASE)
        r = zero_over_base(w, disk, t, &o);
    else if (t->holds == HOLDS_UNKNOWN)
        r = zero_range(w, disk, t->offset, t->len, &o);
    if (r < 0)
        mover_task_dropped(w->m);
    else
        mover_task_done(w->m, disk, t, &o);
}

static void do_task(struct worker *w, size_t disk, const struct task *t)
{
    static const struct outcome nothing;

    switch (t->kind) {
    case TASK_FETCH:
    case TASK_ASSEMBLE:
        copy_data(w, disk, t);
        break;
    case TASK_ZERO:
        make_zero(w, disk, t);
        break;
    case TASK_SKIP:
        mover_task_done(w->m, disk, t, &nothing);
        break;
    }
}

/* ---- verifying ---- */

static int differs(const struct sink *sink, const struct record *r, struct err *e)
{
    return err_set(e, ERR_FAILED,
                   "%s: bytes %" PRIu64 " to %" PRIu64
                   " read back differently from what was written: do not use this disk",
                   sink->desc, r->offset, r->offset + r->len - 1);
}

static int verify_record(struct worker *w, const struct record *r, struct err *e)
{
    struct sink *sink = w->m->disks[r->disk].d->sink;
    unsigned char now[SHA256_BYTES], *buf = w->free->buf;

    for (uint64_t done = 0; done < r->len;) {
        uint64_t left = r->len - done;
        size_t n = (size_t)(left < w->m->slot_bytes ? left : w->m->slot_bytes);

        if (sink->ops->read(sink, buf, n, r->offset + done, e) < 0)
            return -1;
        if (r->kind == RECORD_ZERO && !zero_all(buf, n))
            return differs(sink, r, e);
        done += n;
    }
    if (r->kind == RECORD_ZERO)
        return 0;
    /* Data was written from one buffer, so it fits into one. */
    digest_sha256(buf, (size_t)r->len, now);
    return memcmp(now, r->sha256, sizeof now) == 0 ? 0 : differs(sink, r, e);
}

static void do_verify(struct worker *w, const struct record *r)
{
    struct mover *m = w->m;
    struct err e = ERR_INIT;
    int failed;

    need_slots(w, 1);
    failed = verify_record(w, r, &e) < 0;
    if (failed)
        mover_fail(m, &e);
    pthread_mutex_lock(&m->lock);
    m->verify_left--;
    if (!failed)
        m->result.verified_bytes += r->len;
    pthread_cond_broadcast(&m->wakeup);
    pthread_mutex_unlock(&m->lock);
}

/* ---- choosing ---- */

enum work { WORK_END, WORK_WAIT, WORK_VERIFY, WORK_TASK };

/* The disk with the smallest part done, so that all end together, whatever their sizes.
 * While several are left, none holds more than half of a worker's buffers: one slow
 * volume must not keep the others waiting. -1: none at the moment. */
static ssize_t pick_disk(struct worker *w)
{
    struct mover *m = w->m;
    size_t open = 0, cap;
    double least = 0;
    ssize_t best = -1;

    for (size_t i = 0; i < m->n_disks; i++)
        open += !m->disks[i].exhausted;
    cap = open > 1 ? (m->slots_per_worker + 1) / 2 : m->slots_per_worker;
    for (size_t i = 0; i < m->n_disks; i++) {
        struct disk *d = &m->disks[i];
        double part;

        if (d->exhausted || d->unflushed_tasks >= HARD_TASKS || w->held[i] >= cap)
            continue;
        /* The cursor ends at a whole block, which may be far behind a very small disk. */
        part = (double)atomic_load(&d->plan.cursor) / (double)(d->plan.end + 1);
        if (best < 0 || part < least) {
            least = part;
            best = (ssize_t)i;
        }
    }
    return best;
}

static enum work choose(struct worker *w, struct record *ret_record, size_t *ret_disk)
{
    struct mover *m = w->m;
    enum work work = WORK_WAIT;
    ssize_t i;

    pthread_mutex_lock(&m->lock);
    if (atomic_load(&m->stop) || m->finished) {
        work = WORK_END;
    } else if (m->verify_next < m->verify.n) {
        *ret_record = m->verify.v[m->verify_next++];
        work = WORK_VERIFY;
    } else if ((i = pick_disk(w)) >= 0) {
        m->active++;
        *ret_disk = (size_t)i;
        work = WORK_TASK;
    } else if (w->ring.in_flight == 0) {
        /* Whoever changes the state broadcasts with the lock held. */
        pthread_cond_wait(&m->wakeup, &m->lock);
    }
    pthread_mutex_unlock(&m->lock);
    return work;
}

static void run_task(struct worker *w, size_t disk)
{
    struct mover *m = w->m;
    struct task t = {0};
    struct err e = ERR_INIT;
    int r = plan_next(&m->disks[disk].plan, &t, &e);

    if (r > 0) {
        do_task(w, disk, &t);
        return;
    }
    if (r < 0) {
        mover_fail(m, &e);
    } else {
        pthread_mutex_lock(&m->lock);
        m->disks[disk].exhausted = true;
        pthread_mutex_unlock(&m->lock);
    }
    mover_task_dropped(m);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct record record;
    struct err e;
    size_t disk = 0;
    enum work work;

    while ((work = choose(w, &record, &disk)) != WORK_END) {
        if (cancel_check(w->m->opt->cancel, &e) < 0)
            mover_fail(w->m, &e);
        ring_reap(&w->ring, work == WORK_WAIT ? RING_WAIT : RING_POLL, write_ended, w);
        if (work == WORK_VERIFY)
            do_verify(w, &record);
        else if (work == WORK_TASK)
            run_task(w, disk);
    }
    while (w->ring.in_flight)
        ring_reap(&w->ring, RING_WAIT, write_ended, w);
    return NULL;
}

/* ---- beginning and end ---- */

static void worker_free(struct worker *w)
{
    if (!w)
        return;
    ring_release(&w->ring);
    if (w->m->opt->shared_buffers)
        shared_free(w->arena);
    else if (w->arena)
        munmap(w->arena, w->arena_len);
    free(w->slots);
    free(w->held);
    free(w);
}

DEFINE_AUTO_PTR(struct worker, worker_free)

static int make_arena(bool shared, size_t bytes, void **ret, struct err *e)
{
    void *p;

    if (shared)
        return shared_alloc(bytes, ret, e);
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return err_sys(e, "buffers of %zu bytes", bytes);
    *ret = p;
    return 0;
}

static int make_slots(struct worker *w, struct err *e)
{
    struct mover *m = w->m;
    size_t n = m->slots_per_worker;
    void *p;

    w->held = mem_zalloc(m->n_disks, sizeof *w->held, e);
    w->slots = mem_zalloc(n, sizeof *w->slots, e);
    if (!w->held || !w->slots)
        return -1;
    w->arena_len = n * m->slot_bytes;
    if (make_arena(m->opt->shared_buffers, w->arena_len, &p, e) < 0)
        return -1;
    w->arena = p;
    while (n-- > 0) {
        w->slots[n].buf = w->arena + n * m->slot_bytes;
        w->slots[n].next_free = w->free;
        w->free = &w->slots[n];
        w->n_free++;
    }
    return 0;
}

int worker_start(struct mover *m, struct worker **ret, struct err *e)
{
    auto_call(worker_free_autop) struct worker *w = mem_zalloc(1, sizeof *w, e);
    int r;

    if (!w)
        return -1;
    w->m = m;
    if (make_slots(w, e) < 0)
        return -1;
    ring_init(&w->ring, w->arena, w->arena_len, m->use_ring);
    r = pthread_create(&w->thread, NULL, worker_main, w);
    if (r)
        return err_sys_n(e, r, "starting a thread");
    pthread_mutex_lock(&m->lock);
    m->result.io_uring |= w->ring.on;
    m->result.registered |= w->ring.registered;
    m->result.pool_bytes += w->arena_len;
    m->result.workers++;
    pthread_mutex_unlock(&m->lock);
    *ret = take_ptr(w);
    return 0;
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
    worker_free(w);
}
