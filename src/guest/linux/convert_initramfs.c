/* The initramfs, and what a later rebuild of it must include; see convert.h.
 *
 * It is extended by a supplementary archive made of the guest's own modules
 * (guest/initrd), because rebuilding it would mean running the guest's code. */
#include "guest/linux/convert.h"

#include "base/str.h"
#include "guest/linux/linux.h"
#include "guest/text/text.h"

#include <string.h>

#define MAX_MODULE (64u << 20)

static int read_module(void *ctx, const char *path, struct buf *out, struct err *e)
{
    struct conversion *c = ctx;

    return gfs_read(&c->fs, path, MAX_MODULE, out, e);
}

/* The drivers that find the root: those of the target must be there for the default
 * kernel, others come along where they exist. */
static size_t wanted_modules(const struct subject *s, bool is_default,
                             struct initrd_want want[2])
{
    enum initrd_need need = is_default ? INITRD_REQUIRED : INITRD_IF_PRESENT;
    bool nitro = s->options->profile != GUEST_XEN,
         xen = s->options->profile != GUEST_NITRO;

    want[0] = (struct initrd_want){"nvme", nitro ? need : INITRD_IF_PRESENT};
    want[1] = (struct initrd_want){"xen-blkfront", xen ? need : INITRD_IF_PRESENT};
    return xen ? 2 : 1;
}

static int extend_one(struct conversion *c, size_t i, struct err *e)
{
    const struct guest_kernel *k = &c->s->info->kernels.v[i];
    const struct kernel_image *im = &c->s->images.v[i];
    auto_initrd_extension struct initrd_extension x = {0};
    auto_linux_insides struct linux_insides insides = {0};
    struct initrd_extra extra[LINUX_INSIDES_MAX];
    struct initrd_want want[2];
    struct initrd_request rq = {.kernel = k->version,
                                .guest = im->modules,
                                .want = want,
                                .extra = extra,
                                .read = read_module,
                                .ctx = c};

    if (linux_inside_initramfs(c->s, i, &insides, e) < 0)
        return err_prefix(e, "%s", k->initrd);
    vec_foreach (f, &insides)
        extra[rq.n_extra++] =
            (struct initrd_extra){f->path, buf_str(&f->text), f->text.len};
    rq.n_want = wanted_modules(c->s, k->is_default, want);
    if (initrd_extend(im->initrd, &rq, &x, e) < 0)
        return err_prefix(e, "%s", k->initrd);
    if (x.nothing_to_do)
        return 0;
    return convert_write(c, k->initrd, &x.image, 0600, "add EC2's disk drivers",
                         "the root is on an NVMe or Xen disk there", e);
}

int convert_initramfs(struct conversion *c, struct err *e)
{
    for (size_t i = 0; i < c->s->info->kernels.n; i++) {
        const struct guest_kernel *k = &c->s->info->kernels.v[i];

        /* What cannot be read was refused if it is the default's. */
        if (k->initrd && k->tool && c->s->images.v[i].initrd && extend_one(c, i, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- what later kernels need ---- */

static int add_module_lines(struct conversion *c, const char *const *modules,
                            struct err *e)
{
    static const char path[] = "/etc/initramfs-tools/modules";
    auto_buf struct buf text = BUF_INIT;
    auto_strv struct strv have = {0};
    const char *at;
    bool changed = false;

    if (gfs_text(&c->fs, path, &text, e) < 0)
        return -1;
    at = buf_str(&text);
    for (;;) {
        auto_free char *line = NULL;
        int r = text_next_trimmed(&at, '#', false, &line, e);

        if (r < 0)
            return -1;
        if (!r)
            break;
        if (strv_add_n(&have, line, strcspn(line, " \t"), e) < 0)
            return -1;
    }
    if (text.len && text.data[text.len - 1] != '\n')
        buf_addc(&text, '\n');
    for (; *modules; modules++)
        if (!strv_has(&have, *modules)) {
            buf_addf(&text, "%s\n", *modules);
            changed = true;
        }
    return changed ? convert_write(c, path, &text, 0644, "name EC2's disk drivers",
                                   "a kernel update rebuilds the initramfs", e)
                   : 0;
}

/* dracut stops at nothing but complains about modules that the kernel does not have. */
static int add_dracut_drivers(struct conversion *c, struct err *e)
{
    static const char *const nitro[] = {"nvme", "ena", NULL}, *const xen[] = {
                                                                  "xen-blkfront",
                                                                  "xen-netfront", NULL};
    const char *const *wanted[2] = {nitro,
                                    c->s->options->profile == GUEST_NITRO ? NULL : xen};
    size_t k = linux_default_kernel(c->s);
    auto_buf struct buf text = BUF_INIT;

    for (size_t i = 0; i < 2 && wanted[i]; i++)
        for (const char *const *m = wanted[i]; *m; m++) {
            const struct guest_driver *d =
                k == SIZE_MAX ? NULL : linux_driver(&c->s->info->kernels.v[k], *m);

            if (!d || d->place == DRIVER_MODULE || d->place == DRIVER_INITRAMFS)
                buf_addf(&text, " %s", *m);
        }
    if (buf_check(&text, e) < 0)
        return -1;
    if (text.len) {
        auto_buf struct buf out = BUF_INIT;

        buf_addf(&out, "add_drivers+=\"%s \"\n", buf_str(&text));
        return convert_write(c, "/etc/dracut.conf.d/hotadd.conf", &out, 0644,
                             "name EC2's drivers",
                             "a kernel update rebuilds the initramfs", e);
    }
    return 0;
}

int convert_initramfs_config(struct conversion *c, struct err *e)
{
    static const char *const nitro[] = {"nvme", NULL}, *const both[] = {
                                                           "nvme", "xen-blkfront", NULL};
    bool xen = c->s->options->profile != GUEST_NITRO;
    int r = gfs_is_dir(&c->fs, "/etc/initramfs-tools", e);

    if (r > 0 && add_module_lines(c, xen ? both : nitro, e) < 0)
        return -1;
    if (r >= 0)
        r = gfs_is_dir(&c->fs, "/etc/dracut.conf.d", e);
    if (r == 0)
        r = gfs_is_file(&c->fs, "/etc/dracut.conf", e);
    return r > 0 ? add_dracut_drivers(c, e) : r;
}
