/* Base 64 (RFC 4648 section 4), as cloud APIs carry bytes in text. */
#ifndef HOTADD_BASE_BASE64_H
#define HOTADD_BASE_BASE64_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>

/* Appends; lack of memory is the buffer's to report. */
void base64_encode(const void *data, size_t len, struct buf *out);

/* Appends the bytes. White space is skipped, padding may be missing; anything else that
 * does not belong is ERR_INPUT. */
int base64_decode(const char *text, size_t len, struct buf *out,
                  struct err *e) err_warn_unused;

#endif
