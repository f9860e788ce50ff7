/* What every reader of a disk speaks: the bytes of one virtual disk, as *units* that any
 * thread may fetch in any order.
 *
 * Units tile the disk: the unit at offset 0, then the unit at its end, and so on. A run
 * of grains of a VMDK, a chunk of a repository, an extent of an NBD export are units.
 * Asking where units are is cheap (it may read tables, never data); fetching one reads,
 * decompresses and checks it. */
#ifndef HOTADD_DISK_SOURCE_H
#define HOTADD_DISK_SOURCE_H

#include "base/auto.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum unit_kind {
    UNIT_ZERO, /* reads as zeros; never fetched */
    UNIT_DATA,
};

struct unit {
    uint64_t offset; /* bytes, in the virtual disk */
    uint64_t len;    /* bytes, > 0; a data unit's at most the source's unit_max_bytes */
    enum unit_kind kind;
    uint64_t
        cookie[2]; /* the source's own: where to find it, so fetch looks up nothing */
};

struct source;

struct source_ops {
    const char *name; /* "vmdk", "raw", "nbd", "repo" */

    /* The unit that begins at `offset`, a multiple of unit_align below size_bytes.
     * A zero unit may be longer than limit_bytes; a data unit is not (limit_bytes is at
     * least unit_max_bytes or what the caller can hold, a multiple of unit_align).
     * Threads: any number at once. */
    int (*unit_at)(struct source *s, uint64_t offset, uint64_t limit_bytes,
                   struct unit *ret, struct err *e);

    /* Fills buf with the u->len bytes of a data unit that unit_at returned. The buffer
     * is aligned to 4096. After an error its contents are undefined and must not be
     * used. Threads: any number at once. */
    int (*fetch)(struct source *s, const struct unit *u, void *buf, struct err *e);

    void (*free)(struct source *s); /* never NULL */

    /* Whether it reads that file or device, so that nobody writes to it. NULL: what it
     * reads is among this process's own descriptors. */
    bool (*reads)(const struct source *s, const struct stat *file);
};

/* Embedded as the first member of each reader's own struct. */
struct source {
    const struct source_ops *ops;
    uint64_t size_bytes;     /* of the virtual disk */
    uint32_t unit_align;     /* units begin at multiples of this; a power of two */
    uint32_t unit_max_bytes; /* largest data unit that cannot be asked for in smaller
                                parts: callers' buffers hold at least this */
    uint32_t fetch_bytes;    /* so much at once pays, as where every fetch waits for a
                                server; 0: small fetches cost no more */
    uint32_t calls_at_once;  /* so many fetches under way pay, since each waits for a
                                service; 0: as many as there are cores */
    char *desc;              /* owned; names the disk in errors: "vm.ova: disk1.vmdk" */
    /* Bytes of data that will be fetched in all, for honest progress; UINT64_MAX when
     * finding out would mean reading the whole file. */
    uint64_t data_bytes_hint;
};

static inline int source_unit_at(struct source *s, uint64_t offset, uint64_t limit_bytes,
                                 struct unit *ret, struct err *e)
{
    return s->ops->unit_at(s, offset, limit_bytes, ret, e);
}

static inline int source_fetch(struct source *s, const struct unit *u, void *buf,
                               struct err *e)
{
    return s->ops->fetch(s, u, buf, e);
}

/* Whether unit_at(offset, limit_bytes) may answer that: for sources that are not trusted,
 * and for tests. */
bool source_may_tell(const struct source *s, const struct unit *u, uint64_t offset,
                     uint64_t limit_bytes);

void source_free(struct source *s);
DEFINE_AUTO_PTR(struct source, source_free)
#define auto_source auto_call(source_free_autop)

/* Any range, aligned or not, for callers that think in bytes (nbdkit, tests). `scratch`
 * holds unit_max_bytes and is 4096-aligned; it carries nothing between calls. */
int source_pread(struct source *s, void *buf, size_t len, uint64_t offset, void *scratch,
                 struct err *e) err_warn_unused;

#endif
