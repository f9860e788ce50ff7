/* Inside src/repo only: a verification under way. */
#ifndef HOTADD_REPO_VERIFY_H
#define HOTADD_REPO_VERIFY_H

#include "repo/private.h"

#include <pthread.h>
#include <stdatomic.h>

/* Where chunks of the virtual disk may begin: the smallest chunk size. */
#define VERIFY_ALIGN FIDX_MIN_CHUNK

struct verify_disk {
    size_t point;       /* index of its point */
    char *name;         /* owned: "drive-scsi0.img" */
    struct fidx *index; /* owned; by block */
    enum datablob_crypt crypt;
    bool lost;       /* the index cannot be read any more, and that was noted */
    uint64_t start;  /* in the virtual disk, bytes */
    uint64_t *owned; /* owned: bit i: chunk i is checked here, not in an earlier place */
    _Atomic uint64_t *checked; /* owned: bit i: it has been */
};

struct verify_point {
    char *path;       /* owned: "ns/prod/vm/100/2026-…" */
    char *title;      /* owned: "prod/vm/100/2026-…", for people */
    bool bad;         /* its manifest, a blob or an index is damaged */
    bool done;        /* recorded */
    bool without_key; /* it needs one that is not there: CRCs only, no signatures */
    size_t first_disk, n_disks;
    _Atomic uint64_t left; /* chunks it owns that have not been checked */
};

struct bad_chunk {
    unsigned char digest[SHA256_BYTES];
    enum repo_damage_kind kind;
    char *message; /* owned */
};

struct repo_verify {
    struct repo *repo; /* borrowed */
    struct repo_verify_options opt;
    struct VEC(struct verify_point) points;
    struct VEC(struct verify_disk) disks;
    struct source *source;            /* owned; NULL: no chunks */
    pthread_mutex_t lock;             /* guards everything below */
    struct VEC(struct bad_chunk) bad; /* sorted by digest */
    struct repo_damages damages;      /* of manifests, indexes and blobs */
    size_t next;                      /* the first point that is not done */
    size_t skipped;
    uint64_t chunks;
};

int verify_source_new(struct repo_verify *v, struct source **ret,
                      struct err *e) err_warn_unused;
/* Checks the chunk; damage is noted, other errors are returned. */
int verify_chunk(struct repo_verify *v, struct verify_disk *d, uint64_t i, void *buf,
                 struct err *e) err_warn_unused;
/* Finds out which place checks which chunk. */
int verify_assign(struct repo_verify *v, struct err *e) err_warn_unused;

#endif
