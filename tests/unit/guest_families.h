/* The guests of test_guest_families: each with the files that its release keeps, written
 * from the release's documentation, none copied from a system. */
#ifndef HOTADD_TESTS_UNIT_GUEST_FAMILIES_H
#define HOTADD_TESTS_UNIT_GUEST_FAMILIES_H

#include "guest_kit.h"

#define UUID_ROOT "11111111-1111-1111-1111-111111111111"
#define UUID_BOOT "22222222-2222-2222-2222-222222222222"
#define UUID_SWAP "33333333-3333-3333-3333-333333333333"

enum driver { NVME = 1, ENA = 2, XEN = 4 };

/* A kernel's modules, packed as `suffix` says only by name: nothing but an initramfs that
 * lacks them is unpacked. nvme_type is modinfo's of io_timeout. */
static void put_modules(struct memfs *m, const char *k, unsigned drivers,
                        const char *nvme_type)
{
    char path[256], text[512];
    static const struct {
        unsigned bit;
        const char *dep, *file;
    } files[] = {
        {NVME, "kernel/nvme.ko: kernel/nvme-core.ko\nkernel/nvme-core.ko:\n", "nvme"},
        {ENA, "kernel/ena.ko:\n", "ena"},
        {XEN, "kernel/xen-blkfront.ko:\nkernel/xen-netfront.ko:\n", "xen-blkfront"},
    };
    auto_buf struct buf dep = BUF_INIT;

    for (size_t i = 0; i < 3; i++) {
        if (!(drivers & files[i].bit))
            continue;
        buf_adds(&dep, files[i].dep);
        snprintf(path, sizeof path, "/lib/modules/%s/kernel/%s.ko", k, files[i].file);
        memfs_file(m, path, KIT_ELF);
    }
    snprintf(path, sizeof path, "/lib/modules/%s/modules.dep", k);
    memfs_file(m, path, buf_str(&dep));
    snprintf(path, sizeof path, "/lib/modules/%s/kernel/nvme-core.ko", k);
    snprintf(text, sizeof text, KIT_ELF "parmtype=io_timeout:%s", nvme_type);
    memfs_file(m, path, text);
}

/* dracut's: hooks below /usr/lib/dracut, systemd as init where there is one. */
static void put_dracut(struct memfs *m, const char *k, const char *path, bool systemd,
                       const char *extra, const char *extra_text)
{
    auto_buf struct buf b = BUF_INIT, packed = BUF_INIT;
    char dir[128];

    put_dirs(&b, "usr/lib/dracut/hooks/pre-udev");
    put_file(&b, "usr/lib/dracut/dracut-049", "");
    put_dirs(&b, "usr/lib/systemd");
    put_file(&b, "usr/lib/systemd/systemd", "x");
    if (systemd)
        put_link(&b, "init", "usr/lib/systemd/systemd");
    else
        put_file(&b, "init", "#!/bin/sh\n");
    put_link(&b, "lib", "usr/lib");
    put_dirs(&b, "etc/modules-load.d");
    snprintf(dir, sizeof dir, "usr/lib/modules/%s/kernel", k);
    put_dirs(&b, dir);
    if (extra) {
        char parent[128];

        snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(extra, '/') - extra),
                 extra);
        put_dirs(&b, parent);
        put_file(&b, extra, extra_text);
    }
    put_trailer(&b);
    put_gzip(&packed, &b);
    memfs_bytes(m, path, packed.data, packed.len);
}

/* dracut 004: hook directories at the root. */
static void put_dracut_old(struct memfs *m, const char *k, const char *path)
{
    auto_buf struct buf b = BUF_INIT, packed = BUF_INIT;
    char dir[128];

    put_dirs(&b, "pre-udev");
    put_dirs(&b, "lib");
    put_file(&b, "lib/dracut-lib.sh", "");
    put_file(&b, "init", "#!/bin/sh\n");
    snprintf(dir, sizeof dir, "lib/modules/%s/kernel", k);
    put_dirs(&b, dir);
    put_trailer(&b);
    put_gzip(&packed, &b);
    memfs_bytes(m, path, packed.data, packed.len);
}

static void put_tools(struct memfs *m, const char *k, const char *path)
{
    auto_buf struct buf b = BUF_INIT, packed = BUF_INIT;
    char dir[128];

    put_dirs(&b, "conf/conf.d");
    put_file(&b, "conf/initramfs.conf", "MODULES=most\n");
    put_file(&b, "conf/modules", "");
    put_file(&b, "conf/conf.d/resume", "RESUME=/dev/sda2\n");
    put_file(&b, "init", "#!/bin/sh\n");
    put_dirs(&b, "scripts/local-top");
    snprintf(dir, sizeof dir, "usr/lib/modules/%s/kernel", k);
    put_dirs(&b, dir);
    put_link(&b, "lib", "usr/lib");
    put_trailer(&b);
    put_gzip(&packed, &b);
    memfs_bytes(m, path, packed.data, packed.len);
}

static void put_common(struct memfs *m, bool systemd)
{
    memfs_init(m);
    memfs_bytes(m, "/bin/sh", "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\3\0\76\0", 20);
    memfs_file(m, "/usr/sbin/sshd", "");
    memfs_file(m, "/etc/ssh/sshd_config", "#Port 22\nPermitRootLogin no\n");
    memfs_dir(m, "/var/lib");
    memfs_dir(m, "/etc/udev/rules.d");
    if (!systemd)
        return;
    memfs_file(m, "/usr/lib/systemd/systemd", "");
    memfs_file(m, "/usr/lib/systemd/system/sshd.service", "");
    memfs_link(m, "/etc/systemd/system/multi-user.target.wants/sshd.service",
               "/usr/lib/systemd/system/sshd.service");
    memfs_link(m, "/etc/systemd/system/multi-user.target.wants/vmtoolsd.service",
               "/usr/lib/systemd/system/vmtoolsd.service");
    memfs_file(m, "/etc/dracut.conf", "# empty\n");
    memfs_dir(m, "/etc/dracut.conf.d");
}

static void put_grubenv(struct memfs *m, const char *path, const char *lines)
{
    char block[1025];
    int n = snprintf(block, sizeof block, "# GRUB Environment Block\n%s", lines);

    memset(block + n, '#', sizeof block - 1 - (size_t)n);
    memfs_bytes(m, path, block, 1024);
}

static void enable(struct memfs *m, const char *unit)
{
    char path[256];

    snprintf(path, sizeof path, "/etc/systemd/system/multi-user.target.wants/%s", unit);
    memfs_link(m, path, "/usr/lib/x");
}

/* ---- the guests ---- */

static const struct kit_volume plain[] = {
    {"/dev/sda2", 0, 2, "xfs", UUID_ROOT, NULL},
    {"/dev/sda1", 0, 1, "xfs", UUID_BOOT, NULL},
};
static const struct kit_volume lvm[] = {
    {"/dev/vg/root", UINT32_MAX, 0, "xfs", UUID_ROOT, NULL},
    {"/dev/sda1", 0, 1, "ext4", UUID_BOOT, NULL},
    {"/dev/sda2", 0, 2, "LVM2_member", NULL, NULL},
};

#define K6 "2.6.32-754.35.1.el6.x86_64"

static void put_rhel6(struct kit *f)
{
    struct memfs *m = &f->m;

    f->volumes = lvm;
    f->n_volumes = 3;
    f->o.profile = GUEST_XEN;
    put_common(m, false);
    memfs_file(m, "/etc/redhat-release", "CentOS release 6.10 (Final)\n");
    memfs_file(m, "/etc/sysconfig/network",
               "NETWORKING=yes\nHOSTNAME=six.example\nGATEWAY=10.0.0.1\n");
    memfs_file(m, "/etc/sysconfig/network-scripts/ifcfg-eth0",
               "DEVICE=eth0\nHWADDR=00:50:56:00:00:01\nTYPE=Ethernet\nONBOOT=yes\n"
               "BOOTPROTO=dhcp\n");
    memfs_file(m, "/etc/sysconfig/network-scripts/ifcfg-lo",
               "DEVICE=lo\nIPADDR=127.0.0.1\nONBOOT=yes\n");
    memfs_file(m, "/etc/sysconfig/network-scripts/route-eth0",
               "10.1.0.0/16 via 10.0.0.2");
    memfs_file(
        m, "/etc/udev/rules.d/70-persistent-net.rules",
        "SUBSYSTEM==\"net\", ATTR{address}==\"00:50:56:00:00:01\", NAME=\"eth0\"\n");
    memfs_file(m, "/etc/fstab",
               "/dev/mapper/vg-root / ext4 defaults 1 1\n"
               "/dev/sda1 /boot ext4 defaults 1 2\n");
    memfs_file(m, "/etc/inittab", "id:3:initdefault:\n");
    memfs_file(m, "/etc/init/serial.conf", "# starts agetty on the console\n");
    memfs_file(m, "/etc/init.d/sshd", "#!/bin/bash\n");
    memfs_link(m, "/etc/rc.d/rc3.d/S55sshd", "../init.d/sshd");
    memfs_link(m, "/etc/rc.d/rc3.d/S03vmware-tools", "../init.d/vmware-tools");
    memfs_link(m, "/etc/rc3.d", "rc.d/rc3.d");
    memfs_file(m, "/etc/yum.repos.d/vmware-osps.repo", "[vmware]\nenabled=1\n");
    memfs_file(m, "/etc/dracut.conf", "# empty\n");
    memfs_file(m, "/boot/grub/grub.conf",
               "default=0\ntimeout=5\nhiddenmenu\ntitle CentOS (" K6 ")\n"
               "\troot (hd0,0)\n\tkernel /vmlinuz-" K6
               " ro root=/dev/mapper/vg-root rd_LVM_LV=vg/root rhgb quiet\n"
               "\tinitrd /initramfs-" K6 ".img\n");
    memfs_link(m, "/boot/grub/menu.lst", "./grub.conf");
    memfs_file(m, "/boot/vmlinuz-" K6, "kernel");
    put_modules(m, K6, NVME | XEN, "byte");
    put_dracut_old(m, K6, "/boot/initramfs-" K6 ".img");
}

#define K7 "3.10.0-1160.el7.x86_64"

static void put_centos7(struct kit *f)
{
    struct memfs *m = &f->m;

    f->volumes = lvm;
    f->n_volumes = 3;
    put_common(m, true);
    memfs_file(m, "/etc/os-release",
               "ID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"\n"
               "PRETTY_NAME=\"CentOS Linux 7 (Core)\"\n");
    memfs_file(m, "/etc/fstab",
               "/dev/mapper/vg-root / xfs defaults 0 0\n"
               "UUID=" UUID_BOOT " /boot ext4 defaults 0 0\n");
    memfs_file(m, "/etc/default/grub",
               "GRUB_DEFAULT=saved\n"
               "GRUB_CMDLINE_LINUX=\"crashkernel=auto rd.lvm.lv=vg/root rhgb quiet\"\n");
    memfs_file(m, "/boot/grub2/grub.cfg",
               "set default=\"${saved_entry}\"\n"
               "menuentry 'CentOS Linux (" K7 ") 7 (Core)' --class centos {\n"
               "\tlinux16 /vmlinuz-" K7
               " root=/dev/mapper/vg-root ro crashkernel=auto rd.lvm.lv=vg/root quiet\n"
               "\tinitrd16 /initramfs-" K7 ".img\n}\n");
    put_grubenv(m, "/boot/grub2/grubenv", "saved_entry=CentOS Linux (" K7 ") 7 (Core)\n");
    memfs_file(m, "/boot/vmlinuz-" K7, "kernel");
    memfs_file(m, "/etc/sysconfig/network", "# Created by anaconda\n");
    memfs_file(m, "/etc/sysconfig/network-scripts/ifcfg-ens192",
               "TYPE=Ethernet\nBOOTPROTO=dhcp\nNAME=ens192\nDEVICE=ens192\nONBOOT=yes\n");
    memfs_file(m, "/etc/lvm/lvm.conf",
               "devices {\n\tfilter = [ \"a|^/dev/sd|\",\n\t\t\"r|.*|\" ]\n}\n");
    put_modules(m, K7, NVME | ENA | XEN, "uint");
    put_dracut(m, K7, "/boot/initramfs-" K7 ".img", true, "etc/lvm/lvm.conf",
               "devices {\n\tglobal_filter = [ \"a|^/dev/sd|\", \"r|.*|\" ]\n}\n");
}

#define K8 "4.18.0-553.el8.x86_64"

static void put_rocky8(struct kit *f)
{
    struct memfs *m = &f->m;

    f->volumes = plain;
    f->n_volumes = 2;
    put_common(m, true);
    memfs_file(m, "/etc/os-release",
               "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"8.10\"\n"
               "PRETTY_NAME=\"Rocky Linux 8.10 (Green Obsidian)\"\n");
    memfs_file(m, "/etc/fstab",
               "/dev/sda2 / xfs defaults 0 0\n/dev/sda1 /boot xfs defaults 0 0\n");
    memfs_file(m, "/boot/grub2/grub.cfg",
               "set default=\"${saved_entry}\"\nif [ -z \"${kernelopts}\" ]; then\n"
               "  set kernelopts=\"root=/dev/sda2 ro \"\nfi\ninsmod blscfg\nblscfg\n");
    put_grubenv(m, "/boot/grub2/grubenv",
                "saved_entry=abc-" K8 "\nkernelopts=root=/dev/sda2 ro rhgb quiet \n"
                "boot_success=1\n");
    memfs_file(m, "/boot/loader/entries/abc-" K8 ".conf",
               "title Rocky Linux (" K8 ") 8.10\nversion " K8 "\nlinux /vmlinuz-" K8
               "\ninitrd /initramfs-" K8 ".img $tuned_initrd\n"
               "options $kernelopts $tuned_params\n");
    memfs_file(m, "/boot/loader/entries/abc-0-rescue.conf",
               "title Rocky Linux (0-rescue)\nversion 0-rescue\n"
               "linux /vmlinuz-0-rescue-abc\ninitrd /initramfs-0-rescue-abc.img\n"
               "options $kernelopts\n");
    memfs_file(m, "/boot/vmlinuz-" K8, "kernel");
    enable(m, "NetworkManager.service");
    memfs_file(m, "/etc/sysconfig/network-scripts/ifcfg-ens192",
               "TYPE=Ethernet\nBOOTPROTO=dhcp\nNAME=ens192\nDEVICE=ens192\nONBOOT=yes\n");
    put_modules(m, K8, NVME | ENA | XEN, "uint");
    put_dracut(m, K8, "/boot/initramfs-" K8 ".img", true, NULL, NULL);
}

#define K9 "5.14.0-427.el9.x86_64"

static void put_alma9_uefi(struct kit *f)
{
    struct memfs *m = &f->m;

    f->volumes = lvm;
    f->n_volumes = 3;
    f->esp = "/boot/efi";
    f->table = "gpt";
    f->o.firmware = FIRMWARE_UEFI;
    put_common(m, true);
    memfs_file(m, "/etc/os-release",
               "ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n"
               "PRETTY_NAME=\"AlmaLinux 9.4\"\n");
    memfs_file(m, "/etc/fstab",
               "/dev/mapper/vg-root / xfs defaults 0 0\n"
               "UUID=" UUID_BOOT " /boot ext4 defaults 0 0\n");
    memfs_file(m, "/boot/efi/EFI/almalinux/grub.cfg",
               "search --no-floppy --root-dev-only --fs-uuid --set=dev " UUID_BOOT "\n"
               "set prefix=($dev)/grub2\nexport $prefix\nconfigfile $prefix/grub.cfg\n");
    memfs_file(m, "/boot/efi/EFI/almalinux/shimx64.efi", "shim");
    memfs_file(m, "/boot/efi/EFI/almalinux/grubx64.efi", "grub");
    memfs_file(m, "/boot/grub2/grub.cfg", "set default=\"${saved_entry}\"\nblscfg\n");
    put_grubenv(m, "/boot/grub2/grubenv", "saved_entry=abc-" K9 "\n");
    memfs_file(m, "/boot/loader/entries/abc-" K9 ".conf",
               "title AlmaLinux (" K9 ") 9.4\nversion " K9 "\nlinux /vmlinuz-" K9
               "\ninitrd /initramfs-" K9 ".img $tuned_initrd\n"
               "options root=/dev/mapper/vg-root ro rd.lvm.lv=vg/root $tuned_params\n");
    memfs_file(m, "/etc/kernel/cmdline",
               "root=/dev/mapper/vg-root ro rd.lvm.lv=vg/root\n");
    memfs_file(m, "/boot/vmlinuz-" K9, "kernel");
    enable(m, "NetworkManager.service");
    memfs_file(m, "/etc/sysconfig/network-scripts/readme-ifcfg-rh.txt", "keyfiles!\n");
    memfs_file(m, "/etc/NetworkManager/system-connections/ens192.nmconnection",
               "[connection]\nid=ens192\ntype=ethernet\ninterface-name=ens192\n"
               "[ipv4]\nmethod=auto\n");
    memfs_file(m, "/etc/lvm/devices/system.devices",
               "IDTYPE=sys_wwid IDNAME=naa.6000c29 DEVNAME=/dev/sda2 PVID=x\n");
    put_modules(m, K9, NVME | ENA | XEN, "uint");
    put_dracut(m, K9, "/boot/initramfs-" K9 ".img", true,
               "etc/lvm/devices/system.devices", "DEVNAME=/dev/sda2\n");
}

#define K12 "4.12.14-122.37-default"

static void put_sles12(struct kit *f)
{
    static const struct kit_volume volumes[] = {
        {"/dev/sda2", 0, 2, "btrfs", UUID_ROOT, NULL},
        {"/dev/sda1", 0, 1, "swap", UUID_SWAP, NULL},
    };
    struct memfs *m = &f->m;

    f->volumes = volumes;
    f->n_volumes = 2;
    put_common(m, true);
    memfs_file(m, "/etc/os-release",
               "ID=\"sles\"\nVERSION_ID=\"12.5\"\n"
               "PRETTY_NAME=\"SUSE Linux Enterprise Server 12 SP5\"\n");
    memfs_file(m, "/etc/fstab",
               "/dev/disk/by-id/scsi-36000c29-part2 / btrfs defaults 0 0\n"
               "/dev/sda2 /var btrfs subvol=@/var 0 0\n"
               "/dev/sda1 swap swap defaults 0 0\n");
    memfs_file(m, "/etc/default/grub",
               "GRUB_CMDLINE_LINUX=\"\"\n"
               "GRUB_CMDLINE_LINUX_DEFAULT=\"resume=/dev/sda1 splash=silent quiet\"\n");
    memfs_file(m, "/boot/grub2/grub.cfg",
               "set default=\"0\"\nmenuentry 'SLES 12-SP5' --class sles {\n"
               "\tlinux   /boot/vmlinuz-" K12
               " root=/dev/sda2 ${extra_cmdline} resume=/dev/sda1 splash=silent quiet\n"
               "\tinitrd  /boot/initrd-" K12 "\n}\n");
    memfs_file(m, "/boot/vmlinuz-" K12, "kernel");
    enable(m, "wicked.service");
    enable(m, "SuSEfirewall2.service");
    memfs_file(m, "/etc/sysconfig/SuSEfirewall2",
               "FW_SERVICES_EXT_TCP=\"80\"\nFW_CONFIGURATIONS_EXT=\"sshd\"\n");
    memfs_file(m, "/etc/sysconfig/network/ifcfg-lo", "IPADDR=127.0.0.1/8\n");
    memfs_file(m, "/etc/sysconfig/network/ifcfg-eth0",
               "BOOTPROTO='static'\nSTARTMODE='auto'\nIPADDR='10.0.0.5/24'\n");
    memfs_file(m, "/etc/sysconfig/network/routes", "default 10.0.0.1 - -\n");
    memfs_file(m, "/etc/zypp/repos.d/vmware-tools.repo", "[vmware]\n");
    put_modules(m, K12, NVME | ENA | XEN, "byte");
    put_dracut(m, K12, "/boot/initrd-" K12, false, NULL, NULL);
    f->o.fix = true; /* the static address */
}

#define K15 "5.14.21-150500.53-default"

static void put_sles15(struct kit *f)
{
    struct memfs *m = &f->m;

    put_sles12(f);
    memfs_file(m, "/etc/os-release",
               "ID=\"sles\"\nVERSION_ID=\"15.5\"\n"
               "PRETTY_NAME=\"SUSE Linux Enterprise Server 15 SP5\"\n");
    memfs_remove(m, "/boot/vmlinuz-" K12);
    memfs_remove(m, "/boot/initrd-" K12);
    memfs_remove(m, "/lib/modules/" K12 "/modules.dep");
    memfs_file(m, "/boot/grub2/grub.cfg",
               "set default=\"${saved_entry}\"\nmenuentry 'SLES 15-SP5' --id sles {\n"
               "\tlinux   /boot/vmlinuz-" K15 " root=UUID=" UUID_ROOT " quiet\n"
               "\tinitrd  /boot/initrd-" K15 "\n}\n");
    put_grubenv(m, "/boot/grub2/grubenv", "saved_entry=sles\n");
    memfs_file(m, "/boot/vmlinuz-" K15, "kernel");
    memfs_remove(m, "/etc/systemd/system/multi-user.target.wants/SuSEfirewall2.service");
    enable(m, "firewalld.service");
    memfs_file(m, "/etc/firewalld/firewalld.conf", "DefaultZone=public\n");
    memfs_file(m, "/usr/lib/firewalld/zones/public.xml",
               "<?xml version=\"1.0\"?>\n<zone>\n  <service name=\"dhcpv6-client\"/>\n"
               "</zone>\n");
    put_modules(m, K15, NVME | ENA | XEN, "uint");
    put_dracut(m, K15, "/boot/initrd-" K15, true, NULL, NULL);
}

#define KA2 "4.14.355-275.570.amzn2.x86_64"

static void put_amazon2(struct kit *f)
{
    struct memfs *m = &f->m;

    f->volumes = plain;
    f->n_volumes = 1;
    put_common(m, true);
    memfs_file(m, "/etc/os-release",
               "ID=\"amzn\"\nID_LIKE=\"centos rhel fedora\"\nVERSION_ID=\"2\"\n"
               "PRETTY_NAME=\"Amazon Linux 2\"\n");
    memfs_file(m, "/etc/fstab", "UUID=" UUID_ROOT " / xfs defaults,noatime 1 1\n");
    memfs_file(m, "/etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n");
    memfs_file(
        m, "/boot/grub2/grub.cfg",
        "set default=\"0\"\nmenuentry 'Amazon Linux 2' {\n\tlinux16 /boot/vmlinuz-" KA2
        " root=UUID=" UUID_ROOT " ro console=tty0 console=ttyS0,115200n8 "
        "net.ifnames=0 biosdevname=0 nvme_core.io_timeout=4294967295\n"
        "\tinitrd16 /boot/initramfs-" KA2 ".img\n}\n");
    memfs_file(m, "/boot/vmlinuz-" KA2, "kernel");
    memfs_file(m, "/etc/sysconfig/network-scripts/ifcfg-eth0",
               "DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\nTYPE=Ethernet\n");
    memfs_file(m, "/etc/cloud/cloud.cfg", "users: [default]\n");
    put_modules(m, KA2, NVME | ENA | XEN, "uint");
    put_dracut(m, KA2, "/boot/initramfs-" KA2 ".img", true, NULL, NULL);
}

#define KA3 "6.1.115-126.197.amzn2023.x86_64"

static void put_amazon2023(struct kit *f)
{
    struct memfs *m = &f->m;

    put_amazon2(f);
    memfs_file(m, "/etc/os-release",
               "ID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"\n"
               "PRETTY_NAME=\"Amazon Linux 2023\"\n");
    memfs_remove(m, "/boot/vmlinuz-" KA2);
    memfs_remove(m, "/etc/sysconfig/network-scripts/ifcfg-eth0");
    memfs_file(m, "/boot/grub2/grub.cfg", "blscfg\n");
    memfs_file(m, "/boot/loader/entries/a-" KA3 ".conf",
               "title Amazon Linux 2023\nversion " KA3 "\nlinux /boot/vmlinuz-" KA3
               "\ninitrd /boot/initramfs-" KA3 ".img\n"
               "options root=UUID=" UUID_ROOT
               " ro console=tty0 console=ttyS0,115200n8\n");
    memfs_file(m, "/boot/vmlinuz-" KA3, "kernel");
    enable(m, "systemd-networkd.service");
    memfs_file(m, "/usr/lib/systemd/network/80-ec2.network",
               "[Match]\nDriver=bnxt_en ena ixgbevf vif\n[Network]\nDHCP=yes\n");
    put_modules(m, KA3, NVME | ENA | XEN, "uint");
    put_dracut(m, KA3, "/boot/initramfs-" KA3 ".img", true, NULL, NULL);
}

#define KU "4.15.0-213-generic"

static void put_ubuntu1804(struct kit *f)
{
    static const struct kit_volume volumes[] = {
        {"/dev/sda1", 0, 1, "ext4", UUID_ROOT, NULL},
        {"/dev/sda2", 0, 2, "swap", UUID_SWAP, NULL},
        {"/dev/sdb1", 1, 1, "crypto_LUKS", UUID_BOOT, NULL},
        {"/dev/sdb2", 1, 2, "", NULL, "aaaaaaaa-02"},
    };
    struct memfs *m = &f->m;

    f->volumes = volumes;
    f->n_volumes = 4;
    put_common(m, true);
    memfs_remove(m, "/etc/dracut.conf");
    memfs_file(m, "/etc/os-release",
               "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"18.04\"\n"
               "PRETTY_NAME=\"Ubuntu 18.04.6 LTS\"\n");
    memfs_file(m, "/etc/ssh/ssh_host_rsa_key", "k");
    memfs_file(m, "/etc/fstab", "/dev/sda1 / ext4 errors=remount-ro 0 1\n");
    memfs_file(m, "/etc/crypttab",
               "# encrypted\nsecret /dev/sdb1 /etc/key luks\n"
               "scratch /dev/sdb2 /dev/urandom swap\n"
               "lost /dev/sdz1 none luks,discard\n");
    memfs_file(m, "/etc/initramfs-tools/modules", "# none\n");
    memfs_file(m, "/etc/initramfs-tools/conf.d/resume", "RESUME=/dev/sda2\n");
    memfs_file(m, "/etc/default/grub", "GRUB_CMDLINE_LINUX=\"\"\n");
    memfs_file(m, "/boot/grub/grub.cfg",
               "set default=\"0\"\nmenuentry 'Ubuntu' {\n\tlinux /boot/vmlinuz-" KU
               " root=/dev/sda1 ro\n\tinitrd /boot/initrd.img-" KU "\n}\n");
    memfs_file(m, "/boot/vmlinuz-" KU, "kernel");
    memfs_file(m, "/etc/netplan/50-cloud-init.yaml",
               "network:\n  version: 2\n  ethernets:\n    ens160:\n      dhcp4: true\n");
    memfs_file(m, "/etc/cloud/cloud.cfg", "x\n");
    put_modules(m, KU, NVME | ENA, "uint");
    memfs_file(m, "/lib/modules/" KU "/modules.builtin",
               "kernel/drivers/block/xen-blkfront.ko\n"
               "kernel/drivers/net/xen-netfront.ko\n");
    put_tools(m, KU, "/boot/initrd.img-" KU);
}

static void put_raid(struct kit *f)
{
    static const struct kit_volume volumes[] = {
        {"/dev/md/root", UINT32_MAX, 0, "ext4", UUID_ROOT, NULL},
        {"/dev/sda1", 0, 1, "linux_raid_member", NULL, NULL},
        {"/dev/sdb1", 1, 1, "linux_raid_member", NULL, NULL},
    };
    struct memfs *m = &f->m;

    put_rocky8(f);
    f->volumes = volumes;
    f->n_volumes = 3;
    memfs_file(m, "/etc/fstab", "UUID=" UUID_ROOT " / ext4 defaults 0 0\n");
    memfs_file(m, "/etc/mdadm.conf",
               "DEVICE /dev/sd[ab]*\nMAILADDR root\n"
               "ARRAY /dev/md/root UUID=1:2:3:4 devices=/dev/sda1,/dev/sdb1\n");
    put_dracut(m, K8, "/boot/initramfs-" K8 ".img", true, "etc/mdadm.conf",
               "DEV /dev/sda1\n  /dev/sdb1\nARRAY /dev/md/root UUID=1:2:3:4\n");
}

#endif
