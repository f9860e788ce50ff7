/* Listening sockets; see listen.h. Addresses are numbers: no name is looked up, so none
 * can lead elsewhere. */
#include "web/listen.h"

#include "base/auto.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 64

union any_addr {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
};

static int bad_place(const char *text, struct err *e)
{
    return err_set(e, ERR_USAGE,
                   "--listen %.200s: expected ADDRESS:PORT, like 127.0.0.1:8321 or "
                   "[::1]:8321, or unix:PATH",
                   text);
}

static int parse_inet(const char *text, union any_addr *a, socklen_t *len, struct err *e)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    char host[64];
    uint64_t port;

    if (!n || n >= sizeof host || str_to_u64(colon + 1, &port, e) < 0 || port > 65535)
        return bad_place(text, e);
    memcpy(host, text, n);
    host[n] = 0;
    memset(a, 0, sizeof *a);
    if (*host == '[' && host[n - 1] == ']') {
        host[n - 1] = 0;
        a->v6.sin6_family = AF_INET6;
        a->v6.sin6_port = htons((uint16_t)port);
        *len = sizeof a->v6;
        return inet_pton(AF_INET6, host + 1, &a->v6.sin6_addr) == 1 ? 0
                                                                    : bad_place(text, e);
    }
    a->v4.sin_family = AF_INET;
    a->v4.sin_port = htons((uint16_t)port);
    *len = sizeof a->v4;
    return inet_pton(AF_INET, str_eq(host, "localhost") ? "127.0.0.1" : host,
                     &a->v4.sin_addr) == 1
               ? 0
               : bad_place(text, e);
}

static bool is_loopback(const union any_addr *a)
{
    if (a->sa.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
    return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
}

/* The address as bound, with the port that the kernel chose. */
static int name_inet(struct listen_place *p, struct err *e)
{
    union any_addr a;
    socklen_t len = sizeof a;
    char host[INET6_ADDRSTRLEN];
    bool v6;

    if (getsockname(p->fd, &a.sa, &len) < 0)
        return err_sys(e, "getsockname");
    v6 = a.sa.sa_family == AF_INET6;
    if (!inet_ntop(a.sa.sa_family,
                   v6 ? (const void *)&a.v6.sin6_addr : (const void *)&a.v4.sin_addr,
                   host, sizeof host))
        return err_sys(e, "inet_ntop");
    p->host = str_dup(host, e);
    p->where = str_fmt(e, v6 ? "[%s]:%u" : "%s:%u", host,
                       ntohs(v6 ? a.v6.sin6_port : a.v4.sin_port));
    return p->host && p->where ? 0 : -1;
}

static int open_inet(const char *text, enum listen_reach reach, struct listen_place *p,
                     struct err *e)
{
    union any_addr a;
    socklen_t len = 0;
    const int one = 1;

    if (parse_inet(text, &a, &len, e) < 0)
        return -1;
    p->loopback = is_loopback(&a);
    if (!p->loopback && reach == LISTEN_LOOPBACK_ONLY)
        return err_set(
            e, ERR_USAGE,
            "--listen %.200s: others reach that address, so it needs TLS and a "
            "token: give --tls-cert, --tls-key and --token-file, or listen on "
            "127.0.0.1 or unix:PATH behind a proxy",
            text);
    p->fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->fd < 0)
        return err_sys(e, "socket");
    setsockopt(p->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a.sa.sa_family == AF_INET6)
        setsockopt(p->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(p->fd, &a.sa, len) < 0)
        return err_sys(e, "--listen %.200s", text);
    return name_inet(p, e);
}

/* A socket file that nobody serves any more is in the way. */
static int clear_way(const char *path, const union any_addr *a, struct err *e)
{
    auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct stat st;

    if (fd < 0)
        return err_sys(e, "socket");
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : err_sys(e, "%s", path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, ERR_USAGE, "%s is there and is no socket: choose another path",
                       path);
    if (connect(fd, &a->sa, sizeof a->un) == 0)
        return err_set(e, ERR_BUSY, "%s: a monitor serves there already", path);
    return unlink(path) < 0 ? err_sys(e, "%s: remove", path) : 0;
}

static int open_unix(const char *path, struct listen_place *p, struct err *e)
{
    union any_addr a = {.un.sun_family = AF_UNIX};
    mode_t old;
    int r;

    if (!*path || strlen(path) >= sizeof a.un.sun_path)
        return err_set(e, ERR_USAGE, "--listen unix:%.200s: a path of 1 to %zu bytes",
                       path, sizeof a.un.sun_path - 1);
    memcpy(a.un.sun_path, path, strlen(path) + 1);
    if (clear_way(path, &a, e) < 0)
        return -1;
    p->unix_socket = true;
    p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->fd < 0)
        return err_sys(e, "socket");
    /* Its mode from the first moment on; called before there are other threads. */
    old = umask(0117);
    r = bind(p->fd, &a.sa, sizeof a.un);
    umask(old);
    if (r < 0)
        return err_sys(e, "--listen unix:%s", path);
    p->where = str_dup(path, e);
    return p->where ? 0 : -1;
}

int listen_open(const char *text, enum listen_reach reach, struct listen_place *ret,
                struct err *e)
{
    struct listen_place p = {.fd = -1};
    int r = str_starts(text, "unix:") ? open_unix(text + 5, &p, e)
                                      : open_inet(text, reach, &p, e);

    if (r == 0 && listen(p.fd, BACKLOG) < 0)
        r = err_sys(e, "--listen %.200s", text);
    if (r < 0) {
        listen_release(&p);
        return -1;
    }
    *ret = p;
    return 0;
}

void listen_release(struct listen_place *p)
{
    if (p->unix_socket && p->where)
        unlink(p->where);
    auto_fd_fn(&p->fd);
    free(p->where);
    free(p->host);
    *p = (struct listen_place){.fd = -1};
}
