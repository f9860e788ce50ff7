#include "memfs.h"
#include "test.h"

#include "base/str.h"

#include <assert.h>

void memfs_init(struct memfs *m)
{
    *m = (struct memfs){.free_bytes = 1ull << 30};
    memfs_dir(m, "/");
}

static void node_release(struct memfs_node *n)
{
    free(n->path);
    buf_release(&n->data);
}

void memfs_release(struct memfs *m)
{
    vec_foreach (n, &m->nodes)
        node_release(n);
    vec_release(&m->nodes);
}

struct memfs_node *memfs_find(const struct memfs *m, const char *path)
{
    vec_foreach (n, &m->nodes)
        if (str_eq(n->path, path))
            return n;
    return NULL;
}

static struct memfs_node *add(struct memfs *m, const char *path, enum gfs_type type)
{
    struct memfs_node *old = memfs_find(m, path), n = {.type = type, .mode = 0644};
    struct err e;

    if (old) {
        buf_release(&old->data);
        old->data = (struct buf)BUF_INIT;
        old->type = type;
        return old;
    }
    n.path = str_dup(path, &e);
    assert(n.path && vec_push(&m->nodes, n, &e) == 0);
    return &m->nodes.v[m->nodes.n - 1];
}

void memfs_dir(struct memfs *m, const char *path)
{
    char part[512];

    for (size_t i = 1; path[i]; i++)
        if (path[i] == '/') {
            snprintf(part, sizeof part, "%.*s", (int)i, path);
            if (!memfs_find(m, part))
                add(m, part, GFS_DIR);
        }
    if (!memfs_find(m, path))
        add(m, path, GFS_DIR);
}

static void parents(struct memfs *m, const char *path)
{
    char dir[512];

    snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
    if (dir[0])
        memfs_dir(m, dir);
}

void memfs_bytes(struct memfs *m, const char *path, const void *data, size_t len)
{
    parents(m, path);
    buf_add(&add(m, path, GFS_FILE)->data, data, len);
}

void memfs_file(struct memfs *m, const char *path, const char *text)
{
    memfs_bytes(m, path, text, strlen(text));
}

void memfs_link(struct memfs *m, const char *path, const char *target)
{
    parents(m, path);
    buf_adds(&add(m, path, GFS_LINK)->data, target);
}

void memfs_remove(struct memfs *m, const char *path)
{
    struct memfs_node *n = memfs_find(m, path);

    if (n) {
        node_release(n);
        *n = m->nodes.v[--m->nodes.n];
    }
}

const char *memfs_text(const struct memfs *m, const char *path)
{
    struct memfs_node *n = memfs_find(m, path);

    return n && n->type == GFS_FILE ? buf_str(&n->data) : NULL;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct memfs_node *)a)->path,
                  ((const struct memfs_node *)b)->path);
}

char *memfs_dump(const struct memfs *m, const char *except_below)
{
    struct buf b = BUF_INIT;
    struct err e;
    char *s;

    qsort(m->nodes.v, m->nodes.n, sizeof m->nodes.v[0], by_path);
    vec_foreach (n, &m->nodes)
        if (n->type != GFS_DIR && !(except_below && str_starts(n->path, except_below)))
            buf_addf(&b, "%s %d %o %s\n", n->path, n->type, n->mode, buf_str(&n->data));
    assert(buf_take(&b, &s, &e) == 0);
    return s;
}

void memfs_copy(struct memfs *to, const struct memfs *from)
{
    *to = (struct memfs){.free_bytes = from->free_bytes};
    vec_foreach (n, &from->nodes) {
        struct memfs_node *x = add(to, n->path, n->type);

        x->mode = n->mode;
        buf_add(&x->data, n->data.data, n->data.len);
    }
}

/* ---- operations ---- */

static void count(void *ctx)
{
    ((struct memfs *)ctx)->reads++;
}

static int stat_of(void *ctx, const char *path, struct gfs_stat *ret)
{
    const struct memfs_node *n = memfs_find(ctx, path);

    *ret = (struct gfs_stat){.type = GFS_ABSENT};
    if (n)
        *ret = (struct gfs_stat){
            .type = n->type, .mode = n->mode, .size_bytes = n->data.len};
    return 0;
}

static int op_lstat(void *ctx, const char *path, struct gfs_stat *ret, struct err *e)
{
    count(ctx);
    return stat_of(ctx, path, ret);
}

static const struct memfs_node *follow(void *ctx, const char *path, struct err *e)
{
    struct gfs fs = memfs_gfs(ctx);
    auto_free char *at = NULL;

    if (gfs_resolve(&fs, path, &at, e) < 0)
        return NULL;
    return memfs_find(ctx, at);
}

static int op_stat(void *ctx, const char *path, struct gfs_stat *ret, struct err *e)
{
    size_t reads = ((struct memfs *)ctx)->reads;
    const struct memfs_node *n = follow(ctx, path, e);

    ((struct memfs *)ctx)->reads = reads + 1; /* the appliance follows links itself */
    return stat_of(ctx, n ? n->path : "", ret);
}

static int op_readlink(void *ctx, const char *path, char **ret, struct err *e)
{
    count(ctx);
    *ret = str_dup(buf_str(&memfs_find(ctx, path)->data), e);
    return *ret ? 0 : -1;
}

static int op_list(void *ctx, const char *dir, struct strv *ret, struct err *e)
{
    struct memfs *m = ctx;
    size_t n = str_eq(dir, "/") ? 0 : strlen(dir);

    count(ctx);
    vec_foreach (x, &m->nodes)
        if (!strncmp(x->path, dir, n) && x->path[n] == '/' && x->path[n + 1] &&
            !strchr(x->path + n + 1, '/') && strv_add(ret, x->path + n + 1, e) < 0)
            return -1;
    return 0;
}

static int op_pread(void *ctx, const char *path, uint64_t offset, size_t len,
                    struct buf *out, struct err *e)
{
    size_t reads = ((struct memfs *)ctx)->reads;
    const struct memfs_node *n = follow(ctx, path, e);

    ((struct memfs *)ctx)->reads = reads + 1;
    assert(n && n->type == GFS_FILE);
    if (offset < n->data.len)
        buf_add(out, n->data.data + offset,
                n->data.len - offset < len ? n->data.len - (size_t)offset : len);
    return buf_check(out, e);
}

static int op_space(void *ctx, const char *path, uint64_t *ret, struct err *e)
{
    *ret = ((struct memfs *)ctx)->free_bytes;
    return 0;
}

static const struct gfs_ops read_ops = {.stat = op_stat,
                                        .lstat = op_lstat,
                                        .readlink = op_readlink,
                                        .list = op_list,
                                        .pread = op_pread,
                                        .space = op_space};

struct gfs memfs_gfs(struct memfs *m)
{
    return (struct gfs){.ops = &read_ops, .ctx = m};
}

static int change(struct memfs *m, struct err *e)
{
    m->writes++;
    return m->fail_at && m->writes >= m->fail_at ? err_set(e, ERR_FAILED, "power cut")
                                                 : 0;
}

static bool has_parent(struct memfs *m, const char *path)
{
    char dir[512];

    snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
    return !dir[0] || memfs_find(m, dir);
}

static int op_put(void *ctx, const char *path, const void *data, size_t len,
                  uint32_t mode, const char *like, struct err *e)
{
    struct memfs *m = ctx;
    struct memfs_node *n;
    const struct memfs_node *from = like ? memfs_find(m, like) : NULL;

    assert(has_parent(m, path));
    if (from)
        mode = from->mode;
    if (change(m, e) < 0) {
        /* Half of it got there. */
        memfs_bytes(m, path, data, len / 2);
        return -1;
    }
    n = add(m, path, GFS_FILE);
    n->mode = mode;
    buf_add(&n->data, data, len);
    return 0;
}

static int op_rename(void *ctx, const char *from, const char *to, struct err *e)
{
    struct memfs *m = ctx;
    struct memfs_node *n;

    if (change(m, e) < 0)
        return -1;
    assert(memfs_find(m, from));
    memfs_remove(m, to);
    n = memfs_find(m, from);
    free(n->path);
    n->path = str_dup(to, e);
    return n->path ? 0 : -1;
}

static int op_remove(void *ctx, const char *path, struct err *e)
{
    if (change(ctx, e) < 0)
        return -1;
    memfs_remove(ctx, path);
    return 0;
}

static int op_symlink(void *ctx, const char *target, const char *path, struct err *e)
{
    if (change(ctx, e) < 0)
        return -1;
    assert(has_parent(ctx, path) && !memfs_find(ctx, path));
    memfs_link(ctx, path, target);
    return 0;
}

static int op_mkdirs(void *ctx, const char *path, uint32_t mode, struct err *e)
{
    if (change(ctx, e) < 0)
        return -1;
    memfs_dir(ctx, path);
    return 0;
}

static int op_copy(void *ctx, const char *from, const char *to, struct err *e)
{
    struct memfs *m = ctx;
    struct memfs_node *n;

    if (change(m, e) < 0)
        return -1;
    assert(has_parent(m, to));
    n = add(m, to, memfs_find(m, from)->type);
    n->mode = memfs_find(m, from)->mode;
    buf_add(&n->data, memfs_find(m, from)->data.data, memfs_find(m, from)->data.len);
    return 0;
}

static int op_sync(void *ctx, struct err *e)
{
    ((struct memfs *)ctx)->syncs++;
    return 0;
}

const struct gfs_write_ops memfs_write_ops = {.put = op_put,
                                              .rename = op_rename,
                                              .remove = op_remove,
                                              .symlink = op_symlink,
                                              .mkdirs = op_mkdirs,
                                              .copy = op_copy,
                                              .sync = op_sync};
