/* GRUB's menus: GRUB 2 (grub.cfg, grubenv), GRUB legacy (grub.conf, menu.lst) and Boot
 * Loader Specification entries. Read as text: the script language is not run, so entries
 * made by loops or conditions count as if their condition held. Pure. */
#ifndef HOTADD_GUEST_TEXT_GRUB_H
#define HOTADD_GUEST_TEXT_GRUB_H

#include "base/buf.h"
#include "base/strv.h"
#include "guest/text/cmdline.h"

#include <stdint.h>

struct grub_entry {
    char *title; /* owned, as are all below; NULL where absent */
    char *id;
    char *kernel; /* path as written: relative to GRUB's root device */
    char *args;
    struct strv initrds;
    uint32_t parent; /* index of the submenu, UINT32_MAX at the top */
    uint32_t number; /* position among its siblings */
    bool submenu;
};

void grub_entry_release(struct grub_entry *x);

struct grub_menu {
    struct VEC(struct grub_entry) entries; /* submenus too, in order */
    char *default_entry; /* as set; NULL: the first. May be "${saved_entry}" */
    char *kernelopts;    /* what grub.cfg sets it to where grubenv does not; or NULL */
    bool blscfg;         /* entries come from /boot/loader/entries */
};
void grub_menu_release(struct grub_menu *m);
#define auto_grub_menu auto_call(grub_menu_release)

int grub_cfg_parse(const char *text, struct grub_menu *ret,
                   struct err *e) err_warn_unused;
int grub_legacy_parse(const char *text, struct grub_menu *ret,
                      struct err *e) err_warn_unused;

/* A BLS file: adds one entry; its id is the file's name without ".conf". `kernelopts` is
 * what $kernelopts stands for (grubenv), may be NULL. */
int grub_bls_parse(const char *text, const char *id, const char *kernelopts,
                   struct grub_menu *add_to, struct err *e) err_warn_unused;
/* BLS entries are listed newest version first (rpmvercmp on the id). */
void grub_bls_sort(struct grub_menu *m);

/* A variable of the 1024-byte environment block; *ret NULL when absent. */
int grubenv_get(const void *data, size_t len, const char *name, char **ret,
                struct err *e) err_warn_unused;

/* The entry that is started: default_entry (with `saved` for ${saved_entry}; NULL:
 * none), as number, "a>b", title or id; the first where it leads nowhere. NULL when the
 * menu has no kernel. Borrowed. */
const struct grub_entry *grub_default(const struct grub_menu *m, const char *saved);

/* "linux", "linux16" or "linuxefi"? */
bool grub_is_linux(const char *word);

/* ---- writing (grub_write.c) ---- */

/* The text of a grub.cfg with every kernel's arguments changed, and what it sets
 * kernelopts to; appended to out, as below. Everything else stays byte for byte. */
int grub_cfg_rewrite(const char *text, const struct cmdline_want *want, struct buf *out,
                     struct err *e) err_warn_unused;
/* The same for grub.conf and menu.lst. */
int grub_legacy_rewrite(const char *text, const struct cmdline_want *want,
                        struct buf *out, struct err *e) err_warn_unused;
/* The same for a BLS file. Options that come from grubenv's kernelopts are changed there:
 * such a line stays. */
int grub_bls_rewrite(const char *text, const struct cmdline_want *want, struct buf *out,
                     struct err *e) err_warn_unused;

/* The environment block with a variable set, appended to out: as many bytes as before,
 * since GRUB writes into the file's blocks. ERR_NOSPACE when it does not fit, ERR_INPUT
 * when it is no such block. */
int grubenv_set(const void *data, size_t len, const char *name, const char *value,
                struct buf *out, struct err *e) err_warn_unused;

#endif
