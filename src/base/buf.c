/* Growable byte buffer; see buf.h. */
#include "base/buf.h"

#include <stdint.h>
#include <string.h>

static bool grow(struct buf *b, size_t more)
{
    size_t need, cap = b->cap ? b->cap : 64;
    char *p;

    if (b->failed)
        return false;
    if (__builtin_add_overflow(b->len, more, &need) ||
        __builtin_add_overflow(need, 1, &need)) {
        b->failed = true;
        return false;
    }
    if (need <= b->cap)
        return true;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    p = realloc(b->data, cap);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->data = p;
    b->cap = cap;
    return true;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    if (!grow(b, len))
        return;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = 0;
}

void buf_adds(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0 && grow(b, (size_t)n)) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    } else if (n < 0) {
        b->failed = true;
    }
    va_end(again);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(b, fmt, ap);
    va_end(ap);
}

int buf_reserve(struct buf *b, size_t more, struct err *e)
{
    if (!grow(b, more))
        return err_nomem(e);
    b->data[b->len] = 0;
    return 0;
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = 0;
}

int buf_check(const struct buf *b, struct err *e)
{
    return b->failed ? err_nomem(e) : 0;
}

int buf_take(struct buf *b, char **ret, struct err *e)
{
    if (!grow(b, 0))
        return err_nomem(e);
    b->data[b->len] = 0;
    *ret = b->data;
    *b = (struct buf)BUF_INIT;
    return 0;
}

const char *buf_str(const struct buf *b)
{
    return b->data ? b->data : "";
}

void buf_release(struct buf *b)
{
    free(b->data);
    *b = (struct buf)BUF_INIT;
}
