/* A repository in a store of objects (format, section 12); see store.h.
 *
 * An object appears whole and durably or not at all, so sync() has nothing to do, and a
 * crash leaves chunks that nobody names and unfinished points. There are no access times:
 * no server may run a garbage collection over the prefix while we write, which the
 * object `.in-use` settles between machines. Between processes of one machine a socket in
 * the abstract name space, bound to the path's name, is the lock: it ends with its
 * holder, however that ends. */
#include "repo/store.h"

#include "base/io.h"
#include "base/json.h"
#include "base/str.h"
#include "repo/names.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MAX_IN_USE_BYTES 4096
#define KEY_LEN          1100

struct store_objects {
    struct store base;
    struct objects *objects; /* owned */
    char *name;              /* owned: the datastore's */
};

static struct store_objects *self(struct store *s)
{
    return (struct store_objects *)s;
}

static const struct objects_ops *ops(struct store *s)
{
    return self(s)->objects->ops;
}

/* "NAME/.cnt/PATH[/FILE]". */
static char *content_key(struct store *s, const char *path, const char *file, char *out)
{
    snprintf(out, KEY_LEN, "%s/.cnt/%s%s%s", self(s)->name, path, file ? "/" : "",
             file ? file : "");
    return out;
}

static char *chunk_key(struct store *s, const unsigned char *digest, const char *suffix,
                       char *out)
{
    char path[STORE_CHUNK_PATH_LEN];

    snprintf(out, KEY_LEN, "%s/%s%s", self(s)->name, store_chunk_path(digest, path),
             suffix);
    return out;
}

/* ---- chunks ---- */

static int obj_chunk_read(struct store *s, const unsigned char *digest, void *buf,
                          size_t cap, size_t *ret_len, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    char key[KEY_LEN];

    if (ops(s)->get(self(s)->objects, chunk_key(s, digest, "", key), cap, &b, e) < 0)
        return -1;
    if (b.len <= cap && b.len)
        memcpy(buf, b.data, b.len);
    *ret_len = b.len;
    return 0;
}

static int obj_chunk_touch(struct store *s, const unsigned char *digest,
                           struct store_touched *ret, struct err *e)
{
    char key[KEY_LEN];
    uint64_t bytes;

    *ret = (struct store_touched){.mtime_s = INT64_MIN};
    if (ops(s)->stat(self(s)->objects, chunk_key(s, digest, "", key), &bytes, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    ret->there = bytes > 0;
    ret->empty = bytes == 0;
    return 0;
}

/* A request for each of a disk's chunks would take longer than reading the disk: what a
 * finished point names is there, or was damaged long before us. */
static int obj_chunk_keep(struct store *s, const unsigned char *digest,
                          struct store_touched *ret, struct err *e)
{
    *ret = (struct store_touched){.there = true, .mtime_s = INT64_MIN};
    return 0;
}

static int obj_chunk_write(struct store *s, const unsigned char *digest, const void *head,
                           size_t head_len, const void *body, size_t body_len,
                           bool replace, struct err *e)
{
    auto_free char *both = malloc(head_len + body_len);
    char key[KEY_LEN];
    bool existed;

    if (!both)
        return err_nomem(e);
    memcpy(both, head, head_len);
    memcpy(both + head_len, body, body_len);
    return ops(s)->put(self(s)->objects, chunk_key(s, digest, "", key), both,
                       head_len + body_len, replace ? OBJECTS_REPLACE : OBJECTS_IF_ABSENT,
                       &existed, e);
}

static int obj_chunk_mark_bad(struct store *s, const unsigned char *digest, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    char key[KEY_LEN], bad[KEY_LEN], suffix[8];
    bool existed = true;

    if (ops(s)->get(self(s)->objects, chunk_key(s, digest, "", key), 128u << 20, &b, e) <
        0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    for (int i = 0; i < 10 && existed; i++) {
        snprintf(suffix, sizeof suffix, ".%d.bad", i);
        if (ops(s)->put(self(s)->objects, chunk_key(s, digest, suffix, bad), buf_str(&b),
                        b.len, OBJECTS_IF_ABSENT, &existed, e) < 0)
            return -1;
    }
    if (existed)
        return err_set(e, ERR_EXISTS, "%s: there are ten bad ones already", key);
    return ops(s)->remove(self(s)->objects, key, e);
}

static bool obj_chunk_was_bad(struct store *s, const unsigned char *digest)
{
    char key[KEY_LEN], suffix[8];
    uint64_t bytes;
    struct err e;

    for (int i = 0; i < 10; i++) {
        snprintf(suffix, sizeof suffix, ".%d.bad", i);
        if (ops(s)->stat(self(s)->objects, chunk_key(s, digest, suffix, key), &bytes,
                         &e) == 0)
            return true;
        if (e.kind != ERR_NOT_FOUND)
            return false;
    }
    return false;
}

/* ---- files ---- */

static int obj_open(struct store *s, const char *path, struct store_file *ret,
                    struct err *e)
{
    char key[KEY_LEN];
    struct store_file f = STORE_FILE_INIT;

    if (ops(s)->stat(self(s)->objects, content_key(s, path, NULL, key), &f.size_bytes,
                     e) < 0)
        return -1;
    f.key = str_dup(key, e);
    if (!f.key)
        return -1;
    *ret = f;
    return 0;
}

static int obj_pread(struct store *s, struct store_file *f, void *buf, size_t len,
                     uint64_t offset, struct err *e)
{
    return len ? ops(s)->get_range(self(s)->objects, f->key, offset, buf, len, e) : 0;
}

static void obj_close(struct store *s, struct store_file *f)
{
    free(f->key);
    f->key = NULL;
}

struct listing {
    size_t skip; /* of the prefix */
    store_list_fn *each;
    void *ctx;
};

static int list_one(void *ctx, const char *key, uint64_t bytes, bool is_prefix,
                    struct err *e)
{
    struct listing *l = ctx;
    char name[300];
    size_t n = strlen(key);

    if (n <= l->skip || n - l->skip >= sizeof name)
        return 0;
    snprintf(name, sizeof name, "%s", key + l->skip);
    if (is_prefix && str_ends(name, "/"))
        name[strlen(name) - 1] = 0;
    return strchr(name, '/') ? 0 : l->each(l->ctx, name, is_prefix, e);
}

static int obj_list(struct store *s, const char *dir, store_list_fn *each, void *ctx,
                    struct err *e)
{
    struct listing l = {.each = each, .ctx = ctx};
    char prefix[KEY_LEN];

    content_key(s, dir, *dir ? "" : NULL, prefix);
    l.skip = strlen(prefix);
    return ops(s)->list(self(s)->objects, prefix, '/', list_one, &l, e);
}

/* There are no directories; but a namespace has a mark, so that it may be empty. */
static int obj_make_dir(struct store *s, const char *path, struct err *e)
{
    char key[KEY_LEN], ns[KEY_LEN];
    bool existed;

    for (size_t at = 0; str_starts(path + at, "ns/");) {
        at += 3;
        at += strcspn(path + at, "/");
        snprintf(ns, sizeof ns, "%.*s", (int)at, path);
        if (ops(s)->put(self(s)->objects, content_key(s, ns, ".namespace", key), "", 0,
                        OBJECTS_IF_ABSENT, &existed, e) < 0)
            return -1;
        at += path[at] == '/';
    }
    return 0;
}

static int obj_write(struct store *s, const char *dir, const char *name, const void *data,
                     size_t len, struct err *e)
{
    char key[KEY_LEN];

    return ops(s)->put(self(s)->objects, content_key(s, dir, name, key), data, len,
                       OBJECTS_REPLACE, NULL, e);
}

/* An index is built in a file that has no name, and sent at its end. */
static int obj_index_create(struct store *s, const char *dir, const char *name,
                            int *ret_fd, struct err *e)
{
    const char *tmp = getenv("TMPDIR");
    int fd;

    tmp = tmp && *tmp ? tmp : "/var/tmp";
    fd = open(tmp, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, "%s: create a temporary file", tmp);
    *ret_fd = fd;
    return 0;
}

static int obj_index_publish(struct store *s, const char *dir, const char *name, int fd,
                             struct err *e)
{
    struct stat st;
    void *p;
    int r;

    if (fstat(fd, &st) < 0)
        return err_sys(e, "%s: stat", name);
    p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return err_sys(e, "%s: mmap", name);
    r = obj_write(s, dir, name, p, (size_t)st.st_size, e);
    munmap(p, (size_t)st.st_size);
    return r;
}

static int obj_remove(struct store *s, const char *dir, const char *name, struct err *e)
{
    char key[KEY_LEN];

    return ops(s)->remove(self(s)->objects, content_key(s, dir, name, key), e);
}

static int obj_remove_dir(struct store *s, const char *path, struct err *e)
{
    return 0;
}

static int obj_sync(struct store *s, struct err *e)
{
    return 0;
}

/* ---- locks ---- */

static int in_use_key(struct store *s, char *key, char *host, size_t host_len,
                      struct err *e)
{
    snprintf(key, KEY_LEN, "%s/.in-use", self(s)->name);
    if (gethostname(host, host_len) < 0)
        return err_sys(e, "hostname");
    host[host_len - 1] = 0;
    return 0;
}

static int claim(struct store *s, const char *key, const char *host, struct err *e)
{
    json_auto_t *o = json_pack("{s:s}", "hostname", host);
    auto_free char *text = NULL;
    bool existed;

    if (!o)
        return err_nomem(e);
    if (json_text(o, &text, e) < 0)
        return -1;
    return ops(s)->put(self(s)->objects, key, text, strlen(text), OBJECTS_IF_ABSENT,
                       &existed, e);
}

static int obj_lock_writers(struct store *s, int *ret_fd, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    json_auto_t *o = NULL;
    char key[KEY_LEN], host[256];
    const char *holder;

    /* Claimed first, if nobody has: of two that race here, one reads the other's name. */
    if (in_use_key(s, key, host, sizeof host, e) < 0 || claim(s, key, host, e) < 0 ||
        ops(s)->get(self(s)->objects, key, MAX_IN_USE_BYTES, &b, e) < 0)
        return -1;
    if (json_parse(buf_str(&b), b.len, key, &o, e) < 0)
        return -1;
    holder = json_str_or(o, "hostname", "(unnamed)");
    if (!str_eq(holder, host))
        return err_set(
            e, ERR_DENIED,
            "%s is in use by %.100s, and this is %s: two machines must not write "
            "to one. If that one does so no more, remove the object %s",
            s->desc, holder, host, key);
    *ret_fd = -1;
    return 0;
}

static int obj_lock_path(struct store *s, const char *path, enum store_lock how,
                         int *ret_fd, struct err *e)
{
    auto_free char *what = str_fmt(e, "%s/%s", s->desc, path);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    unsigned char sum[SHA256_BYTES];
    auto_fd int fd = -1;
    int n;

    if (!what)
        return -1;
    /* Readers need none: an object that is being read does not change. */
    if (how == STORE_LOCK_SHARED) {
        *ret_fd = -1;
        return 0;
    }
    digest_sha256(what, strlen(what), sum);
    n = snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "hotadd-repo-");
    str_hex(a.sun_path + 1 + n, sum, SHA256_BYTES);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(e, "%s: socket", what);
    if (bind(fd, (struct sockaddr *)&a,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n +
                         2 * SHA256_BYTES)) < 0)
        return errno == EADDRINUSE
                   ? err_set(e, ERR_BUSY, "%s is in use by another process", what)
                   : err_sys(e, "%s: lock", what);
    *ret_fd = take_fd(&fd);
    return 0;
}

/* ---- opening ---- */

static void obj_free(struct store *s)
{
    objects_free(self(s)->objects);
    free(self(s)->name);
    free(s->desc);
    free(s);
}

static const struct store_ops obj_ops = {
    .name = "objects",
    .chunk_read = obj_chunk_read,
    .chunk_touch = obj_chunk_touch,
    .chunk_keep = obj_chunk_keep,
    .chunk_write = obj_chunk_write,
    .chunk_mark_bad = obj_chunk_mark_bad,
    .chunk_was_bad = obj_chunk_was_bad,
    .open = obj_open,
    .pread = obj_pread,
    .close = obj_close,
    .list = obj_list,
    .make_dir = obj_make_dir,
    .write = obj_write,
    .index_create = obj_index_create,
    .index_publish = obj_index_publish,
    .remove = obj_remove,
    .remove_dir = obj_remove_dir,
    .sync = obj_sync,
    .lock_writers = obj_lock_writers,
    .lock_path = obj_lock_path,
    .free = obj_free,
};

static int count_entry(void *ctx, const char *key, uint64_t bytes, bool is_prefix,
                       struct err *e)
{
    size_t *n = ctx;

    n[0]++;
    n[1] += str_ends(key, "/.in-use") || str_ends(key, "/.chunks/") ||
            str_ends(key, "/.cnt/");
    return 0;
}

/* Any of its three parts makes a datastore. */
static int look(struct store *s, enum repo_open how, struct err *e)
{
    auto_free char *prefix = str_fmt(e, "%s/", self(s)->name);
    size_t n[2] = {0};
    int fd;

    if (!prefix || ops(s)->list(self(s)->objects, prefix, '/', count_entry, n, e) < 0)
        return -1;
    if (n[1])
        return 0;
    if (n[0])
        return err_set(e, ERR_INPUT,
                       "%s holds objects, but is no Proxmox Backup datastore", s->desc);
    if (how == REPO_MUST_EXIST)
        return err_set(e, ERR_NOT_FOUND, "%s holds no datastore", s->desc);
    return obj_lock_writers(s, &fd, e);
}

int store_objects_new(struct objects *objects, const char *name, enum repo_open how,
                      struct store **ret, struct err *e)
{
    struct store_objects *o = mem_zalloc(1, sizeof *o, e);
    auto_call(store_free_autop) struct store *s = o ? &o->base : NULL;

    if (!o) {
        objects_free(objects);
        return -1;
    }
    o->base.ops = &obj_ops;
    o->objects = objects;
    o->base.calls_at_once = objects->calls_at_once;
    if (!repo_id_valid(name))
        return err_set(e, ERR_USAGE, "'%.80s' is not a datastore's name", name);
    o->name = str_dup(name, e);
    o->base.desc = str_fmt(e, "%s/%s", objects->desc, name);
    if (!o->name || !o->base.desc || look(s, how, e) < 0)
        return -1;
    *ret = take_ptr(s);
    return 0;
}
