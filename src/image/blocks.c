/* Blocks as a source; see blocks.h. The table is checked as a whole when the disk is
 * opened and read in small parts afterwards, so memory does not grow with the disk; an
 * entry is checked again whenever it is used. Keeps nothing; a crash leaves nothing. */
#include "image/blocks.h"

#include "base/str.h"

#include <assert.h>
#include <inttypes.h>

#define UNIT_ALIGN 4096u
#define UNIT_MAX   65536u
#define BATCH      512u /* entries read at once */
#define MAX_BITMAP (16ull << 20)
#define MAX_BLOCK  (256u << 20)

struct blocksrc {
    struct source base;
    struct source_ops ops; /* with the format's name */
    struct blob *blob;     /* owned */
    struct blocks k;
};

static struct blocksrc *self(struct source *s)
{
    return (struct blocksrc *)s;
}

/* Place of block i's entry in the table. */
static uint64_t entry_index(const struct blocks *k, uint64_t i)
{
    return k->group ? i + i / k->group : i;
}

/* Bytes of block i that belong to the disk. */
static uint64_t block_len(const struct blocks *k, uint64_t i)
{
    uint64_t left = k->size_bytes - i * k->block_bytes;

    return left < k->block_bytes ? left : k->block_bytes;
}

static int check_inside(const struct blocksrc *s, uint64_t i, uint64_t at, struct err *e)
{
    const struct blocks *k = &s->k;
    uint64_t len = s->blob->len, need = block_len(k, i);

    if (at > len || need > len - at)
        return err_set(e, ERR_INPUT,
                       "%s: the data of disk byte %" PRIu64 " is at byte %" PRIu64
                       ", but the file ends at %" PRIu64
                       ": it is truncated or its table is damaged",
                       s->blob->name, i * k->block_bytes, at, len);
    if (at < k->first_data ||
        (at < k->table_at + k->table_len && k->table_at < at + need))
        return err_set(e, ERR_INPUT,
                       "%s: the data of disk byte %" PRIu64 " is at byte %" PRIu64
                       ", inside the file's own tables: they are damaged",
                       s->blob->name, i * k->block_bytes, at);
    return 0;
}

/* Places of blocks i, i+1, … (0: zeros): up to `n`, at most BATCH; returns how many, or
 * -1. */
static int places(const struct blocksrc *s, uint64_t i, uint64_t n, uint64_t out[BATCH],
                  struct err *e)
{
    const struct blocks *k = &s->k;
    uint64_t first = entry_index(k, i), last, words[BATCH];
    const char *entries = (const char *)words;

    n = n < BATCH / 2 ? n : BATCH / 2; /* at worst every second is of another kind */
    last = entry_index(k, i + n - 1);
    if (blob_read(s->blob, words, (last - first + 1) * k->entry_bytes,
                  k->table_at + first * k->entry_bytes, e) < 0)
        return -1;
    for (uint64_t j = 0; j < n; j++) {
        const char *entry = entries + (entry_index(k, i + j) - first) * k->entry_bytes;

        if (k->place(k, s->blob, i + j, entry, &out[j], e) < 0 ||
            (out[j] && check_inside(s, i + j, out[j], e) < 0))
            return -1;
    }
    return (int)n;
}

static int blocks_unit_at(struct source *s, uint64_t offset, uint64_t limit_bytes,
                          struct unit *ret, struct err *e)
{
    const struct blocks *k = &self(s)->k;
    uint64_t block = k->block_bytes, i = offset / block, end = (i + 1) * block;
    uint64_t at[BATCH];
    int n = places(self(s), i, k->n_blocks - i, at, e);

    if (n < 0)
        return -1;
    *ret = (struct unit){.offset = offset};
    if (at[0]) {
        ret->kind = UNIT_DATA;
        ret->cookie[0] = at[0] + offset % block;
        for (int j = 1; j < n && at[j] == at[0] + (uint64_t)j * block; j++)
            end += block;
        end = end < offset + limit_bytes ? end : offset + limit_bytes;
    } else {
        ret->kind = UNIT_ZERO;
        for (int j = 1; j < n && !at[j]; j++)
            end += block;
    }
    ret->len = (end < s->size_bytes ? end : s->size_bytes) - offset;
    return 0;
}

static int blocks_fetch(struct source *s, const struct unit *u, void *buf, struct err *e)
{
    return blob_read(self(s)->blob, buf, u->len, u->cookie[0], e);
}

static void blocks_free(struct source *s)
{
    blob_free(self(s)->blob);
    free(s->desc);
    free(self(s));
}

/* Two blocks that begin in the same block-sized piece of the file overlap. */
static int take_place(const struct blocksrc *s, uint64_t i, uint64_t at, uint8_t *taken,
                      struct err *e)
{
    uint64_t piece = at / s->k.block_bytes;
    uint8_t bit = (uint8_t)(1u << piece % 8);

    if (taken[piece / 8] & bit)
        return err_set(e, ERR_INPUT,
                       "%s: the data of disk byte %" PRIu64 " (byte %" PRIu64
                       " of the file) overlaps that of another: the table is damaged",
                       s->blob->name, i * s->k.block_bytes, at);
    taken[piece / 8] |= bit;
    return 0;
}

/* Every entry, once; and how much data there is. */
static int check_table(struct blocksrc *s, struct err *e)
{
    uint64_t pieces = s->blob->len / s->k.block_bytes + 1, at[BATCH], data = 0;
    auto_free uint8_t *taken = NULL;
    int n;

    if (pieces / 8 < MAX_BITMAP) {
        taken = mem_zalloc(1, pieces / 8 + 1, e);
        if (!taken)
            return -1;
    }
    for (uint64_t i = 0; i < s->k.n_blocks; i += (uint64_t)n) {
        n = places(s, i, s->k.n_blocks - i, at, e);
        if (n < 0)
            return -1;
        for (int j = 0; j < n; j++) {
            if (!at[j])
                continue;
            if (taken && take_place(s, i + (uint64_t)j, at[j], taken, e) < 0)
                return -1;
            data += block_len(&s->k, i + (uint64_t)j);
        }
    }
    s->base.data_bytes_hint = data;
    return 0;
}

int blocks_open(const struct blob *b, const struct blocks *k, struct source **ret,
                struct err *e)
{
    struct blocksrc *v = mem_zalloc(1, sizeof *v, e);
    auto_source struct source *s = NULL;

    if (!v)
        return -1;
    assert(k->block_bytes % UNIT_ALIGN == 0 &&
           (k->entry_bytes == 4 || k->entry_bytes == 8));
    v->k = *k;
    v->ops = (struct source_ops){.name = k->format,
                                 .unit_at = blocks_unit_at,
                                 .fetch = blocks_fetch,
                                 .free = blocks_free};
    s = &v->base;
    s->ops = &v->ops;
    s->size_bytes = k->size_bytes;
    s->unit_align = UNIT_ALIGN;
    s->unit_max_bytes = UNIT_MAX;
    s->desc = str_dup(b->name, e);
    if (!s->desc || blob_slice(b, 0, b->len, b->name, &v->blob, e) < 0 ||
        check_table(v, e) < 0)
        return -1;
    blob_advise_sequential(b);
    *ret = take_ptr(s);
    return 0;
}

int blocks_open_counted(const struct blob *b, struct blocks *k, uint64_t entries,
                        struct source **ret, struct err *e)
{
    uint64_t block = k->block_bytes;

    if (k->size_bytes == 0 || k->size_bytes > BLOCKS_MAX_BYTES || block < UNIT_ALIGN ||
        block > MAX_BLOCK || (block & (block - 1)))
        return err_set(e, ERR_INPUT,
                       "%s: a disk of %" PRIu64 " bytes in blocks of %" PRIu64
                       " bytes: the header is damaged",
                       b->name, k->size_bytes, block);
    k->n_blocks = (k->size_bytes + block - 1) / block;
    k->table_len = k->n_blocks * k->entry_bytes;
    if (k->n_blocks > entries)
        return err_set(e, ERR_INPUT,
                       "%s: a table of %" PRIu64 " blocks, where the disk has %" PRIu64
                       ": the header is damaged",
                       b->name, entries, k->n_blocks);
    if (k->table_at > b->len || k->table_len > b->len - k->table_at)
        return err_set(e, ERR_INPUT,
                       "%s: the table of blocks (%" PRIu64 " bytes at byte %" PRIu64
                       ") does not lie inside the file of %" PRIu64
                       " bytes: it is truncated or damaged",
                       b->name, k->table_len, k->table_at, b->len);
    return blocks_open(b, k, ret, e);
}
