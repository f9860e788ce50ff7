/* A guest's request to the lab's metadata service. */
#include "base/str.h"
#include "lab/vm_http.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *copy = malloc(len ? len : 1); /* exactly as long: every overrun shows */
    struct http_head h;
    struct err e;

    if (!copy)
        return 0;
    if (len)
        memcpy(copy, data, len);
    if (http_parse_head(copy, len, &h, &e) == 1) {
        size_t n = strlen(h.req.method) + strlen(h.req.path);

        for (size_t i = 0; i < h.req.n_headers; i++)
            n += strlen(h.headers[i].name) + strlen(h.headers[i].value);
        if (n > len || h.head_len > len)
            abort();
    }
    free(copy);
    return 0;
}
