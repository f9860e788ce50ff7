/* Whole reads and writes and atomic files; see io.h. */
#include "base/io.h"

#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

int io_pread_full(int fd, void *data, size_t len, uint64_t offset, const char *what,
                  struct err *e)
{
    char *p = data;

    while (len) {
        ssize_t n = pread(fd, p, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(e, "%s: read at byte %" PRIu64, what, offset);
        if (n == 0)
            return err_set(e, ERR_INPUT, "%s: ends at byte %" PRIu64 ", %zu bytes early",
                           what, offset, len);
        p += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int io_pwrite_full(int fd, const void *data, size_t len, uint64_t offset,
                   const char *what, struct err *e)
{
    const char *p = data;

    while (len) {
        ssize_t n = pwrite(fd, p, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(e, "%s: write at byte %" PRIu64, what, offset);
        p += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int io_write_full(int fd, const void *data, size_t len, const char *what, struct err *e)
{
    const char *p = data;

    while (len) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(e, "%s: write", what);
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

void io_write_best_effort(int fd, const void *data, size_t len)
{
    struct err ignored;

    if (io_write_full(fd, data, len, "", &ignored) < 0)
        return;
}

int io_read_fd(int fd, size_t max_bytes, struct buf *out, const char *what, struct err *e)
{
    size_t total = 0;

    for (;;) {
        ssize_t n;

        if (buf_reserve(out, 65536, e) < 0)
            return -1;
        n = read(fd, out->data + out->len, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(e, "%s: read", what);
        out->len += (size_t)n;
        out->data[out->len] = 0;
        if (n == 0)
            return 0;
        total += (size_t)n;
        if (total > max_bytes)
            return err_set(e, ERR_INPUT, "%s: larger than the %zu bytes allowed", what,
                           max_bytes);
    }
}

int io_read_file(const char *path, size_t max_bytes, struct buf *out, struct err *e)
{
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(e, "%s: open", path);
    return io_read_fd(fd, max_bytes, out, path, e);
}

static int sync_parent(const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    auto_free char *dir = NULL;
    auto_fd int fd = -1;

    dir = !slash          ? str_dup(".", e)
          : slash == path ? str_dup("/", e)
                          : str_ndup(path, (size_t)(slash - path), e);
    if (!dir)
        return -1;
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, "%s: open", dir);
    if (fsync(fd) < 0)
        return err_sys(e, "%s: sync", dir);
    return 0;
}

static int write_synced(int fd, const void *data, size_t len, mode_t mode,
                        const char *what, struct err *e)
{
    if (io_write_full(fd, data, len, what, e) < 0)
        return -1;
    if (fchmod(fd, mode) < 0)
        return err_sys(e, "%s: chmod", what);
    if (fsync(fd) < 0)
        return err_sys(e, "%s: sync", what);
    return 0;
}

int io_write_file_atomic(const char *path, const void *data, size_t len, mode_t mode,
                         struct err *e)
{
    auto_free char *tmp = str_fmt(e, "%s.tmpXXXXXX", path);
    int fd, r;

    if (!tmp)
        return -1;
    fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, "%s: create", tmp);
    r = write_synced(fd, data, len, mode, tmp, e);
    if (close(fd) < 0 && r == 0)
        r = err_sys(e, "%s: close", tmp);
    if (r == 0 && rename(tmp, path) < 0)
        r = err_sys(e, "%s: rename to %s", tmp, path);
    if (r < 0) {
        unlink(tmp);
        return -1;
    }
    return sync_parent(path, e);
}

int io_mkdir_all(const char *path, mode_t mode, struct err *e)
{
    auto_free char *p = str_dup(path, e);

    if (!p)
        return -1;
    for (char *s = p + 1; *p; s++) {
        char c = *s;

        if (c && c != '/')
            continue;
        *s = 0;
        if (mkdir(p, mode) < 0 && errno != EEXIST)
            return err_sys(e, "%s: mkdir", p);
        *s = c;
        if (!c)
            break;
    }
    return 0;
}

static int remove_at(int dir_fd, const char *name, const char *what, struct err *e);

static int remove_entries(int fd, const char *what, struct err *e)
{
    DIR *d = fdopendir(fd);
    struct dirent *de;
    int r = 0;

    if (!d) {
        close(fd);
        return err_sys(e, "%s: open", what);
    }
    while (r == 0 && (de = readdir(d)))
        if (!str_eq(de->d_name, ".") && !str_eq(de->d_name, ".."))
            r = remove_at(dirfd(d), de->d_name, what, e);
    closedir(d);
    return r;
}

static int remove_at(int dir_fd, const char *name, const char *what, struct err *e)
{
    int fd;

    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return err_sys(e, "%s: remove %s", what, name);
    fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, "%s: open %s", what, name);
    if (remove_entries(fd, what, e) < 0)
        return -1;
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return err_sys(e, "%s: remove %s", what, name);
    return 0;
}

int io_remove_tree(const char *path, struct err *e)
{
    return remove_at(AT_FDCWD, path, path, e);
}
