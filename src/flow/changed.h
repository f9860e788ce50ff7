/* Which parts of a machine's disks changed since a recovery point, as told by whoever
 * kept count: a file of `hotadd backup --changed`, or a dirty bitmap. hotadd-backup(1)
 * documents the file.
 *
 * The file is a sequence of JSON objects, or arrays of them, in either of two shapes:
 *   {"disk": 1, "offset": 65536, "length": 4096}
 *       bytes of that disk that changed; whatever no object of this disk names did not
 *   {"disk": 1, "startOffset": 0, "length": 107374182400,
 *    "changedArea": [{"start": 65536, "length": 4096}, …]}
 *       VMware's DiskChangeInfo, as QueryChangedDiskAreas answers: inside the range only
 *       the areas changed; of what is outside of every such range nothing is known
 * Disks count from 1; "disk" may be left out when there is one. Members that are not
 * named here are ignored. A disk of which nothing is said is not known to be unchanged
 * anywhere. */
#ifndef HOTADD_FLOW_CHANGED_H
#define HOTADD_FLOW_CHANGED_H

#include "base/err.h"
#include "disk/extent.h"

struct changed_disk {
    bool all_known; /* what is not in `changed` is unchanged, to the disk's end… */
    struct extent_set known; /* …or in these ranges only */
    struct extent_set changed;
};

struct changed_map {
    struct changed_disk *v; /* owned; one for each disk */
    size_t n;
};

#define auto_changed_map auto_call(changed_map_release)
int changed_map_init(struct changed_map *m, size_t n_disks,
                     struct err *e) err_warn_unused;
void changed_map_release(struct changed_map *m);

/* Adds what the text says to the map. `what` names it in errors. Everything is checked
 * but the disks' sizes: ERR_INPUT says which object is wrong. */
int changed_parse(const char *text, size_t len, const char *what, struct changed_map *map,
                  struct err *e) err_warn_unused;

/* The same of a file of at most 64 MiB. */
int changed_read(const char *path, struct changed_map *map,
                 struct err *e) err_warn_unused;

/* Adds the blocks of the disk that are known not to have changed, wholly and up to
 * size_bytes: whole multiples of block_bytes (a power of two), and the last one of the
 * disk. ERR_INPUT when a change lies beyond the disk: the file is another disk's. */
int changed_unchanged(const struct changed_disk *d, uint64_t size_bytes,
                      uint32_t block_bytes, struct extent_set *ret,
                      struct err *e) err_warn_unused;

#endif
