/* Inside of `struct aws`. Only files of this folder include it. */
#ifndef HOTADD_AWS_CLIENT_H
#define HOTADD_AWS_CLIENT_H

#include "aws/aws.h"
#include "aws/creds.h"
#include "aws/http.h"
#include "aws/settings.h"

#include <pthread.h>

/* An endpoint URL taken apart: origin + prefix + path is what is requested. */
struct endpoint {
    char *url;    /* as configured or made, without a trailing slash */
    char *host;   /* as the Host header wants it, port included when given */
    char *prefix; /* path of the URL, "" or "/something" */
    char *origin; /* scheme://host:port */
};

/* Takes `url` (a URL without user, query and fragment; copied) apart. */
int endpoint_make(const char *url, struct endpoint *ret, struct err *e) err_warn_unused;
void endpoint_release(struct endpoint *ep);

/* Shared by a client and those that act as roles through it. */
struct client {
    struct settings settings;
    struct endpoint endpoints[AWS_SERVICES];
    struct http *http;
    struct imds *imds;
    const struct cancel *cancel;
    uint64_t call_timeout_ns, retry_base_ns, settle_ns;
    _Atomic int64_t skew_s; /* what to add to our clock to have AWS's */
};

struct aws {
    struct client *client;
    struct aws *base; /* NULL: client is owned; else borrowed from this one */
    char *role_arn, *session_name, *external_id; /* with base only */
    uint32_t duration_s;
    pthread_mutex_t lock; /* guards creds; held while they are fetched, so that many
                             threads ask once */
    struct creds *creds;  /* one reference, or NULL */
};

/* Current credentials, renewed when they end within five minutes; one reference, the
 * caller's. */
int client_creds(struct aws *aws, struct creds **ret, struct err *e) err_warn_unused;

/* After AWS refused `stale` as expired: newer ones, if there are any. ERR_DENIED when
 * the source still has the same. */
int client_creds_renew(struct aws *aws, const struct creds *stale, struct creds **ret,
                       struct err *e) err_warn_unused;

/* "2026…Z" of AWS's clock as far as we know it. */
char *client_date(const struct aws *aws, char out[32]);

#endif
