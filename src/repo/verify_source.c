/* All chunks that are to be verified as one virtual disk; see repo.h and verify.h.
 *
 * The disks of all points lie one after the other. A chunk that an earlier place has
 * already is a unit of zeros there: nothing is done for it. Which place checks a chunk is
 * decided once, before the first answer, so that answers never change. */
#include "repo/verify.h"

#include "base/rand.h"
#include "base/str.h"

#include <assert.h>

/* Entries of 16 bytes: at most 64 MiB. When it is full it is emptied, and chunks that
 * were met before are checked a second time: that costs time and no memory. */
#define MAX_SEEN (1u << 22)

/* ---- who checks what ---- */

/* A set of digests with lengths, of which 128 bits are kept. Digests that are not random
 * were made by somebody who hides a damaged chunk from us; the key makes it hopeless. */
struct seen {
    struct {
        uint64_t a, b;
    } * v; /* owned; a == b == 0: free */
    uint64_t key;
    size_t n;
};

static bool seen_add(struct seen *s, const unsigned char *digest, uint32_t len)
{
    uint64_t a, b;
    size_t at;

    memcpy(&a, digest, sizeof a);
    memcpy(&b, digest + 8, sizeof b);
    b ^= (uint64_t)len << 40;
    b |= 1;
    if (s->n > MAX_SEEN / 4 * 3) {
        memset(s->v, 0, MAX_SEEN * sizeof *s->v);
        s->n = 0;
    }
    for (at = (a ^ s->key) % MAX_SEEN; s->v[at].b; at = (at + 1) % MAX_SEEN)
        if (s->v[at].a == a && s->v[at].b == b)
            return false;
    s->v[at].a = a;
    s->v[at].b = b;
    s->n++;
    return true;
}

static int assign_disk(struct repo_verify *v, struct verify_disk *d, struct seen *s,
                       struct err *e)
{
    unsigned char digest[SHA256_BYTES];
    uint64_t n = fidx_n(d->index), mine = 0;

    d->owned = mem_zalloc((size_t)(n / 64 + 1), sizeof *d->owned, e);
    d->checked =
        d->owned ? mem_zalloc((size_t)(n / 64 + 1), sizeof *d->checked, e) : NULL;
    if (!d->checked)
        return -1;
    for (uint64_t i = 0; i < n; i++) {
        if (fidx_digest(d->index, i, digest, e) < 0)
            return -1;
        if (seen_add(s, digest, fidx_len(d->index, i))) {
            d->owned[i / 64] |= 1ull << i % 64;
            mine++;
        }
    }
    fidx_rest(d->index);
    atomic_fetch_add(&v->points.v[d->point].left, mine);
    return 0;
}

int verify_assign(struct repo_verify *v, struct err *e)
{
    struct seen s = {0};
    uint64_t start = 0;
    int r = 0;

    if (v->disks.n == 0)
        return 0;
    s.v = mem_zalloc(MAX_SEEN, sizeof *s.v, e);
    if (!s.v)
        return -1;
    rand_bytes(&s.key, sizeof s.key);
    vec_foreach (d, &v->disks) {
        uint64_t size = fidx_size(d->index), room = size + VERIFY_ALIGN - 1;

        d->start = start;
        if (__builtin_add_overflow(start, room - room % VERIFY_ALIGN, &start) ||
            start > INT64_MAX)
            r = err_set(e, ERR_UNSUPPORTED, "too much to verify at once: name a machine");
        if (r == 0)
            r = assign_disk(v, d, &s, e);
        if (r < 0)
            break;
    }
    free(s.v);
    return r;
}

/* ---- the source ---- */

struct verify_source {
    struct source base;
    struct repo_verify *v; /* borrowed */
};

static struct verify_source *self(struct source *s)
{
    return (struct verify_source *)s;
}

/* The disk that holds the byte: the last that starts at or before it. */
static struct verify_disk *disk_at(struct repo_verify *v, uint64_t offset)
{
    size_t lo = 0, hi = v->disks.n;

    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;

        if (v->disks.v[mid].start <= offset)
            lo = mid;
        else
            hi = mid;
    }
    return &v->disks.v[lo];
}

static bool owns(const struct verify_disk *d, uint64_t i)
{
    return d->owned[i / 64] >> i % 64 & 1;
}

static int unit_at(struct source *s, uint64_t offset, uint64_t limit_bytes,
                   struct unit *ret, struct err *e)
{
    struct verify_disk *d = disk_at(self(s)->v, offset);
    uint64_t chunk = fidx_chunk_bytes(d->index), n = fidx_n(d->index);
    uint64_t i = (offset - d->start) / chunk, end = i + 1;
    bool mine = owns(d, i);

    while (!mine && end < n && end - i < 4096 && !owns(d, end))
        end++;
    *ret = (struct unit){.offset = offset, .kind = mine ? UNIT_DATA : UNIT_ZERO};
    ret->len = d->start + end * chunk - offset;
    /* The last chunk of a disk is as short as units may be. */
    if (end == n)
        ret->len = d->start + fidx_size(d->index) - offset;
    ret->len += VERIFY_ALIGN - 1;
    ret->len -= ret->len % VERIFY_ALIGN;
    ret->cookie[0] = (uint64_t)(d - self(s)->v->disks.v);
    ret->cookie[1] = i;
    return 0;
}

static int fetch(struct source *s, const struct unit *u, void *buf, struct err *e)
{
    struct repo_verify *v = self(s)->v;

    /* Its bytes are nobody's concern. */
    memset(buf, 0, u->len);
    return verify_chunk(v, &v->disks.v[u->cookie[0]], u->cookie[1], buf, e);
}

static void source_done(struct source *s)
{
    free(s->desc);
    free(s);
}

static const struct source_ops ops = {
    .name = "repo-verify", .unit_at = unit_at, .fetch = fetch, .free = source_done};

int verify_source_new(struct repo_verify *v, struct source **ret, struct err *e)
{
    struct verify_source *s = mem_zalloc(1, sizeof *s, e);
    uint64_t hint = 0;
    uint32_t max = 0;

    if (!s)
        return -1;
    s->v = v;
    vec_foreach (d, &v->disks) {
        s->base.size_bytes = d->start + fidx_size(d->index);
        max = fidx_chunk_bytes(d->index) > max ? fidx_chunk_bytes(d->index) : max;
        for (uint64_t i = 0; i < fidx_n(d->index); i++)
            hint += owns(d, i) ? fidx_len(d->index, i) : 0;
    }
    s->base.size_bytes += VERIFY_ALIGN - 1;
    s->base.size_bytes -= s->base.size_bytes % VERIFY_ALIGN;
    s->base.ops = &ops;
    s->base.unit_align = VERIFY_ALIGN;
    s->base.unit_max_bytes = max;
    s->base.calls_at_once = v->repo->store->calls_at_once;
    s->base.data_bytes_hint = hint;
    s->base.desc = str_dup(v->repo->store->desc, e);
    if (!s->base.desc) {
        source_done(&s->base);
        return -1;
    }
    *ret = &s->base;
    return 0;
}
