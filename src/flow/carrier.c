/* The carrier: the AMI a swap launch starts from. Its contents are never used; it lends
 * the instance its boot mode and, for Windows, its licence.
 *
 * For Linux it is a tiny private AMI per boot mode, made once from a blank snapshot and
 * found again by its tag. A crash leaves its parts in the job's journal: resume goes on,
 * undo removes them. */
#include "aws/wait.h"
#include "base/str.h"
#include "flow/restore.h"
#include "flow/windows.h"

#define CARRIER_ROOT_DEVICE "/dev/sda1"

static bool usable(const struct ec2_image *i, const char *boot_mode)
{
    return str_eq(i->state, "available") && str_eq(i->architecture, "x86_64") &&
           str_eq(i->virtualization_type, "hvm") && str_eq(i->root_device_type, "ebs") &&
           str_eq(i->boot_mode, boot_mode);
}

static int check_given(struct aws *aws, const char *id, struct plan *plan, struct err *e)
{
    struct ec2_image i = {0};
    int r = 0;

    if (ec2_describe_image(aws, id, &i, e) < 0)
        return err_prefix(e, "--carrier %s", id);
    if (!str_eq(i.state, "available"))
        r = err_set(e, ERR_REQUIREMENT,
                    "--carrier %s: its state is %s; wait, or choose "
                    "another",
                    id, i.state);
    else if (!str_eq(i.architecture, "x86_64") || !str_eq(i.virtualization_type, "hvm") ||
             !str_eq(i.root_device_type, "ebs"))
        r = err_set(e, ERR_REQUIREMENT,
                    "--carrier %s is %s, %s with root on %s; a carrier must be x86_64, "
                    "hvm, on ebs",
                    id, i.architecture, i.virtualization_type, i.root_device_type);
    else if (*i.boot_mode && !str_eq(i.boot_mode, plan->boot_mode) &&
             !str_eq(i.boot_mode, "uefi-preferred"))
        r = err_set(e, ERR_REQUIREMENT,
                    "--carrier %s boots by %s and this machine's disks boot by %s; "
                    "choose a carrier of that boot mode, or let hotadd make one",
                    id, i.boot_mode, plan->boot_mode);
    else if (plan_is_windows(plan) && !str_eq(i.platform, "windows"))
        r = err_set(e, ERR_REQUIREMENT,
                    "--carrier %s is no Windows image, so the instance would have no "
                    "Windows licence; choose one of Amazon's, or let hotadd choose",
                    id);
    else if (!plan_is_windows(plan) && str_eq(i.platform, "windows"))
        r = err_set(e, ERR_REQUIREMENT,
                    "--carrier %s is a Windows image, which would be "
                    "billed a Windows licence; this guest is Linux",
                    id);
    ec2_image_release(&i);
    if (r < 0 || plan_set(&plan->carrier_id, e, "%s", id) < 0)
        return -1;
    return plan_set(&plan->carrier_why, e, "given");
}

int carrier_plan(struct aws *aws, const struct restore_params *params, struct plan *plan,
                 struct err *e)
{
    const struct ec2_filter by_tag[] = {{"tag:" TAG_CARRIER, EC2_STRS(plan->boot_mode)}};
    struct ec2_images images = {0};
    int r = 0;

    if (params->carrier)
        return check_given(aws, params->carrier, plan, e);
    if (plan_is_windows(plan))
        return windows_carrier_plan(aws, plan, e);
    if (ec2_describe_images(aws,
                            &(struct ec2_query){.filters = by_tag,
                                                .n_filters = 1,
                                                .owners = EC2_STRS("self")},
                            &images, e) < 0)
        return -1;
    vec_foreach (i, &images)
        if (r == 0 && !plan->carrier_id && usable(i, plan->boot_mode))
            r = plan_set(&plan->carrier_id, e, "%s", i->id);
    ec2_images_release(&images);
    if (r < 0)
        return -1;
    return plan_set(&plan->carrier_why, e,
                    plan->carrier_id ? "hotadd's own for %s"
                                     : "a blank private AMI for %s, kept for later jobs",
                    plan->boot_mode);
}

/* ---- making it ---- */

static int blank_volume(struct job *job, struct restore_ctx *ctx, char **ret,
                        struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    auto_tag_set struct tag_set tags = {0};
    struct ec2_volume v = {0};
    int rc;

    if (job_resource_intend(job, KIND_VOLUME, "carrier/volume", NULL, &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE) {
        *ret = str_dup(r.cloud_id, e);
        return *ret ? 0 : -1;
    }
    if (tag_set_fill(&tags, job, ctx, "carrier/volume", "hotadd carrier", e) < 0 ||
        ec2_create_volume(ctx->aws,
                          &(struct ec2_create_volume_in){.zone = ctx->plan->zone,
                                                         .type = "gp3",
                                                         .size_gib = 1,
                                                         .client_token = r.token,
                                                         .tags = tag_set_in(&tags)},
                          &v, e) < 0)
        return -1;
    rc = job_resource_made(job, "carrier/volume", v.id, NULL, e);
    if (rc == 0 && !(*ret = str_dup(v.id, e)))
        rc = -1;
    ec2_volume_release(&v);
    return rc;
}

static int blank_snapshot(struct job *job, struct restore_ctx *ctx, char **ret,
                          struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    auto_tag_set struct tag_set tags = {0};
    auto_free char *volume = NULL;
    struct ec2_snapshot s = {0};
    int rc;

    if (cloud_intend(ctx->aws, job, KIND_SNAPSHOT, "carrier/snapshot", &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE) {
        *ret = str_dup(r.cloud_id, e);
        return *ret ? 0 : -1;
    }
    if (blank_volume(job, ctx, &volume, e) < 0 ||
        ec2_wait_volume_available(ctx->aws, volume, NULL, NULL, e) < 0 ||
        tag_set_fill(&tags, job, ctx, "carrier/snapshot", "hotadd carrier", e) < 0 ||
        ec2_create_snapshot(ctx->aws,
                            &(struct ec2_create_snapshot_in){
                                .volume_id = volume,
                                .description = "blank disk of hotadd's carrier AMI",
                                .client_token = r.token,
                                .tags = tag_set_in(&tags)},
                            &s, e) < 0)
        return -1;
    rc = job_resource_made(job, "carrier/snapshot", s.id, NULL, e);
    if (rc == 0 && !(*ret = str_dup(s.id, e)))
        rc = -1;
    ec2_snapshot_release(&s);
    return rc;
}

static int register_carrier(struct job *job, struct restore_ctx *ctx,
                            const char *snapshot, const struct job_resource *r,
                            char **ret, struct err *e)
{
    struct ec2_mapping_in root = {.device = CARRIER_ROOT_DEVICE,
                                  .snapshot_id = snapshot,
                                  .type = "gp3",
                                  .delete_on_termination = EC2_YES};
    auto_tag_set struct tag_set tags = {0};
    auto_free char *name =
        str_fmt(e, "hotadd-carrier-%s-%s", ctx->plan->boot_mode, job_id(job));

    if (!name || tag_set_fill(&tags, job, ctx, r->key, name, e) < 0)
        return -1;
    if (tags.n < TAGS_MAX)
        tags.v[tags.n++] = (struct ec2_tag_in){TAG_CARRIER, ctx->plan->boot_mode};
    return ec2_register_image(ctx->aws,
                              &(struct ec2_register_image_in){
                                  .name = name,
                                  .description = "hotadd's carrier: lends instances its "
                                                 "boot mode, its disk is never used",
                                  .architecture = "x86_64",
                                  .virtualization_type = "hvm",
                                  .root_device_name = CARRIER_ROOT_DEVICE,
                                  .boot_mode = ctx->plan->boot_mode,
                                  .ena_support = EC2_YES,
                                  .mappings = &root,
                                  .n_mappings = 1,
                                  .client_token = r->token,
                                  .tags = tag_set_in(&tags)},
                              ret, e);
}

static int make_image(struct job *job, struct restore_ctx *ctx, char **ret, struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    auto_free char *snapshot = NULL;
    auto_free char *id = NULL;

    /* Undo goes by the order of intentions, newest first: the image before its snapshot,
     * which EC2 keeps as long as the image uses it. */
    if (blank_snapshot(job, ctx, &snapshot, e) < 0 ||
        ec2_wait_snapshot_completed(ctx->aws, snapshot, NULL, NULL, e) < 0 ||
        job_resource_intend(job, KIND_IMAGE, "carrier/image", NULL, &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE) {
        *ret = str_dup(r.cloud_id, e);
        return *ret ? 0 : -1;
    }
    if (register_carrier(job, ctx, snapshot, &r, &id, e) < 0 ||
        job_resource_made(job, "carrier/image", id, NULL, e) < 0)
        return -1;
    job_event(job, JOB_EVENT_INFO, "carrier AMI %s for %s, kept for later jobs", id,
              ctx->plan->boot_mode);
    *ret = take_ptr(id);
    return 0;
}

/* The blank volume has served once the snapshot is complete. */
static int drop_blank_volume(struct job *job, struct restore_ctx *ctx, struct err *e)
{
    auto_job_resource struct job_resource r = {0};

    if (job_resource_get(job, "carrier/volume", &r, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    if (r.state == JOB_RESOURCE_GONE)
        return 0;
    if (remove_volume(job, ctx, &r, e) < 0)
        return -1;
    return job_resource_gone(job, r.key, e);
}

int carrier_ensure(struct job *job, struct restore_ctx *ctx, char **ret, struct err *e)
{
    auto_free char *id = NULL;

    if (ctx->plan->carrier_id) {
        *ret = str_dup(ctx->plan->carrier_id, e);
        return *ret ? 0 : -1;
    }
    if (make_image(job, ctx, &id, e) < 0 ||
        ec2_wait_image_available(ctx->aws, id, NULL, NULL, e) < 0 ||
        drop_blank_volume(job, ctx, e) < 0)
        return err_prefix(e, "carrier AMI");
    *ret = take_ptr(id);
    return 0;
}
