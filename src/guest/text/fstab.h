/* /etc/fstab (fstab(5)): reading, and changing single lines without touching the rest.
 * crypttab and swap RESUME files need only device_name(). Pure. */
#ifndef HOTADD_GUEST_TEXT_FSTAB_H
#define HOTADD_GUEST_TEXT_FSTAB_H

#include "base/buf.h"
#include "base/vec.h"

#include <stdint.h>

struct fstab_line {
    char *spec; /* owned, as are all below: octal escapes resolved */
    char *mountpoint;
    char *type;
    char *options; /* "defaults" when missing */
    size_t number; /* line in the file, from 1 */
};

struct fstab VEC(struct fstab_line);

int fstab_parse(const char *text, struct fstab *ret, struct err *e) err_warn_unused;
void fstab_release(struct fstab *t);
#define auto_fstab auto_call(fstab_release)

/* A comma-separated option, up to '=' if it has a value. */
bool fstab_has_option(const struct fstab_line *l, const char *option);

/* What becomes of a line; NULL members stay. */
struct fstab_change {
    size_t number;
    const char *spec; /* borrowed */
    const char *add_options;
};

/* The whole text with the changes made, appended to out. White space and comments of
 * changed lines stay. */
int fstab_rewrite(const char *text, const struct fstab_change *changes, size_t n,
                  struct buf *out, struct err *e) err_warn_unused;

/* How a device is called. */
enum device_naming {
    DEVICE_STABLE,     /* UUID=, LABEL=, /dev/mapper, /dev/VG/LV, nfs, tmpfs, … */
    DEVICE_BY_ORDER,   /* /dev/sda1, /dev/vdb, /dev/nvme0n1p1: position among disks */
    DEVICE_BY_HARDWARE /* /dev/disk/by-path, by-id: the old machine's hardware */
};

/* For DEVICE_BY_ORDER also the disk (0: first) and the partition (0: whole disk). */
enum device_naming device_name(const char *spec, uint32_t *ret_disk,
                               uint32_t *ret_partition);

#endif
