/* Lines and words; see text.h. Bounded by the text itself; no recursion. */
#include "guest/text/text.h"

#include "base/str.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

bool text_next(const char **at, struct text_line *ret)
{
    const char *end;

    if (!*at || !**at) {
        *at = NULL;
        return false;
    }
    end = strchrnul(*at, '\n');
    ret->s = *at;
    ret->len = (size_t)(end - *at);
    if (ret->len && ret->s[ret->len - 1] == '\r')
        ret->len--;
    *at = *end ? end + 1 : NULL;
    return true;
}

void text_add_end(struct buf *b, struct text_line l)
{
    const char *p = l.s + l.len;

    if (*p == '\r')
        buf_addc(b, *p++);
    if (*p == '\n')
        buf_addc(b, *p);
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static struct text_line trim(struct text_line l)
{
    while (l.len && blank(l.s[0])) {
        l.s++;
        l.len--;
    }
    while (l.len && blank(l.s[l.len - 1]))
        l.len--;
    return l;
}

int text_next_trimmed(const char **at, char comment, bool join, char **ret, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    struct text_line l;

    while (text_next(at, &l)) {
        bool more;

        l = trim(l);
        if (!b.len && (!l.len || (comment && l.s[0] == comment)))
            continue;
        more = join && l.len && l.s[l.len - 1] == '\\';
        buf_add(&b, l.s, more ? l.len - 1 : l.len);
        if (more) {
            buf_addc(&b, ' ');
            continue;
        }
        break;
    }
    if (!b.len && !b.failed)
        return 0;
    return buf_take(&b, ret, e) < 0 ? -1 : 1;
}

int text_words(const char *s, bool quotes, struct strv *ret, struct err *e)
{
    while (*s) {
        const char *start;
        char quote = 0;

        while (*s && isspace((unsigned char)*s))
            s++;
        for (start = s; *s && (quote || !isspace((unsigned char)*s)); s++) {
            if (!quotes || (*s != '"' && *s != '\''))
                continue;
            if (!quote)
                quote = *s;
            else if (quote == *s)
                quote = 0;
        }
        if (s > start && strv_add_n(ret, start, (size_t)(s - start), e) < 0)
            return -1;
    }
    return 0;
}

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

bool text_has_word(const char *text, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = text; (p = strstr(p, word)); p++)
        if ((p == text || !word_char(p[-1])) && !word_char(p[n]))
            return true;
    return false;
}

char *text_unquote(char *s)
{
    size_t n = strlen(s);

    if (n >= 2 && (s[0] == '"' || s[0] == '\'') && s[n - 1] == s[0]) {
        s[n - 1] = 0;
        s++;
    }
    return s;
}

int text_values(const char *text, const char *key, struct strv *ret, struct err *e)
{
    const char *at = text;
    size_t n = strlen(key);

    for (;;) {
        auto_free char *line = NULL;
        int r = text_next_trimmed(&at, '#', false, &line, e);

        if (r <= 0)
            return r;
        if (strncasecmp(line, key, n) || !(blank(line[n]) || line[n] == '='))
            continue;
        char *v = line + n;
        while (blank(*v) || *v == '=')
            v++;
        if (strv_add(ret, text_unquote(v), e) < 0)
            return -1;
    }
}

int text_ini(const char *text,
             int (*fn)(void *ctx, const char *section, const char *key, const char *value,
                       struct err *e),
             void *ctx, struct err *e)
{
    auto_free char *section = str_dup("", e);
    const char *at = text;

    if (!section)
        return -1;
    for (;;) {
        auto_free char *line = NULL;
        char *eq;
        int r = text_next_trimmed(&at, '#', true, &line, e);

        if (r <= 0)
            return r;
        if (line[0] == ';')
            continue;
        if (line[0] == '[') {
            line[strcspn(line, "]")] = 0;
            if (str_set(&section, line + 1, e) < 0)
                return -1;
            continue;
        }
        eq = strchr(line, '=');
        if (!eq)
            continue;
        *eq = 0;
        r = fn(ctx, section, str_trim(line), str_trim(eq + 1), e);
        if (r < 0)
            return r;
    }
}

struct want {
    const char *section, *key;
    char **ret;
};

static int keep_if_wanted(void *ctx, const char *section, const char *key,
                          const char *value, struct err *e)
{
    struct want *w = ctx;

    if (!str_eq(section, w->section) || !str_eq(key, w->key))
        return 0;
    return str_set(w->ret, value, e);
}

int text_ini_get(const char *text, const char *section, const char *key, char **ret,
                 struct err *e)
{
    auto_free char *value = NULL;
    struct want w = {section, key, &value};

    if (text_ini(text, keep_if_wanted, &w, e) < 0)
        return -1;
    *ret = take_ptr(value);
    return 0;
}

bool text_is_true(const char *s)
{
    return !strcasecmp(s, "yes") || !strcasecmp(s, "true") || !strcasecmp(s, "on") ||
           str_eq(s, "1");
}
