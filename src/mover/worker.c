/* One thread of the copy; see mover.h and docs/mover.md.
 *
 * A worker owns its buffers and its ring and shares nothing but struct mover. It never
 * waits for a buffer that another thread holds: when it has none left it waits for its
 * own writes, so no two workers can wait for each other. It ends with nothing in flight.
 */
#include "mover/private.h"

#include "base/clock.h"
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
    uint64_t written_bytes;
    unsigned char sha256[SHA256_BYTES];
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
        if (memcmp(now, s->sha256, sizeof now) != 0) {
            struct err e;

            err_set(&e, ERR_FAILED, "bug: a buffer changed while it was written");
            mover_fail(m, &e);
            s->failed = true;
        }
    }
    if (s->failed)
        mover_task_dropped(m);
    else
        mover_task_done(m, s->disk, &s->task, s->written_bytes, s->sha256);
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
    s->written_bytes = 0;
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

static void queue_write(struct worker *w, struct slot *s, size_t at, size_t len)
{
    struct sink *sink = w->m->disks[s->disk].d->sink;

    s->pending++;
    s->written_bytes += len;
    ring_write(&w->ring, sink, s->buf + at, len, s->task.offset + at, s, write_ended, w);
}

static void zero_range(struct worker *w, struct slot *s)
{
    struct sink *sink = w->m->disks[s->disk].d->sink;
    struct err e = ERR_INIT;

    if (sink->ops->zero(sink, s->task.offset, s->task.len, &e) < 0) {
        mover_fail(w->m, &e);
        s->failed = true;
    }
}

/* On a sink known to be zero only the data goes out; elsewhere everything does, but a
 * buffer of nothing but zeros as one zero operation. */
static void write_slot(struct worker *w, struct slot *s)
{
    size_t len = (size_t)s->task.len, pos = 0, at, n;

    if (w->m->disks[s->disk].d->sink->known_zero) {
        while (zero_next_data(s->buf, len, &pos, &at, &n))
            queue_write(w, s, at, n);
    } else if (zero_all(s->buf, len)) {
        zero_range(w, s);
    } else {
        queue_write(w, s, 0, len);
    }
    ring_submit(&w->ring, write_ended, w);
}

static void count_fetched(struct mover *m, const struct task *t)
{
    pthread_mutex_lock(&m->lock);
    m->result.data_bytes += t->kind == TASK_FETCH ? t->unit.len : t->len;
    pthread_mutex_unlock(&m->lock);
}

static void copy_data(struct worker *w, size_t disk, const struct task *t)
{
    struct mover *m = w->m;
    struct slot *s, *scratch;
    struct err e = ERR_INIT;

    need_slots(w, t->kind == TASK_ASSEMBLE ? 2 : 1);
    s = take_slot(w, disk, t);
    scratch = t->kind == TASK_ASSEMBLE ? w->free : NULL;
    if (pace(m, t->len) < 0) {
        s->failed = true;
    } else if (plan_fill(&m->disks[disk].plan, t, s->buf, scratch ? scratch->buf : NULL,
                         &e) < 0) {
        mover_fail(m, &e);
        s->failed = true;
    } else {
        count_fetched(m, t);
        if (hashing(m))
            digest_sha256(s->buf, t->len, s->sha256);
        write_slot(w, s);
    }
    write_ended(w, s, NULL);
}

static void do_task(struct worker *w, size_t disk, const struct task *t)
{
    struct sink *sink = w->m->disks[disk].d->sink;
    struct err e = ERR_INIT;

    switch (t->kind) {
    case TASK_FETCH:
    case TASK_ASSEMBLE:
        copy_data(w, disk, t);
        return;
    case TASK_ZERO:
        if (!sink->known_zero && sink->ops->zero(sink, t->offset, t->len, &e) < 0) {
            mover_fail(w->m, &e);
            mover_task_dropped(w->m);
            return;
        }
        break;
    case TASK_SKIP:
        break;
    }
    mover_task_done(w->m, disk, t, 0, NULL);
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
    double least = 2;
    ssize_t best = -1;

    for (size_t i = 0; i < m->n_disks; i++)
        open += !m->disks[i].exhausted;
    cap = open > 1 ? (m->slots_per_worker + 1) / 2 : m->slots_per_worker;
    for (size_t i = 0; i < m->n_disks; i++) {
        struct disk *d = &m->disks[i];
        double part;

        if (d->exhausted || d->unflushed_tasks >= HARD_TASKS || w->held[i] >= cap)
            continue;
        part = (double)atomic_load(&d->plan.cursor) / (double)(d->plan.end + 1);
        if (part < least) {
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
    if (w->arena)
        munmap(w->arena, w->arena_len);
    free(w->slots);
    free(w->held);
    free(w);
}

DEFINE_AUTO_PTR(struct worker, worker_free)

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
    p = mmap(NULL, w->arena_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
             0);
    if (p == MAP_FAILED)
        return err_sys(e, "buffers of %zu bytes", w->arena_len);
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
