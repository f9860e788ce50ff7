/* What changes, told to everybody who listens. One thread looks at the journal (a number
 * that SQLite keeps tells whether there is anything new) and hands each change to the
 * clients of the event stream; a client costs a buffer and no thread. */
#ifndef HOTADD_WEB_FEED_H
#define HOTADD_WEB_FEED_H

#include "web/pace.h"
#include "web/web.h"

#include <sys/types.h>

#define FEED_MAX_CLIENTS 64

struct feed_options {
    const char *journal_path;      /* borrowed, as all here */
    const char *tail;              /* as describe_job() */
    const char *hello;             /* JSON of the first message */
    const struct web_syncs *syncs; /* may be NULL */
    void (*tick)(void *ctx);       /* from the feed's thread, a few times a second */
    void *tick_ctx;
};

struct feed;

/* Reads the journal once before it returns. The options are copied. */
int feed_start(const struct feed_options *o, struct feed **ret,
               struct err *e) err_warn_unused;

/* Every client's next read gives its end. */
void feed_close(struct feed *f);
/* After the last client has left. NULL is fine. */
void feed_stop(struct feed *f);

/* Tells all clients; data is JSON. Any thread. */
void feed_tell(struct feed *f, const char *event, const char *data);

/* The pace of a job, as last looked at. Any thread. */
struct pace feed_pace(struct feed *f, const struct job_info *i);

/* What is wrong with the looking ("" when nothing is): copies into out. */
void feed_trouble(struct feed *f, char *out, size_t out_len);

size_t feed_clients(struct feed *f);

struct feed_client;

/* A client begins with the whole picture; with an id that it has seen (else SSE_NO_ID),
 * also with the events since, read from `journal`, at most a thousand. ERR_BUSY: there
 * are FEED_MAX_CLIENTS. */
int feed_join(struct feed *f, struct journal *journal, uint64_t last_id,
              struct feed_client **ret, struct err *e) err_warn_unused;
void feed_leave(struct feed_client *c);

/* Up to max bytes for the client; -1 at its end; 0 when there is nothing, and then
 * park(ctx) was called, and wake(ctx) will be when there is. Both are called under the
 * feed's lock, which makes their order certain: they suspend and resume, nothing else. */
struct feed_valve {
    void (*park)(void *ctx);
    void (*wake)(void *ctx);
    void *ctx;
};
ssize_t feed_read(struct feed_client *c, char *out, size_t max,
                  const struct feed_valve *valve);

#endif
