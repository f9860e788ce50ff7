/* Passes as processes; see many.h. A crash of this process leaves passes running: each
 * ends by itself, and its claim keeps a second one off. */
#include "sync/many.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#define MAX_SAID     ((size_t)256 << 10)
#define STOP_WAIT_NS (120 * NS_PER_S)

void turn_free(struct turn *t)
{
    if (!t)
        return;
    child_stop(&t->child, STOP_WAIT_NS);
    buf_release(&t->out);
    buf_release(&t->log);
    free(t->name);
    free(t->group);
    free(t);
}

void turns_release(struct turns *v)
{
    vec_foreach (t, v)
        turn_free(*t);
    vec_release(v);
}

struct turn *turn_new(const struct sync *s, struct err *e)
{
    struct turn *t = mem_zalloc(1, sizeof *t, e);

    if (!t)
        return NULL;
    t->child = (struct child)CHILD_INIT;
    t->watch_dir = t->watch_point = -1;
    t->name = str_dup(s->record.name, e);
    t->group = t->name ? str_dup(sync_word(s, "group", "default"), e) : NULL;
    if (!t->group) {
        turn_free(t);
        return NULL;
    }
    t->group_priority = sync_number(s, "group_priority", 100);
    t->group_delay_s = sync_number(s, "group_delay_s", 0);
    t->priority = sync_number(s, "priority", 100);
    return t;
}

static int by_number(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_turn(const void *va, const void *vb)
{
    const struct turn *a = *(struct turn *const *)va, *b = *(struct turn *const *)vb;
    int r = by_number(a->group_priority, b->group_priority);

    if (r == 0)
        r = strcmp(a->group, b->group);
    if (r == 0)
        r = by_number(a->priority, b->priority);
    return r ? r : strcmp(a->name, b->name);
}

void turns_sort(struct turns *v)
{
    if (v->n)
        qsort(v->v, v->n, sizeof *v->v, by_turn);
}

/* ---- one child ---- */

static int own_program(char out[PATH_MAX], struct err *e)
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);

    if (n < 0)
        return err_sys(e, "/proc/self/exe");
    out[n] = 0;
    /* Replaced by a newer one while we serve: this one is still there under that name. */
    if (str_ends(out, " (deleted)"))
        snprintf(out, PATH_MAX, "/proc/self/exe");
    return 0;
}

int turn_start(struct turn *t, const struct sync_many *how, const struct flow_env *env,
               struct err *e)
{
    uint64_t at_once = how->concurrency ? how->concurrency : DEFAULT_CONCURRENCY;
    char path[PATH_MAX], rate[24];
    const char *argv[12];
    size_t n = 0;

    if (how->program)
        snprintf(path, sizeof path, "%s", how->program);
    else if (own_program(path, e) < 0)
        return -1;
    argv[n++] = path;
    argv[n++] = "sync";
    argv[n++] = "run";
    argv[n++] = "--json";
    argv[n++] = "--quiet";
    argv[n++] = "--journal";
    argv[n++] = env->journal_path;
    if (how->max_rate) {
        snprintf(rate, sizeof rate, "%" PRIu64,
                 how->max_rate / at_once ? how->max_rate / at_once : 1);
        argv[n++] = "--max-rate";
        argv[n++] = rate;
    }
    argv[n++] = "--";
    argv[n++] = t->name;
    argv[n] = NULL;
    buf_reset(&t->out);
    buf_reset(&t->log);
    /* A group of its own: a terminal's Ctrl-C reaches it through us only. */
    if (child_spawn(&(struct child_spec){.argv = argv,
                                         .in = CHILD_NULL,
                                         .out = CHILD_PIPE,
                                         .err = CHILD_PIPE,
                                         .new_group = true},
                    &t->child, e) < 0)
        return err_prefix(e, "sync %s", t->name);
    if (fcntl(t->child.stdout_fd, F_SETFL, O_NONBLOCK) < 0 ||
        fcntl(t->child.stderr_fd, F_SETFL, O_NONBLOCK) < 0)
        return err_sys(e, "sync %s: pipe", t->name);
    return 0;
}

static void read_pipe(int fd, struct buf *into)
{
    char part[4096];
    ssize_t n;

    while ((n = read(fd, part, sizeof part)) > 0)
        if (into->len < MAX_SAID)
            buf_add(into, part, (size_t)n);
}

void turn_read(struct turn *t)
{
    read_pipe(t->child.stdout_fd, &t->out);
    read_pipe(t->child.stderr_fd, &t->log);
}

/* What the pass said last before it failed, for a result that does not tell. */
static int add_error(const struct turn *t, json_t *o, struct err *e)
{
    const char *text = buf_str(&t->log), *last = text, *line;
    json_auto_t *said = NULL;
    struct err ignored;

    if (json_str_or(o, "error", NULL))
        return 0;
    for (line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (*line)
            last = line;
    }
    if (json_parse(last, strcspn(last, "\n"), t->name, &said, &ignored) < 0)
        return 0;
    return json_put(o, "error", json_string(json_str_or(said, "message", "?")), e);
}

static json_t *result_of(const struct turn *t)
{
    struct err ignored;
    json_t *o = NULL;

    if (t->out.len &&
        json_parse(buf_str(&t->out), t->out.len, t->name, &o, &ignored) == 0 &&
        json_is_object(o))
        return o;
    json_decref(o);
    return json_object();
}

int turn_reap(struct turn *t, int *ret_exit, json_t **ret_result, struct err *e)
{
    struct err not_yet = ERR_INIT;
    json_t *o;
    int status;

    turn_read(t);
    if (child_wait(&t->child, 0, NULL, &status, &not_yet) < 0) {
        if (not_yet.kind == ERR_TIMEOUT)
            return 0;
        *e = not_yet;
        return -1;
    }
    turn_read(t);
    child_stop(&t->child, 0); /* closes our ends */
    *ret_exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    o = result_of(t);
    if (json_put(o, "sync", json_string(t->name), e) < 0 ||
        json_put(o, "exit", json_integer(*ret_exit), e) < 0 ||
        (*ret_exit && add_error(t, o, e) < 0)) {
        json_decref(o);
        return -1;
    }
    *ret_result = o;
    return 1;
}

void turn_tell(const struct turn *t, const json_t *result, int exit_code)
{
    char written[32];

    if (exit_code != 0)
        log_warning("sync %s: failed (exit code %d)%s%s", t->name, exit_code,
                    json_str_or(result, "error", NULL) ? ": " : "",
                    json_str_or(result, "error", ""));
    else if (str_eq(json_str_or(result, "outcome", ""), "synced"))
        log_info(
            "sync %s: holds %s, %s written", t->name, json_str_or(result, "to", "?"),
            str_bytes(written, sizeof written, json_u64_or(result, "written_bytes", 0)));
    else
        log_info("sync %s: holds the newest point already", t->name);
}

/* ---- all of them ---- */

size_t turns_running(const struct turns *v)
{
    size_t n = 0;

    vec_foreach (t, v)
        n += (*t)->child.pid >= 0;
    return n;
}

int turns_poll(struct turns *v, const struct cancel *cancel, int fd, int timeout_ms,
               struct err *e)
{
    size_t n = 0, max = 3 * v->n + 2;
    auto_free struct pollfd *fds = mem_zalloc(max, sizeof *fds, e);

    if (!fds)
        return -1;
    if (cancel)
        fds[n++] = (struct pollfd){.fd = cancel->event_fd, .events = POLLIN};
    if (fd >= 0)
        fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
    vec_foreach (t, v)
        if ((*t)->child.pid >= 0) {
            fds[n++] = (struct pollfd){.fd = (*t)->child.pid_fd, .events = POLLIN};
            fds[n++] = (struct pollfd){.fd = (*t)->child.stdout_fd, .events = POLLIN};
            fds[n++] = (struct pollfd){.fd = (*t)->child.stderr_fd, .events = POLLIN};
        }
    if (poll(fds, (nfds_t)n, timeout_ms) < 0 && errno != EINTR)
        return err_sys(e, "poll");
    vec_foreach (t, v)
        if ((*t)->child.pid >= 0)
            turn_read(*t);
    return 0;
}

void turns_stop(struct turns *v)
{
    vec_foreach (t, v)
        if ((*t)->child.pid >= 0)
            kill((*t)->child.pid, SIGTERM);
    vec_foreach (t, v) {
        struct err e = ERR_INIT;
        int status;

        if ((*t)->child.pid < 0)
            continue;
        /* What is left after that is killed: the journal allows it. */
        if (child_wait(&(*t)->child, STOP_WAIT_NS, NULL, &status, &e) < 0)
            log_warning("sync %s: %s; it is killed", (*t)->name, e.msg);
        child_stop(&(*t)->child, 0);
    }
}

/* ---- run ---- */

static bool may_run(enum sync_state s)
{
    struct err ignored;

    return sync_allowed("", s, SYNC_RUN, &ignored) == 0;
}

/* A sync that was named must be able to run; one of "all" is left out if it cannot. */
static int add_turn(struct journal *j, const char *name, bool named, struct turns *ret,
                    struct err *e)
{
    auto_sync struct sync *s = NULL;
    struct turn *t;

    if (sync_open(j, name, SYNC_LOOK, &s, e) < 0)
        return -1;
    if (!may_run(s->state))
        return named ? sync_allowed(name, s->state, SYNC_RUN, e) : 0;
    t = turn_new(s, e);
    if (!t)
        return -1;
    if (vec_push(ret, t, e) < 0) {
        turn_free(t);
        return -1;
    }
    return 0;
}

static int gather(const struct sync_many *how, const struct flow_env *env,
                  struct turns *ret, struct err *e)
{
    auto_journal struct journal *j = NULL;
    auto_records struct records all = {0};

    if (journal_open(env->journal_path, &j, e) < 0)
        return -1;
    if (how->names && how->names->n) {
        vec_foreach (name, how->names)
            if (add_turn(j, *name, true, ret, e) < 0)
                return -1;
    } else {
        if (record_list(j, KIND_SYNC, &all, e) < 0)
            return -1;
        vec_foreach (r, &all)
            if (add_turn(j, r->name, false, ret, e) < 0)
                return -1;
    }
    turns_sort(ret);
    return 0;
}

/* Turns [from, to) are one group. */
static size_t group_end(const struct turns *v, size_t from)
{
    size_t to = from;

    while (to < v->n && str_eq(v->v[to]->group, v->v[from]->group))
        to++;
    return to;
}

static int reap_all(struct turns *v, json_t *results, size_t *failed, struct err *e)
{
    vec_foreach (t, v) {
        json_t *o = NULL;
        int code, r;

        if ((*t)->child.pid < 0)
            continue;
        r = turn_reap(*t, &code, &o, e);
        if (r < 0)
            return -1;
        if (r == 0)
            continue;
        (*t)->done = true;
        *failed += code != 0;
        turn_tell(*t, o, code);
        if (json_add(results, o, e) < 0)
            return -1;
    }
    return 0;
}

static int run_group(struct turns *v, size_t from, size_t to, const struct sync_many *how,
                     const struct flow_env *env, json_t *results, size_t *failed,
                     struct err *e)
{
    uint64_t at_once = how->concurrency ? how->concurrency : DEFAULT_CONCURRENCY;
    size_t next = from;

    for (;;) {
        while (next < to && turns_running(v) < at_once)
            if (turn_start(v->v[next++], how, env, e) < 0)
                return -1;
        if (next == to && turns_running(v) == 0)
            return 0;
        if (turns_poll(v, env->cancel, -1, 1000, e) < 0 ||
            cancel_check(env->cancel, e) < 0 || reap_all(v, results, failed, e) < 0)
            return -1;
    }
}

static int run_groups(struct turns *v, const struct sync_many *how,
                      const struct flow_env *env, json_t *results, struct err *e)
{
    size_t failed = 0;

    for (size_t from = 0, to; from < v->n; from = to) {
        to = group_end(v, from);
        if (from && v->v[from]->group_delay_s &&
            cancel_sleep_ns(env->cancel, v->v[from]->group_delay_s * NS_PER_S, e) < 0)
            return -1;
        if (run_group(v, from, to, how, env, results, &failed, e) < 0)
            return -1;
    }
    if (!failed)
        return 0;
    return err_set(e, ERR_FAILED,
                   "%zu of %zu passes failed; `hotadd sync list` says why, and the next "
                   "run goes on with them",
                   failed, v->n);
}

int sync_run_many(const struct sync_many *how, const struct flow_env *env,
                  json_t **ret_result, struct err *e)
{
    auto_turns struct turns turns = {0};
    json_t *results = json_array();
    int r;

    *ret_result = results;
    if (!results)
        return err_nomem(e);
    if (gather(how, env, &turns, e) < 0)
        return -1;
    r = run_groups(&turns, how, env, results, e);
    turns_stop(&turns);
    return r;
}
