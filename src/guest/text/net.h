/* Network configuration of the guest's tools, reduced to what decides whether it takes
 * an address by DHCP on whatever interface EC2 gives it. Pure; one file's text at a
 * time, results collected over files. */
#ifndef HOTADD_GUEST_TEXT_NET_H
#define HOTADD_GUEST_TEXT_NET_H

#include "base/buf.h"
#include "base/strv.h"

enum net_kind {
    NET_ETHERNET,
    NET_LOOPBACK,
    NET_STACKED /* bond, bridge, VLAN */,
    NET_OTHER
};

/* One configured interface or profile. */
struct net_profile {
    char *file; /* owned, as are all below: where it stands */
    char *name; /* interface it names: "ens192", "eth0", "en*"; NULL: any */
    char *mac;  /* MAC address it is bound to; NULL: none */
    char *id;   /* netplan's name of the definition; NULL elsewhere */
    enum net_kind kind;
    bool dhcp4;     /* takes an IPv4 address by DHCP */
    char *address;  /* first static IPv4 address; NULL: none */
    bool automatic; /* brought up at boot */
};

struct net_profiles VEC(struct net_profile);
void net_profile_release(struct net_profile *p);
void net_profiles_release(struct net_profiles *p);
#define auto_net_profiles auto_call(net_profiles_release)

/* Appends a copy of what `p` holds; takes over its strings, also on failure. */
int net_profiles_add(struct net_profiles *to, struct net_profile *p,
                     struct err *e) err_warn_unused;

/* /etc/network/interfaces and what it sources (interfaces(5)). `sources` gets the
 * patterns of source and source-directory lines, the latter with a slash at the end. */
int net_ifupdown(const char *text, const char *file, struct net_profiles *to,
                 struct strv *sources, struct err *e) err_warn_unused;

/* The text with every stanza but loopback's turned into comments; NULL `eth` or the
 * stanza of an interface of that name by DHCP added. Appends to out. */
int net_ifupdown_rewrite(const char *text, const char *eth, struct buf *out,
                         struct err *e) err_warn_unused;

/* netplan's YAML (netplan(5)), one file; files in netplan's order: what a later one says
 * of the same definition is merged into the earlier profile. */
int net_netplan(const char *text, size_t len, const char *file, struct net_profiles *to,
                struct err *e) err_warn_unused;

/* NetworkManager's keyfiles (nm-settings-keyfile(5)). */
int net_keyfile(const char *text, const char *file, struct net_profiles *to,
                struct err *e) err_warn_unused;

/* systemd.network(5) */
int net_networkd(const char *text, const char *file, struct net_profiles *to,
                 struct err *e) err_warn_unused;

/* ifcfg files of RHEL and SUSE; name from the file's. */
int net_ifcfg(const char *text, const char *file, struct net_profiles *to,
              struct err *e) err_warn_unused;

#endif
