/* What each path answers: REST under /api/v1, /metrics, /healthz and the page. Requests
 * in, replies out; sockets are http.c's. docs/monitor-api.md is the contract. */
#ifndef HOTADD_WEB_API_H
#define HOTADD_WEB_API_H

#include "web/actions.h"
#include "web/auth.h"
#include "web/feed.h"
#include "web/http.h"
#include "web/metrics.h"

/* Used by the server's thread only, but for `feed` and `actions`, which look after
 * themselves. All pointers are borrowed; auth is owned by who made it. */
struct api {
    const struct web_options *o;
    const char *tail; /* as describe_job() */
    struct auth auth;
    struct feed *feed;
    struct actions *actions;
    struct journal *journal; /* a connection of this thread's; owned; NULL until used */
    struct metrics_server counts;
    uint64_t warned_ns; /* when a wrong token was last logged */
};

/* An http_handler; ctx is a struct api. */
void api_handle(void *ctx, const struct request *rq, struct reply *rp);

/* What /api/v1/about answers and streams begin with. Owned; NULL with e set. */
json_t *api_about(const struct api *a, struct err *e);

void api_release(struct api *a);

/* ---- shared by its parts ---- */

/* A route's call: fills rp, or fails and leaves the answer to api_handle(). `names` are
 * the parts of the path that the pattern leaves open. */
typedef int api_call(struct api *a, const struct request *rq, const struct strv *names,
                     struct reply *rp, struct err *e);

int api_journal(struct api *a, struct err *e) err_warn_unused;
int api_reply_json(struct reply *rp, unsigned status, const json_t *value,
                   struct err *e) err_warn_unused;
int api_reply_text(struct reply *rp, const char *text, struct err *e) err_warn_unused;

api_call api_jobs, api_job, api_job_events, api_job_console, api_events, api_stream;
api_call api_syncs, api_sync, api_job_screenshot;
api_call api_job_act, api_sync_act, api_actions;

#endif
