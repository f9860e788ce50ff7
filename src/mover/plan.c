/* Cutting one disk into tasks; see plan.h.
 *
 * Invariant: tasks tile the disk. Each begins where the one before ended, so that no two
 * writes overlap and no byte is forgotten, however the units of the source lie. Where a
 * unit ends inside a 4 KiB block, the task that has the block's first byte writes all of
 * it. Units are checked: a source that answers nonsense must not make us write beyond a
 * buffer or a disk. */
#include "mover/plan.h"

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

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t plan_min_slot(const struct source *source)
{
    uint64_t align = source->unit_align > TASK_ALIGN ? source->unit_align : TASK_ALIGN;

    return round_up(source->unit_max_bytes ? source->unit_max_bytes : 1, align);
}

int plan_init(struct plan *p, struct source *source, const struct sink *sink,
              const struct extent_set *already, uint64_t slot_bytes, struct err *e)
{
    assert(sink->align && sink->align <= TASK_ALIGN);
    if (source->unit_align == 0 || (source->unit_align & (source->unit_align - 1)))
        return err_set(e, ERR_INPUT, "%s: units aligned to %" PRIu32, source->desc,
                       source->unit_align);
    if (sink->size_bytes < source->size_bytes)
        return err_set(e, ERR_REQUIREMENT,
                       "%s has %" PRIu64 " bytes, too few for the %" PRIu64 " of %s",
                       sink->desc, sink->size_bytes, source->size_bytes, source->desc);
    if (sink->size_bytes > UINT64_MAX / 2)
        return err_set(e, ERR_UNSUPPORTED, "%s is too large", sink->desc);
    *p = (struct plan){
        .source = source,
        .sink = sink,
        .already = already,
        .limit_bytes = round_down(slot_bytes, source->unit_align),
        .end = sink->known_zero ? source->size_bytes : sink->size_bytes,
    };
    assert(p->limit_bytes >= source->unit_max_bytes);
    atomic_init(&p->cursor, 0);
    pthread_mutex_init(&p->lock, NULL);
    return 0;
}

void plan_release(struct plan *p)
{
    if (p->source)
        pthread_mutex_destroy(&p->lock);
    p->source = NULL;
}

/* Sources name themselves in their errors; one that forgot is named here. */
static int name_source(const struct source *s, struct err *e)
{
    if (!strstr(e->msg, s->desc))
        err_prefix(e, "%s", s->desc);
    return -1;
}

/* The unit at or before `offset` that covers it. */
static int unit_covering(struct plan *p, uint64_t offset, struct unit *ret, struct err *e)
{
    struct source *s = p->source;
    uint64_t at = round_down(offset, s->unit_align);
    struct unit u = {0};

    for (;;) {
        if (source_unit_at(s, at, p->limit_bytes, &u, e) < 0)
            return name_source(s, e);
        if (u.offset != at || u.len == 0 || u.len > s->size_bytes - at ||
            (u.kind == UNIT_DATA && u.len > p->limit_bytes))
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

/* Durable ranges are skipped to a place where units can begin. */
static bool skip_already(struct plan *p, uint64_t at, struct task *ret)
{
    uint64_t align =
        p->source->unit_align > TASK_ALIGN ? p->source->unit_align : TASK_ALIGN;
    uint64_t run, next;

    if (!p->already || !extent_set_at(p->already, at, p->end - at, &run))
        return false;
    next = at + run;
    if (next < p->end)
        next = round_down(next, align);
    if (next <= at)
        return false;
    *ret = (struct task){.kind = TASK_SKIP, .offset = at, .len = next - at};
    return true;
}

static struct task zero_task(const struct plan *p, uint64_t at, uint64_t end)
{
    uint64_t len = end - at;

    if (!p->sink->known_zero)
        len = least(len, TASK_MAX_ZERO_BYTES);
    return (struct task){.kind = TASK_ZERO, .offset = at, .len = len};
}

/* The task that begins at `at`, below p->end. */
static int task_at(struct plan *p, uint64_t at, struct task *ret, struct err *e)
{
    uint64_t size = p->source->size_bytes, unit_end, end;
    struct unit u;

    if (skip_already(p, at, ret))
        return 0;
    if (at >= size) {
        *ret = zero_task(p, at, p->end);
        return 0;
    }
    if (unit_covering(p, at, &u, e) < 0)
        return -1;
    unit_end = u.offset + u.len;
    end = least(round_up(unit_end, TASK_ALIGN), p->sink->size_bytes);
    if (u.kind == UNIT_ZERO) {
        if (unit_end != size)
            end = round_down(unit_end, TASK_ALIGN);
        if (end > at) {
            *ret = zero_task(p, at, end);
            return 0;
        }
        end = least(round_up(unit_end, TASK_ALIGN), p->sink->size_bytes);
    }
    *ret = (struct task){.kind = TASK_ASSEMBLE, .offset = at, .len = end - at};
    if (u.kind == UNIT_DATA && u.offset == at &&
        (unit_end % TASK_ALIGN == 0 || unit_end == size)) {
        ret->kind = TASK_FETCH;
        ret->unit = u;
    }
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

/* Copies what the units between at and end hold. */
static int assemble(struct plan *p, uint64_t at, uint64_t end, unsigned char *out,
                    void *scratch, struct err *e)
{
    while (at < end) {
        struct unit u;
        uint64_t n;

        if (unit_covering(p, at, &u, e) < 0)
            return -1;
        n = least(u.offset + u.len, end) - at;
        if (u.kind == UNIT_ZERO) {
            memset(out, 0, n);
        } else {
            if (source_fetch(p->source, &u, scratch, e) < 0)
                return name_source(p->source, e);
            memcpy(out, (unsigned char *)scratch + (at - u.offset), n);
        }
        out += n;
        at += n;
    }
    return 0;
}

int plan_fill(struct plan *p, const struct task *t, void *buf, void *scratch,
              struct err *e)
{
    uint64_t have = least(t->offset + t->len, p->source->size_bytes) - t->offset;

    if (t->kind == TASK_FETCH) {
        assert(have == t->unit.len);
        if (source_fetch(p->source, &t->unit, buf, e) < 0)
            return name_source(p->source, e);
    } else if (assemble(p, t->offset, t->offset + have, buf, scratch, e) < 0) {
        return -1;
    }
    /* The rest of the last block lies beyond the source and must be zero. */
    memset((unsigned char *)buf + have, 0, t->len - have);
    return 0;
}
