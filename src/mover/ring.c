/* One worker's writes; see ring.h.
 *
 * Invariant: every write queued is reported exactly once, and none is in flight after
 * ring_reap() has found in_flight 0. A short write is continued; what a sink's io_uring
 * refuses as an operation is done by the sink's own. */
#include "mover/ring.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define MAX_REGISTERED (1ull << 30)

void ring_init(struct ring *r, void *arena, size_t arena_len, bool want)
{
    struct iovec iov = {.iov_base = arena, .iov_len = arena_len};

    r->on = want && io_uring_queue_init(RING_ENTRIES, &r->uring, 0) == 0;
    r->registered = r->on && arena_len <= MAX_REGISTERED &&
                    io_uring_register_buffers(&r->uring, &iov, 1) == 0;
    r->in_flight = r->unsubmitted = 0;
    r->free = NULL;
    for (size_t i = RING_ENTRIES; i-- > 0;) {
        r->ops[i].next_free = r->free;
        r->free = &r->ops[i];
    }
}

void ring_release(struct ring *r)
{
    assert(r->in_flight == 0);
    if (r->on)
        io_uring_queue_exit(&r->uring);
    r->on = false;
}

static void queue_op(struct ring *r, struct ring_op *op)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);

    /* As many entries as operations: there is always one. */
    assert(sqe);
    if (r->registered)
        io_uring_prep_write_fixed(sqe, op->sink->fd, op->buf, op->len, op->offset, 0);
    else
        io_uring_prep_write(sqe, op->sink->fd, op->buf, op->len, op->offset);
    io_uring_sqe_set_data(sqe, op);
    r->unsubmitted++;
}

static void end_op(struct ring *r, struct ring_op *op, const struct err *e,
                   ring_done_fn *done, void *ctx)
{
    void *owner = op->owner;

    r->in_flight--;
    op->next_free = r->free;
    r->free = op;
    done(ctx, owner, e);
}

static int write_now(struct sink *sink, const void *buf, size_t len, uint64_t offset,
                     struct err *e)
{
    if (sink->ops->write(sink, buf, len, offset, e) == 0)
        return 0;
    if (!strstr(e->msg, sink->desc))
        err_prefix(e, "%s", sink->desc);
    return -1;
}

/* One completion. A negative result that means "not this way" is tried the other way,
 * which also yields the better message. */
static void complete(struct ring *r, struct ring_op *op, int res, ring_done_fn *done,
                     void *ctx)
{
    struct err e = ERR_INIT;

    if (res == -EINTR || res == -EAGAIN) {
        queue_op(r, op);
        return;
    }
    if (res > 0 && (uint32_t)res < op->len && (uint32_t)res % op->sink->align == 0) {
        op->buf += res;
        op->offset += (uint32_t)res;
        op->len -= (uint32_t)res;
        queue_op(r, op);
        return;
    }
    if (res >= 0 && (uint32_t)res == op->len) {
        end_op(r, op, NULL, done, ctx);
        return;
    }
    if (res == -EOPNOTSUPP || res == -EINVAL) {
        int w = write_now(op->sink, op->buf, op->len, op->offset, &e);

        end_op(r, op, w < 0 ? &e : NULL, done, ctx);
        return;
    }
    if (res < 0)
        err_sys_n(&e, -res, "%s: write of %" PRIu32 " bytes at byte %" PRIu64,
                  op->sink->desc, op->len, op->offset);
    else
        err_set(&e, ERR_FAILED,
                "%s: write at byte %" PRIu64 " ended after %d of %" PRIu32 " bytes",
                op->sink->desc, op->offset, res, op->len);
    end_op(r, op, &e, done, ctx);
}

void ring_submit(struct ring *r, ring_done_fn *done, void *ctx)
{
    while (r->unsubmitted) {
        int n = io_uring_submit(&r->uring);

        if (n > 0) {
            r->unsubmitted -= (unsigned)n < r->unsubmitted ? (unsigned)n : r->unsubmitted;
            continue;
        }
        /* The kernel is short of memory or of completions' room: take some out. */
        assert(n == 0 || n == -EAGAIN || n == -EBUSY || n == -EINTR || n == -ENOMEM);
        ring_reap(r, RING_POLL, done, ctx);
    }
}

void ring_reap(struct ring *r, enum ring_wait wait, ring_done_fn *done, void *ctx)
{
    struct io_uring_cqe *cqe;

    if (r->in_flight == 0)
        return;
    if (wait == RING_WAIT) {
        ring_submit(r, done, ctx);
        /* Taking completions out while submitting may have emptied it. */
        if (r->in_flight == 0)
            return;
        while (io_uring_wait_cqe(&r->uring, &cqe) == -EINTR)
            ;
    }
    while (r->in_flight && io_uring_peek_cqe(&r->uring, &cqe) == 0) {
        struct ring_op *op = io_uring_cqe_get_data(cqe);
        int res = cqe->res;

        io_uring_cqe_seen(&r->uring, cqe);
        complete(r, op, res, done, ctx);
    }
}

void ring_write(struct ring *r, struct sink *sink, const void *buf, size_t len,
                uint64_t offset, void *owner, ring_done_fn *done, void *ctx)
{
    struct err e = ERR_INIT;
    struct ring_op *op;

    if (!r->on || sink->fd < 0 || len % sink->align != 0) {
        int w = write_now(sink, buf, len, offset, &e);

        done(ctx, owner, w < 0 ? &e : NULL);
        return;
    }
    while (!r->free)
        ring_reap(r, RING_WAIT, done, ctx);
    op = r->free;
    r->free = op->next_free;
    *op = (struct ring_op){
        .sink = sink, .buf = buf, .len = (uint32_t)len, .offset = offset, .owner = owner};
    r->in_flight++;
    queue_op(r, op);
}
