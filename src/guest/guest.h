/* The guest inside a machine's disks: what it is, what it lacks to run on EC2, and its
 * conversion. This is the client's side: libguestfs runs in a child process
 * (hotadd-guest) that gets no credentials, a scrubbed environment and a deadline, and is
 * killed with its appliance on cancellation. No code of the guest is ever run.
 *
 * All functions block (an appliance takes about 10 s to start under emulation), may be
 * called from several threads, and leave their outputs untouched on failure. A guest
 * that cannot be converted is no failure: it has a finding in state FINDING_REFUSED.
 *
 * What is checked and changed, and why: hotadd-requirements(7), docs/guests.md. */
#ifndef HOTADD_GUEST_GUEST_H
#define HOTADD_GUEST_GUEST_H

#include "base/auto.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/progress.h"
#include "base/strv.h"
#include "disk/machine.h"

#include <jansson.h>

/* Where a disk's bytes are. One of nbd_socket and path is set; the order of the array
 * is the guest's (the first is its boot disk, /dev/sda). All borrowed. */
struct guest_disk {
    const char *nbd_socket; /* unix socket of an NBD server */
    const char *nbd_export; /* export name there; NULL is the default export */
    const char *path;       /* block device or raw image file */
};

enum guest_method { GUEST_SWAP, GUEST_IMAGE, GUEST_IMPORT };
/* What the instance will drive: Nitro (NVMe, ENA), Xen, or either. */
enum guest_profile { GUEST_NITRO, GUEST_XEN, GUEST_BOTH };
/* RESTORE: the source is said to be fit for EC2 and is not changed. CONVERT: it comes
 * from elsewhere, and the conversion will supply what is marked FIXABLE. */
enum guest_purpose { GUEST_RESTORE, GUEST_CONVERT };

/* What starts a Windows guest's first boot: a service of LocalSystem, or a program in the
 * session of a user who is logged on automatically. */
enum first_boot_way { FIRST_BOOT_SERVICE, FIRST_BOOT_AUTOLOGON };

const char *guest_method_name(enum guest_method m);     /* "swap", "image", "import" */
const char *guest_profile_name(enum guest_profile p);   /* "nitro", "xen", "both" */
const char *guest_purpose_name(enum guest_purpose p);   /* "restore", "convert" */
const char *first_boot_way_name(enum first_boot_way w); /* "service", "autologon" */
/* The names above; an unknown one is ERR_USAGE. */
int guest_method_parse(const char *name, enum guest_method *ret,
                       struct err *e) err_warn_unused;
int guest_profile_parse(const char *name, enum guest_profile *ret,
                        struct err *e) err_warn_unused;
int first_boot_way_parse(const char *name, enum first_boot_way *ret,
                         struct err *e) err_warn_unused;

#define GUEST_DRIVERS_DIR "/var/lib/hotadd/drivers"

/* Zeroed is a good default. Borrowed strings. */
struct guest_options {
    enum guest_method method;
    enum guest_profile profile;
    enum guest_purpose purpose;
    enum firmware firmware; /* of the source machine, where its description says */
    bool fix; /* also mend requirements that are the user's (static address, …) */
    bool windows_gpt; /* Windows guests on GPT disks, which boot by UEFI, are wanted */
    bool discard_hibernation; /* Windows guests: lose a saved session */
    bool dry_run;             /* guest_convert: only plan */
    /* Windows guests: the folder with AWS's packages, NULL: GUEST_DRIVERS_DIR; and the
     * first-boot service's program, NULL: the installed one, or the build tree's. */
    const char *drivers, *first_boot;
    enum first_boot_way first_boot_way;
    /* For autologon: who, as NAME or DOMAIN\NAME (NULL: Administrator), and the file
     * whose first line is the password, which only the child reads. */
    const char *logon_user, *logon_password_file;
    uint64_t deadline_ns; /* duration allowed in all; 0: ten minutes */
    const char *program;  /* hotadd-guest to run; NULL: the installed one, or the one
                           * beside the running program (build tree) */
};

enum finding_state {
    FINDING_MET,
    FINDING_FIXABLE,    /* not met, can be mended offline; see fix */
    FINDING_REFUSED,    /* not met, and the remedy is the user's */
    FINDING_UNKNOWN,    /* could not be decided; never counts as met */
    FINDING_NOT_NEEDED, /* this method, profile or our way of doing it does not ask it */
};

/* Who mends a FIXABLE one. */
enum finding_fix {
    FINDING_FIX_NONE,
    FINDING_FIX_CONVERT, /* every conversion does it */
    FINDING_FIX_OPTION,  /* only with guest_options.fix, as it changes how the guest is
                          * administered */
};

const char *finding_state_name(enum finding_state s); /* "met", "fixable", … */
const char *finding_fix_name(enum finding_fix f);     /* "none", "convert", "option" */

struct finding {
    char *id;    /* owned, as are all below: "linux-fstab", see hotadd-requirements(7) */
    char *title; /* a few words: "Disks named by UUID" */
    enum finding_state state;
    enum finding_fix fix;
    char *seen;   /* the file or key and the value that decided it */
    char *why;    /* why it matters */
    char *remedy; /* what to do; "" when nothing is */
};

enum driver_place {
    DRIVER_ABSENT,    /* the kernel has no such driver */
    DRIVER_MODULE,    /* in /lib/modules */
    DRIVER_BUILTIN,   /* in the kernel image */
    DRIVER_INITRAMFS, /* a module, and the initramfs holds it too */
};
const char *driver_place_name(enum driver_place p);

struct guest_driver {
    char *name; /* owned: "nvme", "ena", "xen-blkfront", "xen-netfront" */
    enum driver_place place;
};

struct guest_kernel {
    char *version;     /* owned, as are all below: "6.1.0-28-amd64" */
    char *image;       /* path in the guest: "/boot/vmlinuz-…" */
    char *initrd;      /* NULL: none */
    char *compression; /* of the initramfs's main archive: "zstd"; NULL: unknown */
    char *tool;        /* that made it: "initramfs-tools", "dracut"; NULL: unknown */
    bool is_default;   /* the boot loader starts this one */
    struct VEC(struct guest_driver) drivers;
};

struct guest_filesystem {
    char *mountpoint; /* owned, as are all below: "/", "/boot" */
    char *device;     /* as the appliance names it: "/dev/sda1", "/dev/vg/root" */
    char *type;       /* "ext4" */
    char *uuid;       /* NULL: none */
    uint64_t size_bytes, free_bytes; /* 0, 0: not mounted during the check */
};

/* What can be said of a guest. Strings are owned and NULL where unknown; when there is
 * not exactly one system inside, most are NULL and a finding says why. */
struct guest_info {
    char *type;         /* "linux", "windows", … */
    char *distro;       /* "debian", "ubuntu", "rhel", … */
    char *family;       /* how we treat it: "debian", "rhel", "suse", …, "windows" */
    char *product_name; /* "Debian GNU/Linux 12 (bookworm)" */
    uint32_t major, minor;
    char *arch; /* "x86_64" */
    char *hostname;
    bool boots_bios;      /* boot code and a partition it starts were found */
    bool boots_uefi;      /* an EFI system partition with a loader was found */
    char *partitioning;   /* of the boot disk: "msdos", "gpt" */
    char *root_fs;        /* "ext4" */
    char *boot_loader;    /* "grub2", "grub-legacy", "systemd-boot" */
    char *initramfs_tool; /* of the default kernel */
    char *network_tool;   /* "ifupdown", "netplan", "networkmanager", … */
    bool fits_nitro;      /* as it is now or after conversion */
    bool fits_xen;
    struct VEC(struct guest_filesystem) filesystems;
    struct VEC(struct guest_kernel) kernels;
    struct VEC(struct finding) findings;
};

/* One change, planned or made. */
struct guest_edit {
    char *path; /* owned, as are all below: in the guest */
    char *what; /* "name disks by UUID" */
    char *why;
    bool done; /* false in a plan, and for what needed no change */
};

struct guest_report {
    struct guest_info *info;             /* owned: as checked before the conversion */
    struct VEC(struct guest_edit) edits; /* empty: there was nothing to do */
    struct strv changed; /* files written or removed; also listed in the journal
                          * /var/lib/hotadd/conversion.json (Windows:
                          * %SystemRoot%\HotAdd\conversion.json) inside the guest */
    bool dry_run;
};

/* Reads only: the disks are opened read-only (changes an unclean journal needs go to a
 * scratch overlay). */
int guest_check(const struct guest_disk *disks, size_t n, const struct guest_options *o,
                const struct cancel *cancel, const struct progress *progress,
                struct guest_info **ret, struct err *e) err_warn_unused;

/* Checks, plans, and unless o->dry_run writes. A guest with a blocking finding is not
 * touched: ERR_REQUIREMENT, which names the first. May be repeated: what is done
 * already is found done. After a failure or a kill in the middle each file of the guest
 * is the old one or the new one, and a repetition completes the work. */
int guest_convert(const struct guest_disk *disks, size_t n, const struct guest_options *o,
                  const struct cancel *cancel, const struct progress *progress,
                  struct guest_report **ret, struct err *e) err_warn_unused;

/* Whether this finding stops the job: refused, or fixable by nobody who was asked. An
 * unknown one does not, but deserves a warning. */
bool finding_blocks(const struct finding *f, const struct guest_options *o);

/* The first that blocks, borrowed; NULL: none does. */
const struct finding *guest_info_blocker(const struct guest_info *info,
                                         const struct guest_options *o);

/* Borrowed; NULL when there is no such finding. */
const struct finding *guest_info_finding(const struct guest_info *info, const char *id);

/* For --json, plans and the journal; members are named as the fields above. Owned;
 * NULL when out of memory (e set). */
json_t *guest_info_json(const struct guest_info *info, struct err *e);
json_t *guest_report_json(const struct guest_report *r, struct err *e);

/* The reverse, for what a journal or the child wrote. */
int guest_info_from_json(const json_t *j, struct guest_info **ret,
                         struct err *e) err_warn_unused;
int guest_report_from_json(const json_t *j, struct guest_report **ret,
                           struct err *e) err_warn_unused;

void guest_info_free(struct guest_info *info);
void guest_report_free(struct guest_report *r);
DEFINE_AUTO_PTR(struct guest_info, guest_info_free)
DEFINE_AUTO_PTR(struct guest_report, guest_report_free)
#define auto_guest_info   auto_call(guest_info_free_autop)
#define auto_guest_report auto_call(guest_report_free_autop)

#endif
