/* A machine's private network and its QEMU's parent: the process hotadd-lab-netns, one
 * per machine, and how the lab talks to it.
 *
 * The helper makes a network namespace (inside a user namespace when not root) with a
 * tap interface, on which the guest's router and name server addresses and the link-local
 * service addresses live, and hands sockets made in there to the lab over a socket pair:
 * a socket stays in the namespace of its birth whoever holds it. So the lab itself serves
 * DHCP and metadata and connects to the guest, without entering the namespace and without
 * a privilege, and no byte of the guest passes through the helper. QEMU runs inside the
 * namespace, so even a QEMU taken over by its guest finds no other network there.
 *
 * The helper lives as long as the socket pair: when the lab ends, in whatever way, it
 * kills QEMU and exits; when the helper is killed, QEMU gets SIGKILL from the kernel;
 * when the last socket is closed the kernel removes the namespace. Nothing is left
 * behind.
 *
 * A struct netns is used by one thread at a time. */
#ifndef HOTADD_LAB_NETNS_H
#define HOTADD_LAB_NETNS_H

#include "base/child.h"
#include "base/err.h"

#include <netinet/in.h>
#include <stdint.h>

/* What travels over the pair, one packet each. */
enum netns_op {
    NETNS_OP_UP = 1,  /* helper: network made; descriptors dhcp, imds, arp */
    NETNS_OP_DOWN,    /* helper: no network, text says why; it can still run QEMU */
    NETNS_OP_RUN,     /* lab: run this (text: NUL-separated argv) */
    NETNS_OP_RUNNING, /* helper: value is QEMU's pid */
    NETNS_OP_SOCKET,  /* lab: make a TCP socket; helper: here it is, or value is an errno
                       */
    NETNS_OP_ENDED,   /* helper: QEMU's wait status is value; it exits now */
};

#define NETNS_TEXT_MAX 32768
#define NETNS_MAX_FDS  3

struct netns_msg {
    uint32_t op;
    int32_t value;
    uint32_t if_index;     /* of the tap, with NETNS_OP_UP */
    uint8_t router_mac[8]; /* likewise; 6 bytes used */
    uint32_t text_len;
    char text[NETNS_TEXT_MAX];
};

/* Sends a packet with descriptors. -1 with errno. Both sides use it. */
int netns_send(int fd, const struct netns_msg *msg, const int *fds, size_t n_fds);

/* Receives one; *n_fds is what arrived (descriptors are close-on-exec and the caller's).
 * 1 a packet, 0 the other side has gone, -1 with errno (also EBADMSG). */
int netns_recv(int fd, struct netns_msg *msg, int fds[NETNS_MAX_FDS], size_t *n_fds);

/* The helper's descriptors, after stdin, stdout and stderr. */
enum { NETNS_FD_CONTROL = 3, NETNS_FD_QMP = 4, NETNS_FD_TAP = 5 };

struct netns_config {
    struct in_addr router, dns; /* the subnet's .1 and .2 */
    unsigned prefix_len;
    bool no_network; /* only supervise QEMU */
};

struct netns {
    struct child child; /* the helper; its stderr pipe carries QEMU's messages too */
    int control_fd;
    int dhcp_fd; /* UDP, port 67 of the tap; -1 when there is no network */
    int imds_fd; /* TCP, listening on 169.254.169.254:80 */
    int arp_fd;  /* AF_PACKET datagrams, ARP only, bound to the tap */
    unsigned if_index;
    uint8_t router_mac[6];
    char why_no_network[256]; /* "" when there is one */
    pid_t qemu_pid;           /* -1 until netns_run() */
    bool ended;               /* QEMU has ended, status below */
    int end_status;
};

#define NETNS_INIT                                                                       \
    {                                                                                    \
        .child = CHILD_INIT, .control_fd = -1, .dhcp_fd = -1, .imds_fd = -1,             \
        .arp_fd = -1, .qemu_pid = -1                                                     \
    }

/* Starts the helper and waits for its network. That the host grants none is no error:
 * see why_no_network. qmp_fd (borrowed) becomes QEMU's NETNS_FD_QMP. The program is
 * found through HOTADD_LAB_NETNS, beside this program, or where it is installed. */
int netns_open(const struct netns_config *config, int qmp_fd, struct netns *ret,
               struct err *e) err_warn_unused;

/* Runs argv inside; once. Returns when the process exists. */
int netns_run(struct netns *ns, const char *const *argv, struct err *e) err_warn_unused;

/* A fresh non-blocking TCP socket of the namespace; owned. */
int netns_socket(struct netns *ns, struct err *e) err_warn_unused;

/* To be called when control_fd is readable: notices QEMU's end. */
void netns_check(struct netns *ns);

/* Kills QEMU and the helper, waits for both. */
void netns_close(struct netns *ns);

#endif
