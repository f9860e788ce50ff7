/* Writing recovery points; see repo.h.
 *
 * Order: locks, the point's directory with our mark, chunks, sync, indexes, the machine's
 * description, the manifest, the mark's end. A crash before the manifest leaves an
 * unfinished point with the mark, which the next backup of the group removes; after it, a
 * finished one that may still have the mark, which is then removed alone. Chunks that
 * nobody names are left to a server's garbage collection. */
#include "repo/backup.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#include <assert.h>
#include <inttypes.h>

#define DEFAULT_CHUNK (4u << 20)
/* How far the newest point may lie in the future when the time is ours to choose: two
 * backups in one second, or a clock that was set back a little. */
#define MAX_AHEAD_S 60

/* ---- cleaning ---- */

/* When the run that left it began; 0 when it does not say. */
static int64_t mark_time(struct repo *r, const char *path)
{
    auto_free char *file = NULL;
    auto_buf struct buf b = BUF_INIT;
    struct err e;
    uint64_t t;

    file = str_fmt(&e, "%s/" REPO_WRITING_MARK, path);
    if (!file || store_read(r->store, file, 64, &b, &e) < 0 || b.len == 0 ||
        str_to_u64(str_trim(b.data), &t, &e) < 0 || t > REPO_MAX_TIME)
        return 0;
    return (int64_t)t;
}

static int clean_point(struct repo_backup *b, const char *path, struct err *e)
{
    const struct store_ops *ops = b->repo->store->ops;
    struct repo_inside in;
    auto_fd int lock = -1;
    int64_t began;

    if (repo_look_inside(b->repo, path, &in, e) < 0)
        return -1;
    if (in.finished && in.ours)
        return ops->remove(b->repo->store, path, REPO_WRITING_MARK, e);
    if (in.finished || in.is_protected || (!in.ours && !in.empty))
        return 0;
    if (ops->lock_path(b->repo->store, path, STORE_LOCK_EXCLUSIVE, &lock, e) < 0)
        return e->kind == ERR_BUSY || e->kind == ERR_NOT_FOUND ? 0 : -1;
    began = in.ours ? mark_time(b->repo, path) : INT64_MAX;
    if (began < b->suspect_since)
        b->suspect_since = began;
    log_debug("%s: removing the unfinished point %s", b->repo->store->desc, path);
    return repo_remove_files(b->repo, path, e);
}

static int add_half_owner(void *ctx, const char *name, bool is_dir, struct err *e)
{
    return !is_dir && str_starts(name, "owner" STORE_TMP) ? strv_add(ctx, name, e) : 0;
}

/* Whoever writes the group's owner holds the group's lock, as we do now. */
static int clean_owner(struct repo_backup *b, struct err *e)
{
    const struct store_ops *ops = b->repo->store->ops;
    auto_strv struct strv names = {0};

    if (ops->list(b->repo->store, b->group, add_half_owner, &names, e) < 0)
        return -1;
    vec_foreach (name, &names)
        if (ops->remove(b->repo->store, b->group, *name, e) < 0)
            return -1;
    return 0;
}

static int clean_group(struct repo_backup *b, struct err *e)
{
    struct repo_times times = {0};
    char text[REPO_TIME_LEN];
    int r = clean_owner(b, e);

    if (r == 0)
        r = repo_group_times(b->repo, b->group, &times, e);
    for (size_t i = 0; i < times.n && r == 0; i++) {
        auto_free char *path =
            str_fmt(e, "%s/%s", b->group, repo_time_text(times.v[i], text));

        r = path ? clean_point(b, path, e) : -1;
    }
    vec_release(&times);
    return r;
}

/* ---- beginning ---- */

static int choose_time(struct repo_backup *b, int64_t wanted, struct err *e)
{
    struct repo_times times = {0};
    int64_t newest = 0, now = clock_real_s();
    char text[REPO_TIME_LEN];

    if (repo_group_times(b->repo, b->group, &times, e) < 0)
        return -1;
    if (times.n)
        newest = times.v[times.n - 1];
    vec_release(&times);
    if (wanted == 0)
        wanted = newest >= now && newest - now < MAX_AHEAD_S ? newest + 1 : now;
    if (wanted < 1 || wanted > REPO_MAX_TIME)
        return err_set(e, ERR_USAGE, "%s: a time that cannot be", b->group);
    if (wanted <= newest)
        return err_set(e, ERR_USAGE,
                       "%s/%s has a point of %s, and a new one must be later: check the "
                       "clock",
                       b->repo->store->desc, b->group, repo_time_text(newest, text));
    b->time = wanted;
    return 0;
}

/* NULL, or why digests cannot be taken from there. */
static const char *why_unused(const struct repo_backup *b,
                              const struct repo_backup_options *opt)
{
    const struct repo_point *base = opt->base;

    if (!str_eq(base->repo->store->desc, b->repo->store->desc))
        return "it lies in another repository";
    if (repo_manifest_crypt(base->manifest) != opt->crypt)
        return "it is encrypted or signed in another way";
    if (base->manifest->verified_bad)
        return "a verification found it damaged";
    if (base->repo->key != b->repo->key && opt->crypt != REPO_CRYPT_NONE)
        return "it was opened with another key";
    if (opt->chunk_bytes && opt->chunk_bytes != fidx_chunk_bytes(base->disks.v[0].index))
        return "its chunks have another size";
    return NULL;
}

static int choose_base(struct repo_backup *b, const struct repo_backup_options *opt,
                       char **ret_unused, struct err *e)
{
    const char *why = opt->base ? why_unused(b, opt) : NULL;

    b->chunk_bytes = opt->chunk_bytes ? opt->chunk_bytes : DEFAULT_CHUNK;
    if (!opt->base)
        return 0;
    if (why) {
        *ret_unused = str_fmt(e, "%s: %s", opt->base->path, why);
        return *ret_unused ? 0 : -1;
    }
    b->base = opt->base;
    if (!opt->chunk_bytes)
        b->chunk_bytes = fidx_chunk_bytes(opt->base->disks.v[0].index);
    return 0;
}

static int check_options(struct repo *r, const struct repo_backup_options *opt,
                         struct err *e)
{
    uint32_t chunk = opt->chunk_bytes;

    if (chunk &&
        (chunk < FIDX_MIN_CHUNK || chunk > FIDX_MAX_CHUNK || (chunk & (chunk - 1))))
        return err_set(e, ERR_USAGE,
                       "chunks of %" PRIu32
                       " bytes: a power of two from 64 KiB to 16 MiB "
                       "is possible",
                       chunk);
    if (opt->zstd_level > 22)
        return err_set(e, ERR_USAGE, "zstd has levels up to 22");
    if (opt->crypt != REPO_CRYPT_NONE && !r->key)
        return err_set(e, ERR_USAGE, "encrypting and signing need a key");
    return 0;
}

static int write_owner(struct repo_backup *b, struct err *e)
{
    auto_free char *file = str_fmt(e, "%s/owner", b->group);
    auto_free char *line = file ? str_fmt(e, "%s\n", b->repo->owner) : NULL;
    struct store_file f = STORE_FILE_INIT;
    struct store *s = b->repo->store;

    if (!line)
        return -1;
    if (s->ops->open(s, file, &f, e) == 0) {
        s->ops->close(s, &f);
        return 0;
    }
    if (e->kind != ERR_NOT_FOUND)
        return -1;
    return s->ops->write(s, b->group, "owner", line, strlen(line), e);
}

static int begin(struct repo_backup *b, const struct repo_name *name,
                 const struct repo_backup_options *opt, struct err *e)
{
    struct store *s = b->repo->store;
    char text[REPO_TIME_LEN];

    b->id = str_dup(name->id, e);
    b->group = repo_group_path(name->ns, "vm", name->id, e);
    if (!b->id || !b->group || s->ops->lock_writers(s, &b->store_lock, e) < 0 ||
        s->ops->make_dir(s, b->group, e) < 0 ||
        s->ops->lock_path(s, b->group, STORE_LOCK_EXCLUSIVE, &b->group_lock, e) < 0 ||
        write_owner(b, e) < 0 || clean_group(b, e) < 0 ||
        choose_time(b, opt->time, e) < 0)
        return -1;
    b->path = str_fmt(e, "%s/%s", b->group, repo_time_text(b->time, text));
    if (!b->path || s->ops->make_dir(s, b->path, e) < 0)
        return -1;
    b->made = true;
    return repo_write_mark(b->repo, b->path, e) < 0 ||
                   s->ops->lock_path(s, b->path, STORE_LOCK_EXCLUSIVE, &b->point_lock,
                                     e) < 0
               ? -1
               : 0;
}

int repo_backup_begin(struct repo *r, const struct repo_name *name,
                      const struct repo_backup_options *opt, struct repo_backup **ret,
                      char **ret_base_unused, struct err *e)
{
    auto_repo_backup struct repo_backup *b = NULL;
    auto_free char *unused = NULL;

    if (repo_name_check(name, e) < 0 || check_options(r, opt, e) < 0)
        return -1;
    b = mem_zalloc(1, sizeof *b, e);
    if (!b)
        return -1;
    b->repo = r;
    b->store_lock = b->group_lock = b->point_lock = -1;
    b->crypt = opt->crypt;
    b->level = opt->zstd_level < 0 ? 0 : opt->zstd_level ? opt->zstd_level : 1;
    b->suspect_since = INT64_MAX;
    if (choose_base(b, opt, &unused, e) < 0 || begin(b, name, opt, e) < 0)
        return -1;
    if (ret_base_unused)
        *ret_base_unused = take_ptr(unused);
    *ret = take_ptr(b);
    return 0;
}

int64_t repo_backup_time(const struct repo_backup *b)
{
    return b->time;
}

int repo_backup_disk(struct repo_backup *b, const char *name, uint64_t size_bytes,
                     const struct extent_set *unchanged, struct sink **ret, struct err *e)
{
    struct backup_disk *d;

    vec_foreach (x, &b->disks)
        if (str_eq((*x)->name, name))
            return err_set(e, ERR_USAGE, "%s: disk %.200s is there already", b->path,
                           name);
    if (backup_disk_new(b, name, size_bytes, unchanged, &d, e) < 0)
        return -1;
    if (vec_push(&b->disks, d, e) < 0) {
        backup_disk_free(d);
        return -1;
    }
    *ret = &d->base;
    return 0;
}

/* ---- finishing ---- */

static int publish_disks(struct repo_backup *b, struct repo_manifest *m, struct err *e)
{
    struct store *s = b->repo->store;
    unsigned char csum[SHA256_BYTES];

    vec_foreach (p, &b->disks) {
        struct backup_disk *d = *p;

        if (fidx_writer_finish(&d->writer, csum, e) < 0 ||
            repo_manifest_add(m, d->file, b->crypt, d->base.size_bytes, csum, e) < 0)
            return -1;
    }
    /* Chunks before what names them. */
    if (s->ops->sync(s, e) < 0)
        return -1;
    vec_foreach (p, &b->disks)
        if (s->ops->index_publish(s, b->path, (*p)->file, (*p)->writer.fd, e) < 0)
            return -1;
    return 0;
}

static int write_machine(struct repo_backup *b, const struct machine *machine,
                         struct repo_manifest *m, struct err *e)
{
    struct store *s = b->repo->store;
    auto_free char *text = NULL;
    auto_buf struct buf raw = BUF_INIT;
    auto_strv struct strv archives = {0};
    unsigned char csum[SHA256_BYTES];

    vec_foreach (d, &b->disks)
        if (strv_add(&archives, (*d)->name, e) < 0)
            return -1;
    if (repo_machine_text(machine, &archives, &text, e) < 0 ||
        datablob_encode_buf(&b->repo->pool, repo_datablob_crypt(b->crypt), text,
                            strlen(text), &raw, e) < 0)
        return -1;
    digest_sha256(raw.data, raw.len, csum);
    if (repo_manifest_add(m, REPO_MACHINE_BLOB, b->crypt, raw.len, csum, e) < 0)
        return -1;
    return s->ops->write(s, b->path, REPO_MACHINE_BLOB, raw.data, raw.len, e);
}

static int finish(struct repo_backup *b, const struct machine *machine, struct err *e)
{
    struct store *s = b->repo->store;
    auto_manifest struct repo_manifest *m = NULL;
    struct err ignored;

    if (b->disks.n == 0)
        return err_set(e, ERR_FAILED, "%s: a backup without disks", b->path);
    if (repo_manifest_new("vm", b->id, b->time, &m, e) < 0 ||
        publish_disks(b, m, e) < 0 || write_machine(b, machine, m, e) < 0 ||
        (b->crypt != REPO_CRYPT_NONE && repo_manifest_seal(m, b->repo->key, e) < 0) ||
        repo_store_manifest(b->repo, b->path, m, e) < 0)
        return -1;
    b->finished = true;
    /* The next backup tries again. */
    if (s->ops->remove(s, b->path, REPO_WRITING_MARK, &ignored) < 0)
        log_debug("%s: %s", b->path, ignored.msg);
    return 0;
}

int repo_backup_finish(struct repo_backup *b, const struct machine *machine,
                       struct repo_backup_stats *ret, struct err *e)
{
    assert(!b->finished);
    if (finish(b, machine, e) < 0)
        return -1;
    *ret = (struct repo_backup_stats){.chunks = atomic_load(&b->chunks),
                                      .new_chunks = atomic_load(&b->new_chunks),
                                      .data_bytes = atomic_load(&b->data_bytes),
                                      .stored_bytes = atomic_load(&b->stored_bytes),
                                      .reused_bytes = atomic_load(&b->reused_bytes)};
    return 0;
}

static void close_lock(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void repo_backup_free(struct repo_backup *b)
{
    struct err e;

    if (!b)
        return;
    vec_foreach (d, &b->disks)
        backup_disk_free(*d);
    vec_release(&b->disks);
    if (b->made && !b->finished && repo_remove_files(b->repo, b->path, &e) < 0)
        log_debug("%s: %s", b->path, e.msg);
    close_lock(&b->point_lock);
    close_lock(&b->group_lock);
    close_lock(&b->store_lock);
    free(b->path);
    free(b->group);
    free(b->id);
    free(b);
}
