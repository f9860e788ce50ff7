/* Inside src/repo only: where a repository lies. A directory (store_dir.c) and a store of
 * objects (store_objects.c) speak this table; everything else of repo/ knows only it.
 *
 * Paths are relative to the repository ("vm/100/2026-01-02T03:04:05Z") and made of
 * validated names only. Any number of threads; all calls block. */
#ifndef HOTADD_REPO_STORE_H
#define HOTADD_REPO_STORE_H

#include "base/buf.h"
#include "base/digest.h"
#include "disk/objects.h"
#include "repo/repo.h"

struct store;

/* A file opened for reading. */
struct store_file {
    int fd;              /* owned; -1 */
    char *key;           /* owned; NULL */
    uint64_t size_bytes; /* when it was opened */
};
#define STORE_FILE_INIT                                                                  \
    {                                                                                    \
        .fd = -1                                                                         \
    }

enum store_lock { STORE_LOCK_SHARED, STORE_LOCK_EXCLUSIVE };

struct store_touched {
    bool there;      /* and not empty */
    bool empty;      /* damage: to be replaced */
    int64_t mtime_s; /* Unix seconds; INT64_MIN where it does not matter */
};

typedef int store_list_fn(void *ctx, const char *name, bool is_dir, struct err *e);

struct store_ops {
    const char *name; /* "directory", "objects" */

    /* ---- chunks ---- */

    /* The whole chunk into buf; ERR_NOT_FOUND when there is none. *ret_len is its length,
     * also when that is more than cap: then buf is undefined. */
    int (*chunk_read)(struct store *s, const unsigned char digest[SHA256_BYTES],
                      void *buf, size_t cap, size_t *ret_len, struct err *e);
    /* Looks for it and keeps it from garbage collection (sets its access time). */
    int (*chunk_touch)(struct store *s, const unsigned char digest[SHA256_BYTES],
                       struct store_touched *ret, struct err *e);
    /* The same for a chunk of a finished point: a store may trust that it is there. */
    int (*chunk_keep)(struct store *s, const unsigned char digest[SHA256_BYTES],
                      struct store_touched *ret, struct err *e);
    /* head and body are one chunk. An existing one is replaced in a directory, kept in a
     * store of objects unless `replace`. */
    int (*chunk_write)(struct store *s, const unsigned char digest[SHA256_BYTES],
                       const void *head, size_t head_len, const void *body,
                       size_t body_len, bool replace, struct err *e);
    /* Renames it to DIGEST.N.bad. Absent is fine. */
    int (*chunk_mark_bad)(struct store *s, const unsigned char digest[SHA256_BYTES],
                          struct err *e);
    /* Is there a DIGEST.N.bad? */
    bool (*chunk_was_bad)(struct store *s, const unsigned char digest[SHA256_BYTES]);

    /* ---- files ---- */

    int (*open)(struct store *s, const char *path, struct store_file *ret, struct err *e);
    int (*pread)(struct store *s, struct store_file *f, void *buf, size_t len,
                 uint64_t offset, struct err *e);
    void (*close)(struct store *s, struct store_file *f);
    /* What is directly below; "" is the root. An absent one is empty. What is neither
     * file nor directory is left out. -1 from `each` ends it. */
    int (*list)(struct store *s, const char *dir, store_list_fn *each, void *ctx,
                struct err *e);

    int (*make_dir)(struct store *s, const char *path, struct err *e); /* and parents */
    /* Replaces it at once and durably. */
    int (*write)(struct store *s, const char *dir, const char *name, const void *data,
                 size_t len, struct err *e);
    /* A descriptor for an index to be filled in any order (owned), and its end: it is
     * `dir/name` then. Not durable before sync(). */
    int (*index_create)(struct store *s, const char *dir, const char *name, int *ret_fd,
                        struct err *e);
    int (*index_publish)(struct store *s, const char *dir, const char *name, int fd,
                         struct err *e);
    int (*remove)(struct store *s, const char *dir, const char *name, struct err *e);
    int (*remove_dir)(struct store *s, const char *path, struct err *e); /* empty */

    /* Everything written before is durable when it returns. */
    int (*sync)(struct store *s, struct err *e);

    /* ---- locks; *ret_fd is owned, closing it unlocks, -1 where none is needed ---- */

    /* Shared with other writers, against garbage collection. ERR_BUSY. Refuses
     * (ERR_DENIED) a store that another server claims. */
    int (*lock_writers)(struct store *s, int *ret_fd, struct err *e);
    /* ERR_BUSY. The directory of a group must exist. */
    int (*lock_path)(struct store *s, const char *path, enum store_lock how, int *ret_fd,
                     struct err *e);

    void (*free)(struct store *s);
};

/* Embedded as the first member. */
struct store {
    const struct store_ops *ops;
    char *desc; /* owned; names it in errors: "/srv/store", "s3://bucket/prefix/name" */
    uint32_t calls_at_once; /* as a source's */
};

int store_dir_new(const char *path, enum repo_open how, struct store **ret,
                  struct err *e) err_warn_unused;
/* `objects` is given over, also on failure. */
int store_objects_new(struct objects *objects, const char *name, enum repo_open how,
                      struct store **ret, struct err *e) err_warn_unused;
void store_free(struct store *s);
DEFINE_AUTO_PTR(struct store, store_free)

/* Until it is whole, a file is called NAME, this and six characters, as servers do. */
#define STORE_TMP ".tmp_"

/* ".chunks/abcd/abcd…": where a chunk lies in both layouts. */
#define STORE_CHUNK_PATH_LEN 80
char *store_chunk_path(const unsigned char digest[SHA256_BYTES],
                       char out[STORE_CHUNK_PATH_LEN]); /* returned */

/* Appends the whole file; more than max_bytes is ERR_INPUT. */
int store_read(struct store *s, const char *path, size_t max_bytes, struct buf *out,
               struct err *e) err_warn_unused;

#endif
