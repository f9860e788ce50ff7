/* `hotadd sync watch`: passes as soon as there are new points. One thread: a poll over
 * the stop, inotify and the children, and a look into repositories now and then.
 *
 * inotify only makes a look happen sooner; what counts is what the repository shows, so
 * a lost event costs a poll interval and nothing else. A crash of the service leaves
 * running passes to end by themselves; started again it finds everything in the journal.
 */
#include "sync/many.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "sync/retention.h"

#include <errno.h>
#include <sys/inotify.h>

#define DEFAULT_POLL_S  60
#define DEFAULT_RETRY_S 60
#define MAX_RETRY_S     3600
#define SETTLE_NS       (300 * NS_PER_MS) /* after an event: a manifest comes last */
#define LISTING_MS      1000

struct watch {
    const struct sync_watch *how;
    const struct flow_env *env;
    struct journal *journal; /* owned */
    struct turns turns;
    int inotify; /* owned; -1: none */
};

/* ---- inotify ---- */

#define WATCHED (IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR)

/* Watches the folder in which the machine's points appear; not for stores of objects. */
static void watch_machine(struct watch *w, struct turn *t, const struct sync *s)
{
    struct repo_where where = sync_where(s);
    struct repo_name name = {0};
    auto_free char *folder = NULL, *path = NULL;
    struct err e = ERR_INIT;

    if (w->inotify < 0 || t->watch_dir >= 0 || strstr(where.at, "://") ||
        flow_repo_name(&where, s->params.source, &name, &e) < 0)
        return;
    folder = repo_machine_folder(&name, &e);
    repo_name_release(&name);
    path = folder ? str_fmt(&e, "%s/%s", where.at, folder) : NULL;
    if (path)
        t->watch_dir = inotify_add_watch(w->inotify, path, WATCHED);
    if (t->watch_dir < 0)
        log_debug("sync %s: not watched, polled only", t->name);
}

/* A new point is a folder that is filled: it is watched in its turn, for its manifest. */
static void watch_point(struct watch *w, struct turn *t, const char *entry)
{
    auto_sync struct sync *s = NULL;
    auto_free char *folder = NULL, *path = NULL;
    struct repo_name name = {0};
    struct repo_where where;
    struct err e = ERR_INIT;

    if (sync_open(w->journal, t->name, SYNC_LOOK, &s, &e) < 0)
        return;
    where = sync_where(s);
    if (flow_repo_name(&where, s->params.source, &name, &e) < 0)
        return;
    folder = repo_machine_folder(&name, &e);
    repo_name_release(&name);
    path = folder ? str_fmt(&e, "%s/%s/%s", where.at, folder, entry) : NULL;
    if (!path)
        return;
    if (t->watch_point >= 0)
        inotify_rm_watch(w->inotify, t->watch_point);
    t->watch_point = inotify_add_watch(w->inotify, path, WATCHED);
}

static void take_event(struct watch *w, const struct inotify_event *ev)
{
    uint64_t soon = clock_mono_ns() + SETTLE_NS;

    vec_foreach (p, &w->turns) {
        struct turn *t = *p;

        if (ev->wd != t->watch_dir && ev->wd != t->watch_point)
            continue;
        if (ev->mask & IN_IGNORED) {
            if (ev->wd == t->watch_dir)
                t->watch_dir = -1;
            else
                t->watch_point = -1;
            continue;
        }
        if (ev->wd == t->watch_dir && ev->mask & IN_ISDIR && ev->len)
            watch_point(w, t, ev->name);
        if (t->check_ns > soon)
            t->check_ns = soon;
    }
}

static void take_events(struct watch *w)
{
    char room[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n;

    while (w->inotify >= 0 && (n = read(w->inotify, room, sizeof room)) > 0)
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *ev = (const struct inotify_event *)(room + at);

            take_event(w, ev);
            at += (ssize_t)(sizeof *ev + ev->len);
        }
}

/* ---- which syncs there are ---- */

static struct turn *turn_named(struct watch *w, const char *name)
{
    vec_foreach (t, &w->turns)
        if (str_eq((*t)->name, name))
            return *t;
    return NULL;
}

static int take_record(struct watch *w, const char *name, struct err *e)
{
    struct turn *t = turn_named(w, name);
    auto_sync struct sync *s = NULL;

    if (t) {
        t->listed = true;
        if (t->watch_dir >= 0)
            return 0;
    }
    if (sync_open(w->journal, name, SYNC_LOOK, &s, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    if (!t) {
        t = turn_new(s, e);
        if (!t)
            return -1;
        if (vec_push(&w->turns, t, e) < 0) {
            turn_free(t);
            return -1;
        }
        t->listed = true;
    }
    watch_machine(w, t, s);
    return 0;
}

/* Syncs may be created and deleted while we serve. */
static int refresh(struct watch *w, struct err *e)
{
    auto_records struct records all = {0};

    if (record_list(w->journal, KIND_SYNC, &all, e) < 0)
        return -1;
    vec_foreach (t, &w->turns)
        (*t)->listed = false;
    vec_foreach (r, &all)
        if (take_record(w, r->name, e) < 0)
            return -1;
    for (size_t i = w->turns.n; i-- > 0;) {
        struct turn *t = w->turns.v[i];

        if (t->listed || t->child.pid >= 0)
            continue;
        if (t->watch_dir >= 0)
            inotify_rm_watch(w->inotify, t->watch_dir);
        if (t->watch_point >= 0)
            inotify_rm_watch(w->inotify, t->watch_point);
        turn_free(t);
        w->turns.v[i] = w->turns.v[--w->turns.n];
    }
    turns_sort(&w->turns);
    return 0;
}

/* ---- when a pass is due ---- */

static void put_off(struct watch *w, struct turn *t)
{
    uint64_t retry_s = w->how->retry_s ? w->how->retry_s : DEFAULT_RETRY_S;

    for (unsigned i = 0; i < t->failures && retry_s < MAX_RETRY_S; i++)
        retry_s *= 2;
    t->failures++;
    t->not_before_ns =
        clock_mono_ns() + (retry_s < MAX_RETRY_S ? retry_s : MAX_RETRY_S) * NS_PER_S;
}

/* Is there something to do for a sync whose time has come? Errors of the repository are
 * told and put the next look off: the service goes on for the others. */
static bool has_work(struct watch *w, struct turn *t, const struct sync *s)
{
    const json_t *body = s->record.body;
    int64_t held = json_integer_value(json_object_get(body, "time")), time = 0;
    auto_free char *newest = NULL;
    struct err e = ERR_INIT;

    if (!json_is_null(json_object_get(body, "job")) ||
        !json_is_null(json_object_get(body, "dirty")))
        return true;
    if (sync_newest(&s->params, w->env->cancel, &newest, &time, &e) < 0) {
        if (e.kind != ERR_CANCELLED) {
            log_warning("sync %s: %s", t->name, e.msg);
            put_off(w, t);
        }
        return false;
    }
    return newest && time > held;
}

static bool is_due(struct watch *w, struct turn *t)
{
    uint64_t now = clock_mono_ns();
    auto_sync struct sync *s = NULL;
    struct err e = ERR_INIT;

    if (t->child.pid >= 0 || now < t->check_ns || now < t->not_before_ns)
        return false;
    t->check_ns = now + (w->how->poll_s ? w->how->poll_s : DEFAULT_POLL_S) * NS_PER_S;
    if (sync_open(w->journal, t->name, SYNC_LOOK, &s, &e) < 0) {
        log_debug("%s", e.msg);
        return false;
    }
    if (sync_allowed(t->name, s->state, SYNC_RUN, &e) < 0)
        return false;
    if (!window_open(sync_word(s, "window", NULL), clock_real_s())) {
        /* It may open any minute: looked at again soon, the repository is not asked. */
        t->check_ns = now + 10 * NS_PER_S;
        return false;
    }
    return has_work(w, t, s);
}

static int start_due(struct watch *w, struct err *e)
{
    const struct sync_many *many = &w->how->many;
    uint64_t at_once = many->concurrency ? many->concurrency : DEFAULT_CONCURRENCY;

    vec_foreach (t, &w->turns) {
        if (turns_running(&w->turns) >= at_once)
            return 0;
        if (cancel_requested(w->env->cancel))
            return 0;
        if (is_due(w, *t) && turn_start(*t, many, w->env, e) < 0)
            return -1;
    }
    return 0;
}

static int reap(struct watch *w, struct err *e)
{
    vec_foreach (p, &w->turns) {
        struct turn *t = *p;
        json_auto_t *o = NULL;
        int code = 0, r;

        if (t->child.pid < 0)
            continue;
        r = turn_reap(t, &code, &o, e);
        if (r < 0)
            return -1;
        if (r == 0)
            continue;
        turn_tell(t, o, code);
        t->check_ns = 0; /* a newer point may have come meanwhile */
        if (code != 0) {
            put_off(w, t);
        } else {
            t->failures = 0;
            t->not_before_ns = 0;
        }
    }
    return 0;
}

/* ---- the service ---- */

/* Milliseconds until something is due, at most LISTING_MS: new syncs shall be seen. */
static int pause_ms(const struct watch *w)
{
    uint64_t now = clock_mono_ns(), least = LISTING_MS * NS_PER_MS;

    vec_foreach (t, &w->turns) {
        uint64_t at =
            (*t)->check_ns > (*t)->not_before_ns ? (*t)->check_ns : (*t)->not_before_ns;

        if ((*t)->child.pid < 0 && at > now && at - now < least)
            least = at - now;
    }
    return (int)(least / NS_PER_MS) + 1;
}

static int serve(struct watch *w, struct err *e)
{
    while (!cancel_requested(w->env->cancel)) {
        if (refresh(w, e) < 0 || start_due(w, e) < 0 ||
            turns_poll(&w->turns, w->env->cancel, w->inotify, pause_ms(w), e) < 0)
            return -1;
        take_events(w);
        if (reap(w, e) < 0)
            return -1;
    }
    return 0;
}

int sync_watch(const struct sync_watch *how, const struct flow_env *env, struct err *e)
{
    struct watch w = {.how = how, .env = env, .inotify = -1};
    int r;

    if (journal_open(env->journal_path, &w.journal, e) < 0)
        return -1;
    w.inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w.inotify < 0)
        log_warning("inotify: %s; repositories are polled only", strerror(errno));
    log_info("watching; new recovery points start passes");
    r = serve(&w, e);
    if (turns_running(&w.turns))
        log_info("stopping: %zu passes are asked to end", turns_running(&w.turns));
    turns_stop(&w.turns);
    turns_release(&w.turns);
    if (w.inotify >= 0)
        close(w.inotify);
    journal_close(w.journal);
    return r;
}
