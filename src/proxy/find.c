/* Finding attached volumes; see device.h.
 *
 * Invariant: a device is returned for a volume only by the volume's identity, or, on Xen,
 * by the name that Xen derives from the API's; and never when it carries another serial
 * number. Leaves nothing. */
#include "proxy/private.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "proxy/slot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* sysfs tells inotify nothing, so it is looked at this often. */
#define LOOK_NS (500 * NS_PER_MS)

const char *paths_dev(const struct proxy_paths *p)
{
    return p && p->dev ? p->dev : "/dev";
}

const char *paths_sys(const struct proxy_paths *p)
{
    return p && p->sys ? p->sys : "/sys";
}

const char *paths_proc(const struct proxy_paths *p)
{
    return p && p->proc ? p->proc : "/proc";
}

const char *paths_run(const struct proxy_paths *p)
{
    return p && p->run ? p->run : "/run/hotadd";
}

const char *proxy_device_how_name(enum proxy_device_how how)
{
    switch (how) {
    case PROXY_BY_ID:
        return "by-id link";
    case PROXY_BY_SERIAL:
        return "NVMe serial number";
    default:
        return "Xen device name";
    }
}

int proxy_serial(const char *volume_id, char out[PROXY_SERIAL_LEN], struct err *e)
{
    size_t n;

    if (!str_starts(volume_id, "vol-"))
        return err_set(e, ERR_USAGE, "\"%.40s\" is no volume id", volume_id);
    n = strspn(volume_id + 4, "0123456789abcdef");
    /* Eight digits, or seventeen since 2016. */
    if ((n != 8 && n != 17) || volume_id[4 + n])
        return err_set(e, ERR_USAGE, "\"%.40s\" is no volume id", volume_id);
    snprintf(out, PROXY_SERIAL_LEN, "vol%s", volume_id + 4);
    return 0;
}

int read_line(const char *path, char *out, size_t out_len)
{
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, out_len - 1);

    if (n < 0)
        return -1;
    out[n] = 0;
    out[strcspn(out, "\n")] = 0;
    n = (ssize_t)strlen(out);
    while (n > 0 && out[n - 1] == ' ')
        out[--n] = 0;
    return 0;
}

int device_serial(const struct proxy_paths *paths, dev_t rdev, char out[PROXY_SERIAL_LEN])
{
    char path[PROXY_LONG_PATH], line[64];

    snprintf(path, sizeof path, "%s/dev/block/%u:%u/device/serial", paths_sys(paths),
             major(rdev), minor(rdev));
    if (read_line(path, line, sizeof line) < 0 || !line[0])
        return -1;
    snprintf(out, PROXY_SERIAL_LEN, "%.*s", PROXY_SERIAL_LEN - 1, line);
    return 0;
}

struct search {
    const struct proxy_paths *paths;
    const char *volume_id;
    char serial[PROXY_SERIAL_LEN];
    char xen[PROXY_SLOT_NAME_LEN]; /* "" when the API name gives none */
    char rejected[200];            /* why a device that showed was not taken */
};

static void reject(struct search *s, const char *path, const char *serial)
{
    snprintf(s->rejected, sizeof s->rejected, "; %.80s is volume %.30s", path, serial);
}

/* Resolves a name and looks at what is there: 1 usable, 0 not. */
static int accept_path(struct search *s, const char *name, enum proxy_device_how how,
                       struct proxy_device *ret)
{
    auto_free char *real = realpath(name, NULL);
    char serial[PROXY_SERIAL_LEN];
    struct stat st;

    if (!real || stat(real, &st) < 0 || strlen(real) >= sizeof ret->path)
        return 0;
    if (S_ISBLK(st.st_mode)) {
        if (device_serial(s->paths, st.st_rdev, serial) == 0 &&
            !str_eq(serial, s->serial)) {
            reject(s, real, serial);
            return 0;
        }
        /* A SCSI disk of that name would be somebody else's. */
        if (how == PROXY_BY_NAME && !strstr(real, "/xvd") && !strstr(real, "/nvme"))
            return 0;
    } else if (!S_ISREG(st.st_mode)) {
        return 0;
    }
    *ret = (struct proxy_device){.how = how};
    snprintf(ret->volume_id, sizeof ret->volume_id, "%s", s->volume_id);
    snprintf(ret->path, sizeof ret->path, "%s", real);
    return 1;
}

static int look_by_id(struct search *s, struct proxy_device *ret)
{
    /* Newer udev also makes names with the namespace's number. */
    static const char *const tails[] = {"", "_1"};
    char name[PROXY_LONG_PATH];

    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        snprintf(name, sizeof name, "%s/disk/by-id/nvme-Amazon_Elastic_Block_Store_%s%s",
                 paths_dev(s->paths), s->serial, tails[i]);
        if (accept_path(s, name, PROXY_BY_ID, ret))
            return 1;
    }
    return 0;
}

static int look_by_serial(struct search *s, struct proxy_device *ret)
{
    char path[PROXY_LONG_PATH], serial[64];
    struct dirent *de;
    int found = 0;
    DIR *d;

    snprintf(path, sizeof path, "%s/block", paths_sys(s->paths));
    d = opendir(path);
    if (!d)
        return 0;
    while (!found && (de = readdir(d))) {
        if (!str_starts(de->d_name, "nvme") || strlen(de->d_name) > 32)
            continue;
        snprintf(path, sizeof path, "%s/block/%s/device/serial", paths_sys(s->paths),
                 de->d_name);
        if (read_line(path, serial, sizeof serial) < 0 || !str_eq(serial, s->serial))
            continue;
        snprintf(path, sizeof path, "%s/%s", paths_dev(s->paths), de->d_name);
        found = accept_path(s, path, PROXY_BY_SERIAL, ret);
    }
    closedir(d);
    return found;
}

static int look_by_name(struct search *s, struct proxy_device *ret)
{
    char name[PROXY_LONG_PATH];

    if (!s->xen[0])
        return 0;
    snprintf(name, sizeof name, "%s/%s", paths_dev(s->paths), s->xen);
    return accept_path(s, name, PROXY_BY_NAME, ret);
}

static int look(struct search *s, struct proxy_device *ret)
{
    s->rejected[0] = 0;
    return look_by_id(s, ret) || look_by_serial(s, ret) || look_by_name(s, ret);
}

/* Watches the folders that are there by now; watching one twice is one watch. */
static void watch(int fd, const struct proxy_paths *paths)
{
    static const char *const below[] = {"", "/disk", "/disk/by-id"};

    for (size_t i = 0; i < sizeof below / sizeof below[0]; i++) {
        char path[PROXY_LONG_PATH];

        snprintf(path, sizeof path, "%s%s", paths_dev(paths), below[i]);
        /* One that is missing will be watched when its parent has told of it. */
        if (inotify_add_watch(fd, path, IN_CREATE | IN_DELETE | IN_MOVE | IN_ATTRIB) < 0)
            return;
    }
}

/* Until a folder changes, the deadline, the next look, or a cancellation. */
static int wait_for_change(int fd, uint64_t deadline_ns, const struct cancel *cancel,
                           struct err *e)
{
    struct pollfd p[] = {{.fd = fd, .events = POLLIN},
                         {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN}};
    uint64_t now_ns = clock_mono_ns(), ns;
    struct timespec ts;
    char events[4096];

    ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    if (ns > LOOK_NS)
        ns = LOOK_NS;
    ts = (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S),
                           .tv_nsec = (long)(ns % NS_PER_S)};
    if (ppoll(p, 2, &ts, NULL) < 0 && errno != EINTR)
        return err_sys(e, "poll");
    while (fd >= 0 && read(fd, events, sizeof events) > 0)
        ;
    return cancel_check(cancel, e);
}

static int start_search(struct search *s, const struct proxy_paths *paths,
                        const char *volume_id, const char *api_name, struct err *e)
{
    *s = (struct search){.paths = paths, .volume_id = volume_id};
    if (proxy_serial(volume_id, s->serial, e) < 0)
        return -1;
    proxy_slot_xen_name(api_name, s->xen);
    return 0;
}

enum wanted { WANTED_THERE, WANTED_GONE };

static int wait_until(struct search *s, enum wanted wanted, uint64_t deadline_ns,
                      const struct cancel *cancel, struct proxy_device *found,
                      struct err *e)
{
    /* Without inotify it is the looks that find it. */
    auto_fd int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    for (;;) {
        if (cancel_check(cancel, e) < 0)
            return -1;
        if (fd >= 0)
            watch(fd, s->paths);
        if (look(s, found) == (wanted == WANTED_THERE))
            return 0;
        if (clock_mono_ns() >= deadline_ns)
            return err_set(e, ERR_TIMEOUT, "timeout");
        if (wait_for_change(fd, deadline_ns, cancel, e) < 0)
            return -1;
    }
}

int proxy_device_find(const struct proxy_paths *paths, const char *volume_id,
                      const char *api_name, uint64_t deadline_ns,
                      const struct cancel *cancel, struct proxy_device *ret,
                      struct err *e)
{
    struct proxy_device found;
    struct search s;

    if (start_search(&s, paths, volume_id, api_name, e) < 0)
        return -1;
    if (wait_until(&s, WANTED_THERE, deadline_ns, cancel, &found, e) < 0) {
        if (e->kind == ERR_TIMEOUT)
            err_set(e, ERR_TIMEOUT,
                    "%s, attached as %s, shows as no device: neither "
                    "%s/disk/by-id/nvme-Amazon_Elastic_Block_Store_%s, nor an NVMe disk "
                    "with that serial number in %s/block, nor %s/%s%s",
                    volume_id, api_name, paths_dev(paths), s.serial, paths_sys(paths),
                    paths_dev(paths), s.xen[0] ? s.xen : "xvd?", s.rejected);
        return -1;
    }
    *ret = found;
    return 0;
}

int proxy_device_gone(const struct proxy_paths *paths, const char *volume_id,
                      const char *api_name, uint64_t deadline_ns,
                      const struct cancel *cancel, struct err *e)
{
    struct proxy_device found;
    struct search s;

    if (start_search(&s, paths, volume_id, api_name, e) < 0)
        return -1;
    if (wait_until(&s, WANTED_GONE, deadline_ns, cancel, &found, e) < 0) {
        if (e->kind == ERR_TIMEOUT)
            err_set(e, ERR_TIMEOUT, "%s still shows as %s", volume_id, found.path);
        return -1;
    }
    return 0;
}

/* ---- keeping udev quiet ---- */

bool proxy_quiet_mark(const struct proxy_paths *paths, const char *volume_id)
{
    char serial[PROXY_SERIAL_LEN], path[PROXY_LONG_PATH];
    struct err ignored;
    auto_fd int fd = -1;

    if (proxy_serial(volume_id, serial, &ignored) < 0)
        return false;
    snprintf(path, sizeof path, "%s/quiet", paths_run(paths));
    if (io_mkdir_all(path, 0755, &ignored) < 0)
        return false;
    snprintf(path, sizeof path, "%s/quiet/%s", paths_run(paths), serial);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    return fd >= 0;
}

void proxy_quiet_unmark(const struct proxy_paths *paths, const char *volume_id)
{
    char serial[PROXY_SERIAL_LEN], path[PROXY_LONG_PATH];
    struct err ignored;

    if (proxy_serial(volume_id, serial, &ignored) < 0)
        return;
    snprintf(path, sizeof path, "%s/quiet/%s", paths_run(paths), serial);
    /* A mark that stays does no harm: volume ids do not come back. */
    unlink(path);
}
