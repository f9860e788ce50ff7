/* What the targets of src/image share: the fuzzer's bytes as a file. */
#ifndef HOTADD_TESTS_FUZZ_IMAGE_FUZZ_H
#define HOTADD_TESTS_FUZZ_IMAGE_FUZZ_H

#include "base/io.h"
#include "image/formats.h"

#include <assert.h>
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

#endif
