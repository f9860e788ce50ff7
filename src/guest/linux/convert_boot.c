/* Login on the serial port, UEFI loader; see convert.h. */
#include "guest/linux/convert.h"

#include "base/str.h"
#include "guest/linux/linux.h"

#include <string.h>

#define MAX_LOADER (64u << 20)

/* ---- login on the serial port ---- */

/* Upstart: Red Hat's serial.conf starts one on the kernel's console by itself. */
static int upstart_getty(struct conversion *c, const char *what, const char *why,
                         struct err *e)
{
    auto_buf struct buf out = BUF_INIT;
    int r = gfs_is_file(&c->fs, "/etc/init/serial.conf", e);

    if (r != 0)
        return r < 0 ? -1 : 0;
    buf_adds(&out, "# By hotadd\nstart on stopped rc RUNLEVEL=[2345]\n"
                   "stop on runlevel [!2345]\nrespawn\n"
                   "exec /sbin/getty -L 115200 ttyS0 vt102\n");
    return convert_write(c, "/etc/init/ttyS0.conf", &out, 0644, what, why, e);
}

/* systemd starts one for each console=; older systems need it written. */
int convert_getty(struct conversion *c, struct err *e)
{
    static const char what[] = "login on ttyS0", why[] = "EC2's serial console";
    static const char *const upstart[] = {"/etc/init/tty1.conf", "/etc/init/serial.conf",
                                          "/etc/init/start-ttys.conf"};
    auto_buf struct buf text = BUF_INIT;
    int r = linux_has_systemd(c->s, e);

    if (r != 0)
        return r < 0 ? -1 : 0;
    for (size_t i = 0; i < sizeof upstart / sizeof upstart[0]; i++) {
        r = gfs_is_file(&c->fs, upstart[i], e);
        if (r != 0)
            return r < 0 ? -1 : upstart_getty(c, what, why, e);
    }
    r = gfs_text(&c->fs, "/etc/inittab", &text, e);
    if (r <= 0)
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

    if (gfs_read(&c->fs, from, MAX_LOADER, &b, e) < 0)
        return -1;
    return convert_write(c, to, &b, 0700, "UEFI fallback loader",
                         "an instance's firmware knows no other boot entry", e);
}

/* The shim starts GRUB from its own directory by the name built into it (grubx64.efi, on
 * SUSE grub.efi), and GRUB finds its configuration by the prefix built into it. */
int convert_uefi(struct conversion *c, struct err *e)
{
    static const char *const grubs[] = {"grubx64.efi", "grub.efi"};
    auto_free char *have = NULL, *dir = NULL, *loader = NULL, *boot = NULL, *to = NULL;

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
    if (!boot || gfs_join(boot, "BOOTX64.EFI", &to, e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof grubs / sizeof grubs[0]; i++) {
        auto_free char *grub = NULL, *to_grub = NULL;

        if (linux_esp_find(c->s, dir, grubs[i], &grub, e) < 0 ||
            gfs_join(boot, grubs[i], &to_grub, e) < 0)
            return -1;
        if (grub && !str_eq(grub, loader) && copy_file(c, grub, to_grub, e) < 0)
            return -1;
    }
    /* Last: where it is there, everything that it needs is. */
    return copy_file(c, loader, to, e);
}
