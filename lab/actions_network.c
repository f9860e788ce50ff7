/* VPCs, subnets and network interfaces: described, not made. */
#include "lab/listing.h"

#include "base/str.h"

static int describe_vpcs(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"cidr", "cidrBlock"},
        {"cidr-block", "cidrBlock"},
        {"dhcp-options-id", "dhcpOptionsId"},
        {"is-default", "isDefault"},
        {"isDefault", "isDefault"},
        {"owner-id", "ownerId"},
        {"state", "state"},
        {"vpc-id", "vpcId"},
        {NULL, NULL},
    };
    static const struct listing l = {
        .res = RES_VPC, .ids_param = "VpcId", .filters = filters, .max_page = 1000};

    return listing_answer(a, &l, "vpcSet", e);
}

static int subnet_view(struct act *a, const json_t *doc, json_t **ret, struct err *e)
{
    const char *id = json_str_or(doc, "subnetId", "");
    const char *cidr = json_str_or(doc, "cidrBlock", "");
    const char *slash = strchr(cidr, '/');
    unsigned long bits = slash ? strtoul(slash + 1, NULL, 10) : 20;
    json_int_t free_ips = bits <= 28 ? (1 << (32 - bits)) - 5 : 0;
    json_t *docs, *d, *view;
    size_t i;

    if (store_list(a->lab->store, "network-interface", &docs, e) < 0)
        return -1;
    json_array_foreach (docs, i, d)
        if (str_eq(json_str_or(d, "subnetId", ""), id))
            free_ips--;
    json_decref(docs);
    view = json_copy((json_t *)doc);
    if (!view || json_object_set_new(view, "availableIpAddressCount",
                                     json_integer(free_ips)) < 0) {
        json_decref(view);
        return err_nomem(e);
    }
    *ret = view;
    return 0;
}

static int describe_subnets(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"availability-zone", "availabilityZone"},
        {"availabilityZone", "availabilityZone"},
        {"availability-zone-id", "availabilityZoneId"},
        {"available-ip-address-count", "availableIpAddressCount"},
        {"cidr-block", "cidrBlock"},
        {"cidr", "cidrBlock"},
        {"default-for-az", "defaultForAz"},
        {"defaultForAz", "defaultForAz"},
        {"owner-id", "ownerId"},
        {"state", "state"},
        {"subnet-arn", "subnetArn"},
        {"subnet-id", "subnetId"},
        {"vpc-id", "vpcId"},
        {NULL, NULL},
    };
    static const struct listing l = {.res = RES_SUBNET,
                                     .ids_param = "SubnetId",
                                     .filters = filters,
                                     .max_page = 1000,
                                     .view = subnet_view};

    return listing_answer(a, &l, "subnetSet", e);
}

static int describe_interfaces(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"addresses.private-ip-address", "privateIpAddressesSet.privateIpAddress"},
        {"attachment.attachment-id", "attachment.attachmentId"},
        {"attachment.device-index", "attachment.deviceIndex"},
        {"attachment.instance-id", "attachment.instanceId"},
        {"attachment.status", "attachment.status"},
        {"availability-zone", "availabilityZone"},
        {"description", "description"},
        {"group-id", "groupSet.groupId"},
        {"group-name", "groupSet.groupName"},
        {"interface-type", "interfaceType"},
        {"mac-address", "macAddress"},
        {"network-interface-id", "networkInterfaceId"},
        {"owner-id", "ownerId"},
        {"private-dns-name", "privateDnsName"},
        {"private-ip-address", "privateIpAddress"},
        {"requester-managed", "requesterManaged"},
        {"source-dest-check", "sourceDestCheck"},
        {"status", "status"},
        {"subnet-id", "subnetId"},
        {"vpc-id", "vpcId"},
        {NULL, NULL},
    };
    static const struct listing l = {.res = RES_INTERFACE,
                                     .ids_param = "NetworkInterfaceId",
                                     .filters = filters,
                                     .max_page = 1000};

    return listing_answer(a, &l, "networkInterfaceSet", e);
}

const struct action actions_network[] = {
    {"DescribeVpcs", describe_vpcs, NULL},
    {"DescribeSubnets", describe_subnets, NULL},
    {"DescribeNetworkInterfaces", describe_interfaces, NULL},
    {NULL, NULL, NULL},
};
