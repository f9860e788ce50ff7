/* Prometheus' text format, version 0.0.4. docs/monitor-api.md lists the metrics. */
#ifndef HOTADD_WEB_METRICS_H
#define HOTADD_WEB_METRICS_H

#include "base/buf.h"
#include "job/journal.h"

#include <jansson.h>

struct metrics_server {
    uint64_t requests[6]; /* by the hundreds of their status: [2] are 2xx */
    uint64_t wrong_tokens, wrong_hosts, wrong_origins;
    uint64_t clients; /* of the event stream, now */
    int64_t started_s;
};

/* Lack of memory is the buffer's to report. syncs is what web_syncs.list() gives, or
 * NULL. */
void metrics_write(struct buf *out, const struct job_infos *jobs, const json_t *syncs,
                   uint64_t last_event, const struct metrics_server *server);

/* A label's value with what the format escapes: backslash, quote, line feed. */
void metrics_add_label(struct buf *out, const char *value);

#endif
