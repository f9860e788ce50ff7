/* What a new lab holds: credentials, the default network, public carrier images, and the
 * proxy instance. Done in one transaction, once; a lab from an earlier start is left as
 * it is. */
#include "lab/act.h"
#include "lab/copier.h"
#include "lab/creds.h"
#include "lab/instance.h"
#include "lab/volume.h"
#include "lab/zones.h"

#include "base/rand.h"
#include "base/str.h"

struct carrier {
    const char *name, *description, *boot_mode, *root;
    bool windows;
    int gib;
};

#define WINDOWS(year) "Windows_Server-" year "-English-Full-Base-2026.10.14"
#define WINDOWS_TEXT(year)                                                               \
    "Microsoft Windows Server " year " Full Locale English AMI provided by Amazon "      \
    "(in this lab: a blank disk)"

/* In EC2 these boot; here they carry metadata only, which is what a swap needs. */
static const struct carrier carriers[] = {
    {"al2023-ami-minimal-2023.9.20251014.0-kernel-6.1-x86_64",
     "Amazon Linux 2023 (in this lab: a blank disk)", "uefi-preferred", "/dev/xvda",
     false, 2},
    {"amzn2-ami-minimal-hvm-2.0.20251014.0-x86_64-ebs",
     "Amazon Linux 2 (in this lab: a blank disk)", "legacy-bios", "/dev/xvda", false, 2},
    {"hotadd-lab-carrier-legacy-bios", "A carrier that boots by legacy BIOS",
     "legacy-bios", "/dev/sda1", false, 1},
    {"hotadd-lab-carrier-uefi", "A carrier that boots by UEFI", "uefi", "/dev/sda1",
     false, 1},
    {"Windows_Server-2012-R2_RTM-English-64Bit-Base-2026.10.14", WINDOWS_TEXT("2012 R2"),
     "legacy-bios", "/dev/sda1", true, 30},
    {WINDOWS("2016"), WINDOWS_TEXT("2016"), "legacy-bios", "/dev/sda1", true, 30},
    {WINDOWS("2019"), WINDOWS_TEXT("2019"), "legacy-bios", "/dev/sda1", true, 30},
    {WINDOWS("2022"), WINDOWS_TEXT("2022"), "legacy-bios", "/dev/sda1", true, 30},
    {WINDOWS("2025"), WINDOWS_TEXT("2025"), "uefi", "/dev/sda1", true, 30},
    {"TPM-Windows_Server-2019-English-Full-Base-2026.10.14", WINDOWS_TEXT("2019"), "uefi",
     "/dev/sda1", true, 30},
    {"TPM-Windows_Server-2022-English-Full-Base-2026.10.14", WINDOWS_TEXT("2022"), "uefi",
     "/dev/sda1", true, 30},
};

static int seed_network(struct act *a, struct err *e)
{
    struct store *s = a->lab->store;
    char vpc[RES_ID_LEN], subnet[RES_ID_LEN], sg[RES_ID_LEN], arn[160];

    res_new_id(RES_VPC, vpc);
    if (store_put(s, "vpc", vpc,
                  json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:[]}", "vpcId", vpc,
                            "ownerId", LAB_ACCOUNT, "state", "available", "cidrBlock",
                            "172.31.0.0/16", "dhcpOptionsId", "default",
                            "instanceTenancy", "default", "isDefault", 1, "tagSet"),
                  e) < 0)
        return -1;
    for (size_t i = 0; zone_name(i); i++) {
        char cidr[24];

        res_new_id(RES_SUBNET, subnet);
        snprintf(cidr, sizeof cidr, "172.31.%zu.0/20", i * 16);
        snprintf(arn, sizeof arn, "arn:aws:ec2:" LAB_REGION ":" LAB_ACCOUNT ":subnet/%s",
                 subnet);
        if (store_put(s, "subnet", subnet,
                      json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:b,"
                                " s:[]}",
                                "subnetId", subnet, "subnetArn", arn, "ownerId",
                                LAB_ACCOUNT, "state", "available", "vpcId", vpc,
                                "cidrBlock", cidr, "availabilityZone", zone_name(i),
                                "availabilityZoneId", zone_id_of(zone_name(i)),
                                "defaultForAz", 1, "mapPublicIpOnLaunch", 0,
                                "assignIpv6AddressOnCreation", 0, "tagSet"),
                      e) < 0)
            return -1;
    }
    res_new_id(RES_GROUP, sg);
    return store_put(
        s, "security-group", sg,
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:[{s:s, s:[{s:s, s:s}], s:[], s:[], s:[]}],"
                  " s:[{s:s, s:[], s:[{s:s}], s:[], s:[]}], s:[]}",
                  "groupId", sg, "groupName", "default", "groupDescription",
                  "default VPC security group", "ownerId", LAB_ACCOUNT, "vpcId", vpc,
                  "ipPermissions", "ipProtocol", "-1", "groups", "userId", LAB_ACCOUNT,
                  "groupId", sg, "ipRanges", "ipv6Ranges", "prefixListIds",
                  "ipPermissionsEgress", "ipProtocol", "-1", "groups", "ipRanges",
                  "cidrIp", "0.0.0.0/0", "ipv6Ranges", "prefixListIds", "tagSet"),
        e);
}

static int seed_snapshot(struct act *a, int gib, const char *what, char id[RES_ID_LEN],
                         struct err *e)
{
    auto_free char *path = NULL;
    char when[LAB_TIME_LEN];

    res_new_id(RES_SNAPSHOT, id);
    path = lab_snapshot_path(a->lab, id, e);
    if (!path || copier_make_blank(path, (uint64_t)gib << 30, e) < 0)
        return -1;
    return store_put(a->lab->store, "snapshot", id,
                     json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:b, s:s, s:s,"
                               " s:[], s:b}",
                               "snapshotId", id, "volumeId", "vol-ffffffff", "status",
                               "completed", "startTime", lab_time(when, a->now_ms),
                               "progress", "100%", "ownerId", LAB_AMAZON, "description",
                               what, "volumeSize", gib, "encrypted", 0, "ownerAlias",
                               "amazon", "storageTier", "standard", "tagSet", "_public",
                               1),
                     e);
}

static int seed_carrier(struct act *a, const struct carrier *c, struct err *e)
{
    char snap[RES_ID_LEN], id[RES_ID_LEN], when[LAB_TIME_LEN], location[140];
    json_t *doc;

    if (seed_snapshot(a, c->gib, c->name, snap, e) < 0)
        return -1;
    snprintf(location, sizeof location, "amazon/%s", c->name);
    doc = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:b, s:[], s:s, s:s, s:s, s:s, s:[{s:s, s:{s:b, s:s,"
        " s:i, s:s, s:b}}], s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:[], s:s, s:s}",
        "imageId", res_new_id(RES_IMAGE, id), "imageLocation", location, "imageState",
        "available", "imageOwnerId", LAB_AMAZON, "creationDate",
        lab_time(when, a->now_ms), "isPublic", 1, "productCodes", "architecture",
        "x86_64", "imageType", "machine", "platformDetails",
        c->windows ? "Windows" : "Linux/UNIX", "usageOperation",
        c->windows ? "RunInstances:0002" : "RunInstances", "blockDeviceMapping",
        "deviceName", c->root, "ebs", "deleteOnTermination", 1, "snapshotId", snap,
        "volumeSize", c->gib, "volumeType", "gp2", "encrypted", 0, "description",
        c->description, "enaSupport", 1, "hypervisor", "xen", "imageOwnerAlias", "amazon",
        "name", c->name, "rootDeviceName", c->root, "rootDeviceType", "ebs", "tagSet",
        "virtualizationType", "hvm", "bootMode", c->boot_mode);
    if (doc && c->windows &&
        json_object_set_new(doc, "platform", json_string("windows"))) {
        json_decref(doc);
        return err_nomem(e);
    }
    return store_put(a->lab->store, "image", id, doc, e);
}

/* The subnet of the first zone and the default group. */
static int default_place(struct lab *lab, const json_t **ret_subnet, json_t **ret_groups,
                         struct err *e)
{
    json_t *subnets, *groups, *g;

    if (store_list(lab->store, "subnet", &subnets, e) < 0)
        return -1;
    *ret_subnet = store_get(lab->store, "subnet",
                            json_str_or(json_array_get(subnets, 0), "subnetId", ""));
    json_decref(subnets);
    if (store_list(lab->store, "security-group", &groups, e) < 0)
        return -1;
    g = json_array_get(groups, 0);
    *ret_groups = json_pack("[{s:s, s:s}]", "groupId", json_str_or(g, "groupId", ""),
                            "groupName", json_str_or(g, "groupName", ""));
    json_decref(groups);
    return *ret_groups ? 0 : err_nomem(e);
}

/* The machine on which hotadd runs, as EC2 would see it: its root volume stands for this
 * computer's own disk and is never made a device. */
static int seed_proxy(struct act *a, struct err *e)
{
    struct volume_spec root = {
        .zone = zone_name(0), .type = "gp3", .size_gib = 8, .has_size = true};
    struct instance_spec s = {.type = type_find("m5.large"),
                              .profile = LAB_ROLE,
                              .client_token = "",
                              .shutdown = "stop",
                              .no_api_termination = true,
                              .proxy = true};
    json_t *groups, *images, *tags, *doc, *volume, *options;
    char reservation[32], hex[18];
    int r = -1;

    snprintf(reservation, sizeof reservation, "r-0%s", rand_hex(hex, 16));
    s.reservation = reservation;
    if (default_place(a->lab, &s.subnet, &groups, e) < 0)
        return -1;
    s.groups = groups;
    options =
        json_pack("{s:s, s:s}", "HttpTokens", "required", "HttpPutResponseHopLimit", "2");
    s.metadata = options;
    tags = json_pack("[{s:s, s:s}]", "key", "Name", "value", "hotadd-proxy");
    if (store_list(a->lab->store, "image", &images, e) == 0) {
        s.image = json_array_get(images, 0);
        r = instance_create(a, &s, tags, &doc, e);
        json_decref(images);
    }
    json_decref(groups);
    json_decref(options);
    if (r < 0 || volume_create(a, &root, json_array(), &volume, e) < 0)
        return -1;
    json_object_del(volume, "_due");
    if (volume_add_attachment(volume, json_str_or(doc, "instanceId", ""),
                              json_str_or(doc, "rootDeviceName", ""), true, a->now_ms,
                              a->now_ms, e) < 0 ||
        json_put(doc, "_role", json_string(LAB_ROLE), e) < 0 ||
        instance_set_state(doc, "running", e) < 0)
        return -1;
    json_object_del(doc, "_due");
    json_object_del(doc, "_launching");
    return lab_meta_set(a->lab, "proxy", json_str_or(doc, "instanceId", ""), e);
}

static int seed_all(struct act *a, struct err *e)
{
    char secret[65];

    if (creds_seed(a->lab, e) < 0 ||
        lab_meta_set(a->lab, "imds_secret", rand_hex(secret, 64), e) < 0 ||
        seed_network(a, e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof carriers / sizeof carriers[0]; i++)
        if (seed_carrier(a, &carriers[i], e) < 0)
            return -1;
    return seed_proxy(a, e);
}

int lab_seed(struct lab *lab, struct err *e)
{
    struct act a = {.lab = lab, .now_ms = lab_now_ms()};

    if (lab_meta(lab, "proxy"))
        return 0;
    if (seed_all(&a, e) < 0 || store_commit(lab->store, e) < 0) {
        store_rollback(lab->store);
        return -1;
    }
    return 0;
}
