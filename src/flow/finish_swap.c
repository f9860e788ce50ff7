/* The swap finisher: launch from the carrier, stop, take the carrier's disk off and
 * delete it, put the restored volumes on, start. Each part looks at the instance first,
 * so it may be entered again after a crash anywhere. */
#include "aws/wait.h"
#include "base/str.h"
#include "flow/finish.h"
#include "proxy/slot.h"

#define KEY_CARRIER_ROOT "carrier/root"

/* ---- launch from the carrier ---- */

static int launch(struct job *job, struct restore_ctx *ctx, char **ret_id, struct err *e)
{
    auto_job_resource struct job_resource r = {0}, root = {0};
    struct ec2_instance i = {0};
    auto_free char *image = NULL;
    int rc;

    if (carrier_ensure(job, ctx, &image, e) < 0 ||
        /* The launch makes the carrier's disk too: it is intended first and undone
         * last, after the instance. */
        job_resource_intend(job, KIND_VOLUME, KEY_CARRIER_ROOT, NULL, &root, e) < 0 ||
        job_resource_intend(job, KIND_INSTANCE, KEY_INSTANCE, NULL, &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE) {
        *ret_id = str_dup(r.cloud_id, e);
        return *ret_id ? 0 : -1;
    }
    if (run_instance(job, ctx, image, NULL, 0, KEY_CARRIER_ROOT, &r, &i, e) < 0)
        return -1;
    rc = job_resource_made(job, KEY_INSTANCE, i.id, NULL, e);
    if (rc == 0) {
        job_event(job, JOB_EVENT_INFO, "instance %s, %s, launched from carrier %s", i.id,
                  ctx->plan->instance_type, image);
        rc = (*ret_id = str_dup(i.id, e)) ? 0 : -1;
    }
    ec2_instance_release(&i);
    return rc;
}

/* ---- swap the disks ---- */

static const struct ec2_mapping *mapping_at(const struct ec2_instance *i,
                                            const char *device)
{
    vec_foreach (m, &i->mappings)
        if (proxy_slot_same(m->device, device))
            return m;
    return NULL;
}

static bool has_volume(const struct ec2_instance *i, const char *volume)
{
    vec_foreach (m, &i->mappings)
        if (str_eq(m->volume_id, volume))
            return true;
    return false;
}

static int stop(struct restore_ctx *ctx, struct ec2_instance *i, struct err *e)
{
    struct ec2_instance stopped = {0};
    auto_free char *id = str_dup(i->id, e);

    if (!id)
        return -1;
    /* Its disk is blank: nothing in it could shut down in an orderly way. */
    if (!str_eq(i->state, "stopped") &&
        (ec2_wait_instance_running(ctx->aws, id, NULL, NULL, e) < 0 ||
         ec2_stop_instances(ctx->aws, id, true, false, e) < 0 ||
         ec2_wait_instance_stopped(ctx->aws, id, NULL, NULL, e) < 0))
        return -1;
    if (ec2_describe_instance(ctx->aws, id, &stopped, e) < 0)
        return -1;
    ec2_instance_release(i);
    *i = stopped;
    return 0;
}

static int drop_carrier_root(struct job *job, struct restore_ctx *ctx,
                             const struct ec2_instance *i, const char *root_volume,
                             struct err *e)
{
    const struct ec2_mapping *m = mapping_at(i, i->root_device_name);
    auto_job_resource struct job_resource r = {0};

    if (m && !str_eq(m->volume_id, root_volume) &&
        (job_resource_made(job, KEY_CARRIER_ROOT, m->volume_id, NULL, e) < 0 ||
         ec2_detach_volume(ctx->aws, m->volume_id, i->id, false, e) < 0 ||
         ec2_wait_detached(ctx->aws, m->volume_id, i->id, NULL, e) < 0))
        return -1;
    if (job_resource_get(job, KEY_CARRIER_ROOT, &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_GONE)
        return 0;
    if (remove_volume(job, ctx, &r, e) < 0)
        return -1;
    return job_resource_gone(job, KEY_CARRIER_ROOT, e);
}

static int put_volume(struct job *job, struct restore_ctx *ctx,
                      const struct ec2_instance *i, size_t disk, struct err *e)
{
    char xvd[16];
    const char *device = device_for(ctx->plan, i->root_device_name, disk, xvd);
    auto_free char *volume = NULL;

    if (!device)
        return err_set(e, ERR_UNSUPPORTED, "an instance takes at most %d volumes",
                       PROXY_SLOT_NAMES);
    if (volume_id_of(job, disk, &volume, e) < 0)
        return -1;
    if (!has_volume(i, volume) &&
        ec2_attach_volume(ctx->aws, volume, i->id, device, false, e) < 0)
        return -1;
    if (ec2_wait_attached(ctx->aws, volume, i->id, NULL, e) < 0)
        return -1;
    return ec2_modify_delete_on_termination(ctx->aws, i->id, device,
                                            ctx->params->delete_on_termination, false, e);
}

static int swap_disks(struct job *job, struct restore_ctx *ctx, struct ec2_instance *i,
                      struct err *e)
{
    auto_free char *root = NULL;

    if (volume_id_of(job, 0, &root, e) < 0 || stop(ctx, i, e) < 0 ||
        drop_carrier_root(job, ctx, i, root, e) < 0)
        return -1;
    for (size_t d = 0; d < ctx->plan->volumes.n; d++)
        if (put_volume(job, ctx, i, d, e) < 0)
            return err_prefix(e, "disk %zu", d + 1);
    if (str_eq(ctx->plan->hypervisor, "nitro") && !i->ena_support)
        return ec2_modify_ena_support(ctx->aws, i->id, true, false, e);
    return 0;
}

int finish_swap(struct job *job, struct restore_ctx *ctx, struct err *e)
{
    struct ec2_instance i = {0};
    auto_free char *id = NULL;
    json_auto_t *swapped = NULL, *yes = json_true();
    int r;

    if (launch(job, ctx, &id, e) < 0 || job_value_get(job, "swapped", &swapped, e) < 0)
        return -1;
    if (!swapped) {
        if (describe_settled(ctx, id, &i, e) < 0)
            return -1;
        r = swap_disks(job, ctx, &i, e);
        ec2_instance_release(&i);
        if (r < 0 || job_value_set(job, "swapped", yes, e) < 0)
            return -1;
    }
    if (ec2_start_instances(ctx->aws, id, false, e) < 0)
        return -1;
    return ec2_wait_instance_running(ctx->aws, id, NULL, NULL, e);
}
