/* The families of distributions and what this release does for each; see linux.h. */
#include "guest/linux/linux.h"

#include "base/str.h"
#include "guest/linux/convert.h"
#include "guest/text/text.h"

static const char *const debian[] = {"debian", "ubuntu", "linuxmint", "raspbian",
                                     "devuan", "kali",   "pop",       NULL};
static const char *const rhel[] = {"rhel",      "centos", "fedora",     "rocky",
                                   "almalinux", "ol",     "scientific", NULL};
static const char *const suse[] = {
    "sles",     "sled", "opensuse", "opensuse-leap", "opensuse-tumbleweed",
    "sles_sap", "suse", NULL};
static const char *const amazon[] = {"amzn", NULL};

static const struct family families[] = {
    {"debian", debian, "Debian and Ubuntu", 8, convert_debian},
    {"rhel", rhel, "Red Hat Enterprise Linux and its likes", 6, convert_redhat},
    {"suse", suse, "SUSE Linux Enterprise and openSUSE", 12, convert_suse},
    {"amazon", amazon, "Amazon Linux", 2, convert_redhat},
};
#define N_FAMILIES (sizeof families / sizeof families[0])

static bool has_distro(const struct family *f, const char *id)
{
    for (const char *const *d = f->distros; *d; d++)
        if (str_eq(*d, id))
            return true;
    return false;
}

const struct family *linux_family(const char *id, const char *id_like)
{
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (has_distro(&families[i], id))
            return &families[i];
    for (size_t i = 0; id_like && i < N_FAMILIES; i++)
        for (const char *const *d = families[i].distros; *d; d++)
            if (text_has_word(id_like, *d))
                return &families[i];
    return NULL;
}

const struct family *linux_family_named(const char *name)
{
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (str_eq(families[i].name, name))
            return &families[i];
    return NULL;
}

bool linux_is_redhat6(const struct subject *s)
{
    return str_eq_null(s->info->family, "rhel") && s->info->major == 6;
}

const struct requirement *const linux_requirements[] = {
    &linux_supported,
    &linux_arch,
    &linux_encryption,
    &linux_root_fs,
    &linux_fs_clean,
    &linux_boot_loader,
    &linux_boot_mode,
    &linux_uefi_loader,
    &linux_kernel,
    &linux_initramfs,
    &linux_nvme,
    &linux_ena,
    &linux_xen,
    &linux_boot_space,
    &linux_root_name,
    &linux_fstab_names,
    &linux_crypttab_names,
    &linux_raid_names,
    &linux_dhcp,
    &linux_interface,
    &linux_udev_names,
    &linux_ssh,
    &linux_ssh_keys,
    &linux_firewall_open,
    &linux_lvm_filter,
    &linux_console,
    &linux_nvme_timeout,
    &linux_vmware_tools,
    &linux_cloud_init,
    &linux_import_names,
    &linux_import_btrfs,
    NULL,
};
