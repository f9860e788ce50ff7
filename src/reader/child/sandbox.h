/* What hotadd-reader gives up, in two steps: before it opens the source, and once it has
 * it open. Neither can be undone. Where the kernel has no Landlock (before 5.13) or no
 * seccomp, or a container keeps them from us, that part is left out and said on standard
 * error. */
#ifndef HOTADD_READER_CHILD_SANDBOX_H
#define HOTADD_READER_CHILD_SANDBOX_H

#include "base/err.h"

/* For good: no file but those at or below `folders` (NULL-terminated, each may be a file
 * too) and the system's libraries; nothing is written or created; no sockets but those it
 * was given; no other program; no looking into other processes, no mounts, modules or
 * namespaces. Call it while there is one thread. */
int sandbox_begin(const char *const *folders, struct err *e) err_warn_unused;

/* For good, for all threads: from now on no file is opened; what remains is reading what
 * is open, memory, threads and clocks. */
int sandbox_close(struct err *e) err_warn_unused;

#endif
