/* HTTP by libcurl, as strict as an API client should be: certificates always verified,
 * plain http only to loopback (and, when asked for, link-local) addresses, no redirects,
 * no cookies, no compression, answers of limited size, one deadline, and an end at once
 * when cancelled. No retries: see call.h.
 *
 * A `struct http` is a pool of connections for any number of threads; a request uses one
 * handle alone. */
#ifndef HOTADD_AWS_HTTP_H
#define HOTADD_AWS_HTTP_H

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"

#include <stdint.h>

struct http;

struct http_header {
    const char *name, *value;
};

enum http_reach {
    HTTP_PUBLIC,     /* https; plain http to loopback only */
    HTTP_LINK_LOCAL, /* plain http to link-local addresses too: metadata services */
};

/* All borrowed for the call. */
struct http_request {
    const char *method; /* GET, PUT, POST, HEAD, DELETE */
    const char *url;
    enum http_reach reach;
    const struct http_header *headers;
    size_t n_headers;
    const void *body;
    size_t body_len;
    size_t max_answer; /* bytes of body; more is ERR_INPUT (refusals: some KiB more) */
    /* Where the body of an answer with status 2xx goes instead of answer.body; NULL:
     * nowhere else. More than into_len is ERR_INPUT; what is there on failure is
     * undefined. */
    void *into;
    size_t into_len;
    bool sized;           /* an answer that does not say its length is ERR_NETWORK:
                             cut off, it would look whole */
    uint64_t deadline_ns; /* of the monotonic clock */
    uint64_t connect_ns;  /* at most this long to connect; 0: 10 s */
    bool fresh;           /* never on a kept connection (see call.h, "once") */
    bool secret_answer;   /* holds credentials: wiped on release, never moved */
};

struct http_answer {
    int status;
    struct buf headers; /* "name: value\n" lines as received, of the final answer */
    struct buf body;
    size_t into_len; /* bytes that went to http_request.into */
    bool secret;
};

#define HTTP_ANSWER_INIT                                                                 \
    {                                                                                    \
        0                                                                                \
    }

/* `ca_bundle` (may be NULL: the system's) and `cancel` (may be NULL) are as in aws.h;
 * an unreadable bundle is ERR_USAGE. Owned. */
int http_new(const char *ca_bundle, const struct cancel *cancel, struct http **ret,
             struct err *e) err_warn_unused;
void http_free(struct http *h);

/* 0 for any answer, whatever its status. Stores in *ret_sent whether the server may have
 * seen the request: also on failure, and false only when it certainly has not. Errors:
 * ERR_NETWORK and ERR_TIMEOUT (retryable unless it is the certificate), ERR_INPUT (too
 * large), ERR_CANCELLED, ERR_USAGE (URL not allowed). */
int http_perform(struct http *h, const struct http_request *r, struct http_answer *ret,
                 bool *ret_sent, struct err *e) err_warn_unused;
void http_answer_release(struct http_answer *a);

/* Value of a header (first, any case), trimmed, owned; NULL when absent. */
int http_answer_header(const struct http_answer *a, const char *name, char **ret,
                       struct err *e) err_warn_unused;

/* ERR_USAGE unless the URL is https, or http to an address that is allowed. */
int http_url_check(const char *url, enum http_reach reach, struct err *e) err_warn_unused;

#endif
