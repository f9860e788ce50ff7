/* Volumes attached to the lab's proxy, as devices; see device.h.
 *
 * The symbolic link STATE/dev/disk/by-id/NAME is the record of an attachment's device:
 * it is made last and removed first, by rename and unlink, so it never leads to a device
 * that is not ready. A crash between leaves a loop device without a link, which
 * device_resync() finds by the backing file below the state directory.
 *
 * Whether a device is in use is asked of the kernel, not guessed from a list of
 * processes: LOOP_CLR_FD lets go of the file only when the asker is the one opener, and
 * F_SETLEASE grants a write lease only on a file that nobody else has open. */
#include "lab/device.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define BY_ID       "dev/disk/by-id"
#define LINK_PREFIX "nvme-Amazon_Elastic_Block_Store_vol"
#define LOOP_PREFIX "/dev/loop"

/* Every loop device of ours says so, and for which volume, in its name field: a number
 * that was freed and taken by somebody else behind our back is not touched. */
#define LOOP_TAG "hotadd-lab vol-"

/* udev and blkid look into every new loop device for a moment: "busy" must outlast
 * them. */
#define BUSY_TRIES    10
#define BUSY_PAUSE_NS (50 * NS_PER_MS)

static int check_id(const char *volume_id, struct err *e)
{
    const char *hex = volume_id + 4;

    if (!str_starts(volume_id, "vol-") || strlen(hex) < 8 || strlen(hex) > 17 ||
        hex[strspn(hex, "0123456789abcdef")])
        return err_set(e, ERR_USAGE, "%.40s is not a volume id", volume_id);
    return 0;
}

char *device_path(const char *state_dir, const char *volume_id, struct err *e)
{
    if (check_id(volume_id, e) < 0)
        return NULL;
    return str_fmt(e, "%s/" BY_ID "/" LINK_PREFIX "%s", state_dir, volume_id + 4);
}

/* ---- loop devices ---- */

static bool is_same_file(const struct loop_info64 *info, const struct stat *st)
{
    /* The kernel reports the device number in its own "huge" encoding, which equals the
     * C library's for every number it can hold. */
    return info->lo_inode == st->st_ino && info->lo_device == st->st_dev;
}

static int loop_status(int loop_fd, struct loop_info64 *info)
{
    memset(info, 0, sizeof *info);
    return ioctl(loop_fd, LOOP_GET_STATUS64, info);
}

/* `hex` is the volume id behind "vol-"; "" stands for any volume. */
static bool is_ours(const struct loop_info64 *info, const char *hex)
{
    const char *name = (const char *)info->lo_file_name;
    size_t prefix = strlen(LOOP_TAG), max = sizeof info->lo_file_name - prefix;

    return strncmp(name, LOOP_TAG, prefix) == 0 &&
           (!hex[0] || strncmp(name + prefix, hex, max) == 0);
}

/* Binds a free loop device to the file. Another process may take the free number first:
 * then the next one is asked for. */
static int loop_bind(int file_fd, const char *hex, char *ret_dev, size_t dev_len,
                     struct err *e)
{
    struct loop_config config = {.fd = (uint32_t)file_fd, .block_size = 512};
    auto_fd int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

    if (control < 0)
        return err_sys(e, "/dev/loop-control");
    config.info.lo_flags = LO_FLAGS_DIRECT_IO;
    snprintf((char *)config.info.lo_file_name, sizeof config.info.lo_file_name,
             LOOP_TAG "%s", hex);
    for (int i = 0; i < 100; i++) {
        int n = ioctl(control, LOOP_CTL_GET_FREE), r;
        auto_fd int fd = -1;

        if (n < 0)
            return err_sys(e, "no free loop device");
        snprintf(ret_dev, dev_len, LOOP_PREFIX "%d", n);
        fd = open(ret_dev, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            return err_sys(e, "%s: open", ret_dev);
        r = ioctl(fd, LOOP_CONFIGURE, &config);
        if (r < 0 && errno == EINVAL && config.info.lo_flags) {
            /* Blocks of 512 bytes cannot go directly to this file system. */
            config.info.lo_flags = 0;
            r = ioctl(fd, LOOP_CONFIGURE, &config);
        }
        if (r == 0)
            return 0;
        if (errno != EBUSY)
            return err_sys(e, "%s: cannot use the file of vol-%s", ret_dev, hex);
    }
    return err_set(e, ERR_BUSY, "loop devices are taken faster than we can ask for one");
}

enum loop_end {
    LOOP_GONE,   /* frees itself as the descriptor is closed, or was free before */
    LOOP_IN_USE, /* others have it open; the file will be let go after the last close */
};

static int loop_clear(int fd, const char *dev, enum loop_end *ret, struct err *e)
{
    struct loop_info64 info;

    if (ioctl(fd, LOOP_CLR_FD) < 0) {
        if (errno == ENXIO) {
            *ret = LOOP_GONE;
            return 0;
        }
        if (errno == EBUSY) {
            *ret = LOOP_IN_USE;
            return 0;
        }
        return err_sys(e, "%s: release", dev);
    }
    *ret = loop_status(fd, &info) < 0 ? LOOP_GONE : LOOP_IN_USE;
    return 0;
}

/* Takes back the promise of LOOP_CLR_FD to free the device after its last close. */
static int loop_keep(int fd, const char *dev, struct err *e)
{
    struct loop_info64 info;

    if (loop_status(fd, &info) < 0)
        return err_sys(e, "%s: status", dev);
    info.lo_flags &= ~(uint32_t)LO_FLAGS_AUTOCLEAR;
    if (ioctl(fd, LOOP_SET_STATUS64, &info) < 0)
        return err_sys(e, "%s: keep", dev);
    return 0;
}

static int loop_release(const char *dev, const char *hex, bool force, bool *ret_busy,
                        struct err *e)
{
    for (int i = 0;; i++) {
        auto_fd int fd = open(dev, O_RDONLY | O_CLOEXEC);
        struct timespec pause = {.tv_nsec = BUSY_PAUSE_NS};
        struct loop_info64 info;
        enum loop_end end = LOOP_GONE;

        *ret_busy = false;
        if (fd < 0 && (errno == ENOENT || errno == ENXIO))
            return 0;
        if (fd < 0)
            return err_sys(e, "%s: open", dev);
        if (loop_status(fd, &info) < 0 || !is_ours(&info, hex))
            return 0;
        if (loop_clear(fd, dev, &end, e) < 0)
            return -1;
        if (end == LOOP_GONE || force)
            return 0;
        if (loop_keep(fd, dev, e) < 0)
            return -1;
        *ret_busy = true;
        if (i == BUSY_TRIES)
            return 0;
        nanosleep(&pause, NULL);
    }
}

/* ---- plain files ---- */

/* A write lease is granted only when nobody else has the file open. Busy is false where
 * leases do not exist or are not ours to take. */
static bool file_is_open(const char *path)
{
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool busy;

    if (fd < 0)
        return false;
    busy = fcntl(fd, F_SETLEASE, F_WRLCK) < 0 && errno == EAGAIN;
    if (!busy)
        fcntl(fd, F_SETLEASE, F_UNLCK);
    return busy;
}

/* ---- links ---- */

/* The target of the link; *ret stays NULL when there is none. */
static int read_link(const char *link, char **ret, struct err *e)
{
    char target[PATH_MAX];
    ssize_t n = readlink(link, target, sizeof target - 1);

    if (n < 0 && errno == ENOENT)
        return 0;
    if (n < 0)
        return err_sys(e, "%s: read link", link);
    target[n] = 0;
    *ret = str_dup(target, e);
    return *ret ? 0 : -1;
}

static int make_link(const char *target, const char *link, struct err *e)
{
    char suffix[13];
    auto_free char *tmp = str_fmt(e, "%s.tmp%s", link, rand_hex(suffix, 12));

    if (!tmp)
        return -1;
    if (symlink(target, tmp) < 0)
        return err_sys(e, "%s: symlink", tmp);
    if (rename(tmp, link) < 0) {
        err_sys(e, "%s: rename", link);
        unlink(tmp);
        return -1;
    }
    return 0;
}

/* Does the link lead to that file's bytes? */
static bool leads_to(const char *target, const struct stat *file)
{
    struct loop_info64 info;
    struct stat st;
    auto_fd int fd = -1;

    if (!str_starts(target, LOOP_PREFIX))
        return stat(target, &st) == 0 && st.st_dev == file->st_dev &&
               st.st_ino == file->st_ino;
    fd = open(target, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && loop_status(fd, &info) == 0 && is_ours(&info, "") &&
           is_same_file(&info, file) && !(info.lo_flags & LO_FLAGS_AUTOCLEAR);
}

/* Is the name in good order already? Leftovers of a boot ago are not. */
static int check_existing(const char *link, const char *volume_id,
                          const struct stat *file, bool *ret_done, struct err *e)
{
    auto_free char *target = NULL;
    struct stat st;

    if (read_link(link, &target, e) < 0)
        return -1;
    *ret_done = target && leads_to(target, file);
    if (target && !*ret_done && !str_starts(target, LOOP_PREFIX) &&
        stat(target, &st) == 0)
        return err_set(e, ERR_EXISTS, "%s is attached already, with the file %s",
                       volume_id, target);
    return 0;
}

static int attach_loop(int file_fd, const char *hex, const char *link, struct err *e)
{
    char dev[32];
    bool busy;

    if (loop_bind(file_fd, hex, dev, sizeof dev, e) < 0)
        return -1;
    if (make_link(dev, link, e) < 0) {
        struct err ignored;

        if (loop_release(dev, hex, true, &busy, &ignored) < 0)
            log_debug("%s", ignored.msg);
        return -1;
    }
    return 0;
}

static int attach_file(const char *raw_path, const char *link, struct err *e)
{
    auto_free char *real = realpath(raw_path, NULL);

    if (!real)
        return err_sys(e, "%s", raw_path);
    return make_link(real, link, e);
}

static int open_volume(const char *raw_path, struct stat *st, struct err *e)
{
    int fd = open(raw_path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return err_sys(e, "%s: open", raw_path);
    if (fstat(fd, st) < 0)
        err_sys(e, "%s: stat", raw_path);
    else if (!S_ISREG(st->st_mode))
        err_set(e, ERR_USAGE, "%s is not a regular file", raw_path);
    else
        return fd;
    close(fd);
    return -1;
}

int device_attach(const char *state_dir, const char *volume_id, const char *raw_path,
                  struct err *e)
{
    auto_free char *link = device_path(state_dir, volume_id, e), *dir = NULL;
    auto_fd int fd = -1;
    struct stat st;
    struct err why;
    bool done;

    if (!link)
        return -1;
    dir = str_fmt(e, "%s/" BY_ID, state_dir);
    if (!dir || io_mkdir_all(dir, 0755, e) < 0)
        return -1;
    fd = open_volume(raw_path, &st, e);
    if (fd < 0 || check_existing(link, volume_id, &st, &done, e) < 0)
        return -1;
    if (done)
        return 0;
    if (geteuid() == 0) {
        if (attach_loop(fd, volume_id + 4, link, &why) == 0)
            return 0;
        /* Root of a container, say: the file does for everything but a true block
         * device's ioctls. */
        log_debug("%s: no loop device, the file itself is used: %s", volume_id, why.msg);
    }
    return attach_file(raw_path, link, e);
}

/* Frees what the link leads to; the link stays while that is busy. */
static int detach_target(const char *link, const char *hex, const char *target,
                         bool force, bool *ret_busy, struct err *e)
{
    bool busy = false;

    if (!str_starts(target, LOOP_PREFIX))
        busy = !force && file_is_open(target);
    else if (loop_release(target, hex, force, &busy, e) < 0)
        return -1;
    *ret_busy = busy && !force;
    if (*ret_busy)
        return 0;
    if (unlink(link) < 0 && errno != ENOENT)
        return err_sys(e, "%s: remove", link);
    return 0;
}

int device_detach(const char *state_dir, const char *volume_id, bool force,
                  bool *ret_busy, struct err *e)
{
    auto_free char *link = device_path(state_dir, volume_id, e), *target = NULL;
    bool busy = false;

    if (!link || read_link(link, &target, e) < 0)
        return -1;
    if (target && detach_target(link, volume_id + 4, target, force, &busy, e) < 0)
        return -1;
    *ret_busy = busy;
    return 0;
}

/* ---- start-up ---- */

static bool is_wanted(const char *name, const struct device_attached *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_starts(want[i].volume_id, "vol-") &&
            str_eq(name + strlen(LINK_PREFIX), want[i].volume_id + 4))
            return true;
    return false;
}

/* The names that no attachment wants any more. What they lead to is not touched here: a
 * loop number may belong to somebody else since the host booted; drop_loops() goes by
 * the backing file instead. */
static int drop_links(const char *state_dir, const struct device_attached *want,
                      size_t n_want, struct err *e)
{
    auto_free char *dir = str_fmt(e, "%s/" BY_ID, state_dir);
    struct dirent *de;
    DIR *d;

    if (!dir)
        return -1;
    d = opendir(dir);
    if (!d)
        return errno == ENOENT ? 0 : err_sys(e, "%s: open", dir);
    while ((de = readdir(d)))
        if (str_starts(de->d_name, LINK_PREFIX) && !is_wanted(de->d_name, want, n_want))
            unlinkat(dirfd(d), de->d_name, 0);
    closedir(d);
    return 0;
}

/* Is that loop device's file one of the wanted ones? */
static bool backs_wanted(const char *dev, const struct device_attached *want, size_t n)
{
    struct stat st;

    for (size_t i = 0; i < n; i++)
        if (stat(want[i].raw_path, &st) == 0 && leads_to(dev, &st))
            return true;
    return false;
}

/* Below our state directory, or the file of a volume whose lab was removed while it ran:
 * loop_release() touches only what a lab named. */
static bool is_left_over(const char *file, const char *real_dir)
{
    static const char gone[] = " (deleted)\n";
    size_t len = strlen(file), dir_len = strlen(real_dir), gone_len = sizeof gone - 1;

    return (str_starts(file, real_dir) && file[dir_len] == '/') ||
           (len > gone_len && str_eq(file + len - gone_len, gone));
}

static void drop_loop(const char *name, const char *real_dir,
                      const struct device_attached *want, size_t n_want)
{
    auto_buf struct buf file = BUF_INIT;
    char sys[64], dev[32];
    struct err ignored;
    bool busy;

    snprintf(sys, sizeof sys, "/sys/block/%.20s/loop/backing_file", name);
    snprintf(dev, sizeof dev, "/dev/%.20s", name);
    if (io_read_file(sys, PATH_MAX + 64, &file, &ignored) < 0 ||
        !is_left_over((const char *)file.data, real_dir))
        return;
    if (!backs_wanted(dev, want, n_want) &&
        loop_release(dev, "", true, &busy, &ignored) < 0)
        log_debug("%s: %s", dev, ignored.msg);
}

static int drop_loops(const char *state_dir, const struct device_attached *want,
                      size_t n_want, struct err *e)
{
    auto_free char *real = realpath(state_dir, NULL);
    struct dirent *de;
    DIR *d;

    if (!real)
        return err_sys(e, "%s", state_dir);
    d = opendir("/sys/block");
    if (!d)
        return 0;
    while ((de = readdir(d)))
        if (str_starts(de->d_name, "loop"))
            drop_loop(de->d_name, real, want, n_want);
    closedir(d);
    return 0;
}

/* The loop device over that file which a killed life left without a link, or one whose
 * link was lost: named again instead of bound twice. */
static int adopt(const char *state_dir, const struct device_attached *a, struct err *e)
{
    auto_free char *link = device_path(state_dir, a->volume_id, e);
    struct dirent *de;
    struct stat st;
    bool found = false;
    int r = 0;
    DIR *d;

    if (!link)
        return -1;
    if (stat(a->raw_path, &st) < 0)
        return err_sys(e, "%s", a->raw_path);
    d = geteuid() == 0 ? opendir("/sys/block") : NULL;
    while (d && !found && (de = readdir(d))) {
        char dev[32];

        snprintf(dev, sizeof dev, "/dev/%.20s", de->d_name);
        found = str_starts(dev, LOOP_PREFIX) && leads_to(dev, &st);
        if (found)
            r = make_link(dev, link, e);
    }
    if (d)
        closedir(d);
    return r;
}

int device_resync(const char *state_dir, const struct device_attached *want,
                  size_t n_want, struct err *e)
{
    if (drop_links(state_dir, want, n_want, e) < 0)
        return -1;
    if (geteuid() == 0 && drop_loops(state_dir, want, n_want, e) < 0)
        return -1;
    for (size_t i = 0; i < n_want; i++) {
        auto_free char *dir = str_fmt(e, "%s/" BY_ID, state_dir);

        if (!dir || io_mkdir_all(dir, 0755, e) < 0 || adopt(state_dir, &want[i], e) < 0 ||
            device_attach(state_dir, want[i].volume_id, want[i].raw_path, e) < 0)
            return err_prefix(e, "device of %s", want[i].volume_id);
    }
    return 0;
}
