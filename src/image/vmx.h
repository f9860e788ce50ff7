/* VMware's VM configuration, lines of key = "value". There is no published format; what
 * is read is what Workstation, Player, Fusion and ESXi write. */
#ifndef HOTADD_IMAGE_VMX_H
#define HOTADD_IMAGE_VMX_H

#include "base/vec.h"

struct vmx_entry {
    char *key, *value; /* owned */
    unsigned line;
};

struct vmx {
    struct VEC(struct vmx_entry) entries; /* sorted by key, letter case ignored */
};

int vmx_parse(const char *text, const char *name, struct vmx *ret,
              struct err *e) err_warn_unused;
void vmx_release(struct vmx *v);

/* Borrowed; NULL when absent. The key is formatted. */
const char *vmx_get(const struct vmx *v, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
