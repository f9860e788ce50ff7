/* The steps of a pass that are about the cloud: protect-point, create-volumes,
 * attach-volumes, snapshot, detach-volumes, retire-snapshots. See pass.h.
 *
 * Each may be entered again after any crash: resources are in the job's journal before
 * they are made, and the record accounts for them before the job is forgotten. */
#include "sync/pass.h"

#include "aws/wait.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "sync/retention.h"

#include <inttypes.h>

#define SPARE_SLOTS 4 /* volumes stay attached only while so many slots stay free */

int pass_tags(struct tag_set *ret, struct job *job, const struct pass *pass,
              const char *key, const char *name, struct err *e)
{
    if (tag_set_fill(ret, job, &pass->base, key, name, e) < 0)
        return -1;
    ret->v[ret->n++] = (struct ec2_tag_in){TAG_SYNC, pass->sync->record.name};
    return 0;
}

/* ---- removers ---- */

static bool record_has(const struct pass *pass, const char *id)
{
    auto_strv struct strv ids = {0};
    struct err ignored;

    /* In doubt it stays: deleting a replica would be worse than an orphan. */
    return sync_body_resources(pass->sync->record.body, &ids, &ignored) < 0 ||
           strv_has(&ids, id);
}

int keep_or_remove_volume(struct job *job, void *ctx, const struct job_resource *r,
                          struct err *e)
{
    if (json_bool_or(r->attrs, "kept", false) ||
        (r->cloud_id && record_has(ctx, r->cloud_id)))
        return 0;
    return remove_volume(job, ctx, r, e);
}

int keep_or_remove_snapshot(struct job *job, void *ctx, const struct job_resource *r,
                            struct err *e)
{
    if (r->cloud_id && record_has(ctx, r->cloud_id))
        return 0;
    return remove_snapshot(job, ctx, r, e);
}

/* ---- snapshots of a point ---- */

struct snapped {
    const char *point;
    int64_t time;
    const char *disk;
    uint64_t size_bytes, size_gib;
    const char *snapshot;
};

static int edit_add_snapshot(json_t *body, void *ctx, struct err *e)
{
    const struct snapped *s = ctx;
    json_t *entry, *list;

    if (sync_point_need(body, s->point, s->time, &entry, e) < 0)
        return -1;
    list = json_object_get(entry, "snapshots");
    for (size_t i = json_array_size(list); i-- > 0;)
        if (str_eq(json_str_or(json_array_get(list, i), "disk", ""), s->disk))
            json_array_remove(list, i);
    return json_add(list,
                    json_pack("{s:s, s:I, s:I, s:s}", "disk", s->disk, "size_bytes",
                              (json_int_t)s->size_bytes, "size_gib",
                              (json_int_t)s->size_gib, "snapshot", s->snapshot),
                    e);
}

/* The id of the snapshot under `key`, made if it is not there. *ret is owned. */
static int make_snapshot(struct job *job, struct pass *pass, const char *key,
                         const char *volume, const char *disk, int64_t time, char **ret,
                         struct err *e)
{
    char text[REPO_TIME_LEN];
    auto_job_resource struct job_resource r = {0};
    auto_tag_set struct tag_set tags = {0};
    auto_free char *name =
        str_fmt(e, "%s %s %s", pass->sync->record.name, disk, repo_time_text(time, text));
    struct ec2_snapshot s = {0};
    int rc;

    if (!name || cloud_intend(pass->base.aws, job, KIND_SNAPSHOT, key, &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE) {
        *ret = str_dup(r.cloud_id, e);
        return *ret ? 0 : -1;
    }
    if (pass_tags(&tags, job, pass, key, name, e) < 0)
        return -1;
    rc = ec2_create_snapshot(pass->base.aws,
                             &(struct ec2_create_snapshot_in){
                                 .volume_id = volume,
                                 .description = name,
                                 .client_token = r.token,
                                 .tags = tag_set_in(&tags),
                             },
                             &s, e);
    if (rc < 0)
        return err_prefix(e, "snapshot of %s (%s)", volume, disk);
    rc = job_resource_made(job, key, s.id, NULL, e);
    if (rc == 0)
        *ret = take_ptr(s.id);
    ec2_snapshot_release(&s);
    return rc;
}

/* ---- protect-point ---- */

/* Waits for the snapshot; *ret_lost when it is gone or broken. */
static int await_snapshot(struct pass *pass, const char *id, bool *ret_lost,
                          struct err *e)
{
    struct ec2_snapshot s = {0};
    bool failed;

    *ret_lost = false;
    if (ec2_describe_snapshot(pass->base.aws, id, &s, e) < 0) {
        *ret_lost = e->kind == ERR_NOT_FOUND;
        return *ret_lost ? 0 : -1;
    }
    failed = str_eq(s.state, "error");
    ec2_snapshot_release(&s);
    if (failed) {
        *ret_lost = true;
        return 0;
    }
    return ec2_wait_snapshot_completed(pass->base.aws, id, NULL, NULL, e);
}

static int protect_disk(struct job *job, struct pass *pass, size_t i, const json_t *disk,
                        struct err *e)
{
    const json_t *body = pass->sync->record.body;
    const char *point = json_str_or(body, "point", ""), *id;
    const char *volume = json_str_or(disk, "volume", NULL);
    struct snapped s = {.point = point,
                        .time = json_integer_value(json_object_get(body, "time")),
                        .disk = json_str_or(disk, "name", ""),
                        .size_bytes = json_u64_or(disk, "size_bytes", 0),
                        .size_gib = json_u64_or(disk, "size_gib", 0)};
    auto_free char *made = NULL, *copy = NULL;
    char key[KEY_LEN];
    bool lost = true;

    id = sync_snapshot_of(sync_point_of(body, point), s.disk);
    if (id && await_snapshot(pass, id, &lost, e) < 0)
        return err_prefix(e, "snapshot %s of the replica's point", id);
    if (!lost)
        return 0;
    if (!json_is_null(json_object_get(body, "dirty")) ||
        json_bool_or(body, "resync", false) || !volume) {
        job_event(job, JOB_EVENT_WARNING,
                  "%s has no snapshot of %s, and its volume does not hold it any more",
                  point, s.disk);
        return 0;
    }
    if (make_snapshot(job, pass, disk_key(key, "protect", i), volume, s.disk, s.time,
                      &made, e) < 0) {
        if (e->kind == ERR_NOT_FOUND) /* the volume is gone: create-volumes tells */
            return job_resource_gone(job, key, e);
        return -1;
    }
    /* The edit may replace the body that this is borrowed from. */
    copy = str_dup(point, e);
    if (!copy)
        return -1;
    s.point = copy;
    s.snapshot = made;
    if (sync_edit(pass->sync, edit_add_snapshot, &s, e) < 0)
        return -1;
    job_event(job, JOB_EVENT_INFO, "snapshot %s keeps %s of the old point", made, s.disk);
    return ec2_wait_snapshot_completed(pass->base.aws, made, NULL, NULL, e);
}

int step_protect_point(struct job *job, void *ctx, struct err *e)
{
    struct pass *pass = ctx;
    json_auto_t *disks = NULL;
    const json_t *d;
    size_t i;

    if (sync_reload(pass->sync, e) < 0)
        return -1;
    if (!json_str_or(pass->sync->record.body, "point", NULL))
        return 0;
    disks = json_deep_copy(json_object_get(pass->sync->record.body, "disks"));
    if (!disks)
        return err_nomem(e);
    json_array_foreach (disks, i, d)
        if (protect_disk(job, pass, i, d, e) < 0)
            return -1;
    return 0;
}

/* ---- create-volumes ---- */

static int create_volume(struct job *job, struct pass *pass, size_t i, const json_t *disk,
                         const struct job_resource *r, struct err *e)
{
    const json_t *body = pass->sync->record.body;
    const struct restore_params *p = pass->base.params;
    const char *name = json_str_or(disk, "name", "");
    const char *from =
        json_bool_or(disk, "held", false)
            ? sync_snapshot_of(sync_point_of(body, json_str_or(body, "point", NULL)),
                               name)
            : NULL;
    auto_free char *title = str_fmt(e, "%s %s", pass->sync->record.name, name);
    auto_tag_set struct tag_set tags = {0};
    struct ec2_volume v = {0};
    int rc;

    if (!title || pass_tags(&tags, job, pass, r->key, title, e) < 0)
        return -1;
    if (json_bool_or(disk, "held", false) && !from)
        return err_set(e, ERR_NOT_FOUND,
                       "%s: its volume cannot be made again, since the replica's point "
                       "has no snapshot of it: `hotadd sync resync %s`",
                       name, pass->sync->record.name);
    if (job_ranges_forget(job, (uint32_t)i, e) < 0)
        return -1;
    rc = ec2_create_volume(pass->base.aws,
                           &(struct ec2_create_volume_in){
                               .zone = pass->base.plan->zone,
                               .type = pass->base.plan->volume_type,
                               .size_gib = json_u64_or(disk, "size_gib", 0),
                               .iops = p->iops,
                               .throughput_mibps = p->throughput,
                               .encrypted = p->encrypted ? EC2_YES : EC2_DEFAULT,
                               .kms_key_id = p->kms_key,
                               .snapshot_id = from,
                               .client_token = r->token,
                               .tags = tag_set_in(&tags),
                           },
                           &v, e);
    if (rc < 0)
        return err_prefix(e, "volume for %s", name);
    rc = job_resource_made(job, r->key, v.id, NULL, e);
    if (rc == 0)
        job_event(job, JOB_EVENT_INFO, "volume %s, %" PRIu64 " GiB, for %s%s%s", v.id,
                  json_u64_or(disk, "size_gib", 0), name, from ? ", from " : "",
                  from ? from : "");
    ec2_volume_release(&v);
    return rc;
}

int step_create_replica(struct job *job, void *ctx, struct err *e)
{
    struct pass *pass = ctx;

    if (sync_reload(pass->sync, e) < 0)
        return -1;
    for (size_t i = 0; i < pass_n_disks(pass); i++) {
        const json_t *disk = pass_disk(pass, i);
        const char *volume = json_str_or(disk, "volume", NULL);
        auto_job_resource struct job_resource r = {0};
        json_auto_t *kept = json_pack("{s:b}", "kept", 1);
        char key[KEY_LEN];

        if (!kept)
            return err_nomem(e);
        if (job_resource_intend(job, KIND_VOLUME, disk_key(key, KIND_VOLUME, i),
                                volume ? kept : NULL, &r, e) < 0)
            return -1;
        if (r.state == JOB_RESOURCE_MADE)
            continue;
        if ((volume ? job_resource_made(job, key, volume, NULL, e)
                    : create_volume(job, pass, i, disk, &r, e)) < 0)
            return -1;
    }
    /* All are made by now: this waits until they are available. */
    return step_create_volumes(job, ctx, e);
}

/* ---- attach-volumes ---- */

/* Where the volume is attached to this proxy: its device name, owned; NULL: not at all.
 * ERR_REQUIREMENT when it is attached elsewhere. */
static int attached_here(struct pass *pass, const char *volume, char **ret, struct err *e)
{
    struct ec2_volume v = {0};
    int r = 0;

    if (ec2_describe_volume(pass->base.aws, volume, &v, e) < 0)
        return -1;
    vec_foreach (a, &v.attachments) {
        if (str_eq(a->state, "detached"))
            continue;
        if (!str_eq(a->instance_id, pass->base.plan->proxy_id)) {
            pass->needs_resync = true;
            r = err_set(e, ERR_REQUIREMENT,
                        "replica volume %s is attached to %s, which may write to it: "
                        "detach it there, then `hotadd sync resync %s`",
                        volume, a->instance_id, pass->sync->record.name);
        } else if (!*ret) {
            *ret = str_dup(a->device, e);
            r = *ret ? 0 : -1;
        }
    }
    ec2_volume_release(&v);
    return r;
}

static int adopt(struct job *job, struct pass *pass, size_t i, const char *volume,
                 const char *device, struct err *e)
{
    json_auto_t *attrs = json_pack("{s:s, s:s}", "volume", volume, "device", device);
    auto_job_resource struct job_resource r = {0};
    auto_free char *id = str_fmt(e, "%s@%s", volume, pass->base.plan->proxy_id);
    struct proxy_device found;
    char key[KEY_LEN];

    if (!attrs || !id)
        return err_nomem(e);
    if (job_resource_intend(job, KIND_ATTACHMENT, disk_key(key, KIND_ATTACHMENT, i),
                            attrs, &r, e) < 0 ||
        job_resource_made(job, key, id, NULL, e) < 0)
        return -1;
    return volume_device(job, &pass->base, i, &found, e);
}

static int detach(struct pass *pass, const char *volume, const char *device,
                  struct err *e)
{
    const struct plan *plan = pass->base.plan;

    if (ec2_detach_volume(pass->base.aws, volume, plan->proxy_id, false, e) < 0 ||
        ec2_wait_detached(pass->base.aws, volume, plan->proxy_id, NULL, e) < 0)
        return -1;
    return proxy_device_gone(&pass->base.paths, volume, device,
                             clock_mono_ns() + 30 * NS_PER_S, pass->base.cancel, e);
}

/* All attached already, from the last pass: they are used where they are. Some: they are
 * detached, so that what follows begins from a known state. */
static int adopt_or_detach(struct job *job, struct pass *pass, bool *ret_adopted,
                           struct err *e)
{
    size_t n = pass_n_disks(pass), here = 0;
    auto_strv struct strv volumes = {0}, devices = {0};

    for (size_t i = 0; i < n; i++) {
        auto_free char *id = NULL, *device = NULL;

        if (volume_id_of(job, i, &id, e) < 0 || attached_here(pass, id, &device, e) < 0 ||
            strv_add(&volumes, id, e) < 0 ||
            strv_add(&devices, device ? device : "", e) < 0)
            return -1;
        here += device != NULL;
    }
    *ret_adopted = here == n;
    for (size_t i = 0; i < n; i++) {
        if (!*devices.v[i])
            continue;
        if ((here == n ? adopt(job, pass, i, volumes.v[i], devices.v[i], e)
                       : detach(pass, volumes.v[i], devices.v[i], e)) < 0)
            return -1;
    }
    return 0;
}

int step_attach_replica(struct job *job, void *ctx, struct err *e)
{
    struct pass *pass = ctx;
    auto_job_resources struct job_resources had = {0};
    bool adopted = false, leased = false;

    if (job_resources(job, KIND_ATTACHMENT, &had, e) < 0)
        return -1;
    vec_foreach (r, &had)
        leased = leased || json_object_get(r->attrs, "slot");
    /* Entered again: what is attached at a leased slot was attached by this job. */
    if (!leased && adopt_or_detach(job, pass, &adopted, e) < 0)
        return -1;
    if (adopted)
        return 0;
    vec_foreach (r, &had)
        if (!json_object_get(r->attrs, "slot") && job_resource_gone(job, r->key, e) < 0)
            return -1;
    return step_attach_volumes(job, ctx, e);
}

/* ---- snapshot ---- */

int step_snapshot(struct job *job, void *ctx, struct err *e)
{
    struct pass *pass = ctx;
    struct keep_rules rules;
    uint64_t any = 0;
    int64_t time = json_integer_value(json_object_get(pass->decided, "time"));

    if (keep_rules_parse(sync_word(pass->sync, "keep", NULL), &rules, e) < 0)
        return -1;
    for (int i = 0; i < KEEP_PERIODS; i++)
        any |= rules.n[i];
    for (size_t i = 0; any && i < pass_n_disks(pass); i++) {
        auto_free char *volume = NULL, *id = NULL;
        const char *disk = json_str_or(pass_disk(pass, i), "name", "");
        char key[KEY_LEN];

        if (volume_id_of(job, i, &volume, e) < 0 ||
            make_snapshot(job, pass, disk_key(key, KIND_SNAPSHOT, i), volume, disk, time,
                          &id, e) < 0)
            return -1;
        job_event(job, JOB_EVENT_INFO, "snapshot %s of %s", id, disk);
    }
    return 0;
}

/* ---- detach-volumes ---- */

static int slots_allow(struct pass *pass, bool *ret, struct err *e)
{
    struct ec2_instance proxy = {0};

    if (ec2_describe_instance(pass->base.aws, pass->base.plan->proxy_id, &proxy, e) < 0)
        return -1;
    *ret = proxy.mappings.n + SPARE_SLOTS <= pass->base.plan->slot_limit;
    ec2_instance_release(&proxy);
    return 0;
}

int step_detach_replica(struct job *job, void *ctx, struct err *e)
{
    struct pass *pass = ctx;
    bool keep = false;

    if (sync_flag(pass->sync, "keep_attached") && slots_allow(pass, &keep, e) < 0)
        return -1;
    if (!keep)
        return step_detach_volumes(job, ctx, e);
    job_event(job, JOB_EVENT_INFO, "the volumes stay attached, as asked");
    return 0;
}

/* ---- retire-snapshots ---- */

/* Snapshots of points that no rule and no pin keeps become retired. Inside a transaction
 * of the record, so a pin is either seen, or refused because the point is gone. */
static int edit_retire(json_t *body, void *ctx, struct err *e)
{
    const struct keep_rules *rules = ctx;
    json_t *points = json_object_get(body, "points"), *p, *d;
    json_t *retired = json_object_get(body, "retired");
    const char *held = json_str_or(body, "point", "");
    size_t n = json_array_size(points), i, k;
    auto_free int64_t *times = mem_zalloc(n + 1, sizeof *times, e);
    auto_free bool *keep = times ? mem_zalloc(n + 1, sizeof *keep, e) : NULL;

    if (!keep)
        return -1;
    json_array_foreach (points, i, p)
        times[i] = json_integer_value(json_object_get(p, "time"));
    keep_choose(rules, times, n, keep);
    for (i = n; i-- > 0;) {
        p = json_array_get(points, i);
        /* What the replica holds must be there when the next pass writes. */
        if (keep[i] || str_eq(json_str_or(p, "point", ""), held) ||
            json_array_size(json_object_get(p, "pinned_by")))
            continue;
        json_array_foreach (json_object_get(p, "snapshots"), k, d)
            if (json_add(retired, json_string(json_str_or(d, "snapshot", "")), e) < 0)
                return -1;
        json_array_remove(points, i);
    }
    return 0;
}

static int edit_forget_id(json_t *body, void *ctx, struct err *e)
{
    json_t *retired = json_object_get(body, "retired");

    for (size_t i = json_array_size(retired); i-- > 0;)
        if (str_eq_null(json_string_value(json_array_get(retired, i)), ctx))
            json_array_remove(retired, i);
    return 0;
}

int pass_remove_retired(struct pass *pass, const char *id, struct err *e)
{
    auto_free char *device = NULL, *copy = str_dup(id, e);
    bool resync = pass->needs_resync;
    int r;

    if (!copy)
        return -1;
    if (str_starts(copy, "snap-")) {
        r = ec2_delete_snapshot(pass->base.aws, copy, false, e);
    } else {
        r = attached_here(pass, copy, &device, e);
        /* Of no use to the replica, so no harm to it. */
        pass->needs_resync = resync;
        if (r < 0 && e->kind == ERR_NOT_FOUND)
            r = 0;
        else if (r == 0)
            r = volume_delete_anywhere(pass->base.aws, copy, e);
    }
    return r < 0 ? -1 : sync_edit(pass->sync, edit_forget_id, copy, e);
}

/* CreateSnapshot has no client token. One that was on its way when a process died, and
 * came into being after the next one had looked for it, is of this job and in no record.
 */
static int remove_strays(struct job *job, struct pass *pass, struct err *e)
{
    const struct ec2_filter by_job[] = {{"tag:" TAG_JOB, EC2_STRS(job_id(job))}};
    struct ec2_snapshots found = {0};
    int r = 0;

    if (ec2_describe_snapshots(pass->base.aws,
                               &(struct ec2_query){.filters = by_job, .n_filters = 1},
                               &found, e) < 0)
        return -1;
    vec_foreach (s, &found) {
        if (record_has(pass, s->id))
            continue;
        r = ec2_delete_snapshot(pass->base.aws, s->id, false, e);
        if (r < 0)
            break;
        job_event(job, JOB_EVENT_INFO, "%s is deleted: it was made twice", s->id);
    }
    ec2_snapshots_release(&found);
    return r;
}

int step_retire(struct job *job, void *ctx, struct err *e)
{
    struct pass *pass = ctx;
    auto_strv struct strv ids = {0};
    struct keep_rules rules;

    if (keep_rules_parse(sync_word(pass->sync, "keep", NULL), &rules, e) < 0 ||
        sync_edit(pass->sync, edit_retire, &rules, e) < 0 ||
        json_to_strv(json_object_get(pass->sync->record.body, "retired"), &ids, e) < 0)
        return -1;
    vec_foreach (id, &ids) {
        if (pass_remove_retired(pass, *id, e) == 0) {
            job_event(job, JOB_EVENT_INFO, "%s is deleted: no point needs it", *id);
            continue;
        }
        if (e->kind != ERR_BUSY && e->kind != ERR_REQUIREMENT)
            return -1;
        job_event(job, JOB_EVENT_WARNING, "%s stays for now: %s", *id, e->msg);
    }
    return remove_strays(job, pass, e);
}
