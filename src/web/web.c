/* The monitor's parts put together; see web.h.
 *
 * Two threads: the server's (http.c), which reads the journal for answers, and the
 * feed's, which looks for what changed. They share the feed and the list of actions, each
 * under its own lock. The journal is only read, so a crash of the monitor leaves nothing.
 */
#include "web/web.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/str.h"
#include "web/api.h"
#include "web/listen.h"

#include <pthread.h>

#define MAX_PEM (256u << 10)

struct web {
    struct web_options o;
    const struct web_syncs *given; /* borrowed */
    struct web_syncs syncs;        /* the same behind a lock: two threads ask; o.syncs */
    pthread_mutex_t syncs_lock;
    struct api api;
    struct listen_place place;
    struct http_server *http;
    char *where, *tail, *hello; /* owned */
    bool fresh_token;
};

/* ---- syncs, one thread at a time ---- */

static int syncs_list(void *ctx, json_t **ret, struct err *e)
{
    struct web *w = ctx;
    int r;

    pthread_mutex_lock(&w->syncs_lock);
    r = w->given->list(w->given->ctx, ret, e);
    pthread_mutex_unlock(&w->syncs_lock);
    return r;
}

static int syncs_show(void *ctx, const char *name, json_t **ret, struct err *e)
{
    struct web *w = ctx;
    int r;

    pthread_mutex_lock(&w->syncs_lock);
    r = w->given->show(w->given->ctx, name, ret, e);
    pthread_mutex_unlock(&w->syncs_lock);
    return r;
}

/* ---- start ---- */

static int check_options(const struct web_options *o, struct err *e)
{
    if (!o->tls_cert != !o->tls_key)
        return err_set(e, ERR_USAGE, "--tls-cert and --tls-key go together");
    if (o->tls_cert && str_starts(o->listen, "unix:"))
        return err_set(
            e, ERR_USAGE,
            "TLS on a unix socket is the proxy's business: leave --tls-cert out");
    return 0;
}

static int start_auth(struct web *w, struct err *e)
{
    auto_strv struct strv hosts = {0};
    enum auth_token how = w->o.token_file        ? AUTH_TOKEN_FILE
                          : w->place.unix_socket ? AUTH_TOKEN_NONE
                                                 : AUTH_TOKEN_FRESH;

    if (w->o.hosts)
        vec_foreach (h, w->o.hosts)
            if (strv_add(&hosts, *h, e) < 0)
                return -1;
    if (w->place.host && strv_addf(&hosts, e, strchr(w->place.host, ':') ? "[%s]" : "%s",
                                   w->place.host) < 0)
        return -1;
    if (w->place.loopback &&
        (strv_add(&hosts, "localhost", e) < 0 || strv_add(&hosts, "127.0.0.1", e) < 0 ||
         strv_add(&hosts, "[::1]", e) < 0))
        return -1;
    if (auth_init(&w->api.auth, how, w->o.token_file, &hosts, e) < 0)
        return -1;
    /* Who opens the socket's file is let in by its mode; whose names the proxy answers to
     * is said with --host, or left to it. */
    w->api.auth.any_host = w->place.unix_socket && hosts.n == 0;
    w->api.auth.tls = w->o.tls_cert != NULL;
    w->fresh_token = how == AUTH_TOKEN_FRESH;
    return 0;
}

static void on_tick(void *ctx)
{
    struct web *w = ctx;
    json_auto_t *ended = NULL;
    const json_t *x;
    struct err e;
    size_t i;

    if (actions_reap(w->api.actions, &ended, &e) < 0)
        return;
    json_array_foreach (ended, i, x) {
        auto_free char *text = NULL;

        if (json_text(x, &text, &e) == 0)
            feed_tell(w->api.feed, "action", text);
    }
}

static int start_parts(struct web *w, struct err *e)
{
    json_auto_t *about = api_about(&w->api, e);
    struct feed_options fo = {.journal_path = w->o.journal_path,
                              .tail = w->tail,
                              .syncs = w->o.syncs,
                              .tick = on_tick,
                              .tick_ctx = w};

    if (!about || json_text(about, &w->hello, e) < 0 ||
        actions_new(w->o.program, w->o.journal_path, &w->api.actions, e) < 0)
        return -1;
    fo.hello = w->hello;
    return feed_start(&fo, &w->api.feed, e);
}

static int start_http(struct web *w, struct err *e)
{
    auto_buf struct buf cert = BUF_INIT, key = BUF_INIT;
    struct http_options ho = {.handler = api_handle, .ctx = &w->api};
    int r;

    if (w->o.tls_cert && (io_read_file(w->o.tls_cert, MAX_PEM, &cert, e) < 0 ||
                          io_read_file(w->o.tls_key, MAX_PEM, &key, e) < 0)) {
        e->kind = ERR_USAGE;
        return -1;
    }
    if (w->o.tls_cert) {
        ho.tls_cert = buf_str(&cert);
        ho.tls_key = buf_str(&key);
    }
    ho.listen_fd = take_fd(&w->place.fd);
    r = http_start(&ho, &w->http, e);
    if (key.data)
        secret_wipe(key.data, key.len);
    return r;
}

static int start(struct web *w, struct err *e)
{
    bool safe = w->o.tls_cert && w->o.token_file;

    if (check_options(&w->o, e) < 0 ||
        listen_open(w->o.listen, safe ? LISTEN_ANYWHERE : LISTEN_LOOPBACK_ONLY, &w->place,
                    e) < 0 ||
        start_auth(w, e) < 0)
        return -1;
    w->where =
        w->place.unix_socket
            ? str_dup(w->place.where, e)
            : str_fmt(e, "%s://%s/", w->o.tls_cert ? "https" : "http", w->place.where);
    if (!w->where || start_parts(w, e) < 0)
        return -1;
    return start_http(w, e);
}

int web_start(const struct web_options *o, struct web **ret, struct err *e)
{
    struct web *w = mem_zalloc(1, sizeof *w, e);

    if (!w)
        return -1;
    w->o = *o;
    w->place.fd = -1;
    pthread_mutex_init(&w->syncs_lock, NULL);
    w->given = o->syncs;
    w->syncs = (struct web_syncs){syncs_list, syncs_show, w};
    w->o.syncs = o->syncs ? &w->syncs : NULL;
    w->api.o = &w->o;
    w->api.counts.started_s = clock_real_s();
    w->tail = str_dup(o->mend_tail ? o->mend_tail : "", e);
    w->api.tail = w->tail;
    if (!w->tail || start(w, e) < 0) {
        web_stop(w);
        return -1;
    }
    *ret = w;
    return 0;
}

const char *web_where(const struct web *w)
{
    return w->where;
}

int web_login_url(const struct web *w, char **ret, struct err *e)
{
    if (!w->fresh_token) {
        *ret = NULL;
        return 0;
    }
    /* Behind '#', which browsers keep to themselves: no log and no Referer has it. */
    *ret = str_fmt(e, "%s#token=%s", w->where, secret_reveal(w->api.auth.token));
    return *ret ? 0 : -1;
}

void web_stop(struct web *w)
{
    if (!w)
        return;
    if (w->api.feed)
        feed_close(w->api.feed);
    http_stop(w->http);
    feed_stop(w->api.feed);
    actions_free(w->api.actions);
    api_release(&w->api);
    listen_release(&w->place);
    pthread_mutex_destroy(&w->syncs_lock);
    free(w->where);
    free(w->tail);
    free(w->hello);
    free(w);
}
