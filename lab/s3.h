/* S3 on the lab's API port, beside EC2 and STS: buckets in the path, or in the host as
 * BUCKET.localhost. Requests belong here by the service in their credential's scope, or,
 * unsigned, by their looks; those are refused as S3 refuses them. */
#ifndef HOTADD_LAB_S3_H
#define HOTADD_LAB_S3_H

#include "lab/http.h"

bool s3_claims(const struct http_request *rq);

/* An http_handler; ctx is the struct lab. */
void s3_handle(void *ctx, const struct http_request *rq, struct http_reply *rp);

/* Takes the bodies of PutObject and UploadPart; ctx is the struct lab. */
extern const struct http_uploads s3_uploads;

#endif
