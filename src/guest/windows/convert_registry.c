/* What a conversion changes in the registry so that Windows starts and is reached on EC2;
 * see edit.h. Everything is below the control set that Select\Current names. */
#include "guest/windows/edit.h"

#include "base/str.h"

/* ---- storage ---- */

static int start_at_boot(struct edits *x, const struct boot_service *b, struct err *e)
{
    auto_free char *key = str_fmt(e, "Services\\%s", b->name),
                   *override = str_fmt(e, "Services\\%s\\StartOverride", b->name);
    int r = key && override ? windows_has_key(x->s, WIN_CCS, key, e) : -1;

    if (r <= 0)
        return r;
    if ((b->needed || b->xen) &&
        edit_u32(x, WIN_CCS, key, "Start", 0, "disk drivers start at boot", e) < 0)
        return -1;
    return edit_delete_key(x, WIN_CCS, override, "disk drivers start at boot", e);
}

int convert_boot_storage(struct edits *x, struct err *e)
{
    for (const struct boot_service *b = windows_boot_services; b->name; b++)
        if (!(b->xen && x->s->options->profile == GUEST_NITRO) &&
            start_at_boot(x, b, e) < 0)
            return -1;
    return edit_u32(x, WIN_CCS, WIN_SAN, "SanPolicy", 1, "data disks come online", e);
}

/* ---- VMware ---- */

static int without_vmware(struct edits *x, const char *path, const char *kind,
                          struct err *e)
{
    static const char what[] = "VMware's class filters taken out";
    auto_free char *full = NULL;
    auto_strv struct strv names = {0}, keep = {0};
    struct hive *h;

    if (windows_key(x->s, WIN_CCS, path, &h, &full, e) < 0 ||
        hive_get_strv(h, full, kind, &names, e) < 0)
        return -1;
    vec_foreach (n, &names)
        if (!windows_is_vmware_service(*n) && strv_add(&keep, *n, e) < 0)
            return -1;
    if (keep.n == names.n)
        return 0;
    return keep.n ? edit_strv(x, WIN_CCS, path, kind, &keep, what, e)
                  : edit_delete_value(x, WIN_CCS, path, kind, what, e);
}

int convert_vmware(struct edits *x, struct err *e)
{
    auto_strv struct strv services = {0}, classes = {0};

    if (windows_keys(x->s, WIN_CCS, "Services", &services, e) < 0 ||
        windows_keys(x->s, WIN_CCS, "Control\\Class", &classes, e) < 0)
        return -1;
    vec_foreach (n, &services) {
        auto_free char *path = str_fmt(e, "Services\\%s", *n);

        if (!path)
            return -1;
        if (windows_is_vmware_service(*n) &&
            edit_u32(x, WIN_CCS, path, "Start", 4, "VMware's services switched off", e) <
                0)
            return -1;
    }
    vec_foreach (n, &classes) {
        auto_free char *path = str_fmt(e, "Control\\Class\\%s", *n);

        if (!path || without_vmware(x, path, "UpperFilters", e) < 0 ||
            without_vmware(x, path, "LowerFilters", e) < 0)
            return -1;
    }
    return 0;
}

/* ---- clock, network, Remote Desktop ---- */

int convert_clock(struct edits *x, struct err *e)
{
    return edit_u32(x, WIN_CCS, WIN_TIMEZONE, "RealTimeIsUniversal", 1,
                    "hardware clock on UTC", e);
}

int convert_dhcp(struct edits *x, struct err *e)
{
    static const char what[] = "addresses by DHCP";
    static const char *const values[] = {"IPAddress", "SubnetMask", "DefaultGateway",
                                         "DefaultGatewayMetric", "NameServer"};
    auto_strv struct strv fixed = {0};
    uint32_t start;

    if (windows_static_interfaces(x->s, &fixed, e) < 0 ||
        windows_u32(x->s, WIN_CCS, "Services\\Dhcp", "Start", 2, &start, e) < 0)
        return -1;
    if (start == 4 && edit_u32(x, WIN_CCS, "Services\\Dhcp", "Start", 2, what, e) < 0)
        return -1;
    vec_foreach (guid, &fixed) {
        auto_free char *path = str_fmt(e, WIN_TCPIP "\\%s", *guid);

        if (!path || edit_u32(x, WIN_CCS, path, "EnableDHCP", 1, what, e) < 0)
            return -1;
        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
            if (edit_delete_value(x, WIN_CCS, path, values[i], what, e) < 0)
                return -1;
    }
    return 0;
}

/* A rule of our own; the guest's stay as they are. */
static int open_firewall(struct edits *x, struct err *e)
{
    auto_free char *rule = NULL;
    uint32_t port;

    if (windows_u32(x->s, WIN_CCS, WIN_RDP "\\WinStations\\RDP-Tcp", "PortNumber", 3389,
                    &port, e) < 0)
        return -1;
    rule = str_fmt(e,
                   "v2.10|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=%u|"
                   "Name=Remote Desktop (hotadd)|",
                   port);
    return rule ? edit_str(x, WIN_CCS, WIN_FIREWALL "\\FirewallRules",
                           windows_rdp_rules[1], REG_T_SZ, rule,
                           "firewall rule for Remote Desktop", e)
                : -1;
}

int convert_rdp(struct edits *x, struct err *e)
{
    static const char what[] = "Remote Desktop allowed";
    const struct finding *firewall = guest_info_finding(x->s->info, "windows-firewall");
    uint32_t start;

    if (edit_u32(x, WIN_CCS, WIN_RDP, "fDenyTSConnections", 0, what, e) < 0 ||
        windows_u32(x->s, WIN_CCS, "Services\\TermService", "Start", 3, &start, e) < 0)
        return -1;
    if (start == 4 &&
        edit_u32(x, WIN_CCS, "Services\\TermService", "Start", 3, what, e) < 0)
        return -1;
    return firewall && firewall->state == FINDING_FIXABLE ? open_firewall(x, e) : 0;
}
