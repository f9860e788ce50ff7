/* Packet filters: would SSH be let in? */
#include "test.h"

#include "base/str.h"
#include "guest/text/firewall.h"

#define RULES(policy, rules)                                                             \
    "*nat\n:INPUT DROP [0:0]\n-A INPUT -j DROP\nCOMMIT\n"                                \
    "*filter\n:INPUT " policy " [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"      \
    ":mine - [0:0]\n" rules "COMMIT\n"

static void check_iptables(const char *text, enum firewall_verdict want,
                           const char *because)
{
    auto_firewall struct firewall_answer a = {0};

    assert_ok(firewall_iptables(text, 22, &a, e));
    if (a.verdict != want || !strstr(a.because, because))
        fail_msg("verdict %d: %s\n%s", a.verdict, a.because, text);
}

static void test_policy_decides_without_rules(void **state)
{
    check_iptables(RULES("ACCEPT", ""), FIREWALL_OPEN, "policy ACCEPT");
    check_iptables(RULES("DROP", ""), FIREWALL_CLOSED, "policy DROP");
    check_iptables("", FIREWALL_OPEN, "ACCEPT");
}

static void test_first_match_decides(void **state)
{
    check_iptables(RULES("DROP", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"),
                   FIREWALL_OPEN, "--dport 22");
    check_iptables(RULES("ACCEPT",
                         "-A INPUT -p udp --dport 22 -j DROP\n"
                         "-A INPUT -p tcp --dport 80 -j DROP\n"
                         "-A INPUT -i lo -j DROP\n"
                         "-A INPUT -p tcp -m multiport --dports 21:23,80 -j REJECT\n"),
                   FIREWALL_CLOSED, "21:23");
    check_iptables(RULES("ACCEPT", "-A INPUT -j DROP\n"
                                   "-A INPUT -p tcp --dport 22 -j ACCEPT\n"),
                   FIREWALL_CLOSED, "-j DROP");
}

static void test_states_of_new_connections(void **state)
{
    check_iptables(
        RULES("DROP", "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n"),
        FIREWALL_CLOSED, "policy");
    check_iptables(RULES("DROP", "-A INPUT -p tcp -m state --state NEW -m tcp --dport 22 "
                                 "-j ACCEPT\n-A INPUT -j REJECT\n"),
                   FIREWALL_OPEN, "NEW");
}

static void test_jumps_are_followed(void **state)
{
    check_iptables(RULES("DROP", "-A INPUT -j mine\n-A mine -p udp -j DROP\n"
                                 "-A mine -p tcp --dport 22 -j ACCEPT\n"),
                   FIREWALL_OPEN, "mine");
    check_iptables(RULES("ACCEPT", "-A INPUT -j mine\n-A mine -j RETURN\n"
                                   "-A mine -j DROP\n"),
                   FIREWALL_OPEN, "policy ACCEPT");
}

static void test_some_peers_only_is_undecided(void **state)
{
    check_iptables(RULES("DROP", "-A INPUT -s 10.0.0.0/8 -p tcp --dport 22 -j ACCEPT\n"),
                   FIREWALL_UNDECIDED, "10.0.0.0/8");
    check_iptables(RULES("ACCEPT", "-A INPUT -i ens192 -p tcp --dport 22 -j DROP\n"),
                   FIREWALL_UNDECIDED, "ens192");
}

static void test_undecidable_rules_of_the_same_effect_do_not_matter(void **state)
{
    check_iptables(RULES("ACCEPT", "-A INPUT -s 10.0.0.0/8 -j ACCEPT\n"), FIREWALL_OPEN,
                   "policy ACCEPT");
    check_iptables(RULES("DROP", "-A INPUT -m recent --set -j DROP\n"), FIREWALL_CLOSED,
                   "policy DROP");
}

static void test_unknown_matches_never_make_it_open(void **state)
{
    check_iptables(RULES("ACCEPT", "-A INPUT -m recent --set -j DROP\n"),
                   FIREWALL_UNDECIDED, "recent");
    check_iptables(RULES("ACCEPT", "-A INPUT -j NFQUEUE --queue-num 1\n"),
                   FIREWALL_UNDECIDED, "NFQUEUE");
}

static void test_negation(void **state)
{
    check_iptables(RULES("DROP", "-A INPUT ! -i lo -p tcp --dport 22 -j ACCEPT\n"),
                   FIREWALL_OPEN, "! -i lo");
    check_iptables(RULES("ACCEPT", "-A INPUT -p tcp ! --dport 80 -j DROP\n"),
                   FIREWALL_CLOSED, "! --dport 80");
}

static void test_loops_of_chains_are_undecided(void **state)
{
    check_iptables(RULES("DROP", "-A INPUT -j mine\n-A mine -j mine\n-A mine -j mine\n"),
                   FIREWALL_UNDECIDED, "");
}

static void test_opening_puts_a_rule_first(void **state)
{
    static const char text[] = RULES("DROP", "-A INPUT -j DROP\n");
    auto_buf struct buf b = BUF_INIT;

    check_iptables(text, FIREWALL_CLOSED, "DROP");
    assert_ok(firewall_iptables_open(text, 22, &b, e));
    check_iptables(buf_str(&b), FIREWALL_OPEN, "--dport 22");
}

static void test_opening_needs_a_filter_table(void **state)
{
    auto_buf struct buf b = BUF_INIT;

    assert_fails(firewall_iptables_open("*nat\nCOMMIT\n", 22, &b, e), ERR_UNSUPPORTED,
                 "no filter table");
}

/* ---- ufw ---- */

static void check_ufw(const char *text, const char *policy, enum firewall_verdict want)
{
    auto_firewall struct firewall_answer a = {0};

    assert_ok(firewall_ufw(text, policy, 22, &a, e));
    if (a.verdict != want)
        fail_msg("verdict %d: %s\n%s", a.verdict, a.because, text);
}

static void test_ufw_rules(void **state)
{
    check_ufw("", "DROP", FIREWALL_CLOSED);
    check_ufw("", "ACCEPT", FIREWALL_OPEN);
    check_ufw("### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n", "DROP",
              FIREWALL_OPEN);
    check_ufw("### tuple ### limit any 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - in\n", "DROP",
              FIREWALL_OPEN);
    check_ufw("### tuple ### allow udp 22 0.0.0.0/0 any 0.0.0.0/0 in\n", "DROP",
              FIREWALL_CLOSED);
    check_ufw("### tuple ### deny tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n", "ACCEPT",
              FIREWALL_CLOSED);
    check_ufw("### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 out\n", "DROP",
              FIREWALL_CLOSED);
    check_ufw("### tuple ### allow tcp 22 0.0.0.0/0 any 10.0.0.0/8 in\n", "DROP",
              FIREWALL_UNDECIDED);
}

static void test_ufw_is_opened(void **state)
{
    static const char text[] = "*filter\n### RULES ###\n\n"
                               "### tuple ### deny tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n"
                               "-A ufw-user-input -p tcp --dport 22 -j DROP\n";
    auto_buf struct buf b = BUF_INIT;

    assert_ok(firewall_ufw_open(text, 22, &b, e));
    check_ufw(buf_str(&b), "DROP", FIREWALL_OPEN);
}

/* ---- nftables, firewalld, sshd ---- */

static void check_nft(const char *text, enum firewall_verdict want)
{
    auto_firewall struct firewall_answer a = {0};

    assert_ok(firewall_nft(text, 22, &a, e));
    if (a.verdict != want)
        fail_msg("verdict %d: %s\n%s", a.verdict, a.because, text);
}

static void test_nft_is_decided_only_where_it_is_plain(void **state)
{
    check_nft(
        "table inet filter {\n chain input {\n  type filter hook input priority 0;\n"
        " }\n}\n# drop\n",
        FIREWALL_OPEN);
    check_nft(
        "table ip x { chain f { type filter hook forward priority 0; policy drop; } }",
        FIREWALL_OPEN);
    check_nft(
        "table ip x { chain i { type filter hook input priority 0; policy drop; } }",
        FIREWALL_CLOSED);
    check_nft("table ip x { chain i { type filter hook input priority 0; policy drop;\n"
              "tcp dport 22 accept } }",
              FIREWALL_UNDECIDED);
    check_nft("include \"/etc/nftables.d/*.nft\"\n", FIREWALL_UNDECIDED);
}

static void check_zone(const char *xml, uint16_t port, enum firewall_verdict want)
{
    auto_firewall struct firewall_answer a = {0};

    assert_ok(firewall_zone(xml, strlen(xml), port, 22, &a, e));
    if (a.verdict != want)
        fail_msg("verdict %d: %s\n%s", a.verdict, a.because, xml);
}

static void test_firewalld_zones(void **state)
{
    check_zone("<zone><service name=\"ssh\"/></zone>", 22, FIREWALL_OPEN);
    check_zone("<zone><service name=\"ssh\"/></zone>", 2222, FIREWALL_CLOSED);
    check_zone("<zone><port port=\"2000-3000\" protocol=\"tcp\"/></zone>", 2222,
               FIREWALL_OPEN);
    check_zone("<zone><port port=\"2222\" protocol=\"udp\"/></zone>", 2222,
               FIREWALL_CLOSED);
    check_zone("<zone target=\"ACCEPT\"/>", 22, FIREWALL_OPEN);
    check_zone("<zone><rule><drop/></rule></zone>", 22, FIREWALL_UNDECIDED);
}

static void check_port(const char *text, int n, uint16_t first)
{
    uint16_t ports[4];
    struct err e = ERR_INIT;

    assert_int_equal(sshd_ports(text, ports, 4, &e), n);
    assert_int_equal(ports[0], first);
}

static void test_sshd_ports(void **state)
{
    check_port("#Port 23\n", 1, 22);
    check_port("Port 2222\nport 22\n", 2, 2222);
    check_port("ListenAddress 10.0.0.1:2022\n", 1, 2022);
    check_port("ListenAddress [::1]:2023\n", 1, 2023);
    check_port("ListenAddress ::1\n", 1, 22);
    check_port("Port 99999\n", 1, 22);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy_decides_without_rules),
        cmocka_unit_test(test_first_match_decides),
        cmocka_unit_test(test_states_of_new_connections),
        cmocka_unit_test(test_jumps_are_followed),
        cmocka_unit_test(test_some_peers_only_is_undecided),
        cmocka_unit_test(test_undecidable_rules_of_the_same_effect_do_not_matter),
        cmocka_unit_test(test_unknown_matches_never_make_it_open),
        cmocka_unit_test(test_negation),
        cmocka_unit_test(test_loops_of_chains_are_undecided),
        cmocka_unit_test(test_opening_puts_a_rule_first),
        cmocka_unit_test(test_opening_needs_a_filter_table),
        cmocka_unit_test(test_ufw_rules),
        cmocka_unit_test(test_ufw_is_opened),
        cmocka_unit_test(test_nft_is_decided_only_where_it_is_plain),
        cmocka_unit_test(test_firewalld_zones),
        cmocka_unit_test(test_sshd_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
