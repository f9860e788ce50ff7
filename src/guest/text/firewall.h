/* Would the guest's packet filter let a new SSH connection in? Rules are walked as the
 * filter would for a TCP packet from any outside address to a port on the first network
 * interface. A rule whose match we cannot decide makes the answer unknown, unless it
 * cannot change it. Pure. */
#ifndef HOTADD_GUEST_TEXT_FIREWALL_H
#define HOTADD_GUEST_TEXT_FIREWALL_H

#include "base/buf.h"
#include "base/strv.h"

#include <stdint.h>

enum firewall_verdict { FIREWALL_OPEN, FIREWALL_CLOSED, FIREWALL_UNDECIDED };

struct firewall_answer {
    enum firewall_verdict verdict;
    char *because; /* owned: the rule or policy that decided */
};
void firewall_answer_release(struct firewall_answer *a);
#define auto_firewall auto_call(firewall_answer_release)

/* iptables-save(8) text, filter table. */
int firewall_iptables(const char *text, uint16_t port, struct firewall_answer *ret,
                      struct err *e) err_warn_unused;

/* The text with "-A INPUT -p tcp --dport PORT -j ACCEPT" before INPUT's first rule.
 * ERR_UNSUPPORTED when there is no filter table. */
int firewall_iptables_open(const char *text, uint16_t port, struct buf *out,
                           struct err *e) err_warn_unused;

/* ufw's user.rules by their "### tuple ###" comments; input_policy is
 * DEFAULT_INPUT_POLICY of /etc/default/ufw ("DROP", "ACCEPT", "REJECT"). */
int firewall_ufw(const char *text, const char *input_policy, uint16_t port,
                 struct firewall_answer *ret, struct err *e) err_warn_unused;
/* user.rules with an allow rule for the port before the others. */
int firewall_ufw_open(const char *text, uint16_t port, struct buf *out,
                      struct err *e) err_warn_unused;

/* nft(8) script: decided only where it never filters input, or never drops. */
int firewall_nft(const char *text, uint16_t port, struct firewall_answer *ret,
                 struct err *e) err_warn_unused;

/* firewalld.zone(5) XML. `ssh_ports` are the ports that the service "ssh" stands for. */
int firewall_zone(const char *xml, size_t len, uint16_t port, uint16_t ssh_port,
                  struct firewall_answer *ret, struct err *e) err_warn_unused;

/* The zone with the port opened, before its end. ERR_INPUT when there is no end. */
int firewall_zone_open(const char *xml, uint16_t port, struct buf *out,
                       struct err *e) err_warn_unused;

/* /etc/sysconfig/SuSEfirewall2: what its external zone, where an unknown card belongs,
 * lets in. */
int firewall_suse(const char *text, uint16_t port, struct firewall_answer *ret,
                  struct err *e) err_warn_unused;
int firewall_suse_open(const char *text, uint16_t port, struct buf *out,
                       struct err *e) err_warn_unused;

/* hosts.deny(5) shuts sshd out, and hosts.allow does not let everybody in? Only said of
 * lines that name every client. */
bool hosts_deny_ssh(const char *deny, const char *allow);

/* Ports of sshd_config(5) texts, 22 when none is named. Only global lines count (a Match
 * block cannot set Port). Returns their number, at most max. */
int sshd_ports(const char *text, uint16_t *ret, size_t max, struct err *e);

#endif
