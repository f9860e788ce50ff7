/* Initramfs, boot menu, console, UEFI loader; see convert.h.
 *
 * The initramfs is extended by a supplementary archive made of the guest's own modules
 * (guest/initrd), because rebuilding it would mean running the guest's code. */
#include "guest/linux/convert.h"

#include "base/str.h"
#include "guest/linux/linux.h"
#include "guest/text/shvar.h"
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
    struct initrd_want want[2];
    struct initrd_request rq = {.kernel = k->version,
                                .guest = im->modules,
                                .want = want,
                                .read = read_module,
                                .ctx = c};

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
    if (r > 0) {
        auto_buf struct buf text = BUF_INIT;

        buf_addf(&text, "add_drivers+=\" nvme ena%s \"\n",
                 xen ? " xen-blkfront xen-netfront" : "");
        return convert_write(c, "/etc/dracut.conf.d/hotadd.conf", &text, 0644,
                             "name EC2's drivers",
                             "a kernel update rebuilds the initramfs", e);
    }
    return r < 0 ? -1 : 0;
}

/* ---- boot menu ---- */

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

static int rewrite_menu(struct conversion *c, const struct cmdline_want *want,
                        struct err *e)
{
    auto_buf struct buf text = BUF_INIT, out = BUF_INIT;

    if (!c->s->grub_cfg || !str_eq_null(c->s->info->boot_loader, "grub2"))
        return 0;
    if (gfs_text(&c->fs, c->s->grub_cfg, &text, e) < 0 ||
        grub_cfg_rewrite(buf_str(&text), want, &out, e) < 0)
        return err_prefix(e, "%s", c->s->grub_cfg);
    return convert_write(c, c->s->grub_cfg, &out, 0600, "kernel options for EC2",
                         "serial console, disks by UUID, patient NVMe driver", e);
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
    return convert_write(c, path, &text, 0644, "kernel options for EC2",
                         "update-grub makes the boot menu from them", e);
}

/* A question's record: lines "Name: …", "Value: …", ended by an empty line. */
int debconf_set(const char *text, const char *question, const char *value,
                struct buf *out, struct err *e)
{
    const char *at = text;
    struct text_line l;
    bool ours = false, found = false, valued = false;

    while (text_next(&at, &l)) {
        if (l.len > 6 && !strncmp(l.s, "Name: ", 6)) {
            ours =
                strlen(question) == l.len - 6 && !strncmp(l.s + 6, question, l.len - 6);
            found |= ours;
            valued = false;
        }
        /* A record without value: it goes before the list of owners. */
        if (ours && !valued &&
            ((l.len >= 6 && !strncmp(l.s, "Value:", 6)) || !l.len ||
             (l.len >= 7 && !strncmp(l.s, "Owners:", 7)))) {
            buf_addf(out, "Value: %s\n", value);
            valued = true;
            if (l.len && l.s[0] == 'V')
                continue;
        }
        if (!l.len)
            ours = false;
        buf_add(out, l.s, l.len);
        buf_addc(out, '\n');
    }
    if (!found)
        buf_addf(out,
                 "%sName: %s\nTemplate: %s\nValue: %s\nOwners: grub-pc\nFlags: seen\n\n",
                 text[0] ? "" : "", question, question, value);
    return buf_check(out, e);
}

/* grub-pc's upgrades write the boot loader to the devices named here; /dev/sda would make
 * them fail, and no name is right before the volume exists. */
static int forget_install_devices(struct conversion *c, struct err *e)
{
    static const char path[] = "/var/cache/debconf/config.dat";
    auto_buf struct buf text = BUF_INIT, first = BUF_INIT, second = BUF_INIT;
    const char *at;
    int r = gfs_text(&c->fs, path, &text, e);

    if (r <= 0)
        return r;
    at = strstr(buf_str(&text), "Name: grub-pc/install_devices\n");
    if (!at)
        return 0;
    if (debconf_set(buf_str(&text), "grub-pc/install_devices", "", &first, e) < 0 ||
        debconf_set(buf_str(&first), "grub-pc/install_devices_empty", "true", &second,
                    e) < 0)
        return -1;
    return convert_write(c, path, &second, 0600, "no device for GRUB's upgrades",
                         "they would aim at VMware's disk and fail", e);
}

int convert_grub(struct conversion *c, bool eth_names, struct err *e)
{
    size_t i = linux_default_kernel(c->s);
    struct cmdline_map map = {map_menu_device, c};
    struct cmdline_want want = {
        .serial_console = true, .eth_names = eth_names, .map = &map};

    if (i != SIZE_MAX && c->s->options->profile != GUEST_XEN)
        want.nvme_timeout = linux_nvme_timeout_option(c->s->info->kernels.v[i].version);
    if (rewrite_menu(c, &want, e) < 0 || rewrite_defaults(c, &want, e) < 0)
        return -1;
    return forget_install_devices(c, e);
}

/* ---- login on the serial port ---- */

/* systemd starts one for each console=; older systems need it written. */
int convert_getty(struct conversion *c, struct err *e)
{
    static const char what[] = "login on ttyS0", why[] = "EC2's serial console";
    auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
    int systemd = gfs_is_dir(&c->fs, "/run/systemd/system", e), r;

    if (systemd == 0)
        systemd = gfs_is_file(&c->fs, "/lib/systemd/systemd", e);
    if (systemd == 0)
        systemd = gfs_is_file(&c->fs, "/usr/lib/systemd/systemd", e);
    if (systemd != 0)
        return systemd < 0 ? -1 : 0;
    r = gfs_is_file(&c->fs, "/etc/init/tty1.conf", e);
    if (r > 0) {
        buf_adds(&out, "# By hotadd\nstart on stopped rc RUNLEVEL=[2345]\n"
                       "stop on runlevel [!2345]\nrespawn\n"
                       "exec /sbin/getty -L 115200 ttyS0 vt102\n");
        return convert_write(c, "/etc/init/ttyS0.conf", &out, 0644, what, why, e);
    }
    if (r < 0 || (r = gfs_text(&c->fs, "/etc/inittab", &text, e)) <= 0)
        return r;
    if (strstr(buf_str(&text), "\nT0:") || strstr(buf_str(&text), "\nS0:"))
        return 0;
    buf_addf(&text, "%sT0:23:respawn:/sbin/getty -L ttyS0 115200 vt100\n",
             text.len && text.data[text.len - 1] != '\n' ? "\n" : "");
    return convert_write(c, "/etc/inittab", &text, 0644, what, why, e);
}

/* ---- UEFI ---- */

static int copy_file(struct conversion *c, const char *from, const char *to,
                     struct err *e)
{
    auto_buf struct buf b = BUF_INIT;

    if (gfs_read(&c->fs, from, MAX_MODULE, &b, e) < 0)
        return -1;
    return convert_write(c, to, &b, 0700, "UEFI fallback loader",
                         "an instance's firmware knows no other boot entry", e);
}

/* The shim starts grubx64.efi from its own directory, and that finds its configuration by
 * the prefix built into it. */
int convert_uefi(struct conversion *c, struct err *e)
{
    auto_free char *have = NULL, *dir = NULL, *loader = NULL, *grub = NULL, *boot = NULL,
                   *to = NULL, *to_grub = NULL;

    if (!linux_needs_uefi(c->s) || !c->s->esp)
        return 0;
    if (linux_uefi_fallback(c->s, &have, e) < 0)
        return -1;
    if (have)
        return 0;
    if (linux_uefi_source(c->s, &dir, &loader, e) < 0)
        return -1;
    if (!loader)
        return 0;
    boot = str_fmt(e, "%s/EFI/BOOT", c->s->esp);
    if (!boot || gfs_join(boot, "BOOTX64.EFI", &to, e) < 0 ||
        gfs_join(boot, "grubx64.efi", &to_grub, e) < 0 ||
        copy_file(c, loader, to, e) < 0 ||
        linux_esp_find(c->s, dir, "grubx64.efi", &grub, e) < 0)
        return -1;
    return grub && !str_eq(grub, loader) ? copy_file(c, grub, to_grub, e) : 0;
}
