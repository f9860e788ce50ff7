/* Verifying recovery points; see repo.h.
 *
 * Manifests, indexes and blobs are checked at once, chunks by whoever copies the source.
 * A point's result is recorded when all of its chunks, and those of the points before it
 * (which may share them), have been checked: a crash loses the results of the points that
 * were under way. */
#include "repo/verify.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#include <assert.h>
#include <inttypes.h>

const char *repo_damage_name(enum repo_damage_kind k)
{
    static const char *const names[] = {
        [REPO_DAMAGE_MISSING] = "missing",
        [REPO_DAMAGE_EMPTY] = "empty",
        [REPO_DAMAGE_SHORT] = "short",
        [REPO_DAMAGE_MAGIC] = "magic",
        [REPO_DAMAGE_CRC] = "crc",
        [REPO_DAMAGE_ZSTD] = "zstd",
        [REPO_DAMAGE_TAG] = "tag",
        [REPO_DAMAGE_DIGEST] = "digest",
        [REPO_DAMAGE_LENGTH] = "length",
        [REPO_DAMAGE_CRYPT] = "crypt",
        [REPO_DAMAGE_READ] = "read",
        [REPO_DAMAGE_MANIFEST] = "manifest",
        [REPO_DAMAGE_INDEX] = "index",
        [REPO_DAMAGE_BLOB] = "blob",
        [REPO_DAMAGE_SIGNATURE] = "signature",
    };

    return (size_t)k < sizeof names / sizeof names[0] ? names[k] : "unknown";
}

static void damage_release(struct repo_damage *d)
{
    free(d->file);
    free(d->point);
    free(d->disk);
    free(d->message);
}

void repo_damages_release(struct repo_damages *v)
{
    vec_foreach (d, v)
        damage_release(d);
    vec_release(v);
}

/* `disk` may be NULL. The strings are copied. */
static int add_damage(struct repo_damages *v, enum repo_damage_kind kind,
                      const char *point, const char *file, const char *disk,
                      uint64_t offset, const char *message, struct err *e)
{
    struct repo_damage d = {.kind = kind, .offset = offset};

    d.file = str_dup(file, e);
    d.point = str_dup(point, e);
    d.message = str_dup(message, e);
    if (!d.file || !d.point || !d.message || str_set(&d.disk, disk, e) < 0 ||
        vec_push(v, d, e) < 0) {
        damage_release(&d);
        return -1;
    }
    return 0;
}

/* ---- gathering ---- */

/* What is wrong with a point's own files makes it bad; other errors are passed on. */
static int note_file(struct repo_verify *v, struct verify_point *p,
                     enum repo_damage_kind kind, const char *name, struct err *e)
{
    auto_free char *file = NULL;
    struct err why = *e;

    if (!repo_is_damage(&why) && why.kind != ERR_UNSUPPORTED)
        return -1;
    file = str_fmt(e, "%s/%s", p->path, name);
    p->bad = true;
    return file ? add_damage(&v->damages, kind, p->title, file, NULL, 0, why.msg, e) : -1;
}

/* Can what is encrypted be read? Without the key, or with another, only CRCs can be
 * checked, and signatures not at all: that is no damage. */
static bool have_key(struct repo_verify *v, const struct repo_manifest *m)
{
    char mine[REPO_FINGERPRINT_LEN];

    if (!v->repo->key)
        return false;
    repo_key_fingerprint(v->repo->key, mine);
    return !m->fingerprint || strcasecmp(m->fingerprint, mine) == 0;
}

/* Was everything that can be checked now checked then? */
static bool was_verified(struct repo_verify *v, const struct repo_manifest *m)
{
    return m->verified && !m->verified_bad && m->verified >= v->opt.verified_since &&
           !(m->verified_without_key && have_key(v, m));
}

static int gather_disk(struct repo_verify *v, struct verify_point *p,
                       const struct repo_file *f, bool keyed, struct err *e)
{
    auto_free char *path = str_fmt(e, "%s/%s", p->path, f->name);
    struct verify_disk d = {.point = v->points.n, .crypt = repo_datablob_crypt(f->crypt)};

    if (!path)
        return -1;
    if (d.crypt == DATABLOB_ENCRYPTED && !keyed)
        d.crypt = DATABLOB_SEALED;
    if (fidx_open(v->repo->store, path, f->csum, f->size_bytes, FIDX_BY_BLOCK, &d.index,
                  e) < 0)
        return note_file(v, p, REPO_DAMAGE_INDEX, f->name, e);
    d.name = str_ndup(f->name, strlen(f->name) - strlen(".fidx"), e);
    if (!d.name || vec_push(&v->disks, d, e) < 0) {
        fidx_free(d.index);
        free(d.name);
        return -1;
    }
    p->n_disks++;
    return 0;
}

static int check_blob(struct repo_verify *v, struct verify_point *p,
                      const struct repo_file *f, bool keyed, struct err *e)
{
    auto_buf struct buf out = BUF_INIT;
    enum repo_damage_kind kind;
    struct repo_file plain = *f;

    /* The one file that is listed as encrypted and is not. */
    if (str_eq(f->name, "rsa-encrypted.key.blob"))
        plain.crypt = REPO_CRYPT_NONE;
    if (repo_read_blob(v->repo, p->path, &plain, REPO_MAX_BLOB_BYTES, &out, &kind, e) ==
        0)
        return 0;
    /* Its digest was right; that it cannot be decrypted is no damage without the key. */
    if (e->kind == ERR_DENIED && !keyed)
        return 0;
    return note_file(v, p, REPO_DAMAGE_BLOB, f->name, e);
}

static int gather_files(struct repo_verify *v, struct verify_point *p,
                        const struct repo_manifest *m, struct err *e)
{
    bool keyed = have_key(v, m);

    p->without_key = repo_manifest_crypt(m) != REPO_CRYPT_NONE && !keyed;
    vec_foreach (f, &m->files) {
        int r = 0;

        if (cancel_check(v->repo->cancel, e) < 0)
            return -1;
        if (str_ends(f->name, ".fidx"))
            r = gather_disk(v, p, f, keyed, e);
        else if (str_ends(f->name, ".blob"))
            r = check_blob(v, p, f, keyed, e);
        if (r < 0)
            return -1;
    }
    return 0;
}

static int gather_point(struct repo_verify *v, const struct repo_place *at,
                        struct verify_point *p, bool *ret_skip, struct err *e)
{
    auto_manifest struct repo_manifest *m = NULL;
    struct repo_inside in;

    if (repo_look_inside(v->repo, p->path, &in, e) < 0)
        return -1;
    *ret_skip = !in.finished;
    if (!in.finished)
        return 0;
    if (repo_load_manifest(v->repo, p->path, &m, e) < 0)
        return note_file(v, p, REPO_DAMAGE_MANIFEST, REPO_MANIFEST_NAME, e);
    if (v->opt.skip_verified && was_verified(v, m)) {
        v->skipped++;
        *ret_skip = true;
        return 0;
    }
    if (have_key(v, m) && repo_check_manifest(v->repo, m, at, p->path, e) < 0 &&
        note_file(v, p, REPO_DAMAGE_SIGNATURE, REPO_MANIFEST_NAME, e) < 0)
        return -1;
    return gather_files(v, p, m, e);
}

static int gather(void *ctx, const struct repo_place *at, struct err *e)
{
    struct repo_verify *v = ctx;
    struct verify_point p = {.first_disk = v->disks.n};
    char text[REPO_TIME_LEN];
    bool skip = false;
    int r;

    if (!str_eq(at->type, "vm"))
        return 0;
    p.path = repo_point_path(at->ns, at->type, at->id, at->time, e);
    p.title = str_fmt(e, "%s%svm/%s/%s", at->ns, *at->ns ? "/" : "", at->id,
                      repo_time_text(at->time, text));
    r = p.path && p.title ? gather_point(v, at, &p, &skip, e) : -1;
    if (r == 0 && !skip)
        r = vec_push(&v->points, p, e);
    if (r < 0 || skip) {
        free(p.path);
        free(p.title);
    }
    return r;
}

/* ---- chunks ---- */

/* Index of the first bad chunk that is not before it. */
static size_t bad_index(const struct repo_verify *v, const unsigned char *digest)
{
    size_t lo = 0, hi = v->bad.n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (memcmp(v->bad.v[mid].digest, digest, SHA256_BYTES) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct bad_chunk *find_bad(struct repo_verify *v, const unsigned char *digest)
{
    size_t i = bad_index(v, digest);

    return i < v->bad.n && memcmp(v->bad.v[i].digest, digest, SHA256_BYTES) == 0
               ? &v->bad.v[i]
               : NULL;
}

/* Could a server's backup be helped by storing it again? */
static bool is_markable(enum repo_damage_kind k)
{
    return k == REPO_DAMAGE_EMPTY || k == REPO_DAMAGE_SHORT || k == REPO_DAMAGE_MAGIC ||
           k == REPO_DAMAGE_CRC || k == REPO_DAMAGE_ZSTD || k == REPO_DAMAGE_TAG ||
           k == REPO_DAMAGE_DIGEST;
}

/* The lock is held. Takes the message over unless it fails. */
static int insert_bad(struct repo_verify *v, struct bad_chunk b, struct err *e)
{
    size_t i = bad_index(v, b.digest);

    if (find_bad(v, b.digest)) {
        free(b.message);
        return 0;
    }
    if (vec_push(&v->bad, b, e) < 0)
        return -1;
    memmove(&v->bad.v[i + 1], &v->bad.v[i], (v->bad.n - 1 - i) * sizeof b);
    v->bad.v[i] = b;
    return 0;
}

/* While a collection runs nothing is renamed; the next verification does. The lock is not
 * held for longer, so as not to keep a collection from starting. */
static int mark_bad(struct repo_verify *v, const unsigned char *digest, struct err *e)
{
    struct store *s = v->repo->store;
    auto_fd int lock = -1;

    if (s->ops->lock_writers(s, &lock, e) < 0)
        return e->kind == ERR_BUSY ? 0 : -1;
    return s->ops->chunk_mark_bad(s, digest, e);
}

static int note_chunk(struct repo_verify *v, const unsigned char *digest,
                      enum repo_damage_kind kind, struct err *e)
{
    struct bad_chunk b = {.kind = kind, .message = str_dup(e->msg, e)};
    int r = 0;

    if (!b.message)
        return -1;
    memcpy(b.digest, digest, sizeof b.digest);
    if (v->opt.mark_bad && is_markable(kind))
        r = mark_bad(v, digest, e);
    if (r == 0) {
        pthread_mutex_lock(&v->lock);
        r = insert_bad(v, b, e);
        pthread_mutex_unlock(&v->lock);
    }
    if (r < 0)
        free(b.message);
    return r;
}

/* Every place where the point names a chunk that was found bad; `out` NULL: is there any?
 * 1 when there is. The lock is held, or no worker is left. */
static int bad_places(struct repo_verify *v, struct verify_point *p,
                      struct repo_damages *out, struct err *e)
{
    unsigned char digest[SHA256_BYTES];
    int found = 0;

    for (size_t k = 0; k < p->n_disks && v->bad.n; k++) {
        struct verify_disk *d = &v->disks.v[p->first_disk + k];
        auto_free bool *told = mem_zalloc(v->bad.n, sizeof *told, e);

        if (!told)
            return -1;
        for (uint64_t i = 0; i < fidx_n(d->index); i++) {
            char path[STORE_CHUNK_PATH_LEN];
            struct bad_chunk *b;

            /* Removed meanwhile, or noted as damaged when it was read. */
            if (fidx_digest(d->index, i, digest, e) < 0) {
                if (!repo_is_damage(e))
                    return -1;
                break;
            }
            b = find_bad(v, digest);
            if (!b || told[b - v->bad.v])
                continue;
            told[b - v->bad.v] = true;
            found = 1;
            if (out &&
                add_damage(out, b->kind, p->path, store_chunk_path(digest, path), d->name,
                           i * fidx_chunk_bytes(d->index), b->message, e) < 0)
                return -1;
        }
    }
    return found;
}

/* ---- results ---- */

/* Read again just now: a server may have changed it meanwhile. */
static int record(struct repo_verify *v, const struct verify_point *p, struct err *e)
{
    auto_manifest struct repo_manifest *m = NULL;
    auto_fd int lock = -1;
    char *path = p->path;

    if (v->repo->store->ops->lock_writers(v->repo->store, &lock, e) < 0 ||
        repo_load_manifest(v->repo, path, &m, e) < 0 ||
        repo_manifest_set_verified(m, clock_real_s(), p->bad, p->without_key, e) < 0 ||
        repo_store_manifest(v->repo, path, m, e) < 0)
        return -1;
    return 0;
}

/* The lock is held. Results that cannot be recorded are told of and nothing more: what
 * was found counts, and the next run checks again. */
static int finish_points(struct repo_verify *v, struct err *e)
{
    while (v->next < v->points.n && atomic_load(&v->points.v[v->next].left) == 0) {
        struct verify_point *p = &v->points.v[v->next];
        int bad = bad_places(v, p, NULL, e);
        struct err why;

        if (bad < 0)
            return -1;
        p->bad |= bad > 0;
        p->done = true;
        for (size_t k = 0; k < p->n_disks; k++)
            fidx_rest(v->disks.v[p->first_disk + k].index);
        if (!v->opt.no_record && record(v, p, &why) < 0)
            log_debug("%s: its result is not recorded: %s", p->path, why.msg);
        v->next++;
    }
    return 0;
}

/* An index that could be read can no longer be: its point was removed, which is nobody's
 * damage, or it was changed. */
static int lost_index(struct repo_verify *v, struct verify_disk *d, struct err *e)
{
    struct verify_point *p = &v->points.v[d->point];
    struct err why = *e;
    struct repo_inside in;
    int r = 0;

    if (!repo_is_damage(&why) || repo_look_inside(v->repo, p->path, &in, e) < 0)
        return -1;
    if (!in.finished)
        return 0;
    pthread_mutex_lock(&v->lock);
    if (!d->lost) {
        auto_free char *file = str_fmt(e, "%s.fidx", d->name);

        d->lost = true;
        r = file ? note_file(v, p, REPO_DAMAGE_INDEX, file, &why) : -1;
        if (r < 0)
            *e = why;
    }
    pthread_mutex_unlock(&v->lock);
    return r;
}

static int check_one(struct repo_verify *v, struct verify_disk *d, uint64_t i, void *buf,
                     struct err *e)
{
    unsigned char digest[SHA256_BYTES];
    enum repo_damage_kind kind;

    if (fidx_digest(d->index, i, digest, e) < 0)
        return lost_index(v, d, e);
    if (repo_chunk_fetch(v->repo, digest, d->crypt, buf, fidx_len(d->index, i), &kind,
                         e) >= 0)
        return 0;
    return repo_is_damage(e) ? note_chunk(v, digest, kind, e) : -1;
}

int verify_chunk(struct repo_verify *v, struct verify_disk *d, uint64_t i, void *buf,
                 struct err *e)
{
    struct verify_point *p = &v->points.v[d->point];
    int r = 0;

    if (check_one(v, d, i, buf, e) < 0)
        return -1;
    if (atomic_fetch_or(&d->checked[i / 64], 1ull << i % 64) >> i % 64 & 1)
        return 0;
    pthread_mutex_lock(&v->lock);
    v->chunks++;
    if (atomic_fetch_sub(&p->left, 1) == 1)
        r = finish_points(v, e);
    pthread_mutex_unlock(&v->lock);
    return r;
}

/* ---- beginning and end ---- */

/* A store that another machine claims must not be changed: better said at once. */
static int may_mark(struct repo_verify *v, struct err *e)
{
    auto_fd int lock = -1;

    if (!v->opt.mark_bad ||
        v->repo->store->ops->lock_writers(v->repo->store, &lock, e) == 0)
        return 0;
    return e->kind == ERR_BUSY ? 0 : -1;
}

int repo_verify_begin(struct repo *r, const struct repo_name *name,
                      const struct repo_verify_options *opt, struct repo_verify **ret,
                      struct err *e)
{
    struct repo_verify *v = mem_zalloc(1, sizeof *v, e);
    int n;

    if (!v)
        return -1;
    pthread_mutex_init(&v->lock, NULL);
    v->repo = r;
    v->opt = *opt;
    n = may_mark(v, e);
    if (n == 0)
        n = repo_walk(r, name, gather, v, e);
    if (n == 0 && v->points.n == 0 && v->skipped == 0 && name && name->id)
        n = err_set(e, ERR_NOT_FOUND, "%s has no finished point of vm/%s", r->store->desc,
                    name->id);
    if (n == 0)
        n = verify_assign(v, e);
    if (n == 0 && v->disks.n)
        n = verify_source_new(v, &v->source, e);
    if (n == 0)
        n = finish_points(v, e);
    if (n < 0) {
        repo_verify_free(v);
        return -1;
    }
    *ret = v;
    return 0;
}

struct source *repo_verify_source(struct repo_verify *v)
{
    return v->source;
}

static int move_damages(struct repo_damages *from, struct repo_damages *to, struct err *e)
{
    vec_foreach (d, from) {
        if (vec_push(to, *d, e) < 0)
            return -1;
        *d = (struct repo_damage){0};
    }
    from->n = 0;
    return 0;
}

int repo_verify_finish(struct repo_verify *v, struct repo_verify_stats *ret_stats,
                       struct repo_damages *ret, struct err *e)
{
    struct repo_verify_stats st = {
        .points_skipped = v->skipped, .chunks = v->chunks, .chunks_bad = v->bad.n};
    struct repo_damages out = {0};
    int r = 0;

    vec_foreach (p, &v->points) {
        int bad = bad_places(v, p, &out, e);

        if (bad < 0) {
            r = -1;
            break;
        }
        st.points += p->done;
        st.points_bad += p->bad || bad;
        st.points_without_key += p->without_key;
    }
    if (r == 0)
        r = move_damages(&v->damages, &out, e);
    if (r < 0) {
        repo_damages_release(&out);
        return -1;
    }
    *ret_stats = st;
    *ret = out;
    return 0;
}

void repo_verify_free(struct repo_verify *v)
{
    if (!v)
        return;
    source_free(v->source);
    vec_foreach (d, &v->disks) {
        fidx_free(d->index);
        free(d->name);
        free(d->owned);
        free(d->checked);
    }
    vec_release(&v->disks);
    vec_foreach (p, &v->points) {
        free(p->path);
        free(p->title);
    }
    vec_release(&v->points);
    vec_foreach (b, &v->bad)
        free(b->message);
    vec_release(&v->bad);
    repo_damages_release(&v->damages);
    pthread_mutex_destroy(&v->lock);
    free(v);
}
