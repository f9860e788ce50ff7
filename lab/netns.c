/* The lab's side of a machine's supervisor process, and the packets between them; see
 * netns.h. */
#include "lab/netns.h"

#include "lab/helper.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#define HELPER         "hotadd-lab-netns"
#define UP_TIMEOUT_MS  10000
#define ASK_TIMEOUT_MS 5000

union fd_space {
    char data[CMSG_SPACE(NETNS_MAX_FDS * sizeof(int))];
    struct cmsghdr align;
};

int netns_send(int fd, const struct netns_msg *msg, const int *fds, size_t n_fds)
{
    struct iovec iov = {.iov_base = (void *)msg,
                        .iov_len = offsetof(struct netns_msg, text) + msg->text_len};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
    union fd_space space;

    if (n_fds) {
        struct cmsghdr *c;

        memset(&space, 0, sizeof space);
        h.msg_control = space.data;
        h.msg_controllen = CMSG_SPACE(n_fds * sizeof *fds);
        c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof *fds);
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof *fds);
    }
    while (sendmsg(fd, &h, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return -1;
    return 0;
}

static void take_fds(struct msghdr *h, int fds[NETNS_MAX_FDS], size_t *n_fds)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        size_t n;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n && *n_fds < NETNS_MAX_FDS; i++)
            memcpy(&fds[(*n_fds)++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
}

int netns_recv(int fd, struct netns_msg *msg, int fds[NETNS_MAX_FDS], size_t *n_fds)
{
    struct iovec iov = {.iov_base = msg, .iov_len = sizeof *msg};
    union fd_space space;
    struct msghdr h = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = space.data,
                       .msg_controllen = sizeof space.data};
    ssize_t n;

    *n_fds = 0;
    do
        n = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n == 0 || errno == ECONNRESET ? 0 : -1;
    take_fds(&h, fds, n_fds);
    if ((size_t)n >= offsetof(struct netns_msg, text) && msg->text_len < NETNS_TEXT_MAX &&
        (size_t)n == offsetof(struct netns_msg, text) + msg->text_len) {
        msg->text[msg->text_len] = 0;
        return 1;
    }
    for (size_t i = 0; i < *n_fds; i++)
        close(fds[i]);
    *n_fds = 0;
    errno = EBADMSG;
    return -1;
}

static int spawn_helper(const struct netns_config *config, int control, int qmp,
                        struct child *ret, struct err *e)
{
    char router[INET_ADDRSTRLEN + 4], dns[INET_ADDRSTRLEN];
    auto_free char *path = helper_path(HELPER, "HOTADD_LAB_NETNS", e);
    const char *argv[] = {path, router, dns, NULL};
    int fds[] = {control, qmp};
    struct child_spec spec = {.argv = argv,
                              .in = CHILD_NULL,
                              .out = CHILD_NULL,
                              .err = CHILD_PIPE,
                              .fds = fds,
                              .n_fds = 2,
                              .new_group = true};

    if (!path)
        return -1;
    if (!inet_ntop(AF_INET, &config->router, router, sizeof router) ||
        !inet_ntop(AF_INET, &config->dns, dns, sizeof dns))
        return err_sys(e, "subnet address");
    snprintf(router + strlen(router), 4, "/%u", config->prefix_len % 100);
    if (config->no_network)
        argv[1] = NULL;
    if (child_spawn(&spec, ret, e) < 0)
        return err_prefix(e, "%s belongs beside hotadd-lab", path);
    return 0;
}

/* One packet from the helper, at most timeout_ms from now. */
static int hear(struct netns *ns, int timeout_ms, struct netns_msg *msg, int *fds,
                size_t *n_fds, struct err *e)
{
    uint64_t deadline_ns = clock_mono_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    struct pollfd p = {.fd = ns->control_fd, .events = POLLIN};
    int n, r;

    do {
        uint64_t now_ns = clock_mono_ns();

        n = poll(&p, 1,
                 now_ns < deadline_ns ? (int)((deadline_ns - now_ns) / NS_PER_MS) + 1
                                      : 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_sys(e, "poll");
    if (n == 0)
        return err_set(e, ERR_TIMEOUT, HELPER " does not answer");
    r = netns_recv(ns->control_fd, msg, fds, n_fds);
    if (r < 0)
        return err_sys(e, HELPER);
    if (r == 0)
        return err_set(e, ERR_FAILED, HELPER " has ended unexpectedly");
    if (msg->op == NETNS_OP_ENDED) {
        ns->ended = true;
        ns->end_status = msg->value;
    }
    return 0;
}

static int hear_network(struct netns *ns, struct netns_msg *msg, struct err *e)
{
    int fds[NETNS_MAX_FDS];
    size_t n_fds;

    if (hear(ns, UP_TIMEOUT_MS, msg, fds, &n_fds, e) < 0)
        return -1;
    if (msg->op == NETNS_OP_UP && n_fds == NETNS_MAX_FDS) {
        ns->dhcp_fd = fds[0];
        ns->imds_fd = fds[1];
        ns->arp_fd = fds[2];
        ns->if_index = msg->if_index;
        memcpy(ns->router_mac, msg->router_mac, sizeof ns->router_mac);
        return 0;
    }
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
    if (msg->op != NETNS_OP_DOWN)
        return err_set(e, ERR_FAILED, HELPER ": unexpected message %u", msg->op);
    snprintf(ns->why_no_network, sizeof ns->why_no_network, "%s", msg->text);
    return 0;
}

int netns_open(const struct netns_config *config, int qmp_fd, struct netns *ret,
               struct err *e)
{
    auto_free struct netns_msg *msg = mem_zalloc(1, sizeof *msg, e);
    struct netns ns = NETNS_INIT;
    int pair[2], r;

    if (!msg)
        return -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(e, "socketpair");
    r = spawn_helper(config, pair[1], qmp_fd, &ns.child, e);
    close(pair[1]);
    ns.control_fd = pair[0];
    if (r == 0)
        r = hear_network(&ns, msg, e);
    if (r < 0) {
        netns_close(&ns);
        return -1;
    }
    *ret = ns;
    return 0;
}

int netns_run(struct netns *ns, const char *const *argv, struct err *e)
{
    auto_free struct netns_msg *msg = mem_zalloc(1, sizeof *msg, e);
    int fds[NETNS_MAX_FDS];
    size_t n_fds;

    if (!msg)
        return -1;
    msg->op = NETNS_OP_RUN;
    for (; *argv; argv++) {
        size_t n = strlen(*argv) + 1;

        if (n >= NETNS_TEXT_MAX - msg->text_len)
            return err_set(e, ERR_UNSUPPORTED, "the command line of QEMU is too long");
        memcpy(msg->text + msg->text_len, *argv, n);
        msg->text_len += (uint32_t)n;
    }
    if (netns_send(ns->control_fd, msg, NULL, 0) < 0)
        return err_sys(e, HELPER);
    if (hear(ns, ASK_TIMEOUT_MS, msg, fds, &n_fds, e) < 0)
        return -1;
    if (msg->op != NETNS_OP_RUNNING)
        return err_set(e, ERR_FAILED, "QEMU did not start: %s", msg->text);
    ns->qemu_pid = msg->value;
    return 0;
}

int netns_socket(struct netns *ns, struct err *e)
{
    auto_free struct netns_msg *msg = mem_zalloc(1, sizeof *msg, e);
    int fds[NETNS_MAX_FDS];
    size_t n_fds;

    if (!msg)
        return -1;
    if (ns->ended || ns->dhcp_fd < 0)
        return err_set(e, ERR_FAILED, "the machine has no network");
    msg->op = NETNS_OP_SOCKET;
    if (netns_send(ns->control_fd, msg, NULL, 0) < 0)
        return err_sys(e, HELPER);
    if (hear(ns, ASK_TIMEOUT_MS, msg, fds, &n_fds, e) < 0)
        return -1;
    if (msg->op == NETNS_OP_SOCKET && n_fds == 1)
        return fds[0];
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
    return err_sys_n(e, ns->ended ? EPIPE : msg->value, "no socket in the namespace");
}

void netns_check(struct netns *ns)
{
    auto_free struct netns_msg *msg = NULL;
    struct err e;
    int fds[NETNS_MAX_FDS];
    size_t n_fds;

    if (ns->ended)
        return;
    msg = mem_zalloc(1, sizeof *msg, &e);
    if (!msg)
        return;
    if (hear(ns, 0, msg, fds, &n_fds, &e) < 0) {
        if (e.kind == ERR_TIMEOUT)
            return;
        /* Without its parent QEMU is dead, too. */
        ns->ended = true;
        ns->end_status = SIGKILL;
        return;
    }
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
}

void netns_close(struct netns *ns)
{
    int *fds[] = {&ns->control_fd, &ns->dhcp_fd, &ns->imds_fd, &ns->arp_fd};
    struct err ignored;
    int status;

    /* The end of the control socket makes the helper kill QEMU, wait for it and exit. */
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
    if (ns->child.pid > 0 &&
        child_wait(&ns->child, 10 * NS_PER_S, NULL, &status, &ignored) < 0)
        child_stop(&ns->child, 0);
    child_stop(&ns->child, 0);
}
