/* Requirements of the system as a whole: family, architecture, file systems,
 * encryption. */
#include "guest/linux/linux.h"

#include "base/str.h"
#include "guest/text/text.h"

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
    if (f && f->convert)
        return verdict_met(v, e, "/etc/os-release: %s", name);
    if (f)
        return verdict_refused(
            v, e, "/etc/os-release: %s; %s are checked but not converted yet", name,
            f->title);
    return verdict_refused(v, e, "/etc/os-release: %s, of no family that hotadd knows",
                           name);
}

const struct requirement linux_supported = {
    .id = "linux-supported",
    .title = "A system that hotadd converts",
    .why =
        "boot loader, initramfs and network are kept in other places by other "
        "distributions; editing the wrong ones would leave a machine that does not boot",
    .remedy = "this release converts guests of the Debian and Ubuntu family; make the "
              "machine fit for EC2 yourself and use hotadd restore, or use the import "
              "finisher",
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

/* ---- LVM ---- */

/* filter = [ "a|^/dev/sda|", "r|.*|" ] hides everything else. */
bool linux_lvm_filter_hides(const char *text)
{
    const char *at = text;
    struct text_line l;

    while (text_next(&at, &l)) {
        char line[1024];
        const char *p;

        if (l.len >= sizeof line)
            return true; /* too long to be sure */
        memcpy(line, l.s, l.len);
        line[l.len] = 0;
        p = line + strspn(line, " \t");
        if (!str_starts(p, "filter") && !str_starts(p, "global_filter"))
            continue;
        if (strstr(p, "\"r") && !strstr(p, "nvme") && !strstr(p, "\"a|.*|\"") &&
            !strstr(p, "\"a/.*/\""))
            return true;
    }
    return false;
}

static bool root_on_lvm(const struct subject *s)
{
    return s->root->disk == UINT32_MAX;
}

/* The copy inside the default kernel's initramfs rules whether the root is found. */
static int initramfs_hides(const struct subject *s, struct err *e)
{
    size_t i = linux_default_kernel(s);
    auto_buf struct buf text = BUF_INIT;

    if (i == SIZE_MAX || !s->images.v[i].initrd ||
        !initrd_has_file(s->images.v[i].initrd, "etc/lvm/lvm.conf"))
        return 0;
    if (initrd_read(s->images.v[i].initrd, "etc/lvm/lvm.conf", GFS_TEXT_MAX, &text, e) <
        0)
        return -1;
    return linux_lvm_filter_hides(buf_str(&text));
}

static int check_lvm(const struct subject *s, struct verdict *v, struct err *e)
{
    auto_buf struct buf text = BUF_INIT;
    bool any = false;
    int devices, inside;

    vec_foreach (x, &s->storage.volumes)
        any |= str_eq(x->fs.type, "LVM2_member");
    if (!any)
        return verdict_not_needed(v, e, "no logical volumes");
    if (gfs_text(&s->fs, "/etc/lvm/lvm.conf", &text, e) < 0)
        return -1;
    devices = gfs_is_file(&s->fs, "/etc/lvm/devices/system.devices", e);
    inside = root_on_lvm(s) ? initramfs_hides(s, e) : 0;
    if (devices < 0 || inside < 0)
        return -1;
    if (inside)
        return verdict_refused(v, e,
                               "etc/lvm/lvm.conf inside the initramfs has a filter "
                               "that hides NVMe disks");
    if (linux_lvm_filter_hides(buf_str(&text)))
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
    .why = "a device filter made for /dev/sd* hides the volume groups on EC2",
    .remedy = "remove filter and global_filter from /etc/lvm/lvm.conf and rebuild the "
              "initramfs in the source machine",
    .methods = FOR_OURS,
    .check = check_lvm,
};
