/* A read-only run of bytes that a format reader reads: a file, a block device, a member
 * of a tar archive, or a file that was split in chunks. Readers speak blobs only, so
 * every format can be read in place wherever it lies. */
#ifndef HOTADD_IMAGE_BLOB_H
#define HOTADD_IMAGE_BLOB_H

#include "base/auto.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blob_part {
    int fd;         /* owned */
    uint64_t base;  /* first byte in fd */
    uint64_t start; /* first byte in the blob */
    uint64_t len;   /* bytes */
};

/* Immutable once built: any number of threads may read. */
struct blob {
    char *name; /* owned; for errors: "vm.ova: disk1.vmdk" */
    uint64_t len;
    struct blob_part *parts; /* owned; at least one, ascending, no gaps */
    size_t n_parts;
    bool is_device;
};

/* The file or block device at `path`. `dir_fd` >= 0: the path is relative to it and must
 * stay at or below it (openat2 RESOLVE_BENEATH), symbolic links included; `name` is then
 * what errors call it. -1: any path. */
int blob_open(int dir_fd, const char *path, const char *name, struct blob **ret,
              struct err *e) err_warn_unused;

/* A part of another blob, which may be freed afterwards. The range must be inside. */
int blob_slice(const struct blob *whole, uint64_t offset, uint64_t len, const char *name,
               struct blob **ret, struct err *e) err_warn_unused;

/* Several blobs, one after the other; they are copied, not taken over. */
int blob_concat(struct blob *const *parts, size_t n, const char *name, struct blob **ret,
                struct err *e) err_warn_unused;

/* Over a descriptor, which is given over when the call succeeds. */
int blob_from_fd(int fd, const char *name, struct blob **ret,
                 struct err *e) err_warn_unused;

void blob_free(struct blob *b);
DEFINE_AUTO_PTR(struct blob, blob_free)
#define auto_blob auto_call(blob_free_autop)

/* All of [offset, offset+len), else ERR_INPUT names the blob and the byte. */
int blob_read(const struct blob *b, void *buf, size_t len, uint64_t offset,
              struct err *e) err_warn_unused;

/* At offset < len: is there data or a hole (which reads as zeros), and for how many bytes
 * (at most `limit`)? Where the file system cannot tell, it is data. */
int blob_data_at(const struct blob *b, uint64_t offset, uint64_t limit, bool *ret_data,
                 uint64_t *ret_len, struct err *e) err_warn_unused;

/* The unit (disk/source.h) that begins at `offset`, of a range that ends `remain` bytes
 * later: a hole of any length, or data of at most `limit` bytes; lengths are multiples of
 * `align` unless they reach the range's end. */
int blob_unit_at(const struct blob *b, uint64_t offset, uint64_t remain, uint64_t limit,
                 uint32_t align, bool *ret_data, uint64_t *ret_len,
                 struct err *e) err_warn_unused;

/* Bytes that are not holes, as far as the file system can tell cheaply; at most len. */
uint64_t blob_allocated_bytes(const struct blob *b);

/* Hints to the kernel; never fail. */
void blob_advise_sequential(const struct blob *b);
void blob_advise_willneed(const struct blob *b, uint64_t offset, uint64_t len);

#endif
