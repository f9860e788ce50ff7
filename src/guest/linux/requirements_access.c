/* Requirements of reaching the machine: network, SSH, firewall; and what would disturb
 * it at its first boot. */
#include "guest/linux/convert.h"
#include "guest/linux/linux.h"

#include "base/str.h"
#include "guest/text/text.h"

#include <string.h>

/* A machine that was always static may have no client. 1, 0, -1. */
static int has_dhcp_client(const struct subject *s, struct err *e)
{
    static const char *const programs[] = {"/sbin/dhclient", "/usr/sbin/dhclient",
                                           "/sbin/udhcpc",   "/usr/bin/udhcpc",
                                           "/sbin/dhcpcd",   "/usr/sbin/dhcpcd"};

    if (!str_eq_null(s->info->network_tool, "ifupdown"))
        return 1; /* the other tools bring their own */
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        int r = gfs_is_file(&s->fs, programs[i], e);

        if (r != 0)
            return r;
    }
    return 0;
}

static int check_dhcp(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_buf struct buf seen = BUF_INIT;
    enum network_fault fault;
    int client;

    if (!s->info->network_tool)
        return verdict_unknown(v, e,
                               "no network configuration of a kind that hotadd reads");
    if (linux_network_fault(s, &fault, &seen, e) < 0)
        return -1;
    client = has_dhcp_client(s, e);
    if (client < 0)
        return -1;
    if (!client) {
        buf_adds(&v->remedy, "install isc-dhcp-client in the source machine");
        return verdict_refused(v, e, "%s, and no DHCP client is installed",
                               buf_str(&seen));
    }
    if (fault == NETWORK_STATIC || fault == NETWORK_STACKED)
        return verdict_fixable(v, FINDING_FIX_OPTION, e, "%s", buf_str(&seen));
    return verdict_met(v, e, "%s", buf_str(&seen));
}

const struct requirement linux_dhcp = {
    .id = "linux-dhcp",
    .title = "Address by DHCP",
    .why = "a VPC gives addresses by DHCP; a machine with its old static address answers "
           "to nobody",
    .remedy = "set the interface to DHCP in the source machine, let hotadd do it with "
              "--fix, or keep the address with the import finisher",
    .methods = FOR_OURS,
    .check = check_dhcp,
};

static int check_interface(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_buf struct buf seen = BUF_INIT;
    enum network_fault fault;

    if (!s->info->network_tool)
        return verdict_unknown(v, e,
                               "no network configuration of a kind that hotadd reads");
    if (linux_network_fault(s, &fault, &seen, e) < 0)
        return -1;
    switch (fault) {
    case NETWORK_FINE:
        return verdict_met(v, e, "%s", buf_str(&seen));
    case NETWORK_NAME:
        return verdict_fixable(v, FINDING_FIX_CONVERT, e, "%s", buf_str(&seen));
    case NETWORK_STATIC:
    case NETWORK_STACKED:
        break;
    }
    return verdict_not_needed(v, e, "linux-dhcp decides: %s", buf_str(&seen));
}

const struct requirement linux_interface = {
    .id = "linux-interface",
    .title = "Network not bound to the old card",
    .why =
        "the instance's card has another name (ens5, eth0) and another MAC address than "
        "VMware's",
    .remedy =
        "configure any card by a pattern, or eth0 with net.ifnames=0; hotadd convert "
        "does it",
    .methods = FOR_OURS,
    .check = check_interface,
};

int linux_udev_bindings(const struct subject *s, struct strv *ret, struct err *e)
{
    static const char *const rules[] = {"/etc/udev/rules.d/70-persistent-net.rules",
                                        "/etc/udev/rules.d/70-net.rules"};
    auto_strv struct strv links = {0};

    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        auto_buf struct buf text = BUF_INIT;

        if (gfs_text(&s->fs, rules[i], &text, e) < 0)
            return -1;
        if (strstr(buf_str(&text), "ATTR{address}") && strv_add(ret, rules[i], e) < 0)
            return -1;
    }
    if (gfs_glob(&s->fs, "/etc/systemd/network", ".link", &links, e) < 0)
        return -1;
    vec_foreach (l, &links) {
        auto_buf struct buf text = BUF_INIT;

        if (gfs_text(&s->fs, *l, &text, e) < 0)
            return -1;
        if (strstr(buf_str(&text), "MACAddress=") && strv_add(ret, *l, e) < 0)
            return -1;
    }
    return 0;
}

static int check_udev(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_strv struct strv files = {0};

    if (linux_udev_bindings(s, &files, e) < 0)
        return -1;
    if (files.n)
        return verdict_fixable(v, FINDING_FIX_CONVERT, e, "%s gives names by MAC address",
                               files.v[0]);
    return verdict_met(v, e, "no rule names a card by its MAC address");
}

const struct requirement linux_udev_names = {
    .id = "linux-udev-names",
    .title = "No names by MAC address",
    .why = "such a rule keeps the name eth0 for a card that is gone; the new one becomes "
           "eth1, which nobody configured",
    .remedy = "remove the rule; hotadd convert does it",
    .methods = FOR_OURS,
    .check = check_udev,
};

/* ---- SSH ---- */

static const char *const ssh_units[] = {"ssh.service", "sshd.service", "ssh.socket",
                                        "sshd.socket", NULL};
static const char *const ssh_scripts[] = {"ssh", "sshd", NULL};

int linux_ssh_enabled(const struct subject *s, struct err *e)
{
    int r = gfs_is_file(&s->fs, "/etc/ssh/sshd_not_to_be_run", e);

    if (r != 0)
        return r < 0 ? -1 : 0;
    return linux_service_enabled(s, ssh_units, ssh_scripts, e);
}

static int check_ssh(const struct subject *s, struct verdict *v, struct err *e)
{
    int there = gfs_is_file(&s->fs, "/usr/sbin/sshd", e), enabled;

    if (there < 0)
        return -1;
    if (!there) {
        buf_adds(&v->remedy,
                 "install openssh-server in the source machine; hotadd cannot "
                 "install packages offline");
        return verdict_refused(v, e, "/usr/sbin/sshd is not there");
    }
    enabled = linux_ssh_enabled(s, e);
    if (enabled < 0)
        return -1;
    if (!enabled)
        return verdict_fixable(v, FINDING_FIX_OPTION, e,
                               "sshd is installed but not "
                               "enabled");
    return verdict_met(v, e, "/usr/sbin/sshd, enabled");
}

const struct requirement linux_ssh = {
    .id = "linux-ssh",
    .title = "SSH server installed and enabled",
    .why = "it is the way into an EC2 Linux instance",
    .remedy = "enable sshd in the source machine, or let hotadd do it with --fix",
    .methods = FOR_ALL,
    .check = check_ssh,
};

static int check_ssh_keys(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_strv struct strv keys = {0};
    int cloud;

    if (gfs_glob(&s->fs, "/etc/ssh", "_key", &keys, e) < 0)
        return -1;
    if (keys.n)
        return verdict_met(v, e, "%s", keys.v[0]);
    cloud = gfs_is_dir(&s->fs, "/etc/cloud", e);
    if (cloud < 0)
        return -1;
    if (cloud || !str_eq_null(s->info->family, "debian"))
        return verdict_met(v, e, "none, but the system makes them at boot");
    return verdict_refused(v, e, "no /etc/ssh/ssh_host_*_key");
}

const struct requirement linux_ssh_keys = {
    .id = "linux-ssh-keys",
    .title = "SSH host keys",
    .why = "sshd does not start without them",
    .remedy = "run ssh-keygen -A in the source machine",
    .methods = FOR_ALL,
    .check = check_ssh_keys,
};

static int check_firewall(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_linux_firewall struct linux_firewall f = {0};

    if (linux_firewall(s, &f, e) < 0)
        return -1;
    if (!f.decided)
        return verdict_unknown(v, e, "%s", f.seen);
    if (f.open)
        return verdict_met(v, e, "%s", f.seen);
    if (convert_firewall_can(f.kind))
        return verdict_fixable(v, FINDING_FIX_OPTION, e, "%s", f.seen);
    return verdict_refused(v, e, "%s", f.seen);
}

const struct requirement linux_firewall_open = {
    .id = "linux-firewall",
    .title = "SSH let through the firewall",
    .why = "a packet filter in the guest shuts out who the security group lets in",
    .remedy = "open sshd's port in the guest's firewall for the addresses that will "
              "connect; for ufw, firewalld, SuSEfirewall2 and iptables rules hotadd does "
              "it with --fix",
    .methods = FOR_ALL,
    .check = check_firewall,
};

/* ---- advice ---- */

static const char *const vmware_units[] = {"open-vm-tools.service", "vmtoolsd.service",
                                           "vgauthd.service", "vmware-tools.service",
                                           NULL};
static const char *const vmware_scripts[] = {"open-vm-tools", "vmware-tools",
                                             "vmware-tools-services", NULL};

static int check_vmware(const struct subject *s, struct verdict *v, struct err *e)
{
    int r = linux_service_enabled(s, vmware_units, vmware_scripts, e);

    if (r < 0)
        return -1;
    if (r)
        return verdict_fixable(v, FINDING_FIX_CONVERT, e, "VMware's tools are enabled");
    return verdict_met(v, e, "VMware's tools are not enabled");
}

const struct requirement linux_vmware_tools = {
    .id = "linux-vmware-tools",
    .title = "VMware's tools switched off",
    .why = "off VMware they only fail and log",
    .remedy = "disable the open-vm-tools service; hotadd convert does it",
    .weight = WEIGHT_ADVICE,
    .methods = FOR_ALL,
    .check = check_vmware,
};

static int check_cloud_init(const struct subject *s, struct verdict *v, struct err *e)
{
    static const char *const done[] = {"/etc/cloud/cloud-init.disabled",
                                       LINUX_CLOUD_INIT_FILE};
    int r = gfs_is_file(&s->fs, "/etc/cloud/cloud.cfg", e);

    if (r < 0)
        return -1;
    if (!r)
        return verdict_not_needed(v, e, "cloud-init is not installed");
    for (size_t i = 0; i < sizeof done / sizeof done[0]; i++) {
        r = gfs_is_file(&s->fs, done[i], e);
        if (r != 0)
            return r < 0 ? -1 : verdict_met(v, e, "%s", done[i]);
    }
    return verdict_fixable(v, FINDING_FIX_CONVERT, e,
                           "/etc/cloud/cloud.cfg: cloud-init takes an instance for a new "
                           "machine");
}

const struct requirement linux_cloud_init = {
    .id = "linux-cloud-init",
    .title = "cloud-init leaves the machine as it was",
    .why =
        "on a new instance id it replaces SSH host keys, host name, password rules and "
        "network configuration of the machine that is to be restored",
    .remedy = "hotadd convert writes " LINUX_CLOUD_INIT_FILE,
    .weight = WEIGHT_ADVICE,
    .methods = FOR_OURS,
    .check = check_cloud_init,
};
