/* Linux guests: inspection, requirements and families. Works on struct subject alone. */
#ifndef HOTADD_GUEST_LINUX_LINUX_H
#define HOTADD_GUEST_LINUX_LINUX_H

#include "guest/convert.h"
#include "guest/subject.h"

/* Which volume a device specification of fstab, crypttab or the kernel's command line
 * means: UUID=, LABEL=, PARTUUID=, their /dev/disk links, /dev/mapper and /dev/VG/LV,
 * and, by order of the disks, /dev/sda1 and its like. Borrowed; NULL when it means none
 * or cannot be told. */
const struct volume *linux_volume(const struct subject *s, const char *spec);

/* "UUID=…" for the volume; owned, NULL (with e set) on lack of memory. The volume must
 * have a UUID. */
char *linux_uuid_spec(const struct volume *v, struct err *e);

/* A file system of the guest that the check and the conversion need besides the root. */
struct linux_mount {
    const struct volume *volume;
    char *mountpoint; /* owned */
    char *options;    /* owned; "" or "subvol=…" */
};
struct linux_mounts VEC(struct linux_mount);
void linux_mounts_release(struct linux_mounts *m);

/* Reads /etc/fstab of the mounted root into s->fstab and chooses what else to mount:
 * /boot, /boot/efi, /usr, /var as far as they are file systems of their own, shortest
 * path first. */
int linux_read_fstab(struct subject *s, struct linux_mounts *ret,
                     struct err *e) err_warn_unused;

/* Everything else about the guest, into s and s->info. All is mounted. */
int linux_inspect(struct subject *s, struct err *e) err_warn_unused;

/* Parts of linux_inspect(). */
int linux_inspect_release(struct subject *s, struct err *e) err_warn_unused;
int linux_inspect_boot(struct subject *s, struct err *e) err_warn_unused;
int linux_inspect_kernels(struct subject *s, struct err *e) err_warn_unused;
int linux_inspect_network(struct subject *s, struct err *e) err_warn_unused;
int linux_inspect_menu(struct subject *s, struct err *e) err_warn_unused;
int linux_inspect_services(struct subject *s, struct err *e) err_warn_unused;

/* ---- boot menu (menu.c) ---- */

/* Files that may hold it, the one that the firmware's loader reads first; those that only
 * lead to another are among them. */
int linux_menu_files(const struct subject *s, struct strv *ret,
                     struct err *e) err_warn_unused;
bool linux_menu_is_legacy(const char *path);
/* Boot Loader Specification entries. */
int linux_menu_entries(const struct subject *s, struct strv *ret,
                       struct err *e) err_warn_unused;
/* GRUB's environment block: its owned path, and a variable in it; NULL: none. */
#define LINUX_GRUBENV_MAX 65536
int linux_grubenv(const struct subject *s, char **ret, struct err *e) err_warn_unused;
int linux_grubenv_get(const struct subject *s, const char *name, char **ret,
                      struct err *e) err_warn_unused;

/* Index in info->kernels of the one that boots; SIZE_MAX: none. */
size_t linux_default_kernel(const struct subject *s);
const struct guest_driver *linux_driver(const struct guest_kernel *k, const char *name);

/* Does the init system start the unit (systemd links, also aliases) or, for SysV, the
 * script at its usual runlevels? 1, 0, -1. */
int linux_service_enabled(const struct subject *s, const char *const *units,
                          const char *const *scripts, struct err *e);
/* Is the unit masked (a link to /dev/null)? */
int linux_unit_masked(const struct subject *s, const char *unit, struct err *e);

/* Ports on which sshd listens; at least one, at most max. */
int linux_sshd_ports(const struct subject *s, uint16_t *ret, size_t max, struct err *e);

/* What is wrong with the network for EC2. */
enum network_fault {
    NETWORK_FINE,
    NETWORK_NAME,   /* DHCP, but bound to an interface name or MAC of the old machine */
    NETWORK_STATIC, /* an address of its own */
    NETWORK_STACKED /* bond, bridge or VLAN */
};
/* `seen` gets the file and value that decided it. */
int linux_network_fault(const struct subject *s, enum network_fault *ret,
                        struct buf *seen, struct err *e) err_warn_unused;

/* Which packet filter decides about SSH, for both check and conversion. */
enum firewall_kind {
    FW_NONE,
    FW_UFW,
    FW_IPTABLES,
    FW_NFTABLES,
    FW_FIREWALLD,
    FW_SUSE,
    FW_OTHER
};
struct linux_firewall {
    enum firewall_kind kind;
    char *file; /* owned; of the rules */
    char *seen; /* owned; what decided */
    bool open, decided;
};
void linux_firewall_release(struct linux_firewall *f);
#define auto_linux_firewall auto_call(linux_firewall_release)
int linux_firewall(const struct subject *s, struct linux_firewall *ret,
                   struct err *e) err_warn_unused;

/* fstab lines that name devices by order or by the old hardware, and where they lead.
 * volume is NULL when that cannot be told. */
struct fstab_fix {
    const struct fstab_line *line;
    const struct volume *volume;
    enum device_naming naming;
};
struct fstab_fixes VEC(struct fstab_fix);
int linux_fstab_fixes(const struct subject *s, struct fstab_fixes *ret,
                      struct err *e) err_warn_unused;

/* The EFI system partition: a name in a directory without regard to case, the vendor's
 * loader (its directory and path), and EFI/BOOT/BOOTX64.EFI. Owned paths, NULL where
 * absent. s->esp must be set. */
int linux_esp_find(const struct subject *s, const char *dir, const char *name, char **ret,
                   struct err *e) err_warn_unused;
int linux_uefi_source(const struct subject *s, char **ret_dir, char **ret_loader,
                      struct err *e) err_warn_unused;
int linux_uefi_fallback(const struct subject *s, char **ret,
                        struct err *e) err_warn_unused;
bool linux_needs_uefi(const struct subject *s);

/* The option that keeps NVMe requests waiting, in the form this kernel knows: since 4.15
 * it is 32 bits wide, since 4.6 it belongs to nvme_core. */
const char *linux_nvme_timeout_option(const char *kernel_version);
/* The same for kernel i, by what its module says where it is one: vendors carry newer
 * drivers back to older kernels. */
int linux_nvme_option(const struct subject *s, size_t i, const char **ret,
                      struct err *e) err_warn_unused;

/* Files that name network cards by MAC address. */
int linux_udev_bindings(const struct subject *s, struct strv *ret,
                        struct err *e) err_warn_unused;

int linux_ssh_enabled(const struct subject *s, struct err *e);

/* How much larger an initramfs may become: modules and their index. */
#define LINUX_SUPPLEMENT_BYTES (16ull << 20)

#define LINUX_CLOUD_INIT_FILE "/etc/cloud/cloud.cfg.d/99-hotadd.cfg"

/* Files that name disks of the old machine, and what they would be without that: each
 * text as it must be, appended to out; equal to what it was where nothing is wrong. */
int linux_crypttab(const struct subject *s, const char *text, struct buf *out,
                   struct err *e) err_warn_unused;
int linux_resume(const struct subject *s, const char *text, struct buf *out,
                 struct err *e) err_warn_unused;
extern const char *const linux_mdadm_files[]; /* NULL-terminated */

/* Files inside kernel i's initramfs that would keep it from finding the disks, as they
 * must be; each owned, released by the caller. */
struct linux_inside {
    const char *path; /* static */
    const char *seen; /* static; what is wrong with it, NULL: mended already */
    struct buf text;
};
struct linux_insides VEC(struct linux_inside);
#define LINUX_INSIDES_MAX 4
int linux_inside_initramfs(const struct subject *s, size_t i, struct linux_insides *ret,
                           struct err *e) err_warn_unused;
void linux_insides_release(struct linux_insides *x);
#define auto_linux_insides auto_call(linux_insides_release)

/* Red Hat 6 and its likes: GRUB legacy, Upstart, cards that keep the name eth0. */
bool linux_is_redhat6(const struct subject *s);
/* Does systemd start this system? 1, 0, -1. */
int linux_has_systemd(const struct subject *s, struct err *e);
/* Is NetworkManager started? 1, 0, -1. */
int linux_has_networkmanager(const struct subject *s, struct err *e);

/* ---- families ---- */

struct family {
    const char *name;           /* "debian" */
    const char *const *distros; /* ids of os-release, NULL-terminated */
    const char *title;          /* "Debian and Ubuntu" */
    uint32_t oldest;            /* major version that is converted */
    int (*convert)(struct conversion *c, struct err *e);
};
/* By id, then by id_like (words; may be NULL); NULL: unknown. */
const struct family *linux_family(const char *id, const char *id_like);
const struct family *linux_family_named(const char *name);

extern const struct requirement *const linux_requirements[];

/* Tables of the files named requirements_*.c. */
extern const struct requirement linux_supported, linux_arch, linux_root_fs,
    linux_fs_clean, linux_encryption, linux_boot_loader, linux_boot_mode,
    linux_uefi_loader, linux_kernel, linux_initramfs, linux_nvme, linux_ena, linux_xen,
    linux_boot_space, linux_fstab_names, linux_crypttab_names, linux_raid_names,
    linux_root_name, linux_console, linux_nvme_timeout, linux_dhcp, linux_interface,
    linux_udev_names, linux_ssh, linux_ssh_keys, linux_firewall_open, linux_lvm_filter,
    linux_vmware_tools, linux_cloud_init, linux_import_names, linux_import_btrfs;

#endif
