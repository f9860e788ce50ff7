/* An OVF package's manifest: lines "SHA256(file) = hex". Format: DMTF DSP0243 2.1.1,
 * section 6.4 (manifest), and what VMware's and VirtualBox's exports hold. */
#ifndef HOTADD_IMAGE_MANIFEST_H
#define HOTADD_IMAGE_MANIFEST_H

#include "base/digest.h"
#include "base/vec.h"
#include "image/formats.h"

struct manifest_line {
    char *file; /* owned */
    enum digest_kind kind;
    unsigned char digest[DIGEST_MAX_BYTES];
    size_t digest_len;
};

struct manifest {
    struct VEC(struct manifest_line) lines;
};

int manifest_parse(const char *text, const char *name, struct manifest *ret,
                   struct err *e) err_warn_unused;
void manifest_release(struct manifest *m);

#endif
