/* Volumes: create, copy, delete, describe, modify. */
#include "lab/copier.h"
#include "lab/listing.h"
#include "lab/volume.h"

#include "lab/zones.h"

#include "base/str.h"

static const struct filter_def volume_filters[] = {
    {"attachment.attach-time", "attachmentSet.attachTime"},
    {"attachment.delete-on-termination", "attachmentSet.deleteOnTermination"},
    {"attachment.device", "attachmentSet.device"},
    {"attachment.instance-id", "attachmentSet.instanceId"},
    {"attachment.status", "attachmentSet.status"},
    {"availability-zone", "availabilityZone"},
    {"availability-zone-id", "availabilityZoneId"},
    {"create-time", "createTime"},
    {"encrypted", "encrypted"},
    {"fast-restored", "fastRestored"},
    {"multi-attach-enabled", "multiAttachEnabled"},
    {"size", "size"},
    {"snapshot-id", "snapshotId"},
    {"source-volume-id", "sourceVolumeId"},
    {"status", "status"},
    {"volume-id", "volumeId"},
    {"volume-type", "volumeType"},
    {NULL, NULL},
};

/* statusMessage is a snapshot's member; a volume has no place for it. */
static int volume_view(struct act *a, const json_t *doc, json_t **ret, struct err *e)
{
    json_t *view = json_copy((json_t *)doc);
    const char *zone = json_str_or(doc, "availabilityZone", "");

    if (!view)
        return err_nomem(e);
    json_object_del(view, "statusMessage");
    if (json_put(view, "availabilityZoneId", json_string(zone_id_of(zone)), e) < 0) {
        json_decref(view);
        return -1;
    }
    *ret = view;
    return 0;
}

static const struct listing volumes = {.res = RES_VOLUME,
                                       .ids_param = "VolumeId",
                                       .filters = volume_filters,
                                       .max_page = 1000,
                                       .view = volume_view};

static int describe_volumes(struct act *a, struct err *e)
{
    return listing_answer(a, &volumes, "volumeSet", e);
}

static int answer_volume(struct act *a, const json_t *doc, struct err *e)
{
    json_t *view;
    int r;

    if (volume_view(a, doc, &view, e) < 0)
        return -1;
    r = act_put_all(a, view, e);
    json_decref(view);
    return r;
}

/* The answer to a repeated call: the volume as it is now, or as deleted. */
static int answer_again(struct act *a, const json_t *id, struct err *e)
{
    const json_t *doc = store_get(a->lab->store, "volume", json_string_value(id));

    if (doc)
        return answer_volume(a, doc, e);
    if (act_put(a, "volumeId", json_incref((json_t *)id), e) < 0)
        return -1;
    return act_put(a, "status", json_string("deleted"), e);
}

static int create_volume(struct act *a, struct err *e)
{
    struct volume_spec spec = {0};
    const json_t *again;
    json_t *tags, *doc;
    int r = act_token_find(a, &again, e);

    if (r != 0)
        return r < 0 ? -1 : answer_again(a, again, e);
    if (zone_from_params(a->params, &spec.zone, e) < 0 ||
        volume_spec_read(a->params, "Size", &spec, e) < 0 ||
        volume_spec_check(a->lab, &spec, e) < 0 ||
        tags_from_spec(a->params, "volume", "volume", &tags, e) < 0 ||
        volume_create(a, &spec, tags, &doc, e) < 0)
        return -1;
    if (act_token_save(a, json_incref(json_object_get(doc, "volumeId")), e) < 0)
        return -1;
    return answer_volume(a, doc, e);
}

static int delete_volume(struct act *a, struct err *e)
{
    const char *id = q_str(a->params, "VolumeId"), *status;
    const json_t *found;
    json_t *doc, *att;

    if (res_find(a->lab, RES_VOLUME, id, &found, e) < 0)
        return -1;
    status = json_str_or(found, "status", "");
    att = volume_attachment(found, NULL);
    if (att)
        return refuse(e, "VolumeInUse", "Volume %s is currently attached to %s", id,
                      json_str_or(att, "instanceId", ""));
    if (str_eq(status, "deleting"))
        return act_true(a, e);
    if (str_eq(status, "creating"))
        return refuse(e, "IncorrectState", "Volume '%s' is in the 'creating' state.", id);
    if (store_edit(a->lab->store, "volume", id, &doc, e) < 0 ||
        json_put(doc, "status", json_string("deleting"), e) < 0 ||
        json_put(doc, "_due", json_integer(a->now_ms + a->lab->set.delay_ms), e) < 0)
        return -1;
    return act_true(a, e);
}

static int status_view(struct act *a, const json_t *doc, json_t **ret, struct err *e)
{
    const char *status = json_str_or(doc, "status", "");
    bool settled = !str_eq(status, "creating") && !str_eq(status, "error");
    const char *zone = json_str_or(doc, "availabilityZone", "");
    bool io = json_bool_or(doc, "_autoEnableIO", true);
    json_t *view =
        json_pack("{s:s, s:s, s:s, s:[], s:[], s:{s:s, s:[{s:s, s:s}, {s:s, s:s}]}, s:O}",
                  "volumeId", json_str_or(doc, "volumeId", ""), "availabilityZone", zone,
                  "availabilityZoneId", zone_id_of(zone), "actionsSet", "eventsSet",
                  "volumeStatus", "status",
                  settled                      ? "ok"
                  : str_eq(status, "creating") ? "insufficient-data"
                                               : "impaired",
                  "details", "name", "io-enabled", "status",
                  !settled ? "insufficient-data"
                  : io     ? "passed"
                           : "failed",
                  "name", "io-performance", "status",
                  settled ? "not-applicable" : "insufficient-data", "_seq",
                  json_object_get(doc, "_seq"));

    if (!view)
        return err_nomem(e);
    *ret = view;
    return 0;
}

static int describe_volume_status(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"availability-zone", "availabilityZone"},
        {"volume-status.status", "volumeStatus.status"},
        {"volume-status.details-name", "volumeStatus.details.name"},
        {"volume-status.details-status", "volumeStatus.details.status"},
        {"event.event-id", "eventsSet.eventId"},
        {"action.code", "actionsSet.code"},
        {NULL, NULL},
    };
    static const struct listing l = {.res = RES_VOLUME,
                                     .ids_param = "VolumeId",
                                     .filters = filters,
                                     .max_page = 1000,
                                     .view = status_view};

    return listing_answer(a, &l, "volumeStatusSet", e);
}

static int describe_volume_attribute(struct act *a, struct err *e)
{
    const char *id = q_str(a->params, "VolumeId"), *attr = q_str(a->params, "Attribute");
    const json_t *doc;

    if (res_find(a->lab, RES_VOLUME, id, &doc, e) < 0 ||
        act_put(a, "volumeId", json_string(id), e) < 0)
        return -1;
    if (str_eq(attr, "autoEnableIO"))
        return act_put(
            a, "autoEnableIO",
            json_pack("{s:b}", "value", json_bool_or(doc, "_autoEnableIO", false)), e);
    if (str_eq(attr, "productCodes"))
        return act_put(a, "productCodes", json_array(), e);
    return refuse_value(e, "attribute", attr, "Unknown attribute.");
}

static int modify_volume_attribute(struct act *a, struct err *e)
{
    const json_t *value = q_sub(a->params, "AutoEnableIO");
    bool on = false;
    json_t *doc;
    int r = q_bool(value, "Value", &on, e);

    if (r < 0)
        return -1;
    if (r == 0)
        return refuse_missing(e, "autoEnableIO");
    if (res_edit(a->lab, RES_VOLUME, q_str(a->params, "VolumeId"), &doc, e) < 0 ||
        json_put(doc, "_autoEnableIO", json_boolean(on), e) < 0)
        return -1;
    return act_true(a, e);
}

static int enable_volume_io(struct act *a, struct err *e)
{
    const json_t *doc;

    if (res_find(a->lab, RES_VOLUME, q_str(a->params, "VolumeId"), &doc, e) < 0)
        return -1;
    return act_true(a, e);
}

/* What the volume would be if it were created now with the changes asked for. */
static int modified_spec(struct act *a, const json_t *doc, struct volume_spec *s,
                         struct err *e)
{
    const char *type = q_str(a->params, "VolumeType");
    const char *old_type = json_str_or(doc, "volumeType", "");
    json_int_t old_size = json_integer_value(json_object_get(doc, "size"));
    bool same_type = !type || str_eq(type, old_type);

    if (volume_spec_read(a->params, "Size", s, e) < 0)
        return -1;
    s->snapshot_id = NULL;
    s->kms_key = NULL;
    if (!type)
        s->type = old_type;
    if (!s->has_size)
        s->size_gib = old_size;
    s->has_size = true;
    if (s->size_gib < old_size)
        return refuse(e, "InvalidParameterValue",
                      "New size cannot be smaller than existing size");
    if (!s->has_iops && same_type && !str_eq(old_type, "gp2") &&
        json_object_get(doc, "iops")) {
        s->iops = json_integer_value(json_object_get(doc, "iops"));
        s->has_iops = true;
    }
    if (!s->has_throughput && same_type && json_object_get(doc, "throughput")) {
        s->throughput = json_integer_value(json_object_get(doc, "throughput"));
        s->has_throughput = true;
    }
    return volume_spec_check(a->lab, s, e);
}

static int check_modifiable(struct act *a, const json_t *doc, struct err *e)
{
    const char *id = json_str_or(doc, "volumeId", ""), *status;
    const json_t *mod = store_get(a->lab->store, "modification", id);

    status = json_str_or(doc, "status", "");
    if (!str_eq(status, "available") && !str_eq(status, "in-use"))
        return refuse(e, "IncorrectState",
                      "Cannot modify volume %s while it is in the '%s' state", id,
                      status);
    if (mod && !str_eq(json_str_or(mod, "modificationState", ""), "failed") &&
        a->now_ms - json_integer_value(json_object_get(mod, "_made")) < 6 * 3600000ll)
        return refuse(
            e, "VolumeModificationRateExceeded",
            "You've reached the maximum modification rate per volume limit. Wait "
            "at least 6 hours between modifications per EBS volume.");
    return 0;
}

static int put_modified(json_t *mod, const char *prefix, const json_t *volume,
                        struct err *e)
{
    static const char *const pairs[][2] = {{"size", "Size"},
                                           {"iops", "Iops"},
                                           {"volumeType", "VolumeType"},
                                           {"throughput", "Throughput"},
                                           {"multiAttachEnabled", "MultiAttachEnabled"}};

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        json_t *v = json_object_get(volume, pairs[i][0]);
        char name[40];

        snprintf(name, sizeof name, "%s%s", prefix, pairs[i][1]);
        if (v && json_put(mod, name, json_incref(v), e) < 0)
            return -1;
    }
    return 0;
}

static int start_modification(struct act *a, json_t *doc, struct volume_spec *s,
                              json_t **ret, struct err *e)
{
    const char *id = json_str_or(doc, "volumeId", "");
    char when[LAB_TIME_LEN];
    json_t *mod =
        json_pack("{s:s, s:s, s:I, s:s, s:I, s:I}", "volumeId", id, "modificationState",
                  "modifying", "progress", (json_int_t)0, "startTime",
                  lab_time(when, a->now_ms), "_made", (json_int_t)a->now_ms, "_due",
                  (json_int_t)(a->now_ms + a->lab->set.delay_ms));

    if (!mod)
        return err_nomem(e);
    if (put_modified(mod, "original", doc, e) < 0 ||
        volume_respec(a->lab, doc, s, e) < 0 || put_modified(mod, "target", doc, e) < 0) {
        json_decref(mod);
        return -1;
    }
    if (store_put(a->lab->store, "modification", id, mod, e) < 0)
        return -1;
    *ret = mod;
    return 0;
}

static int modify_volume(struct act *a, struct err *e)
{
    struct volume_spec spec = {0};
    json_t *doc, *mod = NULL;

    if (res_edit(a->lab, RES_VOLUME, q_str(a->params, "VolumeId"), &doc, e) < 0 ||
        check_modifiable(a, doc, e) < 0 || modified_spec(a, doc, &spec, e) < 0 ||
        start_modification(a, doc, &spec, &mod, e) < 0)
        return -1;
    return act_put(a, "volumeModification", json_incref(mod), e);
}

static int describe_modifications(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"volume-id", "volumeId"},
        {"modification-state", "modificationState"},
        {"original-size", "originalSize"},
        {"original-volume-type", "originalVolumeType"},
        {"start-time", "startTime"},
        {"target-iops", "targetIops"},
        {"target-size", "targetSize"},
        {"target-volume-type", "targetVolumeType"},
        {NULL, NULL},
    };
    static const struct listing l = {
        .res = RES_VOLUME, .ids_param = "VolumeId", .filters = filters, .max_page = 500};
    json_t *docs, *out, *id;
    size_t i;

    json_array_foreach (q_list(a->params, "VolumeId"), i, id) {
        const json_t *doc;

        if (res_find(a->lab, RES_VOLUME,
                     json_string_value(id) ? json_string_value(id) : "", &doc, e) < 0)
            return -1;
        if (!store_get(a->lab->store, "modification", json_string_value(id)))
            return refuse(e, "InvalidVolumeModification.NotFound",
                          "Modification for volume '%.40s' does not exist.",
                          json_string_value(id));
    }
    if (store_list(a->lab->store, "modification", &docs, e) < 0 ||
        listing_select(a, &l, docs, &out, e) < 0)
        return -1;
    return act_put(a, "volumeModificationSet", out, e);
}

static int answer_copies(struct act *a, const char *id, struct err *e)
{
    const json_t *doc = store_get(a->lab->store, "volume", id);
    json_t *view = NULL;

    if (doc && volume_view(a, doc, &view, e) < 0)
        return -1;
    return act_put(a, "volumeSet", view ? json_pack("[o]", view) : json_array(), e);
}

static int check_copy_source(const json_t *src, struct err *e)
{
    const char *status = json_str_or(src, "status", "");

    if (str_eq(status, "available") || str_eq(status, "in-use"))
        return 0;
    return refuse(e, "IncorrectState", "Volume '%s' is in the '%s' state.",
                  json_str_or(src, "volumeId", ""), status);
}

/* Clones a volume in its zone: the new one holds what the source held when the call was
 * answered. The data is copied without the lock, so the volume is committed first. */
static int copy_volumes(struct act *a, struct err *e)
{
    const char *source = q_str(a->params, "SourceVolumeId");
    struct volume_spec spec = {0};
    const json_t *src, *again;
    char id[RES_ID_LEN];
    json_t *tags, *doc;
    int r = act_token_find(a, &again, e);

    if (r != 0)
        return r < 0 ? -1 : answer_copies(a, json_string_value(again), e);
    if (res_find(a->lab, RES_VOLUME, source, &src, e) < 0 ||
        check_copy_source(src, e) < 0)
        return -1;
    spec.zone = json_str_or(src, "availabilityZone", "");
    if (volume_copy_spec(a, src, &spec, e) < 0 ||
        tags_from_spec(a->params, "volume", "volume", &tags, e) < 0 ||
        volume_create(a, &spec, tags, &doc, e) < 0)
        return -1;
    snprintf(id, sizeof id, "%s", json_str_or(doc, "volumeId", ""));
    if (json_put(doc, "sourceVolumeId", json_string(source), e) < 0 ||
        volume_copy_from(a->lab, doc, source, e) < 0 ||
        act_token_save(a, json_string(id), e) < 0 || store_commit(a->lab->store, e) < 0)
        return -1;
    copier_wait(a->lab, "volume", id);
    return answer_copies(a, id, e);
}

const struct action actions_volume[] = {
    {"CreateVolume", create_volume, "AvailabilityZone|AvailabilityZoneId"},
    {"DeleteVolume", delete_volume, "VolumeId"},
    {"DescribeVolumes", describe_volumes, NULL},
    {"DescribeVolumeStatus", describe_volume_status, NULL},
    {"DescribeVolumeAttribute", describe_volume_attribute, "VolumeId Attribute"},
    {"ModifyVolumeAttribute", modify_volume_attribute, "VolumeId"},
    {"EnableVolumeIO", enable_volume_io, "VolumeId"},
    {"ModifyVolume", modify_volume, "VolumeId"},
    {"DescribeVolumesModifications", describe_modifications, NULL},
    {"CopyVolumes", copy_volumes, "SourceVolumeId"},
    {NULL, NULL, NULL},
};
