/* Jobs and events as the monitor's API tells them: what the journal says, the pace, and,
 * when something is wrong, what mends it. docs/monitor-api.md lists the members. */
#ifndef HOTADD_WEB_DESCRIBE_H
#define HOTADD_WEB_DESCRIBE_H

#include "web/pace.h"

#include <jansson.h>

enum describe_depth {
    DESCRIBE_SHORT, /* without params and the resources' attributes: lists, the stream */
    DESCRIBE_FULL,
};

/* tail (borrowed): what commands for people need behind them, like " --journal FILE"; ""
 * for nothing. Owned; NULL with e set when out of memory. */
json_t *describe_job(const struct job_info *i, struct pace pace,
                     enum describe_depth depth, const char *tail, struct err *e);

json_t *describe_event(const struct job_event_info *ev, struct err *e);

#endif
