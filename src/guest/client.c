/* Starting hotadd-guest and talking to it; see guest.h.
 *
 * The child leads a process group that holds its appliance too, so that one signal ends
 * all of it: on cancellation, at the deadline, and on any error of ours. Should we be
 * killed, it sees its standard input close. It writes below a directory of its own,
 * removed afterwards; a kill of ours leaves that directory in /tmp. */
#include "guest/guest.h"

#include "base/child.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

#include "config.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEADLINE_NS (600 * NS_PER_S)
#define GRACE_NS    (5 * NS_PER_S)
#define MAX_LINE    (64u << 20)
#define TALK_BYTES                                                                       \
    8192 /* of the child's standard error are kept for the error message                 \
          */

extern char **environ;

struct talk {
    struct child child;
    struct buf out, err;
    const struct progress *progress;
    json_t *result; /* owned */
    struct err failure;
    bool failed;
};

/* ---- starting ---- */

/* Nothing of AWS, and nothing else that is not named here. */
static bool may_inherit(const char *variable)
{
    static const char *const names[] = {
        "PATH=",          "HOME=",         "TMPDIR=",         "LANG=",
        "USER=",          "LIBGUESTFS_",   "SUPERMIN_",       "ASAN_OPTIONS=",
        "UBSAN_OPTIONS=", "LSAN_OPTIONS=", "XDG_RUNTIME_DIR="};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_starts(variable, names[i]) && !str_starts(variable, "LIBGUESTFS_TMPDIR="))
            return true;
    return false;
}

static int child_environment(const char *temp, struct strv *ret, struct err *e)
{
    for (char **p = environ; *p; p++)
        if (may_inherit(*p) && strv_add(ret, *p, e) < 0)
            return -1;
    return strv_addf(ret, e, "LIBGUESTFS_TMPDIR=%s", temp);
}

/* In a build tree the program is beside us or a few folders away. */
static int find_program(const char *given, char **ret, struct err *e)
{
    static const char *const places[] = {"hotadd-guest", "../guest/hotadd-guest",
                                         "../../src/guest/hotadd-guest"};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (given) {
        *ret = str_dup(given, e);
        return *ret ? 0 : -1;
    }
    for (size_t i = 0; n > 0 && i < sizeof places / sizeof places[0]; i++) {
        auto_free char *path = NULL;

        self[n] = 0;
        *strrchr(self, '/') = 0;
        path = str_fmt(e, "%s/%s", self, places[i]);
        if (!path)
            return -1;
        if (access(path, X_OK) == 0) {
            *ret = take_ptr(path);
            return 0;
        }
        n = readlink("/proc/self/exe", self, sizeof self - 1);
    }
    *ret = str_dup(HOTADD_LIBEXECDIR "/hotadd-guest", e);
    return *ret ? 0 : -1;
}

static int start(struct talk *t, const char *given, const char *temp, struct err *e)
{
    auto_free char *program = NULL;
    auto_strv struct strv env = {0};
    const char **envp;
    int r;

    if (find_program(given, &program, e) < 0 || child_environment(temp, &env, e) < 0)
        return -1;
    envp = mem_zalloc(env.n + 1, sizeof *envp, e);
    if (!envp)
        return -1;
    for (size_t i = 0; i < env.n; i++)
        envp[i] = env.v[i];
    const char *argv[] = {program, NULL};
    struct child_spec spec = {.argv = argv,
                              .env = envp,
                              .in = CHILD_PIPE,
                              .out = CHILD_PIPE,
                              .err = CHILD_PIPE,
                              .new_group = true};
    r = child_spawn(&spec, &t->child, e);
    free(envp);
    return r;
}

/* The group goes first and as a whole; the child is reaped last, so that its id, which
 * names the group, cannot have become another's. */
static void stop(struct talk *t, uint64_t grace_ns)
{
    struct pollfd p = {.fd = t->child.pid_fd, .events = POLLIN};

    if (t->child.pid > 0) {
        if (grace_ns) {
            kill(-t->child.pid, SIGTERM);
            while (poll(&p, 1, (int)(grace_ns / NS_PER_MS)) < 0 && errno == EINTR)
                ;
        }
        kill(-t->child.pid, SIGKILL);
    }
    child_stop(&t->child, 0);
}

static void talk_release(struct talk *t)
{
    stop(t, t->result || t->failed ? 0 : GRACE_NS);
    buf_release(&t->out);
    buf_release(&t->err);
    json_decref(t->result);
}

/* ---- the request ---- */

static json_t *disks_json(const struct guest_disk *disks, size_t n, struct err *e)
{
    json_auto_t *a = json_array();

    for (size_t i = 0; i < n; i++) {
        json_t *d = disks[i].nbd_socket
                        ? json_pack("{s:s, s:s}", "socket", disks[i].nbd_socket, "export",
                                    disks[i].nbd_export ? disks[i].nbd_export : "")
                        : json_pack("{s:s}", "path", disks[i].path);

        if (json_add(a, d, e) < 0)
            return NULL;
    }
    return take_ptr(a);
}

static int send_request(struct talk *t, const char *op, const struct guest_disk *disks,
                        size_t n, const struct guest_options *o, struct err *e)
{
    json_auto_t *list = disks_json(disks, n, e), *j = NULL;
    auto_free char *text = NULL;

    if (!list)
        return -1;
    j = json_pack(
        "{s:s, s:O, s:{s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:s?, s:s?, s:s, "
        "s:s?, s:s?}}",
        "op", op, "disks", list, "options", "method", guest_method_name(o->method),
        "profile", guest_profile_name(o->profile), "purpose",
        guest_purpose_name(o->purpose), "firmware", firmware_name(o->firmware), "fix",
        o->fix, "dry_run", o->dry_run, "windows_gpt", o->windows_gpt,
        "discard_hibernation", o->discard_hibernation, "drivers", o->drivers,
        "first_boot", o->first_boot, "first_boot_way",
        first_boot_way_name(o->first_boot_way), "logon_user", o->logon_user,
        "logon_password_file", o->logon_password_file);
    if (!j)
        return err_nomem(e);
    if (json_text(j, &text, e) < 0 ||
        io_write_full(t->child.stdin_fd, text, strlen(text), "hotadd-guest", e) < 0)
        return -1;
    return io_write_full(t->child.stdin_fd, "\n", 1, "hotadd-guest", e);
}

/* ---- its answers ---- */

static void on_progress(struct talk *t, const json_t *p)
{
    struct progress_state s = {.what = json_str_or(p, "what", ""),
                               .done_bytes = json_u64_or(p, "done", 0),
                               .total_bytes = json_u64_or(p, "total", 0),
                               .eta_s = UINT64_MAX};

    progress_report(t->progress, &s);
}

static void on_error(struct talk *t, const json_t *x)
{
    uint64_t kind = json_u64_or(x, "kind", ERR_FAILED);

    t->failed = true;
    err_set(&t->failure,
            kind > ERR_NONE && kind <= ERR_CANCELLED ? (enum err_kind)kind : ERR_FAILED,
            "%s", json_str_or(x, "message", "no reason given"));
}

static int on_line(struct talk *t, const char *line, size_t len, struct err *e)
{
    json_auto_t *j = NULL;
    json_t *x;

    if (json_parse(line, len, "answer of hotadd-guest", &j, e) < 0)
        return -1;
    if ((x = json_object_get(j, "progress")))
        on_progress(t, x);
    else if ((x = json_object_get(j, "error")))
        on_error(t, x);
    else if ((x = json_object_get(j, "result")) && !t->result)
        t->result = json_incref(x);
    return 0;
}

static int take_lines(struct talk *t, struct err *e)
{
    char *nl;

    while (t->out.len && (nl = memchr(t->out.data, '\n', t->out.len))) {
        size_t n = (size_t)(nl - t->out.data);

        if (on_line(t, t->out.data, n, e) < 0)
            return -1;
        memmove(t->out.data, nl + 1, t->out.len - n - 1);
        t->out.len -= n + 1;
    }
    return t->out.len > MAX_LINE ? err_set(e, ERR_FAILED, "hotadd-guest: answer too long")
                                 : 0;
}

static int drain(int *fd, struct buf *b, struct err *e)
{
    ssize_t n;

    if (buf_reserve(b, 65536, e) < 0)
        return -1;
    n = read(*fd, b->data + b->len, 65536);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : err_sys(e, "hotadd-guest");
    if (n == 0) {
        close(*fd);
        *fd = -1;
    }
    b->len += (size_t)n;
    return 0;
}

static void keep_tail(struct buf *b)
{
    if (b->len > TALK_BYTES) {
        memmove(b->data, b->data + b->len - TALK_BYTES, TALK_BYTES);
        b->len = TALK_BYTES;
    }
}

static int wait_ms(uint64_t deadline_ns)
{
    uint64_t now = clock_mono_ns();

    if (now >= deadline_ns)
        return 0;
    return (int)((deadline_ns - now > 60 * NS_PER_S ? 60 * NS_PER_S : deadline_ns - now) /
                     NS_PER_MS +
                 1);
}

static int converse(struct talk *t, uint64_t deadline_ns, const struct cancel *cancel,
                    struct err *e)
{
    while (t->child.stdout_fd >= 0 && !t->result && !t->failed) {
        struct pollfd p[3] = {{.fd = t->child.stdout_fd, .events = POLLIN},
                              {.fd = t->child.stderr_fd, .events = POLLIN},
                              {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN}};
        int ms = wait_ms(deadline_ns), n = poll(p, 3, ms);

        if (n < 0 && errno != EINTR)
            return err_sys(e, "poll");
        if (cancel_check(cancel, e) < 0)
            return -1;
        if (n == 0 && ms == 0)
            return err_set(e, ERR_TIMEOUT, "the guest could not be examined in time");
        if (n <= 0)
            continue;
        if (p[0].revents &&
            (drain(&t->child.stdout_fd, &t->out, e) < 0 || take_lines(t, e) < 0))
            return -1;
        if (p[1].revents && t->child.stderr_fd >= 0) {
            if (drain(&t->child.stderr_fd, &t->err, e) < 0)
                return -1;
            keep_tail(&t->err);
        }
    }
    return 0;
}

static int outcome(struct talk *t, json_t **ret, struct err *e)
{
    if (t->err.len)
        log_debug("hotadd-guest: %.*s", (int)t->err.len, t->err.data);
    if (t->failed) {
        *e = t->failure;
        return -1;
    }
    if (!t->result)
        return err_set(e, ERR_FAILED, "hotadd-guest ended without an answer%s%.*s",
                       t->err.len ? ": " : "", t->err.len > 500 ? 500 : (int)t->err.len,
                       t->err.len > 500 ? t->err.data + t->err.len - 500
                                        : buf_str(&t->err));
    *ret = take_ptr(t->result);
    return 0;
}

static int ask_in(const char *temp, const char *op, const struct guest_disk *disks,
                  size_t n, const struct guest_options *o, const struct cancel *cancel,
                  const struct progress *progress, json_t **ret, struct err *e)
{
    auto_call(talk_release) struct talk t = {.child = CHILD_INIT, .progress = progress};
    uint64_t allowed_ns = o->deadline_ns ? o->deadline_ns : DEADLINE_NS;

    if (start(&t, o->program, temp, e) < 0 || send_request(&t, op, disks, n, o, e) < 0 ||
        converse(&t, clock_mono_ns() + allowed_ns, cancel, e) < 0)
        return -1;
    return outcome(&t, ret, e);
}

static int ask(const char *op, const struct guest_disk *disks, size_t n,
               const struct guest_options *o, const struct cancel *cancel,
               const struct progress *progress, json_t **ret, struct err *e)
{
    const char *base = getenv("TMPDIR");
    auto_free char *temp = str_fmt(e, "%s/hotadd-guest-XXXXXX", base ? base : "/tmp");
    struct err ignored = ERR_INIT;
    int r;

    if (!temp)
        return -1;
    if (!n)
        return err_set(e, ERR_USAGE, "a guest has at least one disk");
    if (!mkdtemp(temp))
        return err_sys(e, "%s", temp);
    r = ask_in(temp, op, disks, n, o, cancel, progress, ret, e);
    if (io_remove_tree(temp, &ignored) < 0)
        log_debug("%s", ignored.msg);
    return r;
}

int guest_check(const struct guest_disk *disks, size_t n, const struct guest_options *o,
                const struct cancel *cancel, const struct progress *progress,
                struct guest_info **ret, struct err *e)
{
    json_auto_t *j = NULL;

    if (ask("check", disks, n, o, cancel, progress, &j, e) < 0)
        return err_prefix(e, "check the guest");
    return guest_info_from_json(j, ret, e);
}

int guest_convert(const struct guest_disk *disks, size_t n, const struct guest_options *o,
                  const struct cancel *cancel, const struct progress *progress,
                  struct guest_report **ret, struct err *e)
{
    json_auto_t *j = NULL;

    if (ask("convert", disks, n, o, cancel, progress, &j, e) < 0)
        return err_prefix(e, "convert the guest");
    return guest_report_from_json(j, ret, e);
}
