/* TCP from 127.0.0.1 of the host to the guest's port 22; see vm_conn.h.
 *
 * Two buffers per connection, one each way; a side is read only while its buffer is
 * empty, so a slow receiver slows its sender down and memory stays bounded. The end of
 * one direction is passed on as such (ssh and scp rely on half-closed connections). */
#include "lab/vm_conn.h"

#include "base/auto.h"
#include "base/log.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

struct flow {
    int from, to; /* borrowed from the connection */
    size_t at, len;
    bool ended;  /* no more to read */
    bool closed; /* the end was passed on */
    char data[16384];
};

struct relay_conn {
    int host_fd, guest_fd;
    bool connecting;
    struct flow up, down; /* host to guest, guest to host */
};

static void conn_free(struct relay_conn **c)
{
    if (!*c)
        return;
    close((*c)->host_fd);
    close((*c)->guest_fd);
    free(*c);
    *c = NULL;
}

int relay_listen(struct relay_set *s, uint16_t *ret_port, struct err *e)
{
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    auto_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t len = sizeof sin;

    if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof sin) < 0 ||
        listen(fd, 16) < 0 || getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
        return err_sys(e, "listener on 127.0.0.1 for the guest's port 22");
    s->listen_fd = take_fd(&fd);
    *ret_port = ntohs(sin.sin_port);
    return 0;
}

static void take_connection(struct relay_set *s)
{
    auto_fd int host = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    auto_fd int guest = -1;
    struct relay_conn *c, **place = NULL;
    struct err e = ERR_INIT;

    for (size_t i = 0; i < CONN_MAX && !place; i++)
        if (!s->conns[i])
            place = &s->conns[i];
    if (host < 0 || !place)
        return;
    guest = netns_socket(s->ns, &e);
    if (guest < 0) {
        log_debug("relay to the guest: %s", e.msg);
        return;
    }
    if (connect(guest, (const struct sockaddr *)&s->guest, sizeof s->guest) < 0 &&
        errno != EINPROGRESS)
        return;
    c = mem_zalloc(1, sizeof *c, &e);
    if (!c)
        return;
    c->host_fd = take_fd(&host);
    c->guest_fd = take_fd(&guest);
    c->connecting = true;
    c->up.from = c->down.to = c->host_fd;
    c->up.to = c->down.from = c->guest_fd;
    *place = c;
}

/* One step in one direction. False when the connection is broken. */
static bool move(struct flow *f)
{
    ssize_t n;

    if (!f->len && !f->ended) {
        n = read(f->from, f->data, sizeof f->data);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        f->ended = n == 0;
        f->at = 0;
        f->len = n > 0 ? (size_t)n : 0;
    }
    if (f->len) {
        n = send(f->to, f->data + f->at, f->len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        f->at += n > 0 ? (size_t)n : 0;
        f->len -= n > 0 ? (size_t)n : 0;
    }
    if (f->ended && !f->len && !f->closed) {
        shutdown(f->to, SHUT_WR);
        f->closed = true;
    }
    return true;
}

static short wants(const struct flow *reads, const struct flow *writes)
{
    short events = !reads->len && !reads->ended ? POLLIN : 0;

    return writes->len ? (short)(events | POLLOUT) : events;
}

/* False when it is over. */
static bool step(struct relay_conn *c, short host_events, short guest_events)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (c->connecting) {
        if (!guest_events)
            return !(host_events & (POLLHUP | POLLERR));
        if (getsockopt(c->guest_fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error)
            return false;
        c->connecting = false;
    }
    if (!host_events && !guest_events)
        return true;
    return move(&c->up) && move(&c->down) && !(c->up.closed && c->down.closed);
}

size_t relay_poll(struct relay_set *s, struct pollfd *p)
{
    s->n = 0;
    if (s->listen_fd < 0)
        return 0;
    p[s->n++] = (struct pollfd){.fd = s->listen_fd, .events = POLLIN};
    for (size_t i = 0; i < CONN_MAX; i++) {
        struct relay_conn *c = s->conns[i];
        short host = c && !c->connecting ? wants(&c->up, &c->down) : 0;
        short guest = !c ? 0 : c->connecting ? POLLOUT : wants(&c->down, &c->up);
        /* A side that has ended and has nothing to take would report its hang-up for
         * ever. */
        bool host_idle = c && !c->connecting && !host;
        bool guest_idle = c && !guest;

        p[s->n++] =
            (struct pollfd){.fd = c && !host_idle ? c->host_fd : -1, .events = host};
        p[s->n++] =
            (struct pollfd){.fd = c && !guest_idle ? c->guest_fd : -1, .events = guest};
    }
    return s->n;
}

void relay_serve(struct relay_set *s, const struct pollfd *p)
{
    if (!s->n)
        return;
    for (size_t i = 0; i < CONN_MAX; i++)
        if (s->conns[i] && !step(s->conns[i], p[1 + 2 * i].revents, p[2 + 2 * i].revents))
            conn_free(&s->conns[i]);
    if (p[0].revents)
        take_connection(s);
}

void relay_release(struct relay_set *s)
{
    for (size_t i = 0; i < CONN_MAX; i++)
        conn_free(&s->conns[i]);
    if (s->listen_fd >= 0)
        close(s->listen_fd);
    s->listen_fd = -1;
}
