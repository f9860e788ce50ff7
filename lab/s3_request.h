/* What a request to S3 asks for: bucket, key and parameters from its host, path and
 * query, and the documents that some requests carry. All of it comes from strangers;
 * failures are ERR_CLOUD with S3's code. */
#ifndef HOTADD_LAB_S3_REQUEST_H
#define HOTADD_LAB_S3_REQUEST_H

#include "lab/http.h"

#include "base/json.h"

struct s3_target {
    char *bucket;   /* owned; NULL: the service */
    char *key;      /* owned; NULL: the bucket */
    json_t *params; /* owned; name → value, "" for a name alone */
};

#define auto_s3_target auto_call(s3_target_release)

int s3_target_parse(const struct http_request *rq, struct s3_target *ret,
                    struct err *e) err_warn_unused;
void s3_target_release(struct s3_target *t);

/* "BUCKET.localhost[:PORT]": length of BUCKET, 0 for any other host. */
size_t s3_host_bucket(const char *host);

/* Value of a parameter, borrowed; NULL when it is not there. */
const char *s3_param(const struct s3_target *t, const char *name);
/* Absent leaves *ret alone. InvalidArgument unless it is a number up to max. */
int s3_param_number(const struct s3_target *t, const char *name, uint64_t max,
                    uint64_t *ret, struct err *e) err_warn_unused;

/* "Bucket naming rules": InvalidBucketName. */
int s3_name_check(const char *name, struct err *e) err_warn_unused;

/* "/bucket/key" of x-amz-copy-source. InvalidArgument. Both owned. */
int s3_copy_source(const char *header, char **ret_bucket, char **ret_key,
                   struct err *e) err_warn_unused;

/* A Range header for an object of that size: 1 with a range, 0 when it is to be ignored,
 * InvalidRange. */
int s3_range_parse(const char *header, uint64_t size_bytes, uint64_t *ret_offset,
                   uint64_t *ret_len, struct err *e) err_warn_unused;

/* Body of CompleteMultipartUpload: owned array of {number, etag}, etag with its quotes.
 * MalformedXML. */
int s3_complete_parse(const struct buf *body, json_t **ret,
                      struct err *e) err_warn_unused;

/* Body of DeleteObjects: owned array of keys. MalformedXML. */
int s3_delete_parse(const struct buf *body, json_t **ret_keys, bool *ret_quiet,
                    struct err *e) err_warn_unused;

/* Body of CreateBucket, which may be empty: owned region, "" for none. MalformedXML. */
int s3_location_parse(const struct buf *body, char **ret, struct err *e) err_warn_unused;

/* Text as encoding-type=url writes it. */
void s3_url_encode(const char *text, struct buf *out);

#endif
