/* Windows guests: what is known of one, its requirements and its conversion. Works on
 * struct gfs and on hives in memory alone.
 *
 * Keys and values, and why they matter: hotadd-requirements(7), docs/windows.md. */
#ifndef HOTADD_GUEST_WINDOWS_WINDOWS_H
#define HOTADD_GUEST_WINDOWS_WINDOWS_H

#include "guest/subject.h"
#include "guest/windows/hive.h"

/* What ntfs-3g says of the system's volume when asked whether it could be written. */
enum ntfs_state {
    NTFS_UNKNOWN, /* not asked */
    NTFS_CLEAN,
    NTFS_HIBERNATED,
    NTFS_UNCLEAN, /* its journal holds work */
    NTFS_DAMAGED,
};

/* The hives that are looked at. */
enum win_hive {
    WIN_SYSTEM,
    WIN_CCS, /* SYSTEM, below the control set that Select\Current names */
    WIN_SOFTWARE,
};

struct hive_file {
    char *path;        /* owned: in the guest, as it is spelled there */
    struct hive *hive; /* owned; NULL: see fault */
    char *fault;       /* owned */
    uint32_t replayed; /* entries of its logs that were applied */
};

struct driver_store;

struct windows {
    char *root; /* owned: "/Windows", as it is spelled */
    enum ntfs_state ntfs;
    struct hive_file sys, soft; /* SYSTEM, SOFTWARE */
    struct hive_file sam;       /* local users; read for automatic logon only */
    struct hive_file bcd;       /* boot configuration; path NULL: not found */
    char *control_set;          /* owned: "ControlSet001"; NULL: unknown */
    uint32_t build;             /* 14393; 0 unknown */
    char *installation_type, *product_type, *arch; /* owned; NULL unknown */
    struct driver_store *drivers; /* owned; what is on the proxy; NULL: not looked at */
    char *drivers_fault;          /* owned; why */
};
void windows_free(struct windows *w);

/* Builds that hotadd knows. */
struct windows_version {
    uint32_t build;
    const char *name;   /* "Windows Server 2016" */
    const char *launch; /* AWS's launch agent of that version: "ec2config", "ec2launch",
                         * "ec2launch-v2" */
};
const struct windows_version *windows_version_of(uint32_t build); /* NULL: none */

/* The boot configuration (BCD) of a volume that starts, appended; its path is owned.
 * 1, 0 there is none, -1. */
int windows_read_bcd(const struct gfs *fs, struct buf *ret, char **ret_path,
                     struct err *e) err_warn_unused;

/* Fills s->windows and s->info from the mounted guest. `ntfs` is what the caller found
 * out, `bcd` what it read from another volume than the system's; empty: nothing. Hives
 * that cannot be used are no error: they have a fault. */
int windows_inspect(struct subject *s, enum ntfs_state ntfs, const struct buf *bcd,
                    struct err *e) err_warn_unused;

extern const struct requirement *const windows_requirements[];

/* Plans the whole conversion into c, as conversion_plan() does for Linux; sets up
 * c->overlay itself. */
struct conversion;
int windows_convert(struct conversion *c, struct err *e) err_warn_unused;

/* The path of something below `dir` whose parts may be spelled with other capitals;
 * owned. 1 there, 0 not (then spelled as given), -1. Parts are divided by slashes. */
int windows_path(const struct gfs *fs, const char *dir, const char *rest, char **ret,
                 struct err *e) err_warn_unused;

/* ---- reading the registry; a hive that is not there is ERR_INPUT ---- */

/* Where the path is: the hive and the whole path in it (owned). */
int windows_key(const struct subject *s, enum win_hive which, const char *path,
                struct hive **ret, char **ret_path, struct err *e) err_warn_unused;
int windows_u32(const struct subject *s, enum win_hive which, const char *path,
                const char *name, uint32_t fallback, uint32_t *ret,
                struct err *e) err_warn_unused;
/* Owned; NULL when absent. */
int windows_str(const struct subject *s, enum win_hive which, const char *path,
                const char *name, char **ret, struct err *e) err_warn_unused;
int windows_has_key(const struct subject *s, enum win_hive which, const char *path,
                    struct err *e) err_warn_unused;
int windows_keys(const struct subject *s, enum win_hive which, const char *path,
                 struct strv *ret, struct err *e) err_warn_unused;

/* ---- facts that checks and conversion share ---- */

#define WIN_TCPIP    "Services\\Tcpip\\Parameters\\Interfaces"
#define WIN_FIREWALL "Services\\SharedAccess\\Parameters\\FirewallPolicy"
#define WIN_RDP      "Control\\Terminal Server"
#define WIN_CRASH    "Control\\CrashControl"
#define WIN_TIMEZONE "Control\\TimeZoneInformation"
#define WIN_SAN      "Services\\partmgr\\Parameters"
#define WIN_POLICIES "Microsoft\\Windows\\CurrentVersion\\Policies\\System"
#define WIN_WINLOGON "Microsoft\\Windows NT\\CurrentVersion\\Winlogon"
#define WIN_PNP      "Microsoft\\Windows\\CurrentVersion"
#define WIN_RUN      "Microsoft\\Windows\\CurrentVersion\\Run"

/* What a notice at logon is made of, in the order in which Windows looks. */
#define WIN_BANNERS 4
struct windows_value {
    const char *key, *name;
};
extern const struct windows_value windows_banners[WIN_BANNERS];

/* "DOMAIN\\NAME" or "NAME" cut apart, both owned; "." is this computer. */
int windows_logon_user(const struct guest_options *o, char **ret_domain, char **ret_name,
                       struct err *e) err_warn_unused;

/* Interfaces with a static address, by their GUIDs. */
int windows_static_interfaces(const struct subject *s, struct strv *ret,
                              struct err *e) err_warn_unused;

/* One service that must start at boot for Nitro: what stands in its way. */
struct boot_service {
    const char *name;
    bool needed; /* its absence is fatal: stornvme */
    bool xen;    /* for the Xen profile only */
};
extern const struct boot_service windows_boot_services[]; /* ends with name NULL */

/* Firewall rules that let Remote Desktop in, and the profiles of the firewall. */
extern const char *const windows_rdp_rules[];
extern const char *const windows_firewall_profiles[];

/* Services of VMware's tools that are stopped. */
bool windows_is_vmware_service(const char *name);

#endif
