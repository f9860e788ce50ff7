/* Planned changes; see overlay.h. Kept in memory only: a crash loses a plan. */
#include "guest/overlay.h"

#include "base/str.h"

#include <string.h>

static void change_release(struct change *c)
{
    free(c->path);
    free(c->target);
    free(c->what);
    free(c->why);
    buf_release(&c->data);
}

void overlay_release(struct overlay *o)
{
    vec_foreach (c, &o->changes)
        change_release(c);
    vec_release(&o->changes);
    free(o->state_dir);
}

static struct change *find(const struct overlay *o, const char *path)
{
    vec_foreach (c, &o->changes)
        if (str_eq(c->path, path))
            return c;
    return NULL;
}

/* A directory that exists because something new is below it. */
static bool implied_dir(const struct overlay *o, const char *path)
{
    size_t n = strlen(path);

    vec_foreach (c, &o->changes)
        if (c->kind != CHANGE_REMOVE && str_starts(c->path, path) && c->path[n] == '/')
            return true;
    return false;
}

/* ---- the view ---- */

static int view_lstat(void *ctx, const char *path, struct gfs_stat *ret, struct err *e)
{
    struct overlay *o = ctx;
    const struct change *c = find(o, path);

    if (!c) {
        if (gfs_lstat(&o->base, path, ret, e) < 0)
            return -1;
        if (ret->type == GFS_ABSENT && implied_dir(o, path))
            *ret = (struct gfs_stat){.type = GFS_DIR, .mode = 0755};
        return 0;
    }
    if (c->kind == CHANGE_WRITE && c->existed) {
        if (gfs_lstat(&o->base, path, ret, e) < 0)
            return -1;
        ret->size_bytes = c->data.len;
        return 0;
    }
    *ret = (struct gfs_stat){.mode = c->mode, .size_bytes = c->data.len};
    ret->type = c->kind == CHANGE_WRITE  ? GFS_FILE
                : c->kind == CHANGE_LINK ? GFS_LINK
                                         : GFS_ABSENT;
    return 0;
}

/* Links in directories are the base's business; a final one may be ours. */
static int view_stat(void *ctx, const char *path, struct gfs_stat *ret, struct err *e)
{
    struct overlay *o = ctx;
    struct gfs fs = overlay_gfs(o);
    auto_free char *at = NULL;

    if (!find(o, path) && !implied_dir(o, path)) {
        if (gfs_lstat(&o->base, path, ret, e) < 0)
            return -1;
        if (ret->type != GFS_LINK)
            return 0;
    }
    if (gfs_resolve(&fs, path, &at, e) < 0)
        return -1;
    if (find(o, at) || implied_dir(o, at))
        return view_lstat(o, at, ret, e);
    return gfs_stat(&o->base, at, ret, e);
}

static int view_readlink(void *ctx, const char *path, char **ret, struct err *e)
{
    struct overlay *o = ctx;
    const struct change *c = find(o, path);

    if (!c)
        return gfs_readlink(&o->base, path, ret, e);
    *ret = str_dup(c->target ? c->target : "", e);
    return *ret ? 0 : -1;
}

static int view_list(void *ctx, const char *dir, struct strv *ret, struct err *e)
{
    struct overlay *o = ctx;
    auto_strv struct strv base = {0};
    size_t n = strlen(dir);

    while (n && dir[n - 1] == '/')
        n--;
    if (gfs_list(&o->base, dir, &base, e) < 0)
        return -1;
    vec_foreach (name, &base) {
        auto_free char *path = NULL;
        const struct change *c;

        if (gfs_join(dir, *name, &path, e) < 0)
            return -1;
        c = find(o, path);
        if (!(c && c->kind == CHANGE_REMOVE) && strv_add(ret, *name, e) < 0)
            return -1;
    }
    vec_foreach (c, &o->changes) {
        const char *name = c->path + n + 1;
        auto_free char *first = NULL;

        if (c->kind == CHANGE_REMOVE || strncmp(c->path, dir, n) != 0 ||
            c->path[n] != '/')
            continue;
        first = str_ndup(name, strcspn(name, "/"), e);
        if (!first || strv_add_once(ret, first, e) < 0)
            return -1;
    }
    return 0;
}

static int view_pread(void *ctx, const char *path, uint64_t offset, size_t len,
                      struct buf *out, struct err *e)
{
    struct overlay *o = ctx;
    struct gfs fs = overlay_gfs(o);
    const struct change *c = find(o, path);
    auto_free char *at = NULL;

    if (!c) {
        if (gfs_resolve(&fs, path, &at, e) < 0)
            return -1;
        c = find(o, at);
    }
    if (!c)
        return o->base.ops->pread(o->base.ctx, path, offset, len, out, e);
    if (offset < c->data.len) {
        size_t left = c->data.len - (size_t)offset;

        buf_add(out, c->data.data + offset, left < len ? left : len);
    }
    return buf_check(out, e);
}

static int view_space(void *ctx, const char *path, uint64_t *ret, struct err *e)
{
    struct overlay *o = ctx;

    return gfs_space(&o->base, path, ret, e);
}

static const struct gfs_ops view_ops = {
    .stat = view_stat,
    .lstat = view_lstat,
    .readlink = view_readlink,
    .list = view_list,
    .pread = view_pread,
    .space = view_space,
};

struct gfs overlay_gfs(struct overlay *o)
{
    return (struct gfs){.ops = &view_ops, .ctx = o};
}

/* ---- changes ---- */

/* The change of a path, made if there is none, with what and why set anew or added. */
static int change_of(struct overlay *o, const char *path, const char *what,
                     const char *why, struct change **ret, struct err *e)
{
    struct change *c = find(o, path);
    struct gfs_stat st;

    if (c) {
        auto_free char *both = strstr(c->what, what)
                                   ? str_dup(c->what, e)
                                   : str_fmt(e, "%s; %s", c->what, what);

        if (!both)
            return -1;
        free(c->what);
        c->what = take_ptr(both);
        *ret = c;
        return 0;
    }
    struct change n = {0};
    if (gfs_lstat(&o->base, path, &st, e) < 0)
        return -1;
    n.existed = st.type != GFS_ABSENT;
    if (str_set(&n.path, path, e) < 0 || str_set(&n.what, what, e) < 0 ||
        str_set(&n.why, why, e) < 0 || vec_push(&o->changes, n, e) < 0) {
        change_release(&n);
        return -1;
    }
    *ret = &o->changes.v[o->changes.n - 1];
    return 0;
}

static int same_contents(const struct gfs *fs, const char *path, const void *data,
                         size_t len, struct err *e)
{
    auto_buf struct buf now = BUF_INIT;
    struct gfs_stat st;

    if (gfs_stat(fs, path, &st, e) < 0)
        return -1;
    if (st.type != GFS_FILE || st.size_bytes != len)
        return 0;
    if (gfs_read(fs, path, len, &now, e) < 0)
        return -1;
    return now.len == len && (!len || !memcmp(now.data, data, len));
}

int overlay_write(struct overlay *o, const char *path, const void *data, size_t len,
                  uint32_t mode, const char *what, const char *why, struct err *e)
{
    struct gfs fs = overlay_gfs(o);
    auto_buf struct buf copy = BUF_INIT;
    auto_free char *at = NULL;
    struct change *c;
    int r;

    if (gfs_resolve(&fs, path, &at, e) < 0)
        return -1;
    r = same_contents(&fs, at, data, len, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    buf_add(&copy, data, len);
    if (buf_check(&copy, e) < 0 || change_of(o, at, what, why, &c, e) < 0)
        return -1;
    buf_release(&c->data);
    c->data = copy;
    copy = (struct buf)BUF_INIT;
    c->kind = CHANGE_WRITE;
    c->mode = mode;
    return 1;
}

int overlay_remove(struct overlay *o, const char *path, const char *what, const char *why,
                   struct err *e)
{
    struct gfs_stat st;
    struct change *c;

    if (view_lstat(o, path, &st, e) < 0)
        return -1;
    if (st.type == GFS_ABSENT)
        return 0;
    if (st.type == GFS_DIR)
        return err_set(e, ERR_FAILED, "%s: directories are not removed", path);
    if (change_of(o, path, what, why, &c, e) < 0)
        return -1;
    buf_release(&c->data);
    c->data = (struct buf)BUF_INIT;
    c->kind = CHANGE_REMOVE;
    return 1;
}

int overlay_link(struct overlay *o, const char *target, const char *path,
                 const char *what, const char *why, struct err *e)
{
    struct gfs_stat st;
    struct change *c;

    if (view_lstat(o, path, &st, e) < 0)
        return -1;
    if (st.type == GFS_LINK) {
        auto_free char *now = NULL;

        if (view_readlink(o, path, &now, e) < 0)
            return -1;
        if (str_eq(now, target))
            return 0;
    }
    if (change_of(o, path, what, why, &c, e) < 0 || str_set(&c->target, target, e) < 0)
        return -1;
    c->kind = CHANGE_LINK;
    return 1;
}
