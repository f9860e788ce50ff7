/* What Red Hat, its likes and Amazon Linux keep in places of their own; see convert.h.
 *
 * 6 and 7 configure the network by ifcfg files and a card called eth0; from 8 on
 * NetworkManager does it, and takes a keyfile that names no card. */
#include "guest/linux/convert.h"

#include "base/str.h"
#include "guest/linux/linux.h"
#include "guest/text/text.h"

#include <string.h>

#define SCRIPTS "/etc/sysconfig/network-scripts/"

/* Gateways stand here for all cards; DHCP brings its own. */
static int forget_gateway(struct conversion *c, struct err *e)
{
    static const char path[] = "/etc/sysconfig/network", *const names[] = {
                                                             "GATEWAY=", "GATEWAYDEV=",
                                                             "IPV6_DEFAULTGW="};
    auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
    const char *at;
    struct text_line l;
    int r = gfs_text(&c->fs, path, &text, e);

    if (r <= 0)
        return r;
    for (at = buf_str(&text); text_next(&at, &l);) {
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (str_starts(l.s, names[i]))
                buf_adds(&out, "#hotadd# ");
        buf_add(&out, l.s, l.len);
        text_add_end(&out, l);
    }
    return convert_write(c, path, &out, 0644, "no gateway of the old network",
                         convert_network_why, e);
}

/* Static routes of cards that are gone: route-ens192, route6-ens192, rule-ens192. */
static int remove_routes(struct conversion *c, struct err *e)
{
    static const char *const kinds[] = {"route-", "route6-", "rule-", "rule6-"};

    vec_foreach (p, &c->s->network)
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            auto_free char *path = NULL;

            if (p->kind == NET_LOOPBACK || !str_starts(p->file, SCRIPTS "ifcfg-"))
                continue;
            path = str_fmt(e, SCRIPTS "%s%s", kinds[i], strstr(p->file, "ifcfg-") + 6);
            if (!path ||
                convert_remove(c, path, convert_network_what, convert_network_why, e) < 0)
                return -1;
        }
    return 0;
}

int convert_network_redhat(struct conversion *c, bool *ret_eth_names, struct err *e)
{
    static const char file[] = SCRIPTS "ifcfg-eth0";
    auto_buf struct buf text = BUF_INIT;
    int manager = linux_has_networkmanager(c->s, e);
    bool keyfile = manager > 0 && c->s->info->major >= 8;

    if (manager < 0 || remove_routes(c, e) < 0 ||
        convert_network_remove(c, SCRIPTS, keyfile ? "" : file, e) < 0 ||
        forget_gateway(c, e) < 0)
        return -1;
    if (keyfile)
        return convert_network_keyfile(c, e);
    *ret_eth_names = !linux_is_redhat6(c->s);
    buf_adds(&text, "# By hotadd: EC2 assigns the address by DHCP.\n"
                    "DEVICE=eth0\nTYPE=Ethernet\nBOOTPROTO=dhcp\nONBOOT=yes\n"
                    "PERSISTENT_DHCLIENT=yes\n");
    return convert_write(c, file, &text, 0644, convert_network_what, convert_network_why,
                         e);
}

int convert_redhat(struct conversion *c, struct err *e)
{
    return convert_linux(c, e);
}
