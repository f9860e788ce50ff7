/* The DHCP server of one machine (RFC 2131, 2132): one guest, one address. Pure: bytes
 * in, bytes out; the socket is the monitor thread's. */
#ifndef HOTADD_LAB_VM_DHCP_H
#define HOTADD_LAB_VM_DHCP_H

#include "base/err.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#define DHCP_PACKET_MAX 1500

struct dhcp_lease {
    uint8_t mac[6];
    struct in_addr address, router, dns;
    unsigned prefix_len;
    char hostname[64]; /* "" for none */
};

enum dhcp_answer {
    DHCP_SILENT, /* not for us, or not DHCP: no reply */
    DHCP_OFFER,
    DHCP_ACK, /* the guest has, or keeps, its lease */
    DHCP_NAK, /* it asked for an address that is not its own */
};

/* Answers one packet from the guest, any bytes at all. The reply of *ret_len bytes goes
 * to *ret_to, UDP port 68. */
enum dhcp_answer dhcp_answer(const struct dhcp_lease *lease, const uint8_t *packet,
                             size_t len, uint8_t reply[DHCP_PACKET_MAX], size_t *ret_len,
                             struct in_addr *ret_to);

#endif
