/* The image finisher: snapshots of the volumes, an image of them, an instance of it. The
 * volumes go when their snapshots are complete, image and snapshots when the instance
 * runs, unless they are to be kept.
 *
 * A crash leaves what the journal names; each part finds what is there. */
#include "aws/wait.h"
#include "base/str.h"
#include "flow/finish.h"

#define ROOT_DEVICE "/dev/sda1"

/* ---- Snapshots ---- */

static int snapshot_one(struct job *job, struct restore_ctx *ctx, size_t i, char **ret,
                        struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    auto_tag_set struct tag_set tags = {0};
    auto_free char *name = str_fmt(e, "%s disk %zu", ctx->plan->name, i + 1);
    auto_free char *volume = NULL;
    struct ec2_snapshot s = {0};
    char key[KEY_LEN];
    int rc;

    if (!name || cloud_intend(ctx->aws, job, KIND_SNAPSHOT,
                              disk_key(key, KIND_SNAPSHOT, i), &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE) {
        *ret = str_dup(r.cloud_id, e);
        return *ret ? 0 : -1;
    }
    if (volume_id_of(job, i, &volume, e) < 0 ||
        tag_set_fill(&tags, job, ctx, key, name, e) < 0 ||
        ec2_create_snapshot(ctx->aws,
                            &(struct ec2_create_snapshot_in){.volume_id = volume,
                                                             .description = name,
                                                             .client_token = r.token,
                                                             .tags = tag_set_in(&tags)},
                            &s, e) < 0)
        return -1;
    rc = job_resource_made(job, key, s.id, NULL, e);
    if (rc == 0)
        rc = (*ret = str_dup(s.id, e)) ? 0 : -1;
    ec2_snapshot_release(&s);
    return rc;
}

int snapshots_of_volumes(struct job *job, struct restore_ctx *ctx, struct strv *ret,
                         struct err *e)
{
    const struct wait_options opt = {.progress = ctx->progress};
    size_t n = ctx->plan->volumes.n;
    char key[KEY_LEN];

    for (size_t i = 0; i < n; i++) {
        auto_free char *id = NULL;

        if (snapshot_one(job, ctx, i, &id, e) < 0)
            return err_prefix(e, "snapshot of disk %zu", i + 1);
        if (strv_add(ret, id, e) < 0)
            return -1;
    }
    vec_foreach (id, ret)
        if (ec2_wait_snapshot_completed(ctx->aws, *id, &opt, NULL, e) < 0)
            return -1;
    for (size_t i = 0; i < n; i++)
        if (drop_resource(job, ctx, disk_key(key, KIND_VOLUME, i), remove_volume, e) < 0)
            return err_prefix(e, "the volume of disk %zu, which has served", i + 1);
    return 0;
}

int drop_snapshots(struct job *job, struct restore_ctx *ctx, struct err *e)
{
    char key[KEY_LEN];

    for (size_t i = 0; i < ctx->plan->volumes.n; i++)
        if (drop_resource(job, ctx, disk_key(key, KIND_SNAPSHOT, i), remove_snapshot, e) <
            0)
            return err_prefix(e, "the snapshot of disk %zu, which has served", i + 1);
    return 0;
}

/* ---- The image ---- */

static int map_snapshots(const struct restore_ctx *ctx, const struct strv *snapshots,
                         struct ec2_mapping_in **ret, struct err *e)
{
    auto_free struct ec2_mapping_in *v = mem_zalloc(snapshots->n, sizeof *v, e);
    char unused[16];

    if (!v)
        return -1;
    for (size_t i = 0; i < snapshots->n; i++) {
        const char *device = device_for(ctx->plan, ROOT_DEVICE, i, unused);

        if (!device)
            return err_set(e, ERR_UNSUPPORTED, "an instance takes no %zu volumes",
                           snapshots->n);
        v[i] = mapping_of(ctx, device, snapshots->v[i]);
    }
    *ret = take_ptr(v);
    return 0;
}

/* RegisterImage's own defaults are those of 2008: each attribute is said. */
static int register_image(struct job *job, struct restore_ctx *ctx,
                          const struct ec2_mapping_in *mappings, size_t n, char **ret,
                          struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    auto_tag_set struct tag_set tags = {0};
    auto_free char *name = str_fmt(e, "hotadd-%s", job_id(job));
    auto_free char *about = str_fmt(e, "%s, of %s", ctx->plan->name, job_id(job));
    auto_free char *id = NULL;

    if (!name || !about ||
        job_resource_intend(job, KIND_IMAGE, KEY_IMAGE, NULL, &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE) {
        *ret = str_dup(r.cloud_id, e);
        return *ret ? 0 : -1;
    }
    if (tag_set_fill(&tags, job, ctx, KEY_IMAGE, ctx->plan->name, e) < 0 ||
        ec2_register_image(
            ctx->aws,
            &(struct ec2_register_image_in){
                .name = name,
                .description = about,
                .architecture = "x86_64",
                .virtualization_type = "hvm",
                .root_device_name = ROOT_DEVICE,
                .boot_mode = ctx->plan->boot_mode,
                .ena_support = str_eq(ctx->plan->hypervisor, "nitro") ? EC2_YES : EC2_NO,
                .imds_support =
                    str_eq_null(ctx->params->imds, "optional") ? NULL : "v2.0",
                .mappings = mappings,
                .n_mappings = n,
                .client_token = r.token,
                .tags = tag_set_in(&tags)},
            &id, e) < 0 ||
        job_resource_made(job, KEY_IMAGE, id, NULL, e) < 0)
        return -1;
    job_event(job, JOB_EVENT_INFO, "image %s of %zu snapshots", id, n);
    *ret = take_ptr(id);
    return 0;
}

static int make_and_launch(struct job *job, struct restore_ctx *ctx, struct err *e)
{
    auto_strv struct strv snapshots = {0};
    auto_free struct ec2_mapping_in *mappings = NULL;
    auto_free char *image = NULL;

    if (snapshots_of_volumes(job, ctx, &snapshots, e) < 0 ||
        map_snapshots(ctx, &snapshots, &mappings, e) < 0 ||
        register_image(job, ctx, mappings, snapshots.n, &image, e) < 0 ||
        ec2_wait_image_available(ctx->aws, image, NULL, NULL, e) < 0)
        return -1;
    return launch_from_image(job, ctx, image, mappings, snapshots.n, e);
}

int finish_image(struct job *job, struct restore_ctx *ctx, struct err *e)
{
    bool launched;

    if (launched_before(job, &launched, e) < 0 ||
        (!launched && make_and_launch(job, ctx, e) < 0))
        return -1;
    if (ctx->params->keep_image)
        return 0;
    /* EC2 keeps a snapshot as long as an image uses it. */
    if (drop_resource(job, ctx, KEY_IMAGE, remove_image, e) < 0)
        return err_prefix(e, "the image, which has served");
    return drop_snapshots(job, ctx, e);
}
