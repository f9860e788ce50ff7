/* The EBS direct APIs on the lab's API port, beside EC2, STS and S3: REST with JSON, by
 * the service in the credential's scope ("ebs"). */
#ifndef HOTADD_LAB_EBS_H
#define HOTADD_LAB_EBS_H

#include "lab/http.h"

bool ebs_claims(const struct http_request *rq);

/* An http_handler; ctx is the struct lab. */
void ebs_handle(void *ctx, const struct http_request *rq, struct http_reply *rp);

#endif
