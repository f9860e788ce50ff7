/* What the targets of src/image share: the fuzzer's bytes as a file. */
#ifndef HOTADD_TESTS_FUZZ_IMAGE_FUZZ_H
#define HOTADD_TESTS_FUZZ_IMAGE_FUZZ_H

#include "base/io.h"
#include "image/formats.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static inline struct blob *fuzz_blob(const uint8_t *data, size_t len)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    struct blob *b = NULL;
    struct err e;

    assert(fd >= 0 && io_write_full(fd, data, len, "fuzz", &e) == 0);
    assert(blob_from_fd(fd, "fuzz", &b, &e) == 0);
    return b;
}

#define FUZZ_MAX_UNITS                                                                   \
    64 /* read of one input: a small file may claim a disk of terabytes */
#define FUZZ_LIMIT (4u << 20)

/* Units tile the disk, and every one can be fetched or says why not. */
static inline void fuzz_read_units(struct source *s)
{
    static unsigned char *buf;
    uint64_t at = 0;
    struct err e = ERR_INIT;

    if (!buf)
        assert(posix_memalign((void **)&buf, 4096, FUZZ_LIMIT) == 0);
    assert(s->size_bytes && s->unit_max_bytes <= FUZZ_LIMIT);
    for (int i = 0; i < FUZZ_MAX_UNITS && at < s->size_bytes; i++) {
        struct unit u;

        if (source_unit_at(s, at, FUZZ_LIMIT, &u, &e) < 0) {
            assert(e.msg[0]);
            return;
        }
        assert(u.offset == at && u.len && u.len <= s->size_bytes - at);
        assert(u.kind == UNIT_ZERO || u.len <= FUZZ_LIMIT);
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
