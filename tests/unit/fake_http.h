/* A tiny HTTP server inside a test, on a loopback port of its own. The test's handler
 * sees each request and says what to answer; what was asked is kept for assertions. */
#ifndef HOTADD_TESTS_UNIT_FAKE_HTTP_H
#define HOTADD_TESTS_UNIT_FAKE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_MAX_REQUESTS 64

struct fake_request {
    char *method, *path; /* path without query, decoded */
    char *uri;           /* path and query as sent */
    char *headers;       /* "name: value\n"… */
    char *body;
    size_t body_len;
};

struct fake_answer {
    int status;          /* 0: close the connection without an answer */
    const char *body;    /* borrowed until the server stops */
    const char *headers; /* "Name: value\nName: value" or NULL */
    uint64_t endless;    /* announce so many bytes and send 'x' for ever */
    bool chunked;        /* with endless: announce nothing */
    size_t cut_at; /* announce the whole body, but close after so many bytes of it */
    unsigned delay_ms;
};

typedef void fake_handler(void *ctx, size_t n, const struct fake_request *r,
                          struct fake_answer *ret);

struct fake_http;

/* `key` and `cert` (PEM texts) make it speak TLS; NULL: plain. Fails the test when it
 * cannot. The handler runs in the server's thread, one request at a time. */
struct fake_http *fake_http_start(fake_handler *handler, void *ctx, const char *key,
                                  const char *cert);
void fake_http_stop(struct fake_http *f);

/* "http://127.0.0.1:PORT", or https; borrowed. */
const char *fake_http_url(const struct fake_http *f);
size_t fake_http_count(struct fake_http *f);
/* The n-th request; fails the test when there were fewer. Borrowed until stop. */
const struct fake_request *fake_http_request(struct fake_http *f, size_t n);

/* A handler that gives answers[n] to the n-th request, the last one again and again. */
struct fake_script {
    const struct fake_answer *answers;
    size_t n;
};
void fake_script_handler(void *ctx, size_t n, const struct fake_request *r,
                         struct fake_answer *ret);

/* Value of a form parameter in the body, decoded, in a static buffer; NULL: not there. */
const char *fake_form(const struct fake_request *r, const char *name);
/* True when the header line is there, by case-insensitive name and exact value part. */
bool fake_has_header(const struct fake_request *r, const char *name, const char *part);

#endif
