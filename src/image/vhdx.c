/* A VHDX (Hyper-V) as a source: what its layout says, as blocks. */
#include "image/vhdx.h"

#include "base/bytes.h"
#include "image/blocks.h"

#include <inttypes.h>

/* States of a block, [MS-VHDX] 2.5.1.1. What was trimmed or never defined reads as
 * zeros: that is one of the things the format allows. */
enum { NOT_PRESENT, UNDEFINED, ZERO, UNMAPPED, FULLY_PRESENT = 6 };

static int vhdx_place(const struct blocks *k, const struct blob *b, uint64_t i,
                      const void *entry, uint64_t *ret, struct err *e)
{
    uint64_t v = le64_at(entry);
    unsigned state = v & 7;

    *ret = 0;
    if (state <= UNMAPPED)
        return 0;
    if (state != FULLY_PRESENT)
        return err_set(e, ERR_INPUT,
                       "%s: the block of disk byte %" PRIu64
                       " is in state %u: the table is damaged",
                       b->name, i * k->block_bytes, state);
    *ret = v & ~(VHDX_MIB - 1ull);
    if (!*ret)
        return err_set(e, ERR_INPUT,
                       "%s: the data of disk byte %" PRIu64
                       " is at byte 0: the table is damaged",
                       b->name, i * k->block_bytes);
    return 0;
}

int vhdx_open(const struct blob *b, struct source **ret, struct err *e)
{
    struct vhdx_layout l;

    if (vhdx_layout_read(b, &l, e) < 0)
        return -1;
    return blocks_open(b,
                       &(struct blocks){
                           .format = "vhdx",
                           .size_bytes = l.size_bytes,
                           .block_bytes = l.block_bytes,
                           .n_blocks = l.n_blocks,
                           .table_at = l.bat_offset,
                           .table_len = l.bat_len,
                           .first_data = VHDX_MIB,
                           .entry_bytes = 8,
                           .group = l.chunk_blocks,
                           .place = vhdx_place,
                       },
                       ret, e);
}
