/* Names of modules and of the files that hold them. Internal to this folder. */
#ifndef HOTADD_GUEST_INITRD_MODNAME_H
#define HOTADD_GUEST_INITRD_MODNAME_H

#include <stdbool.h>
#include <stddef.h>

#define MODNAME_MAX      128  /* with the NUL; the kernel's own limit is 56 or 64 */
#define MODNAME_PATH_MAX 1024 /* of a path in modules.dep, without the NUL */

enum modname_packing { MODNAME_PLAIN, MODNAME_GZIP, MODNAME_XZ, MODNAME_ZSTD };

/* From "kernel/drivers/nvme/host/nvme-core.ko.xz" to "nvme_core". False when the path
 * does not end in .ko, plain or compressed, or the name has no use. ret_packing and
 * ret_plain_len (length up to and with ".ko") may be NULL. */
bool modname_of_path(const char *path, char out[MODNAME_MAX],
                     enum modname_packing *ret_packing, size_t *ret_plain_len);

/* '-' to '_'. False when it is no possible module name (empty, too long, white space,
 * '/' or control characters). */
bool modname_normal(const char *name, char out[MODNAME_MAX]);

/* The same of the first `len` bytes. */
bool modname_normal_n(const char *name, size_t len, char out[MODNAME_MAX]);

/* May this be a path of a module below /lib/modules/K (or absolute)? No empty, "." or
 * ".." part, no white space or control characters, ends in a module's name. */
bool modname_path_ok(const char *path);

/* May this be a directory's name below /lib/modules? */
bool modname_kernel_ok(const char *kernel);

/* Does the pattern of an alias ('*', '?', '[…]', with '-' equal to '_' outside brackets)
 * match? Time is at most the product of the lengths. */
bool modname_glob(const char *pattern, const char *name);

#endif
