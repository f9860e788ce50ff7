/* An S3 bucket, or what is below a prefix in it, as a store of objects. */
#ifndef HOTADD_AWS_S3_OBJECTS_H
#define HOTADD_AWS_S3_OBJECTS_H

#include "aws/aws.h"
#include "disk/objects.h"

/* `prefix` ("" for none) is as s3_url_parse() gives it: a '/' stands between it and
 * every key. `aws` must outlive the result, which is owned. Asks S3 for nothing;
 * ERR_USAGE for a bucket's name or a prefix that cannot be. Errors name objects by their
 * URL. */
int s3_objects_new(struct aws *aws, const char *bucket, const char *prefix,
                   struct objects **ret, struct err *e) err_warn_unused;

#endif
