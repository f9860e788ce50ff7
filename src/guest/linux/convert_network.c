/* Network by DHCP on whatever card EC2 gives; see convert.h.
 *
 * Old definitions are moved out of the way (their originals are kept), because two
 * definitions that wait for absent cards cost minutes of every boot. */
#include "guest/linux/convert.h"

#include "base/str.h"
#include "guest/linux/linux.h"

#include <string.h>

#define OURS "# By hotadd" /* begins what is written below */

const char convert_network_what[] = "DHCP on EC2's card",
           convert_network_why[] = "name and MAC address of the card change";

static int rewrite_ifupdown(struct conversion *c, struct err *e)
{
    static const char main_file[] = "/etc/network/interfaces";

    vec_foreach (f, &c->s->network_files) {
        auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
        bool is_main = str_eq(*f, main_file);

        if (gfs_text(&c->fs, *f, &text, e) < 0)
            return -1;
        if (strstr(buf_str(&text), OURS))
            continue;
        if (net_ifupdown_rewrite(buf_str(&text), is_main ? "eth0" : NULL, &out, e) < 0 ||
            convert_write(c, *f, &out, 0644, convert_network_what, convert_network_why,
                          e) < 0)
            return -1;
    }
    return 0;
}

int convert_network_remove(struct conversion *c, const char *below, const char *keep,
                           struct err *e)
{
    vec_foreach (p, &c->s->network) {
        if (p->kind == NET_LOOPBACK || p->kind == NET_OTHER ||
            !str_starts(p->file, below) || str_eq(p->file, keep))
            continue;
        if (convert_remove(c, p->file, convert_network_what, convert_network_why, e) < 0)
            return -1;
    }
    return 0;
}

/* Does the old configuration leave the work to NetworkManager? */
static int netplan_renderer(struct conversion *c, const char **ret, struct err *e)
{
    *ret = "networkd";
    vec_foreach (f, &c->s->network_files) {
        auto_buf struct buf text = BUF_INIT;

        if (gfs_text(&c->fs, *f, &text, e) < 0)
            return -1;
        if (strstr(buf_str(&text), "NetworkManager"))
            *ret = "NetworkManager";
    }
    return 0;
}

static int rewrite_netplan(struct conversion *c, struct err *e)
{
    static const char file[] = "/etc/netplan/60-hotadd.yaml";
    auto_buf struct buf text = BUF_INIT;
    const char *renderer;

    if (netplan_renderer(c, &renderer, e) < 0)
        return -1;
    /* The whole directory: bonds and VLANs would refer to what is gone. */
    vec_foreach (f, &c->s->network_files)
        if (str_starts(*f, "/etc/netplan/") && !str_eq(*f, file) &&
            convert_remove(c, *f, convert_network_what, convert_network_why, e) < 0)
            return -1;
    buf_addf(&text,
             "# By hotadd: any Ethernet card, address by DHCP.\n"
             "network:\n"
             "  version: 2\n"
             "  renderer: %s\n"
             "  ethernets:\n"
             "    hotadd-en:\n"
             "      match: {name: \"en*\"}\n"
             "      dhcp4: true\n"
             "    hotadd-eth:\n"
             "      match: {name: \"eth*\"}\n"
             "      dhcp4: true\n",
             renderer);
    return convert_write(c, file, &text, 0600, convert_network_what, convert_network_why,
                         e);
}

static int rewrite_networkd(struct conversion *c, struct err *e)
{
    static const char file[] = "/etc/systemd/network/10-hotadd.network";
    auto_buf struct buf text = BUF_INIT;

    if (convert_network_remove(c, "/etc/systemd/network/", file, e) < 0)
        return -1;
    buf_adds(&text, "# By hotadd: any Ethernet card, address by DHCP.\n"
                    "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n");
    return convert_write(c, file, &text, 0644, convert_network_what, convert_network_why,
                         e);
}

int convert_network_keyfile(struct conversion *c, struct err *e)
{
    static const char dir[] = "/etc/NetworkManager/system-connections/",
                      file[] = "/etc/NetworkManager/system-connections/"
                               "hotadd.nmconnection";
    auto_buf struct buf text = BUF_INIT;

    if (convert_network_remove(c, dir, file, e) < 0)
        return -1;
    buf_adds(&text, "# By hotadd: any Ethernet card, address by DHCP.\n"
                    "[connection]\nid=hotadd\ntype=ethernet\nautoconnect=true\n\n"
                    "[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n");
    return convert_write(c, file, &text, 0600, convert_network_what, convert_network_why,
                         e);
}

/* A conversion that was killed may have written its definition and left the old ones. */
static int half_done(struct conversion *c, struct err *e)
{
    int r = changes_unfinished(&c->fs, e);

    for (size_t i = 0; r > 0 && i < c->s->network_files.n; i++) {
        auto_buf struct buf text = BUF_INIT;

        if (gfs_text(&c->fs, c->s->network_files.v[i], &text, e) < 0)
            return -1;
        if (strstr(buf_str(&text), OURS))
            return 1;
    }
    return r < 0 ? -1 : 0;
}

int convert_network(struct conversion *c, bool *ret_eth_names, struct err *e)
{
    const char *tool = c->s->info->network_tool;
    auto_buf struct buf seen = BUF_INIT;
    enum network_fault fault;

    *ret_eth_names = false;
    if (!tool)
        return 0;
    if (linux_network_fault(c->s, &fault, &seen, e) < 0)
        return -1;
    if (fault == NETWORK_FINE) {
        int r = half_done(c, e);

        if (r <= 0)
            return r;
    } else if (fault != NETWORK_NAME && !c->s->options->fix) {
        return 0;
    }
    if (str_eq(tool, "ifupdown")) {
        *ret_eth_names = true;
        return rewrite_ifupdown(c, e);
    }
    if (str_eq(tool, "netplan"))
        return rewrite_netplan(c, e);
    if (str_eq(tool, "networkd"))
        return rewrite_networkd(c, e);
    if (str_eq(tool, "ifcfg"))
        return convert_network_redhat(c, ret_eth_names, e);
    if (str_eq(tool, "wicked"))
        return convert_network_suse(c, ret_eth_names, e);
    if (str_eq(tool, "networkmanager"))
        /* Its ifcfg files as well, where it reads such. */
        return convert_network_remove(c, "/etc/sysconfig/network-scripts/", "", e) < 0
                   ? -1
                   : convert_network_keyfile(c, e);
    return err_set(e, ERR_UNSUPPORTED,
                   "the network tool %s of this guest is not converted", tool);
}

int convert_udev_names(struct conversion *c, struct err *e)
{
    auto_strv struct strv files = {0};

    if (linux_udev_bindings(c->s, &files, e) < 0)
        return -1;
    vec_foreach (f, &files)
        if (convert_remove(c, *f, "no card names by MAC address",
                           "EC2's card has another one", e) < 0)
            return -1;
    return 0;
}
