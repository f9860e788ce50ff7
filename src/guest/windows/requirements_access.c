/* Requirements of reaching a Windows guest, and of what is better off EC2's way. */
#include "guest/windows/windows.h"

#include "base/str.h"
#include "guest/windows/requirements.h"

#include <strings.h>

/* ---- VMware ---- */

/* Names that a class filters its devices through and that lose their service. */
static int orphaned_filters(const struct subject *s, struct buf *b, struct err *e)
{
    static const char *const kinds[] = {"UpperFilters", "LowerFilters"};
    auto_free char *dir = NULL;
    auto_strv struct strv classes = {0};
    struct hive *h;

    if (windows_key(s, WIN_CCS, "Control\\Class", &h, &dir, e) < 0 ||
        hive_keys(h, dir, &classes, e) < 0)
        return -1;
    vec_foreach (c, &classes)
        for (size_t i = 0; i < 2; i++) {
            auto_free char *path = str_fmt(e, "%s\\%s", dir, *c);
            auto_strv struct strv names = {0};

            if (!path || hive_get_strv(h, path, kinds[i], &names, e) < 0)
                return -1;
            vec_foreach (n, &names)
                if (windows_is_vmware_service(*n))
                    buf_addf(b, "%sfilter %s", b->len ? ", " : "", *n);
        }
    return buf_check(b, e);
}

static int running_services(const struct subject *s, struct buf *b, struct err *e)
{
    auto_strv struct strv services = {0};

    if (windows_keys(s, WIN_CCS, "Services", &services, e) < 0)
        return -1;
    vec_foreach (n, &services) {
        auto_free char *path = NULL;
        uint32_t start;

        if (!windows_is_vmware_service(*n))
            continue;
        path = str_fmt(e, "Services\\%s", *n);
        if (!path || windows_u32(s, WIN_CCS, path, "Start", 4, &start, e) < 0)
            return -1;
        if (start != 4)
            buf_addf(b, "%s%s\\Start = %u", b->len ? ", " : "", *n, start);
    }
    return buf_check(b, e);
}

static int check_vmware(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;

    if (running_services(s, &b, e) < 0 || orphaned_filters(s, &b, e) < 0)
        return -1;
    if (b.len)
        return verdict_fixable(v, FINDING_FIX_CONVERT, e, "Services: %s", buf_str(&b));
    return verdict_met(v, e, "none of VMware's services starts");
}

const struct requirement windows_vmware = {
    .id = "windows-vmware-tools",
    .title = "VMware's tools are not started",
    .why =
        "their drivers look for a machine that is not there; a class filter whose driver "
        "is switched off keeps its devices from starting",
    .remedy = "hotadd convert switches the services off and takes their filters out; the "
              "drivers of VMware's disks and cards stay, so that moving back is possible",
    .weight = WEIGHT_ADVICE,
    .methods = FOR_OURS,
    .check = check_vmware,
};

/* ---- clock ---- */

static int check_clock(const struct subject *s, struct verdict *v, struct err *e)
{
    uint32_t utc;

    if (windows_u32(s, WIN_CCS, WIN_TIMEZONE, "RealTimeIsUniversal", 0, &utc, e) < 0)
        return -1;
    if (utc == 1)
        return verdict_met(v, e, "TimeZoneInformation\\RealTimeIsUniversal = 1");
    return verdict_fixable(v, FINDING_FIX_CONVERT, e,
                           "TimeZoneInformation\\RealTimeIsUniversal = %u", utc);
}

const struct requirement windows_clock = {
    .id = "windows-clock",
    .title = "The hardware clock runs on UTC",
    .why =
        "an instance's clock is UTC; read as local time it is hours off at each start, "
        "and logons by Kerberos fail",
    .remedy = "hotadd convert sets RealTimeIsUniversal",
    .weight = WEIGHT_ADVICE,
    .methods = FOR_OURS,
    .check = check_clock,
};

/* ---- network ---- */

static int check_dhcp(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_strv struct strv fixed = {0};
    auto_free char *first = NULL, *path = NULL;
    uint32_t start;

    if (windows_u32(s, WIN_CCS, "Services\\Dhcp", "Start", 2, &start, e) < 0)
        return -1;
    if (start == 4)
        return verdict_fixable(v, FINDING_FIX_OPTION, e, "Services\\Dhcp\\Start = 4");
    if (windows_static_interfaces(s, &fixed, e) < 0)
        return -1;
    if (!fixed.n)
        return verdict_met(v, e, "every interface has EnableDHCP = 1 or no address");
    path = str_fmt(e, WIN_TCPIP "\\%s", fixed.v[0]);
    if (!path)
        return -1;
    struct hive *h;
    auto_free char *full = NULL;
    auto_strv struct strv addresses = {0};
    if (windows_key(s, WIN_CCS, path, &h, &full, e) < 0 ||
        hive_get_strv(h, full, "IPAddress", &addresses, e) < 0)
        return -1;
    first = str_dup(addresses.n ? addresses.v[0] : "?", e);
    if (!first)
        return -1;
    return verdict_fixable(v, FINDING_FIX_OPTION, e,
                           "Interfaces\\%s: EnableDHCP = 0, IPAddress %s", fixed.v[0],
                           first);
}

const struct requirement windows_dhcp = {
    .id = "windows-dhcp",
    .title = "An address by DHCP",
    .why =
        "an instance gets its address by DHCP. EC2's card is a new one to Windows and "
        "starts with DHCP; the old card's address stays behind with it and clashes when "
        "it is given to the new one by hand",
    .remedy = "set the interface to DHCP in the source machine, or give --fix",
    .methods = FOR_ALL,
    .check = check_dhcp,
};

/* ---- routes and name servers ---- */

static int check_routes(const struct subject *s, struct verdict *v, struct err *e)
{
    static const char parameters[] = "Services\\Tcpip\\Parameters";
    auto_strv struct strv routes = {0};
    auto_free char *servers = NULL, *path = NULL;
    struct hive *h;

    if (windows_key(s, WIN_CCS, "Services\\Tcpip\\Parameters\\PersistentRoutes", &h,
                    &path, e) < 0 ||
        hive_value_names(h, path, &routes, e) < 0 ||
        windows_str(s, WIN_CCS, parameters, "NameServer", &servers, e) < 0)
        return -1;
    if (routes.n)
        return verdict_unknown(v, e, "Tcpip\\Parameters\\PersistentRoutes: %zu, as %s",
                               routes.n, routes.v[0]);
    if (servers && *servers)
        return verdict_unknown(v, e, "Tcpip\\Parameters\\NameServer %s", servers);
    return verdict_met(v, e, "no persistent routes, no name server for all interfaces");
}

const struct requirement windows_routes = {
    .id = "windows-routes",
    .title = "No routes and name servers of the old network",
    .why = "persistent routes lead to gateways of the old network, and a name server for "
           "all interfaces counts before the one that DHCP gives",
    .remedy =
        "look whether they hold in the VPC, too; if not: route delete, and clear the "
        "value",
    .weight = WEIGHT_ADVICE,
    .methods = FOR_ALL,
    .check = check_routes,
};

/* ---- Remote Desktop ---- */

static int check_rdp(const struct subject *s, struct verdict *v, struct err *e)
{
    static const char policy[] = "Policies\\Microsoft\\Windows NT\\Terminal Services";
    uint32_t denied, by_policy, start, port, nla;

    if (windows_u32(s, WIN_SOFTWARE, policy, "fDenyTSConnections", UINT32_MAX, &by_policy,
                    e) < 0 ||
        windows_u32(s, WIN_CCS, WIN_RDP, "fDenyTSConnections", 1, &denied, e) < 0 ||
        windows_u32(s, WIN_CCS, "Services\\TermService", "Start", 3, &start, e) < 0 ||
        windows_u32(s, WIN_CCS, WIN_RDP "\\WinStations\\RDP-Tcp", "PortNumber", 3389,
                    &port, e) < 0 ||
        windows_u32(s, WIN_CCS, WIN_RDP "\\WinStations\\RDP-Tcp", "UserAuthentication", 0,
                    &nla, e) < 0)
        return -1;
    if (by_policy != UINT32_MAX && by_policy)
        return verdict_refused(v, e, "%s\\fDenyTSConnections = %u", policy, by_policy);
    if (by_policy == UINT32_MAX && denied)
        return verdict_fixable(v, FINDING_FIX_OPTION, e,
                               "Terminal Server\\fDenyTSConnections = %u", denied);
    if (start == 4)
        return verdict_fixable(v, FINDING_FIX_OPTION, e,
                               "Services\\TermService\\Start = 4");
    return verdict_met(v, e, "fDenyTSConnections = 0, port %u, %s", port,
                       nla ? "with network level authentication"
                           : "without network level authentication");
}

const struct requirement windows_rdp = {
    .id = "windows-rdp",
    .title = "Remote Desktop is on",
    .why = "it is the way into a Windows instance",
    .remedy = "allow remote connections in the source machine, or give --fix; a group "
              "policy that forbids them must be changed in the domain",
    .methods = FOR_ALL,
    .check = check_rdp,
};

/* ---- firewall ---- */

/* 1 when a profile's firewall is on; *ret_policy: because a policy says so. */
static int firewall_on(const struct subject *s, const char *profile, bool *ret_policy,
                       struct err *e)
{
    auto_free char *local = str_fmt(e, WIN_FIREWALL "\\%s", profile),
                   *policy =
                       str_fmt(e, "Policies\\Microsoft\\WindowsFirewall\\%s", profile);
    uint32_t on, forced;

    *ret_policy = false;
    if (!local || !policy ||
        windows_u32(s, WIN_CCS, local, "EnableFirewall", 1, &on, e) < 0 ||
        windows_u32(s, WIN_SOFTWARE, policy, "EnableFirewall", UINT32_MAX, &forced, e) <
            0)
        return -1;
    if (forced == UINT32_MAX)
        return on != 0;
    *ret_policy = true;
    return forced != 0;
}

static bool rule_lets_in(const char *rule)
{
    return strcasestr(rule, "|Active=TRUE|") && strcasestr(rule, "|Action=Allow|") &&
           strcasestr(rule, "|Dir=In|") && !strcasestr(rule, "|RA4=") &&
           !strcasestr(rule, "|Profile=Domain|");
}

static int check_firewall(const struct subject *s, struct verdict *v, struct err *e)
{
    bool any = false, policy = false, open = false;

    for (const char *const *p = windows_firewall_profiles; *p; p++) {
        bool forced;
        int r = firewall_on(s, *p, &forced, e);

        if (r < 0)
            return -1;
        any |= r;
        policy |= r && forced;
    }
    if (!any)
        return verdict_met(v, e, "EnableFirewall = 0 in all profiles");
    for (const char *const *p = windows_rdp_rules; *p && !open; p++) {
        auto_free char *rule = NULL;

        if (windows_str(s, WIN_CCS, WIN_FIREWALL "\\FirewallRules", *p, &rule, e) < 0)
            return -1;
        open = rule && rule_lets_in(rule);
    }
    if (policy)
        return verdict_unknown(v, e, "a policy turns the firewall on; the rule %s is %s",
                               windows_rdp_rules[0], open ? "active" : "not active");
    if (open)
        return verdict_met(v, e, "EnableFirewall = 1; a rule lets Remote Desktop in");
    return verdict_fixable(v, FINDING_FIX_OPTION, e,
                           "EnableFirewall = 1; the rule %s is absent or not active for "
                           "everyone",
                           windows_rdp_rules[0]);
}

const struct requirement windows_firewall = {
    .id = "windows-firewall",
    .title = "The firewall lets Remote Desktop in",
    .why =
        "EC2's network is a new one to Windows and gets the public profile, whose rules "
        "may differ. The firewall need not be off: an active rule for Remote Desktop is "
        "enough",
    .remedy =
        "allow Remote Desktop for all profiles in the source machine, or give --fix",
    .methods = FOR_ALL,
    .check = check_firewall,
};

const struct requirement *const windows_requirements[] = {
    &windows_supported,
    &windows_arch,
    &windows_hives,
    &windows_hibernation,
    &windows_fs_clean,
    &windows_encryption,
    &windows_space,
    &windows_boot_disk,
    &windows_boot_storage,
    &windows_san_policy,
    &windows_drivers,
    &windows_launch_agent,
    &windows_first_boot,
    &windows_dotnet,
    &windows_device_policy,
    &windows_antivirus,
    &windows_pending_reboot,
    &windows_domain_controller,
    &windows_ems,
    &windows_routes,
    &windows_vmware,
    &windows_clock,
    &windows_dhcp,
    &windows_rdp,
    &windows_firewall,
    &windows_uac,
    &windows_autologon,
    &windows_banner,
    NULL,
};
