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
    struct buf body; /* empty when there is an upload */
    void *upload;    /* what http_uploads.begin gave; the server's */
};

enum http_delivery {
    HTTP_SEND,
    HTTP_DROP, /* close the connection without a word */
    HTTP_CUT,  /* close it after half of the body that was announced */
};

/* A part of a file as the body of a reply. */
struct http_file {
    int fd; /* owned */
    uint64_t offset, len_bytes;
};

struct http_reply {
    enum http_delivery delivery;
    unsigned status;
    const char *content_type;    /* borrowed for ever; NULL: none, or among headers */
    struct http_headers headers; /* owned */
    struct buf body;             /* owned */
    struct http_file *file;      /* owned; sent instead of body when not NULL */
};

/* Fills an empty reply. Called on a thread of the connection. */
typedef void http_handler(void *ctx, const struct http_request *rq,
                          struct http_reply *rp);

/* Takes bodies as they come, for requests whose bodies are too large to be kept. */
struct http_uploads {
    /* When the headers are there. NULL: the body is collected in rq->body. What goes
     * wrong, here or later, is for the upload to remember and the handler to tell. */
    void *(*begin)(void *ctx, const struct http_request *rq);
    void (*data)(void *upload, const void *data, size_t len);
    void (*free)(void *upload);
};

struct http_server;

/* Listens on 127.0.0.1:port (0: any; *ret_port tells). `ctx` must outlive the server;
 * `uploads` may be NULL. */
int http_start(uint16_t port, http_handler *handler, const struct http_uploads *uploads,
               void *ctx, struct http_server **ret, uint16_t *ret_port,
               struct err *e) err_warn_unused;
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
