/* Module files of a kernel inside an image; see internal.h and initrd.h. */
#include "guest/initrd/internal.h"

#include "base/str.h"
#include "guest/initrd/modname.h"

#include <sys/stat.h>

struct collect {
    const struct initrd *im;
    struct initrd_modfiles *files;
};

static int collect_file(void *ctx, const char *path, const struct initrd_stat *st,
                        struct err *e)
{
    struct collect *c = ctx;
    struct initrd_modfile f = {0};
    char name[MODNAME_MAX];

    /* A link counts for what it leads to: weak-updates of RHEL are links. */
    if (S_ISDIR(st->mode) || !modname_of_path(path, name, NULL, NULL) ||
        !initrd_has_file(c->im, path))
        return 0;
    f.name = str_dup(name, e);
    f.path = str_dup(path, e);
    if (!f.name || !f.path || vec_push(c->files, f, e) < 0) {
        free(f.name);
        free(f.path);
        return -1;
    }
    return 0;
}

static int modfile_cmp(const void *a, const void *b)
{
    const struct initrd_modfile *x = a, *y = b;
    int c = strcmp(x->name, y->name);

    return c ? c : strcmp(x->path, y->path);
}

int initrd_modfiles_load(const struct initrd *im, const char *kernel,
                         struct initrd_modfiles *ret, struct err *e)
{
    struct initrd_modfiles files = {0};
    struct collect c = {.im = im, .files = &files};
    auto_free char *dir = NULL;

    if (!modname_kernel_ok(kernel))
        return err_set(e, ERR_INPUT, "'%.80s' is no kernel release", kernel);
    if (!(dir = str_fmt(e, "lib/modules/%s", kernel)))
        return -1;
    if (initrd_walk(im, dir, collect_file, &c, e) < 0) {
        initrd_modfiles_release(&files);
        return -1;
    }
    if (files.n)
        qsort(files.v, files.n, sizeof *files.v, modfile_cmp);
    *ret = files;
    return 0;
}

const char *initrd_modfiles_find(const struct initrd_modfiles *f, const char *name)
{
    size_t lo = 0, hi = f->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (strcmp(f->v[mid].name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < f->n && str_eq(f->v[lo].name, name) ? f->v[lo].path : NULL;
}

void initrd_modfiles_release(struct initrd_modfiles *f)
{
    vec_foreach (m, f) {
        free(m->name);
        free(m->path);
    }
    vec_release(f);
}

int initrd_find_module(const struct initrd *im, const char *kernel, const char *module,
                       char **ret_path, struct err *e)
{
    auto_modfiles struct initrd_modfiles files = {0};
    char name[MODNAME_MAX], *copy = NULL;
    const char *path;

    if (!modname_normal(module, name))
        return err_set(e, ERR_INPUT, "'%.80s' is no name of a module", module);
    if (initrd_modfiles_load(im, kernel, &files, e) < 0)
        return -1;
    path = initrd_modfiles_find(&files, name);
    if (!path)
        return 0;
    if (ret_path && !(copy = str_dup(path, e)))
        return -1;
    if (ret_path)
        *ret_path = copy;
    return 1;
}
