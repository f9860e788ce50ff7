/* A guest's DHCP packet. The hardware address is made right, so that the rest is looked
 * at. */
#include "lab/vm_dhcp.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct dhcp_lease l = {.mac = {2, 0, 0, 0xab, 0xcd, 0xef}, .prefix_len = 20};
    uint8_t *copy = malloc(len ? len : 1), reply[DHCP_PACKET_MAX];
    size_t reply_len = 0;
    struct in_addr to;

    if (!copy)
        return 0;
    memcpy(l.hostname, "ip-172-31-5-9", 14);
    inet_pton(AF_INET, "172.31.5.9", &l.address);
    inet_pton(AF_INET, "172.31.0.1", &l.router);
    inet_pton(AF_INET, "172.31.0.2", &l.dns);
    if (len)
        memcpy(copy, data, len);
    if (len > 34)
        memcpy(copy + 28, l.mac, 6);
    if (dhcp_answer(&l, copy, len, reply, &reply_len, &to) != DHCP_SILENT &&
        (reply_len < 300 || reply_len > sizeof reply))
        abort();
    free(copy);
    return 0;
}
