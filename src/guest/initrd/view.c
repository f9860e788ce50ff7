/* The kernel's view; see view.h.
 *
 * A node is a directory entry: (parent, name). It is never freed; when its file is
 * removed it stays as a *negative* node (inode 0), and comes back to life if the name is
 * made again. Names point into the members' paths. Inodes are what hard links share.
 * One hash table finds nodes by (parent, name), another finds the first path of a hard
 * link group. Lookups make no nodes, so there are never more nodes than members.
 *
 * Hostile images: links nest at most LINKS_MAX deep in one walk, directories DEPTH_MAX
 * deep, and unpacking may take STEPS_MAX steps in all, chains of the hash table
 * included. */
#include "guest/initrd/view.h"

#include "base/str.h"

#include <sys/stat.h>

#define LINKS_MAX 40 /* the kernel's MAXSYMLINKS */
#define STEPS_MAX (64ull << 20)
#define DEPTH_MAX 256 /* directories in each other; real images have about 12 */
#define NONE      UINT32_MAX

struct node {
    const char *name;
    uint32_t name_len;
    uint32_t parent, depth;
    uint32_t inode; /* 0: negative */
    uint32_t hash_next, sibling, child;
};

struct inode {
    uint32_t mode, uid, gid, nlink, rdev_major, rdev_minor, size_bytes;
    const char *link;
    size_t content;
};

struct hard {
    uint32_t ino, major, minor, type, next;
    const char *path; /* of the member seen first */
};

struct view {
    struct VEC(struct node) nodes;
    struct VEC(struct inode) inodes; /* 0 is never used */
    struct VEC(struct hard) hards;
    uint32_t *table, *hard_table; /* heads, NONE when empty; owned */
    uint32_t table_size;          /* power of two, both tables */
    uint64_t steps;
};

static uint32_t hash_bytes(uint32_t seed, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t h = 2166136261u ^ seed * 2654435761u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 16777619u;
    return h ^ h >> 15;
}

static uint32_t hard_hash(const struct hard *d)
{
    const uint32_t key[4] = {d->ino, d->major, d->minor, d->type};

    return hash_bytes(7, key, sizeof key);
}

/* Doubles both tables when the nodes outgrow them. */
static int table_grow(struct view *v, struct err *e)
{
    uint32_t size = v->table_size ? v->table_size * 2 : 1024;
    auto_free uint32_t *t = NULL, *ht = NULL;

    if (v->nodes.n < v->table_size)
        return 0;
    if (!(t = malloc(size * sizeof *t)) || !(ht = malloc(size * sizeof *ht)))
        return err_nomem(e);
    memset(t, 0xff, size * sizeof *t);
    memset(ht, 0xff, size * sizeof *ht);
    for (uint32_t i = 1; i < v->nodes.n; i++) {
        struct node *n = &v->nodes.v[i];
        uint32_t h = hash_bytes(n->parent, n->name, n->name_len) & (size - 1);

        n->hash_next = t[h];
        t[h] = i;
    }
    for (uint32_t i = 0; i < v->hards.n; i++) {
        uint32_t h = hard_hash(&v->hards.v[i]) & (size - 1);

        v->hards.v[i].next = ht[h];
        ht[h] = i;
    }
    free(v->table);
    free(v->hard_table);
    v->table = take_ptr(t);
    v->hard_table = take_ptr(ht);
    v->table_size = size;
    return 0;
}

static uint32_t child_find(struct view *v, uint32_t dir, const char *name, size_t len)
{
    uint32_t i = v->table[hash_bytes(dir, name, len) & (v->table_size - 1)];

    for (; i != NONE; i = v->nodes.v[i].hash_next) {
        const struct node *n = &v->nodes.v[i];

        if (++v->steps > STEPS_MAX)
            break;
        if (n->parent == dir && n->name_len == len && !memcmp(n->name, name, len))
            return i;
    }
    return NONE;
}

static int entangled(struct err *e)
{
    return err_set(e, ERR_INPUT, "paths and links are too entangled to unpack");
}

/* The (possibly negative) node of a name, made if need be. */
static int child_make(struct view *v, uint32_t dir, const char *name, size_t len,
                      uint32_t *ret, struct err *e)
{
    struct node n = {
        .name = name, .name_len = (uint32_t)len, .parent = dir, .child = NONE};
    uint32_t i = child_find(v, dir, name, len), h;

    if (i != NONE) {
        *ret = i;
        return 0;
    }
    if (v->steps > STEPS_MAX)
        return entangled(e);
    n.depth = v->nodes.v[dir].depth + 1;
    if (n.depth > DEPTH_MAX)
        return err_set(e, ERR_INPUT, "directories are nested more than %d deep",
                       DEPTH_MAX);
    if (table_grow(v, e) < 0)
        return -1;
    i = (uint32_t)v->nodes.n;
    h = hash_bytes(dir, name, len) & (v->table_size - 1);
    n.hash_next = v->table[h];
    n.sibling = v->nodes.v[dir].child;
    if (vec_push(&v->nodes, n, e) < 0)
        return -1;
    v->table[h] = i;
    v->nodes.v[dir].child = i;
    *ret = i;
    return 0;
}

static struct inode *inode_of(const struct view *v, uint32_t node)
{
    return &v->inodes.v[v->nodes.v[node].inode];
}

static bool is_dir(const struct view *v, uint32_t node)
{
    return S_ISDIR(inode_of(v, node)->mode);
}

/* Gives a negative node a fresh inode. */
static int create(struct view *v, uint32_t node, uint32_t mode, struct err *e)
{
    const struct inode in = {.mode = mode, .nlink = 1, .content = VIEW_NO_FILE};

    if (vec_push(&v->inodes, in, e) < 0)
        return -1;
    v->nodes.v[node].inode = (uint32_t)(v->inodes.n - 1);
    return 0;
}

static void detach(struct view *v, uint32_t node)
{
    inode_of(v, node)->nlink--;
    v->nodes.v[node].inode = 0;
}

static int preset(struct view *v, const char *path, uint32_t mode, struct err *e)
{
    const struct initrd_entry m = {.path = path,
                                   .mode = mode,
                                   .nlink = 1,
                                   .rdev_major = S_ISCHR(mode) ? 5 : 0,
                                   .rdev_minor = S_ISCHR(mode) ? 1 : 0};

    return view_apply(v, &m, VIEW_NO_FILE, e);
}

int view_new(struct view **ret, struct err *e)
{
    auto_call(view_free_autop) struct view *v = mem_zalloc(1, sizeof *v, e);
    const struct inode none = {0}, root = {.mode = S_IFDIR | 0755,
                                           .nlink = 1,
                                           .content = VIEW_NO_FILE};
    const struct node root_node = {
        .name = "", .inode = 1, .child = NONE, .sibling = NONE};

    if (!v || vec_push(&v->inodes, none, e) < 0 || vec_push(&v->inodes, root, e) < 0 ||
        table_grow(v, e) < 0 || vec_push(&v->nodes, root_node, e) < 0 ||
        preset(v, "dev", S_IFDIR | 0755, e) < 0 ||
        preset(v, "dev/console", S_IFCHR | 0600, e) < 0 ||
        preset(v, "root", S_IFDIR | 0700, e) < 0)
        return -1;
    *ret = take_ptr(v);
    return 0;
}

void view_free(struct view *v)
{
    if (!v)
        return;
    vec_release(&v->nodes);
    vec_release(&v->inodes);
    vec_release(&v->hards);
    free(v->table);
    free(v->hard_table);
    free(v);
}

/* Splits the next component off *path, which stops at `end`; false when there is none. */
static bool next_part(const char **path, const char *end, const char **part, size_t *len)
{
    const char *p = *path;

    while (p < end && *p == '/')
        p++;
    *part = p;
    while (p < end && *p != '/')
        p++;
    *len = (size_t)(p - *part);
    *path = p;
    return *len > 0;
}

static bool is_dot(const char *part, size_t len)
{
    return len == 1 && part[0] == '.';
}

static bool is_dotdot(const char *part, size_t len)
{
    return len == 2 && part[0] == '.' && part[1] == '.';
}

/* Walks from dir; -1 if something is missing, no directory, or links too deep. A path
 * with a '/' at its end must lead to a directory and follows a final link. */
static int64_t walk_n(struct view *v, uint32_t dir, const char *path, size_t path_len,
                      enum initrd_follow follow, unsigned *links)
{
    uint32_t at = path_len && *path == '/' ? VIEW_ROOT : dir;
    const char *part, *end = path + path_len;
    size_t len;

    while (next_part(&path, end, &part, &len)) {
        uint32_t next;

        if (++v->steps > STEPS_MAX || !is_dir(v, at))
            return -1;
        if (is_dot(part, len))
            continue;
        if (is_dotdot(part, len)) {
            at = v->nodes.v[at].parent;
            continue;
        }
        next = child_find(v, at, part, len);
        if (next == NONE || !v->nodes.v[next].inode)
            return -1;
        if (S_ISLNK(inode_of(v, next)->mode) && (path < end || follow == INITRD_FOLLOW)) {
            const char *target = inode_of(v, next)->link;
            int64_t to;

            if (++*links > LINKS_MAX || !*target ||
                (to = walk_n(v, at, target, strlen(target), INITRD_FOLLOW, links)) < 0)
                return -1;
            next = (uint32_t)to;
        }
        at = next;
        if (path < end && !is_dir(v, at))
            return -1;
    }
    return at;
}

static int64_t walk(struct view *v, const char *path, enum initrd_follow follow)
{
    unsigned links = 0;

    return walk_n(v, VIEW_ROOT, path, strlen(path), follow, &links);
}

int64_t view_lookup(struct view *v, const char *path, enum initrd_follow follow)
{
    /* Questions are the caller's; only unpacking is on the budget. */
    v->steps = 0;
    return walk(v, path, follow);
}

/* Where a member goes: its directory and last name. False: dropped, because the
 * directory is missing or the name is no name. *ret_slash: the path ends in '/'. */
static bool find_place(struct view *v, const char *path, uint32_t *ret_dir,
                       const char **ret_name, size_t *ret_len, bool *ret_slash)
{
    size_t end = strlen(path), start;
    unsigned links = 0;
    int64_t at;

    *ret_slash = end && path[end - 1] == '/';
    while (end && path[end - 1] == '/')
        end--;
    for (start = end; start && path[start - 1] != '/';)
        start--;
    *ret_name = path + start;
    *ret_len = end - start;
    if (!*ret_len || is_dot(*ret_name, *ret_len) || is_dotdot(*ret_name, *ret_len))
        return false;
    at = walk_n(v, VIEW_ROOT, path, start, INITRD_FOLLOW, &links);
    if (at < 0 || !is_dir(v, (uint32_t)at))
        return false;
    *ret_dir = (uint32_t)at;
    return true;
}

static bool dir_is_empty(struct view *v, uint32_t node)
{
    for (uint32_t i = v->nodes.v[node].child; i != NONE; i = v->nodes.v[i].sibling)
        if (++v->steps > STEPS_MAX || v->nodes.v[i].inode)
            return false;
    return true;
}

/* Makes room for something of type `type` (0: of any type, always remove). */
static void clear_place(struct view *v, uint32_t node, uint32_t type)
{
    if (!v->nodes.v[node].inode || (inode_of(v, node)->mode & S_IFMT) == type)
        return;
    if (!is_dir(v, node) || dir_is_empty(v, node))
        detach(v, node);
}

/* The first path of the member's hard link group, or NULL after noting this one. */
static int hard_find(struct view *v, const struct initrd_entry *m, const char **ret,
                     struct err *e)
{
    struct hard d = {.ino = m->ino,
                     .major = m->dev_major,
                     .minor = m->dev_minor,
                     .type = m->mode & S_IFMT,
                     .path = m->path};
    uint32_t h = hard_hash(&d) & (v->table_size - 1);

    for (uint32_t i = v->hard_table[h]; i != NONE; i = v->hards.v[i].next) {
        const struct hard *o = &v->hards.v[i];

        if (++v->steps > STEPS_MAX)
            break;
        if (o->ino == d.ino && o->major == d.major && o->minor == d.minor &&
            o->type == d.type) {
            *ret = o->path;
            return 0;
        }
    }
    d.next = v->hard_table[h];
    if (vec_push(&v->hards, d, e) < 0)
        return -1;
    v->hard_table[h] = (uint32_t)(v->hards.n - 1);
    *ret = NULL;
    return 0;
}

void view_trailer(struct view *v)
{
    v->hards.n = 0;
    memset(v->hard_table, 0xff, v->table_size * sizeof *v->hard_table);
}

enum linked { LINKED_NO, LINKED_YES, LINKED_FAILED };

static int try_link(struct view *v, const struct initrd_entry *m, uint32_t node,
                    enum linked *ret, struct err *e)
{
    const char *first = NULL;
    int64_t old;

    *ret = LINKED_NO;
    if (m->nlink < 2)
        return 0;
    if (hard_find(v, m, &first, e) < 0)
        return -1;
    if (!first)
        return 0;
    clear_place(v, node, 0);
    *ret = LINKED_FAILED;
    old = walk(v, first, INITRD_NOFOLLOW);
    if (old < 0 || is_dir(v, (uint32_t)old) || v->nodes.v[node].inode)
        return 0;
    v->nodes.v[node].inode = v->nodes.v[old].inode;
    inode_of(v, node)->nlink++;
    *ret = LINKED_YES;
    return 0;
}

static void set_owner(struct view *v, uint32_t node, const struct initrd_entry *m)
{
    struct inode *in = inode_of(v, node);

    in->uid = m->uid;
    in->gid = m->gid;
    if (!S_ISLNK(in->mode))
        in->mode = (in->mode & S_IFMT) | (m->mode & 07777);
}

static int apply_file(struct view *v, const struct initrd_entry *m, uint32_t node,
                      size_t index, struct err *e)
{
    enum linked linked;
    struct inode *in;

    if (try_link(v, m, node, &linked, e) < 0)
        return -1;
    if (linked == LINKED_FAILED)
        return 0;
    if (!v->nodes.v[node].inode && create(v, node, S_IFREG, e) < 0)
        return -1;
    in = inode_of(v, node);
    if (!S_ISREG(in->mode))
        return 0; /* a directory that was not empty stays in the way */
    set_owner(v, node, m);
    /* Another link of the group keeps the contents unless it brings some. */
    if (linked == LINKED_NO || m->size_bytes) {
        in->content = index;
        in->size_bytes = m->size_bytes;
    }
    return 0;
}

static int apply_symlink(struct view *v, const struct initrd_entry *m, uint32_t node,
                         struct err *e)
{
    clear_place(v, node, 0);
    if (!v->nodes.v[node].inode) {
        if (create(v, node, S_IFLNK | 0777, e) < 0)
            return -1;
        inode_of(v, node)->link = m->link;
        inode_of(v, node)->size_bytes = (uint32_t)strlen(m->link);
    }
    inode_of(v, node)->uid = m->uid;
    inode_of(v, node)->gid = m->gid;
    return 0;
}

static int apply_special(struct view *v, const struct initrd_entry *m, uint32_t node,
                         struct err *e)
{
    enum linked linked;

    if (try_link(v, m, node, &linked, e) < 0)
        return -1;
    if (linked != LINKED_NO)
        return 0;
    if (!v->nodes.v[node].inode) {
        if (create(v, node, m->mode & S_IFMT, e) < 0)
            return -1;
        inode_of(v, node)->rdev_major = m->rdev_major;
        inode_of(v, node)->rdev_minor = m->rdev_minor;
    }
    set_owner(v, node, m);
    return 0;
}

/* "dir/" where dir is a link to a directory means that directory. */
static bool apply_through_slash(struct view *v, const struct initrd_entry *m)
{
    int64_t at = walk(v, m->path, INITRD_FOLLOW);

    if (at < 0 || !is_dir(v, (uint32_t)at))
        return false;
    if (S_ISDIR(m->mode))
        set_owner(v, (uint32_t)at, m);
    return true;
}

int view_apply(struct view *v, const struct initrd_entry *m, size_t index, struct err *e)
{
    uint32_t dir, node = 0, type = m->mode & S_IFMT;
    const char *name;
    size_t len;
    bool slash;

    if (v->steps > STEPS_MAX)
        return entangled(e);
    if (!find_place(v, m->path, &dir, &name, &len, &slash) || len > 255) {
        if (type == S_IFDIR)
            apply_through_slash(v, m);
        return 0;
    }
    if (slash && (type != S_IFDIR || apply_through_slash(v, m)))
        return 0;
    if (type != S_IFREG && type != S_IFDIR && type != S_IFLNK && type != S_IFBLK &&
        type != S_IFCHR && type != S_IFIFO && type != S_IFSOCK)
        return 0;
    if (child_make(v, dir, name, len, &node, e) < 0)
        return -1;
    clear_place(v, node, type);
    if (type == S_IFREG)
        return apply_file(v, m, node, index, e);
    if (type == S_IFLNK)
        return apply_symlink(v, m, node, e);
    if (type != S_IFDIR)
        return apply_special(v, m, node, e);
    if (!v->nodes.v[node].inode && create(v, node, S_IFDIR, e) < 0)
        return -1;
    if (is_dir(v, node))
        set_owner(v, node, m);
    return 0;
}

void view_stat(const struct view *v, uint32_t node, struct initrd_stat *ret)
{
    const struct inode *in = inode_of(v, node);

    *ret = (struct initrd_stat){.mode = in->mode,
                                .uid = in->uid,
                                .gid = in->gid,
                                .nlink = in->nlink,
                                .rdev_major = in->rdev_major,
                                .rdev_minor = in->rdev_minor,
                                .size_bytes = in->size_bytes,
                                .link = in->link};
}

size_t view_content(const struct view *v, uint32_t node)
{
    const struct inode *in = inode_of(v, node);

    return S_ISREG(in->mode) ? in->content : VIEW_NO_FILE;
}

const char *view_name(const struct view *v, uint32_t node, size_t *ret_len)
{
    *ret_len = v->nodes.v[node].name_len;
    return v->nodes.v[node].name;
}

int view_path(const struct view *v, uint32_t node, char **ret, struct err *e)
{
    size_t len = 0, at;
    char *p;

    for (uint32_t n = node; n != VIEW_ROOT; n = v->nodes.v[n].parent)
        len += v->nodes.v[n].name_len + 1u;
    if (!(p = mem_zalloc(len + 1, 1, e)))
        return -1;
    at = len ? len - 1 : 0;
    p[at] = 0;
    for (uint32_t n = node; n != VIEW_ROOT; n = v->nodes.v[n].parent) {
        at -= v->nodes.v[n].name_len;
        memcpy(p + at, v->nodes.v[n].name, v->nodes.v[n].name_len);
        if (at)
            p[--at] = '/';
    }
    *ret = p;
    return 0;
}

int view_children(const struct view *v, uint32_t node, struct view_nodes *ret,
                  struct err *e)
{
    for (uint32_t i = v->nodes.v[node].child; i != NONE; i = v->nodes.v[i].sibling)
        if (v->nodes.v[i].inode && vec_push(ret, i, e) < 0)
            return -1;
    return 0;
}

/* A canonical path being built: as far as it exists also a node. */
struct canon {
    struct buf path;
    uint32_t node; /* NONE beyond what exists */
    unsigned links;
};

static int canon_walk(struct view *v, struct canon *c, const char *path, struct err *e);

static int canon_up(struct view *v, struct canon *c, struct err *e)
{
    char *slash;

    if (c->node == NONE)
        return err_set(e, ERR_INPUT, "'..' below a directory that does not exist");
    c->node = v->nodes.v[c->node].parent;
    if (!c->path.len)
        return 0;
    slash = strrchr(c->path.data, '/');
    c->path.len = slash ? (size_t)(slash - c->path.data) : 0;
    c->path.data[c->path.len] = 0;
    return 0;
}

static int canon_step(struct view *v, struct canon *c, const char *part, size_t len,
                      struct err *e)
{
    uint32_t next = NONE;

    if (c->node != NONE && !is_dir(v, c->node))
        return err_set(e, ERR_INPUT, "/%s is no directory", buf_str(&c->path));
    if (c->node != NONE)
        next = child_find(v, c->node, part, len);
    if (next != NONE && !v->nodes.v[next].inode)
        next = NONE;
    if (next != NONE && S_ISLNK(inode_of(v, next)->mode)) {
        if (++c->links > LINKS_MAX)
            return err_set(e, ERR_INPUT, "symbolic links loop at /%s/%.*s",
                           buf_str(&c->path), (int)len, part);
        return canon_walk(v, c, inode_of(v, next)->link, e);
    }
    if (c->path.len)
        buf_addc(&c->path, '/');
    buf_add(&c->path, part, len);
    c->node = next;
    return buf_check(&c->path, e);
}

static int canon_walk(struct view *v, struct canon *c, const char *path, struct err *e)
{
    const char *part, *end = path + strlen(path);
    size_t len;

    if (*path == '/') {
        buf_reset(&c->path);
        c->node = VIEW_ROOT;
    }
    while (next_part(&path, end, &part, &len)) {
        if (is_dot(part, len))
            continue;
        if ((is_dotdot(part, len) ? canon_up(v, c, e) : canon_step(v, c, part, len, e)) <
            0)
            return -1;
    }
    return 0;
}

int view_canonical(struct view *v, const char *path, char **ret, struct err *e)
{
    struct canon c = {.path = BUF_INIT, .node = VIEW_ROOT};
    int rc;

    v->steps = 0;
    rc = canon_walk(v, &c, path, e);

    if (rc == 0)
        rc = buf_take(&c.path, ret, e);
    else
        err_prefix(e, "/%.200s in the image", path);
    buf_release(&c.path);
    return rc;
}
