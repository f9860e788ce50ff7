/* Regions, zones, instance types and the account: what never changes. */
#include "lab/listing.h"
#include "lab/types.h"
#include "lab/zones.h"

#include "base/str.h"

static json_t *zone_document(size_t i)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:[]}", "zoneState", "available",
        "optInStatus", "opt-in-not-required", "regionName", LAB_REGION, "zoneName",
        zone_name(i), "zoneId", zone_id_of(zone_name(i)), "groupName", LAB_REGION "-zg-1",
        "networkBorderGroup", LAB_REGION, "zoneType", "availability-zone", "messageSet");
}

/* True when `value` is in the list, or there is no list. */
static bool wanted(const json_t *list, const char *value)
{
    json_t *v;
    size_t i;

    if (!list)
        return true;
    json_array_foreach (list, i, v)
        if (str_eq_null(json_string_value(v), value))
            return true;
    return false;
}

static int check_names(const json_t *list, bool (*known)(const char *), const char *code,
                       const char *what, struct err *e)
{
    json_t *v;
    size_t i;

    json_array_foreach (list, i, v) {
        const char *s = json_string_value(v);

        if (!s || !known(s))
            return refuse(e, code, "Invalid %s: [%.60s]", what, s ? s : "");
    }
    return 0;
}

static bool zone_id_known(const char *id)
{
    for (size_t i = 0; zone_name(i); i++)
        if (str_eq(zone_id_of(zone_name(i)), id))
            return true;
    return false;
}

static int describe_zones(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"group-name", "groupName"},
        {"message", "messageSet.message"},
        {"opt-in-status", "optInStatus"},
        {"region-name", "regionName"},
        {"state", "zoneState"},
        {"zone-id", "zoneId"},
        {"zone-name", "zoneName"},
        {"zone-type", "zoneType"},
        {NULL, NULL},
    };
    static const struct listing l = {.filters = filters, .max_page = 1000};
    json_t *names = q_list(a->params, "ZoneName"), *ids = q_list(a->params, "ZoneId");
    json_t *docs = json_array(), *out;

    if (!docs)
        return err_nomem(e);
    if (check_names(names, zone_exists, "InvalidParameterValue", "availability zone", e) <
            0 ||
        check_names(ids, zone_id_known, "InvalidParameterValue", "availability zone-id",
                    e) < 0) {
        json_decref(docs);
        return -1;
    }
    for (size_t i = 0; zone_name(i); i++)
        if (wanted(names, zone_name(i)) && wanted(ids, zone_id_of(zone_name(i))) &&
            json_add(docs, zone_document(i), e) < 0) {
            json_decref(docs);
            return -1;
        }
    if (listing_select(a, &l, docs, &out, e) < 0)
        return -1;
    return act_put(a, "availabilityZoneInfo", out, e);
}

static bool region_known(const char *name)
{
    return str_eq(name, LAB_REGION);
}

static int describe_regions(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"endpoint", "regionEndpoint"},
        {"opt-in-status", "optInStatus"},
        {"region-name", "regionName"},
        {NULL, NULL},
    };
    static const struct listing l = {.filters = filters, .max_page = 1000};
    json_t *docs, *out;

    if (check_names(q_list(a->params, "RegionName"), region_known,
                    "InvalidParameterValue", "region", e) < 0)
        return -1;
    docs = json_pack("[{s:s, s:s, s:s}]", "regionName", LAB_REGION, "regionEndpoint",
                     "ec2." LAB_REGION ".amazonaws.com", "optInStatus",
                     "opt-in-not-required");
    if (!docs)
        return err_nomem(e);
    if (listing_select(a, &l, docs, &out, e) < 0)
        return -1;
    return act_put(a, "regionInfo", out, e);
}

static int check_types(const json_t *list, struct err *e)
{
    json_t *v;
    size_t i;

    json_array_foreach (list, i, v) {
        const char *s = json_string_value(v);

        if (!s || !type_find(s))
            return refuse(e, "InvalidInstanceType",
                          "The following supplied instance types do not exist: [%.60s]",
                          s ? s : "");
    }
    return 0;
}

static int all_types(const json_t *wanted_names, json_t **ret, struct err *e)
{
    json_t *docs = json_array(), *d;

    if (!docs)
        return err_nomem(e);
    for (size_t i = 0; type_at(i); i++) {
        if (!wanted(wanted_names, type_at(i)->name))
            continue;
        if (type_document(type_at(i), &d, e) < 0 || json_add(docs, d, e) < 0) {
            json_decref(docs);
            return -1;
        }
    }
    *ret = docs;
    return 0;
}

static int describe_types(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"auto-recovery-supported", "autoRecoverySupported"},
        {"bare-metal", "bareMetal"},
        {"burstable-performance-supported", "burstablePerformanceSupported"},
        {"current-generation", "currentGeneration"},
        {"dedicated-hosts-supported", "dedicatedHostsSupported"},
        {"ebs-info.attachment-limit-type", "ebsInfo.attachmentLimitType"},
        {"ebs-info.ebs-optimized-support", "ebsInfo.ebsOptimizedSupport"},
        {"ebs-info.encryption-support", "ebsInfo.encryptionSupport"},
        {"ebs-info.maximum-ebs-attachments", "ebsInfo.maximumEbsAttachments"},
        {"ebs-info.nvme-support", "ebsInfo.nvmeSupport"},
        {"free-tier-eligible", "freeTierEligible"},
        {"hibernation-supported", "hibernationSupported"},
        {"hypervisor", "hypervisor"},
        {"instance-storage-supported", "instanceStorageSupported"},
        {"instance-type", "instanceType"},
        {"memory-info.size-in-mib", "memoryInfo.sizeInMiB"},
        {"network-info.ena-support", "networkInfo.enaSupport"},
        {"network-info.maximum-network-interfaces",
         "networkInfo.maximumNetworkInterfaces"},
        {"processor-info.supported-architecture", "processorInfo.supportedArchitectures"},
        {"supported-boot-mode", "supportedBootModes"},
        {"supported-root-device-type", "supportedRootDeviceTypes"},
        {"supported-usage-class", "supportedUsageClasses"},
        {"supported-virtualization-type", "supportedVirtualizationTypes"},
        {"vcpu-info.default-cores", "vCpuInfo.defaultCores"},
        {"vcpu-info.default-threads-per-core", "vCpuInfo.defaultThreadsPerCore"},
        {"vcpu-info.default-vcpus", "vCpuInfo.defaultVCpus"},
        {NULL, NULL},
    };
    static const struct listing l = {.filters = filters, .max_page = 100};
    json_t *names = q_list(a->params, "InstanceType"), *docs = NULL, *out = NULL;

    if (names && q_str(a->params, "MaxResults"))
        return refuse(e, "InvalidParameterCombination",
                      "The parameter InstanceType cannot be used with the parameter "
                      "MaxResults");
    if (check_types(names, e) < 0 || all_types(names, &docs, e) < 0 ||
        listing_select(a, &l, docs, &out, e) < 0)
        return -1;
    return act_put(a, "instanceTypeSet", out, e);
}

static int add_offerings(json_t *docs, const char *kind, struct err *e)
{
    bool region = str_eq(kind, "region"), id = str_eq(kind, "availability-zone-id");

    for (size_t t = 0; type_at(t); t++)
        for (size_t z = 0; region ? z < 1 : zone_name(z) != NULL; z++)
            if (json_add(docs,
                         json_pack("{s:s, s:s, s:s}", "instanceType", type_at(t)->name,
                                   "locationType", kind, "location",
                                   region ? LAB_REGION
                                   : id   ? zone_id_of(zone_name(z))
                                          : zone_name(z)),
                         e) < 0)
                return -1;
    return 0;
}

static int describe_offerings(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"instance-type", "instanceType"}, {"location", "location"}, {NULL, NULL}};
    static const struct listing l = {.filters = filters, .max_page = 1000};
    const char *kind = q_str_or(a->params, "LocationType", "region");
    json_t *docs, *out;

    if (!str_eq(kind, "region") && !str_eq(kind, "availability-zone") &&
        !str_eq(kind, "availability-zone-id"))
        return refuse_value(e, "LocationType", kind, "");
    docs = json_array();
    if (!docs)
        return err_nomem(e);
    if (add_offerings(docs, kind, e) < 0) {
        json_decref(docs);
        return -1;
    }
    if (listing_select(a, &l, docs, &out, e) < 0)
        return -1;
    return act_put(a, "instanceTypeOfferingSet", out, e);
}

static int ebs_encryption(struct act *a, struct err *e)
{
    return act_put(a, "ebsEncryptionByDefault", json_false(), e);
}

static int account_attributes(struct act *a, struct err *e)
{
    static const struct {
        const char *name, *value;
    } table[] = {{"supported-platforms", "VPC"},
                 {"max-instances", "1000"},
                 {"vpc-max-security-groups-per-interface", "5"},
                 {"max-elastic-ips", "0"}};
    json_t *names = q_list(a->params, "AttributeName"), *out = json_array();

    if (act_put(a, "accountAttributeSet", out, e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (wanted(names, table[i].name) &&
            json_add(out,
                     json_pack("{s:s, s:[{s:s}]}", "attributeName", table[i].name,
                               "attributeValueSet", "attributeValue", table[i].value),
                     e) < 0)
            return -1;
    return 0;
}

const struct action actions_zone[] = {
    {"DescribeAvailabilityZones", describe_zones, NULL},
    {"DescribeRegions", describe_regions, NULL},
    {"GetEbsEncryptionByDefault", ebs_encryption, NULL},
    {"DescribeAccountAttributes", account_attributes, NULL},
    {NULL, NULL, NULL},
};

const struct action actions_type[] = {
    {"DescribeInstanceTypes", describe_types, NULL},
    {"DescribeInstanceTypeOfferings", describe_offerings, NULL},
    {NULL, NULL, NULL},
};
