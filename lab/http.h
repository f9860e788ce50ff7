/* The lab's HTTP server: whole requests in, whole answers out, over libmicrohttpd.
 *
 * Each connection has its own thread, so a handler may block. Request bodies are capped;
 * a larger one is answered 413 without calling the handler. */
#ifndef HOTADD_LAB_HTTP_H
#define HOTADD_LAB_HTTP_H

#include "base/buf.h"
#include "base/vec.h"

#include <stdint.h>

#define HTTP_MAX_BODY (4u << 20)

struct http_header {
    char *name; /* lower case; owned */
    char *value;
};

struct http_request {
    char *method;    /* owned */
    char *path;      /* as sent, percent escapes and all; owned */
    char *raw_query; /* after '?', as sent; "" when none; owned */
    struct http_headers VEC(struct http_header) headers;
    struct buf body;
};

enum http_delivery {
    HTTP_SEND,
    HTTP_DROP, /* close the connection without a word */
};

struct http_reply {
    enum http_delivery delivery;
    unsigned status;
    const char *content_type;    /* borrowed for ever */
    struct http_headers headers; /* owned */
    struct buf body;             /* owned */
};

/* Fills an empty reply. Called on a thread of the connection. */
typedef void http_handler(void *ctx, const struct http_request *rq,
                          struct http_reply *rp);

struct http_server;

/* Listens on 127.0.0.1:port (0: any; *ret_port tells). `ctx` must outlive the server. */
int http_start(uint16_t port, http_handler *handler, void *ctx, struct http_server **ret,
               uint16_t *ret_port, struct err *e) err_warn_unused;
/* Waits for requests under way; NULL is fine. */
void http_stop(struct http_server *s);

/* First header of that lower-case name, or NULL; borrowed. */
const char *http_header_get(const struct http_request *rq, const char *name);

/* Adds a copy of a header. */
int http_header_add(struct http_headers *list, const char *name, const char *value,
                    struct err *e) err_warn_unused;

void http_request_release(struct http_request *rq);
void http_reply_release(struct http_reply *rp);

#endif
