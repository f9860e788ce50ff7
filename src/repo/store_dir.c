/* A repository in a directory (format, sections 6 and 9); see store.h.
 *
 * Nothing outside the directory is ever read or written: paths are opened beneath its
 * descriptor without following symbolic links. Files appear by rename, so a crash leaves
 * at most temporary names, and chunks that nobody names yet. What must be durable before
 * something else is written is made so by sync(). */
#include "repo/store.h"

#include "base/io.h"
#include "base/rand.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define N_PREFIXES 65536

struct store_dir {
    struct store base;
    int root, chunks; /* directories; owned */
};

static struct store_dir *self(struct store *s)
{
    return (struct store_dir *)s;
}

/* -1 with errno. */
static int open_beneath(int dir_fd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };

    return (int)syscall(SYS_openat2, dir_fd, *path ? path : ".", &how, sizeof how);
}

/* From errno. */
static int dir_sys(struct store *s, const char *path, const char *what, struct err *e)
{
    int n = errno;

    err_sys_n(e, n, "%s/%s: %s", s->desc, path, what);
    if (n == ENOENT)
        e->kind = ERR_NOT_FOUND;
    return -1;
}

static int open_dir(struct store *s, const char *path, struct err *e)
{
    int fd = open_beneath(self(s)->root, path, O_RDONLY | O_DIRECTORY, 0);

    return fd < 0 ? dir_sys(s, path, "open", e) : fd;
}

/* ---- chunks ---- */

/* "abcd/abcd…" below .chunks. */
static const char *chunk_name(const unsigned char *digest, char out[STORE_CHUNK_PATH_LEN])
{
    return store_chunk_path(digest, out) + strlen(".chunks/");
}

static int dir_chunk_read(struct store *s, const unsigned char *digest, void *buf,
                          size_t cap, size_t *ret_len, struct err *e)
{
    char path[STORE_CHUNK_PATH_LEN];
    auto_fd int fd = -1;
    struct stat st;

    /* O_NONBLOCK: a FIFO is then refused instead of waited for. */
    fd =
        open_beneath(self(s)->chunks, chunk_name(digest, path), O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0 || fstat(fd, &st) < 0)
        return dir_sys(s, path, "open", e);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_INPUT, "%s/%s: not a regular file", s->desc, path);
    *ret_len = (size_t)st.st_size;
    if ((uint64_t)st.st_size > cap)
        return 0;
    return io_pread_full(fd, buf, (size_t)st.st_size, 0, path, e);
}

static int dir_chunk_touch(struct store *s, const unsigned char *digest,
                           struct store_touched *ret, struct err *e)
{
    static const struct timespec now[2] = {{.tv_nsec = UTIME_NOW},
                                           {.tv_nsec = UTIME_OMIT}};
    char path[STORE_CHUNK_PATH_LEN];
    const char *name = chunk_name(digest, path);
    struct stat st;

    /* The access time first: from then on a collection leaves it alone. */
    *ret = (struct store_touched){0};
    if (utimensat(self(s)->chunks, name, now, AT_SYMLINK_NOFOLLOW) < 0 ||
        fstatat(self(s)->chunks, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : dir_sys(s, path, "set its access time", e);
    ret->there = S_ISREG(st.st_mode) && st.st_size > 0;
    ret->empty = !ret->there;
    ret->mtime_s = st.st_mtime;
    return 0;
}

/* The directory of a chunk; a store that others made may lack some. */
static int open_prefix(struct store *s, const char *path, struct err *e)
{
    char prefix[5];
    int fd;

    snprintf(prefix, sizeof prefix, "%.4s", path);
    fd = open_beneath(self(s)->chunks, prefix, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 && errno == ENOENT) {
        if (mkdirat(self(s)->chunks, prefix, 0750) < 0 && errno != EEXIST)
            return dir_sys(s, path, "mkdir", e);
        fd = open_beneath(self(s)->chunks, prefix, O_RDONLY | O_DIRECTORY, 0);
    }
    return fd < 0 ? dir_sys(s, path, "open its directory", e) : fd;
}

static int write_both(int fd, const void *head, size_t head_len, const void *body,
                      size_t body_len, const char *what, struct err *e)
{
    struct iovec v[2] = {{(void *)(uintptr_t)head, head_len},
                         {(void *)(uintptr_t)body, body_len}};
    ssize_t n = writev(fd, v, 2);
    size_t done = n < 0 ? 0 : (size_t)n;

    if (n < 0 && errno != EINTR)
        return err_sys(e, "%s: write", what);
    if (done < head_len)
        return io_write_full(fd, head, head_len, what, e) < 0 ||
                       io_write_full(fd, body, body_len, what, e) < 0
                   ? -1
                   : 0;
    return io_write_full(fd, (const char *)body + (done - head_len),
                         body_len - (done - head_len), what, e);
}

static int create_tmp(int dir, const char *name, char *tmp, size_t tmp_len, mode_t mode)
{
    char random[7];

    snprintf(tmp, tmp_len, "%s" STORE_TMP "%s", name, rand_hex(random, 6));
    return openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
}

/* Gives the nameless file its name. One that has it already is replaced: it is empty or
 * damaged, or another writer was as quick and its chunk is as good as ours. */
static int link_chunk(int dir, int fd, const char *name)
{
    char self_fd[40], tmp[STORE_CHUNK_PATH_LEN + 16], random[7];

    snprintf(self_fd, sizeof self_fd, "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, self_fd, dir, name, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno != EEXIST)
        return -1;
    snprintf(tmp, sizeof tmp, "%s" STORE_TMP "%s", name, rand_hex(random, 6));
    if (linkat(AT_FDCWD, self_fd, dir, tmp, AT_SYMLINK_FOLLOW) < 0)
        return -1;
    if (renameat(dir, tmp, dir, name) == 0)
        return 0;
    unlinkat(dir, tmp, 0);
    return -1;
}

/* Without a name a crash leaves nothing of it; not every file system has that. */
static int dir_chunk_write(struct store *s, const unsigned char *digest, const void *head,
                           size_t head_len, const void *body, size_t body_len,
                           bool replace, struct err *e)
{
    char path[STORE_CHUNK_PATH_LEN], tmp[STORE_CHUNK_PATH_LEN + 16] = "";
    const char *name = chunk_name(digest, path) + 5;
    auto_fd int dir = open_prefix(s, chunk_name(digest, path), e);
    int fd, r;

    if (dir < 0)
        return -1;
    fd = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        fd = create_tmp(dir, name, tmp, sizeof tmp, 0644);
    if (fd < 0)
        return dir_sys(s, path, "create", e);
    r = write_both(fd, head, head_len, body, body_len, s->desc, e);
    if (r == 0 && (*tmp ? renameat(dir, tmp, dir, name) : link_chunk(dir, fd, name)) < 0)
        r = dir_sys(s, path, "name it", e);
    if (close(fd) < 0 && r == 0)
        r = dir_sys(s, path, "close", e);
    if (r < 0 && *tmp)
        unlinkat(dir, tmp, 0);
    return r;
}

static int dir_chunk_mark_bad(struct store *s, const unsigned char *digest, struct err *e)
{
    char path[STORE_CHUNK_PATH_LEN], bad[STORE_CHUNK_PATH_LEN + 8];
    const char *name = chunk_name(digest, path);

    for (int i = 0; i < 10; i++) {
        snprintf(bad, sizeof bad, "%s.%d.bad", name, i);
        if (renameat2(self(s)->chunks, name, self(s)->chunks, bad, RENAME_NOREPLACE) ==
                0 ||
            errno == ENOENT)
            return 0;
        if (errno != EEXIST)
            return dir_sys(s, path, "rename", e);
    }
    return err_set(e, ERR_EXISTS, "%s/%s: there are ten bad ones already", s->desc, path);
}

static bool dir_chunk_was_bad(struct store *s, const unsigned char *digest)
{
    char path[STORE_CHUNK_PATH_LEN], bad[STORE_CHUNK_PATH_LEN + 8];

    for (int i = 0; i < 10; i++) {
        snprintf(bad, sizeof bad, "%s.%d.bad", chunk_name(digest, path), i);
        if (faccessat(self(s)->chunks, bad, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return true;
    }
    return false;
}

/* ---- files ---- */

static int dir_open(struct store *s, const char *path, struct store_file *ret,
                    struct err *e)
{
    auto_fd int fd = open_beneath(self(s)->root, path, O_RDONLY | O_NONBLOCK, 0);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return dir_sys(s, path, "open", e);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_INPUT, "%s/%s: not a regular file", s->desc, path);
    *ret = (struct store_file){.fd = take_fd(&fd), .size_bytes = (uint64_t)st.st_size};
    return 0;
}

static int dir_pread(struct store *s, struct store_file *f, void *buf, size_t len,
                     uint64_t offset, struct err *e)
{
    return io_pread_full(f->fd, buf, len, offset, s->desc, e);
}

static void dir_close(struct store *s, struct store_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

/* 1 a directory, 0 a file, -1 neither. */
static int kind_of(int dir, const struct dirent *de)
{
    struct stat st;

    if (de->d_type == DT_DIR || de->d_type == DT_REG)
        return de->d_type == DT_DIR;
    if (de->d_type != DT_UNKNOWN ||
        fstatat(dir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    return S_ISDIR(st.st_mode) ? 1 : S_ISREG(st.st_mode) ? 0 : -1;
}

static int dir_list(struct store *s, const char *dir, store_list_fn *each, void *ctx,
                    struct err *e)
{
    int fd = open_beneath(self(s)->root, dir, O_RDONLY | O_DIRECTORY, 0), r = 0;
    struct dirent *de;
    DIR *d;

    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : dir_sys(s, dir, "open", e);
    d = fdopendir(fd);
    if (!d) {
        close(fd);
        return dir_sys(s, dir, "open", e);
    }
    while (r == 0 && (errno = 0, de = readdir(d))) {
        int kind = kind_of(fd, de);

        if (kind >= 0 && !str_eq(de->d_name, ".") && !str_eq(de->d_name, ".."))
            r = each(ctx, de->d_name, kind == 1, e);
    }
    if (r == 0 && errno)
        r = dir_sys(s, dir, "list", e);
    closedir(d);
    return r;
}

static int dir_make_dir(struct store *s, const char *path, struct err *e)
{
    auto_fd int fd = fcntl(self(s)->root, F_DUPFD_CLOEXEC, 0);
    char name[256];

    while (fd >= 0 && *path) {
        size_t n = strcspn(path, "/");
        int next;

        snprintf(name, sizeof name, "%.*s", (int)n, path);
        if (mkdirat(fd, name, 0755) < 0 && errno != EEXIST)
            return dir_sys(s, path, "mkdir", e);
        next = open_beneath(fd, name, O_RDONLY | O_DIRECTORY, 0);
        if (next < 0)
            return dir_sys(s, path, "open", e);
        close(fd);
        fd = next;
        path += n + (path[n] == '/');
    }
    return fd < 0 ? dir_sys(s, path, "open", e) : 0;
}

static int dir_write(struct store *s, const char *dir, const char *name, const void *data,
                     size_t len, struct err *e)
{
    auto_fd int d = open_dir(s, dir, e);
    char tmp[300];
    int fd, r;

    if (d < 0)
        return -1;
    fd = create_tmp(d, name, tmp, sizeof tmp, 0644);
    if (fd < 0)
        return dir_sys(s, dir, "create a file", e);
    r = io_write_full(fd, data, len, s->desc, e);
    if (r == 0 && fsync(fd) < 0)
        r = dir_sys(s, dir, "sync", e);
    if (close(fd) < 0 && r == 0)
        r = dir_sys(s, dir, "close", e);
    if (r == 0 && renameat(d, tmp, d, name) < 0)
        r = dir_sys(s, dir, "rename", e);
    if (r < 0) {
        unlinkat(d, tmp, 0);
        return -1;
    }
    return fsync(d) < 0 ? dir_sys(s, dir, "sync", e) : 0;
}

/* "NAME.tmp_fidx": a name that does not end in ".fidx", because an unfinished index would
 * stop a server's collection. */
static void index_tmp_name(const char *name, char *out, size_t len)
{
    snprintf(out, len, "%.*s.tmp_fidx", (int)(strlen(name) - strlen(".fidx")), name);
}

static int dir_index_create(struct store *s, const char *dir, const char *name,
                            int *ret_fd, struct err *e)
{
    auto_fd int d = open_dir(s, dir, e);
    char tmp[300];
    int fd;

    if (d < 0)
        return -1;
    index_tmp_name(name, tmp, sizeof tmp);
    fd = openat(d, tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return dir_sys(s, dir, "create an index", e);
    *ret_fd = fd;
    return 0;
}

static int dir_index_publish(struct store *s, const char *dir, const char *name, int fd,
                             struct err *e)
{
    auto_fd int d = open_dir(s, dir, e);
    char tmp[300];

    if (d < 0)
        return -1;
    index_tmp_name(name, tmp, sizeof tmp);
    if (fsync(fd) < 0 || renameat(d, tmp, d, name) < 0)
        return dir_sys(s, dir, "rename an index", e);
    return 0;
}

static int dir_remove(struct store *s, const char *dir, const char *name, struct err *e)
{
    auto_fd int d = open_beneath(self(s)->root, dir, O_RDONLY | O_DIRECTORY, 0);

    if (d < 0)
        return errno == ENOENT ? 0 : dir_sys(s, dir, "open", e);
    if (unlinkat(d, name, 0) < 0 && errno != ENOENT)
        return dir_sys(s, dir, "remove a file", e);
    return 0;
}

static int dir_remove_dir(struct store *s, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    auto_free char *parent = str_ndup(path, slash ? (size_t)(slash - path) : 0, e);
    auto_fd int d = -1;

    if (!parent)
        return -1;
    d = open_dir(s, parent, e);
    if (d < 0)
        return -1;
    if (unlinkat(d, slash ? slash + 1 : path, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return dir_sys(s, path, "remove", e);
    return 0;
}

static int dir_sync(struct store *s, struct err *e)
{
    return syncfs(self(s)->root) < 0 ? dir_sys(s, "", "sync", e) : 0;
}

/* ---- locks ---- */

/* Open file description locks conflict with a server's POSIX locks and do not vanish
 * when some other descriptor of the file is closed. */
static int dir_lock_writers(struct store *s, int *ret_fd, struct err *e)
{
    struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    auto_fd int fd =
        open_beneath(self(s)->root, ".lock", O_RDWR | O_CREAT | O_NONBLOCK, 0644);

    if (fd < 0)
        return dir_sys(s, ".lock", "open", e);
    if (fcntl(fd, F_OFD_SETLK, &l) < 0) {
        if (errno == EAGAIN || errno == EACCES)
            return err_set(e, ERR_BUSY,
                           "%s: a garbage collection runs: try again when it is done",
                           s->desc);
        return dir_sys(s, ".lock", "lock", e);
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

static int dir_lock_path(struct store *s, const char *path, enum store_lock how,
                         int *ret_fd, struct err *e)
{
    auto_fd int fd = open_dir(s, path, e);
    struct stat st;

    if (fd < 0)
        return -1;
    if (flock(fd, (how == STORE_LOCK_SHARED ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK)
            return err_set(e, ERR_BUSY, "%s/%s is in use by another process", s->desc,
                           path);
        return dir_sys(s, path, "lock", e);
    }
    /* Somebody may have removed it between the two. */
    if (fstat(fd, &st) < 0)
        return dir_sys(s, path, "stat", e);
    if (st.st_nlink == 0)
        return err_set(e, ERR_NOT_FOUND, "%s/%s was just removed", s->desc, path);
    *ret_fd = take_fd(&fd);
    return 0;
}

/* ---- opening ---- */

static void dir_free(struct store *s)
{
    if (self(s)->root >= 0)
        close(self(s)->root);
    if (self(s)->chunks >= 0)
        close(self(s)->chunks);
    free(s->desc);
    free(s);
}

static const struct store_ops dir_ops = {
    .name = "directory",
    .chunk_read = dir_chunk_read,
    .chunk_touch = dir_chunk_touch,
    .chunk_keep = dir_chunk_touch,
    .chunk_write = dir_chunk_write,
    .chunk_mark_bad = dir_chunk_mark_bad,
    .chunk_was_bad = dir_chunk_was_bad,
    .open = dir_open,
    .pread = dir_pread,
    .close = dir_close,
    .list = dir_list,
    .make_dir = dir_make_dir,
    .write = dir_write,
    .index_create = dir_index_create,
    .index_publish = dir_index_publish,
    .remove = dir_remove,
    .remove_dir = dir_remove_dir,
    .sync = dir_sync,
    .lock_writers = dir_lock_writers,
    .lock_path = dir_lock_path,
    .free = dir_free,
};

static int count_entry(void *ctx, const char *name, bool is_dir, struct err *e)
{
    size_t *n = ctx;

    /* What an interrupted creation leaves, and what every new file system has. */
    *n += !str_eq(name, ".lock") && !str_eq(name, "lost+found") &&
          !str_eq(name, ".chunks.new");
    return 0;
}

static int make_prefixes(struct store *s, struct err *e)
{
    auto_fd int fd = -1;
    char name[8];

    if (mkdirat(self(s)->root, ".chunks.new", 0750) < 0 && errno != EEXIST)
        return dir_sys(s, ".chunks.new", "mkdir", e);
    fd = open_dir(s, ".chunks.new", e);
    if (fd < 0)
        return -1;
    if (fchmod(fd, 0750) < 0)
        return dir_sys(s, ".chunks.new", "chmod", e);
    for (unsigned i = 0; i < N_PREFIXES; i++) {
        snprintf(name, sizeof name, "%04x", i);
        if (mkdirat(fd, name, 0750) < 0 && errno != EEXIST)
            return dir_sys(s, ".chunks.new", "mkdir", e);
    }
    if (renameat(self(s)->root, ".chunks.new", self(s)->root, ".chunks") < 0)
        return dir_sys(s, ".chunks", "rename", e);
    return 0;
}

/* The chunk directory gets its name last: with it, everything is there. */
static int make_layout(struct store *s, struct err *e)
{
    auto_fd int fd = -1;
    size_t n = 0;

    if (faccessat(self(s)->root, ".chunks", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    if (dir_list(s, "", count_entry, &n, e) < 0)
        return -1;
    if (n)
        return err_set(e, ERR_INPUT,
                       "%s is neither a datastore nor empty: name an empty or absent "
                       "directory",
                       s->desc);
    fd = openat(self(s)->root, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return dir_sys(s, ".lock", "create", e);
    if (make_prefixes(s, e) < 0)
        return -1;
    return dir_sync(s, e);
}

/* Who comes second waits for the first, which takes seconds, and finds it done. */
static int make_layout_once(struct store *s, struct err *e)
{
    int r;

    while (flock(self(s)->root, LOCK_EX) < 0)
        if (errno != EINTR)
            return dir_sys(s, "", "lock", e);
    r = make_layout(s, e);
    flock(self(s)->root, LOCK_UN);
    return r;
}

static int open_chunks(struct store *s, enum repo_open how, struct err *e)
{
    int fd = open_beneath(self(s)->root, ".chunks", O_RDONLY | O_DIRECTORY, 0);

    if (fd < 0 && errno == ENOENT && how == REPO_CREATE) {
        if (make_layout_once(s, e) < 0)
            return -1;
        fd = open_beneath(self(s)->root, ".chunks", O_RDONLY | O_DIRECTORY, 0);
    }
    if (fd < 0 && errno == ENOENT)
        return err_set(
            e, ERR_INPUT,
            "%s is not a Proxmox Backup datastore: it has no .chunks directory (`hotadd "
            "backup --create` makes a repository in an empty folder)",
            s->desc);
    if (fd < 0)
        return dir_sys(s, ".chunks", "open", e);
    self(s)->chunks = fd;
    return 0;
}

int store_dir_new(const char *path, enum repo_open how, struct store **ret, struct err *e)
{
    struct store_dir *d = mem_zalloc(1, sizeof *d, e);
    auto_call(store_free_autop) struct store *s = d ? &d->base : NULL;

    if (!s)
        return -1;
    d->base.ops = &dir_ops;
    d->root = d->chunks = -1;
    d->base.desc = str_dup(path, e);
    if (!d->base.desc)
        return -1;
    if (how == REPO_CREATE && io_mkdir_all(path, 0755, e) < 0)
        return -1;
    d->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->root < 0) {
        if (errno == ENOENT)
            return err_set(e, ERR_NOT_FOUND,
                           "%s does not exist (`hotadd backup --create` makes a "
                           "repository there)",
                           path);
        return err_sys(e, "%s: open", path);
    }
    if (open_chunks(s, how, e) < 0)
        return -1;
    *ret = take_ptr(s);
    return 0;
}
