/* Files of shell assignments: os-release, /etc/default/grub, ifcfg-eth0, ufw.conf. Only
 * plain assignments are understood; the shell is never run. Pure. */
#ifndef HOTADD_GUEST_TEXT_SHVAR_H
#define HOTADD_GUEST_TEXT_SHVAR_H

#include "base/buf.h"

/* Value of the last assignment, quotes and backslashes resolved as sh does for a single
 * word; what needs expansion stays as written. Owned; *ret NULL when there is none. */
int shvar_get(const char *text, const char *name, char **ret,
              struct err *e) err_warn_unused;

/* The text with the last assignment replaced, or one appended, as NAME="value" (double
 * quotes, with what is special in them escaped). Appends the whole to out. */
int shvar_set(const char *text, const char *name, const char *value, struct buf *out,
              struct err *e) err_warn_unused;

#endif
