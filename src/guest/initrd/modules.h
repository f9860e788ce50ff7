/* What a guest's kernel has: the text files below /lib/modules/K that depmod wrote,
 * read without depmod. Module names compare as the kernel does: '-' equals '_'.
 *
 * Hostile input: sizes and counts are limited, unknown lines are skipped, nothing is
 * executed or followed. Pure computation on memory, except that modules_load() calls the
 * caller's reader. A loaded object is read-only and may be shared by threads.
 *
 * Sources: depmod(8), modules.dep(5), modprobe.d(5). */
#ifndef HOTADD_GUEST_INITRD_MODULES_H
#define HOTADD_GUEST_INITRD_MODULES_H

#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>

/* Appends the contents of a guest's file (absolute path, symbolic links followed within
 * the guest) to out. ERR_NOT_FOUND when there is none. May block. */
typedef int (*modules_read_fn)(void *ctx, const char *path, struct buf *out,
                               struct err *e);

struct modules;

/* Reads modules.dep (which must exist), and where present modules.builtin, modules.alias,
 * modules.symbols, modules.softdep, of /lib/modules/KERNEL. */
int modules_load(const char *kernel, modules_read_fn read, void *ctx,
                 struct modules **ret, struct err *e) err_warn_unused;
void modules_free(struct modules *m);
DEFINE_AUTO_PTR(struct modules, modules_free)
#define auto_modules auto_call(modules_free_autop)

enum modules_where { MODULES_ABSENT, MODULES_FILE, MODULES_BUILTIN };

/* Where the module is. *ret_path (may be NULL) is borrowed: relative to the kernel's
 * directory as modules.dep spells it ("kernel/drivers/nvme/host/nvme.ko.xz"), absolute
 * for a module outside it; only set for MODULES_FILE. */
enum modules_where modules_find(const struct modules *m, const char *module,
                                const char **ret_path);

/* Owned names ('_' spelling). */
struct modules_names VEC(char *);
void modules_names_release(struct modules_names *names);
#define auto_modules_names auto_call(modules_names_release)

enum modules_deps {
    MODULES_HARD,          /* without which the module cannot be loaded */
    MODULES_HARD_AND_SOFT, /* also those modprobe would load beside it */
};

/* The module and everything it needs, each once, needed ones before their users.
 * Built-in ones are left out, soft dependencies that the guest does not have too; a hard
 * one that is missing is ERR_INPUT. ERR_NOT_FOUND when the module itself is absent,
 * nothing when it is built in. Appends to ret what is not in it yet. */
int modules_closure(const struct modules *m, const char *module, enum modules_deps deps,
                    struct modules_names *ret, struct err *e) err_warn_unused;

#endif
