/* AWS Signature Version 4, in the Authorization header.
 * Source: "Create a signed AWS API request" (IAM User Guide) and, for S3, "Authenticating
 * Requests: Using the Authorization Header" (S3 API Reference). */
#ifndef HOTADD_AWS_SIGV4_H
#define HOTADD_AWS_SIGV4_H

#include "aws/http.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/secret.h"

#include <stdint.h>

/* Everything borrowed. */
struct sigv4_request {
    const char *method;
    const char *path;  /* as in the request line; "" counts as "/" */
    const char *query; /* as in the request line, without '?'; may be "" */
    /* All headers to sign, host and x-amz-date among them, any case and order. */
    const struct http_header *headers;
    size_t n_headers;
    const char *payload_sha256; /* lower-case hex, or "UNSIGNED-PAYLOAD" */
    const char *date;           /* of x-amz-date, "20150830T123600Z" */
    const char *region;
    const char *service;
    /* S3 signs the path as sent; everyone else removes "." and ".." and empty segments
     * and encodes it once more. */
    bool s3;
};

/* Value for the Authorization header; owned. It is no secret in itself, but is wiped
 * and kept out of logs all the same. Pure computation. */
int sigv4_sign(const struct sigv4_request *r, const char *access_key_id,
               const struct secret *secret_key, char **ret,
               struct err *e) err_warn_unused;

#endif
