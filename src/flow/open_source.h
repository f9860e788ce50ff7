/* The one place that opens what the user named as a source: a path or URI that `image`
 * reads, or VM[@TIME][#DISK] in a repository. */
#ifndef HOTADD_FLOW_OPEN_SOURCE_H
#define HOTADD_FLOW_OPEN_SOURCE_H

#include "disk/machine.h"
#include "flow/open_repo.h"

/* All borrowed for the call. */
struct source_spec {
    const char *source;
    const char *format; /* of a bare image; NULL: by content */
    bool trust_paths;   /* as in image/image.h */
    struct repo_where repo;
    void (*note)(void *ctx, const char *text); /* may be NULL; see image/image.h */
    void *note_ctx;
};

/* Does it name a recovery point? With a repository it does, unless it can only be a path
 * or URI: it begins with '/' or '.', or has "://" in it. No machine's name does. */
bool source_is_point(const struct source_spec *spec);

/* A machine and what its sources read from. */
struct flow_source {
    struct machine *machine;  /* owned */
    struct repo_point *point; /* owned; NULL for an image */
    size_t point_disk;        /* the point's disk that is the machine's first */
    struct flow_repo repo;
    /* Owned: what opens the same again, whatever was backed up meanwhile: the source
     * itself, or the point with its time. */
    char *pinned;
};

/* Fills *ret (zeroed by the caller), which is released with flow_source_close() also
 * after a failure. `cancel` (may be NULL) must outlive it. Errors: those of
 * image_open(), flow_repo_open() and repo_point_open(). */
int flow_source_open(const struct source_spec *spec, const struct cancel *cancel,
                     struct flow_source *ret, struct err *e) err_warn_unused;

/* The same for one disk: ret->machine has that disk alone. `disk` is its number, counting
 * from 1, or its name; NULL: the text after '#', else the only disk there is. */
int flow_source_open_disk(const struct source_spec *spec, const char *disk,
                          const struct cancel *cancel, struct flow_source *ret,
                          struct err *e) err_warn_unused;

void flow_source_close(struct flow_source *s);
#define auto_flow_source auto_call(flow_source_close)

#endif
