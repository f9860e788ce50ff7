/* Disks, services and first-boot helpers; see convert.h. */
#include "guest/linux/convert.h"

#include "base/str.h"
#include "guest/linux/linux.h"
#include "guest/text/firewall.h"
#include "guest/text/text.h"

#include <ctype.h>
#include <string.h>

/* ---- disks by UUID ---- */

static int rewrite_fstab(struct conversion *c, struct fstab_fixes *fixes, struct err *e)
{
    auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
    auto_strv struct strv specs = {0};
    struct VEC(struct fstab_change) changes = {0};
    int r = 0;

    vec_foreach (f, fixes) {
        auto_free char *spec = f->volume ? linux_uuid_spec(f->volume, e) : NULL;
        struct fstab_change x = {.number = f->line->number};

        r = f->volume && !spec ? -1 : strv_add(&specs, spec ? spec : "", e);
        if (r == 0 && !f->volume)
            x.add_options = "nofail,x-systemd.device-timeout=10s";
        if (r == 0)
            r = vec_push(&changes, x, e);
        if (r < 0)
            break;
    }
    for (size_t i = 0; r == 0 && i < changes.n; i++)
        if (specs.v[i][0])
            changes.v[i].spec = specs.v[i];
    if (r == 0)
        r = gfs_text(&c->fs, "/etc/fstab", &text, e) < 0
                ? -1
                : fstab_rewrite(buf_str(&text), changes.v, changes.n, &out, e);
    vec_release(&changes);
    if (r < 0)
        return -1;
    return convert_write(c, "/etc/fstab", &out, 0644, "disks by UUID",
                         "VMware's disk names do not exist on EC2", e);
}

/* RESUME=/dev/sda5: the initramfs would wait for it at each boot. */
static int rewrite_resume(struct conversion *c, struct err *e)
{
    static const char path[] = "/etc/initramfs-tools/conf.d/resume";
    auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
    const char *at;
    struct text_line l;
    int r = gfs_text(&c->fs, path, &text, e);

    if (r <= 0)
        return r;
    for (at = buf_str(&text); text_next(&at, &l);) {
        auto_free char *line = str_ndup(l.s, l.len, e), *spec = NULL;
        uint32_t disk, partition;

        if (!line)
            return -1;
        if (str_starts(line, "RESUME=") &&
            device_name(line + 7, &disk, &partition) != DEVICE_STABLE) {
            const struct volume *v = linux_volume(c->s, line + 7);

            spec = v && v->fs.uuid[0] ? linux_uuid_spec(v, e) : str_dup("none", e);
            if (!spec)
                return -1;
            buf_addf(&out, "RESUME=%s\n", spec);
            continue;
        }
        buf_addf(&out, "%s\n", line);
    }
    return convert_write(c, path, &out, 0644, "resume device by UUID",
                         "VMware's disk names do not exist on EC2", e);
}

int convert_fstab(struct conversion *c, struct err *e)
{
    struct fstab_fixes fixes = {0};
    int r = linux_fstab_fixes(c->s, &fixes, e);

    if (r == 0 && fixes.n)
        r = rewrite_fstab(c, &fixes, e);
    vec_release(&fixes);
    return r < 0 ? -1 : rewrite_resume(c, e);
}

/* ---- LVM ---- */

int convert_lvm(struct conversion *c, struct err *e)
{
    static const char conf[] = "/etc/lvm/lvm.conf", why[] = "they name the old disks";
    auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
    const char *at;
    struct text_line l;
    int r = gfs_text(&c->fs, conf, &text, e);

    if (r > 0 && linux_lvm_filter_hides(buf_str(&text))) {
        for (at = buf_str(&text); text_next(&at, &l);) {
            const char *p = l.s;

            while (p < l.s + l.len && isblank((unsigned char)*p))
                p++;
            if (str_starts(p, "filter") || str_starts(p, "global_filter"))
                buf_adds(&out, "#hotadd# ");
            buf_add(&out, l.s, l.len);
            buf_addc(&out, '\n');
        }
        r = convert_write(c, conf, &out, 0644, "no device filter",
                          "it hides NVMe disks from LVM", e);
    }
    if (r >= 0)
        r = convert_remove(c, "/etc/lvm/devices/system.devices",
                           "no list of LVM's devices", why, e);
    if (r >= 0)
        r = convert_remove(c, "/etc/lvm/cache/.cache", "no cache of LVM's devices", why,
                           e);
    return r < 0 ? -1 : 0;
}

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

static int disable_scripts(struct conversion *c, const char *script, const char *what,
                           const char *why, struct err *e)
{
    static const char *const dirs[] = {"/etc/rcS.d", "/etc/rc2.d", "/etc/rc3.d",
                                       "/etc/rc4.d", "/etc/rc5.d"};

    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        auto_strv struct strv names = {0};

        if (gfs_list(&c->fs, dirs[i], &names, e) < 0)
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

int convert_vmware_tools(struct conversion *c, struct err *e)
{
    static const char what[] = "VMware's tools off", why[] = "there is no VMware on EC2";
    static const char *const units[] = {
        "open-vm-tools.service", "vmtoolsd.service",     "vgauth.service",
        "vgauthd.service",       "vmware-tools.service", "run-vmblock\\x2dfuse.mount"};
    static const char *const scripts[] = {"open-vm-tools", "vmware-tools",
                                          "vmware-tools-thinprint"};

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (disable_unit(c, units[i], what, why, e) < 0)
            return -1;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++)
        if (disable_scripts(c, scripts[i], what, why, e) < 0)
            return -1;
    return 0;
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
    return gfs_is_file(&c->fs, "/etc/init.d/ssh", e) > 0
               ? convert_link(c, "../init.d/ssh", "/etc/rc2.d/S16ssh", what, why, e)
               : 0;
}

int convert_firewall(struct conversion *c, struct err *e)
{
    auto_linux_firewall struct linux_firewall f = {0};
    auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
    uint16_t ports[8];
    int r;

    if (linux_firewall(c->s, &f, e) < 0)
        return -1;
    if (!f.decided || f.open || (f.kind != FW_UFW && f.kind != FW_IPTABLES))
        return 0;
    if (linux_sshd_ports(c->s, ports, 8, e) < 0 || gfs_text(&c->fs, f.file, &text, e) < 0)
        return -1;
    r = f.kind == FW_UFW ? firewall_ufw_open(buf_str(&text), ports[0], &out, e)
                         : firewall_iptables_open(buf_str(&text), ports[0], &out, e);
    if (r < 0)
        return err_prefix(e, "%s", f.file);
    return convert_write(c, f.file, &out, 0640, "SSH let in",
                         "--fix; the packet filter shuts it out", e);
}
