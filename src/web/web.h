/* The monitor: jobs, syncs and their evidence as REST, server-sent events, Prometheus
 * metrics and a page, on one port or socket. docs/monitor-api.md is its contract.
 *
 * Default-deny: whatever tells of jobs or acts wants the token; without TLS only loopback
 * and unix sockets are served. It reads the journal and never writes it: actions run
 * hotadd itself as a child, which outlives the monitor. */
#ifndef HOTADD_WEB_WEB_H
#define HOTADD_WEB_WEB_H

#include "base/err.h"
#include "base/strv.h"

#include <jansson.h>

/* How the monitor learns of Live Sync. Both calls answer from records, without a network:
 * they are made on the server's threads, one at a time. Results are owned. */
struct web_syncs {
    int (*list)(void *ctx, json_t **ret, struct err *e); /* array */
    /* ERR_NOT_FOUND names it. */
    int (*show)(void *ctx, const char *name, json_t **ret, struct err *e);
    void *ctx;
};

/* All borrowed, and valid as long as the monitor runs. */
struct web_options {
    const char *listen;       /* "127.0.0.1:8321", "[::1]:0", "unix:/run/x.sock" */
    const char *token_file;   /* NULL: a token is made for this run */
    const struct strv *hosts; /* more names by which browsers may ask; may be NULL */
    const char *tls_cert;     /* PEM file with the chain; NULL: no TLS */
    const char *tls_key;      /* PEM file; with tls_cert */
    const char *journal_path; /* of the jobs to show */
    const char *program;      /* the hotadd that actions run */
    const char *mend_tail;    /* behind commands for people: " --journal FILE", or "" */
    bool read_only;           /* no actions */
    const struct web_syncs *syncs; /* NULL: this hotadd has none */
};

struct web;

/* Serves from threads of its own once it returns. ERR_USAGE: what was asked is not safe
 * or not a place to listen. */
int web_start(const struct web_options *o, struct web **ret,
              struct err *e) err_warn_unused;

/* Where it listens: "http://127.0.0.1:8321/" or the socket's path. Borrowed. */
const char *web_where(const struct web *w);

/* The address for a browser with the token that was made for this run, to be shown on a
 * terminal once; NULL when the token came from a file or none is needed. Owned; the
 * caller wipes it (secret_wipe). */
int web_login_url(const struct web *w, char **ret, struct err *e) err_warn_unused;

/* Ends open streams and waits for requests under way; jobs that were started go on.
 * NULL is fine. */
void web_stop(struct web *w);

#endif
