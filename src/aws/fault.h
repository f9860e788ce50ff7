/* What an API says when it refuses: read from its answer, sorted, and told to the user
 * with what to do about it. Formats: EC2 API Reference "Error codes", STS and S3 "Error
 * responses", EBS direct APIs (JSON). */
#ifndef HOTADD_AWS_FAULT_H
#define HOTADD_AWS_FAULT_H

#include "aws/aws.h"
#include "aws/creds.h"
#include "aws/http.h"

struct fault {
    int status;
    char code[80]; /* "" when the answer was none of the API's */
    char message[600];
    char request_id[72];
    bool bare;       /* S3: the answer has no body */
    char region[64]; /* S3: where the bucket is, when the answer tells; else "" */
};

enum fault_class {
    FAULT_FINAL,     /* the same call will fail again */
    FAULT_TRANSIENT, /* try again; the call may have taken effect */
    FAULT_THROTTLE,  /* try again, slower; the call has not taken effect */
    FAULT_EXPIRED,   /* credentials: renew them, try again */
    FAULT_CLOCK,     /* perhaps our clock: compare with the answer's Date */
};

/* Reads the answer (status 300 and above). `creds` (may be NULL) are struck out of the
 * message should the server repeat them. Never fails: an answer that is not understood
 * gives an empty code. */
void fault_read(const struct http_answer *a, enum aws_service service,
                const struct creds *creds, struct fault *ret);

enum fault_class fault_classify(const struct fault *f);

/* Fills e: kind, codes, a message that names the action and the remedy. Returns -1. */
int fault_err(const struct fault *f, enum aws_service service, const char *action,
              struct err *e);

#endif
