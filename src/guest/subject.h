/* One guest being looked at: what was found on its disks and in its files. Requirements
 * and conversions get this and nothing else, so they run on an appliance and on test
 * data alike. */
#ifndef HOTADD_GUEST_SUBJECT_H
#define HOTADD_GUEST_SUBJECT_H

#include "guest/gfs.h"
#include "guest/guest.h"
#include "guest/initrd/initrd.h"
#include "guest/storage/storage.h"
#include "guest/text/fstab.h"
#include "guest/text/grub.h"
#include "guest/text/net.h"

/* What belongs to info->kernels.v[i]. */
struct kernel_image {
    struct buf bytes;        /* the initramfs as it is in the guest */
    struct initrd *initrd;   /* owned; NULL: none, or not readable */
    struct modules *modules; /* owned; NULL: no modules.dep */
    char *fault;             /* owned; why initrd is NULL although there is a file */
};

struct subject {
    struct gfs fs; /* mounted guest */
    const struct guest_options *options;
    struct storage storage;
    struct guest_info *info;   /* owned */
    const struct volume *root; /* of storage; NULL: not exactly one system was found */
    size_t n_roots;            /* how many were */

    struct fstab fstab;
    struct grub_menu menu;
    char *grub_cfg; /* owned path of the menu; NULL: none */
    char *esp;      /* owned mount point of the EFI system partition; NULL: none */
    struct net_profiles network;
    struct strv network_files;              /* that define them, in the tool's order */
    struct VEC(struct kernel_image) images; /* side by side with info->kernels */

    struct windows *windows; /* owned; Windows guests only, see windows/windows.h */

    bool systemd;              /* there is /etc/systemd/system */
    struct strv systemd_names; /* in there: units of the machine's own, aliases, masks */
    struct strv wanted_units;  /* that targets start at boot */
};

/* fs, options, storage and root are set by the caller. */
void subject_release(struct subject *s);

/* ---- findings ---- */

/* What a check says; strings are owned by the finding that it becomes. */
struct verdict {
    enum finding_state state;
    enum finding_fix fix;
    struct buf seen;
    struct buf remedy; /* replaces the requirement's own when not empty */
};

enum weight {
    WEIGHT_NEEDED, /* without it the instance does not start or cannot be reached */
    WEIGHT_ADVICE, /* without it something is worse */
};

#define FOR_SWAP   (1u << GUEST_SWAP)
#define FOR_IMAGE  (1u << GUEST_IMAGE)
#define FOR_IMPORT (1u << GUEST_IMPORT)
#define FOR_ALL    (FOR_SWAP | FOR_IMAGE | FOR_IMPORT)
#define FOR_OURS   (FOR_SWAP | FOR_IMAGE) /* AWS's import does it itself */

struct requirement {
    const char *id, *title, *why, *remedy;
    enum weight weight;
    unsigned methods;
    /* Fills v; an error that says the guest's data are unreadable or odd makes the
     * finding unknown, any other ends the check. */
    int (*check)(const struct subject *s, struct verdict *v, struct err *e);
};

/* "met: seen" and its like; each returns 0 so that checks can return it, -1 out of
 * memory. */
int verdict_met(struct verdict *v, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int verdict_fixable(struct verdict *v, enum finding_fix fix, struct err *e,
                    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
int verdict_refused(struct verdict *v, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int verdict_unknown(struct verdict *v, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int verdict_not_needed(struct verdict *v, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Runs one and appends its finding to s->info. */
int requirement_run(struct subject *s, const struct requirement *r,
                    struct err *e) err_warn_unused;
/* A NULL-terminated table of them. */
int requirements_run(struct subject *s, const struct requirement *const *table,
                     struct err *e) err_warn_unused;

#endif
