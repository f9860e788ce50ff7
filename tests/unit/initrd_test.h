/* Builds initramfs images member by member, for tests; written apart from the product's
 * own archive writer, so that a mistake cannot agree with itself. */
#ifndef HOTADD_TESTS_UNIT_INITRD_TEST_H
#define HOTADD_TESTS_UNIT_INITRD_TEST_H

#include "test.h"

#include "base/buf.h"
#include "base/str.h"
#include "guest/initrd/initrd.h"

#include <sys/stat.h>
#include <zlib.h>

struct newc {
    uint32_t mode, nlink, ino, sum, name_len; /* name_len 0: as the name has */
    const char *magic;                        /* NULL: 070701 */
    uint32_t size;                            /* only if lie is set */
    bool lie;
};

static inline void put(struct buf *b, const struct newc *h, const char *name,
                       const void *data, size_t len)
{
    uint32_t name_len = h->name_len ? h->name_len : (uint32_t)strlen(name) + 1;

    buf_addf(b, "%s%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
             h->magic ? h->magic : "070701", h->ino, h->mode, 0, 0,
             h->nlink ? h->nlink : 1, 0, h->lie ? h->size : (unsigned)len, 0, 0, 0, 0,
             name_len, h->sum);
    buf_add(b, name, strlen(name) + 1);
    while (b->len % 4)
        buf_addc(b, 0);
    buf_add(b, data, len);
    while (b->len % 4)
        buf_addc(b, 0);
}

static inline void put_file(struct buf *b, const char *name, const char *text)
{
    put(b, &(struct newc){.mode = S_IFREG | 0644}, name, text, strlen(text));
}

static inline void put_link(struct buf *b, const char *name, const char *target)
{
    put(b, &(struct newc){.mode = S_IFLNK | 0777}, name, target, strlen(target));
}

/* Each directory on the way, then the last. */
static inline void put_dirs(struct buf *b, const char *path)
{
    for (size_t i = 1;; i++)
        if (path[i] == '/' || !path[i]) {
            char dir[256];

            snprintf(dir, sizeof dir, "%.*s", (int)i, path);
            put(b, &(struct newc){.mode = S_IFDIR | 0755}, dir, NULL, 0);
            if (!path[i])
                return;
        }
}

static inline void put_trailer(struct buf *b)
{
    put(b, &(struct newc){0}, "TRAILER!!!", NULL, 0);
}

static inline void put_gzip(struct buf *b, const struct buf *plain)
{
    z_stream z = {.next_in = (Bytef *)plain->data, .avail_in = (uInt)plain->len};
    struct err e = ERR_INIT;

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(buf_reserve(b, plain->len + 4096, &e), 0);
    z.next_out = (Bytef *)b->data + b->len;
    z.avail_out = (uInt)plain->len + 4096;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    b->len += z.total_out;
    deflateEnd(&z);
}

static inline struct initrd *parsed(const struct buf *b)
{
    struct initrd *im = NULL;

    assert_ok(initrd_parse(b->data, b->len, NULL, &im, e));
    return im;
}

#endif
