/* Server-sent events, as the HTML standard frames them (text/event-stream). */
#ifndef HOTADD_WEB_SSE_H
#define HOTADD_WEB_SSE_H

#include "base/buf.h"

#include <stdint.h>

#define SSE_NO_ID UINT64_MAX

/* One message. Line ends in `data` begin another data field, so that no text can end the
 * message early or forge a field. */
void sse_add(struct buf *out, const char *event, uint64_t id, const char *data);

/* A comment: keeps the connection, and shows a dead one. */
void sse_add_beat(struct buf *out);

/* The Last-Event-ID header; SSE_NO_ID when it is none of ours. */
uint64_t sse_last_id(const char *header);

#endif
