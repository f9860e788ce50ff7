/* Starting helpers and talking to them; see helper.h. Killed, we leave nothing: a helper
 * sees its standard input close. */
#include "base/helper.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#define MAX_LINE (64u << 20)
/* Of its standard error, kept for the error message. */
#define WORDS_BYTES 8192
#define WORDS_TOLD  500

extern char **environ;

/* ---- starting ---- */

/* Nothing of AWS, and nothing else that is not named here. */
static bool may_inherit(const char *variable)
{
    static const char *const names[] = {
        "PATH=",          "HOME=",         "TMPDIR=",         "LANG=",
        "USER=",          "LIBGUESTFS_",   "SUPERMIN_",       "ASAN_OPTIONS=",
        "UBSAN_OPTIONS=", "LSAN_OPTIONS=", "XDG_RUNTIME_DIR="};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_starts(variable, names[i]))
            return true;
    return false;
}

/* The name of a variable with its '='. */
static bool same_variable(const char *a, const char *b)
{
    size_t n = strcspn(b, "=") + 1;

    return strncmp(a, b, n) == 0;
}

static int environment(const char *variable, struct strv *ret, struct err *e)
{
    for (char **p = environ; *p; p++)
        if (may_inherit(*p) && !(variable && same_variable(*p, variable)) &&
            strv_add(ret, *p, e) < 0)
            return -1;
    return variable ? strv_add(ret, variable, e) : 0;
}

/* The folder `path` is in: cuts the last part off. False at the root. */
static bool parent(char *path)
{
    char *slash = strrchr(path, '/');

    if (!slash || slash == path)
        return false;
    *slash = 0;
    return true;
}

/* Cuts the path of a file of ours down to the build tree it is in, which meson marks;
 * false: it is in none. */
static bool build_tree(char *path)
{
    char mark[PATH_MAX + 16];

    for (int levels = 0; levels < 3 && parent(path); levels++) {
        snprintf(mark, sizeof mark, "%s/meson-private", path);
        if (access(mark, F_OK) == 0)
            return true;
    }
    return false;
}

/* In a build tree it is in its folder of src/. What is of us may be the program, or a
 * plugin in somebody else's. */
static int find_program(const struct helper_spec *spec, char **ret, struct err *e)
{
    char program[PATH_MAX] = "", object[PATH_MAX] = "";
    Dl_info us;

    if (dladdr((const void *)&find_program, &us) && us.dli_fname &&
        !realpath(us.dli_fname, object))
        *object = 0;
    if (spec->program)
        *ret = str_dup(spec->program, e);
    else if ((realpath("/proc/self/exe", program) && build_tree(program)) ||
             build_tree(memcpy(program, object, sizeof program)))
        *ret = str_fmt(e, "%s/src/%s/%s", program, spec->folder, spec->name);
    else
        *ret = str_fmt(e, HOTADD_LIBEXECDIR "/%s", spec->name);
    return *ret ? 0 : -1;
}

int helper_start(const struct helper_spec *spec, struct helper *ret, struct err *e)
{
    auto_free char *program = NULL;
    auto_strv struct strv env = {0};
    auto_free const char **envp = NULL;

    ret->name = spec->name;
    if (find_program(spec, &program, e) < 0 || environment(spec->variable, &env, e) < 0)
        return -1;
    envp = mem_zalloc(env.n + 1, sizeof *envp, e);
    if (!envp)
        return -1;
    for (size_t i = 0; i < env.n; i++)
        envp[i] = env.v[i];
    return child_spawn(&(struct child_spec){.argv = (const char *[]){program, NULL},
                                            .env = envp,
                                            .in = CHILD_PIPE,
                                            .out = CHILD_PIPE,
                                            .err = CHILD_PIPE,
                                            .fds = spec->fds,
                                            .n_fds = spec->n_fds,
                                            .new_group = true},
                       &ret->child, e);
}

/* The group goes first and as a whole; the child is reaped last, so that its id, which
 * names the group, cannot have become another's. */
void helper_stop(struct helper *h, uint64_t grace_ns)
{
    struct pollfd p = {.fd = h->child.pid_fd, .events = POLLIN};

    if (h->child.pid > 0) {
        if (grace_ns) {
            kill(-h->child.pid, SIGTERM);
            while (poll(&p, 1, (int)(grace_ns / NS_PER_MS)) < 0 && errno == EINTR)
                ;
        }
        kill(-h->child.pid, SIGKILL);
    }
    child_stop(&h->child, 0);
    buf_release(&h->out);
    buf_release(&h->err);
}

/* ---- its answers ---- */

struct talk {
    struct helper *helper;
    const struct helper_ask *ask;
    json_t *result; /* owned */
    struct err failure;
    bool failed;
};

static void on_progress(const struct talk *t, const json_t *p)
{
    struct progress_state s = {.what = json_str_or(p, "what", ""),
                               .done_bytes = json_u64_or(p, "done", 0),
                               .total_bytes = json_u64_or(p, "total", 0),
                               .eta_s = UINT64_MAX};

    progress_report(t->ask->progress, &s);
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

    /* It quotes what it was set on: names and words of a guest or a package. */
    if (json_parse(line, len, t->helper->name, &j, e) < 0 ||
        json_blank_controls(j, e) < 0)
        return err_prefix(e, "answer");
    if ((x = json_object_get(j, "progress")))
        on_progress(t, x);
    else if ((x = json_object_get(j, "note")) && json_string_value(x) && t->ask->note)
        t->ask->note(t->ask->note_ctx, json_string_value(x));
    else if ((x = json_object_get(j, "error")))
        on_error(t, x);
    else if ((x = json_object_get(j, "result")) && !t->result)
        t->result = json_incref(x);
    return 0;
}

static int take_lines(struct talk *t, struct err *e)
{
    struct buf *out = &t->helper->out;
    char *nl;

    while (out->len && (nl = memchr(out->data, '\n', out->len))) {
        size_t n = (size_t)(nl - out->data);

        if (on_line(t, out->data, n, e) < 0)
            return -1;
        memmove(out->data, nl + 1, out->len - n - 1);
        out->len -= n + 1;
    }
    return out->len > MAX_LINE
               ? err_set(e, ERR_FAILED, "%s: answer too long", t->helper->name)
               : 0;
}

static int drain(const struct helper *h, int *fd, struct buf *b, struct err *e)
{
    ssize_t n;

    if (buf_reserve(b, 65536, e) < 0)
        return -1;
    n = read(*fd, b->data + b->len, 65536);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : err_sys(e, "%s", h->name);
    if (n == 0) {
        close(*fd);
        *fd = -1;
    }
    b->len += (size_t)n;
    b->data[b->len] = 0;
    return 0;
}

static int drain_words(struct helper *h, struct err *e)
{
    struct buf *b = &h->err;

    if (drain(h, &h->child.stderr_fd, b, e) < 0)
        return -1;
    if (b->len > WORDS_BYTES) {
        memmove(b->data, b->data + b->len - WORDS_BYTES, WORDS_BYTES + 1);
        b->len = WORDS_BYTES;
    }
    return 0;
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

static int converse(struct talk *t, struct err *e)
{
    struct helper *h = t->helper;
    const struct cancel *cancel = t->ask->cancel;

    while (h->child.stdout_fd >= 0 && !t->result && !t->failed) {
        struct pollfd p[3] = {{.fd = h->child.stdout_fd, .events = POLLIN},
                              {.fd = h->child.stderr_fd, .events = POLLIN},
                              {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN}};
        int ms = wait_ms(t->ask->deadline_ns), n = poll(p, 3, ms);

        if (n < 0 && errno != EINTR)
            return err_sys(e, "poll");
        if (cancel_check(cancel, e) < 0)
            return -1;
        if (n == 0 && ms == 0)
            return err_set(e, ERR_TIMEOUT, "%s did not answer in time", h->name);
        if (n <= 0)
            continue;
        if (p[0].revents &&
            (drain(h, &h->child.stdout_fd, &h->out, e) < 0 || take_lines(t, e) < 0))
            return -1;
        if (p[1].revents && h->child.stderr_fd >= 0 && drain_words(h, e) < 0)
            return -1;
    }
    return 0;
}

int helper_gone(struct helper *h, struct err *e)
{
    struct err ignored = ERR_INIT;
    char how[32] = "";
    const char *words;
    int status;

    if (child_wait(&h->child, 5 * NS_PER_S, NULL, &status, &ignored) == 0)
        child_status_text(status, how, sizeof how);
    while (h->child.stderr_fd >= 0 && *how && drain_words(h, &ignored) == 0)
        ;
    words = buf_str(&h->err);
    if (h->err.len > WORDS_TOLD)
        words += h->err.len - WORDS_TOLD;
    return err_set(e, ERR_FAILED, "%s ended without an answer%s%s%s%s", h->name,
                   *how ? ", " : "", how, *words ? ": " : "", words);
}

int helper_ask(struct helper *h, const struct helper_ask *ask, json_t **ret,
               struct err *e)
{
    struct talk t = {.helper = h, .ask = ask};
    auto_free char *text = NULL;

    if (json_text(ask->request, &text, e) < 0 ||
        io_write_full(h->child.stdin_fd, text, strlen(text), h->name, e) < 0 ||
        io_write_full(h->child.stdin_fd, "\n", 1, h->name, e) < 0 ||
        converse(&t, e) < 0) {
        json_decref(t.result);
        return -1;
    }
    if (h->err.len)
        log_debug("%s: %.*s", h->name, (int)h->err.len, h->err.data);
    if (t.failed) {
        json_decref(t.result);
        *e = t.failure;
        return -1;
    }
    if (!t.result)
        return helper_gone(h, e);
    *ret = t.result;
    return 0;
}
