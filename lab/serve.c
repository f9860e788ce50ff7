/* Serving a lab; see serve.h.
 *
 * STATE/lab.lock is held (flock) for as long as the lab lives, so a second server on the
 * same directory is refused and a killed one leaves nothing to clean up. STATE/lab.json
 * tells clients where the lab listens; it is written last, when all ports answer. */
#include "lab/serve.h"

#include "lab/api.h"
#include "lab/control.h"
#include "lab/imds.h"
#include "lab/keeper.h"
#include "lab/s3.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

int serve_parse_listen(const char *text, int *ret_port, struct err *e)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    uint64_t port;

    if (!colon || str_to_u64(colon + 1, &port, e) < 0 || port > 65535)
        return err_set(e, ERR_USAGE,
                       "--listen %.60s: expected ADDRESS:PORT, like 127.0.0.1:0", text);
    if (!(n == 9 && strncmp(text, "127.0.0.1", n) == 0) &&
        !(n == 9 && strncmp(text, "localhost", n) == 0))
        return err_set(
            e, ERR_USAGE,
            "--listen %.60s: the lab listens on 127.0.0.1 only: whoever reaches "
            "it can boot machines here",
            text);
    *ret_port = (int)port;
    return 0;
}

static int take_lock(const char *state_dir, int *ret_fd, struct err *e)
{
    auto_free char *path = str_fmt(e, "%s/lab.lock", state_dir);
    auto_fd int fd = -1;

    if (!path)
        return -1;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, "%s: open", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK)
            return err_set(e, ERR_BUSY,
                           "%s: this lab is being served already; 'hotadd-lab stop "
                           "--state %s' ends it",
                           state_dir, state_dir);
        return err_sys(e, "%s: lock", path);
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

/* Everything that lives while the lab is served. */
struct serving {
    struct lab *lab;
    struct http_server *api, *imds;
    struct control *control;
    struct keeper *keeper;
    int stop_fd; /* readable when somebody asked for the end */
};

static void on_stop(void *ctx)
{
    struct serving *s = ctx;
    uint64_t one = 1;

    io_write_best_effort(s->stop_fd, &one, sizeof one);
}

/* In reverse order of start_parts(): no request may meet a lab that is half gone. */
static void stop_parts(struct serving *s)
{
    control_end(s->control);
    http_stop(s->api);
    http_stop(s->imds);
    keeper_stop(s->keeper);
    lab_close(s->lab);
    auto_fd_fn(&s->stop_fd);
}

static uint16_t remembered_port(struct lab *lab, const char *key)
{
    const char *text = lab_meta(lab, key);
    struct err e = ERR_INIT;
    uint64_t port = 0;

    return text && str_to_u64(text, &port, &e) == 0 && port <= 65535 ? (uint16_t)port : 0;
}

/* On the wanted port, or for -1 on the one of the last start if it is still free. */
static int start_http(struct lab *lab, int wanted, const char *key, http_handler *handler,
                      const struct http_uploads *uploads, struct http_server **ret,
                      uint16_t *ret_port, struct err *e)
{
    uint16_t last = wanted < 0 ? remembered_port(lab, key) : (uint16_t)wanted;
    char text[8];

    if (http_start(last, handler, uploads, lab, ret, ret_port, e) < 0 &&
        (wanted > 0 || last == 0 ||
         http_start(0, handler, uploads, lab, ret, ret_port, e) < 0))
        return -1;
    snprintf(text, sizeof text, "%u", *ret_port);
    return lab_meta_set(lab, key, text, e);
}

static int write_where(struct lab *lab, struct err *e)
{
    auto_free char *path = str_fmt(e, "%s/lab.json", lab->state_dir);
    auto_free char *text = NULL;
    json_t *o;
    int r;

    if (!path)
        return -1;
    o = json_pack("{s:i, s:i, s:i, s:s, s:s, s:s}", "pid", (int)getpid(), "port",
                  (int)lab->api_port, "imdsPort", (int)lab->imds_port, "accessKeyId",
                  lab_meta(lab, "access_key"), "secretAccessKey",
                  lab_meta(lab, "secret_key"), "proxy", lab_meta(lab, "proxy"));
    if (!o)
        return err_nomem(e);
    r = json_text(o, &text, e);
    json_decref(o);
    if (r < 0)
        return -1;
    return io_write_file_atomic(path, text, strlen(text), 0600, e);
}

static int start_parts(struct serving *s, const struct serve_options *o, const char *dir,
                       struct err *e)
{
    int r;

    s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->stop_fd < 0)
        return err_sys(e, "eventfd");
    if (lab_open(dir, &o->set, &s->lab, e) < 0 || keeper_start(s->lab, &s->keeper, e) < 0)
        return -1;
    /* Held so that no request runs between the ports' start and their being written. */
    pthread_mutex_lock(&s->lab->lock);
    r = start_http(s->lab, o->port, "api_port", api_handle, &s3_uploads, &s->api,
                   &s->lab->api_port, e);
    if (r == 0)
        r = start_http(s->lab, -1, "imds_port", imds_handle, NULL, &s->imds,
                       &s->lab->imds_port, e);
    if (r == 0)
        r = store_commit(s->lab->store, e);
    if (r < 0)
        store_rollback(s->lab->store);
    pthread_mutex_unlock(&s->lab->lock);
    if (r < 0 || control_start(s->lab, on_stop, s, &s->control, e) < 0)
        return -1;
    return write_where(s->lab, e);
}

static int wait_for_end(const struct serving *s, struct err *e)
{
    auto_fd int sig_fd = -1;
    struct pollfd p[2];
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sig_fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (sig_fd < 0)
        return err_sys(e, "signalfd");
    p[0] = (struct pollfd){.fd = s->stop_fd, .events = POLLIN};
    p[1] = (struct pollfd){.fd = sig_fd, .events = POLLIN};
    while (poll(p, 2, -1) < 0)
        if (errno != EINTR)
            return err_sys(e, "poll");
    return 0;
}

/* ready_fd: written to once the lab serves, -1 for none. */
static int serve_here(const struct serve_options *o, const char *dir, int ready_fd,
                      struct err *e)
{
    struct serving s = {.stop_fd = -1};
    auto_fd int lock = -1;
    sigset_t set;
    int r;

    /* Blocked before any thread exists, so that all inherit it. */
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (take_lock(dir, &lock, e) < 0)
        return -1;
    r = start_parts(&s, o, dir, e);
    if (r == 0) {
        log_info("serving %s: http://127.0.0.1:%u, metadata http://127.0.0.1:%u", dir,
                 s.lab->api_port, s.lab->imds_port);
        if (ready_fd >= 0)
            io_write_best_effort(ready_fd, "ok", 2);
        r = wait_for_end(&s, e);
        log_info("stopping %s", dir);
    }
    stop_parts(&s);
    return r;
}

static int redirect(const char *dir, struct err *e)
{
    auto_free char *path = str_fmt(e, "%s/lab.log", dir);
    auto_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    auto_fd int log = -1;

    if (!path)
        return -1;
    log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || null < 0)
        return err_sys(e, "%s: open", path);
    if (dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0)
        return err_sys(e, "redirect to %s", path);
    return 0;
}

/* Closes every descriptor but the standard ones and fd, which becomes 3. */
static int keep_only(int fd)
{
    if (fd != 3 && dup3(fd, 3, O_CLOEXEC) == 3)
        fd = 3;
    close_range((unsigned)fd + 1, ~0u, 0);
    return fd;
}

/* The background process; its errors go to the pipe until it serves. */
static int daemon_child(const struct serve_options *o, const char *dir, int pipe_fd)
{
    struct err e = ERR_INIT;

    setsid();
    /* Descriptors that the caller's shell left open must not live as long as the lab: a
     * lock taken by flock(1) around the command would never be let go. */
    pipe_fd = keep_only(pipe_fd);
    if (redirect(dir, &e) == 0 && serve_here(o, dir, pipe_fd, &e) == 0)
        return 0;
    log_error("%s", e.msg);
    io_write_best_effort(pipe_fd, e.msg, strlen(e.msg));
    return 1;
}

static int wait_ready(int fd, struct err *e)
{
    char text[1300];
    size_t n = 0;
    ssize_t got;

    while (n < sizeof text - 1 && (got = read(fd, text + n, sizeof text - 1 - n)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(e, "wait for the lab");
        n += (size_t)got;
        if (n == 2 && memcmp(text, "ok", 2) == 0)
            return 0;
    }
    text[n] = 0;
    return err_set(e, ERR_FAILED, "%s", n ? text : "the lab ended before it served");
}

static int run_daemon(const struct serve_options *o, const char *dir, struct err *e)
{
    int p[2];
    pid_t pid;
    int r;

    if (pipe2(p, O_CLOEXEC) < 0)
        return err_sys(e, "pipe");
    /* fork, not posix_spawn: no thread exists yet, and the child goes on with this very
     * program and its options. */
    pid = fork();
    if (pid < 0) {
        err_sys(e, "fork");
        close(p[0]);
        close(p[1]);
        return -1;
    }
    if (pid == 0) {
        close(p[0]);
        _exit(daemon_child(o, dir, p[1]));
    }
    close(p[1]);
    r = wait_ready(p[0], e);
    close(p[0]);
    if (r < 0)
        waitpid(pid, NULL, 0);
    return r;
}

int serve_run(const struct serve_options *o, struct err *e)
{
    auto_free char *dir = NULL;

    if (io_mkdir_all(o->state_dir, 0700, e) < 0)
        return -1;
    dir = realpath(o->state_dir, NULL);
    if (!dir)
        return err_sys(e, "%s: resolve", o->state_dir);
    return o->daemon ? run_daemon(o, dir, e) : serve_here(o, dir, -1, e);
}

int serve_wait_ended(const char *state_dir, struct err *e)
{
    auto_free char *path = str_fmt(e, "%s/lab.lock", state_dir);
    auto_fd int fd = -1;

    if (!path)
        return -1;
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_sys(e, "%s: open", path);
    for (int i = 0; i < 1200; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_sys(e, "%s: lock", path);
        usleep(100 * 1000);
    }
    return err_set(e, ERR_TIMEOUT, "%s: the lab does not end", state_dir);
}

static int read_where(const char *dir, json_t **ret, struct err *e)
{
    auto_free char *path = str_fmt(e, "%s/lab.json", dir);
    auto_buf struct buf text = BUF_INIT;

    if (!path)
        return -1;
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return err_set(
            e, ERR_NOT_FOUND,
            "%s: no lab was ever served here; start one with 'hotadd-lab serve "
            "--state %s --daemon'",
            dir, dir);
    if (io_read_file(path, 65536, &text, e) < 0)
        return -1;
    return json_parse(buf_str(&text), text.len, path, ret, e);
}

/* For the shell: 'it'\''s'. */
static void print_export(const char *name, const char *value)
{
    printf("export %s='", name);
    for (; *value; value++)
        if (*value == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*value);
    puts("'");
}

int serve_print_env(const char *state_dir, struct err *e)
{
    auto_free char *dir = realpath(state_dir, NULL);
    auto_free char *dev = NULL;
    char api[40], imds[40];
    json_t *o;

    if (!dir)
        return err_sys(e, "%s", state_dir);
    dev = str_fmt(e, "%s/dev", dir);
    if (!dev || read_where(dir, &o, e) < 0)
        return -1;
    snprintf(api, sizeof api, "http://127.0.0.1:%d", (int)json_u64_or(o, "port", 0));
    snprintf(imds, sizeof imds, "http://127.0.0.1:%d",
             (int)json_u64_or(o, "imdsPort", 0));
    print_export("AWS_ACCESS_KEY_ID", json_str_or(o, "accessKeyId", ""));
    print_export("AWS_SECRET_ACCESS_KEY", json_str_or(o, "secretAccessKey", ""));
    puts("unset AWS_SESSION_TOKEN AWS_PROFILE");
    print_export("AWS_REGION", LAB_REGION);
    print_export("AWS_DEFAULT_REGION", LAB_REGION);
    print_export("AWS_ENDPOINT_URL", api);
    print_export("AWS_ENDPOINT_URL_EC2", api);
    print_export("AWS_ENDPOINT_URL_EBS", api);
    print_export("AWS_ENDPOINT_URL_IAM", api);
    print_export("AWS_ENDPOINT_URL_STS", api);
    print_export("AWS_ENDPOINT_URL_S3", api);
    print_export("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds);
    print_export("HOTADD_DEVICE_ROOT", dev);
    json_decref(o);
    return fflush(stdout) == 0 ? 0 : err_sys(e, "write to standard output");
}
