/* Instance types; see types.h. Figures from Amazon's public "Instance type
 * specifications"; a choice of common types, Nitro and Xen, Intel, AMD and Graviton. */
#include "lab/types.h"

#include "base/str.h"

#define XEN(name_, cpu_, ghz_, arch_, ena_, burst_)                                      \
    {                                                                                    \
        .name = name_, .hypervisor = "xen", .cpu = cpu_, .ghz = ghz_, .arch = arch_,     \
        .ena = ena_, .nvme = TYPE_UNSUPPORTED, .bios = true, .current = burst_,          \
        .burstable = burst_, .dedicated = true, .ebs_limit = 40,                         \
        .threads = burst_ ? 1 : 2                                                        \
    }
#define NITRO(name_, cpu_, ghz_, arch_, bios_, burst_, dedicated_, limit_, threads_)     \
    {                                                                                    \
        .name = name_, .hypervisor = "nitro", .cpu = cpu_, .ghz = ghz_, .arch = arch_,   \
        .ena = TYPE_REQUIRED, .nvme = TYPE_REQUIRED, .bios = bios_, .uefi = true,        \
        .current = true, .burstable = burst_, .dedicated = dedicated_,                   \
        .ebs_limit = limit_, .threads = threads_                                         \
    }
#define INTEL(name_, ghz_)                                                               \
    NITRO(name_, "Intel", ghz_, TYPE_X86, true, false, false, 28, 2)
#define AMD(name_, ghz_)     NITRO(name_, "AMD", ghz_, TYPE_X86, true, false, false, 28, 2)
#define INTEL_32(name_)      NITRO(name_, "Intel", 3.2, TYPE_X86, true, false, true, 32, 2)
#define GRAVITON(name_)      NITRO(name_, "AWS", 2.5, TYPE_ARM, false, false, false, 28, 1)
#define T_NITRO(name_, cpu_) NITRO(name_, cpu_, 2.5, TYPE_X86, true, true, false, 28, 2)

static const struct type_family t2 =
    XEN("t2", "Intel", 2.5, TYPE_X86 | TYPE_I386, TYPE_UNSUPPORTED, true);
static const struct type_family m4 =
    XEN("m4", "Intel", 2.4, TYPE_X86, TYPE_UNSUPPORTED, false);
static const struct type_family c4 =
    XEN("c4", "Intel", 2.9, TYPE_X86, TYPE_UNSUPPORTED, false);
static const struct type_family r4 =
    XEN("r4", "Intel", 2.3, TYPE_X86, TYPE_SUPPORTED, false);
static const struct type_family t3 = T_NITRO("t3", "Intel"), t3a = T_NITRO("t3a", "AMD");
static const struct type_family m5 = INTEL("m5", 3.1), c5 = INTEL("c5", 3.4);
static const struct type_family r5 = INTEL("r5", 3.1), m6i = INTEL("m6i", 3.5);
static const struct type_family c6i = INTEL("c6i", 3.5), r6i = INTEL("r6i", 3.5);
static const struct type_family m5a = AMD("m5a", 2.5), c5a = AMD("c5a", 3.3);
static const struct type_family m6a = AMD("m6a", 3.6), m7i = INTEL_32("m7i");
static const struct type_family c7i = INTEL_32("c7i"), r7i = INTEL_32("r7i");
static const struct type_family m6g = GRAVITON("m6g");
static const struct type_family t4g =
    NITRO("t4g", "AWS", 2.5, TYPE_ARM, false, true, false, 28, 1);

/* name, vCPUs, MiB, interfaces, addresses each */
static const struct instance_type types[] = {
    {"t2.nano", 1, 512, 2, 2, &t2},
    {"t2.micro", 1, 1024, 2, 2, &t2},
    {"t2.small", 1, 2048, 3, 4, &t2},
    {"t2.medium", 2, 4096, 3, 6, &t2},
    {"t2.large", 2, 8192, 3, 12, &t2},
    {"t2.xlarge", 4, 16384, 3, 15, &t2},
    {"t2.2xlarge", 8, 32768, 3, 15, &t2},
    {"t3.nano", 2, 512, 2, 2, &t3},
    {"t3.micro", 2, 1024, 2, 2, &t3},
    {"t3.small", 2, 2048, 3, 4, &t3},
    {"t3.medium", 2, 4096, 3, 6, &t3},
    {"t3.large", 2, 8192, 3, 12, &t3},
    {"t3.xlarge", 4, 16384, 4, 15, &t3},
    {"t3.2xlarge", 8, 32768, 4, 15, &t3},
    {"t3a.nano", 2, 512, 2, 2, &t3a},
    {"t3a.micro", 2, 1024, 2, 2, &t3a},
    {"t3a.small", 2, 2048, 2, 4, &t3a},
    {"t3a.medium", 2, 4096, 3, 6, &t3a},
    {"t3a.large", 2, 8192, 3, 12, &t3a},
    {"t3a.xlarge", 4, 16384, 4, 15, &t3a},
    {"t4g.micro", 2, 1024, 2, 2, &t4g},
    {"t4g.small", 2, 2048, 3, 4, &t4g},
    {"t4g.medium", 2, 4096, 3, 6, &t4g},
    {"t4g.large", 2, 8192, 3, 12, &t4g},
    {"m4.large", 2, 8192, 2, 10, &m4},
    {"m4.xlarge", 4, 16384, 4, 15, &m4},
    {"m4.2xlarge", 8, 32768, 4, 15, &m4},
    {"m4.4xlarge", 16, 65536, 8, 30, &m4},
    {"m4.10xlarge", 40, 163840, 8, 30, &m4},
    {"c4.large", 2, 3840, 3, 10, &c4},
    {"c4.xlarge", 4, 7680, 4, 15, &c4},
    {"c4.2xlarge", 8, 15360, 4, 15, &c4},
    {"c4.4xlarge", 16, 30720, 8, 30, &c4},
    {"c4.8xlarge", 36, 61440, 8, 30, &c4},
    {"r4.large", 2, 15616, 3, 10, &r4},
    {"r4.xlarge", 4, 31232, 4, 15, &r4},
    {"r4.2xlarge", 8, 62464, 4, 15, &r4},
    {"r4.4xlarge", 16, 124928, 8, 30, &r4},
    {"m5.large", 2, 8192, 3, 10, &m5},
    {"m5.xlarge", 4, 16384, 4, 15, &m5},
    {"m5.2xlarge", 8, 32768, 4, 15, &m5},
    {"m5.4xlarge", 16, 65536, 8, 30, &m5},
    {"m5.8xlarge", 32, 131072, 8, 30, &m5},
    {"m5.12xlarge", 48, 196608, 8, 30, &m5},
    {"m5.16xlarge", 64, 262144, 15, 50, &m5},
    {"m5.24xlarge", 96, 393216, 15, 50, &m5},
    {"m5a.large", 2, 8192, 3, 10, &m5a},
    {"m5a.xlarge", 4, 16384, 4, 15, &m5a},
    {"m5a.2xlarge", 8, 32768, 4, 15, &m5a},
    {"m5a.4xlarge", 16, 65536, 8, 30, &m5a},
    {"c5.large", 2, 4096, 3, 10, &c5},
    {"c5.xlarge", 4, 8192, 4, 15, &c5},
    {"c5.2xlarge", 8, 16384, 4, 15, &c5},
    {"c5.4xlarge", 16, 32768, 8, 30, &c5},
    {"c5.9xlarge", 36, 73728, 8, 30, &c5},
    {"c5.18xlarge", 72, 147456, 15, 50, &c5},
    {"c5a.large", 2, 4096, 3, 10, &c5a},
    {"c5a.xlarge", 4, 8192, 4, 15, &c5a},
    {"c5a.2xlarge", 8, 16384, 4, 15, &c5a},
    {"r5.large", 2, 16384, 3, 10, &r5},
    {"r5.xlarge", 4, 32768, 4, 15, &r5},
    {"r5.2xlarge", 8, 65536, 4, 15, &r5},
    {"r5.4xlarge", 16, 131072, 8, 30, &r5},
    {"r5.8xlarge", 32, 262144, 8, 30, &r5},
    {"r5.12xlarge", 48, 393216, 8, 30, &r5},
    {"m6a.large", 2, 8192, 3, 10, &m6a},
    {"m6a.xlarge", 4, 16384, 4, 15, &m6a},
    {"m6a.2xlarge", 8, 32768, 4, 15, &m6a},
    {"m6g.medium", 1, 4096, 2, 4, &m6g},
    {"m6g.large", 2, 8192, 3, 10, &m6g},
    {"m6g.xlarge", 4, 16384, 4, 15, &m6g},
    {"m6i.large", 2, 8192, 3, 10, &m6i},
    {"m6i.xlarge", 4, 16384, 4, 15, &m6i},
    {"m6i.2xlarge", 8, 32768, 4, 15, &m6i},
    {"m6i.4xlarge", 16, 65536, 8, 30, &m6i},
    {"m6i.8xlarge", 32, 131072, 8, 30, &m6i},
    {"m6i.16xlarge", 64, 262144, 15, 50, &m6i},
    {"m6i.32xlarge", 128, 524288, 15, 50, &m6i},
    {"c6i.large", 2, 4096, 3, 10, &c6i},
    {"c6i.xlarge", 4, 8192, 4, 15, &c6i},
    {"c6i.2xlarge", 8, 16384, 4, 15, &c6i},
    {"c6i.4xlarge", 16, 32768, 8, 30, &c6i},
    {"r6i.large", 2, 16384, 3, 10, &r6i},
    {"r6i.xlarge", 4, 32768, 4, 15, &r6i},
    {"r6i.2xlarge", 8, 65536, 4, 15, &r6i},
    {"r6i.4xlarge", 16, 131072, 8, 30, &r6i},
    {"m7i.large", 2, 8192, 3, 10, &m7i},
    {"m7i.xlarge", 4, 16384, 4, 15, &m7i},
    {"m7i.2xlarge", 8, 32768, 4, 15, &m7i},
    {"c7i.large", 2, 4096, 3, 10, &c7i},
    {"c7i.xlarge", 4, 8192, 4, 15, &c7i},
    {"r7i.large", 2, 16384, 3, 10, &r7i},
    {"r7i.xlarge", 4, 32768, 4, 15, &r7i},
};

const struct instance_type *type_find(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (str_eq(types[i].name, name))
            return &types[i];
    return NULL;
}

const struct instance_type *type_at(size_t i)
{
    return i < sizeof types / sizeof types[0] ? &types[i] : NULL;
}

unsigned type_volume_limit(const struct instance_type *t, unsigned interfaces)
{
    unsigned most = t->family->ebs_limit;

    if (t->family->dedicated)
        return most;
    return interfaces < most ? most - interfaces : 0;
}

static const char *need_name(enum type_need n)
{
    return n == TYPE_REQUIRED    ? "required"
           : n == TYPE_SUPPORTED ? "supported"
                                 : "unsupported";
}

static json_t *words(bool a, const char *one, bool b, const char *two)
{
    json_t *list = json_array();

    if (a && list && json_array_append_new(list, json_string(one)) < 0)
        return NULL;
    if (b && list && json_array_append_new(list, json_string(two)) < 0)
        return NULL;
    return list;
}

static json_t *network_info(const struct instance_type *t)
{
    const char *speed = t->family->burstable ? "Up to 5 Gigabit" : "Up to 10 Gigabit";

    return json_pack(
        "{s:s, s:i, s:i, s:i, s:[{s:i, s:s, s:i}], s:i, s:i, s:b, s:s, s:b, s:b}",
        "networkPerformance", speed, "maximumNetworkInterfaces", (int)t->interfaces,
        "maximumNetworkCards", 1, "defaultNetworkCardIndex", 0, "networkCards",
        "networkCardIndex", 0, "networkPerformance", speed, "maximumNetworkInterfaces",
        (int)t->interfaces, "ipv4AddressesPerInterface", (int)t->addresses,
        "ipv6AddressesPerInterface", (int)t->addresses, "ipv6Supported", 1, "enaSupport",
        need_name(t->family->ena), "efaSupported", 0, "encryptionInTransitSupported", 0);
}

static json_t *ebs_info(const struct type_family *f)
{
    return json_pack("{s:s, s:s, s:s, s:i, s:s}", "ebsOptimizedSupport", "default",
                     "encryptionSupport", "supported", "nvmeSupport", need_name(f->nvme),
                     "maximumEbsAttachments", (int)f->ebs_limit, "attachmentLimitType",
                     f->dedicated ? "dedicated" : "shared");
}

int type_document(const struct instance_type *t, json_t **ret, struct err *e)
{
    const struct type_family *f = t->family;
    unsigned cores = t->vcpus / f->threads ? t->vcpus / f->threads : 1;
    json_t *archs = f->arch & TYPE_ARM
                        ? words(true, "arm64", false, "")
                        : words(f->arch & TYPE_I386, "i386", true, "x86_64");
    json_t *doc = json_pack(
        "{s:s, s:b, s:b, s:[ss], s:[s], s:[s], s:b, s:s, s:{s:o, s:f, s:s},"
        " s:{s:i, s:i, s:i}, s:{s:i}, s:b, s:o, s:o, s:{s:[sss]}, s:b, s:b, s:b, s:b,"
        " s:o, s:s}",
        "instanceType", t->name, "currentGeneration", f->current, "freeTierEligible",
        str_eq(t->name, "t2.micro") || str_eq(t->name, "t3.micro"),
        "supportedUsageClasses", "on-demand", "spot", "supportedRootDeviceTypes", "ebs",
        "supportedVirtualizationTypes", "hvm", "bareMetal", 0, "hypervisor",
        f->hypervisor, "processorInfo", "supportedArchitectures", archs,
        "sustainedClockSpeedInGhz", f->ghz, "manufacturer", f->cpu, "vCpuInfo",
        "defaultVCpus", (int)t->vcpus, "defaultCores", (int)cores,
        "defaultThreadsPerCore", (int)f->threads, "memoryInfo", "sizeInMiB",
        (int)t->memory_mib, "instanceStorageSupported", 0, "ebsInfo", ebs_info(f),
        "networkInfo", network_info(t), "placementGroupInfo", "supportedStrategies",
        "partition", "spread", "cluster", "hibernationSupported", 0,
        "burstablePerformanceSupported", f->burstable, "dedicatedHostsSupported",
        !f->burstable, "autoRecoverySupported", 1, "supportedBootModes",
        words(f->bios, "legacy-bios", f->uefi, "uefi"), "nitroEnclavesSupport",
        "unsupported");

    if (!doc)
        return err_nomem(e);
    *ret = doc;
    return 0;
}
