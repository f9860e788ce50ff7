/* The guest's configuration files: the first byte chooses the parser, the rest is the
 * text. Where a parser has a writer, what it wrote is read again: a conversion that is
 * repeated must find nothing to do. */
#include "base/auto.h"
#include "base/buf.h"
#include "base/str.h"
#include "guest/text/disks.h"
#include "guest/text/firewall.h"
#include "guest/text/fstab.h"
#include "guest/text/grub.h"
#include "guest/text/net.h"
#include "guest/text/shvar.h"
#include "guest/text/text.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_fstab(const char *text)
{
    const struct fstab_change c = {
        .number = 1, .spec = "UUID=x", .add_options = "nofail"};
    auto_fstab struct fstab t = {0}, again = {0};
    auto_buf struct buf out = BUF_INIT;
    struct err e = ERR_INIT;
    uint32_t disk, partition;

    if (fstab_parse(text, &t, &e) < 0)
        return;
    vec_foreach (l, &t)
        device_name(l->spec, &disk, &partition);
    if (fstab_rewrite(text, &c, 1, &out, &e) < 0)
        return;
    if (t.n && t.v[0].number == 1) {
        assert(fstab_parse(buf_str(&out), &again, &e) == 0 && again.n == t.n);
        assert(str_eq(again.v[0].spec, "UUID=x") &&
               fstab_has_option(&again.v[0], "nofail"));
    }
}

static int no_name(void *ctx, const char *spec, char **ret, struct err *e)
{
    *ret = str_starts(spec, "/dev/sd") ? str_dup("UUID=x", e) : NULL;
    return 0;
}

static void fuzz_grub(const char *text)
{
    const struct cmdline_map map = {no_name, NULL};
    const struct cmdline_want want = {.serial_console = true,
                                      .eth_names = true,
                                      .xen_disk_names = true,
                                      .nvme_timeout = "nvme_core.io_timeout=1",
                                      .map = &map};
    static int (*const writers[])(const char *, const struct cmdline_want *, struct buf *,
                                  struct err *) = {grub_cfg_rewrite, grub_legacy_rewrite,
                                                   grub_bls_rewrite};
    auto_grub_menu struct grub_menu m = {0}, legacy = {0}, bls = {0};
    struct err e = ERR_INIT;

    if (grub_cfg_parse(text, &m, &e) == 0) {
        grub_default(&m, "1>1");
        grub_default(&m, text);
    }
    if (grub_legacy_parse(text, &legacy, &e) == 0)
        grub_default(&legacy, NULL);
    if (grub_bls_parse(text, "a-1", "x", &bls, &e) == 0 &&
        grub_bls_parse(text, text, NULL, &bls, &e) == 0)
        grub_bls_sort(&bls);
    for (size_t i = 0; i < sizeof writers / sizeof writers[0]; i++) {
        auto_buf struct buf once = BUF_INIT, twice = BUF_INIT;

        if (writers[i](text, &want, &once, &e) < 0)
            continue;
        assert(writers[i](buf_str(&once), &want, &twice, &e) == 0);
        assert(str_eq(buf_str(&once), buf_str(&twice)));
    }
}

/* A block of any size that begins as one, with any value. */
static void fuzz_grubenv(const uint8_t *data, size_t len)
{
    auto_buf struct buf out = BUF_INIT;
    auto_free char *value = NULL, *text = NULL;
    struct err e = ERR_INIT;

    text = str_ndup((const char *)data, len < 64 ? len : 64, &e);
    assert(text);
    (void)!grubenv_get(data, len, "saved_entry", &value, &e);
    if (grubenv_set(data, len, "kernelopts", text, &out, &e) < 0)
        return;
    assert(out.len == len);
    free(value);
    assert(grubenv_get(out.data, out.len, "kernelopts", &value, &e) == 0);
    assert(value && str_eq(value, text));
}

static void fuzz_disks(const char *text)
{
    const struct cmdline_map map = {no_name, NULL};
    auto_buf struct buf crypt = BUF_INIT, crypt2 = BUF_INIT, md = BUF_INIT,
                        md2 = BUF_INIT, lvm = BUF_INIT, lvm2 = BUF_INIT;
    struct err e = ERR_INIT;

    assert(crypttab_rewrite(text, &map, &crypt, &e) == 0);
    assert(crypttab_rewrite(buf_str(&crypt), &map, &crypt2, &e) == 0);
    assert(str_eq(buf_str(&crypt), buf_str(&crypt2)));
    assert(mdadm_conf_rewrite(text, &md, &e) == 0);
    assert(mdadm_conf_rewrite(buf_str(&md), &md2, &e) == 0);
    assert(str_eq(buf_str(&md), buf_str(&md2)));
    assert(lvm_conf_rewrite(text, true, &lvm, &e) == 0);
    assert(lvm_conf_rewrite(buf_str(&lvm), true, &lvm2, &e) == 0);
    assert(str_eq(buf_str(&lvm), buf_str(&lvm2)));
    assert(!lvm_conf_hides(buf_str(&lvm)));
}

static void fuzz_net(const char *text)
{
    auto_net_profiles struct net_profiles p = {0}, after = {0};
    auto_strv struct strv sources = {0}, more = {0};
    auto_buf struct buf out = BUF_INIT;
    struct err e = ERR_INIT;

    (void)!net_netplan(text, strlen(text), "/n", &p, &e);
    (void)!net_keyfile(text, "/k", &p, &e);
    (void)!net_networkd(text, "/d", &p, &e);
    (void)!net_ifcfg(text, "/ifcfg-e", &p, &e);
    (void)!net_ifupdown(text, "/i", &p, &sources, &e);
    if (net_ifupdown_rewrite(text, "eth0", &out, &e) < 0 ||
        net_ifupdown(buf_str(&out), "/i", &after, &more, &e) < 0)
        return;
    (void)after;
}

static void fuzz_firewall(const char *text)
{
    auto_firewall struct firewall_answer a = {0}, opened = {0};
    auto_buf struct buf out = BUF_INIT, ufw = BUF_INIT, zone = BUF_INIT, suse = BUF_INIT;
    uint16_t ports[4];
    struct err e = ERR_INIT;

    (void)!firewall_iptables(text, 22, &a, &e);
    (void)!firewall_nft(text, 22, &a, &e);
    (void)!firewall_zone(text, strlen(text), 22, 22, &a, &e);
    (void)!firewall_suse(text, 22, &a, &e);
    hosts_deny_ssh(text, "");
    if (firewall_zone_open(text, 22, &zone, &e) == 0)
        (void)!firewall_zone(buf_str(&zone), zone.len, 22, 22, &a, &e);
    assert(firewall_suse_open(text, 22, &suse, &e) == 0);
    assert(firewall_suse(buf_str(&suse), 22, &opened, &e) == 0);
    assert(opened.verdict == FIREWALL_OPEN);
    (void)!firewall_ufw(text, "DROP", 22, &a, &e);
    sshd_ports(text, ports, 4, &e);
    (void)!firewall_ufw_open(text, 22, &ufw, &e);
    if (firewall_iptables_open(text, 22, &out, &e) == 0 &&
        firewall_iptables(buf_str(&out), 22, &opened, &e) == 0)
        assert(opened.verdict != FIREWALL_CLOSED || strstr(text, "INPUT"));
}

static void fuzz_shvar(const char *text)
{
    auto_free char *v = NULL, *again = NULL, *ini = NULL;
    auto_buf struct buf out = BUF_INIT;
    struct err e = ERR_INIT;

    (void)!shvar_get(text, "A", &v, &e);
    assert(shvar_set(text, "A", "x \"$y\\", &out, &e) == 0);
    assert(shvar_get(buf_str(&out), "A", &again, &e) == 0);
    assert(again && str_eq(again, "x \"$y\\"));
    (void)!text_ini_get(text, "a", "b", &ini, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static void (*const parsers[])(const char *) = {
        fuzz_fstab, fuzz_grub, fuzz_net, fuzz_firewall, fuzz_shvar, fuzz_disks};
    auto_free char *text = NULL;
    struct err e = ERR_INIT;

    if (len < 1)
        return 0;
    text = str_ndup((const char *)data + 1, len - 1, &e);
    assert(text);
    /* The environment block is no text: it may hold anything. */
    fuzz_grubenv(data, len);
    parsers[data[0] % (sizeof parsers / sizeof parsers[0])](text);
    return 0;
}
