/* The tree the kernel ends up with after unpacking members one by one. Internal to this
 * folder.
 *
 * Rules (init/initramfs.c): paths are walked like any path, through symbolic links; a
 * member whose directory does not exist is dropped; one whose type differs from what is
 * there removes that first (a directory only if empty); a file over a file replaces the
 * contents for all its hard links; a symbolic link always replaces; a regular file or
 * node with nlink >= 2 whose device, inode and type were seen since the last trailer
 * becomes a hard link to that path. /dev, /dev/console and /root exist beforehand. */
#ifndef HOTADD_GUEST_INITRD_VIEW_H
#define HOTADD_GUEST_INITRD_VIEW_H

#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "guest/initrd/initrd.h"

#include <stdint.h>

#define VIEW_ROOT    0u
#define VIEW_NO_FILE SIZE_MAX

struct view;

int view_new(struct view **ret, struct err *e) err_warn_unused;
void view_free(struct view *v);
DEFINE_AUTO_PTR(struct view, view_free)

/* Unpacks one member. Its strings are borrowed for the view's life; `index` is returned
 * by view_content() for files whose contents it sets. -1: out of memory, or the image
 * needs absurdly many steps (ERR_INPUT). */
int view_apply(struct view *v, const struct initrd_entry *m, size_t index,
               struct err *e) err_warn_unused;
/* A trailer: hard links no longer refer to what came before. */
void view_trailer(struct view *v);

/* A node number, or -1 when there is none. */
int64_t view_lookup(struct view *v, const char *path, enum initrd_follow follow);

void view_stat(const struct view *v, uint32_t node, struct initrd_stat *ret);
/* The member that gave a regular file its contents, else VIEW_NO_FILE. */
size_t view_content(const struct view *v, uint32_t node);

/* Owned canonical path of a node ("" for the root). */
int view_path(const struct view *v, uint32_t node, char **ret,
              struct err *e) err_warn_unused;

/* See initrd_canonical(). */
int view_canonical(struct view *v, const char *path, char **ret,
                   struct err *e) err_warn_unused;

/* Existing children of a directory, in no order: appended to ret. */
struct view_nodes VEC(uint32_t);
int view_children(const struct view *v, uint32_t node, struct view_nodes *ret,
                  struct err *e) err_warn_unused;
/* Borrowed, not terminated. */
const char *view_name(const struct view *v, uint32_t node, size_t *ret_len);

#endif
