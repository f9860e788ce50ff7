/* Routing and who may; see api.h.
 *
 * Default-deny: a route says what it is open for, and what has no route is refused. The
 * order of the checks: the name we are asked by, then the route, then the token, then
 * where a changing request comes from. */
#include "web/api.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "config.h"
#include "web/page.h"

enum guard {
    GUARD_NONE,   /* says nothing of jobs */
    GUARD_TOKEN,  /* reads */
    GUARD_ORIGIN, /* changes the session only: same origin */
    GUARD_ACT,    /* acts: token, same origin, and not a read-only monitor */
};

struct route {
    enum request_method method;
    const char *pattern; /* parts with slashes between; '*' is any name */
    enum guard guard;
    api_call *call;
};

static api_call healthz, metrics, about, login, logout;

static const struct route routes[] = {
    {REQUEST_GET, "healthz", GUARD_NONE, healthz},
    {REQUEST_GET, "metrics", GUARD_TOKEN, metrics},
    {REQUEST_POST, "api/v1/session", GUARD_ORIGIN, login},
    {REQUEST_DELETE, "api/v1/session", GUARD_ORIGIN, logout},
    {REQUEST_GET, "api/v1/about", GUARD_TOKEN, about},
    {REQUEST_GET, "api/v1/stream", GUARD_TOKEN, api_stream},
    {REQUEST_GET, "api/v1/events", GUARD_TOKEN, api_events},
    {REQUEST_GET, "api/v1/jobs", GUARD_TOKEN, api_jobs},
    {REQUEST_GET, "api/v1/jobs/*", GUARD_TOKEN, api_job},
    {REQUEST_GET, "api/v1/jobs/*/events", GUARD_TOKEN, api_job_events},
    {REQUEST_GET, "api/v1/jobs/*/console", GUARD_TOKEN, api_job_console},
    {REQUEST_GET, "api/v1/jobs/*/screenshot", GUARD_TOKEN, api_job_screenshot},
    {REQUEST_POST, "api/v1/jobs/*/actions/*", GUARD_ACT, api_job_act},
    {REQUEST_GET, "api/v1/syncs", GUARD_TOKEN, api_syncs},
    {REQUEST_GET, "api/v1/syncs/*", GUARD_TOKEN, api_sync},
    {REQUEST_POST, "api/v1/syncs/*/actions/*", GUARD_ACT, api_sync_act},
    {REQUEST_GET, "api/v1/actions", GUARD_TOKEN, api_actions},
};
#define N_ROUTES (sizeof routes / sizeof routes[0])

/* ---- replies ---- */

int api_reply_json(struct reply *rp, unsigned status, const json_t *value, struct err *e)
{
    auto_free char *text = NULL;

    if (json_text(value, &text, e) < 0)
        return -1;
    buf_adds(&rp->body, text);
    buf_addc(&rp->body, '\n');
    rp->status = status;
    rp->type = "application/json";
    return buf_check(&rp->body, e);
}

int api_reply_text(struct reply *rp, const char *text, struct err *e)
{
    buf_adds(&rp->body, text);
    rp->status = 200;
    rp->type = "text/plain; charset=utf-8";
    return buf_check(&rp->body, e);
}

static unsigned status_of(const struct err *e)
{
    switch (e->kind) {
    case ERR_USAGE:
    case ERR_INPUT:
        return 400;
    case ERR_DENIED:
        return 403;
    case ERR_NOT_FOUND:
        return 404;
    case ERR_BUSY:
    case ERR_EXISTS:
        return 409;
    case ERR_UNSUPPORTED:
        return 501;
    default:
        return 500;
    }
}

static void reply_error(struct reply *rp, unsigned status, const struct err *why)
{
    json_auto_t *o = json_pack("{s:{s:s, s:s}}", "error", "kind",
                               err_kind_name(why->kind), "message", why->msg);
    struct err e;

    buf_reset(&rp->body);
    if (!o || api_reply_json(rp, status, o, &e) < 0) {
        buf_reset(&rp->body);
        rp->status = 500;
        rp->type = NULL;
    }
}

/* ---- routing ---- */

static bool next_part(const char **pattern, const char **part, size_t *len)
{
    if (!**pattern)
        return false;
    *part = *pattern;
    *len = strcspn(*pattern, "/");
    *pattern += *len + ((*pattern)[*len] == '/');
    return true;
}

/* Fills names with what stands for '*'. -1: out of memory. */
static int matches(const char *pattern, const struct strv *path, struct strv *names,
                   bool *ret, struct err *e)
{
    const char *part = NULL;
    size_t i = 0, len = 0;

    *ret = false;
    strv_release(names);
    while (next_part(&pattern, &part, &len)) {
        if (i == path->n)
            return 0;
        if (*part == '*') {
            if (!request_name_ok(path->v[i]))
                return 0;
            if (strv_add(names, path->v[i], e) < 0)
                return -1;
        } else if (strlen(path->v[i]) != len || memcmp(path->v[i], part, len) != 0) {
            return 0;
        }
        i++;
    }
    *ret = i == path->n;
    return 0;
}

static const char *allow_header(enum request_method m)
{
    return m == REQUEST_GET ? "GET, HEAD" : m == REQUEST_POST ? "POST" : "DELETE";
}

/* The route, or NULL with the status to refuse with. */
static const struct route *find_route(enum request_method method, const struct strv *path,
                                      struct strv *names, struct reply *rp, struct err *e)
{
    enum request_method as = method == REQUEST_HEAD ? REQUEST_GET : method;
    bool hit;

    rp->status = 404;
    for (size_t i = 0; i < N_ROUTES; i++) {
        if (matches(routes[i].pattern, path, names, &hit, e) < 0) {
            rp->status = 500;
            return NULL;
        }
        if (hit && routes[i].method == as)
            return &routes[i];
        if (hit) {
            rp->status = 405;
            rp->allow = allow_header(routes[i].method);
        }
    }
    err_set(e, rp->status == 404 ? ERR_NOT_FOUND : ERR_UNSUPPORTED,
            rp->status == 404 ? "there is nothing at this path"
                              : "this path takes %s only",
            rp->allow);
    return NULL;
}

static bool serve_page(const struct request *rq, struct reply *rp)
{
    if (rq->method != REQUEST_GET && rq->method != REQUEST_HEAD)
        return false;
    for (const struct page_file *f = page_files; f->path; f++) {
        if (!str_eq(f->path, rq->path))
            continue;
        rp->etag = f->etag;
        rp->type = f->type;
        rp->status = 200;
        if (rq->if_none_match && str_eq(rq->if_none_match, f->etag)) {
            rp->status = 304;
            return true;
        }
        rp->fixed = f->data;
        rp->fixed_len = f->len;
        return true;
    }
    return false;
}

/* ---- who may ---- */

static void note_wrong_token(struct api *a)
{
    uint64_t now_ns = clock_mono_ns();

    a->counts.wrong_tokens++;
    if (a->warned_ns && now_ns - a->warned_ns < 60 * NS_PER_S)
        return;
    a->warned_ns = now_ns;
    log_warning("a request without the right token was refused (said once a minute)");
}

/* 0, or the status to refuse with. */
static int check_guard(struct api *a, enum guard g, const struct request *rq,
                       struct err *e)
{
    int status;

    if (g == GUARD_TOKEN || g == GUARD_ACT) {
        status = auth_check_token(&a->auth, rq, e);
        if (status) {
            /* A browser that has not logged in yet is no attack. */
            if (rq->authorization || rq->cookie)
                note_wrong_token(a);
            return status;
        }
    }
    if (g == GUARD_ORIGIN || g == GUARD_ACT) {
        status = auth_check_same_origin(&a->auth, rq, e);
        if (status) {
            a->counts.wrong_origins++;
            return status;
        }
    }
    if (g == GUARD_ACT && a->o->read_only) {
        err_set(e, ERR_DENIED, "this monitor was started with --read-only");
        return 403;
    }
    return 0;
}

static void handle(struct api *a, const struct request *rq, struct reply *rp)
{
    auto_strv struct strv path = {0}, names = {0};
    struct err e = ERR_INIT;
    const struct route *r;
    bool health = str_eq(rq->path, "/healthz");
    int status = health ? 0 : auth_check_host(&a->auth, rq, &e);

    if (status) {
        a->counts.wrong_hosts++;
        reply_error(rp, (unsigned)status, &e);
        return;
    }
    if (serve_page(rq, rp))
        return;
    if (request_path_split(rq->path, &path, &e) < 0) {
        reply_error(rp, status_of(&e), &e);
        return;
    }
    r = find_route(rq->method, &path, &names, rp, &e);
    if (!r) {
        reply_error(rp, rp->status, &e);
        return;
    }
    status = check_guard(a, r->guard, rq, &e);
    if (status) {
        reply_error(rp, (unsigned)status, &e);
        return;
    }
    if (r->call(a, rq, &names, rp, &e) < 0) {
        reply_error(rp, status_of(&e), &e);
        /* A journal that could not be read is opened again for the next request. */
        if (rp->status == 500)
            journal_close(take_ptr(a->journal));
    }
}

void api_handle(void *ctx, const struct request *rq, struct reply *rp)
{
    struct api *a = ctx;

    handle(a, rq, rp);
    if (rp->status / 100 < sizeof a->counts.requests / sizeof a->counts.requests[0])
        a->counts.requests[rp->status / 100]++;
}

/* ---- the small routes ---- */

static int healthz(struct api *a, const struct request *rq, const struct strv *names,
                   struct reply *rp, struct err *e)
{
    char trouble[1300];

    feed_trouble(a->feed, trouble, sizeof trouble);
    if (api_reply_text(rp, *trouble ? "the journal cannot be read\n" : "ok\n", e) < 0)
        return -1;
    rp->status = *trouble ? 503 : 200;
    return 0;
}

static int metrics(struct api *a, const struct request *rq, const struct strv *names,
                   struct reply *rp, struct err *e)
{
    auto_job_infos struct job_infos jobs = {0};
    json_auto_t *syncs = NULL;
    uint64_t last;

    if (api_journal(a, e) < 0 || journal_jobs(a->journal, &jobs, e) < 0 ||
        journal_last_event(a->journal, &last, e) < 0 ||
        (a->o->syncs && a->o->syncs->list(a->o->syncs->ctx, &syncs, e) < 0))
        return -1;
    a->counts.clients = feed_clients(a->feed);
    metrics_write(&rp->body, &jobs, syncs, last, &a->counts);
    rp->status = 200;
    rp->type = "text/plain; version=0.0.4; charset=utf-8";
    return buf_check(&rp->body, e);
}

json_t *api_about(const struct api *a, struct err *e)
{
    json_t *o =
        json_pack("{s:s, s:s, s:b, s:b, s:b}", "version", HOTADD_VERSION, "journal",
                  a->o->journal_path, "read_only", (int)a->o->read_only, "syncs",
                  (int)(a->o->syncs != NULL), "sessions", (int)(a->auth.token != NULL));

    if (!o)
        err_nomem(e);
    return o;
}

static int about(struct api *a, const struct request *rq, const struct strv *names,
                 struct reply *rp, struct err *e)
{
    json_auto_t *o = api_about(a, e);

    return o ? api_reply_json(rp, 200, o, e) : -1;
}

static int login(struct api *a, const struct request *rq, const struct strv *names,
                 struct reply *rp, struct err *e)
{
    json_auto_t *o = NULL;

    if (request_json(rq, &o, e) < 0)
        return -1;
    rp->status = 204;
    if (!a->auth.token)
        return 0;
    if (!auth_token_is(&a->auth, json_str_or(o, "token", ""))) {
        note_wrong_token(a);
        err_set(e, ERR_DENIED, "the token is not this monitor's");
        reply_error(rp, 401, e);
        return 0;
    }
    rp->cookie = str_fmt(e, AUTH_COOKIE "=%s; Path=/; HttpOnly; SameSite=Strict%s",
                         a->auth.session, a->auth.tls ? "; Secure" : "");
    return rp->cookie ? 0 : -1;
}

static int logout(struct api *a, const struct request *rq, const struct strv *names,
                  struct reply *rp, struct err *e)
{
    rp->status = 204;
    rp->cookie =
        str_dup(AUTH_COOKIE "=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0", e);
    return rp->cookie ? 0 : -1;
}

/* ---- the journal ---- */

int api_journal(struct api *a, struct err *e)
{
    return a->journal ? 0 : journal_open(a->o->journal_path, &a->journal, e);
}

void api_release(struct api *a)
{
    journal_close(a->journal);
    auth_release(&a->auth);
}
