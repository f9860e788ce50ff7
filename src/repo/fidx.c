/* Fixed indexes; see fidx.h. Nothing of the file is used before its lengths and checksum
 * are right, and nothing is allocated in proportion to what it merely claims: the number
 * of digests must equal the file's length. */
#include "repo/fidx.h"

#include "base/bytes.h"
#include "base/io.h"
#include "base/rand.h"
#include "base/str.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define IN_MEMORY_BYTES (16u << 20)
#define BLOCK_BYTES     (256u << 10)
#define BLOCK_DIGESTS   (BLOCK_BYTES / SHA256_BYTES)
#define N_CACHED        8
#define BLOCK_SUM_BYTES                                                                  \
    16 /* of SHA-256: enough against anything but chance and design                      \
        */

static const unsigned char magic[8] = {0x2f, 0x7f, 0x41, 0xed, 0x91, 0xfd, 0x0f, 0xcd};

struct cached {
    unsigned char *data; /* owned, BLOCK_BYTES */
    uint64_t block;
    bool full;
};

struct fidx {
    struct store *store; /* borrowed */
    char *path;          /* owned */
    struct fidx_header h;
    unsigned char *all;   /* owned: every digest; NULL when by block */
    unsigned char *sums;  /* owned: BLOCK_SUM_BYTES for each block */
    pthread_mutex_t lock; /* guards the rest */
    struct store_file file;
    struct cached cache[N_CACHED];
    unsigned next; /* to be replaced */
};

static uint64_t n_chunks(uint64_t size_bytes, uint64_t chunk_bytes)
{
    return size_bytes / chunk_bytes + (size_bytes % chunk_bytes != 0);
}

int fidx_parse_header(const unsigned char h[FIDX_HEADER_BYTES], uint64_t file_bytes,
                      struct fidx_header *ret, struct err *e)
{
    uint64_t size = le64_at(h + 64), chunk = le64_at(h + 72), n;

    if (memcmp(h, magic, sizeof magic) != 0)
        return err_set(e, ERR_INPUT, "not a fixed index");
    if (chunk < FIDX_MIN_CHUNK || chunk > FIDX_MAX_CHUNK || (chunk & (chunk - 1)))
        return err_set(e, ERR_UNSUPPORTED,
                       "chunks of %" PRIu64 " bytes: hotadd reads powers of two from "
                       "64 KiB to 16 MiB",
                       chunk);
    if (size == 0 || size > INT64_MAX)
        return err_set(e, ERR_INPUT, "a disk of %" PRIu64 " bytes", size);
    n = n_chunks(size, chunk);
    if (file_bytes < FIDX_HEADER_BYTES || (file_bytes - FIDX_HEADER_BYTES) % 32 ||
        (file_bytes - FIDX_HEADER_BYTES) / 32 != n)
        return err_set(e, ERR_INPUT,
                       "its %" PRIu64 " bytes do not fit the %" PRIu64
                       " chunks of a disk "
                       "of %" PRIu64 " bytes",
                       file_bytes, n, size);
    *ret =
        (struct fidx_header){.size_bytes = size, .chunk_bytes = (uint32_t)chunk, .n = n};
    memcpy(ret->csum, h + 32, SHA256_BYTES);
    return 0;
}

/* ---- reading ---- */

void fidx_rest(struct fidx *x)
{
    x->store->ops->close(x->store, &x->file);
    for (size_t i = 0; i < N_CACHED; i++) {
        free(x->cache[i].data);
        x->cache[i] = (struct cached){0};
    }
}

void fidx_free(struct fidx *x)
{
    if (!x)
        return;
    fidx_rest(x);
    pthread_mutex_destroy(&x->lock);
    free(x->sums);
    free(x->all);
    free(x->path);
    free(x);
}

static size_t block_len(const struct fidx *x, uint64_t block)
{
    uint64_t left = x->h.n * SHA256_BYTES - block * BLOCK_BYTES;

    return left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
}

static int read_block(struct fidx *x, uint64_t block, unsigned char *out, struct err *e)
{
    return x->store->ops->pread(x->store, &x->file, out, block_len(x, block),
                                FIDX_HEADER_BYTES + block * BLOCK_BYTES, e);
}

/* Reads all of it once. */
static int check_sum(struct fidx *x, struct err *e)
{
    uint64_t n_blocks = n_chunks(x->h.n * SHA256_BYTES, BLOCK_BYTES);
    auto_free unsigned char *buf = NULL;
    unsigned char sum[DIGEST_MAX_BYTES];
    struct digest *d;
    int r = 0;

    buf = malloc(BLOCK_BYTES);
    if (!buf)
        return err_nomem(e);
    if (digest_new(DIGEST_SHA256, &d, e) < 0)
        return -1;
    for (uint64_t b = 0; b < n_blocks && r == 0; b++) {
        unsigned char *at = x->all ? x->all + b * BLOCK_BYTES : buf;

        r = read_block(x, b, at, e);
        if (r == 0)
            digest_update(d, at, block_len(x, b));
        if (r == 0 && x->sums) {
            digest_sha256(at, block_len(x, b), sum);
            memcpy(x->sums + b * BLOCK_SUM_BYTES, sum, BLOCK_SUM_BYTES);
        }
    }
    digest_final(d, sum);
    digest_free(d);
    if (r == 0 && memcmp(sum, x->h.csum, SHA256_BYTES) != 0)
        r = err_set(e, ERR_INPUT, "its checksum is wrong");
    return r;
}

static int open_checked(struct fidx *x, const unsigned char *csum, uint64_t size_bytes,
                        enum fidx_hold hold, struct err *e)
{
    auto_free unsigned char *h = NULL;
    uint64_t bytes;

    if (x->store->ops->open(x->store, x->path, &x->file, e) < 0)
        return -1;
    h = malloc(FIDX_HEADER_BYTES);
    if (!h)
        return err_nomem(e);
    if (x->file.size_bytes < FIDX_HEADER_BYTES)
        return err_set(e, ERR_INPUT, "it has only %" PRIu64 " bytes", x->file.size_bytes);
    if (x->store->ops->pread(x->store, &x->file, h, FIDX_HEADER_BYTES, 0, e) < 0 ||
        fidx_parse_header(h, x->file.size_bytes, &x->h, e) < 0)
        return -1;
    if (x->h.size_bytes != size_bytes)
        return err_set(e, ERR_INPUT,
                       "it is of a disk of %" PRIu64
                       " bytes, the manifest's has %" PRIu64,
                       x->h.size_bytes, size_bytes);
    if (memcmp(x->h.csum, csum, SHA256_BYTES) != 0)
        return err_set(e, ERR_INPUT, "its checksum is not the one in the manifest");
    bytes = x->h.n * SHA256_BYTES;
    if (hold == FIDX_IN_MEMORY && bytes <= IN_MEMORY_BYTES)
        x->all = mem_zalloc(1, (size_t)bytes, e);
    else
        x->sums = mem_zalloc((size_t)n_chunks(bytes, BLOCK_BYTES), BLOCK_SUM_BYTES, e);
    return x->all || x->sums ? check_sum(x, e) : -1;
}

int fidx_open(struct store *s, const char *path, const unsigned char csum[SHA256_BYTES],
              uint64_t size_bytes, enum fidx_hold hold, struct fidx **ret, struct err *e)
{
    auto_call(fidx_free_autop) struct fidx *x = mem_zalloc(1, sizeof *x, e);

    if (!x)
        return -1;
    x->store = s;
    x->file.fd = -1;
    pthread_mutex_init(&x->lock, NULL);
    x->path = str_dup(path, e);
    if (!x->path)
        return -1;
    if (open_checked(x, csum, size_bytes, hold, e) < 0)
        return strstr(e->msg, path) ? -1 : err_prefix(e, "%s/%s", s->desc, path);
    fidx_rest(x);
    *ret = take_ptr(x);
    return 0;
}

uint64_t fidx_size(const struct fidx *x)
{
    return x->h.size_bytes;
}

uint32_t fidx_chunk_bytes(const struct fidx *x)
{
    return x->h.chunk_bytes;
}

uint64_t fidx_n(const struct fidx *x)
{
    return x->h.n;
}

static uint32_t len_of(uint64_t size_bytes, uint32_t chunk_bytes, uint64_t i)
{
    uint64_t left = size_bytes - i * chunk_bytes;

    return left < chunk_bytes ? (uint32_t)left : chunk_bytes;
}

uint32_t fidx_len(const struct fidx *x, uint64_t i)
{
    return len_of(x->h.size_bytes, x->h.chunk_bytes, i);
}

/* Called with the lock held. */
static int load_block(struct fidx *x, uint64_t block, struct cached *c, struct err *e)
{
    unsigned char sum[SHA256_BYTES];

    c->full = false;
    if (!c->data && !(c->data = malloc(BLOCK_BYTES)))
        return err_nomem(e);
    if (x->file.fd < 0 && !x->file.key &&
        x->store->ops->open(x->store, x->path, &x->file, e) < 0)
        return -1;
    if (read_block(x, block, c->data, e) < 0)
        return -1;
    digest_sha256(c->data, block_len(x, block), sum);
    if (memcmp(sum, x->sums + block * BLOCK_SUM_BYTES, BLOCK_SUM_BYTES) != 0)
        return err_set(e, ERR_INPUT, "%s/%s has changed since it was opened",
                       x->store->desc, x->path);
    c->block = block;
    c->full = true;
    return 0;
}

int fidx_digest(struct fidx *x, uint64_t i, unsigned char out[SHA256_BYTES],
                struct err *e)
{
    uint64_t block = i / BLOCK_DIGESTS;
    struct cached *c = NULL;
    int r = 0;

    assert(i < x->h.n);
    if (x->all) {
        memcpy(out, x->all + i * SHA256_BYTES, SHA256_BYTES);
        return 0;
    }
    pthread_mutex_lock(&x->lock);
    for (size_t k = 0; k < N_CACHED && !c; k++)
        if (x->cache[k].full && x->cache[k].block == block)
            c = &x->cache[k];
    if (!c) {
        c = &x->cache[x->next++ % N_CACHED];
        r = load_block(x, block, c, e);
    }
    if (r == 0)
        memcpy(out, c->data + i % BLOCK_DIGESTS * SHA256_BYTES, SHA256_BYTES);
    pthread_mutex_unlock(&x->lock);
    return r;
}

/* ---- making ---- */

int fidx_writer_init(struct fidx_writer *w, struct store *s, const char *dir,
                     const char *name, uint64_t size_bytes, uint32_t chunk_bytes,
                     struct err *e)
{
    struct fidx_writer n = {.fd = -1,
                            .size_bytes = size_bytes,
                            .chunk_bytes = chunk_bytes,
                            .n = n_chunks(size_bytes, chunk_bytes),
                            .what = name};

    n.set = mem_zalloc((size_t)(n.n / 64 + 1), sizeof *n.set, e);
    if (!n.set)
        return -1;
    if (s->ops->index_create(s, dir, name, &n.fd, e) < 0) {
        free(n.set);
        return -1;
    }
    *w = n;
    return 0;
}

void fidx_writer_release(struct fidx_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    free(w->set);
    w->set = NULL;
}

static uint64_t slot(uint64_t i)
{
    return FIDX_HEADER_BYTES + i * SHA256_BYTES;
}

int fidx_writer_set(struct fidx_writer *w, uint64_t i, uint64_t n,
                    const unsigned char digest[SHA256_BYTES], struct err *e)
{
    unsigned char run[64 * SHA256_BYTES];
    uint64_t end = i + n;
    size_t in_run = n < 64 ? (size_t)n : 64;

    assert(end <= w->n);
    for (size_t k = 0; k < in_run; k++)
        memcpy(run + k * SHA256_BYTES, digest, SHA256_BYTES);
    for (uint64_t at = i; at < end; at += in_run) {
        if (end - at < in_run)
            in_run = (size_t)(end - at);
        if (io_pwrite_full(w->fd, run, in_run * SHA256_BYTES, slot(at), w->what, e) < 0)
            return -1;
    }
    for (uint64_t at = i; at < end; at++)
        atomic_fetch_or(&w->set[at / 64], 1ull << at % 64);
    return 0;
}

bool fidx_writer_has(const struct fidx_writer *w, uint64_t i)
{
    return atomic_load(&w->set[i / 64]) >> i % 64 & 1;
}

int fidx_writer_get(const struct fidx_writer *w, uint64_t i,
                    unsigned char out[SHA256_BYTES], struct err *e)
{
    return io_pread_full(w->fd, out, SHA256_BYTES, slot(i), w->what, e);
}

static int sum_digests(const struct fidx_writer *w, unsigned char *out, struct err *e)
{
    auto_free unsigned char *buf = malloc(BLOCK_BYTES);
    uint64_t end = slot(w->n);
    struct digest *d;
    int r = 0;

    if (!buf)
        return err_nomem(e);
    if (digest_new(DIGEST_SHA256, &d, e) < 0)
        return -1;
    for (uint64_t at = FIDX_HEADER_BYTES; at < end && r == 0;) {
        size_t n = end - at < BLOCK_BYTES ? (size_t)(end - at) : BLOCK_BYTES;

        r = io_pread_full(w->fd, buf, n, at, w->what, e);
        if (r == 0)
            digest_update(d, buf, n);
        at += n;
    }
    digest_final(d, out);
    digest_free(d);
    return r;
}

int fidx_writer_finish(struct fidx_writer *w, unsigned char ret_csum[SHA256_BYTES],
                       struct err *e)
{
    unsigned char h[FIDX_HEADER_BYTES] = {0}, sum[DIGEST_MAX_BYTES];

    for (uint64_t i = 0; i < w->n; i++)
        if (!fidx_writer_has(w, i))
            return err_set(e, ERR_FAILED,
                           "%s: the chunk at byte %" PRIu64 " was never written", w->what,
                           i * w->chunk_bytes);
    if (sum_digests(w, sum, e) < 0)
        return -1;
    memcpy(h, magic, sizeof magic);
    rand_bytes(h + 8, 16);
    h[14] = (unsigned char)((h[14] & 0x0f) | 0x40); /* version 4, variant 1 */
    h[16] = (unsigned char)((h[16] & 0x3f) | 0x80);
    le64_put(h + 24, (uint64_t)time(NULL));
    memcpy(h + 32, sum, SHA256_BYTES);
    le64_put(h + 64, w->size_bytes);
    le64_put(h + 72, w->chunk_bytes);
    if (io_pwrite_full(w->fd, h, sizeof h, 0, w->what, e) < 0)
        return -1;
    memcpy(ret_csum, sum, SHA256_BYTES);
    return 0;
}
