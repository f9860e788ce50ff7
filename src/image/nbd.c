/* NBD exports as sources: several connections used by any number of threads. Protocol:
 * the NetworkBlockDevice project's doc/proto.md, spoken by libnbd. Our functions are
 * called nbdsrc_ because libnbd's are called nbd_.
 *
 * A libnbd handle serves one command of one thread at a time, so there is a small pool of
 * them. What the server said of the last stretch of the disk (base:allocation) is kept,
 * since one answer holds many extents and threads ask for neighbours. A connection that
 * died is closed and replaced; the command it failed is an error, not repeated: retries
 * are the job's. */
#include "base/str.h"
#include "image/formats.h"

#include <errno.h>
#include <inttypes.h>
#include <libnbd.h>
#include <pthread.h>

#define NBD_ALIGN    4096u
#define UNIT_MAX     65536u
#define DEFAULT_CONN 4u
#define MAX_CONN     16u
#define REQUEST      (256u << 10) /* qemu-nbd is ten times slower with some of 1 MiB */
#define IN_FLIGHT    8u           /* requests of one fetch */
#define STRETCH      (1ull << 30) /* asked about at once */
#define MAX_PIECES   65536u
#define MAX_SURVEY   4096u /* answers read to learn how much data there is */

struct piece {
    uint64_t offset, len;
    bool zero;
};

struct pieces {
    struct VEC(struct piece) all; /* ascending, no gaps */
};

struct nbdsrc {
    struct source base;
    unsigned max_open;
    uint32_t request_bytes;
    bool has_status;      /* the server knows base:allocation */
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t returned;
    struct nbd_handle *idle[MAX_CONN];
    unsigned n_idle, n_open;
    struct pieces map;
};

static struct nbdsrc *self(struct source *s)
{
    return (struct nbdsrc *)s;
}

/* ----------------------------------------------------------------- connections */

static int failed_with(const struct nbdsrc *n, struct err *e, const char *what,
                       uint64_t offset, uint64_t len, int no, const char *words)
{
    err_set(e, no == EIO || no == EINVAL ? ERR_INPUT : ERR_NETWORK,
            "%s: %s of %" PRIu64 " bytes at byte %" PRIu64 ": %s", n->base.desc, what,
            len, offset, words);
    e->sys_errno = no;
    return -1;
}

static int nbd_failed(const struct nbdsrc *n, struct err *e, const char *what,
                      uint64_t offset, uint64_t len)
{
    return failed_with(n, e, what, offset, len, nbd_get_errno(), nbd_get_error());
}

static int dial(const struct nbdsrc *n, struct nbd_handle **ret, struct err *e)
{
    struct nbd_handle *h = nbd_create();

    if (!h)
        return err_set(e, ERR_FAILED, "libnbd: %s", nbd_get_error());
    if (nbd_add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0) {
        err_set(e, ERR_FAILED, "libnbd: %s", nbd_get_error());
        nbd_close(h);
        return -1;
    }
    /* A buffer whose fetch failed is never looked at. */
    nbd_set_pread_initialize(h, false);
    /* The URI is the user's own: it may name his key files. */
    if (nbd_set_uri_allow_local_file(h, true) < 0 ||
        nbd_connect_uri(h, n->base.desc) < 0) {
        err_set(e, ERR_NETWORK, "%s: cannot connect: %s", n->base.desc, nbd_get_error());
        nbd_close(h);
        return -1;
    }
    *ret = h;
    return 0;
}

/* An idle connection, a new one, or wait for one to come back. */
static int conn_get(struct nbdsrc *n, struct nbd_handle **ret, struct err *e)
{
    pthread_mutex_lock(&n->lock);
    while (!n->n_idle && n->n_open >= n->max_open)
        pthread_cond_wait(&n->returned, &n->lock);
    if (n->n_idle) {
        *ret = n->idle[--n->n_idle];
        pthread_mutex_unlock(&n->lock);
        return 0;
    }
    n->n_open++;
    pthread_mutex_unlock(&n->lock);
    if (dial(n, ret, e) == 0)
        return 0;
    pthread_mutex_lock(&n->lock);
    n->n_open--;
    pthread_cond_signal(&n->returned);
    pthread_mutex_unlock(&n->lock);
    return -1;
}

enum conn_state { CONN_GOOD, CONN_BROKEN };

/* Closing a broken one is also what makes libnbd forget buffers that it was to fill. */
static void conn_put(struct nbdsrc *n, struct nbd_handle *h, enum conn_state state)
{
    bool dead =
        state == CONN_BROKEN || nbd_aio_is_dead(h) != 0 || nbd_aio_is_closed(h) != 0;

    if (dead)
        nbd_close(h);
    pthread_mutex_lock(&n->lock);
    if (dead)
        n->n_open--;
    else
        n->idle[n->n_idle++] = h;
    pthread_cond_signal(&n->returned);
    pthread_mutex_unlock(&n->lock);
}

/* ------------------------------------------------------------------ allocation */

struct status {
    struct pieces out;
    uint64_t at, end; /* of the disk */
    bool failed;      /* out of memory */
};

static int add_piece(struct pieces *p, uint64_t offset, uint64_t len, bool zero,
                     struct err *e)
{
    struct piece *last = p->all.n ? &p->all.v[p->all.n - 1] : NULL;
    struct piece x = {offset, len, zero};

    if (last && last->zero == zero) {
        last->len += len;
        return 0;
    }
    return vec_push(&p->all, x, e);
}

static int on_extents(void *ctx, const char *context, uint64_t offset, uint32_t *entries,
                      size_t n, int *error)
{
    struct status *s = ctx;
    struct err ignored;

    if (!str_eq(context, LIBNBD_CONTEXT_BASE_ALLOCATION))
        return 0;
    for (size_t i = 0; i + 1 < n && s->out.all.n < MAX_PIECES && s->at < s->end; i += 2) {
        uint64_t len = entries[i] < s->end - s->at ? entries[i] : s->end - s->at;

        if (len && add_piece(&s->out, s->at, len, entries[i + 1] & LIBNBD_STATE_ZERO,
                             &ignored) < 0)
            s->failed = true;
        s->at += len;
    }
    return 0;
}

/* Data grows to whole blocks and zeros shrink to them, so that units begin at multiples
 * of the source's alignment. The pieces alternate and follow each other from `start` on,
 * so whatever a zero piece loses belongs to the data piece after it. */
static int align_pieces(const struct nbdsrc *n, const struct pieces *in, uint64_t start,
                        struct pieces *out, struct err *e)
{
    uint64_t align = n->base.unit_align, size = n->base.size_bytes, done = start;

    vec_foreach (p, &in->all) {
        uint64_t end = p->offset + p->len;

        if (end != size)
            end = p->zero ? end - end % align : end + (align - end % align) % align;
        end = end < size ? end : size;
        if (end <= done)
            continue;
        if (add_piece(out, done, end - done, p->zero, e) < 0)
            return -1;
        done = end;
    }
    if (done > start)
        return 0;
    /* Less than a block was described: read it. */
    return add_piece(out, start, size - start < align ? size - start : align, false, e);
}

/* What the server says from `start` on, for at most a stretch. */
static int ask_status(struct nbdsrc *n, uint64_t start, struct pieces *ret, struct err *e)
{
    uint64_t left = n->base.size_bytes - start;
    uint64_t len = left < STRETCH ? left : STRETCH;
    struct status s = {.at = start, .end = start + len};
    struct pieces aligned = {0};
    struct nbd_handle *h;
    int r;

    if (conn_get(n, &h, e) < 0)
        return -1;
    r = nbd_block_status(
        h, len, start, (nbd_extent_callback){.callback = on_extents, .user_data = &s}, 0);
    if (r < 0)
        nbd_failed(n, e, "block status", start, len);
    conn_put(n, h, CONN_GOOD);
    if (r == 0 && s.failed)
        r = err_nomem(e);
    if (r == 0)
        r = align_pieces(n, &s.out, start, &aligned, e);
    vec_release(&s.out.all);
    if (r < 0) {
        vec_release(&aligned.all);
        return -1;
    }
    *ret = aligned;
    return 0;
}

/* Under the lock: the piece of the map that holds `offset`, or NULL. */
static const struct piece *map_find(const struct nbdsrc *n, uint64_t offset)
{
    size_t lo = 0, hi = n->map.all.n;

    if (!hi || offset < n->map.all.v[0].offset)
        return NULL;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;

        if (n->map.all.v[mid].offset <= offset)
            lo = mid;
        else
            hi = mid;
    }
    if (offset - n->map.all.v[lo].offset >= n->map.all.v[lo].len)
        return NULL;
    return &n->map.all.v[lo];
}

static int piece_at(struct nbdsrc *n, uint64_t offset, struct piece *ret, struct err *e)
{
    struct pieces fresh = {0}, old;
    const struct piece *p;

    pthread_mutex_lock(&n->lock);
    p = map_find(n, offset);
    if (p)
        *ret = *p;
    pthread_mutex_unlock(&n->lock);
    if (p)
        return 0;
    if (ask_status(n, offset, &fresh, e) < 0)
        return -1;
    *ret = fresh.all.v[0];
    pthread_mutex_lock(&n->lock);
    old = n->map;
    n->map = fresh;
    pthread_mutex_unlock(&n->lock);
    vec_release(&old.all);
    return 0;
}

/* How much data there is, and, on the way, that the server answers at all. */
static int survey(struct nbdsrc *n, struct err *e)
{
    uint64_t data = 0, at = 0;

    n->base.data_bytes_hint = UINT64_MAX;
    for (unsigned i = 0; at < n->base.size_bytes; i++) {
        struct pieces p = {0};

        if (i == MAX_SURVEY)
            return 0;
        if (ask_status(n, at, &p, e) < 0)
            return -1;
        vec_foreach (x, &p.all) {
            data += x->zero ? 0 : x->len;
            at = x->offset + x->len;
        }
        vec_release(&p.all);
    }
    n->base.data_bytes_hint = data;
    return 0;
}

/* ------------------------------------------------------------------ operations */

static int nbdsrc_unit_at(struct source *s, uint64_t offset, uint64_t limit_bytes,
                          struct unit *ret, struct err *e)
{
    struct piece p = {.len = s->size_bytes};
    struct unit u = {.offset = offset};

    if (self(s)->has_status && piece_at(self(s), offset, &p, e) < 0)
        return -1;
    u.kind = p.zero ? UNIT_ZERO : UNIT_DATA;
    u.len = p.offset + p.len - offset;
    if (!p.zero && u.len > limit_bytes)
        u.len = limit_bytes;
    *ret = u;
    return 0;
}

/* The requests of one fetch, on one connection. */
struct reading {
    unsigned in_flight;
    int error; /* errno of the first that the server refused */
};

static int on_read(void *ctx, int *error)
{
    struct reading *r = ctx;

    r->in_flight--;
    if (*error && !r->error)
        r->error = *error;
    return 1; /* retires the command */
}

/* Several requests are under way at once, so that neither side waits for the other. After
 * CONN_BROKEN some may still be. */
static enum conn_state read_unit(struct nbdsrc *n, struct nbd_handle *h,
                                 const struct unit *u, char *buf, struct reading *r)
{
    nbd_completion_callback done = {.callback = on_read, .user_data = r};
    uint64_t next = 0;

    while (r->in_flight || (next < u->len && !r->error)) {
        uint64_t left = u->len - next,
                 len = left < n->request_bytes ? left : n->request_bytes;

        if (left && !r->error && r->in_flight < IN_FLIGHT) {
            r->in_flight++;
            if (nbd_aio_pread(h, buf + next, len, u->offset + next, done, 0) < 0)
                return CONN_BROKEN;
            next += len;
        } else if (nbd_poll(h, -1) < 0) {
            return CONN_BROKEN;
        }
    }
    return CONN_GOOD;
}

static int nbdsrc_fetch(struct source *s, const struct unit *u, void *buf, struct err *e)
{
    struct nbdsrc *n = self(s);
    struct reading r = {0};
    struct nbd_handle *h;
    enum conn_state state;
    int result = 0;

    if (conn_get(n, &h, e) < 0)
        return -1;
    state = read_unit(n, h, u, buf, &r);
    if (state == CONN_BROKEN)
        result = nbd_failed(n, e, "read", u->offset, u->len);
    else if (r.error)
        result = failed_with(n, e, "read", u->offset, u->len, r.error,
                             strerrordesc_np(r.error));
    conn_put(n, h, state);
    return result;
}

static void nbdsrc_free(struct source *s)
{
    struct nbdsrc *n = self(s);

    for (unsigned i = 0; i < n->n_idle; i++) {
        nbd_shutdown(n->idle[i], 0);
        nbd_close(n->idle[i]);
    }
    vec_release(&n->map.all);
    pthread_cond_destroy(&n->returned);
    pthread_mutex_destroy(&n->lock);
    free(s->desc);
    free(n);
}

/* What the server says of the export. */
static int learn(struct nbdsrc *n, struct nbd_handle *h, struct err *e)
{
    int64_t size = nbd_get_size(h), min = nbd_get_block_size(h, LIBNBD_SIZE_MINIMUM);
    int64_t max = nbd_get_block_size(h, LIBNBD_SIZE_MAXIMUM);

    if (size < 0)
        return err_set(e, ERR_INPUT, "%s: %s", n->base.desc, nbd_get_error());
    if (size == 0)
        return err_set(e, ERR_INPUT, "%s is empty", n->base.desc);
    if (min > 65536 || (min > 0 && (min & (min - 1))))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: the server wants blocks of %" PRIi64 " bytes", n->base.desc,
                       min);
    n->base.size_bytes = (uint64_t)size;
    n->base.unit_align = min > NBD_ALIGN ? (uint32_t)min : NBD_ALIGN;
    n->base.unit_max_bytes = UNIT_MAX;
    n->request_bytes = max >= UNIT_MAX && max < REQUEST ? (uint32_t)max : REQUEST;
    n->request_bytes -= n->request_bytes % n->base.unit_align;
    /* Twice, or nothing would be under way while the last ones of a fetch come in. */
    n->base.fetch_bytes = 2 * IN_FLIGHT * REQUEST;
    n->has_status = nbd_can_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) > 0;
    n->base.data_bytes_hint = n->base.size_bytes;
    if (nbd_can_multi_conn(h) <= 0)
        n->max_open = 1;
    return 0;
}

static int connect_first(struct nbdsrc *n, struct err *e)
{
    struct nbd_handle *h;
    int r;

    if (conn_get(n, &h, e) < 0)
        return -1;
    r = learn(n, h, e);
    conn_put(n, h, CONN_GOOD);
    if (r < 0)
        return -1;
    return n->has_status ? survey(n, e) : 0;
}

static const struct source_ops nbdsrc_ops = {
    .name = "nbd", .unit_at = nbdsrc_unit_at, .fetch = nbdsrc_fetch, .free = nbdsrc_free};

int nbd_uri_open(const char *uri, const struct image_options *opt, struct source **ret,
                 struct err *e)
{
    unsigned wanted = opt && opt->connections ? opt->connections : DEFAULT_CONN;
    struct nbdsrc *n = mem_zalloc(1, sizeof *n, e);
    auto_source struct source *s = NULL;

    if (!n)
        return -1;
    s = &n->base;
    s->ops = &nbdsrc_ops;
    n->max_open = wanted < MAX_CONN ? wanted : MAX_CONN;
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->returned, NULL);
    s->desc = str_dup(uri, e);
    if (!s->desc || connect_first(n, e) < 0)
        return -1;
    *ret = take_ptr(s);
    return 0;
}
