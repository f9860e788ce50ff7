/* Percent-encoding; see uri.h. */
#include "aws/uri.h"

#include "base/str.h"

#include <string.h>

static bool unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_' || c == '.' || c == '~';
}

static void encode(struct buf *out, const unsigned char *p, size_t len, bool keep_slash)
{
    for (size_t i = 0; i < len; i++) {
        if (unreserved(p[i]) || (keep_slash && p[i] == '/'))
            buf_addc(out, (char)p[i]);
        else
            buf_addf(out, "%%%02X", p[i]);
    }
}

void uri_encode(struct buf *out, const void *text, size_t len)
{
    encode(out, text, len, false);
}

void uri_encode_path(struct buf *out, const void *text, size_t len)
{
    encode(out, text, len, true);
}

void uri_decode(struct buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        struct err ignored;
        char hex[3] = {0}, c;

        if (text[i] == '%' && len - i > 2) {
            memcpy(hex, text + i + 1, 2);
            if (str_unhex(hex, &c, 1, &ignored) == 0) {
                buf_addc(out, c);
                i += 2;
                continue;
            }
        }
        buf_addc(out, text[i]);
    }
}
