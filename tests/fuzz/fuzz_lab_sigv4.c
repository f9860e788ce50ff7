/* Signatures that the lab is shown: the first line is the Authorization header, the
 * second the path and query, the third X-Amz-Date, the rest the body. */
#include "lab/sigv4.h"

#include "lines.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct http_request *rq)
{
    struct sigv4 s = {0};
    struct err e = ERR_INIT;
    char hex[SIGV4_HEX_LEN];

    if (sigv4_parse(rq, &s, &e) < 0)
        return;
    if (sigv4_check_time(&s, 1440938160, &e) == 0 &&
        sigv4_sign(rq, &s, "secret", hex, &e) == 0 &&
        sigv4_verify(rq, &s, "secret", &e) == 0)
        hex[0] = 0;
    sigv4_release(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *p = (const char *)data, *end = p + len;
    struct http_request rq = {0};
    struct err e = ERR_INIT;
    char *auth = fuzz_line(&p, end, &e), *uri = fuzz_line(&p, end, &e),
         *date = fuzz_line(&p, end, &e);
    const char *q = uri ? strchr(uri, '?') : NULL;

    if (auth && uri && date) {
        rq.method = str_dup("POST", &e);
        rq.path = str_ndup(uri, q ? (size_t)(q - uri) : strlen(uri), &e);
        rq.raw_query = str_dup(q ? q + 1 : "", &e);
        buf_add(&rq.body, p, (size_t)(end - p));
        if (rq.method && rq.path && rq.raw_query &&
            (!*auth || http_header_add(&rq.headers, "authorization", auth, &e) == 0) &&
            http_header_add(&rq.headers, "host", "127.0.0.1", &e) == 0 &&
            http_header_add(&rq.headers, "x-amz-date", date, &e) == 0)
            check(&rq);
    }
    http_request_release(&rq);
    free(auth);
    free(uri);
    free(date);
    return 0;
}
