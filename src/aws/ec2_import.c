/* VM Import; see ec2_import.h. Nothing is kept: a crash leaves at most a task that the
 * same call, with the same token, finds again. */
#include "aws/ec2_import.h"

#include "aws/ec2_impl.h"
#include "base/clock.h"
#include "base/str.h"

#include <assert.h>
#include <stdlib.h>

#define DAY_NS (86400 * NS_PER_S)

#define STR(type, member, path)                                                          \
    {                                                                                    \
        path, FIELD_STR, offsetof(struct type, member), NULL                             \
    }
#define LIST(type, member, path, of)                                                     \
    {                                                                                    \
        path, FIELD_LIST, offsetof(struct type, member), of                              \
    }

/* ---- Where EC2 puts what ---- */

SHAPE(tag_shape, struct ec2_tag, STR(ec2_tag, key, "key"), STR(ec2_tag, value, "value"));

SHAPE(disk_shape, struct ec2_import_disk,
      STR(ec2_import_disk, description, "description"),
      STR(ec2_import_disk, format, "format"),
      STR(ec2_import_disk, snapshot_id, "snapshotId"),
      STR(ec2_import_disk, status, "status"),
      STR(ec2_import_disk, status_message, "statusMessage"),
      STR(ec2_import_disk, progress, "progress"));

static const struct field image_task_fields[] = {
    STR(ec2_import_image_task, id, "importTaskId"),
    STR(ec2_import_image_task, status, "status"),
    STR(ec2_import_image_task, status_message, "statusMessage"),
    STR(ec2_import_image_task, progress, "progress"),
    STR(ec2_import_image_task, image_id, "imageId"),
    STR(ec2_import_image_task, platform, "platform"),
    STR(ec2_import_image_task, license_type, "licenseType"),
    STR(ec2_import_image_task, boot_mode, "bootMode"),
    LIST(ec2_import_image_task, disks, "snapshotDetailSet", &disk_shape),
    LIST(ec2_import_image_task, tags, "tagSet", &tag_shape),
};
static const struct shape image_task_shape = {
    sizeof(struct ec2_import_image_task), image_task_fields,
    sizeof image_task_fields / sizeof image_task_fields[0]};

const struct ec2_listing ec2_import_image_listing = {
    .action = "DescribeImportImageTasks",
    .ids_name = "ImportTaskId",
    .set = "importImageTaskSet",
    .page = 500,
    .shape = &image_task_shape,
};

#define DETAIL "snapshotTaskDetail/"
static const struct field snapshot_task_fields[] = {
    STR(ec2_import_snapshot_task, id, "importTaskId"),
    STR(ec2_import_snapshot_task, status, DETAIL "status"),
    STR(ec2_import_snapshot_task, status_message, DETAIL "statusMessage"),
    STR(ec2_import_snapshot_task, progress, DETAIL "progress"),
    STR(ec2_import_snapshot_task, snapshot_id, DETAIL "snapshotId"),
    LIST(ec2_import_snapshot_task, tags, "tagSet", &tag_shape),
};
static const struct shape snapshot_task_shape = {
    sizeof(struct ec2_import_snapshot_task), snapshot_task_fields,
    sizeof snapshot_task_fields / sizeof snapshot_task_fields[0]};

const struct ec2_listing ec2_import_snapshot_listing = {
    .action = "DescribeImportSnapshotTasks",
    .ids_name = "ImportTaskId",
    .set = "importSnapshotTaskSet",
    .page = 500,
    .shape = &snapshot_task_shape,
};

void ec2_import_image_task_release(struct ec2_import_image_task *t)
{
    shape_release(&image_task_shape, t);
}

void ec2_import_snapshot_task_release(struct ec2_import_snapshot_task *t)
{
    shape_release(&snapshot_task_shape, t);
}

int ec2_describe_import_image_task(struct aws *aws, const char *task_id,
                                   struct ec2_import_image_task *ret, struct err *e)
{
    return ec2_one(aws, &ec2_import_image_listing, task_id, ret, e);
}

int ec2_describe_import_snapshot_task(struct aws *aws, const char *task_id,
                                      struct ec2_import_snapshot_task *ret, struct err *e)
{
    return ec2_one(aws, &ec2_import_snapshot_listing, task_id, ret, e);
}

/* ---- Beginning and cancelling ---- */

/* `at` is "DiskContainer" or "DiskContainer.2". */
static void form_disk(struct form *f, const char *at, const struct ec2_import_disk_in *d)
{
    form_str(f, d->description, "%s.Description", at);
    form_str(f, d->format, "%s.Format", at);
    form_str(f, d->snapshot_id, "%s.SnapshotId", at);
    form_str(f, d->bucket, "%s.UserBucket.S3Bucket", at);
    form_str(f, d->key, "%s.UserBucket.S3Key", at);
}

int ec2_import_image(struct aws *aws, const struct ec2_import_image_in *in,
                     struct ec2_import_image_task *ret, struct err *e)
{
    auto_form struct form f = FORM_INIT;
    char at[40];

    assert(in->n_disks && in->client_token);
    ec2_form_begin(&f, "ImportImage", in->dry_run);
    form_str(&f, in->description, "Description");
    form_str(&f, in->architecture, "Architecture");
    form_str(&f, in->platform, "Platform");
    form_str(&f, in->boot_mode, "BootMode");
    form_str(&f, in->license_type, "LicenseType");
    form_str(&f, in->role_name, "RoleName");
    ec2_form_flag(&f, in->encrypted, "Encrypted");
    form_str(&f, in->kms_key_id, "KmsKeyId");
    form_str(&f, in->client_token, "ClientToken");
    for (size_t i = 0; i < in->n_disks; i++) {
        snprintf(at, sizeof at, "DiskContainer.%zu", i + 1);
        form_disk(&f, at, &in->disks[i]);
    }
    ec2_form_tags(&f, 0, "import-image-task", in->tags, NULL);
    return ec2_make(aws, &f, EC2_REPEAT, NULL, &image_task_shape, ret, NULL, e);
}

int ec2_import_snapshot(struct aws *aws, const struct ec2_import_snapshot_in *in,
                        struct ec2_import_snapshot_task *ret, struct err *e)
{
    auto_form struct form f = FORM_INIT;

    assert(in->disk.bucket && in->client_token);
    ec2_form_begin(&f, "ImportSnapshot", in->dry_run);
    form_str(&f, in->description, "Description");
    form_str(&f, in->role_name, "RoleName");
    ec2_form_flag(&f, in->encrypted, "Encrypted");
    form_str(&f, in->kms_key_id, "KmsKeyId");
    form_str(&f, in->client_token, "ClientToken");
    form_disk(&f, "DiskContainer", &in->disk);
    ec2_form_tags(&f, 0, "import-snapshot-task", in->tags, NULL);
    return ec2_make(aws, &f, EC2_REPEAT, NULL, &snapshot_task_shape, ret, NULL, e);
}

/* Both kinds of tasks, by their ids. */
static int state_of(struct aws *aws, const char *id, char **ret, struct err *e)
{
    struct ec2_import_image_task image;
    struct ec2_import_snapshot_task snapshot;

    if (str_starts(id, "import-snap-")) {
        if (ec2_describe_import_snapshot_task(aws, id, &snapshot, e) < 0)
            return -1;
        *ret = take_ptr(snapshot.status);
        ec2_import_snapshot_task_release(&snapshot);
        return 0;
    }
    if (ec2_describe_import_image_task(aws, id, &image, e) < 0)
        return -1;
    *ret = take_ptr(image.status);
    ec2_import_image_task_release(&image);
    return 0;
}

int ec2_cancel_import_task(struct aws *aws, const char *task_id, bool dry_run,
                           struct err *e)
{
    auto_form struct form f = FORM_INIT;
    auto_free char *state = NULL;
    struct err look = ERR_INIT;

    ec2_form_begin(&f, "CancelImportTask", dry_run);
    form_str(&f, task_id, "ImportTaskId");
    if (ec2_do(aws, &f, NULL, e) == 0)
        return 0;
    if (dry_run || e->kind == ERR_CANCELLED || e->kind == ERR_DENIED)
        return -1;
    /* EC2 refuses to cancel what has ended. */
    if (state_of(aws, task_id, &state, &look) < 0)
        return look.kind == ERR_NOT_FOUND ? 0 : -1;
    return str_eq(state, "active") ? -1 : 0;
}

/* ---- Waiting ---- */

static void report(const struct progress *to, const char *percent, uint64_t total_bytes)
{
    struct progress_state p = {.what = "import", .eta_s = UINT64_MAX};
    char *end;
    unsigned long n = strtoul(percent, &end, 10);

    if (end == percent || n > 100 || !total_bytes)
        return;
    p.total_bytes = total_bytes;
    p.done_bytes = n == 100 ? total_bytes : total_bytes / 100 * n;
    progress_report(to, &p);
}

/* DONE, or an error when it can no longer be completed. */
static int judge(const char *id, const char *status, const char *message,
                 enum wait_state *ret, struct err *e)
{
    if (str_eq(status, "completed"))
        *ret = WAIT_DONE;
    else if (!str_eq(status, "active") && !str_eq(status, "pending"))
        return err_set(e, ERR_CLOUD, "import task %s is %s: %s", id,
                       *status ? status : "in no state",
                       *message ? message : "EC2 does not say why");
    return 0;
}

struct image_wait {
    const char *id;
    uint64_t total_bytes;
    const struct progress *progress;
    struct ec2_import_image_task last; /* owned */
};

static int look_image(struct aws *aws, void *ctx, enum wait_state *ret, char *seen,
                      size_t len, struct err *e)
{
    struct image_wait *w = ctx;
    struct ec2_import_image_task t;

    if (ec2_describe_import_image_task(aws, w->id, &t, e) < 0)
        return -1;
    ec2_import_image_task_release(&w->last);
    w->last = t;
    snprintf(seen, len, "%s %s%% %s", t.status, t.progress, t.status_message);
    report(w->progress, t.progress, w->total_bytes);
    return judge(w->id, t.status, t.status_message, ret, e);
}

int ec2_wait_import_image(struct aws *aws, const char *task_id, uint64_t total_bytes,
                          const struct wait_options *options,
                          struct ec2_import_image_task *ret, struct err *e)
{
    struct wait_options o = options ? *options : (struct wait_options){0};
    struct image_wait w = {
        .id = task_id, .total_bytes = total_bytes, .progress = o.progress};
    auto_free char *what = str_fmt(e, "import task %s", task_id);
    int done;

    o.timeout_ns = o.timeout_ns ? o.timeout_ns : DAY_NS;
    done = what ? aws_wait(aws, what, look_image, &w, &o, e) : -1;
    if (done == 0 && ret)
        *ret = w.last;
    else
        ec2_import_image_task_release(&w.last);
    return done;
}

struct snapshot_wait {
    const char *id;
    uint64_t total_bytes;
    const struct progress *progress;
    struct ec2_import_snapshot_task last; /* owned */
};

static int look_snapshot(struct aws *aws, void *ctx, enum wait_state *ret, char *seen,
                         size_t len, struct err *e)
{
    struct snapshot_wait *w = ctx;
    struct ec2_import_snapshot_task t;

    if (ec2_describe_import_snapshot_task(aws, w->id, &t, e) < 0)
        return -1;
    ec2_import_snapshot_task_release(&w->last);
    w->last = t;
    snprintf(seen, len, "%s %s%% %s", t.status, t.progress, t.status_message);
    report(w->progress, t.progress, w->total_bytes);
    return judge(w->id, t.status, t.status_message, ret, e);
}

int ec2_wait_import_snapshot(struct aws *aws, const char *task_id, uint64_t total_bytes,
                             const struct wait_options *options,
                             struct ec2_import_snapshot_task *ret, struct err *e)
{
    struct wait_options o = options ? *options : (struct wait_options){0};
    struct snapshot_wait w = {
        .id = task_id, .total_bytes = total_bytes, .progress = o.progress};
    auto_free char *what = str_fmt(e, "import task %s", task_id);
    int done;

    o.timeout_ns = o.timeout_ns ? o.timeout_ns : DAY_NS;
    done = what ? aws_wait(aws, what, look_snapshot, &w, &o, e) : -1;
    if (done == 0 && ret)
        *ret = w.last;
    else
        ec2_import_snapshot_task_release(&w.last);
    return done;
}
