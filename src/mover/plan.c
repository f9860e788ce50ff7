/* Cutting one disk into tasks; see plan.h.
 *
 * Invariant: tasks tile the disk. Each begins where the one before ended, so that no two
 * writes overlap and no byte is forgotten, however the units of the source lie. Where a
 * unit ends inside a block (the sink's, or 4 KiB), the task that has the block's first
 * byte writes all of it. A task lies on one side of each border at which what the sink
 * holds changes. Units are checked: a source that answers nonsense must not make us write
 * beyond a buffer or a disk. */
#include "mover/plan.h"

#include "base/minmax.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static uint64_t round_down(uint64_t v, uint64_t align)
{
    return v - v % align;
}

static uint64_t round_up(uint64_t v, uint64_t align)
{
    return round_down(v + align - 1, align);
}

static uint64_t block_of(const struct plan_facts *f)
{
    return max64(max64(f->sink->block_bytes, f->piece_bytes), TASK_ALIGN);
}

static uint64_t feed_min_slot(const struct source *s, uint64_t block)
{
    uint64_t align = max64(s->unit_align, block);

    return round_up(max64(s->unit_max_bytes, 1), align);
}

uint64_t plan_min_slot(const struct plan_facts *f)
{
    uint64_t block = block_of(f), min = feed_min_slot(f->source, block);

    return f->base ? max64(min, feed_min_slot(f->base, block)) : min;
}

static int feed_init(struct feed *f, struct source *s, uint64_t slot_bytes,
                     uint64_t block, struct err *e)
{
    if (!s)
        return 0;
    if (s->unit_align == 0 || (s->unit_align & (s->unit_align - 1)))
        return err_set(e, ERR_INPUT, "%s: units aligned to %" PRIu32, s->desc,
                       s->unit_align);
    f->source = s;
    f->limit_bytes = round_down(slot_bytes, max64(s->unit_align, block));
    assert(f->limit_bytes >= s->unit_max_bytes);
    return 0;
}

/* The block in which the base ends holds something unknown behind it, unless the sink is
 * known to be zero there. */
static uint64_t base_end(const struct source *base, const struct sink *sink,
                         uint64_t block)
{
    if (!base)
        return 0;
    if (base->size_bytes >= sink->size_bytes)
        return sink->size_bytes;
    if (!sink->known_zero)
        return round_down(base->size_bytes, block);
    return min64(round_up(base->size_bytes, block), sink->size_bytes);
}

int plan_init(struct plan *p, const struct plan_facts *f, uint64_t slot_bytes,
              struct err *e)
{
    const struct sink *sink = f->sink;
    uint64_t block = block_of(f);
    struct plan n = {.sink = sink,
                     .already = f->already,
                     .block_bytes = block,
                     .granule_bytes = max64(sink->block_bytes, TASK_ALIGN)};

    assert(sink->align && sink->align <= TASK_ALIGN);
    assert((block & (block - 1)) == 0 && block <= TASK_MAX_ZERO_BYTES);
    if (feed_init(&n.data, f->source, slot_bytes, block, e) < 0 ||
        feed_init(&n.base, f->base, slot_bytes, block, e) < 0)
        return -1;
    if (sink->size_bytes < f->source->size_bytes)
        return err_set(e, ERR_REQUIREMENT,
                       "%s has %" PRIu64 " bytes, too few for the %" PRIu64 " of %s",
                       sink->desc, sink->size_bytes, f->source->size_bytes,
                       f->source->desc);
    if (sink->size_bytes > UINT64_MAX / 2)
        return err_set(e, ERR_UNSUPPORTED, "%s is too large", sink->desc);
    n.base_end = base_end(f->base, sink, block);
    n.end =
        sink->known_zero ? max64(f->source->size_bytes, n.base_end) : sink->size_bytes;
    *p = n;
    atomic_init(&p->cursor, 0);
    pthread_mutex_init(&p->lock, NULL);
    return 0;
}

void plan_release(struct plan *p)
{
    if (p->data.source)
        pthread_mutex_destroy(&p->lock);
    p->data.source = NULL;
}

/* Sources name themselves in their errors; one that forgot is named here. */
static int name_source(const struct source *s, struct err *e)
{
    if (!strstr(e->msg, s->desc))
        err_prefix(e, "%s", s->desc);
    return -1;
}

/* The unit at or before `offset` that covers it, no longer than needed to reach want_end
 * where the source can give it in parts. */
static int unit_covering(const struct feed *f, uint64_t offset, uint64_t want_end,
                         struct unit *ret, struct err *e)
{
    struct source *s = f->source;
    uint64_t at = round_down(offset, s->unit_align), limit = f->limit_bytes;
    struct unit u = {0};

    if (want_end - at < limit)
        limit = round_up(max64(want_end - at, s->unit_max_bytes), s->unit_align);
    for (;;) {
        if (source_unit_at(s, at, limit, &u, e) < 0)
            return name_source(s, e);
        if (!source_may_tell(s, &u, at, limit))
            return err_set(e, ERR_INPUT,
                           "%s: a unit of %" PRIu64 " bytes at %" PRIu64 " where %" PRIu64
                           " was asked for",
                           s->desc, u.len, u.offset, at);
        if (u.offset + u.len > offset) {
            *ret = u;
            return 0;
        }
        at = u.offset + u.len;
    }
}

/* The same for planning, which comes to a long run of zeros again for each task of it:
 * the source need not look for its end each time. */
static int planned_unit(struct feed *f, uint64_t offset, uint64_t want_end,
                        struct unit *ret, struct err *e)
{
    if (offset >= f->zeros.offset && offset - f->zeros.offset < f->zeros.len) {
        *ret = f->zeros;
        return 0;
    }
    if (unit_covering(f, offset, want_end, ret, e) < 0)
        return -1;
    if (ret->kind == UNIT_ZERO)
        f->zeros = *ret;
    return 0;
}

/* The range of blocks from `at` on that a unit of a disk of `size` bytes fills: all that
 * it touches, or those that are in it completely. Nothing lies behind the disk's end. */
static uint64_t touched_end(const struct plan *p, const struct unit *u)
{
    return min64(round_up(u->offset + u->len, p->block_bytes), p->sink->size_bytes);
}

static uint64_t filled_end(const struct plan *p, const struct unit *u, uint64_t size)
{
    if (u->offset + u->len == size)
        return touched_end(p, u);
    return round_down(u->offset + u->len, p->block_bytes);
}

/* Durable ranges are skipped, and what is before them ends there: neither is read. */
static bool skip_already(struct plan *p, uint64_t at, uint64_t *ret_stop,
                         struct task *ret)
{
    uint64_t run, next;
    bool in;

    *ret_stop = p->sink->size_bytes;
    if (!p->already)
        return false;
    in = extent_set_at(p->already, at, p->end - at, &run);
    next = at + run;
    if (!in) {
        if (next < p->end)
            *ret_stop = min64(round_up(next, p->block_bytes), *ret_stop);
        return false;
    }
    if (next < p->end)
        next = round_down(next, p->block_bytes);
    if (next <= at) {
        *ret_stop = min64(at + p->block_bytes, *ret_stop);
        return false;
    }
    *ret = (struct task){.kind = TASK_SKIP, .offset = at, .len = next - at};
    return true;
}

/* What the sink holds where the task is. A task of zeros is cut where that changes; one
 * of data is not, or a unit would be fetched once for each of its pieces. */
static int look_at_base(struct plan *p, struct task *t, struct err *e)
{
    uint64_t end = t->offset + t->len, zeros;
    struct unit u;

    if (t->offset >= p->base_end) {
        t->holds = p->sink->known_zero ? HOLDS_ZEROS : HOLDS_UNKNOWN;
        return 0;
    }
    if (planned_unit(&p->base, t->offset, end, &u, e) < 0)
        return -1;
    zeros = u.kind == UNIT_ZERO ? filled_end(p, &u, p->base.source->size_bytes) : 0;
    t->holds = zeros >= end ? HOLDS_ZEROS : HOLDS_BASE;
    if (t->kind != TASK_ZERO)
        return 0;
    if (zeros > t->offset) {
        t->holds = HOLDS_ZEROS;
        end = min64(end, zeros);
    } else {
        end = min64(end, touched_end(p, &u));
    }
    t->len = end - t->offset;
    return 0;
}

/* What the source wants there: data or zeros, up to `stop` at most. */
static int look_at_source(struct plan *p, uint64_t at, uint64_t stop, struct task *ret,
                          struct err *e)
{
    uint64_t size = p->data.source->size_bytes, end;
    struct unit u;

    *ret =
        (struct task){.kind = TASK_ZERO, .offset = at, .len = min64(stop, p->end) - at};
    if (at >= size)
        return 0;
    if (planned_unit(&p->data, at, stop, &u, e) < 0)
        return -1;
    if (u.kind == UNIT_ZERO) {
        end = min64(filled_end(p, &u, size), stop);
        ret->len = end - at;
        if (end > at)
            return 0;
    }
    end = min64(touched_end(p, &u), stop);
    ret->kind = TASK_ASSEMBLE;
    ret->len = end - at;
    if (u.kind == UNIT_DATA && u.offset == at &&
        (u.len == ret->len || (u.offset + u.len == size && u.len < ret->len))) {
        ret->kind = TASK_FETCH;
        ret->unit = u;
    }
    return 0;
}

/* The task that begins at `at`, below p->end. */
static int task_at(struct plan *p, uint64_t at, struct task *ret, struct err *e)
{
    uint64_t stop;

    if (skip_already(p, at, &stop, ret))
        return 0;
    if (at < p->base_end)
        stop = min64(stop, p->base_end);
    if (look_at_source(p, at, stop, ret, e) < 0 || look_at_base(p, ret, e) < 0)
        return -1;
    if (ret->kind == TASK_ZERO && ret->holds == HOLDS_UNKNOWN)
        ret->len = min64(ret->len, TASK_MAX_ZERO_BYTES);
    return 0;
}

int plan_next(struct plan *p, struct task *ret, struct err *e)
{
    uint64_t at;
    int r = 0;

    pthread_mutex_lock(&p->lock);
    at = atomic_load(&p->cursor);
    if (at < p->end) {
        r = task_at(p, at, ret, e) < 0 ? -1 : 1;
        if (r > 0)
            atomic_store(&p->cursor, at + ret->len);
    }
    pthread_mutex_unlock(&p->lock);
    return r;
}

static int fetch(const struct feed *f, const struct unit *u, void *buf, struct err *e)
{
    return source_fetch(f->source, u, buf, e) < 0 ? name_source(f->source, e) : 0;
}

/* What the units between at and end hold. Those that lie inside and where a buffer may
 * begin are fetched into their place, others are copied there. */
static int assemble(const struct feed *f, uint64_t at, uint64_t end, unsigned char *out,
                    unsigned char *scratch, struct err *e)
{
    while (at < end) {
        struct unit u;
        uint64_t n;

        if (unit_covering(f, at, end, &u, e) < 0)
            return -1;
        n = min64(u.offset + u.len, end) - at;
        if (u.kind == UNIT_ZERO) {
            memset(out, 0, n);
        } else if (n == u.len && (uintptr_t)out % TASK_ALIGN == 0) {
            if (fetch(f, &u, out, e) < 0)
                return -1;
        } else {
            if (fetch(f, &u, scratch, e) < 0)
                return -1;
            memcpy(out, scratch + (at - u.offset), n);
        }
        out += n;
        at += n;
    }
    return 0;
}

/* What lies behind the end of the source is zero. */
static int fill(const struct feed *f, const struct task *t, void *buf, void *scratch,
                struct err *e)
{
    uint64_t have = min64(t->offset + t->len, f->source->size_bytes) - t->offset;

    if (assemble(f, t->offset, t->offset + have, buf, scratch, e) < 0)
        return -1;
    memset((unsigned char *)buf + have, 0, t->len - have);
    return 0;
}

int plan_fill(struct plan *p, const struct task *t, void *buf, void *scratch,
              struct err *e)
{
    if (t->kind != TASK_FETCH)
        return fill(&p->data, t, buf, scratch, e);
    if (fetch(&p->data, &t->unit, buf, e) < 0)
        return -1;
    memset((unsigned char *)buf + t->unit.len, 0, t->len - t->unit.len);
    return 0;
}

int plan_fill_base(struct plan *p, const struct task *t, void *buf, void *scratch,
                   struct err *e)
{
    return fill(&p->base, t, buf, scratch, e);
}
