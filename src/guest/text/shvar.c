/* Shell assignments (POSIX sh, 2.2 Quoting); see shvar.h. Assignments that span lines
 * inside quotes are read as far as their first line goes. */
#include "guest/text/shvar.h"

#include "base/auto.h"
#include "base/str.h"
#include "guest/text/text.h"

#include <ctype.h>
#include <string.h>

/* The value's start when the line assigns `name`, else NULL. */
static const char *assigned(struct text_line l, const char *name)
{
    const char *p = l.s, *end = l.s + l.len;
    size_t n = strlen(name);

    while (p < end && isblank((unsigned char)*p))
        p++;
    if (end - p > 7 && !strncmp(p, "export", 6) && isblank((unsigned char)p[6]))
        for (p += 6; p < end && isblank((unsigned char)*p);)
            p++;
    if ((size_t)(end - p) <= n || strncmp(p, name, n) != 0 || p[n] != '=')
        return NULL;
    return p + n + 1;
}

/* One word after '=', as sh reads it. */
static void unquote(const char *p, const char *end, struct buf *out)
{
    char quote = 0;

    for (; p < end; p++) {
        if (quote == '\'') {
            if (*p == '\'')
                quote = 0;
            else
                buf_addc(out, *p);
        } else if (*p == '\\' && p + 1 < end) {
            if (quote == '"' && !strchr("$`\"\\", p[1]))
                buf_addc(out, '\\');
            buf_addc(out, *++p);
        } else if (quote == '"') {
            if (*p == '"')
                quote = 0;
            else
                buf_addc(out, *p);
        } else if (*p == '"' || *p == '\'') {
            quote = *p;
        } else if (isspace((unsigned char)*p) || *p == ';') {
            break;
        } else {
            buf_addc(out, *p);
        }
    }
}

static bool find_last(const char *text, const char *name, struct text_line *ret_line,
                      const char **ret_value)
{
    const char *at = text;
    struct text_line l;
    bool found = false;

    while (text_next(&at, &l)) {
        const char *v = assigned(l, name);

        if (!v)
            continue;
        *ret_line = l;
        *ret_value = v;
        found = true;
    }
    return found;
}

int shvar_get(const char *text, const char *name, char **ret, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    struct text_line l;
    const char *v;

    if (!find_last(text, name, &l, &v)) {
        *ret = NULL;
        return 0;
    }
    unquote(v, l.s + l.len, &b);
    return buf_take(&b, ret, e);
}

int shvar_set(const char *text, const char *name, const char *value, struct buf *out,
              struct err *e)
{
    auto_buf struct buf line = BUF_INIT;
    struct text_line l;
    const char *v;

    buf_addf(&line, "%s=\"", name);
    for (const char *p = value; *p; p++) {
        if (strchr("$`\"\\", *p))
            buf_addc(&line, '\\');
        buf_addc(&line, *p);
    }
    buf_addc(&line, '"');
    if (find_last(text, name, &l, &v)) {
        buf_add(out, text, (size_t)(l.s - text));
        buf_adds(out, buf_str(&line));
        buf_adds(out, l.s + l.len);
    } else {
        buf_adds(out, text);
        if (*text && text[strlen(text) - 1] != '\n')
            buf_addc(out, '\n');
        buf_addf(out, "%s\n", buf_str(&line));
    }
    return line.failed ? err_nomem(e) : buf_check(out, e);
}
