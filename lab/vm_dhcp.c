/* DHCP for one guest; see vm_dhcp.h.
 *
 * The lease never changes, so there is no state to keep and none to lose. Only packets
 * whose hardware address is the instance's are answered: as on EC2, a guest that was
 * given another MAC address gets nothing, which is what the rehearsal is to show. */
#include "lab/vm_dhcp.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

/* Layout of the fixed part, RFC 2131 section 2. */
enum {
    AT_OP = 0,
    AT_HTYPE = 1,
    AT_HLEN = 2,
    AT_XID = 4,
    AT_FLAGS = 10,
    AT_CIADDR = 12,
    AT_YIADDR = 16,
    AT_SIADDR = 20,
    AT_GIADDR = 24,
    AT_CHADDR = 28,
    AT_MAGIC = 236,
    AT_OPTIONS = 240,
};

enum { OP_REQUEST = 1, OP_REPLY = 2, HTYPE_ETHERNET = 1 };

/* RFC 2132 */
enum {
    OPT_PAD = 0,
    OPT_MASK = 1,
    OPT_ROUTER = 3,
    OPT_DNS = 6,
    OPT_HOSTNAME = 12,
    OPT_DOMAIN = 15,
    OPT_BROADCAST = 28,
    OPT_ADDRESS = 50,
    OPT_LEASE = 51,
    OPT_TYPE = 53,
    OPT_SERVER = 54,
    OPT_END = 255,
};

enum {
    TYPE_DISCOVER = 1,
    TYPE_OFFER = 2,
    TYPE_REQUEST = 3,
    TYPE_ACK = 5,
    TYPE_NAK = 6,
    TYPE_INFORM = 8,
};

#define LEASE_SECONDS 3600 /* EC2's */
#define DOMAIN        "ec2.internal"
#define REPLY_MIN     300 /* RFC 1542 section 2.1: some clients drop shorter ones */

static const uint8_t magic[4] = {99, 130, 83, 99};

struct question {
    uint8_t type;
    bool has_address, has_server;
    struct in_addr address, server, ciaddr;
};

static bool is_for_us(const struct dhcp_lease *lease, const uint8_t *p, size_t len)
{
    static const uint8_t no_relay[4];

    return len > AT_OPTIONS && p[AT_OP] == OP_REQUEST && p[AT_HTYPE] == HTYPE_ETHERNET &&
           p[AT_HLEN] == sizeof lease->mac &&
           memcmp(p + AT_CHADDR, lease->mac, sizeof lease->mac) == 0 &&
           memcmp(p + AT_GIADDR, no_relay, sizeof no_relay) == 0 &&
           memcmp(p + AT_MAGIC, magic, sizeof magic) == 0;
}

/* False when the options run over the end of the packet. */
static bool read_options(const uint8_t *p, size_t len, struct question *q)
{
    size_t at = AT_OPTIONS;

    memcpy(&q->ciaddr, p + AT_CIADDR, 4);
    while (at < len && p[at] != OPT_END) {
        uint8_t code = p[at++], n;

        if (code == OPT_PAD)
            continue;
        if (at == len || p[at] > len - at - 1)
            return false;
        n = p[at++];
        if (code == OPT_TYPE && n == 1)
            q->type = p[at];
        if (code == OPT_ADDRESS && n == 4) {
            q->has_address = true;
            memcpy(&q->address, p + at, 4);
        }
        if (code == OPT_SERVER && n == 4) {
            q->has_server = true;
            memcpy(&q->server, p + at, 4);
        }
        at += n;
    }
    return true;
}

static size_t put(uint8_t *out, size_t at, uint8_t code, const void *data, size_t n)
{
    out[at] = code;
    out[at + 1] = (uint8_t)n;
    memcpy(out + at + 2, data, n);
    return at + 2 + n;
}

static size_t put_lease(const struct dhcp_lease *lease, uint8_t *out, size_t at,
                        bool with_time)
{
    uint32_t mask = htonl(~0u << (32 - lease->prefix_len)),
             broadcast = lease->address.s_addr | ~mask, seconds = htonl(LEASE_SECONDS);

    if (with_time)
        at = put(out, at, OPT_LEASE, &seconds, 4);
    at = put(out, at, OPT_MASK, &mask, 4);
    at = put(out, at, OPT_ROUTER, &lease->router, 4);
    at = put(out, at, OPT_DNS, &lease->dns, 4);
    at = put(out, at, OPT_BROADCAST, &broadcast, 4);
    at = put(out, at, OPT_DOMAIN, DOMAIN, strlen(DOMAIN));
    if (lease->hostname[0])
        at = put(out, at, OPT_HOSTNAME, lease->hostname, strlen(lease->hostname));
    return at;
}

/* RFC 2131 table 3: what of the request goes into the reply. */
static size_t write_reply(const struct dhcp_lease *lease, const uint8_t *in,
                          const struct question *q, uint8_t type, uint8_t *out)
{
    size_t at = AT_OPTIONS;

    memset(out, 0, DHCP_PACKET_MAX);
    out[AT_OP] = OP_REPLY;
    out[AT_HTYPE] = HTYPE_ETHERNET;
    out[AT_HLEN] = sizeof lease->mac;
    memcpy(out + AT_XID, in + AT_XID, 4);
    memcpy(out + AT_FLAGS, in + AT_FLAGS, 2);
    memcpy(out + AT_CHADDR, in + AT_CHADDR, 16);
    memcpy(out + AT_MAGIC, magic, sizeof magic);
    at = put(out, at, OPT_TYPE, &type, 1);
    at = put(out, at, OPT_SERVER, &lease->router, 4);
    if (type != TYPE_NAK) {
        bool informs = q->type == TYPE_INFORM;

        memcpy(out + AT_CIADDR, &q->ciaddr, 4);
        if (!informs)
            memcpy(out + AT_YIADDR, &lease->address, 4);
        at = put_lease(lease, out, at, !informs);
    }
    out[at++] = OPT_END;
    return at < REPLY_MIN ? REPLY_MIN : at;
}

/* RFC 2131 section 4.3.2: the address stands in option 50 while selecting and after a
 * reboot, in ciaddr while renewing. */
static enum dhcp_answer judge(const struct dhcp_lease *lease, const struct question *q)
{
    struct in_addr asked = q->has_address ? q->address : q->ciaddr;

    switch (q->type) {
    case TYPE_DISCOVER:
        return DHCP_OFFER;
    case TYPE_INFORM:
        return q->ciaddr.s_addr == lease->address.s_addr ? DHCP_ACK : DHCP_SILENT;
    case TYPE_REQUEST:
        if (q->has_server && q->server.s_addr != lease->router.s_addr)
            return DHCP_SILENT; /* it chose another server */
        return asked.s_addr == lease->address.s_addr ? DHCP_ACK : DHCP_NAK;
    default:
        return DHCP_SILENT;
    }
}

enum dhcp_answer dhcp_answer(const struct dhcp_lease *lease, const uint8_t *packet,
                             size_t len, uint8_t reply[DHCP_PACKET_MAX], size_t *ret_len,
                             struct in_addr *ret_to)
{
    static const uint8_t types[] = {
        [DHCP_OFFER] = TYPE_OFFER, [DHCP_ACK] = TYPE_ACK, [DHCP_NAK] = TYPE_NAK};
    struct question q = {0};
    enum dhcp_answer answer;

    if (!is_for_us(lease, packet, len) || !read_options(packet, len, &q))
        return DHCP_SILENT;
    answer = judge(lease, &q);
    if (answer == DHCP_SILENT)
        return DHCP_SILENT;
    *ret_len = write_reply(lease, packet, &q, types[answer], reply);
    /* A guest without an address hears broadcasts only, of us who send plain UDP. */
    *ret_to = answer != DHCP_NAK && q.ciaddr.s_addr == lease->address.s_addr
                  ? q.ciaddr
                  : (struct in_addr){.s_addr = htonl(INADDR_BROADCAST)};
    return answer;
}
