/* Volumes attached to the lab's proxy instance, made visible as devices.
 *
 * On a Nitro machine udev names an attached volume
 * /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123… (the volume id without its
 * dash is the NVMe serial number). The lab makes the same name under its state
 * directory: STATE/dev/disk/by-id/… . With the right to make one it points at a loop
 * device over the volume's file, so that programs meet a true block device; else at the
 * file itself.
 *
 * Everything here blocks for the time of a few system calls, device_detach() for up to
 * half a second. No state is kept in memory: the links and loop devices are the state,
 * and calls for different volumes may run in different threads at once. */
#ifndef HOTADD_LAB_DEVICE_H
#define HOTADD_LAB_DEVICE_H

#include "base/err.h"

#include <stddef.h>

/* A volume id is "vol-" and 8 to 17 lower-case hex digits; anything else is ERR_USAGE.
 * All pointers are borrowed for the call. */

/* Makes the device of that volume, whose bytes are the file raw_path. Attaching again
 * what is attached already to the same file is fine; to another file is ERR_EXISTS. */
int device_attach(const char *state_dir, const char *volume_id, const char *raw_path,
                  struct err *e) err_warn_unused;

/* Takes the device away; absent is fine. When somebody holds it open *ret_busy becomes
 * true, the call returns 0 and the device stays as it was (EC2's attachment state
 * "busy": ask again later). With `force` the name goes away at once and a loop device
 * follows when its last user closes it, as EC2's Force does not wait for the guest.
 * Unprivileged callers learn of every holder of the file except on file systems without
 * leases, where the device is taken to be free. */
int device_detach(const char *state_dir, const char *volume_id, bool force,
                  bool *ret_busy, struct err *e) err_warn_unused;

/* The path of the device's name, STATE/dev/disk/by-id/…; owned by the caller, NULL with
 * e set on failure. It need not exist. */
char *device_path(const char *state_dir, const char *volume_id,
                  struct err *e) err_warn_unused;

struct device_attached {
    const char *volume_id;
    const char *raw_path;
};

/* For start-up, after an earlier life that may have been killed or a host that booted
 * anew: devices of volumes that are not in `want` go away (a loop device still open
 * somewhere goes when it is closed), loop devices over files below state_dir that
 * nobody names are freed, as are those that a lab made over files that are deleted (its
 * directory was removed while it ran), and every volume of `want` has its device
 * afterwards. */
int device_resync(const char *state_dir, const struct device_attached *want,
                  size_t n_want, struct err *e) err_warn_unused;

#endif
