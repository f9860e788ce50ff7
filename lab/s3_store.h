/* Buckets, objects and unfinished uploads of the lab's S3.
 *
 * STATE/s3/index.db (SQLite) names them; data lie in files of STATE/s3/data with random
 * names, never the keys'. A file is written whole before a row names it, so an object is
 * seen whole or not at all, also by whoever starts the lab after a kill -9; files that no
 * row names are removed at the next start. Data are not forced to the disk: losing the
 * computer's power may lose the last seconds.
 *
 * Its own lock guards each function: any number of threads. Codes of refusals (ERR_CLOUD)
 * are S3's. */
#ifndef HOTADD_LAB_S3_STORE_H
#define HOTADD_LAB_S3_STORE_H

#include "base/err.h"
#include "base/json.h"

#include <stdint.h>

struct s3_store;

int s3_store_open(const char *state_dir, struct s3_store **ret,
                  struct err *e) err_warn_unused;
void s3_store_close(struct s3_store *s);

#define S3_FILE_LEN 36 /* "ab/cdef…": a file's name and a NUL */

/* A new empty file, open for reading and writing. */
int s3_store_new_file(struct s3_store *s, char ret_name[S3_FILE_LEN], int *ret_fd,
                      struct err *e) err_warn_unused;
/* Another name for the same data. */
int s3_store_link_file(struct s3_store *s, const char *name, char ret_name[S3_FILE_LEN],
                       struct err *e) err_warn_unused;
int s3_store_open_file(struct s3_store *s, const char *name, int *ret_fd,
                       struct err *e) err_warn_unused;
void s3_store_remove_file(struct s3_store *s, const char *name);

/* ---- Buckets ---- */

/* NoSuchBucket. `region` (64 bytes) may be NULL. */
int s3_bucket_find(struct s3_store *s, const char *name, char *ret_region,
                   struct err *e) err_warn_unused;
/* BucketAlreadyOwnedByYou. */
int s3_bucket_add(struct s3_store *s, const char *name, const char *region,
                  int64_t now_ms, struct err *e) err_warn_unused;
/* NoSuchBucket, BucketNotEmpty. */
int s3_bucket_remove(struct s3_store *s, const char *name, struct err *e) err_warn_unused;
/* Owned array of {Name, CreationDate}, by name. */
int s3_bucket_list(struct s3_store *s, json_t **ret, struct err *e) err_warn_unused;

/* ---- Objects ---- */

struct s3_object {
    char *key; /* owned */
    char file[S3_FILE_LEN];
    uint64_t size_bytes;
    char etag[64]; /* with its quotes */
    int64_t modified_ms;
    char *headers; /* owned; JSON of what GET repeats: content-type, x-amz-meta-… */
};
void s3_object_release(struct s3_object *o);
#define auto_s3_object auto_call(s3_object_release)

/* NoSuchBucket, NoSuchKey. */
int s3_object_find(struct s3_store *s, const char *bucket, const char *key,
                   struct s3_object *ret, struct err *e) err_warn_unused;

/* The first object with a key after `from` (or equal to it, with `inclusive`): 1; 0 when
 * there is none. */
int s3_object_next(struct s3_store *s, const char *bucket, const char *from,
                   bool inclusive, struct s3_object *ret, struct err *e) err_warn_unused;

/* What must be true of an object for it to be replaced. */
struct s3_condition {
    const char *if_match;      /* its ETag; NULL: anything */
    const char *if_none_match; /* "*": it must not be there; NULL: anything */
};

/* Makes the object visible and removes the file of the one it replaces. With
 * `upload_id` its upload and parts go in the same moment; NoSuchUpload when that is
 * gone. NoSuchBucket, PreconditionFailed. On failure o->file is left to the caller. */
int s3_object_put(struct s3_store *s, const char *bucket, const struct s3_object *o,
                  const struct s3_condition *condition, const char *upload_id,
                  struct err *e) err_warn_unused;
/* Absent is fine; NoSuchBucket. */
int s3_object_remove(struct s3_store *s, const char *bucket, const char *key,
                     struct err *e) err_warn_unused;

/* ---- Uploads ---- */

#define S3_UPLOAD_ID_LEN 65

/* NoSuchBucket. */
int s3_upload_add(struct s3_store *s, const char *bucket, const char *key,
                  const char *headers, int64_t now_ms, char ret_id[S3_UPLOAD_ID_LEN],
                  struct err *e) err_warn_unused;
/* NoSuchUpload. *ret_headers (owned) may be NULL. */
int s3_upload_find(struct s3_store *s, const char *bucket, const char *key,
                   const char *id, char **ret_headers, struct err *e) err_warn_unused;
/* Its parts go too. NoSuchUpload. */
int s3_upload_remove(struct s3_store *s, const char *bucket, const char *key,
                     const char *id, struct err *e) err_warn_unused;
/* Owned array of {Key, UploadId, Initiated} by key and id. */
int s3_upload_list(struct s3_store *s, const char *bucket, json_t **ret,
                   struct err *e) err_warn_unused;

struct s3_part {
    unsigned number;
    char file[S3_FILE_LEN];
    uint64_t size_bytes;
    char etag[64];
    int64_t modified_ms;
};

/* Adds or replaces; NoSuchUpload. */
int s3_part_put(struct s3_store *s, const char *upload_id, const struct s3_part *p,
                struct err *e) err_warn_unused;
/* The first part with a number above `after`: 1; 0 when there is none. */
int s3_part_next(struct s3_store *s, const char *upload_id, unsigned after,
                 struct s3_part *ret, struct err *e) err_warn_unused;

#endif
