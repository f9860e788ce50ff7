/* S3 (REST API, version 2006-03-01): one C function per API action, named after it, on
 * one bucket.
 *
 * A bucket is named in the host ("virtual-host style"), or in the path when it has dots,
 * when the endpoint is not AWS's own or is an address, or as the profile's
 * s3.addressing_style says. When
 * S3 answers that it lies in another region, that region is used from then on.
 *
 * Keys are UTF-8, 1 to 1,024 bytes, sent as they are: "a//b", "a/../b" and "a b+c%"
 * are keys like others. Bodies are neither copied nor held back: they are signed by
 * their SHA-256, which S3 checks against what arrived.
 *
 * Lost replies: all calls are repeated after a lost connection. That is harmless for
 * what replaces, deletes or asks; S3_IF_ABSENT and s3_complete_multipart_upload() find
 * out whether an earlier try of theirs was the cause of a refusal.
 *
 * Inputs are borrowed for the call, results owned, strings in them never NULL. Errors
 * name the object ("s3://bucket/key"); those of aws.h, with ERR_NOT_FOUND for no such
 * bucket, object or upload. Threads, blocking: see aws.h. */
#ifndef HOTADD_AWS_S3_H
#define HOTADD_AWS_S3_H

#include "aws/aws.h"
#include "base/buf.h"
#include "base/strv.h"

#include <stddef.h>
#include <stdint.h>

#define S3_MAX_KEY    1024
#define S3_MAX_PUT    (5ull << 30) /* one PutObject or UploadPart */
#define S3_MIN_PART   (5ull << 20) /* every part but the last */
#define S3_MAX_PARTS  10000
#define S3_MAX_DELETE 1000 /* keys in one DeleteObjects */

struct s3_bucket;

/* Checks the name (ERR_USAGE); asks nothing. `aws` must outlive the bucket. */
int s3_bucket_new(struct aws *aws, const char *name, struct s3_bucket **ret,
                  struct err *e) err_warn_unused;
void s3_bucket_free(struct s3_bucket *b);
DEFINE_AUTO_PTR(struct s3_bucket, s3_bucket_free)
#define auto_s3_bucket auto_call(s3_bucket_free_autop)

/* Whether it is there and may be listed. The bucket's region is stored, owned. */
int s3_head_bucket(struct s3_bucket *b, char **ret_region, struct err *e) err_warn_unused;

/* ---- Objects ---- */

/* Appends the whole object; more than max_bytes is ERR_INPUT. */
int s3_get_object(struct s3_bucket *b, const char *key, size_t max_bytes, struct buf *out,
                  struct err *e) err_warn_unused;

/* Exactly [offset, offset+len) straight into buf; an object that ends earlier is
 * ERR_INPUT. What buf holds on failure is undefined. */
int s3_get_object_range(struct s3_bucket *b, const char *key, uint64_t offset, void *buf,
                        size_t len, struct err *e) err_warn_unused;

struct s3_head {
    uint64_t size_bytes;
    char *etag; /* with its quotes */
};

int s3_head_object(struct s3_bucket *b, const char *key, struct s3_head *ret,
                   struct err *e) err_warn_unused;
void s3_head_release(struct s3_head *h);

enum s3_put_how { S3_REPLACE, S3_IF_ABSENT };

/* Visible whole or not at all, durable when it returns. The SHA-256 is kept by S3 as the
 * object's checksum too. With S3_IF_ABSENT an object that is there already is left alone
 * and *ret_existed set (it may be NULL with S3_REPLACE); our own first try, whose answer
 * was lost, is not "there already". Other makes of S3 must know If-None-Match: one that
 * does not replaces the object. */
int s3_put_object(struct s3_bucket *b, const char *key, const void *data, size_t len,
                  enum s3_put_how how, bool *ret_existed, struct err *e) err_warn_unused;

/* Absent is fine. */
int s3_delete_object(struct s3_bucket *b, const char *key, struct err *e) err_warn_unused;

/* Up to S3_MAX_DELETE keys at once; absent ones are fine. When some could not be deleted
 * the error is that of the first. Keys with control characters are ERR_UNSUPPORTED: the
 * request is XML, which cannot hold them. */
int s3_delete_objects(struct s3_bucket *b, const struct strv *keys,
                      struct err *e) err_warn_unused;

/* ---- Lists ---- */

struct s3_list {
    const char *prefix;      /* NULL: all */
    char delimiter;          /* 0: none; else deeper keys are given as common prefixes */
    const char *start_after; /* only keys after this one; NULL: all */
    unsigned page;           /* keys asked for at once; 0: S3's 1,000 */
};

/* -1 ends the walk with its error. */
typedef int s3_each(void *ctx, const char *key, uint64_t size_bytes, bool is_prefix,
                    struct err *e);

/* All pages, keys and common prefixes together in byte order. */
int s3_list_objects_v2(struct s3_bucket *b, const struct s3_list *what, s3_each *each,
                       void *ctx, struct err *e) err_warn_unused;

/* ---- Multipart uploads ---- */

struct s3_part {
    unsigned number;     /* 1 to S3_MAX_PARTS */
    uint64_t size_bytes; /* as S3 lists it; not looked at when completing */
    char *etag;          /* owned */
};
struct s3_parts VEC(struct s3_part);
void s3_parts_release(struct s3_parts *v);

struct s3_upload {
    char *key, *id; /* owned */
    int64_t initiated_s;
};
struct s3_uploads VEC(struct s3_upload);
void s3_uploads_release(struct s3_uploads *v);

/* A lost reply may leave an upload behind that nobody knows: s3_list_multipart_uploads()
 * finds it, and a lifecycle rule of the bucket should abort such ones. */
int s3_create_multipart_upload(struct s3_bucket *b, const char *key, char **ret_id,
                               struct err *e) err_warn_unused;

/* Any number of threads may upload parts of one upload. */
int s3_upload_part(struct s3_bucket *b, const char *key, const char *id, unsigned number,
                   const void *data, size_t len, char **ret_etag,
                   struct err *e) err_warn_unused;

/* UploadPartCopy: the part is the whole of another object of the bucket, which S3 copies
 * by itself: zeros, say, need to travel once only. At most 5 GiB. */
int s3_upload_part_copy(struct s3_bucket *b, const char *key, const char *id,
                        unsigned number, const char *from_key, char **ret_etag,
                        struct err *e) err_warn_unused;

/* Parts in the order of their numbers, each with the ETag that its upload gave. When the
 * answer was lost and S3 no longer knows the upload, the object's ETag says whether it
 * was completed by us. */
int s3_complete_multipart_upload(struct s3_bucket *b, const char *key, const char *id,
                                 const struct s3_parts *parts,
                                 struct err *e) err_warn_unused;

/* An upload that is gone already is fine. */
int s3_abort_multipart_upload(struct s3_bucket *b, const char *key, const char *id,
                              struct err *e) err_warn_unused;

int s3_list_parts(struct s3_bucket *b, const char *key, const char *id,
                  struct s3_parts *ret, struct err *e) err_warn_unused;

/* Unfinished uploads of keys that begin with prefix (NULL: all). */
int s3_list_multipart_uploads(struct s3_bucket *b, const char *prefix,
                              struct s3_uploads *ret, struct err *e) err_warn_unused;

/* ---- Names ---- */

/* "s3://BUCKET[/PREFIX]": the prefix without slashes at its ends, "" for none. Both are
 * owned. ERR_USAGE. */
int s3_url_parse(const char *url, char **ret_bucket, char **ret_prefix,
                 struct err *e) err_warn_unused;
static inline bool s3_url_is(const char *s)
{
    return __builtin_strncmp(s, "s3://", 5) == 0;
}

int s3_bucket_name_check(const char *name, struct err *e) err_warn_unused;
int s3_key_check(const char *key, struct err *e) err_warn_unused;

#endif
