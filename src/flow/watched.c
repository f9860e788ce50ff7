/* Sources that remember an error; see watched.h. */
#include "flow/watched.h"

static int note(struct watched *w, const struct err *e)
{
    if (e->kind != ERR_CANCELLED && !atomic_exchange(&w->failed, true))
        w->why = *e;
    return -1;
}

static int watched_unit_at(struct source *s, uint64_t offset, uint64_t limit_bytes,
                           struct unit *ret, struct err *e)
{
    struct watched *w = (struct watched *)s;

    return source_unit_at(w->inner, offset, limit_bytes, ret, e) < 0 ? note(w, e) : 0;
}

static int watched_fetch(struct source *s, const struct unit *u, void *buf, struct err *e)
{
    struct watched *w = (struct watched *)s;

    return source_fetch(w->inner, u, buf, e) < 0 ? note(w, e) : 0;
}

/* Embedded in its owner; what it watches is another's. */
static void watched_free(struct source *s)
{
}

void watched_init(struct watched *w, struct source *inner)
{
    static const struct source_ops ops = {.name = "watched",
                                          .unit_at = watched_unit_at,
                                          .fetch = watched_fetch,
                                          .free = watched_free};

    *w = (struct watched){.base = *inner, .inner = inner};
    w->base.ops = &ops;
}
