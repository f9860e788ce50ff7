/* VM Import: tasks that make snapshots and images of what lies in S3. The work itself is
 * the importer's. Errors that the service finds while it works are told by the task,
 * which then is "deleted" with a status message; errors of the request are told at
 * once. */
#include "lab/faults.h"
#include "lab/import_disk.h"
#include "lab/importer.h"
#include "lab/listing.h"
#include "lab/role.h"
#include "lab/s3_store.h"
#include "lab/volume.h"

#include "base/str.h"

#define DEFAULT_ROLE "vmimport"
#define MAX_DISKS    21

/* ---- The role ---- */

static int refuse_role(const char *role, struct err *e)
{
    return refuse(e, "InvalidParameter",
                  "The service role %s provided does not exist or does not have "
                  "sufficient permissions",
                  role);
}

static const char *role_of(struct act *a)
{
    return q_str_or(a->params, "RoleName", DEFAULT_ROLE);
}

static int check_role(struct act *a, bool image, struct err *e)
{
    static const char *const needed[] = {"ec2:CopySnapshot", "ec2:DescribeSnapshots",
                                         "ec2:ModifySnapshotAttribute",
                                         "ec2:RegisterImage"};
    const char *role = role_of(a);

    if (!role_trusts_vm_import(a->lab, role))
        return refuse_role(role, e);
    for (size_t i = 0; image && i < sizeof needed / sizeof needed[0]; i++)
        if (!role_permits(a->lab, role, needed[i], "*"))
            return refuse_role(role, e);
    return 0;
}

static int check_object(struct act *a, const char *bucket, const char *key, struct err *e)
{
    auto_free char *bucket_arn = str_fmt(e, "arn:aws:s3:::%s", bucket);
    auto_free char *arn = str_fmt(e, "arn:aws:s3:::%s/%s", bucket, key);
    char region[64];
    struct err ignored;

    if (!arn || !bucket_arn)
        return -1;
    if (!role_permits(a->lab, role_of(a), "s3:GetBucketLocation", bucket_arn) ||
        !role_permits(a->lab, role_of(a), "s3:GetObject", arn))
        return refuse_role(role_of(a), e);
    if (s3_bucket_find(a->lab->s3, bucket, region, &ignored) == 0 &&
        !str_eq(region, LAB_REGION))
        return refuse(e, "InvalidParameter",
                      "The given S3 object is not local to the region.");
    return 0;
}

/* ---- Disks ---- */

/* UserBucket, or s3://bucket/key. Owned strings. */
static int read_place(const json_t *node, char **ret_bucket, char **ret_key,
                      struct err *e)
{
    const json_t *place = q_sub(node, "UserBucket");
    const char *bucket = q_str(place, "S3Bucket"), *key = q_str(place, "S3Key");
    const char *url = q_str(node, "Url"), *slash;

    if (url && place)
        return refuse(e, "InvalidParameterCombination",
                      "The parameters Url and UserBucket may not be given together");
    if (url) {
        slash = str_starts(url, "s3://") ? strchr(url + 5, '/') : NULL;
        if (!slash || slash == url + 5 || !slash[1])
            return refuse_value(e, "Url", url, "The lab reads s3://BUCKET/KEY only.");
        *ret_bucket = str_ndup(url + 5, (size_t)(slash - url) - 5, e);
        *ret_key = *ret_bucket ? str_dup(slash + 1, e) : NULL;
        return *ret_key ? 0 : -1;
    }
    if (!bucket || !*bucket || !key || !*key)
        return refuse(e, "MissingParameter", "The request must contain the parameter %s",
                      bucket && *bucket ? "UserBucket.S3Key" : "UserBucket.S3Bucket");
    *ret_bucket = str_dup(bucket, e);
    *ret_key = *ret_bucket ? str_dup(key, e) : NULL;
    return *ret_key ? 0 : -1;
}

/* One disk: for the importer (disks) and for the answer (*ret_detail, owned). */
static int read_object_disk(struct act *a, const json_t *node, json_t *disks,
                            json_t **ret_detail, struct err *e)
{
    const char *name = q_str(node, "Format"), *format = import_format(name ? name : "");
    const char *url = q_str(node, "Url");
    auto_free char *bucket = NULL, *key = NULL;
    json_t *d;

    if (!name || !*name)
        return refuse_missing(e, "DiskContainer.Format");
    if (strcasecmp(name, "OVA") == 0)
        return refuse(e, "UnsupportedOperation",
                      "This lab imports disks (RAW, VHD, VHDX, VMDK), not OVA archives");
    if (!format)
        return refuse(e, "InvalidParameter",
                      "The value %.40s for the disk container's format is invalid", name);
    if (read_place(node, &bucket, &key, e) < 0 || check_object(a, bucket, key, e) < 0 ||
        json_add(
            disks,
            json_pack("{s:s, s:s, s:s}", "format", format, "bucket", bucket, "key", key),
            e) < 0)
        return -1;
    d = json_pack("{s:s*, s:i, s:s, s:s*, s:{s:s, s:s}}", "description",
                  q_str(node, "Description"), "diskImageSize", 0, "format", format, "url",
                  url, "userBucket", "s3Bucket", bucket, "s3Key", key);
    *ret_detail = d;
    return d ? 0 : err_nomem(e);
}

static int read_snapshot_disk(struct act *a, const json_t *node, json_t *disks,
                              json_t **ret_detail, struct err *e)
{
    const json_t *snap;
    const char *id;

    if (res_find(a->lab, RES_SNAPSHOT, q_str(node, "SnapshotId"), &snap, e) < 0)
        return -1;
    id = json_str_or(snap, "snapshotId", "");
    if (!str_eq(json_str_or(snap, "status", ""), "completed"))
        return refuse(e, "IncorrectState", "Snapshot is in invalid state - %s",
                      json_str_or(snap, "status", ""));
    if (json_add(disks,
                 json_pack("{s:s, s:O}", "snapshot", id, "gib",
                           json_object_get(snap, "volumeSize")),
                 e) < 0)
        return -1;
    *ret_detail = json_pack("{s:s*, s:f}", "description", q_str(node, "Description"),
                            "diskImageSize", 0.0);
    return *ret_detail ? 0 : err_nomem(e);
}

/* /dev/sda1, then what no image's root is called. */
static const char *device_of(const json_t *node, size_t i, char out[12])
{
    const char *given = q_str(node, "DeviceName");

    if (given)
        return given;
    if (i == 0)
        return "/dev/sda1";
    snprintf(out, 12, "/dev/sd%c", (char)('e' + i));
    return out;
}

static int read_image_disk(struct act *a, const json_t *node, size_t i, json_t *disks,
                           json_t *details, struct err *e)
{
    bool from_snapshot = q_str(node, "SnapshotId") != NULL;
    char letters[12];
    const char *device = device_of(node, i, letters);
    json_t *detail = NULL;

    if (from_snapshot && (q_str(node, "Url") || q_sub(node, "UserBucket")))
        return refuse(e, "InvalidParameterCombination",
                      "A disk container has either a SnapshotId or a place in S3");
    if (!device_name_ok(device))
        return refuse(e, "InvalidParameter",
                      "Invalid device name '%.60s' in the disk container", device);
    if ((from_snapshot ? read_snapshot_disk(a, node, disks, &detail, e)
                       : read_object_disk(a, node, disks, &detail, e)) < 0)
        return -1;
    if (json_put(detail, "deviceName", json_string(i == 0 ? "/dev/sda1" : device), e) <
        0) {
        json_decref(detail);
        return -1;
    }
    return json_add(details, detail, e);
}

/* ---- ImportImage ---- */

static int check_word(struct act *a, const char *param, const char *const *words,
                      struct err *e)
{
    const char *v = q_str(a->params, param);

    for (; v && *words; words++)
        if (str_eq(*words, v))
            return 0;
    return v ? refuse(e, "InvalidParameter", "The value '%.60s' for %s is invalid", v,
                      param)
             : 0;
}

static int check_words(struct act *a, struct err *e)
{
    static const char *const archs[] = {"i386", "x86_64", NULL};
    static const char *const boots[] = {"legacy-bios", "uefi", NULL};
    static const char *const hypervisors[] = {"xen", NULL};
    static const char *const licenses[] = {"AWS", "BYOL", NULL};
    static const char *const platforms[] = {"Linux", "Windows", NULL};
    static const char *const usages[] = {"RunInstances", "RunInstances:0002",
                                         "RunInstances:0800", NULL};
    const json_t *p = a->params;
    json_t *d;
    size_t i;

    if (check_word(a, "Architecture", archs, e) < 0 ||
        check_word(a, "BootMode", boots, e) < 0 ||
        check_word(a, "Hypervisor", hypervisors, e) < 0 ||
        check_word(a, "LicenseType", licenses, e) < 0 ||
        check_word(a, "Platform", platforms, e) < 0 ||
        check_word(a, "UsageOperation", usages, e) < 0)
        return -1;
    if (q_str(p, "LicenseType") && q_str(p, "UsageOperation"))
        return refuse(e, "InvalidParameterCombination",
                      "You can specify LicenseType or UsageOperation, but not both");
    json_array_foreach (q_list(p, "DiskContainer"), i, d)
        if (q_str(d, "SnapshotId") && str_eq(q_str_or(p, "BootMode", ""), "uefi") &&
            !q_str(p, "Platform"))
            return refuse(e, "InvalidParameterCombination",
                          "Platform must be specified when BootMode is uefi and the "
                          "image is imported from a snapshot");
    return 0;
}

static int read_image_disks(struct act *a, json_t *disks, json_t *details, struct err *e)
{
    json_t *list = q_list(a->params, "DiskContainer"), *d;
    size_t i;

    if (json_array_size(list) > MAX_DISKS)
        return refuse(e, "InvalidParameter", "An image has at most %d disks", MAX_DISKS);
    json_array_foreach (list, i, d)
        if (read_image_disk(a, d, i, disks, details, e) < 0)
            return -1;
    return 0;
}

/* What both kinds of task have besides their words; takes the disks over. */
static int put_task(struct act *a, json_t *doc, const char *kind, const char *id,
                    json_t *disks, struct err *e)
{
    json_t *tags;

    if (!doc) {
        json_decref(disks);
        return err_nomem(e);
    }
    if (json_put(doc, "_disks", disks, e) < 0 ||
        json_put(doc, "_stage", json_string("pending"), e) < 0 ||
        json_put(doc, "_due", json_integer(a->now_ms + a->lab->set.delay_ms), e) < 0 ||
        json_put(doc, "_made", json_integer(a->now_ms), e) < 0 ||
        tags_from_spec(a->params, kind, kind, &tags, e) < 0 ||
        json_put(doc, "tagSet", tags, e) < 0 ||
        (a->fault && a->fault->fail_task &&
         json_put(doc, "_fail", json_string(a->fault->message), e) < 0)) {
        json_decref(doc);
        return -1;
    }
    if (store_put(a->lab->store, kind, id, doc, e) < 0 ||
        act_token_save(a, json_string(id), e) < 0)
        return -1;
    importer_kick(a->lab);
    return act_put_all(a, doc, e);
}

/* 1 when this repeats an earlier call, which was answered. */
static int repeated(struct act *a, const char *kind, struct err *e)
{
    const json_t *result, *doc;
    int r = act_token_find(a, &result, e);

    if (r <= 0)
        return r;
    doc = store_get(a->lab->store, kind, json_string_value(result));
    return doc && act_put_all(a, doc, e) < 0 ? -1 : 1;
}

static json_t *new_image_task(struct act *a, const char *id, bool encrypted,
                              json_t *details)
{
    const json_t *p = a->params;

    return json_pack(
        "{s:s, s:s*, s:s*, s:b, s:s*, s:s*, s:s*, s:s*, s:s*, s:s*, s:s,"
        " s:s, s:s, s:O}",
        "importTaskId", id, "architecture", q_str(p, "Architecture"), "description",
        q_str(p, "Description"), "encrypted", encrypted, "hypervisor",
        q_str(p, "Hypervisor"), "kmsKeyId", q_str(p, "KmsKeyId"), "licenseType",
        q_str(p, "LicenseType"), "platform", q_str(p, "Platform"), "usageOperation",
        q_str(p, "UsageOperation"), "bootMode", q_str(p, "BootMode"), "status", "active",
        "statusMessage", "pending", "progress", "1", "snapshotDetailSet", details);
}

static int read_encryption(struct act *a, bool *ret, struct err *e)
{
    if (q_bool(a->params, "Encrypted", ret, e) < 0)
        return -1;
    if (q_str(a->params, "KmsKeyId") && !*ret)
        return refuse(e, "InvalidParameterDependency",
                      "The parameter KmsKeyId requires the parameter Encrypted to be "
                      "set.");
    return 0;
}

static int import_image(struct act *a, struct err *e)
{
    json_t *disks = NULL, *details = NULL;
    bool encrypted = false;
    char id[RES_ID_LEN];
    int r = repeated(a, "import-image-task", e);

    if (r != 0)
        return r < 0 ? -1 : 0;
    if (check_words(a, e) < 0 || read_encryption(a, &encrypted, e) < 0 ||
        check_role(a, true, e) < 0)
        return -1;
    disks = json_array();
    details = json_array();
    res_new_id(RES_IMPORT_IMAGE, id);
    r = disks && details ? read_image_disks(a, disks, details, e) : err_nomem(e);
    if (r == 0)
        r = put_task(a, new_image_task(a, id, encrypted, details), "import-image-task",
                     id, json_incref(disks), e);
    json_decref(disks);
    json_decref(details);
    return r;
}

/* ---- ImportSnapshot ---- */

static json_t *new_snapshot_task(struct act *a, const char *id, bool encrypted,
                                 json_t *detail)
{
    const char *about = q_str(a->params, "Description");

    if (json_object_update_new(
            detail, json_pack("{s:b, s:s*, s:s*, s:s, s:s, s:s}", "encrypted", encrypted,
                              "kmsKeyId", q_str(a->params, "KmsKeyId"), "description",
                              about, "status", "active", "statusMessage", "pending",
                              "progress", "3")) < 0)
        return NULL;
    return json_pack("{s:s, s:s*, s:O}", "importTaskId", id, "description", about,
                     "snapshotTaskDetail", detail);
}

static int import_snapshot(struct act *a, struct err *e)
{
    json_t *disks = NULL, *detail = NULL;
    bool encrypted = false;
    char id[RES_ID_LEN];
    int r = repeated(a, "import-snapshot-task", e);

    if (r != 0)
        return r < 0 ? -1 : 0;
    if (read_encryption(a, &encrypted, e) < 0 || check_role(a, false, e) < 0)
        return -1;
    disks = json_array();
    res_new_id(RES_IMPORT_SNAPSHOT, id);
    r = disks ? read_object_disk(a, q_sub(a->params, "DiskContainer"), disks, &detail, e)
              : err_nomem(e);
    if (r == 0)
        r = put_task(a, new_snapshot_task(a, id, encrypted, detail),
                     "import-snapshot-task", id, json_incref(disks), e);
    json_decref(disks);
    json_decref(detail);
    return r;
}

/* ---- Looking and cancelling ---- */

static int describe_images(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {{"task-state", "status"}, {NULL, NULL}};
    static const struct listing l = {.res = RES_IMPORT_IMAGE,
                                     .ids_param = "ImportTaskId",
                                     .filters = filters,
                                     .max_page = 1000};

    return listing_answer(a, &l, "importImageTaskSet", e);
}

static int describe_snapshots(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"task-state", "snapshotTaskDetail.status"}, {NULL, NULL}};
    static const struct listing l = {.res = RES_IMPORT_SNAPSHOT,
                                     .ids_param = "ImportTaskId",
                                     .filters = filters,
                                     .max_page = 1000};

    return listing_answer(a, &l, "importSnapshotTaskSet", e);
}

static int cancel_task(struct act *a, struct err *e)
{
    const char *id = q_str(a->params, "ImportTaskId");
    const char *why = q_str_or(a->params, "CancelReason", "");
    bool image = str_starts(id, "import-ami-");
    char before[40];
    json_t *doc;

    if (res_edit(a->lab, image ? RES_IMPORT_IMAGE : RES_IMPORT_SNAPSHOT, id, &doc, e) < 0)
        return -1;
    snprintf(before, sizeof before, "%s",
             json_str_or(image ? doc : import_detail(doc, 0), "status", ""));
    if (!str_eq(before, "active"))
        return refuse(e, "IncorrectState",
                      "The import task %s cannot be cancelled: it is %s", id, before);
    if (import_report(doc, "deleting", "Cancelling", 0, e) < 0 ||
        json_put(doc, "_stage", json_string("cancelling"), e) < 0 ||
        json_put(doc, "_due", json_integer(a->now_ms + a->lab->set.delay_ms), e) < 0 ||
        (*why && json_put(doc, "_reason", json_string(why), e) < 0) ||
        act_put(a, "importTaskId", json_string(id), e) < 0 ||
        act_put(a, "previousState", json_string(before), e) < 0)
        return -1;
    importer_cancel(a->lab, id);
    return act_put(a, "state", json_string("deleting"), e);
}

const struct action actions_import[] = {
    {"ImportImage", import_image, "DiskContainer.N"},
    {"ImportSnapshot", import_snapshot, "DiskContainer"},
    {"DescribeImportImageTasks", describe_images, NULL},
    {"DescribeImportSnapshotTasks", describe_snapshots, NULL},
    {"CancelImportTask", cancel_task, "ImportTaskId"},
    {NULL, NULL, NULL},
};
