/* See fake_http.h. libmicrohttpd with one internal thread. */
#include "test.h"

#include "fake_http.h"

#include "base/buf.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

struct fake_http {
    struct MHD_Daemon *daemon;
    char url[64];
    fake_handler *handler;
    void *ctx;
    pthread_mutex_t lock; /* guards the two below */
    struct fake_request requests[FAKE_MAX_REQUESTS];
    size_t n;
};

static enum MHD_Result add_header(void *cls, enum MHD_ValueKind kind, const char *key,
                                  const char *value)
{
    buf_addf(cls, "%s: %s\n", key, value ? value : "");
    return MHD_YES;
}

static ssize_t endless(void *cls, uint64_t pos, char *out, size_t max)
{
    memset(out, 'x', max);
    return (ssize_t)max;
}

/* One request while it comes in. */
struct pending {
    char *uri;
    struct buf body;
    bool started;
};

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *c)
{
    struct pending *p = calloc(1, sizeof *p);

    if (p)
        p->uri = strdup(uri);
    return p;
}

static ssize_t cut(void *cls, uint64_t pos, char *out, size_t max)
{
    const struct fake_answer *a = cls;
    size_t left = a->cut_at - pos;

    if (!left)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    memcpy(out, a->body + pos, left < max ? left : max);
    return (ssize_t)(left < max ? left : max);
}

static struct MHD_Response *make_response(const struct fake_answer *a)
{
    const char *body = a->body ? a->body : "";
    struct MHD_Response *r;
    char line[1024];

    if (a->endless) {
        r = MHD_create_response_from_callback(a->chunked ? MHD_SIZE_UNKNOWN : a->endless,
                                              65536, endless, NULL, NULL);
    } else if (a->cut_at) {
        struct fake_answer *own = calloc(1, sizeof *own);

        if (own)
            *own = *a;
        r = MHD_create_response_from_callback(strlen(body), 65536, cut, own, free);
    } else {
        r = MHD_create_response_from_buffer(strlen(body), (void *)(uintptr_t)body,
                                            MHD_RESPMEM_PERSISTENT);
    }
    for (const char *p = a->headers; p && *p;) {
        size_t len = strcspn(p, "\n");
        char *colon;

        snprintf(line, sizeof line, "%.*s", (int)len, p);
        colon = strchr(line, ':');
        if (colon) {
            *colon = 0;
            MHD_add_response_header(r, line, colon + 1 + strspn(colon + 1, " "));
        }
        p += len + (p[len] == '\n');
    }
    return r;
}

static enum MHD_Result respond(struct fake_http *f, struct MHD_Connection *c,
                               const char *method, const char *path, struct pending *p)
{
    struct fake_answer a = {.status = 200};
    struct buf headers = BUF_INIT;
    struct fake_request *r;
    struct MHD_Response *response;
    enum MHD_Result done;
    size_t n;

    MHD_get_connection_values(c, MHD_HEADER_KIND, add_header, &headers);
    pthread_mutex_lock(&f->lock);
    n = f->n < FAKE_MAX_REQUESTS ? f->n : FAKE_MAX_REQUESTS - 1;
    r = &f->requests[n];
    free(r->method);
    free(r->path);
    free(r->uri);
    free(r->headers);
    free(r->body);
    *r = (struct fake_request){.method = strdup(method),
                               .path = strdup(path),
                               .uri = strdup(p->uri),
                               .headers = strdup(buf_str(&headers)),
                               .body = malloc(p->body.len + 1),
                               .body_len = p->body.len};
    memcpy(r->body, buf_str(&p->body), p->body.len + 1);
    f->n++;
    pthread_mutex_unlock(&f->lock);
    buf_release(&headers);
    f->handler(f->ctx, f->n - 1, r, &a);
    if (a.delay_ms)
        nanosleep(&(struct timespec){a.delay_ms / 1000, a.delay_ms % 1000 * 1000000L},
                  NULL);
    if (a.status == 0)
        return MHD_NO;
    response = make_response(&a);
    done = MHD_queue_response(c, (unsigned)a.status, response);
    MHD_destroy_response(response);
    return done;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *path,
                                  const char *method, const char *version,
                                  const char *upload, size_t *upload_len, void **con_cls)
{
    struct pending *p = *con_cls;

    if (!p || !p->uri)
        return MHD_NO;
    if (!p->started) {
        p->started = true;
        return MHD_YES;
    }
    if (*upload_len) {
        buf_add(&p->body, upload, *upload_len);
        *upload_len = 0;
        return MHD_YES;
    }
    return respond(cls, c, method, path, p);
}

static void on_end(void *cls, struct MHD_Connection *c, void **con_cls,
                   enum MHD_RequestTerminationCode why)
{
    struct pending *p = *con_cls;

    if (p) {
        buf_release(&p->body);
        free(p->uri);
        free(p);
    }
    *con_cls = NULL;
}

static void quiet(void *cls, const char *fmt, va_list ap)
{
}

struct fake_http *fake_http_start(fake_handler *handler, void *ctx, const char *key,
                                  const char *cert)
{
    struct fake_http *f = calloc(1, sizeof *f);
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key},
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)cert},
        {MHD_OPTION_END, 0, NULL}};
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG;
    const union MHD_DaemonInfo *info;

    assert_non_null(f);
    pthread_mutex_init(&f->lock, NULL);
    f->handler = handler;
    f->ctx = ctx;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!key)
        tls[0].option = MHD_OPTION_END;
    f->daemon = MHD_start_daemon(flags | (key ? MHD_USE_TLS : 0), 0, NULL, NULL,
                                 on_request, f, MHD_OPTION_EXTERNAL_LOGGER, quiet, NULL,
                                 MHD_OPTION_SOCK_ADDR, &to, MHD_OPTION_NOTIFY_COMPLETED,
                                 on_end, NULL, MHD_OPTION_URI_LOG_CALLBACK, on_uri, NULL,
                                 MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    assert_non_null(f->daemon);
    info = MHD_get_daemon_info(f->daemon, MHD_DAEMON_INFO_BIND_PORT);
    snprintf(f->url, sizeof f->url, "%s://127.0.0.1:%u", key ? "https" : "http",
             info->port);
    return f;
}

void fake_http_stop(struct fake_http *f)
{
    if (!f)
        return;
    MHD_stop_daemon(f->daemon);
    for (size_t i = 0; i < FAKE_MAX_REQUESTS; i++) {
        free(f->requests[i].method);
        free(f->requests[i].path);
        free(f->requests[i].uri);
        free(f->requests[i].headers);
        free(f->requests[i].body);
    }
    pthread_mutex_destroy(&f->lock);
    free(f);
}

const char *fake_http_url(const struct fake_http *f)
{
    return f->url;
}

size_t fake_http_count(struct fake_http *f)
{
    size_t n;

    pthread_mutex_lock(&f->lock);
    n = f->n;
    pthread_mutex_unlock(&f->lock);
    return n;
}

const struct fake_request *fake_http_request(struct fake_http *f, size_t n)
{
    if (n >= fake_http_count(f))
        fail_msg("only %zu requests were made, wanted number %zu", fake_http_count(f), n);
    return &f->requests[n];
}

void fake_script_handler(void *ctx, size_t n, const struct fake_request *r,
                         struct fake_answer *ret)
{
    const struct fake_script *s = ctx;

    *ret = s->answers[n < s->n ? n : s->n - 1];
}

static int hex(char c)
{
    return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

const char *fake_form(const struct fake_request *r, const char *name)
{
    static char value[70000];
    size_t name_len = strlen(name), out = 0;
    const char *p = r->body;

    while (*p && !(strncmp(p, name, name_len) == 0 && p[name_len] == '=')) {
        p += strcspn(p, "&");
        p += *p == '&';
    }
    if (!*p)
        return NULL;
    for (p += name_len + 1; *p && *p != '&' && out < sizeof value - 1; p++) {
        value[out++] = *p == '%' ? (char)(hex(p[1]) * 16 + hex(p[2])) : *p;
        p += *p == '%' ? 2 : 0;
    }
    value[out] = 0;
    return value;
}

bool fake_has_header(const struct fake_request *r, const char *name, const char *part)
{
    size_t len = strlen(name);
    char line[8192];

    for (const char *p = r->headers; *p;) {
        size_t n = strcspn(p, "\n");

        snprintf(line, sizeof line, "%.*s", (int)n, p);
        if (strncasecmp(line, name, len) == 0 && line[len] == ':' && strstr(line, part))
            return true;
        p += n + (p[n] == '\n');
    }
    return false;
}
