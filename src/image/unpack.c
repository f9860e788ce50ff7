/* The pool of decoders; see unpack.h. Each set is of bounded size, and there are never
 * more than threads. */
#include "image/unpack.h"

#include "base/str.h"

#include <libdeflate.h>
#include <pthread.h>
#include <zstd.h>

struct unpack_pool {
    pthread_mutex_t lock; /* guards idle */
    struct unpack_tools *idle;
};

int unpack_pool_new(struct unpack_pool **ret, struct err *e)
{
    struct unpack_pool *p = mem_zalloc(1, sizeof *p, e);

    if (!p)
        return -1;
    pthread_mutex_init(&p->lock, NULL);
    *ret = p;
    return 0;
}

static void tools_free(struct unpack_tools *t)
{
    if (!t)
        return;
    libdeflate_free_decompressor(t->inflate);
    ZSTD_freeDCtx(t->zstd);
    free(t->in);
    free(t->out);
    free(t);
}

void unpack_pool_free(struct unpack_pool *p)
{
    if (!p)
        return;
    while (p->idle) {
        struct unpack_tools *t = p->idle;

        p->idle = t->next;
        tools_free(t);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static int ensure(uint8_t **buf, size_t *len, size_t want, struct err *e)
{
    void *p;

    if (*len >= want)
        return 0;
    p = malloc(want);
    if (!p)
        return err_nomem(e);
    free(*buf);
    *buf = p;
    *len = want;
    return 0;
}

int unpack_get(struct unpack_pool *p, size_t in_len, size_t out_len,
               struct unpack_tools **ret, struct err *e)
{
    struct unpack_tools *t;

    pthread_mutex_lock(&p->lock);
    t = p->idle;
    if (t)
        p->idle = t->next;
    pthread_mutex_unlock(&p->lock);
    if (!t) {
        t = mem_zalloc(1, sizeof *t, e);
        if (!t)
            return -1;
        t->inflate = libdeflate_alloc_decompressor();
        if (!t->inflate) {
            tools_free(t);
            return err_nomem(e);
        }
    }
    if (ensure(&t->in, &t->in_len, in_len, e) < 0 ||
        ensure(&t->out, &t->out_len, out_len, e) < 0) {
        tools_free(t);
        return -1;
    }
    *ret = t;
    return 0;
}

void unpack_put(struct unpack_pool *p, struct unpack_tools *t)
{
    pthread_mutex_lock(&p->lock);
    t->next = p->idle;
    p->idle = t;
    pthread_mutex_unlock(&p->lock);
}

int unpack_zstd(struct unpack_tools *t, ZSTD_DCtx **ret, struct err *e)
{
    if (!t->zstd)
        t->zstd = ZSTD_createDCtx();
    if (!t->zstd)
        return err_nomem(e);
    *ret = t->zstd;
    return 0;
}
