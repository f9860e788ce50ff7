/* Names of disks; see convert.h. */
#include "guest/linux/convert.h"

#include "base/str.h"
#include "guest/linux/linux.h"
#include "guest/text/disks.h"

#include <string.h>

static const char why_disks[] = "VMware's disk names do not exist on EC2";

/* ---- disks by UUID ---- */

static int rewrite_fstab(struct conversion *c, struct fstab_fixes *fixes, struct err *e)
{
    auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
    auto_strv struct strv specs = {0};
    struct VEC(struct fstab_change) changes = {0};
    int r = 0;

    vec_foreach (f, fixes) {
        auto_free char *spec = f->volume ? linux_uuid_spec(f->volume, e) : NULL;
        struct fstab_change x = {.number = f->line->number};

        r = f->volume && !spec ? -1 : strv_add(&specs, spec ? spec : "", e);
        if (r == 0 && !f->volume)
            x.add_options = "nofail,x-systemd.device-timeout=10s";
        if (r == 0)
            r = vec_push(&changes, x, e);
        if (r < 0)
            break;
    }
    for (size_t i = 0; r == 0 && i < changes.n; i++)
        if (specs.v[i][0])
            changes.v[i].spec = specs.v[i];
    if (r == 0)
        r = gfs_text(&c->fs, "/etc/fstab", &text, e) < 0
                ? -1
                : fstab_rewrite(buf_str(&text), changes.v, changes.n, &out, e);
    vec_release(&changes);
    if (r < 0)
        return -1;
    return convert_write(c, "/etc/fstab", &out, 0644, "disks by UUID", why_disks, e);
}

static int rewrite_resume(struct conversion *c, struct err *e)
{
    static const char path[] = "/etc/initramfs-tools/conf.d/resume";
    auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
    int r = gfs_text(&c->fs, path, &text, e);

    if (r <= 0)
        return r;
    if (linux_resume(c->s, buf_str(&text), &out, e) < 0)
        return -1;
    return convert_write(c, path, &out, 0644, "resume device by UUID", why_disks, e);
}

int convert_fstab(struct conversion *c, struct err *e)
{
    struct fstab_fixes fixes = {0};
    int r = linux_fstab_fixes(c->s, &fixes, e);

    if (r == 0 && fixes.n)
        r = rewrite_fstab(c, &fixes, e);
    vec_release(&fixes);
    return r < 0 ? -1 : rewrite_resume(c, e);
}

int convert_crypttab(struct conversion *c, struct err *e)
{
    static const char path[] = "/etc/crypttab";
    auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
    int r = gfs_text(&c->fs, path, &text, e);

    if (r <= 0)
        return r;
    if (linux_crypttab(c->s, buf_str(&text), &out, e) < 0)
        return -1;
    return convert_write(c, path, &out, 0600, "disks by UUID", why_disks, e);
}

int convert_raid(struct conversion *c, struct err *e)
{
    for (const char *const *path = linux_mdadm_files; *path; path++) {
        auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
        int r = gfs_text(&c->fs, *path, &text, e);

        if (r == 0)
            continue;
        if (r < 0 || mdadm_conf_rewrite(buf_str(&text), &out, e) < 0 ||
            convert_write(c, *path, &out, 0644, "RAID on any disks", why_disks, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- LVM ---- */

int convert_lvm(struct conversion *c, struct err *e)
{
    static const char conf[] = "/etc/lvm/lvm.conf", why[] = "they name the old disks";
    auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
    int r = gfs_text(&c->fs, conf, &text, e);

    if (r > 0 && lvm_conf_hides(buf_str(&text)))
        r = lvm_conf_rewrite(buf_str(&text), false, &out, e) < 0
                ? -1
                : convert_write(c, conf, &out, 0644, "no device filter",
                                "it hides NVMe disks from LVM", e);
    if (r >= 0)
        r = convert_remove(c, "/etc/lvm/devices/system.devices",
                           "no list of LVM's devices", why, e);
    if (r >= 0)
        r = convert_remove(c, "/etc/lvm/cache/.cache", "no cache of LVM's devices", why,
                           e);
    return r < 0 ? -1 : 0;
}
