/* Opening attached volumes for writing; see device.h.
 *
 * All checks that can be made on the open descriptor are made on it, after the lock, so
 * that a device swapped under its name is not written to. A crash leaves nothing: O_EXCL
 * and the lock end with the descriptor. */
#include "proxy/private.h"

#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/stat.h>

#define RETRY_NS    (100 * NS_PER_MS)
#define PROBE_BYTES (1u << 20)
#define SAMPLES     64
#define SAMPLE_LEN  4096u

/* udev and its helpers hold a new device for moments. */
static int wait_a_little(uint64_t deadline_ns, const struct cancel *cancel, struct err *e)
{
    if (clock_mono_ns() >= deadline_ns)
        return err_set(e, ERR_TIMEOUT, "timeout");
    return cancel_sleep_ns(cancel, RETRY_NS, e);
}

static int open_once(const char *path, mode_t mode)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (S_ISBLK(mode) ? O_EXCL : 0), fd;

    fd = open(path, flags | O_DIRECT);
    /* Some file systems under a lab's device root know no O_DIRECT. */
    if (fd < 0 && errno == EINVAL && S_ISREG(mode))
        fd = open(path, flags);
    return fd;
}

int device_open_exclusive(const char *path, mode_t mode, uint64_t deadline_ns,
                          const struct cancel *cancel, int *ret_fd, struct err *e)
{
    for (;;) {
        int fd = open_once(path, mode);

        if (fd >= 0) {
            *ret_fd = fd;
            return 0;
        }
        if (errno != EBUSY)
            return err_sys(e, "%s: open", path);
        if (wait_a_little(deadline_ns, cancel, e) < 0)
            return e->kind != ERR_TIMEOUT
                       ? -1
                       : err_set(e, ERR_REQUIREMENT,
                                 "%s is in use by the kernel or another program: it is "
                                 "not ours to write to",
                                 path);
    }
}

int device_lock(int fd, const char *path, uint64_t deadline_ns,
                const struct cancel *cancel, struct err *e)
{
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return err_sys(e, "%s: lock", path);
        if (wait_a_little(deadline_ns, cancel, e) < 0)
            return e->kind != ERR_TIMEOUT
                       ? -1
                       : err_set(e, ERR_BUSY,
                                 "%s is locked by another program, perhaps another "
                                 "hotadd",
                                 path);
    }
    return 0;
}

/* The descriptor is the volume: same kind of file as named, same serial number. */
static int check_identity(const struct proxy_paths *paths, const struct proxy_device *d,
                          int fd, struct err *e)
{
    char want[PROXY_SERIAL_LEN], have[PROXY_SERIAL_LEN];
    struct stat st;

    if (proxy_serial(d->volume_id, want, e) < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        return err_sys(e, "%s: stat", d->path);
    if (!S_ISBLK(st.st_mode))
        return 0;
    if (device_serial(paths, st.st_rdev, have) == 0 && !str_eq(have, want))
        return err_set(e, ERR_REQUIREMENT, "%s is volume %s now, not %s", d->path, have,
                       d->volume_id);
    return device_check_unused(paths, d->path, st.st_rdev, e);
}

static int find_in(struct sink *s, unsigned char *buf, uint64_t offset, uint64_t len,
                   uint64_t *ret_offset, struct err *e)
{
    if (s->ops->read(s, buf, (size_t)len, offset, e) < 0)
        return -1;
    for (size_t i = 0; i < len; i++)
        if (buf[i]) {
            *ret_offset = offset + i;
            return 1;
        }
    return 0;
}

int device_find_data(struct sink *s, uint64_t *ret_offset, struct err *e)
{
    auto_free void *buf = NULL;
    uint64_t size = s->size_bytes, n = size < PROBE_BYTES ? size : PROBE_BYTES, step;
    uint64_t tail = (size - n) / SAMPLE_LEN * SAMPLE_LEN;
    int r;

    if (posix_memalign(&buf, 4096, PROBE_BYTES + SAMPLE_LEN))
        return err_nomem(e);
    r = find_in(s, buf, 0, n, ret_offset, e);
    if (r == 0)
        r = find_in(s, buf, tail, size - tail, ret_offset, e);
    step = size / (SAMPLES + 1) / SAMPLE_LEN * SAMPLE_LEN;
    for (uint64_t i = 1; r == 0 && step && i <= SAMPLES; i++)
        r = find_in(s, buf, i * step, SAMPLE_LEN, ret_offset, e);
    return r;
}

static int check_empty(struct sink *s, struct err *e)
{
    uint64_t offset;
    int r = device_find_data(s, &offset, e);

    if (r > 0)
        return err_set(e, ERR_REQUIREMENT,
                       "%s was made just now and must be empty, but byte %" PRIu64
                       " is not zero: it may be another disk, so it is left alone",
                       s->desc, offset);
    return r;
}

static int make_sink(const struct proxy_device *d, int *fd, uint64_t volume_size_bytes,
                     enum proxy_contents contents, struct sink **ret, struct err *e)
{
    auto_sink struct sink *s = NULL;
    auto_free char *desc = str_fmt(e, "%s (%s)", d->volume_id, d->path);

    if (!desc ||
        sink_fd_new(*fd, desc,
                    contents == PROXY_IN_USE ? SINK_ZEROS_UNKNOWN : SINK_KNOWN_ZERO, &s,
                    e) < 0)
        return -1;
    *fd = -1;
    if (s->size_bytes != volume_size_bytes)
        return err_set(e, ERR_REQUIREMENT,
                       "%s has %" PRIu64 " bytes, but the volume has %" PRIu64
                       ": it is another disk",
                       desc, s->size_bytes, volume_size_bytes);
    if (contents == PROXY_FRESH && check_empty(s, e) < 0)
        return -1;
    *ret = take_ptr(s);
    return 0;
}

int proxy_device_open(const struct proxy_paths *paths, const struct proxy_device *device,
                      uint64_t volume_size_bytes, enum proxy_contents contents,
                      const struct cancel *cancel, struct sink **ret, struct err *e)
{
    uint64_t deadline_ns = clock_mono_ns() + DEVICE_LET_GO_NS;
    struct stat st;
    auto_fd int fd = -1;

    if (lstat(device->path, &st) < 0)
        return err_sys(e, "%s (%s)", device->volume_id, device->path);
    if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
        return err_set(e, ERR_REQUIREMENT, "%s (%s) is no block device",
                       device->volume_id, device->path);
    /* Asked before opening too: this names the user, where O_EXCL would only wait. */
    if (S_ISBLK(st.st_mode) &&
        device_check_unused(paths, device->path, st.st_rdev, e) < 0)
        return -1;
    if (device_open_exclusive(device->path, st.st_mode, deadline_ns, cancel, &fd, e) <
            0 ||
        device_lock(fd, device->path, deadline_ns, cancel, e) < 0 ||
        check_identity(paths, device, fd, e) < 0)
        return -1;
    return make_sink(device, &fd, volume_size_bytes, contents, ret, e);
}
