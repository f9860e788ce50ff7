/* Children that act; see actions.h.
 *
 * A child's standard error is a file in memory, not a pipe: a job must not meet a closed
 * pipe when the monitor ends. What a child did is in the journal; this list is for the
 * answer to the click, and is gone with the process. */
#include "web/actions.h"

#include "base/child.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MAX_RUNNING 16
#define MAX_KEPT    50
#define SAID_MAX    2048

struct action {
    uint64_t id;
    char *command; /* owned: for people */
    int64_t started_s, ended_s;
    struct child child;
    int said_fd; /* owned */
    int status;
    bool ended;
};

struct actions {
    const char *program, *journal_path;
    /* Guards what follows. */
    pthread_mutex_t lock;
    struct VEC(struct action) v; /* oldest first */
    uint64_t last_id;
};

int actions_new(const char *program, const char *journal_path, struct actions **ret,
                struct err *e)
{
    struct actions *a = mem_zalloc(1, sizeof *a, e);

    if (!a)
        return -1;
    a->program = program;
    a->journal_path = journal_path;
    pthread_mutex_init(&a->lock, NULL);
    *ret = a;
    return 0;
}

static void action_release(struct action *x)
{
    free(x->command);
    auto_fd_fn(&x->child.pid_fd);
    auto_fd_fn(&x->said_fd);
}

void actions_free(struct actions *a)
{
    if (!a)
        return;
    vec_foreach (x, &a->v)
        action_release(x);
    vec_release(&a->v);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* The last of what it said, as text. */
static void read_said(int fd, char *out, size_t out_len)
{
    struct stat st;
    size_t n, skip;
    struct err e;

    *out = 0;
    if (fstat(fd, &st) < 0 || st.st_size <= 0)
        return;
    n = (size_t)st.st_size < out_len - 1 ? (size_t)st.st_size : out_len - 1;
    skip = (size_t)st.st_size - n;
    if (io_pread_full(fd, out, n, skip, "an action's words", &e) < 0)
        n = 0;
    out[n] = 0;
    /* Cut off in front: begin with a whole line. */
    if (skip && strchr(out, '\n'))
        memmove(out, strchr(out, '\n') + 1, strlen(strchr(out, '\n')));
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < 0x20 && *c != '\n')
            *c = ' ';
}

static json_t *action_json(const struct action *x)
{
    char said[SAID_MAX], started[CLOCK_ISO_LEN], ended[CLOCK_ISO_LEN], exit[32];
    bool good = WIFEXITED(x->status) && WEXITSTATUS(x->status) == 0;

    read_said(x->said_fd, said, sizeof said);
    return json_pack("{s:I, s:s, s:s, s:s, s:s?, s:s?, s:o}", "id", (json_int_t)x->id,
                     "command", x->command, "state",
                     !x->ended ? "running"
                     : good    ? "done"
                               : "failed",
                     "started", clock_iso8601(started, x->started_s), "ended",
                     x->ended ? clock_iso8601(ended, x->ended_s) : NULL, "exit",
                     x->ended ? child_status_text(x->status, exit, sizeof exit) : NULL,
                     "said", json_any_text(said));
}

static int may_run(const struct actions *a, const char *command, struct err *e)
{
    size_t running = 0;

    vec_foreach (x, &a->v) {
        if (x->ended)
            continue;
        running++;
        if (str_eq(x->command, command))
            return err_set(e, ERR_BUSY, "`%s` is running already", command);
    }
    if (running >= MAX_RUNNING)
        return err_set(e, ERR_BUSY, "%d actions run already: wait for one to end",
                       MAX_RUNNING);
    return 0;
}

static void drop_oldest(struct actions *a)
{
    for (size_t i = 0; i < a->v.n && a->v.n >= MAX_KEPT; i++)
        if (a->v.v[i].ended) {
            action_release(&a->v.v[i]);
            memmove(&a->v.v[i], &a->v.v[i + 1], (a->v.n - i - 1) * sizeof a->v.v[0]);
            a->v.n--;
            return;
        }
}

static int spawn(struct actions *a, const struct strv *words, struct action *x,
                 struct err *e)
{
    auto_strv struct strv args = {0};
    struct child_spec spec = {
        .in = CHILD_NULL, .out = CHILD_NULL, .err = CHILD_FD, .new_group = true};

    if (strv_add(&args, a->program, e) < 0)
        return -1;
    vec_foreach (w, words)
        if (strv_add(&args, *w, e) < 0)
            return -1;
    if (strv_add(&args, "--quiet", e) < 0 || strv_add(&args, "--journal", e) < 0 ||
        strv_add(&args, a->journal_path, e) < 0 || vec_push(&args, NULL, e) < 0)
        return -1;
    x->said_fd = memfd_create("hotadd-action", MFD_CLOEXEC);
    if (x->said_fd < 0)
        return err_sys(e, "memfd_create");
    spec.argv = (const char *const *)args.v;
    spec.err_fd = x->said_fd;
    return child_spawn(&spec, &x->child, e);
}

static int run_locked(struct actions *a, const struct strv *words, json_t **ret,
                      struct err *e)
{
    struct action x = {.child = CHILD_INIT, .said_fd = -1};
    auto_free char *joined = NULL;

    if (strv_join(words, " ", &joined, e) < 0)
        return -1;
    x.command = str_fmt(e, "hotadd %s", joined);
    if (!x.command)
        return -1;
    drop_oldest(a);
    x.id = ++a->last_id;
    x.started_s = clock_real_s();
    if (may_run(a, x.command, e) < 0 || spawn(a, words, &x, e) < 0) {
        action_release(&x);
        return -1;
    }
    log_info("started `%s` as process %ld", x.command, (long)x.child.pid);
    *ret = action_json(&x);
    if (vec_push(&a->v, x, e) < 0) {
        action_release(&x); /* it runs, and the journal tells of it */
        json_decref(*ret);
        return -1;
    }
    return *ret ? 0 : err_nomem(e);
}

int actions_run(struct actions *a, const struct strv *words, json_t **ret, struct err *e)
{
    int r;

    pthread_mutex_lock(&a->lock);
    r = run_locked(a, words, ret, e);
    pthread_mutex_unlock(&a->lock);
    return r;
}

static int reap_one(struct action *x, json_t *list, struct err *e)
{
    struct err waiting = ERR_INIT;
    char how[32];

    if (x->ended || child_wait(&x->child, 0, NULL, &x->status, &waiting) < 0)
        return 0;
    x->ended = true;
    x->ended_s = clock_real_s();
    log_info("`%s` ended: %s", x->command, child_status_text(x->status, how, sizeof how));
    return json_add(list, action_json(x), e);
}

int actions_reap(struct actions *a, json_t **ret, struct err *e)
{
    json_auto_t *list = json_array();
    int r = list ? 0 : err_nomem(e);

    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < a->v.n && r == 0; i++)
        r = reap_one(&a->v.v[i], list, e);
    pthread_mutex_unlock(&a->lock);
    if (r == 0)
        *ret = json_array_size(list) ? json_incref(list) : NULL;
    return r;
}

int actions_list(struct actions *a, json_t **ret, struct err *e)
{
    json_auto_t *list = json_array();
    int r = list ? 0 : err_nomem(e);

    pthread_mutex_lock(&a->lock);
    for (size_t i = a->v.n; i > 0 && r == 0; i--)
        r = json_add(list, action_json(&a->v.v[i - 1]), e);
    pthread_mutex_unlock(&a->lock);
    if (r == 0)
        *ret = json_incref(list);
    return r;
}
