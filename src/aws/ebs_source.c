/* A snapshot as a source of units, over the EBS direct APIs; see ebs.h.
 *
 * The disk is seen in windows of blocks. A window's list is fetched when a unit in it is
 * first asked for, and says where the next written block behind it lies, so that what was
 * never written costs no calls. The least recently used window makes room for a new one:
 * a fetch whose window is gone lists it again. */
#include "aws/ebs.h"

#include "base/log.h"
#include "base/str.h"
#include "base/vec.h"

#include <inttypes.h>
#include <pthread.h>

#define WINDOW_BLOCKS 8192 /* 4 GiB of disk; below a page's 10,000 */
#define WINDOWS       6
#define UNIT_BLOCKS   2 /* joined into a unit, where the reader has room */
#define NOWHERE       UINT64_MAX
/* A block of 512 KiB takes the service some tens of milliseconds; a thousand calls a
 * second is what it grants an account for one snapshot. */
#define CALLS_AT_ONCE 32

struct block {
    uint64_t index;
    char *token; /* owned */
};

struct window {
    uint64_t number; /* NOWHERE: empty slot */
    uint64_t used;   /* the clock when it was last needed */
    uint64_t next;   /* first written block behind the window, NOWHERE: none */
    struct VEC(struct block) blocks;
};

struct ebs_source {
    struct source base;
    struct aws *aws;   /* borrowed */
    char *snapshot_id; /* owned */
    uint32_t block_bytes;
    pthread_mutex_t lock; /* guards what follows; held while a window is listed, so that
                             many threads ask once */
    uint64_t clock;
    struct window windows[WINDOWS];
};

static struct ebs_source *self(struct source *s)
{
    return (struct ebs_source *)s;
}

static void window_clear(struct window *w)
{
    vec_foreach (b, &w->blocks)
        free(b->token);
    vec_release(&w->blocks);
    *w = (struct window){.number = NOWHERE, .next = NOWHERE};
}

/* ---- listing a window ---- */

static int take_block(void *ctx, const struct ebs_shape *shape, uint64_t index,
                      const char *token, struct err *e)
{
    struct window *w = ctx;
    struct block b = {.index = index};

    if (index / WINDOW_BLOCKS != w->number) {
        w->next = index;
        return 1;
    }
    b.token = str_dup(token, e);
    if (!b.token)
        return -1;
    if (vec_push(&w->blocks, b, e) < 0) {
        free(b.token);
        return -1;
    }
    return 0;
}

static int list_window(struct ebs_source *s, uint64_t number, struct window *ret,
                       struct ebs_shape *shape, struct err *e)
{
    struct window w = {.number = number, .next = NOWHERE};

    if (ebs_list_snapshot_blocks(s->aws, s->snapshot_id, number * WINDOW_BLOCKS,
                                 take_block, &w, shape, e) < 0) {
        window_clear(&w);
        return -1;
    }
    *ret = w;
    return 0;
}

/* The window, borrowed while the lock is held. */
static int need_window(struct ebs_source *s, uint64_t number, struct window **ret,
                       struct err *e)
{
    struct window *oldest = &s->windows[0], fresh;
    struct ebs_shape shape;

    for (size_t i = 0; i < WINDOWS; i++) {
        struct window *w = &s->windows[i];

        if (w->number == number) {
            w->used = ++s->clock;
            *ret = w;
            return 0;
        }
        if (w->used < oldest->used)
            oldest = w;
    }
    if (list_window(s, number, &fresh, &shape, e) < 0)
        return -1;
    if (shape.volume_bytes != s->base.size_bytes || shape.block_bytes != s->block_bytes) {
        window_clear(&fresh);
        return err_set(e, ERR_INPUT, "snapshot %s changed its size", s->snapshot_id);
    }
    window_clear(oldest);
    *oldest = fresh;
    oldest->used = ++s->clock;
    *ret = oldest;
    return 0;
}

/* Position of the first block with an index of at least `index`. */
static size_t lower_bound(const struct window *w, uint64_t index)
{
    size_t low = 0, high = w->blocks.n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (w->blocks.v[mid].index < index)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* ---- the operations ---- */

static int unit_at(struct source *base, uint64_t offset, uint64_t limit_bytes,
                   struct unit *ret, struct err *e)
{
    struct ebs_source *s = self(base);
    uint64_t first = offset / s->block_bytes, end, most = limit_bytes / s->block_bytes;
    struct window *w = NULL;
    struct unit u = {.offset = offset};
    size_t at;
    int r;

    if (most > UNIT_BLOCKS)
        most = UNIT_BLOCKS;
    pthread_mutex_lock(&s->lock);
    r = need_window(s, first / WINDOW_BLOCKS, &w, e);
    if (r == 0) {
        at = lower_bound(w, first);
        if (at < w->blocks.n && w->blocks.v[at].index == first) {
            u.kind = UNIT_DATA;
            for (end = first + 1; end - first < most && at + 1 < w->blocks.n &&
                                  w->blocks.v[at + 1].index == end;
                 end++)
                at++;
        } else {
            u.kind = UNIT_ZERO;
            end = at < w->blocks.n ? w->blocks.v[at].index : w->next;
        }
        u.len =
            end == NOWHERE ? base->size_bytes - offset : end * s->block_bytes - offset;
        *ret = u;
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

enum window_trust { WINDOW_AS_KEPT, WINDOW_ANEW };

static int find_token(struct ebs_source *s, uint64_t index, enum window_trust trust,
                      char token[EBS_TOKEN_LEN], struct err *e)
{
    struct window *w = NULL;
    size_t at;
    int r;

    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; trust == WINDOW_ANEW && i < WINDOWS; i++)
        if (s->windows[i].number == index / WINDOW_BLOCKS)
            window_clear(&s->windows[i]);
    r = need_window(s, index / WINDOW_BLOCKS, &w, e);
    if (r == 0) {
        at = lower_bound(w, index);
        if (at < w->blocks.n && w->blocks.v[at].index == index)
            snprintf(token, EBS_TOKEN_LEN, "%s", w->blocks.v[at].token);
        else
            r = err_set(e, ERR_INPUT, "snapshot %s no longer has block %" PRIu64,
                        s->snapshot_id, index);
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* A token may have expired, or be one of a page that the service no longer honours: one
 * more try with a new one. */
static int fetch_block(struct ebs_source *s, uint64_t index, void *buf, struct err *e)
{
    char token[EBS_TOKEN_LEN];

    if (find_token(s, index, WINDOW_AS_KEPT, token, e) < 0)
        return -1;
    if (ebs_get_snapshot_block(s->aws, s->snapshot_id, index, token, buf, s->block_bytes,
                               e) == 0)
        return 0;
    if (!str_eq(e->aws_code, "ValidationException"))
        return -1;
    log_debug("%s; listing its blocks again", e->msg);
    if (find_token(s, index, WINDOW_ANEW, token, e) < 0)
        return -1;
    return ebs_get_snapshot_block(s->aws, s->snapshot_id, index, token, buf,
                                  s->block_bytes, e);
}

static int fetch(struct source *base, const struct unit *u, void *buf, struct err *e)
{
    struct ebs_source *s = self(base);

    for (uint64_t at = 0; at < u->len; at += s->block_bytes)
        if (fetch_block(s, (u->offset + at) / s->block_bytes, (char *)buf + at, e) < 0)
            return err_prefix(e, "%s", base->desc);
    return 0;
}

static void source_done(struct source *base)
{
    struct ebs_source *s = self(base);

    for (size_t i = 0; i < WINDOWS; i++)
        window_clear(&s->windows[i]);
    pthread_mutex_destroy(&s->lock);
    free(s->snapshot_id);
    free(base->desc);
    free(s);
}

int ebs_source_new(struct aws *aws, const char *snapshot_id, const char *desc,
                   struct source **ret, struct err *e)
{
    static const struct source_ops ops = {
        .name = "ebs", .unit_at = unit_at, .fetch = fetch, .free = source_done};
    struct ebs_source *s = mem_zalloc(1, sizeof *s, e);
    struct ebs_shape shape;

    if (!s)
        return -1;
    pthread_mutex_init(&s->lock, NULL);
    for (size_t i = 0; i < WINDOWS; i++)
        window_clear(&s->windows[i]);
    s->aws = aws;
    s->snapshot_id = str_dup(snapshot_id, e);
    s->base.desc = s->snapshot_id ? str_dup(desc, e) : NULL;
    if (!s->base.desc || list_window(s, 0, &s->windows[0], &shape, e) < 0) {
        source_done(&s->base);
        return -1;
    }
    s->block_bytes = shape.block_bytes;
    s->base.ops = &ops;
    s->base.size_bytes = shape.volume_bytes;
    s->base.unit_align = shape.block_bytes;
    s->base.unit_max_bytes = shape.block_bytes;
    s->base.calls_at_once = CALLS_AT_ONCE;
    s->base.data_bytes_hint = UINT64_MAX; /* a list of all blocks, twice, says it */
    s->windows[0].used = ++s->clock;
    *ret = &s->base;
    return 0;
}
