/* Images: registered from snapshots, described by owner and filters. */
#include "lab/listing.h"
#include "lab/volume.h"

#include "base/str.h"

#include <ctype.h>

static int one_of(const char *param, const char *value, const char *const *words,
                  struct err *e)
{
    for (; *words; words++)
        if (str_eq(*words, value))
            return 0;
    return refuse_value(e, param, value, "");
}

/* 3-128 of letters, digits and a few more. */
static int check_name(struct act *a, const char *name, struct err *e)
{
    size_t n = strlen(name);
    json_t *docs, *d;
    bool taken = false;
    size_t i;

    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("()[] ./-'@_", *p))
            n = 0;
    if (n < 3 || n > 128)
        return refuse(
            e, "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain "
            "letters, numbers, '(', ')', '.', '-', '/' and '_'");
    if (store_list(a->lab->store, "image", &docs, e) < 0)
        return -1;
    json_array_foreach (docs, i, d)
        taken = taken || (str_eq(json_str_or(d, "name", ""), name) &&
                          str_eq(json_str_or(d, "imageOwnerId", ""), LAB_ACCOUNT));
    json_decref(docs);
    if (taken)
        return refuse(e, "InvalidAMIName.Duplicate",
                      "AMI name %.128s is already in use by another AMI in this account",
                      name);
    return 0;
}

static int read_ebs(struct act *a, const json_t *ebs, json_t **ret, struct err *e)
{
    struct volume_spec s = {.zone = ""};
    bool gone = true;
    json_t *doc;

    if (volume_spec_read(ebs, "VolumeSize", &s, e) < 0 ||
        q_bool(ebs, "DeleteOnTermination", &gone, e) < 0 ||
        volume_spec_check(a->lab, &s, e) < 0)
        return -1;
    doc = json_pack("{s:b, s:I, s:s, s:b}", "deleteOnTermination", gone, "volumeSize",
                    s.size_gib, "volumeType", s.type, "encrypted", s.encrypted);
    if (!doc ||
        (s.snapshot_id &&
         json_object_set_new(doc, "snapshotId", json_string(s.snapshot_id)) < 0) ||
        (s.has_iops && json_object_set_new(doc, "iops", json_integer(s.iops)) < 0) ||
        (s.has_throughput &&
         json_object_set_new(doc, "throughput", json_integer(s.throughput)) < 0)) {
        json_decref(doc);
        return err_nomem(e);
    }
    *ret = doc;
    return 0;
}

static int read_mapping(struct act *a, const json_t *m, json_t *list, struct err *e)
{
    const char *device = q_str(m, "DeviceName"), *virt = q_str(m, "VirtualName");
    const json_t *ebs = q_sub(m, "Ebs");
    json_t *ebs_doc = NULL, *other;
    size_t i;

    if (!device)
        return refuse_missing(e, "deviceName");
    if (!device_name_ok(device))
        return refuse(e, "InvalidBlockDeviceMapping",
                      "Invalid device name '%.60s' in the block device mapping", device);
    json_array_foreach (list, i, other)
        if (str_eq(json_str_or(other, "deviceName", ""), device))
            return refuse(
                e, "InvalidBlockDeviceMapping",
                "The device '%.60s' is used in more than one block-device mapping",
                device);
    if (virt)
        return json_add(
            list, json_pack("{s:s, s:s}", "deviceName", device, "virtualName", virt), e);
    if (!ebs)
        return 0;
    if (read_ebs(a, ebs, &ebs_doc, e) < 0)
        return -1;
    return json_add(list, json_pack("{s:s, s:o}", "deviceName", device, "ebs", ebs_doc),
                    e);
}

static int read_mappings(struct act *a, const char *root, json_t **ret, struct err *e)
{
    json_t *list = json_array(), *m;
    bool has_root = false;
    size_t i;
    int r = list ? 0 : err_nomem(e);

    json_array_foreach (q_list(a->params, "BlockDeviceMapping"), i, m)
        if (r == 0)
            r = read_mapping(a, m, list, e);
    json_array_foreach (list, i, m)
        has_root = has_root || (str_eq(json_str_or(m, "deviceName", ""), root) &&
                                json_object_get(json_object_get(m, "ebs"), "snapshotId"));
    if (r == 0 && !has_root)
        r = refuse(
            e, "InvalidBlockDeviceMapping",
            "The root device '%.60s' must have a snapshot in the block device mapping",
            root);
    if (r < 0) {
        json_decref(list);
        return -1;
    }
    *ret = list;
    return 0;
}

/* What the caller says about the image, with EC2's defaults. */
struct image_words {
    const char *name, *description, *arch, *virt, *boot, *root, *imds, *tpm, *sriov;
    bool ena;
};

static int read_words(struct act *a, struct image_words *w, struct err *e)
{
    static const char *const archs[] = {"i386", "x86_64", "arm64", NULL};
    static const char *const virts[] = {"hvm", "paravirtual", NULL};
    static const char *const boots[] = {"legacy-bios", "uefi", "uefi-preferred", NULL};
    static const char *const v2[] = {"v2.0", NULL};
    const json_t *p = a->params;

    *w = (struct image_words){.name = q_str(p, "Name"),
                              .description = q_str_or(p, "Description", ""),
                              .arch = q_str_or(p, "Architecture", "i386"),
                              .virt = q_str_or(p, "VirtualizationType", "paravirtual"),
                              .boot = q_str(p, "BootMode"),
                              .root = q_str_or(p, "RootDeviceName", "/dev/sda1"),
                              .imds = q_str(p, "ImdsSupport"),
                              .tpm = q_str(p, "TpmSupport"),
                              .sriov = q_str(p, "SriovNetSupport")};
    if (q_bool(p, "EnaSupport", &w->ena, e) < 0 ||
        one_of("architecture", w->arch, archs, e) < 0 ||
        one_of("virtualizationType", w->virt, virts, e) < 0 ||
        (w->boot && one_of("bootMode", w->boot, boots, e) < 0) ||
        (w->imds && one_of("imdsSupport", w->imds, v2, e) < 0) ||
        (w->tpm && one_of("tpmSupport", w->tpm, v2, e) < 0))
        return -1;
    if (w->tpm && (!w->boot || !str_eq(w->boot, "uefi")))
        return refuse(e, "InvalidParameterCombination",
                      "TpmSupport v2.0 requires BootMode uefi");
    if (w->boot && !str_eq(w->virt, "hvm"))
        return refuse(e, "InvalidParameterCombination",
                      "BootMode requires VirtualizationType hvm");
    return check_name(a, w->name, e);
}

static int put_image(struct act *a, const struct image_words *w, json_t *mappings,
                     json_t *tags, struct err *e)
{
    char id[RES_ID_LEN], when[LAB_TIME_LEN];
    auto_free char *location = str_fmt(e, LAB_ACCOUNT "/%s", w->name);
    json_t *doc;

    if (!location)
        return -1;
    doc = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:[], s:s, s:s, s:s, s:s, s:O, s:s, "
                    "s:b, s:s, s:s,"
                    " s:s, s:s, s:O, s:s, s:s*, s:s*, s:s*, s:s*, s:I, s:I}",
                    "imageId", res_new_id(RES_IMAGE, id), "imageLocation", location,
                    "imageState", "pending", "imageOwnerId", LAB_ACCOUNT, "creationDate",
                    lab_time(when, a->now_ms), "isPublic", 0, "productCodes",
                    "architecture", w->arch, "imageType", "machine", "platformDetails",
                    "Linux/UNIX", "usageOperation", "RunInstances", "blockDeviceMapping",
                    mappings, "description", w->description, "enaSupport", w->ena,
                    "hypervisor", "xen", "name", w->name, "rootDeviceName", w->root,
                    "rootDeviceType", "ebs", "tagSet", tags, "virtualizationType",
                    w->virt, "bootMode", w->boot, "imdsSupport", w->imds, "tpmSupport",
                    w->tpm, "sriovNetSupport", w->sriov, "_made", (json_int_t)a->now_ms,
                    "_due", (json_int_t)(a->now_ms + a->lab->set.delay_ms));
    if (store_put(a->lab->store, "image", id, doc, e) < 0)
        return -1;
    return act_put(a, "imageId", json_string(id), e);
}

static int register_image(struct act *a, struct err *e)
{
    struct image_words w;
    json_t *mappings, *tags;
    int r;

    if (q_str(a->params, "ImageLocation"))
        return refuse(e, "UnsupportedOperation",
                      "This lab registers images from snapshots only, not from S3");
    if (q_list(a->params, "BillingProduct"))
        return refuse(e, "AuthFailure",
                      "You are not authorized to use the billing product");
    if (read_words(a, &w, e) < 0 || read_mappings(a, w.root, &mappings, e) < 0)
        return -1;
    r = tags_from_spec(a->params, "image", "image snapshot", &tags, e);
    if (r == 0) {
        r = put_image(a, &w, mappings, tags, e);
        json_decref(tags);
    }
    json_decref(mappings);
    return r;
}

static int find_own_image(struct act *a, json_t **ret, struct err *e)
{
    const json_t *doc;

    if (res_find(a->lab, RES_IMAGE, q_str(a->params, "ImageId"), &doc, e) < 0)
        return -1;
    if (!str_eq(json_str_or(doc, "imageOwnerId", ""), LAB_ACCOUNT))
        return refuse(e, "AuthFailure", "Not authorized for image:%s",
                      json_str_or(doc, "imageId", ""));
    return store_edit(a->lab->store, "image", json_str_or(doc, "imageId", ""), ret, e);
}

static int deregister_image(struct act *a, struct err *e)
{
    bool snapshots = false;
    json_t *doc, *m;
    size_t i;

    if (q_bool(a->params, "DeleteAssociatedSnapshots", &snapshots, e) < 0 ||
        find_own_image(a, &doc, e) < 0)
        return -1;
    json_array_foreach (json_object_get(doc, "blockDeviceMapping"), i, m) {
        const char *id = json_str_or(json_object_get(m, "ebs"), "snapshotId", "");
        auto_free char *path = lab_snapshot_path(a->lab, id, e);

        if (!snapshots || !*id)
            continue;
        if (!path || store_delete(a->lab->store, "snapshot", id, e) < 0)
            return -1;
        unlink(path);
    }
    if (store_delete(a->lab->store, "image", json_str_or(doc, "imageId", ""), e) < 0)
        return -1;
    return act_true(a, e);
}

static bool image_shown(const struct act *a, const json_t *doc)
{
    json_t *owners = q_list(a->params, "Owner"),
           *users = q_list(a->params, "ExecutableBy");
    const char *owner = json_str_or(doc, "imageOwnerId", "");
    const char *alias = json_str_or(doc, "imageOwnerAlias", "");
    bool own = str_eq(owner, LAB_ACCOUNT), shown = !owners;
    json_t *v;
    size_t i;

    json_array_foreach (owners, i, v) {
        const char *s = json_string_value(v);

        shown = shown || (s && (str_eq(s, owner) || (*alias && str_eq(s, alias)) ||
                                (own && str_eq(s, "self"))));
    }
    json_array_foreach (users, i, v) {
        const char *s = json_string_value(v);

        if (s && str_eq(s, "all") && !json_bool_or(doc, "isPublic", false))
            shown = false;
    }
    return shown;
}

static int describe_images(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"architecture", "architecture"},
        {"block-device-mapping.delete-on-termination",
         "blockDeviceMapping.ebs.deleteOnTermination"},
        {"block-device-mapping.device-name", "blockDeviceMapping.deviceName"},
        {"block-device-mapping.snapshot-id", "blockDeviceMapping.ebs.snapshotId"},
        {"block-device-mapping.volume-size", "blockDeviceMapping.ebs.volumeSize"},
        {"block-device-mapping.volume-type", "blockDeviceMapping.ebs.volumeType"},
        {"block-device-mapping.encrypted", "blockDeviceMapping.ebs.encrypted"},
        {"boot-mode", "bootMode"},
        {"creation-date", "creationDate"},
        {"description", "description"},
        {"ena-support", "enaSupport"},
        {"hypervisor", "hypervisor"},
        {"image-id", "imageId"},
        {"image-type", "imageType"},
        {"imds-support", "imdsSupport"},
        {"is-public", "isPublic"},
        {"manifest-location", "imageLocation"},
        {"name", "name"},
        {"owner-alias", "imageOwnerAlias"},
        {"owner-id", "imageOwnerId"},
        {"platform", "platform"},
        {"platform-details", "platformDetails"},
        {"product-code", "productCodes.productCode"},
        {"root-device-name", "rootDeviceName"},
        {"root-device-type", "rootDeviceType"},
        {"state", "imageState"},
        {"state-reason-code", "stateReason.code"},
        {"sriov-net-support", "sriovNetSupport"},
        {"tpm-support", "tpmSupport"},
        {"usage-operation", "usageOperation"},
        {"virtualization-type", "virtualizationType"},
        {NULL, NULL},
    };
    static const struct listing l = {.res = RES_IMAGE,
                                     .ids_param = "ImageId",
                                     .filters = filters,
                                     .max_page = 1000,
                                     .show = image_shown};

    return listing_answer(a, &l, "imagesSet", e);
}

static int describe_image_attribute(struct act *a, struct err *e)
{
    static const struct {
        const char *name, *member;
    } plain[] = {{"description", "description"}, {"bootMode", "bootMode"},
                 {"tpmSupport", "tpmSupport"},   {"sriovNetSupport", "sriovNetSupport"},
                 {"imdsSupport", "imdsSupport"}, {"lastLaunchedTime", "lastLaunchedTime"},
                 {"kernel", "kernelId"},         {"ramdisk", "ramdiskId"}};
    const char *id = q_str(a->params, "ImageId"), *attr = q_str(a->params, "Attribute");
    const json_t *doc;

    if (res_find(a->lab, RES_IMAGE, id, &doc, e) < 0 ||
        act_put(a, "imageId", json_string(id), e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        json_t *v = json_object_get(doc, plain[i].member);

        if (str_eq(attr, plain[i].name))
            return act_put(a, attr, v ? json_pack("{s:O}", "value", v) : json_object(),
                           e);
    }
    if (str_eq(attr, "launchPermission"))
        return act_put(a, attr,
                       json_bool_or(doc, "isPublic", false)
                           ? json_pack("[{s:s}]", "group", "all")
                           : json_array(),
                       e);
    if (str_eq(attr, "blockDeviceMapping"))
        return act_put(a, attr, json_incref(json_object_get(doc, attr)), e);
    if (str_eq(attr, "productCodes"))
        return act_put(a, attr, json_array(), e);
    return refuse_value(e, "attribute", attr, "Unknown attribute.");
}

static int change_permission(json_t *doc, const json_t *list, bool add, struct err *e)
{
    json_t *v;
    size_t i;

    json_array_foreach (list, i, v)
        if (str_eq(q_str_or(v, "Group", ""), "all") &&
            json_put(doc, "isPublic", json_boolean(add), e) < 0)
            return -1;
    return 0;
}

static int modify_image_attribute(struct act *a, struct err *e)
{
    const json_t *permission = q_sub(a->params, "LaunchPermission");
    const char *attr = q_str_or(a->params, "Attribute", "");
    const char *text = q_str(q_sub(a->params, "Description"), "Value");
    json_t *doc;

    if (!text && str_eq(attr, "description"))
        text = q_str(a->params, "Value");
    if (find_own_image(a, &doc, e) < 0 ||
        (text && json_put(doc, "description", json_string(text), e) < 0) ||
        change_permission(doc, q_list(permission, "Add"), true, e) < 0 ||
        change_permission(doc, q_list(permission, "Remove"), false, e) < 0)
        return -1;
    return act_true(a, e);
}

const struct action actions_image[] = {
    {"RegisterImage", register_image, "Name"},
    {"DeregisterImage", deregister_image, "ImageId"},
    {"DescribeImages", describe_images, NULL},
    {"DescribeImageAttribute", describe_image_attribute, "ImageId Attribute"},
    {"ModifyImageAttribute", modify_image_attribute, "ImageId"},
    {NULL, NULL, NULL},
};
