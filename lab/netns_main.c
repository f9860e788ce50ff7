/* hotadd-lab-netns: the private network of one machine and the parent of its QEMU.
 *
 *     hotadd-lab-netns ROUTER/PREFIX DNS      (started by the lab only; see netns.h)
 *
 * One thread, no input but packets of the lab. It ends when QEMU has ended or the lab has
 * gone; QEMU never outlives it (PR_SET_PDEATHSIG, which is safe here because the parent's
 * only thread is the parent). Killed at any point, it leaves nothing: namespace, tap and
 * sockets are freed by the kernel. */
#include "lab/netns.h"
#include "lab/netns_setup.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ARGS 512

struct helper {
    struct netns_msg msg; /* in and out */
    int tap_fd;           /* -1 without a network */
    int signal_fd;        /* SIGCHLD */
    pid_t qemu;           /* -1 until told to run it */
};

static int tell(struct helper *h, enum netns_op op, int value, const char *text,
                const int *fds, size_t n_fds)
{
    h->msg.op = op;
    h->msg.value = value;
    snprintf(h->msg.text, 1024, "%s", text);
    h->msg.text_len = (uint32_t)strlen(h->msg.text);
    return netns_send(NETNS_FD_CONTROL, &h->msg, fds, n_fds);
}

/* "172.31.0.1/20" */
static int parse_network(const char *text, struct in_addr *addr, unsigned *prefix_len,
                         struct err *e)
{
    const char *slash = strchr(text, '/');
    auto_free char *ip = slash ? str_ndup(text, (size_t)(slash - text), e) : NULL;
    uint64_t n = 0;

    if (!ip || inet_pton(AF_INET, ip, addr) != 1 || str_to_u64(slash + 1, &n, e) < 0 ||
        n < 8 || n > 30)
        return err_set(e, ERR_USAGE, "%s is not an address with a prefix length", text);
    *prefix_len = (unsigned)n;
    return 0;
}

static int make_network(struct helper *h, char **argv, struct netns_made *made,
                        struct err *e)
{
    struct in_addr router, dns;
    unsigned prefix_len = 0;

    if (parse_network(argv[1], &router, &prefix_len, e) < 0)
        return -1;
    if (!argv[2] || inet_pton(AF_INET, argv[2], &dns) != 1)
        return err_set(e, ERR_USAGE, "no name server's address");
    return netns_setup(router, prefix_len, dns, made, e);
}

/* Makes the network and reports; a host that grants none is reported, too. */
static int announce(struct helper *h, char **argv)
{
    struct err e = ERR_INIT;
    struct netns_made made;
    int fds[NETNS_MAX_FDS], r;

    if (!argv[1])
        return tell(h, NETNS_OP_DOWN, 0, "not asked for", NULL, 0);
    if (make_network(h, argv, &made, &e) < 0)
        return tell(h, NETNS_OP_DOWN, 0, e.msg, NULL, 0);
    fds[0] = made.dhcp_fd;
    fds[1] = made.imds_fd;
    fds[2] = made.arp_fd;
    h->msg.if_index = made.if_index;
    memcpy(h->msg.router_mac, made.router_mac, sizeof made.router_mac);
    r = tell(h, NETNS_OP_UP, 0, "", fds, NETNS_MAX_FDS);
    for (size_t i = 0; i < NETNS_MAX_FDS; i++)
        close(fds[i]);
    h->tap_fd = made.tap_fd;
    return r;
}

static _Noreturn void become_qemu(struct helper *h, char **argv, pid_t parent)
{
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* NETNS_FD_QMP is in place and, made by dup2 in the parent of us all, inheritable;
     * the tap moves to its number. */
    if (h->tap_fd >= 0 && dup2(h->tap_fd, NETNS_FD_TAP) < 0)
        _exit(1);
    close(NETNS_FD_CONTROL);
    close_range((unsigned)(h->tap_fd >= 0 ? NETNS_FD_TAP : NETNS_FD_QMP) + 1, ~0u, 0);
    execvp(argv[0], argv);
    dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static int run_qemu(struct helper *h)
{
    char *argv[MAX_ARGS + 1]; /* points into h->msg.text */
    size_t n = 0;
    pid_t parent = getpid();

    if (h->qemu > 0)
        return tell(h, NETNS_OP_DOWN, 0, "already running", NULL, 0);
    for (uint32_t at = 0; at < h->msg.text_len && n < MAX_ARGS; n++) {
        argv[n] = h->msg.text + at;
        at += (uint32_t)strlen(argv[n]) + 1;
    }
    argv[n] = NULL;
    h->qemu = n ? fork() : -1;
    if (h->qemu == 0)
        become_qemu(h, argv, parent);
    if (h->qemu < 0)
        return tell(h, NETNS_OP_DOWN, 0, n ? strerror(errno) : "nothing to run", NULL, 0);
    /* Only QEMU's copy counts from here on: the lab must see the end of QMP and of the
     * tap when QEMU ends. */
    close(NETNS_FD_QMP);
    if (h->tap_fd >= 0)
        close(h->tap_fd);
    h->tap_fd = -1;
    return tell(h, NETNS_OP_RUNNING, h->qemu, "", NULL, 0);
}

static int give_socket(struct helper *h)
{
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;

    if (s < 0)
        return tell(h, NETNS_OP_SOCKET, errno, "", NULL, 0);
    r = tell(h, NETNS_OP_SOCKET, 0, "", &s, 1);
    close(s);
    return r;
}

/* False when the lab has gone. */
static bool serve(struct helper *h)
{
    int fds[NETNS_MAX_FDS];
    size_t n_fds;
    int r = netns_recv(NETNS_FD_CONTROL, &h->msg, fds, &n_fds);

    if (r <= 0)
        return false;
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
    switch (h->msg.op) {
    case NETNS_OP_RUN:
        return run_qemu(h) == 0;
    case NETNS_OP_SOCKET:
        return give_socket(h) == 0;
    default:
        return false;
    }
}

/* True when QEMU has ended and was reaped. */
static bool reap(struct helper *h, int *status)
{
    return h->qemu > 0 && waitpid(h->qemu, status, WNOHANG) == h->qemu;
}

static void supervise(struct helper *h)
{
    int status = 0;

    for (;;) {
        struct signalfd_siginfo info;
        struct pollfd p[2] = {{.fd = NETNS_FD_CONTROL, .events = POLLIN},
                              {.fd = h->signal_fd, .events = POLLIN}};

        if (poll(p, 2, -1) < 0 && errno != EINTR)
            break;
        if (p[1].revents && read(h->signal_fd, &info, sizeof info) < 0 && errno != EAGAIN)
            break;
        if (reap(h, &status)) {
            tell(h, NETNS_OP_ENDED, status, "", NULL, 0);
            return;
        }
        if (p[0].revents && !serve(h))
            break;
    }
    if (h->qemu > 0) {
        kill(h->qemu, SIGKILL);
        waitpid(h->qemu, &status, 0);
    }
}

int main(int argc, char **argv)
{
    static struct helper h = {.tap_fd = -1, .qemu = -1};
    struct err e = ERR_INIT;
    int type = 0;
    socklen_t len = sizeof type;
    sigset_t chld;

    if (argc > 3 || getsockopt(NETNS_FD_CONTROL, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
        type != SOCK_SEQPACKET) {
        fprintf(stderr, "hotadd-lab-netns: is run by hotadd-lab, not by hand\n");
        return 2;
    }
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, NULL);
    h.signal_fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    if (h.signal_fd < 0 || announce(&h, argv) < 0)
        return 1;
    if (netns_drop_privileges(&e) < 0) {
        fprintf(stderr, "hotadd-lab-netns: %s\n", e.msg);
        return 1;
    }
    supervise(&h);
    return 0;
}
