/* The EC2 and STS endpoint: authentication, routing, faults, dry runs, answers. */
#ifndef HOTADD_LAB_API_H
#define HOTADD_LAB_API_H

#include "lab/act.h"
#include "lab/http.h"

/* An http_handler; ctx is the struct lab. */
void api_handle(void *ctx, const struct http_request *rq, struct http_reply *rp);

/* Every action of EC2 and STS; NULL when there is none of that name. */
const struct action *api_find_action(const char *service, const char *name);

/* Parameters that an action knows, as patterns (lab/params.c); NULL for no such
 * action. */
const char *params_known(const char *action);

#endif
