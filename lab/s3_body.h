/* Data on their way into a file of the store: decoded, measured, hashed, and held against
 * everything that the request says about them. */
#ifndef HOTADD_LAB_S3_BODY_H
#define HOTADD_LAB_S3_BODY_H

#include "lab/s3_chunked.h"
#include "lab/s3_store.h"
#include "lab/s3_sum.h"

#define S3_MAX_PUT (5ull << 30)

struct s3_body;

/* For a request whose headers are `rq`'s; `chain` is for chunks that are signed.
 * EntityTooLarge, InvalidDigest, InvalidRequest, MissingContentLength. */
int s3_body_new(struct s3_store *store, const struct http_request *rq,
                const struct s3_chain *chain, struct s3_body **ret,
                struct err *e) err_warn_unused;
/* For data of our own, held against nothing. */
int s3_body_plain(struct s3_store *store, struct s3_body **ret,
                  struct err *e) err_warn_unused;
/* Removes the file unless it was taken. */
void s3_body_free(struct s3_body *b);

int s3_body_add(struct s3_body *b, const void *data, size_t len,
                struct err *e) err_warn_unused;

struct s3_received {
    char file[S3_FILE_LEN];
    uint64_t size_bytes;
    char etag[64];         /* quoted MD5 */
    enum s3_sum_kind kind; /* of the checksum that was asked for */
    char sum[64];          /* base 64 */
};

/* All has come; the file is the caller's now. BadDigest, IncompleteBody,
 * XAmzContentSHA256Mismatch. */
int s3_body_end(struct s3_body *b, struct s3_received *ret,
                struct err *e) err_warn_unused;

/* x-amz-content-sha256 and the checksums of a request with its body in memory. */
int s3_body_check(const struct http_request *rq, struct err *e) err_warn_unused;

#endif
