/* Serving disks through nbdkit; see serve.h.
 *
 * The sockets are in a directory of mode 0700 and listen before nbdkit starts, so a
 * client is ready when the server greets it: that is what is waited for. A SIGKILL of
 * ours ends the servers with us (--exit-with-parent) and leaves that directory, empty but
 * for the sockets. */
#include "image/serve.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "config.h"
#include "image/activated.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <unistd.h>

#define START_WAIT_NS (30 * NS_PER_S)
#define MAX_WORDS     12

struct served_disk {
    struct activated server;
    char *socket; /* owned */
    int hello_fd; /* owned: our own connection, made before the server started */
};

struct image_server {
    char *dir;                 /* owned; removed at the end */
    struct served_disk *disks; /* owned */
    size_t n;
};

static void disk_release(struct served_disk *d)
{
    activated_stop(&d->server);
    if (d->hello_fd >= 0)
        close(d->hello_fd);
    free(d->socket);
}

void image_serve_stop(struct image_server *s)
{
    struct err ignored;

    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        disk_release(&s->disks[i]);
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
        err_sys(e,
                "hotadd's nbdkit plugin, %s; install hotadd, or set "
                "HOTADD_NBDKIT_PLUGIN",
                path);
        free(path);
        return -1;
    }
    *ret = path;
    return 0;
}

/* What is the same for all disks. */
struct serve_spec {
    const char *plugin; /* all borrowed */
    const char *source;
    const struct image_options *opt; /* may be NULL */
    const struct strv *words;        /* may be NULL */
};

static int start_one(struct served_disk *d, const struct serve_spec *spec, size_t number,
                     struct err *e)
{
    const struct image_options *opt = spec->opt;
    const char *format = opt && opt->format ? opt->format : "";
    auto_free char *src = str_fmt(e, "source=%s", spec->source);
    auto_free char *disk = str_fmt(e, "disk=%zu", number);
    auto_free char *fmt = str_fmt(e, "format=%s", format);
    auto_fd int listen_fd = -1;
    const char *trust =
        opt && opt->trust_paths ? "trust-paths=true" : "trust-paths=false";
    const char *argv[MAX_WORDS + 12] = {"nbdkit",
                                        "--foreground",
                                        "--exit-with-parent",
                                        "--readonly",
                                        "--threads",
                                        "4",
                                        spec->plugin,
                                        src,
                                        disk,
                                        trust};
    size_t n = 10;

    if (*format)
        argv[n++] = fmt;
    for (size_t i = 0; spec->words && i < spec->words->n; i++)
        argv[n++] = spec->words->v[i];
    if (!src || !disk || !fmt || activated_listen(d->socket, 16, &listen_fd, e) < 0 ||
        activated_connect(d->socket, &d->hello_fd, e) < 0)
        return -1;
    if (activated_start(&d->server, argv,
                        spec->words && spec->words->n ? ACTIVATED_WHOLE_ENV
                                                      : ACTIVATED_NO_SECRETS,
                        listen_fd, e) < 0)
        return err_prefix(e, "serving disk %zu", number);
    return 0;
}

/* The server ended: what it said on standard error, without its prefixes. */
static int why_ended(struct served_disk *d, size_t number, struct err *e)
{
    char words[800], *said = activated_words(&d->server, words, sizeof words);
    const char *at = strstr(said, "error: ");

    return err_set(e, ERR_INPUT, "disk %zu cannot be served: %s", number,
                   at      ? at + strlen("error: ")
                   : *said ? said
                           : "nbdkit ended");
}

/* Until the server greets (with "NBDMAGIC"), ends, or takes too long. */
static int wait_for(struct served_disk *d, size_t number, const struct cancel *cancel,
                    struct err *e)
{
    uint64_t deadline_ns = clock_mono_ns() + START_WAIT_NS, now_ns;
    auto_fd int s = take_fd(&d->hello_fd);
    char hello[8];

    while ((now_ns = clock_mono_ns()) < deadline_ns) {
        struct pollfd p[] = {{.fd = s, .events = POLLIN},
                             {.fd = d->server.child.pid_fd, .events = POLLIN},
                             {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN}};
        int ms = (int)((deadline_ns - now_ns) / NS_PER_MS) + 1;

        if (poll(p, 3, ms) < 0 && errno != EINTR)
            return err_sys(e, "poll");
        if (cancel_check(cancel, e) < 0)
            return -1;
        if (p[0].revents && read(s, hello, sizeof hello) == sizeof hello)
            return 0;
        if (p[0].revents || p[1].revents)
            return why_ended(d, number, e);
    }
    return err_set(e, ERR_TIMEOUT, "nbdkit did not answer on %s in time", d->socket);
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

static int start_all(struct image_server *s, struct serve_spec *spec, size_t n_disks,
                     const struct cancel *cancel, struct err *e)
{
    auto_free char *plugin = NULL;

    s->disks = mem_zalloc(n_disks, sizeof *s->disks, e);
    if (!s->disks || make_dir(s, e) < 0 || plugin_path(&plugin, e) < 0)
        return -1;
    spec->plugin = plugin;
    for (; s->n < n_disks; s->n++) {
        struct served_disk *d = &s->disks[s->n];

        d->server = (struct activated)ACTIVATED_INIT;
        d->hello_fd = -1;
        d->socket = str_fmt(e, "%s/disk%zu", s->dir, s->n + 1);
        if (!d->socket)
            return -1;
        if (start_one(d, spec, s->n + 1, e) < 0) {
            disk_release(d);
            return -1;
        }
    }
    for (size_t i = 0; i < n_disks; i++)
        if (wait_for(&s->disks[i], i + 1, cancel, e) < 0)
            return -1;
    return 0;
}

int image_serve_start(const char *path_or_uri, size_t n_disks,
                      const struct image_options *opt, const struct strv *words,
                      const struct cancel *cancel, struct image_server **ret,
                      struct err *e)
{
    struct serve_spec spec = {.source = path_or_uri, .opt = opt, .words = words};
    struct image_server *s = mem_zalloc(1, sizeof *s, e);

    assert(!words || words->n <= MAX_WORDS);
    if (!s)
        return -1;
    if (start_all(s, &spec, n_disks, cancel, e) < 0) {
        image_serve_stop(s);
        return -1;
    }
    *ret = s;
    return 0;
}
