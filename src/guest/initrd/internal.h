/* What the files of this folder share about a parsed image and about extending one. */
#ifndef HOTADD_GUEST_INITRD_INTERNAL_H
#define HOTADD_GUEST_INITRD_INTERNAL_H

#include "base/vec.h"
#include "guest/initrd/initrd.h"
#include "guest/initrd/view.h"

#include <stdint.h>

/* First member of every supplement of ours, at the root of the image. */
#define INITRD_MARKER       INITRD_SUPPLEMENT_MARK
#define INITRD_MARKER_MAGIC "hotadd initramfs supplement 1\n"

struct initrd_kept {
    size_t entry;
    struct buf data;
};

struct initrd {
    const uint8_t *image; /* borrowed */
    size_t len;
    struct initrd_limits limits;
    struct VEC(struct initrd_segment) segments;
    struct VEC(struct initrd_entry) entries;
    struct VEC(char *) strings; /* blocks that hold paths and links */
    size_t string_left, string_bytes;
    struct VEC(struct initrd_kept) kept; /* ascending by entry */
    size_t kept_bytes;
    uint64_t unpacked_bytes;
    struct view *view;
};

/* ---- module files of one kernel in an image (tree.c) ---- */

struct initrd_modfile {
    char *name; /* owned, '_' spelling */
    char *path; /* owned, canonical */
};

struct initrd_modfiles VEC(struct initrd_modfile); /* sorted by name */

int initrd_modfiles_load(const struct initrd *im, const char *kernel,
                         struct initrd_modfiles *ret, struct err *e) err_warn_unused;
/* Borrowed path or NULL. */
const char *initrd_modfiles_find(const struct initrd_modfiles *f, const char *name);
void initrd_modfiles_release(struct initrd_modfiles *f);
#define auto_modfiles auto_call(initrd_modfiles_release)

/* ---- our earlier supplement (marker.c) ---- */

struct initrd_base {
    bool found;            /* there is one, and it is the last thing in the image */
    enum initrd_join join; /* how it had been added */
    struct buf image;      /* the image without it */
};

/* Finds an earlier supplement and makes the image as it was before. */
int initrd_base_make(const struct initrd *im, struct initrd_base *ret,
                     struct err *e) err_warn_unused;
void initrd_base_release(struct initrd_base *b);
#define auto_initrd_base auto_call(initrd_base_release)

/* ---- joining (join.c) ---- */

/* Which way suits the image's last segment. */
enum initrd_join initrd_join_choose(const struct initrd *im);

/* Appends to out the image with `supplement` (a whole archive) joined in that way. */
int initrd_join_make(const struct initrd *im, enum initrd_join join,
                     const uint8_t *supplement, size_t len, struct buf *out,
                     struct err *e) err_warn_unused;

/* Appends to out a gzip stream of the first `upto` unpacked bytes (UINT64_MAX: all) of
 * the last segment, followed by zeros up to a multiple of 512 and `more`. */
int initrd_recompress(const struct initrd *im, uint64_t upto, const uint8_t *more,
                      size_t more_len, struct buf *out, struct err *e) err_warn_unused;

/* ---- files of the supplement (plan.c) ---- */

struct initrd_file {
    char *path; /* owned, canonical */
    uint32_t mode;
    struct buf data;
};

struct initrd_files VEC(struct initrd_file);

/* Takes over *data. The path may be any spelling; it is made canonical in im. A second
 * file for the same path replaces the first. */
int initrd_files_add(struct initrd_files *f, const struct initrd *im, const char *path,
                     uint32_t mode, struct buf *data, struct err *e) err_warn_unused;
void initrd_files_release(struct initrd_files *f);
#define auto_initrd_files auto_call(initrd_files_release)

/* ---- orders to load modules by name, per tool ---- */

/* Adds the files that make that tool's init load `names` early. */
int initrd_tools_load(const struct initrd *im, const char *const *names, size_t n,
                      struct initrd_files *f, struct err *e) err_warn_unused;
int initrd_dracut_load(const struct initrd *im, const struct initrd_kind *kind,
                       const char *const *names, size_t n, struct initrd_files *f,
                       struct err *e) err_warn_unused;

/* ---- module index (index.c) ---- */

struct initrd_index;

/* The index kmod would use in this image for that kernel, read from the .bin files
 * (text where there are none). An image without any has an empty one. */
int initrd_index_load(const struct initrd *im, const char *kernel,
                      struct initrd_index **ret, struct err *e) err_warn_unused;
void initrd_index_free(struct initrd_index *x);
DEFINE_AUTO_PTR(struct initrd_index, initrd_index_free)
#define auto_initrd_index auto_call(initrd_index_free_autop)

/* Borrowed "path: dependencies" of a module, NULL when not indexed. */
const char *initrd_index_dep(const struct initrd_index *x, const char *name);
/* Does any alias lead to the module? */
bool initrd_index_has_alias(const struct initrd_index *x, const char *name);

struct initrd_line { /* what to index for an added module */
    const char *name;
    const char *path; /* as modules.dep shall spell it */
    char *dep;        /* owned "path: dependencies" */
};

struct initrd_lines VEC(struct initrd_line);

/* Adds to f the files of an index that has all of x and the given lines, with the
 * aliases, symbols and soft dependencies that the guest lists for their modules. */
int initrd_index_extend(const struct initrd_index *x, const struct initrd *im,
                        const char *kernel, const struct modules *guest,
                        const struct initrd_lines *lines, struct initrd_files *f,
                        struct err *e) err_warn_unused;

#endif
