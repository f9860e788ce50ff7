/* Instance types and where they are offered. */
#include "lab/listing.h"
#include "lab/types.h"
#include "lab/zones.h"

#include "base/str.h"

static const struct filter_def type_filters[] = {
    {"auto-recovery-supported", "autoRecoverySupported"},
    {"bare-metal", "bareMetal"},
    {"burstable-performance-supported", "burstablePerformanceSupported"},
    {"current-generation", "currentGeneration"},
    {"ebs-info.nvme-support", "ebsInfo.nvmeSupport"},
    {"ebs-info.encryption-support", "ebsInfo.encryptionSupport"},
    {"free-tier-eligible", "freeTierEligible"},
    {"hypervisor", "hypervisor"},
    {"instance-storage-supported", "instanceStorageSupported"},
    {"instance-type", "instanceType"},
    {"memory-info.size-in-mib", "memoryInfo.sizeInMiB"},
    {"network-info.ena-support", "networkInfo.enaSupport"},
    {"processor-info.supported-architecture", "processorInfo.supportedArchitectures"},
    {"supported-boot-mode", "supportedBootModes"},
    {"supported-root-device-type", "supportedRootDeviceTypes"},
    {"supported-virtualization-type", "supportedVirtualizationTypes"},
    {"vcpu-info.default-vcpus", "vCpuInfo.defaultVCpus"},
    {NULL, NULL},
};

/* The types named, or all; each with a place of its own for the pages. */
static int collect_types(struct act *a, json_t *out, struct err *e)
{
    json_t *names = q_list(a->params, "InstanceType"), *name, *doc;
    const struct instance_type *t;
    size_t i;

    json_array_foreach (names, i, name)
        if (!json_is_string(name) || !type_find(json_string_value(name)))
            return fail(e, "InvalidInstanceType",
                        "The following supplied instance types do not exist: [%.60s]",
                        json_is_string(name) ? json_string_value(name) : "");
    for (size_t n = 0; (t = type_at(n)); n++) {
        bool wanted = !names;

        json_array_foreach (names, i, name)
            wanted = wanted || str_eq(json_string_value(name), t->name);
        if (!wanted)
            continue;
        if (type_document(t, &doc, e) < 0)
            return -1;
        if (json_add(out, doc, e) < 0 ||
            json_put(doc, "_seq", json_integer((json_int_t)n), e) < 0)
            return -1;
    }
    return 0;
}

static int describe_types(struct act *a, struct err *e)
{
    static const struct listing l = {
        .res = RES_INSTANCE, .filters = type_filters, .max_page = 100};
    json_t *docs = json_array(), *out;

    if (!docs)
        return err_nomem(e);
    if (collect_types(a, docs, e) < 0) {
        json_decref(docs);
        return -1;
    }
    if (listing_select(a, &l, docs, &out, e) < 0)
        return -1;
    return act_put(a, "instanceTypeSet", out, e);
}

static int add_offering(json_t *out, const char *type, const char *kind,
                        const char *location, struct err *e)
{
    return json_add(out,
                    json_pack("{s:s, s:s, s:s, s:I}", "instanceType", type,
                              "locationType", kind, "location", location, "_seq",
                              (json_int_t)json_array_size(out)),
                    e);
}

/* Every type is offered everywhere in this lab. */
static int describe_offerings(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"instance-type", "instanceType"}, {"location", "location"}, {NULL, NULL}};
    static const struct listing l = {
        .res = RES_INSTANCE, .filters = filters, .max_page = 1000};
    const char *kind = q_str_or(a->params, "LocationType", "region");
    const struct instance_type *t;
    json_t *docs = json_array(), *out;
    int r = docs ? 0 : err_nomem(e);

    if (!str_eq(kind, "region") && !str_eq(kind, "availability-zone") &&
        !str_eq(kind, "availability-zone-id"))
        r = fail_value(e, "locationType", kind, "Unknown location type.");
    for (size_t n = 0; r == 0 && (t = type_at(n)); n++) {
        if (str_eq(kind, "region"))
            r = add_offering(docs, t->name, kind, LAB_REGION, e);
        for (size_t z = 0; r == 0 && !str_eq(kind, "region") && zone_name(z); z++)
            r = add_offering(docs, t->name, kind,
                             str_eq(kind, "availability-zone") ? zone_name(z)
                                                               : zone_id_of(zone_name(z)),
                             e);
    }
    if (r < 0) {
        json_decref(docs);
        return -1;
    }
    if (listing_select(a, &l, docs, &out, e) < 0)
        return -1;
    return act_put(a, "instanceTypeOfferingSet", out, e);
}

const struct action actions_type[] = {
    {"DescribeInstanceTypes", describe_types, NULL},
    {"DescribeInstanceTypeOfferings", describe_offerings, NULL},
    {NULL, NULL, NULL},
};
