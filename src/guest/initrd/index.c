/* The module index inside an image; see internal.h.
 *
 * Extending keeps every line the image has: what it says of its own modules is what its
 * maker found true of those very files, and the guest's lists may have moved on since.
 * Lines about added modules come from the guest's lists, which depmod wrote for the files
 * that are being added. Both the binary form (kmod reads nothing else) and the text
 * (busybox and old module-init-tools) are written. */
#include "guest/initrd/internal.h"

#include "base/str.h"
#include "guest/initrd/kmodbin.h"
#include "guest/initrd/modname.h"
#include "guest/initrd/modules_internal.h"

#include <sys/stat.h>

#define INDEX_MAX (32u << 20)

enum { IX_DEP, IX_ALIAS, IX_SYMBOLS, IX_SOFTDEP, IX_KINDS };

static const char *const kind_names[IX_KINDS] = {"dep", "alias", "symbols", "softdep"};

struct initrd_index {
    struct kmodbin_values values[IX_KINDS]; /* none for softdep; dep sorted by key */
    struct buf text[IX_KINDS];
};

/* depmod's spelling of a pattern in the binary index: '-' is '_' outside brackets. False
 * for unbalanced brackets. */
static bool normal_pattern(char *p)
{
    for (; *p; p++) {
        if (*p == ']')
            return false;
        if (*p == '[' && !(p = strchr(p, ']')))
            return false;
        if (*p == '-')
            *p = '_';
    }
    return true;
}

/* Owned copies of the strings. */
static int add_value(struct kmodbin_values *to, const char *key, const char *value,
                     uint32_t priority, struct err *e)
{
    struct kmodbin_value v = {.priority = priority};

    v.key = str_dup(key, e);
    v.value = str_dup(value, e);
    if (!v.key || !v.value || vec_push(to, v, e) < 0) {
        free(v.key);
        free(v.value);
        return -1;
    }
    return 0;
}

static int add_alias(struct kmodbin_values *to, const char *pattern, const char *module,
                     uint32_t priority, struct err *e)
{
    auto_free char *key = str_dup(pattern, e);

    if (!key)
        return -1;
    return normal_pattern(key) ? add_value(to, key, module, priority, e) : 0;
}

/* The module a line of text is about, or false for lines about none. */
static bool line_module(int kind, const char *line, size_t len, char name[MODNAME_MAX])
{
    const char *colon = memchr(line, ':', len), *p = line, *word, *last = NULL;
    size_t word_len, last_len = 0;

    if (kind == IX_DEP)
        return colon && modules_path_name(line, (size_t)(colon - line), name);
    if (!modules_word(&p, &word, &word_len) || *word == '#')
        return false;
    if (kind == IX_SOFTDEP)
        return modules_word(&p, &word, &word_len) &&
               modname_normal_n(word, word_len, name);
    while (modules_word(&p, &word, &word_len)) {
        last = word;
        last_len = word_len;
    }
    return last && modname_normal_n(last, last_len, name);
}

/* One line of modules.dep, .alias or .symbols as a value, for images without .bin. */
static int value_of_line(struct initrd_index *x, int kind, const char *line, size_t len,
                         struct err *e)
{
    struct kmodbin_values *to = &x->values[kind];
    char name[MODNAME_MAX];
    const char *p, *word;
    size_t word_len;
    auto_free char *copy = NULL;

    if (!line_module(kind, line, len, name))
        return 0;
    if (!(copy = str_ndup(line, len, e)))
        return -1;
    if (kind == IX_DEP)
        return add_value(to, name, copy, (uint32_t)to->n, e);
    p = copy;
    if (!modules_word(&p, &word, &word_len) || !modules_word(&p, &word, &word_len))
        return 0;
    copy[word - copy + (ptrdiff_t)word_len] = 0;
    return add_alias(to, word, name, (uint32_t)to->n, e);
}

static int values_of_text(struct initrd_index *x, int kind, struct err *e)
{
    const char *p = buf_str(&x->text[kind]);

    while (*p) {
        size_t len = strcspn(p, "\n");

        if (value_of_line(x, kind, p, len, e) < 0)
            return -1;
        p += len + (p[len] == '\n');
    }
    return 0;
}

static int value_cmp(const void *a, const void *b)
{
    return strcmp(((const struct kmodbin_value *)a)->key,
                  ((const struct kmodbin_value *)b)->key);
}

static int load_kind(struct initrd_index *x, const struct initrd *im, const char *kernel,
                     int kind, struct err *e)
{
    auto_free char *text =
        str_fmt(e, "lib/modules/%s/modules.%s", kernel, kind_names[kind]);
    auto_free char *bin = text ? str_fmt(e, "%s.bin", text) : NULL;
    auto_buf struct buf b = BUF_INIT;

    if (!bin)
        return -1;
    if (initrd_has_file(im, text) &&
        initrd_read(im, text, INDEX_MAX, &x->text[kind], e) < 0)
        return -1;
    if (kind == IX_SOFTDEP)
        return 0;
    if (!initrd_has_file(im, bin))
        return values_of_text(x, kind, e);
    if (initrd_read(im, bin, INDEX_MAX, &b, e) < 0)
        return -1;
    /* An empty file is what an old depmod leaves for an empty list. */
    if (b.len && kmodbin_read(b.data, b.len, &x->values[kind], e) < 0)
        return err_prefix(e, "/%s in the initramfs", bin);
    return 0;
}

int initrd_index_load(const struct initrd *im, const char *kernel,
                      struct initrd_index **ret, struct err *e)
{
    auto_initrd_index struct initrd_index *x = mem_zalloc(1, sizeof *x, e);

    if (!x)
        return -1;
    if (!modname_kernel_ok(kernel))
        return err_set(e, ERR_INPUT, "'%.80s' is no kernel release", kernel);
    for (int k = 0; k < IX_KINDS; k++)
        if (load_kind(x, im, kernel, k, e) < 0)
            return -1;
    if (x->values[IX_DEP].n)
        qsort(x->values[IX_DEP].v, x->values[IX_DEP].n, sizeof *x->values[IX_DEP].v,
              value_cmp);
    *ret = take_ptr(x);
    return 0;
}

void initrd_index_free(struct initrd_index *x)
{
    if (!x)
        return;
    for (int k = 0; k < IX_KINDS; k++) {
        kmodbin_values_release(&x->values[k]);
        buf_release(&x->text[k]);
    }
    free(x);
}

const char *initrd_index_dep(const struct initrd_index *x, const char *name)
{
    const struct kmodbin_values *v = &x->values[IX_DEP];
    const struct kmodbin_value want = {.key = (char *)name}, *hit;

    hit = v->n ? bsearch(&want, v->v, v->n, sizeof *v->v, value_cmp) : NULL;
    return hit ? hit->value : NULL;
}

bool initrd_index_has_alias(const struct initrd_index *x, const char *name)
{
    vec_foreach (v, &x->values[IX_ALIAS])
        if (str_eq(v->value, name))
            return true;
    return false;
}

/* ---- extending ---- */

struct extend {
    const struct initrd_index *x;
    const struct initrd *im;
    const char *kernel;
    const struct modules *guest;
    const struct initrd_lines *lines;
    struct initrd_files *files;
};

static bool is_ours(const struct extend *c, const char *name)
{
    vec_foreach (l, c->lines)
        if (str_eq(l->name, name))
            return true;
    return false;
}

static int add_file(const struct extend *c, int kind, const char *suffix,
                    struct buf *data, struct err *e)
{
    auto_free char *path =
        str_fmt(e, "lib/modules/%s/modules.%s%s", c->kernel, kind_names[kind], suffix);

    if (!path || buf_check(data, e) < 0)
        return -1;
    return initrd_files_add(c->files, c->im, path, S_IFREG | 0644, data, e);
}

static int write_bin(const struct extend *c, int kind, struct err *e)
{
    const struct kmodbin_values *old = &c->x->values[kind];
    struct kmodbin_values v = {0};
    auto_buf struct buf out = BUF_INIT;
    const struct modules_aliases *from =
        kind == IX_ALIAS ? modules_aliases(c->guest) : modules_symbols(c->guest);
    int rc = 0;

    vec_foreach (o, old)
        if (rc == 0 && !is_ours(c, kind == IX_DEP ? o->key : o->value))
            rc = add_value(&v, o->key, o->value, o->priority, e);
    if (kind == IX_DEP) {
        vec_foreach (l, c->lines)
            if (rc == 0)
                rc = add_value(&v, l->name, l->dep,
                               modules_dep_find(c->guest, l->name)->order, e);
    } else {
        vec_foreach (a, from)
            if (rc == 0 && is_ours(c, a->module))
                rc = add_alias(&v, a->pattern, a->module,
                               modules_dep_find(c->guest, a->module)->order, e);
    }
    if (rc == 0)
        rc = kmodbin_write(&v, &out, e);
    kmodbin_values_release(&v);
    return rc < 0 ? -1 : add_file(c, kind, ".bin", &out, e);
}

/* The image's lines about modules that are not ours, as they are. */
static void old_text(const struct extend *c, int kind, struct buf *out)
{
    const char *p = buf_str(&c->x->text[kind]);
    char name[MODNAME_MAX];

    while (*p) {
        size_t len = strcspn(p, "\n");

        if (!line_module(kind, p, len, name) || !is_ours(c, name)) {
            buf_add(out, p, len);
            buf_addc(out, '\n');
        }
        p += len + (p[len] == '\n');
    }
    if (out->len || kind == IX_SOFTDEP)
        return;
    /* Without a text, one is made of what the binary form says. */
    vec_foreach (o, &c->x->values[kind]) {
        if (is_ours(c, kind == IX_DEP ? o->key : o->value))
            continue;
        if (kind == IX_DEP)
            buf_addf(out, "%s\n", o->value);
        else
            buf_addf(out, "alias %s %s\n", o->key, o->value);
    }
}

struct softdep_out {
    struct buf *out;
    const char *name;
};

static int softdep_line(void *ctx, const char *words, struct err *e)
{
    const struct softdep_out *s = ctx;

    buf_addf(s->out, "softdep %s %s\n", s->name, words);
    return 0;
}

static int write_text(const struct extend *c, int kind, struct err *e)
{
    auto_buf struct buf out = BUF_INIT;
    const struct modules_aliases *from =
        kind == IX_ALIAS ? modules_aliases(c->guest) : modules_symbols(c->guest);

    old_text(c, kind, &out);
    switch (kind) {
    case IX_DEP:
        vec_foreach (l, c->lines)
            buf_addf(&out, "%s\n", l->dep);
        break;
    case IX_SOFTDEP:
        vec_foreach (l, c->lines) {
            struct softdep_out s = {.out = &out, .name = l->name};

            if (modules_softdeps(c->guest, l->name, softdep_line, &s, e) < 0)
                return -1;
        }
        break;
    default:
        vec_foreach (a, from)
            if (is_ours(c, a->module))
                buf_addf(&out, "alias %s %s\n", a->pattern, a->module);
    }
    return add_file(c, kind, "", &out, e);
}

int initrd_index_extend(const struct initrd_index *x, const struct initrd *im,
                        const char *kernel, const struct modules *guest,
                        const struct initrd_lines *lines, struct initrd_files *f,
                        struct err *e)
{
    const struct extend c = {
        .x = x, .im = im, .kernel = kernel, .guest = guest, .lines = lines, .files = f};

    for (int k = 0; k < IX_KINDS; k++)
        if (write_text(&c, k, e) < 0 || (k != IX_SOFTDEP && write_bin(&c, k, e) < 0))
            return -1;
    return 0;
}
