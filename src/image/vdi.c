/* A VDI (VirtualBox) as a source: what its header says, as blocks. Numbers in it are
 * little-endian. Source of the format: VirtualBox's src/VBox/Storage/VDICore.h;
 * docs/formats/vdi.md lists every rule. */
#include "image/blocks.h"

#include "base/bytes.h"

#include <inttypes.h>
#include <string.h>

#define HEADER_BYTES 0x188u
#define SECTOR_BYTES 512u
#define NO_BLOCK     UINT32_MAX       /* never written */
#define ZERO_BLOCK   (UINT32_MAX - 1) /* discarded */

enum { TYPE_DYNAMIC = 1, TYPE_STATIC = 2 };

/* Where each field is. */
enum {
    AT_VERSION = 0x44,
    AT_TYPE = 0x4c,
    AT_TABLE = 0x154,
    AT_DATA = 0x158,
    AT_SECTOR_SIZE = 0x168,
    AT_SIZE = 0x170,
    AT_BLOCK_SIZE = 0x178,
    AT_BLOCK_EXTRA = 0x17c,
    AT_BLOCKS = 0x180,
};

static int vdi_place(const struct blocks *k, const struct blob *b, uint64_t i,
                     const void *entry, uint64_t *ret, struct err *e)
{
    uint32_t v = le32_at(entry);

    *ret = v == NO_BLOCK || v == ZERO_BLOCK ? 0 : k->origin + v * k->block_bytes;
    return 0;
}

static int check_kind(const struct blob *b, const unsigned char *h, struct err *e)
{
    if (le32_at(h + AT_VERSION) >> 16 != 1)
        return err_set(e, ERR_UNSUPPORTED, "%s: a VDI of version %" PRIu32 ".%" PRIu32,
                       b->name, le32_at(h + AT_VERSION) >> 16,
                       le32_at(h + AT_VERSION) & 0xffff);
    if (le32_at(h + AT_TYPE) != TYPE_DYNAMIC && le32_at(h + AT_TYPE) != TYPE_STATIC)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: a VDI of type %" PRIu32 " (a snapshot): clone it with "
                       "VBoxManage clonemedium first",
                       b->name, le32_at(h + AT_TYPE));
    if (le32_at(h + AT_SECTOR_SIZE) != SECTOR_BYTES || le32_at(h + AT_BLOCK_EXTRA))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: a VDI with sectors of %" PRIu32 " bytes and %" PRIu32
                       " more at each block",
                       b->name, le32_at(h + AT_SECTOR_SIZE), le32_at(h + AT_BLOCK_EXTRA));
    return 0;
}

int vdi_open(const struct blob *b, struct source **ret, struct err *e)
{
    struct blocks k = {.format = "vdi", .entry_bytes = 4, .place = vdi_place};
    unsigned char h[HEADER_BYTES];

    if (b->len < sizeof h)
        return err_set(e, ERR_INPUT, "%s is too short for a VDI", b->name);
    if (blob_read(b, h, sizeof h, 0, e) < 0 || check_kind(b, h, e) < 0)
        return -1;
    k.size_bytes = le64_at(h + AT_SIZE);
    /* Some are no whole sectors. What is too large is refused below. */
    if (k.size_bytes <= BLOCKS_MAX_BYTES)
        k.size_bytes = (k.size_bytes + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES;
    k.block_bytes = le32_at(h + AT_BLOCK_SIZE);
    k.table_at = le32_at(h + AT_TABLE);
    k.origin = k.first_data = le32_at(h + AT_DATA);
    if (k.origin < HEADER_BYTES || k.table_at < HEADER_BYTES)
        return err_set(e, ERR_INPUT,
                       "%s: its data begins at byte %" PRIu64 ", its table at %" PRIu64
                       ": the header of the VDI is damaged",
                       b->name, k.origin, k.table_at);
    return blocks_open_counted(b, &k, le32_at(h + AT_BLOCKS), ret, e);
}
