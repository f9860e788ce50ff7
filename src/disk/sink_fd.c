/* The sink over a descriptor; see sink.h. A crash leaves a partly written target; the
 * journal knows which units were flushed. */
#include "disk/sink.h"

#include "base/io.h"
#include "base/str.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define ZERO_BUF_BYTES (1u << 20)

struct sink_fd {
    struct sink base;
    bool is_block;
    int tail_fd; /* not O_DIRECT, for the end of a file that ends inside a block, which
                    O_DIRECT cannot write; -1 where there is none; owned */
    atomic_bool no_fast_zero; /* the kernel refused once: do not ask again */
};

static struct sink_fd *self(struct sink *s)
{
    return (struct sink_fd *)s;
}

void sink_free(struct sink *s)
{
    if (s)
        s->ops->free(s);
}

/* How much of len can go through the descriptor itself. */
static size_t direct_part(const struct sink_fd *f, size_t len)
{
    return f->tail_fd < 0 ? len : len - len % f->base.align;
}

static int fd_write(struct sink *s, const void *buf, size_t len, uint64_t offset,
                    struct err *e)
{
    size_t n = direct_part(self(s), len);

    assert(offset <= s->size_bytes && len <= s->size_bytes - offset);
    if (io_pwrite_full(s->fd, buf, n, offset, s->desc, e) < 0)
        return -1;
    return io_pwrite_full(self(s)->tail_fd, (const char *)buf + n, len - n, offset + n,
                          s->desc, e);
}

static int fd_read(struct sink *s, void *buf, size_t len, uint64_t offset, struct err *e)
{
    size_t n = direct_part(self(s), len);

    assert(offset <= s->size_bytes && len <= s->size_bytes - offset);
    if (io_pread_full(s->fd, buf, n, offset, s->desc, e) < 0)
        return -1;
    return io_pread_full(self(s)->tail_fd, (char *)buf + n, len - n, offset + n, s->desc,
                         e);
}

static int zero_by_writing(struct sink *s, uint64_t offset, uint64_t len, struct err *e)
{
    auto_free void *zeros = NULL;

    if (posix_memalign(&zeros, 4096, ZERO_BUF_BYTES))
        return err_nomem(e);
    memset(zeros, 0, ZERO_BUF_BYTES);
    while (len) {
        size_t n = len < ZERO_BUF_BYTES ? (size_t)len : ZERO_BUF_BYTES;

        if (fd_write(s, zeros, n, offset, e) < 0)
            return -1;
        offset += n;
        len -= n;
    }
    return 0;
}

/* 1 done, 0 the kernel cannot, -1 failed. */
static int zero_fast(struct sink_fd *f, uint64_t offset, uint64_t len, struct err *e)
{
    uint64_t range[2] = {offset, len};
    int r;

    if (f->is_block)
        r = ioctl(f->base.fd, BLKZEROOUT, range);
    else
        r = fallocate(f->base.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      (off_t)offset, (off_t)len);
    if (r == 0)
        return 1;
    if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL || errno == ENOSYS)
        return 0;
    return err_sys(e, "%s: zeroing %" PRIu64 " bytes at %" PRIu64, f->base.desc, len,
                   offset);
}

static int fd_zero(struct sink *s, uint64_t offset, uint64_t len, struct err *e)
{
    struct sink_fd *f = self(s);
    int r;

    assert(offset <= s->size_bytes && len <= s->size_bytes - offset);
    if (!atomic_load(&f->no_fast_zero)) {
        r = zero_fast(f, offset, len, e);
        if (r != 0)
            return r < 0 ? -1 : 0;
        atomic_store(&f->no_fast_zero, true);
    }
    return zero_by_writing(s, offset, len, e);
}

static int fd_flush(struct sink *s, struct err *e)
{
    if (fdatasync(s->fd) < 0)
        return err_sys(e, "%s: flush", s->desc);
    return 0;
}

static void fd_free(struct sink *s)
{
    close(s->fd);
    if (self(s)->tail_fd >= 0)
        close(self(s)->tail_fd);
    free(s->desc);
    free(self(s));
}

static const struct sink_ops fd_ops = {
    .name = "fd",
    .write = fd_write,
    .zero = fd_zero,
    .flush = fd_flush,
    .read = fd_read,
    .free = fd_free,
};

static int open_tail(int fd, struct sink_fd *f, const char *desc, struct err *e)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    f->tail_fd = open(path, O_RDWR | O_CLOEXEC);
    return f->tail_fd < 0 ? err_sys(e, "%s: open for its last bytes", desc) : 0;
}

static int measure(int fd, struct sink_fd *f, const char *desc, struct err *e)
{
    struct stat st;
    int sector, read_only;

    if (fstat(fd, &st) < 0)
        return err_sys(e, "%s: stat", desc);
    f->is_block = S_ISBLK(st.st_mode);
    if (!f->is_block) {
        if (!S_ISREG(st.st_mode))
            return err_set(e, ERR_USAGE, "%s: neither a block device nor a regular file",
                           desc);
        f->base.size_bytes = (uint64_t)st.st_size;
        f->base.align = fcntl(fd, F_GETFL) & O_DIRECT ? 4096 : 1;
        return f->base.size_bytes % f->base.align ? open_tail(fd, f, desc, e) : 0;
    }
    if (ioctl(fd, BLKGETSIZE64, &f->base.size_bytes) < 0)
        return err_sys(e, "%s: size", desc);
    if (ioctl(fd, BLKSSZGET, &sector) < 0)
        return err_sys(e, "%s: sector size", desc);
    /* It can be opened for writing; the first write would find out. */
    if (ioctl(fd, BLKROGET, &read_only) == 0 && read_only)
        return err_set(e, ERR_REQUIREMENT,
                       "%s is read-only: make it writable (blockdev --setrw), or name "
                       "another target",
                       desc);
    if (sector < 1 || sector > 4096 || (sector & (sector - 1)))
        return err_set(e, ERR_UNSUPPORTED, "%s: sectors of %d bytes", desc, sector);
    f->base.align = (uint32_t)sector;
    return 0;
}

int sink_fd_new(int fd, const char *desc, enum sink_zeros zeros, struct sink **ret,
                struct err *e)
{
    struct sink_fd *f = mem_zalloc(1, sizeof *f, e);

    if (!f)
        return -1;
    f->base.ops = &fd_ops;
    f->base.fd = fd;
    f->tail_fd = -1;
    f->base.known_zero = zeros == SINK_KNOWN_ZERO;
    f->base.desc = str_dup(desc, e);
    if (!f->base.desc || measure(fd, f, desc, e) < 0) {
        free(f->base.desc);
        free(f);
        return -1;
    }
    *ret = &f->base;
    return 0;
}
