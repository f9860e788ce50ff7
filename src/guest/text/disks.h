/* Files besides fstab that name the guest's disks: crypttab, mdadm.conf, lvm.conf. Each
 * is read for names that do not exist on EC2, and rewritten line by line; what is fine
 * stays byte for byte, so that a rewritten text is rewritten to itself. Pure. */
#ifndef HOTADD_GUEST_TEXT_DISKS_H
#define HOTADD_GUEST_TEXT_DISKS_H

#include "base/buf.h"
#include "guest/text/cmdline.h"

/* crypttab(5): the second field of each line goes through `map`, which returns the new
 * name, or NULL to leave it; a name of the old machine that stays gets the option nofail,
 * as the boot would wait for it. */
int crypttab_rewrite(const char *text, const struct cmdline_map *map, struct buf *out,
                     struct err *e) err_warn_unused;

/* mdadm.conf(5) without DEVICE lines that list disks by name (the default, all of them,
 * is then in force) and without devices= in ARRAY lines. */
int mdadm_conf_rewrite(const char *text, struct buf *out, struct err *e) err_warn_unused;

/* Does lvm.conf(5) hold a device filter that hides NVMe disks? */
bool lvm_conf_hides(const char *text);

/* lvm.conf with its filters turned into comments, and, if no_list, told not to use the
 * list of devices (use_devicesfile), for where that list cannot be removed. */
int lvm_conf_rewrite(const char *text, bool no_list, struct buf *out,
                     struct err *e) err_warn_unused;

#endif
