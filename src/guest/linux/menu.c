/* The boot menu: which file the firmware's loader reads, its entries, and GRUB's
 * environment block; see linux.h.
 *
 * On a UEFI machine GRUB's own directory in the EFI system partition may hold the menu
 * itself (Red Hat 6 to 8) or a few lines that lead to the one in /boot (Debian, Red Hat
 * 9, SUSE): what has neither kernels nor orders to read entries is no menu. */
#include "guest/linux/linux.h"

#include "base/str.h"

#include <string.h>
#include <strings.h>

#define ENTRIES "/boot/loader/entries"

/* Appends the path if a file is there that is not among them under another name. */
static int add_file(const struct subject *s, const char *path, struct strv *ret,
                    struct err *e)
{
    auto_free char *at = NULL;
    int r = gfs_is_file(&s->fs, path, e);

    if (r <= 0)
        return r;
    if (gfs_resolve(&s->fs, path, &at, e) < 0)
        return -1;
    vec_foreach (have, ret) {
        auto_free char *other = NULL;

        if (gfs_resolve(&s->fs, *have, &other, e) < 0)
            return -1;
        if (str_eq(at, other))
            return 0;
    }
    return strv_add(ret, path, e);
}

/* Files of these names in the vendors' directories of the EFI system partition. */
static int add_from_esp(const struct subject *s, const char *const *names,
                        struct strv *ret, struct err *e)
{
    auto_free char *efi = NULL;
    auto_strv struct strv vendors = {0};

    if (!s->esp)
        return 0;
    if (linux_esp_find(s, s->esp, "EFI", &efi, e) < 0 ||
        (efi && gfs_list(&s->fs, efi, &vendors, e) < 0))
        return -1;
    vec_foreach (v, &vendors)
        for (const char *const *n = names; *n; n++) {
            auto_free char *path = str_fmt(e, "%s/%s/%s", efi, *v, *n);

            if (!path || add_file(s, path, ret, e) < 0)
                return -1;
        }
    return 0;
}

int linux_menu_files(const struct subject *s, struct strv *ret, struct err *e)
{
    static const char *const boot[] = {"/boot/grub/grub.cfg", "/boot/grub2/grub.cfg",
                                       "/boot/grub/grub.conf", "/boot/grub/menu.lst"};
    static const char *const esp[] = {"grub.cfg", "grub.conf", NULL};
    bool uefi = linux_needs_uefi(s);

    if (uefi && add_from_esp(s, esp, ret, e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof boot / sizeof boot[0]; i++)
        if (add_file(s, boot[i], ret, e) < 0)
            return -1;
    return uefi ? 0 : add_from_esp(s, esp, ret, e);
}

bool linux_menu_is_legacy(const char *path)
{
    return !str_ends(path, ".cfg");
}

int linux_grubenv(const struct subject *s, char **ret, struct err *e)
{
    static const char *const boot[] = {"/boot/grub2/grubenv", "/boot/grub/grubenv"};
    static const char *const esp[] = {"grubenv", NULL};
    auto_strv struct strv found = {0};

    for (size_t i = 0; i < sizeof boot / sizeof boot[0]; i++)
        if (add_file(s, boot[i], &found, e) < 0)
            return -1;
    if (add_from_esp(s, esp, &found, e) < 0)
        return -1;
    *ret = found.n ? take_ptr(found.v[0]) : NULL;
    return 0;
}

int linux_grubenv_get(const struct subject *s, const char *name, char **ret,
                      struct err *e)
{
    auto_free char *path = NULL;
    auto_buf struct buf b = BUF_INIT;

    *ret = NULL;
    if (linux_grubenv(s, &path, e) < 0)
        return -1;
    if (!path)
        return 0;
    return gfs_read(&s->fs, path, LINUX_GRUBENV_MAX, &b, e) < 0
               ? -1
               : grubenv_get(b.data, b.len, name, ret, e);
}

int linux_menu_entries(const struct subject *s, struct strv *ret, struct err *e)
{
    return gfs_glob(&s->fs, ENTRIES, ".conf", ret, e);
}

static int read_entries(struct subject *s, struct err *e)
{
    auto_strv struct strv files = {0};
    auto_free char *kernelopts = NULL;

    if (linux_menu_entries(s, &files, e) < 0 ||
        linux_grubenv_get(s, "kernelopts", &kernelopts, e) < 0)
        return -1;
    vec_foreach (f, &files) {
        auto_buf struct buf text = BUF_INIT;
        auto_free char *id = NULL;
        const char *name = strrchr(*f, '/') + 1;

        if (gfs_text(&s->fs, *f, &text, e) < 0)
            return -1;
        id = str_ndup(name, strlen(name) - strlen(".conf"), e);
        if (!id ||
            grub_bls_parse(buf_str(&text), id,
                           kernelopts ? kernelopts : s->menu.kernelopts, &s->menu, e) < 0)
            return -1;
    }
    grub_bls_sort(&s->menu);
    return 0;
}

static bool has_kernels(const struct grub_menu *m)
{
    bool any = m->blscfg;

    vec_foreach (x, &m->entries)
        any |= x->kernel != NULL;
    return any;
}

/* Takes the file's menu unless one is known and this one is none. 1 it has kernels. */
static int read_menu(struct subject *s, const char *path, struct err *e)
{
    bool legacy = linux_menu_is_legacy(path);
    auto_buf struct buf text = BUF_INIT;
    auto_grub_menu struct grub_menu m = {0};
    int r;

    if (gfs_text(&s->fs, path, &text, e) < 0)
        return -1;
    r = legacy ? grub_legacy_parse(buf_str(&text), &m, e)
               : grub_cfg_parse(buf_str(&text), &m, e);
    if (r < 0)
        return err_prefix(e, "%s", path);
    r = has_kernels(&m);
    if (s->grub_cfg && !r)
        return 0;
    grub_menu_release(&s->menu);
    s->menu = m;
    m = (struct grub_menu){0};
    if (str_set(&s->grub_cfg, path, e) < 0 ||
        str_set(&s->info->boot_loader, legacy ? "grub-legacy" : "grub2", e) < 0)
        return -1;
    return r;
}

static int is_systemd_boot(const struct subject *s, struct err *e)
{
    auto_free char *path = NULL;
    int r = gfs_is_dir(&s->fs, ENTRIES, e);

    if (r != 0 || !s->esp)
        return r;
    return gfs_join(s->esp, "loader/entries", &path, e) < 0 ? -1
                                                            : gfs_is_dir(&s->fs, path, e);
}

int linux_inspect_menu(struct subject *s, struct err *e)
{
    auto_strv struct strv files = {0};
    int r = linux_menu_files(s, &files, e);

    for (size_t i = 0; r == 0 && i < files.n; i++)
        r = read_menu(s, files.v[i], e);
    if (r < 0)
        return -1;
    if (s->menu.blscfg)
        return read_entries(s, e);
    if (!s->grub_cfg)
        r = is_systemd_boot(s, e);
    if (r > 0 && !s->grub_cfg)
        r = str_set(&s->info->boot_loader, "systemd-boot", e);
    return r < 0 ? -1 : 0;
}
