/* Requirements of booting Windows on EC2's hardware, and of its drivers. */
#include "guest/windows/windows.h"

#include "base/str.h"
#include "guest/drivers/drivers.h"
#include "guest/windows/firstboot.h"
#include "guest/windows/requirements.h"

#include <strings.h>

/* ---- storage ---- */

/* StartOverride\0 = 3 keeps a boot driver from being loaded although Start is 0. */
static int overridden(const struct subject *s, const char *service, struct err *e)
{
    auto_free char *path = str_fmt(e, "Services\\%s\\StartOverride", service);

    return path ? windows_has_key(s, WIN_CCS, path, e) : -1;
}

static int start_of(const struct subject *s, const char *service, uint32_t *ret,
                    struct err *e)
{
    auto_free char *path = str_fmt(e, "Services\\%s", service);

    return path ? windows_u32(s, WIN_CCS, path, "Start", UINT32_MAX, ret, e) : -1;
}

static int stornvme_file(const struct subject *s, struct err *e)
{
    auto_free char *path = NULL;

    return windows_path(&s->fs, s->windows->root, "System32/drivers/stornvme.sys", &path,
                        e);
}

/* What would be changed, as text; empty when all is well. */
static int boot_faults(const struct subject *s, struct buf *b, struct err *e)
{
    for (const struct boot_service *x = windows_boot_services; x->name; x++) {
        uint32_t start;
        int r;

        if (x->xen && s->options->profile == GUEST_NITRO)
            continue;
        r = overridden(s, x->name, e);
        if (r < 0 || start_of(s, x->name, &start, e) < 0)
            return -1;
        if (r)
            buf_addf(b, "%s%s\\StartOverride", b->len ? ", " : "", x->name);
        if ((x->needed || x->xen) && start != UINT32_MAX && start != 0)
            buf_addf(b, "%s%s\\Start = %u", b->len ? ", " : "", x->name, start);
    }
    return buf_check(b, e);
}

/* A machine that ran on EC2 may use AWS's own driver instead of Windows'. */
static int starts_awsnvme(const struct subject *s, struct err *e)
{
    uint32_t start;
    int r;

    if (s->options->purpose != GUEST_RESTORE)
        return 0;
    if (start_of(s, "AWSNVMe", &start, e) < 0)
        return -1;
    r = overridden(s, "AWSNVMe", e);
    return r < 0 ? -1 : start == 0 && !r;
}

static int check_boot_storage(const struct subject *s, struct verdict *v, struct err *e)
{
    static const char id[] = "DriverDatabase\\DeviceIds\\PCI\\CC_010802";
    auto_buf struct buf b = BUF_INIT;
    uint32_t start;
    int r = starts_awsnvme(s, e);

    if (r != 0)
        return r < 0 ? -1 : verdict_met(v, e, "Services\\AWSNVMe\\Start = 0");
    r = stornvme_file(s, e);
    if (r < 0)
        return -1;
    if (!r)
        return verdict_refused(v, e, "System32\\drivers\\stornvme.sys is not there");
    if (start_of(s, "stornvme", &start, e) < 0)
        return -1;
    if (start == UINT32_MAX)
        return verdict_refused(v, e, "Services\\stornvme is not there");
    r = windows_has_key(s, WIN_SYSTEM, id, e);
    if (r < 0 || boot_faults(s, &b, e) < 0)
        return -1;
    if (b.len)
        return verdict_fixable(v, FINDING_FIX_CONVERT, e, "Services: %s", buf_str(&b));
    if (!r)
        return verdict_unknown(v, e,
                               "%s is not there; which driver takes an NVMe disk "
                               "cannot be told",
                               id);
    return verdict_met(v, e, "Services\\stornvme\\Start = 0, no StartOverride");
}

const struct requirement windows_boot_storage = {
    .id = "windows-boot-storage",
    .title = "Windows' own NVMe driver starts at boot",
    .why = "EC2's disks are NVMe disks; a driver that is not loaded at boot, or is "
           "overridden because it was not used so far, ends in stop code 0x7B",
    .remedy = "hotadd convert sets it; without stornvme.sys repair Windows in the source "
              "machine (sfc /scannow)",
    .methods = FOR_OURS,
    .check = check_boot_storage,
};

static int check_san_policy(const struct subject *s, struct verdict *v, struct err *e)
{
    uint32_t policy;

    if (windows_u32(s, WIN_CCS, WIN_SAN, "SanPolicy", 0, &policy, e) < 0)
        return -1;
    if (policy == 1)
        return verdict_met(v, e, "partmgr\\Parameters\\SanPolicy = 1");
    return verdict_fixable(v, FINDING_FIX_CONVERT, e,
                           "partmgr\\Parameters\\SanPolicy = %u (1 is online)", policy);
}

const struct requirement windows_san_policy = {
    .id = "windows-san-policy",
    .title = "Data disks come online",
    .why =
        "after a change of controller Windows leaves data disks offline, and what is on "
        "them does not start",
    .remedy = "diskpart: san policy=OnlineAll; hotadd convert sets it",
    .weight = WEIGHT_ADVICE,
    .methods = FOR_OURS,
    .check = check_san_policy,
};

/* ---- packages ---- */

static bool wants(const struct subject *s, enum guest_profile p)
{
    return s->options->profile == p || s->options->profile == GUEST_BOTH;
}

static int need_package(const struct subject *s, const char *kind, struct buf *found,
                        struct buf *missing, struct err *e)
{
    const struct package_kind *k = package_kind_named(kind);
    const struct driver_package *p =
        s->windows->drivers
            ? driver_store_choose(s->windows->drivers, kind, s->windows->build)
            : NULL;

    if (p)
        buf_addf(found, "%s%s %s", found->len ? ", " : "", k->title,
                 *p->version ? p->version : "(version unknown)");
    else
        buf_addf(missing, "%s%s%s", missing->len ? ", " : "", k->title,
                 s->windows->build == 9600 && k->ceiling ? " (of an older version)" : "");
    return buf_check(found, e) < 0 ? -1 : buf_check(missing, e);
}

static int check_drivers(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_buf struct buf found = BUF_INIT, missing = BUF_INIT;
    const char *dir = s->options->drivers ? s->options->drivers : GUEST_DRIVERS_DIR;

    if (s->options->purpose == GUEST_RESTORE)
        return verdict_not_needed(v, e, "a restored guest has its drivers");
    if (s->windows->drivers_fault)
        return verdict_refused(v, e, "%s", s->windows->drivers_fault);
    if ((wants(s, GUEST_NITRO) && need_package(s, "ena", &found, &missing, e) < 0) ||
        (wants(s, GUEST_XEN) && need_package(s, "pv", &found, &missing, e) < 0))
        return -1;
    if (missing.len)
        return verdict_refused(v, e, "%s: no %s that serves build %u", dir,
                               buf_str(&missing), s->windows->build);
    return verdict_met(v, e, "%s: %s", dir, buf_str(&found));
}

const struct requirement windows_drivers = {
    .id = "windows-drivers",
    .title = "AWS's drivers at hand",
    .why = "without the network driver of EC2's card the instance runs and nobody can "
           "reach it; Windows brings none, and hotadd may not redistribute AWS's",
    .remedy = "hotadd drivers says what is missing and where AWS publishes it; put the "
              "files into the folder of drivers",
    .methods = FOR_OURS,
    .check = check_drivers,
};

static int check_launch_agent(const struct subject *s, struct verdict *v, struct err *e)
{
    const struct windows_version *x = windows_version_of(s->windows->build);
    auto_buf struct buf found = BUF_INIT, missing = BUF_INIT;

    if (s->options->purpose == GUEST_RESTORE || !x)
        return verdict_not_needed(v, e, "nothing is installed in this guest");
    if (need_package(s, x->launch, &found, &missing, e) < 0)
        return -1;
    if (missing.len)
        return verdict_unknown(v, e,
                               "no %s in the folder of drivers; the instance runs "
                               "without an agent of AWS's",
                               buf_str(&missing));
    return verdict_met(v, e, "%s", buf_str(&found));
}

const struct requirement windows_launch_agent = {
    .id = "windows-launch-agent",
    .title = "AWS's launch agent at hand",
    .why =
        "it sets the routes to the metadata service and writes Windows' messages to the "
        "console; it is configured not to touch passwords, names and disks",
    .remedy =
        "put EC2Config (2012 R2), EC2Launch (2016, 2019) or EC2Launch v2 (2022, 2025) "
        "into the folder of drivers, or do without",
    .weight = WEIGHT_ADVICE,
    .methods = FOR_OURS,
    .check = check_launch_agent,
};

static int check_first_boot(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_free char *path = NULL;
    int r;

    if (s->options->purpose == GUEST_RESTORE)
        return verdict_not_needed(v, e, "a restore does not use it");
    r = firstboot_program(s->options, &path, e);
    if (r < 0)
        return -1;
    if (!r)
        return verdict_refused(v, e, "%s is not installed", path);
    return verdict_met(v, e, "%s", path);
}

const struct requirement windows_first_boot = {
    .id = "windows-first-boot",
    .title = "The first-boot service at hand",
    .why = "drivers can only be installed by the running Windows; a service of hotadd's "
           "does it before anyone logs on, without a password",
    .remedy = "build hotadd where x86_64-w64-mingw32-gcc is installed",
    .methods = FOR_OURS,
    .check = check_first_boot,
};

#define DOTNET_45 378389

static int check_dotnet(const struct subject *s, struct verdict *v, struct err *e)
{
    static const char key[] = "Microsoft\\NET Framework Setup\\NDP\\v4\\Full";
    uint32_t release;

    if (windows_u32(s, WIN_SOFTWARE, key, "Release", 0, &release, e) < 0)
        return -1;
    if (release >= DOTNET_45)
        return verdict_met(v, e, "NDP\\v4\\Full\\Release = %u", release);
    if (!wants(s, GUEST_XEN))
        return verdict_not_needed(v, e,
                                  "NDP\\v4\\Full\\Release = %u; only the Xen drivers' "
                                  "installer needs it",
                                  release);
    return verdict_refused(v, e, "NDP\\v4\\Full\\Release = %u, less than %d", release,
                           DOTNET_45);
}

const struct requirement windows_dotnet = {
    .id = "windows-dotnet",
    .title = ".NET Framework 4.5",
    .why = "AWS's installer of the Xen drivers needs it",
    .remedy =
        "install .NET Framework 4.5 or later in the source machine, or use the nitro "
        "profile",
    .methods = FOR_OURS,
    .check = check_dotnet,
};

/* ---- what may hinder the installation ---- */

static int check_device_policy(const struct subject *s, struct verdict *v, struct err *e)
{
    static const char key[] = "Policies\\Microsoft\\Windows\\DeviceInstall\\Restrictions";
    static const char *const names[] = {"DenyUnspecified", "DenyDeviceClasses",
                                        "DenyDeviceIDs"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        uint32_t on;

        if (windows_u32(s, WIN_SOFTWARE, key, names[i], 0, &on, e) < 0)
            return -1;
        if (on)
            return verdict_unknown(v, e, "%s\\%s = %u", key, names[i], on);
    }
    return verdict_met(v, e, "%s forbids nothing", key);
}

const struct requirement windows_device_policy = {
    .id = "windows-device-policy",
    .title = "No policy forbids new devices",
    .why = "a group policy that restricts device installation keeps EC2's drivers out",
    .remedy = "take the machine out of that policy, or allow Amazon's devices (vendor id "
              "1D0F)",
    .weight = WEIGHT_ADVICE,
    .methods = FOR_OURS,
    .check = check_device_policy,
};

static int check_antivirus(const struct subject *s, struct verdict *v, struct err *e)
{
    /* Drivers and services of products that are known to stop new drivers. */
    static const char *const names[] = {"SepMasterService", "McShield",      "mfefire",
                                        "TmListen",         "SAVService",    "ekrn",
                                        "CSFalconService",  "SentinelAgent", NULL};

    for (const char *const *n = names; *n; n++) {
        auto_free char *path = str_fmt(e, "Services\\%s", *n);
        int r = path ? windows_has_key(s, WIN_CCS, path, e) : -1;

        if (r < 0)
            return -1;
        if (r)
            return verdict_unknown(v, e, "Services\\%s is there", *n);
    }
    return verdict_met(v, e, "no service of a product that is known to stop drivers");
}

const struct requirement windows_antivirus = {
    .id = "windows-antivirus",
    .title = "Nothing that stops new drivers",
    .why = "some protection software blocks drivers and services that it does not know",
    .remedy = "allow changes in its console, or pause it until the first boot is done",
    .weight = WEIGHT_ADVICE,
    .methods = FOR_OURS,
    .check = check_antivirus,
};

static int check_pending_reboot(const struct subject *s, struct verdict *v, struct err *e)
{
    static const char cbs[] =
        "Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\RebootPending";
    auto_free char *path = NULL;
    auto_strv struct strv renames = {0};
    struct hive *h;
    int r = windows_has_key(s, WIN_SOFTWARE, cbs, e);

    if (r < 0 || windows_key(s, WIN_CCS, "Control\\Session Manager", &h, &path, e) < 0 ||
        hive_get_strv(h, path, "PendingFileRenameOperations", &renames, e) < 0)
        return -1;
    if (r)
        return verdict_unknown(v, e, "Component Based Servicing\\RebootPending is there");
    if (renames.n)
        return verdict_unknown(v, e,
                               "Session Manager\\PendingFileRenameOperations has "
                               "%zu entries",
                               renames.n);
    return verdict_met(v, e, "no restart is pending");
}

const struct requirement windows_pending_reboot = {
    .id = "windows-pending-reboot",
    .title = "No restart pending",
    .why = "half-installed updates go on at the first boot, on new hardware, and drivers "
           "may have to wait for them",
    .remedy = "restart the source machine until nothing is pending, then back it up",
    .weight = WEIGHT_ADVICE,
    .methods = FOR_ALL,
    .check = check_pending_reboot,
};

static int check_domain_controller(const struct subject *s, struct verdict *v,
                                   struct err *e)
{
    auto_free char *path = NULL;

    if (!s->windows->product_type ||
        strcasecmp(s->windows->product_type, "LanmanNT") != 0)
        return verdict_met(v, e, "ProductType %s",
                           s->windows->product_type ? s->windows->product_type
                                                    : "is not set");
    if (windows_str(s, WIN_CCS, "Services\\NTDS\\Parameters", "DSA Database file", &path,
                    e) < 0)
        return -1;
    return verdict_unknown(v, e, "ProductType LanmanNT; its database is %s",
                           path ? path : "not named");
}

const struct requirement windows_domain_controller = {
    .id = "windows-domain-controller",
    .title = "No domain controller",
    .why =
        "a second copy of a domain controller, or one whose database is on a disk that "
        "is not online in time, harms the domain",
    .remedy =
        "promote a new controller on EC2 instead; if you move this one, never start "
        "the old one again",
    .weight = WEIGHT_ADVICE,
    .methods = FOR_ALL,
    .check = check_domain_controller,
};
