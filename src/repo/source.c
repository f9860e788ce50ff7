/* A disk of a recovery point as a source; see disk/source.h.
 *
 * A unit is two chunks, whose digests are computed in turns, or several small ones up to
 * 1 MiB so that the mover's tasks are not tiny, or a run of chunks of zeros, which are
 * known by their digest and never read. */
#include "repo/private.h"

#include "base/minmax.h"
#include "base/sha256_pair.h"
#include "base/str.h"

#include <assert.h>
#include <inttypes.h>

#define JOIN_BYTES      (1u << 20)
#define PAIR_MAX_BYTES  (4u << 20) /* larger chunks twice are too large a buffer */
#define MAX_ZERO_CHUNKS 4096       /* looked at for one answer */

struct repo_source {
    struct source base;
    struct repo_point *point; /* borrowed */
    struct point_disk *disk;  /* borrowed */
};

static struct repo_source *self(struct source *s)
{
    return (struct repo_source *)s;
}

static int is_zero(const struct point_disk *d, uint64_t i, bool *ret, struct err *e)
{
    const unsigned char *zero = i + 1 < fidx_n(d->index) ? d->zero : d->last_zero;
    unsigned char digest[SHA256_BYTES];

    if (fidx_digest(d->index, i, digest, e) < 0)
        return -1;
    *ret = memcmp(digest, zero, sizeof digest) == 0;
    return 0;
}

static int unit_at(struct source *s, uint64_t offset, uint64_t limit_bytes,
                   struct unit *ret, struct err *e)
{
    const struct point_disk *d = self(s)->disk;
    uint64_t chunk = fidx_chunk_bytes(d->index), first = offset / chunk, n = 1, most;
    uint64_t end;
    bool zero, next;

    if (is_zero(d, first, &zero, e) < 0)
        return -1;
    most = min64(limit_bytes, max64(JOIN_BYTES, s->fetch_bytes)) / chunk;
    if (zero)
        most = MAX_ZERO_CHUNKS;
    for (; n < most && first + n < fidx_n(d->index); n++) {
        if (is_zero(d, first + n, &next, e) < 0)
            return -1;
        if (next != zero)
            break;
    }
    end = (first + n) * chunk;
    if (end > s->size_bytes)
        end = s->size_bytes;
    *ret = (struct unit){
        .offset = offset, .len = end - offset, .kind = zero ? UNIT_ZERO : UNIT_DATA};
    return 0;
}

/* n chunks of the same length, one or two, from chunk i on. */
static int fetch_chunks(struct source *s, uint64_t i, size_t n, void *buf, struct err *e)
{
    const struct point_disk *d = self(s)->disk;
    unsigned char digest[2][SHA256_BYTES];
    char hex[SHA256_HEX_LEN];
    enum repo_damage_kind kind;
    size_t which;

    for (size_t k = 0; k < n; k++)
        if (fidx_digest(d->index, i + k, digest[k], e) < 0)
            return -1;
    if (repo_chunks_fetch(self(s)->point->repo, digest, n, d->crypt, buf,
                          fidx_len(d->index, i), &which, &kind, e) == 0)
        return 0;
    /* Without a key no encrypted point is opened, so only failures come here. */
    return err_prefix(e, "%s: at byte %" PRIu64 ": chunk %s", s->desc,
                      (i + which) * fidx_chunk_bytes(d->index),
                      str_hex(hex, digest[which], SHA256_BYTES));
}

static int fetch(struct source *s, const struct unit *u, void *buf, struct err *e)
{
    uint64_t chunk = fidx_chunk_bytes(self(s)->disk->index), n;

    for (uint64_t at = 0; at < u->len; at += n * chunk) {
        n = u->len - at >= 2 * chunk ? 2 : 1;
        if (fetch_chunks(s, (u->offset + at) / chunk, n, (char *)buf + at, e) < 0)
            return -1;
    }
    return 0;
}

static void source_done(struct source *s)
{
    free(s->desc);
    free(s);
}

static const struct source_ops ops = {
    .name = "repo", .unit_at = unit_at, .fetch = fetch, .free = source_done};

static int count_data(const struct point_disk *d, uint64_t *ret, struct err *e)
{
    uint64_t sum = 0;
    bool zero;

    for (uint64_t i = 0; i < fidx_n(d->index); i++) {
        if (is_zero(d, i, &zero, e) < 0)
            return -1;
        if (!zero)
            sum += fidx_len(d->index, i);
    }
    *ret = sum;
    return 0;
}

/* Where every fetch waits for a service, small ones let more wait at once. */
static uint32_t pair_bytes(const struct repo_point *p, const struct point_disk *d)
{
    uint64_t chunk = fidx_chunk_bytes(d->index);

    return sha256_pair_pays() && chunk <= PAIR_MAX_BYTES && !p->repo->store->calls_at_once
               ? (uint32_t)(2 * chunk)
               : 0;
}

int repo_source_new(struct repo_point *p, size_t disk, struct source **ret, struct err *e)
{
    struct point_disk *d = &p->disks.v[disk];
    struct repo_source *s = mem_zalloc(1, sizeof *s, e);

    if (!s)
        return -1;
    s->base = (struct source){.ops = &ops,
                              .size_bytes = fidx_size(d->index),
                              .unit_align = fidx_chunk_bytes(d->index),
                              .unit_max_bytes = fidx_chunk_bytes(d->index),
                              .fetch_bytes = pair_bytes(p, d),
                              .calls_at_once = p->repo->store->calls_at_once};
    s->point = p;
    s->disk = d;
    s->base.desc = str_fmt(e, "%s/%s/%s", p->repo->store->desc, p->path, d->name);
    if (!s->base.desc || count_data(d, &s->base.data_bytes_hint, e) < 0) {
        source_done(&s->base);
        return -1;
    }
    *ret = &s->base;
    return 0;
}
