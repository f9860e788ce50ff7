/* Device names of the guest and what they mean; see linux.h.
 *
 * Disks were added to the appliance in the guest's order, so /dev/sdb1 is partition 1 of
 * the second. That is how VMware's BIOS order maps to Linux names too, as long as the
 * disks sit on one kind of controller; the file system type in fstab serves as a check.
 */
#include "guest/linux/linux.h"

#include "base/str.h"

#include <ctype.h>
#include <string.h>

/* Names in /dev/mapper double the dashes of volume group and volume. */
static bool mapper_name_is(const char *name, const char *device)
{
    const char *p = device + 5; /* beyond "/dev/" */

    for (; *p; p++) {
        if (*p == '/') {
            if (*name++ != '-')
                return false;
            continue;
        }
        if (*name++ != *p || (*p == '-' && *name++ != '-'))
            return false;
    }
    return !*name;
}

static const struct volume *by_mapper(const struct subject *s, const char *name)
{
    vec_foreach (v, &s->storage.volumes)
        if (v->disk == UINT32_MAX && str_starts(v->device, "/dev/") &&
            mapper_name_is(name, v->device))
            return v;
    return NULL;
}

/* NAME="value" and NAME=value, and the links below /dev/disk. */
static const struct volume *by_tag(const struct subject *s, const char *spec)
{
    static const struct {
        const char *tag, *link;
        const struct volume *(*find)(const struct storage *, const char *);
    } tags[] = {
        {"UUID=", "/dev/disk/by-uuid/", storage_by_uuid},
        {"LABEL=", "/dev/disk/by-label/", storage_by_label},
        {"PARTUUID=", "/dev/disk/by-partuuid/", storage_by_partuuid},
    };

    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        const char *value = str_starts(spec, tags[i].tag)    ? spec + strlen(tags[i].tag)
                            : str_starts(spec, tags[i].link) ? spec + strlen(tags[i].link)
                                                             : NULL;
        char copy[128];
        size_t n;

        if (!value)
            continue;
        value += *value == '"';
        n = strcspn(value, "\"");
        if (n >= sizeof copy)
            return NULL;
        memcpy(copy, value, n);
        copy[n] = 0;
        return tags[i].find(&s->storage, copy);
    }
    return NULL;
}

const struct volume *linux_volume(const struct subject *s, const char *spec)
{
    const struct volume *v = by_tag(s, spec);
    uint32_t disk, partition;

    if (v)
        return v;
    if (str_starts(spec, "/dev/mapper/"))
        return by_mapper(s, spec + 12);
    switch (device_name(spec, &disk, &partition)) {
    case DEVICE_BY_ORDER:
        return storage_at(&s->storage, disk, partition);
    case DEVICE_BY_HARDWARE:
        return NULL;
    case DEVICE_STABLE:
        break;
    }
    v = storage_by_device(&s->storage, spec);
    return v && v->disk == UINT32_MAX ? v : NULL;
}

char *linux_uuid_spec(const struct volume *v, struct err *e)
{
    return str_fmt(e, "UUID=%s", v->fs.uuid);
}

void linux_mounts_release(struct linux_mounts *m)
{
    vec_foreach (x, m) {
        free(x->mountpoint);
        free(x->options);
    }
    vec_release(m);
}

static bool wanted_mountpoint(const char *m)
{
    static const char *const want[] = {"/boot",
                                       "/boot/efi",
                                       "/efi",
                                       "/usr",
                                       "/var",
                                       "/var/lib",
                                       "/boot/grub2/x86_64-efi"};

    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        if (str_eq(m, want[i]))
            return true;
    return false;
}

static int subvolume_option(const struct fstab_line *l, char **ret, struct err *e)
{
    const char *p = strstr(l->options, "subvol=");

    *ret = p ? str_fmt(e, "%.*s", (int)strcspn(p, ","), p) : str_dup("", e);
    return *ret ? 0 : -1;
}

static int by_length(const void *a, const void *b)
{
    const struct linux_mount *x = a, *y = b;

    return (int)(strlen(x->mountpoint) > strlen(y->mountpoint)) -
           (int)(strlen(x->mountpoint) < strlen(y->mountpoint));
}

static int choose(const struct subject *s, const struct fstab_line *l,
                  struct linux_mounts *ret, struct err *e)
{
    struct linux_mount m = {.volume = linux_volume(s, l->spec)};
    int r;

    if (!wanted_mountpoint(l->mountpoint) || !m.volume ||
        !fs_is_mountable(m.volume->fs.type))
        return 0;
    r = gfs_is_dir(&s->fs, l->mountpoint, e);
    if (r <= 0)
        return r;
    m.mountpoint = str_dup(l->mountpoint, e);
    if (!m.mountpoint || subvolume_option(l, &m.options, e) < 0 ||
        vec_push(ret, m, e) < 0) {
        free(m.mountpoint);
        free(m.options);
        return -1;
    }
    return 0;
}

int linux_read_fstab(struct subject *s, struct linux_mounts *ret, struct err *e)
{
    auto_call(linux_mounts_release) struct linux_mounts m = {0};
    auto_buf struct buf text = BUF_INIT;

    if (gfs_text(&s->fs, "/etc/fstab", &text, e) < 0 ||
        fstab_parse(buf_str(&text), &s->fstab, e) < 0)
        return -1;
    vec_foreach (l, &s->fstab)
        if (choose(s, l, &m, e) < 0)
            return -1;
    if (m.n)
        qsort(m.v, m.n, sizeof m.v[0], by_length);
    *ret = m;
    m = (struct linux_mounts){0};
    return 0;
}

/* A name of the old hardware tells nothing; but the root is known, and a volume of the
 * right type that no other line claims is the one if it is alone. */
static bool claimed(const struct subject *s, const struct volume *v)
{
    vec_foreach (l, &s->fstab)
        if (linux_volume(s, l->spec) == v)
            return true;
    return v == s->root;
}

static const struct volume *by_elimination(const struct subject *s,
                                           const struct fstab_line *l)
{
    const struct volume *only = NULL;

    if (str_eq(l->mountpoint, "/"))
        return s->root;
    vec_foreach (v, &s->storage.volumes) {
        if (!str_eq(v->fs.type, l->type) || claimed(s, v))
            continue;
        if (only)
            return NULL;
        only = v;
    }
    return only;
}

/* The order of disks may be another than we think: never point a line at a file system
 * of another type. */
static bool type_agrees(const struct fstab_line *l, const struct volume *v)
{
    static const char *const ext[] = {"ext2", "ext3", "ext4"};
    int both = 0;

    if (str_eq(l->type, "auto") || str_eq(l->type, v->fs.type))
        return true;
    for (size_t i = 0; i < 3; i++)
        both += str_eq(l->type, ext[i]) + str_eq(v->fs.type, ext[i]);
    return both == 2 || (str_eq(l->type, "msdos") && str_eq(v->fs.type, "vfat"));
}

int linux_fstab_fixes(const struct subject *s, struct fstab_fixes *ret, struct err *e)
{
    vec_foreach (l, &s->fstab) {
        struct fstab_fix f = {.line = l};
        uint32_t disk, partition;

        f.naming = device_name(l->spec, &disk, &partition);
        /* VMware's shared folders are gone as well. */
        if (f.naming == DEVICE_STABLE && !strstr(l->type, "vmhgfs"))
            continue;
        f.volume = f.naming == DEVICE_BY_ORDER      ? linux_volume(s, l->spec)
                   : f.naming == DEVICE_BY_HARDWARE ? by_elimination(s, l)
                                                    : NULL;
        if (f.volume && (!f.volume->fs.uuid[0] || !type_agrees(l, f.volume)))
            f.volume = NULL;
        if (f.volume && str_eq(l->mountpoint, "/") && f.volume != s->root)
            f.volume = NULL;
        /* Waits for nothing already. */
        if (!f.volume && (fstab_has_option(l, "nofail") || fstab_has_option(l, "noauto")))
            continue;
        if (vec_push(ret, f, e) < 0)
            return -1;
    }
    return 0;
}
