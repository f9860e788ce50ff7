/* What the tests of src/mover share: sources and sinks in memory that check how they are
 * used, and that fail when told to. What workers call checks with plain assert():
 * cmocka's failures jump, which they may only do on the test's own thread. */
#ifndef HOTADD_TESTS_UNIT_MOVER_TEST_H
#define HOTADD_TESTS_UNIT_MOVER_TEST_H

#include "test.h"

#include "base/cancel.h"
#include "base/str.h"
#include "disk/extent.h"
#include "mover/mover.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* A source over memory. Units end where `cuts` says; they are data or zero as the bytes
 * are, or data full of zeros where `lie_zero` is set. */
struct mem_source {
    struct source base;
    unsigned char *data; /* owned */
    unsigned char *cuts; /* owned: 1 at the first byte of each unit, per unit_align */
    bool show_zeros;     /* zeros are told as units, else they are data */
    unsigned long fail_fetch;
    struct cancel *cancel;
    unsigned long cancel_fetch;
    _Atomic unsigned long fetches;
    pthread_mutex_t lock;      /* guards fetched */
    struct extent_set fetched; /* ranges */
};

static inline struct mem_source *mem_source_of(struct source *s)
{
    return (struct mem_source *)s;
}

static inline bool mem_is_zero(const unsigned char *p, uint64_t len)
{
    for (uint64_t i = 0; i < len; i++)
        if (p[i])
            return false;
    return true;
}

static inline uint64_t mem_unit_end(struct mem_source *m, uint64_t at)
{
    uint64_t align = m->base.unit_align;

    for (at += align; at < m->base.size_bytes && !m->cuts[at / align]; at += align)
        ;
    return at < m->base.size_bytes ? at : m->base.size_bytes;
}

static inline int mem_unit_at(struct source *s, uint64_t offset, uint64_t limit_bytes,
                              struct unit *ret, struct err *e)
{
    struct mem_source *m = mem_source_of(s);
    uint64_t end = mem_unit_end(m, offset);

    assert(offset < s->size_bytes && offset % s->unit_align == 0);
    assert(limit_bytes >= s->unit_max_bytes && limit_bytes % s->unit_align == 0);
    *ret = (struct unit){.offset = offset, .len = end - offset, .kind = UNIT_DATA};
    if (m->show_zeros && mem_is_zero(m->data + offset, ret->len))
        ret->kind = UNIT_ZERO;
    else if (ret->len > limit_bytes)
        ret->len = limit_bytes;
    ret->cookie[0] = offset ^ 0x5a5a;
    return 0;
}

static inline int mem_fetch(struct source *s, const struct unit *u, void *buf,
                            struct err *e)
{
    struct mem_source *m = mem_source_of(s);
    unsigned long n = ++m->fetches;

    assert((uintptr_t)buf % 4096 == 0);
    assert(u->cookie[0] == (u->offset ^ 0x5a5a));
    if (n == m->cancel_fetch)
        cancel_request(m->cancel);
    if (n == m->fail_fetch) {
        memset(buf, 0xee, u->len);
        return err_set(e, ERR_INPUT, "%s: grain %lu is damaged", s->desc, n);
    }
    pthread_mutex_lock(&m->lock);
    if (extent_set_add(&m->fetched, u->offset, u->len, e) < 0)
        abort();
    pthread_mutex_unlock(&m->lock);
    memcpy(buf, m->data + u->offset, u->len);
    return 0;
}

static inline void mem_source_free(struct source *s)
{
    extent_set_release(&mem_source_of(s)->fetched);
    pthread_mutex_destroy(&mem_source_of(s)->lock);
    free(mem_source_of(s)->data);
    free(mem_source_of(s)->cuts);
    free(s->desc);
    free(s);
}

static const struct source_ops mem_source_ops = {.name = "memory",
                                                 .unit_at = mem_unit_at,
                                                 .fetch = mem_fetch,
                                                 .free = mem_source_free};

/* Random bytes with zero stretches of all lengths. */
static inline void fill_random(unsigned char *p, uint64_t len)
{
    for (uint64_t at = 0; at < len;) {
        uint64_t n = 1 + (uint64_t)rand() % (rand() % 4 ? 9000 : 200000);
        bool zero = rand() % 2;

        n = n < len - at ? n : len - at;
        for (uint64_t i = 0; i < n && !zero; i++)
            p[at + i] = (unsigned char)rand();
        at += n;
    }
}

/* unit_max 0: units of any length, given in parts as asked; else at most unit_max long
 * and never given in part. */
static inline struct mem_source *mem_source_new(uint64_t size, uint32_t unit_align,
                                                uint32_t unit_max)
{
    struct mem_source *m = calloc(1, sizeof *m);
    uint64_t last = 0, n = size / unit_align + 1;

    m->base = (struct source){.ops = &mem_source_ops,
                              .size_bytes = size,
                              .unit_align = unit_align,
                              .unit_max_bytes = unit_max ? unit_max : unit_align,
                              .desc = strdup("web01.vmdk"),
                              .data_bytes_hint = UINT64_MAX};
    m->data = calloc(1, size ? size : 1);
    m->cuts = calloc(1, n);
    m->show_zeros = true;
    pthread_mutex_init(&m->lock, NULL);
    fill_random(m->data, size);
    for (uint64_t i = 0; i < n; i++)
        if (i == 0 || rand() % 5 == 0 ||
            (unit_max && (i + 1 - last) * unit_align > unit_max)) {
            m->cuts[i] = 1;
            last = i;
        }
    return m;
}

/* A sink over memory: `cache` is what reads show, `stable` what survives a crash. */
struct mem_sink {
    struct sink base;
    unsigned char *cache, *stable; /* owned */
    pthread_mutex_t lock;          /* guards stable, written */
    struct extent_set written;     /* since the last forget: writes must not overlap */
    _Atomic unsigned long writes, flushes, zeros;
    unsigned long fail_write, fail_flush, lie_write, fail_zero;
    bool one_block; /* no write is longer than the sink's blocks */
};

static inline struct mem_sink *mem_sink_of(struct sink *s)
{
    return (struct mem_sink *)s;
}

static inline void mem_note(struct mem_sink *m, uint64_t offset, uint64_t len)
{
    struct err e;
    uint64_t run;

    pthread_mutex_lock(&m->lock);
    assert(!extent_set_at(&m->written, offset, len, &run));
    assert(run == len);
    assert(extent_set_add(&m->written, offset, len, &e) == 0);
    pthread_mutex_unlock(&m->lock);
}

static inline void mem_check(struct sink *s, uint64_t offset, uint64_t len)
{
    assert(offset <= s->size_bytes && len <= s->size_bytes - offset);
    assert(offset % s->align == 0);
    assert(s->block_bytes == 0 || offset % s->block_bytes == 0);
    if (offset + len != s->size_bytes) {
        assert(len % s->align == 0);
        assert(s->block_bytes == 0 || len % s->block_bytes == 0);
    }
}

static inline int mem_write(struct sink *s, const void *buf, size_t len, uint64_t offset,
                            struct err *e)
{
    struct mem_sink *m = mem_sink_of(s);
    unsigned long n = ++m->writes;

    mem_check(s, offset, len);
    assert(!m->one_block || len <= s->block_bytes);
    assert((uintptr_t)buf % s->align == 0);
    if (n == m->fail_write)
        return err_sys_n(e, EIO, "%s: write %lu", s->desc, n);
    memcpy(m->cache + offset, buf, len);
    if (n == m->lie_write)
        m->cache[offset + len / 2] ^= 1;
    mem_note(m, offset, len);
    return 0;
}

static inline int mem_zero(struct sink *s, uint64_t offset, uint64_t len, struct err *e)
{
    struct mem_sink *m = mem_sink_of(s);

    mem_check(s, offset, len);
    if (++m->zeros == m->fail_zero)
        return err_sys_n(e, EIO, "%s: zero", s->desc);
    memset(m->cache + offset, 0, len);
    mem_note(m, offset, len);
    return 0;
}

static inline int mem_flush(struct sink *s, struct err *e)
{
    struct mem_sink *m = mem_sink_of(s);

    if (++m->flushes == m->fail_flush)
        return err_sys_n(e, EIO, "flush");
    pthread_mutex_lock(&m->lock);
    /* Writes that run at the moment are not in it. */
    for (size_t i = 0; i < m->written.n; i++)
        memcpy(m->stable + m->written.v[i].offset, m->cache + m->written.v[i].offset,
               m->written.v[i].len);
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static inline int mem_read(struct sink *s, void *buf, size_t len, uint64_t offset,
                           struct err *e)
{
    mem_check(s, offset, len);
    memcpy(buf, mem_sink_of(s)->cache + offset, len);
    return 0;
}

static inline void mem_sink_free(struct sink *s)
{
    struct mem_sink *m = mem_sink_of(s);

    extent_set_release(&m->written);
    pthread_mutex_destroy(&m->lock);
    free(m->cache);
    free(m->stable);
    free(s->desc);
    free(m);
}

static const struct sink_ops mem_sink_ops = {.name = "memory",
                                             .write = mem_write,
                                             .zero = mem_zero,
                                             .flush = mem_flush,
                                             .read = mem_read,
                                             .free = mem_sink_free};

/* Not known to be zero: full of rubbish. */
static inline struct mem_sink *mem_sink_new(uint64_t size, uint32_t align,
                                            bool known_zero)
{
    struct mem_sink *m = calloc(1, sizeof *m);

    m->base = (struct sink){.ops = &mem_sink_ops,
                            .size_bytes = size,
                            .align = align,
                            .fd = -1,
                            .known_zero = known_zero,
                            .desc = strdup("vol-0123")};
    m->cache = malloc(size ? size : 1);
    m->stable = malloc(size ? size : 1);
    memset(m->cache, known_zero ? 0 : 0xd5, size);
    memset(m->stable, known_zero ? 0 : 0xd5, size);
    pthread_mutex_init(&m->lock, NULL);
    return m;
}

/* What a crash leaves. */
static inline void mem_sink_crash(struct mem_sink *m)
{
    memcpy(m->cache, m->stable, m->base.size_bytes);
    extent_set_release(&m->written);
}

/* A file of that size, without a name, opened O_DIRECT where that works, full of 0xd5
 * unless known_zero. */
static inline struct sink *file_sink_new(uint64_t size, bool known_zero)
{
    char path[] = "./hotadd-test-XXXXXX";
    int fd = mkostemp(path, O_DIRECT | O_CLOEXEC);
    struct sink *s = NULL;

    if (fd < 0)
        fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_ok(sink_fd_new(fd, "vol-0123",
                          known_zero ? SINK_KNOWN_ZERO : SINK_ZEROS_UNKNOWN, &s, e));
    if (!known_zero && size) {
        auto_free void *rubbish = NULL;
        size_t len = (size + 4095) / 4096 * 4096;

        assert_int_equal(posix_memalign(&rubbish, 4096, len), 0);
        memset(rubbish, 0xd5, len);
        assert_ok(s->ops->write(s, rubbish, size, 0, e));
    }
    return s;
}

/* The sink holds the source, and zeros behind it. */
static inline void assert_copied(struct mem_source *from, struct sink *to)
{
    uint64_t size = from->base.size_bytes;
    auto_free void *back = NULL;

    assert_int_equal(posix_memalign(&back, 4096, to->size_bytes + 4096), 0);
    assert_ok(to->ops->read(to, back, to->size_bytes, 0, e));
    assert_memory_equal(back, from->data, size);
    assert_true(mem_is_zero((unsigned char *)back + size, to->size_bytes - size));
}

/* Durable ranges as the journal would keep them; fails at the nth call. */
struct durable_log {
    struct extent_set ranges;
    unsigned long calls, fail_call;
};

static inline int durable_note(void *ctx, size_t disk, const struct extent *v, size_t n,
                               struct err *e)
{
    struct durable_log *log = ctx;

    if (++log->calls == log->fail_call)
        return err_set(e, ERR_NOSPACE, "journal: no space left");
    for (size_t i = 0; i < n; i++)
        if (extent_set_add(&log->ranges, v[i].offset, v[i].len, e) < 0)
            return -1;
    return 0;
}

static inline unsigned seed_random(void)
{
    const char *given = getenv("HOTADD_TEST_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)getpid();

    print_message("# seed %u\n", seed);
    srand(seed);
    return seed;
}

#endif
