/* The private network of one machine, made from inside; see netns_setup.h and netns.h.
 *
 *     guest ── e1000e ── QEMU ── tap0  172.31.0.1/20     router and DHCP server
 *                                lo    127.0.0.1
 *                                      169.254.169.254   metadata, port 80
 *                                      169.254.169.253   VPC name server
 *                                      172.31.0.2        the subnet's name server
 *
 * The namespace has no other interface, hence no way to anywhere: isolation does not rest
 * on a filter. Forwarding is switched on (where it may be) only so that packets to the
 * world are refused at once with "network unreachable" instead of vanishing, which would
 * cost a guest minutes of time-outs at boot. Nobody listens on the name servers'
 * addresses, so questions are refused at once as well.
 *
 * Everything is made by plain ioctls and dies with the namespace. */
#include "lab/netns_setup.h"

#include "base/auto.h"
#include "base/io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TAP          "tap0"
#define DHCP_PORT    67
#define IMDS_PORT    80
#define IMDS_ADDRESS "169.254.169.254"
#define DNS_ADDRESS  "169.254.169.253"

static int write_file(const char *path, const char *text, struct err *e)
{
    auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(e, "%s", path);
    return io_write_full(fd, text, strlen(text), path, e);
}

/* Our own ids map to themselves: files keep their owners, and QEMU gets no capability
 * out of it. */
static int map_ids(uid_t uid, gid_t gid, struct err *e)
{
    char map[64];

    if (write_file("/proc/self/setgroups", "deny", e) < 0)
        return -1;
    snprintf(map, sizeof map, "%u %u 1\n", uid, uid);
    if (write_file("/proc/self/uid_map", map, e) < 0)
        return -1;
    snprintf(map, sizeof map, "%u %u 1\n", gid, gid);
    return write_file("/proc/self/gid_map", map, e);
}

static int enter_namespace(struct err *e)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();

    if (uid == 0 && unshare(CLONE_NEWNET) == 0)
        return 0;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return err_set(e, ERR_REQUIREMENT,
                       "the kernel grants no network namespace (%s): run as root, or "
                       "allow unprivileged user namespaces",
                       strerror(errno));
    return map_ids(uid, gid, e);
}

static struct ifreq request_for(const char *name)
{
    struct ifreq r = {0};

    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    return r;
}

static void put_address(struct sockaddr *out, struct in_addr addr)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr = addr};

    memcpy(out, &sin, sizeof sin);
}

/* `name` may be an alias ("lo:1"), which gives an interface one more address. */
static int set_address(int s, const char *name, struct in_addr addr, unsigned prefix_len,
                       struct err *e)
{
    struct in_addr mask = {.s_addr = prefix_len ? htonl(~0u << (32 - prefix_len)) : 0};
    struct ifreq r = request_for(name);

    put_address(&r.ifr_addr, addr);
    if (ioctl(s, SIOCSIFADDR, &r) < 0)
        return err_sys(e, "address of %s", name);
    put_address(&r.ifr_netmask, mask);
    if (ioctl(s, SIOCSIFNETMASK, &r) < 0)
        return err_sys(e, "netmask of %s", name);
    return 0;
}

static int bring_up(int s, const char *name, struct err *e)
{
    struct ifreq r = request_for(name);

    if (ioctl(s, SIOCGIFFLAGS, &r) < 0)
        return err_sys(e, "flags of %s", name);
    r.ifr_flags |= IFF_UP | IFF_RUNNING;
    if (ioctl(s, SIOCSIFFLAGS, &r) < 0)
        return err_sys(e, "cannot bring up %s", name);
    return 0;
}

static int make_tap(struct err *e)
{
    struct ifreq r = request_for(TAP);
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return err_set(e, ERR_REQUIREMENT, "/dev/net/tun: %s", strerror(errno));
    r.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (ioctl(fd, TUNSETIFF, &r) < 0) {
        err_set(e, ERR_REQUIREMENT, "the kernel grants no tap interface (%s)",
                strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

static int set_addresses(int s, struct in_addr router, unsigned prefix_len,
                         struct in_addr dns, struct err *e)
{
    struct in_addr local = {.s_addr = htonl(INADDR_LOOPBACK)}, imds, vpc_dns;

    inet_pton(AF_INET, IMDS_ADDRESS, &imds);
    inet_pton(AF_INET, DNS_ADDRESS, &vpc_dns);
    if (set_address(s, "lo", local, 8, e) < 0 || bring_up(s, "lo", e) < 0 ||
        set_address(s, "lo:1", imds, 32, e) < 0 ||
        set_address(s, "lo:2", vpc_dns, 32, e) < 0 ||
        set_address(s, "lo:3", dns, 32, e) < 0 ||
        set_address(s, TAP, router, prefix_len, e) < 0)
        return -1;
    return bring_up(s, TAP, e);
}

static void tune(void)
{
    struct err ignored;

    /* Comfort only, see above; /proc may be read-only in a container. */
    if (write_file("/proc/sys/net/ipv6/conf/" TAP "/disable_ipv6", "1", &ignored) < 0 ||
        write_file("/proc/sys/net/ipv4/ip_forward", "1", &ignored) < 0)
        return;
}

static int dhcp_socket(struct err *e)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(DHCP_PORT)};
    auto_fd int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;

    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, TAP, sizeof TAP) < 0 ||
        setsockopt(s, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) < 0 ||
        bind(s, (struct sockaddr *)&any, sizeof any) < 0)
        return err_sys(e, "DHCP socket");
    return take_fd(&s);
}

static int imds_socket(struct err *e)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(IMDS_PORT)};
    auto_fd int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    inet_pton(AF_INET, IMDS_ADDRESS, &sin.sin_addr);
    if (s < 0 || bind(s, (struct sockaddr *)&sin, sizeof sin) < 0 || listen(s, 32) < 0)
        return err_sys(e, "metadata socket");
    return take_fd(&s);
}

static int arp_socket(unsigned if_index, struct err *e)
{
    struct sockaddr_ll ll = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ARP),
                             .sll_ifindex = (int)if_index};
    auto_fd int s =
        socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ARP));

    if (s < 0 || bind(s, (struct sockaddr *)&ll, sizeof ll) < 0)
        return err_sys(e, "ARP socket");
    return take_fd(&s);
}

static int describe_tap(int s, struct netns_made *made, struct err *e)
{
    struct ifreq r = request_for(TAP);

    if (ioctl(s, SIOCGIFHWADDR, &r) < 0)
        return err_sys(e, "address of " TAP);
    memcpy(made->router_mac, r.ifr_hwaddr.sa_data, sizeof made->router_mac);
    if (ioctl(s, SIOCGIFINDEX, &r) < 0)
        return err_sys(e, "index of " TAP);
    made->if_index = (unsigned)r.ifr_ifindex;
    return 0;
}

int netns_setup(struct in_addr router, unsigned prefix_len, struct in_addr dns,
                struct netns_made *ret, struct err *e)
{
    auto_fd int s = -1, tap = -1, dhcp = -1, imds = -1, arp = -1;
    struct netns_made made;

    if (enter_namespace(e) < 0)
        return -1;
    s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return err_sys(e, "socket");
    tap = make_tap(e);
    if (tap < 0 || set_addresses(s, router, prefix_len, dns, e) < 0 ||
        describe_tap(s, &made, e) < 0)
        return -1;
    tune();
    dhcp = dhcp_socket(e);
    imds = dhcp < 0 ? -1 : imds_socket(e);
    arp = imds < 0 ? -1 : arp_socket(made.if_index, e);
    if (arp < 0)
        return -1;
    made.tap_fd = take_fd(&tap);
    made.dhcp_fd = take_fd(&dhcp);
    made.imds_fd = take_fd(&imds);
    made.arp_fd = take_fd(&arp);
    *ret = made;
    return 0;
}

int netns_drop_privileges(struct err *e)
{
    uint64_t keep = geteuid() == 0 ? 1ull << CAP_DAC_OVERRIDE : 0;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)keep, .permitted = (uint32_t)keep}};

    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0 && cap < 64; cap++)
        if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap) < 0 && errno != EPERM)
            return err_sys(e, "cannot drop capability %lu", cap);
    /* Root of a container may lack what it would keep: then there is nothing to drop. */
    if (syscall(SYS_capset, &head, data) < 0 && errno != EPERM)
        return err_sys(e, "cannot drop capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(e, "no_new_privs");
    return 0;
}
