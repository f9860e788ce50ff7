/* One call to an API: signed, sent, retried, its refusal explained. */
#ifndef HOTADD_AWS_CALL_H
#define HOTADD_AWS_CALL_H

#include "aws/aws.h"
#include "aws/client.h"
#include "aws/http.h"

#include <libxml/tree.h>

/* Everything borrowed. */
struct call {
    enum aws_service service;
    const char *action; /* as IAM knows it: "CreateVolume" */
    const char *method;
    const char *path;         /* encoded, begins with '/' */
    const char *query;        /* encoded, without '?'; "" for none */
    const char *content_type; /* NULL when there is no body */
    const void *body;
    size_t body_len;
    const char *body_sha256;           /* hex; NULL: computed for each try */
    const struct http_header *headers; /* more of them, all signed */
    size_t n_headers;
    size_t max_answer;
    void *into; /* as in http.h */
    size_t into_len;
    bool sized;         /* as in http.h */
    bool xml;           /* the answer must be XML: parsed into reply.doc */
    bool secret_answer; /* holds credentials */
    bool anonymous;     /* not signed */
    /* Never repeated once it may have taken effect; the caller finds out and calls
     * again. For actions without a client token. */
    bool once;

    /* S3: where a bucket is reached and its region, instead of the service's and the
     * client's. When the answer says that the bucket is in another region, the region's
     * name is stored in `ret_region` and the call fails; "" else. NULL: none of it. */
    const struct endpoint *endpoint;
    const char *region;
    char *ret_region; /* CALL_REGION_LEN bytes */
};

#define CALL_REGION_LEN 64

struct reply {
    struct http_answer http;
    xmlDoc *doc; /* with call.xml */
};

#define REPLY_INIT                                                                       \
    {                                                                                    \
        0                                                                                \
    }
#define auto_reply auto_call(reply_release)
void reply_release(struct reply *r);

/* With aws's own credentials, which are renewed once if refused as expired. On success
 * *ret is the caller's. *ret_maybe_done (may be NULL) is set in every case: whether an
 * earlier try, whose answer was lost, may have taken effect (on failure the last try
 * included). */
int call_send(struct aws *aws, const struct call *call, struct reply *ret,
              bool *ret_maybe_done, struct err *e) err_warn_unused;

/* With these credentials and no others. */
int call_send_as(struct aws *aws, const struct call *call, struct creds *creds,
                 struct reply *ret, struct err *e) err_warn_unused;

#endif
