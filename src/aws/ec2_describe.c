/* The Describe actions: tables of where EC2 puts what, and little else. Paths are the
 * locationNames of the response shapes in the EC2 service model. */
#include "aws/ec2_impl.h"

#include "base/str.h"

#define STR(type, member, path)                                                          \
    {                                                                                    \
        path, FIELD_STR, offsetof(struct type, member), NULL                             \
    }
#define U64(type, member, path)                                                          \
    {                                                                                    \
        path, FIELD_U64, offsetof(struct type, member), NULL                             \
    }
#define BOOL(type, member, path)                                                         \
    {                                                                                    \
        path, FIELD_BOOL, offsetof(struct type, member), NULL                            \
    }
#define COUNT(type, member, path)                                                        \
    {                                                                                    \
        path, FIELD_COUNT, offsetof(struct type, member), NULL                           \
    }
#define LIST(type, member, path, of)                                                     \
    {                                                                                    \
        path, FIELD_LIST, offsetof(struct type, member), of                              \
    }
#define PUBLIC_SHAPE(name, type, fields)                                                 \
    const struct shape name = {sizeof(type), fields, sizeof fields / sizeof fields[0]}

SHAPE(tag_shape, struct ec2_tag, STR(ec2_tag, key, "key"), STR(ec2_tag, value, "value"));

/* A list of words: each <item> is the text itself. */
static const struct field word_fields[] = {{"", FIELD_STR, 0, NULL}};
static const struct shape word_shape = {sizeof(char *), word_fields, 1};

/* ---- Volumes ---- */

SHAPE(attachment_shape, struct ec2_attachment,
      STR(ec2_attachment, instance_id, "instanceId"),
      STR(ec2_attachment, device, "device"), STR(ec2_attachment, state, "status"),
      BOOL(ec2_attachment, delete_on_termination, "deleteOnTermination"));

static const struct field volume_fields[] = {
    STR(ec2_volume, id, "volumeId"),
    STR(ec2_volume, state, "status"),
    STR(ec2_volume, zone, "availabilityZone"),
    STR(ec2_volume, type, "volumeType"),
    STR(ec2_volume, snapshot_id, "snapshotId"),
    STR(ec2_volume, kms_key_id, "kmsKeyId"),
    U64(ec2_volume, size_gib, "size"),
    U64(ec2_volume, iops, "iops"),
    U64(ec2_volume, throughput_mibps, "throughput"),
    BOOL(ec2_volume, encrypted, "encrypted"),
    LIST(ec2_volume, attachments, "attachmentSet", &attachment_shape),
    LIST(ec2_volume, tags, "tagSet", &tag_shape),
};
PUBLIC_SHAPE(ec2_volume_shape, struct ec2_volume, volume_fields);

const struct ec2_listing ec2_volume_listing = {
    .action = "DescribeVolumes",
    .ids_name = "VolumeId",
    .set = "volumeSet",
    .page = 500,
    .shape = &ec2_volume_shape,
};

int ec2_describe_volumes(struct aws *aws, const struct ec2_query *query,
                         struct ec2_volumes *ret, struct err *e)
{
    return ec2_list(aws, &ec2_volume_listing, query, ret, e);
}

int ec2_describe_volume(struct aws *aws, const char *volume_id, struct ec2_volume *ret,
                        struct err *e)
{
    return ec2_one(aws, &ec2_volume_listing, volume_id, ret, e);
}

void ec2_volume_release(struct ec2_volume *v)
{
    shape_release(&ec2_volume_shape, v);
}

void ec2_volumes_release(struct ec2_volumes *v)
{
    shape_release_list(&ec2_volume_shape, v);
}

/* ---- Snapshots ---- */

static const struct field snapshot_fields[] = {
    STR(ec2_snapshot, id, "snapshotId"),
    STR(ec2_snapshot, state, "status"),
    STR(ec2_snapshot, state_message, "statusMessage"),
    STR(ec2_snapshot, volume_id, "volumeId"),
    STR(ec2_snapshot, description, "description"),
    STR(ec2_snapshot, progress, "progress"),
    STR(ec2_snapshot, owner_id, "ownerId"),
    STR(ec2_snapshot, start_time, "startTime"),
    U64(ec2_snapshot, size_gib, "volumeSize"),
    BOOL(ec2_snapshot, encrypted, "encrypted"),
    LIST(ec2_snapshot, tags, "tagSet", &tag_shape),
};
PUBLIC_SHAPE(ec2_snapshot_shape, struct ec2_snapshot, snapshot_fields);

const struct ec2_listing ec2_snapshot_listing = {
    .action = "DescribeSnapshots",
    .ids_name = "SnapshotId",
    .set = "snapshotSet",
    .page = 1000,
    .shape = &ec2_snapshot_shape,
};

/* All public snapshots, or images, of the world: nobody wants that. */
static int refuse_all(const struct ec2_listing *l, const struct ec2_query *q,
                      struct err *e)
{
    if (q && (q->ids.n || q->owners.n || q->n_filters))
        return 0;
    return err_set(e, ERR_USAGE, "%s without owner, id and filter would list the world's",
                   l->action);
}

int ec2_describe_snapshots(struct aws *aws, const struct ec2_query *query,
                           struct ec2_snapshots *ret, struct err *e)
{
    if (refuse_all(&ec2_snapshot_listing, query, e) < 0)
        return -1;
    return ec2_list(aws, &ec2_snapshot_listing, query, ret, e);
}

int ec2_describe_snapshot(struct aws *aws, const char *snapshot_id,
                          struct ec2_snapshot *ret, struct err *e)
{
    return ec2_one(aws, &ec2_snapshot_listing, snapshot_id, ret, e);
}

void ec2_snapshot_release(struct ec2_snapshot *s)
{
    shape_release(&ec2_snapshot_shape, s);
}

void ec2_snapshots_release(struct ec2_snapshots *s)
{
    shape_release_list(&ec2_snapshot_shape, s);
}

/* ---- Images ---- */

SHAPE(mapping_shape, struct ec2_mapping, STR(ec2_mapping, device, "deviceName"),
      STR(ec2_mapping, snapshot_id, "ebs/snapshotId"),
      STR(ec2_mapping, volume_id, "ebs/volumeId"),
      STR(ec2_mapping, type, "ebs/volumeType"),
      U64(ec2_mapping, size_gib, "ebs/volumeSize"),
      BOOL(ec2_mapping, delete_on_termination, "ebs/deleteOnTermination"),
      BOOL(ec2_mapping, encrypted, "ebs/encrypted"));

static const struct field image_fields[] = {
    STR(ec2_image, id, "imageId"),
    STR(ec2_image, name, "name"),
    STR(ec2_image, description, "description"),
    STR(ec2_image, state, "imageState"),
    STR(ec2_image, state_reason, "stateReason/message"),
    STR(ec2_image, owner_id, "imageOwnerId"),
    STR(ec2_image, owner_alias, "imageOwnerAlias"),
    STR(ec2_image, creation_date, "creationDate"),
    STR(ec2_image, architecture, "architecture"),
    STR(ec2_image, platform, "platform"),
    STR(ec2_image, platform_details, "platformDetails"),
    STR(ec2_image, usage_operation, "usageOperation"),
    STR(ec2_image, boot_mode, "bootMode"),
    STR(ec2_image, imds_support, "imdsSupport"),
    STR(ec2_image, tpm_support, "tpmSupport"),
    STR(ec2_image, virtualization_type, "virtualizationType"),
    STR(ec2_image, hypervisor, "hypervisor"),
    STR(ec2_image, root_device_name, "rootDeviceName"),
    STR(ec2_image, root_device_type, "rootDeviceType"),
    BOOL(ec2_image, ena_support, "enaSupport"),
    BOOL(ec2_image, is_public, "isPublic"),
    LIST(ec2_image, mappings, "blockDeviceMapping", &mapping_shape),
    LIST(ec2_image, tags, "tagSet", &tag_shape),
};
PUBLIC_SHAPE(ec2_image_shape, struct ec2_image, image_fields);

const struct ec2_listing ec2_image_listing = {
    .action = "DescribeImages",
    .ids_name = "ImageId",
    .set = "imagesSet",
    .shape = &ec2_image_shape,
};

int ec2_describe_images(struct aws *aws, const struct ec2_query *query,
                        struct ec2_images *ret, struct err *e)
{
    if (refuse_all(&ec2_image_listing, query, e) < 0)
        return -1;
    return ec2_list(aws, &ec2_image_listing, query, ret, e);
}

int ec2_describe_image(struct aws *aws, const char *image_id, struct ec2_image *ret,
                       struct err *e)
{
    return ec2_one(aws, &ec2_image_listing, image_id, ret, e);
}

void ec2_image_release(struct ec2_image *i)
{
    shape_release(&ec2_image_shape, i);
}

void ec2_images_release(struct ec2_images *i)
{
    shape_release_list(&ec2_image_shape, i);
}

/* ---- Instances ---- */

SHAPE(group_shape, struct ec2_group, STR(ec2_group, id, "groupId"),
      STR(ec2_group, name, "groupName"));

SHAPE(interface_shape, struct ec2_interface, STR(ec2_interface, id, "networkInterfaceId"),
      STR(ec2_interface, mac, "macAddress"), STR(ec2_interface, subnet_id, "subnetId"),
      STR(ec2_interface, private_ip, "privateIpAddress"),
      U64(ec2_interface, device_index, "attachment/deviceIndex"));

static const struct field instance_fields[] = {
    STR(ec2_instance, id, "instanceId"),
    STR(ec2_instance, state, "instanceState/name"),
    STR(ec2_instance, state_reason_code, "stateReason/code"),
    STR(ec2_instance, state_reason, "stateReason/message"),
    STR(ec2_instance, type, "instanceType"),
    STR(ec2_instance, image_id, "imageId"),
    STR(ec2_instance, zone, "placement/availabilityZone"),
    STR(ec2_instance, subnet_id, "subnetId"),
    STR(ec2_instance, vpc_id, "vpcId"),
    STR(ec2_instance, private_ip, "privateIpAddress"),
    STR(ec2_instance, public_ip, "ipAddress"),
    STR(ec2_instance, private_dns, "privateDnsName"),
    STR(ec2_instance, public_dns, "dnsName"),
    STR(ec2_instance, key_name, "keyName"),
    STR(ec2_instance, launch_time, "launchTime"),
    STR(ec2_instance, architecture, "architecture"),
    STR(ec2_instance, hypervisor, "hypervisor"),
    STR(ec2_instance, platform, "platform"),
    STR(ec2_instance, platform_details, "platformDetails"),
    STR(ec2_instance, usage_operation, "usageOperation"),
    STR(ec2_instance, boot_mode, "bootMode"),
    STR(ec2_instance, current_boot_mode, "currentInstanceBootMode"),
    STR(ec2_instance, root_device_name, "rootDeviceName"),
    STR(ec2_instance, iam_profile_arn, "iamInstanceProfile/arn"),
    STR(ec2_instance, client_token, "clientToken"),
    BOOL(ec2_instance, ena_support, "enaSupport"),
    LIST(ec2_instance, security_groups, "groupSet", &group_shape),
    LIST(ec2_instance, mappings, "blockDeviceMapping", &mapping_shape),
    COUNT(ec2_instance, n_interfaces, "networkInterfaceSet"),
    LIST(ec2_instance, interfaces, "networkInterfaceSet", &interface_shape),
    LIST(ec2_instance, tags, "tagSet", &tag_shape),
};
PUBLIC_SHAPE(ec2_instance_shape, struct ec2_instance, instance_fields);

const struct ec2_listing ec2_instance_listing = {
    .action = "DescribeInstances",
    .ids_name = "InstanceId",
    .set = "reservationSet",
    .inner_set = "instancesSet",
    .page = 500,
    .shape = &ec2_instance_shape,
};

int ec2_describe_instances(struct aws *aws, const struct ec2_query *query,
                           struct ec2_instances *ret, struct err *e)
{
    return ec2_list(aws, &ec2_instance_listing, query, ret, e);
}

int ec2_describe_instance(struct aws *aws, const char *instance_id,
                          struct ec2_instance *ret, struct err *e)
{
    return ec2_one(aws, &ec2_instance_listing, instance_id, ret, e);
}

void ec2_instance_release(struct ec2_instance *i)
{
    shape_release(&ec2_instance_shape, i);
}

void ec2_instances_release(struct ec2_instances *i)
{
    shape_release_list(&ec2_instance_shape, i);
}

SHAPE(status_shape, struct ec2_instance_status,
      STR(ec2_instance_status, instance_id, "instanceId"),
      STR(ec2_instance_status, state, "instanceState/name"),
      STR(ec2_instance_status, instance_status, "instanceStatus/status"),
      STR(ec2_instance_status, system_status, "systemStatus/status"));

int ec2_describe_instance_status(struct aws *aws, const char *instance_id,
                                 struct ec2_instance_status *ret, struct err *e)
{
    auto_form struct form f = FORM_INIT;

    ec2_form_begin(&f, "DescribeInstanceStatus", false);
    form_str(&f, instance_id, "InstanceId.1");
    form_bool(&f, true, "IncludeAllInstances");
    return ec2_make(aws, &f, EC2_REPEAT, "instanceStatusSet", &status_shape, ret, NULL,
                    e);
}

void ec2_instance_status_release(struct ec2_instance_status *s)
{
    shape_release(&status_shape, s);
}

/* ---- Instance types ---- */

SHAPE(type_shape, struct ec2_instance_type, STR(ec2_instance_type, name, "instanceType"),
      STR(ec2_instance_type, hypervisor, "hypervisor"),
      BOOL(ec2_instance_type, bare_metal, "bareMetal"),
      BOOL(ec2_instance_type, current_generation, "currentGeneration"),
      BOOL(ec2_instance_type, burstable, "burstablePerformanceSupported"),
      U64(ec2_instance_type, vcpus, "vCpuInfo/defaultVCpus"),
      U64(ec2_instance_type, memory_mib, "memoryInfo/sizeInMiB"),
      STR(ec2_instance_type, ena_support, "networkInfo/enaSupport"),
      STR(ec2_instance_type, nvme_support, "ebsInfo/nvmeSupport"),
      U64(ec2_instance_type, max_interfaces, "networkInfo/maximumNetworkInterfaces"),
      U64(ec2_instance_type, max_ebs_attachments, "ebsInfo/maximumEbsAttachments"),
      STR(ec2_instance_type, attachment_limit_type, "ebsInfo/attachmentLimitType"),
      U64(ec2_instance_type, ebs_baseline_mbps,
          "ebsInfo/ebsOptimizedInfo/baselineBandwidthInMbps"),
      U64(ec2_instance_type, ebs_maximum_mbps,
          "ebsInfo/ebsOptimizedInfo/maximumBandwidthInMbps"),
      LIST(ec2_instance_type, architectures, "processorInfo/supportedArchitectures",
           &word_shape),
      LIST(ec2_instance_type, boot_modes, "supportedBootModes", &word_shape),
      LIST(ec2_instance_type, virtualization_types, "supportedVirtualizationTypes",
           &word_shape));

static const struct ec2_listing type_listing = {
    .action = "DescribeInstanceTypes",
    .ids_name = "InstanceType",
    .set = "instanceTypeSet",
    .page = 100,
    .shape = &type_shape,
};

int ec2_describe_instance_types(struct aws *aws, const struct ec2_query *query,
                                struct ec2_instance_types *ret, struct err *e)
{
    return ec2_list(aws, &type_listing, query, ret, e);
}

void ec2_instance_types_release(struct ec2_instance_types *t)
{
    shape_release_list(&type_shape, t);
}

/* ---- Zones, subnets, groups, keys ---- */

SHAPE(zone_shape, struct ec2_zone, STR(ec2_zone, name, "zoneName"),
      STR(ec2_zone, id, "zoneId"), STR(ec2_zone, state, "zoneState"),
      STR(ec2_zone, type, "zoneType"), STR(ec2_zone, region, "regionName"));

int ec2_describe_availability_zones(struct aws *aws, const struct ec2_query *query,
                                    struct ec2_zones *ret, struct err *e)
{
    static const struct ec2_listing l = {.action = "DescribeAvailabilityZones",
                                         .ids_name = "ZoneName",
                                         .set = "availabilityZoneInfo",
                                         .shape = &zone_shape};

    return ec2_list(aws, &l, query, ret, e);
}

void ec2_zones_release(struct ec2_zones *z)
{
    shape_release_list(&zone_shape, z);
}

SHAPE(subnet_shape, struct ec2_subnet, STR(ec2_subnet, id, "subnetId"),
      STR(ec2_subnet, zone, "availabilityZone"),
      STR(ec2_subnet, zone_id, "availabilityZoneId"), STR(ec2_subnet, vpc_id, "vpcId"),
      STR(ec2_subnet, cidr, "cidrBlock"), STR(ec2_subnet, state, "state"),
      U64(ec2_subnet, free_addresses, "availableIpAddressCount"),
      BOOL(ec2_subnet, default_for_zone, "defaultForAz"),
      BOOL(ec2_subnet, public_ip_on_launch, "mapPublicIpOnLaunch"),
      LIST(ec2_subnet, tags, "tagSet", &tag_shape));

int ec2_describe_subnets(struct aws *aws, const struct ec2_query *query,
                         struct ec2_subnets *ret, struct err *e)
{
    static const struct ec2_listing l = {.action = "DescribeSubnets",
                                         .ids_name = "SubnetId",
                                         .set = "subnetSet",
                                         .page = 1000,
                                         .shape = &subnet_shape};

    return ec2_list(aws, &l, query, ret, e);
}

void ec2_subnets_release(struct ec2_subnets *s)
{
    shape_release_list(&subnet_shape, s);
}

SHAPE(security_group_shape, struct ec2_security_group,
      STR(ec2_security_group, id, "groupId"), STR(ec2_security_group, name, "groupName"),
      STR(ec2_security_group, description, "groupDescription"),
      STR(ec2_security_group, vpc_id, "vpcId"),
      COUNT(ec2_security_group, n_ingress, "ipPermissions"),
      COUNT(ec2_security_group, n_egress, "ipPermissionsEgress"),
      LIST(ec2_security_group, tags, "tagSet", &tag_shape));

int ec2_describe_security_groups(struct aws *aws, const struct ec2_query *query,
                                 struct ec2_security_groups *ret, struct err *e)
{
    static const struct ec2_listing l = {.action = "DescribeSecurityGroups",
                                         .ids_name = "GroupId",
                                         .set = "securityGroupInfo",
                                         .page = 1000,
                                         .shape = &security_group_shape};

    return ec2_list(aws, &l, query, ret, e);
}

void ec2_security_groups_release(struct ec2_security_groups *g)
{
    shape_release_list(&security_group_shape, g);
}

SHAPE(key_pair_shape, struct ec2_key_pair, STR(ec2_key_pair, id, "keyPairId"),
      STR(ec2_key_pair, name, "keyName"), STR(ec2_key_pair, type, "keyType"),
      STR(ec2_key_pair, fingerprint, "keyFingerprint"));

int ec2_describe_key_pairs(struct aws *aws, const struct ec2_query *query,
                           struct ec2_key_pairs *ret, struct err *e)
{
    static const struct ec2_listing l = {.action = "DescribeKeyPairs",
                                         .ids_name = "KeyName",
                                         .set = "keySet",
                                         .shape = &key_pair_shape};

    return ec2_list(aws, &l, query, ret, e);
}

void ec2_key_pairs_release(struct ec2_key_pairs *k)
{
    shape_release_list(&key_pair_shape, k);
}
