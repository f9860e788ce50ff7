/* hotadd import: a source's disks through S3 into Amazon's VM Import, for machines that
 * must not, or cannot, be attached to a proxy: it runs anywhere. */
#include "flow/import.h"

#include "base/str.h"
#include "flow/flows.h"

static const struct job_step steps[] = {
    {"upload-disks", step_upload_disks},
    {"import-image", step_import_image},
    {"import-snapshots", step_import_snapshots},
    {"create-instance", step_create_imported},
    {"first-boot", step_first_boot},
    {"clean", step_clean},
    {NULL, NULL},
};

const struct job_flow import_flow = {
    .kind = "import",
    .steps = steps,
    .resources = restore_resources,
};

/* ---- What is handed to VM Import ---- */

struct import_disks {
    struct ec2_import_disk_in *v; /* owned */
    struct strv keys;
    size_t n, n_image; /* in all, and of them in the image */
};
#define auto_import_disks auto_call(import_disks_release)

static void import_disks_release(struct import_disks *d)
{
    free(d->v);
    strv_release(&d->keys);
}

static int import_disks(struct job *job, const struct restore_ctx *ctx,
                        struct import_disks *ret, struct err *e)
{
    size_t n = ctx->plan->volumes.n;

    ret->v = mem_zalloc(n, sizeof *ret->v, e);
    if (!ret->v)
        return -1;
    for (size_t i = 0; i < n; i++) {
        auto_free char *key = import_key(ctx, job_id(job), i, e);

        if (!key || strv_add(&ret->keys, key, e) < 0)
            return -1;
        ret->v[i] = (struct ec2_import_disk_in){
            .bucket = ctx->params->bucket,
            .key = ret->keys.v[i],
            .format = str_eq_null(ctx->plan->disk_format, "vhd") ? "VHD" : "RAW",
            .description = ctx->plan->volumes.v[i].name,
        };
    }
    ret->n = n;
    ret->n_image = ctx->params->one_image ? n : 1;
    return 0;
}

int step_import_image(struct job *job, void *vctx, struct err *e)
{
    struct restore_ctx *ctx = vctx;
    auto_import_disks struct import_disks d = {0};
    auto_free char *image = NULL;

    if (import_disks(job, ctx, &d, e) < 0)
        return -1;
    return import_image(job, ctx, d.v, d.n_image, &image, e);
}

int step_import_snapshots(struct job *job, void *vctx, struct err *e)
{
    struct restore_ctx *ctx = vctx;
    auto_import_disks struct import_disks d = {0};

    if (import_disks(job, ctx, &d, e) < 0)
        return -1;
    return d.n_image < d.n ? import_snapshots(job, ctx, d.v, d.n, e) : 0;
}

/* ---- The instance ---- */

static int id_of(struct job *job, const char *key, char **ret, struct err *e)
{
    auto_job_resource struct job_resource r = {0};

    if (job_resource_get(job, key, &r, e) < 0)
        return -1;
    if (r.state != JOB_RESOURCE_MADE)
        return err_set(e, ERR_NOT_FOUND,
                       "job %s has no %s; `hotadd undo %s` and begin anew", job_id(job),
                       key, job_id(job));
    *ret = str_dup(r.cloud_id, e);
    return *ret ? 0 : -1;
}

int step_create_imported(struct job *job, void *vctx, struct err *e)
{
    struct restore_ctx *ctx = vctx;
    size_t first = ctx->params->one_image ? ctx->plan->volumes.n : 1;
    auto_strv struct strv data = {0};
    auto_free char *image = NULL;
    bool launched;

    if (launched_before(job, &launched, e) < 0)
        return -1;
    if (launched)
        return 0;
    if (id_of(job, KEY_IMPORTED, &image, e) < 0)
        return -1;
    for (size_t i = first; i < ctx->plan->volumes.n; i++) {
        auto_free char *id = NULL;
        char key[KEY_LEN];

        if (id_of(job, disk_key(key, "imported/snapshot", i), &id, e) < 0 ||
            strv_add(&data, id, e) < 0)
            return -1;
    }
    return launch_imported(job, ctx, image, &data, first, e);
}

/* The objects have served, and, unless it is to be kept, the image. */
int step_clean(struct job *job, void *vctx, struct err *e)
{
    struct restore_ctx *ctx = vctx;
    char key[KEY_LEN];

    for (size_t i = 0; i < ctx->plan->volumes.n; i++)
        if (drop_resource(job, ctx, disk_key(key, "object", i), remove_object, e) < 0)
            return -1;
    if (drop_resource(job, ctx, KEY_ZEROS, remove_object, e) < 0)
        return -1;
    return drop_imported(job, ctx, e);
}
