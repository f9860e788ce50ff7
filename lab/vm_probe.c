/* What a guest is seen to do on its network, for the instance status check.
 *
 * EC2's own reachability check sends ARP requests, so that is what we do: the guest
 * "answers" when an ARP packet has come from its MAC address that claims its private
 * address. It proves a driver, a configured interface and a kernel that runs; a firewall
 * cannot hide it. "Service" is a TCP connection to port 22 that the guest accepted,
 * closed again at once; as sshd writes a line into its log each time, a service that was
 * found is looked at once a minute only.
 *
 * On QEMU's user network there is no ARP to see and QEMU accepts connections before the
 * guest does. There only bytes that come from the guest count (a server's greeting), and
 * they prove address and service at once. */
#include "lab/vm_priv.h"

#include "base/clock.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROBE_TIMEOUT_NS (5 * NS_PER_S)
#define PROBE_BOOTING_NS (2 * NS_PER_S)
#define PROBE_RUNNING_NS (60 * NS_PER_S)

static void seen(struct vm *vm, bool answers, bool service)
{
    uint64_t now_ns = clock_mono_ns();

    pthread_mutex_lock(&vm->lock);
    if (answers)
        vm->answered_ns = now_ns;
    if (service)
        vm->service_ns = now_ns;
    pthread_mutex_unlock(&vm->lock);
}

/* RFC 826: who has the guest's address, tell the router. */
static void ask_arp(struct vm *vm)
{
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETHERTYPE_ARP),
                             .sll_ifindex = (int)vm->ns.if_index,
                             .sll_halen = ETH_ALEN};
    struct ether_arp arp = {0};

    memset(to.sll_addr, 0xff, ETH_ALEN);
    arp.arp_hrd = htons(ARPHRD_ETHER);
    arp.arp_pro = htons(ETHERTYPE_IP);
    arp.arp_hln = ETH_ALEN;
    arp.arp_pln = 4;
    arp.arp_op = htons(ARPOP_REQUEST);
    memcpy(arp.arp_sha, vm->ns.router_mac, ETH_ALEN);
    memcpy(arp.arp_spa, &vm->lease.router, 4);
    memcpy(arp.arp_tpa, &vm->lease.address, 4);
    if (sendto(vm->ns.arp_fd, &arp, sizeof arp, MSG_DONTWAIT, (struct sockaddr *)&to,
               sizeof to) < 0)
        log_debug("%s: ARP: %m", vm->instance_id);
}

void vm_arp_serve(struct vm *vm)
{
    struct sockaddr_ll from;
    socklen_t from_len = sizeof from;
    struct ether_arp arp;
    ssize_t n;

    while ((n = recvfrom(vm->ns.arp_fd, &arp, sizeof arp, MSG_DONTWAIT,
                         (struct sockaddr *)&from, &from_len)) >= 0) {
        if (n == (ssize_t)sizeof arp && from.sll_pkttype != PACKET_OUTGOING &&
            memcmp(arp.arp_sha, vm->lease.mac, ETH_ALEN) == 0 &&
            memcmp(arp.arp_spa, &vm->lease.address, 4) == 0)
            seen(vm, true, false);
        from_len = sizeof from;
    }
}

static void probe_close(struct vm *vm, bool success)
{
    close(vm->probe.fd);
    vm->probe.fd = -1;
    vm->probe.next_ns = clock_mono_ns() + (success ? PROBE_RUNNING_NS : PROBE_BOOTING_NS);
}

static int probe_socket(struct vm *vm, struct sockaddr_in *to)
{
    struct err e;
    int fd;

    *to = (struct sockaddr_in){.sin_family = AF_INET};
    if (vm->ns.dhcp_fd >= 0) {
        to->sin_addr = vm->lease.address;
        to->sin_port = htons(22);
        fd = netns_socket(&vm->ns, &e);
        if (fd < 0)
            log_debug("%s: %s", vm->instance_id, e.msg);
        return fd;
    }
    to->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to->sin_port = htons(vm->ssh_port);
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static void probe_start(struct vm *vm, uint64_t now_ns)
{
    struct sockaddr_in to;

    vm->probe.next_ns = now_ns + PROBE_BOOTING_NS;
    vm->probe.fd = probe_socket(vm, &to);
    if (vm->probe.fd < 0)
        return;
    vm->probe.connected = false;
    vm->probe.until_ns = now_ns + PROBE_TIMEOUT_NS;
    if (connect(vm->probe.fd, (struct sockaddr *)&to, sizeof to) < 0 &&
        errno != EINPROGRESS)
        probe_close(vm, false);
}

void vm_probe_tick(struct vm *vm, uint64_t now_ns)
{
    if (vm->ns.arp_fd >= 0)
        ask_arp(vm);
    if (vm->probe.fd >= 0 && now_ns >= vm->probe.until_ns)
        probe_close(vm, false);
    if (vm->probe.fd < 0 && now_ns >= vm->probe.next_ns)
        probe_start(vm, now_ns);
}

short vm_probe_events(const struct vm *vm)
{
    return vm->probe.connected ? POLLIN : POLLOUT;
}

static bool connect_succeeded(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}

void vm_probe_serve(struct vm *vm, short events, uint64_t now_ns)
{
    char greeting[16];

    if (vm->probe.fd < 0 || !events)
        return;
    if (!vm->probe.connected) {
        if (!connect_succeeded(vm->probe.fd)) {
            probe_close(vm, false);
            return;
        }
        vm->probe.connected = true;
        if (vm->ns.dhcp_fd < 0)
            return; /* that was QEMU; wait for a greeting */
        seen(vm, true, true);
        probe_close(vm, true);
        return;
    }
    if (recv(vm->probe.fd, greeting, sizeof greeting, MSG_DONTWAIT) <= 0) {
        probe_close(vm, false);
        return;
    }
    seen(vm, true, true);
    pthread_mutex_lock(&vm->lock);
    vm->dhcp_lease = true; /* QEMU reaches it under no other address */
    pthread_mutex_unlock(&vm->lock);
    probe_close(vm, true);
}

void vm_probe_end(struct vm *vm)
{
    if (vm->probe.fd >= 0)
        close(vm->probe.fd);
    vm->probe.fd = -1;
}
