/* A guest's files in memory, for tests: the operation tables of guest/gfs.h and
 * guest/convert.h, with a write that can be made to fail. Links in directories are not
 * followed; a final one is. */
#ifndef HOTADD_TESTS_UNIT_MEMFS_H
#define HOTADD_TESTS_UNIT_MEMFS_H

#include "guest/convert.h"
#include "guest/gfs.h"

struct memfs_node {
    char *path;
    enum gfs_type type;
    struct buf data; /* or the target of a link */
    uint32_t mode;
};

struct memfs {
    struct VEC(struct memfs_node) nodes;
    uint64_t free_bytes;
    size_t writes;  /* operations that changed something */
    size_t fail_at; /* 0: never; else the n-th such operation fails, and all after it */
    size_t syncs;
    size_t reads; /* questions asked: a message to the appliance each, there */
};

void memfs_init(struct memfs *m);
void memfs_release(struct memfs *m);
struct gfs memfs_gfs(struct memfs *m);
extern const struct gfs_write_ops memfs_write_ops;

/* Directories on the way are made. */
void memfs_file(struct memfs *m, const char *path, const char *text);
void memfs_bytes(struct memfs *m, const char *path, const void *data, size_t len);
void memfs_link(struct memfs *m, const char *path, const char *target);
void memfs_dir(struct memfs *m, const char *path);
void memfs_remove(struct memfs *m, const char *path);

/* Contents, borrowed; NULL when there is no such file. */
const char *memfs_text(const struct memfs *m, const char *path);
struct memfs_node *memfs_find(const struct memfs *m, const char *path);

/* Everything, as one text: to compare two states. Owned. */
char *memfs_dump(const struct memfs *m, const char *except_below);
void memfs_copy(struct memfs *to, const struct memfs *from);

#endif
