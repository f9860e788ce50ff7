/* The lab's own helper programs. */
#ifndef HOTADD_LAB_HELPER_H
#define HOTADD_LAB_HELPER_H

#include "base/err.h"

/* Path of a helper: what the environment's `variable` says, else beside this program,
 * else where it is installed. Owned; NULL with e set. */
char *helper_path(const char *name, const char *variable, struct err *e) err_warn_unused;

#endif
