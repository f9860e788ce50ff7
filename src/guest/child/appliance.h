/* libguestfs: the appliance with the guest's disks, and the guest's files in it. Only
 * the child process uses this. Everything blocks; libguestfs's own errors are passed on
 * with the name of the call's subject. */
#ifndef HOTADD_GUEST_CHILD_APPLIANCE_H
#define HOTADD_GUEST_CHILD_APPLIANCE_H

#include "guest/convert.h"
#include "guest/guest.h"
#include "guest/storage/storage.h"

#include <guestfs.h>

struct appliance {
    guestfs_h *g;
    struct strv mounted; /* mount points, in order */
    bool ntfs; /* the files are Windows': access is by its access control lists */
};

enum appliance_access { APPLIANCE_READ, APPLIANCE_WRITE };

/* Starts it with the disks in order. */
int appliance_start(struct appliance *a, const struct guest_disk *disks, size_t n,
                    enum appliance_access access, struct err *e) err_warn_unused;

/* Unmounts, and after writing makes sure that everything reached the disks. */
int appliance_stop(struct appliance *a, struct err *e) err_warn_unused;
/* Without ceremony. */
void appliance_release(struct appliance *a);

/* Disks, partitions, logical volumes, and what they hold. */
int appliance_storage(struct appliance *a, struct storage *ret,
                      struct err *e) err_warn_unused;

/* options: "ro" or "" and its like. */
int appliance_mount(struct appliance *a, const char *options, const char *device,
                    const char *mountpoint, struct err *e) err_warn_unused;
int appliance_unmount_all(struct appliance *a, struct err *e) err_warn_unused;

/* The mounted files; borrows `a`. */
struct gfs appliance_gfs(struct appliance *a);
extern const struct gfs_write_ops appliance_write_ops;

/* libguestfs's last error. */
int appliance_error(const struct appliance *a, struct err *e, const char *what);

#endif
