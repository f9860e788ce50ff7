/* UTF-16LE and UTF-8; see utf16.h. Pure. */
#include "guest/windows/utf16.h"

#include <stdint.h>
#include <string.h>

static void put_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_addc(out, (char)c);
    } else if (c < 0x800) {
        buf_addc(out, (char)(0xc0 | c >> 6));
        buf_addc(out, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buf_addc(out, (char)(0xe0 | c >> 12));
        buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_addc(out, (char)(0x80 | (c & 0x3f)));
    } else {
        buf_addc(out, (char)(0xf0 | c >> 18));
        buf_addc(out, (char)(0x80 | (c >> 12 & 0x3f)));
        buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_addc(out, (char)(0x80 | (c & 0x3f)));
    }
}

static uint32_t unit(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

void utf16_to_utf8(const void *data, size_t len, struct buf *out)
{
    const unsigned char *p = data;

    for (size_t i = 0; i + 2 <= len; i += 2) {
        uint32_t c = unit(p + i);

        if (c >= 0xd800 && c < 0xdc00 && i + 4 <= len) {
            uint32_t low = unit(p + i + 2);

            if (low >= 0xdc00 && low < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                i += 2;
            }
        }
        put_utf8(out, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
    }
}

/* Length of the sequence at s and its code point; 0: invalid. */
static size_t get_utf8(const unsigned char *s, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80             ? 1
               : (s[0] & 0xe0) == 0xc0 ? 2
               : (s[0] & 0xf0) == 0xe0 ? 3
               : (s[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    uint32_t c = n == 1 ? s[0] : n == 2 ? s[0] & 0x1f : n == 3 ? s[0] & 0x0f : s[0] & 7;

    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    if (n && (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)))
        return 0;
    *ret = c;
    return n;
}

static void put_unit(struct buf *out, uint32_t u)
{
    buf_addc(out, (char)(u & 0xff));
    buf_addc(out, (char)(u >> 8));
}

int utf8_to_utf16(const char *s, struct buf *out, struct err *e)
{
    while (*s) {
        uint32_t c;
        size_t n = get_utf8((const unsigned char *)s, &c);

        if (!n)
            return err_set(e, ERR_INPUT, "text that is no UTF-8 cannot be for Windows");
        if (c < 0x10000) {
            put_unit(out, c);
        } else {
            put_unit(out, 0xd800 + ((c - 0x10000) >> 10));
            put_unit(out, 0xdc00 + ((c - 0x10000) & 0x3ff));
        }
        s += n;
    }
    return buf_check(out, e);
}
