/* What the targets of src/image share: the fuzzer's bytes as a file. */
#ifndef HOTADD_TESTS_FUZZ_IMAGE_FUZZ_H
#define HOTADD_TESTS_FUZZ_IMAGE_FUZZ_H

#include "base/io.h"
#include "image/formats.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* One file for all runs: making one costs more than most inputs take to parse. */
static inline int fuzz_file(void)
{
    static int fd = -1;

    if (fd < 0)
        fd = memfd_create("fuzz", MFD_CLOEXEC);
    assert(fd >= 0);
    return fd;
}

static inline struct blob *fuzz_file_blob(void)
{
    struct blob *b = NULL;
    struct err e;

    assert(blob_from_fd(dup(fuzz_file()), "fuzz", &b, &e) == 0);
    return b;
}

static inline struct blob *fuzz_blob(const uint8_t *data, size_t len)
{
    struct err e;

    assert(io_pwrite_full(fuzz_file(), data, len, 0, "fuzz", &e) == 0);
    assert(ftruncate(fuzz_file(), (off_t)len) == 0);
    return fuzz_file_blob();
}

#define FUZZ_MAX_UNITS                                                                   \
    64 /* read of one input: a small file may claim a disk of terabytes */
#define FUZZ_LIMIT (4u << 20)
#define FUZZ_LEAST (64u << 10)

/* Units tile the disk, begin where they may, and every one can be fetched or says why
 * not. They are no larger than they must be: reading holes finds nothing. */
static inline void fuzz_read_units(struct source *s)
{
    static unsigned char *buf;
    size_t limit = s->unit_max_bytes > FUZZ_LEAST ? s->unit_max_bytes : FUZZ_LEAST;
    uint64_t at = 0;
    struct err e = ERR_INIT;

    if (!buf)
        assert(posix_memalign((void **)&buf, 4096, FUZZ_LIMIT) == 0);
    assert(s->size_bytes && s->unit_max_bytes <= FUZZ_LIMIT);
    assert(s->unit_align && (s->unit_align & (s->unit_align - 1)) == 0);
    assert(s->unit_max_bytes && s->unit_max_bytes % s->unit_align == 0);
    for (int i = 0; i < FUZZ_MAX_UNITS && at < s->size_bytes; i++) {
        struct unit u;

        if (source_unit_at(s, at, limit, &u, &e) < 0) {
            assert(e.msg[0]);
            return;
        }
        assert(source_may_tell(s, &u, at, limit));
        if (u.kind == UNIT_DATA && source_fetch(s, &u, buf, &e) < 0) {
            assert(e.msg[0]);
            return;
        }
        at += u.len;
    }
}

typedef int fuzz_open_fn(const struct blob *, struct source **, struct err *);

/* The file as an image of that format: opened, every unit read. Frees the blob. */
static inline void fuzz_image_blob(struct blob *b, fuzz_open_fn *open)
{
    struct source *s = NULL;
    struct err e = ERR_INIT;

    if (open(b, &s, &e) < 0)
        assert(e.msg[0] && !s);
    else
        fuzz_read_units(s);
    source_free(s);
    blob_free(b);
}

static inline void fuzz_image(const uint8_t *data, size_t len, fuzz_open_fn *open)
{
    fuzz_image_blob(fuzz_blob(data, len), open);
}

#endif
