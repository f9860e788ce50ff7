/* Targets of a copy by hand; see target.h. A crash leaves a partly written target, and of
 * a new file its name. */
#include "proxy/target.h"

#include "base/clock.h"
#include "base/str.h"
#include "proxy/private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

struct proxy_target {
    struct sink *sink; /* owned */
    char *path;        /* owned */
    bool remove;       /* made here and not kept */
};

/* ---- is it the source? ---- */

/* Everything of the source is open by now, however many files it has: by us, or by who
 * reads it for us. */
static int check_not_open(const char *path, const struct stat *target,
                          const struct source *source, struct err *e)
{
    int same = source->ops->reads && source->ops->reads(source, target);
    DIR *d = opendir("/proc/self/fd");

    if (!d)
        return err_sys(e, "/proc/self/fd: list");
    for (struct dirent *ent; (ent = readdir(d));) {
        struct stat st;

        if (fstatat(dirfd(d), ent->d_name, &st, 0) < 0)
            continue;
        same |= S_ISBLK(target->st_mode)
                    ? S_ISBLK(st.st_mode) && st.st_rdev == target->st_rdev
                    : st.st_dev == target->st_dev && st.st_ino == target->st_ino;
    }
    closedir(d);
    return same ? err_set(e, ERR_USAGE, "%s is the source, or a part of it", path) : 0;
}

/* ---- what is there ---- */

static int check_contents(struct sink *s, const struct proxy_target_how *how,
                          struct err *e)
{
    uint64_t offset;
    int r;

    if (how->has_base || (how->force && !how->is_zero))
        return 0;
    r = device_find_data(s, &offset, e);
    if (r > 0 && how->is_zero)
        return err_set(e, ERR_REQUIREMENT,
                       "%s is not zero: byte %" PRIu64
                       " holds data; without --target-is-zero it is zeroed where needed",
                       s->desc, offset);
    if (r > 0)
        return err_set(e, ERR_EXISTS,
                       "%s holds data (byte %" PRIu64
                       " is not zero): --force writes over it",
                       s->desc, offset);
    return r;
}

/* ---- files ---- */

/* O_DIRECT where the file system knows it. */
static int open_file(const char *path, int flags)
{
    int fd = open(path, flags | O_DIRECT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0 && errno == EINVAL)
        fd = open(path, flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd;
}

static int resize(int fd, const char *path, uint64_t bytes, struct err *e)
{
    if (bytes > INT64_MAX || ftruncate(fd, (off_t)bytes) < 0)
        return err_sys(e, "%s: make it %" PRIu64 " bytes long", path, bytes);
    return 0;
}

static int new_file(struct proxy_target *t, const struct proxy_target_how *how,
                    struct err *e)
{
    auto_fd int fd = open_file(t->path, O_CREAT | O_EXCL);

    if (fd < 0)
        return err_sys(e, "%s: make", t->path);
    t->remove = true;
    if (device_lock(fd, t->path, 0, NULL, e) < 0 ||
        resize(fd, t->path, how->source->size_bytes, e) < 0 ||
        sink_fd_new(fd, t->path, SINK_KNOWN_ZERO, &t->sink, e) < 0)
        return -1;
    take_fd(&fd);
    return 0;
}

/* Where the file system cannot tell holes, all is data. */
static bool has_data(int fd)
{
    return lseek(fd, 0, SEEK_DATA) >= 0 || errno != ENXIO;
}

static int prepare_file(int fd, const struct stat *st, const char *path,
                        const struct proxy_target_how *how, struct err *e)
{
    bool empty = st->st_size == 0 || !has_data(fd);

    if (!empty && !how->is_zero && !how->has_base) {
        if (!how->force)
            return err_set(e, ERR_EXISTS,
                           "%s exists and holds data: --force writes over it", path);
        if (resize(fd, path, 0, e) < 0 ||
            resize(fd, path, how->source->size_bytes, e) < 0)
            return -1;
    } else if ((uint64_t)st->st_size < how->source->size_bytes) {
        return resize(fd, path, how->source->size_bytes, e);
    }
    return 0;
}

static int refuse_kind(const char *path, struct err *e)
{
    return err_set(e, ERR_USAGE, "%s: neither a block device nor a file", path);
}

static int old_file(struct proxy_target *t, const struct proxy_target_how *how,
                    struct err *e)
{
    auto_fd int fd = open_file(t->path, 0);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(e, "%s: open", t->path);
    if (!S_ISREG(st.st_mode))
        return refuse_kind(t->path, e);
    if (device_lock(fd, t->path, 0, NULL, e) < 0 ||
        prepare_file(fd, &st, t->path, how, e) < 0 ||
        sink_fd_new(fd, t->path, how->has_base ? SINK_ZEROS_UNKNOWN : SINK_KNOWN_ZERO,
                    &t->sink, e) < 0)
        return -1;
    take_fd(&fd);
    return how->is_zero ? check_contents(t->sink, how, e) : 0;
}

/* ---- devices ---- */

static int device(struct proxy_target *t, const struct proxy_paths *paths,
                  const struct stat *st, const struct proxy_target_how *how,
                  const struct cancel *cancel, struct err *e)
{
    uint64_t deadline_ns = clock_mono_ns() + DEVICE_LET_GO_NS;
    auto_fd int fd = -1;
    struct stat now;

    /* Asked before opening too: this names the user, where O_EXCL would only wait. */
    if (device_check_unused(paths, t->path, st->st_rdev, e) < 0 ||
        device_open_exclusive(t->path, st->st_mode, deadline_ns, cancel, &fd, e) < 0 ||
        device_lock(fd, t->path, deadline_ns, cancel, e) < 0)
        return -1;
    if (fstat(fd, &now) < 0)
        return err_sys(e, "%s: stat", t->path);
    if (!S_ISBLK(now.st_mode) || now.st_rdev != st->st_rdev)
        return err_set(e, ERR_REQUIREMENT, "%s was exchanged while it was opened",
                       t->path);
    if (device_check_unused(paths, t->path, now.st_rdev, e) < 0 ||
        sink_fd_new(fd, t->path, how->is_zero ? SINK_KNOWN_ZERO : SINK_ZEROS_UNKNOWN,
                    &t->sink, e) < 0)
        return -1;
    take_fd(&fd);
    if (t->sink->size_bytes < how->source->size_bytes)
        return err_set(e, ERR_REQUIREMENT,
                       "%s has %" PRIu64 " bytes, too few for a disk of %" PRIu64,
                       t->path, t->sink->size_bytes, how->source->size_bytes);
    return check_contents(t->sink, how, e);
}

/* ---- all ---- */

/* Links are followed once, here; what they lead to is then opened as it is. */
static int resolve(const char *path, char **ret, struct err *e)
{
    char *real = realpath(path, NULL);
    struct stat st;

    if (!real && errno != ENOENT)
        return err_sys(e, "%s", path);
    if (!real && lstat(path, &st) == 0)
        return err_set(e, ERR_USAGE, "%s is a link to nothing", path);
    *ret = real ? real : str_dup(path, e);
    return *ret ? 0 : -1;
}

int proxy_target_open(const struct proxy_paths *paths, const char *path,
                      const struct proxy_target_how *how, const struct cancel *cancel,
                      struct proxy_target **ret, struct err *e)
{
    auto_proxy_target struct proxy_target *t = mem_zalloc(1, sizeof *t, e);
    struct stat st;
    int r;

    if (!t || resolve(path, &t->path, e) < 0)
        return -1;
    if (stat(t->path, &st) < 0)
        r = errno == ENOENT && !how->has_base ? new_file(t, how, e)
                                              : err_sys(e, "%s", t->path);
    else if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
        r = refuse_kind(t->path, e);
    else if (check_not_open(path, &st, how->source, e) < 0)
        r = -1;
    else if (S_ISBLK(st.st_mode))
        r = device(t, paths, &st, how, cancel, e);
    else
        r = old_file(t, how, e);
    if (r < 0)
        return -1;
    *ret = take_ptr(t);
    return 0;
}

struct sink *proxy_target_sink(const struct proxy_target *t)
{
    return t->sink;
}

int proxy_target_keep(struct proxy_target *t, struct err *e)
{
    auto_free char *copy = NULL;
    auto_fd int dir = -1;

    if (!t->remove)
        return 0;
    copy = str_dup(t->path, e);
    if (!copy)
        return -1;
    dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || fsync(dir) < 0)
        return err_sys(e, "%s: sync its folder", t->path);
    t->remove = false;
    return 0;
}

void proxy_target_free(struct proxy_target *t)
{
    if (!t)
        return;
    sink_free(t->sink);
    if (t->remove)
        unlink(t->path);
    free(t->path);
    free(t);
}
