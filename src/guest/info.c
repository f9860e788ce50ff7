/* What check and conversion return: names, release and verdicts; see guest.h. */
#include "guest/info.h"

#include "base/str.h"

#include <stdlib.h>

struct name {
    int value;
    const char *name;
};

static const char *name_of(const struct name *t, size_t n, int value)
{
    for (size_t i = 0; i < n; i++)
        if (t[i].value == value)
            return t[i].name;
    return "unknown";
}

static const struct name methods[] = {
    {GUEST_SWAP, "swap"}, {GUEST_IMAGE, "image"}, {GUEST_IMPORT, "import"}};
static const struct name profiles[] = {
    {GUEST_NITRO, "nitro"}, {GUEST_XEN, "xen"}, {GUEST_BOTH, "both"}};
static const struct name purposes[] = {{GUEST_RESTORE, "restore"},
                                       {GUEST_CONVERT, "convert"}};
static const struct name states[] = {{FINDING_MET, "met"},
                                     {FINDING_FIXABLE, "fixable"},
                                     {FINDING_REFUSED, "refused"},
                                     {FINDING_UNKNOWN, "unknown"},
                                     {FINDING_NOT_NEEDED, "not-needed"}};
static const struct name fixes[] = {{FINDING_FIX_NONE, "none"},
                                    {FINDING_FIX_CONVERT, "convert"},
                                    {FINDING_FIX_OPTION, "option"}};
static const struct name places[] = {{DRIVER_ABSENT, "absent"},
                                     {DRIVER_MODULE, "module"},
                                     {DRIVER_BUILTIN, "builtin"},
                                     {DRIVER_INITRAMFS, "initramfs"}};
#define COUNT(t) (sizeof(t) / sizeof(t)[0])

const char *guest_method_name(enum guest_method m)
{
    return name_of(methods, COUNT(methods), m);
}

const char *guest_profile_name(enum guest_profile p)
{
    return name_of(profiles, COUNT(profiles), p);
}

const char *first_boot_way_name(enum first_boot_way w)
{
    return w == FIRST_BOOT_AUTOLOGON ? "autologon" : "service";
}

int first_boot_way_parse(const char *name, enum first_boot_way *ret, struct err *e)
{
    if (!str_eq(name, "service") && !str_eq(name, "autologon"))
        return err_set(e, ERR_USAGE,
                       "first boot by \"%s\" is unknown: service or autologon", name);
    *ret = str_eq(name, "autologon") ? FIRST_BOOT_AUTOLOGON : FIRST_BOOT_SERVICE;
    return 0;
}

const char *guest_purpose_name(enum guest_purpose p)
{
    return name_of(purposes, COUNT(purposes), p);
}

const char *finding_state_name(enum finding_state s)
{
    return name_of(states, COUNT(states), s);
}

const char *finding_fix_name(enum finding_fix f)
{
    return name_of(fixes, COUNT(fixes), f);
}

const char *driver_place_name(enum driver_place p)
{
    return name_of(places, COUNT(places), p);
}

int guest_method_parse(const char *name, enum guest_method *ret, struct err *e)
{
    for (size_t i = 0; i < COUNT(methods); i++)
        if (str_eq(methods[i].name, name)) {
            *ret = (enum guest_method)methods[i].value;
            return 0;
        }
    return err_set(e, ERR_USAGE, "finisher \"%s\" is unknown: swap, image or import",
                   name);
}

int guest_profile_parse(const char *name, enum guest_profile *ret, struct err *e)
{
    for (size_t i = 0; i < COUNT(profiles); i++)
        if (str_eq(profiles[i].name, name)) {
            *ret = (enum guest_profile)profiles[i].value;
            return 0;
        }
    return err_set(e, ERR_USAGE, "target profile \"%s\" is unknown: nitro, xen or both",
                   name);
}

void finding_release(struct finding *f)
{
    free(f->id);
    free(f->title);
    free(f->seen);
    free(f->why);
    free(f->remedy);
}

void guest_kernel_release(struct guest_kernel *k)
{
    free(k->version);
    free(k->image);
    free(k->initrd);
    free(k->compression);
    free(k->tool);
    vec_foreach (d, &k->drivers)
        free(d->name);
    vec_release(&k->drivers);
}

void guest_filesystem_release(struct guest_filesystem *f)
{
    free(f->mountpoint);
    free(f->device);
    free(f->type);
    free(f->uuid);
}

void guest_edit_release(struct guest_edit *x)
{
    free(x->path);
    free(x->what);
    free(x->why);
}

void guest_info_free(struct guest_info *i)
{
    if (!i)
        return;
    free(i->type);
    free(i->distro);
    free(i->family);
    free(i->product_name);
    free(i->arch);
    free(i->hostname);
    free(i->partitioning);
    free(i->root_fs);
    free(i->boot_loader);
    free(i->initramfs_tool);
    free(i->network_tool);
    vec_foreach (f, &i->filesystems)
        guest_filesystem_release(f);
    vec_foreach (k, &i->kernels)
        guest_kernel_release(k);
    vec_foreach (f, &i->findings)
        finding_release(f);
    vec_release(&i->filesystems);
    vec_release(&i->kernels);
    vec_release(&i->findings);
    free(i);
}

void guest_report_free(struct guest_report *r)
{
    if (!r)
        return;
    guest_info_free(r->info);
    vec_foreach (x, &r->edits)
        guest_edit_release(x);
    vec_release(&r->edits);
    strv_release(&r->changed);
    free(r);
}

bool finding_blocks(const struct finding *f, const struct guest_options *o)
{
    if (f->state == FINDING_FIXABLE)
        return !(
            o->purpose == GUEST_CONVERT &&
            (f->fix == FINDING_FIX_CONVERT || (f->fix == FINDING_FIX_OPTION && o->fix)));
    return f->state == FINDING_REFUSED;
}

const struct finding *guest_info_blocker(const struct guest_info *info,
                                         const struct guest_options *o)
{
    vec_foreach (f, &info->findings)
        if (finding_blocks(f, o))
            return f;
    return NULL;
}

const struct finding *guest_info_finding(const struct guest_info *info, const char *id)
{
    vec_foreach (f, &info->findings)
        if (str_eq(f->id, id))
            return f;
    return NULL;
}
