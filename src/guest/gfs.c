/* Questions about the guest's files, composed of the operation table; see gfs.h.
 *
 * Nothing here keeps state. What is no regular file is never read: a FIFO or a device in
 * a hostile guest must not hold us up. */
#include "guest/gfs.h"

#include "base/str.h"

#include <string.h>

#define MAX_NAMES 100000
#define MAX_LINKS 16
#define CHUNK     (2u << 20) /* below libguestfs's limit of a message */

int gfs_stat(const struct gfs *fs, const char *path, struct gfs_stat *ret, struct err *e)
{
    return fs->ops->stat(fs->ctx, path, ret, e);
}

int gfs_lstat(const struct gfs *fs, const char *path, struct gfs_stat *ret, struct err *e)
{
    return fs->ops->lstat(fs->ctx, path, ret, e);
}

static int is_type(const struct gfs *fs, const char *path, enum gfs_type type,
                   struct err *e)
{
    struct gfs_stat st;

    if (gfs_stat(fs, path, &st, e) < 0)
        return -1;
    return st.type == type;
}

int gfs_is_file(const struct gfs *fs, const char *path, struct err *e)
{
    return is_type(fs, path, GFS_FILE, e);
}

int gfs_is_dir(const struct gfs *fs, const char *path, struct err *e)
{
    return is_type(fs, path, GFS_DIR, e);
}

int gfs_is_link(const struct gfs *fs, const char *path, struct err *e)
{
    struct gfs_stat st;

    if (gfs_lstat(fs, path, &st, e) < 0)
        return -1;
    return st.type == GFS_LINK;
}

int gfs_readlink(const struct gfs *fs, const char *path, char **ret, struct err *e)
{
    return fs->ops->readlink(fs->ctx, path, ret, e);
}

/* The path without "." and, where what is before it is no link, "..": one file must have
 * one name, or it would be changed twice. */
static int tidy(const struct gfs *fs, const char *path, char **ret, struct err *e)
{
    auto_buf struct buf out = BUF_INIT;

    while (*path) {
        size_t n = strcspn(path, "/");
        bool up = n == 2 && path[0] == '.' && path[1] == '.';

        if (up && out.len) {
            int link = gfs_is_link(fs, buf_str(&out), e);

            if (link < 0)
                return -1;
            up = !link && !str_ends(buf_str(&out), "/..");
        }
        if (up && out.len) {
            out.len = (size_t)(strrchr(buf_str(&out), '/') - out.data);
            out.data[out.len] = 0;
        } else if (n && !up && !(n == 1 && path[0] == '.')) {
            buf_addc(&out, '/');
            buf_add(&out, path, n);
        }
        path += n + (path[n] == '/');
    }
    if (!out.len)
        buf_addc(&out, '/');
    return buf_take(&out, ret, e);
}

int gfs_resolve(const struct gfs *fs, const char *path, char **ret, struct err *e)
{
    auto_free char *at = str_dup(path, e);

    if (!at)
        return -1;
    for (int i = 0; i < MAX_LINKS; i++) {
        auto_free char *target = NULL, *next = NULL;
        struct gfs_stat st;

        if (gfs_lstat(fs, at, &st, e) < 0)
            return -1;
        if (st.type != GFS_LINK) {
            *ret = take_ptr(at);
            return 0;
        }
        if (gfs_readlink(fs, at, &target, e) < 0)
            return -1;
        if (target[0] != '/') {
            strrchr(at, '/')[0] = 0;
            if (gfs_join(at[0] ? at : "/", target, &next, e) < 0)
                return -1;
        }
        free(at);
        at = NULL;
        if (tidy(fs, next ? next : target, &at, e) < 0)
            return -1;
    }
    return err_set(e, ERR_INPUT, "%s: too many symbolic links", path);
}

int gfs_list(const struct gfs *fs, const char *dir, struct strv *ret, struct err *e)
{
    auto_strv struct strv all = {0};
    int r = gfs_is_dir(fs, dir, e);

    if (r <= 0)
        return r;
    if (fs->ops->list(fs->ctx, dir, &all, e) < 0)
        return err_prefix(e, "%s", dir);
    if (all.n > MAX_NAMES)
        return err_set(e, ERR_INPUT, "%s: more than %d names in one directory", dir,
                       MAX_NAMES);
    strv_sort(&all);
    vec_foreach (n, &all)
        if (!str_eq(*n, ".") && !str_eq(*n, "..") && !str_ends(*n, GFS_STAGED_SUFFIX) &&
            strv_add(ret, *n, e) < 0)
            return err_prefix(e, "%s", dir);
    return 0;
}

int gfs_glob(const struct gfs *fs, const char *dir, const char *suffix, struct strv *ret,
             struct err *e)
{
    auto_strv struct strv all = {0};

    if (gfs_list(fs, dir, &all, e) < 0)
        return -1;
    vec_foreach (n, &all) {
        auto_free char *path = NULL;
        int r;

        if ((*n)[0] == '.' || !str_ends(*n, suffix))
            continue;
        if (gfs_join(dir, *n, &path, e) < 0)
            return -1;
        r = gfs_is_file(fs, path, e);
        if (r < 0 || (r && strv_add(ret, path, e) < 0))
            return -1;
    }
    return 0;
}

static int read_up_to(const struct gfs *fs, const char *path, uint64_t len,
                      struct buf *out, struct err *e)
{
    uint64_t at = 0;

    while (at < len) {
        size_t want = len - at > CHUNK ? CHUNK : (size_t)(len - at), before = out->len;

        if (fs->ops->pread(fs->ctx, path, at, want, out, e) < 0)
            return err_prefix(e, "%s", path);
        if (out->len == before)
            break;
        at += out->len - before;
    }
    return buf_check(out, e);
}

static int file_size(const struct gfs *fs, const char *path, uint64_t *ret, struct err *e)
{
    struct gfs_stat st;

    if (gfs_stat(fs, path, &st, e) < 0)
        return -1;
    if (st.type == GFS_ABSENT)
        return err_set(e, ERR_NOT_FOUND, "%s: no such file in the guest", path);
    if (st.type != GFS_FILE)
        return err_set(e, ERR_INPUT, "%s: not a regular file in the guest", path);
    *ret = st.size_bytes;
    return 0;
}

int gfs_read(const struct gfs *fs, const char *path, size_t max, struct buf *out,
             struct err *e)
{
    uint64_t size;

    if (file_size(fs, path, &size, e) < 0)
        return -1;
    if (size > max)
        return err_set(e, ERR_INPUT,
                       "%s: %llu bytes in the guest, more than %zu are not expected",
                       path, (unsigned long long)size, max);
    return read_up_to(fs, path, size, out, e);
}

int gfs_read_head(const struct gfs *fs, const char *path, size_t len, struct buf *out,
                  struct err *e)
{
    uint64_t size;

    if (file_size(fs, path, &size, e) < 0)
        return -1;
    return read_up_to(fs, path, size < len ? size : len, out, e);
}

int gfs_text(const struct gfs *fs, const char *path, struct buf *out, struct err *e)
{
    size_t before = out->len;
    struct gfs_stat st;

    if (gfs_stat(fs, path, &st, e) < 0)
        return -1;
    if (st.type == GFS_ABSENT)
        return 0;
    if (gfs_read(fs, path, GFS_TEXT_MAX, out, e) < 0)
        return -1;
    if (out->len > before && memchr(out->data + before, 0, out->len - before))
        return err_set(e, ERR_INPUT, "%s: NUL bytes in a text file of the guest", path);
    return 1;
}

int gfs_space(const struct gfs *fs, const char *path, uint64_t *ret_free_bytes,
              struct err *e)
{
    return fs->ops->space(fs->ctx, path, ret_free_bytes, e);
}

int gfs_join(const char *dir, const char *name, char **ret, struct err *e)
{
    size_t n = strlen(dir);
    char *s;

    while (n && dir[n - 1] == '/')
        n--;
    while (*name == '/')
        name++;
    s = str_fmt(e, "%.*s/%s", (int)n, dir, name);
    if (!s)
        return -1;
    *ret = s;
    return 0;
}
