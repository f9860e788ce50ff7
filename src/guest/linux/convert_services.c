/* Services, VMware's tools, cloud-init, and with --fix the way in; see convert.h. */
#include "guest/linux/convert.h"

#include "base/str.h"
#include "guest/linux/linux.h"
#include "guest/text/firewall.h"

#include <string.h>

/* ---- services ---- */

/* Takes away the links that "systemctl enable" made. */
static int disable_unit(struct conversion *c, const char *unit, const char *what,
                        const char *why, struct err *e)
{
    static const char root[] = "/etc/systemd/system";
    auto_strv struct strv names = {0};
    auto_free char *alias = NULL, *target = NULL;
    int r;

    if (gfs_list(&c->fs, root, &names, e) < 0)
        return -1;
    vec_foreach (n, &names) {
        auto_free char *link = NULL;

        if (!str_ends(*n, ".wants") && !str_ends(*n, ".requires"))
            continue;
        link = str_fmt(e, "%s/%s/%s", root, *n, unit);
        if (!link || convert_remove(c, link, what, why, e) < 0)
            return -1;
    }
    /* An alias such as vmtoolsd.service; a mask stays. */
    if (gfs_join(root, unit, &alias, e) < 0)
        return -1;
    r = gfs_is_link(&c->fs, alias, e);
    if (r <= 0)
        return r;
    if (gfs_readlink(&c->fs, alias, &target, e) < 0)
        return -1;
    return str_eq(target, "/dev/null") ? 0 : convert_remove(c, alias, what, why, e);
}

/* Start links of SysV scripts. Red Hat's /etc/rc3.d is a link to /etc/rc.d/rc3.d. */
static int disable_scripts(struct conversion *c, const char *script, const char *what,
                           const char *why, struct err *e)
{
    static const char *const dirs[] = {
        "/etc/rcS.d",      "/etc/rc2.d",        "/etc/rc3.d",       "/etc/rc4.d",
        "/etc/rc5.d",      "/etc/rc.d/rc2.d",   "/etc/rc.d/rc3.d",  "/etc/rc.d/rc4.d",
        "/etc/rc.d/rc5.d", "/etc/init.d/rc3.d", "/etc/init.d/rc5.d"};

    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        auto_strv struct strv names = {0};
        int link = gfs_is_link(&c->fs, dirs[i], e);

        if (link < 0 || (!link && gfs_list(&c->fs, dirs[i], &names, e) < 0))
            return -1;
        vec_foreach (n, &names) {
            auto_free char *path = NULL;

            if ((*n)[0] != 'S' || strlen(*n) < 4 || !str_eq(*n + 3, script))
                continue;
            if (gfs_join(dirs[i], *n, &path, e) < 0 ||
                convert_remove(c, path, what, why, e) < 0)
                return -1;
        }
    }
    return 0;
}

/* Upstart of Red Hat 6 knows no overrides: the job's file goes. */
static int disable_job(struct conversion *c, const char *job, const char *what,
                       const char *why, struct err *e)
{
    auto_free char *path = str_fmt(e, "/etc/init/%s.conf", job);

    return path ? convert_remove(c, path, what, why, e) : -1;
}

/* VMware's own packages are fetched from VMware's servers at each update. */
static int remove_repositories(struct conversion *c, struct err *e)
{
    static const char *const dirs[] = {"/etc/yum.repos.d", "/etc/zypp/repos.d",
                                       "/etc/apt/sources.list.d"};

    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        auto_strv struct strv names = {0};

        if (gfs_list(&c->fs, dirs[i], &names, e) < 0)
            return -1;
        vec_foreach (n, &names) {
            auto_free char *path = NULL;

            if (!str_starts(*n, "vmware"))
                continue;
            if (gfs_join(dirs[i], *n, &path, e) < 0 ||
                convert_remove(c, path, "VMware's package source off",
                               "there is no VMware on EC2", e) < 0)
                return -1;
        }
    }
    return 0;
}

int convert_vmware_tools(struct conversion *c, struct err *e)
{
    static const char what[] = "VMware's tools off", why[] = "there is no VMware on EC2";
    static const char *const units[] = {
        "open-vm-tools.service", "vmtoolsd.service",     "vgauth.service",
        "vgauthd.service",       "vmware-tools.service", "run-vmblock\\x2dfuse.mount"};
    static const char *const scripts[] = {"open-vm-tools", "vmware-tools",
                                          "vmware-tools-services",
                                          "vmware-tools-thinprint"};

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (disable_unit(c, units[i], what, why, e) < 0)
            return -1;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++)
        if (disable_scripts(c, scripts[i], what, why, e) < 0 ||
            disable_job(c, scripts[i], what, why, e) < 0)
            return -1;
    return remove_repositories(c, e);
}

int convert_cloud_init(struct conversion *c, struct err *e)
{
    auto_buf struct buf text = BUF_INIT;
    int r = gfs_is_file(&c->fs, "/etc/cloud/cloud.cfg", e);

    if (r <= 0)
        return r;
    r = gfs_is_file(&c->fs, "/etc/cloud/cloud-init.disabled", e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    buf_adds(&text, "# By hotadd: this is a machine that existed before, not a new one.\n"
                    "# Remove this file to let cloud-init set it up as one.\n"
                    "ssh_deletekeys: false\n"
                    "preserve_hostname: true\n"
                    "ssh_pwauth: unchanged\n"
                    "network: {config: disabled}\n");
    return convert_write(c, LINUX_CLOUD_INIT_FILE, &text, 0644,
                         "cloud-init keeps keys, names and network",
                         "it takes an instance for a new machine", e);
}

/* ---- with --fix ---- */

/* SysV: the script's start links, at the numbers that the distributions give them. */
static int enable_ssh_script(struct conversion *c, const char *what, const char *why,
                             struct err *e)
{
    static const struct {
        const char *script, *dir, *link;
    } links[] = {
        {"/etc/init.d/ssh", "/etc/rc2.d", "../init.d/ssh"},
        {"/etc/init.d/sshd", "/etc/rc.d/rc3.d", "../init.d/sshd"},
        {"/etc/init.d/sshd", "/etc/rc.d/rc5.d", "../init.d/sshd"},
    };

    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        auto_free char *path = str_fmt(e, "%s/%s%s", links[i].dir, i ? "S55" : "S16",
                                       links[i].link + strlen("../init.d/"));
        int r = path ? gfs_is_file(&c->fs, links[i].script, e) : -1;

        if (r > 0)
            r = gfs_is_dir(&c->fs, links[i].dir, e);
        if (r < 0 || (r && convert_link(c, links[i].link, path, what, why, e) < 0))
            return -1;
    }
    return 0;
}

int convert_ssh(struct conversion *c, struct err *e)
{
    static const char what[] = "sshd enabled", why[] = "--fix; SSH is the way in";
    static const char *const units[] = {"ssh.service", "sshd.service"};
    static const char *const dirs[] = {"/lib/systemd/system", "/usr/lib/systemd/system"};
    int r = linux_ssh_enabled(c->s, e);

    if (r != 0)
        return r < 0 ? -1 : 0;
    if (convert_remove(c, "/etc/ssh/sshd_not_to_be_run", what, why, e) < 0)
        return -1;
    for (size_t i = 0; i < 4; i++) {
        const char *unit = units[i / 2];
        auto_free char *file = str_fmt(e, "%s/%s", dirs[i % 2], unit),
                       *link = str_fmt(
                           e, "/etc/systemd/system/multi-user.target.wants/%s", unit),
                       *mask = str_fmt(e, "/etc/systemd/system/%s", unit);

        r = file && link && mask ? gfs_is_file(&c->fs, file, e) : -1;
        if (r < 0)
            return -1;
        if (!r)
            continue;
        r = linux_unit_masked(c->s, unit, e);
        if (r > 0)
            r = convert_remove(c, mask, what, why, e);
        return r < 0 ? -1 : convert_link(c, file, link, what, why, e);
    }
    return enable_ssh_script(c, what, why, e);
}

/* Where the rules are, they are opened there; firewalld's own zones are copied to /etc
 * first, as firewalld does it. */
static int open_rules(const struct linux_firewall *f, const char *text, uint16_t port,
                      struct buf *out, const char **ret_file, char **ret_owned,
                      struct err *e)
{
    *ret_file = f->file;
    switch (f->kind) {
    case FW_UFW:
        return firewall_ufw_open(text, port, out, e);
    case FW_IPTABLES:
        return firewall_iptables_open(text, port, out, e);
    case FW_SUSE:
        return firewall_suse_open(text, port, out, e);
    case FW_FIREWALLD:
        if (str_starts(f->file, "/usr/lib/")) {
            *ret_owned = str_fmt(e, "/etc/%s", f->file + strlen("/usr/lib/"));
            if (!*ret_owned)
                return -1;
            *ret_file = *ret_owned;
        }
        return firewall_zone_open(text, port, out, e);
    default:
        return err_set(e, ERR_UNSUPPORTED, "no rules that can be changed");
    }
}

bool convert_firewall_can(enum firewall_kind kind)
{
    return kind == FW_UFW || kind == FW_IPTABLES || kind == FW_FIREWALLD ||
           kind == FW_SUSE;
}

int convert_firewall(struct conversion *c, struct err *e)
{
    auto_linux_firewall struct linux_firewall f = {0};
    auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
    auto_free char *owned = NULL;
    const char *file;
    uint16_t ports[8];

    if (linux_firewall(c->s, &f, e) < 0)
        return -1;
    if (!f.decided || f.open || !convert_firewall_can(f.kind))
        return 0;
    if (linux_sshd_ports(c->s, ports, 8, e) < 0 || gfs_text(&c->fs, f.file, &text, e) < 0)
        return -1;
    if (open_rules(&f, buf_str(&text), ports[0], &out, &file, &owned, e) < 0)
        return err_prefix(e, "%s", f.file);
    return convert_write(c, file, &out, 0640, "SSH let in",
                         "--fix; the packet filter shuts it out", e);
}
