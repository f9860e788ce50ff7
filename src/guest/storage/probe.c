/* File systems by their superblocks, and the collection of volumes; see storage.h. */
#include "guest/storage/storage.h"

#include "base/bytes.h"
#include "base/str.h"

#include <string.h>
#include <strings.h>

static void set_uuid(struct fs_facts *f, const unsigned char *u)
{
    static const unsigned char zero[16];

    if (!memcmp(u, zero, 16))
        return;
    snprintf(f->uuid, sizeof f->uuid,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0],
             u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
             u[13], u[14], u[15]);
}

/* Fixed-size fields, filled with zeros or blanks. */
static void set_label(struct fs_facts *f, const unsigned char *s, size_t len)
{
    size_t n = strnlen((const char *)s, len);

    while (n && s[n - 1] == ' ')
        n--;
    if (n >= sizeof f->label)
        n = sizeof f->label - 1;
    memcpy(f->label, s, n);
    f->label[n] = 0;
}

static void set_type(struct fs_facts *f, const char *type)
{
    snprintf(f->type, sizeof f->type, "%s", type);
}

/* s_feature_compat HAS_JOURNAL 0x4; incompat RECOVER 0x4, and those ext3 never had:
 * EXTENTS 0x40, 64BIT 0x80, FLEX_BG 0x200 and later. */
static bool probe_ext(const unsigned char *d, size_t len, struct fs_facts *f)
{
    const unsigned char *s = d + 1024;
    uint32_t compat, incompat;

    if (len < 2048 || s[56] != 0x53 || s[57] != 0xef)
        return false;
    compat = le32_at(s + 92);
    incompat = le32_at(s + 96);
    if (incompat & 0x8)
        return false; /* an external journal */
    set_type(f, incompat & ~0x3fu ? "ext4" : compat & 0x4 ? "ext3" : "ext2");
    f->unreplayed = (incompat & 0x4) != 0;
    f->errors = (s[58] & 0x2) != 0;
    set_uuid(f, s + 104);
    set_label(f, s + 120, 16);
    return true;
}

static bool probe_boot_sector(const unsigned char *d, size_t len, struct fs_facts *f)
{
    if (len < 512)
        return false;
    if (!memcmp(d + 3, "-FVE-FS-", 8)) {
        set_type(f, "BitLocker");
        return true;
    }
    if (!memcmp(d + 3, "NTFS    ", 8)) {
        set_type(f, "ntfs");
        snprintf(f->uuid, sizeof f->uuid, "%08X%08X", le32_at(d + 76), le32_at(d + 72));
        return true;
    }
    if (d[510] != 0x55 || d[511] != 0xaa)
        return false;
    bool fat32 = !memcmp(d + 82, "FAT32   ", 8), fat = !memcmp(d + 54, "FAT1", 4);
    if (!fat32 && !fat)
        return false;
    uint32_t serial = le32_at(d + (fat32 ? 67 : 39));
    set_type(f, "vfat");
    snprintf(f->uuid, sizeof f->uuid, "%04X-%04X", serial >> 16, serial & 0xffff);
    if (memcmp(d + (fat32 ? 71 : 43), "NO NAME", 7) != 0)
        set_label(f, d + (fat32 ? 71 : 43), 11);
    return true;
}

static bool probe_containers(const unsigned char *d, size_t len, struct fs_facts *f)
{
    static const unsigned char luks[] = {'L', 'U', 'K', 'S', 0xba, 0xbe};

    if (len >= 512 && !memcmp(d, luks, sizeof luks)) {
        set_type(f, "crypto_LUKS");
        memcpy(f->uuid, d + 168, 40);
        f->uuid[40] = 0;
        f->uuid[strspn(f->uuid, "0123456789abcdefABCDEF-")] = 0;
        return true;
    }
    for (size_t i = 0; i < 4 && (i + 1) * 512 <= len; i++)
        if (!memcmp(d + 512 * i, "LABELONE", 8) &&
            !memcmp(d + 512 * i + 24, "LVM2 001", 8)) {
            set_type(f, "LVM2_member");
            return true;
        }
    if ((len >= 4 && le32_at(d) == 0xa92b4efc) ||
        (len >= 4100 && le32_at(d + 4096) == 0xa92b4efc)) {
        set_type(f, "linux_raid_member");
        return true;
    }
    return false;
}

static bool probe_others(const unsigned char *d, size_t len, struct fs_facts *f)
{
    if (len >= 512 && !memcmp(d, "XFSB", 4)) {
        set_type(f, "xfs");
        set_uuid(f, d + 32);
        set_label(f, d + 108, 12);
    } else if (len >= 65536 + 512 && !memcmp(d + 65536 + 64, "_BHRfS_M", 8)) {
        set_type(f, "btrfs");
        set_uuid(f, d + 65536 + 32);
        set_label(f, d + 65536 + 299, 63);
    } else if (len >= 32768 + 512 && !memcmp(d + 32768, "JFS1", 4)) {
        set_type(f, "jfs");
        set_uuid(f, d + 32768 + 136);
        set_label(f, d + 32768 + 152, 16);
    } else if (len >= 65536 + 512 && !memcmp(d + 65536 + 52, "ReIsEr", 6)) {
        set_type(f, "reiserfs");
        set_uuid(f, d + 65536 + 84);
    } else if (len >= 4096 && (!memcmp(d + 4086, "SWAPSPACE2", 10) ||
                               !memcmp(d + 4086, "S1SUSPEND", 9))) {
        set_type(f, "swap");
        set_uuid(f, d + 1024 + 12);
        set_label(f, d + 1024 + 28, 16);
    } else {
        return false;
    }
    return true;
}

void fs_probe(const void *data, size_t len, struct fs_facts *ret)
{
    const unsigned char *d = data;
    struct fs_facts f = {.type = ""};

    /* Containers first: a file system's old superblock often survives beneath them. */
    if (!probe_containers(d, len, &f) && !probe_others(d, len, &f) &&
        !probe_ext(d, len, &f))
        probe_boot_sector(d, len, &f);
    *ret = f;
}

void md_end_offsets(uint64_t size_bytes, uint64_t ret[2])
{
    uint64_t sectors = size_bytes / 512;

    ret[0] = size_bytes >= 131072 ? (size_bytes & ~65535ull) - 65536 : 0; /* 0.90 */
    ret[1] = sectors >= 16 ? ((sectors - 16) & ~7ull) * 512 : 0;          /* 1.0 */
}

bool md_at_end(const void *data, size_t len)
{
    const unsigned char *d = data;

    return len >= 4 && le32_at(d) == 0xa92b4efc;
}

void storage_release(struct storage *s)
{
    vec_foreach (d, &s->disks) {
        free(d->device);
        vec_release(&d->partitions);
    }
    vec_foreach (v, &s->volumes)
        free(v->device);
    vec_release(&s->disks);
    vec_release(&s->volumes);
}

const struct volume *storage_at(const struct storage *s, uint32_t disk,
                                uint32_t partition)
{
    vec_foreach (v, &s->volumes)
        if (v->disk == disk && v->partition == partition)
            return v;
    return NULL;
}

const struct volume *storage_by_uuid(const struct storage *s, const char *uuid)
{
    vec_foreach (v, &s->volumes)
        if (v->fs.uuid[0] && !strcasecmp(v->fs.uuid, uuid))
            return v;
    return NULL;
}

const struct volume *storage_by_label(const struct storage *s, const char *label)
{
    vec_foreach (v, &s->volumes)
        if (v->fs.label[0] && str_eq(v->fs.label, label))
            return v;
    return NULL;
}

const struct volume *storage_by_partuuid(const struct storage *s, const char *uuid)
{
    vec_foreach (v, &s->volumes)
        if (v->partuuid[0] && !strcasecmp(v->partuuid, uuid))
            return v;
    return NULL;
}

/* "/dev/md0", "/dev/md/0" and "/dev/md_root" are one array's names. */
static bool array_is(const struct volume *v, const char *device)
{
    if (!v->array[0] || !str_starts(device, "/dev/md"))
        return false;
    device += strlen("/dev/md");
    device += *device == '/' || *device == '_';
    return str_eq(device, v->array);
}

const struct volume *storage_by_device(const struct storage *s, const char *device)
{
    vec_foreach (v, &s->volumes)
        if (array_is(v, device))
            return v;
    vec_foreach (v, &s->volumes)
        if (str_eq(v->device, device))
            return v;
    return NULL;
}

static bool one_of(const char *s, const char *const *list)
{
    for (; *list; list++)
        if (str_eq(s, *list))
            return true;
    return false;
}

bool fs_is_linux_root(const char *type)
{
    static const char *const ok[] = {"ext2", "ext3", "ext4", "xfs", "btrfs", "jfs", NULL};

    return one_of(type, ok);
}

bool fs_is_mountable(const char *type)
{
    static const char *const more[] = {"vfat", "ntfs", "reiserfs", NULL};

    return fs_is_linux_root(type) || one_of(type, more);
}
