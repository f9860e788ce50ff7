/* Extending an image: deciding what it lacks, making the supplement, joining, checking;
 * see initrd.h.
 *
 * Order: the whole image is asked first whether it lacks anything, so that a second run
 * changes nothing. Then an earlier supplement is taken out and the plan made against what
 * the guest's own tool had built. The result is parsed again and must pass the same
 * question before anyone sees it. */
#include "guest/initrd/internal.h"

#include "base/str.h"
#include "guest/initrd/codec.h"
#include "guest/initrd/cpio.h"
#include "guest/initrd/modname.h"
#include "guest/initrd/modules_internal.h"

#include <ctype.h>
#include <sys/stat.h>

#define MODULE_FILE_MAX (128u << 20)

struct plan {
    const struct initrd *im; /* without our earlier supplement */
    const struct initrd_request *rq;
    struct initrd_modfiles inside;
    struct initrd_index *index;
    struct modules_names closure;
    struct initrd_lines lines;
    struct initrd_files files;
    struct initrd_extension *x; /* being filled */
};

/* ---- does an image lack anything? ---- */

/* Where a path of modules.dep is in an image's tree. */
static char *tree_path(const char *kernel, const char *path, size_t len, struct err *e)
{
    if (*path == '/')
        return str_ndup(path + 1, len - 1, e);
    return str_fmt(e, "lib/modules/%s/%.*s", kernel, (int)len, path);
}

/* Is the module indexed, and are the files its index line names all there? 1 yes, 0 no
 * (with *e saying why), -1 error. */
static int indexed(const struct initrd *im, const struct initrd_index *ix,
                   const char *kernel, const char *name, struct err *e)
{
    const char *line = initrd_index_dep(ix, name), *p, *word;
    size_t len;

    if (!line) {
        err_set(e, ERR_REQUIREMENT, "the initramfs' module index lacks %s", name);
        return 0;
    }
    for (p = line; modules_word(&p, &word, &len);) {
        auto_free char *path = NULL;

        if (word[len - 1] == ':')
            len--;
        if (!len || !(path = tree_path(kernel, word, len, e)))
            return len ? -1 : 0;
        if (!initrd_has_file(im, path)) {
            err_set(e, ERR_REQUIREMENT, "the initramfs lacks /%.300s, needed for %s",
                    path, name);
            return 0;
        }
    }
    return 1;
}

static bool guest_has_alias(const struct modules *m, const char *name)
{
    vec_foreach (a, modules_aliases(m))
        if (str_eq(a->module, name))
            return true;
    return false;
}

static int has_want(const struct initrd *im, const struct initrd_index *ix,
                    const struct initrd_request *rq, const struct initrd_want *w,
                    struct err *e)
{
    auto_modules_names struct modules_names names = {0};
    char name[MODNAME_MAX];
    int rc = 1;

    switch (modules_find(rq->guest, w->module, NULL)) {
    case MODULES_BUILTIN:
        return 1;
    case MODULES_ABSENT:
        if (w->need == INITRD_IF_PRESENT)
            return 1;
        return err_set(e, ERR_REQUIREMENT,
                       "kernel %s has no driver %s, neither as a module nor built in",
                       rq->kernel, w->module);
    case MODULES_FILE:
        break;
    }
    if (modules_closure(rq->guest, w->module, MODULES_HARD, &names, e) < 0)
        return -1;
    vec_foreach (n, &names)
        if (rc == 1)
            rc = indexed(im, ix, rq->kernel, *n, e);
    if (rc != 1 || !modname_normal(w->module, name))
        return rc;
    if (guest_has_alias(rq->guest, name) && !initrd_index_has_alias(ix, name)) {
        err_set(e, ERR_REQUIREMENT, "the initramfs' index has no alias for %s", name);
        return 0;
    }
    return 1;
}

/* As has_want(). */
static int has_extra(const struct initrd *im, const struct initrd_extra *x, struct err *e)
{
    auto_buf struct buf now = BUF_INIT;
    struct initrd_stat st;

    if (initrd_stat(im, x->path, INITRD_FOLLOW, &st) && S_ISREG(st.mode) &&
        st.size_bytes == x->len) {
        if (initrd_read(im, x->path, x->len, &now, e) < 0)
            return -1;
        if (!x->len || !memcmp(now.data, x->data, x->len))
            return 1;
    }
    err_set(e, ERR_REQUIREMENT, "/%s in the initramfs is not as it must be", x->path);
    return 0;
}

/* 1 nothing is missing, 0 something is (*e says what), -1 error. */
static int complete(const struct initrd *im, const struct initrd_request *rq,
                    struct err *e)
{
    auto_initrd_index struct initrd_index *ix = NULL;
    int all = 1;

    if (initrd_index_load(im, rq->kernel, &ix, e) < 0)
        return -1;
    for (size_t i = 0; i < rq->n_want; i++) {
        struct err why = ERR_INIT;
        int rc = has_want(im, ix, rq, &rq->want[i], &why);

        /* An impossible want outranks one that is only missing. */
        if (rc < 0 || (rc == 0 && all))
            *e = why;
        if (rc < 0)
            return -1;
        all = all && rc;
    }
    for (size_t i = 0; i < rq->n_extra && all > 0; i++)
        all = has_extra(im, &rq->extra[i], e);
    return all;
}

int initrd_check(const struct initrd *im, const struct initrd_request *rq, struct err *e)
{
    return complete(im, rq, e) == 1 ? 0 : -1;
}

/* ---- the plan ---- */

static int report(struct initrd_extension *x, const char *name,
                  enum initrd_module_state state, bool wanted, struct err *e)
{
    struct initrd_module m = {.state = state, .wanted = wanted};
    char normal[MODNAME_MAX];

    if (!modname_normal(name, normal))
        return err_set(e, ERR_INPUT, "'%.80s' is no name of a module", name);
    vec_foreach (o, &x->modules)
        if (str_eq(o->name, normal))
            return 0;
    if (!(m.name = str_dup(normal, e)))
        return -1;
    if (vec_push(&x->modules, m, e) < 0) {
        free(m.name);
        return -1;
    }
    return 0;
}

static enum initrd_module_state state_of(const struct initrd_modfiles *inside,
                                         const char *name)
{
    return initrd_modfiles_find(inside, name) ? INITRD_MODULE_INSIDE
                                              : INITRD_MODULE_ADDED;
}

/* Wanted modules first, as asked; then what they need. */
static int report_all(const struct plan *p, struct err *e)
{
    for (size_t i = 0; i < p->rq->n_want; i++) {
        const struct initrd_want *w = &p->rq->want[i];
        enum modules_where where = modules_find(p->rq->guest, w->module, NULL);
        enum initrd_module_state s =
            where == MODULES_BUILTIN ? INITRD_MODULE_BUILTIN : INITRD_MODULE_ABSENT;
        char name[MODNAME_MAX];

        if (where == MODULES_FILE && modname_normal(w->module, name))
            s = state_of(&p->inside, name);
        if (report(p->x, w->module, s, true, e) < 0)
            return -1;
    }
    vec_foreach (n, &p->closure)
        if (report(p->x, *n, state_of(&p->inside, *n), false, e) < 0)
            return -1;
    return 0;
}

/* The guest's module file as a plain .ko. */
static int unpack_module(const struct modules_dep *d, const char *kernel,
                         modules_read_fn read, void *ctx, struct buf *out, struct err *e)
{
    auto_free char *path = *d->path == '/'
                               ? str_dup(d->path, e)
                               : str_fmt(e, "/lib/modules/%s/%s", kernel, d->path);
    static const enum initrd_format formats[] = {[MODNAME_GZIP] = INITRD_GZIP,
                                                 [MODNAME_XZ] = INITRD_XZ,
                                                 [MODNAME_ZSTD] = INITRD_ZSTD};
    auto_buf struct buf raw = BUF_INIT;
    enum modname_packing packing = MODNAME_PLAIN;
    char name[MODNAME_MAX];

    if (!path || read(ctx, path, &raw, e) < 0)
        return path ? err_prefix(e, "module %s", d->name) : -1;
    if (modname_of_path(d->path, name, &packing, NULL) && packing == MODNAME_PLAIN) {
        *out = raw;
        raw = (struct buf)BUF_INIT;
    } else if (codec_unpack_buf(formats[packing], (const uint8_t *)buf_str(&raw), raw.len,
                                MODULE_FILE_MAX, out, e) < 0) {
        return err_prefix(e, "module %s", path);
    }
    if (out->len > MODULE_FILE_MAX)
        return err_set(e, ERR_INPUT, "module %s: larger than %u MiB", path,
                       MODULE_FILE_MAX >> 20);
    if (out->len < 64 || memcmp(out->data, "\177ELF", 4))
        return err_set(e, ERR_INPUT, "module %s: damaged, no ELF object", path);
    return 0;
}

int initrd_module_object(const struct modules *guest, const char *kernel,
                         const char *module, modules_read_fn read, void *ctx,
                         struct buf *ret, struct err *e)
{
    const struct modules_dep *d;
    char name[MODNAME_MAX];

    d = modname_normal(module, name) ? modules_dep_find(guest, name) : NULL;
    if (!d)
        return err_set(e, ERR_NOT_FOUND, "kernel %s has no module %.80s", kernel, module);
    return unpack_module(d, kernel, read, ctx, ret, e);
}

/* How the index of the new tree spells a module's file: as the image has it, else as the
 * guest does without its compression. Owned. */
static char *index_path(const struct plan *p, const char *dir,
                        const struct modules_dep *d, struct err *e)
{
    const char *inside = initrd_modfiles_find(&p->inside, d->name);
    char name[MODNAME_MAX];
    size_t len = strlen(d->path);

    if (inside && str_starts(inside, dir) && inside[strlen(dir)] == '/')
        return str_dup(inside + strlen(dir) + 1, e);
    if (inside)
        return str_fmt(e, "/%s", inside);
    modname_of_path(d->path, name, NULL, &len);
    return str_ndup(d->path, len, e);
}

static int make_dep_line(const struct plan *p, const char *dir,
                         const struct modules_dep *d, char **ret, struct err *e)
{
    auto_free char *path = index_path(p, dir, d, e);
    auto_buf struct buf b = BUF_INIT;
    const char *words = d->deps, *word;
    char name[MODNAME_MAX];
    size_t len;

    if (!path)
        return -1;
    buf_addf(&b, "%s:", path);
    while (modules_word(&words, &word, &len)) {
        auto_free char *need_path = NULL;
        const struct modules_dep *need;

        if (!modules_path_name(word, len, name) ||
            !(need = modules_dep_find(p->rq->guest, name)))
            continue; /* built in: the closure made sure of that */
        if (!(need_path = index_path(p, dir, need, e)))
            return -1;
        buf_addf(&b, " %s", need_path);
    }
    return buf_check(&b, e) < 0 ? -1 : buf_take(&b, ret, e);
}

/* Plans one module of the closure: its file if the image has none, its index line if the
 * image's is missing or leads nowhere. */
static int plan_module(struct plan *p, const char *dir, const char *name, struct err *e)
{
    const struct modules_dep *d = modules_dep_find(p->rq->guest, name);
    bool inside = initrd_modfiles_find(&p->inside, name) != NULL;
    struct initrd_line line = {.name = d->name, .path = d->path};
    auto_buf struct buf data = BUF_INIT;
    auto_free char *rel = NULL, *path = NULL;
    struct err why = ERR_INIT;
    int rc = inside ? indexed(p->im, p->index, p->rq->kernel, name, &why) : 0;

    if (rc < 0)
        *e = why;
    if (rc)
        return rc < 0 ? -1 : 0;
    if (!inside) {
        if (!(rel = index_path(p, dir, d, e)) ||
            !(path = tree_path(p->rq->kernel, rel, strlen(rel), e)) ||
            unpack_module(d, p->rq->kernel, p->rq->read, p->rq->ctx, &data, e) < 0 ||
            initrd_files_add(&p->files, p->im, path, S_IFREG | 0644, &data, e) < 0)
            return -1;
    }
    if (make_dep_line(p, dir, d, &line.dep, e) < 0)
        return -1;
    if (vec_push(&p->lines, line, e) < 0) {
        free(line.dep);
        return -1;
    }
    return 0;
}

static int plan_modules(struct plan *p, struct err *e)
{
    auto_free char *dir = NULL, *plain = str_fmt(e, "lib/modules/%s", p->rq->kernel);

    if (!plain || initrd_canonical(p->im, plain, &dir, e) < 0)
        return -1;
    for (size_t i = 0; i < p->rq->n_want; i++) {
        const struct initrd_want *w = &p->rq->want[i];

        if (modules_find(p->rq->guest, w->module, NULL) == MODULES_FILE &&
            modules_closure(p->rq->guest, w->module, MODULES_HARD_AND_SOFT, &p->closure,
                            e) < 0)
            return -1;
    }
    vec_foreach (n, &p->closure)
        if (plan_module(p, dir, *n, e) < 0)
            return -1;
    return initrd_index_extend(p->index, p->im, p->rq->kernel, p->rq->guest, &p->lines,
                               &p->files, e);
}

/* Orders to load what was wanted by name, in case no alias is announced for it. */
static int plan_loading(struct plan *p, struct err *e)
{
    struct VEC(const char *) names = {0};
    int rc = 0;

    vec_foreach (m, &p->x->modules) {
        if (!m->wanted || m->state == INITRD_MODULE_BUILTIN ||
            m->state == INITRD_MODULE_ABSENT)
            continue;
        for (const char *c = m->name; *c && rc == 0; c++)
            if (!isalnum((unsigned char)*c) && *c != '_')
                rc = err_set(e, ERR_INPUT, "'%s' is no name of a module", m->name);
        if (rc == 0)
            rc = vec_push(&names, m->name, e);
    }
    if (rc == 0 && p->x->kind.tool == INITRD_TOOL_INITRAMFS_TOOLS)
        rc = initrd_tools_load(p->im, names.v, names.n, &p->files, e);
    else if (rc == 0)
        rc = initrd_dracut_load(p->im, &p->x->kind, names.v, names.n, &p->files, e);
    vec_release(&names);
    return rc;
}

static int plan_extra(struct plan *p, struct err *e)
{
    for (size_t i = 0; i < p->rq->n_extra; i++) {
        const struct initrd_extra *x = &p->rq->extra[i];
        auto_buf struct buf data = BUF_INIT;

        buf_add(&data, x->data, x->len);
        if (buf_check(&data, e) < 0 ||
            initrd_files_add(&p->files, p->im, x->path, S_IFREG | 0644, &data, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- the archive ---- */

static int file_cmp(const void *a, const void *b)
{
    return strcmp(((const struct initrd_file *)a)->path,
                  ((const struct initrd_file *)b)->path);
}

/* The directories of a path that the image lacks and `w` has not made yet. `made` is the
 * list of those. */
static int add_parents(struct cpio_writer *w, const struct initrd *im, const char *path,
                       struct modules_names *made, struct err *e)
{
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        auto_free char *dir = str_ndup(path, (size_t)(slash - path), e);
        bool have;

        if (!dir)
            return -1;
        have = initrd_has_dir(im, dir);
        vec_foreach (m, made)
            have = have || str_eq(*m, dir);
        if (have)
            continue;
        cpio_writer_add(w, dir, S_IFDIR | 0755, NULL, 0);
        if (vec_push(made, dir, e) < 0)
            return -1;
        dir = NULL;
    }
    return 0;
}

static int add_files(struct cpio_writer *w, const struct plan *p, struct err *e)
{
    auto_modules_names struct modules_names made = {0};
    struct initrd_stat st;

    vec_foreach (f, &p->files) {
        if (add_parents(w, p->im, f->path, &made, e) < 0)
            return -1;
        /* dracut links equal files: writing to one would write to all. A symbolic link
         * in its place takes the name off that file, and the new file takes its turn. */
        if (initrd_stat(p->im, f->path, INITRD_NOFOLLOW, &st) && st.nlink > 1)
            cpio_writer_add(w, f->path, S_IFLNK | 0777, INITRD_MARKER,
                            strlen(INITRD_MARKER));
        cpio_writer_add(w, f->path, f->mode, f->data.data, f->data.len);
    }
    return buf_check(&w->out, e);
}

static int make_supplement(struct plan *p, struct cpio_writer *w, struct err *e)
{
    auto_cpio_writer struct cpio_writer body = CPIO_WRITER_INIT;
    auto_buf struct buf marker = BUF_INIT;

    if (p->files.n)
        qsort(p->files.v, p->files.n, sizeof *p->files.v, file_cmp);
    /* The marker counts the members, itself included, so they are made first. */
    body.next_ino = 2;
    if (add_files(&body, p, e) < 0)
        return -1;
    buf_addf(&marker, INITRD_MARKER_MAGIC "kernel %s\nmembers %zu\n", p->rq->kernel,
             body.members + 1);
    vec_foreach (m, &p->x->modules)
        if (m->state == INITRD_MODULE_ADDED)
            buf_addf(&marker, "module %s\n", m->name);
    if (buf_check(&marker, e) < 0)
        return -1;
    cpio_writer_add(w, INITRD_MARKER, S_IFREG | 0644, marker.data, marker.len);
    buf_add(&w->out, body.out.data, body.out.len);
    w->members += body.members;
    cpio_writer_end(w);
    return buf_check(&w->out, e);
}

/* ---- all of it ---- */

static int make_image(struct plan *p, enum initrd_join join, struct err *e)
{
    auto_cpio_writer struct cpio_writer w = CPIO_WRITER_INIT;
    struct initrd_limits limits = p->im->limits;
    auto_initrd struct initrd *made = NULL;
    struct initrd_extension *x = p->x;

    if (make_supplement(p, &w, e) < 0)
        return -1;
    x->join = join;
    x->supplement_bytes = w.out.len;
    if (initrd_join_make(p->im, join, (const uint8_t *)w.out.data, w.out.len, &x->image,
                         e) < 0)
        return -1;
    limits.max_unpacked_bytes += w.out.len + 4096;
    limits.max_entries += w.members;
    if (initrd_parse(x->image.data, x->image.len, &limits, &made, e) < 0 ||
        initrd_check(made, p->rq, e) < 0)
        return err_prefix(e, "checking the extended image");
    return 0;
}

static int extend_base(struct plan *p, const struct initrd_base *base, struct err *e)
{
    enum initrd_join join = p->rq->join;

    if (join == INITRD_JOIN_AUTO)
        join = base->found && base->join == INITRD_JOIN_RECOMPRESS
                   ? base->join
                   : initrd_join_choose(p->im);
    if (initrd_modfiles_load(p->im, p->rq->kernel, &p->inside, e) < 0 ||
        initrd_index_load(p->im, p->rq->kernel, &p->index, e) < 0 ||
        plan_modules(p, e) < 0 || report_all(p, e) < 0 || plan_loading(p, e) < 0 ||
        plan_extra(p, e) < 0)
        return -1;
    return make_image(p, join, e);
}

static int report_complete(struct plan *p, struct err *e)
{
    p->x->nothing_to_do = true;
    for (size_t i = 0; i < p->rq->n_want; i++)
        if (modules_find(p->rq->guest, p->rq->want[i].module, NULL) == MODULES_FILE &&
            modules_closure(p->rq->guest, p->rq->want[i].module, MODULES_HARD,
                            &p->closure, e) < 0)
            return -1;
    if (initrd_modfiles_load(p->im, p->rq->kernel, &p->inside, e) < 0)
        return -1;
    return report_all(p, e);
}

static int run(struct plan *p, struct err *e)
{
    auto_initrd_base struct initrd_base base = {0};
    auto_initrd struct initrd *without = NULL;
    struct err missing = ERR_INIT;
    int rc = complete(p->im, p->rq, &missing);

    if (rc < 0)
        *e = missing;
    if (rc)
        return rc < 0 ? -1 : report_complete(p, e);
    if (p->x->kind.tool == INITRD_TOOL_UNKNOWN)
        return err_set(e, ERR_UNSUPPORTED,
                       "the initramfs was made by neither initramfs-tools nor dracut, so "
                       "hotadd does not know how to make it load drivers; rebuild it on "
                       "the guest with nvme included");
    if (initrd_base_make(p->im, &base, e) < 0)
        return -1;
    if (base.found) {
        if (initrd_parse(base.image.data, base.image.len, &p->im->limits, &without, e) <
            0)
            return err_prefix(e, "without the earlier supplement");
        p->im = without;
        p->x->replaced_earlier = true;
        initrd_identify(without, &p->x->kind);
    }
    return extend_base(p, &base, e);
}

int initrd_extend(const struct initrd *im, const struct initrd_request *rq,
                  struct initrd_extension *ret, struct err *e)
{
    struct initrd_extension x = {0};
    struct plan p = {.im = im, .rq = rq, .x = &x};
    int rc;

    initrd_identify(im, &x.kind);
    rc = run(&p, e);
    initrd_modfiles_release(&p.inside);
    initrd_index_free(p.index);
    modules_names_release(&p.closure);
    vec_foreach (l, &p.lines)
        free(l->dep);
    vec_release(&p.lines);
    initrd_files_release(&p.files);
    if (rc < 0) {
        initrd_extension_release(&x);
        return -1;
    }
    *ret = x;
    return 0;
}

void initrd_extension_release(struct initrd_extension *x)
{
    buf_release(&x->image);
    vec_foreach (m, &x->modules)
        free(m->name);
    vec_release(&x->modules);
}
