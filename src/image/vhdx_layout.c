/* The structures before a VHDX's data: headers, region table, metadata. Pure: keeps
 * nothing. Section numbers are [MS-VHDX]'s. */
#include "image/vhdx.h"

#include "base/bytes.h"
#include "base/str.h"

#include <inttypes.h>

#define HEADER_BYTES   4096u
#define TABLE_BYTES    65536u
#define MAX_ENTRIES    2047u
#define META_MIN_BYTES TABLE_BYTES
#define MAX_META       (16u << 20)

/* ---- checksums and GUIDs ---- */

/* Castagnoli's polynomial, reflected: remainders of four bits. */
static const uint32_t nibbles[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
    0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
    0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t vhdx_crc32c(const uint8_t *p, size_t len)
{
    uint32_t crc = UINT32_MAX;

    for (; len--; p++) {
        crc = crc >> 4 ^ nibbles[(crc ^ *p) & 15];
        crc = crc >> 4 ^ nibbles[(crc ^ *p >> 4) & 15];
    }
    return ~crc;
}

/* The checksum at byte 4 is of the whole structure with zeros in its place. */
static bool sum_is_right(uint8_t *p, size_t len)
{
    uint32_t want = le32_at(p + 4);

    memset(p + 4, 0, 4);
    return vhdx_crc32c(p, len) == want;
}

#define GUID_BYTES 16

static const uint8_t guid_bat[GUID_BYTES] = {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6,
                                             0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e,
                                             0x9b, 0xfd, 0x4a, 0x08};
static const uint8_t guid_metadata[GUID_BYTES] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47,
                                                  0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f,
                                                  0x05, 0x0f, 0x88, 0x6e};

/* ---- headers, 2.2.2 ---- */

struct head {
    bool valid;
    uint64_t sequence;
    uint16_t version;
    bool has_log;
};

static int read_head(const struct blob *b, uint64_t at, struct head *ret, struct err *e)
{
    static const uint8_t no_guid[GUID_BYTES];
    auto_free uint8_t *p = mem_zalloc(1, HEADER_BYTES, e);

    if (!p || blob_read(b, p, HEADER_BYTES, at, e) < 0)
        return -1;
    *ret = (struct head){
        .sequence = le64_at(p + 8),
        .version = le16_at(p + 66),
        .has_log = memcmp(p + 48, no_guid, GUID_BYTES) != 0,
    };
    ret->valid = memcmp(p, "head", 4) == 0 && sum_is_right(p, HEADER_BYTES);
    return 0;
}

static int check_heads(const struct blob *b, struct err *e)
{
    struct head a, z, now;

    if (read_head(b, 64u << 10, &a, e) < 0 || read_head(b, 128u << 10, &z, e) < 0)
        return -1;
    if (!a.valid && !z.valid)
        return err_set(e, ERR_INPUT, "%s: both VHDX headers are damaged", b->name);
    now = !z.valid || (a.valid && a.sequence > z.sequence) ? a : z;
    if (now.version != 1)
        return err_set(e, ERR_UNSUPPORTED, "%s: VHDX of version %u", b->name,
                       (unsigned)now.version);
    if (now.has_log)
        return err_set(
            e, ERR_UNSUPPORTED,
            "%s: the VHDX was not closed: its log must be replayed first. Open "
            "it in Hyper-V once, or repair a copy: qemu-img check -r all",
            b->name);
    return 0;
}

/* ---- regions, 2.2.3 ---- */

struct region {
    uint64_t offset, len;
};

static int check_region(const struct blob *b, const struct region *r, const char *what,
                        struct err *e)
{
    if (r->len == 0 || r->offset < VHDX_MIB || r->offset % VHDX_MIB ||
        r->offset > b->len || r->len > b->len - r->offset)
        return err_set(e, ERR_INPUT,
                       "%s: the %s (%" PRIu64 " bytes at byte %" PRIu64
                       ") does not lie inside the file of %" PRIu64
                       " bytes: it is truncated or damaged",
                       b->name, what, r->len, r->offset, b->len);
    return 0;
}

static int take_regions(const struct blob *b, const uint8_t *p, struct region *bat,
                        struct region *meta, struct err *e)
{
    uint32_t n = le32_at(p + 8);

    if (n > MAX_ENTRIES)
        return err_set(e, ERR_INPUT, "%s: %" PRIu32 " regions in a VHDX", b->name, n);
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *x = p + 16 + i * 32;
        struct region r = {le64_at(x + 16), le32_at(x + 24)};

        if (memcmp(x, guid_bat, GUID_BYTES) == 0)
            *bat = r;
        else if (memcmp(x, guid_metadata, GUID_BYTES) == 0)
            *meta = r;
        else if (le32_at(x + 28) & 1)
            return err_set(e, ERR_UNSUPPORTED,
                           "%s: the VHDX has a region of unknown kind that must be known",
                           b->name);
    }
    if (check_region(b, bat, "block allocation table", e) < 0)
        return -1;
    return check_region(b, meta, "metadata region", e);
}

static int read_regions(const struct blob *b, struct region *bat, struct region *meta,
                        struct err *e)
{
    auto_free uint8_t *p = mem_zalloc(1, TABLE_BYTES, e);

    if (!p)
        return -1;
    for (uint64_t at = 192u << 10; at <= 256u << 10; at += 64u << 10) {
        if (blob_read(b, p, TABLE_BYTES, at, e) < 0)
            return -1;
        if (memcmp(p, "regi", 4) == 0 && sum_is_right(p, TABLE_BYTES))
            return take_regions(b, p, bat, meta, e);
    }
    return err_set(e, ERR_INPUT, "%s: both region tables of the VHDX are damaged",
                   b->name);
}

/* ---- metadata, 2.6 ---- */

enum item { ITEM_FILE, ITEM_SIZE, ITEM_SECTOR, ITEM_PHYSICAL, ITEM_ID, ITEM_PARENT };

static const struct {
    uint8_t guid[GUID_BYTES];
    uint32_t len;
} items[] = {
    [ITEM_FILE] = {{0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33,
                    0xf0, 0xaa, 0x44, 0xe7, 0x6b},
                   8},
    [ITEM_SIZE] = {{0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d,
                    0xbe, 0xd8, 0x3b, 0xf4, 0xb8},
                   8},
    [ITEM_SECTOR] = {{0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2,
                      0x33, 0xa8, 0xfa, 0xab, 0x5f},
                     4},
    [ITEM_PHYSICAL] = {{0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44, 0x9c, 0xc9, 0xe9,
                        0x88, 0x52, 0x51, 0xc5, 0x56},
                       4},
    [ITEM_ID] = {{0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef, 0xc3, 0x09,
                  0xe0, 0x00, 0xc7, 0x46},
                 16},
    [ITEM_PARENT] = {{0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3,
                      0xd8, 0x48, 0x34, 0xab, 0x0c},
                     0},
};
#define N_ITEMS (sizeof items / sizeof items[0])

/* Where the items are wanted is known: their values, or NULL. All borrow from `p`. */
static int find_items(const struct blob *b, const uint8_t *p, uint64_t len,
                      const uint8_t *ret[N_ITEMS], struct err *e)
{
    uint16_t n = le16_at(p + 10);

    if (memcmp(p, "metadata", 8) != 0 || n > MAX_ENTRIES)
        return err_set(e, ERR_INPUT, "%s: the metadata of the VHDX is damaged", b->name);
    for (unsigned i = 0; i < n; i++) {
        const uint8_t *x = p + 32 + i * 32;
        uint32_t offset = le32_at(x + 16), size = le32_at(x + 20), k = 0;

        while (k < N_ITEMS && memcmp(x, items[k].guid, GUID_BYTES) != 0)
            k++;
        if (k == N_ITEMS && le32_at(x + 24) & 4)
            return err_set(e, ERR_UNSUPPORTED,
                           "%s: the VHDX has metadata of unknown kind that must be known",
                           b->name);
        if (k == N_ITEMS || items[k].len == 0)
            continue;
        if (size < items[k].len || offset < META_MIN_BYTES || offset > len ||
            size > len - offset)
            return err_set(e, ERR_INPUT,
                           "%s: the metadata of the VHDX is damaged (%" PRIu32
                           " bytes at byte %" PRIu32 " of it)",
                           b->name, size, offset);
        ret[k] = p + offset;
    }
    return 0;
}

static int take_items(const struct blob *b, const uint8_t *const v[N_ITEMS],
                      struct vhdx_layout *l, struct err *e)
{
    uint32_t sector, flags;

    if (!v[ITEM_FILE] || !v[ITEM_SIZE] || !v[ITEM_SECTOR])
        return err_set(e, ERR_INPUT,
                       "%s: the metadata of the VHDX lacks its size or block size",
                       b->name);
    l->block_bytes = le32_at(v[ITEM_FILE]);
    flags = le32_at(v[ITEM_FILE] + 4);
    l->size_bytes = le64_at(v[ITEM_SIZE]);
    sector = le32_at(v[ITEM_SECTOR]);
    if (flags & 2)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: a differencing VHDX: merge it with its parent first",
                       b->name);
    if ((sector != 512 && sector != 4096) || l->block_bytes < VHDX_MIB ||
        l->block_bytes > 256 * VHDX_MIB || (l->block_bytes & (l->block_bytes - 1)) ||
        l->size_bytes == 0 || l->size_bytes > VHDX_MAX_BYTES || l->size_bytes % sector)
        return err_set(e, ERR_INPUT,
                       "%s: a VHDX of %" PRIu64 " bytes in blocks of %" PRIu64
                       " and sectors of %" PRIu32 ": its metadata is damaged",
                       b->name, l->size_bytes, l->block_bytes, sector);
    /* 2.5.1: a sector bitmap covers 2^23 sectors. */
    l->chunk_blocks = (uint32_t)(((uint64_t)sector << 23) / l->block_bytes);
    l->n_blocks = (l->size_bytes + l->block_bytes - 1) / l->block_bytes;
    return 0;
}

static int read_metadata(const struct blob *b, const struct region *r,
                         struct vhdx_layout *l, struct err *e)
{
    const uint8_t *found[N_ITEMS] = {0};
    auto_free uint8_t *p = NULL;

    if (r->len < META_MIN_BYTES || r->len > MAX_META)
        return err_set(e, ERR_INPUT, "%s: %" PRIu64 " bytes of metadata in a VHDX",
                       b->name, r->len);
    p = mem_zalloc(1, r->len, e);
    if (!p || blob_read(b, p, r->len, r->offset, e) < 0 ||
        find_items(b, p, r->len, found, e) < 0)
        return -1;
    return take_items(b, found, l, e);
}

int vhdx_layout_read(const struct blob *b, struct vhdx_layout *ret, struct err *e)
{
    struct region bat = {0}, meta = {0};
    struct vhdx_layout l = {0};
    uint64_t n;

    if (check_heads(b, e) < 0 || read_regions(b, &bat, &meta, e) < 0 ||
        read_metadata(b, &meta, &l, e) < 0)
        return -1;
    n = l.n_blocks + (l.n_blocks - 1) / l.chunk_blocks;
    if (bat.len / 8 < n)
        return err_set(e, ERR_INPUT,
                       "%s: the block allocation table has %" PRIu64
                       " bytes, too few for %" PRIu64 " blocks: it is damaged",
                       b->name, bat.len, l.n_blocks);
    l.bat_offset = bat.offset;
    l.bat_len = bat.len;
    *ret = l;
    return 0;
}
