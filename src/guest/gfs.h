/* The guest's mounted files, as checks and conversions see them: an operation table in
 * front of libguestfs (child/appliance.c), of planned changes over it (overlay.h) and of
 * plain memory in tests. Paths are absolute within the guest; symbolic links are resolved
 * within the guest. Everything read is hostile. One thread at a time; all calls may
 * block. */
#ifndef HOTADD_GUEST_GFS_H
#define HOTADD_GUEST_GFS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"

#include <stdbool.h>
#include <stdint.h>

enum gfs_type { GFS_ABSENT, GFS_FILE, GFS_DIR, GFS_LINK, GFS_OTHER };

struct gfs_stat {
    enum gfs_type type;
    uint32_t mode; /* permission bits */
    uint32_t uid, gid;
    uint64_t size_bytes;
};

struct gfs_ops {
    /* Absent is success with GFS_ABSENT. stat follows a final link, lstat does not. */
    int (*stat)(void *ctx, const char *path, struct gfs_stat *ret, struct err *e);
    int (*lstat)(void *ctx, const char *path, struct gfs_stat *ret, struct err *e);
    /* Owned target. Only called on links. */
    int (*readlink)(void *ctx, const char *path, char **ret, struct err *e);
    /* Appends names in no order; only called on directories. */
    int (*list)(void *ctx, const char *dir, struct strv *ret, struct err *e);
    /* Appends up to len bytes from offset; less only at the end of the file. Only called
     * on what stat says is a file. */
    int (*pread)(void *ctx, const char *path, uint64_t offset, size_t len,
                 struct buf *out, struct err *e);
    /* File system that holds the path. */
    int (*space)(void *ctx, const char *path, uint64_t *ret_free_bytes, struct err *e);
};

struct gfs {
    const struct gfs_ops *ops;
    void *ctx;
};

/* Largest text file that a check reads. */
#define GFS_TEXT_MAX (4u << 20)

int gfs_stat(const struct gfs *fs, const char *path, struct gfs_stat *ret,
             struct err *e) err_warn_unused;
int gfs_lstat(const struct gfs *fs, const char *path, struct gfs_stat *ret,
              struct err *e) err_warn_unused;

/* 1 yes, 0 no, -1 error. Links are followed, except by gfs_is_link. */
int gfs_is_file(const struct gfs *fs, const char *path, struct err *e) err_warn_unused;
int gfs_is_dir(const struct gfs *fs, const char *path, struct err *e) err_warn_unused;
int gfs_is_link(const struct gfs *fs, const char *path, struct err *e) err_warn_unused;

int gfs_readlink(const struct gfs *fs, const char *path, char **ret,
                 struct err *e) err_warn_unused;

/* Where a final symbolic link leads, so that a file can be replaced there; the path
 * itself when it is none. Owned. More than 16 links are ERR_INPUT. */
int gfs_resolve(const struct gfs *fs, const char *path, char **ret,
                struct err *e) err_warn_unused;

/* What a conversion writes before it takes the place of a file (apply.c). A killed one
 * leaves it behind, where it must not be taken for the guest's. */
#define GFS_STAGED_SUFFIX ".hotadd-new"

/* Sorted names in dir, "." and ".." and staged files left out; nothing when it is no
 * directory. */
int gfs_list(const struct gfs *fs, const char *dir, struct strv *ret,
             struct err *e) err_warn_unused;

/* Whole paths of the files in dir whose names end in `suffix`, sorted. */
int gfs_glob(const struct gfs *fs, const char *dir, const char *suffix, struct strv *ret,
             struct err *e) err_warn_unused;

/* Appends the whole file. ERR_NOT_FOUND; ERR_INPUT when larger than max or no file. */
int gfs_read(const struct gfs *fs, const char *path, size_t max, struct buf *out,
             struct err *e) err_warn_unused;

/* Appends at most the first len bytes. */
int gfs_read_head(const struct gfs *fs, const char *path, size_t len, struct buf *out,
                  struct err *e) err_warn_unused;

/* A text file (GFS_TEXT_MAX) that may be absent: 1 with contents, 0 absent, -1 error.
 * NUL bytes in it are ERR_INPUT, so the result is a C string. */
int gfs_text(const struct gfs *fs, const char *path, struct buf *out,
             struct err *e) err_warn_unused;

int gfs_space(const struct gfs *fs, const char *path, uint64_t *ret_free_bytes,
              struct err *e) err_warn_unused;

/* "dir/name" without doubled slashes; owned. */
int gfs_join(const char *dir, const char *name, char **ret,
             struct err *e) err_warn_unused;

#endif
