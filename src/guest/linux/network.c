/* Which tool configures the guest's network, and whether what it says brings up EC2's
 * interface with DHCP; see linux.h.
 *
 * On EC2 the card is another one at another place: predictable names change (ens192
 * becomes ens5), the MAC address changes. So a profile is good only if it is bound to
 * neither, or names eth0 where the kernel is told to keep such names. */
#include "guest/linux/linux.h"

#include "base/str.h"
#include "guest/text/text.h"

#include <fnmatch.h>
#include <string.h>

static int read_each(struct subject *s, const char *dir, const char *suffix,
                     int (*parse)(const char *, const char *, struct net_profiles *,
                                  struct err *),
                     struct err *e)
{
    auto_strv struct strv files = {0};

    if (gfs_glob(&s->fs, dir, suffix, &files, e) < 0)
        return -1;
    vec_foreach (f, &files) {
        auto_buf struct buf text = BUF_INIT;

        if (gfs_text(&s->fs, *f, &text, e) < 0 ||
            parse(buf_str(&text), *f, &s->network, e) < 0 ||
            strv_add_once(&s->network_files, *f, e) < 0)
            return -1;
    }
    return 0;
}

static int netplan_text(const char *text, const char *file, struct net_profiles *to,
                        struct err *e)
{
    return net_netplan(text, strlen(text), file, to, e);
}

/* netplan(5): by name over all directories, /etc hiding /lib. */
static int read_netplan(struct subject *s, struct err *e)
{
    if (read_each(s, "/lib/netplan", ".yaml", netplan_text, e) < 0)
        return -1;
    return read_each(s, "/etc/netplan", ".yaml", netplan_text, e);
}

static bool has_pattern(const char *s)
{
    return strpbrk(s, "*?[") != NULL;
}

/* Files that a source pattern of ifupdown means; patterns in the last part only. */
static int sourced_files(const struct subject *s, const char *pattern, struct strv *ret,
                         struct err *e)
{
    auto_free char *dir = str_dup(pattern[0] == '/' ? pattern : "", e);
    auto_strv struct strv names = {0};
    char *name;

    if (!dir)
        return -1;
    name = strrchr(dir, '/');
    if (!name)
        return 0;
    *name++ = 0;
    if (*name && !has_pattern(name))
        return strv_add_once(ret, pattern, e);
    if (gfs_list(&s->fs, dir[0] ? dir : "/", &names, e) < 0)
        return -1;
    vec_foreach (n, &names) {
        /* source-directory takes names of these characters only. */
        bool fits = *name
                        ? fnmatch(name, *n, FNM_PERIOD) == 0
                        : (*n)[strspn(*n, "abcdefghijklmnopqrstuvwxyz"
                                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] == 0;

        if (fits && strv_addf(ret, e, "%s/%s", dir, *n) < 0)
            return -1;
    }
    return 0;
}

static int read_ifupdown(struct subject *s, struct err *e)
{
    auto_strv struct strv files = {0};

    if (strv_add(&files, "/etc/network/interfaces", e) < 0)
        return -1;
    for (size_t i = 0; i < files.n && i < 256; i++) { /* sources may source */
        auto_buf struct buf text = BUF_INIT;
        auto_strv struct strv sources = {0};
        int r = gfs_is_file(&s->fs, files.v[i], e);

        if (r < 0)
            return -1;
        if (!r)
            continue;
        if (gfs_text(&s->fs, files.v[i], &text, e) < 0 ||
            net_ifupdown(buf_str(&text), files.v[i], &s->network, &sources, e) < 0 ||
            strv_add_once(&s->network_files, files.v[i], e) < 0)
            return -1;
        vec_foreach (p, &sources) {
            auto_strv struct strv more = {0};

            if (sourced_files(s, *p, &more, e) < 0)
                return -1;
            vec_foreach (m, &more)
                if (strv_add_once(&files, *m, e) < 0)
                    return -1;
        }
    }
    return 0;
}

static int enabled(const struct subject *s, const char *unit, struct err *e)
{
    const char *const units[] = {unit, NULL};

    return linux_service_enabled(s, units, NULL, e);
}

struct candidate {
    const char *tool;
    const char *unit; /* that must be enabled; NULL: none */
    const char *dir, *prefix, *suffix;
};

/* In the order in which they win when several are there. */
static const struct candidate candidates[] = {
    {"netplan", NULL, "/etc/netplan", "", ".yaml"},
    {"wicked", "wicked.service", "/etc/sysconfig/network", "ifcfg-", ""},
    {"networkd", "systemd-networkd.service", "/etc/systemd/network", "", ".network"},
    {"networkmanager", "NetworkManager.service", "/etc/NetworkManager/system-connections",
     "", ""},
    {"ifcfg", NULL, "/etc/sysconfig/network-scripts", "ifcfg-", ""},
    {"ifupdown", NULL, "/etc/network", "interfaces", "interfaces"},
    /* Without a file of its own in /etc. */
    {"networkmanager", "NetworkManager.service", NULL, NULL, NULL},
    {"networkd", "systemd-networkd.service", NULL, NULL, NULL},
};

/* A file other than loopback's, which is no configuration of a network. */
static int has_files(const struct subject *s, const struct candidate *c, struct err *e)
{
    auto_strv struct strv files = {0};
    size_t n = strlen(c->dir) + 1;

    if (gfs_glob(&s->fs, c->dir, c->suffix, &files, e) < 0)
        return -1;
    vec_foreach (f, &files)
        if (str_starts(*f + n, c->prefix) && !str_eq(*f + n, "ifcfg-lo"))
            return 1;
    return 0;
}

static int choose_tool(const struct subject *s, const char **ret, struct err *e)
{
    *ret = NULL;
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0] && !*ret; i++) {
        const struct candidate *c = &candidates[i];
        int r = c->dir ? has_files(s, c, e) : 1;

        if (r > 0 && c->unit)
            r = enabled(s, c->unit, e);
        if (r < 0)
            return -1;
        if (r)
            *ret = c->tool;
    }
    return 0;
}

static int read_ifcfg(struct subject *s, const char *dir, struct err *e)
{
    auto_strv struct strv files = {0};

    if (gfs_glob(&s->fs, dir, "", &files, e) < 0)
        return -1;
    vec_foreach (f, &files) {
        auto_buf struct buf text = BUF_INIT;

        if (!strstr(*f, "/ifcfg-") || strstr(*f, ".bak") || strstr(*f, ".orig") ||
            strstr(*f, ".rpmsave"))
            continue;
        if (gfs_text(&s->fs, *f, &text, e) < 0 ||
            net_ifcfg(buf_str(&text), *f, &s->network, e) < 0 ||
            strv_add_once(&s->network_files, *f, e) < 0)
            return -1;
    }
    return 0;
}

static int read_networkmanager(struct subject *s, struct err *e)
{
    if (read_each(s, "/etc/NetworkManager/system-connections", "", net_keyfile, e) < 0 ||
        read_ifcfg(s, "/etc/sysconfig/network-scripts", e) < 0)
        return -1;
    /* An image may have ifupdown's file beside it for loopback only. */
    return s->network.n ? 0 : read_ifupdown(s, e);
}

/* Those of /usr/lib that are systemd's own are for containers and tunnels; Amazon's is
 * for the machine's cards. */
static int read_networkd(struct subject *s, struct err *e)
{
    static const char shipped[] = "/usr/lib/systemd/network/80-ec2.network",
                      hiding[] = "/etc/systemd/network/80-ec2.network";
    auto_buf struct buf text = BUF_INIT;
    int r = read_each(s, "/etc/systemd/network", ".network", net_networkd, e);

    if (r == 0)
        r = gfs_is_file(&s->fs, hiding, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    r = gfs_text(&s->fs, shipped, &text, e);
    if (r <= 0)
        return r;
    return net_networkd(buf_str(&text), shipped, &s->network, e) < 0
               ? -1
               : strv_add_once(&s->network_files, shipped, e);
}

int linux_has_networkmanager(const struct subject *s, struct err *e)
{
    return enabled(s, "NetworkManager.service", e);
}

int linux_inspect_network(struct subject *s, struct err *e)
{
    const char *tool;

    if (choose_tool(s, &tool, e) < 0)
        return -1;
    if (!tool)
        return 0;
    if (str_set(&s->info->network_tool, tool, e) < 0)
        return -1;
    if (str_eq(tool, "netplan"))
        return read_netplan(s, e);
    if (str_eq(tool, "networkd"))
        return read_networkd(s, e);
    if (str_eq(tool, "networkmanager"))
        return read_networkmanager(s, e);
    if (str_eq(tool, "ifupdown"))
        return read_ifupdown(s, e);
    return read_ifcfg(s,
                      str_eq(tool, "wicked") ? "/etc/sysconfig/network"
                                             : "/etc/sysconfig/network-scripts",
                      e);
}

/* net.ifnames=0 for the kernel that boots, or udev's rule switched off? */
static int eth_names_kept(const struct subject *s, bool *ret, struct err *e)
{
    static const char *const off[] = {"/etc/systemd/network/99-default.link",
                                      "/etc/udev/rules.d/80-net-setup-link.rules"};
    auto_free char *value = NULL;

    *ret = linux_is_redhat6(s); /* whose udev knows no others */
    for (size_t i = 0; i < sizeof off / sizeof off[0] && !*ret; i++) {
        auto_free char *target = NULL;
        int r = gfs_is_link(&s->fs, off[i], e);

        if (r < 0 || (r && gfs_readlink(&s->fs, off[i], &target, e) < 0))
            return -1;
        if (target && str_eq(target, "/dev/null")) {
            *ret = true;
            return 0;
        }
    }
    vec_foreach (x, &s->menu.entries) {
        if (!x->args || *ret)
            continue;
        if (cmdline_get(x->args, "net.ifnames", &value, e) < 0)
            return -1;
        *ret = value && str_eq(value, "0");
        return 0;
    }
    return 0;
}

static bool pattern_fits(const char *pattern, bool eth_names)
{
    if (eth_names)
        return fnmatch(pattern, "eth0", 0) == 0;
    /* EC2's cards are called ens5 or enX0 (Xen), eth0 on systems without such names:
     * only a pattern covers them. */
    return has_pattern(pattern) && fnmatch(pattern, "ens5", 0) == 0;
}

/* Would a profile of this name (networkd: one of several) take the card whatever it is
 * called? */
static int name_fits(const char *name, bool eth_names, bool *ret, struct err *e)
{
    auto_strv struct strv patterns = {0};

    *ret = !name;
    if (name && text_words(name, false, &patterns, e) < 0)
        return -1;
    vec_foreach (p, &patterns)
        *ret |= pattern_fits(*p, eth_names);
    return 0;
}

int linux_network_fault(const struct subject *s, enum network_fault *ret,
                        struct buf *seen, struct err *e)
{
    const struct net_profile *stacked = NULL, *fixed = NULL, *bound = NULL, *good = NULL;
    bool eth_names;

    if (eth_names_kept(s, &eth_names, e) < 0)
        return -1;
    vec_foreach (p, &s->network) {
        bool fits;

        if (name_fits(p->name, eth_names, &fits, e) < 0)
            return -1;
        if (!p->automatic || p->kind == NET_LOOPBACK || p->kind == NET_OTHER)
            continue;
        if (p->kind == NET_STACKED)
            stacked = stacked ? stacked : p;
        else if (!p->dhcp4)
            fixed = p->address && !fixed ? p : fixed;
        else if (p->mac || !fits)
            bound = bound ? bound : p;
        else
            good = good ? good : p;
    }
    if (!good && !stacked && !fixed && !bound &&
        str_eq_null(s->info->network_tool, "networkmanager")) {
        *ret = NETWORK_FINE; /* it makes a profile for each new card */
        buf_adds(seen, "NetworkManager: DHCP on any card, as nothing else is configured");
        return buf_check(seen, e);
    }
    *ret = good      ? NETWORK_FINE
           : stacked ? NETWORK_STACKED
           : bound   ? NETWORK_NAME
           : fixed   ? NETWORK_STATIC
                     : NETWORK_NAME;
    if (*ret == NETWORK_NAME && bound)
        buf_addf(seen, "%s: DHCP bound to %s %s", bound->file,
                 bound->mac ? "MAC address" : "interface",
                 bound->mac ? bound->mac : bound->name);
    else if (*ret == NETWORK_NAME)
        buf_addf(seen, "no interface is configured%s%s", s->network_files.n ? " in " : "",
                 s->network_files.n ? s->network_files.v[0] : "");
    else if (*ret == NETWORK_FINE)
        buf_addf(seen, "%s: DHCP on %s", good->file,
                 good->name ? good->name : "any card");
    else if (*ret == NETWORK_STATIC)
        buf_addf(seen, "%s: %s has the static address %s", fixed->file,
                 fixed->name ? fixed->name : "the interface", fixed->address);
    else
        buf_addf(seen, "%s: %s is a bond, bridge or VLAN", stacked->file,
                 stacked->name ? stacked->name : "an interface");
    return buf_check(seen, e);
}
