/* The steps of an instance's backup; see ec2_backup.h.
 *
 * Intent first: one snapshot resource for each volume, all with the first one's client
 * token, since one call makes them all. The journal's value "machine" is the instance as
 * it was then, "read-by" the way its snapshots are read, "point" the recovery point once
 * it is there. */
#include "flow/ec2_backup.h"

#include "aws/ebs.h"
#include "aws/wait.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "disk/source_sink.h"
#include "flow/ec2_machine.h"

#include <inttypes.h>

#define GIB        ((uint64_t)1 << 30)
#define BY_DIRECT  "ebs-direct"
#define BY_VOLUMES "volumes"

/* ---- create-snapshots ---- */

/* The instance as the job first saw it. Owned. */
static int machine_once(struct job *job, struct ec2_backup *b, json_t **ret,
                        struct err *e)
{
    const char *id = ec2_source_instance(b->item.source);
    json_auto_t *now = NULL;

    if (job_value_get(job, "machine", ret, e) < 0)
        return -1;
    if (*ret)
        return 0;
    if (ec2_machine_describe(b->aws, id, &now, e) < 0)
        return -1;
    return job_value_once(job, "machine", now, ret, e);
}

static size_t n_disks(const json_t *machine)
{
    return json_array_size(json_object_get(machine, "disks"));
}

static const char *disk_word(const json_t *machine, size_t i, const char *key)
{
    return json_str_or(json_array_get(json_object_get(machine, "disks"), i), key, "");
}

static int intend(struct job *job, const json_t *machine, size_t i,
                  struct job_resource *ret, struct err *e)
{
    json_auto_t *attrs = json_pack("{s:s}", "volume", disk_word(machine, i, "volume"));
    char key[KEY_LEN];

    if (!attrs)
        return err_nomem(e);
    return job_resource_intend(job, KIND_SNAPSHOT, disk_key(key, KIND_SNAPSHOT, i), attrs,
                               ret, e);
}

static size_t disk_of_volume(const json_t *machine, const char *volume)
{
    for (size_t i = 0; i < n_disks(machine); i++)
        if (str_eq(disk_word(machine, i, "volume"), volume))
            return i;
    return SIZE_MAX;
}

/* A volume that came or went between the look and the call: what was made is accounted
 * for, and the job begins anew. */
static int keep_made(struct job *job, const json_t *machine,
                     const struct ec2_snapshots *made, struct err *e)
{
    size_t known = 0, more = n_disks(machine);
    char key[KEY_LEN];

    vec_foreach (s, made) {
        size_t i = disk_of_volume(machine, s->volume_id);
        auto_job_resource struct job_resource r = {0};

        if (i == SIZE_MAX) {
            i = more++;
            if (job_resource_intend(job, KIND_SNAPSHOT, disk_key(key, KIND_SNAPSHOT, i),
                                    NULL, &r, e) < 0)
                return -1;
        } else {
            known++;
        }
        if (job_resource_made(job, disk_key(key, KIND_SNAPSHOT, i), s->id, NULL, e) < 0)
            return -1;
    }
    if (known == n_disks(machine) && more == known)
        return 0;
    return err_set(e, ERR_BUSY,
                   "volumes were attached or detached while the snapshots were made; "
                   "begin the backup anew");
}

/* CreateSnapshots has no client token: if a process died around it, time is given for the
 * snapshots to show up, which ec2_create_snapshots() then finds. */
static int wait_for_call_of_then(struct job *job, struct ec2_backup *b, struct err *e)
{
    auto_job_resource struct job_resource was = {0};
    auto_free char *any = NULL;
    char key[KEY_LEN];

    if (job_resource_get(job, disk_key(key, KIND_SNAPSHOT, 0), &was, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    return was.state == JOB_RESOURCE_INTENDED
               ? cloud_find_tagged(b->aws, job, KIND_SNAPSHOT, "snapshot", &any, e)
               : 0;
}

static int make_all(struct job *job, struct ec2_backup *b, const json_t *machine,
                    struct err *e)
{
    const char *id = ec2_source_instance(b->item.source);
    auto_job_resource struct job_resource first = {0};
    auto_tag_set struct tag_set tags = {0};
    struct ec2_snapshots made = {0};
    int r;

    if (wait_for_call_of_then(job, b, e) < 0)
        return -1;
    for (size_t i = n_disks(machine); i-- > 0;) {
        job_resource_release(&first);
        first = (struct job_resource){0};
        if (intend(job, machine, i, &first, e) < 0)
            return -1;
    }
    if (first.state == JOB_RESOURCE_MADE)
        return 0;
    if (tag_set_fill(&tags, job, &b->ctx, KIND_SNAPSHOT, b->plan->name, e) < 0 ||
        ec2_create_snapshots(
            b->aws,
            &(struct ec2_create_snapshots_in){.instance_id = id,
                                              .description = "hotadd backup",
                                              .client_token = first.token,
                                              .tags = tag_set_in(&tags)},
            &made, e) < 0)
        return -1;
    r = keep_made(job, machine, &made, e);
    if (r == 0)
        job_event(job, JOB_EVENT_INFO, "%zu snapshots of %s, of one moment", made.n, id);
    ec2_snapshots_release(&made);
    return r;
}

static int snapshot_id_of(struct job *job, size_t i, char **ret, struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    char key[KEY_LEN];

    if (job_resource_get(job, disk_key(key, KIND_SNAPSHOT, i), &r, e) < 0)
        return -1;
    if (r.state != JOB_RESOURCE_MADE)
        return err_set(e, ERR_NOT_FOUND, "job %s has no snapshot of disk %zu; begin anew",
                       job_id(job), i + 1);
    *ret = str_dup(r.cloud_id, e);
    return *ret ? 0 : -1;
}

/* Before anything is made in AWS for it. */
static int try_repo(const struct ec2_backup *b, struct err *e)
{
    auto_flow_repo struct flow_repo repo = {0};

    return flow_repo_open(&b->p.repo, b->p.open, b->env->cancel, &repo, e);
}

int step_create_snapshots(struct job *job, void *ctx, struct err *e)
{
    struct ec2_backup *b = ctx;
    const struct wait_options opt = {.progress = b->env->progress};
    json_auto_t *machine = NULL;

    if (machine_once(job, b, &machine, e) < 0 || try_repo(b, e) < 0 ||
        make_all(job, b, machine, e) < 0)
        return -1;
    for (size_t i = 0; i < n_disks(machine); i++) {
        auto_free char *id = NULL;

        if (snapshot_id_of(job, i, &id, e) < 0 ||
            ec2_wait_snapshot_completed(b->aws, id, &opt, NULL, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- read-volumes ---- */

struct reading {
    struct job *job;
    struct ec2_backup *b;
    json_t *described;       /* owned */
    struct machine *machine; /* owned */
    bool direct;             /* through the EBS direct APIs */
};
#define auto_reading auto_call(reading_release)

static void reading_release(struct reading *r)
{
    machine_free(r->machine);
    json_decref(r->described);
}

/* The volume of a snapshot that is still there; *ret is NULL for one that is gone. */
static int origin_volume(struct aws *aws, const char *snapshot, char **ret, struct err *e)
{
    struct ec2_snapshot s = {0};

    if (ec2_describe_snapshot(aws, snapshot, &s, e) < 0)
        return e->kind == ERR_NOT_FOUND || e->kind == ERR_CLOUD ? 0 : -1;
    if (str_eq(s.state, "completed"))
        *ret = take_ptr(s.volume_id);
    ec2_snapshot_release(&s);
    return 0;
}

/* Only what EBS vouches for: two snapshots of the same volume. Not knowing costs reading,
 * never data. */
static int changes_since(void *ctx, size_t disk, const char *base_origin,
                         struct changed_disk *ret, struct err *e)
{
    struct reading *r = ctx;
    const char *volume = disk_word(r->described, disk, "volume");
    auto_extent_set struct extent_set changed = {0};
    auto_free char *was = NULL;
    struct err why = ERR_INIT;

    if (!r->direct || !str_starts(base_origin, "snap-"))
        return 0;
    if (origin_volume(r->b->aws, base_origin, &was, e) < 0)
        return -1;
    if (!was || !str_eq(was, volume))
        return 0;
    if (ebs_changed_extents(r->b->aws, base_origin, r->machine->disks.v[disk].origin,
                            &changed, &why) < 0) {
        if (why.kind == ERR_CANCELLED || why.kind == ERR_NOMEM) {
            *e = why;
            return -1;
        }
        log_warning("disk %zu is read whole, since EBS does not say what changed: %s",
                    disk + 1, why.msg);
        return 0;
    }
    ret->all_known = true;
    ret->changed = changed;
    changed = (struct extent_set){0};
    job_event(r->job, JOB_EVENT_INFO, "disk %zu: %" PRIu64 " bytes changed since %s",
              disk + 1, extent_set_bytes(&ret->changed), base_origin);
    return 0;
}

static int open_direct(struct reading *r, struct err *e)
{
    for (size_t i = 0; i < r->machine->disks.n; i++) {
        struct machine_disk *d = &r->machine->disks.v[i];
        auto_free char *desc = NULL;

        desc = str_fmt(e, "%s %s (%s)", ec2_source_instance(r->b->item.source), d->name,
                       d->origin);
        if (!desc || ebs_source_new(r->b->aws, d->origin, desc, &d->source, e) < 0)
            return -1;
    }
    return 0;
}

static void close_sources(struct reading *r)
{
    vec_foreach (d, &r->machine->disks) {
        source_free(d->source);
        d->source = NULL;
    }
}

/* ---- by volumes, where the EBS direct APIs are closed to us ---- */

static int plan_volumes(struct reading *r, struct err *e)
{
    struct plan *plan = r->b->plan;

    if (plan->volumes.n)
        return 0;
    vec_foreach (d, &r->machine->disks) {
        struct plan_volume v = {.source_bytes = d->size_bytes,
                                .size_gib = d->size_bytes / GIB};

        if (vec_push(&plan->volumes, v, e) < 0 ||
            str_set(&plan->volumes.v[plan->volumes.n - 1].name, d->name, e) < 0 ||
            str_set(&plan->volumes.v[plan->volumes.n - 1].snapshot_id, d->origin, e) < 0)
            return -1;
    }
    return plan_set(&plan->volume_type, e, "gp3") < 0
               ? -1
               : preflight_proxy(&r->b->no_params, r->b->aws, plan, e);
}

static int open_volumes(struct reading *r, struct err *e)
{
    for (size_t i = 0; i < r->machine->disks.n; i++) {
        struct machine_disk *d = &r->machine->disks.v[i];
        auto_sink struct sink *sink = NULL;
        struct proxy_device device;

        if (volume_device(r->job, &r->b->ctx, i, &device, e) < 0 ||
            proxy_device_open(&r->b->ctx.paths, &device, d->size_bytes, PROXY_IN_USE,
                              job_cancel(r->job), &sink, e) < 0 ||
            source_sink_new(sink, &d->source, e) < 0)
            return err_prefix(e, "disk %zu", i + 1);
        take_ptr(sink);
    }
    return 0;
}

static int attach_and_open(struct reading *r, struct err *e)
{
    struct ec2_backup *b = r->b;

    if (!*b->plan->proxy_id)
        return err_set(e, ERR_REQUIREMENT,
                       "the snapshots cannot be read: the EBS direct APIs are refused, "
                       "and volumes could be attached on an EC2 instance only; allow "
                       "ebs:ListSnapshotBlocks, ebs:ListChangedBlocks and "
                       "ebs:GetSnapshotBlock, or run hotadd on a proxy");
    return plan_volumes(r, e) < 0 || step_create_volumes(r->job, &b->ctx, e) < 0 ||
                   step_attach_volumes(r->job, &b->ctx, e) < 0 || open_volumes(r, e) < 0
               ? -1
               : 0;
}

/* ---- */

static bool is_closed_to_us(const struct err *e)
{
    return e->kind == ERR_DENIED || e->kind == ERR_UNSUPPORTED || e->kind == ERR_NETWORK;
}

static int open_sources(struct reading *r, struct err *e)
{
    json_auto_t *by = NULL, *volumes = json_string(BY_VOLUMES);

    if (!volumes)
        return err_nomem(e);
    if (job_value_get(r->job, "read-by", &by, e) < 0)
        return -1;
    if (!by) {
        r->direct = true;
        if (open_direct(r, e) == 0)
            return 0;
        close_sources(r);
        if (!is_closed_to_us(e))
            return -1;
        job_event(
            r->job, JOB_EVENT_WARNING,
            "the snapshots are read from volumes made of them, since the EBS direct "
            "APIs refuse: %s",
            e->msg);
        if (job_value_set(r->job, "read-by", volumes, e) < 0)
            return -1;
    }
    r->direct = false;
    return attach_and_open(r, e);
}

/* Volumes of the other way, newest resource first. */
static int remove_volumes(struct job *job, struct ec2_backup *b, struct err *e)
{
    auto_job_resources struct job_resources left = {0};

    if (step_detach_volumes(job, &b->ctx, e) < 0 ||
        job_resources(job, KIND_VOLUME, &left, e) < 0)
        return -1;
    vec_foreach (r, &left)
        if (remove_volume(job, &b->ctx, r, e) < 0 ||
            job_resource_gone(job, r->key, e) < 0)
            return -1;
    return 0;
}

/* The instance's Name may be no name for a repository; its id always is one. */
static const char *vm_name(const struct ec2_backup *b, const struct machine *m)
{
    struct repo_name parsed = {0};
    struct err ignored;

    if (b->item.id)
        return b->item.id;
    if (strchr(m->name, '/') || strchr(m->name, '@') ||
        repo_name_parse(m->name, &parsed, &ignored) < 0)
        return ec2_source_instance(b->item.source);
    repo_name_release(&parsed);
    return m->name;
}

static int back_up(struct reading *r, struct err *e)
{
    struct ec2_backup *b = r->b;
    struct backup_item item = {.source = b->item.source,
                               .id = vm_name(b, r->machine),
                               .machine = r->machine,
                               .changes = changes_since,
                               .changes_ctx = r};
    struct backup_params p = b->p;
    const json_t *done;

    p.items = &item;
    json_decref(b->result);
    b->result = NULL;
    if (flow_backup_opened(&p, b->env, &b->result, e) < 0)
        return -1;
    done = json_array_get(json_object_get(b->result, "backups"), 0);
    if (json_object_set_new((json_t *)done, "job", json_string(job_id(r->job))) < 0)
        return err_nomem(e);
    return job_value_set(r->job, "point", json_object_get(done, "point"), e) < 0 ||
                   job_value_set(r->job, "result", done, e) < 0
               ? -1
               : 0;
}

int step_read_volumes(struct job *job, void *ctx, struct err *e)
{
    struct ec2_backup *b = ctx;
    auto_reading struct reading r = {.job = job, .b = b};
    json_auto_t *point = NULL;

    if (job_value_get(job, "point", &point, e) < 0 ||
        machine_once(job, b, &r.described, e) < 0 ||
        ec2_machine_new(r.described, &r.machine, e) < 0)
        return -1;
    for (size_t i = 0; i < r.machine->disks.n; i++)
        if (snapshot_id_of(job, i, &r.machine->disks.v[i].origin, e) < 0)
            return -1;
    if (!point && (open_sources(&r, e) < 0 || back_up(&r, e) < 0))
        return -1;
    close_sources(&r);
    return remove_volumes(job, b, e);
}

/* ---- retire-snapshots ---- */

/* What the next backup asks "since" of. The tag says of which machine it is, in the words
 * of a repository, without its time. */
static int machine_word(struct job *job, char **ret, struct err *e)
{
    json_auto_t *point = NULL;
    const char *text;

    if (job_value_get(job, "point", &point, e) < 0)
        return -1;
    text = json_string_value(point);
    if (!text)
        return err_set(e, ERR_INPUT, "job %s has no recovery point", job_id(job));
    *ret = str_ndup(text, strcspn(text, "@"), e);
    return *ret ? 0 : -1;
}

/* Kept ones of earlier backups of this volume into this machine's group. */
static int delete_older(struct ec2_backup *b, const char *machine, const char *volume,
                        const char *newest, struct err *e)
{
    const struct ec2_filter filters[] = {{"volume-id", EC2_STRS(volume)},
                                         {"tag:" TAG_BACKUP, EC2_STRS(machine)}};
    const struct ec2_query q = {
        .filters = filters, .n_filters = 2, .owners = EC2_STRS("self")};
    struct ec2_snapshots found = {0};
    int r = 0;

    if (ec2_describe_snapshots(b->aws, &q, &found, e) < 0)
        return -1;
    vec_foreach (s, &found)
        if (r == 0 && !str_eq(s->id, newest))
            r = ec2_delete_snapshot(b->aws, s->id, false, e);
    ec2_snapshots_release(&found);
    return r;
}

static int drop(struct job *job, struct ec2_backup *b, size_t i, struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    char key[KEY_LEN];

    if (job_resource_get(job, disk_key(key, KIND_SNAPSHOT, i), &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_GONE)
        return 0;
    return remove_snapshot(job, &b->ctx, &r, e) < 0 || job_resource_gone(job, key, e) < 0
               ? -1
               : 0;
}

/* Without the APIs that say what changed there is no use for a kept one. */
static int keeps_snapshots(struct job *job, const struct ec2_backup *b, bool *ret,
                           struct err *e)
{
    json_auto_t *by = NULL;

    if (job_value_get(job, "read-by", &by, e) < 0)
        return -1;
    *ret = !b->p.drop_snapshots && !by;
    return 0;
}

int step_retire_snapshots(struct job *job, void *ctx, struct err *e)
{
    struct ec2_backup *b = ctx;
    auto_free char *machine = NULL;
    json_auto_t *described = NULL;
    bool keep;

    if (machine_once(job, b, &described, e) < 0 || machine_word(job, &machine, e) < 0 ||
        keeps_snapshots(job, b, &keep, e) < 0)
        return -1;
    for (size_t i = 0; i < n_disks(described); i++) {
        const struct ec2_tag_in tag = {TAG_BACKUP, machine};
        auto_free char *id = NULL;

        if (!keep) {
            if (drop(job, b, i, e) < 0)
                return -1;
            continue;
        }
        if (snapshot_id_of(job, i, &id, e) < 0 ||
            ec2_create_tags(b->aws, EC2_STRS(id), (struct ec2_tags_in){&tag, 1}, false,
                            e) < 0 ||
            delete_older(b, machine, disk_word(described, i, "volume"), id, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- undo ---- */

/* One that was only intended is found by the job's tag and its volume: all of a job's
 * snapshots have the same tags, since one call made them. */
static int remove_made_or_not(struct job *job, void *ctx, const struct job_resource *r,
                              struct err *e)
{
    struct ec2_backup *b = ctx;
    const char *volume = json_str_or(r->attrs, "volume", "");
    const struct ec2_filter filters[] = {{"volume-id", EC2_STRS(volume)},
                                         {"tag:" TAG_JOB, EC2_STRS(job_id(job))}};
    const struct ec2_query q = {
        .filters = filters, .n_filters = 2, .owners = EC2_STRS("self")};
    struct ec2_snapshots found = {0};
    int rc = 0;

    if (r->cloud_id)
        return ec2_delete_snapshot(b->aws, r->cloud_id, false, e);
    for (int tries = 0; tries < 4 && !found.n; tries++) {
        ec2_snapshots_release(&found);
        if ((tries && cancel_sleep_ns(job_cancel(job), 1500000000, e) < 0) ||
            ec2_describe_snapshots(b->aws, &q, &found, e) < 0)
            return -1;
    }
    vec_foreach (s, &found)
        if (rc == 0)
            rc = ec2_delete_snapshot(b->aws, s->id, false, e);
    ec2_snapshots_release(&found);
    return rc;
}

const struct job_resource_kind ec2_backup_resources[] = {
    {KIND_SNAPSHOT, remove_made_or_not},
    {KIND_VOLUME, remove_volume},
    {KIND_ATTACHMENT, remove_attachment},
    {NULL, NULL},
};
