/* The members of a tar archive (OVA), found in place. docs/decisions/own-tar-walk.md
 * says why libarchive does not serve here. */
#ifndef HOTADD_IMAGE_TAR_H
#define HOTADD_IMAGE_TAR_H

#include "base/vec.h"
#include "image/blob.h"

struct tar_member {
    char *name;           /* owned; relative, no ".." in it */
    uint64_t offset, len; /* of its bytes in the archive */
};

struct tar_members {
    struct VEC(struct tar_member) all;
};

/* Walks the headers (ustar, GNU long names and base-256 sizes, pax) and checks them:
 * checksums, sizes against the archive, names, duplicates. Links, devices and sparse
 * members are refused: an OVA has none. */
int tar_list(const struct blob *b, struct tar_members *ret,
             struct err *e) err_warn_unused;
void tar_members_release(struct tar_members *m);

const struct tar_member *tar_find(const struct tar_members *m, const char *name);

#endif
