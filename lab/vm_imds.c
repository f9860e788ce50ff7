/* The guest's connections to 169.254.169.254; see vm_conn.h.
 *
 * One request per connection ("Connection: close"), which every client of the metadata
 * service copes with and which keeps a connection's life a straight line: read the head
 * and a small body, ask the callback, write the reply, close. A guest that dawdles is cut
 * off after IDLE_NS, and of more than CONN_MAX at once the oldest gives way: a hostile
 * guest can only harm its own service. */
#include "lab/vm_conn.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "lab/vm_http.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDLE_NS (20 * NS_PER_S)

struct imds_conn {
    int fd;
    uint64_t since_ns;
    struct buf in, out;
    size_t out_done;
    size_t body_left; /* of the request, once its head was answered */
    bool answered;    /* out is complete */
};

static void conn_free(struct imds_conn **c)
{
    if (!*c)
        return;
    close((*c)->fd);
    buf_release(&(*c)->in);
    buf_release(&(*c)->out);
    free(*c);
    *c = NULL;
}

/* A free place; when there is none, the oldest connection's. */
static struct imds_conn **place(struct imds_set *s)
{
    struct imds_conn **oldest = &s->conns[0];

    for (size_t i = 0; i < CONN_MAX; i++) {
        if (!s->conns[i])
            return &s->conns[i];
        if (s->conns[i]->since_ns < (*oldest)->since_ns)
            oldest = &s->conns[i];
    }
    conn_free(oldest);
    return oldest;
}

static void take_connection(struct imds_set *s)
{
    auto_fd int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct imds_conn *c;
    struct err ignored;

    if (fd < 0)
        return;
    c = mem_zalloc(1, sizeof *c, &ignored);
    if (!c)
        return;
    c->fd = take_fd(&fd);
    c->since_ns = clock_mono_ns();
    *place(s) = c;
}

static void reply_release(struct vm_imds_reply *r)
{
    buf_release(&r->headers);
    buf_release(&r->body);
}

static void write_reply(struct imds_conn *c, const struct vm_imds_reply *r,
                        bool head_only)
{
    unsigned status = r->status ? r->status : 200;

    buf_addf(&c->out,
             "HTTP/1.1 %u %s\r\nServer: EC2ws\r\nConnection: close\r\n"
             "Content-Length: %zu\r\n",
             status, http_status_text(status), r->body.len);
    buf_add(&c->out, r->headers.data, r->headers.len);
    buf_adds(&c->out, "\r\n");
    if (!head_only)
        buf_add(&c->out, r->body.data, r->body.len);
    c->answered = true;
}

static void refuse(struct imds_conn *c, unsigned status)
{
    struct vm_imds_reply r = {.status = status};

    write_reply(c, &r, false);
}

/* False: hang up. */
static bool answer(struct imds_set *s, struct imds_conn *c, struct http_head *h)
{
    auto_call(reply_release) struct vm_imds_reply r = {0};
    struct err e = ERR_INIT;

    s->asked = true;
    h->req.instance_id = s->instance_id;
    if (s->imds.answer(s->imds.ctx, &h->req, &r, &e) < 0) {
        log_debug("%s: metadata %s: %s", s->instance_id, h->req.path, e.msg);
        refuse(c, 500);
        return true;
    }
    if (r.close_unanswered)
        return false;
    if (buf_check(&r.headers, &e) < 0 || buf_check(&r.body, &e) < 0)
        return false;
    write_reply(c, &r, str_eq(h->req.method, "HEAD"));
    return true;
}

/* What has been read so far. False: hang up. */
static bool digest(struct imds_set *s, struct imds_conn *c)
{
    struct http_head h;
    struct err e = ERR_INIT;
    int r = http_parse_head(c->in.data, c->in.len, &h, &e);

    if (r == 0)
        return true;
    if (r < 0) {
        refuse(c, e.kind == ERR_UNSUPPORTED ? 501 : 400);
        return true;
    }
    /* The body is of no use to the service; it is read so that closing does not turn
     * into a reset that would take the reply with it. */
    if (c->in.len - h.head_len < h.body_len)
        c->body_left = h.body_len - (c->in.len - h.head_len);
    return answer(s, c, &h);
}

static bool read_some(struct imds_set *s, struct imds_conn *c)
{
    char data[4096];
    ssize_t n = read(c->fd, data, sizeof data);
    struct err ignored;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        return false;
    if (c->answered) {
        c->body_left -= (size_t)n < c->body_left ? (size_t)n : c->body_left;
        return true;
    }
    buf_add(&c->in, data, (size_t)n);
    return buf_check(&c->in, &ignored) == 0 && digest(s, c);
}

/* False once everything is written (or cannot be). */
static bool write_some(struct imds_conn *c)
{
    ssize_t n;

    if (c->body_left)
        return true;
    n = send(c->fd, c->out.data + c->out_done, c->out.len - c->out_done, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    c->out_done += (size_t)n;
    return c->out_done < c->out.len;
}

size_t imds_poll(struct imds_set *s, struct pollfd *p)
{
    s->n = 0;
    if (s->listen_fd < 0)
        return 0;
    p[s->n++] = (struct pollfd){.fd = s->listen_fd, .events = POLLIN};
    for (size_t i = 0; i < CONN_MAX; i++) {
        struct imds_conn *c = s->conns[i];
        bool writes = c && c->answered && !c->body_left;

        p[s->n++] =
            (struct pollfd){.fd = c ? c->fd : -1, .events = writes ? POLLOUT : POLLIN};
    }
    return s->n;
}

void imds_serve(struct imds_set *s, const struct pollfd *p)
{
    uint64_t now_ns = clock_mono_ns();

    if (!s->n)
        return;
    for (size_t i = 0; i < CONN_MAX; i++) {
        struct imds_conn *c = s->conns[i];
        short events = c ? p[1 + i].revents : 0;
        bool keep = c && now_ns - c->since_ns < IDLE_NS;

        if (keep && (events & (POLLIN | POLLHUP | POLLERR)))
            keep = read_some(s, c);
        if (keep && c->answered)
            keep = write_some(c);
        if (!keep)
            conn_free(&s->conns[i]);
    }
    if (p[0].revents)
        take_connection(s);
}

void imds_release(struct imds_set *s)
{
    for (size_t i = 0; i < CONN_MAX; i++)
        conn_free(&s->conns[i]);
}
