/* Reading the guest's registry; see windows.h. Nothing here changes anything. */
#include "guest/windows/windows.h"

#include "base/str.h"

#include <strings.h>

static int need(const struct hive_file *f, const char *name, struct hive **ret,
                struct err *e)
{
    if (!f->hive)
        return err_set(e, ERR_INPUT, "registry hive %s: %s", name,
                       f->fault ? f->fault : "was not read");
    *ret = f->hive;
    return 0;
}

int windows_key(const struct subject *s, enum win_hive which, const char *path,
                struct hive **ret, char **ret_path, struct err *e)
{
    struct windows *w = s->windows;
    struct hive *h = NULL;
    char *full;

    if (which == WIN_SOFTWARE ? need(&w->soft, "SOFTWARE", &h, e) < 0
                              : need(&w->sys, "SYSTEM", &h, e) < 0)
        return -1;
    if (which == WIN_CCS && !w->control_set)
        return err_set(e, ERR_INPUT,
                       "registry hive SYSTEM: Select\\Current does not say "
                       "which control set is used");
    full =
        which == WIN_CCS ? str_fmt(e, "%s\\%s", w->control_set, path) : str_dup(path, e);
    if (!full)
        return -1;
    *ret = h;
    *ret_path = full;
    return 0;
}

int windows_u32(const struct subject *s, enum win_hive which, const char *path,
                const char *name, uint32_t fallback, uint32_t *ret, struct err *e)
{
    auto_free char *full = NULL;
    struct hive *h;
    int r;

    if (windows_key(s, which, path, &h, &full, e) < 0)
        return -1;
    r = hive_get_u32(h, full, name, ret, e);
    if (r == 0)
        *ret = fallback;
    return r < 0 ? -1 : 0;
}

int windows_str(const struct subject *s, enum win_hive which, const char *path,
                const char *name, char **ret, struct err *e)
{
    auto_free char *full = NULL;
    struct hive *h;
    int r;

    if (windows_key(s, which, path, &h, &full, e) < 0)
        return -1;
    r = hive_get_str(h, full, name, ret, e);
    if (r == 0)
        *ret = NULL;
    return r < 0 ? -1 : 0;
}

int windows_has_key(const struct subject *s, enum win_hive which, const char *path,
                    struct err *e)
{
    auto_free char *full = NULL;
    struct hive *h;

    if (windows_key(s, which, path, &h, &full, e) < 0)
        return -1;
    return hive_has_key(h, full, e);
}

int windows_keys(const struct subject *s, enum win_hive which, const char *path,
                 struct strv *ret, struct err *e)
{
    auto_free char *full = NULL;
    struct hive *h;

    if (windows_key(s, which, path, &h, &full, e) < 0)
        return -1;
    return hive_keys(h, full, ret, e) < 0 ? -1 : 0;
}

/* ---- paths ---- */

static int same_name(const struct gfs *fs, const char *dir, const char *name, char **ret,
                     struct err *e)
{
    auto_strv struct strv names = {0};
    auto_free char *exact = NULL;
    struct gfs_stat st;

    if (gfs_join(dir, name, &exact, e) < 0 || gfs_lstat(fs, exact, &st, e) < 0)
        return -1;
    if (st.type != GFS_ABSENT) {
        *ret = take_ptr(exact);
        return 1;
    }
    if (gfs_list(fs, dir, &names, e) < 0)
        return -1;
    vec_foreach (n, &names)
        if (!strcasecmp(*n, name))
            return gfs_join(dir, *n, ret, e) < 0 ? -1 : 1;
    *ret = take_ptr(exact);
    return 0;
}

int windows_path(const struct gfs *fs, const char *dir, const char *rest, char **ret,
                 struct err *e)
{
    auto_free char *at = str_dup(dir, e);
    int found = 1;

    if (!at)
        return -1;
    while (*rest) {
        size_t n = strcspn(rest, "/");
        auto_free char *part = str_ndup(rest, n, e), *next = NULL;

        if (!part)
            return -1;
        rest += n + (rest[n] == '/');
        if (!found ? gfs_join(at, part, &next, e) < 0
                   : (found = same_name(fs, at, part, &next, e)) < 0)
            return -1;
        free(at);
        at = take_ptr(next);
    }
    *ret = take_ptr(at);
    return found;
}

/* ---- shared facts ---- */

const struct boot_service windows_boot_services[] = {
    {"stornvme", true, false}, {"pci", false, false},    {"disk", false, false},
    {"partmgr", false, false}, {"volmgr", false, false}, {"storahci", false, false},
    {"intelide", false, true}, {"pciide", false, true},  {"atapi", false, true},
    {NULL, false, false},
};

const struct windows_value windows_banners[WIN_BANNERS] = {
    {WIN_POLICIES, "LegalNoticeCaption"},
    {WIN_POLICIES, "LegalNoticeText"},
    {WIN_WINLOGON, "LegalNoticeCaption"},
    {WIN_WINLOGON, "LegalNoticeText"},
};

int windows_logon_user(const struct guest_options *o, char **ret_domain, char **ret_name,
                       struct err *e)
{
    const char *user = o->logon_user ? o->logon_user : "Administrator",
               *slash = strchr(user, '\\');
    char *domain = slash ? str_ndup(user, (size_t)(slash - user), e) : str_dup(".", e),
         *name = domain ? str_dup(slash ? slash + 1 : user, e) : NULL;

    if (!name) {
        free(domain);
        return -1;
    }
    *ret_domain = domain;
    *ret_name = name;
    return 0;
}

const char *const windows_rdp_rules[] = {"RemoteDesktop-UserMode-In-TCP",
                                         "HotAdd-RemoteDesktop-In-TCP", NULL};

const char *const windows_firewall_profiles[] = {"DomainProfile", "StandardProfile",
                                                 "PublicProfile", NULL};

bool windows_is_vmware_service(const char *name)
{
    static const char *const names[] = {"VMTools",     "vmvss",    "VGAuthService",
                                        "vm3dservice", "vmci",     "vsock",
                                        "VMMemCtl",    "vmrawdsk", NULL};

    for (const char *const *n = names; *n; n++)
        if (!strcasecmp(*n, name))
            return true;
    return !strncasecmp(name, "vm3dmp", 6);
}

/* Absent: DHCP, unless there is an address. */
static int is_static(struct hive *h, const char *path, struct err *e)
{
    auto_strv struct strv addresses = {0};
    uint32_t dhcp;
    int r = hive_get_u32(h, path, "EnableDHCP", &dhcp, e);

    if (r < 0 || (r > 0 && dhcp))
        return r < 0 ? -1 : 0;
    if (hive_get_strv(h, path, "IPAddress", &addresses, e) < 0)
        return -1;
    vec_foreach (a, &addresses)
        if (**a && !str_eq(*a, "0.0.0.0"))
            return 1;
    return 0;
}

/* Windows keeps the settings of cards that are gone, without a connection to them. Where
 * it has no list of connections at all, every one counts. */
static int is_gone(const struct subject *s, const char *guid, struct err *e)
{
    static const char all[] = "Control\\Network\\{4D36E972-E325-11CE-BFC1-08002BE10318}";
    auto_free char *one = str_fmt(e, "%s\\%s\\Connection", all, guid);
    int r = one ? windows_has_key(s, WIN_CCS, all, e) : -1;

    if (r <= 0)
        return r;
    r = windows_has_key(s, WIN_CCS, one, e);
    return r < 0 ? -1 : !r;
}

int windows_static_interfaces(const struct subject *s, struct strv *ret, struct err *e)
{
    auto_free char *dir = NULL;
    auto_strv struct strv all = {0};
    struct hive *h;

    if (windows_key(s, WIN_CCS, WIN_TCPIP, &h, &dir, e) < 0 ||
        hive_keys(h, dir, &all, e) < 0)
        return -1;
    vec_foreach (guid, &all) {
        auto_free char *path = str_fmt(e, "%s\\%s", dir, *guid);
        int r = path ? is_static(h, path, e) : -1;

        if (r > 0) {
            r = is_gone(s, *guid, e);
            r = r < 0 ? -1 : !r;
        }
        if (r < 0 || (r && strv_add(ret, *guid, e) < 0))
            return -1;
    }
    return 0;
}
