/* A guest's module lists; see modules.h.
 *
 * The texts are kept as they were read, cut into strings in place; tables of slices point
 * into them, sorted by module name for the one that is searched. */
#include "guest/initrd/modules_internal.h"

#include "base/str.h"
#include "guest/initrd/modname.h"

#define TEXT_MAX        (16u << 20)
#define MODULES_MAX     100000u
#define ALIASES_MAX     500000u
#define PATTERN_MAX     1024u
#define CLOSURE_MAX     1000u /* modules one module may need */
#define ALIAS_SCANS_MAX 32    /* soft dependencies of a closure looked up as aliases */

enum { TEXT_DEP, TEXT_BUILTIN, TEXT_ALIAS, TEXT_SYMBOLS, TEXT_SOFTDEP, TEXTS };

static const char *const text_names[TEXTS] = {"dep", "builtin", "alias", "symbols",
                                              "softdep"};

struct softdep {
    char name[MODNAME_MAX];
    const char *words;
};

struct modules {
    struct buf text[TEXTS];
    struct VEC(struct modules_dep) deps; /* sorted by name */
    struct modules_names builtin;        /* sorted */
    struct modules_aliases aliases, symbols;
    struct VEC(struct softdep) softdeps;
};

bool modules_word(const char **p, const char **ret, size_t *ret_len)
{
    const char *s = *p + strspn(*p, " \t");

    *ret = s;
    *ret_len = strcspn(s, " \t\r\n");
    *p = s + *ret_len;
    return *ret_len > 0;
}

bool modules_path_name(const char *path, size_t len, char *out)
{
    char copy[MODNAME_PATH_MAX + 1];

    if (len >= sizeof copy)
        return false;
    memcpy(copy, path, len);
    copy[len] = 0;
    return modname_of_path(copy, out, NULL, NULL);
}

/* Cuts the next line off the text; NULL at its end. Comments and blanks are skipped. */
static char *next_line(char **text)
{
    while (**text) {
        char *line = *text, *end = line + strcspn(line, "\r\n");

        *text = *end ? end + 1 : end;
        *end = 0;
        line += strspn(line, " \t");
        if (*line && *line != '#')
            return line;
    }
    return NULL;
}

/* Older tools wrote absolute paths: those below the kernel's own directory are made
 * relative, as today's are. */
static char *relative(char *path, const char *kernel)
{
    static const char *const roots[] = {"/lib/modules/", "/usr/lib/modules/"};
    size_t klen = strlen(kernel);

    for (size_t i = 0; i < 2; i++) {
        char *rest = path + strlen(roots[i]);

        if (str_starts(path, roots[i]) && !strncmp(rest, kernel, klen) &&
            rest[klen] == '/')
            return rest + klen + 1;
    }
    return path;
}

static int parse_dep(struct modules *m, const char *kernel, char *line, struct err *e)
{
    char *colon = strchr(line, ':'), name[MODNAME_MAX];
    struct modules_dep d = {.order = (uint32_t)m->deps.n};

    if (!colon)
        return err_set(e, ERR_INPUT, "a line without ':' (%.80s)", line);
    *colon = 0;
    d.path = relative(line, kernel);
    d.deps = colon + 1;
    if (!modname_path_ok(d.path) || !modname_of_path(d.path, name, NULL, NULL))
        return err_set(e, ERR_INPUT, "'%.200s' is no path of a module", d.path);
    if (m->deps.n >= MODULES_MAX)
        return err_set(e, ERR_INPUT, "more than %u modules", MODULES_MAX);
    if (!(d.name = str_dup(name, e)))
        return -1;
    if (vec_push(&m->deps, d, e) < 0) {
        free(d.name);
        return -1;
    }
    return 0;
}

static int parse_builtin(struct modules *m, char *line, struct err *e)
{
    char name[MODNAME_MAX], *copy;

    line[strcspn(line, " \t:")] = 0;
    if (!modname_of_path(line, name, NULL, NULL) || m->builtin.n >= MODULES_MAX)
        return 0;
    if (!(copy = str_dup(name, e)))
        return -1;
    if (vec_push(&m->builtin, copy, e) < 0) {
        free(copy);
        return -1;
    }
    return 0;
}

static int parse_alias(struct modules_aliases *to, char *line, struct err *e)
{
    char *pattern, *module, *save = NULL;
    struct modules_alias a;

    if (!strtok_r(line, " \t", &save) || !str_eq(line, "alias") ||
        !(pattern = strtok_r(NULL, " \t", &save)) ||
        !(module = strtok_r(NULL, " \t", &save)) || strlen(pattern) > PATTERN_MAX ||
        to->n >= ALIASES_MAX)
        return 0;
    for (char *p = module; *p; p++)
        if (*p == '-')
            *p = '_';
    a = (struct modules_alias){.pattern = pattern, .module = module};
    return vec_push(to, a, e);
}

static int parse_softdep(struct modules *m, char *line, struct err *e)
{
    const char *p = line, *word;
    struct softdep d;
    size_t len;

    if (!modules_word(&p, &word, &len) || len != 7 || strncmp(word, "softdep", 7) ||
        !modules_word(&p, &word, &len) || len >= sizeof d.name ||
        m->softdeps.n >= MODULES_MAX)
        return 0;
    memcpy(d.name, word, len);
    d.name[len] = 0;
    for (char *c = d.name; *c; c++)
        if (*c == '-')
            *c = '_';
    d.words = p + strspn(p, " \t");
    return vec_push(&m->softdeps, d, e);
}

static int parse_line(struct modules *m, int which, const char *kernel, char *line,
                      struct err *e)
{
    switch (which) {
    case TEXT_DEP:
        return parse_dep(m, kernel, line, e);
    case TEXT_BUILTIN:
        return parse_builtin(m, line, e);
    case TEXT_ALIAS:
        return parse_alias(&m->aliases, line, e);
    case TEXT_SYMBOLS:
        return parse_alias(&m->symbols, line, e);
    default:
        return parse_softdep(m, line, e);
    }
}

static int load_text(struct modules *m, int which, const char *kernel,
                     modules_read_fn read, void *ctx, struct err *e)
{
    auto_free char *path =
        str_fmt(e, "/lib/modules/%s/modules.%s", kernel, text_names[which]);
    struct buf *b = &m->text[which];
    char *line, *text;

    if (!path)
        return -1;
    if (read(ctx, path, b, e) < 0) {
        if (e->kind != ERR_NOT_FOUND || which == TEXT_DEP)
            return -1;
        err_clear(e);
        return 0;
    }
    if (b->len > TEXT_MAX)
        return err_set(e, ERR_INPUT, "%s: larger than %u MiB", path, TEXT_MAX >> 20);
    if (buf_reserve(b, 1, e) < 0)
        return -1;
    b->data[b->len] = 0;
    if (memchr(b->data, 0, b->len))
        return err_set(e, ERR_INPUT, "%s: a NUL byte in a text", path);
    for (text = b->data; (line = next_line(&text));)
        if (parse_line(m, which, kernel, line, e) < 0)
            return err_prefix(e, "%s", path);
    return 0;
}

static int dep_cmp(const void *a, const void *b)
{
    const struct modules_dep *x = a, *y = b;
    int c = strcmp(x->name, y->name);

    return c ? c : (x->order > y->order) - (x->order < y->order);
}

static int name_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int modules_load(const char *kernel, modules_read_fn read, void *ctx,
                 struct modules **ret, struct err *e)
{
    auto_modules struct modules *m = mem_zalloc(1, sizeof *m, e);

    if (!m)
        return -1;
    if (!modname_kernel_ok(kernel))
        return err_set(e, ERR_INPUT, "'%.80s' is no kernel release", kernel);
    for (int i = 0; i < TEXTS; i++)
        if (load_text(m, i, kernel, read, ctx, e) < 0)
            return -1;
    if (m->deps.n)
        qsort(m->deps.v, m->deps.n, sizeof *m->deps.v, dep_cmp);
    if (m->builtin.n)
        qsort(m->builtin.v, m->builtin.n, sizeof *m->builtin.v, name_cmp);
    *ret = take_ptr(m);
    return 0;
}

void modules_free(struct modules *m)
{
    if (!m)
        return;
    for (int i = 0; i < TEXTS; i++)
        buf_release(&m->text[i]);
    vec_foreach (d, &m->deps)
        free(d->name);
    vec_release(&m->deps);
    vec_release(&m->aliases);
    vec_release(&m->symbols);
    vec_release(&m->softdeps);
    modules_names_release(&m->builtin);
    free(m);
}

void modules_names_release(struct modules_names *names)
{
    vec_foreach (n, names)
        free(*n);
    vec_release(names);
}

const struct modules_dep *modules_dep_find(const struct modules *m, const char *name)
{
    char normal[MODNAME_MAX];
    size_t lo = 0, hi = m->deps.n;

    if (!modname_normal(name, normal))
        return NULL;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (strcmp(m->deps.v[mid].name, normal) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < m->deps.n && str_eq(m->deps.v[lo].name, normal) ? &m->deps.v[lo] : NULL;
}

const struct modules_aliases *modules_aliases(const struct modules *m)
{
    return &m->aliases;
}

const struct modules_aliases *modules_symbols(const struct modules *m)
{
    return &m->symbols;
}

int modules_softdeps(const struct modules *m, const char *name,
                     int (*fn)(void *ctx, const char *words, struct err *e), void *ctx,
                     struct err *e)
{
    int s = 0;

    vec_foreach (d, &m->softdeps)
        if (str_eq(d->name, name) && (s = fn(ctx, d->words, e)))
            return s;
    return 0;
}

static bool is_builtin(const struct modules *m, const char *normal)
{
    return m->builtin.n &&
           bsearch(&normal, m->builtin.v, m->builtin.n, sizeof *m->builtin.v, name_cmp);
}

enum modules_where modules_find(const struct modules *m, const char *module,
                                const char **ret_path)
{
    const struct modules_dep *d = modules_dep_find(m, module);
    char normal[MODNAME_MAX];

    if (d) {
        if (ret_path)
            *ret_path = d->path;
        return MODULES_FILE;
    }
    return modname_normal(module, normal) && is_builtin(m, normal) ? MODULES_BUILTIN
                                                                   : MODULES_ABSENT;
}

/* A depth-first walk with a stack of its own: chains of dependencies are the guest's. */
struct closure {
    const struct modules *m;
    enum modules_deps deps;
    uint8_t *seen; /* per module: 0 new, 1 waiting for its needs, 2 done; owned */
    struct VEC(size_t) stack;
    unsigned alias_scans;
};

static int closure_push(struct closure *c, const struct modules_dep *d, struct err *e)
{
    return vec_push(&c->stack, (size_t)(d - c->m->deps.v), e);
}

static int push_hard(struct closure *c, const struct modules_dep *d, struct err *e)
{
    const char *p = d->deps, *word;
    char name[MODNAME_MAX];
    size_t len;

    while (modules_word(&p, &word, &len)) {
        const struct modules_dep *need;

        if (!modules_path_name(word, len, name))
            return err_set(e, ERR_INPUT,
                           "modules.dep: '%.*s', needed by %s, is no module",
                           (int)(len < 200 ? len : 200), word, d->name);
        need = modules_dep_find(c->m, name);
        if (!need && !is_builtin(c->m, name))
            return err_set(e, ERR_INPUT, "modules.dep: %s, needed by %s, is not listed",
                           name, d->name);
        if (need && !c->seen[need - c->m->deps.v] && closure_push(c, need, e) < 0)
            return -1;
    }
    return 0;
}

/* A soft dependency names a module, or an alias that several may answer to. */
static int push_soft_name(struct closure *c, const char *name, struct err *e)
{
    const struct modules_dep *need = modules_dep_find(c->m, name);

    if (need)
        return c->seen[need - c->m->deps.v] ? 0 : closure_push(c, need, e);
    if (is_builtin(c->m, name) || c->alias_scans++ >= ALIAS_SCANS_MAX)
        return 0;
    vec_foreach (a, &c->m->aliases)
        if (modname_glob(a->pattern, name) &&
            (need = modules_dep_find(c->m, a->module)) && !c->seen[need - c->m->deps.v] &&
            closure_push(c, need, e) < 0)
            return -1;
    return 0;
}

static int push_soft_words(void *ctx, const char *words, struct err *e)
{
    struct closure *c = ctx;
    const char *word;
    size_t len;

    while (modules_word(&words, &word, &len)) {
        char name[MODNAME_MAX];

        if (!modname_normal_n(word, len, name) || str_eq(name, "pre:") ||
            str_eq(name, "post:"))
            continue;
        if (push_soft_name(c, name, e) < 0)
            return -1;
    }
    return 0;
}

static bool names_have(const struct modules_names *names, const char *name)
{
    vec_foreach (n, names)
        if (str_eq(*n, name))
            return true;
    return false;
}

static int closure_step(struct closure *c, struct modules_names *ret, struct err *e)
{
    size_t i = c->stack.v[c->stack.n - 1];
    const struct modules_dep *d = &c->m->deps.v[i];
    char *copy;

    if (c->seen[i] == 0) {
        c->seen[i] = 1;
        if (push_hard(c, d, e) < 0)
            return -1;
        return c->deps == MODULES_HARD_AND_SOFT
                   ? modules_softdeps(c->m, d->name, push_soft_words, c, e)
                   : 0;
    }
    c->stack.n--;
    if (c->seen[i] == 2)
        return 0;
    c->seen[i] = 2;
    if (names_have(ret, d->name))
        return 0;
    if (ret->n >= CLOSURE_MAX)
        return err_set(e, ERR_INPUT, "modules.dep: more than %u modules need each other",
                       CLOSURE_MAX);
    if (!(copy = str_dup(d->name, e)))
        return -1;
    if (vec_push(ret, copy, e) < 0) {
        free(copy);
        return -1;
    }
    return 0;
}

int modules_closure(const struct modules *m, const char *module, enum modules_deps deps,
                    struct modules_names *ret, struct err *e)
{
    const struct modules_dep *d = modules_dep_find(m, module);
    struct closure c = {.m = m, .deps = deps};
    size_t before = ret->n;
    int rc;

    if (!d)
        return modules_find(m, module, NULL) == MODULES_BUILTIN
                   ? 0
                   : err_set(e, ERR_NOT_FOUND, "the guest's kernel has no module %.80s",
                             module);
    if (!(c.seen = mem_zalloc(m->deps.n, 1, e)))
        return -1;
    rc = closure_push(&c, d, e);
    while (rc == 0 && c.stack.n)
        rc = closure_step(&c, ret, e);
    vec_release(&c.stack);
    free(c.seen);
    while (rc < 0 && ret->n > before)
        free(ret->v[--ret->n]);
    return rc;
}
