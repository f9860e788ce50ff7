/* Kernel options wherever a boot loader or its tools keep them; see convert.h. */
#include "guest/linux/convert.h"

#include "base/str.h"
#include "guest/linux/linux.h"
#include "guest/text/shvar.h"
#include "guest/text/text.h"

#include <string.h>

static const char what[] = "kernel options for EC2",
                  why[] = "serial console, disks by UUID, patient NVMe driver";

static int map_device(void *ctx, const char *spec, char **ret, struct err *e)
{
    struct conversion *c = ctx;
    uint32_t disk, partition;
    const struct volume *v;

    *ret = NULL;
    if (device_name(spec, &disk, &partition) == DEVICE_STABLE)
        return 0;
    v = linux_volume(c->s, spec);
    if (!v || !v->fs.uuid[0])
        return 0;
    *ret = linux_uuid_spec(v, e);
    return *ret ? 0 : -1;
}

/* root= is the root whatever it was called. */
static int map_menu_device(void *ctx, const char *spec, char **ret, struct err *e)
{
    struct conversion *c = ctx;
    uint32_t disk, partition;

    if (map_device(ctx, spec, ret, e) < 0)
        return -1;
    if (*ret || device_name(spec, &disk, &partition) == DEVICE_STABLE ||
        !c->s->root->fs.uuid[0])
        return 0;
    *ret = linux_uuid_spec(c->s->root, e);
    return *ret ? 0 : -1;
}

/* Every file that may hold the menu: after an update the loader may read another one.
 * What only leads to another file has no kernels, and stays. */
static int rewrite_menus(struct conversion *c, const struct cmdline_want *want,
                         struct err *e)
{
    auto_strv struct strv files = {0};

    if (linux_menu_files(c->s, &files, e) < 0)
        return -1;
    vec_foreach (f, &files) {
        auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
        int r = gfs_text(&c->fs, *f, &text, e);

        if (r >= 0)
            r = linux_menu_is_legacy(*f)
                    ? grub_legacy_rewrite(buf_str(&text), want, &out, e)
                    : grub_cfg_rewrite(buf_str(&text), want, &out, e);
        if (r < 0)
            return err_prefix(e, "%s", *f);
        if (convert_write(c, *f, &out, 0600, what, why, e) < 0)
            return -1;
    }
    return 0;
}

static int rewrite_entries(struct conversion *c, const struct cmdline_want *want,
                           struct err *e)
{
    auto_strv struct strv files = {0};

    if (linux_menu_entries(c->s, &files, e) < 0)
        return -1;
    vec_foreach (f, &files) {
        auto_buf struct buf text = BUF_INIT, out = BUF_INIT;

        if (gfs_text(&c->fs, *f, &text, e) < 0 ||
            grub_bls_rewrite(buf_str(&text), want, &out, e) < 0)
            return err_prefix(e, "%s", *f);
        if (convert_write(c, *f, &out, 0644, what, why, e) < 0)
            return -1;
    }
    return 0;
}

/* Where entries say $kernelopts. */
static int rewrite_grubenv(struct conversion *c, const struct cmdline_want *want,
                           struct err *e)
{
    auto_free char *path = NULL, *old = NULL;
    auto_buf struct buf block = BUF_INIT, args = BUF_INIT, out = BUF_INIT;

    if (linux_grubenv(c->s, &path, e) < 0)
        return -1;
    if (!path)
        return 0;
    if (gfs_read(&c->fs, path, LINUX_GRUBENV_MAX, &block, e) < 0 ||
        grubenv_get(block.data, block.len, "kernelopts", &old, e) < 0)
        return -1;
    if (!old)
        return 0;
    if (cmdline_apply(old, want, &args, e) < 0)
        return err_prefix(e, "%s", path);
    if (str_eq(old, buf_str(&args)))
        return 0;
    if (grubenv_set(block.data, block.len, "kernelopts", buf_str(&args), &out, e) < 0)
        return err_prefix(e, "%s", path);
    return convert_write(c, path, &out, 0644, what, why, e);
}

/* What kernel-install gives the entries of later kernels: one line. */
static int rewrite_kernel_cmdline(struct conversion *c, const struct cmdline_want *want,
                                  struct err *e)
{
    static const char path[] = "/etc/kernel/cmdline";
    auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
    int r = gfs_text(&c->fs, path, &text, e);

    if (r <= 0)
        return r;
    if (cmdline_apply(buf_str(&text), want, &out, e) < 0)
        return err_prefix(e, "%s", path);
    buf_addc(&out, '\n');
    return convert_write(c, path, &out, 0644, what, why, e);
}

/* Applies `want` to a variable of /etc/default/grub, in `text`. */
static int rewrite_variable(struct buf *text, const char *name,
                            const struct cmdline_want *want, struct err *e)
{
    auto_buf struct buf args = BUF_INIT, out = BUF_INIT;
    auto_free char *old = NULL;

    if (shvar_get(buf_str(text), name, &old, e) < 0 ||
        cmdline_apply(old ? old : "", want, &args, e) < 0)
        return -1;
    if (str_eq(old ? old : "", buf_str(&args)))
        return 0;
    if (shvar_set(buf_str(text), name, buf_str(&args), &out, e) < 0)
        return -1;
    buf_release(text);
    *text = out;
    out = (struct buf)BUF_INIT;
    return 0;
}

static int rewrite_defaults(struct conversion *c, const struct cmdline_want *want,
                            struct err *e)
{
    static const char path[] = "/etc/default/grub";
    struct cmdline_map map = {map_device, c};
    struct cmdline_want names = {.map = &map};
    struct cmdline_want all = *want;
    auto_buf struct buf text = BUF_INIT;
    auto_free char *no_uuid = NULL;
    int r = gfs_text(&c->fs, path, &text, e);

    if (r <= 0)
        return r;
    all.map = &map;
    if (rewrite_variable(&text, "GRUB_CMDLINE_LINUX_DEFAULT", &names, e) < 0 ||
        rewrite_variable(&text, "GRUB_CMDLINE_LINUX", &all, e) < 0 ||
        shvar_get(buf_str(&text), "GRUB_DISABLE_LINUX_UUID", &no_uuid, e) < 0)
        return -1;
    if (no_uuid && text_is_true(no_uuid)) {
        auto_buf struct buf out = BUF_INIT;

        if (shvar_set(buf_str(&text), "GRUB_DISABLE_LINUX_UUID", "false", &out, e) < 0)
            return -1;
        buf_release(&text);
        text = out;
        out = (struct buf)BUF_INIT;
    }
    return convert_write(c, path, &text, 0644, what,
                         "a later boot menu is made from them", e);
}

int convert_grub(struct conversion *c, bool eth_names, struct err *e)
{
    size_t i = linux_default_kernel(c->s);
    struct cmdline_map map = {map_menu_device, c};
    struct cmdline_want want = {
        .serial_console = true, .eth_names = eth_names, .map = &map};

    if (i != SIZE_MAX && c->s->options->profile != GUEST_XEN &&
        linux_nvme_option(c->s, i, &want.nvme_timeout, e) < 0)
        return -1;
    /* Its kernel calls /dev/xvda /dev/xvde otherwise. */
    want.xen_disk_names = linux_is_redhat6(c->s) && c->s->options->profile != GUEST_NITRO;
    if (rewrite_menus(c, &want, e) < 0 || rewrite_entries(c, &want, e) < 0 ||
        rewrite_grubenv(c, &want, e) < 0 || rewrite_kernel_cmdline(c, &want, e) < 0)
        return -1;
    return rewrite_defaults(c, &want, e);
}
