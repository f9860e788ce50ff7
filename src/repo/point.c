/* Recovery points: finding, checking, opening, comparing and removing them; see repo.h.
 *
 * Removing takes the manifest first: a crash leaves an unfinished point, which is not
 * listed as restorable and can be removed again. */
#include "repo/private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "repo/key.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

/* ---- manifests and blobs ---- */

int repo_load_manifest(struct repo *r, const char *path, struct repo_manifest **ret,
                       struct err *e)
{
    auto_free char *file = str_fmt(e, "%s/" REPO_MANIFEST_NAME, path);
    auto_buf struct buf raw = BUF_INIT, text = BUF_INIT;
    enum repo_damage_kind kind;
    struct datablob_work *w;
    int n;

    if (!file || store_read(r->store, file, REPO_MANIFEST_MAX_BYTES, &raw, e) < 0 ||
        datablob_take(&r->pool, 0, &w, e) < 0)
        return -1;
    n = datablob_decode(w, (unsigned char *)raw.data, raw.len, DATABLOB_PLAIN,
                        REPO_MANIFEST_MAX_BYTES, &text, &kind, e);
    datablob_give(&r->pool, w);
    if (n < 0 || repo_manifest_parse(buf_str(&text), text.len, ret, e) < 0)
        return err_prefix(e, "%s/%s", r->store->desc, file);
    return 0;
}

int repo_store_manifest(struct repo *r, const char *path, const struct repo_manifest *m,
                        struct err *e)
{
    auto_buf struct buf raw = BUF_INIT;
    auto_free char *text = NULL;

    if (repo_manifest_text(m, &text, e) < 0 ||
        datablob_encode_buf(&r->pool, DATABLOB_PLAIN, text, strlen(text), &raw, e) < 0)
        return -1;
    return r->store->ops->write(r->store, path, REPO_MANIFEST_NAME, raw.data, raw.len, e);
}

static int check_key(struct repo *r, const struct repo_manifest *m, struct err *e)
{
    const char *theirs = m->fingerprint ? m->fingerprint : "(not recorded)";
    bool encrypted = repo_manifest_crypt(m) == REPO_CRYPT_ENCRYPT;
    char mine[REPO_FINGERPRINT_LEN];

    if (!r->key)
        return !encrypted
                   ? 0
                   : err_set(e, ERR_DENIED,
                             "it is encrypted with key %.100s: give that key, none "
                             "was given",
                             theirs);
    if (repo_manifest_crypt(m) == REPO_CRYPT_NONE && !m->signature)
        return 0;
    repo_key_fingerprint(r->key, mine);
    if (m->fingerprint && strcasecmp(m->fingerprint, mine) != 0) {
        if (encrypted)
            return err_set(e, ERR_DENIED,
                           "it is encrypted with key %.100s, but key %s was given",
                           theirs, mine);
        return err_set(
            e, ERR_DENIED,
            "it is signed with key %.100s, but key %s was given: give that key, "
            "or none to go without checking who made it",
            theirs, mine);
    }
    return repo_manifest_check(m, r->key, e);
}

int repo_check_manifest(struct repo *r, const struct repo_manifest *m,
                        const struct repo_place *at, const char *what, struct err *e)
{
    char text[REPO_TIME_LEN];

    if (check_key(r, m, e) < 0)
        return err_prefix(e, "%s", what);
    if (str_eq(m->type, at->type) && str_eq(m->id, at->id) && m->time == at->time)
        return 0;
    /* Administrators rename groups; but what was signed as one thing is no other. */
    if (r->key && m->signature)
        return err_set(e, ERR_INPUT,
                       "%s: its manifest is signed as that of %s/%.80s/%s: it was put in "
                       "the place of another",
                       what, m->type, m->id, repo_time_text(m->time, text));
    log_debug("%s: its manifest says %s/%.80s/%s", what, m->type, m->id,
              repo_time_text(m->time, text));
    return 0;
}

int repo_read_blob(struct repo *r, const char *path, const struct repo_file *f,
                   size_t max_bytes, struct buf *out, enum repo_damage_kind *ret_kind,
                   struct err *e)
{
    auto_free char *file = str_fmt(e, "%s/%s", path, f->name);
    auto_buf struct buf raw = BUF_INIT;
    unsigned char sum[SHA256_BYTES];
    struct datablob_work *w;
    int n;

    *ret_kind = REPO_DAMAGE_BLOB;
    if (!file || store_read(r->store, file, REPO_MAX_BLOB_BYTES, &raw, e) < 0)
        return -1;
    digest_sha256(buf_str(&raw), raw.len, sum);
    if (raw.len != f->size_bytes || memcmp(sum, f->csum, sizeof sum) != 0)
        return err_set(e, ERR_INPUT, "%s/%s is not the file that the manifest names",
                       r->store->desc, file);
    if (datablob_take(&r->pool, 0, &w, e) < 0)
        return -1;
    n = datablob_decode(w, (unsigned char *)raw.data, raw.len,
                        repo_datablob_crypt(f->crypt), max_bytes, out, ret_kind, e);
    datablob_give(&r->pool, w);
    return n < 0 ? err_prefix(e, "%s/%s", r->store->desc, file) : 0;
}

/* ---- finding ---- */

/* "what there is": a few names. */
struct few {
    struct buf text;
    size_t n;
};

static int add_few(void *ctx, const struct repo_place *p, struct err *e)
{
    struct few *f = ctx;
    char t[REPO_TIME_LEN];

    if (str_eq(p->type, "vm") && f->n++ < 10)
        buf_addf(&f->text, "%s%s%svm/%s@%s", f->n > 1 ? ", " : "", p->ns,
                 *p->ns ? "/" : "", p->id, repo_time_text(p->time, t));
    return 0;
}

static int not_found(struct repo *r, const struct repo_name *name, struct err *e)
{
    struct repo_name same = {.ns = name->ns, .id = name->id, .time = REPO_EVERY};
    struct few f = {0};
    char t[REPO_TIME_LEN];
    int n = repo_walk(r, &same, add_few, &f, e);

    if (n == 0 && f.n == 0)
        n = repo_walk(r, NULL, add_few, &f, e);
    if (n == 0)
        err_set(e, ERR_NOT_FOUND, "%s has no finished point %s%svm/%s@%s; there is: %s%s",
                r->store->desc, name->ns, *name->ns ? "/" : "", name->id,
                repo_is_moment(name->time) ? repo_time_text(name->time, t) : "latest",
                f.n ? buf_str(&f.text) : "nothing", f.n > 10 ? ", …" : "");
    buf_release(&f.text);
    return -1;
}

int repo_find_finished(struct repo *r, struct repo_place *p, struct err *e)
{
    auto_free char *group = repo_group_path(p->ns, p->type, p->id, e);
    struct repo_times times = {0};
    struct repo_inside in = {0};
    int n = group ? repo_group_times(r, group, &times, e) : -1;
    size_t i = times.n;

    while (n == 0 && i-- > 0) {
        auto_free char *path = NULL;

        if (repo_is_moment(p->time) && times.v[i] != p->time)
            continue;
        path = repo_point_path(p->ns, p->type, p->id, times.v[i], e);
        n = path ? repo_look_inside(r, path, &in, e) : -1;
        if (n == 0 && in.finished) {
            p->time = times.v[i];
            n = 1;
        }
    }
    vec_release(&times);
    return n;
}

static int find_time(struct repo *r, const struct repo_name *name, int64_t *ret,
                     struct err *e)
{
    struct repo_place p = {name->ns, "vm", name->id, name->time};
    int n = repo_find_finished(r, &p, e);

    if (n <= 0)
        return n < 0 ? -1 : not_found(r, name, e);
    *ret = p.time;
    return 0;
}

int repo_point_find(struct repo *r, const struct repo_name *name, int64_t *ret,
                    struct err *e)
{
    return repo_name_check(name, e) < 0 ? -1 : find_time(r, name, ret, e);
}

/* ---- opening ---- */

void repo_point_free(struct repo_point *p)
{
    if (!p)
        return;
    vec_foreach (d, &p->disks) {
        fidx_free(d->index);
        free(d->name);
    }
    vec_release(&p->disks);
    machine_free(p->machine);
    repo_manifest_free(p->manifest);
    if (p->lock_fd >= 0)
        close(p->lock_fd);
    free(p->path);
    free(p);
}

static int open_disk(struct repo_point *p, const char *name, struct err *e)
{
    auto_free char *file = str_fmt(e, "%s.fidx", name);
    auto_free char *path = file ? str_fmt(e, "%s/%s", p->path, file) : NULL;
    const struct repo_file *f = path ? repo_manifest_file(p->manifest, file) : NULL;
    struct point_disk d = {0};

    if (!path)
        return -1;
    assert(f); /* repo_describe() names only what is in the manifest */
    d.crypt = repo_datablob_crypt(f->crypt);
    d.name = str_dup(name, e);
    if (!d.name ||
        fidx_open(p->repo->store, path, f->csum, f->size_bytes, FIDX_IN_MEMORY, &d.index,
                  e) < 0 ||
        repo_zero_digest(p->repo, d.crypt, fidx_chunk_bytes(d.index), d.zero, e) < 0 ||
        repo_zero_digest(p->repo, d.crypt, fidx_len(d.index, fidx_n(d.index) - 1),
                         d.last_zero, e) < 0 ||
        vec_push(&p->disks, d, e) < 0) {
        fidx_free(d.index);
        free(d.name);
        return -1;
    }
    p->machine->disks.v[p->disks.n - 1].size_bytes = f->size_bytes;
    return 0;
}

static int open_parts(struct repo_point *p, const struct repo_place *at, struct err *e)
{
    auto_described struct described d = {0};

    /* Locked before it is read: a removal that came first is noticed now. */
    if (p->repo->store->ops->lock_path(p->repo->store, p->path, STORE_LOCK_SHARED,
                                       &p->lock_fd, e) < 0 ||
        repo_load_manifest(p->repo, p->path, &p->manifest, e) < 0 ||
        repo_check_manifest(p->repo, p->manifest, at, p->path, e) < 0 ||
        repo_describe(p->repo, p->path, p->manifest, &d, e) < 0)
        return -1;
    p->machine = take_ptr(d.machine);
    vec_foreach (name, &d.archives)
        if (open_disk(p, *name, e) < 0)
            return -1;
    return 0;
}

int repo_point_open(struct repo *r, const struct repo_name *name, struct repo_point **ret,
                    struct err *e)
{
    auto_repo_point struct repo_point *p = NULL;
    struct repo_place at = {.ns = name->ns, .type = "vm", .id = name->id};

    if (repo_name_check(name, e) < 0 || find_time(r, name, &at.time, e) < 0)
        return -1;
    p = mem_zalloc(1, sizeof *p, e);
    if (!p)
        return -1;
    p->repo = r;
    p->lock_fd = -1;
    p->time = at.time;
    p->path = repo_point_path(at.ns, at.type, at.id, at.time, e);
    if (!p->path || open_parts(p, &at, e) < 0)
        return -1;
    *ret = take_ptr(p);
    return 0;
}

int64_t repo_point_time(const struct repo_point *p)
{
    return p->time;
}

size_t repo_point_n_disks(const struct repo_point *p)
{
    return p->disks.n;
}

const char *repo_point_disk_name(const struct repo_point *p, size_t i)
{
    return p->disks.v[i].name;
}

uint64_t repo_point_disk_size(const struct repo_point *p, size_t i)
{
    return fidx_size(p->disks.v[i].index);
}

uint32_t repo_point_chunk_bytes(const struct repo_point *p, size_t i)
{
    return fidx_chunk_bytes(p->disks.v[i].index);
}

/* ---- comparing ---- */

static bool comparable(const struct repo_point *a, const struct point_disk *x,
                       const struct repo_point *b, const struct point_disk *y)
{
    if (fidx_chunk_bytes(x->index) != fidx_chunk_bytes(y->index) || x->crypt != y->crypt)
        return false;
    /* Digests are keyed: that of zeros tells two keys apart, whoever claims what. */
    return memcmp(x->zero, y->zero, sizeof x->zero) == 0;
}

int repo_point_equal(const struct repo_point *a, size_t disk_a,
                     const struct repo_point *b, size_t disk_b, struct extent_set *ret,
                     struct err *e)
{
    const struct point_disk *x = &a->disks.v[disk_a], *y = &b->disks.v[disk_b];
    unsigned char dx[SHA256_BYTES], dy[SHA256_BYTES];
    auto_extent_set struct extent_set out = {0};
    uint64_t n = fidx_n(x->index), chunk = fidx_chunk_bytes(x->index);

    if (!comparable(a, x, b, y))
        n = 0;
    else if (fidx_n(y->index) < n)
        n = fidx_n(y->index);
    for (uint64_t i = 0; i < n; i++) {
        if (fidx_len(x->index, i) != fidx_len(y->index, i))
            continue;
        if (fidx_digest(x->index, i, dx, e) < 0 || fidx_digest(y->index, i, dy, e) < 0)
            return -1;
        if (memcmp(dx, dy, sizeof dx) == 0 &&
            extent_set_add(&out, i * chunk, fidx_len(x->index, i), e) < 0)
            return -1;
    }
    *ret = out;
    out = (struct extent_set){0};
    return 0;
}

/* ---- removing ---- */

static int add_file(void *ctx, const char *name, bool is_dir, struct err *e)
{
    return is_dir ? 0 : strv_add(ctx, name, e);
}

int repo_write_mark(struct repo *r, const char *path, struct err *e)
{
    auto_free char *now = str_fmt(e, "%" PRId64 "\n", clock_real_s());

    return now ? r->store->ops->write(r->store, path, REPO_WRITING_MARK, now, strlen(now),
                                      e)
               : -1;
}

int repo_remove_files(struct repo *r, const char *path, struct err *e)
{
    const struct store_ops *ops = r->store->ops;
    auto_strv struct strv files = {0};

    if (ops->remove(r->store, path, REPO_MANIFEST_NAME, e) < 0 ||
        ops->list(r->store, path, add_file, &files, e) < 0)
        return -1;
    /* Our mark last: what is left of an interrupted removal is still known as ours. */
    vec_foreach (f, &files)
        if (!str_eq(*f, REPO_WRITING_MARK) && ops->remove(r->store, path, *f, e) < 0)
            return -1;
    return ops->remove(r->store, path, REPO_WRITING_MARK, e) < 0 ||
                   ops->remove_dir(r->store, path, e) < 0
               ? -1
               : 0;
}

/* Nothing but these two is left: nobody's group. */
static int remove_empty_group(struct repo *r, const char *group, struct err *e)
{
    const struct store_ops *ops = r->store->ops;
    struct repo_times times = {0};
    auto_fd int lock = -1;
    size_t n;

    if (ops->lock_path(r->store, group, STORE_LOCK_EXCLUSIVE, &lock, e) < 0)
        return e->kind == ERR_BUSY || e->kind == ERR_NOT_FOUND ? 0 : -1;
    if (repo_group_times(r, group, &times, e) < 0)
        return -1;
    n = times.n;
    vec_release(&times);
    if (n)
        return 0;
    if (ops->remove(r->store, group, "notes", e) < 0 ||
        ops->remove(r->store, group, "owner", e) < 0)
        return -1;
    /* Something that is not ours may lie there: then it stays. */
    return ops->remove_dir(r->store, group, e) < 0 && e->sys_errno != ENOTEMPTY ? -1 : 0;
}

int repo_point_remove(struct repo *r, const struct repo_name *name, struct err *e)
{
    auto_free char *group = NULL, *path = NULL;
    auto_fd int store_lock = -1, lock = -1;
    struct repo_inside in;
    int64_t time;

    if (repo_name_check(name, e) < 0)
        return -1;
    group = repo_group_path(name->ns, "vm", name->id, e);
    if (!group || r->store->ops->lock_writers(r->store, &store_lock, e) < 0 ||
        find_time(r, name, &time, e) < 0)
        return -1;
    path = repo_point_path(name->ns, "vm", name->id, time, e);
    if (!path ||
        r->store->ops->lock_path(r->store, path, STORE_LOCK_EXCLUSIVE, &lock, e) < 0 ||
        repo_look_inside(r, path, &in, e) < 0)
        return -1;
    if (in.is_protected)
        return err_set(e, ERR_DENIED, "%s/%s is protected: it is not removed",
                       r->store->desc, path);
    /* Marked before it loses its manifest, so that the rest of an interrupted removal is
     * cleaned by the next backup. */
    return repo_write_mark(r, path, e) < 0 || repo_remove_files(r, path, e) < 0 ||
                   remove_empty_group(r, group, e) < 0
               ? -1
               : 0;
}
