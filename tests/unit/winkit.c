#include "winkit.h"

#include "base/str.h"

static struct hive *empty_hive(void)
{
    auto_buf struct buf b = BUF_INIT;
    struct hive *h = NULL;

    hivekit_empty(&b);
    assert_ok(hive_open(b.data, b.len, "TEST", &h, e));
    return h;
}

struct value {
    const char *key, *name, *text; /* text NULL: a number */
    uint32_t number;
};

static void put(struct hive *h, const struct value *v)
{
    for (; v->key; v++)
        if (v->text)
            assert_ok(hive_set_str(h, v->key, v->name, REG_T_SZ, v->text, e));
        else
            assert_ok(hive_set_u32(h, v->key, v->name, v->number, e));
}

#define SERVICES WINKIT_CCS "Services\\"
#define CONTROL  WINKIT_CCS "Control\\"

static const struct value of_system[] = {
    {"Select", "Current", NULL, 1},
    {CONTROL "ProductOptions", "ProductType", "ServerNT", 0},
    {CONTROL "ComputerName\\ComputerName", "ComputerName", "WEB01", 0},
    {CONTROL "Session Manager\\Environment", "PROCESSOR_ARCHITECTURE", "AMD64", 0},
    {CONTROL "CrashControl", "AutoReboot", NULL, 1},
    {CONTROL "Terminal Server", "fDenyTSConnections", NULL, 0},
    {CONTROL "Terminal Server\\WinStations\\RDP-Tcp", "PortNumber", NULL, 3389},
    {CONTROL "TimeZoneInformation", "Bias", NULL, 0},
    {CONTROL "Class\\{4d36e967-e325-11ce-bfc1-08002be10318}", "Class", "DiskDrive", 0},
    {SERVICES "stornvme", "Start", NULL, 3},
    {SERVICES "stornvme", "ErrorControl", NULL, 3},
    {SERVICES "stornvme\\StartOverride", "0", NULL, 3},
    {SERVICES "disk", "Start", NULL, 0},
    {SERVICES "partmgr", "Start", NULL, 0},
    {SERVICES "partmgr\\Parameters", "SanPolicy", NULL, 2},
    {SERVICES "pci", "Start", NULL, 0},
    {SERVICES "storahci", "Start", NULL, 0},
    {SERVICES "storahci\\StartOverride", "0", NULL, 3},
    {SERVICES "intelide", "Start", NULL, 3},
    {SERVICES "Dhcp", "Start", NULL, 2},
    {SERVICES "TermService", "Start", NULL, 3},
    {SERVICES "VMTools", "Start", NULL, 2},
    {SERVICES "vmci", "Start", NULL, 0},
    {SERVICES "vm3dmp-stats", "Start", NULL, 3},
    {SERVICES "pvscsi", "Start", NULL, 0},
    {SERVICES "Tcpip\\Parameters\\Interfaces\\{aaaa}", "EnableDHCP", NULL, 1},
    {SERVICES "SharedAccess\\Parameters\\FirewallPolicy\\PublicProfile", "EnableFirewall",
     NULL, 1},
    {SERVICES "SharedAccess\\Parameters\\FirewallPolicy\\FirewallRules",
     "RemoteDesktop-UserMode-In-TCP",
     "v2.20|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=3389|", 0},
    {"DriverDatabase\\DeviceIds\\PCI\\CC_010802", "stornvme.inf", NULL, 1},
    {NULL, NULL, NULL, 0},
};

static const struct value of_software[] = {
    {"Microsoft\\Windows NT\\CurrentVersion", "ProductName",
     "Windows Server 2016 Standard", 0},
    {"Microsoft\\Windows NT\\CurrentVersion", "InstallationType", "Server", 0},
    {"Microsoft\\NET Framework Setup\\NDP\\v4\\Full", "Release", NULL, 394802},
    {"Microsoft\\Windows\\CurrentVersion\\Policies\\System", "EnableLUA", NULL, 1},
    {"Microsoft\\Windows\\CurrentVersion\\Policies\\System", "LegalNoticeCaption",
     "Authorised only", 0},
    {NULL, NULL, NULL, 0},
};

struct hive *winkit_system(void)
{
    struct hive *h = empty_hive();
    struct strv filters = {0};

    put(h, of_system);
    assert_ok(strv_add(&filters, "partmgr", e));
    assert_ok(strv_add(&filters, "vmci", e));
    assert_ok(hive_set_strv(h, CONTROL "Class\\{4d36e967-e325-11ce-bfc1-08002be10318}",
                            "UpperFilters", &filters, e));
    strv_release(&filters);
    return h;
}

struct hive *winkit_software(uint32_t build)
{
    struct hive *h = empty_hive();
    char text[16];

    put(h, of_software);
    snprintf(text, sizeof text, "%u", build);
    assert_ok(hive_set_str(h, "Microsoft\\Windows NT\\CurrentVersion",
                           "CurrentBuildNumber", REG_T_SZ, text, e));
    assert_ok(hive_set_str(h, "Microsoft\\Windows\\CurrentVersion", "DevicePath",
                           REG_T_EXPAND_SZ, "%SystemRoot%\\inf", e));
    return h;
}

/* A user's number is the type of an empty value, as Windows keeps it; the flags of the
 * account are in F. */
static void add_user(struct hive *sam, const char *name, uint32_t rid, unsigned control)
{
    auto_free char *names = NULL, *user = NULL;
    unsigned char f[80] = {3, 0, 1};
    struct err err;

    names = str_fmt(&err, "SAM\\Domains\\Account\\Users\\Names\\%s", name);
    user = str_fmt(&err, "SAM\\Domains\\Account\\Users\\%08X", rid);
    f[56] = (unsigned char)control;
    f[57] = (unsigned char)(control >> 8);
    assert_ok(hive_set(sam, names, "", rid, "", 0, e));
    assert_ok(hive_set(sam, user, "F", REG_T_BINARY, f, sizeof f, e));
}

struct hive *winkit_sam(void)
{
    struct hive *h = empty_hive();

    add_user(h, "Administrator", 500, 0x210);
    add_user(h, "Guest", 501, 0x215);
    add_user(h, "mover", 1001, 0x610);
    return h;
}

struct hive *winkit_bcd(void)
{
    struct hive *h = empty_hive();

    assert_ok(hive_set_str(h, WINKIT_BOOT_MANAGER "23000003", "Element", REG_T_SZ,
                           "{11111111-2222-3333-4444-555555555555}", e));
    assert_ok(hive_set(h, WINKIT_LOADER "260000b0", "Element", REG_T_BINARY, "\0", 1, e));
    return h;
}

static void put_hive(struct memfs *m, const char *path, struct hive *h)
{
    auto_buf struct buf b = BUF_INIT;

    assert_ok(hive_bytes(h, &b, e));
    memfs_bytes(m, path, b.data, b.len);
}

void winkit_put(struct memfs *m, struct hive *sys, struct hive *soft)
{
    memfs_file(m, "/Windows/System32/drivers/stornvme.sys", "driver");
    memfs_file(m, "/pagefile.sys", "");
    struct hive *bcd = winkit_bcd();

    put_hive(m, "/Boot/BCD", bcd);
    hive_free(bcd);
    put_hive(m, WINKIT_SYSTEM, sys);
    put_hive(m, WINKIT_SOFTWARE, soft);
    m->free_bytes = 20ull << 30;
}

struct hive *winkit_open(const struct memfs *m, const char *path)
{
    struct memfs_node *n = memfs_find(m, path ? path : WINKIT_SYSTEM);
    struct hive *h = NULL;

    assert_non_null(n);
    assert_ok(hive_open(n->data.data, n->data.len, path ? path : "SYSTEM", &h, e));
    return h;
}
