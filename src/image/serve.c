/* Serving disks through nbdkit; see serve.h.
 *
 * The sockets are in a directory of mode 0700. A SIGKILL of ours ends the servers with
 * us (--exit-with-parent) and leaves that directory, empty but for the sockets. */
#include "image/serve.h"

#include "base/child.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define START_WAIT_NS (30 * NS_PER_S)
#define POLL_NS       (20 * NS_PER_MS)
#define STOP_GRACE_NS (3 * NS_PER_S)

struct served_disk {
    struct child child;
    char *socket; /* owned */
};

struct image_server {
    char *dir; /* owned; removed at the end */
    struct served_disk *disks; /* owned */
    size_t n;
};

void image_serve_stop(struct image_server *s)
{
    struct err ignored;

    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        child_stop(&s->disks[i].child, STOP_GRACE_NS);
        free(s->disks[i].socket);
    }
    if (s->dir && io_remove_tree(s->dir, &ignored) < 0)
        rmdir(s->dir);
    free(s->dir);
    free(s->disks);
    free(s);
}

const char *image_server_socket(const struct image_server *s, size_t i)
{
    return s->disks[i].socket;
}

/* Where the plugin is: HOTADD_NBDKIT_PLUGIN, else that of the build tree this program
 * runs from, else the installed one. */
static int plugin_path(char **ret, struct err *e)
{
    const char *given = getenv("HOTADD_NBDKIT_PLUGIN");
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    char *path = NULL;

    if (!given && n > 0) {
        exe[n] = 0;
        for (int up = 0; up < 3 && strrchr(exe, '/'); up++)
            *strrchr(exe, '/') = 0;
        path = str_fmt(e, "%s/nbdkit/nbdkit-hotadd-plugin.so", exe);
        if (!path)
            return -1;
        if (access(path, R_OK) < 0) {
            free(path);
            path = NULL;
        }
    }
    if (!path)
        path = str_dup(given ? given : HOTADD_NBDKIT_PLUGIN, e);
    if (!path)
        return -1;
    if (access(path, R_OK) < 0) {
        err_sys(e, "hotadd's nbdkit plugin, %s; install hotadd, or set "
                   "HOTADD_NBDKIT_PLUGIN",
                path);
        free(path);
        return -1;
    }
    *ret = path;
    return 0;
}

static int start_one(struct served_disk *d, const char *plugin, const char *source,
                     size_t number, const char *format, struct err *e)
{
    auto_free char *src = str_fmt(e, "source=%s", source);
    auto_free char *disk = str_fmt(e, "disk=%zu", number);
    auto_free char *fmt = str_fmt(e, "format=%s", format ? format : "");
    const char *argv[] = {"nbdkit", "--foreground", "--exit-with-parent", "--readonly",
                          "--threads", "4", "--unix", d->socket, plugin, src, disk,
                          format ? fmt : NULL, NULL};
    struct child_spec spec = {.argv = argv,
                              .in = CHILD_NULL,
                              .out = CHILD_NULL,
                              .err = CHILD_PIPE,
                              .new_group = true};

    if (!src || !disk || !fmt)
        return -1;
    if (child_spawn(&spec, &d->child, e) < 0)
        return err_prefix(e, "serving disk %zu (is nbdkit installed?)", number);
    return 0;
}

static bool answers(const char *path)
{
    auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    return fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
}

/* The server ended: what it said on standard error, without its prefixes. */
static int why_ended(struct served_disk *d, size_t number, struct err *e)
{
    auto_buf struct buf text = BUF_INIT;
    const char *said, *at;

    if (io_read_fd(d->child.stderr_fd, 65536, &text, "nbdkit", e) < 0)
        return -1;
    said = buf_str(&text);
    at = strstr(said, "error: ");
    return err_set(e, ERR_INPUT, "disk %zu cannot be served: %s", number,
                   at ? at + strlen("error: ") : said);
}

static int wait_for(struct served_disk *d, size_t number, const struct cancel *cancel,
                    struct err *e)
{
    uint64_t deadline_ns = clock_mono_ns() + START_WAIT_NS;

    while (!answers(d->socket)) {
        struct pollfd p = {.fd = d->child.pid_fd, .events = POLLIN};

        if (poll(&p, 1, 0) > 0)
            return why_ended(d, number, e);
        if (clock_mono_ns() > deadline_ns)
            return err_set(e, ERR_TIMEOUT, "nbdkit did not answer on %s in time",
                           d->socket);
        if (cancel_sleep_ns(cancel, POLL_NS, e) < 0)
            return -1;
    }
    return 0;
}

static int make_dir(struct image_server *s, struct err *e)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = str_fmt(e, "%s/hotadd-XXXXXX", tmp && *tmp ? tmp : "/tmp");

    if (!dir)
        return -1;
    /* Socket names have at most 107 bytes (unix(7)). */
    if (strlen(dir) > 80) {
        err_set(e, ERR_USAGE, "%s: TMPDIR is too long for a socket's name", dir);
    } else if (mkdtemp(dir)) {
        s->dir = dir;
        return 0;
    } else {
        err_sys(e, "%s", dir);
    }
    free(dir);
    return -1;
}

static int start_all(struct image_server *s, const char *path, size_t n_disks,
                     const struct image_options *opt, const struct cancel *cancel,
                     struct err *e)
{
    auto_free char *plugin = NULL;

    s->disks = mem_zalloc(n_disks, sizeof *s->disks, e);
    if (!s->disks || make_dir(s, e) < 0 || plugin_path(&plugin, e) < 0)
        return -1;
    for (; s->n < n_disks; s->n++) {
        struct served_disk *d = &s->disks[s->n];

        d->child = (struct child)CHILD_INIT;
        d->socket = str_fmt(e, "%s/disk%zu", s->dir, s->n + 1);
        if (!d->socket)
            return -1;
        if (start_one(d, plugin, path, s->n + 1, opt ? opt->format : NULL, e) < 0) {
            free(d->socket);
            return -1;
        }
    }
    for (size_t i = 0; i < n_disks; i++)
        if (wait_for(&s->disks[i], i + 1, cancel, e) < 0)
            return -1;
    return 0;
}

int image_serve_start(const char *path_or_uri, size_t n_disks,
                      const struct image_options *opt, const struct cancel *cancel,
                      struct image_server **ret, struct err *e)
{
    struct image_server *s = mem_zalloc(1, sizeof *s, e);

    if (!s)
        return -1;
    if (start_all(s, path_or_uri, n_disks, opt, cancel, e) < 0) {
        image_serve_stop(s);
        return -1;
    }
    *ret = s;
    return 0;
}
