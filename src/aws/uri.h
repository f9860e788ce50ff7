/* Percent-encoding as AWS wants it (RFC 3986: only A-Z a-z 0-9 - _ . ~ stay). */
#ifndef HOTADD_AWS_URI_H
#define HOTADD_AWS_URI_H

#include "base/buf.h"

/* Append. Lack of memory is the buffer's to report. */
void uri_encode(struct buf *out, const void *text, size_t len);
/* Same, but leaves '/' alone: for paths and object keys. */
void uri_encode_path(struct buf *out, const void *text, size_t len);
/* Undoes %XX; a stray '%' stays as it is. */
void uri_decode(struct buf *out, const char *text, size_t len);

#endif
