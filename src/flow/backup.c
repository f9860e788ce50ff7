/* Backups; see backup.h.
 *
 * The disks of all machines are copied in one run of the mover into the sinks of their
 * points. A point is finished only when all of its disks were copied; a crash before
 * leaves it unfinished, and the next backup of that machine removes it. */
#include "flow/backup.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "flow/changed.h"
#include "flow/open_source.h"
#include "flow/watched.h"
#include "image/bitmap.h"
#include "mover/mover.h"

#include <inttypes.h>

struct backup_disk {
    struct watched source;
    struct sink *sink;         /* the writer's */
    struct extent_set already; /* unchanged, or made durable by an earlier run */
    struct extent_set durable; /* by the present run */
};

struct vm_backup {
    const struct backup_item *item;
    struct flow_source src;
    struct repo_name name;
    char *base_text;            /* owned: the base that is used; NULL: none */
    struct repo_point *base;    /* owned; NULL: none */
    struct repo_backup *writer; /* owned; NULL once it is finished or given up */
    struct backup_disk *disks;  /* owned */
    size_t n_disks;
    uint64_t size_bytes;
    struct changed_map changes;
    uint64_t bitmap_bytes; /* size of the disk that the bitmap is of */
    char *point;           /* owned: set when finished */
    struct repo_backup_stats stats;
    struct err error; /* kind ERR_NONE: it has not failed */
};

struct backup {
    const struct backup_params *p;
    const struct flow_env *env;
    struct flow_repo repo;
    struct vm_backup *vms; /* owned, one for each item */
    size_t n;
};
#define auto_backup auto_call(backup_release)

static void vm_release(struct vm_backup *v)
{
    repo_backup_free(v->writer); /* before its base, and before the sources' machine */
    repo_point_free(v->base);
    for (size_t i = 0; i < v->n_disks; i++) {
        extent_set_release(&v->disks[i].already);
        extent_set_release(&v->disks[i].durable);
    }
    free(v->disks);
    changed_map_release(&v->changes);
    if (v->item->machine)
        v->src.machine = NULL; /* the caller's */
    flow_source_close(&v->src);
    repo_name_release(&v->name);
    free(v->base_text);
    free(v->point);
}

static void backup_release(struct backup *b)
{
    for (size_t i = 0; i < b->n; i++)
        vm_release(&b->vms[i]);
    free(b->vms);
    flow_repo_close(&b->repo);
}

/* Its unfinished point goes at once, so that it is gone also if we are killed later. */
static void give_up(struct vm_backup *v, const struct err *why)
{
    v->error = *why;
    repo_backup_free(v->writer);
    v->writer = NULL;
}

static bool is_running(const struct vm_backup *v)
{
    return !v->point && v->error.kind == ERR_NONE;
}

/* ---- the words ---- */

int backup_params_check(const struct backup_params *p, struct err *e)
{
    bool told = p->bitmap != NULL;

    for (size_t i = 0; i < p->n_items; i++) {
        if (p->bitmap && p->items[i].changed)
            return err_set(e, ERR_USAGE, "--changed and --bitmap exclude each other");
        told = told || p->items[i].changed;
    }
    if (told && p->from.at)
        return err_set(e, ERR_USAGE,
                       "--changed and --bitmap are not for recovery points, whose "
                       "indexes say what differs");
    if (told && (!p->base || str_eq(p->base, "none")))
        return err_set(e, ERR_USAGE,
                       "say since which recovery point it changed: --base TIME, or "
                       "--base latest");
    if (p->sign_only && !p->repo.key)
        return err_set(e, ERR_USAGE, "--sign-only needs --key");
    if (p->chunk_bytes & (p->chunk_bytes - 1) ||
        (p->chunk_bytes && (p->chunk_bytes < 64u << 10 || p->chunk_bytes > 16u << 20)))
        return err_set(e, ERR_USAGE,
                       "--chunk-size %" PRIu32 ": must be a power of two from 64K to 16M",
                       p->chunk_bytes);
    if (p->zstd_level > 22)
        return err_set(e, ERR_USAGE, "--level %d: zstd has 1 to 22", p->zstd_level);
    if (p->n_items > 1 && p->base && !str_eq(p->base, "none") &&
        !str_eq(p->base, "latest"))
        return err_set(e, ERR_USAGE,
                       "--base %s: with several machines only none and latest make sense",
                       p->base);
    return 0;
}

/* ---- one machine ---- */

static int name_vm(struct backup *b, struct vm_backup *v, struct err *e)
{
    const char *id = v->item->id ? v->item->id : v->src.machine->name;

    if (flow_repo_name(&b->p->repo, id, &v->name, e) < 0)
        return v->item->id ? -1
                           : err_prefix(e, "the machine's own name cannot be used, name "
                                           "it with --vm ID");
    if (v->name.time != REPO_EVERY)
        return err_set(e, ERR_USAGE, "%s: a backup's time is its own; leave it out", id);
    for (const struct vm_backup *o = b->vms; o < v; o++)
        if (o->name.id && str_eq(o->name.id, v->name.id) &&
            str_eq(o->name.ns, v->name.ns))
            return err_set(e, ERR_USAGE, "%s is named twice: %s and %s", v->name.id,
                           o->item->source, v->item->source);
    return 0;
}

/* A copy within one repository: all of its chunks are there already. */
static int base_on_source(struct backup *b, struct vm_backup *v, struct err *e)
{
    auto_free char *point = NULL;
    struct repo_name name = {0};
    struct err ignored = ERR_INIT;

    if (!v->src.point || !str_eq(b->p->from.at, b->p->repo.at))
        return 0;
    point = str_ndup(v->src.pinned, strcspn(v->src.pinned, "#"), e);
    if (!point || repo_name_parse(point, &name, e) < 0)
        return -1;
    if (repo_point_open(b->repo.repo, &name, &v->base, &ignored) == 0)
        v->base_text = flow_point_text(&name, name.time, e);
    repo_name_release(&name);
    return v->base && !v->base_text ? -1 : 0;
}

/* A base that was asked for must be there. One that we would like to have may be missing
 * or damaged: then everything is read. */
static int open_base(struct backup *b, struct vm_backup *v, struct err *e)
{
    const char *asked = b->p->base;
    struct repo_name name = v->name; /* borrows */
    struct err why = ERR_INIT;

    if (asked && str_eq(asked, "none"))
        return 0;
    if (asked && !str_eq(asked, "latest") &&
        clock_parse_iso8601(asked, &name.time, e) < 0) {
        e->kind = ERR_USAGE;
        return err_prefix(e, "--base %s", asked);
    }
    if (repo_point_open(b->repo.repo, &name, &v->base, &why) == 0) {
        v->base_text = flow_point_text(&v->name, repo_point_time(v->base), e);
        return v->base_text ? 0 : -1;
    }
    if (asked || why.kind == ERR_CANCELLED || why.kind == ERR_NOMEM) {
        *e = why;
        return err_prefix(e, "the base");
    }
    if (why.kind == ERR_NOT_FOUND)
        return base_on_source(b, v, e);
    log_warning("%s: a backup without base, since the newest point cannot be it: %s",
                v->name.id, why.msg);
    return 0;
}

static int begin_point(struct backup *b, struct vm_backup *v, struct err *e)
{
    const struct backup_params *p = b->p;
    struct repo_backup_options opt = {
        .chunk_bytes = p->chunk_bytes, .zstd_level = p->zstd_level, .base = v->base};
    auto_free char *unused = NULL;

    if (p->repo.key)
        opt.crypt = p->sign_only ? REPO_CRYPT_SIGN_ONLY : REPO_CRYPT_ENCRYPT;
    /* A copy keeps its chunks' size, or nothing would be shared with it. */
    if (!opt.chunk_bytes && !v->base && v->src.point)
        opt.chunk_bytes = repo_point_chunk_bytes(v->src.point, v->src.point_disk);
    if (repo_backup_begin(b->repo.repo, &v->name, &opt, &v->writer, &unused, e) < 0)
        return -1;
    if (!unused)
        return 0;
    log_warning("%s: %s is not used as base: %s", v->name.id, v->base_text, unused);
    free(take_ptr(v->base_text));
    return 0;
}

/* ---- what need not be read ---- */

/* The base's disk of that name and size; SIZE_MAX when there is none. */
static size_t base_disk(const struct vm_backup *v, const char *name, uint64_t size)
{
    for (size_t i = 0; v->base_text && i < repo_point_n_disks(v->base); i++)
        if (str_eq(repo_point_disk_name(v->base, i), name) &&
            repo_point_disk_size(v->base, i) == size)
            return i;
    return SIZE_MAX;
}

/* Read before the source is opened, and its connection closed again: a server may allow
 * one client at a time. */
static int read_bitmap(const struct backup *b, struct vm_backup *v, struct err *e)
{
    if (changed_map_init(&v->changes, 1, e) < 0)
        return -1;
    v->changes.v[0].all_known = true;
    return image_dirty_bitmap(v->item->source, b->p->bitmap, b->env->cancel,
                              &v->changes.v[0].changed, &v->bitmap_bytes, e);
}

static int read_changes(const struct backup *b, struct vm_backup *v, struct err *e)
{
    if (!b->p->bitmap) {
        if (changed_map_init(&v->changes, v->n_disks, e) < 0)
            return -1;
        return v->item->changed ? changed_read(v->item->changed, &v->changes, e) : 0;
    }
    if (v->n_disks != 1 || v->bitmap_bytes != v->size_bytes)
        return err_set(e, ERR_INPUT,
                       "%s changed its size from %" PRIu64 " to %" PRIu64 " bytes",
                       v->item->source, v->bitmap_bytes, v->size_bytes);
    return 0;
}

/* What the item's own count says of the disk, if the base's disk has what to ask by. */
static int ask_changes(struct vm_backup *v, size_t i, size_t of_base, struct err *e)
{
    auto_machine struct machine *base = NULL;
    const char *origin;

    if (!v->item->changes)
        return 0;
    if (repo_point_machine(v->base, &base, e) < 0)
        return -1;
    origin = of_base < base->disks.n ? base->disks.v[of_base].origin : NULL;
    return origin ? v->item->changes(v->item->changes_ctx, i, origin, &v->changes.v[i], e)
                  : 0;
}

/* Fills disks[i].already with what the base's digests are taken over for. */
static int find_unchanged(struct vm_backup *v, size_t i, const char *name, struct err *e)
{
    uint64_t size = v->disks[i].source.base.size_bytes;
    size_t of_base = base_disk(v, name, size);

    if (of_base == SIZE_MAX)
        return 0;
    if (v->src.point)
        return repo_point_equal(v->src.point, v->src.point_disk + i, v->base, of_base,
                                &v->disks[i].already, e);
    if (ask_changes(v, i, of_base, e) < 0)
        return -1;
    return changed_unchanged(&v->changes.v[i], size,
                             repo_point_chunk_bytes(v->base, of_base),
                             &v->disks[i].already, e);
}

/* "drive-scsi0.img", as Proxmox VE names a machine's disks; a copy keeps its names. */
static int disk_name(const struct vm_backup *v, size_t i, char **ret, struct err *e)
{
    *ret = v->src.point
               ? str_dup(repo_point_disk_name(v->src.point, v->src.point_disk + i), e)
               : str_fmt(e, "drive-scsi%zu.img", i);
    return *ret ? 0 : -1;
}

static int add_disks(const struct backup *b, struct vm_backup *v, struct err *e)
{
    for (size_t i = 0; i < v->n_disks; i++) {
        struct backup_disk *d = &v->disks[i];
        auto_free char *name = NULL;

        if (disk_name(v, i, &name, e) < 0 || find_unchanged(v, i, name, e) < 0 ||
            repo_backup_disk(v->writer, name, d->source.base.size_bytes, &d->already,
                             &d->sink, e) < 0)
            return err_prefix(e, "disk %zu", i + 1);
    }
    return 0;
}

/* What can be refused without a repository. */
static int open_vm(struct backup *b, struct vm_backup *v, struct err *e)
{
    struct source_spec spec = {
        .source = v->item->source, .format = b->p->format, .repo = b->p->from};

    v->src.machine = v->item->machine;
    if ((b->p->bitmap && read_bitmap(b, v, e) < 0) ||
        (!v->src.machine && flow_source_open(&spec, b->env->cancel, &v->src, e) < 0) ||
        name_vm(b, v, e) < 0)
        return -1;
    v->disks = mem_zalloc(v->src.machine->disks.n, sizeof *v->disks, e);
    if (!v->disks)
        return -1;
    v->n_disks = v->src.machine->disks.n;
    for (size_t i = 0; i < v->n_disks; i++) {
        watched_init(&v->disks[i].source, v->src.machine->disks.v[i].source);
        v->size_bytes += v->disks[i].source.base.size_bytes;
    }
    return read_changes(b, v, e);
}

static int begin_vm(struct backup *b, struct vm_backup *v, struct err *e)
{
    return open_base(b, v, e) < 0 || begin_point(b, v, e) < 0 || add_disks(b, v, e) < 0
               ? -1
               : 0;
}

/* ---- all of them ---- */

static bool all_failed(const struct backup *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (is_running(&b->vms[i]))
            return false;
    return true;
}

/* A failure is told when it happens, if there are others to go on with. */
static int note_failure(struct backup *b, struct vm_backup *v, const struct err *e)
{
    give_up(v, e);
    if (e->kind == ERR_CANCELLED)
        return -1;
    if (b->n > 1)
        log_error("%s: %s", v->item->source, e->msg);
    return 0;
}

static int note_durable(void *ctx, size_t disk, const struct extent *x, size_t n,
                        struct err *e)
{
    struct backup_disk **disks = ctx;

    for (size_t i = 0; i < n; i++)
        if (extent_set_add(&disks[disk]->durable, x[i].offset, x[i].len, e) < 0)
            return -1;
    return 0;
}

struct running {
    struct backup_disk **disks; /* owned array */
    struct mover_disk *jobs;    /* owned array, in the same order */
    size_t n;
};
#define auto_running auto_call(running_release)

static void running_release(struct running *r)
{
    free(r->disks);
    free(r->jobs);
}

static int gather_running(const struct backup *b, struct running *r, struct err *e)
{
    size_t n = 0;

    for (size_t i = 0; i < b->n; i++)
        n += is_running(&b->vms[i]) ? b->vms[i].n_disks : 0;
    r->disks = mem_zalloc(n, sizeof *r->disks, e);
    r->jobs = r->disks ? mem_zalloc(n, sizeof *r->jobs, e) : NULL;
    if (!r->jobs)
        return -1;
    for (size_t i = 0; i < b->n; i++)
        for (size_t d = 0; is_running(&b->vms[i]) && d < b->vms[i].n_disks; d++) {
            struct backup_disk *disk = &b->vms[i].disks[d];

            r->disks[r->n] = disk;
            r->jobs[r->n++] = (struct mover_disk){.source = &disk->source.base,
                                                  .sink = disk->sink,
                                                  .already = &disk->already,
                                                  .durable = note_durable,
                                                  .durable_ctx = r->disks};
        }
    return 0;
}

/* Those whose source failed; their number. */
static size_t drop_failed(struct backup *b)
{
    size_t n = 0;

    for (size_t i = 0; i < b->n; i++)
        for (size_t d = 0; is_running(&b->vms[i]) && d < b->vms[i].n_disks; d++)
            if (atomic_load(&b->vms[i].disks[d].source.failed)) {
                note_failure(b, &b->vms[i], &b->vms[i].disks[d].source.why);
                n++;
            }
    return n;
}

/* What this run made durable is not copied again by the next. */
static int keep_durable(struct running *r, struct err *e)
{
    for (size_t i = 0; i < r->n; i++) {
        struct extent_set *done = &r->disks[i]->durable;

        for (size_t x = 0; x < done->n; x++)
            if (extent_set_add(&r->disks[i]->already, done->v[x].offset, done->v[x].len,
                               e) < 0)
                return -1;
        extent_set_release(done);
    }
    return 0;
}

/* Until all that can be copied is: a machine whose source fails leaves, the others go on
 * where they were. Trouble with anything else ends them all. */
static int copy_all(struct backup *b, struct err *e)
{
    const struct mover_options opt = {.workers = b->p->workers,
                                      .max_bytes_per_s = b->p->max_rate,
                                      .cancel = b->env->cancel,
                                      .progress = b->env->progress,
                                      .what = "backup"};

    while (!all_failed(b)) {
        auto_running struct running r = {0};
        struct mover_result result;

        if (gather_running(b, &r, e) < 0)
            return -1;
        if (mover_run(r.jobs, r.n, &opt, &result, e) == 0)
            return 0;
        if (!drop_failed(b) || keep_durable(&r, e) < 0)
            return -1;
    }
    return 0;
}

static int finish_vm(struct backup *b, struct vm_backup *v, struct err *e)
{
    int64_t time = repo_backup_time(v->writer);

    if (repo_backup_finish(v->writer, v->src.machine, &v->stats, e) < 0)
        return -1;
    repo_backup_free(take_ptr(v->writer));
    v->point = flow_point_text(&v->name, time, e);
    return v->point ? 0 : -1;
}

static void fail_running(struct backup *b, const struct err *e)
{
    for (size_t i = 0; i < b->n; i++)
        if (is_running(&b->vms[i]))
            give_up(&b->vms[i], e);
}

/* Those that have not failed; -1 for what ends all of them. */
static int each_vm(struct backup *b,
                   int (*step)(struct backup *, struct vm_backup *, struct err *),
                   struct err *e)
{
    for (size_t i = 0; i < b->n; i++) {
        struct vm_backup *v = &b->vms[i];
        struct err why = ERR_INIT;

        if (is_running(v) && step(b, v, &why) < 0 && note_failure(b, v, &why) < 0) {
            *e = why;
            return -1;
        }
    }
    return 0;
}

/* All sources come first: no repository is made for what cannot be read. */
static int run_all(struct backup *b, struct err *e)
{
    const struct backup_params *p = b->p;

    if (each_vm(b, open_vm, e) < 0)
        return -1;
    if (all_failed(b))
        return 0;
    if (flow_repo_open(&p->repo, p->open, b->env->cancel, &b->repo, e) < 0 ||
        each_vm(b, begin_vm, e) < 0 || copy_all(b, e) < 0)
        return -1;
    return each_vm(b, finish_vm, e);
}

/* ---- results ---- */

static json_t *vm_json(const struct vm_backup *v)
{
    const struct repo_backup_stats *s = &v->stats;
    const char *error = v->error.kind == ERR_NONE ? NULL : v->error.msg;

    return json_pack("{s:s, s:s?, s:s?, s:s?, s:I, s:I, s:I, s:I, s:I, s:I, s:s?}",
                     "source", v->item->source, "vm", v->name.id, "point", v->point,
                     "base", v->base_text, "bytes", (json_int_t)v->size_bytes,
                     "data_bytes", (json_int_t)s->data_bytes, "reused_bytes",
                     (json_int_t)s->reused_bytes, "new_bytes",
                     (json_int_t)s->stored_bytes, "chunks", (json_int_t)s->chunks,
                     "new_chunks", (json_int_t)s->new_chunks, "error", error);
}

static int result_json(const struct backup *b, uint64_t started_ns, json_t **ret,
                       struct err *e)
{
    double seconds = (double)(clock_mono_ns() - started_ns) / 1e9;
    json_auto_t *list = json_array();
    json_t *o;

    for (size_t i = 0; i < b->n; i++)
        if (json_add(list, vm_json(&b->vms[i]), e) < 0)
            return -1;
    o = json_pack("{s:O, s:f}", "backups", list, "seconds", seconds);
    if (!o)
        return err_nomem(e);
    *ret = o;
    return 0;
}

static int sum_up(const struct backup *b, struct err *e)
{
    const struct vm_backup *first = NULL;
    size_t bad = 0;

    for (size_t i = 0; i < b->n; i++)
        if (b->vms[i].error.kind != ERR_NONE) {
            first = first ? first : &b->vms[i];
            bad++;
        }
    if (!bad)
        return 0;
    *e = first->error;
    if (b->n == 1)
        return -1;
    if (e->kind != ERR_CANCELLED)
        e->kind = ERR_FAILED; /* of several: no usage error, whatever the first one was */
    return err_prefix(e, "%zu of %zu backups failed; the first, of %s", bad, b->n,
                      first->item->source);
}

int flow_backup_opened(const struct backup_params *p, const struct flow_env *env,
                       json_t **ret_result, struct err *e)
{
    auto_backup struct backup b = {.p = p, .env = env};
    uint64_t started_ns = clock_mono_ns();
    struct err ignored = ERR_INIT;
    int r;

    *ret_result = NULL;
    if (backup_params_check(p, e) < 0)
        return -1;
    b.vms = mem_zalloc(p->n_items, sizeof *b.vms, e);
    if (!b.vms)
        return -1;
    b.n = p->n_items;
    for (size_t i = 0; i < b.n; i++)
        b.vms[i].item = &p->items[i];
    r = run_all(&b, e);
    if (r < 0)
        fail_running(&b, e);
    if (result_json(&b, started_ns, ret_result, r < 0 ? &ignored : e) < 0)
        return -1;
    return r < 0 ? -1 : sum_up(&b, e);
}
