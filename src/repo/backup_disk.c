/* The sink of a disk that is backed up: whole chunks are hashed, and stored unless they
 * are there already; see repo.h.
 *
 * A chunk is in the store, and its access time new, before its digest enters the index.
 * A crash leaves chunks that nobody names. */
#include "repo/backup.h"

#include "base/str.h"

#include <assert.h>
#include <inttypes.h>

static struct backup_disk *self(struct sink *s)
{
    return (struct backup_disk *)s;
}

static enum datablob_crypt crypt_of(const struct backup_disk *d)
{
    return repo_datablob_crypt(d->backup->crypt);
}

static uint32_t len_of(const struct backup_disk *d, uint64_t i)
{
    uint64_t left = d->base.size_bytes - i * d->writer.chunk_bytes;

    return left < d->writer.chunk_bytes ? (uint32_t)left : d->writer.chunk_bytes;
}

/* ---- storing ---- */

/* Is what is there really the chunk? */
static int is_sound(struct repo_backup *b, const unsigned char *digest, size_t len,
                    bool *ret, struct err *e)
{
    auto_free void *buf = malloc(len);
    enum repo_damage_kind kind;

    if (!buf)
        return err_nomem(e);
    *ret = repo_chunk_fetch(b->repo, digest, repo_datablob_crypt(b->crypt), buf, len,
                            &kind, e) == 0;
    return *ret || repo_is_damage(e) ? 0 : -1;
}

/* Stores the chunk unless it is there. */
static int store_chunk(struct backup_disk *d, struct datablob_work *w,
                       const unsigned char *digest, const void *data, size_t len,
                       struct err *e)
{
    struct repo_backup *b = d->backup;
    struct store *s = b->repo->store;
    struct datablob_encoded x;
    struct store_touched t;
    bool replace;

    if (s->ops->chunk_touch(s, digest, &t, e) < 0)
        return -1;
    replace = t.empty;
    if (t.there && t.mtime_s >= b->suspect_since) {
        if (is_sound(b, digest, len, &t.there, e) < 0)
            return -1;
        replace = !t.there;
    }
    if (t.there)
        return 0;
    if (datablob_encode(w, crypt_of(d), b->level, data, len, &x, e) < 0 ||
        s->ops->chunk_write(s, digest, x.head, x.head_len, x.body, x.body_len, replace,
                            e) < 0)
        return -1;
    atomic_fetch_add(&b->new_chunks, 1);
    atomic_fetch_add(&b->stored_bytes, x.head_len + x.body_len);
    return 0;
}

static int write_chunk(struct backup_disk *d, struct datablob_work *w, uint64_t i,
                       const void *data, struct err *e)
{
    unsigned char digest[SHA256_BYTES];
    uint32_t len = len_of(d, i);

    if (cancel_check(d->backup->repo->cancel, e) < 0)
        return -1;
    datablob_digest(w, crypt_of(d), data, len, digest);
    if (store_chunk(d, w, digest, data, len, e) < 0)
        return err_prefix(e, "%s: at byte %" PRIu64, d->base.desc,
                          i * d->writer.chunk_bytes);
    atomic_fetch_add(&d->backup->chunks, 1);
    atomic_fetch_add(&d->backup->data_bytes, len);
    return fidx_writer_set(&d->writer, i, 1, digest, e);
}

/* Whole chunks only; the last may be short. */
static void check_range(const struct sink *s, uint64_t offset, uint64_t len)
{
    assert(offset <= s->size_bytes && len <= s->size_bytes - offset);
    assert(offset % s->block_bytes == 0);
    assert(len % s->block_bytes == 0 || offset + len == s->size_bytes);
}

static int disk_write(struct sink *s, const void *buf, size_t len, uint64_t offset,
                      struct err *e)
{
    struct datablob_pool *pool = &self(s)->backup->repo->pool;
    struct datablob_work *w;
    int r = 0;

    check_range(s, offset, len);
    if (datablob_take(pool, DATABLOB_MAX_RAW(s->block_bytes), &w, e) < 0)
        return -1;
    for (uint64_t at = 0; at < len && r == 0; at += s->block_bytes)
        r = write_chunk(self(s), w, (offset + at) / s->block_bytes,
                        (const char *)buf + at, e);
    datablob_give(pool, w);
    return r;
}

/* ---- zeros ---- */

/* The chunk of zeros is a chunk like any other, but is made only once. */
static int store_zero(struct backup_disk *d, int last, uint32_t len, struct err *e)
{
    auto_free void *zeros = NULL;
    struct datablob_work *w;
    int r = 0;

    pthread_mutex_lock(&d->lock);
    if (!d->zero_stored[last]) {
        zeros = mem_zalloc(1, len, e);
        r = zeros ? datablob_take(&d->backup->repo->pool, DATABLOB_MAX_RAW(len), &w, e)
                  : -1;
        if (r == 0) {
            r = store_chunk(d, w, d->zero[last], zeros, len, e);
            datablob_give(&d->backup->repo->pool, w);
        }
        d->zero_stored[last] = r == 0;
    }
    pthread_mutex_unlock(&d->lock);
    return r;
}

static int zero_chunks(struct backup_disk *d, uint64_t i, uint64_t n, int last,
                       struct err *e)
{
    if (n == 0)
        return 0;
    if (store_zero(d, last, len_of(d, i), e) < 0)
        return -1;
    atomic_fetch_add(&d->backup->chunks, n);
    return fidx_writer_set(&d->writer, i, n, d->zero[last], e);
}

static int disk_zero(struct sink *s, uint64_t offset, uint64_t len, struct err *e)
{
    struct backup_disk *d = self(s);
    uint64_t first = offset / s->block_bytes, end, n;

    check_range(s, offset, len);
    if (len == 0)
        return 0;
    if (cancel_check(d->backup->repo->cancel, e) < 0)
        return -1;
    end = (offset + len + s->block_bytes - 1) / s->block_bytes;
    n = end - first;
    /* The last chunk of the disk has a digest of its own when it is short. */
    if (end == d->writer.n && zero_chunks(d, end - 1, 1, 1, e) < 0)
        return -1;
    return zero_chunks(d, first, end == d->writer.n ? n - 1 : n, 0, e);
}

/* ---- the rest of the table ---- */

static int disk_flush(struct sink *s, struct err *e)
{
    struct store *store = self(s)->backup->repo->store;

    return store->ops->sync(store, e);
}

static int read_chunk(struct backup_disk *d, uint64_t i, void *chunk, struct err *e)
{
    unsigned char digest[SHA256_BYTES];
    enum repo_damage_kind kind;

    if (!fidx_writer_has(&d->writer, i))
        return err_set(e, ERR_FAILED, "%s: the chunk at byte %" PRIu64 " was not written",
                       d->base.desc, i * d->writer.chunk_bytes);
    if (fidx_writer_get(&d->writer, i, digest, e) < 0 ||
        repo_chunk_fetch(d->backup->repo, digest, crypt_of(d), chunk, len_of(d, i), &kind,
                         e) < 0)
        return err_prefix(e, "%s: at byte %" PRIu64, d->base.desc,
                          i * d->writer.chunk_bytes);
    return 0;
}

static int disk_read(struct sink *s, void *buf, size_t len, uint64_t offset,
                     struct err *e)
{
    auto_free char *chunk = malloc(s->block_bytes);
    char *out = buf;

    assert(offset <= s->size_bytes && len <= s->size_bytes - offset);
    if (!chunk)
        return err_nomem(e);
    while (len) {
        uint64_t i = offset / s->block_bytes, skip = offset % s->block_bytes;
        size_t n = len_of(self(s), i) - (size_t)skip;

        if (n > len)
            n = len;
        if (read_chunk(self(s), i, chunk, e) < 0)
            return -1;
        memcpy(out, chunk + skip, n);
        out += n;
        offset += n;
        len -= n;
    }
    return 0;
}

/* The backup owns its sinks. */
static void disk_release(struct sink *s)
{
}

static const struct sink_ops ops = {
    .name = "repo",
    .write = disk_write,
    .zero = disk_zero,
    .flush = disk_flush,
    .read = disk_read,
    .free = disk_release,
};

/* ---- the base ---- */

static const struct point_disk *base_disk(const struct repo_backup *b, const char *name)
{
    if (b->base)
        vec_foreach (x, &b->base->disks)
            if (str_eq(x->name, name) && fidx_chunk_bytes(x->index) == b->chunk_bytes)
                return x;
    return NULL;
}

/* Its access time is renewed before the digest is relied on. */
static int take_over(struct backup_disk *d, const struct point_disk *from, uint64_t i,
                     unsigned char last[SHA256_BYTES], struct err *e)
{
    struct store *s = d->backup->repo->store;
    unsigned char digest[SHA256_BYTES];
    char hex[SHA256_HEX_LEN];
    struct store_touched t = {.there = true};

    if (i >= fidx_n(from->index) || fidx_len(from->index, i) != len_of(d, i))
        return err_set(e, ERR_FAILED,
                       "%s: at byte %" PRIu64 ": the earlier backup has no such chunk",
                       d->base.desc, i * d->writer.chunk_bytes);
    if (fidx_digest(from->index, i, digest, e) < 0)
        return -1;
    if (memcmp(digest, last, sizeof digest) != 0 &&
        s->ops->chunk_keep(s, digest, &t, e) < 0)
        return -1;
    if (!t.there)
        return err_set(
            e, ERR_INPUT,
            "%s: at byte %" PRIu64 ": chunk %s of the earlier backup is missing: "
            "back up without it",
            d->base.desc, i * d->writer.chunk_bytes, str_hex(hex, digest, sizeof digest));
    memcpy(last, digest, sizeof digest);
    atomic_fetch_add(&d->backup->reused_bytes, len_of(d, i));
    return fidx_writer_set(&d->writer, i, 1, digest, e);
}

static int take_unchanged(struct backup_disk *d, const struct extent_set *unchanged,
                          struct err *e)
{
    const struct point_disk *from = base_disk(d->backup, d->name);
    uint64_t chunk = d->writer.chunk_bytes, size = d->base.size_bytes;
    unsigned char last[SHA256_BYTES] = {0};

    if (unchanged->n && !from)
        return err_set(e, ERR_FAILED,
                       "%s: no earlier backup from which to take what has not changed",
                       d->base.desc);
    for (size_t k = 0; k < unchanged->n; k++) {
        const struct extent *x = &unchanged->v[k];

        if (x->offset % chunk || x->offset > size || x->len > size - x->offset ||
            ((x->offset + x->len) % chunk && x->offset + x->len != size))
            return err_set(e, ERR_FAILED, "%s: what has not changed is no whole chunks",
                           d->base.desc);
        for (uint64_t at = x->offset; at < x->offset + x->len; at += chunk)
            if (cancel_check(d->backup->repo->cancel, e) < 0 ||
                take_over(d, from, at / chunk, last, e) < 0)
                return -1;
    }
    return 0;
}

/* ---- making ---- */

void backup_disk_free(struct backup_disk *d)
{
    if (!d)
        return;
    fidx_writer_release(&d->writer);
    pthread_mutex_destroy(&d->lock);
    free(d->base.desc);
    free(d->name);
    free(d->file);
    free(d);
}

DEFINE_AUTO_PTR(struct backup_disk, backup_disk_free)

int backup_disk_new(struct repo_backup *b, const char *name, uint64_t size_bytes,
                    const struct extent_set *unchanged, struct backup_disk **ret,
                    struct err *e)
{
    auto_call(backup_disk_free_autop) struct backup_disk *d = mem_zalloc(1, sizeof *d, e);

    if (!d)
        return -1;
    d->backup = b;
    d->writer.fd = -1;
    pthread_mutex_init(&d->lock, NULL);
    d->base = (struct sink){.ops = &ops,
                            .size_bytes = size_bytes,
                            .align = 4096,
                            .block_bytes = b->chunk_bytes,
                            .calls_at_once = b->repo->store->calls_at_once,
                            .fd = -1};
    d->name = str_dup(name, e);
    d->file = str_fmt(e, "%s.fidx", name);
    d->base.desc = str_fmt(e, "%s/%s/%s", b->repo->store->desc, b->path, name);
    if (!d->name || !d->file || !d->base.desc)
        return -1;
    if (!repo_file_valid(d->file))
        return err_set(e, ERR_USAGE, "'%.200s' cannot be a disk's name", name);
    if (size_bytes == 0 || size_bytes > INT64_MAX)
        return err_set(e, ERR_INPUT, "%s: a disk of %" PRIu64 " bytes cannot be stored",
                       d->base.desc, size_bytes);
    if (fidx_writer_init(&d->writer, b->repo->store, b->path, d->file, size_bytes,
                         b->chunk_bytes, e) < 0 ||
        repo_zero_digest(b->repo, crypt_of(d), b->chunk_bytes, d->zero[0], e) < 0 ||
        repo_zero_digest(b->repo, crypt_of(d), len_of(d, d->writer.n - 1), d->zero[1],
                         e) < 0 ||
        (unchanged && take_unchanged(d, unchanged, e) < 0))
        return -1;
    *ret = take_ptr(d);
    return 0;
}
