/* What hotadd-lab-netns does before it supervises: the private network. */
#ifndef HOTADD_LAB_NETNS_SETUP_H
#define HOTADD_LAB_NETNS_SETUP_H

#include "base/err.h"

#include <netinet/in.h>
#include <stdint.h>

struct netns_made {
    int tap_fd, dhcp_fd, imds_fd, arp_fd; /* owned by the caller */
    unsigned if_index;
    uint8_t router_mac[6];
};

/* Moves this process, which must have one thread only, into a new network namespace (and
 * user namespace, unless root) and builds the network there. ERR_REQUIREMENT says what
 * the host does not grant. After a failure the process may be in the namespace already:
 * it has no network at all then. */
int netns_setup(struct in_addr router, unsigned prefix_len, struct in_addr dns,
                struct netns_made *ret, struct err *e) err_warn_unused;

/* Gives up every capability for good, except that root goes on reading files of others
 * (a state directory of the user behind sudo). */
int netns_drop_privileges(struct err *e) err_warn_unused;

#endif
