/* Runs of bytes in files; see blob.h. Only pread and lseek(SEEK_DATA) touch the
 * descriptors: the file position, which threads share, is never relied on. Nothing is
 * written, so a crash leaves nothing. */
#include "image/blob.h"

#include "base/io.h"
#include "base/str.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

void blob_free(struct blob *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->n_parts; i++)
        if (b->parts[i].fd >= 0)
            close(b->parts[i].fd);
    free(b->parts);
    free(b->name);
    free(b);
}

static int blob_new(size_t n_parts, const char *name, struct blob **ret, struct err *e)
{
    auto_blob struct blob *b = mem_zalloc(1, sizeof *b, e);

    if (!b)
        return -1;
    b->name = str_dup(name, e);
    b->parts = b->name ? mem_zalloc(n_parts, sizeof *b->parts, e) : NULL;
    if (!b->parts)
        return -1;
    b->n_parts = n_parts;
    for (size_t i = 0; i < n_parts; i++)
        b->parts[i].fd = -1;
    *ret = take_ptr(b);
    return 0;
}

static int measure(int fd, const char *name, bool *ret_device, uint64_t *ret_len,
                   struct err *e)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_sys(e, "%s: stat", name);
    if (S_ISDIR(st.st_mode))
        return err_set(e, ERR_USAGE, "%s is a folder: name the .vmx or .ovf file in it",
                       name);
    *ret_device = S_ISBLK(st.st_mode);
    if (*ret_device)
        return ioctl(fd, BLKGETSIZE64, ret_len) < 0 ? err_sys(e, "%s: size", name) : 0;
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_USAGE,
                       "%s: neither a file nor a block device: disks are read in any "
                       "order, so pipes and terminals cannot be read",
                       name);
    *ret_len = (uint64_t)st.st_size;
    return 0;
}

int blob_from_fd(int fd, const char *name, struct blob **ret, struct err *e)
{
    auto_blob struct blob *b = NULL;
    uint64_t len;
    bool device = false;

    if (measure(fd, name, &device, &len, e) < 0 || blob_new(1, name, &b, e) < 0)
        return -1;
    b->parts[0] = (struct blob_part){.fd = fd, .len = len};
    b->len = len;
    b->is_device = device;
    *ret = take_ptr(b);
    return 0;
}

static int open_beneath(int dir_fd, const char *path, const char *name, struct err *e)
{
    struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);

    if (fd < 0 && errno == EXDEV)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s is outside the folder of the file that names it: copy it "
                       "there",
                       name);
    return fd < 0 ? err_sys(e, "%s: open", name) : fd;
}

int blob_open(int dir_fd, const char *path, const char *name, struct blob **ret,
              struct err *e)
{
    auto_blob struct blob *b = NULL;
    auto_fd int fd = -1;

    /* O_NONBLOCK: a FIFO is then refused instead of waited for. */
    if (dir_fd >= 0)
        fd = open_beneath(dir_fd, path, name, e);
    else
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return dir_fd >= 0 ? -1 : err_sys(e, "%s: open", name);
    if (blob_from_fd(fd, name, &b, e) < 0)
        return -1;
    take_fd(&fd);
    *ret = take_ptr(b);
    return 0;
}

/* Copies the parts of `from` that cover [offset, offset+len) to out (when not NULL),
 * shifted to `start`. Returns how many there are, or -1. */
static ssize_t copy_parts(const struct blob *from, uint64_t offset, uint64_t len,
                          uint64_t start, struct blob_part *out, struct err *e)
{
    ssize_t n = 0;

    for (size_t i = 0; i < from->n_parts; i++) {
        const struct blob_part *p = &from->parts[i];
        uint64_t lo = offset > p->start ? offset - p->start : 0, hi;

        if (lo >= p->len || p->start >= offset + len)
            continue;
        hi = offset + len - p->start < p->len ? offset + len - p->start : p->len;
        if (out) {
            out[n] = (struct blob_part){.fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 3),
                                        .base = p->base + lo,
                                        .start = start,
                                        .len = hi - lo};
            if (out[n].fd < 0)
                return err_sys(e, "%s: dup", from->name);
            start += hi - lo;
        }
        n++;
    }
    return n;
}

int blob_slice(const struct blob *whole, uint64_t offset, uint64_t len, const char *name,
               struct blob **ret, struct err *e)
{
    auto_blob struct blob *b = NULL;
    ssize_t n;

    assert(offset <= whole->len && len <= whole->len - offset);
    n = copy_parts(whole, offset, len, 0, NULL, e);
    if (n < 0 || blob_new(n ? (size_t)n : 1, name, &b, e) < 0)
        return -1;
    b->len = len;
    b->is_device = whole->is_device;
    if (n && copy_parts(whole, offset, len, 0, b->parts, e) < 0)
        return -1;
    *ret = take_ptr(b);
    return 0;
}

int blob_concat(struct blob *const *parts, size_t n, const char *name, struct blob **ret,
                struct err *e)
{
    auto_blob struct blob *b = NULL;
    size_t total = 0, at = 0;

    for (size_t i = 0; i < n; i++)
        total += parts[i]->n_parts;
    if (blob_new(total, name, &b, e) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (copy_parts(parts[i], 0, parts[i]->len, b->len, b->parts + at, e) < 0)
            return -1;
        at += parts[i]->n_parts;
        if (__builtin_add_overflow(b->len, parts[i]->len, &b->len))
            return err_set(e, ERR_INPUT, "%s: its parts are too large together", name);
    }
    b->n_parts = at ? at : 1; /* empty blobs have left no part */
    *ret = take_ptr(b);
    return 0;
}

/* The part that holds byte `offset`, which must be inside. */
static const struct blob_part *part_at(const struct blob *b, uint64_t offset)
{
    size_t lo = 0, hi = b->n_parts - 1;

    while (lo < hi) {
        size_t mid = lo + (hi - lo + 1) / 2;

        if (b->parts[mid].start <= offset)
            lo = mid;
        else
            hi = mid - 1;
    }
    return &b->parts[lo];
}

int blob_read(const struct blob *b, void *buf, size_t len, uint64_t offset, struct err *e)
{
    char *out = buf;

    if (offset > b->len || len > b->len - offset)
        return err_set(e, ERR_INPUT,
                       "%s ends at byte %" PRIu64 ", %zu bytes were expected at byte "
                       "%" PRIu64 ": the file is truncated or damaged",
                       b->name, b->len, len, offset);
    while (len) {
        const struct blob_part *p = part_at(b, offset);
        uint64_t skip = offset - p->start;
        size_t n = p->len - skip < len ? (size_t)(p->len - skip) : len;

        if (io_pread_full(p->fd, out, n, p->base + skip, b->name, e) < 0)
            return -1;
        out += n;
        offset += n;
        len -= n;
    }
    return 0;
}

/* As blob_data_at, in one part's own coordinates. */
static int part_data_at(const struct blob *b, const struct blob_part *p, uint64_t offset,
                        uint64_t limit, bool *ret_data, uint64_t *ret_len, struct err *e)
{
    off_t at = (off_t)(p->base + offset);
    off_t data = lseek(p->fd, at, SEEK_DATA), hole;

    *ret_len = limit;
    if (data < 0) {
        if (errno != ENXIO && errno != EINVAL && errno != EOPNOTSUPP)
            return err_sys(e, "%s: look for data at byte %" PRIu64, b->name,
                           p->start + offset);
        /* ENXIO: nothing but a hole up to the end. Else the file system has no idea. */
        *ret_data = errno != ENXIO;
        return 0;
    }
    *ret_data = data == at;
    if (data > at) {
        *ret_len = (uint64_t)(data - at) < limit ? (uint64_t)(data - at) : limit;
        return 0;
    }
    hole = lseek(p->fd, at, SEEK_HOLE);
    if (hole > at && (uint64_t)(hole - at) < limit)
        *ret_len = (uint64_t)(hole - at);
    return 0;
}

int blob_data_at(const struct blob *b, uint64_t offset, uint64_t limit, bool *ret_data,
                 uint64_t *ret_len, struct err *e)
{
    const struct blob_part *p = part_at(b, offset);
    uint64_t skip = offset - p->start;

    if (limit > p->len - skip)
        limit = p->len - skip;
    /* Linux has no SEEK_DATA on block devices. */
    if (b->is_device) {
        *ret_data = true;
        *ret_len = limit;
        return 0;
    }
    return part_data_at(b, p, skip, limit, ret_data, ret_len, e);
}

int blob_unit_at(const struct blob *b, uint64_t offset, uint64_t remain, uint64_t limit,
                 uint32_t align, bool *ret_data, uint64_t *ret_len, struct err *e)
{
    uint64_t len;
    bool data;

    if (blob_data_at(b, offset, remain, &data, &len, e) < 0)
        return -1;
    if (!data && len < remain) {
        len -= len % align;
        data = len == 0; /* a hole too small for a unit of its own */
        if (data)
            len = align;
    }
    if (data) {
        len += (align - len % align) % align;
        len = len < limit ? len : limit;
    }
    *ret_data = data;
    *ret_len = len < remain ? len : remain;
    return 0;
}

uint64_t blob_allocated_bytes(const struct blob *b)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < b->n_parts; i++) {
        struct stat st;
        uint64_t used = b->parts[i].len;

        if (!b->is_device && fstat(b->parts[i].fd, &st) == 0 &&
            (uint64_t)st.st_blocks * 512 < used)
            used = (uint64_t)st.st_blocks * 512;
        sum += used;
    }
    return sum;
}

void blob_advise_sequential(const struct blob *b)
{
    for (size_t i = 0; i < b->n_parts; i++)
        posix_fadvise(b->parts[i].fd, 0, 0, POSIX_FADV_SEQUENTIAL);
}

void blob_advise_willneed(const struct blob *b, uint64_t offset, uint64_t len)
{
    const struct blob_part *p;

    if (offset >= b->len)
        return;
    p = part_at(b, offset);
    posix_fadvise(p->fd, (off_t)(p->base + offset - p->start), (off_t)len,
                  POSIX_FADV_WILLNEED);
}
