/* Debian guests in memory: what is found, what is planned, and that a converted guest
 * needs nothing more. */
#include "guest_kit.h"

#include "guest/text/disks.h"

#define K       "6.1.0-28-amd64"
#define MODULES "/lib/modules/" K "/"
#define ELF     KIT_ELF
#define ROOT    "11111111-1111-1111-1111-111111111111"
#define DATA    "22222222-2222-2222-2222-222222222222"

static const struct kit_volume volumes[] = {
    {"/dev/sda1", 0, 1, "ext4", ROOT, NULL},
    {"/dev/sdb1", 1, 1, "ext4", DATA, NULL},
};

static void put_kernel(struct memfs *m)
{
    auto_buf struct buf b = BUF_INIT;

    put_dirs(&b, "conf");
    put_file(&b, "conf/initramfs.conf", "MODULES=list\n");
    put_file(&b, "conf/modules", "");
    put_file(&b, "init", "#!/bin/sh\n");
    put_dirs(&b, "scripts/local-top");
    put_dirs(&b, "usr/lib/modules/" K "/kernel");
    put_link(&b, "lib", "usr/lib");
    put_trailer(&b);
    memfs_bytes(m, "/boot/initrd.img-" K, b.data, b.len);
    memfs_file(m, "/boot/vmlinuz-" K, "kernel");
    memfs_file(
        m, MODULES "modules.dep",
        "kernel/nvme.ko: kernel/nvme-core.ko\nkernel/nvme-core.ko:\nkernel/ena.ko:\n"
        "kernel/xen-blkfront.ko:\nkernel/xen-netfront.ko:\n");
    memfs_file(m, MODULES "modules.alias", "alias pci:x nvme\n");
    memfs_file(m, MODULES "kernel/nvme.ko", ELF "nvme");
    memfs_file(m, MODULES "kernel/nvme-core.ko", ELF "core");
    memfs_file(m, MODULES "kernel/xen-blkfront.ko", ELF "xen");
}

static void put_boot(struct memfs *m)
{
    memfs_file(m, "/boot/grub/grub.cfg",
               "set default=\"0\"\nmenuentry 'Debian' {\n\tlinux /boot/vmlinuz-" K
               " root=/dev/sda1 ro quiet\n\tinitrd /boot/initrd.img-" K "\n}\n");
    memfs_file(m, "/etc/default/grub",
               "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n"
               "GRUB_CMDLINE_LINUX=\"\"\n");
    memfs_file(m, "/var/cache/debconf/config.dat",
               "Name: grub-pc/install_devices\nTemplate: grub-pc/install_devices\n"
               "Value: /dev/sda\nOwners: grub-pc\n\n");
}

static void put_guest(struct memfs *m)
{
    memfs_init(m);
    memfs_file(m, "/etc/os-release",
               "ID=debian\nVERSION_ID=\"12\"\n"
               "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n");
    memfs_bytes(m, "/bin/sh", "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0\76\0", 20);
    memfs_file(m, "/etc/hostname", "web\n");
    memfs_file(m, "/etc/fstab",
               "/dev/sda1 / ext4 errors=remount-ro 0 1\n"
               "/dev/sdb1 /srv ext4 defaults 0 2\n");
    memfs_file(m, "/etc/network/interfaces",
               "auto lo\niface lo inet loopback\nauto ens192\niface ens192 inet dhcp\n");
    memfs_file(m, "/sbin/dhclient", "");
    memfs_file(m, "/usr/sbin/sshd", "");
    memfs_file(m, "/etc/ssh/ssh_host_rsa_key", "k");
    memfs_file(m, "/etc/ssh/sshd_config", "Port 22\n");
    memfs_file(m, "/lib/systemd/system/ssh.service", "");
    memfs_file(m, "/lib/systemd/systemd", "");
    memfs_link(m, "/etc/systemd/system/multi-user.target.wants/ssh.service",
               "/lib/systemd/system/ssh.service");
    memfs_link(m, "/etc/systemd/system/multi-user.target.wants/open-vm-tools.service",
               "/lib/systemd/system/open-vm-tools.service");
    memfs_file(m, "/etc/initramfs-tools/modules", "# none\n");
    memfs_dir(m, "/var/lib");
    memfs_dir(m, "/etc/udev/rules.d");
    put_kernel(m);
    put_boot(m);
}

static int set_up(void **state)
{
    struct kit *f = calloc(1, sizeof *f);

    put_guest(&f->m);
    f->volumes = volumes;
    f->n_volumes = 2;
    f->o.purpose = GUEST_CONVERT;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct kit *f = *state;

    kit_release(f);
    free(f);
    return 0;
}

/* ---- what is found ---- */

static void test_facts_of_a_guest(void **state)
{
    struct kit *f = *state;

    kit_look(f);
    assert_string_equal(f->s.info->family, "debian");
    assert_string_equal(f->s.info->arch, "x86_64");
    assert_string_equal(f->s.info->hostname, "web");
    assert_int_equal(f->s.info->major, 12);
    assert_true(f->s.info->boots_bios);
    assert_int_equal(f->s.info->kernels.n, 1);
    assert_true(f->s.info->kernels.v[0].is_default);
    assert_string_equal(f->s.info->initramfs_tool, "initramfs-tools");
    assert_true(f->s.info->fits_nitro && f->s.info->fits_xen);
}

static void test_findings_of_an_unconverted_guest(void **state)
{
    struct kit *f = *state;

    kit_look(f);
    kit_finding(f, "linux-nvme", FINDING_FIXABLE, "lacks nvme");
    kit_finding(f, "linux-fstab", FINDING_FIXABLE, "/dev/sda1 (/), /dev/sdb1 (/srv)");
    kit_finding(f, "linux-root-name", FINDING_FIXABLE, "root=/dev/sda1");
    kit_finding(f, "linux-interface", FINDING_FIXABLE, "bound to interface ens192");
    kit_finding(f, "linux-console", FINDING_FIXABLE, "no console=ttyS0");
    kit_finding(f, "linux-vmware-tools", FINDING_FIXABLE, "");
    kit_finding(f, "linux-xen", FINDING_NOT_NEEDED, "Nitro");
    kit_finding(f, "linux-ssh", FINDING_MET, "enabled");
    assert_null(guest_info_blocker(f->s.info, &f->o));
}

static void test_a_restore_refuses_what_it_would_have_to_change(void **state)
{
    struct kit *f = *state;

    f->o.purpose = GUEST_RESTORE;
    kit_look(f);
    kit_finding(f, "linux-nvme", FINDING_REFUSED, "lacks nvme");
    kit_finding(f, "linux-console", FINDING_NOT_NEEDED, "a restore leaves it");
    kit_finding(f, "linux-supported", FINDING_NOT_NEEDED, "");
    assert_non_null(
        strstr(guest_info_finding(f->s.info, "linux-nvme")->remedy, "hotadd convert"));
}

static void test_import_does_not_ask_for_drivers(void **state)
{
    struct kit *f = *state;

    f->o.method = GUEST_IMPORT;
    kit_look(f);
    kit_finding(f, "linux-nvme", FINDING_NOT_NEEDED, "import finisher");
    kit_finding(f, "linux-ssh", FINDING_MET, "");
}

static void test_import_refuses_what_awss_import_does_not_take(void **state)
{
    struct kit *f = *state;

    f->o.method = GUEST_IMPORT;
    kit_look(f);
    kit_finding(f, "linux-import-names", FINDING_REFUSED, "names ens192");
    kit_finding(f, "linux-import-btrfs", FINDING_MET, "ext4");
    kit_finding(f, "linux-root-name", FINDING_NOT_NEEDED, "import finisher");
    f->o.method = GUEST_SWAP;
    kit_look(f);
    kit_finding(f, "linux-import-names", FINDING_NOT_NEEDED, "swap finisher");
}

static void test_unknown_and_too_old_systems_are_refused_by_name(void **state)
{
    struct kit *f = *state;

    memfs_file(&f->m, "/etc/os-release", "ID=strange\nPRETTY_NAME=Strange\n");
    kit_refused(f, "linux-supported", "no family");
    memfs_file(&f->m, "/etc/os-release",
               "ID=sles\nVERSION_ID=11.4\nPRETTY_NAME=\"SLES 11\"\n");
    kit_refused(f, "linux-supported", "SLES 11 is older than version 12");
}

static void test_a_kernel_without_nvme_is_refused(void **state)
{
    struct kit *f = *state;

    memfs_file(&f->m, MODULES "modules.dep", "kernel/ena.ko:\n");
    kit_refused(f, "linux-nvme", "/lib/modules/" K " has no nvme");
}

static void test_a_driver_built_in_is_fine(void **state)
{
    struct kit *f = *state;

    memfs_file(&f->m, MODULES "modules.dep", "kernel/ena.ko:\n");
    memfs_file(&f->m, MODULES "modules.builtin", "kernel/nvme.ko\nkernel/nvme-core.ko\n");
    kit_look(f);
    kit_finding(f, "linux-nvme", FINDING_MET, "built in");
}

static void test_a_damaged_initramfs_is_refused(void **state)
{
    struct kit *f = *state;

    memfs_file(&f->m, "/boot/initrd.img-" K, "not an image at all");
    kit_refused(f, "linux-initramfs", "initrd.img-" K);
}

static void test_a_full_boot_is_refused(void **state)
{
    struct kit *f = *state;

    f->m.free_bytes = 1u << 20;
    kit_refused(f, "linux-boot-space", "/boot has 1 MiB free");
}

static void test_other_architectures_are_refused(void **state)
{
    struct kit *f = *state;

    memfs_bytes(&f->m, "/bin/sh", "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0\267\0", 20);
    kit_refused(f, "linux-arch", "aarch64");
}

static void test_a_missing_ssh_server_is_refused(void **state)
{
    struct kit *f = *state;

    memfs_remove(&f->m, "/usr/sbin/sshd");
    kit_refused(f, "linux-ssh", "/usr/sbin/sshd is not there");
}

static void test_recorded_errors_are_refused(void **state)
{
    struct kit *f = *state;
    struct verdict v = {0};

    kit_look(f);
    f->s.storage.volumes.v[0].fs.errors = true;
    assert_ok(linux_fs_clean.check(&f->s, &v, e));
    assert_int_equal(v.state, FINDING_REFUSED);
    buf_release(&v.seen);
}

static void test_a_static_address_needs_the_users_word(void **state)
{
    struct kit *f = *state;

    memfs_file(&f->m, "/etc/network/interfaces",
               "auto ens192\niface ens192 inet static\n address 10.0.0.2/24\n");
    kit_look(f);
    kit_finding(f, "linux-dhcp", FINDING_FIXABLE, "static address 10.0.0.2/24");
    assert_string_equal(guest_info_blocker(f->s.info, &f->o)->id, "linux-dhcp");
    f->o.fix = true;
    assert_null(guest_info_blocker(f->s.info, &f->o));
    kit_convert(f);
    kit_look(f);
    kit_nothing_open(f);
}

static void test_a_static_guest_without_dhcp_client_is_refused(void **state)
{
    struct kit *f = *state;

    memfs_remove(&f->m, "/sbin/dhclient");
    kit_refused(f, "linux-dhcp", "no DHCP client");
}

static void test_unreadable_configuration_is_unknown_not_met(void **state)
{
    struct kit *f = *state;

    memfs_file(&f->m, "/etc/ufw/ufw.conf", "ENABLED=yes\n");
    memfs_bytes(&f->m, "/etc/ufw/user.rules", "\0\0", 2);
    kit_look(f);
    kit_finding(f, "linux-firewall", FINDING_UNKNOWN, "NUL bytes");
}

/* ---- conversion ---- */

static void test_a_converted_guest_meets_everything(void **state)
{
    struct kit *f = *state;

    f->o.profile = GUEST_BOTH;
    kit_look(f);
    assert_true(kit_convert(f) > 0);
    kit_look(f);
    kit_nothing_open(f);
    assert_int_equal(linux_driver(&f->s.info->kernels.v[0], "nvme")->place,
                     DRIVER_INITRAMFS);
    assert_int_equal(linux_driver(&f->s.info->kernels.v[0], "xen-blkfront")->place,
                     DRIVER_INITRAMFS);
}

static void test_a_second_conversion_changes_nothing(void **state)
{
    struct kit *f = *state;
    auto_free char *once = NULL, *twice = NULL;

    kit_look(f);
    kit_convert(f);
    once = memfs_dump(&f->m, NULL);
    kit_look(f);
    assert_int_equal(kit_convert(f), 0);
    twice = memfs_dump(&f->m, NULL);
    assert_string_equal(once, twice);
}

static void test_contents_after_conversion(void **state)
{
    struct kit *f = *state;

    kit_look(f);
    kit_convert(f);
    assert_string_equal(memfs_text(&f->m, "/etc/fstab"),
                        "UUID=" ROOT " / ext4 errors=remount-ro 0 1\n"
                        "UUID=" DATA " /srv ext4 defaults 0 2\n");
    assert_true(kit_has(f, "/boot/grub/grub.cfg",
                        "root=UUID=" ROOT " ro quiet console=tty0 console=ttyS0,115200n8 "
                        "net.ifnames=0 biosdevname=0 nvme_core.io_timeout=4294967295\n"));
    assert_true(kit_has(f, "/etc/default/grub",
                        "GRUB_CMDLINE_LINUX=\"console=tty0 console=ttyS0,115200n8"));
    assert_true(
        kit_has(f, "/etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n"));
    assert_true(kit_has(f, "/etc/initramfs-tools/modules", "\nnvme\n"));
    assert_true(kit_has(f, "/var/cache/debconf/config.dat",
                        "Template: grub-pc/install_devices\nValue: \nOwners"));
    assert_true(kit_has(f, "/var/cache/debconf/config.dat",
                        "Name: grub-pc/install_devices_empty\n"));
    assert_null(memfs_find(&f->m, "/etc/systemd/system/multi-user.target.wants/"
                                  "open-vm-tools.service"));
    assert_string_equal(
        memfs_text(&f->m, "/var/lib/hotadd/original/etc/hostname") ? "kept" : "not",
        "not");
}

static void test_a_power_cut_during_conversion_can_be_repeated(void **state)
{
    kit_power_cuts(*state);
}

static void test_lost_file_systems_do_not_stop_the_boot(void **state)
{
    struct kit *f = *state;

    memfs_file(&f->m, "/etc/fstab",
               "UUID=" ROOT " / ext4 defaults 0 1\n"
               "/dev/sdz1 /lost ext4 defaults 0 2\n"
               ".host:/ /mnt/hgfs fuse.vmhgfs-fuse defaults 0 0\n"
               "/dev/sdb1 /wrong xfs defaults 0 2\n");
    kit_look(f);
    kit_finding(f, "linux-fstab", FINDING_FIXABLE, "/dev/sdz1 (/lost)");
    kit_convert(f);
    assert_true(kit_has(f, "/etc/fstab", "/dev/sdz1 /lost ext4 defaults,nofail,"));
    assert_true(kit_has(f, "/etc/fstab", "vmhgfs-fuse defaults,nofail,"));
    assert_true(kit_has(f, "/etc/fstab", "/dev/sdb1 /wrong xfs defaults,nofail,"));
    kit_look(f);
    kit_finding(f, "linux-fstab", FINDING_MET, "");
}

static void test_names_of_old_hardware_are_told_by_elimination(void **state)
{
    struct kit *f = *state;

    memfs_file(
        &f->m, "/etc/fstab",
        "/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0-part1 / ext4 defaults 0 1\n"
        "/dev/disk/by-id/scsi-36000c29-part1 /srv ext4 defaults 0 2\n");
    kit_look(f);
    kit_convert(f);
    assert_string_equal(memfs_text(&f->m, "/etc/fstab"),
                        "UUID=" ROOT " / ext4 defaults 0 1\n"
                        "UUID=" DATA " /srv ext4 defaults 0 2\n");
}

static void test_netplan_is_rewritten(void **state)
{
    struct kit *f = *state;

    memfs_remove(&f->m, "/etc/network/interfaces");
    memfs_file(&f->m, "/etc/netplan/01-netcfg.yaml",
               "network:\n  ethernets:\n    ens160:\n      dhcp4: true\n");
    kit_look(f);
    assert_string_equal(f->s.info->network_tool, "netplan");
    kit_finding(f, "linux-interface", FINDING_FIXABLE, "ens160");
    kit_convert(f);
    assert_null(memfs_find(&f->m, "/etc/netplan/01-netcfg.yaml"));
    assert_non_null(
        memfs_find(&f->m, "/var/lib/hotadd/original/etc/netplan/01-netcfg.yaml"));
    assert_false(kit_has(f, "/boot/grub/grub.cfg", "net.ifnames"));
    kit_look(f);
    kit_nothing_open(f);
    assert_int_equal(kit_convert(f), 0);
}

static void test_networkd_and_networkmanager_are_rewritten(void **state)
{
    struct kit *f = *state;

    memfs_file(&f->m, "/etc/systemd/network/ens.network",
               "[Match]\nMACAddress=00:50:56:00:00:01\n[Network]\nDHCP=yes\n");
    memfs_link(&f->m,
               "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
               "/lib/x");
    kit_look(f);
    assert_string_equal(f->s.info->network_tool, "networkd");
    kit_convert(f);
    kit_look(f);
    kit_nothing_open(f);

    memfs_remove(&f->m, "/etc/systemd/network/10-hotadd.network");
    memfs_file(
        &f->m, "/etc/NetworkManager/system-connections/a.nmconnection",
        "[connection]\ntype=ethernet\ninterface-name=ens192\n[ipv4]\nmethod=auto\n");
    memfs_link(&f->m,
               "/etc/systemd/system/multi-user.target.wants/NetworkManager.service",
               "/lib/x");
    kit_look(f);
    assert_string_equal(f->s.info->network_tool, "networkmanager");
    kit_finding(f, "linux-interface", FINDING_FIXABLE, "ens192");
    kit_convert(f);
    kit_look(f);
    kit_nothing_open(f);
}

static void test_card_names_by_mac_address_are_removed(void **state)
{
    struct kit *f = *state;

    memfs_file(
        &f->m, "/etc/udev/rules.d/70-persistent-net.rules",
        "SUBSYSTEM==\"net\", ATTR{address}==\"00:50:56:00:00:01\", NAME=\"eth0\"\n");
    kit_look(f);
    kit_finding(f, "linux-udev-names", FINDING_FIXABLE, "70-persistent-net.rules");
    kit_convert(f);
    kit_look(f);
    kit_nothing_open(f);
}

static void test_fix_opens_firewall_and_enables_ssh(void **state)
{
    struct kit *f = *state;

    memfs_remove(&f->m, "/etc/systemd/system/multi-user.target.wants/ssh.service");
    memfs_file(
        &f->m, "/etc/iptables/rules.v4",
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 80 -j ACCEPT\nCOMMIT\n");
    memfs_link(&f->m,
               "/etc/systemd/system/multi-user.target.wants/netfilter-persistent.service",
               "/lib/x");
    kit_look(f);
    kit_finding(f, "linux-ssh", FINDING_FIXABLE, "not enabled");
    kit_finding(f, "linux-firewall", FINDING_FIXABLE, "policy DROP");
    assert_non_null(guest_info_blocker(f->s.info, &f->o));
    f->o.fix = true;
    kit_convert(f);
    kit_look(f);
    kit_nothing_open(f);
    assert_true(kit_has(f, "/etc/iptables/rules.v4", "--dport 22 -j ACCEPT"));
}

static void test_without_fix_the_users_settings_stay(void **state)
{
    struct kit *f = *state;

    memfs_file(&f->m, "/etc/ufw/ufw.conf", "ENABLED=yes\n");
    memfs_file(&f->m, "/etc/ufw/user.rules", "### RULES ###\n");
    kit_look(f);
    kit_convert(f);
    assert_string_equal(memfs_text(&f->m, "/etc/ufw/user.rules"), "### RULES ###\n");
}

static void test_cloud_init_leaves_the_machine_alone(void **state)
{
    struct kit *f = *state;

    memfs_file(&f->m, "/etc/cloud/cloud.cfg", "x\n");
    kit_look(f);
    kit_finding(f, "linux-cloud-init", FINDING_FIXABLE, "");
    kit_convert(f);
    assert_true(kit_has(f, LINUX_CLOUD_INIT_FILE, "ssh_deletekeys: false"));
    kit_look(f);
    kit_nothing_open(f);
}

static void test_old_init_systems_get_a_serial_login(void **state)
{
    struct kit *f = *state;

    memfs_remove(&f->m, "/lib/systemd/systemd");
    memfs_file(&f->m, "/etc/inittab", "id:2:initdefault:\n");
    kit_look(f);
    kit_convert(f);
    assert_true(kit_has(f, "/etc/inittab", "T0:23:respawn:/sbin/getty -L ttyS0"));
}

static void test_uefi_fallback_loader_is_made(void **state)
{
    struct kit *f = *state;

    f->o.firmware = FIRMWARE_UEFI;
    memfs_file(&f->m, "/boot/efi/EFI/debian/shimx64.efi", "shim");
    memfs_file(&f->m, "/boot/efi/EFI/debian/grubx64.efi", "grub");
    kit_look(f);
    f->s.esp = strdup("/boot/efi");
    struct verdict v = {0};
    assert_ok(linux_uefi_loader.check(&f->s, &v, e));
    assert_int_equal(v.state, FINDING_FIXABLE);
    buf_release(&v.seen);
    kit_convert(f);
    assert_string_equal(memfs_text(&f->m, "/boot/efi/EFI/BOOT/BOOTX64.EFI"), "shim");
    assert_string_equal(memfs_text(&f->m, "/boot/efi/EFI/BOOT/grubx64.efi"), "grub");
}

static void test_lvm_filters(void **state)
{
    assert_true(lvm_conf_hides("  filter = [ \"a|^/dev/sd|\", \"r|.*|\" ]\n"));
    assert_true(lvm_conf_hides("global_filter=[\"a|sda|\",\"r|.*|\"]"));
    assert_false(lvm_conf_hides("  # filter = [ \"r|.*|\" ]\n"));
    assert_false(lvm_conf_hides("filter = [ \"a|.*|\" ]\n"));
    assert_false(lvm_conf_hides("filter = [ \"a|/dev/nvme|\", \"r|.*|\" ]\n"));
}

static void test_timeout_option_by_kernel(void **state)
{
    assert_string_equal(linux_nvme_timeout_option("6.1.0-1"),
                        "nvme_core.io_timeout=4294967295");
    assert_string_equal(linux_nvme_timeout_option("4.15.0-20-generic"),
                        "nvme_core.io_timeout=4294967295");
    assert_string_equal(linux_nvme_timeout_option("4.9.0-3"), "nvme_core.io_timeout=255");
    assert_string_equal(linux_nvme_timeout_option("4.4.0-21"), "nvme.io_timeout=255");
}

static void test_mapper_names_and_tags(void **state)
{
    struct kit *f = *state;

    kit_look(f);
    kit_add_volume(
        f, &(struct kit_volume){"/dev/my-vg/root", UINT32_MAX, 0, "ext4", "u", NULL});
    assert_non_null(linux_volume(&f->s, "/dev/mapper/my--vg-root"));
    assert_null(linux_volume(&f->s, "/dev/mapper/my-vg-root"));
    assert_non_null(linux_volume(&f->s, "/dev/my-vg/root"));
    assert_non_null(linux_volume(&f->s, "UUID=\"" DATA "\""));
    assert_non_null(linux_volume(&f->s, "/dev/disk/by-uuid/" ROOT));
    assert_null(linux_volume(&f->s, "UUID=3"));
    assert_null(linux_volume(&f->s, "LABEL="));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_facts_of_a_guest),
        TEST(test_findings_of_an_unconverted_guest),
        TEST(test_a_restore_refuses_what_it_would_have_to_change),
        TEST(test_import_does_not_ask_for_drivers),
        TEST(test_import_refuses_what_awss_import_does_not_take),
        TEST(test_unknown_and_too_old_systems_are_refused_by_name),
        TEST(test_a_kernel_without_nvme_is_refused),
        TEST(test_a_driver_built_in_is_fine),
        TEST(test_a_damaged_initramfs_is_refused),
        TEST(test_a_full_boot_is_refused),
        TEST(test_other_architectures_are_refused),
        TEST(test_a_missing_ssh_server_is_refused),
        TEST(test_recorded_errors_are_refused),
        TEST(test_a_static_address_needs_the_users_word),
        TEST(test_a_static_guest_without_dhcp_client_is_refused),
        TEST(test_unreadable_configuration_is_unknown_not_met),
        TEST(test_a_converted_guest_meets_everything),
        TEST(test_a_second_conversion_changes_nothing),
        TEST(test_contents_after_conversion),
        TEST(test_a_power_cut_during_conversion_can_be_repeated),
        TEST(test_lost_file_systems_do_not_stop_the_boot),
        TEST(test_names_of_old_hardware_are_told_by_elimination),
        TEST(test_netplan_is_rewritten),
        TEST(test_networkd_and_networkmanager_are_rewritten),
        TEST(test_card_names_by_mac_address_are_removed),
        TEST(test_fix_opens_firewall_and_enables_ssh),
        TEST(test_without_fix_the_users_settings_stay),
        TEST(test_cloud_init_leaves_the_machine_alone),
        TEST(test_old_init_systems_get_a_serial_login),
        TEST(test_uefi_fallback_loader_is_made),
        TEST(test_lvm_filters),
        TEST(test_timeout_option_by_kernel),
        TEST(test_mapper_names_and_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
