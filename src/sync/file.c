/* Reading a file of syncs; see sync_file.h. */
#include "sync/file.h"

#include "base/auto.h"
#include "base/str.h"

#include <ctype.h>
#include <ini.h>

void sync_file_release(struct sync_file *f)
{
    vec_foreach (s, f) {
        vec_foreach (l, &s->lines) {
            free(l->key);
            free(l->value);
        }
        vec_release(&s->lines);
        free(s->name);
    }
    vec_release(f);
}

const char *sync_file_get(const struct sync_file_section *s, const char *key)
{
    vec_foreach (l, &s->lines)
        if (str_eq(l->key, key))
            return l->value;
    return NULL;
}

const struct sync_file_section *sync_file_find(const struct sync_file *f,
                                               enum sync_file_kind kind, const char *name)
{
    vec_foreach (s, f)
        if (s->kind == kind && str_eq(s->name, name))
            return s;
    return NULL;
}

/* ---- reading ---- */

struct reader {
    struct sync_file *file;
    const char *what;
    char section[256]; /* whose lines are being read */
    struct err *e;
    bool failed;
};

static bool split_title(const char *title, enum sync_file_kind *ret_kind,
                        const char **ret_name)
{
    static const struct {
        const char *word;
        enum sync_file_kind kind;
    } words[] = {{"group", SYNC_FILE_GROUP}, {"sync", SYNC_FILE_SYNC}};

    *ret_name = "";
    *ret_kind = SYNC_FILE_DEFAULTS;
    if (str_eq(title, "defaults"))
        return true;
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(words[i].word);

        if (strncmp(title, words[i].word, n) != 0 || !isspace((unsigned char)title[n]))
            continue;
        for (title += n; isspace((unsigned char)*title); title++)
            ;
        *ret_kind = words[i].kind;
        *ret_name = title;
        return *title != 0;
    }
    return false;
}

static int open_section(struct reader *r, const char *title, struct err *e)
{
    struct sync_file_section s = {0};
    const char *name;

    if (!split_title(title, &s.kind, &name))
        return err_set(e, ERR_USAGE,
                       "%s: [%.100s]: must be [defaults], [group NAME] or [sync NAME]",
                       r->what, title);
    if (sync_file_find(r->file, s.kind, name))
        return err_set(e, ERR_USAGE, "%s: [%.100s] is there twice", r->what, title);
    s.name = str_dup(name, e);
    if (!s.name)
        return -1;
    if (vec_push(r->file, s, e) < 0) {
        free(s.name);
        return -1;
    }
    snprintf(r->section, sizeof r->section, "%s", title);
    return 0;
}

static int add_line(struct sync_file_section *s, const char *key, const char *value,
                    struct err *e)
{
    struct sync_file_line l = {0};

    l.key = str_dup(key, e);
    l.value = l.key ? str_dup(value, e) : NULL;
    if (l.value && vec_push(&s->lines, l, e) == 0)
        return 0;
    free(l.key);
    free(l.value);
    return -1;
}

static int take_line(void *ctx, const char *section, const char *key, const char *value)
{
    struct reader *r = ctx;

    if (r->failed)
        return 1;
    if (!*section) {
        err_set(r->e, ERR_USAGE, "%s: %.100s: a [section] must come first", r->what, key);
        r->failed = true;
    } else if ((!str_eq(section, r->section) && open_section(r, section, r->e) < 0) ||
               add_line(&r->file->v[r->file->n - 1], key, value, r->e) < 0) {
        r->failed = true;
    }
    return 1;
}

static int check_groups(const struct sync_file *f, const char *what, struct err *e)
{
    vec_foreach (s, f) {
        const char *group = sync_file_get(s, "group");

        if (group && s->kind != SYNC_FILE_GROUP &&
            !sync_file_find(f, SYNC_FILE_GROUP, group))
            return err_set(e, ERR_USAGE, "%s: group %.100s has no section [group %.100s]",
                           what, group, group);
        if (s->kind == SYNC_FILE_SYNC && !sync_file_get(s, "vm"))
            return err_set(e, ERR_USAGE, "%s: [sync %.100s]: vm is missing", what,
                           s->name);
    }
    return 0;
}

int sync_file_parse(const char *text, size_t len, const char *what, struct sync_file *ret,
                    struct err *e)
{
    auto_sync_file struct sync_file f = {0};
    auto_free char *copy = str_ndup(text, len, e);
    struct reader r = {.file = &f, .what = what, .e = e};
    int line;

    if (!copy)
        return -1;
    line = ini_parse_string(copy, take_line, &r);
    if (r.failed)
        return -1;
    if (line != 0)
        return err_set(e, ERR_USAGE, "%s: line %d: not `[section]` or `key = value`",
                       what, line);
    if (check_groups(&f, what, e) < 0)
        return -1;
    *ret = f;
    f = (struct sync_file){0};
    return 0;
}
