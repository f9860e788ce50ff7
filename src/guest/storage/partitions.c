/* Partition tables; see storage.h. Every number from the disk is checked against the
 * disk's size; chains and counts are bounded. */
#include "guest/storage/storage.h"

#include "base/bytes.h"
#include "base/str.h"

#include <string.h>

#define SECTOR      512u
#define MAX_LOGICAL 60
#define MAX_GPT     256

static bool extended(uint8_t type)
{
    return type == 0x05 || type == 0x0f || type == 0x85;
}

static int add(struct storage_disk *d, struct partition p, struct err *e)
{
    uint64_t end;

    if (__builtin_add_overflow(p.offset_bytes, p.size_bytes, &end) || end > d->size_bytes)
        return err_set(e, ERR_INPUT, "%s: partition %u ends beyond the disk", d->device,
                       p.number);
    return vec_push(&d->partitions, p, e);
}

static struct partition from_entry(const unsigned char *x, uint64_t base, uint32_t number,
                                   uint32_t signature)
{
    struct partition p = {
        .number = number,
        .offset_bytes = (base + le32_at(x + 8)) * SECTOR,
        .size_bytes = (uint64_t)le32_at(x + 12) * SECTOR,
        .active = x[0] == 0x80,
        .mbr_type = x[4],
        .esp = x[4] == 0xef,
        .dynamic_disk = x[4] == 0x42,
        .container = extended(x[4]),
    };

    snprintf(p.uuid, sizeof p.uuid, "%08x-%02x", signature, number);
    return p;
}

/* Logical partitions: each extended boot record describes one and points at the next,
 * relative to the first. */
static int logical(struct storage_disk *d, uint64_t first, uint32_t signature,
                   sector_read_fn read, void *ctx, struct err *e)
{
    uint64_t at = first;

    for (uint32_t i = 0; i < MAX_LOGICAL; i++) {
        auto_buf struct buf b = BUF_INIT;
        const unsigned char *s;
        uint64_t next;

        if (at * SECTOR + SECTOR > d->size_bytes)
            return err_set(e, ERR_INPUT, "%s: extended partition beyond the disk",
                           d->device);
        if (read(ctx, at * SECTOR, SECTOR, &b, e) < 0)
            return -1;
        s = (const unsigned char *)b.data;
        if (b.len < SECTOR || s[510] != 0x55 || s[511] != 0xaa)
            return 0;
        if (s[446 + 4] && le32_at(s + 446 + 12) &&
            add(d, from_entry(s + 446, at, 5 + i, signature), e) < 0)
            return -1;
        next = le32_at(s + 462 + 8);
        if (!extended(s[462 + 4]) || !next)
            return 0;
        at = first + next;
    }
    return err_set(e, ERR_INPUT, "%s: more than %d logical partitions", d->device,
                   MAX_LOGICAL);
}

static int read_mbr(struct storage_disk *d, const unsigned char *s, sector_read_fn read,
                    void *ctx, struct err *e)
{
    uint32_t signature = le32_at(s + 440);

    d->table = "msdos";
    for (uint32_t i = 0; i < 4; i++) {
        const unsigned char *x = s + 446 + 16 * i;

        if (x[4] && le32_at(x + 12) && add(d, from_entry(x, 0, i + 1, signature), e) < 0)
            return -1;
    }
    for (size_t i = 0; i < d->partitions.n; i++)
        if (d->partitions.v[i].container) /* add() moves the array: by index */
            return logical(d, d->partitions.v[i].offset_bytes / SECTOR, signature, read,
                           ctx, e);
    return 0;
}

/* Type GUIDs as stored (first three groups little-endian). */
static const unsigned char guid_esp[16] = {0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8,
                                           0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0,
                                           0xc9, 0x3e, 0xc9, 0x3b};
static const unsigned char guid_bios[16] = {0x48, 0x61, 0x68, 0x21, 0x49, 0x64,
                                            0x6f, 0x6e, 0x74, 0x4e, 0x65, 0x65,
                                            0x64, 0x45, 0x46, 0x49};
static const unsigned char guid_ldm[16] = {0xa0, 0x60, 0x9b, 0xaf, 0x31, 0x14,
                                           0x62, 0x4f, 0xbc, 0x68, 0x33, 0x11,
                                           0x71, 0x4a, 0x69, 0xad};

static void guid_text(const unsigned char *g, char *out, size_t len)
{
    snprintf(out, len, "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", le32_at(g),
             g[4] | g[5] << 8, g[6] | g[7] << 8, g[8], g[9], g[10], g[11], g[12], g[13],
             g[14], g[15]);
}

static int read_gpt(struct storage_disk *d, sector_read_fn read, void *ctx, struct err *e)
{
    auto_buf struct buf head = BUF_INIT, table = BUF_INIT;
    static const unsigned char zero[16];
    const unsigned char *h;
    uint32_t count, each;
    uint64_t lba;

    d->table = "gpt";
    if (read(ctx, SECTOR, SECTOR, &head, e) < 0)
        return -1;
    h = (const unsigned char *)head.data;
    if (head.len < SECTOR || memcmp(h, "EFI PART", 8) != 0)
        return err_set(e, ERR_INPUT, "%s: the GPT header is damaged", d->device);
    lba = le64_at(h + 72);
    count = le32_at(h + 80);
    each = le32_at(h + 84);
    if (each < 128 || each > 4096 || each % 8 || lba > d->size_bytes / SECTOR)
        return err_set(e, ERR_INPUT, "%s: the GPT header is damaged", d->device);
    if (count > MAX_GPT)
        count = MAX_GPT;
    if (lba * SECTOR + (uint64_t)count * each > d->size_bytes)
        return err_set(e, ERR_INPUT, "%s: the GPT ends beyond the disk", d->device);
    if (read(ctx, lba * SECTOR, (size_t)count * each, &table, e) < 0)
        return -1;
    for (uint32_t i = 0; i < count && ((size_t)i + 1) * each <= table.len; i++) {
        const unsigned char *x = (const unsigned char *)table.data + (size_t)i * each;
        uint64_t first = le64_at(x + 32), last = le64_at(x + 40);

        if (!memcmp(x, zero, 16))
            continue;
        if (last < first || last >= d->size_bytes / SECTOR)
            return err_set(e, ERR_INPUT, "%s: partition %u ends beyond the disk",
                           d->device, i + 1);
        struct partition p = {.number = i + 1,
                              .offset_bytes = first * SECTOR,
                              .size_bytes = (last - first + 1) * SECTOR,
                              .esp = !memcmp(x, guid_esp, 16),
                              .bios_boot = !memcmp(x, guid_bios, 16),
                              .dynamic_disk = !memcmp(x, guid_ldm, 16)};
        guid_text(x + 16, p.uuid, sizeof p.uuid);
        if (add(d, p, e) < 0)
            return -1;
    }
    return 0;
}

/* A boot sector of a file system on a disk without table also ends in 55 AA: its
 * "entries" are text or code. */
static bool plausible_mbr(const unsigned char *s)
{
    for (int i = 0; i < 4; i++)
        if (s[446 + 16 * i] & 0x7f)
            return false;
    return true;
}

int partitions_read(struct storage_disk *d, sector_read_fn read, void *ctx, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    const unsigned char *s;

    d->table = "none";
    if (d->size_bytes < 2 * SECTOR)
        return 0;
    if (read(ctx, 0, SECTOR, &b, e) < 0)
        return -1;
    s = (const unsigned char *)b.data;
    if (b.len < SECTOR || s[510] != 0x55 || s[511] != 0xaa || !plausible_mbr(s))
        return 0;
    for (int i = 0; i < 440; i++)
        d->boot_code |= s[i] != 0;
    d->grub = memmem(s, 440, "GRUB", 4) != NULL;
    for (int i = 0; i < 4; i++)
        if (s[446 + 16 * i + 4] == 0xee)
            return read_gpt(d, read, ctx, e);
    return read_mbr(d, s, read, ctx, e);
}
