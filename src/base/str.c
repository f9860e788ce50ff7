/* Small helpers on C strings and sizes; see str.h. */
#include "base/str.h"

#include "base/buf.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

void *mem_zalloc(size_t n, size_t size, struct err *e)
{
    /* calloc checks the product itself; a zero-sized result must still be unique. */
    void *p = calloc(n ? n : 1, size ? size : 1);

    if (!p)
        err_nomem(e);
    return p;
}

char *str_ndup(const char *s, size_t len, struct err *e)
{
    char *p = strndup(s, len);

    if (!p)
        err_nomem(e);
    return p;
}

char *str_dup(const char *s, struct err *e)
{
    return str_ndup(s, strlen(s), e);
}

char *str_fmt(struct err *e, const char *fmt, ...)
{
    auto_buf struct buf b = BUF_INIT;
    char *ret = NULL;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&b, fmt, ap);
    va_end(ap);
    if (buf_check(&b, e) < 0 || buf_take(&b, &ret, e) < 0)
        return NULL;
    return ret;
}

int str_set(char **s, const char *value, struct err *e)
{
    char *p = NULL;

    if (value && !(p = str_dup(value, e)))
        return -1;
    free(*s);
    *s = p;
    return 0;
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t ls = strlen(s), lx = strlen(suffix);

    return ls >= lx && memcmp(s + ls - lx, suffix, lx) == 0;
}

/* Digits from *s on; *s is left at the first other character. */
static int scan_u64(const char **s, uint64_t *ret, struct err *e)
{
    const char *p = *s;
    uint64_t v = 0;

    if (!isdigit((unsigned char)*p))
        return err_set(e, ERR_INPUT, "'%.40s' is not a number", *s);
    for (; isdigit((unsigned char)*p); p++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
            return err_set(e, ERR_INPUT, "'%.40s' is too large", *s);
    *ret = v;
    *s = p;
    return 0;
}

int str_to_u64(const char *s, uint64_t *ret, struct err *e)
{
    const char *p = s;
    uint64_t v;

    if (scan_u64(&p, &v, e) < 0)
        return -1;
    if (*p)
        return err_set(e, ERR_INPUT, "'%.40s' is not a number", s);
    *ret = v;
    return 0;
}

int str_to_bytes(const char *s, uint64_t *ret_bytes, struct err *e)
{
    static const char units[] = "KMGTP";
    const char *p = s, *u;
    uint64_t v;

    if (scan_u64(&p, &v, e) < 0)
        return -1;
    if (*p) {
        u = strchr(units, toupper((unsigned char)*p));
        if (!u || (p[1] && strcasecmp(p + 1, "iB") && strcasecmp(p + 1, "B")))
            return err_set(e, ERR_INPUT,
                           "'%.40s' is not a size (digits, then K, M, G or T)", s);
        for (int i = 0; i <= u - units; i++)
            if (__builtin_mul_overflow(v, 1024, &v))
                return err_set(e, ERR_INPUT, "'%.40s' is too large", s);
    }
    *ret_bytes = v;
    return 0;
}

char *str_bytes(char *out, size_t out_len, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes;
    size_t i = 0;

    while (v >= 1024 && i < sizeof units / sizeof units[0] - 1) {
        v /= 1024;
        i++;
    }
    snprintf(out, out_len, i && v < 100 ? "%.1f %s" : "%.0f %s", v, units[i]);
    return out;
}

char *str_hex(char *out, const void *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * len] = 0;
    return out;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int str_unhex(const char *hex, void *out, size_t len, struct err *e)
{
    unsigned char *p = out;

    if (strlen(hex) != 2 * len)
        return err_set(e, ERR_INPUT, "expected %zu hex digits", 2 * len);
    for (size_t i = 0; i < 2 * len; i++)
        if (hex_digit(hex[i]) < 0)
            return err_set(e, ERR_INPUT, "'%c' is not a hex digit", hex[i]);
    for (size_t i = 0; i < len; i++)
        p[i] = (unsigned char)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    return 0;
}

char *str_trim(char *s)
{
    size_t len;

    while (isspace((unsigned char)*s))
        s++;
    len = strlen(s);
    while (len && isspace((unsigned char)s[len - 1]))
        s[--len] = 0;
    return s;
}

void str_blank_controls(char *text)
{
    for (unsigned char *s = (unsigned char *)text; *s; s++) {
        bool c1 = s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0;

        if (*s >= 0x20 && *s != 0x7f && !c1)
            continue;
        *s = ' ';
        if (c1)
            *++s = ' ';
    }
}
