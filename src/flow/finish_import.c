/* The import finisher: snapshots of the volumes are given to Amazon's VM Import, which
 * makes an image that boots, and the instance is launched from it. Nothing passes through
 * S3. A crash leaves what the journal names; each part finds what is there. */
#include "base/str.h"
#include "flow/finish.h"

static int import_and_launch(struct job *job, struct restore_ctx *ctx, struct err *e)
{
    auto_strv struct strv snapshots = {0};
    auto_free struct ec2_import_disk_in *disks = NULL;
    auto_free char *image = NULL;

    if (snapshots_of_volumes(job, ctx, &snapshots, e) < 0 ||
        !(disks = mem_zalloc(snapshots.n, sizeof *disks, e)))
        return -1;
    for (size_t i = 0; i < snapshots.n; i++)
        disks[i] = (struct ec2_import_disk_in){
            .snapshot_id = snapshots.v[i], .description = ctx->plan->volumes.v[i].name};
    if (import_image(job, ctx, disks, snapshots.n, &image, e) < 0)
        return -1;
    return launch_imported(job, ctx, image, &(struct strv){0}, 0, e);
}

int finish_import(struct job *job, struct restore_ctx *ctx, struct err *e)
{
    bool launched;

    if (launched_before(job, &launched, e) < 0 ||
        (!launched && import_and_launch(job, ctx, e) < 0) ||
        drop_imported(job, ctx, e) < 0)
        return -1;
    return drop_snapshots(job, ctx, e);
}
