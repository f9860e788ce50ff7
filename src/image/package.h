/* An OVF package, on disk (OVF) or in a tar archive (OVA): its description, its
 * manifest, and how its files are found. */
#ifndef HOTADD_IMAGE_PACKAGE_H
#define HOTADD_IMAGE_PACKAGE_H

#include "image/manifest.h"
#include "image/tar.h"

struct ovf_package {
    struct blob *ovf;           /* owned */
    struct blob *mf;            /* owned; NULL: no manifest */
    struct image_dir *dir;      /* owned */
    struct tar_members members; /* of an OVA */
    struct manifest manifest;   /* empty without mf */
};

/* `b` is borrowed. Every file that the manifest lists must be there. `path` is where an
 * OVF lies. */
int ovf_package_from(const char *path, const struct blob *b, enum image_format format,
                     const struct image_options *opt, struct ovf_package **ret,
                     struct err *e) err_warn_unused;

/* The package at path; *ret is NULL when something else is there. */
int ovf_package_open(const char *path, const struct image_options *opt,
                     struct ovf_package **ret, struct err *e) err_warn_unused;

void ovf_package_free(struct ovf_package *p);
DEFINE_AUTO_PTR(struct ovf_package, ovf_package_free)
#define auto_ovf_package auto_call(ovf_package_free_autop)

#endif
