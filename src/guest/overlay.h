/* Planned changes over a guest's files. Reading through overlay_gfs() shows the guest as
 * it will be, so later steps of a conversion, and checks, see what earlier ones did;
 * nothing is written until apply.h does it. A change that changes nothing is none. */
#ifndef HOTADD_GUEST_OVERLAY_H
#define HOTADD_GUEST_OVERLAY_H

#include "guest/gfs.h"

enum change_kind { CHANGE_WRITE, CHANGE_REMOVE, CHANGE_LINK };

struct change {
    enum change_kind kind;
    char *path;      /* owned; no symbolic link, except when one is removed or replaced */
    struct buf data; /* CHANGE_WRITE */
    char *target;    /* CHANGE_LINK; owned */
    uint32_t mode;   /* of a file that is new; existing ones keep theirs */
    bool existed;    /* something is there now */
    char *what, *why; /* owned; for people */
};

struct overlay {
    struct gfs base;                   /* borrowed context */
    struct VEC(struct change) changes; /* at most one for each path */
    char *state_dir; /* owned; where originals and journal go; NULL: GUEST_STATE_DIR */
};
void overlay_release(struct overlay *o);

struct gfs overlay_gfs(struct overlay *o);

/* Each returns 1 when it is a change, 0 when the guest is that way already. Existing
 * files are replaced where a final link leads. */
int overlay_write(struct overlay *o, const char *path, const void *data, size_t len,
                  uint32_t mode, const char *what, const char *why, struct err *e);
int overlay_remove(struct overlay *o, const char *path, const char *what, const char *why,
                   struct err *e);
int overlay_link(struct overlay *o, const char *target, const char *path,
                 const char *what, const char *why, struct err *e);

#endif
