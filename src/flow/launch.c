/* Launching an instance from an image; see finish.h.
 *
 * RunInstances makes volumes of its own. They are intended before the call and tagged by
 * it with the key "launched", so that an undo finds them; once the instance shows them,
 * each is noted, and tagged, as the disk it is. A crash in between is looked up again. */
#include "aws/wait.h"
#include "base/clock.h"
#include "base/str.h"
#include "flow/finish.h"
#include "flow/windows.h"
#include "proxy/slot.h"

#define SETTLE_TRIES   10
#define SETTLE_WAIT_NS (2 * NS_PER_S)
#define VALUE_LAUNCHED "launched"

int describe_settled(struct restore_ctx *ctx, const char *id, struct ec2_instance *ret,
                     struct err *e)
{
    for (int tries = 0;; tries++) {
        if (ec2_describe_instance(ctx->aws, id, ret, e) == 0)
            return 0;
        if (e->kind != ERR_NOT_FOUND || tries == SETTLE_TRIES ||
            cancel_sleep_ns(ctx->cancel, SETTLE_WAIT_NS, e) < 0)
            return -1;
    }
}

const char *device_for(const struct plan *plan, const char *root_device, size_t disk,
                       char buf[16])
{
    const char *const *list = proxy_slot_names();

    _Static_assert(PROXY_SLOT_NAME_LEN <= 16, "names fit");
    if (disk == 0)
        return root_device;
    for (size_t n = 0, seen = 0; n < PROXY_SLOT_NAMES; n++) {
        if (proxy_slot_same(list[n], root_device))
            continue;
        /* Windows' instances name them xvdf and so on, as Xen does. */
        if (++seen == disk)
            return plan_is_windows(plan) ? proxy_slot_xen_name(list[n], buf) : list[n];
    }
    return NULL;
}

struct ec2_mapping_in mapping_of(const struct restore_ctx *ctx, const char *device,
                                 const char *snapshot)
{
    return (struct ec2_mapping_in){
        .device = device,
        .snapshot_id = snapshot,
        .type = ctx->plan->volume_type,
        .iops = ctx->params->iops,
        .throughput_mibps = ctx->params->throughput,
        .delete_on_termination = ctx->params->delete_on_termination ? EC2_YES : EC2_NO,
    };
}

int drop_resource(struct job *job, struct restore_ctx *ctx, const char *key,
                  int (*remove)(struct job *job, void *ctx, const struct job_resource *r,
                                struct err *e),
                  struct err *e)
{
    auto_job_resource struct job_resource r = {0};

    if (job_resource_get(job, key, &r, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    if (r.state == JOB_RESOURCE_GONE)
        return 0;
    return remove(job, ctx, &r, e) < 0 ? -1 : job_resource_gone(job, key, e);
}

/* ---- RunInstances ---- */

int run_instance(struct job *job, struct restore_ctx *ctx, const char *image,
                 const struct ec2_mapping_in *mappings, size_t n, const char *volume_key,
                 const struct job_resource *r, struct ec2_instance *ret, struct err *e)
{
    const struct restore_params *p = ctx->params;
    auto_tag_set struct tag_set tags = {0};
    auto_tag_set struct tag_set volume_tags = {0};

    if (tag_set_fill(&tags, job, ctx, KEY_INSTANCE, ctx->plan->name, e) < 0 ||
        tag_set_fill(&volume_tags, job, ctx, volume_key, NULL, e) < 0)
        return -1;
    return ec2_run_instances(
        ctx->aws,
        &(struct ec2_run_instances_in){
            .image_id = image,
            .type = ctx->plan->instance_type,
            .subnet_id = ctx->plan->subnet_id,
            .security_group_ids = {(const char *const *)ctx->plan->security_group_ids.v,
                                   ctx->plan->security_group_ids.n},
            .key_name = p->key_name,
            .iam_profile = p->iam_profile,
            .private_ip = p->private_ip,
            .mappings = mappings,
            .n_mappings = n,
            .imdsv2_required = !str_eq_null(p->imds, "optional"),
            .client_token = r->token,
            .tags = tag_set_in(&tags),
            .volume_tags = tag_set_in(&volume_tags)},
        ret, e);
}

/* Each volume is one of the job's disks from now on, by its journal and by its tags. */
static int note_volumes(struct job *job, struct restore_ctx *ctx,
                        const struct ec2_instance *i,
                        const struct ec2_mapping_in *mappings, size_t n, struct err *e)
{
    for (size_t d = 0; d < n; d++) {
        const struct ec2_mapping *found = NULL;
        auto_free char *name = str_fmt(e, "%s disk %zu", ctx->plan->name, d + 1);
        auto_tag_set struct tag_set tags = {0};
        char key[KEY_LEN];

        vec_foreach (m, &i->mappings)
            if (proxy_slot_same(m->device, mappings[d].device))
                found = m;
        if (!found)
            return err_set(e, ERR_CLOUD, "instance %s shows no volume at %s", i->id,
                           mappings[d].device);
        if (!name ||
            job_resource_made(job, disk_key(key, KEY_LAUNCHED, d), found->volume_id, NULL,
                              e) < 0 ||
            tag_set_fill(&tags, job, ctx, key, name, e) < 0 ||
            ec2_create_tags(ctx->aws, EC2_STRS(found->volume_id), tag_set_in(&tags),
                            false, e) < 0)
            return -1;
    }
    return 0;
}

static int launch(struct job *job, struct restore_ctx *ctx, const char *image,
                  const struct ec2_mapping_in *mappings, size_t n, char **ret,
                  struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    struct ec2_instance i = {0};
    int rc;

    /* Undone newest first: the instance before its volumes. */
    for (size_t d = 0; d < n; d++) {
        auto_job_resource struct job_resource v = {0};
        char key[KEY_LEN];

        if (job_resource_intend(job, KIND_LAUNCHED_VOLUME, disk_key(key, KEY_LAUNCHED, d),
                                NULL, &v, e) < 0)
            return -1;
    }
    if (job_resource_intend(job, KIND_INSTANCE, KEY_INSTANCE, NULL, &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE) {
        *ret = str_dup(r.cloud_id, e);
        return *ret ? 0 : -1;
    }
    if (run_instance(job, ctx, image, mappings, n, KEY_LAUNCHED, &r, &i, e) < 0)
        return -1;
    rc = job_resource_made(job, KEY_INSTANCE, i.id, NULL, e);
    if (rc == 0) {
        job_event(job, JOB_EVENT_INFO, "instance %s, %s, launched from image %s", i.id,
                  ctx->plan->instance_type, image);
        rc = (*ret = str_dup(i.id, e)) ? 0 : -1;
    }
    ec2_instance_release(&i);
    return rc;
}

int launched_before(struct job *job, bool *ret, struct err *e)
{
    json_auto_t *was = NULL;

    if (job_value_get(job, VALUE_LAUNCHED, &was, e) < 0)
        return -1;
    *ret = was != NULL;
    return 0;
}

int launch_from_image(struct job *job, struct restore_ctx *ctx, const char *image,
                      const struct ec2_mapping_in *mappings, size_t n, struct err *e)
{
    json_auto_t *yes = json_true();
    struct ec2_instance i = {0};
    auto_free char *id = NULL;
    bool before;
    int r;

    if (launched_before(job, &before, e) < 0)
        return -1;
    if (before)
        return 0;
    if (launch(job, ctx, image, mappings, n, &id, e) < 0 ||
        ec2_wait_instance_running(ctx->aws, id, NULL, NULL, e) < 0 ||
        describe_settled(ctx, id, &i, e) < 0)
        return -1;
    r = note_volumes(job, ctx, &i, mappings, n, e);
    ec2_instance_release(&i);
    return r < 0 ? -1 : job_value_set(job, VALUE_LAUNCHED, yes, e);
}

/* One without an id has not been told from the others that the launch made: all of them
 * are removed. */
int remove_launched_volume(struct job *job, void *vctx, const struct job_resource *r,
                           struct err *e)
{
    struct restore_ctx *ctx = vctx;

    if (r->cloud_id)
        return volume_delete_anywhere(ctx->aws, r->cloud_id, e);
    for (;;) {
        auto_free char *id = NULL;

        if (cloud_find_tagged(ctx->aws, job, KEY_LAUNCHED, "volume", &id, e) < 0)
            return -1;
        if (!id)
            return 0;
        if (volume_delete_anywhere(ctx->aws, id, e) < 0)
            return -1;
    }
}
