/* Inside src/proxy only. */
#ifndef HOTADD_PROXY_PRIVATE_H
#define HOTADD_PROXY_PRIVATE_H

#include "disk/sink.h"
#include "proxy/device.h"

#include <sys/types.h>

#define PROXY_LONG_PATH 512

const char *paths_dev(const struct proxy_paths *p);
const char *paths_sys(const struct proxy_paths *p);
const char *paths_proc(const struct proxy_paths *p);
const char *paths_run(const struct proxy_paths *p);

#define PROXY_SERIAL_LEN 24

/* "vol-0123…" → "vol0123…", the NVMe serial number. ERR_USAGE when it is no volume id:
 * nothing else may become part of a path. */
int proxy_serial(const char *volume_id, char out[PROXY_SERIAL_LEN],
                 struct err *e) err_warn_unused;

/* First line of a small file, white space at its end removed. -1 without an error record:
 * it is not there. */
int read_line(const char *path, char *out, size_t out_len) err_warn_unused;

/* The NVMe serial number of a block device; -1 when it has none. */
int device_serial(const struct proxy_paths *paths, dev_t rdev,
                  char out[PROXY_SERIAL_LEN]) err_warn_unused;

/* 0 when neither the whole disk nor a partition of it is mounted, swap or held by LVM, MD
 * and the like; else ERR_REQUIREMENT tells which. ERR_REQUIREMENT also for a partition.
 */
int device_check_unused(const struct proxy_paths *paths, const char *path, dev_t rdev,
                        struct err *e) err_warn_unused;

/* ---- open.c ---- */

/* Opens a block device (O_EXCL) or a file for reading and writing, O_DIRECT where that
 * works; waits until deadline_ns for others to let go of it. ERR_REQUIREMENT when they do
 * not. No symbolic link is followed. */
int device_open_exclusive(const char *path, mode_t mode, uint64_t deadline_ns,
                          const struct cancel *cancel, int *ret_fd,
                          struct err *e) err_warn_unused;
/* An exclusive flock, kept with the descriptor; ERR_BUSY. */
int device_lock(int fd, const char *path, uint64_t deadline_ns,
                const struct cancel *cancel, struct err *e) err_warn_unused;

/* Where disks keep what they are known by, both ends and samples between: 1 when there is
 * a byte that is not zero (*ret_offset), 0 when there is none. */
int device_find_data(struct sink *s, uint64_t *ret_offset, struct err *e) err_warn_unused;

/* How long udev and its helpers may hold a new device. */
#define DEVICE_LET_GO_NS (10 * NS_PER_S)

#endif
