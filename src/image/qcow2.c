/* A qcow2 as a source: clusters of 512 bytes to 2 MiB, stored as they are, compressed, or
 * nowhere. Units are runs of data or of zeros, whatever their places in the file. Keeps
 * nothing; a crash leaves nothing. */
#include "image/qcow2.h"

#include "base/minmax.h"
#include "base/str.h"
#include "image/unpack.h"

#include <inttypes.h>
#include <libdeflate.h>
#include <zstd.h>

#define MIN_ALIGN 4096u
#define MAX_ALIGN 65536u     /* of what is not compressed */
#define IN_WINDOW (1u << 20) /* compressed bytes read at once */

struct qcow2 {
    struct source base;
    struct qcow2_map map;
    struct unpack_pool *pool; /* owned */
    uint64_t sub_bytes;       /* pieces of this size are data or zeros */
    /* The file has fewer blocks than the tables name (it was made with
     * preallocation=metadata, or holes were punched): ask the file system, too. */
    bool has_holes;
};

static struct qcow2 *self(struct source *s)
{
    return (struct qcow2 *)s;
}

/* ------------------------------------------------------------------------- units */

/* The clusters around a position that were looked up last. */
struct window {
    const struct qcow2_map *m;
    uint64_t first, n; /* clusters */
    uint64_t ahead;    /* to look up next time, at most */
    bool absent;
    struct qcow2_place places[QCOW2_BATCH];
};

static int look_up(struct window *w, uint64_t c, struct err *e)
{
    if (c >= w->first && c - w->first < w->n)
        return 0;
    w->first = c;
    if (qcow2_map_at(w->m, c, w->ahead, w->places, &w->n, &w->absent, e) < 0)
        return -1;
    w->ahead = UINT64_MAX;
    return 0;
}

static bool sub_is_data(const struct qcow2 *q, const struct window *w, uint64_t at)
{
    const struct qcow2_map *m = &q->map;
    uint64_t c = at >> m->h.cluster_bits, sub = at % m->h.cluster_bytes / q->sub_bytes;

    return !w->absent && w->places[c - w->first].present >> sub & 1;
}

/* Whether any of the pieces in [at, end) is data, and where the next step from there
 * begins: a piece further, or as many pieces as units are aligned to. */
static int step_at(const struct qcow2 *q, struct window *w, uint64_t at, bool *ret_data,
                   uint64_t *ret_next, struct err *e)
{
    const struct qcow2_header *h = &q->map.h;
    uint64_t step = max64(q->sub_bytes, q->base.unit_align);
    uint64_t next = (at / step + 1) * step;

    *ret_data = false;
    *ret_next = next = min64(next, h->size_bytes);
    for (; at < next; at += q->sub_bytes) {
        if (look_up(w, at >> h->cluster_bits, e) < 0)
            return -1;
        if (w->absent) {
            *ret_next = min64((w->first + w->n) << h->cluster_bits, h->size_bytes);
            return 0;
        }
        *ret_data |= sub_is_data(q, w, at);
    }
    return 0;
}

/* Plain clusters that follow each other in the file, from `offset` on: is there data or a
 * hole, and for how long, in whole units? */
static int look_for_hole(const struct qcow2 *q, struct window *w, struct unit *u,
                         struct err *e)
{
    const struct qcow2_map *m = &q->map;
    uint64_t c = u->offset >> m->h.cluster_bits, skip = u->offset % m->h.cluster_bytes;
    uint64_t align = q->base.unit_align, run, len;
    const struct qcow2_place *p;
    bool data;

    if (look_up(w, c, e) < 0)
        return -1;
    p = &w->places[c - w->first];
    if (w->absent || p->packed || m->h.cluster_bytes < align)
        return 0;
    for (run = 1; c - w->first + run < w->n && !p[run].packed &&
                  p[run].at == p->at + run * m->h.cluster_bytes;)
        run++;
    u->len = min64(u->len, run * m->h.cluster_bytes - skip);
    if (blob_data_at(m->blob, p->at + skip, u->len, &data, &len, e) < 0)
        return -1;
    if (!data && len >= u->len) {
        u->kind = UNIT_ZERO;
    } else if (!data && len >= align) {
        u->kind = UNIT_ZERO;
        u->len = len / align * align;
    } else {
        u->len = min64(u->len, max64((len + align - 1) / align, 1) * align);
    }
    return 0;
}

static int qcow2_unit_at(struct source *s, uint64_t offset, uint64_t limit_bytes,
                         struct unit *ret, struct err *e)
{
    struct qcow2 *q = self(s);
    struct window w = {.m = &q->map, .ahead = (limit_bytes >> q->map.h.cluster_bits) + 1};
    uint64_t end = s->size_bytes, at, next;
    bool first, data;

    if (step_at(q, &w, offset, &first, &at, e) < 0)
        return -1;
    if (first)
        end = min64(end, offset + limit_bytes);
    for (; at < end; at = next) {
        if (step_at(q, &w, at, &data, &next, e) < 0)
            return -1;
        if (data != first)
            break;
    }
    *ret = (struct unit){.offset = offset,
                         .len = min64(at, end) - offset,
                         .kind = first ? UNIT_DATA : UNIT_ZERO};
    return first && q->has_holes ? look_for_hole(q, &w, ret, e) : 0;
}

/* ------------------------------------------------------------------------- fetch */

static int unpack(const struct qcow2 *q, struct unpack_tools *t, uint64_t c,
                  const struct qcow2_place *p, const uint8_t *in, void *out,
                  struct err *e)
{
    const struct qcow2_header *h = &q->map.h;
    enum libdeflate_result r = LIBDEFLATE_SUCCESS;
    size_t used, got = 0, n;
    ZSTD_DCtx *d;

    if (!h->zstd) {
        r = libdeflate_deflate_decompress_ex(t->inflate, in, p->packed, out,
                                             h->cluster_bytes, &used, &got);
    } else {
        if (unpack_zstd(t, &d, e) < 0)
            return -1;
        n = ZSTD_findFrameCompressedSize(in, p->packed);
        if (!ZSTD_isError(n))
            n = got = ZSTD_decompressDCtx(d, out, h->cluster_bytes, in, n);
        if (ZSTD_isError(n))
            r = LIBDEFLATE_BAD_DATA;
    }
    if (r == LIBDEFLATE_SUCCESS &&
        got >= min64(h->cluster_bytes, h->size_bytes - c * h->cluster_bytes))
        return 0;
    return err_set(e, ERR_INPUT,
                   "%s: the compressed cluster of disk byte %" PRIu64 " (byte %" PRIu64
                   " of the file) is damaged",
                   q->map.blob->name, c * h->cluster_bytes, p->at);
}

/* The end of those of n compressed clusters that one read gets: in the order of the
 * file, and near each other. Returns how many. */
static uint64_t together(const struct qcow2 *q, const struct unpack_tools *t,
                         const struct qcow2_place *p, uint64_t n, uint64_t *ret_end)
{
    uint64_t end = p->at + p->packed, k = 1;

    for (; k < n && p[k].packed; k++) {
        uint64_t stop = max64(end, p[k].at + p[k].packed);

        if (p[k].at < p[k - 1].at || p[k].at > end + q->map.h.cluster_bytes ||
            stop - p->at > t->in_len)
            break;
        end = stop;
    }
    *ret_end = end;
    return k;
}

/* `t` is NULL where no cluster was compressed when the file was opened. */
static int read_packed(const struct qcow2 *q, struct unpack_tools *t,
                       const struct unpack_want *w, uint64_t c,
                       const struct qcow2_place *p, uint64_t n, uint64_t *ret_n,
                       struct err *e)
{
    uint64_t cluster = q->map.h.cluster_bytes, end, skip, len;

    if (!t)
        return err_set(e, ERR_INPUT,
                       "%s: the cluster of disk byte %" PRIu64
                       " is compressed, and when the file was opened none was: it is "
                       "being changed; copy it while nothing writes to it",
                       q->map.blob->name, c * cluster);
    *ret_n = together(q, t, p, n, &end);
    if (blob_read(q->map.blob, t->in, end - p->at, p->at, e) < 0)
        return -1;
    for (uint64_t i = 0; i < *ret_n; i++) {
        uint8_t *out = unpack_part(w, cluster, c + i, &skip, &len);

        if (unpack(q, t, c + i, &p[i], t->in + (p[i].at - p->at),
                   len == cluster ? out : t->out, e) < 0)
            return -1;
        if (len != cluster)
            memcpy(out, t->out + skip, len);
    }
    return 0;
}

/* Plain clusters that follow each other in the file: one read. */
static int read_plain(const struct qcow2 *q, const struct unpack_want *w, uint64_t c,
                      const struct qcow2_place *p, uint64_t n, uint64_t *ret_n,
                      struct err *e)
{
    uint64_t cluster = q->map.h.cluster_bytes, k = 1, skip, len, more, total;
    uint8_t *out = unpack_part(w, cluster, c, &skip, &len);

    for (total = len; k < n && !p[k].packed && p[k].present == UINT32_MAX &&
                      p[k].at == p->at + k * cluster;
         k++) {
        unpack_part(w, cluster, c + k, &more, &len);
        total += len;
    }
    *ret_n = k;
    return blob_read(q->map.blob, out, total, p->at + skip, e);
}

/* A cluster with extended entries, some of whose pieces are zeros. */
static int read_pieces(const struct qcow2 *q, const struct unpack_want *w, uint64_t c,
                       const struct qcow2_place *p, struct err *e)
{
    uint64_t skip, len, n;
    uint8_t *out = unpack_part(w, q->map.h.cluster_bytes, c, &skip, &len);

    for (; len; skip += n, len -= n, out += n) {
        n = min64(len, q->sub_bytes - skip % q->sub_bytes);
        if (!(p->present >> skip / q->sub_bytes & 1))
            memset(out, 0, n);
        else if (blob_read(q->map.blob, out, n, p->at + skip, e) < 0)
            return -1;
    }
    return 0;
}

static int read_clusters(const struct qcow2 *q, struct unpack_tools *t,
                         const struct unpack_want *w, uint64_t c,
                         const struct qcow2_place *p, uint64_t n, struct err *e)
{
    int r = 0;

    for (uint64_t i = 0, done = 1; i < n && r == 0; i += done, done = 1) {
        if (p[i].packed)
            r = read_packed(q, t, w, c + i, p + i, n - i, &done, e);
        else if (p[i].present == UINT32_MAX)
            r = read_plain(q, w, c + i, p + i, n - i, &done, e);
        else
            r = read_pieces(q, w, c + i, p + i, e);
    }
    return r;
}

static int read_all(const struct qcow2 *q, struct unpack_tools *t,
                    const struct unpack_want *w, struct err *e)
{
    uint64_t cluster = q->map.h.cluster_bytes, c = w->offset / cluster, n, skip, len;
    uint64_t end = (w->offset + w->len + cluster - 1) / cluster;
    struct qcow2_place places[QCOW2_BATCH];
    bool absent;

    for (; c < end; c += n) {
        if (qcow2_map_at(&q->map, c, end - c, places, &n, &absent, e) < 0)
            return -1;
        for (uint64_t i = 0; absent && i < n; i++) {
            uint8_t *out = unpack_part(w, cluster, c + i, &skip, &len);

            memset(out, 0, len);
        }
        if (!absent && read_clusters(q, t, w, c, places, n, e) < 0)
            return -1;
    }
    return 0;
}

static int qcow2_fetch(struct source *s, const struct unit *u, void *buf, struct err *e)
{
    struct unpack_want w = {.buf = buf, .offset = u->offset, .len = u->len};
    struct qcow2 *q = self(s);
    struct unpack_tools *t = NULL;
    uint64_t cluster = q->map.h.cluster_bytes;
    int r;

    if (!q->map.any_packed)
        return read_all(q, NULL, &w, e);
    if (unpack_get(q->pool, max64(IN_WINDOW, 2 * cluster), cluster, &t, e) < 0)
        return -1;
    r = read_all(q, t, &w, e);
    unpack_put(q->pool, t);
    return r;
}

/* -------------------------------------------------------------------------- open */

static void qcow2_free(struct source *s)
{
    qcow2_map_release(&self(s)->map);
    unpack_pool_free(self(s)->pool);
    free(s->desc);
    free(self(s));
}

static const struct source_ops qcow2_ops = {
    .name = "qcow2", .unit_at = qcow2_unit_at, .fetch = qcow2_fetch, .free = qcow2_free};

/* Compressed clusters are best asked for whole. */
static void set_units(struct qcow2 *q)
{
    uint64_t cluster = q->map.h.cluster_bytes;
    uint64_t align = q->map.any_packed ? cluster : min64(q->sub_bytes, MAX_ALIGN);

    q->base.unit_align = (uint32_t)max64(align, MIN_ALIGN);
    q->base.unit_max_bytes = (uint32_t)max64(align, MAX_ALIGN);
}

int qcow2_open(const struct blob *b, struct source **ret, struct err *e)
{
    struct qcow2 *q = mem_zalloc(1, sizeof *q, e);
    auto_source struct source *s = NULL;
    uint64_t allocated = blob_allocated_bytes(b);

    if (!q)
        return -1;
    s = &q->base;
    s->ops = &qcow2_ops;
    s->desc = str_dup(b->name, e);
    if (!s->desc || qcow2_map_open(b, &q->map, e) < 0 || unpack_pool_new(&q->pool, e) < 0)
        return -1;
    q->sub_bytes = q->map.h.cluster_bytes / q->map.h.n_subs;
    s->size_bytes = q->map.h.size_bytes;
    s->data_bytes_hint = q->map.data_bytes;
    q->has_holes = q->map.data_bytes > allocated;
    if (q->has_holes && !q->map.any_packed)
        s->data_bytes_hint = allocated;
    set_units(q);
    blob_advise_sequential(b);
    *ret = take_ptr(s);
    return 0;
}
