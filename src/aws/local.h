/* Short requests to the metadata services of EC2 and of containers: on this machine or
 * link, quick to answer or not there at all. */
#ifndef HOTADD_AWS_LOCAL_H
#define HOTADD_AWS_LOCAL_H

#include "aws/http.h"

#define LOCAL_MAX_ANSWER (64 * 1024)

/* Three tries with short pauses when nothing answers or the status is 5xx; a second to
 * connect and three to answer. As http_perform() otherwise: any status below 500 is 0.
 * The answer is treated as secret. */
int local_request(struct http *http, const char *method, const char *url,
                  const struct http_header *headers, size_t n_headers,
                  const struct cancel *cancel, struct http_answer *ret,
                  struct err *e) err_warn_unused;

#endif
