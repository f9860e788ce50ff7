/* Base 64; see base64.h. */
#include "base/base64.h"

#include <stdint.h>
#include <string.h>

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *data, size_t len, struct buf *out)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t v = (uint32_t)p[i] << 16;
        char q[4];

        if (n > 1)
            v |= (uint32_t)p[i + 1] << 8;
        if (n > 2)
            v |= p[i + 2];
        q[0] = digits[v >> 18];
        q[1] = digits[v >> 12 & 63];
        q[2] = n > 1 ? digits[v >> 6 & 63] : '=';
        q[3] = n > 2 ? digits[v & 63] : '=';
        buf_add(out, q, 4);
    }
}

static int value_of(char c)
{
    const char *p = c ? strchr(digits, c) : NULL;

    return p ? (int)(p - digits) : -1;
}

int base64_decode(const char *text, size_t len, struct buf *out, struct err *e)
{
    uint32_t acc = 0;
    unsigned bits = 0, pads = 0;
    size_t n_digits = 0;

    for (size_t i = 0; i < len; i++) {
        int v = value_of(text[i]);

        if (text[i] == ' ' || text[i] == '\n' || text[i] == '\r' || text[i] == '\t')
            continue;
        if (text[i] == '=' && n_digits % 4 >= 2 && pads < 2) {
            pads++;
            continue;
        }
        if (v < 0 || pads)
            return err_set(e, ERR_INPUT, "not base 64 at character %zu", i + 1);
        acc = (acc << 6 | (uint32_t)v) & 0xfff;
        bits += 6;
        n_digits++;
        if (bits >= 8) {
            bits -= 8;
            buf_addc(out, (char)(acc >> bits & 0xff));
        }
    }
    if (n_digits % 4 == 1)
        return err_set(e, ERR_INPUT, "base 64 ends in the middle of a byte");
    return buf_check(out, e);
}
