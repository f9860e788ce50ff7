/* Registry edits of a conversion: the hives of the subject are changed in memory, and
 * each change is told in words, for the plan. The hives are then as they will be, so a
 * conversion's subject must not be converted twice. */
#ifndef HOTADD_GUEST_WINDOWS_EDIT_H
#define HOTADD_GUEST_WINDOWS_EDIT_H

#include "guest/convert.h"
#include "guest/windows/windows.h"

struct edits {
    const struct subject *s;
    struct buf sys_what, soft_what; /* what changed in which hive */
};
void edits_release(struct edits *x);

/* Each returns 0 or -1; `what` is told once, if anything changed. */
int edit_u32(struct edits *x, enum win_hive which, const char *path, const char *name,
             uint32_t value, const char *what, struct err *e) err_warn_unused;
int edit_str(struct edits *x, enum win_hive which, const char *path, const char *name,
             uint32_t type, const char *value, const char *what,
             struct err *e) err_warn_unused;
int edit_strv(struct edits *x, enum win_hive which, const char *path, const char *name,
              const struct strv *values, const char *what, struct err *e) err_warn_unused;
int edit_bytes(struct edits *x, enum win_hive which, const char *path, const char *name,
               uint32_t type, const struct buf *value, const char *what,
               struct err *e) err_warn_unused;
int edit_delete_value(struct edits *x, enum win_hive which, const char *path,
                      const char *name, const char *what, struct err *e) err_warn_unused;
int edit_delete_key(struct edits *x, enum win_hive which, const char *path,
                    const char *what, struct err *e) err_warn_unused;

/* The steps; see convert.c for their order. Each may be run on a converted guest. */
int convert_boot_storage(struct edits *x, struct err *e) err_warn_unused;
int convert_vmware(struct edits *x, struct err *e) err_warn_unused;
int convert_clock(struct edits *x, struct err *e) err_warn_unused;
int convert_dhcp(struct edits *x, struct err *e) err_warn_unused;
int convert_rdp(struct edits *x, struct err *e) err_warn_unused;
/* Automatic logon for the first boot, with what stands in its way put aside; or, for the
 * service, an earlier conversion's automatic logon undone. */
int convert_logon(struct edits *x, struct err *e) err_warn_unused;
/* Stages program, payload and plan of the first boot, and registers it. */
int convert_first_boot(struct conversion *c, struct edits *x,
                       struct err *e) err_warn_unused;

#endif
