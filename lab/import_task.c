/* Documents of VM Import: how tasks tell of themselves, and what becomes of them; see
 * importer.h. Nothing here waits. */
#include "lab/importer.h"

#include "base/str.h"

bool import_is_image(const json_t *task)
{
    return json_object_get(task, "snapshotDetailSet") != NULL;
}

json_t *import_detail(json_t *task, size_t i)
{
    json_t *one = json_object_get(task, "snapshotTaskDetail");

    if (one)
        return i == 0 ? one : NULL;
    return json_array_get(json_object_get(task, "snapshotDetailSet"), i);
}

static int put_progress(json_t *o, int progress, struct err *e)
{
    char text[12];

    if (progress <= 0) {
        json_object_del(o, "progress");
        return 0;
    }
    snprintf(text, sizeof text, "%d", progress);
    return json_put(o, "progress", json_string(text), e);
}

int import_report(json_t *task, const char *status, const char *message, int progress,
                  struct err *e)
{
    json_t *o = import_is_image(task) ? task : import_detail(task, 0);

    if (status && json_put(o, "status", json_string(status), e) < 0)
        return -1;
    if (message && *message) {
        if (json_put(o, "statusMessage", json_string(message), e) < 0)
            return -1;
    } else if (message) {
        json_object_del(o, "statusMessage");
    }
    return put_progress(o, progress, e);
}

int import_add_snapshot(struct lab *lab, const json_t *task, const char *id, uint64_t gib,
                        struct err *e)
{
    const char *about = json_str_or(task, "importTaskId", "");
    bool image = import_is_image(task);
    const json_t *o = image ? task : json_object_get(task, "snapshotTaskDetail");
    auto_free char *text = str_fmt(e, "Created by AWS-VMImport service for %s", about);
    char when[LAB_TIME_LEN];
    int64_t now = lab_now_ms();

    if (!text)
        return -1;
    lab_time(when, now);
    return store_put(
        lab->store, "snapshot", id,
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:b, s:s*, s:s, s:[],"
                  " s:I}",
                  "snapshotId", id, "volumeId", "vol-ffffffff", "status", "completed",
                  "startTime", when, "completionTime", when, "progress", "100%",
                  "ownerId", LAB_ACCOUNT, "description", text, "volumeSize",
                  (json_int_t)gib, "encrypted", json_bool_or(o, "encrypted", false),
                  "kmsKeyId", json_string_value(json_object_get(o, "kmsKeyId")),
                  "storageTier", "standard", "tagSet", "_made", (json_int_t)now),
        e);
}

static int image_mappings(struct lab *lab, json_t *task, json_t **ret, struct err *e)
{
    json_t *list = json_array();
    const json_t *d, *snap;
    int r = list ? 0 : err_nomem(e);

    for (size_t i = 0; r == 0 && (d = import_detail(task, i)); i++) {
        const char *id = json_str_or(d, "snapshotId", "");

        snap = store_get(lab->store, "snapshot", id);
        if (!snap)
            r = err_set(e, ERR_INPUT, "ClientError: The snapshot %s is gone", id);
        else
            r = json_add(list,
                         json_pack("{s:s, s:{s:b, s:s, s:O, s:s, s:O}}", "deviceName",
                                   json_str_or(d, "deviceName", ""), "ebs",
                                   "deleteOnTermination", 0, "snapshotId", id,
                                   "volumeSize", json_object_get(snap, "volumeSize"),
                                   "volumeType", "gp2", "encrypted",
                                   json_object_get(snap, "encrypted")),
                         e);
    }
    if (r < 0) {
        json_decref(list);
        return -1;
    }
    *ret = list;
    return 0;
}

/* What the image is, by the caller's words and by what its first disk holds. */
struct traits {
    bool windows;
    const char *boot, *license, *usage, *details, *controller;
};

static struct traits judge(const json_t *task)
{
    const json_t *disk = json_array_get(json_object_get(task, "_disks"), 0);
    const char *platform = json_str_or(task, "platform", "");
    const char *usage = json_string_value(json_object_get(task, "usageOperation"));
    struct traits t = {.license = json_str_or(task, "licenseType", "")};

    t.windows =
        *platform ? str_eq(platform, "Windows") : json_bool_or(disk, "ntfs", false);
    t.boot = json_str_or(task, "bootMode",
                         json_bool_or(disk, "uefi", false) ? "uefi" : "legacy-bios");
    t.usage = usage                       ? usage
              : !t.windows                ? "RunInstances"
              : str_eq(t.license, "BYOL") ? "RunInstances:0800"
                                          : "RunInstances:0002";
    t.details = !t.windows                             ? "Linux/UNIX"
                : str_eq(t.usage, "RunInstances:0800") ? "Windows BYOL"
                                                       : "Windows";
    /* What VMware gives such machines by default, as far as QEMU has it. */
    t.controller = t.windows ? "lsisas" : "pvscsi";
    return t;
}

static json_t *new_image(const json_t *task, const char *id, const struct traits *t,
                         json_t *mappings)
{
    const char *name = json_str_or(task, "importTaskId", "");
    char when[LAB_TIME_LEN], location[80], about[160];
    int64_t now = lab_now_ms();

    snprintf(location, sizeof location, LAB_ACCOUNT "/%s", name);
    snprintf(about, sizeof about, "AWS-VMImport service: %s",
             t->windows ? "Windows" : "Linux");
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:b, s:[], s:s, s:s, s:s, s:s, s:o, s:s, s:b, s:s,"
        " s:s, s:s, s:s, s:[], s:s, s:s, s:s*, s:s, s:I}",
        "imageId", id, "imageLocation", location, "imageState", "available",
        "imageOwnerId", LAB_ACCOUNT, "creationDate", lab_time(when, now), "isPublic", 0,
        "productCodes", "architecture", json_str_or(task, "architecture", "x86_64"),
        "imageType", "machine", "platformDetails", t->details, "usageOperation", t->usage,
        "blockDeviceMapping", mappings, "description", about, "enaSupport", 1,
        "hypervisor", "xen", "name", name, "rootDeviceName", "/dev/sda1",
        "rootDeviceType", "ebs", "tagSet", "virtualizationType", "hvm", "bootMode",
        t->boot, "platform", t->windows ? "windows" : NULL, "_controller", t->controller,
        "_made", (json_int_t)now);
}

int import_add_image(struct lab *lab, json_t *task, struct err *e)
{
    struct traits t = judge(task);
    char id[RES_ID_LEN];
    json_t *mappings;

    if (image_mappings(lab, task, &mappings, e) < 0)
        return -1;
    res_new_id(RES_IMAGE, id);
    if (store_put(lab->store, "image", id, new_image(task, id, &t, mappings), e) < 0 ||
        json_put(task, "imageId", json_string(id), e) < 0 ||
        json_put(task, "platform", json_string(t.windows ? "Windows" : "Linux"), e) < 0 ||
        json_put(task, "usageOperation", json_string(t.usage), e) < 0)
        return -1;
    if (!*t.license && t.windows && !str_eq(t.usage, "RunInstances:0800") &&
        json_put(task, "licenseType", json_string("AWS"), e) < 0)
        return -1;
    if (!json_object_get(task, "architecture"))
        return json_put(task, "architecture", json_string("x86_64"), e);
    return 0;
}
