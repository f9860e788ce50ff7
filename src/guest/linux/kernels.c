/* The guest's kernels: which can be booted, what drivers each has and where; see
 * linux.h.
 *
 * A kernel counts when its image is in /boot and it has a module directory; rescue and
 * crash-dump images are left out. Menu entries give the initramfs, names fill gaps. */
#include "guest/linux/linux.h"

#include "base/str.h"
#include "guest/info.h"

#include <string.h>

#define MAX_KERNELS   24
#define MAX_INITRD    (512u << 20)
#define MAX_INDEX     (32u << 20)
#define MAX_IN_MEMORY (1ull << 30) /* of all initramfs images together */

static const char *base_name(const char *path)
{
    const char *p = strrchr(path, '/');

    return p ? p + 1 : path;
}

/* "vmlinuz-6.1.0-28-amd64" → the version; NULL for anything else. */
static const char *version_of(const char *name)
{
    static const char *const prefixes[] = {"vmlinuz-", "vmlinux-", "kernel-", "Image-"};

    if (strstr(name, "rescue") || str_ends(name, "kdump"))
        return NULL;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (str_starts(name, prefixes[i]) && name[strlen(prefixes[i])])
            return name + strlen(prefixes[i]);
    return NULL;
}

/* Paths in menus are relative to GRUB's device, which is /boot where that is a file
 * system of its own (and may have a subvolume in front): only the name counts. */
static int boot_file(const struct subject *s, const char *menu_path, char **ret,
                     struct err *e)
{
    auto_free char *path = NULL;
    int r;

    if (gfs_join("/boot", base_name(menu_path), &path, e) < 0)
        return -1;
    r = gfs_is_file(&s->fs, path, e);
    if (r > 0)
        *ret = take_ptr(path);
    return r;
}

/* The menu's initramfs for this kernel image, microcode images left out. */
static int initrd_from_menu(const struct subject *s, const char *image, char **ret,
                            struct err *e)
{
    vec_foreach (x, &s->menu.entries) {
        if (!x->kernel || !str_eq(base_name(x->kernel), base_name(image)))
            continue;
        for (size_t i = x->initrds.n; i-- > 0;) {
            const char *name = base_name(x->initrds.v[i]);

            if (strstr(name, "ucode") || strstr(name, "microcode"))
                continue;
            return boot_file(s, name, ret, e);
        }
    }
    return 0;
}

static int find_initrd(const struct subject *s, struct guest_kernel *k, struct err *e)
{
    static const char *const patterns[] = {"initrd.img-%s", "initramfs-%s.img",
                                           "initrd-%s", "initrd-%s.img"};
    int r = initrd_from_menu(s, k->image, &k->initrd, e);

    for (size_t i = 0; r == 0 && i < sizeof patterns / sizeof patterns[0]; i++) {
        const char *p = strstr(patterns[i], "%s");
        auto_free char *name = str_fmt(e, "%.*s%s%s", (int)(p - patterns[i]), patterns[i],
                                       k->version, p + 2);

        r = name ? boot_file(s, name, &k->initrd, e) : -1;
    }
    return r < 0 ? -1 : 0;
}

static int read_for_modules(void *ctx, const char *path, struct buf *out, struct err *e)
{
    const struct subject *s = ctx;

    return gfs_read(&s->fs, path, MAX_INDEX, out, e);
}

static bool blames_guest(const struct err *e)
{
    return e->kind == ERR_INPUT || e->kind == ERR_NOT_FOUND || e->kind == ERR_UNSUPPORTED;
}

static int read_initrd(const struct subject *s, struct guest_kernel *k,
                       struct kernel_image *im, struct err *e)
{
    struct err why = ERR_INIT;
    const struct initrd_segment *segments;
    struct initrd_kind kind;
    size_t n;

    if (gfs_read(&s->fs, k->initrd, MAX_INITRD, &im->bytes, &why) < 0 ||
        initrd_parse(im->bytes.data, im->bytes.len, NULL, &im->initrd, &why) < 0) {
        if (!blames_guest(&why)) {
            *e = why;
            return -1;
        }
        buf_release(&im->bytes);
        im->bytes = (struct buf)BUF_INIT;
        return str_set(&im->fault, why.msg, e);
    }
    n = initrd_segments(im->initrd, &segments);
    for (size_t i = n; i-- > 0 && !k->compression;)
        if (!segments[i].early &&
            str_set(&k->compression, initrd_format_name(segments[i].format), e) < 0)
            return -1;
    initrd_identify(im->initrd, &kind);
    if (kind.tool != INITRD_TOOL_UNKNOWN)
        return str_set(&k->tool, initrd_tool_name(kind.tool), e);
    return 0;
}

static const char *const driver_names[] = {"nvme", "ena", "xen-blkfront", "xen-netfront"};

static int find_drivers(const struct kernel_image *im, struct guest_kernel *k,
                        struct err *e)
{
    for (size_t i = 0; i < sizeof driver_names / sizeof driver_names[0]; i++) {
        struct guest_driver d = {.place = DRIVER_ABSENT};
        const char *path;

        switch (modules_find(im->modules, driver_names[i], &path)) {
        case MODULES_ABSENT:
            break;
        case MODULES_BUILTIN:
            d.place = DRIVER_BUILTIN;
            break;
        case MODULES_FILE:
            d.place = DRIVER_MODULE;
            if (im->initrd) {
                int r =
                    initrd_find_module(im->initrd, k->version, driver_names[i], NULL, e);
                if (r < 0)
                    return -1;
                if (r)
                    d.place = DRIVER_INITRAMFS;
            }
            break;
        }
        d.name = str_dup(driver_names[i], e);
        if (!d.name || vec_push(&k->drivers, d, e) < 0) {
            free(d.name);
            return -1;
        }
    }
    return 0;
}

static void image_release(struct kernel_image *im)
{
    initrd_free(im->initrd);
    modules_free(im->modules);
    buf_release(&im->bytes);
    free(im->fault);
}

/* 1 added, 0 no kernel of this guest's, -1. */
static int add_kernel(struct subject *s, const char *name, struct err *e)
{
    struct guest_kernel k = {0};
    struct kernel_image im = {0};
    struct err why = ERR_INIT;
    const char *version = version_of(name);

    if (!version)
        return 0;
    vec_foreach (known, &s->info->kernels)
        if (str_eq(known->version, version))
            return 0;
    if (s->info->kernels.n >= MAX_KERNELS)
        return 0;
    if (modules_load(version, read_for_modules, s, &im.modules, &why) < 0) {
        if (blames_guest(&why))
            return 0;
        *e = why;
        return -1;
    }
    k.version = str_dup(version, e);
    if (!k.version || gfs_join("/boot", name, &k.image, e) < 0 ||
        find_initrd(s, &k, e) < 0 || (k.initrd && read_initrd(s, &k, &im, e) < 0) ||
        find_drivers(&im, &k, e) < 0 || vec_push(&s->info->kernels, k, e) < 0) {
        guest_kernel_release(&k);
        image_release(&im);
        return -1;
    }
    if (vec_push(&s->images, im, e) < 0) {
        image_release(&im);
        guest_kernel_release(&s->info->kernels.v[--s->info->kernels.n]);
        return -1;
    }
    return 1;
}

size_t linux_default_kernel(const struct subject *s)
{
    for (size_t i = 0; i < s->info->kernels.n; i++)
        if (s->info->kernels.v[i].is_default)
            return i;
    return SIZE_MAX;
}

const struct guest_driver *linux_driver(const struct guest_kernel *k, const char *name)
{
    vec_foreach (d, &k->drivers)
        if (str_eq(d->name, name))
            return d;
    return NULL;
}

/* What the boot loader starts; a link such as /vmlinuz is followed. */
static int mark_default(struct subject *s, struct err *e)
{
    auto_free char *saved = NULL, *target = NULL;
    const struct grub_entry *x;
    const char *name;

    if (linux_grubenv_get(s, "saved_entry", &saved, e) < 0)
        return -1;
    x = grub_default(&s->menu, saved);
    if (!x)
        return 0;
    name = base_name(x->kernel);
    if (!version_of(name)) {
        auto_free char *path = NULL;

        if (gfs_join("/boot", name, &path, e) < 0 ||
            gfs_resolve(&s->fs, path, &target, e) < 0)
            return -1;
        name = base_name(target);
    }
    vec_foreach (k, &s->info->kernels)
        k->is_default = str_eq(base_name(k->image), name);
    return 0;
}

int linux_inspect_kernels(struct subject *s, struct err *e)
{
    auto_strv struct strv names = {0};
    uint64_t bytes = 0;
    size_t i;

    /* The default first, so that limits never cost it. */
    vec_foreach (x, &s->menu.entries)
        if (x->kernel && strv_add_once(&names, base_name(x->kernel), e) < 0)
            return -1;
    if (gfs_list(&s->fs, "/boot", &names, e) < 0)
        return -1;
    vec_foreach (n, &names) {
        auto_free char *path = NULL;
        int r = boot_file(s, *n, &path, e);

        if (r < 0 || (r && bytes < MAX_IN_MEMORY && add_kernel(s, *n, e) < 0))
            return -1;
        if (s->images.n)
            bytes += s->images.v[s->images.n - 1].bytes.len;
    }
    if (mark_default(s, e) < 0)
        return -1;
    i = linux_default_kernel(s);
    if (i == SIZE_MAX)
        return 0;
    const struct guest_kernel *k = &s->info->kernels.v[i];
    const struct guest_driver *nvme = linux_driver(k, "nvme"),
                              *ena = linux_driver(k, "ena"),
                              *blk = linux_driver(k, "xen-blkfront"),
                              *net = linux_driver(k, "xen-netfront");

    s->info->fits_nitro = nvme->place != DRIVER_ABSENT && ena->place != DRIVER_ABSENT;
    s->info->fits_xen = blk->place != DRIVER_ABSENT && net->place != DRIVER_ABSENT;
    return k->tool ? str_set(&s->info->initramfs_tool, k->tool, e) : 0;
}
