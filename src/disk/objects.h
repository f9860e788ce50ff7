/* What a store of named objects speaks: S3 (aws/s3_objects.h) and a test's memory. A
 * repository that lies in S3 (repo/) sees this table and never a credential.
 *
 * Keys are UTF-8 without a leading '/', at most 1,024 bytes. An object appears whole or
 * not at all. Every call blocks, retries what is worth retrying by itself, ends early
 * with ERR_CANCELLED, and may be made by any number of threads at once. */
#ifndef HOTADD_DISK_OBJECTS_H
#define HOTADD_DISK_OBJECTS_H

#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct objects;

enum objects_put { OBJECTS_REPLACE, OBJECTS_IF_ABSENT };

struct objects_ops {
    const char *name;

    /* Appends the whole object; more than max_bytes is ERR_INPUT, none ERR_NOT_FOUND. */
    int (*get)(struct objects *o, const char *key, size_t max_bytes, struct buf *out,
               struct err *e);
    /* Exactly [offset, offset+len); an object that ends earlier is ERR_INPUT. */
    int (*get_range)(struct objects *o, const char *key, uint64_t offset, void *buf,
                     size_t len, struct err *e);
    /* With OBJECTS_IF_ABSENT an existing object is left alone and *ret_existed set; it
     * may be NULL with OBJECTS_REPLACE. Durable when it returns. */
    int (*put)(struct objects *o, const char *key, const void *data, size_t len,
               enum objects_put how, bool *ret_existed, struct err *e);
    /* Absent is fine. */
    int (*remove)(struct objects *o, const char *key, struct err *e);
    /* ERR_NOT_FOUND when there is none. */
    int (*stat)(struct objects *o, const char *key, uint64_t *ret_bytes, struct err *e);
    /* Every object below the prefix, in byte order of keys. With `delimiter` (0: none),
     * what lies deeper is given once, as its common prefix with is_prefix set. -1 from
     * `each` ends the walk with its error. */
    int (*list)(struct objects *o, const char *prefix, char delimiter,
                int (*each)(void *ctx, const char *key, uint64_t bytes, bool is_prefix,
                            struct err *e),
                void *ctx, struct err *e);
    void (*free)(struct objects *o);
};

/* Embedded as the first member. */
struct objects {
    const struct objects_ops *ops;
    char *desc;             /* owned; names it in errors: "s3://bucket/prefix" */
    uint32_t calls_at_once; /* so many pay, since each waits for the service; 0: no more
                               than there are cores */
};

void objects_free(struct objects *o);
DEFINE_AUTO_PTR(struct objects, objects_free)
#define auto_objects auto_call(objects_free_autop)

#endif
