/* A sink whose blocks are the parts of a multipart upload: a disk goes into a bucket in
 * any order, by any number of threads, and is taken up again part by part. */
#ifndef HOTADD_AWS_S3_UPLOAD_H
#define HOTADD_AWS_S3_UPLOAD_H

#include "aws/s3.h"
#include "disk/extent.h"
#include "disk/sink.h"

/* The largest disk of which parts of a size that can be held in memory make one object.
 */
#define S3_UPLOAD_MAX_PART ((uint64_t)64 << 20)
#define S3_UPLOAD_MAX_DISK (S3_MAX_PARTS * S3_UPLOAD_MAX_PART)

/* Bytes of each part but the last of a disk of that size: a power of two. */
uint32_t s3_upload_part_bytes(uint64_t size_bytes);

/* All borrowed; the bucket must outlive the sink. */
struct s3_upload_target {
    struct s3_bucket *bucket;
    const char *key, *upload_id;
    uint64_t size_bytes; /* of the disk; at most S3_UPLOAD_MAX_DISK */
    const void *trailer; /* follows the disk in the object; NULL: nothing does */
    size_t trailer_len;
    const char *zero_key; /* an object of part_bytes zeros to be copied; NULL: none */
};

/* A part is durable when its write returns: flush does nothing. Reading is
 * ERR_UNSUPPORTED. free() neither completes nor aborts the upload. */
int s3_upload_sink_new(const struct s3_upload_target *to, struct sink **ret,
                       struct err *e) err_warn_unused;

/* What of the disk S3 holds already: parts of the right size. Adds to `ret`. */
int s3_upload_ranges(const struct s3_upload_target *to, struct extent_set *ret,
                     struct err *e) err_warn_unused;

/* Makes the object of the parts, all of which must be there (ERR_FAILED names the first
 * that is not). */
int s3_upload_complete(const struct s3_upload_target *to, struct err *e) err_warn_unused;

#endif
