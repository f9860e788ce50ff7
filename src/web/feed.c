/* Looking at the journal for everybody; see feed.h.
 *
 * Invariants: `seen` holds the text last told of each job, so a client that joins gets
 * what the others have, and then the same changes. A client that does not read for so
 * long that its buffer is full is ended; its browser comes back and gets the picture
 * anew. Nothing here outlives the process. */
#include "web/feed.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "web/describe.h"
#include "web/sse.h"

#include <pthread.h>
#include <sys/queue.h>

#define LOOK_EVERY_NS   (400 * NS_PER_MS)
#define PROBE_EVERY_NS  (2 * NS_PER_S)  /* a dead owner is no commit */
#define SYNCS_EVERY_NS  (10 * NS_PER_S) /* lag grows without a commit */
#define BEAT_EVERY_NS   (15 * NS_PER_S)
#define REOPEN_EVERY_NS (3 * NS_PER_S)
#define MAX_PENDING     (8u << 20)
#define MAX_SHOWN       200 /* jobs in the first picture: unfinished, and the newest */
#define MAX_BACKFILL    1000
#define SINCE_SLACK_S   5

struct seen_job {
    char id[JOB_ID_LEN];
    char *text; /* owned: what was told of it */
    bool finished;
    struct pace_meter meter;
};

struct feed_client {
    LIST_ENTRY(feed_client) link;
    struct feed *feed;
    struct buf pending;
    size_t sent; /* of pending */
    bool ended;
    const struct feed_valve *parked; /* NULL while it reads */
};

struct feed {
    struct feed_options o;
    pthread_t thread;
    struct journal *journal; /* owned; the thread's; NULL while it cannot be opened */
    int64_t version, looked_s;
    uint64_t looked_ns, syncs_ns, beat_ns, opened_ns;

    /* Guards everything below. */
    pthread_mutex_t lock;
    pthread_cond_t stop_cond;
    bool stopping, closed;
    struct VEC(struct seen_job) seen; /* in the journal's order */
    char *syncs;                      /* owned: text last told */
    uint64_t last_event;
    char trouble[1300];
    LIST_HEAD(, feed_client) clients;
    size_t n_clients;
};

/* ---- clients; the lock is held ---- */

static void wake(struct feed_client *c)
{
    const struct feed_valve *v = take_ptr(c->parked);

    if (v)
        v->wake(v->ctx);
}

static void give(struct feed_client *c, const char *text, size_t len)
{
    if (c->ended)
        return;
    if (c->sent == c->pending.len) {
        buf_reset(&c->pending);
        c->sent = 0;
    }
    if (c->pending.len - c->sent + len > MAX_PENDING)
        c->ended = true;
    else
        buf_add(&c->pending, text, len);
    if (c->pending.failed)
        c->ended = true;
    wake(c);
}

static void give_all(struct feed *f, const char *event, uint64_t id, const char *data)
{
    auto_buf struct buf b = BUF_INIT;
    struct feed_client *c;
    struct err e;

    if (LIST_EMPTY(&f->clients))
        return;
    sse_add(&b, event, id, data);
    if (buf_check(&b, &e) < 0)
        return;
    LIST_FOREACH (c, &f->clients, link)
        give(c, b.data, b.len);
}

void feed_tell(struct feed *f, const char *event, const char *data)
{
    pthread_mutex_lock(&f->lock);
    give_all(f, event, SSE_NO_ID, data);
    pthread_mutex_unlock(&f->lock);
}

static void add_picture(struct feed *f, struct buf *b)
{
    auto_buf struct buf jobs = BUF_INIT;
    size_t old = f->seen.n > MAX_SHOWN ? f->seen.n - MAX_SHOWN : 0;
    const char *comma = "";

    buf_addc(&jobs, '[');
    for (size_t i = 0; i < f->seen.n; i++) {
        if (i < old && f->seen.v[i].finished)
            continue;
        buf_addf(&jobs, "%s%s", comma, f->seen.v[i].text);
        comma = ",";
    }
    buf_addc(&jobs, ']');
    sse_add(b, "hello", SSE_NO_ID, f->o.hello);
    sse_add(b, "jobs", SSE_NO_ID, buf_str(&jobs));
    sse_add(b, "syncs", SSE_NO_ID, f->syncs ? f->syncs : "null");
    if (*f->trouble) {
        json_auto_t *o = json_pack("{s:s}", "message", f->trouble);
        auto_free char *text = NULL;
        struct err e;

        if (o && json_text(o, &text, &e) == 0)
            sse_add(b, "trouble", SSE_NO_ID, text);
    }
    b->failed |= jobs.failed;
}

static int add_event(struct buf *b, const struct job_event_info *ev, struct err *e)
{
    json_auto_t *o = describe_event(ev, e);
    auto_free char *text = NULL;

    if (!o || json_text(o, &text, e) < 0)
        return -1;
    sse_add(b, "line", ev->seq, text);
    return 0;
}

static int add_backfill(struct feed *f, struct journal *journal, uint64_t last_id,
                        struct buf *b, struct err *e)
{
    auto_job_events struct job_events v = {0};

    /* An id that the journal has not reached is another journal's. */
    if (last_id == SSE_NO_ID || last_id >= f->last_event)
        return 0;
    if (f->last_event - last_id > MAX_BACKFILL)
        last_id = f->last_event - MAX_BACKFILL;
    if (journal_events_after(journal, last_id, MAX_BACKFILL, &v, e) < 0)
        return -1;
    vec_foreach (ev, &v)
        if (ev->seq <= f->last_event && add_event(b, ev, e) < 0)
            return -1;
    return 0;
}

static int join(struct feed *f, struct journal *journal, uint64_t last_id,
                struct feed_client *c, struct err *e)
{
    if (f->closed || f->n_clients >= FEED_MAX_CLIENTS)
        return err_set(e, ERR_BUSY, "%d clients listen already, which is the limit",
                       FEED_MAX_CLIENTS);
    buf_adds(&c->pending, "retry: 2000\n\n");
    add_picture(f, &c->pending);
    if (add_backfill(f, journal, last_id, &c->pending, e) < 0 ||
        buf_check(&c->pending, e) < 0)
        return -1;
    LIST_INSERT_HEAD(&f->clients, c, link);
    f->n_clients++;
    return 0;
}

int feed_join(struct feed *f, struct journal *journal, uint64_t last_id,
              struct feed_client **ret, struct err *e)
{
    struct feed_client *c = mem_zalloc(1, sizeof *c, e);
    int r;

    if (!c)
        return -1;
    c->feed = f;
    pthread_mutex_lock(&f->lock);
    r = join(f, journal, last_id, c, e);
    pthread_mutex_unlock(&f->lock);
    if (r < 0) {
        buf_release(&c->pending);
        free(c);
        return -1;
    }
    *ret = c;
    return 0;
}

void feed_leave(struct feed_client *c)
{
    pthread_mutex_lock(&c->feed->lock);
    LIST_REMOVE(c, link);
    c->feed->n_clients--;
    pthread_mutex_unlock(&c->feed->lock);
    buf_release(&c->pending);
    free(c);
}

ssize_t feed_read(struct feed_client *c, char *out, size_t max,
                  const struct feed_valve *valve)
{
    size_t n;

    pthread_mutex_lock(&c->feed->lock);
    n = c->pending.len - c->sent;
    if (n > max)
        n = max;
    if (n) {
        memcpy(out, c->pending.data + c->sent, n);
        c->sent += n;
    } else if (!c->ended) {
        c->parked = valve;
        valve->park(valve->ctx);
    }
    pthread_mutex_unlock(&c->feed->lock);
    return n || !c->ended ? (ssize_t)n : -1;
}

size_t feed_clients(struct feed *f)
{
    size_t n;

    pthread_mutex_lock(&f->lock);
    n = f->n_clients;
    pthread_mutex_unlock(&f->lock);
    return n;
}

/* ---- looking ---- */

static struct seen_job *find_seen(struct feed *f, const char *id)
{
    vec_foreach (s, &f->seen)
        if (str_eq(s->id, id))
            return s;
    return NULL;
}

static int see_job(struct feed *f, const struct job_info *i, struct err *e)
{
    struct seen_job *s = find_seen(f, i->id);
    uint64_t now_ns = clock_mono_ns();
    json_auto_t *o = NULL;
    auto_free char *text = NULL;

    if (!s) {
        struct seen_job new = {0};

        snprintf(new.id, sizeof new.id, "%s", i->id);
        new.text = str_dup("", e);
        if (!new.text || vec_push(&f->seen, new, e) < 0) {
            free(new.text);
            return -1;
        }
        s = &f->seen.v[f->seen.n - 1];
    }
    pace_note(&s->meter, now_ns, i->done_bytes);
    s->finished = i->state == JOB_DONE || i->state == JOB_UNDONE;
    o = describe_job(i, pace_of(&s->meter, i, now_ns, clock_real_s()), DESCRIBE_SHORT,
                     f->o.tail, e);
    if (!o || json_text(o, &text, e) < 0)
        return -1;
    if (str_eq(text, s->text))
        return 0;
    free(s->text);
    s->text = take_ptr(text);
    give_all(f, "job", SSE_NO_ID, s->text);
    return 0;
}

static bool among(const struct job_infos *v, const char *id)
{
    vec_foreach (i, v)
        if (str_eq(i->id, id))
            return true;
    return false;
}

/* `all` are the journal's jobs: what is not among them was forgotten. */
static void forget_removed(struct feed *f, const struct job_infos *all)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->seen.n; i++) {
        struct seen_job *s = &f->seen.v[i];
        char data[JOB_ID_LEN + 16];

        if (among(all, s->id)) {
            f->seen.v[kept++] = *s;
            continue;
        }
        snprintf(data, sizeof data, "{\"id\":\"%s\"}", s->id);
        give_all(f, "job-removed", SSE_NO_ID, data);
        free(s->text);
    }
    f->seen.n = kept;
}

static int see_jobs(struct feed *f, const struct job_infos *v, struct err *e)
{
    vec_foreach (i, v)
        if (see_job(f, i, e) < 0)
            return -1;
    return 0;
}

static int see_events(struct feed *f, const struct job_events *v, struct err *e)
{
    struct feed_client *c;

    vec_foreach (ev, v) {
        auto_buf struct buf b = BUF_INIT;

        if (add_event(&b, ev, e) < 0 || buf_check(&b, e) < 0)
            return -1;
        LIST_FOREACH (c, &f->clients, link)
            give(c, b.data, b.len);
        f->last_event = ev->seq;
    }
    return 0;
}

static int look_at_jobs(struct feed *f, struct err *e)
{
    auto_job_infos struct job_infos v = {0}, all = {0};
    auto_job_events struct job_events events = {0};
    int64_t now_s = clock_real_s();
    uint64_t n = 0;
    int r;

    if (journal_jobs_since(f->journal, f->looked_s - SINCE_SLACK_S, &v, &n, e) < 0)
        return -1;
    /* Read by the thread, given under the lock: no client waits for the disk. */
    if (journal_events_after(f->journal, f->last_event, MAX_BACKFILL, &events, e) < 0)
        return -1;
    pthread_mutex_lock(&f->lock);
    r = see_jobs(f, &v, e);
    if (r == 0)
        r = see_events(f, &events, e);
    pthread_mutex_unlock(&f->lock);
    if (r < 0)
        return -1;
    f->looked_s = now_s;
    if (n == f->seen.n)
        return 0;
    if (journal_jobs(f->journal, &all, e) < 0)
        return -1;
    pthread_mutex_lock(&f->lock);
    forget_removed(f, &all);
    r = see_jobs(f, &all, e);
    pthread_mutex_unlock(&f->lock);
    return r;
}

static int look_at_syncs(struct feed *f, struct err *e)
{
    json_auto_t *list = NULL;
    auto_free char *text = NULL;

    if (!f->o.syncs)
        return 0;
    if (f->o.syncs->list(f->o.syncs->ctx, &list, e) < 0 || json_text(list, &text, e) < 0)
        return -1;
    pthread_mutex_lock(&f->lock);
    if (!str_eq_null(text, f->syncs)) {
        free(f->syncs);
        f->syncs = take_ptr(text);
        give_all(f, "syncs", SSE_NO_ID, f->syncs);
    }
    pthread_mutex_unlock(&f->lock);
    return 0;
}

static int open_journal(struct feed *f, uint64_t now_ns, struct err *e)
{
    uint64_t last;

    f->opened_ns = now_ns;
    if (journal_open(f->o.journal_path, &f->journal, e) < 0)
        return -1;
    if (journal_last_event(f->journal, &last, e) < 0) {
        journal_close(take_ptr(f->journal));
        return -1;
    }
    pthread_mutex_lock(&f->lock);
    f->last_event = last;
    pthread_mutex_unlock(&f->lock);
    f->looked_s = INT64_MIN / 2;
    f->looked_ns = f->syncs_ns = 0;
    return 0;
}

static int look(struct feed *f, uint64_t now_ns, struct err *e)
{
    int64_t version;
    bool changed;

    if (!f->journal && now_ns - f->opened_ns < REOPEN_EVERY_NS)
        return 0;
    if (!f->journal && open_journal(f, now_ns, e) < 0)
        return -1;
    if (journal_version(f->journal, &version, e) < 0)
        return -1;
    changed = version != f->version || !f->looked_ns;
    if (changed || now_ns - f->looked_ns >= PROBE_EVERY_NS) {
        f->looked_ns = now_ns;
        if (look_at_jobs(f, e) < 0)
            return -1;
    }
    if ((changed && now_ns - f->syncs_ns >= NS_PER_S) ||
        now_ns - f->syncs_ns >= SYNCS_EVERY_NS) {
        f->syncs_ns = now_ns;
        if (look_at_syncs(f, e) < 0)
            return -1;
    }
    f->version = version;
    return 0;
}

/* Said once to the log and to all clients, and taken back when it is over. */
static void set_trouble(struct feed *f, const char *message)
{
    json_auto_t *o = NULL;
    auto_free char *text = NULL;
    struct err e;

    pthread_mutex_lock(&f->lock);
    if (!str_eq(message, f->trouble)) {
        if (*message)
            log_warning("%s", message);
        snprintf(f->trouble, sizeof f->trouble, "%s", message);
        o = json_pack("{s:s}", "message", message);
        if (o && json_text(o, &text, &e) == 0)
            give_all(f, "trouble", SSE_NO_ID, text);
    }
    pthread_mutex_unlock(&f->lock);
}

static void beat(struct feed *f, uint64_t now_ns)
{
    auto_buf struct buf b = BUF_INIT;
    struct feed_client *c;

    if (now_ns - f->beat_ns < BEAT_EVERY_NS)
        return;
    f->beat_ns = now_ns;
    sse_add_beat(&b);
    pthread_mutex_lock(&f->lock);
    LIST_FOREACH (c, &f->clients, link)
        give(c, b.data, b.len);
    pthread_mutex_unlock(&f->lock);
}

static void look_once(struct feed *f)
{
    uint64_t now_ns = clock_mono_ns();
    struct err e = ERR_INIT;

    if (look(f, now_ns, &e) < 0) {
        set_trouble(f, e.msg);
        if (e.kind != ERR_NOMEM && !e.retryable && f->journal)
            journal_close(take_ptr(f->journal));
    } else if (f->journal) {
        set_trouble(f, "");
    }
    if (f->o.tick)
        f->o.tick(f->o.tick_ctx);
    beat(f, now_ns);
}

static void *run(void *arg)
{
    struct feed *f = arg;

    pthread_mutex_lock(&f->lock);
    while (!f->stopping) {
        uint64_t until_ns = clock_mono_ns() + LOOK_EVERY_NS;
        const struct timespec ts = {.tv_sec = (time_t)(until_ns / NS_PER_S),
                                    .tv_nsec = (long)(until_ns % NS_PER_S)};

        pthread_mutex_unlock(&f->lock);
        look_once(f);
        pthread_mutex_lock(&f->lock);
        while (!f->stopping && pthread_cond_clockwait(&f->stop_cond, &f->lock,
                                                      CLOCK_MONOTONIC, &ts) == 0) {
        }
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

struct pace feed_pace(struct feed *f, const struct job_info *i)
{
    struct pace p = {PACE_UNKNOWN, PACE_UNKNOWN};
    const struct seen_job *s;

    pthread_mutex_lock(&f->lock);
    s = find_seen(f, i->id);
    if (s)
        p = pace_of(&s->meter, i, clock_mono_ns(), clock_real_s());
    pthread_mutex_unlock(&f->lock);
    return p;
}

void feed_trouble(struct feed *f, char *out, size_t out_len)
{
    pthread_mutex_lock(&f->lock);
    snprintf(out, out_len, "%s", f->trouble);
    pthread_mutex_unlock(&f->lock);
}

/* ---- beginning and end ---- */

static void feed_free(struct feed *f)
{
    journal_close(f->journal);
    vec_foreach (s, &f->seen)
        free(s->text);
    vec_release(&f->seen);
    free(f->syncs);
    pthread_cond_destroy(&f->stop_cond);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

int feed_start(const struct feed_options *o, struct feed **ret, struct err *e)
{
    struct feed *f = mem_zalloc(1, sizeof *f, e);
    int r;

    if (!f)
        return -1;
    f->o = *o;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->stop_cond, NULL);
    LIST_INIT(&f->clients);
    f->beat_ns = clock_mono_ns();
    if (open_journal(f, clock_mono_ns(), e) < 0 || look(f, clock_mono_ns(), e) < 0) {
        feed_free(f);
        return -1;
    }
    r = pthread_create(&f->thread, NULL, run, f);
    if (r) {
        feed_free(f);
        return err_sys_n(e, r, "cannot start the monitor's thread");
    }
    *ret = f;
    return 0;
}

void feed_close(struct feed *f)
{
    struct feed_client *c;

    pthread_mutex_lock(&f->lock);
    f->closed = true;
    LIST_FOREACH (c, &f->clients, link) {
        c->ended = true;
        wake(c);
    }
    pthread_mutex_unlock(&f->lock);
}

void feed_stop(struct feed *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_cond_signal(&f->stop_cond);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    feed_free(f);
}
