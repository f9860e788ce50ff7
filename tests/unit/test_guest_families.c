/* Guests of every family in memory, each with the files that its release keeps: what is
 * found, what a conversion makes of them, that a second one changes nothing, and that a
 * power cut at any write is made good by repeating. */
#include "guest_families.h"

/* ---- what holds for all of them ---- */

static const struct guest {
    const char *name;
    void (*put)(struct kit *f);
    const char *family, *loader, *network;
} guests[] = {
    {"CentOS 6", put_rhel6, "rhel", "grub-legacy", "ifcfg"},
    {"CentOS 7", put_centos7, "rhel", "grub2", "ifcfg"},
    {"Rocky 8", put_rocky8, "rhel", "grub2", "ifcfg"},
    {"AlmaLinux 9, UEFI", put_alma9_uefi, "rhel", "grub2", "networkmanager"},
    {"SLES 12", put_sles12, "suse", "grub2", "wicked"},
    {"SLES 15", put_sles15, "suse", "grub2", "wicked"},
    {"Amazon Linux 2", put_amazon2, "amazon", "grub2", "ifcfg"},
    {"Amazon Linux 2023", put_amazon2023, "amazon", "grub2", "networkd"},
    {"Ubuntu 18.04", put_ubuntu1804, "debian", "grub2", "netplan"},
    {"Rocky 8 on RAID", put_raid, "rhel", "grub2", "ifcfg"},
};
#define EACH_GUEST(g)                                                                    \
    const struct guest *g = guests;                                                      \
    g < guests + sizeof guests / sizeof guests[0];                                       \
    g++

static void set_up(struct kit *f, void (*make)(struct kit *f))
{
    *f = (struct kit){.o.purpose = GUEST_CONVERT};
    make(f);
}

/* An encrypted data disk stays a question for its owner. */
static void check_converted(struct kit *f)
{
    vec_foreach (x, &f->s.info->findings)
        if (x->state != FINDING_MET && x->state != FINDING_NOT_NEEDED &&
            !str_eq(x->id, "linux-encryption"))
            fail_msg("%s is %s: %s", x->id, finding_state_name(x->state), x->seen);
}

static void test_facts_of_each_family(void **state)
{
    for (EACH_GUEST(g)) {
        struct kit f;

        set_up(&f, g->put);
        kit_look(&f);
        print_message("%s\n", g->name);
        assert_string_equal(f.s.info->family, g->family);
        assert_string_equal(f.s.info->boot_loader, g->loader);
        assert_string_equal(f.s.info->network_tool, g->network);
        assert_int_equal(f.s.info->kernels.n, 1);
        assert_true(f.s.info->kernels.v[0].is_default);
        kit_finding(&f, "linux-supported", FINDING_MET, "");
        assert_null(guest_info_blocker(f.s.info, &f.o));
        kit_release(&f);
    }
}

/* Under emulation each question to the appliance takes 10 ms. */
static void test_a_check_asks_few_questions(void **state)
{
    for (EACH_GUEST(g)) {
        struct kit f;

        set_up(&f, g->put);
        kit_look(&f);
        print_message("%s: %zu questions\n", g->name, f.m.reads);
        assert_in_range(f.m.reads, 1, 200);
        kit_release(&f);
    }
}

static void test_each_family_is_converted_once(void **state)
{
    for (EACH_GUEST(g)) {
        auto_free char *once = NULL, *twice = NULL;
        struct kit f;

        set_up(&f, g->put);
        kit_look(&f);
        print_message("%s\n", g->name);
        assert_true(kit_convert(&f) > 0);
        once = memfs_dump(&f.m, NULL);
        kit_look(&f);
        check_converted(&f);
        assert_int_equal(kit_convert(&f), 0);
        twice = memfs_dump(&f.m, NULL);
        assert_string_equal(once, twice);
        kit_release(&f);
    }
}

static void test_each_family_survives_power_cuts(void **state)
{
    for (EACH_GUEST(g)) {
        struct kit f;

        if (g->put == put_ubuntu1804)
            continue; /* its encrypted disk is an open question before and after */
        set_up(&f, g->put);
        print_message("%s\n", g->name);
        kit_power_cuts(&f);
        kit_release(&f);
    }
}

/* ---- contents ---- */

#define NVME_WIDE "nvme_core.io_timeout=4294967295"
#define CONSOLE   "console=tty0 console=ttyS0,115200n8"
#define ETH       "net.ifnames=0 biosdevname=0"

static void converted(struct kit *f, void (*make)(struct kit *f))
{
    set_up(f, make);
    kit_look(f);
    kit_convert(f);
}

static bool in_initramfs(struct kit *f, const char *path, const char *text)
{
    auto_buf struct buf b = BUF_INIT;

    kit_look(f);
    assert_ok(initrd_read(f->s.images.v[0].initrd, path, 65536, &b, e));
    return strstr(buf_str(&b), text) != NULL;
}

static void test_red_hat_6(void **state)
{
    struct kit f;

    converted(&f, put_rhel6);
    assert_string_equal(f.s.info->hostname, "six.example");
    assert_true(kit_has(&f, "/boot/grub/grub.conf",
                        "\tkernel /vmlinuz-" K6 " ro root=/dev/mapper/vg-root "
                        "rd_LVM_LV=vg/root rhgb quiet " CONSOLE
                        " xen_blkfront.sda_is_xvda=1\n"));
    assert_true(kit_has(&f, "/etc/sysconfig/network-scripts/ifcfg-eth0",
                        "DEVICE=eth0\nTYPE=Ethernet\nBOOTPROTO=dhcp\nONBOOT=yes\n"));
    assert_false(kit_has(&f, "/etc/sysconfig/network-scripts/ifcfg-eth0", "HWADDR"));
    assert_true(kit_has(&f, "/etc/sysconfig/network", "\n#hotadd# GATEWAY=10.0.0.1\n"));
    assert_null(memfs_find(&f.m, "/etc/sysconfig/network-scripts/route-eth0"));
    assert_null(memfs_find(&f.m, "/etc/udev/rules.d/70-persistent-net.rules"));
    assert_null(memfs_find(&f.m, "/etc/rc.d/rc3.d/S03vmware-tools"));
    assert_null(memfs_find(&f.m, "/etc/yum.repos.d/vmware-osps.repo"));
    assert_true(kit_has(&f, "/etc/dracut.conf.d/hotadd.conf",
                        "add_drivers+=\" nvme xen-blkfront xen-netfront \"\n"));
    assert_false(kit_has(&f, "/etc/inittab", "ttyS0"));
    assert_true(in_initramfs(&f, "pre-udev/05-hotadd.sh", "xen_blkfront"));
    kit_release(&f);
}

static void test_red_hat_6_does_not_run_on_nitro(void **state)
{
    struct kit f;

    set_up(&f, put_rhel6);
    f.o.profile = GUEST_NITRO;
    kit_refused(&f, "linux-ena", "/lib/modules/" K6 " has no ena");
    assert_non_null(
        strstr(guest_info_finding(f.s.info, "linux-ena")->remedy, "--profile xen"));
    f.o.profile = GUEST_BOTH;
    kit_refused(&f, "linux-ena", "has no ena");
    /* With both drivers it would. */
    put_modules(&f.m, K6, NVME | ENA | XEN, "byte");
    f.o.profile = GUEST_NITRO;
    kit_look(&f);
    assert_null(guest_info_blocker(f.s.info, &f.o));
    kit_release(&f);
}

static void test_xen_instances_have_no_uefi(void **state)
{
    struct kit f;

    set_up(&f, put_alma9_uefi);
    f.o.profile = GUEST_XEN;
    kit_refused(&f, "linux-boot-mode", "boots by UEFI, which Xen instances do not have");
    kit_release(&f);
}

static void test_red_hat_7(void **state)
{
    struct kit f;

    converted(&f, put_centos7);
    assert_true(kit_has(&f, "/boot/grub2/grub.cfg",
                        "rd.lvm.lv=vg/root quiet " CONSOLE " " ETH " " NVME_WIDE "\n"));
    assert_true(kit_has(&f, "/etc/default/grub",
                        "rhgb quiet " CONSOLE " " ETH " " NVME_WIDE "\""));
    assert_null(memfs_find(&f.m, "/etc/sysconfig/network-scripts/ifcfg-ens192"));
    assert_true(
        kit_has(&f, "/etc/sysconfig/network-scripts/ifcfg-eth0", "BOOTPROTO=dhcp"));
    assert_string_equal(memfs_text(&f.m, "/etc/lvm/lvm.conf"),
                        "devices {\n#hotadd# \tfilter = [ \"a|^/dev/sd|\",\n"
                        "#hotadd# \t\t\"r|.*|\" ]\n}\n");
    assert_true(in_initramfs(&f, "etc/lvm/lvm.conf", "#hotadd# \tglobal_filter"));
    assert_true(in_initramfs(&f, "etc/modules-load.d/hotadd.conf", "nvme"));
    assert_null(memfs_find(&f.m, "/etc/systemd/system/multi-user.target.wants/"
                                 "vmtoolsd.service"));
    kit_release(&f);
}

/* Where grub.cfg in the EFI system partition is the menu itself. */
static void test_red_hat_7_with_uefi(void **state)
{
    static const char cfg[] = "/boot/efi/EFI/centos/grub.cfg";
    struct kit f;

    set_up(&f, put_centos7);
    f.esp = "/boot/efi";
    f.table = "gpt";
    f.o.firmware = FIRMWARE_UEFI;
    memfs_file(
        &f.m, cfg,
        "set default=\"${saved_entry}\"\nmenuentry 'CentOS' {\n\tlinuxefi /vmlinuz-" K7
        " root=/dev/mapper/vg-root ro\n\tinitrdefi /initramfs-" K7 ".img\n}\n");
    memfs_remove(&f.m, "/boot/grub2/grub.cfg");
    memfs_remove(&f.m, "/boot/grub2/grubenv");
    put_grubenv(&f.m, "/boot/efi/EFI/centos/grubenv", "saved_entry=CentOS\n");
    memfs_link(&f.m, "/boot/grub2/grubenv", "/boot/efi/EFI/centos/grubenv");
    memfs_file(&f.m, "/boot/efi/EFI/BOOT/BOOTX64.EFI", "shim");
    kit_look(&f);
    assert_string_equal(f.s.grub_cfg, cfg);
    kit_convert(&f);
    assert_true(kit_has(
        &f, cfg, "\tlinuxefi /vmlinuz-" K7 " root=/dev/mapper/vg-root ro " CONSOLE));
    kit_look(&f);
    kit_nothing_open(&f);
    kit_release(&f);
}

static void test_red_hat_8(void **state)
{
    static const char opts[] =
        "root=UUID=" UUID_ROOT " ro rhgb quiet " CONSOLE " " NVME_WIDE "\n";
    struct memfs_node *env;
    struct kit f;

    converted(&f, put_rocky8);
    env = memfs_find(&f.m, "/boot/grub2/grubenv");
    assert_int_equal(env->data.len, 1024);
    assert_non_null(strstr(buf_str(&env->data), opts));
    assert_non_null(strstr(buf_str(&env->data), "\nboot_success=1\n"));
    assert_true(kit_has(&f, "/boot/loader/entries/abc-" K8 ".conf",
                        "options $kernelopts $tuned_params\n"));
    assert_true(kit_has(&f, "/boot/grub2/grub.cfg",
                        "  set kernelopts=\"root=UUID=" UUID_ROOT " ro " CONSOLE));
    assert_null(memfs_find(&f.m, "/etc/sysconfig/network-scripts/ifcfg-ens192"));
    assert_true(kit_has(&f, "/etc/NetworkManager/system-connections/hotadd.nmconnection",
                        "type=ethernet"));
    assert_int_equal(
        memfs_find(&f.m, "/etc/NetworkManager/system-connections/hotadd.nmconnection")
            ->mode,
        0600);
    assert_string_equal(memfs_text(&f.m, "/etc/fstab"),
                        "UUID=" UUID_ROOT " / xfs defaults 0 0\n"
                        "UUID=" UUID_BOOT " /boot xfs defaults 0 0\n");
    kit_release(&f);
}

static void test_a_full_grubenv_is_an_error_not_a_cut(void **state)
{
    auto_conversion struct conversion c = {0};
    char lines[1025];
    struct kit f;

    set_up(&f, put_rocky8);
    snprintf(lines, sizeof lines, "kernelopts=root=UUID=x ro %0960d\n", 0);
    put_grubenv(&f.m, "/boot/grub2/grubenv", lines);
    kit_look(&f);
    c.s = &f.s;
    assert_fails(conversion_plan(&c, e), ERR_NOSPACE, "does not fit");
    kit_release(&f);
}

static void test_red_hat_9_with_uefi(void **state)
{
    static const char wrapper[] = "/boot/efi/EFI/almalinux/grub.cfg";
    auto_free char *before = NULL;
    struct kit f;

    set_up(&f, put_alma9_uefi);
    before = strdup(memfs_text(&f.m, wrapper));
    kit_look(&f);
    kit_finding(&f, "linux-lvm-filter", FINDING_FIXABLE, "inside it hides NVMe disks");
    kit_convert(&f);
    assert_string_equal(memfs_text(&f.m, wrapper), before);
    assert_true(kit_has(&f, "/boot/loader/entries/abc-" K9 ".conf",
                        "options root=/dev/mapper/vg-root ro rd.lvm.lv=vg/root "
                        "$tuned_params " CONSOLE " " NVME_WIDE "\n"));
    assert_string_equal(memfs_text(&f.m, "/etc/kernel/cmdline"),
                        "root=/dev/mapper/vg-root ro rd.lvm.lv=vg/root " CONSOLE
                        " " NVME_WIDE "\n");
    assert_null(memfs_find(&f.m, "/etc/lvm/devices/system.devices"));
    assert_null(
        memfs_find(&f.m, "/etc/NetworkManager/system-connections/ens192.nmconnection"));
    assert_string_equal(memfs_text(&f.m, "/boot/efi/EFI/BOOT/BOOTX64.EFI"), "shim");
    assert_true(in_initramfs(&f, "etc/lvm/lvm.conf",
                             "devices {\n\tuse_devicesfile = 0 # by hotadd\n}\n"));
    kit_release(&f);
}

static void test_sles_12(void **state)
{
    struct kit f;

    converted(&f, put_sles12);
    assert_true(kit_has(&f, "/boot/grub2/grub.cfg",
                        "root=UUID=" UUID_ROOT " ${extra_cmdline} resume=UUID=" UUID_SWAP
                        " splash=silent quiet " CONSOLE " " ETH
                        " nvme_core.io_timeout=255\n"));
    assert_true(kit_has(&f, "/etc/default/grub", "resume=UUID=" UUID_SWAP));
    assert_string_equal(memfs_text(&f.m, "/etc/fstab"),
                        "UUID=" UUID_ROOT " / btrfs defaults 0 0\n"
                        "UUID=" UUID_ROOT " /var btrfs subvol=@/var 0 0\n"
                        "UUID=" UUID_SWAP " swap swap defaults 0 0\n");
    assert_true(kit_has(&f, "/etc/sysconfig/network/ifcfg-eth0",
                        "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n"));
    assert_true(kit_has(&f, "/etc/sysconfig/network/routes", "#hotadd# default"));
    assert_null(memfs_find(&f.m, "/etc/zypp/repos.d/vmware-tools.repo"));
    kit_release(&f);
}

static void test_suse_firewall_is_read_and_opened(void **state)
{
    struct kit f;

    set_up(&f, put_sles12);
    kit_look(&f);
    kit_finding(&f, "linux-firewall", FINDING_MET, "FW_CONFIGURATIONS_EXT has sshd");
    memfs_file(&f.m, "/etc/sysconfig/SuSEfirewall2", "FW_SERVICES_EXT_TCP=\"80\"\n");
    kit_look(&f);
    kit_finding(&f, "linux-firewall", FINDING_FIXABLE, "lets sshd in");
    kit_convert(&f);
    assert_string_equal(memfs_text(&f.m, "/etc/sysconfig/SuSEfirewall2"),
                        "FW_SERVICES_EXT_TCP=\"80 22\"\n");
    kit_release(&f);
}

static void test_sles_15_firewalld_is_opened_in_etc(void **state)
{
    struct kit f;

    set_up(&f, put_sles15);
    kit_look(&f);
    kit_finding(&f, "linux-firewall", FINDING_FIXABLE,
                "neither service ssh nor the port");
    kit_convert(&f);
    assert_true(kit_has(&f, "/etc/firewalld/zones/public.xml",
                        "  <port port=\"22\" protocol=\"tcp\"/>\n</zone>\n"));
    assert_false(kit_has(&f, "/usr/lib/firewalld/zones/public.xml", "22"));
    kit_release(&f);
}

static void test_amazon_linux_needs_little(void **state)
{
    struct kit f;

    converted(&f, put_amazon2);
    kit_finding(&f, "linux-interface", FINDING_MET, "DHCP on eth0");
    kit_finding(&f, "linux-nvme-timeout", FINDING_MET, "");
    assert_true(kit_has(&f, LINUX_CLOUD_INIT_FILE, "ssh_deletekeys: false"));
    kit_release(&f);
    converted(&f, put_amazon2023);
    kit_finding(&f, "linux-interface", FINDING_MET, "80-ec2.network: DHCP on any card");
    assert_null(memfs_find(&f.m, "/etc/systemd/network/10-hotadd.network"));
    kit_release(&f);
}

static void test_ubuntu_1804(void **state)
{
    struct kit f;

    set_up(&f, put_ubuntu1804);
    kit_look(&f);
    kit_finding(&f, "linux-encryption", FINDING_UNKNOWN, "/dev/sdb1 is encrypted");
    kit_finding(&f, "linux-crypttab", FINDING_FIXABLE, "/etc/crypttab");
    kit_convert(&f);
    assert_string_equal(memfs_text(&f.m, "/etc/crypttab"),
                        "# encrypted\nsecret UUID=" UUID_BOOT " /etc/key luks\n"
                        "scratch PARTUUID=aaaaaaaa-02 /dev/urandom swap\n"
                        "lost /dev/sdz1 none luks,discard,nofail\n");
    assert_string_equal(memfs_text(&f.m, "/etc/initramfs-tools/conf.d/resume"),
                        "RESUME=UUID=" UUID_SWAP "\n");
    assert_true(in_initramfs(&f, "conf/conf.d/resume", "RESUME=UUID=" UUID_SWAP));
    assert_int_equal(linux_driver(&f.s.info->kernels.v[0], "xen-blkfront")->place,
                     DRIVER_BUILTIN);
    kit_release(&f);
}

static void test_raid_is_looked_for_on_any_disk(void **state)
{
    struct kit f;

    set_up(&f, put_raid);
    kit_look(&f);
    kit_finding(&f, "linux-raid", FINDING_FIXABLE, "etc/mdadm.conf inside it");
    kit_convert(&f);
    assert_string_equal(memfs_text(&f.m, "/etc/mdadm.conf"),
                        "#hotadd# DEVICE /dev/sd[ab]*\nMAILADDR root\n"
                        "ARRAY /dev/md/root UUID=1:2:3:4\n");
    assert_true(
        in_initramfs(&f, "etc/mdadm.conf", "#hotadd# DEV /dev/sda1\n#hotadd#   "));
    kit_release(&f);
}

static void test_hosts_deny_is_a_question(void **state)
{
    struct kit f;

    set_up(&f, put_centos7);
    memfs_file(&f.m, "/etc/hosts.deny", "# all\nALL: ALL\n");
    kit_look(&f);
    kit_finding(&f, "linux-firewall", FINDING_UNKNOWN, "/etc/hosts.deny");
    memfs_file(&f.m, "/etc/hosts.allow", "sshd : ALL\n");
    kit_look(&f);
    kit_finding(&f, "linux-firewall", FINDING_MET, "");
    kit_release(&f);
}

static void test_a_sysv_sshd_is_enabled(void **state)
{
    struct kit f;

    set_up(&f, put_rhel6);
    f.o.fix = true;
    memfs_remove(&f.m, "/etc/rc.d/rc3.d/S55sshd");
    kit_look(&f);
    kit_finding(&f, "linux-ssh", FINDING_FIXABLE, "not enabled");
    kit_convert(&f);
    assert_non_null(memfs_find(&f.m, "/etc/rc.d/rc3.d/S55sshd"));
    kit_look(&f);
    kit_nothing_open(&f);
    kit_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts_of_each_family),
        cmocka_unit_test(test_a_check_asks_few_questions),
        cmocka_unit_test(test_each_family_is_converted_once),
        cmocka_unit_test(test_each_family_survives_power_cuts),
        cmocka_unit_test(test_red_hat_6),
        cmocka_unit_test(test_red_hat_6_does_not_run_on_nitro),
        cmocka_unit_test(test_xen_instances_have_no_uefi),
        cmocka_unit_test(test_red_hat_7),
        cmocka_unit_test(test_red_hat_7_with_uefi),
        cmocka_unit_test(test_red_hat_8),
        cmocka_unit_test(test_a_full_grubenv_is_an_error_not_a_cut),
        cmocka_unit_test(test_red_hat_9_with_uefi),
        cmocka_unit_test(test_sles_12),
        cmocka_unit_test(test_suse_firewall_is_read_and_opened),
        cmocka_unit_test(test_sles_15_firewalld_is_opened_in_etc),
        cmocka_unit_test(test_amazon_linux_needs_little),
        cmocka_unit_test(test_ubuntu_1804),
        cmocka_unit_test(test_raid_is_looked_for_on_any_disk),
        cmocka_unit_test(test_hosts_deny_is_a_question),
        cmocka_unit_test(test_a_sysv_sshd_is_enabled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
