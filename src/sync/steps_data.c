/* write-changes and record-point: where a pass changes what the replica holds.
 *
 * Before the first write the record says where this pass may write ("dirty"), so that
 * whoever asks is told that only snapshots hold the old point, and so that a pass to
 * another point knows what it cannot trust. A crash leaves blocks of the old or of the
 * new point in those places; the pass goes on with what its job's ranges say is durable.
 * The record moves to the new point in one transaction, after the last flush. */
#include "sync/pass.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/rand.h"
#include "base/str.h"
#include "disk/source_sink.h"

#include <inttypes.h>

#define MAX_DIRTY    1000 /* extents per disk in the record */
#define GLANCE_BYTES ((size_t)64 << 10)
#define GLANCES      8
#define ALIGN        4096u

/* ---- where the points differ ---- */

/* The held point's disk of that name; false: it has none. */
static bool held_index(const struct pass *pass, const char *name, size_t *ret)
{
    for (size_t i = 0; pass->held && i < repo_point_n_disks(pass->held); i++)
        if (str_eq(repo_point_disk_name(pass->held, i), name)) {
            *ret = i;
            return true;
        }
    return false;
}

/* What of [0, size) is not in the set. */
static int complement(const struct extent_set *set, uint64_t size, struct extent_set *ret,
                      struct err *e)
{
    uint64_t at = 0, n;

    for (; at < size; at += n)
        if (!extent_set_at(set, at, size - at, &n) && extent_set_add(ret, at, n, e) < 0)
            return -1;
    return 0;
}

/* At most MAX_DIRTY extents that cover the set: gaps shorter than a growing limit are
 * taken in. */
static json_t *coarse_json(const struct extent_set *set, struct err *e)
{
    json_auto_t *list = NULL;

    for (uint64_t gap = 0;; gap = gap ? gap * 2 : ALIGN) {
        uint64_t from = 0, to = 0;

        json_decref(list);
        list = json_array();
        if (!list) {
            err_nomem(e);
            return NULL;
        }
        for (size_t i = 0; i <= set->n; i++) {
            const struct extent *x = i < set->n ? &set->v[i] : NULL;

            if (x && i && x->offset - to <= gap) {
                to = x->offset + x->len;
                continue;
            }
            if (i &&
                json_add(list,
                         json_pack("[I, I]", (json_int_t)from, (json_int_t)(to - from)),
                         e) < 0)
                return NULL;
            from = x ? x->offset : 0;
            to = x ? x->offset + x->len : 0;
        }
        if (json_array_size(list) <= MAX_DIRTY)
            return json_incref(list);
    }
}

static int add_from_json(struct extent_set *set, const json_t *list, struct err *e)
{
    const json_t *x;
    size_t i;

    json_array_foreach (list, i, x)
        if (extent_set_add(set, (uint64_t)json_integer_value(json_array_get(x, 0)),
                           (uint64_t)json_integer_value(json_array_get(x, 1)), e) < 0)
            return -1;
    return 0;
}

static const json_t *dirty_of(const json_t *body, const char *disk)
{
    return json_object_get(json_object_get(json_object_get(body, "dirty"), "disks"),
                           disk);
}

/* Adds what this pass may write of one disk to `disks`, with what is dirty already. */
static int add_dirty(struct pass *pass, size_t i, json_t *disks, struct err *e)
{
    auto_extent_set struct extent_set equal = {0}, dirty = {0};
    const char *name = json_str_or(pass_disk(pass, i), "name", "");
    uint64_t size = json_u64_or(pass_disk(pass, i), "size_bytes", 0);
    size_t held;

    if (held_index(pass, name, &held)) {
        if (repo_point_equal(pass->held, held, pass->target, i, &equal, e) < 0)
            return -1;
        /* A disk that shrank is zeroed behind its new end. */
        if (repo_point_disk_size(pass->held, held) > size)
            size = repo_point_disk_size(pass->held, held);
    }
    if (complement(&equal, size, &dirty, e) < 0 ||
        add_from_json(&dirty, dirty_of(pass->sync->record.body, name), e) < 0)
        return -1;
    return json_put(disks, name, coarse_json(&dirty, e), e);
}

/* Says in the record where this pass may write. *ret_mixed: an earlier pass, to another
 * point, wrote there too, so the old point's bytes are no guide. */
static int note_dirty(struct pass *pass, bool *ret_mixed, struct err *e)
{
    const char *to = json_str_or(pass->decided, "to", "");
    const json_t *was = json_object_get(pass->sync->record.body, "dirty");
    json_auto_t *disks = json_object();

    if (json_is_object(was) && str_eq(json_str_or(was, "to", ""), to)) {
        *ret_mixed = json_bool_or(was, "mixed", false);
        return 0;
    }
    *ret_mixed = json_is_object(was);
    for (size_t i = 0; i < pass_n_disks(pass); i++)
        if (json_bool_or(pass_disk(pass, i), "held", false) &&
            add_dirty(pass, i, disks, e) < 0)
            return -1;
    return sync_set(
        pass->sync, "dirty",
        json_pack("{s:s, s:b, s:O}", "to", to, "mixed", (int)*ret_mixed, "disks", disks),
        e);
}

/* ---- write-changes ---- */

struct copy {
    struct job *job;
    struct pass *pass;
    bool resync, mixed;
    size_t n;
    struct mover_disk *disks;   /* n, owned with their sinks */
    struct extent_set *already; /* n, owned */
    struct source **volumes;    /* n, owned: of resync; NULL else */
    uint64_t changed_bytes;     /* of the disks, by their indexes */
};
#define auto_copy auto_call(copy_release)

static void copy_release(struct copy *c)
{
    for (size_t i = 0; i < c->n; i++) {
        source_free(c->volumes[i]);
        sink_free(c->disks[i].sink);
        extent_set_release(&c->already[i]);
    }
    free(c->volumes);
    free(c->disks);
    free(c->already);
}

static int note_durable(void *ctx, size_t disk, const struct extent *v, size_t n,
                        struct err *e)
{
    const struct copy *c = ctx;

    return job_ranges_done(c->job, (uint32_t)disk, v, n, e);
}

static int open_device(struct copy *c, size_t i, enum proxy_contents contents,
                       struct sink **ret, struct err *e)
{
    struct proxy_device device;

    if (volume_device(c->job, &c->pass->base, i, &device, e) < 0)
        return -1;
    return proxy_device_open(&c->pass->base.paths, &device,
                             json_u64_or(pass_disk(c->pass, i), "size_gib", 0) * GIB,
                             contents, job_cancel(c->job), ret, e);
}

/* A few places of the volume against the point that it shall hold: its ends, where the
 * first partition begins, and some by chance. Somebody who mounted or booted it has
 * written to one of them. */
static int glance(struct copy *c, size_t i, struct source *held, struct sink *sink,
                  struct err *e)
{
    uint64_t size = held->size_bytes / ALIGN * ALIGN, at;
    auto_free unsigned char *a = aligned_alloc(ALIGN, GLANCE_BYTES);
    auto_free unsigned char *b = aligned_alloc(ALIGN, GLANCE_BYTES);
    auto_free unsigned char *scratch =
        aligned_alloc(ALIGN, held->unit_max_bytes + (size_t)ALIGN);

    if (!a || !b || !scratch)
        return err_nomem(e);
    for (int k = 0; k < GLANCES && size >= GLANCE_BYTES; k++) {
        uint64_t last = size - GLANCE_BYTES;

        at = k == 0 ? 0 : k == 1 ? 1u << 20 : k == 2 ? last : rand_below(last + 1);
        at = (at > last ? last : at) / ALIGN * ALIGN;
        if (source_pread(held, a, GLANCE_BYTES, at, scratch, e) < 0 ||
            sink->ops->read(sink, b, GLANCE_BYTES, at, e) < 0)
            return -1;
        if (memcmp(a, b, GLANCE_BYTES) == 0)
            continue;
        c->pass->needs_resync = true;
        return err_set(e, ERR_REQUIREMENT,
                       "%s does not hold the replica's point at byte %" PRIu64
                       ": somebody has written to it; `hotadd sync resync %s`",
                       sink->desc, at, c->pass->sync->record.name);
    }
    return 0;
}

/* A volume that holds nothing yet. */
static int prepare_seed(struct copy *c, size_t i, const char *volume, struct err *e)
{
    bool ours;

    if (volume_written_before(c->job, i, volume, &ours, e) < 0)
        return -1;
    c->changed_bytes += json_u64_or(pass_disk(c->pass, i), "size_bytes", 0);
    return open_device(c, i, ours ? PROXY_OURS : PROXY_FRESH, &c->disks[i].sink, e);
}

/* A volume about which nothing is known: it is read, all of it. */
static int prepare_resync(struct copy *c, size_t i, struct err *e)
{
    struct mover_disk *d = &c->disks[i];

    if (open_device(c, i, PROXY_IN_USE, &d->sink, e) < 0 ||
        source_sink_borrow(d->sink, d->sink->size_bytes, &c->volumes[i], e) < 0)
        return -1;
    d->base = c->volumes[i];
    c->changed_bytes += json_u64_or(pass_disk(c->pass, i), "size_bytes", 0);
    return 0;
}

/* After passes to two points: what is dirty is written whole, the rest is equal. */
static int prepare_mixed(struct copy *c, size_t i, const char *name, struct err *e)
{
    struct mover_disk *d = &c->disks[i];
    auto_extent_set struct extent_set dirty = {0};

    if (open_device(c, i, PROXY_IN_USE, &d->sink, e) < 0 ||
        add_from_json(&dirty, dirty_of(c->pass->sync->record.body, name), e) < 0)
        return -1;
    c->changed_bytes += extent_set_bytes(&dirty);
    return complement(&dirty, d->sink->size_bytes, &c->already[i], e);
}

static int prepare_delta(struct copy *c, size_t i, const char *volume, size_t held,
                         struct err *e)
{
    struct mover_disk *d = &c->disks[i];
    struct pass *pass = c->pass;
    struct source *base = pass->held_m->disks.v[held].source;
    auto_extent_set struct extent_set equal = {0};
    bool begun;

    if (open_device(c, i, PROXY_IN_USE, &d->sink, e) < 0 ||
        volume_written_before(c->job, i, volume, &begun, e) < 0)
        return -1;
    if (!begun && glance(c, i, base, d->sink, e) < 0)
        return -1;
    /* Behind the end of what it holds a replica volume is zero: it was made so, and a
     * disk that shrinks is zeroed there. */
    d->sink->known_zero = true;
    d->base = base;
    if (repo_point_equal(pass->held, held, pass->target, i, &equal, e) < 0)
        return -1;
    c->changed_bytes += json_u64_or(pass_disk(pass, i), "size_bytes", 0);
    c->changed_bytes -= extent_set_bytes(&equal);
    for (size_t k = 0; k < equal.n; k++)
        if (extent_set_add(&c->already[i], equal.v[k].offset, equal.v[k].len, e) < 0)
            return -1;
    return 0;
}

static int prepare_disk(struct copy *c, size_t i, struct err *e)
{
    const json_t *disk = pass_disk(c->pass, i);
    const char *name = json_str_or(disk, "name", "");
    struct mover_disk *d = &c->disks[i];
    auto_free char *volume = NULL;
    size_t held = 0;
    int r;

    if (volume_id_of(c->job, i, &volume, e) < 0 ||
        job_disk_size(c->job, (uint32_t)i, json_u64_or(disk, "size_bytes", 0), e) < 0)
        return -1;
    if (!json_bool_or(disk, "held", false))
        r = prepare_seed(c, i, volume, e);
    else if (c->resync)
        r = prepare_resync(c, i, e);
    else if (c->mixed)
        r = prepare_mixed(c, i, name, e);
    else if (held_index(c->pass, name, &held))
        r = prepare_delta(c, i, volume, held, e);
    else
        r = err_set(
            e, ERR_INPUT, "recovery point %s has no %s any more: `hotadd sync resync %s`",
            json_str_or(c->pass->decided, "from", "?"), name, c->pass->sync->record.name);
    if (r < 0 || volume_note_written(c->job, i, volume, e) < 0 ||
        job_ranges(c->job, (uint32_t)i, &c->already[i], e) < 0)
        return -1;
    d->source = c->pass->target_m->disks.v[i].source;
    d->already = &c->already[i];
    d->durable = note_durable;
    d->durable_ctx = c;
    return 0;
}

/* The job's value "moved": what all its runs wrote. */
static int note_moved(struct copy *c, const struct mover_result *r, struct err *e)
{
    json_auto_t *was = NULL, *now = NULL;

    if (job_value_get(c->job, "moved", &was, e) < 0)
        return -1;
    now = json_pack(
        "{s:I, s:I, s:I}", "changed_bytes", (json_int_t)c->changed_bytes, "data_bytes",
        (json_int_t)(r->data_bytes + json_u64_or(was, "data_bytes", 0)), "written_bytes",
        (json_int_t)(r->written_bytes + json_u64_or(was, "written_bytes", 0)));
    return now ? job_value_set(c->job, "moved", now, e) : err_nomem(e);
}

static int move(struct copy *c, struct err *e)
{
    struct mover_options opt = {
        .max_bytes_per_s = c->pass->base.params->max_rate,
        .verify =
            c->pass->base.params->verify ? MOVER_VERIFY_READ_BACK : MOVER_VERIFY_NONE,
        .cancel = job_cancel(c->job),
        .progress = c->pass->base.progress,
        .what = "write-changes",
    };
    struct mover_result moved = {0};
    struct err lost;
    char written[32], changed[32];

    if (mover_run(c->disks, c->n, &opt, &moved, e) < 0) {
        if (note_moved(c, &moved, &lost) < 0)
            job_event(c->job, JOB_EVENT_WARNING, "%s", lost.msg);
        return -1;
    }
    job_event(c->job, JOB_EVENT_INFO, "%s written of %s in chunks that differ, in %.1f s",
              str_bytes(written, sizeof written, moved.written_bytes),
              str_bytes(changed, sizeof changed, c->changed_bytes),
              (double)moved.elapsed_ns / 1e9);
    return note_moved(c, &moved, e);
}

static int open_points(struct pass *pass, struct err *e)
{
    const char *from = json_str_or(pass->decided, "from", NULL);

    if (pass_open_point(pass, json_str_or(pass->decided, "to", ""), &pass->target,
                        &pass->target_m, e) < 0)
        return -1;
    if (!from || json_bool_or(pass->decided, "resync", false) ||
        pass_open_point(pass, from, &pass->held, &pass->held_m, e) == 0)
        return 0;
    pass->needs_resync = e->kind == ERR_NOT_FOUND;
    return -1;
}

int step_write_changes(struct job *job, void *ctx, struct err *e)
{
    struct pass *pass = ctx;
    size_t n = pass_n_disks(pass);
    auto_copy struct copy c = {
        .job = job, .pass = pass, .resync = json_bool_or(pass->decided, "resync", false)};

    if (sync_reload(pass->sync, e) < 0 || open_points(pass, e) < 0)
        return -1;
    if (!c.resync && json_str_or(pass->decided, "from", NULL) &&
        note_dirty(pass, &c.mixed, e) < 0)
        return -1;
    c.disks = mem_zalloc(n, sizeof *c.disks, e);
    c.already = c.disks ? mem_zalloc(n, sizeof *c.already, e) : NULL;
    c.volumes = c.already ? mem_zalloc(n, sizeof *c.volumes, e) : NULL;
    if (!c.volumes)
        return -1;
    c.n = n;
    for (size_t i = 0; i < n; i++)
        if (prepare_disk(&c, i, e) < 0)
            return err_prefix(e, "%s", json_str_or(pass_disk(pass, i), "name", "?"));
    return move(&c, e);
}

/* ---- record-point ---- */

struct recording {
    struct job *job;
    const struct pass *pass;
    json_t *disks;     /* for the record */
    json_t *snapshots; /* of the new point */
};

/* The entry of the new point, newest first; one of that name that was there (a resync to
 * the same point) keeps its pins and gives its snapshots up. */
static int put_point(json_t *body, const struct recording *r, struct err *e)
{
    const char *to = json_str_or(r->pass->decided, "to", "");
    json_t *retired = json_object_get(body, "retired"), *entry, *d;
    size_t i;

    if (!json_array_size(r->snapshots))
        return 0;
    if (sync_point_need(body, to,
                        json_integer_value(json_object_get(r->pass->decided, "time")),
                        &entry, e) < 0)
        return -1;
    json_array_foreach (json_object_get(entry, "snapshots"), i, d)
        if (json_add(retired, json_string(json_str_or(d, "snapshot", "")), e) < 0)
            return -1;
    return json_put(entry, "snapshots", json_incref(r->snapshots), e);
}

/* A volume that was given up because its disk grew, vanished or was made again. */
static int retire_volumes(json_t *body, const struct recording *r, struct err *e)
{
    json_t *retired = json_object_get(body, "retired");
    const json_t *id;
    size_t i;

    json_array_foreach (json_object_get(r->pass->decided, "drop"), i, id)
        if (json_add(retired, json_deep_copy(id), e) < 0)
            return -1;
    return 0;
}

static int edit_record(json_t *body, void *ctx, struct err *e)
{
    const struct recording *r = ctx;
    const char *job = job_id(r->job);
    enum sync_state now;

    /* Entered again after it was done. */
    if (str_eq(json_str_or(body, "recorded_by", ""), job))
        return 0;
    if (sync_body_state(body, &now, e) < 0 || put_point(body, r, e) < 0 ||
        retire_volumes(body, r, e) < 0)
        return -1;
    if ((now == SYNC_NEW || now == SYNC_NEEDS_RESYNC) &&
        json_put(body, "state", json_string(sync_state_name(SYNC_ACTIVE)), e) < 0)
        return -1;
    return json_put(body, "point",
                    json_deep_copy(json_object_get(r->pass->decided, "to")), e) < 0 ||
                   json_put(body, "time",
                            json_deep_copy(json_object_get(r->pass->decided, "time")),
                            e) < 0 ||
                   json_put(body, "disks", json_incref(r->disks), e) < 0 ||
                   json_put(body, "dirty", json_null(), e) < 0 ||
                   json_put(body, "resync", json_false(), e) < 0 ||
                   json_put(body, "recorded_by", json_string(job), e) < 0
               ? -1
               : 0;
}

static int gather(struct job *job, const struct pass *pass, size_t i, json_t *disks,
                  json_t *snapshots, struct err *e)
{
    const json_t *d = pass_disk(pass, i);
    auto_job_resource struct job_resource r = {0};
    auto_free char *volume = NULL;
    char key[KEY_LEN];

    if (volume_id_of(job, i, &volume, e) < 0 ||
        json_add(disks,
                 json_pack("{s:O, s:O, s:O, s:s}", "name", json_object_get(d, "name"),
                           "size_bytes", json_object_get(d, "size_bytes"), "size_gib",
                           json_object_get(d, "size_gib"), "volume", volume),
                 e) < 0)
        return -1;
    if (job_resource_get(job, disk_key(key, KIND_SNAPSHOT, i), &r, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    return json_add(snapshots,
                    json_pack("{s:O, s:O, s:O, s:s}", "disk", json_object_get(d, "name"),
                              "size_bytes", json_object_get(d, "size_bytes"), "size_gib",
                              json_object_get(d, "size_gib"), "snapshot", r.cloud_id),
                    e);
}

int step_record_point(struct job *job, void *ctx, struct err *e)
{
    struct pass *pass = ctx;
    json_auto_t *disks = json_array(), *snapshots = json_array();
    struct recording r = {job, pass, disks, snapshots};

    if (!disks || !snapshots)
        return err_nomem(e);
    for (size_t i = 0; i < pass_n_disks(pass); i++)
        if (gather(job, pass, i, disks, snapshots, e) < 0)
            return -1;
    if (sync_edit(pass->sync, edit_record, &r, e) < 0)
        return -1;
    job_event(job, JOB_EVENT_INFO, "the replica holds %s",
              json_str_or(pass->decided, "to", "?"));
    return 0;
}
