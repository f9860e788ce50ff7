/* HTTP over libmicrohttpd; see http.h.
 *
 * A request's texts belong to libmicrohttpd until it is completed. The path is kept as it
 * was sent: request.c decodes it once, strictly, so that nobody decodes it twice. */
#include "web/http.h"

#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"

#include <errno.h>
#include <microhttpd.h>

#define MAX_CONNECTIONS 128u
#define MAX_HEADER_SIZE ((size_t)32 * 1024)
#define IDLE_TIMEOUT_S  60u
#define STREAM_BLOCK    16384

struct http_server {
    struct MHD_Daemon *daemon;
    http_handler *handler;
    void *ctx;
    bool tls;
};

/* One request while it is being received. */
struct pending {
    char *path, *query; /* owned */
    struct buf body;
    bool started, too_large, failed;
};

/* A stream's client, and how the feed stops and starts its connection. */
struct stream {
    struct MHD_Connection *connection;
    struct feed_client *client; /* owned */
    struct feed_valve valve;
};

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct err e = ERR_INIT;
    struct pending *p = mem_zalloc(1, sizeof *p, &e);
    const char *q = strchr(uri, '?');

    if (!p)
        return NULL;
    p->path = str_ndup(uri, q ? (size_t)(q - uri) : strlen(uri), &e);
    p->query = str_dup(q ? q + 1 : "", &e);
    p->failed = !p->path || !p->query;
    return p;
}

/* Leaves escapes in place. */
static size_t on_unescape(void *cls, struct MHD_Connection *connection, char *s)
{
    return strlen(s);
}

static void park(void *ctx)
{
    const struct stream *s = ctx;

    MHD_suspend_connection(s->connection);
}

static void wake(void *ctx)
{
    const struct stream *s = ctx;

    MHD_resume_connection(s->connection);
}

static ssize_t on_stream(void *cls, uint64_t pos, char *out, size_t max)
{
    struct stream *s = cls;
    ssize_t n = feed_read(s->client, out, max, &s->valve);

    return n < 0 ? MHD_CONTENT_READER_END_OF_STREAM : n;
}

static void on_stream_end(void *cls)
{
    struct stream *s = cls;

    feed_leave(s->client);
    free(s);
}

static struct MHD_Response *make_stream(struct MHD_Connection *connection,
                                        struct reply *rp)
{
    struct err e = ERR_INIT;
    struct stream *s = mem_zalloc(1, sizeof *s, &e);
    struct MHD_Response *r;

    if (!s)
        return NULL;
    s->connection = connection;
    s->valve = (struct feed_valve){park, wake, s};
    s->client = take_ptr(rp->stream);
    r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, on_stream, s,
                                          on_stream_end);
    if (!r)
        on_stream_end(s);
    return r;
}

static void add_headers(const struct http_server *s, struct MHD_Response *r,
                        const struct reply *rp)
{
    /* Scripts and styles come from here only, none of them inline; no markup is ever made
     * from text; nobody frames us. */
    static const char *const always[][2] = {
        {"Content-Security-Policy",
         "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
         "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors "
         "'none'; require-trusted-types-for 'script'; trusted-types 'none'"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
    };

    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        MHD_add_response_header(r, always[i][0], always[i][1]);
    MHD_add_response_header(r, "Cache-Control", rp->etag ? "no-cache" : "no-store");
    if (s->tls)
        MHD_add_response_header(r, "Strict-Transport-Security", "max-age=31536000");
    if (rp->etag)
        MHD_add_response_header(r, "ETag", rp->etag);
    if (rp->type)
        MHD_add_response_header(r, "Content-Type", rp->type);
    if (rp->cookie)
        MHD_add_response_header(r, "Set-Cookie", rp->cookie);
    if (rp->allow)
        MHD_add_response_header(r, "Allow", rp->allow);
    if (rp->status == 401)
        MHD_add_response_header(r, "WWW-Authenticate", "Bearer realm=\"hotadd\"");
}

static void reply_release(struct reply *rp)
{
    buf_release(&rp->body);
    free(rp->cookie);
    if (rp->stream)
        feed_leave(rp->stream);
}

static enum MHD_Result send_reply(const struct http_server *s,
                                  struct MHD_Connection *connection, struct reply *rp)
{
    struct MHD_Response *r;
    enum MHD_Result sent;

    if (rp->stream)
        r = make_stream(connection, rp);
    else if (rp->fixed)
        r = MHD_create_response_from_buffer(rp->fixed_len, (void *)(uintptr_t)rp->fixed,
                                            MHD_RESPMEM_PERSISTENT);
    else
        r = MHD_create_response_from_buffer(rp->body.len, rp->body.data,
                                            MHD_RESPMEM_MUST_COPY);
    if (!r)
        return MHD_NO;
    add_headers(s, r, rp);
    sent = MHD_queue_response(connection, rp->status, r);
    MHD_destroy_response(r);
    return sent;
}

/* A header given twice is nobody's: NULL, as if it had not been sent, would let the first
 * reader of two win. */
struct header_search {
    const char *name, *value;
    bool twice;
};

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *key,
                                 const char *value)
{
    struct header_search *h = cls;

    if (strcasecmp(key, h->name) == 0) {
        h->twice = h->value != NULL;
        h->value = value ? value : "";
    }
    return h->twice ? MHD_NO : MHD_YES;
}

static int get_headers(struct MHD_Connection *connection, struct request *rq)
{
    const struct {
        const char *name;
        const char **value;
    } wanted[] = {{"Host", &rq->host},
                  {"Origin", &rq->origin},
                  {"Authorization", &rq->authorization},
                  {"Cookie", &rq->cookie},
                  {"Content-Type", &rq->content_type},
                  {"Sec-Fetch-Site", &rq->fetch_site},
                  {"Last-Event-ID", &rq->last_event_id},
                  {"If-None-Match", &rq->if_none_match}};

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        struct header_search h = {.name = wanted[i].name};

        MHD_get_connection_values(connection, MHD_HEADER_KIND, on_header, &h);
        if (h.twice)
            return -1;
        *wanted[i].value = h.value;
    }
    return 0;
}

static enum MHD_Result answer(struct http_server *s, struct MHD_Connection *connection,
                              const char *method, struct pending *p)
{
    struct request rq = {.path = p->path, .query = p->query, .body = &p->body};
    struct reply rp = {.status = 500};
    struct err e = ERR_INIT;
    enum MHD_Result r;

    if (p->too_large)
        rp.status = 413;
    else if (p->failed || p->body.failed)
        rp.status = 500;
    else if (request_method_parse(method, &rq.method, &e) < 0)
        rp.status = 501;
    else if (get_headers(connection, &rq) < 0)
        rp.status = 400;
    else
        s->handler(s->ctx, &rq, &rp);
    r = send_reply(s, connection, &rp);
    reply_release(&rp);
    return r;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection,
                                  const char *url, const char *method,
                                  const char *version, const char *upload_data,
                                  size_t *upload_data_size, void **con_cls)
{
    struct pending *p = *con_cls;

    if (!p)
        return MHD_NO;
    if (!p->started) {
        p->started = true;
        return MHD_YES;
    }
    if (*upload_data_size) {
        /* The rest of what is too large is read and dropped, so that the client lives to
         * read the answer; the idle timeout bounds it. */
        if (p->body.len + *upload_data_size > REQUEST_MAX_BODY)
            p->too_large = true;
        else
            buf_add(&p->body, upload_data, *upload_data_size);
        *upload_data_size = 0;
        return MHD_YES;
    }
    return answer(cls, connection, method, p);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode code)
{
    struct pending *p = *con_cls;

    if (p) {
        free(p->path);
        free(p->query);
        /* A token may have been in it. */
        if (p->body.data)
            secret_wipe(p->body.data, p->body.len);
        buf_release(&p->body);
        free(p);
    }
    *con_cls = NULL;
}

/* What libmicrohttpd says of its connections is for debugging. */
static void on_log(void *cls, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
static void on_log(void *cls, const char *fmt, va_list ap)
{
    char line[300];

    if (log_level() < LOG_DEBUG)
        return;
    vsnprintf(line, sizeof line, fmt, ap);
    line[strcspn(line, "\n")] = 0;
    log_debug("http: %s", line);
}

int http_start(const struct http_options *o, struct http_server **ret, struct err *e)
{
    auto_free struct http_server *s = mem_zalloc(1, sizeof *s, e);
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                     MHD_USE_ERROR_LOG | (o->tls_cert ? MHD_USE_TLS : 0u);
    const struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)o->tls_cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)o->tls_key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0,
         (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {MHD_OPTION_END, 0, NULL}};
    static const struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};

    if (!s)
        return -1;
    s->handler = o->handler;
    s->ctx = o->ctx;
    s->tls = o->tls_cert != NULL;
    s->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, o->listen_fd, MHD_OPTION_URI_LOG_CALLBACK, on_uri, NULL,
        MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, NULL, MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        MAX_HEADER_SIZE, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY,
        o->tls_cert ? tls : none, MHD_OPTION_END);
    if (!s->daemon) {
        /* Whether the socket is closed by now depends on what failed: it is left to the
         * process's end rather than closed twice. */
        return o->tls_cert
                   ? err_set(
                         e, ERR_USAGE,
                         "the HTTPS server does not start: certificate and key must be "
                         "PEM and belong together")
                   : err_set(e, ERR_FAILED, "the HTTP server does not start: %s",
                             strerrordesc_np(errno));
    }
    *ret = take_ptr(s);
    return 0;
}

void http_stop(struct http_server *s)
{
    if (!s)
        return;
    MHD_stop_daemon(s->daemon);
    free(s);
}
