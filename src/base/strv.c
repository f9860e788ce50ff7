/* Lists of owned strings; see strv.h. */
#include "base/strv.h"

#include "base/buf.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void strv_release(struct strv *v)
{
    vec_foreach (s, v)
        free(*s);
    vec_release(v);
}

int strv_add_n(struct strv *v, const char *s, size_t len, struct err *e)
{
    auto_free char *copy = str_ndup(s, len, e);

    if (!copy || vec_push(v, copy, e) < 0)
        return -1;
    copy = NULL;
    return 0;
}

int strv_add(struct strv *v, const char *s, struct err *e)
{
    return strv_add_n(v, s, strlen(s), e);
}

int strv_addf(struct strv *v, struct err *e, const char *fmt, ...)
{
    auto_buf struct buf b = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&b, fmt, ap);
    va_end(ap);
    if (buf_check(&b, e) < 0)
        return -1;
    return strv_add(v, buf_str(&b), e);
}

int strv_add_once(struct strv *v, const char *s, struct err *e)
{
    return strv_has(v, s) ? 0 : strv_add(v, s, e);
}

bool strv_has(const struct strv *v, const char *s)
{
    vec_foreach (p, v)
        if (str_eq(*p, s))
            return true;
    return false;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(struct strv *v)
{
    if (v->n)
        qsort(v->v, v->n, sizeof v->v[0], by_bytes);
}

int strv_join(const struct strv *v, const char *sep, char **ret, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;

    vec_foreach (s, v)
        buf_addf(&b, "%s%s", s == v->v ? "" : sep, *s);
    return buf_take(&b, ret, e);
}
