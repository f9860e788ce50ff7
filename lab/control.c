/* The control socket; see control.h. A socket file left by a crash is replaced at the
 * next start; the lock on the state directory makes that safe. */
#include "lab/control.h"

#include "lab/faults.h"
#include "lab/instance.h"
#include "lab/machines.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#define MAX_MESSAGE (1u << 20)

struct control {
    struct lab *lab;
    void (*stop)(void *ctx);
    void *ctx;
    int fd, quit_fd, dir_fd;
    pthread_t thread;
};

/* A state directory's path may be longer than a socket address can be: the socket is
 * reached through a descriptor of the directory. */
static int address(const char *state_dir, struct sockaddr_un *sa, int *ret_dir_fd,
                   struct err *e)
{
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    *ret_dir_fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*ret_dir_fd < 0)
        return err_sys(e, "%s: open", state_dir);
    snprintf(sa->sun_path, sizeof sa->sun_path, "/proc/self/fd/%d/control.sock",
             *ret_dir_fd);
    return 0;
}

/* ---- The server's side ---- */

static json_t *instance_status(struct lab *lab, const json_t *doc)
{
    const char *id = json_str_or(doc, "instanceId", "");
    struct machine_view v = machines_view(lab, id);
    const char *name = "";
    json_t *t, *o;
    size_t i;
    char ssh[40] = "";

    json_array_foreach (json_object_get(doc, "tagSet"), i, t)
        if (str_eq(json_str_or(t, "key", ""), "Name"))
            name = json_str_or(t, "value", "");
    if (v.ssh_port)
        snprintf(ssh, sizeof ssh, "ssh -p %u 127.0.0.1", v.ssh_port);
    o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:i, s:b, s:b, s:b}", "instanceId",
                  id, "name", name, "state", instance_state(doc), "instanceType",
                  json_str_or(doc, "instanceType", ""), "privateIpAddress",
                  json_str_or(doc, "privateIpAddress", ""), "proxy",
                  instance_is_proxy(doc), "ssh", ssh, "sshPort", (int)v.ssh_port,
                  "dhcpLease", v.health.dhcp_lease, "answers", v.health.answers,
                  "service", v.health.service);
    return o;
}

static int list_instances(struct lab *lab, json_t **ret, struct err *e)
{
    json_t *docs, *d, *list = json_array();
    size_t i;
    int r = list ? store_list(lab->store, "instance", &docs, e) : err_nomem(e);

    if (r < 0) {
        json_decref(list);
        return -1;
    }
    json_array_foreach (docs, i, d)
        if (r == 0)
            r = json_add(list, instance_status(lab, d), e);
    json_decref(docs);
    if (r < 0) {
        json_decref(list);
        return -1;
    }
    *ret = list;
    return 0;
}

static int count(struct lab *lab, const char *kind, json_t *out, const char *name,
                 struct err *e)
{
    json_t *docs;
    int r;

    if (store_list(lab->store, kind, &docs, e) < 0)
        return -1;
    r = json_put(out, name, json_integer((json_int_t)json_array_size(docs)), e);
    json_decref(docs);
    return r;
}

static int status(struct lab *lab, json_t **ret, struct err *e)
{
    char api[40], imds[40];
    json_t *list, *o;

    if (list_instances(lab, &list, e) < 0)
        return -1;
    snprintf(api, sizeof api, "http://127.0.0.1:%u", lab->api_port);
    snprintf(imds, sizeof imds, "http://127.0.0.1:%u", lab->imds_port);
    o = json_pack("{s:i, s:s, s:s, s:s, s:s, s:o}", "pid", (int)getpid(), "state",
                  lab->state_dir, "endpoint", api, "metadata", imds, "proxy",
                  lab_meta(lab, "proxy") ? lab_meta(lab, "proxy") : "", "instances",
                  list);
    if (!o)
        return err_nomem(e);
    if (count(lab, "volume", o, "volumes", e) < 0 ||
        count(lab, "snapshot", o, "snapshots", e) < 0 ||
        count(lab, "image", o, "images", e) < 0 ||
        count(lab, "fault", o, "faults", e) < 0) {
        json_decref(o);
        return -1;
    }
    *ret = o;
    return 0;
}

static int handle(struct control *c, const json_t *rq, json_t **ret, struct err *e)
{
    const char *what = json_str_or(rq, "command", "");
    const json_t *doc;

    if (str_eq(what, "status"))
        return status(c->lab, ret, e);
    if (str_eq(what, "faults-list"))
        return faults_list(c->lab, ret, e);
    if (str_eq(what, "faults-add")) {
        if (faults_add(c->lab, json_object_get(rq, "fault"), &doc, e) < 0)
            return -1;
        *ret = json_deep_copy(doc);
        return *ret ? 0 : err_nomem(e);
    }
    if (str_eq(what, "faults-clear")) {
        if (faults_clear(c->lab, json_string_value(json_object_get(rq, "id")), e) < 0)
            return -1;
    } else if (!str_eq(what, "stop")) {
        return err_set(e, ERR_USAGE, "unknown command '%.40s'", what);
    }
    *ret = json_object();
    return *ret ? 0 : err_nomem(e);
}

static void serve_one(struct control *c, int fd)
{
    struct timeval limit = {.tv_sec = 5};
    auto_buf struct buf in = BUF_INIT;
    struct err e = ERR_INIT;
    json_t *rq = NULL, *answer = NULL, *reply;
    char *text;
    int r;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    r = io_read_fd(fd, MAX_MESSAGE, &in, "control request", &e);
    if (r == 0)
        r = json_parse(buf_str(&in), in.len, "control request", &rq, &e);
    if (r == 0) {
        pthread_mutex_lock(&c->lab->lock);
        r = handle(c, rq, &answer, &e);
        pthread_mutex_unlock(&c->lab->lock);
    }
    reply = r == 0 ? json_pack("{s:o}", "answer", answer)
                   : json_pack("{s:s}", "error", e.msg);
    text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
    if (text)
        io_write_best_effort(fd, text, strlen(text));
    free(text);
    json_decref(reply);
    if (r == 0 && str_eq(json_str_or(rq, "command", ""), "stop"))
        c->stop(c->ctx);
    json_decref(rq);
}

static void *control_main(void *arg)
{
    struct control *c = arg;
    struct pollfd p[2] = {{.fd = c->fd, .events = POLLIN},
                          {.fd = c->quit_fd, .events = POLLIN}};

    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (p[1].revents)
            return NULL;
        if (p[0].revents) {
            auto_fd int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC);

            if (fd >= 0)
                serve_one(c, fd);
        }
    }
}

static int listen_on(struct control *c, struct err *e)
{
    struct sockaddr_un sa;
    mode_t old;
    int r;

    if (address(c->lab->state_dir, &sa, &c->dir_fd, e) < 0)
        return -1;
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return err_sys(e, "control socket");
    unlink(sa.sun_path);
    old = umask(077);
    r = bind(c->fd, (struct sockaddr *)&sa, sizeof sa);
    umask(old);
    if (r < 0 || listen(c->fd, 8) < 0)
        return err_sys(e, "%s/control.sock: listen", c->lab->state_dir);
    c->quit_fd = eventfd(0, EFD_CLOEXEC);
    return c->quit_fd < 0 ? err_sys(e, "eventfd") : 0;
}

static void control_free(struct control *c)
{
    auto_fd_fn(&c->fd);
    auto_fd_fn(&c->quit_fd);
    auto_fd_fn(&c->dir_fd);
    free(c);
}

int control_start(struct lab *lab, void (*stop)(void *ctx), void *ctx,
                  struct control **ret, struct err *e)
{
    struct control *c = mem_zalloc(1, sizeof *c, e);
    int n;

    if (!c)
        return -1;
    *c = (struct control){lab, stop, ctx, .fd = -1, .quit_fd = -1, .dir_fd = -1};
    if (listen_on(c, e) < 0) {
        control_free(c);
        return -1;
    }
    n = pthread_create(&c->thread, NULL, control_main, c);
    if (n) {
        control_free(c);
        return err_sys_n(e, n, "start the control thread");
    }
    *ret = c;
    return 0;
}

void control_end(struct control *c)
{
    uint64_t one = 1;

    if (!c)
        return;
    io_write_best_effort(c->quit_fd, &one, sizeof one);
    pthread_join(c->thread, NULL);
    unlinkat(c->dir_fd, "control.sock", 0);
    control_free(c);
}

/* ---- The client's side ---- */

static int exchange(const char *state_dir, const char *text, struct buf *out,
                    struct err *e)
{
    auto_fd int dir_fd = -1;
    auto_fd int fd = -1;
    struct sockaddr_un sa;

    if (address(state_dir, &sa, &dir_fd, e) < 0) {
        if (e->sys_errno == ENOENT)
            return err_set(e, ERR_NOT_FOUND, "%s: there is no such lab", state_dir);
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(e, "control socket");
    if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
        if (errno == ENOENT || errno == ECONNREFUSED)
            return err_set(e, ERR_NOT_FOUND,
                           "%s: the lab is not being served; start it with 'hotadd-lab "
                           "serve --state %s --daemon'",
                           state_dir, state_dir);
        return err_sys(e, "%s/control.sock: connect", state_dir);
    }
    if (io_write_full(fd, text, strlen(text), "control socket", e) < 0)
        return -1;
    shutdown(fd, SHUT_WR);
    return io_read_fd(fd, 16 * MAX_MESSAGE, out, "control socket", e);
}

int control_ask(const char *state_dir, const json_t *request, json_t **ret, struct err *e)
{
    auto_buf struct buf out = BUF_INIT;
    auto_free char *text = NULL;
    json_t *reply;
    const char *error;

    if (json_text(request, &text, e) < 0 || exchange(state_dir, text, &out, e) < 0 ||
        json_parse(buf_str(&out), out.len, "the lab's answer", &reply, e) < 0)
        return -1;
    error = json_string_value(json_object_get(reply, "error"));
    if (error)
        err_set(e, ERR_FAILED, "%s", error);
    else
        *ret = json_incref(json_object_get(reply, "answer"));
    json_decref(reply);
    return error ? -1 : 0;
}
