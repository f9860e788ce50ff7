/* Services and the packet filter of the guest; see linux.h. Units are judged by the
 * links that "systemctl enable" makes, not by running anything. */
#include "guest/linux/linux.h"

#include "base/str.h"
#include "guest/text/firewall.h"
#include "guest/text/shvar.h"
#include "guest/text/text.h"

#include <ctype.h>
#include <string.h>

#define OWN_UNITS "/etc/systemd/system"

/* TARGET.wants/UNIT in /etc or shipped in /usr/lib. Read once: some thirty units are
 * asked about, and under emulation each question costs. */
int linux_inspect_services(struct subject *s, struct err *e)
{
    static const char *const roots[] = {OWN_UNITS, "/usr/lib/systemd/system",
                                        "/lib/systemd/system"};
    static const char *const targets[] = {"multi-user.target.wants",
                                          "sockets.target.wants",
                                          "network-online.target.wants",
                                          "sysinit.target.wants",
                                          "basic.target.wants",
                                          "default.target.wants",
                                          "open-vm-tools.service.requires"};
    int r = gfs_is_dir(&s->fs, OWN_UNITS, e), merged;

    if (r <= 0)
        return r;
    s->systemd = true;
    merged = gfs_is_link(&s->fs, "/lib", e);
    if (merged < 0 || gfs_list(&s->fs, OWN_UNITS, &s->systemd_names, e) < 0)
        return -1;
    for (size_t i = 0; i < (merged ? 2 : 3); i++) {
        auto_strv struct strv listed = {0};
        const struct strv *names = i ? &listed : &s->systemd_names;

        if (i && gfs_list(&s->fs, roots[i], &listed, e) < 0)
            return -1;
        for (size_t j = 0; j < sizeof targets / sizeof targets[0]; j++) {
            auto_free char *dir = str_fmt(e, "%s/%s", roots[i], targets[j]);

            if (!dir || (strv_has(names, targets[j]) &&
                         gfs_list(&s->fs, dir, &s->wanted_units, e) < 0))
                return -1;
        }
    }
    return 0;
}

int linux_unit_masked(const struct subject *s, const char *unit, struct err *e)
{
    auto_free char *path = NULL, *target = NULL;
    int r;

    if (!strv_has(&s->systemd_names, unit))
        return 0;
    if (gfs_join(OWN_UNITS, unit, &path, e) < 0)
        return -1;
    r = gfs_is_link(&s->fs, path, e);
    if (r <= 0)
        return r;
    if (gfs_readlink(&s->fs, path, &target, e) < 0)
        return -1;
    return str_eq(target, "/dev/null");
}

int linux_has_systemd(const struct subject *s, struct err *e)
{
    static const char *const programs[] = {"/lib/systemd/systemd",
                                           "/usr/lib/systemd/systemd"};

    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        int r = gfs_is_file(&s->fs, programs[i], e);

        if (r != 0)
            return r;
    }
    return 0;
}

/* /etc/rc2.d/S01ssh and its like: at the runlevels of Debian (2) and Red Hat (3). */
static int script_started(const struct subject *s, const char *script, struct err *e)
{
    static const char *const dirs[] = {"/etc/rc2.d", "/etc/rc3.d", "/etc/rc.d/rc3.d"};

    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        auto_strv struct strv names = {0};

        if (gfs_list(&s->fs, dirs[i], &names, e) < 0)
            return -1;
        vec_foreach (n, &names)
            if ((*n)[0] == 'S' && isdigit((unsigned char)(*n)[1]) &&
                isdigit((unsigned char)(*n)[2]) && str_eq(*n + 3, script))
                return 1;
    }
    return 0;
}

int linux_service_enabled(const struct subject *s, const char *const *units,
                          const char *const *scripts, struct err *e)
{
    for (; s->systemd && *units; units++) {
        int r = strv_has(&s->wanted_units, *units) ? linux_unit_masked(s, *units, e) : 1;

        if (r <= 0)
            return r < 0 ? -1 : 1;
    }
    for (; !s->systemd && scripts && *scripts; scripts++) {
        auto_free char *job = str_fmt(e, "/etc/init/%s.conf", *scripts),
                       *override = str_fmt(e, "/etc/init/%s.override", *scripts);
        auto_buf struct buf text = BUF_INIT;
        int r = job && override ? gfs_is_file(&s->fs, job, e) : -1;

        if (r > 0) {
            r = gfs_text(&s->fs, override, &text, e);
            if (r == 0 || (r > 0 && !text_has_word(buf_str(&text), "manual")))
                return 1;
        }
        if (r < 0)
            return -1;
        r = script_started(s, *scripts, e);
        if (r != 0)
            return r;
    }
    return 0;
}

int linux_sshd_ports(const struct subject *s, uint16_t *ret, size_t max, struct err *e)
{
    auto_strv struct strv files = {0};
    auto_buf struct buf text = BUF_INIT;

    /* Files in sshd_config.d come first in effect, but ports add up. */
    if (gfs_glob(&s->fs, "/etc/ssh/sshd_config.d", ".conf", &files, e) < 0 ||
        gfs_text(&s->fs, "/etc/ssh/sshd_config", &text, e) < 0)
        return -1;
    vec_foreach (f, &files) {
        buf_addc(&text, '\n');
        if (gfs_text(&s->fs, *f, &text, e) < 0)
            return -1;
    }
    return sshd_ports(buf_str(&text), ret, max, e);
}

/* ---- firewall ---- */

void linux_firewall_release(struct linux_firewall *f)
{
    free(f->file);
    free(f->seen);
}

static int set_answer(struct linux_firewall *f, enum firewall_kind kind, const char *file,
                      const struct firewall_answer *a, struct err *e)
{
    f->kind = kind;
    f->open = a->verdict == FIREWALL_OPEN;
    f->decided = a->verdict != FIREWALL_UNDECIDED;
    if (str_set(&f->file, file, e) < 0)
        return -1;
    free(f->seen);
    f->seen = str_fmt(e, "%s: %s", file, a->because);
    return f->seen ? 0 : -1;
}

static int ask_ufw(const struct subject *s, uint16_t port, struct linux_firewall *f,
                   struct err *e)
{
    auto_buf struct buf conf = BUF_INIT, defaults = BUF_INIT, rules = BUF_INIT;
    auto_free char *on = NULL, *policy = NULL;
    auto_firewall struct firewall_answer a = {0};
    int r = gfs_text(&s->fs, "/etc/ufw/ufw.conf", &conf, e);

    if (r <= 0 || (r = shvar_get(buf_str(&conf), "ENABLED", &on, e)) < 0)
        return r;
    if (!on || !text_is_true(on))
        return 0;
    if (gfs_text(&s->fs, "/etc/default/ufw", &defaults, e) < 0 ||
        shvar_get(buf_str(&defaults), "DEFAULT_INPUT_POLICY", &policy, e) < 0 ||
        gfs_text(&s->fs, "/etc/ufw/user.rules", &rules, e) < 0 ||
        firewall_ufw(buf_str(&rules), policy ? policy : "DROP", port, &a, e) < 0)
        return -1;
    return set_answer(f, FW_UFW, "/etc/ufw/user.rules", &a, e) < 0 ? -1 : 1;
}

static int ask_iptables(const struct subject *s, uint16_t port, struct linux_firewall *f,
                        struct err *e)
{
    static const struct {
        const char *file;
        const char *units[3], *scripts[3];
    } places[] = {
        {"/etc/iptables/rules.v4",
         {"netfilter-persistent.service", NULL},
         {"netfilter-persistent", "iptables-persistent", NULL}},
        {"/etc/sysconfig/iptables", {"iptables.service", NULL}, {"iptables", NULL}},
    };

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        auto_buf struct buf text = BUF_INIT;
        auto_firewall struct firewall_answer a = {0};
        int r = gfs_text(&s->fs, places[i].file, &text, e);

        if (r > 0)
            r = linux_service_enabled(s, places[i].units, places[i].scripts, e);
        if (r < 0)
            return -1;
        if (!r)
            continue;
        if (firewall_iptables(buf_str(&text), port, &a, e) < 0)
            return -1;
        return set_answer(f, FW_IPTABLES, places[i].file, &a, e) < 0 ? -1 : 1;
    }
    return 0;
}

static int ask_nftables(const struct subject *s, uint16_t port, struct linux_firewall *f,
                        struct err *e)
{
    static const char *const units[] = {"nftables.service", NULL};
    static const char *const files[] = {"/etc/nftables.conf",
                                        "/etc/sysconfig/nftables.conf"};
    int r = linux_service_enabled(s, units, NULL, e);

    for (size_t i = 0; r > 0 && i < sizeof files / sizeof files[0]; i++) {
        auto_buf struct buf text = BUF_INIT;
        auto_firewall struct firewall_answer a = {0};
        int there = gfs_text(&s->fs, files[i], &text, e);

        if (there < 0)
            return -1;
        if (!there)
            continue;
        if (firewall_nft(buf_str(&text), port, &a, e) < 0)
            return -1;
        return set_answer(f, FW_NFTABLES, files[i], &a, e) < 0 ? -1 : 1;
    }
    return r < 0 ? -1 : 0;
}

/* DefaultZone, its file in /etc before /usr/lib, and the port that service ssh means. */
static int ask_firewalld(const struct subject *s, uint16_t port, struct linux_firewall *f,
                         struct err *e)
{
    static const char *const units[] = {
        "firewalld.service", "dbus-org.fedoraproject.FirewallD1.service", NULL};
    auto_buf struct buf conf = BUF_INIT, zone = BUF_INIT;
    auto_firewall struct firewall_answer a = {0};
    auto_free char *name = NULL, *file = NULL;
    int r = linux_service_enabled(s, units, NULL, e);

    if (r <= 0)
        return r;
    if (gfs_text(&s->fs, "/etc/firewalld/firewalld.conf", &conf, e) < 0 ||
        text_ini_get(buf_str(&conf), "", "DefaultZone", &name, e) < 0)
        return -1;
    file = str_fmt(e, "/etc/firewalld/zones/%s.xml", name ? name : "public");
    r = file ? gfs_text(&s->fs, file, &zone, e) : -1;
    if (r == 0) {
        free(file);
        file = str_fmt(e, "/usr/lib/firewalld/zones/%s.xml", name ? name : "public");
        r = file ? gfs_text(&s->fs, file, &zone, e) : -1;
    }
    if (r < 0)
        return -1;
    if (r == 0)
        return err_set(e, ERR_NOT_FOUND, "%s: firewalld's default zone is not there",
                       file);
    if (firewall_zone(buf_str(&zone), zone.len, port, 22, &a, e) < 0)
        return -1;
    return set_answer(f, FW_FIREWALLD, file, &a, e) < 0 ? -1 : 1;
}

static int ask_suse(const struct subject *s, uint16_t port, struct linux_firewall *f,
                    struct err *e)
{
    static const char file[] = "/etc/sysconfig/SuSEfirewall2";
    static const char *const units[] = {"SuSEfirewall2.service",
                                        "SuSEfirewall2_init.service", NULL};
    static const char *const scripts[] = {"SuSEfirewall2_setup", NULL};
    auto_buf struct buf text = BUF_INIT;
    auto_firewall struct firewall_answer a = {0};
    int r = linux_service_enabled(s, units, scripts, e);

    if (r > 0)
        r = gfs_text(&s->fs, file, &text, e);
    if (r <= 0)
        return r;
    if (firewall_suse(buf_str(&text), port, &a, e) < 0)
        return -1;
    return set_answer(f, FW_SUSE, file, &a, e) < 0 ? -1 : 1;
}

/* Beside any filter: sshd may ask TCP wrappers, if it was built with them. */
static int ask_wrappers(const struct subject *s, struct linux_firewall *f, struct err *e)
{
    auto_buf struct buf deny = BUF_INIT, allow = BUF_INIT;

    if (gfs_text(&s->fs, "/etc/hosts.deny", &deny, e) < 0 ||
        gfs_text(&s->fs, "/etc/hosts.allow", &allow, e) < 0)
        return -1;
    if (!f->open || !hosts_deny_ssh(buf_str(&deny), buf_str(&allow)))
        return 0;
    f->open = f->decided = false;
    return str_set(&f->seen,
                   "/etc/hosts.deny shuts all clients out but those of /etc/hosts.allow, "
                   "where sshd was built with TCP wrappers",
                   e);
}

static int ask_others(const struct subject *s, struct linux_firewall *f, struct err *e)
{
    static const char *const units[] = {"shorewall.service", "ferm.service",
                                        "firehol.service", NULL};
    static const char *const scripts[] = {"shorewall", "ferm", NULL};
    int r = linux_service_enabled(s, units, scripts, e);

    if (r <= 0)
        return r;
    f->kind = FW_OTHER;
    f->decided = f->open = false;
    return str_set(&f->seen, "a packet filter that hotadd cannot read is enabled", e) < 0
               ? -1
               : 1;
}

int linux_firewall(const struct subject *s, struct linux_firewall *ret, struct err *e)
{
    auto_linux_firewall struct linux_firewall f = {.kind = FW_NONE};
    uint16_t ports[8];
    int n = linux_sshd_ports(s, ports, 8, e), r;

    if (n < 0)
        return -1;
    r = ask_ufw(s, ports[0], &f, e);
    if (r == 0)
        r = ask_firewalld(s, ports[0], &f, e);
    if (r == 0)
        r = ask_nftables(s, ports[0], &f, e);
    if (r == 0)
        r = ask_iptables(s, ports[0], &f, e);
    if (r == 0)
        r = ask_suse(s, ports[0], &f, e);
    if (r == 0)
        r = ask_others(s, &f, e);
    if (r < 0)
        return -1;
    if (r == 0) {
        f.open = f.decided = true;
        if (str_set(&f.seen, "no packet filter is enabled", e) < 0)
            return -1;
    }
    if (ask_wrappers(s, &f, e) < 0)
        return -1;
    *ret = f;
    f = (struct linux_firewall){0};
    return 0;
}
