/* RunInstances: everything is checked, then every document is made in one transaction;
 * volumes of the image's snapshots are filled in the background. */
#include "lab/groups.h"
#include "lab/instance.h"
#include "lab/listing.h"
#include "lab/volume.h"
#include "lab/zones.h"

#include "base/base64.h"
#include "base/rand.h"
#include "base/str.h"

#define MAX_USER_DATA 16384

/* What a call of RunInstances asks for, resolved. */
struct run {
    struct instance_spec spec;
    json_int_t count;
    json_t *groups; /* owned */
    json_t *disks;  /* owned: [{device, delete, ebs}] */
    char reservation[32];
};

static void run_release(struct run *r)
{
    json_decref(r->groups);
    json_decref(r->disks);
}

/* ---- Image and type ---- */

static int check_arch(const struct instance_type *t, const json_t *image, struct err *e)
{
    const char *arch = json_str_or(image, "architecture", "");
    unsigned bit = str_eq(arch, "arm64")  ? TYPE_ARM
                   : str_eq(arch, "i386") ? TYPE_I386
                                          : TYPE_X86;

    if (!(t->family->arch & bit))
        return refuse(
            e, "InvalidParameterValue",
            "The architecture '%s' of the specified instance type does not match "
            "the architecture '%s' of the specified AMI. Specify an instance type "
            "and an AMI that have matching architectures, and try again.",
            t->family->arch & TYPE_ARM ? "arm64" : "x86_64", arch);
    if (!str_eq(json_str_or(image, "virtualizationType", ""), "hvm"))
        return refuse(
            e, "InvalidParameterCombination",
            "Virtualization type 'paravirtual' is required for images that are "
            "registered so; instances of type '%s' may only be launched from HVM "
            "images",
            t->name);
    return 0;
}

static int check_type(const struct instance_type *t, const json_t *image, struct err *e)
{
    const char *mode = json_str_or(image, "bootMode", "legacy-bios");

    if (check_arch(t, image, e) < 0)
        return -1;
    if (str_eq(mode, "uefi") ? !t->family->uefi
                             : str_eq(mode, "legacy-bios") && !t->family->bios)
        return refuse(e, "InvalidParameterCombination",
                      "The instance type '%s' does not support the boot mode '%s' of the "
                      "specified AMI",
                      t->name, mode);
    if (t->family->ena == TYPE_REQUIRED && !json_bool_or(image, "enaSupport", false))
        return refuse(e, "InvalidParameterCombination",
                      "Enhanced networking with the Elastic Network Adapter (ENA) is "
                      "required for the '%s' instance type. Ensure that you are using an "
                      "AMI that is enabled for ENA.",
                      t->name);
    return 0;
}

static int read_image(struct act *a, struct run *r, struct err *e)
{
    const char *name = q_str_or(a->params, "InstanceType", "m1.small");
    const json_t *image;

    if (res_find(a->lab, RES_IMAGE, q_str(a->params, "ImageId"), &image, e) < 0)
        return -1;
    if (!str_eq(json_str_or(image, "imageState", ""), "available"))
        return refuse(e, "InvalidAMIID.Unavailable", "The image ID '%s' is not available",
                      json_str_or(image, "imageId", ""));
    r->spec.image = image;
    r->spec.type = type_find(name);
    if (!r->spec.type)
        return refuse_value(e, "InstanceType", name, "");
    return check_type(r->spec.type, image, e);
}

/* ---- Network ---- */

static int find_subnet(struct act *a, const char *id, const char *zone,
                       const json_t **ret, struct err *e)
{
    json_t *docs, *d;
    size_t i;

    if (id) {
        if (res_find(a->lab, RES_SUBNET, id, ret, e) < 0)
            return -1;
        if (zone && !str_eq(json_str_or(*ret, "availabilityZone", ""), zone))
            return refuse(e, "InvalidParameterValue",
                          "The availability zone '%s' is not that of subnet '%s'", zone,
                          id);
        return 0;
    }
    if (store_list(a->lab->store, "subnet", &docs, e) < 0)
        return -1;
    *ret = NULL;
    json_array_foreach (docs, i, d)
        if (!*ret && (!zone || str_eq(json_str_or(d, "availabilityZone", ""), zone)))
            *ret = store_get(a->lab->store, "subnet", json_str_or(d, "subnetId", ""));
    json_decref(docs);
    return *ret ? 0 : refuse(e, "MissingInput", "No subnets found for the default VPC");
}

static int read_network(struct act *a, struct run *r, struct err *e)
{
    json_t *list = q_list(a->params, "NetworkInterface");
    const json_t *nic = json_array_get(list, 0), *src = nic ? nic : a->params;
    const char *zone = NULL, *vpc;
    json_int_t index = 0;
    bool gone = true;

    if (json_array_size(list) > 1 || q_str(nic, "NetworkInterfaceId"))
        return refuse(e, "UnsupportedOperation",
                      "This lab gives an instance one network interface, made with it");
    if (nic && (q_str(a->params, "SubnetId") || q_list(a->params, "SecurityGroupId")))
        return refuse(e, "InvalidParameterCombination",
                      "Network interfaces and an instance-level subnet ID or security "
                      "groups may not be specified on the same request");
    if (q_int(nic, "DeviceIndex", 0, 0, &index, e) < 0 ||
        q_bool(nic, "DeleteOnTermination", &gone, e) < 0 ||
        zone_from_params(q_sub(a->params, "Placement"), &zone, e) < 0 ||
        find_subnet(a, q_str(src, "SubnetId"), zone, &r->spec.subnet, e) < 0)
        return -1;
    r->spec.keep_interface = !gone;
    r->spec.private_ip = q_str(src, "PrivateIpAddress");
    if (!r->spec.private_ip)
        r->spec.private_ip = q_str(json_array_get(q_list(nic, "PrivateIpAddresses"), 0),
                                   "PrivateIpAddress");
    if (r->spec.private_ip && r->count > 1)
        return refuse(e, "InvalidParameterCombination",
                      "A private IP address may not be given for more than one instance");
    vpc = json_str_or(r->spec.subnet, "vpcId", "");
    if (groups_resolve(a->lab, vpc, q_list(src, "SecurityGroupId"),
                       q_list(a->params, "SecurityGroup"), &r->groups, e) < 0)
        return -1;
    r->spec.groups = r->groups;
    return 0;
}

/* ---- Disks ---- */

static json_t *find_disk(json_t *disks, const char *device)
{
    json_t *d;
    size_t i;

    json_array_foreach (disks, i, d)
        if (str_eq(json_str_or(d, "device", ""), device))
            return d;
    return NULL;
}

/* The image's own mapping, in the words of a request. */
static int image_disks(const json_t *image, json_t *disks, struct err *e)
{
    static const char *const names[][2] = {{"snapshotId", "SnapshotId"},
                                           {"volumeSize", "VolumeSize"},
                                           {"volumeType", "VolumeType"},
                                           {"iops", "Iops"},
                                           {"throughput", "Throughput"}};
    json_t *m;
    size_t i;

    json_array_foreach (json_object_get(image, "blockDeviceMapping"), i, m) {
        const json_t *ebs = json_object_get(m, "ebs");
        json_t *out;

        if (!ebs)
            continue;
        out = json_object();
        for (size_t k = 0; out && k < sizeof names / sizeof names[0]; k++) {
            const json_t *v = json_object_get(ebs, names[k][0]);
            char number[24];

            if (!v)
                continue;
            snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
            if (json_put(out, names[k][1],
                         json_string(json_is_string(v) ? json_string_value(v) : number),
                         e) < 0) {
                json_decref(out);
                return -1;
            }
        }
        if (json_add(disks,
                     json_pack("{s:s, s:b, s:o}", "device",
                               json_str_or(m, "deviceName", ""), "delete",
                               json_bool_or(ebs, "deleteOnTermination", true), "ebs",
                               out),
                     e) < 0)
            return -1;
    }
    return 0;
}

static int merge_disk(json_t *disks, const json_t *m, struct err *e)
{
    const char *device = q_str(m, "DeviceName");
    json_t *ebs = q_sub(m, "Ebs"), *old;
    bool gone = true;
    int r;

    if (!device)
        return refuse_missing(e, "deviceName");
    if (!device_name_ok(device))
        return refuse(e, "InvalidBlockDeviceMapping",
                      "Invalid device name '%.60s' in the block device mapping", device);
    old = find_disk(disks, device);
    if (json_object_get(m, "NoDevice")) {
        for (size_t i = json_array_size(disks); old && i-- > 0;)
            if (json_array_get(disks, i) == old)
                json_array_remove(disks, i);
        return 0;
    }
    if (!ebs)
        return 0;
    r = q_bool(ebs, "DeleteOnTermination", &gone, e);
    if (r < 0)
        return -1;
    if (!old)
        return json_add(
            disks,
            json_pack("{s:s, s:b, s:O}", "device", device, "delete", gone, "ebs", ebs),
            e);
    if (r > 0 && json_put(old, "delete", json_boolean(gone), e) < 0)
        return -1;
    return json_object_update(json_object_get(old, "ebs"), ebs) < 0 ? err_nomem(e) : 0;
}

static int check_disks(struct act *a, const struct run *r, struct err *e)
{
    const char *root = json_str_or(r->spec.image, "rootDeviceName", "");
    json_t *d;
    size_t i;

    if (!find_disk(r->disks, root))
        return refuse(e, "InvalidBlockDeviceMapping",
                      "The root device %s may not be left out", root);
    if (json_array_size(r->disks) > type_volume_limit(r->spec.type, 1))
        return refuse(e, "AttachmentLimitExceeded",
                      "Instances of type %s can have %u volumes", r->spec.type->name,
                      type_volume_limit(r->spec.type, 1));
    json_array_foreach (r->disks, i, d) {
        struct volume_spec s = {.zone = ""};

        if (volume_spec_read(json_object_get(d, "ebs"), "VolumeSize", &s, e) < 0 ||
            volume_spec_check(a->lab, &s, e) < 0)
            return -1;
    }
    return 0;
}

static int read_disks(struct act *a, struct run *r, struct err *e)
{
    json_t *m;
    size_t i;

    r->disks = json_array();
    if (!r->disks)
        return err_nomem(e);
    if (image_disks(r->spec.image, r->disks, e) < 0)
        return -1;
    json_array_foreach (q_list(a->params, "BlockDeviceMapping"), i, m)
        if (merge_disk(r->disks, m, e) < 0)
            return -1;
    return check_disks(a, r, e);
}

/* ---- The rest ---- */

static int read_profile(struct act *a, struct run *r, struct err *e)
{
    const json_t *p = q_sub(a->params, "IamInstanceProfile");
    const char *arn = q_str(p, "Arn"), *name = q_str(p, "Name");

    if (arn && name)
        return refuse(e, "InvalidParameterCombination",
                      "The parameter 'iamInstanceProfile.name' may not be used in "
                      "combination with 'iamInstanceProfile.arn'");
    if (arn) {
        if (!str_starts(arn, "arn:aws:iam::" LAB_ACCOUNT ":instance-profile/"))
            return refuse_value(e, "iamInstanceProfile.arn", arn,
                                "Invalid IAM Instance Profile ARN");
        name = strrchr(arn, '/') + 1;
    }
    if (name && (!*name || strlen(name) > 64))
        return refuse_value(e, "iamInstanceProfile.name", name,
                            "Invalid IAM Instance Profile name");
    r->spec.profile = name;
    return 0;
}

static int read_user_data(struct act *a, struct run *r, struct err *e)
{
    const char *text = q_str(a->params, "UserData");
    auto_buf struct buf data = BUF_INIT;

    if (!text)
        return 0;
    if (base64_decode(text, strlen(text), &data, e) < 0)
        return refuse(e, "InvalidParameterValue", "Invalid BASE64 encoding of user data");
    if (data.len > MAX_USER_DATA)
        return refuse(e, "InvalidParameterValue", "User data is limited to 16384 bytes");
    r->spec.user_data = text;
    return 0;
}

static int read_options(struct act *a, struct run *r, struct err *e)
{
    struct instance_spec *s = &r->spec;
    const json_t *p = a->params;

    s->key_name = q_str(p, "KeyName");
    if (s->key_name && !key_by_name(a->lab, s->key_name))
        return refuse(e, "InvalidKeyPair.NotFound",
                      "The key pair '%.255s' does not exist", s->key_name);
    s->client_token = q_str_or(p, "ClientToken", "");
    s->metadata = q_sub(p, "MetadataOptions");
    s->shutdown = q_str_or(p, "InstanceInitiatedShutdownBehavior", "stop");
    if (!str_eq(s->shutdown, "stop") && !str_eq(s->shutdown, "terminate"))
        return refuse_value(e, "instanceInitiatedShutdownBehavior", s->shutdown, "");
    if (q_sub(p, "LaunchTemplate") || q_sub(p, "InstanceMarketOptions"))
        return refuse(e, "UnsupportedOperation",
                      "This lab has neither launch templates nor spot instances");
    if (q_bool(p, "EbsOptimized", &s->ebs_optimized, e) < 0 ||
        q_bool(p, "DisableApiTermination", &s->no_api_termination, e) < 0 ||
        q_bool(q_sub(p, "Monitoring"), "Enabled", &s->monitoring, e) < 0)
        return -1;
    return read_profile(a, r, e) < 0 ? -1 : read_user_data(a, r, e);
}

static int read_counts(struct act *a, struct run *r, struct err *e)
{
    json_int_t min = 1, max = 1;

    if (q_int(a->params, "MinCount", 1, 100, &min, e) < 0 ||
        q_int(a->params, "MaxCount", 1, 100, &max, e) < 0)
        return -1;
    if (max < min)
        return refuse(e, "InvalidParameterCombination",
                      "The minCount may not exceed the maxCount");
    r->count = max;
    return 0;
}

/* ---- Making ---- */

static int make_disk(struct act *a, const json_t *instance, const json_t *disk,
                     const json_t *tags, struct err *e)
{
    struct volume_spec s = {.zone = instance_zone(instance)};
    json_t *doc, *copy;

    if (volume_spec_read(json_object_get(disk, "ebs"), "VolumeSize", &s, e) < 0 ||
        volume_spec_check(a->lab, &s, e) < 0)
        return -1;
    copy = json_deep_copy(tags);
    if (!copy)
        return err_nomem(e);
    if (volume_create(a, &s, copy, &doc, e) < 0)
        return -1;
    /* Attached from birth, as EC2 shows it. */
    json_object_del(doc, "_due");
    return volume_add_attachment(doc, json_str_or(instance, "instanceId", ""),
                                 json_str_or(disk, "device", ""),
                                 json_bool_or(disk, "delete", true), a->now_ms,
                                 a->now_ms + a->lab->set.delay_ms, e);
}

static int make_one(struct act *a, struct run *r, json_t *tags, const json_t *volume_tags,
                    json_t *ids, struct err *e)
{
    json_t *copy = json_deep_copy(tags), *doc, *d;
    size_t i;

    if (!copy)
        return err_nomem(e);
    if (instance_create(a, &r->spec, copy, &doc, e) < 0)
        return -1;
    json_array_foreach (r->disks, i, d)
        if (make_disk(a, doc, d, volume_tags, e) < 0)
            return -1;
    if (r->spec.profile && json_put(doc, "_role", json_string(r->spec.profile), e) < 0)
        return -1;
    return json_add(ids, json_string(json_str_or(doc, "instanceId", "")), e);
}

static int make_all(struct act *a, struct run *r, json_t *ids, struct err *e)
{
    static const char taggable[] =
        "instance volume network-interface elastic-gpu spot-instances-request";
    json_t *tags, *volume_tags;
    int rc = 0;

    if (tags_from_spec(a->params, "instance", taggable, &tags, e) < 0)
        return -1;
    if (tags_from_spec(a->params, "volume", taggable, &volume_tags, e) < 0) {
        json_decref(tags);
        return -1;
    }
    for (json_int_t i = 0; i < r->count && rc == 0; i++) {
        r->spec.launch_index = i;
        rc = make_one(a, r, tags, volume_tags, ids, e);
    }
    json_decref(tags);
    json_decref(volume_tags);
    return rc;
}

/* The reservation as it is now; its instances by id. */
static int answer(struct act *a, const json_t *ids, struct err *e)
{
    json_t *set = json_array(), *id, *view;
    const json_t *doc = NULL;
    size_t i;

    if (act_put(a, "instancesSet", set, e) < 0)
        return -1;
    json_array_foreach (ids, i, id) {
        doc = store_get(a->lab->store, "instance", json_string_value(id));
        if (!doc || str_eq(instance_state(doc), "terminated"))
            return refuse(e, "IdempotentInstanceTerminated",
                          "The instance that this client token made has been terminated");
        if (instance_view(a, doc, &view, e) < 0 || json_add(set, view, e) < 0)
            return -1;
    }
    if (act_put(a, "reservationId", json_string(json_str_or(doc, "_reservation", "")),
                e) < 0 ||
        act_put(a, "ownerId", json_string(LAB_ACCOUNT), e) < 0)
        return -1;
    return act_put(a, "groupSet", json_array(), e);
}

static int run_checked(struct act *a, struct run *r, struct err *e)
{
    json_t *ids;
    char hex[18];
    int rc;

    if (read_counts(a, r, e) < 0 || read_image(a, r, e) < 0 ||
        read_network(a, r, e) < 0 || read_disks(a, r, e) < 0 || read_options(a, r, e) < 0)
        return -1;
    snprintf(r->reservation, sizeof r->reservation, "r-0%s", rand_hex(hex, 16));
    r->spec.reservation = r->reservation;
    ids = json_array();
    rc = ids ? make_all(a, r, ids, e) : err_nomem(e);
    if (rc == 0)
        rc = act_token_save(a, json_incref(ids), e);
    if (rc == 0)
        rc = answer(a, ids, e);
    json_decref(ids);
    return rc;
}

static int run_instances(struct act *a, struct err *e)
{
    struct run r = {0};
    const json_t *again;
    int rc = act_token_find(a, &again, e);

    if (rc != 0)
        return rc < 0 ? -1 : answer(a, again, e);
    rc = run_checked(a, &r, e);
    run_release(&r);
    return rc;
}

const struct action actions_run[] = {
    {"RunInstances", run_instances, "ImageId MinCount MaxCount"},
    {NULL, NULL, NULL},
};
