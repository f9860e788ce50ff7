/* The footer of a fixed VHD; see vhd.h. Numbers in it are big-endian. */
#include "image/vhd.h"

#include <assert.h>
#include <string.h>

#define SECTOR_BYTES  512
#define EPOCH_2000_S  946684800 /* its times count from there */
#define MAX_GEOMETRY  (65535ull * 16 * 255)
#define TYPE_FIXED    2
#define FEATURES      2 /* "reserved: must always be set" */
#define VERSION_1     0x00010000
#define NO_DATA_BLOCK UINT64_MAX /* fixed disks have no header at an offset */

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
    uint32_t sum = 0;

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
    for (int i = 0; i < VHD_FOOTER_BYTES; i++)
        sum += out[i];
    put(out + AT_CHECKSUM, ~sum, 4);
}
