/* Parsing of VMX files. Pure: text in, sorted pairs out; lines, lengths and their number
 * are bounded. */
#include "image/vmx.h"

#include "base/auto.h"
#include "base/str.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#define MAX_ENTRIES 16384u

void vmx_release(struct vmx *v)
{
    vec_foreach (x, &v->entries) {
        free(x->key);
        free(x->value);
    }
    vec_release(&v->entries);
}

static int by_key(const void *a, const void *b)
{
    return strcasecmp(((const struct vmx_entry *)a)->key,
                      ((const struct vmx_entry *)b)->key);
}

/* "|22" stands for the character of that hexadecimal code. In place. */
static void unescape(char *s)
{
    char *out = s;

    while (*s) {
        char two[3] = {0};

        if (*s == '|' && isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2])) {
            memcpy(two, s + 1, 2);
            *out = (char)strtoul(two, NULL, 16);
            /* A NUL would cut the value short. */
            out += *out != 0;
            s += 3;
        } else {
            *out++ = *s++;
        }
    }
    *out = 0;
}

static int bad(const char *name, unsigned line, const char *what, struct err *e)
{
    return err_set(e, ERR_INPUT, "%s: line %u: %s", name, line, what);
}

static int add(struct vmx *v, const char *key, char *value, const char *name,
               unsigned line, struct err *e)
{
    struct vmx_entry x = {.line = line};

    if (v->entries.n >= MAX_ENTRIES)
        return bad(name, line, "more than 16384 settings", e);
    unescape(value);
    x.key = str_dup(key, e);
    x.value = x.key ? str_dup(value, e) : NULL;
    if (!x.value || vec_push(&v->entries, x, e) < 0) {
        free(x.key);
        free(x.value);
        return -1;
    }
    return 0;
}

static int parse_line(struct vmx *v, char *s, const char *name, unsigned line,
                      struct err *e)
{
    char *eq, *value, *end;

    s = str_trim(s);
    /* Scripts that start the VM put "#!" in the first line. */
    if (!*s || *s == '#')
        return 0;
    eq = strchr(s, '=');
    if (!eq || eq == s)
        return bad(name, line, "not of the form key = \"value\"", e);
    *eq = 0;
    value = str_trim(eq + 1);
    if (*value == '"') {
        end = strchr(++value, '"');
        if (!end)
            return bad(name, line, "a value whose quotation mark is not closed", e);
        if (*str_trim(end + 1) && *str_trim(end + 1) != '#')
            return bad(name, line, "text after the value", e);
        *end = 0;
    }
    return add(v, str_trim(s), value, name, line, e);
}

/* VMware refuses a file with a key twice, so nobody can say which one holds. */
static int check_unique(const struct vmx *v, const char *name, struct err *e)
{
    for (size_t i = 1; i < v->entries.n; i++) {
        const struct vmx_entry *a = &v->entries.v[i - 1], *b = &v->entries.v[i];

        if (strcasecmp(a->key, b->key) == 0 && !str_eq(a->value, b->value))
            return err_set(e, ERR_INPUT, "%s: lines %u and %u both set \"%.80s\"", name,
                           a->line < b->line ? a->line : b->line,
                           a->line < b->line ? b->line : a->line, b->key);
    }
    return 0;
}

int vmx_parse(const char *text, const char *name, struct vmx *ret, struct err *e)
{
    struct vmx v = {0};
    auto_free char *copy = str_dup(text, e);
    char *next = copy;
    unsigned line = 0;
    int r = copy ? 0 : -1;

    while (r == 0 && next) {
        char *s = strsep(&next, "\n");

        r = parse_line(&v, s, name, ++line, e);
    }
    if (r == 0 && v.entries.n) {
        qsort(v.entries.v, v.entries.n, sizeof *v.entries.v, by_key);
        r = check_unique(&v, name, e);
    }
    if (r < 0) {
        vmx_release(&v);
        return -1;
    }
    *ret = v;
    return 0;
}

const char *vmx_get(const struct vmx *v, const char *fmt, ...)
{
    char key[128];
    struct vmx_entry want = {.key = key};
    const struct vmx_entry *found;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(key, sizeof key, fmt, ap);
    va_end(ap);
    if (!v->entries.n)
        return NULL;
    found = bsearch(&want, v->entries.v, v->entries.n, sizeof want, by_key);
    return found ? found->value : NULL;
}
