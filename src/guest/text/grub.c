/* GRUB 2's grub.cfg and the choice of the default entry; see grub.h. Other formats:
 * grub_other.c; writing: grub_write.c. Nesting is kept as parent indexes, so there is no
 * recursion. */
#include "guest/text/grub.h"

#include "base/auto.h"
#include "base/str.h"
#include "guest/text/text.h"

#include <ctype.h>
#include <string.h>

#define MAX_ENTRIES 4096
#define TOP         UINT32_MAX

void grub_entry_release(struct grub_entry *x)
{
    free(x->title);
    free(x->id);
    free(x->kernel);
    free(x->args);
    strv_release(&x->initrds);
}

void grub_menu_release(struct grub_menu *m)
{
    vec_foreach (x, &m->entries)
        grub_entry_release(x);
    vec_release(&m->entries);
    free(m->default_entry);
    free(m->kernelopts);
    *m = (struct grub_menu){0};
}

bool grub_is_linux(const char *word)
{
    return str_eq(word, "linux") || str_eq(word, "linux16") || str_eq(word, "linuxefi");
}

static bool is_initrd(const char *word)
{
    return str_eq(word, "initrd") || str_eq(word, "initrd16") ||
           str_eq(word, "initrdefi");
}

/* menuentry 'title' --class x --id ID { ; grub-mkconfig writes $menuentry_id_option for
 * --id. */
static int begin_entry(struct grub_menu *m, struct strv *words, uint32_t parent,
                       struct err *e)
{
    struct grub_entry x = {.parent = parent, .submenu = str_eq(words->v[0], "submenu")};

    if (m->entries.n >= MAX_ENTRIES)
        return err_set(e, ERR_INPUT, "more than %d boot entries", MAX_ENTRIES);
    vec_foreach (other, &m->entries)
        x.number += other->parent == parent;
    for (size_t i = 1; i < words->n; i++) {
        char *w = words->v[i];

        if (str_eq(w, "{"))
            break;
        if (i + 1 < words->n && (str_eq(w, "--id") || str_eq(w, "$menuentry_id_option") ||
                                 str_eq(w, "${menuentry_id_option}"))) {
            if (str_set(&x.id, text_unquote(words->v[++i]), e) < 0)
                goto fail;
        } else if (w[0] == '-' && i + 1 < words->n && w[1] == '-' &&
                   !str_eq(w, "--unrestricted")) {
            i++;
        } else if (!x.title && w[0] != '-' && w[0] != '$') {
            if (str_set(&x.title, text_unquote(w), e) < 0)
                goto fail;
        }
    }
    if (vec_push(&m->entries, x, e) < 0)
        goto fail;
    return 0;
fail:
    grub_entry_release(&x);
    return -1;
}

static int join_from(const struct strv *words, size_t from, char **ret, struct err *e)
{
    struct strv rest = {0};

    if (from < words->n) {
        rest.v = words->v + from;
        rest.n = words->n - from;
    }
    return strv_join(&rest, " ", ret, e);
}

static int inside_entry(struct grub_entry *x, struct strv *words, struct err *e)
{
    if (grub_is_linux(words->v[0]) && words->n > 1 && !x->kernel) {
        if (str_set(&x->kernel, text_unquote(words->v[1]), e) < 0)
            return -1;
        return join_from(words, 2, &x->args, e);
    }
    if (is_initrd(words->v[0]))
        for (size_t i = 1; i < words->n; i++)
            if (strv_add(&x->initrds, text_unquote(words->v[i]), e) < 0)
                return -1;
    return 0;
}

/* set default="0": the last one that is no one-time choice. */
static int note_variable(struct grub_menu *m, char *word, struct err *e)
{
    char *v;

    if (str_starts(word, "kernelopts="))
        return str_set(&m->kernelopts, text_unquote(word + 11), e);
    if (!str_starts(word, "default="))
        return 0;
    v = text_unquote(word + 8);
    if (strstr(v, "next_entry"))
        return 0;
    return str_set(&m->default_entry, v, e);
}

struct cfg_state {
    uint32_t open[16]; /* entries whose braces are open, innermost last */
    size_t depth[16];  /* brace depth at which each began */
    size_t n, braces;
};

static int cfg_line(struct grub_menu *m, struct cfg_state *s, struct strv *words,
                    struct err *e)
{
    const char *first = words->v[0];
    size_t last = words->n - 1;

    if (str_eq(first, "menuentry") || str_eq(first, "submenu")) {
        uint32_t parent = s->n ? s->open[s->n - 1] : TOP;

        if (begin_entry(m, words, parent, e) < 0)
            return -1;
        if (s->n == sizeof s->open / sizeof s->open[0])
            return err_set(e, ERR_INPUT, "boot menu nested too deeply");
        s->open[s->n] = (uint32_t)(m->entries.n - 1);
        s->depth[s->n++] = s->braces;
    } else if (str_eq(first, "set") && words->n > 1) {
        if (note_variable(m, words->v[1], e) < 0)
            return -1;
    } else if (str_eq(first, "blscfg")) {
        m->blscfg = true;
    } else if (s->n && inside_entry(&m->entries.v[s->open[s->n - 1]], words, e) < 0) {
        return -1;
    }
    if (str_ends(words->v[last], "{") && !str_ends(words->v[last], "${"))
        s->braces++;
    if (str_starts(first, "}")) {
        s->braces -= s->braces > 0;
        while (s->n && s->depth[s->n - 1] >= s->braces)
            s->n--;
    }
    return 0;
}

int grub_cfg_parse(const char *text, struct grub_menu *ret, struct err *e)
{
    auto_grub_menu struct grub_menu m = {0};
    struct cfg_state s = {.n = 0};
    const char *at = text;

    for (;;) {
        auto_strv struct strv words = {0};
        auto_free char *line = NULL;
        int r = text_next_trimmed(&at, '#', true, &line, e);

        if (r < 0)
            return -1;
        if (r == 0)
            break;
        if (text_words(line, true, &words, e) < 0 ||
            (words.n && cfg_line(&m, &s, &words, e) < 0))
            return -1;
    }
    *ret = m;
    m = (struct grub_menu){0};
    return 0;
}

static const struct grub_entry *child_named(const struct grub_menu *m, uint32_t parent,
                                            const char *name)
{
    bool number = name[0] && name[strspn(name, "0123456789")] == 0;

    vec_foreach (x, &m->entries) {
        char n[16];

        if (x->parent != parent)
            continue;
        snprintf(n, sizeof n, "%u", x->number);
        if (number ? str_eq(n, name)
                   : ((x->id && str_eq(x->id, name)) ||
                      (x->title && str_eq(x->title, name))))
            return x;
    }
    return NULL;
}

/* First entry with a kernel at or below x, in order of the menu. */
static const struct grub_entry *first_kernel(const struct grub_menu *m,
                                             const struct grub_entry *x)
{
    if (!x || !x->submenu)
        return x && x->kernel ? x : NULL;
    for (const struct grub_entry *y = x + 1; y < m->entries.v + m->entries.n; y++)
        if (y->kernel && y->parent != TOP)
            return y;
    return NULL;
}

static const struct grub_entry *by_path(const struct grub_menu *m, const char *path)
{
    const struct grub_entry *x = NULL;
    uint32_t parent = TOP;

    while (*path) {
        char name[512];
        size_t n = strcspn(path, ">");

        if (n >= sizeof name)
            return NULL;
        memcpy(name, path, n);
        name[n] = 0;
        x = child_named(m, parent, name);
        if (!x)
            return NULL;
        parent = (uint32_t)(x - m->entries.v);
        path += n + (path[n] == '>');
    }
    return x;
}

const struct grub_entry *grub_default(const struct grub_menu *m, const char *saved)
{
    const char *want = m->default_entry;
    const struct grub_entry *x = NULL;

    if (!want || str_eq(want, "saved") || strstr(want, "saved_entry"))
        want = saved;
    if (want) {
        x = child_named(m, TOP, want); /* a title may hold '>' */
        if (!x)
            x = by_path(m, want);
        /* GRUB also finds ids inside submenus by their bare name. */
        if (!x)
            vec_foreach (y, &m->entries)
                if (!x && y->id && str_eq(y->id, want))
                    x = y;
    }
    x = first_kernel(m, x);
    if (!x)
        vec_foreach (y, &m->entries)
            if (!x && y->kernel)
                x = y;
    return x;
}
