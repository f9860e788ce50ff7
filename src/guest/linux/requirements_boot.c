/* Requirements of booting: loader, firmware, kernels, initramfs, drivers, console. */
#include "guest/linux/linux.h"

#include "base/str.h"

#include <stdlib.h>
#include <strings.h>

#define MIB        (1024ull * 1024)
#define MAX_MODULE (64u << 20)

static int check_loader(const struct subject *s, struct verdict *v, struct err *e)
{
    const char *loader = s->info->boot_loader;

    if (!loader)
        return verdict_refused(v, e,
                               "no GRUB configuration in /boot/grub or /boot/grub2");
    if (str_starts(loader, "grub"))
        return verdict_met(v, e, "%s (%s)", s->grub_cfg, loader);
    return verdict_refused(v, e, "the boot loader is %s", loader);
}

const struct requirement linux_boot_loader = {
    .id = "linux-boot-loader",
    .title = "GRUB or GRUB 2",
    .why = "hotadd knows where these keep kernels and their options",
    .remedy = "install GRUB 2 in the source machine",
    .methods = FOR_ALL,
    .check = check_loader,
};

static int check_boot_mode(const struct subject *s, struct verdict *v, struct err *e)
{
    const struct guest_info *i = s->info;

    if (s->options->profile == GUEST_XEN && linux_needs_uefi(s)) {
        buf_adds(&v->remedy, "choose a Nitro instance type, or make the machine boot by "
                             "BIOS before");
        return verdict_refused(v, e, "it boots by UEFI, which Xen instances do not have");
    }
    if (s->options->firmware == FIRMWARE_BIOS && !i->boots_bios)
        return verdict_refused(v, e,
                               "the machine has a BIOS, but the first disk holds no "
                               "boot code with a partition to start");
    if (s->options->firmware == FIRMWARE_UEFI && !i->boots_uefi)
        return verdict_refused(v, e,
                               "the machine has UEFI firmware, but no EFI system "
                               "partition with a loader was found");
    if (!i->boots_bios && !i->boots_uefi)
        return verdict_refused(v, e,
                               "neither boot code on the first disk nor a loader in "
                               "an EFI system partition");
    return verdict_met(v, e, "boots by %s",
                       i->boots_bios && i->boots_uefi ? "BIOS and UEFI"
                       : i->boots_bios                ? "BIOS"
                                                      : "UEFI");
}

const struct requirement linux_boot_mode = {
    .id = "linux-boot-mode",
    .title = "Bootable by the machine's firmware",
    .why = "the instance gets the firmware kind of the source machine",
    .remedy = "check the order of the disks: the boot disk must be the first; else "
              "reinstall the boot loader in the source machine",
    .methods = FOR_ALL,
    .check = check_boot_mode,
};

/* ---- UEFI ---- */

/* Finds a name in a directory of the ESP without regard to case. Owned path or NULL. */
int linux_esp_find(const struct subject *s, const char *dir, const char *name, char **ret,
                   struct err *e)
{
    auto_strv struct strv names = {0};

    *ret = NULL;
    if (gfs_list(&s->fs, dir, &names, e) < 0)
        return -1;
    vec_foreach (n, &names)
        if (!strcasecmp(*n, name))
            return gfs_join(dir, *n, ret, e);
    return 0;
}

int linux_uefi_source(const struct subject *s, char **ret_dir, char **ret_loader,
                      struct err *e)
{
    static const char *const loaders[] = {"shimx64.efi", "shim.efi", "grubx64.efi"};
    auto_free char *efi = NULL;
    auto_strv struct strv vendors = {0};

    *ret_dir = *ret_loader = NULL;
    if (linux_esp_find(s, s->esp, "EFI", &efi, e) < 0)
        return -1;
    if (!efi || gfs_list(&s->fs, efi, &vendors, e) < 0)
        return efi ? -1 : 0;
    for (size_t i = 0; i < sizeof loaders / sizeof loaders[0]; i++)
        vec_foreach (v, &vendors) {
            auto_free char *dir = NULL;

            if (!strcasecmp(*v, "BOOT"))
                continue;
            if (gfs_join(efi, *v, &dir, e) < 0 ||
                linux_esp_find(s, dir, loaders[i], ret_loader, e) < 0)
                return -1;
            if (*ret_loader) {
                *ret_dir = take_ptr(dir);
                return 0;
            }
        }
    return 0;
}

int linux_uefi_fallback(const struct subject *s, char **ret, struct err *e)
{
    auto_free char *efi = NULL, *boot = NULL;

    *ret = NULL;
    if (linux_esp_find(s, s->esp, "EFI", &efi, e) < 0)
        return -1;
    if (efi && linux_esp_find(s, efi, "BOOT", &boot, e) < 0)
        return -1;
    return boot ? linux_esp_find(s, boot, "BOOTX64.EFI", ret, e) : 0;
}

bool linux_needs_uefi(const struct subject *s)
{
    return s->options->firmware == FIRMWARE_UEFI ||
           (s->options->firmware == FIRMWARE_UNKNOWN && !s->info->boots_bios &&
            s->info->boots_uefi);
}

static int check_uefi_loader(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_free char *fallback = NULL, *dir = NULL, *loader = NULL;

    if (!linux_needs_uefi(s) || !s->esp)
        return verdict_not_needed(v, e, "the machine boots by BIOS");
    if (linux_uefi_fallback(s, &fallback, e) < 0)
        return -1;
    if (fallback)
        return verdict_met(v, e, "%s", fallback);
    if (linux_uefi_source(s, &dir, &loader, e) < 0)
        return -1;
    if (loader)
        return verdict_fixable(v, FINDING_FIX_CONVERT, e,
                               "no EFI/BOOT/BOOTX64.EFI; %s can be copied", loader);
    return verdict_refused(v, e,
                           "no EFI/BOOT/BOOTX64.EFI and no shimx64.efi or grubx64.efi "
                           "to copy");
}

const struct requirement linux_uefi_loader = {
    .id = "linux-uefi-loader",
    .title = "UEFI fallback loader",
    .why =
        "the firmware's list of boot entries does not travel with the disks: an instance "
        "starts EFI/BOOT/BOOTX64.EFI or nothing",
    .remedy = "install GRUB with grub-install --removable in the source machine",
    .methods = FOR_OURS,
    .check = check_uefi_loader,
};

/* ---- kernels ---- */

static int check_kernel(const struct subject *s, struct verdict *v, struct err *e)
{
    size_t i = linux_default_kernel(s);

    if (i != SIZE_MAX)
        return verdict_met(v, e, "%s starts %s%s", s->grub_cfg,
                           s->info->kernels.v[i].image,
                           s->info->kernels.n > 1 ? " (and offers others)" : "");
    if (s->info->kernels.n)
        return verdict_unknown(v, e,
                               "%zu kernels in /boot, none of which the boot menu "
                               "names as its default",
                               s->info->kernels.n);
    return verdict_refused(v, e, "no kernel in /boot with its modules in /lib/modules");
}

const struct requirement linux_kernel = {
    .id = "linux-kernel",
    .title = "A default kernel with its modules",
    .why = "drivers are taken from the guest's own kernel packages",
    .remedy = "install a kernel package in the source machine and make it the default of "
              "the boot menu",
    .methods = FOR_ALL,
    .check = check_kernel,
};

static int check_initramfs(const struct subject *s, struct verdict *v, struct err *e)
{
    size_t i = linux_default_kernel(s);
    const struct guest_kernel *k;

    if (i == SIZE_MAX)
        return verdict_unknown(v, e, "the default kernel is not known");
    k = &s->info->kernels.v[i];
    if (!k->initrd) {
        const struct guest_driver *nvme = linux_driver(k, "nvme");

        return nvme->place == DRIVER_BUILTIN
                   ? verdict_met(v, e, "kernel %s boots without one", k->version)
                   : verdict_refused(v, e, "kernel %s has no initramfs in /boot",
                                     k->version);
    }
    if (s->images.v[i].fault)
        return verdict_refused(v, e, "%s: %s", k->initrd, s->images.v[i].fault);
    if (!k->tool)
        return verdict_refused(v, e, "%s was made by a tool that hotadd does not know",
                               k->initrd);
    return verdict_met(v, e, "%s: %s, %s", k->initrd, k->tool,
                       k->compression ? k->compression : "empty");
}

const struct requirement linux_initramfs = {
    .id = "linux-initramfs",
    .title = "An initramfs that can be extended",
    .why = "the drivers for EC2's disks must be inside it",
    .remedy = "rebuild it in the source machine (update-initramfs -u, dracut -f)",
    .methods = FOR_OURS,
    .check = check_initramfs,
};

/* ---- drivers ---- */

/* A driver that must be there before the root is mounted, for all kernels; what the
 * default kernel lacks decides. */
static int check_boot_driver(const struct subject *s, const char *name, struct verdict *v,
                             struct err *e)
{
    size_t i = linux_default_kernel(s);
    auto_buf struct buf todo = BUF_INIT;
    const struct guest_driver *d;

    if (i == SIZE_MAX)
        return verdict_unknown(v, e, "the default kernel is not known");
    d = linux_driver(&s->info->kernels.v[i], name);
    if (d->place == DRIVER_ABSENT)
        return verdict_refused(v, e, "/lib/modules/%s has no %s",
                               s->info->kernels.v[i].version, name);
    vec_foreach (k, &s->info->kernels)
        if (k->initrd && linux_driver(k, name)->place == DRIVER_MODULE)
            buf_addf(&todo, "%s%s", todo.len ? ", " : "", k->initrd);
    if (buf_check(&todo, e) < 0)
        return -1;
    if (todo.len)
        return verdict_fixable(v, FINDING_FIX_CONVERT, e,
                               "%s lacks %s, which is in "
                               "/lib/modules",
                               buf_str(&todo), name);
    return verdict_met(v, e, "kernel %s: %s is %s", s->info->kernels.v[i].version, name,
                       d->place == DRIVER_BUILTIN ? "built in" : "in the initramfs");
}

static int check_nvme(const struct subject *s, struct verdict *v, struct err *e)
{
    if (s->options->profile == GUEST_XEN)
        return verdict_not_needed(v, e, "the target is a Xen instance");
    return check_boot_driver(s, "nvme", v, e);
}

const struct requirement linux_nvme = {
    .id = "linux-nvme",
    .title = "NVMe driver in the initramfs",
    .why = "Nitro instances present EBS volumes as NVMe disks; without the driver in the "
           "initramfs the root is not found",
    .remedy = "install a kernel with NVMe support in the source machine, or choose a Xen "
              "instance type and --profile xen",
    .methods = FOR_OURS,
    .check = check_nvme,
};

static int check_ena(const struct subject *s, struct verdict *v, struct err *e)
{
    size_t i = linux_default_kernel(s);

    if (s->options->profile == GUEST_XEN)
        return verdict_not_needed(v, e, "the target is a Xen instance");
    if (i == SIZE_MAX)
        return verdict_unknown(v, e, "the default kernel is not known");
    const struct guest_kernel *k = &s->info->kernels.v[i];
    if (linux_driver(k, "ena")->place == DRIVER_ABSENT)
        return verdict_refused(v, e, "/lib/modules/%s has no ena", k->version);
    return verdict_met(v, e, "/lib/modules/%s has ena", k->version);
}

const struct requirement linux_ena = {
    .id = "linux-ena",
    .title = "ENA network driver",
    .why = "Nitro instances have an ENA network card; without its driver nobody reaches "
           "the machine",
    .remedy =
        "install a kernel with the ena driver in the source machine, or choose a Xen "
        "instance type and --profile xen",
    .methods = FOR_ALL,
    .check = check_ena,
};

static int check_xen(const struct subject *s, struct verdict *v, struct err *e)
{
    size_t i = linux_default_kernel(s);

    if (s->options->profile == GUEST_NITRO)
        return verdict_not_needed(v, e, "the target is a Nitro instance");
    if (i != SIZE_MAX &&
        linux_driver(&s->info->kernels.v[i], "xen-netfront")->place == DRIVER_ABSENT)
        return verdict_refused(v, e, "/lib/modules/%s has no xen-netfront",
                               s->info->kernels.v[i].version);
    return check_boot_driver(s, "xen-blkfront", v, e);
}

const struct requirement linux_xen = {
    .id = "linux-xen",
    .title = "Xen disk and network drivers",
    .why = "Xen instance types (t2, m4, c4, r4, …) present paravirtual disks and cards",
    .remedy =
        "install a kernel with Xen guest support in the source machine, or choose a "
        "Nitro instance type",
    .methods = FOR_OURS,
    .check = check_xen,
};

/* ---- room ---- */

static int check_space(const struct subject *s, struct verdict *v, struct err *e)
{
    uint64_t need = 0, have;

    for (size_t i = 0; i < s->images.n; i++)
        if (s->images.v[i].bytes.len > need)
            need = s->images.v[i].bytes.len;
    need += LINUX_SUPPLEMENT_BYTES;
    if (gfs_space(&s->fs, "/boot", &have, e) < 0)
        return -1;
    if (have < need)
        return verdict_refused(v, e, "/boot has %llu MiB free, %llu MiB are needed",
                               (unsigned long long)(have / MIB),
                               (unsigned long long)((need + MIB - 1) / MIB));
    return verdict_met(v, e, "/boot has %llu MiB free, %llu MiB are needed",
                       (unsigned long long)(have / MIB),
                       (unsigned long long)((need + MIB - 1) / MIB));
}

const struct requirement linux_boot_space = {
    .id = "linux-boot-space",
    .title = "Room for the larger initramfs",
    .why =
        "the new image is written beside the old one, so that a crash leaves one of both",
    .remedy = "remove old kernels in the source machine",
    .methods = FOR_OURS,
    .check = check_space,
};

/* ---- kernel command line ---- */

static int check_root_name(const struct subject *s, struct verdict *v, struct err *e)
{
    const char *first = NULL;

    vec_foreach (x, &s->menu.entries) {
        auto_free char *root = NULL;
        uint32_t disk, partition;

        if (!x->args)
            continue;
        if (cmdline_get(x->args, "root", &root, e) < 0)
            return -1;
        if (!root || device_name(root, &disk, &partition) == DEVICE_STABLE) {
            first = first ? first : x->args;
            continue;
        }
        if (!s->root->fs.uuid[0])
            return verdict_refused(v, e, "%s: root=%s, and the root has no UUID",
                                   s->grub_cfg, root);
        return verdict_fixable(v, FINDING_FIX_CONVERT, e, "%s: root=%s", s->grub_cfg,
                               root);
    }
    if (!first)
        return verdict_unknown(v, e, "no kernel line was found in the boot menu");
    return verdict_met(v, e, "%s: root by UUID, label or volume", s->grub_cfg);
}

const struct requirement linux_root_name = {
    .id = "linux-root-name",
    .title = "Root named by UUID in the boot menu",
    .why = "root=/dev/sda1 does not exist on EC2",
    .remedy = "use root=UUID= in the boot menu; hotadd convert does it",
    .methods = FOR_OURS,
    .check = check_root_name,
};

/* Does every kernel line have the parameter (with a value that begins so)? */
static int all_have(const struct subject *s, const char *key, const char *begin,
                    const struct grub_entry **ret_without, struct err *e)
{
    *ret_without = NULL;
    vec_foreach (x, &s->menu.entries) {
        auto_free char *value = NULL;

        if (!x->kernel || *ret_without)
            continue;
        if (cmdline_get(x->args ? x->args : "", key, &value, e) < 0)
            return -1;
        if (!value || !str_starts(value, begin))
            *ret_without = x;
    }
    return 0;
}

static int check_console(const struct subject *s, struct verdict *v, struct err *e)
{
    const struct grub_entry *without;

    if (!s->grub_cfg)
        return verdict_unknown(v, e, "no boot menu");
    if (all_have(s, "console", "ttyS0", &without, e) < 0)
        return -1;
    if (without)
        return verdict_fixable(v, FINDING_FIX_CONVERT, e, "%s: no console=ttyS0",
                               s->grub_cfg);
    return verdict_met(v, e, "%s: console=ttyS0", s->grub_cfg);
}

const struct requirement linux_console = {
    .id = "linux-console",
    .title = "Serial console",
    .why = "EC2 shows a machine's boot messages and its login prompt on the serial port "
           "only",
    .remedy = "add console=tty0 console=ttyS0,115200n8 to the kernel's options; hotadd "
              "convert does it",
    .weight = WEIGHT_ADVICE,
    .methods = FOR_OURS,
    .check = check_console,
};

static const char *timeout_option(bool core, bool wide)
{
    return core ? (wide ? "nvme_core.io_timeout=4294967295" : "nvme_core.io_timeout=255")
                : (wide ? "nvme.io_timeout=4294967295" : "nvme.io_timeout=255");
}

const char *linux_nvme_timeout_option(const char *kernel_version)
{
    char *end;
    unsigned long major = strtoul(kernel_version, &end, 10),
                  minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;

    return timeout_option(major > 4 || (major == 4 && minor >= 6),
                          major > 4 || (major == 4 && minor >= 15));
}

static int read_module(void *ctx, const char *path, struct buf *out, struct err *e)
{
    const struct subject *s = ctx;

    return gfs_read(&s->fs, path, MAX_MODULE, out, e);
}

/* modinfo(8)'s "parmtype=io_timeout:uint" or ":byte" in the module's object. */
int linux_nvme_option(const struct subject *s, size_t i, const char **ret, struct err *e)
{
    static const char *const modules[] = {"nvme", "nvme-core"},
                             type[] = "parmtype=io_timeout:";
    const char *version = s->info->kernels.v[i].version;

    for (int core = 1; core >= 0; core--) {
        auto_buf struct buf b = BUF_INIT;
        struct err why = ERR_INIT;
        const char *p;

        if (initrd_module_object(s->images.v[i].modules, version, modules[core],
                                 read_module, (void *)s, &b, &why) < 0) {
            /* Built in, or damaged: its version must do. */
            if (why.kind == ERR_NOT_FOUND || why.kind == ERR_INPUT ||
                why.kind == ERR_UNSUPPORTED)
                continue;
            *e = why;
            return -1;
        }
        p = memmem(b.data, b.len, type, sizeof type - 1);
        if (!p)
            continue;
        *ret = timeout_option(core, !str_starts(p + sizeof type - 1, "byte"));
        return 0;
    }
    *ret = linux_nvme_timeout_option(version);
    return 0;
}

static int check_timeout(const struct subject *s, struct verdict *v, struct err *e)
{
    size_t i = linux_default_kernel(s);
    const struct grub_entry *without;
    auto_free char *key = NULL;
    const char *option;

    if (s->options->profile == GUEST_XEN)
        return verdict_not_needed(v, e, "the target is a Xen instance");
    if (i == SIZE_MAX || !s->grub_cfg)
        return verdict_unknown(v, e, "the default kernel is not known");
    if (linux_nvme_option(s, i, &option, e) < 0)
        return -1;
    key = str_ndup(option, strcspn(option, "="), e);
    if (!key || all_have(s, key, "", &without, e) < 0)
        return -1;
    if (without)
        return verdict_fixable(v, FINDING_FIX_CONVERT, e, "%s: no %s", s->grub_cfg, key);
    return verdict_met(v, e, "%s: %s is set", s->grub_cfg, key);
}

const struct requirement linux_nvme_timeout = {
    .id = "linux-nvme-timeout",
    .title = "Long NVMe timeout",
    .why = "with the kernel's 30 seconds a stall of the storage network turns into I/O "
           "errors and a read-only root",
    .remedy =
        "add nvme_core.io_timeout=4294967295 to the kernel's options; hotadd convert "
        "does it",
    .weight = WEIGHT_ADVICE,
    .methods = FOR_OURS,
    .check = check_timeout,
};
