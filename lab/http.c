/* HTTP over libmicrohttpd; see http.h.
 *
 * The URI is kept as it came over the wire (signatures cover that form), so
 * libmicrohttpd's own unescaping is bypassed. Holds nothing that outlives a connection.
 */
#include "lab/http.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <microhttpd.h>
#include <netinet/in.h>

#define MAX_HEADERS     100
#define MAX_CONNECTIONS 200

struct http_server {
    struct MHD_Daemon *daemon;
    http_handler *handler;
    const struct http_uploads *uploads;
    void *ctx;
};

/* One request while it is being received. */
struct pending {
    struct http_request rq;
    const struct http_uploads *uploads; /* who frees rq.upload */
    bool started; /* the handler has been called with headers before */
    bool too_large;
    bool failed; /* lack of memory, or more headers than believable */
};

const char *http_header_get(const struct http_request *rq, const char *name)
{
    vec_foreach (h, &rq->headers)
        if (str_eq(h->name, name))
            return h->value;
    return NULL;
}

int http_header_add(struct http_headers *list, const char *name, const char *value,
                    struct err *e)
{
    struct http_header h = {.name = str_dup(name, e), .value = str_dup(value, e)};

    if (h.name && h.value && vec_push(list, h, e) == 0)
        return 0;
    free(h.name);
    free(h.value);
    return -1;
}

static void headers_release(struct http_headers *list)
{
    vec_foreach (h, list) {
        free(h->name);
        free(h->value);
    }
    vec_release(list);
}

void http_request_release(struct http_request *rq)
{
    free(rq->method);
    free(rq->path);
    free(rq->raw_query);
    headers_release(&rq->headers);
    buf_release(&rq->body);
    memset(rq, 0, sizeof *rq);
}

void http_reply_release(struct http_reply *rp)
{
    headers_release(&rp->headers);
    buf_release(&rp->body);
    if (rp->file)
        close(rp->file->fd);
    free(rp->file);
    memset(rp, 0, sizeof *rp);
}

/* Called first of all, with the URI as sent; the result becomes the request's state. */
static void *on_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct err e = ERR_INIT;
    struct pending *p = mem_zalloc(1, sizeof *p, &e);
    const char *q = strchr(uri, '?');

    if (!p)
        return NULL;
    p->rq.path = str_ndup(uri, q ? (size_t)(q - uri) : strlen(uri), &e);
    p->rq.raw_query = str_dup(q ? q + 1 : "", &e);
    if (!p->rq.path || !p->rq.raw_query)
        p->failed = true;
    return p;
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *key,
                                 const char *value)
{
    struct pending *p = cls;
    struct err e = ERR_INIT;

    if (p->rq.headers.n >= MAX_HEADERS ||
        http_header_add(&p->rq.headers, key, value ? value : "", &e) < 0) {
        p->failed = true;
        return MHD_NO;
    }
    for (char *c = p->rq.headers.v[p->rq.headers.n - 1].name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return MHD_YES;
}

/* A body that breaks off; it owns what it is read from. */
struct broken {
    struct buf body;
    struct http_file *file;
    uint64_t end;
};

static ssize_t read_broken(void *cls, uint64_t pos, char *out, size_t max)
{
    const struct broken *b = cls;
    uint64_t left = b->end - pos;
    size_t n = left < max ? (size_t)left : max;

    if (n == 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (!b->file) {
        memcpy(out, b->body.data + pos, n);
        return (ssize_t)n;
    }
    return pread(b->file->fd, out, n, (off_t)(b->file->offset + pos)) == (ssize_t)n
               ? (ssize_t)n
               : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void free_broken(void *cls)
{
    struct broken *b = cls;
    struct http_reply rp = {.body = b->body, .file = b->file};

    http_reply_release(&rp);
    free(b);
}

static struct MHD_Response *make_broken(struct http_reply *rp)
{
    uint64_t len = rp->file ? rp->file->len_bytes : rp->body.len;
    struct err e = ERR_INIT;
    struct broken *b = mem_zalloc(1, sizeof *b, &e);
    struct MHD_Response *r;

    if (!b)
        return NULL;
    *b = (struct broken){rp->body, take_ptr(rp->file), len / 2};
    rp->body = (struct buf)BUF_INIT;
    r = MHD_create_response_from_callback(len, 65536, read_broken, b, free_broken);
    if (!r)
        free_broken(b);
    return r;
}

static struct MHD_Response *make_response(struct http_reply *rp)
{
    struct MHD_Response *r;

    if (rp->delivery == HTTP_CUT)
        return make_broken(rp);
    if (!rp->file)
        return MHD_create_response_from_buffer(rp->body.len, rp->body.data,
                                               MHD_RESPMEM_MUST_COPY);
    r = MHD_create_response_from_fd_at_offset64(rp->file->len_bytes, rp->file->fd,
                                                rp->file->offset);
    if (r) /* it closes the file */
        free(take_ptr(rp->file));
    return r;
}

static enum MHD_Result queue_reply(struct MHD_Connection *connection,
                                   struct http_reply *rp)
{
    struct MHD_Response *response;
    enum MHD_Result r;

    if (rp->delivery == HTTP_DROP)
        return MHD_NO;
    response = make_response(rp);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Server", "hotadd-lab");
    if (rp->content_type)
        MHD_add_response_header(response, "Content-Type", rp->content_type);
    vec_foreach (h, &rp->headers)
        MHD_add_response_header(response, h->name, h->value);
    r = MHD_queue_response(connection, rp->status, response);
    MHD_destroy_response(response);
    return r;
}

static enum MHD_Result answer(struct http_server *s, struct MHD_Connection *connection,
                              struct pending *p)
{
    struct http_reply rp = {.delivery = HTTP_SEND, .status = 500};
    enum MHD_Result r;

    if (p->too_large)
        rp.status = 413;
    else if (!p->failed && !p->rq.body.failed)
        s->handler(s->ctx, &p->rq, &rp);
    r = queue_reply(connection, &rp);
    http_reply_release(&rp);
    return r;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection,
                                  const char *url, const char *method,
                                  const char *version, const char *upload_data,
                                  size_t *upload_data_size, void **con_cls)
{
    struct http_server *s = cls;
    struct pending *p = *con_cls;
    struct err e = ERR_INIT;

    if (!p)
        return MHD_NO;
    if (!p->started) {
        p->started = true;
        p->rq.method = str_dup(method, &e);
        if (!p->rq.method)
            p->failed = true;
        MHD_get_connection_values(connection, MHD_HEADER_KIND, on_header, p);
        p->uploads = s->uploads;
        if (s->uploads && !p->failed)
            p->rq.upload = s->uploads->begin(s->ctx, &p->rq);
        return MHD_YES;
    }
    if (*upload_data_size) {
        /* The rest of a body that is too large is read and thrown away, so that the
         * client lives to read the answer. */
        if (p->rq.upload)
            s->uploads->data(p->rq.upload, upload_data, *upload_data_size);
        else if (p->rq.body.len + *upload_data_size > HTTP_MAX_BODY)
            p->too_large = true;
        else
            buf_add(&p->rq.body, upload_data, *upload_data_size);
        *upload_data_size = 0;
        return MHD_YES;
    }
    return answer(s, connection, p);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode code)
{
    struct pending *p = *con_cls;

    if (p) {
        if (p->rq.upload)
            p->uploads->free(p->rq.upload);
        http_request_release(&p->rq);
        free(p);
    }
    *con_cls = NULL;
}

/* Leaves escapes in place. */
static size_t on_unescape(void *cls, struct MHD_Connection *connection, char *s)
{
    return strlen(s);
}

int http_start(uint16_t port, http_handler *handler, const struct http_uploads *uploads,
               void *ctx, struct http_server **ret, uint16_t *ret_port, struct err *e)
{
    auto_free struct http_server *s = mem_zalloc(1, sizeof *s, e);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    const union MHD_DaemonInfo *info;

    if (!s)
        return -1;
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->handler = handler;
    s->uploads = uploads;
    s->ctx = ctx;
    s->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, port, NULL, NULL,
        on_request, s, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&sa,
        MHD_OPTION_URI_LOG_CALLBACK, on_uri, NULL, MHD_OPTION_UNESCAPE_CALLBACK,
        on_unescape, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, 120u, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)128 * 1024, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
    if (!s->daemon)
        return err_set(e, ERR_BUSY, "cannot listen on 127.0.0.1:%u: %s", port,
                       strerrordesc_np(errno));
    info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    if (!info) {
        MHD_stop_daemon(s->daemon);
        return err_set(e, ERR_FAILED, "the HTTP server does not tell its port");
    }
    *ret_port = info->port;
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
