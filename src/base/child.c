/* Child processes; see child.h.
 *
 * All our descriptors are close-on-exec, so a child gets only what the file actions
 * dup2 into place. A crash of ours leaves the child to notice its closed stdin. */
#include "base/child.h"

#include "base/auto.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Descriptors for the child are first parked above this, so that dup2 to 0, 1, 2, 3…
 * never overwrites one that is still to be used, and never is dup2(n, n), which would
 * keep close-on-exec. */
#define PARK_MIN (CHILD_MAX_FDS + 64)

struct wiring {
    int child_end[3]; /* parked; -1: leave as is */
    int our_end[3];
    int extra[CHILD_MAX_FDS]; /* parked */
    size_t n_extra;
};

static int park(int fd, struct err *e)
{
    int r = fcntl(fd, F_DUPFD_CLOEXEC, PARK_MIN);

    if (r < 0 && errno == EINVAL) /* PARK_MIN is beyond the limit */
        errno = EMFILE;
    return r < 0 ? err_sys(e, "descriptors of a child process") : r;
}

static int wire_one(struct wiring *w, int which, enum child_io io, int fd, struct err *e)
{
    auto_fd int rd = -1, wr = -1;
    int p[2];

    if (io == CHILD_INHERIT)
        return 0;
    if (io == CHILD_FD) {
        w->child_end[which] = park(fd, e);
        return w->child_end[which] < 0 ? -1 : 0;
    }
    if (io == CHILD_NULL) {
        rd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (rd < 0)
            return err_sys(e, "/dev/null");
        w->child_end[which] = park(rd, e);
        return w->child_end[which] < 0 ? -1 : 0;
    }
    if (pipe2(p, O_CLOEXEC) < 0)
        return err_sys(e, "pipe");
    rd = p[0];
    wr = p[1];
    w->child_end[which] = park(which == 0 ? rd : wr, e);
    if (w->child_end[which] < 0)
        return -1;
    w->our_end[which] = take_fd(which == 0 ? &wr : &rd);
    return 0;
}

static int wire(struct wiring *w, const struct child_spec *spec, struct err *e)
{
    if (spec->n_fds > sizeof w->extra / sizeof w->extra[0])
        return err_set(e, ERR_FAILED, "too many descriptors for one child");
    if (wire_one(w, 0, spec->in, -1, e) < 0 || wire_one(w, 1, spec->out, -1, e) < 0 ||
        wire_one(w, 2, spec->err, spec->err_fd, e) < 0)
        return -1;
    for (size_t i = 0; i < spec->n_fds; i++) {
        w->extra[i] = park(spec->fds[i], e);
        if (w->extra[i] < 0)
            return -1;
        w->n_extra++;
    }
    return 0;
}

static void unwire(struct wiring *w)
{
    for (int i = 0; i < 3; i++) {
        if (w->child_end[i] >= 0)
            close(w->child_end[i]);
        if (w->our_end[i] >= 0)
            close(w->our_end[i]);
    }
    for (size_t i = 0; i < w->n_extra; i++)
        close(w->extra[i]);
}

static int spawn_wired(const struct child_spec *spec, const struct wiring *w, pid_t *pid,
                       struct err *e)
{
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    sigset_t all, none;
    int r = 0;

    posix_spawn_file_actions_init(&fa);
    posix_spawnattr_init(&attr);
    for (int i = 0; i < 3 && !r; i++)
        if (w->child_end[i] >= 0)
            r = posix_spawn_file_actions_adddup2(&fa, w->child_end[i], i);
    for (size_t i = 0; i < w->n_extra && !r; i++)
        r = posix_spawn_file_actions_adddup2(&fa, w->extra[i], 3 + (int)i);
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setsigmask(&attr, &none);
    if (spec->new_group) {
        flags |= POSIX_SPAWN_SETPGROUP;
        posix_spawnattr_setpgroup(&attr, 0);
    }
    posix_spawnattr_setflags(&attr, flags);
    if (!r)
        r = posix_spawnp(pid, spec->argv[0], &fa, &attr, (char *const *)spec->argv,
                         spec->env ? (char *const *)spec->env : environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&fa);
    return r ? err_sys_n(e, r, "cannot run %s", spec->argv[0]) : 0;
}

int child_spawn(const struct child_spec *spec, struct child *ret, struct err *e)
{
    struct wiring w = {.child_end = {-1, -1, -1}, .our_end = {-1, -1, -1}};
    struct child c = CHILD_INIT;

    if (wire(&w, spec, e) < 0 || spawn_wired(spec, &w, &c.pid, e) < 0) {
        unwire(&w);
        return -1;
    }
    /* The wrapper appeared in glibc 2.36 without a header in every Debian 12 set-up. */
    c.pid_fd = (int)syscall(SYS_pidfd_open, c.pid, 0);
    if (c.pid_fd < 0) {
        err_sys(e, "pidfd_open");
        unwire(&w);
        kill(c.pid, SIGKILL);
        waitpid(c.pid, NULL, 0);
        return -1;
    }
    c.stdin_fd = take_fd(&w.our_end[0]);
    c.stdout_fd = take_fd(&w.our_end[1]);
    c.stderr_fd = take_fd(&w.our_end[2]);
    unwire(&w);
    *ret = c;
    return 0;
}

static void close_ends(struct child *c)
{
    int *fds[] = {&c->stdin_fd, &c->stdout_fd, &c->stderr_fd, &c->pid_fd};

    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

/* Poll timeout until a deadline, rounded up so that a poll never spins. */
static int left_ms(uint64_t deadline_ns)
{
    uint64_t now_ns = clock_mono_ns(), ms;

    if (deadline_ns == UINT64_MAX)
        return -1;
    if (now_ns >= deadline_ns)
        return 0;
    ms = (deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
    return ms > 60000 ? 60000 : (int)ms;
}

static uint64_t deadline_after(uint64_t timeout_ns)
{
    uint64_t d;

    return __builtin_add_overflow(clock_mono_ns(), timeout_ns, &d) ? UINT64_MAX : d;
}

int child_wait(struct child *c, uint64_t timeout_ns, const struct cancel *cancel,
               int *ret_status, struct err *e)
{
    uint64_t deadline_ns = deadline_after(timeout_ns);

    for (;;) {
        struct pollfd p[2] = {{.fd = c->pid_fd, .events = POLLIN},
                              {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN}};
        int ms = left_ms(deadline_ns), n = poll(p, 2, ms);

        if (n < 0 && errno != EINTR)
            return err_sys(e, "poll");
        if (n > 0 && p[0].revents)
            break;
        if (cancel_check(cancel, e) < 0)
            return -1;
        if (n == 0 && ms == 0)
            return err_set(e, ERR_TIMEOUT, "process %d did not end in time", c->pid);
    }
    while (waitpid(c->pid, ret_status, 0) < 0)
        if (errno != EINTR)
            return err_sys(e, "waitpid");
    c->pid = -1;
    return 0;
}

void child_stop(struct child *c, uint64_t grace_ns)
{
    struct err ignored;
    int status;

    if (c->stdin_fd >= 0)
        close(c->stdin_fd);
    c->stdin_fd = -1;
    if (c->pid > 0) {
        kill(c->pid, SIGTERM);
        if (child_wait(c, grace_ns, NULL, &status, &ignored) < 0) {
            kill(c->pid, SIGKILL);
            while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
                ;
            c->pid = -1;
        }
    }
    close_ends(c);
}

char *child_status_text(int status, char *out, size_t out_len)
{
    if (WIFSIGNALED(status))
        snprintf(out, out_len, "signal %d", WTERMSIG(status));
    else
        snprintf(out, out_len, "exit %d", WEXITSTATUS(status));
    return out;
}

/* One readable end of child_run: appended to a buffer; the end of file closes it. */
static int drain(int *fd, struct buf *b, size_t keep_last, size_t max, struct err *e)
{
    ssize_t n;

    if (buf_reserve(b, 65536, e) < 0)
        return -1;
    n = read(*fd, b->data + b->len, 65536);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : err_sys(e, "read from child");
    if (n == 0) {
        close(*fd);
        *fd = -1;
        return 0;
    }
    b->len += (size_t)n;
    b->data[b->len] = 0;
    if (keep_last && b->len > keep_last) {
        memmove(b->data, b->data + b->len - keep_last, keep_last + 1);
        b->len = keep_last;
    }
    if (max && b->len > max)
        return err_set(e, ERR_INPUT, "printed more than %zu bytes", max);
    return 0;
}

static int collect(struct child *c, struct buf *out, size_t max_out, struct buf *errs,
                   const struct cancel *cancel, uint64_t deadline_ns, struct err *e)
{
    while (c->stdout_fd >= 0 || c->stderr_fd >= 0) {
        struct pollfd p[3] = {{.fd = c->stdout_fd, .events = POLLIN},
                              {.fd = c->stderr_fd, .events = POLLIN},
                              {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN}};
        int ms = left_ms(deadline_ns), n = poll(p, 3, ms);

        if (n < 0 && errno != EINTR)
            return err_sys(e, "poll");
        if (cancel_check(cancel, e) < 0)
            return -1;
        if (n == 0 && ms == 0)
            return err_set(e, ERR_TIMEOUT, "did not end in time");
        if (n > 0 && p[0].revents && drain(&c->stdout_fd, out, 0, max_out, e) < 0)
            return -1;
        if (n > 0 && p[1].revents && drain(&c->stderr_fd, errs, 4096, 0, e) < 0)
            return -1;
    }
    return 0;
}

int child_run(const char *const *argv, size_t max_out, struct buf *out,
              const struct cancel *cancel, uint64_t timeout_ns, struct err *e)
{
    struct child_spec spec = {
        .argv = argv, .in = CHILD_NULL, .out = CHILD_PIPE, .err = CHILD_PIPE};
    auto_buf struct buf errs = BUF_INIT;
    struct child c = CHILD_INIT;
    uint64_t deadline_ns = deadline_after(timeout_ns);
    char text[32];
    int status = 0, r;

    if (child_spawn(&spec, &c, e) < 0)
        return -1;
    r = collect(&c, out, max_out, &errs, cancel, deadline_ns, e);
    if (r == 0)
        r = child_wait(&c, timeout_ns, cancel, &status, e);
    child_stop(&c, 2 * NS_PER_S);
    if (r < 0)
        return err_prefix(e, "%s", argv[0]);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(e, ERR_FAILED, "%s: %s: %s", argv[0],
                       child_status_text(status, text, sizeof text), buf_str(&errs));
    return 0;
}
