/* The steps of converting Linux guests; families choose from them. Each plans in
 * c->overlay, may be run on a guest that is converted already, and then plans nothing. */
#ifndef HOTADD_GUEST_LINUX_CONVERT_H
#define HOTADD_GUEST_LINUX_CONVERT_H

#include "guest/convert.h"

/* What a later rebuild of the initramfs must include: configuration of the tool. */
int convert_initramfs(struct conversion *c, struct err *e) err_warn_unused;
int convert_initramfs_config(struct conversion *c, struct err *e) err_warn_unused;

int convert_fstab(struct conversion *c, struct err *e) err_warn_unused;
int convert_lvm(struct conversion *c, struct err *e) err_warn_unused;

/* eth_names: the network conversion relies on net.ifnames=0. */
int convert_grub(struct conversion *c, bool eth_names, struct err *e) err_warn_unused;
int convert_getty(struct conversion *c, struct err *e) err_warn_unused;
int convert_uefi(struct conversion *c, struct err *e) err_warn_unused;

/* ret_eth_names: whether the kernel must keep the name eth0. */
int convert_network(struct conversion *c, bool *ret_eth_names,
                    struct err *e) err_warn_unused;
int convert_udev_names(struct conversion *c, struct err *e) err_warn_unused;

/* With guest_options.fix. */
int convert_ssh(struct conversion *c, struct err *e) err_warn_unused;
int convert_firewall(struct conversion *c, struct err *e) err_warn_unused;

int convert_vmware_tools(struct conversion *c, struct err *e) err_warn_unused;
int convert_cloud_init(struct conversion *c, struct err *e) err_warn_unused;

/* ---- families ---- */

int convert_debian(struct conversion *c, struct err *e);

/* ---- for tests ---- */

/* debconf's config.dat with the value of a question set (made if it is absent). */
int debconf_set(const char *text, const char *question, const char *value,
                struct buf *out, struct err *e) err_warn_unused;

#endif
