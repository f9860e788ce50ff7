/* Giving up files for good: from landlock_enter on, this thread, those that it starts and
 * its children reach no file but those that were allowed. Linux'
 * Documentation/userspace-api/landlock.rst; a kernel before 5.13, or a container that
 * keeps it from us, has none. */
#ifndef HOTADD_BASE_LANDLOCK_H
#define HOTADD_BASE_LANDLOCK_H

#include "base/auto.h"
#include "base/err.h"

#include <stdint.h>

struct landlock {
    int rules;      /* owned; -1: this kernel has no Landlock */
    uint64_t known; /* rights that the kernel has a word for */
};

#define LANDLOCK_INIT                                                                    \
    {                                                                                    \
        .rules = -1                                                                      \
    }

/* What is allowed of a file, or of all at and below a folder. */
enum landlock_right {
    LANDLOCK_READ = 1,
    LANDLOCK_RUN = 2,
    LANDLOCK_WRITE = 4, /* what is there; nothing is created or removed */
};

/* Begins a set of rules. Where there is no Landlock that is no error: the calls below
 * then do nothing. */
int landlock_begin(struct landlock *ret, struct err *e) err_warn_unused;

/* `rights` are of enum landlock_right, put together. What is not there, or cannot be
 * reached, is passed over. */
int landlock_allow(const struct landlock *l, const char *path, unsigned rights,
                   struct err *e) err_warn_unused;
int landlock_allow_fd(const struct landlock *l, int fd, unsigned rights,
                      struct err *e) err_warn_unused;

/* For good; also sets no_new_privs. Call it while there is one thread. */
int landlock_enter(const struct landlock *l, struct err *e) err_warn_unused;

void landlock_release(struct landlock *l);

#endif
