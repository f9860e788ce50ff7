/* Short requests to metadata services; see local.h. */
#include "aws/local.h"

#include "base/clock.h"
#include "base/log.h"

#define TRIES 3

static int one_try(struct http *http, struct http_request *r, struct http_answer *ret,
                   struct err *e)
{
    bool sent;

    r->deadline_ns = clock_mono_ns() + 3 * NS_PER_S;
    if (http_perform(http, r, ret, &sent, e) < 0)
        return -1;
    log_debug("%s %s: %d", r->method, r->url, ret->status);
    if (ret->status < 500)
        return 0;
    err_set(e, ERR_NETWORK, "%s: HTTP status %d", r->url, ret->status);
    e->retryable = true;
    http_answer_release(ret);
    return -1;
}

int local_request(struct http *http, const char *method, const char *url,
                  const struct http_header *headers, size_t n_headers,
                  const struct cancel *cancel, struct http_answer *ret, struct err *e)
{
    struct http_request r = {
        .method = method,
        .url = url,
        .reach = HTTP_LINK_LOCAL,
        .headers = headers,
        .n_headers = n_headers,
        .max_answer = LOCAL_MAX_ANSWER,
        .connect_ns = NS_PER_S,
        .secret_answer = true,
    };
    struct http_answer answer = HTTP_ANSWER_INIT;
    uint64_t pause_ns = 200 * NS_PER_MS;

    for (int try = 1;; try++) {
        struct err stop;

        if (one_try(http, &r, &answer, e) == 0)
            break;
        if (try == TRIES || !e->retryable)
            return -1;
        if (cancel_sleep_ns(cancel, pause_ns, &stop) < 0) {
            *e = stop;
            return -1;
        }
        pause_ns *= 2;
    }
    *ret = answer;
    return 0;
}
