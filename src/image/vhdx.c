/* A VHDX (Hyper-V) as a source: blocks of 1 to 256 MiB, each somewhere in the file or
 * nowhere. The table that says where is checked as a whole when the disk is opened and
 * read in small parts afterwards, so memory does not grow with the disk; an entry is
 * checked again whenever it is used. Keeps nothing; a crash leaves nothing. */
#include "image/vhdx.h"

#include "base/str.h"

#include <endian.h>
#include <inttypes.h>

#define UNIT_ALIGN 4096u
#define UNIT_MAX   65536u
#define BATCH      512u /* entries read at once */

/* States of a block, [MS-VHDX] 2.5.1.1. What was trimmed or never defined reads as
 * zeros: that is one of the things the format allows. */
enum { NOT_PRESENT, UNDEFINED, ZERO, UNMAPPED, FULLY_PRESENT = 6 };

struct vhdx {
    struct source base;
    struct blob *blob; /* owned */
    struct vhdx_layout l;
};

static struct vhdx *self(struct source *s)
{
    return (struct vhdx *)s;
}

/* Place of block i's entry: bitmap entries stand between them. */
static uint64_t entry_index(const struct vhdx *v, uint64_t i)
{
    return i + i / v->l.chunk_blocks;
}

/* Bytes of block i that belong to the disk. */
static uint64_t block_len(const struct vhdx *v, uint64_t i)
{
    uint64_t left = v->l.size_bytes - i * v->l.block_bytes;

    return left < v->l.block_bytes ? left : v->l.block_bytes;
}

/* 0 when the block reads as zeros, else where it is in the file. */
static int check_entry(const struct vhdx *v, uint64_t i, uint64_t entry, uint64_t *ret,
                       struct err *e)
{
    uint64_t at = entry & ~(uint64_t)(VHDX_MIB - 1), len = v->blob->len;
    unsigned state = entry & 7;

    *ret = 0;
    if (state <= UNMAPPED)
        return 0;
    if (state != FULLY_PRESENT)
        return err_set(e, ERR_INPUT,
                       "%s: the block of disk byte %" PRIu64
                       " is in state %u: the table is damaged",
                       v->blob->name, i * v->l.block_bytes, state);
    if (at < VHDX_MIB || at > len || block_len(v, i) > len - at)
        return err_set(e, ERR_INPUT,
                       "%s: the data of disk byte %" PRIu64 " is at byte %" PRIu64
                       ", but the file ends at %" PRIu64
                       ": it is truncated or its table is damaged",
                       v->blob->name, i * v->l.block_bytes, at, len);
    *ret = at;
    return 0;
}

/* Places of blocks i, i+1, … : up to `n`, at most BATCH; returns how many, or -1. */
static int places(const struct vhdx *v, uint64_t i, uint64_t n, uint64_t out[BATCH],
                  struct err *e)
{
    uint64_t first = entry_index(v, i), last;
    uint64_t entries[BATCH];

    n = n < BATCH / 2 ? n : BATCH / 2; /* at worst every second is a bitmap's */
    last = entry_index(v, i + n - 1);
    if (blob_read(v->blob, entries, (last - first + 1) * 8, v->l.bat_offset + first * 8,
                  e) < 0)
        return -1;
    for (uint64_t k = 0; k < n; k++)
        if (check_entry(v, i + k, le64toh(entries[entry_index(v, i + k) - first]),
                        &out[k], e) < 0)
            return -1;
    return (int)n;
}

static int vhdx_unit_at(struct source *s, uint64_t offset, uint64_t limit_bytes,
                        struct unit *ret, struct err *e)
{
    const struct vhdx *v = self(s);
    uint64_t block = v->l.block_bytes, i = offset / block, end = (i + 1) * block;
    uint64_t at[BATCH];
    int n = places(v, i, v->l.n_blocks - i, at, e);

    if (n < 0)
        return -1;
    *ret = (struct unit){.offset = offset};
    if (at[0]) {
        ret->kind = UNIT_DATA;
        ret->cookie[0] = at[0] + offset % block;
        end = end < offset + limit_bytes ? end : offset + limit_bytes;
    } else {
        ret->kind = UNIT_ZERO;
        for (int k = 1; k < n && !at[k]; k++)
            end += block;
    }
    ret->len = (end < s->size_bytes ? end : s->size_bytes) - offset;
    return 0;
}

static int vhdx_fetch(struct source *s, const struct unit *u, void *buf, struct err *e)
{
    return blob_read(self(s)->blob, buf, u->len, u->cookie[0], e);
}

static void vhdx_free(struct source *s)
{
    blob_free(self(s)->blob);
    free(s->desc);
    free(self(s));
}

static const struct source_ops vhdx_ops = {
    .name = "vhdx", .unit_at = vhdx_unit_at, .fetch = vhdx_fetch, .free = vhdx_free};

static bool in_table(const struct vhdx *v, uint64_t at, uint64_t len)
{
    return at < v->l.bat_offset + v->l.bat_len && v->l.bat_offset < at + len;
}

/* Marks the file's MiB that a block takes; each may be taken once. */
static int take_place(const struct vhdx *v, uint64_t i, uint64_t at, uint8_t *taken,
                      struct err *e)
{
    uint64_t len = block_len(v, i), first = at / VHDX_MIB;
    uint64_t n = (len + VHDX_MIB - 1) / VHDX_MIB;
    bool twice = in_table(v, at, len);

    for (uint64_t k = first; k < first + n; k++) {
        twice |= taken[k / 8] >> k % 8 & 1;
        taken[k / 8] |= (uint8_t)(1u << k % 8);
    }
    if (twice)
        return err_set(e, ERR_INPUT,
                       "%s: the data of disk byte %" PRIu64 " (byte %" PRIu64
                       " of the file) overlaps something else: the table is damaged",
                       v->blob->name, i * v->l.block_bytes, at);
    return 0;
}

/* Every entry, once; and how much data there is. */
static int check_table(struct vhdx *v, struct err *e)
{
    uint64_t mib = v->blob->len / VHDX_MIB + 1, at[BATCH], data = 0;
    auto_free uint8_t *taken = NULL;
    int n;

    if (mib > VHDX_MAX_BYTES / VHDX_MIB * 2)
        return err_set(e, ERR_UNSUPPORTED, "%s: a VHDX of %" PRIu64 " bytes",
                       v->blob->name, v->blob->len);
    taken = mem_zalloc(1, mib / 8 + 1, e);
    if (!taken)
        return -1;
    for (uint64_t i = 0; i < v->l.n_blocks; i += (uint64_t)n) {
        n = places(v, i, v->l.n_blocks - i, at, e);
        if (n < 0)
            return -1;
        for (int k = 0; k < n; k++) {
            if (!at[k])
                continue;
            if (take_place(v, i + (uint64_t)k, at[k], taken, e) < 0)
                return -1;
            data += block_len(v, i + (uint64_t)k);
        }
    }
    v->base.data_bytes_hint = data;
    return 0;
}

int vhdx_open(const struct blob *b, struct source **ret, struct err *e)
{
    struct vhdx *v = mem_zalloc(1, sizeof *v, e);
    auto_source struct source *s = NULL;

    if (!v)
        return -1;
    s = &v->base;
    s->ops = &vhdx_ops;
    s->unit_align = UNIT_ALIGN;
    s->unit_max_bytes = UNIT_MAX;
    s->desc = str_dup(b->name, e);
    if (!s->desc || blob_slice(b, 0, b->len, b->name, &v->blob, e) < 0 ||
        vhdx_layout_read(b, &v->l, e) < 0 || check_table(v, e) < 0)
        return -1;
    s->size_bytes = v->l.size_bytes;
    blob_advise_sequential(b);
    *ret = take_ptr(s);
    return 0;
}
