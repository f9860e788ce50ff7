/* The connections of one machine's monitor thread: the guest's to the metadata service,
 * and the host's to the guest's port 22. Each set is driven by one poll loop:
 *
 *     n = x_poll(set, p)      writes what it waits for to p[0..n)
 *     …poll…
 *     x_serve(set, p)         the same entries; does what can be done now
 *
 * Nothing blocks. One thread. */
#ifndef HOTADD_LAB_VM_CONN_H
#define HOTADD_LAB_VM_CONN_H

#include "lab/netns.h"
#include "lab/vm.h"

#include <poll.h>

#define CONN_MAX      16
#define CONN_POLL_MAX (2 * CONN_MAX + 1) /* entries one set adds at most */

/* ---- metadata: HTTP, one request per connection ---- */

struct imds_conn;

struct imds_set {
    int listen_fd; /* borrowed; -1: no service */
    const char *instance_id;
    struct vm_imds imds;
    struct imds_conn *conns[CONN_MAX]; /* owned */
    bool asked;                        /* somebody has sent a request */
    size_t n;                          /* entries of this round */
};

size_t imds_poll(struct imds_set *s, struct pollfd *p);
void imds_serve(struct imds_set *s, const struct pollfd *p);
void imds_release(struct imds_set *s);

/* ---- relay of TCP to the guest ---- */

struct relay_conn;

struct relay_set {
    int listen_fd;    /* on 127.0.0.1; owned, -1: none */
    struct netns *ns; /* borrowed: where the sockets towards the guest are made */
    struct sockaddr_in guest;
    struct relay_conn *conns[CONN_MAX]; /* owned */
    size_t n;                           /* entries of this round */
};

/* Listens on a free port of 127.0.0.1, which it returns. */
int relay_listen(struct relay_set *s, uint16_t *ret_port, struct err *e) err_warn_unused;
size_t relay_poll(struct relay_set *s, struct pollfd *p);
void relay_serve(struct relay_set *s, const struct pollfd *p);
void relay_release(struct relay_set *s);

#endif
