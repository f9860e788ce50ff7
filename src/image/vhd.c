/* A VHD (Virtual PC, Hyper-V, Azure): reading one, and the footer that makes a fixed one;
 * see vhd.h. Numbers in it are big-endian. */
#include "image/vhd.h"

#include "base/bytes.h"
#include "image/blocks.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define SECTOR_BYTES  512
#define EPOCH_2000_S  946684800 /* its times count from there */
#define MAX_GEOMETRY  (65535ull * 16 * 255)
#define FEATURES      2 /* "reserved: must always be set" */
#define VERSION_1     0x00010000
#define NO_DATA_BLOCK UINT64_MAX /* fixed disks have no header at an offset */
#define HEADER_BYTES  1024       /* of a dynamic disk */
#define NO_BLOCK      UINT32_MAX

enum { TYPE_FIXED = 2, TYPE_DYNAMIC = 3, TYPE_DIFFERENCING = 4 };

/* Where each field is ("Hard Disk Footer Format"). */
enum {
    AT_COOKIE = 0,
    AT_FEATURES = 8,
    AT_VERSION = 12,
    AT_DATA_OFFSET = 16,
    AT_TIME = 24,
    AT_CREATOR = 28,
    AT_CREATOR_VERSION = 32,
    AT_CREATOR_OS = 36,
    AT_ORIGINAL_SIZE = 40,
    AT_CURRENT_SIZE = 48,
    AT_CYLINDERS = 56,
    AT_HEADS = 58,
    AT_SECTORS = 59,
    AT_TYPE = 60,
    AT_CHECKSUM = 64,
    AT_UUID = 68,
};

/* "Dynamic Disk Header Format" */
enum { AT_TABLE = 16, AT_ENTRIES = 28, AT_BLOCK_SIZE = 32, AT_HEADER_CHECKSUM = 36 };

/* The complement of the sum of all bytes but the checksum's own. */
static uint32_t sum_of(const unsigned char *p, size_t len, size_t at_checksum)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += i < at_checksum || i >= at_checksum + 4 ? p[i] : 0;
    return ~sum;
}

/* ---- writing a footer ---- */

static void put(unsigned char *at, uint64_t value, unsigned bytes)
{
    while (bytes) {
        at[--bytes] = (unsigned char)value;
        value >>= 8;
    }
}

/* Appendix "CHS Calculation". */
static void put_geometry(unsigned char *out, uint64_t size_bytes)
{
    uint64_t total = size_bytes / SECTOR_BYTES, sectors, heads, rest;

    if (total > MAX_GEOMETRY)
        total = MAX_GEOMETRY;
    if (total >= 65535ull * 16 * 63) {
        sectors = 255;
        heads = 16;
        rest = total / sectors;
    } else {
        sectors = 17;
        rest = total / sectors;
        heads = (rest + 1023) / 1024;
        if (heads < 4)
            heads = 4;
        if (rest >= heads * 1024 || heads > 16) {
            sectors = 31;
            heads = 16;
            rest = total / sectors;
        }
        if (rest >= heads * 1024) {
            sectors = 63;
            heads = 16;
            rest = total / sectors;
        }
    }
    put(out + AT_CYLINDERS, rest / heads, 2);
    put(out + AT_HEADS, heads, 1);
    put(out + AT_SECTORS, sectors, 1);
}

void vhd_fixed_footer(uint64_t size_bytes, const unsigned char uuid[VHD_UUID_BYTES],
                      int64_t unix_s, unsigned char out[VHD_FOOTER_BYTES])
{
    assert(size_bytes % SECTOR_BYTES == 0 && size_bytes <= VHD_MAX_BYTES);
    memset(out, 0, VHD_FOOTER_BYTES);
    memcpy(out + AT_COOKIE, "conectix", 8);
    put(out + AT_FEATURES, FEATURES, 4);
    put(out + AT_VERSION, VERSION_1, 4);
    put(out + AT_DATA_OFFSET, NO_DATA_BLOCK, 8);
    put(out + AT_TIME, (uint64_t)(unix_s > EPOCH_2000_S ? unix_s - EPOCH_2000_S : 0), 4);
    /* Readers that know this creator go by the size; others by the geometry, which
     * cannot express every size. */
    memcpy(out + AT_CREATOR, "win ", 4);
    put(out + AT_CREATOR_VERSION, 0x00060001, 4);
    memcpy(out + AT_CREATOR_OS, "Wi2k", 4);
    put(out + AT_ORIGINAL_SIZE, size_bytes, 8);
    put(out + AT_CURRENT_SIZE, size_bytes, 8);
    put_geometry(out, size_bytes);
    put(out + AT_TYPE, TYPE_FIXED, 4);
    memcpy(out + AT_UUID, uuid, VHD_UUID_BYTES);
    put(out + AT_CHECKSUM, sum_of(out, VHD_FOOTER_BYTES, AT_CHECKSUM), 4);
}

/* ---- reading ---- */

static bool is_footer(const unsigned char f[VHD_FOOTER_BYTES])
{
    return memcmp(f + AT_COOKIE, "conectix", 8) == 0 &&
           be32_at(f + AT_CHECKSUM) == sum_of(f, VHD_FOOTER_BYTES, AT_CHECKSUM);
}

/* The footer; of a dynamic disk its copy at the beginning when it is damaged, but not
 * when it is not there: then more is missing. */
static int read_footer(const struct blob *b, unsigned char f[VHD_FOOTER_BYTES],
                       struct err *e)
{
    if (b->len < 2 * VHD_FOOTER_BYTES)
        return err_set(e, ERR_INPUT, "%s is too short for a VHD", b->name);
    if (blob_read(b, f, VHD_FOOTER_BYTES, b->len - VHD_FOOTER_BYTES, e) < 0)
        return -1;
    if (memcmp(f + AT_COOKIE, "conectix", 8) != 0)
        return err_set(e, ERR_INPUT,
                       "%s: no VHD footer at byte %" PRIu64 ": the file is truncated",
                       b->name, b->len - VHD_FOOTER_BYTES);
    if (is_footer(f))
        return 0;
    if (blob_read(b, f, VHD_FOOTER_BYTES, 0, e) < 0)
        return -1;
    if (!is_footer(f))
        return err_set(e, ERR_INPUT, "%s: the footer of the VHD is damaged", b->name);
    return 0;
}

/* The disk's size is the footer's "current size". Virtual PC showed its guests what the
 * geometry says, a little less; the rest then reads as what is there. */
static int read_size(const struct blob *b, const unsigned char *footer, uint64_t *ret,
                     struct err *e)
{
    *ret = be64_at(footer + AT_CURRENT_SIZE);
    if (*ret == 0 || *ret % SECTOR_BYTES || *ret > BLOCKS_MAX_BYTES)
        return err_set(e, ERR_INPUT,
                       "%s: a VHD of a disk of %" PRIu64
                       " bytes: whole sectors and at most 64 TiB are read",
                       b->name, *ret);
    return 0;
}

static int open_fixed(const struct blob *b, uint64_t size, struct source **ret,
                      struct err *e)
{
    auto_blob struct blob *disk = NULL;

    if (size > b->len - VHD_FOOTER_BYTES)
        return err_set(e, ERR_INPUT,
                       "%s: a fixed VHD of %" PRIu64 " bytes in a file of %" PRIu64
                       ": it is truncated",
                       b->name, size, b->len);
    if (blob_slice(b, 0, size, b->name, &disk, e) < 0)
        return -1;
    return raw_open(disk, ret, e);
}

/* An entry is the sector of the block's bitmap, after which its data comes. The bitmap
 * says which sectors were ever written; the others are zeros in the file, too. */
static int vhd_place(const struct blocks *k, const struct blob *b, uint64_t i,
                     const void *entry, uint64_t *ret, struct err *e)
{
    uint32_t v = be32_at(entry);

    *ret = v == NO_BLOCK ? 0 : (uint64_t)v * SECTOR_BYTES + k->origin;
    return 0;
}

static int open_dynamic(const struct blob *b, uint64_t at, uint64_t size,
                        struct source **ret, struct err *e)
{
    struct blocks k = {
        .format = "vhd", .size_bytes = size, .entry_bytes = 4, .place = vhd_place};
    unsigned char h[HEADER_BYTES];

    if (at > b->len || sizeof h > b->len - at)
        return err_set(e, ERR_INPUT,
                       "%s: the header of the dynamic VHD is at byte %" PRIu64
                       " of %" PRIu64 ": it is truncated or damaged",
                       b->name, at, b->len);
    if (blob_read(b, h, sizeof h, at, e) < 0)
        return -1;
    if (memcmp(h, "cxsparse", 8) != 0 ||
        be32_at(h + AT_HEADER_CHECKSUM) != sum_of(h, sizeof h, AT_HEADER_CHECKSUM))
        return err_set(e, ERR_INPUT, "%s: the header of the dynamic VHD is damaged",
                       b->name);
    k.table_at = be64_at(h + AT_TABLE);
    k.block_bytes = be32_at(h + AT_BLOCK_SIZE);
    /* A bit per sector, in whole sectors. */
    k.origin = (k.block_bytes / SECTOR_BYTES / 8 + SECTOR_BYTES - 1) / SECTOR_BYTES *
               SECTOR_BYTES;
    k.first_data = VHD_FOOTER_BYTES + k.origin;
    return blocks_open_counted(b, &k, be32_at(h + AT_ENTRIES), ret, e);
}

int vhd_open(const struct blob *b, struct source **ret, struct err *e)
{
    unsigned char f[VHD_FOOTER_BYTES];
    uint64_t size, type;

    if (read_footer(b, f, e) < 0 || read_size(b, f, &size, e) < 0)
        return -1;
    type = be32_at(f + AT_TYPE);
    if (type == TYPE_FIXED)
        return open_fixed(b, size, ret, e);
    if (type == TYPE_DYNAMIC)
        return open_dynamic(b, be64_at(f + AT_DATA_OFFSET), size, ret, e);
    if (type == TYPE_DIFFERENCING)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: a differencing VHD: merge it with its parent first", b->name);
    return err_set(e, ERR_INPUT, "%s: a VHD of type %" PRIu64 ": its footer is damaged",
                   b->name, type);
}
