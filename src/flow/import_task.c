/* VM Import's tasks; see finish.h.
 *
 * A task is intended with its client token before the call. What it makes (an image,
 * snapshots) is untagged and unknown until the task is complete; then it is noted and
 * tagged as the job's, and the task counts as gone. A crash in between leaves the task,
 * which says what it made. */
#include "aws/wait.h"
#include "base/clock.h"
#include "base/str.h"
#include "flow/finish.h"

#define KEY_IMPORTED_SNAPSHOT "imported/snapshot"
#define KEY_IMPORT_SNAPSHOT   "import/snapshot"
#define CANCEL_WAIT_NS        (600 * NS_PER_S)

static uint64_t bytes_of(const struct plan *plan, size_t first, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = first; i < first + n && i < plan->volumes.n; i++)
        sum += plan->volumes.v[i].source_bytes;
    return sum;
}

/* ---- What a task made becomes the job's ---- */

static int adopt(struct job *job, struct restore_ctx *ctx, const char *kind,
                 const char *key, const char *id, struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    auto_tag_set struct tag_set tags = {0};

    if (job_resource_intend(job, kind, key, NULL, &r, e) < 0 ||
        job_resource_made(job, key, id, NULL, e) < 0 ||
        tag_set_fill(&tags, job, ctx, key, ctx->plan->name, e) < 0)
        return -1;
    return ec2_create_tags(ctx->aws, EC2_STRS(id), tag_set_in(&tags), false, e);
}

/* Snapshots first: undo goes newest first, and they are in use as long as the image is.
 */
static int adopt_image(struct job *job, struct restore_ctx *ctx,
                       const struct ec2_import_image_task *t, struct err *e)
{
    char key[KEY_LEN];
    size_t i = 0;

    if (!*t->image_id)
        return err_set(e, ERR_CLOUD, "import task %s is completed and names no image",
                       t->id);
    vec_foreach (d, &t->disks) {
        disk_key(key, KEY_IMPORTED_SNAPSHOT, i++);
        if (*d->snapshot_id && adopt(job, ctx, KIND_SNAPSHOT, key, d->snapshot_id, e) < 0)
            return -1;
    }
    if (adopt(job, ctx, KIND_IMAGE, KEY_IMPORTED, t->image_id, e) < 0)
        return -1;
    job_event(job, JOB_EVENT_INFO, "image %s made by import task %s", t->image_id, t->id);
    return job_resource_gone(job, KEY_IMPORT_IMAGE, e);
}

/* A task that has failed is over: a resume begins another. The error stays. */
static int over(struct job *job, const char *key, struct err *e)
{
    struct err ignored;

    /* Without a code of the API it is the task that failed, not the look at it. */
    if (e->kind == ERR_CLOUD && !*e->aws_code &&
        job_resource_gone(job, key, &ignored) < 0)
        job_event(job, JOB_EVENT_WARNING, "%s", ignored.msg);
    return -1;
}

/* ---- ImportImage ---- */

/* The answer to the call that begins, or began, the task: its id in the journal. */
static int begin_image(struct job *job, struct restore_ctx *ctx,
                       const struct ec2_import_disk_in *disks, size_t n, char **ret,
                       struct err *e)
{
    const struct restore_params *p = ctx->params;
    bool windows = str_eq_null(ctx->plan->platform, "Windows");
    auto_job_resource struct job_resource r = {0};
    auto_tag_set struct tag_set tags = {0};
    struct ec2_import_image_task t = {0};
    int rc;

    if (job_resource_intend(job, KIND_IMPORT_TASK, KEY_IMPORT_IMAGE, NULL, &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE) {
        *ret = str_dup(r.cloud_id, e);
        return *ret ? 0 : -1;
    }
    if (tag_set_fill(&tags, job, ctx, KEY_IMPORT_IMAGE, ctx->plan->name, e) < 0 ||
        ec2_import_image(ctx->aws,
                         &(struct ec2_import_image_in){
                             .disks = disks,
                             .n_disks = n,
                             .description = ctx->plan->name,
                             .architecture = "x86_64",
                             .platform = ctx->plan->platform,
                             .boot_mode = ctx->plan->boot_mode,
                             .license_type = !windows                          ? NULL
                                             : str_eq_null(p->licence, "byol") ? "BYOL"
                                                                               : "AWS",
                             .role_name = p->role,
                             .encrypted = p->encrypted ? EC2_YES : EC2_DEFAULT,
                             .kms_key_id = p->kms_key,
                             .client_token = r.token,
                             .tags = tag_set_in(&tags)},
                         &t, e) < 0)
        return -1;
    rc = job_resource_made(job, KEY_IMPORT_IMAGE, t.id, NULL, e);
    if (rc == 0)
        rc = (*ret = str_dup(t.id, e)) ? 0 : -1;
    ec2_import_image_task_release(&t);
    return rc;
}

/* 1: the image is there already (*ret), 0 not. */
static int imported_before(struct job *job, char **ret, struct err *e)
{
    auto_job_resource struct job_resource r = {0};

    if (job_resource_get(job, KEY_IMPORTED, &r, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    if (r.state != JOB_RESOURCE_MADE)
        return 0;
    *ret = str_dup(r.cloud_id, e);
    return *ret ? 1 : -1;
}

/* A crash may have come between the image's adoption and the task's end. */
static int task_is_over(struct job *job, struct err *e)
{
    auto_job_resource struct job_resource r = {0};

    if (job_resource_get(job, KEY_IMPORT_IMAGE, &r, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    return r.state == JOB_RESOURCE_GONE ? 0 : job_resource_gone(job, KEY_IMPORT_IMAGE, e);
}

int import_image(struct job *job, struct restore_ctx *ctx,
                 const struct ec2_import_disk_in *disks, size_t n, char **ret,
                 struct err *e)
{
    const struct wait_options opt = {.progress = ctx->progress};
    struct ec2_import_image_task t = {0};
    auto_free char *task = NULL, *image = NULL;
    int r = imported_before(job, &image, e);

    if (r < 0 || (r > 0 && task_is_over(job, e) < 0))
        return -1;
    if (r == 0) {
        if (begin_image(job, ctx, disks, n, &task, e) < 0)
            return err_prefix(e, "VM Import");
        if (ec2_wait_import_image(ctx->aws, task, bytes_of(ctx->plan, 0, n), &opt, &t,
                                  e) < 0)
            return over(job, KEY_IMPORT_IMAGE, e);
        r = adopt_image(job, ctx, &t, e);
        image = r == 0 ? take_ptr(t.image_id) : NULL;
        ec2_import_image_task_release(&t);
        if (r < 0)
            return -1;
    }
    if (ec2_wait_image_available(ctx->aws, image, NULL, NULL, e) < 0)
        return -1;
    *ret = take_ptr(image);
    return 0;
}

/* ---- ImportSnapshot ---- */

static int begin_snapshot(struct job *job, struct restore_ctx *ctx,
                          const struct ec2_import_disk_in *disk, size_t i, struct err *e)
{
    auto_job_resource struct job_resource r = {0}, before = {0};
    auto_tag_set struct tag_set tags = {0};
    auto_free char *name = str_fmt(e, "%s disk %zu", ctx->plan->name, i + 1);
    struct ec2_import_snapshot_task t = {0};
    char key[KEY_LEN], made[KEY_LEN];
    int rc;

    if (!name)
        return -1;
    if (job_resource_get(job, disk_key(made, KEY_IMPORTED_SNAPSHOT, i), &before, e) < 0 &&
        e->kind != ERR_NOT_FOUND)
        return -1;
    if (before.key && before.state == JOB_RESOURCE_MADE)
        return 0;
    if (job_resource_intend(job, KIND_IMPORT_TASK, disk_key(key, KEY_IMPORT_SNAPSHOT, i),
                            NULL, &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE)
        return 0;
    if (tag_set_fill(&tags, job, ctx, key, name, e) < 0 ||
        ec2_import_snapshot(
            ctx->aws,
            &(struct ec2_import_snapshot_in){
                .disk = *disk,
                .description = name,
                .role_name = ctx->params->role,
                .encrypted = ctx->params->encrypted ? EC2_YES : EC2_DEFAULT,
                .kms_key_id = ctx->params->kms_key,
                .client_token = r.token,
                .tags = tag_set_in(&tags)},
            &t, e) < 0)
        return -1;
    rc = job_resource_made(job, key, t.id, NULL, e);
    ec2_import_snapshot_task_release(&t);
    return rc;
}

static int end_snapshot(struct job *job, struct restore_ctx *ctx, size_t i, struct err *e)
{
    const struct wait_options opt = {.progress = ctx->progress};
    auto_job_resource struct job_resource r = {0};
    struct ec2_import_snapshot_task t = {0};
    char key[KEY_LEN], made[KEY_LEN];
    int rc;

    if (job_resource_get(job, disk_key(key, KEY_IMPORT_SNAPSHOT, i), &r, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    if (r.state == JOB_RESOURCE_GONE)
        return 0;
    if (ec2_wait_import_snapshot(ctx->aws, r.cloud_id, bytes_of(ctx->plan, i, 1), &opt,
                                 &t, e) < 0)
        return over(job, key, e);
    rc = *t.snapshot_id
             ? adopt(job, ctx, KIND_SNAPSHOT, disk_key(made, KEY_IMPORTED_SNAPSHOT, i),
                     t.snapshot_id, e)
             : err_set(e, ERR_CLOUD, "import task %s is completed and names no snapshot",
                       t.id);
    ec2_import_snapshot_task_release(&t);
    return rc < 0 ? -1 : job_resource_gone(job, key, e);
}

int import_snapshots(struct job *job, struct restore_ctx *ctx,
                     const struct ec2_import_disk_in *disks, size_t n, struct err *e)
{
    for (size_t i = 1; i < n; i++)
        if (begin_snapshot(job, ctx, &disks[i], i, e) < 0)
            return err_prefix(e, "disk %zu", i + 1);
    for (size_t i = 1; i < n; i++)
        if (end_snapshot(job, ctx, i, e) < 0)
            return err_prefix(e, "disk %zu", i + 1);
    return 0;
}

/* ---- Launching ---- */

struct launch_map {
    struct VEC(struct ec2_mapping_in) v;
    struct VEC(char *) names; /* owned devices */
};

static void launch_map_release(struct launch_map *m)
{
    vec_foreach (n, &m->names)
        free(*n);
    vec_release(&m->names);
    vec_release(&m->v);
}

static int map_add(struct launch_map *m, const struct restore_ctx *ctx,
                   const char *device, const char *snapshot, struct err *e)
{
    char *copy = str_dup(device, e);

    if (!copy)
        return -1;
    if (vec_push(&m->names, copy, e) < 0) {
        free(copy);
        return -1;
    }
    return vec_push(&m->v, mapping_of(ctx, copy, snapshot), e);
}

/* The image's own disks with the user's settings, then the others. */
static int map_imported(struct restore_ctx *ctx, const struct ec2_image *image,
                        const struct strv *data, size_t first, struct launch_map *ret,
                        struct err *e)
{
    size_t i = first;

    vec_foreach (m, &image->mappings)
        if (*m->snapshot_id && map_add(ret, ctx, m->device, m->snapshot_id, e) < 0)
            return -1;
    if (!ret->v.n)
        return err_set(e, ERR_CLOUD, "image %s has no disks", image->id);
    vec_foreach (s, data) {
        char buf[16];
        const char *device = device_for(ctx->plan, image->root_device_name, i++, buf);

        if (!device)
            return err_set(e, ERR_UNSUPPORTED, "an instance takes no %zu volumes", i);
        if (map_add(ret, ctx, device, *s, e) < 0)
            return -1;
    }
    return 0;
}

int launch_imported(struct job *job, struct restore_ctx *ctx, const char *image,
                    const struct strv *data, size_t first, struct err *e)
{
    auto_call(launch_map_release) struct launch_map map = {0};
    struct ec2_image i = {0};
    int r;

    if (ec2_describe_image(ctx->aws, image, &i, e) < 0)
        return -1;
    r = map_imported(ctx, &i, data, first, &map, e);
    if (r == 0)
        r = launch_from_image(job, ctx, image, map.v.v, map.v.n, e);
    ec2_image_release(&i);
    return r;
}

int drop_imported(struct job *job, struct restore_ctx *ctx, struct err *e)
{
    char key[KEY_LEN];

    if (ctx->params->keep_image)
        return 0;
    if (drop_resource(job, ctx, KEY_IMPORTED, remove_image, e) < 0)
        return err_prefix(e, "the imported image, which has served");
    for (size_t i = 0; i < ctx->plan->volumes.n; i++)
        if (drop_resource(job, ctx, disk_key(key, KEY_IMPORTED_SNAPSHOT, i),
                          remove_snapshot, e) < 0)
            return err_prefix(e, "an imported snapshot, which has served");
    return 0;
}

/* ---- Undo ---- */

struct ending {
    const char *id;
    bool of_snapshot;
    struct strv made; /* ids of what it made: an image, then snapshots */
};

static int look_image_task(struct aws *aws, struct ending *x, char *status, size_t len,
                           struct err *e)
{
    struct ec2_import_image_task t;
    int r = 0;

    if (ec2_describe_import_image_task(aws, x->id, &t, e) < 0)
        return -1;
    snprintf(status, len, "%s", t.status);
    strv_release(&x->made);
    if (*t.image_id)
        r = strv_add(&x->made, t.image_id, e);
    vec_foreach (d, &t.disks)
        if (r == 0 && *d->snapshot_id)
            r = strv_add(&x->made, d->snapshot_id, e);
    ec2_import_image_task_release(&t);
    return r;
}

static int look_snapshot_task(struct aws *aws, struct ending *x, char *status, size_t len,
                              struct err *e)
{
    struct ec2_import_snapshot_task t;
    int r = 0;

    if (ec2_describe_import_snapshot_task(aws, x->id, &t, e) < 0)
        return -1;
    snprintf(status, len, "%s", t.status);
    strv_release(&x->made);
    if (*t.snapshot_id)
        r = strv_add(&x->made, t.snapshot_id, e);
    ec2_import_snapshot_task_release(&t);
    return r;
}

static int look_ended(struct aws *aws, void *ctx, enum wait_state *ret, char *seen,
                      size_t len, struct err *e)
{
    struct ending *x = ctx;
    int r = x->of_snapshot ? look_snapshot_task(aws, x, seen, len, e)
                           : look_image_task(aws, x, seen, len, e);

    if (r < 0)
        return -1;
    if (!str_eq(seen, "active") && !str_eq(seen, "deleting"))
        *ret = WAIT_DONE;
    return 0;
}

/* A task that was cancelled too late has made its image all the same. */
static int remove_made(struct aws *aws, const struct ending *x, struct err *e)
{
    vec_foreach (id, &x->made) {
        int r = str_starts(*id, "ami-") ? ec2_deregister_image(aws, *id, false, e)
                                        : ec2_delete_snapshot(aws, *id, false, e);

        if (r < 0 && e->kind != ERR_NOT_FOUND)
            return -1;
    }
    return 0;
}

int remove_import_task(struct job *job, void *vctx, const struct job_resource *r,
                       struct err *e)
{
    struct restore_ctx *ctx = vctx;
    const struct wait_options opt = {.timeout_ns = CANCEL_WAIT_NS};
    struct ending x = {.of_snapshot = str_starts(r->key, KEY_IMPORT_SNAPSHOT)};
    auto_free char *id = NULL;
    int rc;

    if (cloud_id_of(ctx->aws, job, r,
                    x.of_snapshot ? "import-snapshot-task" : "import-image-task", &id,
                    e) < 0)
        return -1;
    if (!id)
        return 0;
    x.id = id;
    rc = ec2_cancel_import_task(ctx->aws, x.id, false, e);
    if (rc == 0)
        rc = aws_wait(ctx->aws, "the import task to end", look_ended, &x, &opt, e);
    if (rc < 0 && e->kind == ERR_NOT_FOUND)
        rc = 0;
    else if (rc == 0)
        rc = remove_made(ctx->aws, &x, e);
    strv_release(&x.made);
    return rc;
}
