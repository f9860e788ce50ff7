/* Snapshots: copies of a volume's file as it is when the call is answered. */
#include "lab/copier.h"
#include "lab/listing.h"
#include "lab/snapshot.h"
#include "lab/volume.h"

#include "base/str.h"

const char *snapshot_lineage(const json_t *snapshot)
{
    const char *id = json_str_or(snapshot, "snapshotId", "");
    const char *volume = json_str_or(snapshot, "volumeId", "vol-ffffffff");

    return json_str_or(snapshot, "_lineage",
                       str_eq(volume, "vol-ffffffff") ? id : volume);
}

const char *volume_lineage(const json_t *volume)
{
    return json_str_or(volume, "_lineage", json_str_or(volume, "volumeId", ""));
}

static json_t *new_snapshot(struct act *a, const json_t *src, const char *volume_id,
                            const char *size_member, const char *copy, json_t *tags,
                            const char *lineage, char id[RES_ID_LEN])
{
    const char *kms = json_string_value(json_object_get(src, "kmsKeyId"));
    char when[LAB_TIME_LEN];

    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:O, s:b, s:s*, s:s, s:O, s:s,"
        " s:s*, s:I, s:I}",
        "snapshotId", res_new_id(RES_SNAPSHOT, id), "volumeId", volume_id, "status",
        "pending", "startTime", lab_time(when, a->now_ms), "progress", "", "ownerId",
        LAB_ACCOUNT, "description", q_str_or(a->params, "Description", ""), "volumeSize",
        json_object_get(src, size_member), "encrypted",
        json_bool_or(src, "encrypted", false), "kmsKeyId", kms, "storageTier", "standard",
        "tagSet", tags, "_copy", copy, "_lineage", lineage, "_made",
        (json_int_t)a->now_ms, "_due", (json_int_t)(a->now_ms + a->lab->set.delay_ms));
}

/* Stores the document of a snapshot of one volume; the copier does the rest. */
static int add_snapshot(struct act *a, const json_t *volume, json_t *tags,
                        char id[RES_ID_LEN], struct err *e)
{
    const char *volume_id = json_str_or(volume, "volumeId", "");
    const char *status = json_str_or(volume, "status", "");
    auto_free char *copy = str_fmt(e, "volumes/%s.raw", volume_id);
    json_t *doc;

    if (!copy)
        return -1;
    if (!str_eq(status, "available") && !str_eq(status, "in-use"))
        return refuse(e, "IncorrectState", "The volume '%s' is in the '%s' state.",
                      volume_id, status);
    doc = new_snapshot(a, volume, volume_id, "size", copy, tags, volume_lineage(volume),
                       id);
    return store_put(a->lab->store, "snapshot", id, doc, e);
}

/* A snapshot is of the moment: later writes must not show. So the call is answered only
 * once the data is copied; until then others may use the lab. */
static int finish(struct act *a, const char *id, struct err *e)
{
    if (store_commit(a->lab->store, e) < 0)
        return -1;
    copier_kick(a->lab);
    copier_wait(a->lab, "snapshot", id);
    return 0;
}

static int create_snapshot(struct act *a, struct err *e)
{
    const json_t *volume, *doc;
    char id[RES_ID_LEN];
    json_t *tags;
    int r;

    if (res_find(a->lab, RES_VOLUME, q_str(a->params, "VolumeId"), &volume, e) < 0 ||
        tags_from_spec(a->params, "snapshot", "snapshot", &tags, e) < 0)
        return -1;
    r = add_snapshot(a, volume, tags, id, e);
    json_decref(tags);
    if (r < 0 || finish(a, id, e) < 0)
        return -1;
    doc = store_get(a->lab->store, "snapshot", id);
    return doc ? act_put_all(a, doc, e) : 0;
}

static bool excluded(const struct act *a, const json_t *instance, const json_t *volume)
{
    const json_t *spec = q_sub(a->params, "InstanceSpecification");
    const char *id = json_str_or(instance, "instanceId", "");
    const json_t *att = volume_attachment(volume, id);
    struct err e = ERR_INIT;
    bool no_boot = false;
    json_t *v;
    size_t i;

    if (q_bool(spec, "ExcludeBootVolume", &no_boot, &e) >= 0 && no_boot &&
        device_names_clash(json_str_or(att, "device", ""),
                           json_str_or(instance, "rootDeviceName", "")))
        return true;
    json_array_foreach (q_list(spec, "ExcludeDataVolumeId"), i, v)
        if (str_eq_null(json_string_value(v), json_str_or(volume, "volumeId", "")))
            return true;
    return false;
}

static int add_snapshots(struct act *a, const json_t *instance, json_t *tags, json_t *ids,
                         struct err *e)
{
    json_t *volumes, *v;
    char id[RES_ID_LEN];
    size_t i;
    int r = 0;

    if (volumes_of_instance(a->lab, json_str_or(instance, "instanceId", ""), &volumes,
                            e) < 0)
        return -1;
    json_array_foreach (volumes, i, v) {
        if (r < 0 || excluded(a, instance, v))
            continue;
        r = add_snapshot(a, v, tags, id, e);
        if (r == 0)
            r = json_add(ids, json_string(id), e);
    }
    json_decref(volumes);
    return r;
}

static int snapshot_info(struct act *a, const char *id, json_t *out, struct err *e)
{
    const json_t *doc = store_get(a->lab->store, "snapshot", id);
    json_t *info = json_copy((json_t *)doc);

    if (!info || json_object_set(info, "state", json_object_get(info, "status")) < 0) {
        json_decref(info);
        return err_nomem(e);
    }
    json_object_del(info, "status");
    json_object_del(info, "kmsKeyId");
    json_object_del(info, "storageTier");
    return json_add(out, info, e);
}

static int create_snapshots(struct act *a, struct err *e)
{
    const char *id = q_str(q_sub(a->params, "InstanceSpecification"), "InstanceId");
    const json_t *instance;
    json_t *tags, *ids, *out, *v;
    size_t i;
    int r;

    if (!id)
        return refuse_missing(e, "InstanceSpecification.InstanceId");
    if (res_find(a->lab, RES_INSTANCE, id, &instance, e) < 0 ||
        tags_from_spec(a->params, "snapshot", "snapshot", &tags, e) < 0)
        return -1;
    ids = json_array();
    r = ids ? add_snapshots(a, instance, tags, ids, e) : err_nomem(e);
    json_decref(tags);
    json_array_foreach (ids, i, v)
        if (r == 0)
            r = finish(a, json_string_value(v), e);
    out = json_array();
    json_array_foreach (ids, i, v)
        if (r == 0)
            r = snapshot_info(a, json_string_value(v), out, e);
    json_decref(ids);
    if (r < 0) {
        json_decref(out);
        return -1;
    }
    return act_put(a, "snapshotSet", out, e);
}

static int copy_snapshot(struct act *a, struct err *e)
{
    const char *source = q_str(a->params, "SourceSnapshotId");
    auto_free char *from = NULL;
    char id[RES_ID_LEN];
    const json_t *src;
    json_t *tags, *doc;

    if (!str_eq(q_str(a->params, "SourceRegion"), LAB_REGION))
        return refuse(e, "InvalidParameterValue",
                      "This lab is one region: SourceRegion must be " LAB_REGION);
    if (res_find(a->lab, RES_SNAPSHOT, source, &src, e) < 0)
        return -1;
    if (!str_eq(json_str_or(src, "status", ""), "completed"))
        return refuse(e, "IncorrectState", "Snapshot is in invalid state - %s",
                      json_str_or(src, "status", ""));
    from = str_fmt(e, "snapshots/%s.raw", source);
    if (!from || tags_from_spec(a->params, "snapshot", "snapshot", &tags, e) < 0)
        return -1;
    /* EC2 shows an arbitrary volume id for copies. */
    doc = new_snapshot(a, src, "vol-ffffffff", "volumeSize", from, tags, NULL, id);
    json_decref(tags);
    if (store_put(a->lab->store, "snapshot", id, doc, e) < 0)
        return -1;
    copier_kick(a->lab);
    if (act_put(a, "tagSet", json_incref(json_object_get(doc, "tagSet")), e) < 0)
        return -1;
    return act_put(a, "snapshotId", json_string(id), e);
}

/* The image that needs the snapshot, or NULL. */
static const char *image_using(struct act *a, const char *snapshot_id)
{
    struct err e = ERR_INIT;
    json_t *docs, *d, *want = json_pack("[s]", snapshot_id);
    const json_t *found = NULL;
    size_t i;

    if (store_list(a->lab->store, "image", &docs, &e) == 0) {
        json_array_foreach (docs, i, d)
            if (!found &&
                listing_path_matches(d, "blockDeviceMapping.ebs.snapshotId", want))
                found = store_get(a->lab->store, "image", json_str_or(d, "imageId", ""));
        json_decref(docs);
    }
    json_decref(want);
    return found ? json_str_or(found, "imageId", "") : NULL;
}

/* Volumes and snapshots still being filled from it get their data first. */
static int wait_for_copies(struct act *a, const char *snapshot_id, struct err *e)
{
    static const struct {
        const char *kind, *id;
    } kinds[] = {{"volume", "volumeId"}, {"snapshot", "snapshotId"}};
    auto_free char *path = str_fmt(e, "snapshots/%s.raw", snapshot_id);
    json_t *docs, *d;
    size_t i;

    if (!path)
        return -1;
    for (size_t k = 0; k < 2; k++) {
        if (store_list(a->lab->store, kinds[k].kind, &docs, e) < 0)
            return -1;
        json_array_foreach (docs, i, d)
            if (str_eq(json_str_or(d, "_copy", ""), path))
                copier_wait(a->lab, kinds[k].kind, json_str_or(d, kinds[k].id, ""));
        json_decref(docs);
    }
    return 0;
}

static int delete_snapshot(struct act *a, struct err *e)
{
    const char *id = q_str(a->params, "SnapshotId"), *image;
    auto_free char *path = NULL, *sums = NULL;
    const json_t *doc;

    if (res_find(a->lab, RES_SNAPSHOT, id, &doc, e) < 0)
        return -1;
    if (!str_eq(json_str_or(doc, "ownerId", ""), LAB_ACCOUNT))
        return refuse(e, "UnauthorizedOperation",
                      "You are not authorized to perform this operation.");
    image = image_using(a, id);
    if (image)
        return refuse(e, "InvalidSnapshot.InUse",
                      "The snapshot %s is currently in use by %s", id, image);
    if (wait_for_copies(a, id, e) < 0)
        return -1;
    path = lab_snapshot_path(a->lab, id, e);
    sums = str_fmt(e, "%s/snapshots/%s.sums", a->lab->state_dir, id);
    if (!path || !sums || store_delete(a->lab->store, "snapshot", id, e) < 0)
        return -1;
    unlink(path);
    unlink(sums); /* of one that was being written block by block */
    return act_true(a, e);
}

/* Owner.N: "self", "amazon", or an account. */
static bool owner_matches(const json_t *owners, const json_t *doc, const char *member)
{
    const char *owner = json_str_or(doc, member, "");
    json_t *v;
    size_t i;

    if (!owners)
        return true;
    json_array_foreach (owners, i, v) {
        const char *s = json_string_value(v);

        if (s && (str_eq(s, owner) || (str_eq(s, "self") && str_eq(owner, LAB_ACCOUNT)) ||
                  (str_eq(s, "amazon") && str_eq(owner, LAB_AMAZON))))
            return true;
    }
    return false;
}

static bool snapshot_shown(const struct act *a, const json_t *doc)
{
    return owner_matches(q_list(a->params, "Owner"), doc, "ownerId");
}

static int describe_snapshots(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"description", "description"},  {"encrypted", "encrypted"},
        {"owner-alias", "ownerAlias"},   {"owner-id", "ownerId"},
        {"progress", "progress"},        {"snapshot-id", "snapshotId"},
        {"start-time", "startTime"},     {"status", "status"},
        {"storage-tier", "storageTier"}, {"volume-id", "volumeId"},
        {"volume-size", "volumeSize"},   {NULL, NULL},
    };
    static const struct listing l = {.res = RES_SNAPSHOT,
                                     .ids_param = "SnapshotId",
                                     .filters = filters,
                                     .max_page = 1000,
                                     .show = snapshot_shown};

    return listing_answer(a, &l, "snapshotSet", e);
}

static int describe_snapshot_attribute(struct act *a, struct err *e)
{
    const char *id = q_str(a->params, "SnapshotId"),
               *attr = q_str(a->params, "Attribute");
    const json_t *doc;

    if (res_find(a->lab, RES_SNAPSHOT, id, &doc, e) < 0 ||
        act_put(a, "snapshotId", json_string(id), e) < 0)
        return -1;
    if (str_eq(attr, "productCodes"))
        return act_put(a, "productCodes", json_array(), e);
    if (str_eq(attr, "createVolumePermission"))
        return act_put(a, "createVolumePermission",
                       json_bool_or(doc, "_public", false)
                           ? json_pack("[{s:s}]", "group", "all")
                           : json_array(),
                       e);
    return refuse_value(e, "attribute", attr, "Unknown attribute.");
}

const struct action actions_snapshot[] = {
    {"CreateSnapshot", create_snapshot, "VolumeId"},
    {"CreateSnapshots", create_snapshots, "InstanceSpecification"},
    {"CopySnapshot", copy_snapshot, "SourceRegion SourceSnapshotId"},
    {"DeleteSnapshot", delete_snapshot, "SnapshotId"},
    {"DescribeSnapshots", describe_snapshots, NULL},
    {"DescribeSnapshotAttribute", describe_snapshot_attribute, "SnapshotId Attribute"},
    {NULL, NULL, NULL},
};
