/* The body coding "aws-chunked", taken apart as it comes: chunks, each signed or not, and
 * a trailer. Source: "Signature calculations for the authorization header: transferring
 * payload in multiple chunks" (S3 API Reference). Everything comes from strangers: lines
 * are limited, sizes checked. */
#ifndef HOTADD_LAB_S3_CHUNKED_H
#define HOTADD_LAB_S3_CHUNKED_H

#include "lab/sigv4.h"

/* What a chunk's signature builds on: the request's own signature comes first. */
struct s3_chain {
    unsigned char key[32];
    char date[20];              /* of x-amz-date */
    char scope[200];            /* "20130524/us-east-1/s3/aws4_request" */
    char before[SIGV4_HEX_LEN]; /* signature of the request, then of each chunk */
};

/* Takes decoded data; -1 ends the decoding with its error. */
typedef int s3_take(void *ctx, const void *data, size_t len, struct err *e);

struct s3_chunked;

/* `chain` is copied; NULL: chunks are not signed. */
int s3_chunked_new(const struct s3_chain *chain, s3_take *take, void *ctx,
                   struct s3_chunked **ret, struct err *e) err_warn_unused;
void s3_chunked_free(struct s3_chunked *c);

/* ERR_CLOUD with S3's code. */
int s3_chunked_feed(struct s3_chunked *c, const void *data, size_t len,
                    struct err *e) err_warn_unused;
/* IncompleteBody unless the last chunk and the trailer have come. */
int s3_chunked_end(const struct s3_chunked *c, struct err *e) err_warn_unused;
/* Value of a field of the trailer by its lower-case name; borrowed, NULL for none. */
const char *s3_chunked_trailer(const struct s3_chunked *c, const char *name);

#endif
