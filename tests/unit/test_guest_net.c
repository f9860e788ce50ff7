/* Network configuration of each tool. */
#include "test.h"

#include "base/str.h"
#include "guest/text/net.h"

static void test_ifupdown_interfaces(void **state)
{
    auto_net_profiles struct net_profiles p = {0};
    auto_strv struct strv sources = {0};

    assert_ok(net_ifupdown("source /etc/network/interfaces.d/*\n"
                           "source-directory /etc/more\n"
                           "auto lo\niface lo inet loopback\n"
                           "allow-hotplug ens192\niface ens192 inet dhcp\n"
                           "iface eth1 inet static\n\taddress 10.0.0.2/24\n"
                           "auto bond0\niface bond0 inet static\n  address 10.1.1.1\n"
                           "  bond-slaves eth2 eth3\n",
                           "/f", &p, &sources, e));
    assert_int_equal(p.n, 4);
    assert_int_equal(p.v[0].kind, NET_LOOPBACK);
    assert_string_equal(p.v[1].name, "ens192");
    assert_true(p.v[1].dhcp4 && p.v[1].automatic);
    assert_false(p.v[2].automatic);
    assert_string_equal(p.v[2].address, "10.0.0.2/24");
    assert_int_equal(p.v[3].kind, NET_STACKED);
    assert_int_equal(sources.n, 2);
    assert_string_equal(sources.v[1], "/etc/more/");
}

static void test_ifupdown_rewrite_keeps_loopback(void **state)
{
    auto_buf struct buf b = BUF_INIT;

    assert_ok(net_ifupdown_rewrite("# top\nauto lo ens192\niface lo inet loopback\n"
                                   "iface ens192 inet static\n\taddress 10.0.0.2\n"
                                   "# note\n\tgateway 10.0.0.1\nsource x\n",
                                   "eth0", &b, e));
    assert_string_equal(buf_str(&b), "# top\n#hotadd# auto lo ens192\nauto lo\n"
                                     "iface lo inet loopback\n"
                                     "#hotadd# iface ens192 inet static\n"
                                     "#hotadd# \taddress 10.0.0.2\n"
                                     "# note\n#hotadd# \tgateway 10.0.0.1\nsource x\n"
                                     "\n# By hotadd: EC2 assigns the address by DHCP.\n"
                                     "auto eth0\niface eth0 inet dhcp\n");
}

static void test_netplan_files_merge(void **state)
{
    static const char one[] = "network:\n  version: 2\n  ethernets:\n"
                              "    ens160: {dhcp4: false, addresses: [10.0.0.2/24]}\n"
                              "    any:\n      match: {name: \"en*\", macaddress: aa}\n"
                              "      dhcp4: yes\n  bonds:\n    b0: {interfaces: [x]}\n",
                      two[] = "network:\n  ethernets:\n    ens160:\n      dhcp4: true\n";
    auto_net_profiles struct net_profiles p = {0};

    assert_ok(net_netplan(one, sizeof one - 1, "/1", &p, e));
    assert_ok(net_netplan(two, sizeof two - 1, "/2", &p, e));
    assert_int_equal(p.n, 3);
    assert_string_equal(p.v[0].name, "ens160");
    assert_true(p.v[0].dhcp4);
    assert_string_equal(p.v[0].address, "10.0.0.2/24");
    assert_string_equal(p.v[1].name, "en*");
    assert_string_equal(p.v[1].mac, "aa");
    assert_int_equal(p.v[2].kind, NET_STACKED);
}

static void test_netplan_that_is_not_yaml_is_named(void **state)
{
    auto_net_profiles struct net_profiles p = {0};

    assert_fails(net_netplan("a: [\nb", 6, "/etc/netplan/x.yaml", &p, e), ERR_INPUT,
                 "/etc/netplan/x.yaml: line");
}

static void test_keyfile(void **state)
{
    auto_net_profiles struct net_profiles p = {0};

    assert_ok(net_keyfile("[connection]\nid=x\ntype=ethernet\ninterface-name=ens192\n"
                          "[ethernet]\nmac-address=00:50:56:00:00:01\n"
                          "[ipv4]\nmethod=manual\naddress1=10.0.0.2/24,10.0.0.1\n",
                          "/k", &p, e));
    assert_int_equal(p.v[0].kind, NET_ETHERNET);
    assert_string_equal(p.v[0].name, "ens192");
    assert_string_equal(p.v[0].mac, "00:50:56:00:00:01");
    assert_false(p.v[0].dhcp4);
    assert_string_equal(p.v[0].address, "10.0.0.2/24,10.0.0.1");
}

static void test_networkd(void **state)
{
    auto_net_profiles struct net_profiles p = {0};

    assert_ok(
        net_networkd("[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\n", "/n", &p, e));
    assert_ok(net_networkd("[Match]\nName=ens1\n[Address]\nAddress=10.0.0.2/24\n", "/m",
                           &p, e));
    assert_true(p.v[0].dhcp4);
    assert_false(p.v[1].dhcp4);
    assert_string_equal(p.v[1].address, "10.0.0.2/24");
}

static void test_ifcfg(void **state)
{
    auto_net_profiles struct net_profiles p = {0};

    assert_ok(net_ifcfg("BOOTPROTO=\"dhcp\"\nONBOOT=yes\nHWADDR=00:50:56:00:00:01\n",
                        "/etc/sysconfig/network-scripts/ifcfg-ens192", &p, e));
    assert_string_equal(p.v[0].name, "ens192");
    assert_true(p.v[0].dhcp4 && p.v[0].automatic);
    assert_non_null(p.v[0].mac);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ifupdown_interfaces),
        cmocka_unit_test(test_ifupdown_rewrite_keeps_loopback),
        cmocka_unit_test(test_netplan_files_merge),
        cmocka_unit_test(test_netplan_that_is_not_yaml_is_named),
        cmocka_unit_test(test_keyfile),
        cmocka_unit_test(test_networkd),
        cmocka_unit_test(test_ifcfg),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
