/* clone-volumes: volumes of their own for what is going to be launched.
 *
 * A replica at rest is copied in an instant (CopyVolumes), while the claim on the sync
 * keeps passes from writing to it; in the middle of a pass, or where the account has no
 * CopyVolumes, the clone is made of the point's snapshots, which are pinned meanwhile.
 * The journal's value "clone" says what was chosen, so that a step that is entered again
 * does the same: only if the replica has moved on since, what was made is removed and
 * chosen anew. */
#include "sync/failover_job.h"

#include "aws/wait.h"
#include "base/json.h"
#include "base/str.h"

#include <inttypes.h>

struct cloning {
    struct failover *f;
    struct job *job;
    struct sync *sync; /* borrowed */
    bool claimed;
    json_t *choice; /* owned: {point, time, disks: [{volume, snapshot, size_gib}]} */
};

static const json_t *disk_of(const struct cloning *c, size_t i)
{
    return json_array_get(json_object_get(c->choice, "disks"), i);
}

static int64_t time_of(const struct cloning *c)
{
    return json_integer_value(json_object_get(c->choice, "time"));
}

static bool copies(const struct cloning *c)
{
    return *json_str_or(disk_of(c, 0), "volume", "") != 0;
}

/* ---- choosing ---- */

enum clone_way { CLONE_FASTEST, CLONE_FROM_SNAPSHOTS };

static json_t *choice_of(const struct sync_clone *sources, bool copy, struct err *e)
{
    json_auto_t *disks = json_array(), *o = NULL;

    vec_foreach (d, &sources->disks)
        if (json_add(disks,
                     json_pack("{s:s, s:s, s:I}", "volume", copy ? d->volume_id : "",
                               "snapshot", copy ? "" : d->snapshot_id, "size_gib",
                               (json_int_t)d->size_gib),
                     e) < 0)
            return NULL;
    o = json_pack("{s:s, s:I, s:O}", "point", sources->point, "time",
                  (json_int_t)sources->time, "disks", disks);
    if (!o)
        err_nomem(e);
    return json_incref(o);
}

static int choose(struct cloning *c, enum clone_way way, struct err *e)
{
    auto_sync_clone struct sync_clone sources = {0};
    bool at_rest = c->claimed && way == CLONE_FASTEST, snapshots = true;

    if (sync_clone_sources(c->sync, c->f->at, &sources, e) < 0)
        return -1;
    vec_foreach (d, &sources.disks) {
        at_rest = at_rest && d->volume_id;
        snapshots = snapshots && d->snapshot_id && *d->snapshot_id;
    }
    if (!at_rest && !snapshots)
        return err_set(e, ERR_BUSY,
                       "%s has no snapshots yet, and its volumes are in use by a pass; "
                       "wait for that to end",
                       sources.point);
    json_decref(c->choice);
    c->choice = choice_of(&sources, at_rest, e);
    return c->choice ? job_value_set(c->job, "clone", c->choice, e) : -1;
}

/* What was made of an earlier choice goes. */
static int start_over(struct cloning *c, struct err *e)
{
    auto_job_resources struct job_resources made = {0};

    if (job_resources(c->job, KIND_VOLUME, &made, e) < 0)
        return -1;
    vec_foreach (r, &made)
        if (remove_volume(c->job, &c->f->ctx, r, e) < 0 ||
            job_resource_gone(c->job, r->key, e) < 0)
            return -1;
    return 0;
}

/* Entered again: are the volumes that were to be copied still exactly that point? */
static int still_good(struct cloning *c, bool *ret, struct err *e)
{
    auto_sync_clone struct sync_clone now = {0};

    *ret = !copies(c);
    if (*ret || !c->claimed)
        return 0;
    if (sync_clone_sources(c->sync, time_of(c), &now, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    *ret = true;
    for (size_t i = 0; i < now.disks.n; i++)
        *ret = *ret && str_eq_null(now.disks.v[i].volume_id,
                                   json_str_or(disk_of(c, i), "volume", ""));
    return 0;
}

static int need_choice(struct cloning *c, struct err *e)
{
    bool good;

    if (job_value_get(c->job, "clone", &c->choice, e) < 0)
        return -1;
    if (!c->choice)
        return choose(c, CLONE_FASTEST, e);
    if (still_good(c, &good, e) < 0)
        return -1;
    return good ? 0 : start_over(c, e) < 0 ? -1 : choose(c, CLONE_FASTEST, e);
}

/* ---- making ---- */

static int apply(struct cloning *c, struct err *e)
{
    struct plan *plan = c->f->plan;

    if (plan->volumes.n != json_array_size(json_object_get(c->choice, "disks")))
        return err_set(e, ERR_INPUT, "the plan has %zu volumes and the replica %zu",
                       plan->volumes.n,
                       json_array_size(json_object_get(c->choice, "disks")));
    for (size_t i = 0; i < plan->volumes.n; i++) {
        struct plan_volume *v = &plan->volumes.v[i];
        const char *volume = json_str_or(disk_of(c, i), "volume", "");
        const char *snapshot = json_str_or(disk_of(c, i), "snapshot", "");

        v->size_gib = json_u64_or(disk_of(c, i), "size_gib", v->size_gib);
        if (str_set(&v->copy_of, *volume ? volume : NULL, e) < 0 ||
            str_set(&v->snapshot_id, *snapshot ? snapshot : NULL, e) < 0)
            return -1;
    }
    return failover_plan_keep(c->f, c->job, e);
}

static int make(struct cloning *c, struct err *e)
{
    if (apply(c, e) < 0)
        return -1;
    if (step_create_volumes(c->job, &c->f->ctx, e) == 0)
        return 0;
    if (!copies(c) || (e->kind != ERR_UNSUPPORTED && e->kind != ERR_DENIED))
        return -1;
    job_event(c->job, JOB_EVENT_WARNING,
              "the clone is made of snapshots, since volumes cannot be copied: %s",
              e->msg);
    return start_over(c, e) < 0 || choose(c, CLONE_FROM_SNAPSHOTS, e) < 0 ||
                   apply(c, e) < 0 || step_create_volumes(c->job, &c->f->ctx, e) < 0
               ? -1
               : 0;
}

/* Snapshots are pinned while volumes are made of them, unless a claim keeps everybody
 * else away. */
static int make_pinned(struct cloning *c, struct err *e)
{
    auto_free char *who = str_fmt(e, "%s %s", job_kind(c->job), job_id(c->job));
    struct err ignored;
    int r;

    if (c->claimed)
        return make(c, e);
    if (!who || sync_pin(c->sync, time_of(c), who, e) < 0)
        return -1;
    r = make(c, e);
    if (sync_unpin(c->sync, time_of(c), who, r < 0 ? &ignored : e) < 0)
        return -1;
    return r;
}

/* Passes may be at work: then the sync is only looked at. */
static int open_sync(struct failover *f, struct sync **ret, bool *ret_claimed,
                     struct err *e)
{
    *ret_claimed = true;
    if (sync_open(f->journal, f->name, SYNC_CLAIM, ret, e) == 0)
        return 0;
    *ret_claimed = false;
    return e->kind == ERR_BUSY ? sync_open(f->journal, f->name, SYNC_LOOK, ret, e) : -1;
}

int step_clone_volumes(struct job *job, void *ctx, struct err *e)
{
    struct failover *f = ctx;
    struct cloning c = {.f = f, .job = job, .sync = f->claimed, .claimed = true};
    auto_sync struct sync *own = NULL;
    int r;

    if (!c.sync) {
        if (open_sync(f, &own, &c.claimed, e) < 0)
            return -1;
        c.sync = own;
    }
    r = need_choice(&c, e) < 0 ? -1 : make_pinned(&c, e);
    json_decref(c.choice);
    return r;
}
