/* What SUSE keeps in places of its own; see convert.h. */
#include "guest/linux/convert.h"

#include "base/str.h"
#include "guest/linux/linux.h"
#include "guest/text/text.h"

#include <string.h>

#define NETWORK "/etc/sysconfig/network/"

/* A default route that is written down wins over DHCP's. */
static int forget_default_route(struct conversion *c, struct err *e)
{
    static const char path[] = NETWORK "routes";
    auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
    const char *at;
    struct text_line l;
    int r = gfs_text(&c->fs, path, &text, e);

    if (r <= 0)
        return r;
    for (at = buf_str(&text); text_next(&at, &l);) {
        if (str_starts(l.s, "default") || str_starts(l.s, "0.0.0.0/0"))
            buf_adds(&out, "#hotadd# ");
        buf_add(&out, l.s, l.len);
        text_add_end(&out, l);
    }
    return convert_write(c, path, &out, 0644, "no gateway of the old network",
                         convert_network_why, e);
}

/* Routes of cards that are gone: ifroute-eth1. */
static int remove_routes(struct conversion *c, struct err *e)
{
    vec_foreach (p, &c->s->network) {
        auto_free char *path = NULL;

        if (p->kind == NET_LOOPBACK || !str_starts(p->file, NETWORK "ifcfg-"))
            continue;
        path = str_fmt(e, NETWORK "ifroute-%s", strstr(p->file, "ifcfg-") + 6);
        if (!path ||
            convert_remove(c, path, convert_network_what, convert_network_why, e) < 0)
            return -1;
    }
    return 0;
}

int convert_network_suse(struct conversion *c, bool *ret_eth_names, struct err *e)
{
    static const char file[] = NETWORK "ifcfg-eth0";
    auto_buf struct buf text = BUF_INIT;

    *ret_eth_names = true;
    if (remove_routes(c, e) < 0 || convert_network_remove(c, NETWORK, file, e) < 0 ||
        forget_default_route(c, e) < 0)
        return -1;
    buf_adds(&text, "# By hotadd: EC2 assigns the address by DHCP.\n"
                    "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n");
    return convert_write(c, file, &text, 0600, convert_network_what, convert_network_why,
                         e);
}

int convert_suse(struct conversion *c, struct err *e)
{
    return convert_linux(c, e);
}
