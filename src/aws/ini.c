/* AWS configuration files; see ini.h. Line-based, one pass, no recursion. */
#include "aws/ini.h"

#include "base/io.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/vec.h"

#include <errno.h>

struct entry {
    /* All borrowed from text. key NULL: the entry only says that the section is there. */
    const char *section, *key, *sub, *value;
};

struct aws_ini {
    char *text; /* owned; cut into strings by NULs */
    size_t len;
    struct VEC(struct entry) entries;
};

void aws_ini_free(struct aws_ini *ini)
{
    if (!ini)
        return;
    if (ini->text)
        secret_wipe(ini->text, ini->len);
    free(ini->text);
    vec_release(&ini->entries);
    free(ini);
}

/* "profile  "x y"" becomes "profile x y", in place. */
static void tidy_section(char *s)
{
    char *out = s;
    bool space = false;

    for (char *p = s; *p; p++) {
        if (*p == '"' || *p == '\'')
            continue;
        if (*p == ' ' || *p == '\t') {
            space = out > s;
            continue;
        }
        if (space)
            *out++ = ' ';
        space = false;
        *out++ = *p;
    }
    *out = 0;
}

struct place {
    const char *section; /* NULL before the first */
    const char *key;     /* the last one not indented, or NULL */
    const char *what;
    size_t line;
};

static int bad(const struct place *at, const char *why, struct err *e)
{
    return err_set(e, ERR_INPUT, "%s: line %zu: %s", at->what, at->line, why);
}

static int parse_section(struct aws_ini *ini, char *line, struct place *at, struct err *e)
{
    char *end = strrchr(line, ']');

    if (!end)
        return bad(at, "a section without ']'", e);
    *end = 0;
    tidy_section(line + 1);
    at->section = line + 1;
    at->key = NULL;
    return vec_push(&ini->entries, ((struct entry){.section = at->section}), e);
}

static int parse_line(struct aws_ini *ini, char *line, struct place *at, struct err *e)
{
    bool indented = line[0] == ' ' || line[0] == '\t';
    char *text = str_trim(line), *sep, *name;
    struct entry n;

    if (!text[0] || text[0] == '#' || text[0] == ';')
        return 0;
    if (text[0] == '[' && !indented)
        return parse_section(ini, text, at, e);
    if (!at->section)
        return bad(at, "a setting before the first [section]", e);
    sep = text + strcspn(text, "=:");
    if (!*sep) {
        /* An indented line without '=' goes on with the value above: hotadd needs none
         * of the settings that are written so. */
        return indented ? 0 : bad(at, "neither [section] nor key = value", e);
    }
    *sep = 0;
    name = str_trim(text);
    if (!*name)
        return bad(at, "a value without a key", e);
    n = (struct entry){.section = at->section, .key = name, .value = str_trim(sep + 1)};
    if (indented && at->key) {
        n.sub = name;
        n.key = at->key;
    } else {
        at->key = name;
    }
    return vec_push(&ini->entries, n, e);
}

static int parse_all(struct aws_ini *ini, const char *what, struct err *e)
{
    struct place at = {.what = what};

    for (char *p = ini->text; p;) {
        char *end = strchr(p, '\n');

        if (end)
            *end = 0;
        at.line++;
        if (parse_line(ini, p, &at, e) < 0)
            return -1;
        p = end ? end + 1 : NULL;
    }
    return 0;
}

int aws_ini_parse(const char *text, size_t len, const char *what, struct aws_ini **ret,
                  struct err *e)
{
    auto_ini struct aws_ini *ini = NULL;

    if (len > AWS_INI_MAX_BYTES)
        return err_set(e, ERR_INPUT, "%s: %zu bytes, at most %d are read", what, len,
                       AWS_INI_MAX_BYTES);
    if (len && memchr(text, 0, len))
        return err_set(e, ERR_INPUT, "%s: holds a NUL byte: not a text file", what);
    ini = mem_zalloc(1, sizeof *ini, e);
    if (!ini)
        return -1;
    ini->text = str_ndup(text, len, e);
    if (!ini->text)
        return -1;
    ini->len = len;
    if (parse_all(ini, what, e) < 0)
        return -1;
    *ret = take_ptr(ini);
    return 0;
}

int aws_ini_read(const char *path, struct aws_ini **ret, struct err *e)
{
    auto_buf struct buf text = BUF_INIT;
    int done;

    /* In one piece from the start: growing would leave copies of secrets behind. */
    if (buf_reserve(&text, AWS_INI_MAX_BYTES + 2 * 65536, e) < 0)
        return -1;
    done = io_read_file(path, AWS_INI_MAX_BYTES, &text, e);
    if (done < 0 && e->sys_errno == ENOENT)
        done = 0;
    if (done == 0)
        done = aws_ini_parse(buf_str(&text), text.len, path, ret, e);
    secret_wipe(text.data, text.len);
    return done;
}

const char *aws_ini_get(const struct aws_ini *ini, const char *section, const char *key,
                        const char *sub)
{
    const char *found = NULL;

    vec_foreach (n, &ini->entries)
        if (n->key && str_eq(n->section, section) && str_eq(n->key, key) &&
            str_eq_null(n->sub, sub))
            found = n->value;
    return found;
}

bool aws_ini_has(const struct aws_ini *ini, const char *section)
{
    vec_foreach (n, &ini->entries)
        if (str_eq(n->section, section))
            return true;
    return false;
}
