/* Volumes; see volume.h. Limits are those of the "Amazon EBS volume types" page of late
 * 2025. A file is made before its document is committed; a crash between the two leaves
 * a file without a document, swept at the next start. */
#include "lab/volume.h"

#include "lab/copier.h"
#include "lab/snapshot.h"

#include "base/str.h"

#include <ctype.h>

struct type_rule {
    const char *name;
    json_int_t min_gib, max_gib;
    json_int_t min_iops, max_iops, iops_per_gib; /* 0: IOPS cannot be chosen */
    bool iops_required, multi_attach, throughput;
};

static const struct type_rule rules[] = {
    {"gp2", 1, 16384, 0, 0, 0, false, false, false},
    {"gp3", 1, 65536, 3000, 80000, 500, false, false, true},
    {"io1", 4, 16384, 100, 64000, 50, true, true, false},
    {"io2", 4, 65536, 100, 256000, 1000, true, true, false},
    {"st1", 125, 16384, 0, 0, 0, false, false, false},
    {"sc1", 125, 16384, 0, 0, 0, false, false, false},
    {"standard", 1, 1024, 0, 0, 0, false, false, false},
};

static const struct type_rule *find_rule(const char *type)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (str_eq(rules[i].name, type))
            return &rules[i];
    return NULL;
}

int volume_spec_read(const json_t *node, const char *size_name, struct volume_spec *ret,
                     struct err *e)
{
    struct volume_spec s = {.zone = ret->zone};
    int r;

    s.type = q_str(node, "VolumeType");
    s.snapshot_id = q_str(node, "SnapshotId");
    s.kms_key = q_str(node, "KmsKeyId");
    if (s.snapshot_id && !*s.snapshot_id)
        s.snapshot_id = NULL;
    if ((r = q_int(node, size_name, -(1 << 30), 1 << 30, &s.size_gib, e)) < 0)
        return -1;
    s.has_size = r > 0;
    if ((r = q_int(node, "Iops", 0, 1 << 30, &s.iops, e)) < 0)
        return -1;
    s.has_iops = r > 0;
    if ((r = q_int(node, "Throughput", 0, 1 << 30, &s.throughput, e)) < 0)
        return -1;
    s.has_throughput = r > 0;
    if ((r = q_bool(node, "Encrypted", &s.encrypted, e)) < 0)
        return -1;
    s.has_encrypted = r > 0;
    if (q_bool(node, "MultiAttachEnabled", &s.multi_attach, e) < 0)
        return -1;
    *ret = s;
    return 0;
}

static int check_snapshot(struct lab *lab, struct volume_spec *s, struct err *e)
{
    const json_t *snap;
    json_int_t gib;

    if (res_find(lab, RES_SNAPSHOT, s->snapshot_id, &snap, e) < 0)
        return -1;
    if (!str_eq(json_str_or(snap, "status", ""), "completed"))
        return refuse(e, "IncorrectState", "Snapshot is in invalid state - %s",
                      json_str_or(snap, "status", ""));
    gib = json_integer_value(json_object_get(snap, "volumeSize"));
    if (!s->has_size)
        s->size_gib = gib;
    else if (s->size_gib < gib)
        return refuse(
            e, "InvalidParameterValue",
            "Volume of size %lldGB is smaller than snapshot '%s', expect size >= "
            "%lldGB",
            (long long)s->size_gib, s->snapshot_id, (long long)gib);
    if (json_bool_or(snap, "encrypted", false)) {
        if (s->has_encrypted && !s->encrypted)
            return refuse(e, "InvalidParameterValue",
                          "The volume of an encrypted snapshot cannot be unencrypted");
        s->encrypted = true;
        if (!s->kms_key)
            s->kms_key = json_string_value(json_object_get(snap, "kmsKeyId"));
    }
    return 0;
}

static int check_iops(const struct type_rule *t, const struct volume_spec *s,
                      struct err *e)
{
    json_int_t most = t->iops_per_gib * s->size_gib;

    if (!s->has_iops && t->iops_required)
        return refuse(e, "MissingParameter",
                      "The parameter iops must be specified for %s volumes.", t->name);
    if (!s->has_iops)
        return 0;
    if (!t->max_iops)
        return refuse(e, "InvalidParameterCombination",
                      "The parameter iops is not supported for %s volumes.", t->name);
    if (s->iops < t->min_iops)
        return refuse(e, "InvalidParameterValue",
                      "Volume iops of %lld is too low; minimum is %lld.",
                      (long long)s->iops, (long long)t->min_iops);
    if (s->iops > t->max_iops)
        return refuse(e, "InvalidParameterValue",
                      "Volume iops of %lld is too high; maximum is %lld.",
                      (long long)s->iops, (long long)t->max_iops);
    /* gp3 volumes always have their 3,000. */
    if (s->iops > most && s->iops > (str_eq(t->name, "gp3") ? 3000 : 0))
        return refuse(e, "InvalidParameterValue",
                      "Iops to volume size ratio of %.6f is too high; maximum is %lld.",
                      (double)s->iops / (double)s->size_gib, (long long)t->iops_per_gib);
    return 0;
}

static int check_throughput(const struct type_rule *t, const struct volume_spec *s,
                            struct err *e)
{
    json_int_t iops = s->has_iops ? s->iops : 3000;

    if (!s->has_throughput)
        return 0;
    if (!t->throughput)
        return refuse(e, "InvalidParameterCombination",
                      "The parameter throughput is not supported for %s volumes.",
                      t->name);
    if (s->throughput < 125 || s->throughput > 2000)
        return refuse(
            e, "InvalidParameterValue",
            "Throughput of %lld MiB/s is out of range; it must be between 125 and "
            "2000.",
            (long long)s->throughput);
    if (s->throughput * 4 > iops)
        return refuse(e, "InvalidParameterValue",
                      "Throughput (MiBps) to iops ratio of %.6f is too high; maximum is "
                      "0.250000 MiBps per iops.",
                      (double)s->throughput / (double)iops);
    return 0;
}

static int check_account(struct lab *lab, const struct volume_spec *s, struct err *e)
{
    json_int_t sum = 0;
    json_t *docs, *d;
    size_t i, n;

    if (store_list(lab->store, "volume", &docs, e) < 0)
        return -1;
    n = json_array_size(docs);
    json_array_foreach (docs, i, d)
        sum += json_integer_value(json_object_get(d, "size"));
    json_decref(docs);
    if ((json_int_t)n >= lab->set.max_volumes)
        return refuse(e, "VolumeLimitExceeded",
                      "You have exceeded your maximum volume limit of %lld",
                      (long long)lab->set.max_volumes);
    if (sum + s->size_gib > lab->set.max_disk_gib)
        return refuse(
            e, "VolumeLimitExceeded",
            "You have exceeded your maximum %s storage limit of %lld GiB in this "
            "region.",
            s->type, (long long)lab->set.max_disk_gib);
    return 0;
}

int volume_spec_check(struct lab *lab, struct volume_spec *s, struct err *e)
{
    const struct type_rule *t;

    if (!s->type)
        s->type = "gp2";
    t = find_rule(s->type);
    if (!t)
        return refuse(e, "UnknownVolumeType",
                      "Unsupported volume type '%.40s' for volume creation.", s->type);
    if (!s->has_size && !s->snapshot_id)
        return refuse_missing(e, "size/snapshot");
    if (s->snapshot_id && check_snapshot(lab, s, e) < 0)
        return -1;
    if (s->size_gib < t->min_gib)
        return refuse(e, "InvalidParameterValue",
                      "Volume of %lldGiB is too small for volume type %s; minimum is "
                      "%lldGiB.",
                      (long long)s->size_gib, t->name, (long long)t->min_gib);
    if (s->size_gib > t->max_gib)
        return refuse(e, "InvalidParameterValue",
                      "Volume of %lldGiB is too large for volume type %s; maximum is "
                      "%lldGiB.",
                      (long long)s->size_gib, t->name, (long long)t->max_gib);
    if (s->kms_key && !s->encrypted)
        return refuse(
            e, "InvalidParameterDependency",
            "The parameter KmsKeyId requires the parameter Encrypted to be set.");
    if (s->multi_attach && !t->multi_attach)
        return refuse(e, "InvalidParameterCombination",
                      "The parameter multiAttachEnabled is not supported for %s volumes.",
                      t->name);
    if (check_iops(t, s, e) < 0 || check_throughput(t, s, e) < 0)
        return -1;
    return check_account(lab, s, e);
}

/* The figure that EC2 reports where the user has no say; 0 for none. */
static json_int_t default_iops(const struct volume_spec *s)
{
    json_int_t n = 3 * s->size_gib;

    if (s->has_iops)
        return s->iops;
    if (str_eq(s->type, "gp3"))
        return 3000;
    if (str_eq(s->type, "gp2"))
        return n < 100 ? 100 : n > 16000 ? 16000 : n;
    return 0;
}

static int put_speed(json_t *doc, const struct volume_spec *s, struct err *e)
{
    json_int_t iops = default_iops(s);

    if (iops && json_put(doc, "iops", json_integer(iops), e) < 0)
        return -1;
    if (str_eq(s->type, "gp3"))
        return json_put(doc, "throughput",
                        json_integer(s->has_throughput ? s->throughput : 125), e);
    return 0;
}

static int put_key(json_t *doc, const struct volume_spec *s, struct err *e)
{
    const char *key = s->kms_key ? s->kms_key : "alias/aws/ebs";
    auto_free char *arn = NULL;

    if (!s->encrypted)
        return 0;
    arn = str_starts(key, "arn:") ? str_dup(key, e)
          : str_starts(key, "alias/")
              ? str_fmt(e, "arn:aws:kms:" LAB_REGION ":" LAB_ACCOUNT ":%s", key)
              : str_fmt(e, "arn:aws:kms:" LAB_REGION ":" LAB_ACCOUNT ":key/%s", key);
    if (!arn)
        return -1;
    return json_put(doc, "kmsKeyId", json_string(arn), e);
}

static int make_data(struct lab *lab, const struct volume_spec *s, const char *id,
                     json_t *doc, struct err *e)
{
    auto_free char *path = lab_volume_path(lab, id, e);
    auto_free char *from = NULL;
    const char *lineage;

    if (!path)
        return -1;
    if (!s->snapshot_id)
        return copier_make_blank(path, (uint64_t)s->size_gib << 30, e);
    from = str_fmt(e, "snapshots/%s.raw", s->snapshot_id);
    lineage = snapshot_lineage(store_get(lab->store, "snapshot", s->snapshot_id));
    if (!from || json_put(doc, "_copy", json_string(from), e) < 0 ||
        json_put(doc, "_lineage", json_string(lineage), e) < 0)
        return -1;
    copier_kick(lab);
    return 0;
}

int volume_create(struct act *a, const struct volume_spec *s, json_t *tag_set,
                  json_t **ret_doc, struct err *e)
{
    char id[RES_ID_LEN], when[LAB_TIME_LEN];
    json_t *doc = json_pack(
        "{s:s, s:I, s:s, s:s, s:s, s:s, s:[], s:s, s:b, s:b, s:o, s:I, s:I}", "volumeId",
        res_new_id(RES_VOLUME, id), "size", s->size_gib, "snapshotId",
        s->snapshot_id ? s->snapshot_id : "", "availabilityZone", s->zone, "status",
        "creating", "createTime", lab_time(when, a->now_ms), "attachmentSet",
        "volumeType", s->type, "encrypted", s->encrypted, "multiAttachEnabled",
        s->multi_attach, "tagSet", tag_set, "_made", (json_int_t)a->now_ms, "_due",
        (json_int_t)(a->now_ms + a->lab->set.delay_ms));

    if (!doc)
        return err_nomem(e);
    if (put_speed(doc, s, e) < 0 || put_key(doc, s, e) < 0 ||
        make_data(a->lab, s, id, doc, e) < 0) {
        json_decref(doc);
        return -1;
    }
    if (store_put(a->lab->store, "volume", id, doc, e) < 0)
        return -1;
    *ret_doc = doc;
    return 0;
}

int volume_respec(struct lab *lab, json_t *doc, const struct volume_spec *s,
                  struct err *e)
{
    const char *id = json_str_or(doc, "volumeId", "");
    auto_free char *path = lab_volume_path(lab, id, e);

    if (!path)
        return -1;
    /* Growing a file that a machine has open is what EC2 does too: the guest sees the
     * new size after its next look. */
    if (truncate(path, (off_t)(s->size_gib << 30)) < 0)
        return err_sys(e, "%s: grow to %lld GiB", path, (long long)s->size_gib);
    if (json_put(doc, "size", json_integer(s->size_gib), e) < 0 ||
        json_put(doc, "volumeType", json_string(s->type), e) < 0)
        return -1;
    json_object_del(doc, "iops");
    json_object_del(doc, "throughput");
    return put_speed(doc, s, e);
}

int volume_copy_spec(struct act *a, const json_t *src, struct volume_spec *s,
                     struct err *e)
{
    json_int_t size = json_integer_value(json_object_get(src, "size"));

    if (volume_spec_read(a->params, "Size", s, e) < 0)
        return -1;
    s->snapshot_id = NULL;
    if (!s->type)
        s->type = "gp3";
    if (!s->has_size)
        s->size_gib = size;
    s->has_size = true;
    if (s->size_gib < size)
        return refuse(e, "InvalidParameterValue",
                      "The copy of a volume cannot be smaller than its source (%lld GiB)",
                      (long long)size);
    s->encrypted = json_bool_or(src, "encrypted", false);
    s->kms_key = json_string_value(json_object_get(src, "kmsKeyId"));
    return volume_spec_check(a->lab, s, e);
}

int volume_copy_from(struct lab *lab, json_t *doc, const char *source_id, struct err *e)
{
    auto_free char *from = str_fmt(e, "volumes/%s.raw", source_id);

    if (!from || json_put(doc, "_copy", json_string(from), e) < 0)
        return -1;
    copier_kick(lab);
    return 0;
}

int volume_delete(struct lab *lab, const char *id, struct err *e)
{
    auto_free char *path = lab_volume_path(lab, id, e);

    if (!path || store_delete(lab->store, "modification", id, e) < 0 ||
        store_delete(lab->store, "volume", id, e) < 0)
        return -1;
    /* A commit that fails after this leaves a document without data: it is deleted or
     * deleting anyway. */
    unlink(path);
    return 0;
}

json_t *volume_attachment(const json_t *volume, const char *instance_id)
{
    json_t *att;
    size_t i;

    json_array_foreach (json_object_get(volume, "attachmentSet"), i, att)
        if (!instance_id || str_eq(json_str_or(att, "instanceId", ""), instance_id))
            return att;
    return NULL;
}

int volume_add_attachment(json_t *volume, const char *instance_id, const char *device,
                          bool delete_on_termination, int64_t now_ms, int64_t due_ms,
                          struct err *e)
{
    char when[LAB_TIME_LEN];
    bool now = due_ms <= now_ms;
    json_t *att = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:b}", "volumeId", json_str_or(volume, "volumeId", ""),
        "instanceId", instance_id, "device", device, "status",
        now ? "attached" : "attaching", "attachTime", lab_time(when, now_ms),
        "deleteOnTermination", delete_on_termination);

    if (!att || (!now && json_object_set_new(att, "_due", json_integer(due_ms)) < 0)) {
        json_decref(att);
        return err_nomem(e);
    }
    if (json_add(json_object_get(volume, "attachmentSet"), att, e) < 0)
        return -1;
    return json_put(volume, "status", json_string("in-use"), e);
}

int volume_drop_attachment(json_t *volume, const char *instance_id, struct err *e)
{
    json_t *set = json_object_get(volume, "attachmentSet"), *att;
    size_t i;

    json_array_foreach (set, i, att)
        if (str_eq(json_str_or(att, "instanceId", ""), instance_id)) {
            json_array_remove(set, i);
            break;
        }
    if (json_array_size(set))
        return 0;
    return json_put(volume, "status", json_string("available"), e);
}

int volumes_of_instance(struct lab *lab, const char *instance_id, json_t **ret,
                        struct err *e)
{
    json_t *docs, *out = json_array(), *d;
    size_t i;
    int r = 0;

    if (!out)
        return err_nomem(e);
    if (store_list(lab->store, "volume", &docs, e) < 0) {
        json_decref(out);
        return -1;
    }
    json_array_foreach (docs, i, d)
        if (r == 0 && volume_attachment(d, instance_id) && json_array_append(out, d) < 0)
            r = err_nomem(e);
    json_decref(docs);
    if (r < 0) {
        json_decref(out);
        return -1;
    }
    *ret = out;
    return 0;
}

/* "sdf" of /dev/sdf, xvdf, /dev/xvdf. */
static void bare_name(const char *name, char out[40])
{
    if (str_starts(name, "/dev/"))
        name += 5;
    snprintf(out, 40, "sd%s",
             str_starts(name, "xvd")  ? name + 3
             : str_starts(name, "sd") ? name + 2
                                      : name);
}

bool device_names_clash(const char *a, const char *b)
{
    char x[40], y[40];

    bare_name(a, x);
    bare_name(b, y);
    return str_eq(x, y);
}

/* sd[a-z], sd[a-z][1-15], xvd[a-z], xvd[b-d][a-z]; with or without /dev/. */
bool device_name_ok(const char *name)
{
    bool xvd;
    uint64_t n;
    struct err e = ERR_INIT;

    if (str_starts(name, "/dev/"))
        name += 5;
    xvd = str_starts(name, "xvd");
    if (!xvd && !str_starts(name, "sd"))
        return false;
    name += xvd ? 3 : 2;
    if (!islower((unsigned char)*name))
        return false;
    if (!name[1])
        return true;
    if (xvd && *name >= 'b' && *name <= 'd' && islower((unsigned char)name[1]))
        return !name[2];
    return strlen(name + 1) <= 2 && str_to_u64(name + 1, &n, &e) == 0 && n >= 1 &&
           n <= 15;
}
