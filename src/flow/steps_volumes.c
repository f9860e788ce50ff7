/* create-volumes, attach-volumes, detach-volumes.
 *
 * Intent before call, id after it: a crash between the two is mended by the same client
 * token (CreateVolume) or by looking at the state (AttachVolume). */
#include "aws/wait.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "flow/restore.h"
#include "job/slots.h"
#include "proxy/slot.h"

#include <inttypes.h>

#define DEVICE_WAIT_NS (120 * NS_PER_S)

int volume_id_of(struct job *job, size_t i, char **ret, struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    char key[KEY_LEN];

    if (job_resource_get(job, disk_key(key, KIND_VOLUME, i), &r, e) < 0)
        return -1;
    if (r.state != JOB_RESOURCE_MADE)
        return err_set(e, ERR_NOT_FOUND,
                       "job %s has no volume for disk %zu; `hotadd undo"
                       " %s` and begin anew",
                       job_id(job), i + 1, job_id(job));
    *ret = str_dup(r.cloud_id, e);
    return *ret ? 0 : -1;
}

/* ---- create-volumes ---- */

/* Empty, of a snapshot, or a copy. */
static int make_volume(struct restore_ctx *ctx, const struct plan_volume *pv,
                       const char *token, struct ec2_tags_in tags, struct ec2_volume *ret,
                       struct err *e)
{
    const struct restore_params *p = ctx->params;

    if (pv->copy_of)
        return ec2_copy_volumes(ctx->aws,
                                &(struct ec2_copy_volumes_in){
                                    .source_volume_id = pv->copy_of,
                                    .type = ctx->plan->volume_type,
                                    .iops = p->iops,
                                    .throughput_mibps = p->throughput,
                                    .client_token = token,
                                    .tags = tags,
                                },
                                ret, e);
    return ec2_create_volume(ctx->aws,
                             &(struct ec2_create_volume_in){
                                 .zone = ctx->plan->zone,
                                 .type = ctx->plan->volume_type,
                                 .size_gib = pv->size_gib,
                                 .iops = p->iops,
                                 .throughput_mibps = p->throughput,
                                 .encrypted = p->encrypted ? EC2_YES : EC2_DEFAULT,
                                 .kms_key_id = p->kms_key,
                                 .snapshot_id = pv->snapshot_id,
                                 .client_token = token,
                                 .tags = tags,
                             },
                             ret, e);
}

static int create_one(struct job *job, struct restore_ctx *ctx, size_t i, struct err *e)
{
    const struct plan_volume *pv = &ctx->plan->volumes.v[i];
    auto_job_resource struct job_resource r = {0};
    auto_tag_set struct tag_set tags = {0};
    auto_free char *name = str_fmt(e, "%s disk %zu", ctx->plan->name, i + 1);
    struct ec2_volume v = {0};
    char key[KEY_LEN];
    int rc;

    if (!name || job_resource_intend(job, KIND_VOLUME, disk_key(key, KIND_VOLUME, i),
                                     NULL, &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE)
        return 0;
    if (tag_set_fill(&tags, job, ctx, key, name, e) < 0)
        return -1;
    /* A new volume: what an earlier, vanished one held durably counts no more. */
    if (job_ranges_forget(job, (uint32_t)i, e) < 0)
        return -1;
    rc = make_volume(ctx, pv, r.token, tag_set_in(&tags), &v, e);
    if (rc < 0)
        return err_prefix(e, "volume for disk %zu (%s)", i + 1, pv->name);
    rc = job_resource_made(job, key, v.id, NULL, e);
    if (rc == 0)
        job_event(job, JOB_EVENT_INFO, "volume %s, %" PRIu64 " GiB, for disk %zu (%s)",
                  v.id, pv->size_gib, i + 1, pv->name);
    ec2_volume_release(&v);
    return rc;
}

int step_create_volumes(struct job *job, void *vctx, struct err *e)
{
    struct restore_ctx *ctx = vctx;

    for (size_t i = 0; i < ctx->plan->volumes.n; i++)
        if (create_one(job, ctx, i, e) < 0)
            return -1;
    for (size_t i = 0; i < ctx->plan->volumes.n; i++) {
        auto_free char *id = NULL;
        struct ec2_volume v = {0};
        bool in_use;

        if (volume_id_of(job, i, &id, e) < 0)
            return -1;
        /* Entered again after a later step began: it may be attached already. */
        if (ec2_describe_volume(ctx->aws, id, &v, e) < 0 && e->kind != ERR_NOT_FOUND)
            return -1;
        in_use = v.state && str_eq(v.state, "in-use");
        ec2_volume_release(&v);
        if (!in_use && ec2_wait_volume_available(ctx->aws, id, NULL, NULL, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- attach-volumes ---- */

/* The device names the proxy has in use now, as borrowed strings of *proxy. */
static int names_in_use(struct restore_ctx *ctx, struct ec2_instance *proxy,
                        const char ***ret, struct err *e)
{
    const char **names;

    if (ec2_describe_instance(ctx->aws, ctx->plan->proxy_id, proxy, e) < 0)
        return -1;
    names = mem_zalloc(proxy->mappings.n, sizeof *names, e);
    if (!names) {
        ec2_instance_release(proxy);
        return -1;
    }
    for (size_t i = 0; i < proxy->mappings.n; i++)
        names[i] = proxy->mappings.v[i].device;
    *ret = names;
    return 0;
}

static int lease_slots(struct job *job, struct restore_ctx *ctx, struct job_slots *ret,
                       struct err *e)
{
    size_t n = ctx->plan->volumes.n;
    auto_free char(*keys)[KEY_LEN] = mem_zalloc(n, sizeof *keys, e);
    auto_free const char **key_list = keys ? mem_zalloc(n, sizeof *key_list, e) : NULL;
    auto_free const char **in_use = NULL;
    const char *names[PROXY_SLOT_NAMES];
    struct ec2_instance proxy = {0};
    size_t n_names;
    int rc;

    if (!key_list)
        return -1;
    for (size_t i = 0; i < n; i++)
        key_list[i] = disk_key(keys[i], KIND_VOLUME, i);
    if (names_in_use(ctx, &proxy, &in_use, e) < 0)
        return -1;
    n_names = proxy_slot_free_names(in_use, proxy.mappings.n, names);
    rc = job_slots_lease(job,
                         &(struct job_slot_request){
                             .proxy = ctx->plan->proxy_id,
                             .keys = key_list,
                             .n_keys = n,
                             .names = names,
                             .n_names = n_names,
                             .in_use = in_use,
                             .n_in_use = proxy.mappings.n,
                             .limit = ctx->plan->slot_limit,
                         },
                         ret, e);
    ec2_instance_release(&proxy);
    return rc;
}

static int attach_one(struct job *job, struct restore_ctx *ctx, size_t i,
                      const struct job_slot *slot, struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    auto_free char *volume = NULL;
    auto_free char *id = NULL;
    json_auto_t *attrs = NULL;
    char key[KEY_LEN];

    if (volume_id_of(job, i, &volume, e) < 0)
        return -1;
    attrs = json_pack("{s:s, s:s, s:s}", "volume", volume, "device", slot->name, "slot",
                      slot->key);
    if (!attrs)
        return err_nomem(e);
    if (job_resource_intend(job, KIND_ATTACHMENT, disk_key(key, KIND_ATTACHMENT, i),
                            attrs, &r, e) < 0)
        return -1;
    proxy_quiet_mark(&ctx->paths, volume);
    if (ec2_attach_volume(ctx->aws, volume, ctx->plan->proxy_id,
                          json_str_or(r.attrs, "device", slot->name), false, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE)
        return 0;
    id = str_fmt(e, "%s@%s", volume, ctx->plan->proxy_id);
    return id ? job_resource_made(job, key, id, NULL, e) : -1;
}

int step_attach_volumes(struct job *job, void *vctx, struct err *e)
{
    struct restore_ctx *ctx = vctx;
    auto_job_slots struct job_slots slots = {0};

    if (lease_slots(job, ctx, &slots, e) < 0)
        return -1;
    for (size_t i = 0; i < ctx->plan->volumes.n; i++)
        if (attach_one(job, ctx, i, &slots.v[i], e) < 0)
            return -1;
    for (size_t i = 0; i < ctx->plan->volumes.n; i++) {
        auto_free char *id = NULL;
        struct proxy_device device;

        if (volume_id_of(job, i, &id, e) < 0 ||
            ec2_wait_attached(ctx->aws, id, ctx->plan->proxy_id, NULL, e) < 0 ||
            volume_device(job, ctx, i, &device, e) < 0)
            return -1;
        job_event(job, JOB_EVENT_INFO, "volume %s is %s here (by %s)", id, device.path,
                  proxy_device_how_name(device.how));
    }
    return 0;
}

int volume_device(struct job *job, const struct restore_ctx *ctx, size_t i,
                  struct proxy_device *ret, struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    const char *volume, *device;
    char key[KEY_LEN];

    if (job_resource_get(job, disk_key(key, KIND_ATTACHMENT, i), &r, e) < 0 ||
        json_need_str(r.attrs, "volume", &volume, e) < 0 ||
        json_need_str(r.attrs, "device", &device, e) < 0)
        return err_prefix(e, "attachment of disk %zu", i + 1);
    return proxy_device_find(&ctx->paths, volume, device,
                             clock_mono_ns() + DEVICE_WAIT_NS, job_cancel(job), ret, e);
}

/* ---- detach-volumes ---- */

int step_detach_volumes(struct job *job, void *vctx, struct err *e)
{
    auto_job_resources struct job_resources attachments = {0};

    if (job_resources(job, KIND_ATTACHMENT, &attachments, e) < 0)
        return -1;
    vec_foreach (r, &attachments)
        if (remove_attachment(job, vctx, r, e) < 0 ||
            job_resource_gone(job, r->key, e) < 0)
            return err_prefix(e, "detaching %s", r->key);
    return 0;
}
