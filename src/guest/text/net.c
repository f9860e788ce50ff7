/* Network profiles out of INI-like files: NetworkManager, networkd, ifcfg; see net.h.
 * ifupdown and netplan have files of their own. */
#include "guest/text/net.h"

#include "base/auto.h"
#include "base/str.h"
#include "guest/text/shvar.h"
#include "guest/text/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define MAX_PROFILES 4096

void net_profile_release(struct net_profile *p)
{
    free(p->file);
    free(p->name);
    free(p->mac);
    free(p->id);
    free(p->address);
}

void net_profiles_release(struct net_profiles *p)
{
    vec_foreach (x, p)
        net_profile_release(x);
    vec_release(p);
}

int net_profiles_add(struct net_profiles *to, struct net_profile *p, struct err *e)
{
    int r;

    if (to->n >= MAX_PROFILES)
        r = err_set(e, ERR_INPUT, "more than %d network profiles", MAX_PROFILES);
    else
        r = vec_push(to, *p, e);
    if (r < 0)
        net_profile_release(p);
    *p = (struct net_profile){0};
    return r;
}

static bool ipv4(const char *s)
{
    return isdigit((unsigned char)s[0]) && strchr(s, '.') && !strchr(s, ':');
}

/* Only the first address is of interest. */
static int note_address(struct net_profile *p, const char *value, struct err *e)
{
    return p->address || !ipv4(value) ? 0 : str_set(&p->address, value, e);
}

static int keyfile_line(void *ctx, const char *section, const char *key,
                        const char *value, struct err *e)
{
    struct net_profile *p = ctx;

    if (str_eq(section, "connection")) {
        if (str_eq(key, "interface-name"))
            return str_set(&p->name, value, e);
        if (str_eq(key, "autoconnect"))
            p->automatic = text_is_true(value);
        if (str_eq(key, "type"))
            p->kind = str_eq(value, "ethernet") || str_eq(value, "802-3-ethernet")
                          ? NET_ETHERNET
                      : str_eq(value, "loopback") ? NET_LOOPBACK
                      : str_eq(value, "bond") || str_eq(value, "bridge") ||
                              str_eq(value, "vlan") || str_eq(value, "team")
                          ? NET_STACKED
                          : NET_OTHER;
    } else if (str_eq(section, "ethernet") || str_eq(section, "802-3-ethernet")) {
        if (str_eq(key, "mac-address") && *value)
            return str_set(&p->mac, value, e);
    } else if (str_eq(section, "ipv4")) {
        if (str_eq(key, "method"))
            p->dhcp4 = str_eq(value, "auto");
        if (str_starts(key, "address"))
            return note_address(p, value, e);
    }
    return 0;
}

int net_keyfile(const char *text, const char *file, struct net_profiles *to,
                struct err *e)
{
    struct net_profile p = {.kind = NET_OTHER, .automatic = true};

    p.file = str_dup(file, e);
    if (!p.file || text_ini(text, keyfile_line, &p, e) < 0) {
        net_profile_release(&p);
        return -1;
    }
    return net_profiles_add(to, &p, e);
}

static int networkd_line(void *ctx, const char *section, const char *key,
                         const char *value, struct err *e)
{
    struct net_profile *p = ctx;

    if (str_eq(section, "Match")) {
        if (str_eq(key, "Name") || str_eq(key, "OriginalName")) {
            if (str_eq(value, "lo"))
                p->kind = NET_LOOPBACK;
            return str_set(&p->name, value, e);
        }
        if (str_eq(key, "MACAddress") || str_eq(key, "PermanentMACAddress"))
            return str_set(&p->mac, value, e);
        /* Amazon's own names the drivers of all of EC2's cards. */
        if (str_eq(key, "Path") ||
            (str_eq(key, "Driver") && !text_has_word(value, "ena")))
            return str_set(&p->name, value, e);
    } else if (str_eq(section, "Network")) {
        if (str_eq(key, "DHCP"))
            p->dhcp4 = text_is_true(value) || str_eq(value, "ipv4") ||
                       str_eq(value, "both") || str_eq(value, "v4");
        if (str_eq(key, "Address"))
            return note_address(p, value, e);
        if (str_eq(key, "Bridge") || str_eq(key, "Bond") || str_eq(key, "VLAN"))
            p->kind = NET_STACKED;
    } else if (str_eq(section, "Address") && str_eq(key, "Address")) {
        return note_address(p, value, e);
    }
    return 0;
}

int net_networkd(const char *text, const char *file, struct net_profiles *to,
                 struct err *e)
{
    struct net_profile p = {.kind = NET_ETHERNET, .automatic = true};

    p.file = str_dup(file, e);
    if (!p.file || text_ini(text, networkd_line, &p, e) < 0) {
        net_profile_release(&p);
        return -1;
    }
    return net_profiles_add(to, &p, e);
}

/* ifcfg-NAME; DEVICE wins over the file's name. */
static int ifcfg_read(const char *text, struct net_profile *p, struct err *e)
{
    auto_free char *device = NULL, *proto = NULL, *onboot = NULL, *mac = NULL,
                   *address = NULL, *type = NULL, *mode = NULL;
    const char *name = strstr(p->file, "ifcfg-");

    if (shvar_get(text, "DEVICE", &device, e) < 0 ||
        shvar_get(text, "BOOTPROTO", &proto, e) < 0 ||
        shvar_get(text, "ONBOOT", &onboot, e) < 0 ||
        shvar_get(text, "STARTMODE", &mode, e) < 0 ||
        shvar_get(text, "HWADDR", &mac, e) < 0 || shvar_get(text, "TYPE", &type, e) < 0 ||
        shvar_get(text, "IPADDR", &address, e) < 0)
        return -1;
    if (!address && shvar_get(text, "IPADDR0", &address, e) < 0)
        return -1;
    if (str_set(&p->name, device ? device : name ? name + 6 : NULL, e) < 0)
        return -1;
    p->kind = str_eq_null(p->name, "lo")                  ? NET_LOOPBACK
              : type && strcasecmp(type, "Ethernet") != 0 ? NET_STACKED
              : p->name && (strchr(p->name, '.') || str_starts(p->name, "bond") ||
                            str_starts(p->name, "br"))
                  ? NET_STACKED
                  : NET_ETHERNET;
    p->dhcp4 = proto && (!strcasecmp(proto, "dhcp") || !strcasecmp(proto, "dhcp4"));
    p->automatic =
        mode ? str_eq(mode, "auto") || str_eq(mode, "hotplug") || str_eq(mode, "onboot")
             : !onboot || text_is_true(onboot);
    p->mac = mac && *mac ? take_ptr(mac) : NULL;
    p->address = address && *address ? take_ptr(address) : NULL;
    return 0;
}

int net_ifcfg(const char *text, const char *file, struct net_profiles *to, struct err *e)
{
    struct net_profile p = {.kind = NET_ETHERNET};

    p.file = str_dup(file, e);
    if (!p.file || ifcfg_read(text, &p, e) < 0) {
        net_profile_release(&p);
        return -1;
    }
    return net_profiles_add(to, &p, e);
}
