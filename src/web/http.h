/* The monitor's HTTP server over libmicrohttpd: one thread for all connections. Event
 * streams are suspended while there is nothing to send, so that many of them cost
 * nothing. Every reply carries the security headers. */
#ifndef HOTADD_WEB_HTTP_H
#define HOTADD_WEB_HTTP_H

#include "web/feed.h"
#include "web/request.h"

/* Filled by a handler; the rest is zero. */
struct reply {
    unsigned status;
    const char *type; /* content type; borrowed for ever; NULL: no body */
    struct buf body;  /* owned */
    /* Sent instead of body when not NULL: a file of the page, there for ever. */
    const void *fixed;
    size_t fixed_len;
    const char *etag;           /* borrowed for ever; NULL: not to be stored anywhere */
    char *cookie;               /* owned: a Set-Cookie value, or NULL */
    const char *allow;          /* borrowed for ever: for status 405 */
    struct feed_client *stream; /* owned: an event stream instead of a body */
};

/* Runs on the server's thread: it must not wait for anything but the local disk. */
typedef void http_handler(void *ctx, const struct request *rq, struct reply *rp);

struct http_server;

struct http_options {
    int listen_fd;                  /* owned by the server from the call on */
    const char *tls_cert, *tls_key; /* PEM text, borrowed until http_stop; NULL: no TLS */
    http_handler *handler;
    void *ctx;
};

int http_start(const struct http_options *o, struct http_server **ret,
               struct err *e) err_warn_unused;

/* Streams must have been ended (feed_close). Waits for replies under way. NULL is fine.
 */
void http_stop(struct http_server *s);

#endif
