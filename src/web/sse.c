/* Framing of server-sent events; see sse.h. */
#include "web/sse.h"

#include "base/str.h"

#include <inttypes.h>

void sse_add(struct buf *out, const char *event, uint64_t id, const char *data)
{
    buf_addf(out, "event: %s\n", event);
    if (id != SSE_NO_ID)
        buf_addf(out, "id: %" PRIu64 "\n", id);
    for (const char *p = data;;) {
        size_t n = strcspn(p, "\r\n");

        buf_adds(out, "data: ");
        buf_add(out, p, n);
        buf_addc(out, '\n');
        if (!p[n])
            break;
        p += n + (p[n] == '\r' && p[n + 1] == '\n' ? 2 : 1);
    }
    buf_addc(out, '\n');
}

void sse_add_beat(struct buf *out)
{
    buf_adds(out, ":\n\n");
}

uint64_t sse_last_id(const char *header)
{
    struct err e;
    uint64_t id;

    return header && str_to_u64(header, &id, &e) == 0 ? id : SSE_NO_ID;
}
