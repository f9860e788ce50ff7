/* What a repository holds: walking it, and the list of its points; see repo.h.
 *
 * Directories whose names cannot be those of namespaces, groups or points are left out,
 * as servers do. */
#include "repo/private.h"

#include "base/str.h"

struct walk {
    struct repo *repo;
    const struct repo_name *filter; /* may be NULL */
    int (*each)(void *ctx, const struct repo_place *p, struct err *e);
    void *ctx;
};

static int add_dir(void *ctx, const char *name, bool is_dir, struct err *e)
{
    return is_dir && repo_id_valid(name) ? strv_add(ctx, name, e) : 0;
}

static int list_dirs(struct repo *r, const char *dir, struct strv *ret, struct err *e)
{
    if (cancel_check(r->cancel, e) < 0 ||
        r->store->ops->list(r->store, dir, add_dir, ret, e) < 0)
        return -1;
    strv_sort(ret);
    return 0;
}

static int add_time(void *ctx, const char *name, bool is_dir, struct err *e)
{
    struct repo_times *v = ctx;
    int64_t t;

    return is_dir && repo_time_parse(name, &t) ? vec_push(v, t, e) : 0;
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

int repo_group_times(struct repo *r, const char *group, struct repo_times *ret,
                     struct err *e)
{
    if (r->store->ops->list(r->store, group, add_time, ret, e) < 0)
        return -1;
    if (ret->n)
        qsort(ret->v, ret->n, sizeof *ret->v, by_time);
    return 0;
}

static int walk_group(struct walk *w, const char *ns, const char *type, const char *id,
                      struct err *e)
{
    struct repo_place p = {ns, type, id, w->filter ? w->filter->time : REPO_EVERY};
    int64_t only = p.time;
    struct repo_times times = {0};
    auto_free char *group = NULL;
    int r;

    if (only == REPO_LATEST) {
        r = repo_find_finished(w->repo, &p, e);
        return r > 0 ? w->each(w->ctx, &p, e) : r;
    }
    group = repo_group_path(ns, type, id, e);
    r = group ? repo_group_times(w->repo, group, &times, e) : -1;
    for (size_t i = 0; i < times.n && r == 0; i++) {
        p.time = times.v[i];
        if (only == REPO_EVERY || only == p.time)
            r = w->each(w->ctx, &p, e);
    }
    vec_release(&times);
    return r;
}

static int walk_type(struct walk *w, const char *ns, const char *ns_path,
                     const char *type, struct err *e)
{
    auto_free char *dir = str_fmt(e, "%s%s%s", ns_path, *ns_path ? "/" : "", type);
    auto_strv struct strv ids = {0};

    if (!dir)
        return -1;
    if (w->filter && w->filter->id)
        return walk_group(w, ns, type, w->filter->id, e);
    if (list_dirs(w->repo, dir, &ids, e) < 0)
        return -1;
    vec_foreach (id, &ids)
        if (walk_group(w, ns, type, *id, e) < 0)
            return -1;
    return 0;
}

static int walk_ns(struct walk *w, const char *ns, int depth, struct err *e)
{
    auto_free char *path = repo_ns_path(ns, e);
    auto_free char *below = path ? str_fmt(e, "%s%sns", path, *path ? "/" : "") : NULL;
    auto_strv struct strv children = {0};

    if (!below)
        return -1;
    if (!w->filter || !w->filter->ns || str_eq(w->filter->ns, ns))
        for (size_t i = 0; i < sizeof repo_types / sizeof repo_types[0]; i++)
            if (walk_type(w, ns, path, repo_types[i], e) < 0)
                return -1;
    if (depth == REPO_MAX_NS_DEPTH || list_dirs(w->repo, below, &children, e) < 0)
        return depth == REPO_MAX_NS_DEPTH ? 0 : -1;
    vec_foreach (c, &children) {
        auto_free char *child = str_fmt(e, "%s%s%s", ns, *ns ? "/" : "", *c);

        if (!child || walk_ns(w, child, depth + 1, e) < 0)
            return -1;
    }
    return 0;
}

int repo_walk(struct repo *r, const struct repo_name *filter,
              int (*each)(void *ctx, const struct repo_place *p, struct err *e),
              void *ctx, struct err *e)
{
    struct walk w = {.repo = r, .filter = filter, .each = each, .ctx = ctx};
    auto_free char *path = NULL;

    if (filter && ((filter->ns && !repo_ns_valid(filter->ns)) ||
                   (filter->id && !repo_id_valid(filter->id))))
        return err_set(e, ERR_USAGE, "a namespace or ID that cannot be");
    /* A namespace that is named need not be searched for. */
    if (!filter || !filter->ns)
        return walk_ns(&w, "", 0, e);
    path = repo_ns_path(filter->ns, e);
    if (!path)
        return -1;
    for (size_t i = 0; i < sizeof repo_types / sizeof repo_types[0]; i++)
        if (walk_type(&w, filter->ns, path, repo_types[i], e) < 0)
            return -1;
    return 0;
}

/* ---- the list ---- */

static int note_inside(void *ctx, const char *name, bool is_dir, struct err *e)
{
    struct repo_inside *in = ctx;

    if (str_starts(name, REPO_WRITING_MARK STORE_TMP))
        return 0;
    in->empty = false;
    if (is_dir)
        return 0;
    in->finished |= str_eq(name, REPO_MANIFEST_NAME);
    in->is_protected |= str_eq(name, ".protected");
    in->ours |= str_eq(name, REPO_WRITING_MARK);
    return 0;
}

int repo_look_inside(struct repo *r, const char *path, struct repo_inside *ret,
                     struct err *e)
{
    struct repo_inside in = {.empty = true};

    if (r->store->ops->list(r->store, path, note_inside, &in, e) < 0)
        return -1;
    *ret = in;
    return 0;
}

static void entry_release(struct repo_entry *x)
{
    free(x->ns);
    free(x->type);
    free(x->id);
}

void repo_entries_release(struct repo_entries *v)
{
    vec_foreach (x, v)
        entry_release(x);
    vec_release(v);
}

static void from_manifest(struct repo_entry *x, const struct repo_manifest *m)
{
    x->readable = true;
    x->crypt = repo_manifest_crypt(m);
    x->verified = m->verified;
    x->verified_bad = m->verified_bad;
    vec_foreach (f, &m->files)
        if (str_ends(f->name, ".fidx")) {
            x->n_disks++;
            if (__builtin_add_overflow(x->size_bytes, f->size_bytes, &x->size_bytes))
                x->size_bytes = UINT64_MAX;
        }
}

struct listing {
    struct repo *repo;
    struct repo_entries *out;
};

static int fill_entry(struct repo *r, const struct repo_place *p, struct repo_entry *x,
                      struct err *e)
{
    auto_free char *path = repo_point_path(p->ns, p->type, p->id, p->time, e);
    auto_manifest struct repo_manifest *m = NULL;
    struct repo_inside in;

    x->ns = str_dup(p->ns, e);
    x->type = str_dup(p->type, e);
    x->id = str_dup(p->id, e);
    x->time = p->time;
    if (!path || !x->ns || !x->type || !x->id || repo_look_inside(r, path, &in, e) < 0)
        return -1;
    x->finished = in.finished;
    x->is_protected = in.is_protected;
    if (!in.finished)
        return 0;
    if (repo_load_manifest(r, path, &m, e) == 0)
        from_manifest(x, m);
    else if (!repo_is_damage(e) && e->kind != ERR_UNSUPPORTED)
        return -1;
    return 0;
}

static int add_entry(void *ctx, const struct repo_place *p, struct err *e)
{
    struct listing *l = ctx;
    struct repo_entry x = {0};

    if (cancel_check(l->repo->cancel, e) < 0 || fill_entry(l->repo, p, &x, e) < 0 ||
        vec_push(l->out, x, e) < 0) {
        entry_release(&x);
        return -1;
    }
    return 0;
}

int repo_list(struct repo *r, const struct repo_name *filter, struct repo_entries *ret,
              struct err *e)
{
    struct repo_entries v = {0};
    struct listing l = {.repo = r, .out = &v};

    if (repo_walk(r, filter, add_entry, &l, e) < 0) {
        repo_entries_release(&v);
        return -1;
    }
    *ret = v;
    return 0;
}
