/* The EC2, IAM and STS endpoint: authentication, routing, faults, dry runs, answers. S3,
 * on the same port, is in s3.h. */
#ifndef HOTADD_LAB_API_H
#define HOTADD_LAB_API_H

#include "lab/act.h"
#include "lab/http.h"

/* An http_handler; ctx is the struct lab. */
void api_handle(void *ctx, const struct http_request *rq, struct http_reply *rp);

/* UUID version 4, as AWS numbers requests. */
#define API_ID_LEN 37
void api_request_id(char out[API_ID_LEN]);

/* One line in the log: `code` is "" when all went well. */
void api_log(const char *action, unsigned status, const char *code,
             const char *request_id, const char *access_key, int64_t started_ms);

/* Every action of EC2, IAM and STS; NULL when there is none of that name. */
const struct action *api_find_action(const char *service, const char *name);

/* Parameters that an action knows, as patterns (lab/params.c); NULL for no such
 * action. */
const char *params_known(const char *action);

#endif
