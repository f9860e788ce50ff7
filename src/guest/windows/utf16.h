/* UTF-16LE as Windows stores text, to and from UTF-8. Unpaired surrogates become U+FFFD
 * (reading) and invalid UTF-8 is ERR_INPUT (writing). */
#ifndef HOTADD_GUEST_WINDOWS_UTF16_H
#define HOTADD_GUEST_WINDOWS_UTF16_H

#include "base/buf.h"

/* Appends; stops at len (an odd last byte is left out). NULs are copied. */
void utf16_to_utf8(const void *data, size_t len, struct buf *out);
/* Appends, without a final NUL. */
int utf8_to_utf16(const char *s, struct buf *out, struct err *e) err_warn_unused;

#endif
