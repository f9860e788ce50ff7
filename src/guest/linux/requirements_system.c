/* Requirements of the system as a whole: family, architecture, file systems,
 * encryption. */
#include "guest/linux/linux.h"

#include "base/str.h"
#include "guest/text/disks.h"

static int check_supported(const struct subject *s, struct verdict *v, struct err *e)
{
    const char *name = s->info->product_name ? s->info->product_name : s->info->distro;
    const struct family *f = s->info->family ? linux_family_named(s->info->family) : NULL;

    if (s->options->purpose == GUEST_RESTORE)
        return verdict_not_needed(v, e, "%s; a restore does not convert it",
                                  name ? name : "an unknown Linux");
    if (!name)
        return verdict_refused(v, e,
                               "neither /etc/os-release nor /etc/redhat-release "
                               "says what it is");
    /* Rolling releases have no number. */
    if (f && s->info->major && s->info->major < f->oldest)
        return verdict_refused(v, e,
                               "%s is older than version %u, the first of %s that "
                               "hotadd converts",
                               name, f->oldest, f->title);
    if (f)
        return verdict_met(v, e, "%s, of %s", name, f->title);
    return verdict_refused(v, e, "%s, of no family that hotadd knows", name);
}

const struct requirement linux_supported = {
    .id = "linux-supported",
    .title = "A system that hotadd converts",
    .why =
        "boot loader, initramfs and network are kept in other places by other "
        "distributions; editing the wrong ones would leave a machine that does not boot",
    .remedy = "make the machine fit for EC2 yourself and use hotadd restore, or use the "
              "import finisher",
    .methods = FOR_OURS,
    .check = check_supported,
};

static int check_arch(const struct subject *s, struct verdict *v, struct err *e)
{
    if (!s->info->arch)
        return verdict_unknown(v, e, "no program found that tells");
    if (str_eq(s->info->arch, "x86_64"))
        return verdict_met(v, e, "/bin/sh is for x86_64");
    return verdict_refused(v, e, "/bin/sh is for %s", s->info->arch);
}

const struct requirement linux_arch = {
    .id = "linux-arch",
    .title = "64-bit x86",
    .why =
        "VMware's machines are x86, and EC2's current x86 instances run 64-bit systems",
    .remedy =
        "install a 64-bit system; 32-bit ones start on old Xen instance types only, "
        "which hotadd does not use",
    .methods = FOR_ALL,
    .check = check_arch,
};

static int check_encryption(const struct subject *s, struct verdict *v, struct err *e)
{
    vec_foreach (x, &s->storage.volumes)
        if (str_eq(x->fs.type, "crypto_LUKS") || str_eq(x->fs.type, "BitLocker"))
            return s->root
                       ? verdict_unknown(v, e, "%s is encrypted (%s); the root is not",
                                         x->device, x->fs.type)
                       : verdict_refused(v, e, "%s is encrypted (%s)", x->device,
                                         x->fs.type);
    return verdict_met(v, e, "no volume is encrypted");
}

const struct requirement linux_encryption = {
    .id = "linux-encryption",
    .title = "Not encrypted from within",
    .why = "without the key hotadd can neither see nor change what is inside, and nobody "
           "types a passphrase on an EC2 instance's console at boot",
    .remedy = "decrypt the volume in the guest (EBS can encrypt it instead), or see that "
              "/etc/crypttab names it by UUID and unlocks it without a question",
    .methods = FOR_ALL,
    .check = check_encryption,
};

static int check_root_fs(const struct subject *s, struct verdict *v, struct err *e)
{
    if (fs_is_linux_root(s->root->fs.type))
        return verdict_met(v, e, "%s holds %s", s->root->device, s->root->fs.type);
    return verdict_refused(v, e, "%s holds %s", s->root->device, s->root->fs.type);
}

const struct requirement linux_root_fs = {
    .id = "linux-root-fs",
    .title = "Root file system of a known type",
    .why = "hotadd edits files in ext2, ext3, ext4, Btrfs, JFS and XFS",
    .remedy = "move the root to one of these types",
    .methods = FOR_ALL,
    .check = check_root_fs,
};

static int check_fs_clean(const struct subject *s, struct verdict *v, struct err *e)
{
    vec_foreach (f, &s->info->filesystems) {
        const struct volume *x = storage_by_device(&s->storage, f->device);

        if (x && x->fs.errors)
            return verdict_refused(v, e, "%s (%s) is marked as having errors", x->device,
                                   f->mountpoint);
    }
    if (s->root->fs.unreplayed)
        return verdict_met(v, e, "%s: the journal was not empty and is replayed",
                           s->root->device);
    return verdict_met(v, e, "%s: no errors recorded", s->root->device);
}

const struct requirement linux_fs_clean = {
    .id = "linux-fs-clean",
    .title = "File systems without recorded errors",
    .why = "writing into a damaged file system makes the damage worse",
    .remedy =
        "run a file system check in the source machine (touch /forcefsck or boot with "
        "fsck.mode=force), then back it up again",
    .methods = FOR_ALL,
    .check = check_fs_clean,
};

/* ---- names of disks ---- */

static int check_fstab(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_call(auto_free_fn) struct fstab_fix *owned = NULL;
    struct fstab_fixes fixes = {0};
    auto_buf struct buf lost = BUF_INIT, found = BUF_INIT;
    int r = linux_fstab_fixes(s, &fixes, e);

    owned = fixes.v;
    if (r < 0)
        return -1;
    vec_foreach (f, &fixes) {
        struct buf *b = f->volume ? &found : &lost;

        buf_addf(b, "%s%s (%s)", b->len ? ", " : "", f->line->spec, f->line->mountpoint);
        /* Nothing there to wait for: root must be found, others get nofail. */
        if (!f->volume && str_eq(f->line->mountpoint, "/"))
            return verdict_refused(v, e, "/etc/fstab: %s for / is not among the disks",
                                   f->line->spec);
    }
    if (buf_check(&lost, e) < 0 || buf_check(&found, e) < 0)
        return -1;
    if (lost.len)
        return verdict_fixable(v, FINDING_FIX_CONVERT, e,
                               "/etc/fstab: %s%s%s not among the disks, gets nofail",
                               buf_str(&found), found.len ? "; " : "", buf_str(&lost));
    if (found.len)
        return verdict_fixable(v, FINDING_FIX_CONVERT, e, "/etc/fstab: %s",
                               buf_str(&found));
    if (!s->fstab.n)
        return verdict_unknown(v, e, "/etc/fstab names no file system");
    return verdict_met(v, e, "/etc/fstab: every disk is named by UUID, label or volume");
}

const struct requirement linux_fstab_names = {
    .id = "linux-fstab",
    .title = "Disks named by UUID in fstab",
    .why = "/dev/sda1 and names by VMware's hardware do not exist on EC2, and a missing "
           "file system stops the boot in an emergency shell",
    .remedy = "name file systems by UUID= in /etc/fstab; hotadd convert does it",
    .methods = FOR_OURS,
    .check = check_fstab,
};

static int check_crypttab(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_buf struct buf text = BUF_INIT, out = BUF_INIT;
    int r = gfs_text(&s->fs, "/etc/crypttab", &text, e);

    if (r < 0)
        return -1;
    if (!r)
        return verdict_not_needed(v, e, "no /etc/crypttab");
    if (linux_crypttab(s, buf_str(&text), &out, e) < 0)
        return -1;
    if (!str_eq(buf_str(&text), buf_str(&out)))
        return verdict_fixable(v, FINDING_FIX_CONVERT, e,
                               "/etc/crypttab names disks of the old machine");
    return verdict_met(v, e,
                       "/etc/crypttab: every disk is named by UUID, label or volume");
}

const struct requirement linux_crypttab_names = {
    .id = "linux-crypttab",
    .title = "Disks named by UUID in crypttab",
    .why = "the boot waits for an encrypted disk whose name does not exist on EC2",
    .remedy = "name volumes by UUID= in /etc/crypttab; hotadd convert does it",
    .methods = FOR_OURS,
    .check = check_crypttab,
};

/* Copies inside the initramfs rule whether the root is found at all. */
static int check_insides(const struct subject *s, const char *below, struct verdict *v,
                         struct err *e)
{
    for (size_t i = 0; i < s->images.n; i++) {
        auto_linux_insides struct linux_insides insides = {0};

        if (linux_inside_initramfs(s, i, &insides, e) < 0)
            return -1;
        vec_foreach (x, &insides)
            if (x->seen && strstr(x->path, below))
                return verdict_fixable(v, FINDING_FIX_CONVERT, e, "%s: %s inside it %s",
                                       s->info->kernels.v[i].initrd, x->path, x->seen) < 0
                           ? -1
                           : 1;
    }
    return 0;
}

static bool any_volume(const struct subject *s, const char *type)
{
    vec_foreach (x, &s->storage.volumes)
        if (str_eq(x->fs.type, type))
            return true;
    return false;
}

/* ---- RAID ---- */

static int check_raid(const struct subject *s, struct verdict *v, struct err *e)
{
    int inside;

    if (!any_volume(s, "linux_raid_member"))
        return verdict_not_needed(v, e, "no software RAID");
    inside = check_insides(s, "mdadm", v, e);
    if (inside != 0)
        return inside < 0 ? -1 : 0;
    for (const char *const *path = linux_mdadm_files; *path; path++) {
        auto_buf struct buf text = BUF_INIT, out = BUF_INIT;

        if (gfs_text(&s->fs, *path, &text, e) < 0 ||
            mdadm_conf_rewrite(buf_str(&text), &out, e) < 0)
            return -1;
        if (!str_eq(buf_str(&text), buf_str(&out)))
            return verdict_fixable(v, FINDING_FIX_CONVERT, e, "%s lists the old disks",
                                   *path);
    }
    return verdict_met(v, e, "mdadm looks at all disks");
}

const struct requirement linux_raid_names = {
    .id = "linux-raid",
    .title = "RAID found on any disk",
    .why = "mdadm.conf may name /dev/sd* as the only disks to look at",
    .remedy =
        "remove DEVICE lines and devices= from mdadm.conf and rebuild the initramfs; "
        "hotadd convert does it",
    .methods = FOR_OURS,
    .check = check_raid,
};

/* ---- LVM ---- */

static int check_lvm(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_buf struct buf text = BUF_INIT;
    int devices, inside;

    if (!any_volume(s, "LVM2_member"))
        return verdict_not_needed(v, e, "no logical volumes");
    if (gfs_text(&s->fs, "/etc/lvm/lvm.conf", &text, e) < 0)
        return -1;
    inside = check_insides(s, "lvm", v, e);
    if (inside != 0)
        return inside < 0 ? -1 : 0;
    devices = gfs_is_file(&s->fs, "/etc/lvm/devices/system.devices", e);
    if (devices < 0)
        return -1;
    if (lvm_conf_hides(buf_str(&text)))
        return verdict_fixable(v, FINDING_FIX_CONVERT, e,
                               "/etc/lvm/lvm.conf: a filter hides NVMe disks");
    if (devices)
        return verdict_fixable(v, FINDING_FIX_CONVERT, e,
                               "/etc/lvm/devices/system.devices lists the old disks");
    return verdict_met(v, e, "/etc/lvm/lvm.conf: no filter hides NVMe disks");
}

const struct requirement linux_lvm_filter = {
    .id = "linux-lvm-filter",
    .title = "LVM looks at NVMe disks",
    .why = "a device filter made for /dev/sd*, or a list of the old disks, hides the "
           "volume groups on EC2",
    .remedy = "remove filter and global_filter from /etc/lvm/lvm.conf and rebuild the "
              "initramfs in the source machine; hotadd convert does it",
    .methods = FOR_OURS,
    .check = check_lvm,
};
