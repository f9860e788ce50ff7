/* Ordered sets of byte ranges; see extent.h. Searches are binary, additions at the end
 * (the usual case) are constant time. */
#include "disk/extent.h"

#include <assert.h>
#include <string.h>

void extent_set_release(struct extent_set *s)
{
    free(s->v);
    *s = (struct extent_set){0};
}

static uint64_t end_of(const struct extent *x)
{
    return x->offset + x->len;
}

/* Index of the first extent that ends after offset. */
static size_t first_ending_after(const struct extent_set *s, uint64_t offset)
{
    size_t lo = 0, hi = s->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (end_of(&s->v[mid]) > offset)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static int make_room(struct extent_set *s, size_t at, struct err *e)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 16;
        struct extent *v = reallocarray(s->v, cap, sizeof *v);

        if (!v)
            return err_nomem(e);
        s->v = v;
        s->cap = cap;
    }
    memmove(&s->v[at + 1], &s->v[at], (s->n - at) * sizeof *s->v);
    s->n++;
    return 0;
}

int extent_set_add(struct extent_set *s, uint64_t offset, uint64_t len, struct err *e)
{
    uint64_t end = offset + len;
    size_t i, j;

    assert(end >= offset);
    if (len == 0)
        return 0;
    /* First that touches or overlaps [offset, end): ends at or after offset. */
    i = offset ? first_ending_after(s, offset - 1) : 0;
    for (j = i; j < s->n && s->v[j].offset <= end; j++)
        ;
    if (i == j) {
        if (make_room(s, i, e) < 0)
            return -1;
        s->v[i] = (struct extent){offset, len};
        return 0;
    }
    if (s->v[i].offset < offset)
        offset = s->v[i].offset;
    if (end_of(&s->v[j - 1]) > end)
        end = end_of(&s->v[j - 1]);
    s->v[i] = (struct extent){offset, end - offset};
    memmove(&s->v[i + 1], &s->v[j], (s->n - j) * sizeof *s->v);
    s->n -= j - i - 1;
    return 0;
}

bool extent_set_at(const struct extent_set *s, uint64_t offset, uint64_t len,
                   uint64_t *ret_len)
{
    size_t i = first_ending_after(s, offset);
    bool in = i < s->n && s->v[i].offset <= offset;
    uint64_t run = len;

    if (i < s->n)
        run = (in ? end_of(&s->v[i]) : s->v[i].offset) - offset;
    *ret_len = run < len ? run : len;
    return in;
}

bool extent_set_covers(const struct extent_set *s, uint64_t offset, uint64_t len)
{
    uint64_t run;

    return len == 0 || (extent_set_at(s, offset, len, &run) && run == len);
}

uint64_t extent_set_bytes(const struct extent_set *s)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < s->n; i++)
        sum += s->v[i].len;
    return sum;
}
