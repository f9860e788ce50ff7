/* A conversion: a plan of changes over the guest's files, and its execution. */
#ifndef HOTADD_GUEST_CONVERT_H
#define HOTADD_GUEST_CONVERT_H

#include "guest/overlay.h"
#include "guest/subject.h"

struct conversion {
    const struct subject *s; /* as checked; its fs is the unchanged guest */
    struct overlay overlay;
    struct gfs fs; /* the guest as it will be */
};

/* c->s is set by the caller; the rest is made here and released by
 * conversion_release(). Runs the family's conversion: the plan is in c->overlay. */
int conversion_plan(struct conversion *c, struct err *e) err_warn_unused;
void conversion_release(struct conversion *c);
#define auto_conversion auto_call(conversion_release)

/* Steps use these; 0 or -1. A step that finds nothing to do leaves no trace. */
int convert_write(struct conversion *c, const char *path, const struct buf *data,
                  uint32_t mode, const char *what, const char *why,
                  struct err *e) err_warn_unused;
int convert_remove(struct conversion *c, const char *path, const char *what,
                   const char *why, struct err *e) err_warn_unused;
int convert_link(struct conversion *c, const char *target, const char *path,
                 const char *what, const char *why, struct err *e) err_warn_unused;

/* ---- execution ---- */

/* How a guest's files are written. */
struct gfs_write_ops {
    /* Writes a new file with the mode and owner root. With `like` (may be NULL) owner,
     * mode and extended attributes are copied from that path instead. */
    int (*put)(void *ctx, const char *path, const void *data, size_t len, uint32_t mode,
               const char *like, struct err *e);
    int (*rename)(void *ctx, const char *from, const char *to, struct err *e);
    int (*remove)(void *ctx, const char *path, struct err *e);
    int (*symlink)(void *ctx, const char *target, const char *path, struct err *e);
    int (*mkdirs)(void *ctx, const char *path, uint32_t mode, struct err *e);
    /* A faithful copy (links as links), inside the guest. */
    int (*copy)(void *ctx, const char *from, const char *to, struct err *e);
    int (*sync)(void *ctx, struct err *e);
};

/* Of Linux guests; Windows guests have theirs below the system root. */
#define GUEST_STATE_DIR "/var/lib/hotadd"
#define GUEST_JOURNAL   "conversion.json" /* in the folder above */
#define GUEST_ORIGINALS "original"

/* Carries the changes out. Originals go to the state folder before anything is changed
 * (one that is there from an earlier conversion stays; large ones only where there is
 * room), the journal is written before and after. Nothing to change: nothing is touched.
 * A kill at any point leaves each file old or new, and running the conversion again
 * completes it. */
int changes_apply(const struct gfs *fs, const struct gfs_write_ops *ops,
                  const struct overlay *o, struct err *e) err_warn_unused;

/* Did a conversion begin that did not end? 1, 0, -1. */
int changes_unfinished(const struct gfs *fs, struct err *e) err_warn_unused;

#endif
