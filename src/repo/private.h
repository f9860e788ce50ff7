/* Inside src/repo only: what its parts share. */
#ifndef HOTADD_REPO_PRIVATE_H
#define HOTADD_REPO_PRIVATE_H

#include "base/strv.h"
#include "repo/datablob.h"
#include "repo/fidx.h"
#include "repo/manifest.h"
#include "repo/names.h"
#include "repo/store.h"

#define REPO_MACHINE_BLOB    "hotadd-machine.json.blob"
#define REPO_PVE_BLOB        "qemu-server.conf.blob"
#define REPO_MAX_BLOB_BYTES  (128u << 20)
#define REPO_MAX_DESCRIPTION (1u << 20)
/* Marks a point of ours as being written; removed after the manifest is in place. Only
 * unfinished points that have it (or nothing at all) are ever cleaned: another program's
 * backup may be at work in the others. Holds the Unix time of its beginning. */
#define REPO_WRITING_MARK "hotadd-unfinished"

struct repo {
    struct store *store;         /* owned */
    const struct repo_key *key;  /* borrowed; may be NULL */
    const struct cancel *cancel; /* borrowed; may be NULL */
    char *owner;                 /* owned */
    struct datablob_pool pool;
};

/* ---- chunks ---- */

static inline enum datablob_crypt repo_datablob_crypt(enum repo_crypt c)
{
    return c == REPO_CRYPT_ENCRYPT ? DATABLOB_ENCRYPTED : DATABLOB_PLAIN;
}

/* Reads and checks a chunk of `len` bytes of plain data into out. 1: without the key only
 * its CRC could be checked, out is undefined. On failure *ret_kind says how it is damaged
 * (see repo_is_damage). */
int repo_chunk_fetch(struct repo *r, const unsigned char digest[SHA256_BYTES],
                     enum datablob_crypt crypt, void *out, size_t len,
                     enum repo_damage_kind *ret_kind, struct err *e) err_warn_unused;
/* The same for n of them, one or two of `len` bytes, one behind the other in out: two at
 * once cost less. *ret_which is the one that failed. */
int repo_chunks_fetch(struct repo *r, const unsigned char digest[][SHA256_BYTES],
                      size_t n, enum datablob_crypt crypt, void *out, size_t len,
                      size_t *ret_which, enum repo_damage_kind *ret_kind,
                      struct err *e) err_warn_unused;
/* Is the error the chunk's fault, and not the network's, the user's or memory's? */
bool repo_is_damage(const struct err *e);
/* The digest of len zeros. */
int repo_zero_digest(struct repo *r, enum datablob_crypt crypt, size_t len,
                     unsigned char out[SHA256_BYTES], struct err *e) err_warn_unused;

/* ---- points ---- */

/* Every snapshot directory that the filter (may be NULL) names: with REPO_EVERY the
 * unfinished ones too. In order of namespace, type, ID and time. */
struct repo_place {
    const char *ns, *type, *id; /* borrowed */
    int64_t time;
};
int repo_walk(struct repo *r, const struct repo_name *filter,
              int (*each)(void *ctx, const struct repo_place *p, struct err *e),
              void *ctx, struct err *e) err_warn_unused;
/* Is there a finished point with the time of p? 1 or 0. When that is no moment: any, and
 * p gets the newest one's. */
int repo_find_finished(struct repo *r, struct repo_place *p,
                       struct err *e) err_warn_unused;

/* The times of a group's points, ascending; none when it does not exist. */
struct repo_times VEC(int64_t);
int repo_group_times(struct repo *r, const char *group, struct repo_times *ret,
                     struct err *e) err_warn_unused;

struct repo_inside {
    bool finished, is_protected, ours;
    bool empty; /* or nothing but our mark, half written */
};
/* What a snapshot directory holds. */
int repo_look_inside(struct repo *r, const char *path, struct repo_inside *ret,
                     struct err *e) err_warn_unused;

/* Reads and parses the manifest of the point at `path`. */
int repo_load_manifest(struct repo *r, const char *path, struct repo_manifest **ret,
                       struct err *e) err_warn_unused;
/* May the point be read with the repo's key or without one, is its signature right, and
 * is it the one that the directory says? `what` names it. */
int repo_check_manifest(struct repo *r, const struct repo_manifest *m,
                        const struct repo_place *at, const char *what,
                        struct err *e) err_warn_unused;
/* Replaces the manifest. */
int repo_store_manifest(struct repo *r, const char *path, const struct repo_manifest *m,
                        struct err *e) err_warn_unused;

/* Reads a small file of a point, checks size and digest, decodes it. */
int repo_read_blob(struct repo *r, const char *path, const struct repo_file *f,
                   size_t max_bytes, struct buf *out, enum repo_damage_kind *ret_kind,
                   struct err *e) err_warn_unused;

int repo_write_mark(struct repo *r, const char *path, struct err *e) err_warn_unused;
/* Removes what is in a snapshot directory, the manifest first, and the directory. */
int repo_remove_files(struct repo *r, const char *path, struct err *e) err_warn_unused;

struct point_disk {
    char *name;         /* owned: "drive-scsi0.img" */
    struct fidx *index; /* owned */
    enum datablob_crypt crypt;
    unsigned char zero[SHA256_BYTES], last_zero[SHA256_BYTES]; /* of all, of the last */
};

struct repo_point {
    struct repo *repo;                   /* borrowed */
    char *path;                          /* owned: "vm/100/2026-…" */
    struct repo_manifest *manifest;      /* owned */
    struct machine *machine;             /* owned: described, without sources */
    struct VEC(struct point_disk) disks; /* as in machine->disks */
    int64_t time;
    int lock_fd; /* owned; -1 */
};

/* Reads chunks of the disk; must be freed before the point. Owned. */
int repo_source_new(struct repo_point *p, size_t disk, struct source **ret,
                    struct err *e) err_warn_unused;

/* ---- machines ---- */

/* A machine without sources, and for each of its disks the archive ("drive-scsi0.img")
 * that holds it. */
struct described {
    struct machine *machine; /* owned */
    struct strv archives;
};
void described_release(struct described *d);
#define auto_described auto_call(described_release)

int repo_describe(struct repo *r, const char *path, const struct repo_manifest *m,
                  struct described *ret, struct err *e) err_warn_unused;
/* The parsers, for repo_describe and fuzzing. */
int repo_machine_parse(const char *text, size_t len, struct described *ret,
                       struct err *e) err_warn_unused;
int repo_pveconf_parse(const char *text, size_t len, const char *id,
                       struct described *ret, struct err *e) err_warn_unused;
/* Owned. */
int repo_machine_text(const struct machine *m, const struct strv *archives, char **ret,
                      struct err *e) err_warn_unused;

#endif
