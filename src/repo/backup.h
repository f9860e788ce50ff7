/* Inside src/repo only: a recovery point being written. */
#ifndef HOTADD_REPO_BACKUP_H
#define HOTADD_REPO_BACKUP_H

#include "repo/private.h"

#include <pthread.h>
#include <stdatomic.h>

struct backup_disk {
    struct sink base;
    struct repo_backup *backup; /* borrowed */
    char *file;                 /* owned: "drive-scsi0.img.fidx" */
    char *name;                 /* owned: without ".fidx" */
    struct fidx_writer writer;
    unsigned char zero[2][SHA256_BYTES]; /* of a whole chunk, of the last */
    pthread_mutex_t lock;                /* guards zero_stored */
    bool zero_stored[2];
};

struct repo_backup {
    struct repo *repo;             /* borrowed */
    char *group, *path;            /* owned */
    char *id;                      /* owned */
    const struct repo_point *base; /* borrowed; NULL: none, or not usable */
    enum repo_crypt crypt;
    uint32_t chunk_bytes;
    int level; /* of zstd; 0: no compression */
    int64_t time;
    /* Chunks that are as new as a crashed run of this group (Unix seconds) may have lost
     * their data with the machine's power: they are read before they are relied on. */
    int64_t suspect_since;
    int store_lock, group_lock, point_lock; /* owned; -1 */
    bool made, finished;
    struct VEC(struct backup_disk *) disks; /* owned */
    _Atomic uint64_t chunks, new_chunks, data_bytes, stored_bytes, reused_bytes;
};

/* Makes the disk with its sink and takes over the digests of what is unchanged. */
int backup_disk_new(struct repo_backup *b, const char *name, uint64_t size_bytes,
                    const struct extent_set *unchanged, struct backup_disk **ret,
                    struct err *e) err_warn_unused;
void backup_disk_free(struct backup_disk *d);

#endif
