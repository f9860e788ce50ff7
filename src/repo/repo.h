/* A repository: backups of machines in the Proxmox Backup Server datastore format, in a
 * directory or in a store of objects (S3). docs/formats/pbs-datastore.md is the format.
 *
 * A *recovery point* is one backup of one machine: [NAMESPACE/]vm/ID/TIME. Its disks are
 * fixed indexes: lists of digests of chunks, which all points share. Chunks are written
 * first, indexes next, the manifest last, so a point is either complete or *unfinished*
 * and then ignored; what a crash leaves is unfinished points and chunks that nobody
 * names, which the next backup of that machine (the point) and a server's garbage
 * collection (the chunks) clean.
 *
 * Nothing read from a repository is believed before its digest is right: signature (with
 * a key), manifest, index checksums, chunk digests. All of it is foreign data.
 *
 * Threads: a `struct repo` and an opened point may be used by any number at once unless
 * a function says otherwise. All calls block. */
#ifndef HOTADD_REPO_REPO_H
#define HOTADD_REPO_REPO_H

#include "base/cancel.h"
#include "base/secret.h"
#include "base/vec.h"
#include "disk/extent.h"
#include "disk/machine.h"
#include "disk/objects.h"
#include "disk/sink.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- keys ---- */

struct repo_key; /* never printed; wiped on free */

enum repo_kdf { REPO_KDF_NONE, REPO_KDF_SCRYPT, REPO_KDF_PBKDF2 };

/* Reads a key file as proxmox-backup-client makes it. `password` may be NULL for a file
 * without KDF; else a missing or wrong one is ERR_DENIED. Owned. */
int repo_key_load(const char *path, const struct secret *password, struct repo_key **ret,
                  struct err *e) err_warn_unused;
/* Makes a key and writes its file, mode 0600; an existing file is ERR_EXISTS. */
int repo_key_create(const char *path, enum repo_kdf kdf, const struct secret *password,
                    struct err *e) err_warn_unused;
void repo_key_free(struct repo_key *k);
/* "0e:ab:…": 32 bytes in hex with colons and a NUL. */
#define REPO_FINGERPRINT_LEN 96
void repo_key_fingerprint(const struct repo_key *k, char out[REPO_FINGERPRINT_LEN]);

/* ---- opening ---- */

struct repo;

struct repo_options {
    const struct repo_key *key;  /* borrowed while the repo lives; NULL: none */
    const struct cancel *cancel; /* the same */
    const char *owner;           /* of new groups; borrowed; NULL: "root@pam" */
};

enum repo_open { REPO_MUST_EXIST, REPO_CREATE };

/* REPO_CREATE makes the layout in an absent or empty directory (or empty prefix) and
 * opens what is there already. A directory that is no datastore is ERR_INPUT and says
 * so. `objects` is given over also on failure; `name` is the datastore's, the first part
 * of every key. */
int repo_open_dir(const char *path, enum repo_open how, const struct repo_options *opt,
                  struct repo **ret, struct err *e) err_warn_unused;
int repo_open_objects(struct objects *objects, const char *name, enum repo_open how,
                      const struct repo_options *opt, struct repo **ret,
                      struct err *e) err_warn_unused;
void repo_free(struct repo *r);
DEFINE_AUTO_PTR(struct repo, repo_free)
#define auto_repo auto_call(repo_free_autop)

/* ---- names ---- */

#define REPO_TIME_LEN 21 /* "2026-01-02T03:04:05Z" and a NUL */
#define REPO_LATEST   INT64_MIN
#define REPO_EVERY    (INT64_MIN + 1)

/* "ID", "vm/ID", "ID@TIME", "NS/…/vm/ID@TIME": TIME as above or "latest". As listings
 * show them, too: "NS/…/vm/ID/TIME". Without a time all points of the machine are named;
 * where one is wanted that is the newest finished one, as with "latest". */
struct repo_name {
    char *ns;     /* owned: "prod/eu", "" for the root; NULL: all (filters only) */
    char *id;     /* owned; NULL: every machine (filters only) */
    int64_t time; /* Unix seconds, REPO_LATEST or REPO_EVERY */
};

static inline bool repo_is_moment(int64_t time)
{
    return time != REPO_LATEST && time != REPO_EVERY;
}

int repo_name_parse(const char *text, struct repo_name *ret,
                    struct err *e) err_warn_unused;
void repo_name_release(struct repo_name *n);
char *repo_time_text(int64_t time, char out[REPO_TIME_LEN]); /* returned */

/* Where, in the folder of a directory repository, a new entry appears with each backup of
 * the machine: for watching. Owned; NULL when out of memory. */
char *repo_machine_folder(const struct repo_name *name, struct err *e);

/* ---- listing ---- */

enum repo_crypt { REPO_CRYPT_NONE, REPO_CRYPT_ENCRYPT, REPO_CRYPT_SIGN_ONLY };

struct repo_entry {
    char *ns, *type, *id; /* owned; type is "vm" for all we can restore */
    int64_t time;
    bool finished; /* has a manifest */
    bool is_protected;
    bool readable;         /* the manifest could be read; what follows is its */
    enum repo_crypt crypt; /* strictest of its files */
    uint64_t size_bytes;   /* of all disks, as the machine saw them */
    size_t n_disks;
    int64_t verified;  /* when; 0: never */
    bool verified_bad; /* then found damaged */
};
struct repo_entries VEC(struct repo_entry);
void repo_entries_release(struct repo_entries *v);

/* Sorted by namespace, type, id, time. `filter` (may be NULL) limits namespace, id and
 * time. A manifest that cannot be read is listed as such. */
int repo_list(struct repo *r, const struct repo_name *filter, struct repo_entries *ret,
              struct err *e) err_warn_unused;

/* ---- reading a point ---- */

struct repo_point;

/* Finds the finished point (without a time: the newest finished one), checks manifest,
 * signature (when the repo has a key), indexes and their checksums, and holds a shared
 * lock on it. ERR_NOT_FOUND lists what there is. An encrypted one without the right key
 * is ERR_DENIED and names both fingerprints. Owned; free it before the repo. */
int repo_point_open(struct repo *r, const struct repo_name *name, struct repo_point **ret,
                    struct err *e) err_warn_unused;
void repo_point_free(struct repo_point *p);
DEFINE_AUTO_PTR(struct repo_point, repo_point_free)
#define auto_repo_point auto_call(repo_point_free_autop)

/* The time of the point that repo_point_open() would open, without opening it. */
int repo_point_find(struct repo *r, const struct repo_name *name, int64_t *ret,
                    struct err *e) err_warn_unused;

int64_t repo_point_time(const struct repo_point *p);
/* The machine it holds: description from our own blob, else from Proxmox VE's config,
 * else disks in the manifest's order. Its sources (ops->name "repo") read the point and
 * must be freed before it; units are chunks or runs of zeros. Owned. */
int repo_point_machine(struct repo_point *p, struct machine **ret,
                       struct err *e) err_warn_unused;

size_t repo_point_n_disks(const struct repo_point *p);
/* In the order of repo_point_machine. Borrowed: "drive-scsi0.img". */
const char *repo_point_disk_name(const struct repo_point *p, size_t i);
uint64_t repo_point_disk_size(const struct repo_point *p, size_t i);
uint32_t repo_point_chunk_bytes(const struct repo_point *p, size_t i);

/* Where two disks are known to be equal without reading data: positions with the same
 * digest. Chunk sizes and encryption keys that differ give the empty set. Ranges beyond
 * the shorter disk are not in it. Costs time in proportion to the indexes. */
int repo_point_equal(const struct repo_point *a, size_t disk_a,
                     const struct repo_point *b, size_t disk_b, struct extent_set *ret,
                     struct err *e) err_warn_unused;

/* ---- writing a point ---- */

struct repo_backup;

struct repo_backup_options {
    uint32_t chunk_bytes;  /* power of two, 64 KiB to 16 MiB; 0: the base's, else 4 MiB */
    int zstd_level;        /* 0: 1; negative: no compression */
    enum repo_crypt crypt; /* others than NONE need the repo's key */
    int64_t time;          /* 0: now; must be after the group's newest point */
    /* Digests are taken over from here; borrowed until finish. May be NULL. A base of
     * another key, encryption or chunk size, or one found damaged, is not used:
     * *ret_base_unused of repo_backup_begin says why. */
    const struct repo_point *base;
};

/* Takes the store's and the group's lock (ERR_BUSY: a garbage collection or another
 * writer runs), removes unfinished points that a crash left in this group, makes the
 * snapshot directory. `name`'s time is not looked at. *ret_base_unused (may be NULL) is
 * owned or NULL. */
int repo_backup_begin(struct repo *r, const struct repo_name *name,
                      const struct repo_backup_options *opt, struct repo_backup **ret,
                      char **ret_base_unused, struct err *e) err_warn_unused;

/* Adds a disk; the sink (owned by the backup) takes whole chunks (sink.block_bytes),
 * hashes, compresses, encrypts and stores them in the calling thread. `name` is
 * "drive-scsi0.img". Ranges that are never written nor zeroed take the digests of the
 * base's disk of that name: `unchanged` (may be NULL) names them, chunk-aligned by the
 * caller's mover as `already`; without it all must be written. Not thread-safe. */
int repo_backup_disk(struct repo_backup *b, const char *name, uint64_t size_bytes,
                     const struct extent_set *unchanged, struct sink **ret,
                     struct err *e) err_warn_unused;

struct repo_backup_stats {
    uint64_t chunks, new_chunks; /* written to; really stored */
    uint64_t data_bytes;         /* given, zeros not counted */
    uint64_t stored_bytes;       /* of the new chunks, as stored */
    uint64_t reused_bytes;       /* taken over from the base without reading */
};

/* Makes the data durable, writes indexes, the machine's description (its sources are not
 * looked at; disks in the order added) and last the manifest. After -1 the point is
 * unfinished: free removes it. */
int repo_backup_finish(struct repo_backup *b, const struct machine *machine,
                       struct repo_backup_stats *ret, struct err *e) err_warn_unused;
int64_t repo_backup_time(const struct repo_backup *b);
/* Without a finish: removes the unfinished point. */
void repo_backup_free(struct repo_backup *b);
DEFINE_AUTO_PTR(struct repo_backup, repo_backup_free)
#define auto_repo_backup auto_call(repo_backup_free_autop)

/* ---- verifying ---- */

enum repo_damage_kind {
    REPO_DAMAGE_MISSING,
    REPO_DAMAGE_EMPTY,
    REPO_DAMAGE_SHORT,
    REPO_DAMAGE_MAGIC,
    REPO_DAMAGE_CRC,
    REPO_DAMAGE_ZSTD,
    REPO_DAMAGE_TAG,
    REPO_DAMAGE_DIGEST,
    REPO_DAMAGE_LENGTH,
    REPO_DAMAGE_CRYPT,
    REPO_DAMAGE_READ,
    REPO_DAMAGE_MANIFEST,
    REPO_DAMAGE_INDEX,
    REPO_DAMAGE_BLOB,
    REPO_DAMAGE_SIGNATURE,
};
const char *repo_damage_name(enum repo_damage_kind k); /* "missing", "crc", … */

struct repo_damage {
    enum repo_damage_kind kind;
    char *file;      /* owned: chunk or file, relative to the repository */
    char *point;     /* owned: "vm/100/2026-…", with its namespace */
    char *disk;      /* owned: NULL for a damaged manifest or blob */
    uint64_t offset; /* in the disk, bytes */
    char *message;   /* owned */
};
struct repo_damages VEC(struct repo_damage);
void repo_damages_release(struct repo_damages *v);

struct repo_verify;

struct repo_verify_options {
    bool skip_verified;     /* points verified as good… */
    int64_t verified_since; /* …at or after this time (0: ever) */
    bool mark_bad;          /* rename damaged chunks to .N.bad, as a server does */
    bool no_record;         /* do not note the results in the manifests */
};

/* Gathers the points to verify (name NULL: all; else as a filter), checks their
 * manifests, indexes and blobs at once, and makes a source whose units are their distinct
 * chunks, point after point. Fetching a unit checks the chunk completely and notes damage
 * instead of failing, so copying the source to a sink that drops everything verifies the
 * store, in parallel. Whenever the last chunk of a point was checked its result is
 * recorded in the manifest, below our own key (a server's verify_state is read, never
 * written), so that an interrupted run goes on with skip_verified. Of what is encrypted
 * with a key that the repo does not have only CRCs are checked, which is recorded too: a
 * run with the key does not skip it. */
int repo_verify_begin(struct repo *r, const struct repo_name *name,
                      const struct repo_verify_options *opt, struct repo_verify **ret,
                      struct err *e) err_warn_unused;
struct source *repo_verify_source(struct repo_verify *v); /* borrowed; NULL: no chunks */
struct repo_verify_stats {
    size_t points, points_bad, points_skipped;
    size_t points_without_key; /* of them only CRCs were checked, and no signatures */
    uint64_t chunks, chunks_bad;
};
/* What was found, each damaged chunk once for each point and disk that it touches
 * (first offset). Owned. */
int repo_verify_finish(struct repo_verify *v, struct repo_verify_stats *ret_stats,
                       struct repo_damages *ret, struct err *e) err_warn_unused;
void repo_verify_free(struct repo_verify *v);

/* ---- removing ---- */

/* ERR_BUSY when in use, ERR_DENIED when protected. */
int repo_point_remove(struct repo *r, const struct repo_name *name,
                      struct err *e) err_warn_unused;

#endif
