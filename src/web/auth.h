/* Who may ask: token, session cookie, Host and Origin. */
#ifndef HOTADD_WEB_AUTH_H
#define HOTADD_WEB_AUTH_H

#include "base/digest.h"
#include "base/secret.h"
#include "base/strv.h"
#include "web/request.h"

#define AUTH_COOKIE    "hotadd-session"
#define AUTH_MIN_TOKEN 32

struct auth {
    struct secret *token; /* owned; NULL: who reaches the socket may ask */
    unsigned char token_digest[SHA256_BYTES];
    char session[SHA256_HEX_LEN]; /* the cookie's value: follows from the token, does not
                                     give it away, and survives a restart */
    struct strv hosts;            /* names a browser may know us by, lower case */
    bool any_host;                /* a socket behind a proxy: names are the proxy's */
    bool tls;
};

enum auth_token { AUTH_TOKEN_NONE, AUTH_TOKEN_FILE, AUTH_TOKEN_FRESH };

/* `file` for AUTH_TOKEN_FILE; it must be readable by its owner only. Hosts are copied. */
int auth_init(struct auth *a, enum auth_token how, const char *file,
              const struct strv *hosts, struct err *e) err_warn_unused;
void auth_release(struct auth *a);

/* Answers below: 0, or the HTTP status to refuse with and the reason in e. */

/* Against DNS rebinding: the Host must be one of ours. */
int auth_check_host(const struct auth *a, const struct request *rq, struct err *e);

/* Bearer token or session cookie. */
int auth_check_token(const struct auth *a, const struct request *rq, struct err *e);

/* Against requests that another site's page makes a browser send: for whatever changes
 * something. A request with neither Origin nor Sec-Fetch-Site is no browser's. */
int auth_check_same_origin(const struct auth *a, const struct request *rq, struct err *e);

/* In constant time. */
bool auth_token_is(const struct auth *a, const char *text);

#endif
