/* Attached volumes as devices of this machine: found by identity, never by order, and
 * opened only when nothing else can be using them.
 *
 * Sources: EC2 User Guide, "Map EBS volumes to NVMe device names" (the NVMe serial number
 * is the volume id without its dash) and "Device names on Linux instances" (Xen shows
 * /dev/sdf as /dev/xvdf); systemd's "Locking block device access" (udev leaves a device
 * alone while somebody holds an exclusive flock on it). */
#ifndef HOTADD_PROXY_DEVICE_H
#define HOTADD_PROXY_DEVICE_H

#include "base/cancel.h"
#include "base/err.h"
#include "disk/sink.h"

#include <stdint.h>

/* Where this machine's devices are looked for; NULL members have the defaults. The lab
 * shows its volumes under a device root of its own. All borrowed. */
struct proxy_paths {
    const char *dev;  /* "/dev" */
    const char *sys;  /* "/sys" */
    const char *proc; /* "/proc" */
    const char *run;  /* "/run/hotadd" */
};

enum proxy_device_how {
    PROXY_BY_ID,     /* DEV/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol… */
    PROXY_BY_SERIAL, /* SYS/block/nvme…/device/serial */
    PROXY_BY_NAME,   /* DEV/xvdf for the API's /dev/sdf, Xen instances only */
};

#define PROXY_PATH_LEN 256

struct proxy_device {
    char volume_id[32];        /* "vol-0123…" */
    char path[PROXY_PATH_LEN]; /* symbolic links resolved */
    enum proxy_device_how how;
};

/* For messages: "by-id link", "NVMe serial number", "Xen device name". */
const char *proxy_device_how_name(enum proxy_device_how how);

/* Waits until the attached volume shows, at most until deadline_ns (monotonic).
 * api_name is the name given to AttachVolume ("/dev/sdf"). A device that carries another
 * serial number than the volume's is never returned. ERR_TIMEOUT tells where it was
 * looked for. ERR_CANCELLED. */
int proxy_device_find(const struct proxy_paths *paths, const char *volume_id,
                      const char *api_name, uint64_t deadline_ns,
                      const struct cancel *cancel, struct proxy_device *ret,
                      struct err *e) err_warn_unused;

/* Waits until no device of the volume shows any more: after a detach. */
int proxy_device_gone(const struct proxy_paths *paths, const char *volume_id,
                      const char *api_name, uint64_t deadline_ns,
                      const struct cancel *cancel, struct err *e) err_warn_unused;

enum proxy_contents {
    /* Made by this job and never written: the first and last MiB and a sample between
     * must read as zeros, else it is refused. The sink is known_zero. */
    PROXY_FRESH,
    /* Made by this job and known zero where this job has not written: a resumed restore.
     * Not read; the sink is known_zero. */
    PROXY_OURS,
    /* Holds a disk (a replica, a volume to inject drivers into): zeros are written. */
    PROXY_IN_USE,
};

/* Opens the device for the mover: O_EXCL on a block device (the kernel then refuses
 * mounts and stacking), exclusive flock (udev keeps off; another hotadd is refused),
 * O_DIRECT where possible. Refused, with ERR_REQUIREMENT and the reason, when its size
 * is not volume_size_bytes, it or a partition of it is mounted, swap, held by LVM, MD or
 * the like, or it is not empty though fresh. Waits up to ten seconds for udev to let go.
 */
int proxy_device_open(const struct proxy_paths *paths, const struct proxy_device *device,
                      uint64_t volume_size_bytes, enum proxy_contents contents,
                      const struct cancel *cancel, struct sink **ret,
                      struct err *e) err_warn_unused;

/* Marks a volume as hotadd's, before it is attached: the udev rule in data/udev then
 * keeps LVM, MD, Btrfs, udisks and systemd from looking into it. Not having the rule or
 * the right to write paths->run costs only that protection: returns false, and the
 * caller may say so. */
bool proxy_quiet_mark(const struct proxy_paths *paths, const char *volume_id);
void proxy_quiet_unmark(const struct proxy_paths *paths, const char *volume_id);

#endif
