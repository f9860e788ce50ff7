/* What extending needs of a guest's module lists beyond modules.h. Internal to this
 * folder; everything returned is borrowed. */
#ifndef HOTADD_GUEST_INITRD_MODULES_INTERNAL_H
#define HOTADD_GUEST_INITRD_MODULES_INTERNAL_H

#include "guest/initrd/modules.h"

#include <stdint.h>

struct modules_dep {
    char *name; /* owned, '_' spelling */
    const char *path;
    const char *deps; /* "path path …" */
    uint32_t order;   /* line in modules.dep */
};

/* An "alias PATTERN NAME" line of modules.alias or modules.symbols. */
struct modules_alias {
    const char *pattern, *module;
};

struct modules_aliases VEC(struct modules_alias);

const struct modules_dep *modules_dep_find(const struct modules *m, const char *name);
const struct modules_aliases *modules_aliases(const struct modules *m);
const struct modules_aliases *modules_symbols(const struct modules *m);

/* The words after "softdep NAME" of each line for that module, in order: fn's non-zero
 * result ends it and is returned. */
int modules_softdeps(const struct modules *m, const char *name,
                     int (*fn)(void *ctx, const char *words, struct err *e), void *ctx,
                     struct err *e) err_warn_unused;

/* Cuts the next word (between spaces or tabs) off *p. False at the end of the line. */
bool modules_word(const char **p, const char **ret, size_t *ret_len);

/* The name of the module a path in modules.dep denotes, of `len` bytes. */
bool modules_path_name(const char *path, size_t len, char *out);

#endif
