/* Which tool made an image, told from what is in it, never from the distribution's name;
 * see initrd.h. */
#include "guest/initrd/internal.h"

#include "base/str.h"

#include <sys/stat.h>

const char *initrd_tool_name(enum initrd_tool tool)
{
    static const char *const names[] = {"an unknown tool", "initramfs-tools", "dracut",
                                        "dracut (before 010)"};

    return names[tool];
}

/* Finds "dracut-VERSION", the empty or one-line file in which dracut records itself. */
struct version_search {
    char *out;
    size_t out_len;
    size_t dir_len; /* only directly below the directory walked */
};

static int find_version(void *ctx, const char *path, const struct initrd_stat *st,
                        struct err *e)
{
    struct version_search *v = ctx;
    const char *base = strrchr(path, '/');
    size_t dir_len = base ? (size_t)(base - path) + 1 : 0;

    base = base ? base + 1 : path;
    if (dir_len != v->dir_len || !S_ISREG(st->mode) || !str_starts(base, "dracut-") ||
        base[7] < '0' || base[7] > '9')
        return 0;
    snprintf(v->out, v->out_len, "%s", base + 7);
    return 1;
}

static void record_version(const struct initrd *im, const char *dir,
                           struct initrd_kind *ret)
{
    struct version_search v = {.out = ret->version, .out_len = sizeof ret->version};
    auto_free char *canonical = NULL;
    struct err e = ERR_INIT;

    /* A version nobody could read is an unknown version. */
    if (view_canonical(im->view, dir, &canonical, &e) < 0)
        return;
    v.dir_len = *canonical ? strlen(canonical) + 1 : 0;
    if (initrd_walk(im, dir, find_version, &v, &e) < 0)
        ret->version[0] = 0;
}

void initrd_identify(const struct initrd *im, struct initrd_kind *ret)
{
    int64_t init = view_lookup(im->view, "init", INITRD_FOLLOW);
    const char *name;
    size_t len;

    *ret = (struct initrd_kind){.tool = INITRD_TOOL_UNKNOWN};
    if (init >= 0) {
        name = view_name(im->view, (uint32_t)init, &len);
        ret->systemd = len == 7 && !memcmp(name, "systemd", 7);
    }
    if (initrd_has_dir(im, "usr/lib/dracut") || initrd_has_dir(im, "lib/dracut")) {
        ret->tool = INITRD_TOOL_DRACUT;
        record_version(
            im, initrd_has_dir(im, "usr/lib/dracut") ? "usr/lib/dracut" : "lib/dracut",
            ret);
    } else if (initrd_has_dir(im, "pre-udev") &&
               initrd_has_file(im, "lib/dracut-lib.sh")) {
        ret->tool = INITRD_TOOL_DRACUT_OLD;
        record_version(im, "", ret);
    } else if (initrd_has_file(im, "conf/initramfs.conf") &&
               initrd_has_dir(im, "scripts")) {
        ret->tool = INITRD_TOOL_INITRAMFS_TOOLS;
    }
}
