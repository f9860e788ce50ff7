/* The digest of a disk in any order; see tree.h.
 *
 * Pieces are hashed by whoever has them. Their digests enter the sum in the disk's order:
 * those that come too early wait in a list, which is short, since tasks are taken in that
 * order. */
#include "mover/tree.h"

#include "base/auto.h"
#include "base/str.h"
#include "base/vec.h"

#include <assert.h>
#include <pthread.h>

struct run {
    uint64_t first, n; /* pieces of the same digest */
    unsigned char sha256[SHA256_BYTES];
};

struct tree {
    uint64_t size_bytes;
    unsigned char zeros[SHA256_BYTES]; /* of a whole piece */
    unsigned char tail[SHA256_BYTES];  /* of zeros as long as the last piece */
    pthread_mutex_t lock;              /* guards the rest */
    struct digest *sum;                /* owned */
    uint64_t next;                     /* the piece that enters the sum next */
    struct VEC(struct run) early;      /* descending */
};

static uint64_t n_whole(const struct tree *t)
{
    return t->size_bytes / TREE_PIECE_BYTES;
}

int tree_new(uint64_t size_bytes, struct tree **ret, struct err *e)
{
    struct tree *t = mem_zalloc(1, sizeof *t, e);
    auto_free void *zeros = NULL;

    if (!t)
        return -1;
    pthread_mutex_init(&t->lock, NULL);
    t->size_bytes = size_bytes;
    zeros = mem_zalloc(1, TREE_PIECE_BYTES, e);
    if (!zeros || digest_new(DIGEST_SHA256, &t->sum, e) < 0) {
        tree_free(t);
        return -1;
    }
    digest_sha256(zeros, TREE_PIECE_BYTES, t->zeros);
    digest_sha256(zeros, size_bytes % TREE_PIECE_BYTES, t->tail);
    *ret = t;
    return 0;
}

void tree_free(struct tree *t)
{
    if (!t)
        return;
    digest_free(t->sum);
    vec_release(&t->early);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* With the lock held: keeps `early` descending, so that its last is the first to go. */
static int wait_for_turn(struct tree *t, const struct run *r, struct err *e)
{
    size_t i;

    if (vec_push(&t->early, *r, e) < 0)
        return -1;
    for (i = t->early.n - 1; i > 0 && t->early.v[i - 1].first < r->first; i--)
        t->early.v[i] = t->early.v[i - 1];
    t->early.v[i] = *r;
    return 0;
}

static int add_run(struct tree *t, const struct run *r, struct err *e)
{
    int result;

    pthread_mutex_lock(&t->lock);
    result = wait_for_turn(t, r, e);
    while (t->early.n && t->early.v[t->early.n - 1].first == t->next) {
        const struct run *ready = &t->early.v[--t->early.n];

        for (uint64_t i = 0; i < ready->n; i++)
            digest_update(t->sum, ready->sha256, sizeof ready->sha256);
        t->next += ready->n;
    }
    pthread_mutex_unlock(&t->lock);
    return result;
}

/* What of a range belongs to the disk. */
static uint64_t inside(const struct tree *t, uint64_t offset, uint64_t len)
{
    uint64_t left = offset < t->size_bytes ? t->size_bytes - offset : 0;

    assert(offset % TREE_PIECE_BYTES == 0);
    return len < left ? len : left;
}

int tree_add(struct tree *t, uint64_t offset, const void *data, uint64_t len,
             struct err *e)
{
    const unsigned char *p = data;
    uint64_t n;

    for (len = inside(t, offset, len); len; p += n, offset += n, len -= n) {
        struct run r = {.first = offset / TREE_PIECE_BYTES, .n = 1};

        n = len < TREE_PIECE_BYTES ? len : TREE_PIECE_BYTES;
        digest_sha256(p, n, r.sha256);
        if (add_run(t, &r, e) < 0)
            return -1;
    }
    return 0;
}

int tree_add_zeros(struct tree *t, uint64_t offset, uint64_t len, struct err *e)
{
    struct run whole = {.first = offset / TREE_PIECE_BYTES}, tail = {.n = 1};

    len = inside(t, offset, len);
    whole.n = len / TREE_PIECE_BYTES;
    memcpy(whole.sha256, t->zeros, sizeof whole.sha256);
    if (whole.n && add_run(t, &whole, e) < 0)
        return -1;
    if (len % TREE_PIECE_BYTES == 0)
        return 0;
    tail.first = n_whole(t);
    memcpy(tail.sha256, t->tail, sizeof tail.sha256);
    return add_run(t, &tail, e);
}

void tree_final(struct tree *t, unsigned char out[SHA256_BYTES])
{
    unsigned char all[DIGEST_MAX_BYTES];

    assert(t->early.n == 0 &&
           t->next == n_whole(t) + (t->size_bytes % TREE_PIECE_BYTES != 0));
    digest_final(t->sum, all);
    memcpy(out, all, SHA256_BYTES);
}
