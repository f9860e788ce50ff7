/* The steps of converting Linux guests; families choose from them. Each plans in
 * c->overlay, may be run on a guest that is converted already, and then plans nothing. */
#ifndef HOTADD_GUEST_LINUX_CONVERT_H
#define HOTADD_GUEST_LINUX_CONVERT_H

#include "guest/convert.h"
#include "guest/linux/linux.h"

/* What a later rebuild of the initramfs must include: configuration of the tool. */
int convert_initramfs(struct conversion *c, struct err *e) err_warn_unused;
int convert_initramfs_config(struct conversion *c, struct err *e) err_warn_unused;

int convert_fstab(struct conversion *c, struct err *e) err_warn_unused;
int convert_crypttab(struct conversion *c, struct err *e) err_warn_unused;
int convert_raid(struct conversion *c, struct err *e) err_warn_unused;
int convert_lvm(struct conversion *c, struct err *e) err_warn_unused;

/* eth_names: the network conversion relies on net.ifnames=0. */
int convert_grub(struct conversion *c, bool eth_names, struct err *e) err_warn_unused;
int convert_getty(struct conversion *c, struct err *e) err_warn_unused;
int convert_uefi(struct conversion *c, struct err *e) err_warn_unused;

/* ret_eth_names: whether the kernel must keep the name eth0. */
int convert_network(struct conversion *c, bool *ret_eth_names,
                    struct err *e) err_warn_unused;
/* Red Hat's and SUSE's ifcfg files (convert_redhat.c, convert_suse.c). */
int convert_network_redhat(struct conversion *c, bool *ret_eth_names,
                           struct err *e) err_warn_unused;
int convert_network_suse(struct conversion *c, bool *ret_eth_names,
                         struct err *e) err_warn_unused;
/* A keyfile for any card; removes the files of other definitions. */
int convert_network_keyfile(struct conversion *c, struct err *e) err_warn_unused;
/* Removes the files of definitions, loopback's left out, whose path begins with `below`,
 * except `keep`. */
int convert_network_remove(struct conversion *c, const char *below, const char *keep,
                           struct err *e) err_warn_unused;
extern const char convert_network_what[], convert_network_why[];
int convert_udev_names(struct conversion *c, struct err *e) err_warn_unused;

/* With guest_options.fix. */
int convert_ssh(struct conversion *c, struct err *e) err_warn_unused;
int convert_firewall(struct conversion *c, struct err *e) err_warn_unused;
/* Whether it can open that kind. */
bool convert_firewall_can(enum firewall_kind kind);

int convert_vmware_tools(struct conversion *c, struct err *e) err_warn_unused;
int convert_cloud_init(struct conversion *c, struct err *e) err_warn_unused;

/* ---- families ---- */

int convert_debian(struct conversion *c, struct err *e);
int convert_redhat(struct conversion *c, struct err *e);
int convert_suse(struct conversion *c, struct err *e);
/* The steps above, in order: what all families share. */
int convert_linux(struct conversion *c, struct err *e) err_warn_unused;

/* ---- for tests ---- */

/* debconf's config.dat with the value of a question set (made if it is absent). */
int debconf_set(const char *text, const char *question, const char *value,
                struct buf *out, struct err *e) err_warn_unused;

#endif
