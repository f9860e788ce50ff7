/* GRUB legacy menus, Boot Loader Specification entries and the environment block; see
 * grub.h. */
#include "guest/text/grub.h"

#include "base/auto.h"
#include "base/str.h"
#include "guest/text/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ENTRIES 4096
#define TOP         UINT32_MAX

/* "kernel /vmlinuz args": word and the rest, in place. */
static char *rest_of(char *line, size_t word_len)
{
    char *p = line + word_len;

    while (*p && (isblank((unsigned char)*p) || *p == '='))
        p++;
    return p;
}

static bool command_is(const char *line, const char *command)
{
    size_t n = strlen(command);

    return !strncmp(line, command, n) &&
           (isblank((unsigned char)line[n]) || line[n] == '=');
}

static int set_kernel(struct grub_entry *x, char *rest, struct err *e)
{
    size_t n;

    while (str_starts(rest, "--")) { /* --type=… , --no-mem-option */
        rest += strcspn(rest, " \t");
        rest += strspn(rest, " \t");
    }
    n = strcspn(rest, " \t");
    free(x->kernel);
    x->kernel = str_ndup(rest, n, e);
    return x->kernel ? str_set(&x->args, rest + n + strspn(rest + n, " \t"), e) : -1;
}

static int legacy_line(struct grub_menu *m, char *line, struct err *e)
{
    struct grub_entry *x = m->entries.n ? &m->entries.v[m->entries.n - 1] : NULL;

    if (command_is(line, "title")) {
        struct grub_entry new_entry = {.parent = TOP, .number = (uint32_t)m->entries.n};

        if (m->entries.n >= MAX_ENTRIES)
            return err_set(e, ERR_INPUT, "more than %d boot entries", MAX_ENTRIES);
        new_entry.title = str_dup(rest_of(line, 5), e);
        if (!new_entry.title || vec_push(&m->entries, new_entry, e) < 0) {
            free(new_entry.title);
            return -1;
        }
        return 0;
    }
    if (command_is(line, "default"))
        return x ? 0 : str_set(&m->default_entry, rest_of(line, 7), e);
    if (x && command_is(line, "kernel"))
        return set_kernel(x, rest_of(line, 6), e);
    if (x && command_is(line, "initrd"))
        return strv_add(&x->initrds, rest_of(line, 6), e);
    return 0;
}

int grub_legacy_parse(const char *text, struct grub_menu *ret, struct err *e)
{
    auto_grub_menu struct grub_menu m = {0};
    const char *at = text;

    for (;;) {
        auto_free char *line = NULL;
        int r = text_next_trimmed(&at, '#', false, &line, e);

        if (r < 0 || (r && legacy_line(&m, line, e) < 0))
            return -1;
        if (!r)
            break;
    }
    *ret = m;
    m = (struct grub_menu){0};
    return 0;
}

static int bls_options(struct grub_entry *x, const char *value, const char *kernelopts,
                       struct err *e)
{
    const char *p = strstr(value, "$kernelopts");
    auto_free char *all = NULL;

    all = p ? str_fmt(e, "%.*s%s%s", (int)(p - value), value,
                      kernelopts ? kernelopts : "", p + 11)
            : str_dup(value, e);
    if (!all)
        return -1;
    free(x->args);
    x->args = take_ptr(all);
    return 0;
}

static int bls_line(struct grub_entry *x, char *line, const char *kernelopts,
                    struct err *e)
{
    if (command_is(line, "title"))
        return str_set(&x->title, rest_of(line, 5), e);
    if (command_is(line, "linux"))
        return str_set(&x->kernel, rest_of(line, 5), e);
    if (command_is(line, "initrd")) /* "path $tuned_initrd" */
        return strv_add_n(&x->initrds, rest_of(line, 6), strcspn(rest_of(line, 6), " \t"),
                          e);
    if (command_is(line, "options"))
        return bls_options(x, rest_of(line, 7), kernelopts, e);
    return 0;
}

int grub_bls_parse(const char *text, const char *id, const char *kernelopts,
                   struct grub_menu *add_to, struct err *e)
{
    struct grub_entry x = {.parent = TOP, .number = (uint32_t)add_to->entries.n};
    const char *at = text;
    int r;

    if (add_to->entries.n >= MAX_ENTRIES)
        return err_set(e, ERR_INPUT, "more than %d boot entries", MAX_ENTRIES);
    r = str_set(&x.id, id, e);
    while (r >= 0) {
        auto_free char *line = NULL;

        r = text_next_trimmed(&at, '#', false, &line, e);
        if (r <= 0)
            break;
        r = bls_line(&x, line, kernelopts, e);
    }
    if (r >= 0)
        r = vec_push(&add_to->entries, x, e);
    if (r < 0)
        grub_entry_release(&x);
    return r < 0 ? -1 : 0;
}

/* Segments of digits and of letters, as rpm compares versions: numbers by value, and
 * numbers are newer than letters. */
static int compare_versions(const char *a, const char *b)
{
    while (*a || *b) {
        size_t na, nb;
        int r;

        while (*a && !isalnum((unsigned char)*a))
            a++;
        while (*b && !isalnum((unsigned char)*b))
            b++;
        if (!*a || !*b)
            break;
        bool number = isdigit((unsigned char)*a);
        if (number != !!isdigit((unsigned char)*b))
            return number ? 1 : -1;
        if (number) {
            a += strspn(a, "0");
            b += strspn(b, "0");
        }
        for (na = 0;
             number ? isdigit((unsigned char)a[na]) : isalpha((unsigned char)a[na]);)
            na++;
        for (nb = 0;
             number ? isdigit((unsigned char)b[nb]) : isalpha((unsigned char)b[nb]);)
            nb++;
        if (number && na != nb)
            return na > nb ? 1 : -1;
        r = strncmp(a, b, na < nb ? na : nb);
        if (r)
            return r;
        if (na != nb)
            return na > nb ? 1 : -1;
        a += na;
        b += nb;
    }
    return *a ? 1 : *b ? -1 : 0;
}

static int newest_first(const void *a, const void *b)
{
    const struct grub_entry *x = a, *y = b;

    return compare_versions(y->id ? y->id : "", x->id ? x->id : "");
}

void grub_bls_sort(struct grub_menu *m)
{
    if (!m->entries.n)
        return;
    qsort(m->entries.v, m->entries.n, sizeof m->entries.v[0], newest_first);
    for (size_t i = 0; i < m->entries.n; i++)
        m->entries.v[i].number = (uint32_t)i;
}

/* The block is lines of name=value, filled with '#' to its size; newlines and backslashes
 * in values are escaped by a backslash. */
int grubenv_get(const void *data, size_t len, const char *name, char **ret, struct err *e)
{
    const char *p = data, *end = p + len;
    size_t n = strlen(name);

    *ret = NULL;
    while (p < end) {
        auto_buf struct buf value = BUF_INIT;
        const char *line = p;

        while (p < end && *p && *p != '\n')
            p += *p == '\\' && p + 1 < end ? 2 : 1;
        if ((size_t)(p - line) > n && !memcmp(line, name, n) && line[n] == '=') {
            for (const char *v = line + n + 1; v < p; v++) {
                v += *v == '\\' && v + 1 < p;
                buf_addc(&value, *v);
            }
            return buf_take(&value, ret, e);
        }
        if (p >= end || !*p)
            break;
        p++;
    }
    return 0;
}
