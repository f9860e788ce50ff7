/* A VMDK as a source: its extents side by side, each sparse, flat or zero. Units are
 * runs of grains, or of file data between holes, and never cross an extent. All state
 * is in memory; a crash leaves nothing. */
#include "image/vmdk.h"

#include "base/str.h"
#include "image/unpack.h"

#include <assert.h>
#include <inttypes.h>

#define FLAT_ALIGN     4096u
#define UNIT_MAX       65536u
#define CACHED_TABLES  1024u /* of 2 KiB, for all extents of a disk together */
#define MAX_DESC_BYTES (1u << 20)
#define OLD_END_BYTES  6u /* a CID has 1 to 8 digits */

struct extent_reader {
    uint64_t start, len;   /* bytes of the disk */
    struct sparse *sparse; /* owned; sparse extents */
    struct blob *flat;     /* owned; flat extents: exactly their bytes */
};

struct vmdk {
    struct source base;
    struct unpack_pool *pool;      /* owned */
    struct extent_reader *extents; /* owned; ascending, no gaps */
    size_t n_extents;
};

static struct vmdk *self(struct source *s)
{
    return (struct vmdk *)s;
}

static const struct extent_reader *extent_at(const struct vmdk *v, uint64_t offset)
{
    size_t lo = 0, hi = v->n_extents - 1;

    while (lo < hi) {
        size_t mid = lo + (hi - lo + 1) / 2;

        if (v->extents[mid].start <= offset)
            lo = mid;
        else
            hi = mid - 1;
    }
    return &v->extents[lo];
}

static int vmdk_unit_at(struct source *s, uint64_t offset, uint64_t limit_bytes,
                        struct unit *ret, struct err *e)
{
    const struct extent_reader *x = extent_at(self(s), offset);
    uint64_t in = offset - x->start, len = x->len - in;
    bool data = false;

    if (x->sparse &&
        sparse_unit_at(x->sparse, in, x->len, limit_bytes, &data, &len, e) < 0)
        return -1;
    if (x->flat && blob_unit_at(x->flat, in, x->len - in, limit_bytes, s->unit_align,
                                &data, &len, e) < 0)
        return -1;
    *ret = (struct unit){.offset = offset,
                         .len = len,
                         .kind = data ? UNIT_DATA : UNIT_ZERO,
                         .cookie = {(uint64_t)(x - self(s)->extents)}};
    return 0;
}

static int vmdk_fetch(struct source *s, const struct unit *u, void *buf, struct err *e)
{
    const struct extent_reader *x = &self(s)->extents[u->cookie[0]];

    assert(u->kind == UNIT_DATA);
    if (x->sparse)
        return sparse_read(x->sparse, buf, u->len, u->offset - x->start, e);
    return blob_read(x->flat, buf, u->len, u->offset - x->start, e);
}

static void vmdk_free(struct source *s)
{
    struct vmdk *v = self(s);

    for (size_t i = 0; i < v->n_extents; i++) {
        sparse_free(v->extents[i].sparse);
        blob_free(v->extents[i].flat);
    }
    free(v->extents);
    unpack_pool_free(v->pool);
    free(s->desc);
    free(v);
}

static const struct source_ops vmdk_ops = {
    .name = "vmdk", .unit_at = vmdk_unit_at, .fetch = vmdk_fetch, .free = vmdk_free};

static int open_flat(const struct blob *file, const struct vmdk_extent_line *line,
                     struct extent_reader *x, struct err *e)
{
    if (line->offset_bytes > file->len ||
        line->len_bytes > file->len - line->offset_bytes)
        return err_set(e, ERR_INPUT,
                       "%s ends at byte %" PRIu64 ", its descriptor wants %" PRIu64
                       " bytes from byte %" PRIu64 " on: the file is truncated",
                       file->name, file->len, line->len_bytes, line->offset_bytes);
    blob_advise_sequential(file);
    return blob_slice(file, line->offset_bytes, line->len_bytes, file->name, &x->flat, e);
}

/* Where the file of an extent is: `inside` for a descriptor within a sparse file, which
 * always means that file (its name may have changed), else beside the descriptor. */
static int open_extent(struct vmdk *v, const struct vmdk_extent_line *line,
                       size_t cache_tables, const struct blob *inside,
                       const struct image_dir *dir, const struct image_options *opt,
                       struct err *e)
{
    struct extent_reader *x = &v->extents[v->n_extents];
    auto_blob struct blob *file = NULL;

    x->start = v->base.size_bytes;
    x->len = line->len_bytes;
    v->n_extents++;
    v->base.size_bytes += line->len_bytes;
    if (line->kind == VMDK_ZERO)
        return 0;
    if (!inside && !dir)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: its data is in other files (\"%s\"), which cannot be reached "
                       "from here",
                       v->base.desc, line->file);
    if (!inside && image_dir_open(dir, line->file, v->base.desc, &file, e) < 0)
        return -1;
    if (line->kind == VMDK_FLAT)
        return open_flat(inside ? inside : file, line, x, e);
    blob_advise_sequential(inside ? inside : file);
    return sparse_open(inside ? inside : file, line->len_bytes, cache_tables, v->pool,
                       opt, &x->sparse, e);
}

/* Largest power of two up to `limit` that divides v. */
static uint32_t power_in(uint64_t v, uint32_t limit)
{
    while (limit > VMDK_SECTOR && v % limit)
        limit /= 2;
    return limit;
}

static void set_units(struct vmdk *v)
{
    struct source *s = &v->base;
    bool all_sparse = true;

    s->unit_align = 1u << 30;
    s->unit_max_bytes = UNIT_MAX;
    for (size_t i = 0; i < v->n_extents; i++) {
        const struct extent_reader *x = &v->extents[i];
        uint32_t align = FLAT_ALIGN;

        if (x->sparse) {
            align = (uint32_t)sparse_grain_bytes(x->sparse);
            if (align > s->unit_max_bytes)
                s->unit_max_bytes = align;
            s->data_bytes_hint += sparse_data_bytes(x->sparse);
        } else {
            all_sparse = false;
        }
        if (x->flat)
            s->data_bytes_hint += blob_allocated_bytes(x->flat);
        align = x->start ? power_in(x->start, align) : align;
        s->unit_align = align < s->unit_align ? align : s->unit_align;
    }
    /* Units of a disk that is partly flat need not be as large as its grains. */
    if (!all_sparse && s->unit_align > FLAT_ALIGN)
        s->unit_align = FLAT_ALIGN;
}

static size_t tables_per_extent(const struct vmdk_desc *d)
{
    size_t n = 0;

    vec_foreach (x, &d->extents)
        n += x->kind == VMDK_SPARSE;
    return n < CACHED_TABLES ? CACHED_TABLES / (n ? n : 1) : 1;
}

static int build(const struct blob *b, const struct vmdk_desc *d,
                 const struct blob *inside, const struct image_dir *dir,
                 const struct image_options *opt, struct source **ret, struct err *e)
{
    struct vmdk *v = mem_zalloc(1, sizeof *v, e);
    auto_source struct source *s = NULL;

    if (!v)
        return -1;
    s = &v->base;
    s->ops = &vmdk_ops;
    s->desc = str_dup(b->name, e);
    v->extents = mem_zalloc(d->extents.n, sizeof *v->extents, e);
    if (!s->desc || !v->extents || unpack_pool_new(&v->pool, e) < 0)
        return -1;
    vec_foreach (line, &d->extents)
        if (open_extent(v, line, tables_per_extent(d), inside, dir, opt, e) < 0)
            return -1;
    set_units(v);
    *ret = take_ptr(s);
    return 0;
}

/* A descriptor inside of a sparse extent describes that extent and nothing else. */
static int check_inside(const struct blob *b, const struct vmdk_desc *d, struct err *e)
{
    if (d->extents.n != 1 || d->extents.v[0].kind != VMDK_SPARSE)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: its own descriptor lists %zu extents of other kinds; one "
                       "sparse extent is expected",
                       b->name, d->extents.n);
    return 0;
}

static int open_monolithic(const struct blob *b, const struct image_options *opt,
                           struct source **ret, struct err *e)
{
    struct vmdk_desc d = {0};
    auto_free char *text = NULL;
    struct vmdk_header h;
    int r;

    if (vmdk_header_read(b, &h, e) < 0)
        return -1;
    if (!h.desc_len)
        return err_set(e, ERR_USAGE,
                       "%s is one extent of a VMDK that is split in several files: name "
                       "the small .vmdk file that lists them",
                       b->name);
    text = mem_zalloc(h.desc_len + 1, 1, e);
    if (!text || blob_read(b, text, h.desc_len, h.desc_offset, e) < 0 ||
        vmdk_desc_parse(text, h.desc_len, b->name, &d, e) < 0)
        return -1;
    r = check_inside(b, &d, e);
    if (r == 0)
        r = build(b, &d, b, NULL, opt, ret, e);
    vmdk_desc_release(&d);
    return r;
}

/* Whether what follows the text in a descriptor's file is what writers leave there: NULs
 * up to whole sectors, behind the end of an older text. QEMU writes a descriptor in place
 * when it changes the CID, and one with fewer digits leaves up to 6 bytes, which are the
 * same as the text's own end (block/vmdk.c: vmdk_write_cid). */
static bool is_padding(const char *text, size_t len, size_t file_len)
{
    size_t at = len + 1, left;

    if (len == file_len)
        return true;
    left = strlen(text + at);
    if (left > OLD_END_BYTES || left > len || memcmp(text + len - left, text + at, left))
        return false;
    for (at += left; at < file_len; at++)
        if (text[at])
            return false;
    return true;
}

/* The whole descriptor file. */
static int read_descriptor(const struct blob *b, char **ret, size_t *ret_len,
                           struct err *e)
{
    auto_free char *text = NULL;
    size_t len;

    if (b->len > MAX_DESC_BYTES)
        return err_set(e, ERR_INPUT, "%s: a VMDK descriptor of %" PRIu64 " bytes",
                       b->name, b->len);
    text = mem_zalloc(b->len + 1, 1, e);
    if (!text || blob_read(b, text, b->len, 0, e) < 0)
        return -1;
    len = strlen(text);
    if (!is_padding(text, len, b->len))
        return err_set(e, ERR_INPUT, "%s: a NUL at byte %zu of the VMDK descriptor",
                       b->name, len);
    *ret = take_ptr(text);
    *ret_len = len;
    return 0;
}

int vmdk_open(const struct blob *b, enum image_format format, const struct image_dir *dir,
              const struct image_options *opt, struct source **ret, struct err *e)
{
    struct vmdk_desc d = {0};
    auto_free char *text = NULL;
    size_t len = 0;
    int r;

    if (format == FORMAT_VMDK_SPARSE)
        return open_monolithic(b, opt, ret, e);
    if (read_descriptor(b, &text, &len, e) < 0 ||
        vmdk_desc_parse(text, len, b->name, &d, e) < 0)
        return -1;
    r = build(b, &d, NULL, dir, opt, ret, e);
    vmdk_desc_release(&d);
    return r;
}
