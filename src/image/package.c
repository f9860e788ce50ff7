/* Opening OVF packages; see package.h. Nothing is unpacked: members of an OVA are read
 * where they lie. */
#include "image/package.h"

#include "base/log.h"
#include "base/str.h"

#define MAX_MANIFEST (4u << 20)

void ovf_package_free(struct ovf_package *p)
{
    if (!p)
        return;
    blob_free(p->ovf);
    blob_free(p->mf);
    image_dir_free(p->dir); /* borrows the members */
    tar_members_release(&p->members);
    manifest_release(&p->manifest);
    free(p);
}

/* The one member that ends so; NULL when there is none. */
static int only_member(const struct tar_members *m, const char *suffix, const char *name,
                       const struct tar_member **ret, struct err *e)
{
    const struct tar_member *found = NULL;

    vec_foreach (x, &m->all) {
        if (!str_ends(x->name, suffix))
            continue;
        if (found)
            return err_set(e, ERR_INPUT, "%s: holds both %s and %s; one is expected",
                           name, found->name, x->name);
        found = x;
    }
    *ret = found;
    return 0;
}

static int from_tar(struct ovf_package *p, const struct blob *b,
                    const struct image_options *opt, struct err *e)
{
    const struct tar_member *ovf, *mf;
    auto_free char *mf_name = NULL, *base = NULL;

    if (tar_list(b, &p->members, e) < 0 ||
        only_member(&p->members, ".ovf", b->name, &ovf, e) < 0 ||
        only_member(&p->members, ".mf", b->name, &mf, e) < 0)
        return -1;
    if (!ovf)
        return err_set(
            e, ERR_UNSUPPORTED,
            "%s: a tar archive without an .ovf: no OVA; unpack it and name the "
            "disk or description in it",
            b->name);
    if (ovf != p->members.all.v)
        image_note(opt,
                   "%s: %s is not its first member, as the format wants; read anyway",
                   b->name, ovf->name);
    vec_foreach (x, &p->members.all)
        if (str_ends(x->name, ".cert"))
            log_debug("%s: %s: the signature is not checked", b->name, x->name);
    if (image_dir_of_tar(b, &p->members, ovf->name, &p->dir, e) < 0)
        return -1;
    base = image_base_name(ovf->name, false, e);
    if (!base || image_dir_open(p->dir, base, b->name, &p->ovf, e) < 0)
        return -1;
    if (!mf)
        return 0;
    mf_name = str_fmt(e, "%s: %s", b->name, mf->name);
    if (!mf_name)
        return -1;
    return blob_slice(b, mf->offset, mf->len, mf_name, &p->mf, e);
}

static int from_folder(struct ovf_package *p, const char *path, const struct blob *b,
                       const struct image_options *opt, struct err *e)
{
    auto_free char *base = image_base_name(path, true, e), *mf = NULL;

    if (!base || image_dir_of(path, opt, &p->dir, e) < 0 ||
        blob_slice(b, 0, b->len, b->name, &p->ovf, e) < 0)
        return -1;
    mf = str_fmt(e, "%s.mf", base);
    if (!mf)
        return -1;
    if (image_dir_open(p->dir, mf, path, &p->mf, e) == 0)
        return 0;
    if (e->kind != ERR_NOT_FOUND)
        return -1;
    err_clear(e);
    return 0;
}

static int read_manifest(struct ovf_package *p, struct err *e)
{
    auto_free char *text = NULL;
    size_t len;

    if (!p->mf)
        return 0;
    if (image_read_text(p->mf, MAX_MANIFEST, &text, &len, e) < 0 ||
        manifest_parse(text, p->mf->name, &p->manifest, e) < 0)
        return -1;
    vec_foreach (l, &p->manifest.lines) {
        auto_blob struct blob *file = NULL;

        if (image_dir_open(p->dir, l->file, p->mf->name, &file, e) < 0)
            return -1;
    }
    return 0;
}

int ovf_package_from(const char *path, const struct blob *b, enum image_format format,
                     const struct image_options *opt, struct ovf_package **ret,
                     struct err *e)
{
    auto_ovf_package struct ovf_package *p = mem_zalloc(1, sizeof *p, e);

    if (!p)
        return -1;
    if ((format == FORMAT_TAR ? from_tar(p, b, opt, e)
                              : from_folder(p, path, b, opt, e)) < 0 ||
        read_manifest(p, e) < 0)
        return -1;
    *ret = take_ptr(p);
    return 0;
}

int ovf_package_open(const char *path, const struct image_options *opt,
                     struct ovf_package **ret, struct err *e)
{
    auto_blob struct blob *b = NULL;
    enum image_format format;

    *ret = NULL;
    if (image_is_uri(path) || (opt && opt->format))
        return 0;
    if (blob_open(-1, path, path, &b, e) < 0 || image_detect(b, &format, e) < 0)
        return -1;
    if (format != FORMAT_TAR && format != FORMAT_OVF)
        return 0;
    return ovf_package_from(path, b, format, opt, ret, e);
}
