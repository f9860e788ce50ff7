/* The grains of a sparse VMDK extent: a grain directory of grain tables of entries, each
 * the sector of 4 KiB to 2 MiB of data.
 *
 * Everything in both levels is checked when the extent is opened, in one pass over the
 * tables; the directory then stays in memory (four bytes per 32 MiB of disk), with tables
 * that hold nothing marked as absent, and tables come through a small cache. An entry is
 * checked again when a cached table is loaded, so a file that changes under us is an
 * error at worst. */
#include "base/str.h"
#include "image/grain.h"

#include <assert.h>
#include <endian.h>
#include <inttypes.h>
#include <pthread.h>

#define READ_BATCH   64u        /* tables read at once, when they lie together */
#define ADVISE_AHEAD 512u       /* tables announced to the kernel before */
#define IN_WINDOW    (1u << 20) /* compressed bytes read at once */
#define GRAIN_BATCH  128u       /* entries looked up at once while fetching */
#define MAX_BITMAP   (16ull << 20)
#define NO_TABLE     UINT32_MAX

struct slot {
    uint32_t table; /* NO_TABLE: empty */
    uint32_t entries[VMDK_GT_SIZE];
};

struct sparse {
    struct blob *blob; /* owned */
    struct vmdk_header h;
    uint64_t len_bytes; /* of the extent, at most h.capacity_bytes */
    uint32_t *gd;       /* owned; sector of each table, 0: all of it is zeros */
    uint64_t n_data_grains;
    struct unpack_pool *pool; /* borrowed */
    pthread_mutex_t lock;     /* guards the slots' contents */
    struct slot *slots;       /* owned; table t lives in slot t % n_slots */
    size_t n_slots;
};

/* ------------------------------------------------------------------ validation */

/* State of the pass over all tables. */
struct pass {
    struct sparse *s;
    uint32_t *gd;         /* the directory being read */
    const uint32_t *twin; /* the other directory, to be compared with; or NULL */
    uint8_t *seen;        /* a bit per grain-sized piece of the file; or NULL */
    const char *which;    /* "grain" or "redundant grain" */
    uint64_t n_data_grains;
};

static bool overlaps(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

/* Bytes of grain g that belong to the disk. */
static uint64_t grain_len(const struct sparse *s, uint64_t g)
{
    uint64_t left = s->h.capacity_bytes - g * s->h.grain_bytes;

    return left < s->h.grain_bytes ? left : s->h.grain_bytes;
}

static bool is_zero_entry(const struct sparse *s, uint32_t entry)
{
    return entry == 0 || (entry == 1 && s->h.zero_entries);
}

/* Is this entry of grain g either zeros or a place that can hold a grain? */
static int check_entry(const struct sparse *s, uint64_t g, uint32_t entry, struct err *e)
{
    uint64_t at = (uint64_t)entry * VMDK_SECTOR, need = grain_len(s, g);
    const struct vmdk_header *h = &s->h;

    if (is_zero_entry(s, entry))
        return 0;
    if (h->compressed)
        need = GRAIN_MARKER_BYTES + 1;
    if (at > s->blob->len || need > s->blob->len - at)
        return err_set(e, ERR_INPUT,
                       "%s: the data of disk byte %" PRIu64 " is at byte %" PRIu64
                       ", but the file ends at %" PRIu64
                       ": it is truncated or its tables are damaged",
                       s->blob->name, g * h->grain_bytes, at, s->blob->len);
    if (overlaps(at, need, 0, VMDK_SECTOR) ||
        overlaps(at, need, h->desc_offset, h->desc_len) ||
        overlaps(at, need, h->gd_offset, h->n_tables * 4) ||
        (h->rgd_offset && overlaps(at, need, h->rgd_offset, h->n_tables * 4)))
        return err_set(e, ERR_INPUT,
                       "%s: the data of disk byte %" PRIu64 " is at byte %" PRIu64
                       ", inside the file's own tables: they are damaged",
                       s->blob->name, g * h->grain_bytes, at);
    return 0;
}

/* Plain grains fill the file side by side: two that begin in the same grain-sized piece
 * of it overlap. (Compressed ones are checked when they are read: each names its
 * sector.) */
static int check_unique(struct pass *p, uint64_t g, uint32_t entry, struct err *e)
{
    uint64_t piece = (uint64_t)entry * VMDK_SECTOR / p->s->h.grain_bytes;
    uint8_t bit = (uint8_t)(1u << piece % 8);

    if (!p->seen)
        return 0;
    if (p->seen[piece / 8] & bit)
        return err_set(e, ERR_INPUT,
                       "%s: the data of disk byte %" PRIu64 " (byte %" PRIu64
                       " of the file) overlaps that of another: the tables are damaged",
                       p->s->blob->name, g * p->s->h.grain_bytes,
                       (uint64_t)entry * VMDK_SECTOR);
    p->seen[piece / 8] |= bit;
    return 0;
}

static int check_table(struct pass *p, uint64_t table, const uint32_t *entries,
                       struct err *e)
{
    uint64_t first = table * VMDK_GT_SIZE, before = p->n_data_grains;
    uint64_t n = p->s->h.n_grains - first;

    for (uint64_t i = 0; i < n && i < VMDK_GT_SIZE; i++) {
        uint32_t entry = le32toh(entries[i]);

        if (is_zero_entry(p->s, entry))
            continue;
        if (check_entry(p->s, first + i, entry, e) < 0 ||
            check_unique(p, first + i, entry, e) < 0)
            return -1;
        p->n_data_grains++;
    }
    if (p->n_data_grains == before)
        p->gd[table] = 0;
    return 0;
}

static int compare_twin(struct pass *p, uint64_t table, const uint32_t *entries,
                        struct err *e)
{
    uint32_t other[VMDK_GT_SIZE] = {0};
    uint64_t at = (uint64_t)p->twin[table] * VMDK_SECTOR;

    if (at && blob_read(p->s->blob, other, sizeof other, at, e) < 0)
        return -1;
    if (memcmp(other, entries, sizeof other) != 0)
        return err_set(e, ERR_INPUT,
                       "%s was not closed cleanly, and its two copies of grain table "
                       "%" PRIu64
                       " differ: open the VM in VMware once, or repair the disk with "
                       "vmware-vdiskmanager -R",
                       p->s->blob->name, table);
    return 0;
}

static int check_place(const struct pass *p, uint64_t table, struct err *e)
{
    uint64_t at = (uint64_t)p->gd[table] * VMDK_SECTOR, len = p->s->blob->len;

    if (at && (at > len || VMDK_GT_BYTES > len - at))
        return err_set(e, ERR_INPUT,
                       "%s: entry %" PRIu64 " of the %s directory points to byte %" PRIu64
                       ", but the file ends at %" PRIu64
                       ": it is truncated or its directory is damaged",
                       p->s->blob->name, table, p->which, at, len);
    return 0;
}

/* Tables that follow each other in the file, from `table` on; at least one. */
static uint64_t together(const struct pass *p, uint64_t table)
{
    uint64_t n = 1;

    while (n < READ_BATCH && table + n < p->s->h.n_tables && p->gd[table] &&
           p->gd[table + n] == p->gd[table] + n * (VMDK_GT_BYTES / VMDK_SECTOR))
        n++;
    return n;
}

static int check_tables(struct pass *p, struct err *e)
{
    static const uint32_t absent[VMDK_GT_SIZE];
    auto_free uint32_t *buf = mem_zalloc(READ_BATCH, VMDK_GT_BYTES, e);
    uint64_t n_tables = p->s->h.n_tables, n;

    if (!buf)
        return -1;
    for (uint64_t t = 0; t < n_tables; t++)
        if (check_place(p, t, e) < 0)
            return -1;
    for (uint64_t t = 0, advised = 0; t < n_tables; t += n) {
        uint64_t at = (uint64_t)p->gd[t] * VMDK_SECTOR;

        for (; advised < n_tables && advised < t + ADVISE_AHEAD; advised++)
            if (p->gd[advised])
                blob_advise_willneed(p->s->blob, (uint64_t)p->gd[advised] * VMDK_SECTOR,
                                     VMDK_GT_BYTES);
        n = together(p, t);
        if (at && blob_read(p->s->blob, buf, n * VMDK_GT_BYTES, at, e) < 0)
            return -1;
        for (uint64_t i = 0; i < n; i++) {
            const uint32_t *entries = at ? buf + i * VMDK_GT_SIZE : absent;

            if ((p->twin && compare_twin(p, t + i, entries, e) < 0) ||
                check_table(p, t + i, entries, e) < 0)
                return -1;
        }
    }
    return 0;
}

static int read_directory(const struct sparse *s, uint64_t at, uint32_t **ret,
                          struct err *e)
{
    auto_free uint32_t *gd = mem_zalloc(s->h.n_tables, sizeof *gd, e);

    if (!gd || blob_read(s->blob, gd, s->h.n_tables * 4, at, e) < 0)
        return -1;
    for (uint64_t i = 0; i < s->h.n_tables; i++)
        gd[i] = le32toh(gd[i]);
    *ret = take_ptr(gd);
    return 0;
}

/* One directory with all its tables; on success it becomes the extent's. */
static int load(struct sparse *s, uint64_t gd_offset, uint64_t twin_offset,
                const char *which, struct err *e)
{
    uint64_t pieces = s->blob->len / s->h.grain_bytes + 1;
    auto_free uint32_t *gd = NULL, *twin = NULL;
    auto_free uint8_t *seen = NULL;
    struct pass p = {.s = s, .which = which};

    if (gd_offset == 0)
        return err_set(e, ERR_INPUT, "%s: its header names no %s directory",
                       s->blob->name, which);
    if (read_directory(s, gd_offset, &gd, e) < 0 ||
        (twin_offset && read_directory(s, twin_offset, &twin, e) < 0))
        return -1;
    if (!s->h.compressed && pieces / 8 < MAX_BITMAP) {
        seen = mem_zalloc(pieces / 8 + 1, 1, e);
        if (!seen)
            return -1;
    }
    p.gd = gd;
    p.twin = twin;
    p.seen = seen;
    for (uint64_t i = 0; twin && i < s->h.n_tables; i++) {
        struct pass other = {.s = s, .gd = twin, .which = "redundant grain"};

        if (check_place(&other, i, e) < 0)
            return -1;
    }
    if (check_tables(&p, e) < 0)
        return -1;
    s->gd = take_ptr(gd);
    s->n_data_grains = p.n_data_grains;
    return 0;
}

static int load_best(struct sparse *s, const struct image_options *opt, struct err *e)
{
    struct err second = ERR_INIT;
    uint64_t twin = s->h.unclean ? s->h.rgd_offset : 0;

    if (load(s, s->h.gd_offset, twin, "grain", e) == 0)
        return 0;
    /* With an unclean disk nothing says which copy is right. */
    if (!s->h.rgd_offset || s->h.unclean || e->kind != ERR_INPUT)
        return -1;
    if (load(s, s->h.rgd_offset, 0, "redundant grain", &second) < 0)
        return -1; /* the first copy's damage is the one to report */
    image_note(opt, "%s; its redundant grain directory is sound and is used instead",
               e->msg);
    err_clear(e);
    return 0;
}

int sparse_open(const struct blob *b, uint64_t len_bytes, size_t cache_tables,
                struct unpack_pool *pool, const struct image_options *opt,
                struct sparse **ret, struct err *e)
{
    struct sparse *s = mem_zalloc(1, sizeof *s, e);

    if (!s)
        return -1;
    pthread_mutex_init(&s->lock, NULL);
    s->pool = pool;
    s->len_bytes = len_bytes;
    if (blob_slice(b, 0, b->len, b->name, &s->blob, e) < 0 ||
        vmdk_header_read(b, &s->h, e) < 0)
        goto fail;
    /* Some writers round the capacity up to whole grains. */
    if (len_bytes > s->h.capacity_bytes ||
        s->h.capacity_bytes - len_bytes >= s->h.grain_bytes) {
        err_set(e, ERR_INPUT,
                "%s: its header says %" PRIu64 " bytes, its descriptor %" PRIu64
                ": the file is damaged",
                b->name, s->h.capacity_bytes, len_bytes);
        goto fail;
    }
    if (load_best(s, opt, e) < 0)
        goto fail;
    s->n_slots = cache_tables < s->h.n_tables ? cache_tables : s->h.n_tables;
    s->slots = mem_zalloc(s->n_slots, sizeof *s->slots, e);
    if (!s->slots)
        goto fail;
    for (size_t i = 0; i < s->n_slots; i++)
        s->slots[i].table = NO_TABLE;
    *ret = s;
    return 0;

fail:
    sparse_free(s);
    return -1;
}

void sparse_free(struct sparse *s)
{
    if (!s)
        return;
    blob_free(s->blob);
    free(s->gd);
    free(s->slots);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

uint64_t sparse_grain_bytes(const struct sparse *s)
{
    return s->h.grain_bytes;
}

uint64_t sparse_data_bytes(const struct sparse *s)
{
    uint64_t bytes = s->n_data_grains * s->h.grain_bytes;

    return bytes < s->len_bytes ? bytes : s->len_bytes;
}

/* --------------------------------------------------------------------- look-up */

/* Entries [from, from+n) of a table that is there. The file is read without the lock. */
static int table_entries(struct sparse *s, uint32_t table, unsigned from, unsigned n,
                         uint32_t *out, struct err *e)
{
    struct slot *slot = &s->slots[table % s->n_slots];
    uint64_t first = (uint64_t)table * VMDK_GT_SIZE;
    uint32_t entries[VMDK_GT_SIZE];
    bool hit;

    pthread_mutex_lock(&s->lock);
    hit = slot->table == table;
    if (hit)
        memcpy(out, slot->entries + from, n * sizeof *out);
    pthread_mutex_unlock(&s->lock);
    if (hit)
        return 0;
    if (blob_read(s->blob, entries, sizeof entries, (uint64_t)s->gd[table] * VMDK_SECTOR,
                  e) < 0)
        return -1;
    for (unsigned i = 0; i < VMDK_GT_SIZE; i++) {
        entries[i] = first + i < s->h.n_grains ? le32toh(entries[i]) : 0;
        if (check_entry(s, first + i, entries[i], e) < 0)
            return -1;
    }
    pthread_mutex_lock(&s->lock);
    slot->table = table;
    memcpy(slot->entries, entries, sizeof entries);
    pthread_mutex_unlock(&s->lock);
    memcpy(out, entries + from, n * sizeof *out);
    return 0;
}

/* Entries of grains [g, g+n), with those of zeros made 0. */
static int lookup(struct sparse *s, uint64_t g, unsigned n, uint32_t *out, struct err *e)
{
    while (n) {
        uint32_t table = (uint32_t)(g / VMDK_GT_SIZE);
        unsigned from = (unsigned)(g % VMDK_GT_SIZE), take = VMDK_GT_SIZE - from;

        take = take < n ? take : n;
        if (!s->gd[table])
            memset(out, 0, take * sizeof *out);
        else if (table_entries(s, table, from, take, out, e) < 0)
            return -1;
        for (unsigned i = 0; i < take; i++)
            if (is_zero_entry(s, out[i]))
                out[i] = 0;
        g += take;
        out += take;
        n -= take;
    }
    return 0;
}

/* First grain from g on, before `end`, whose being data differs from `data`; else end. */
static int run_end(struct sparse *s, uint64_t g, uint64_t end, bool data, uint64_t *ret,
                   struct err *e)
{
    uint32_t entries[GRAIN_BATCH];

    while (g < end) {
        uint64_t table = g / VMDK_GT_SIZE, n = end - g;

        if (!data && !s->gd[table]) {
            g = (table + 1) * VMDK_GT_SIZE;
            continue;
        }
        n = n < GRAIN_BATCH ? n : GRAIN_BATCH;
        if (lookup(s, g, (unsigned)n, entries, e) < 0)
            return -1;
        for (uint64_t i = 0; i < n; i++, g++)
            if ((entries[i] != 0) != data) {
                *ret = g;
                return 0;
            }
    }
    *ret = end;
    return 0;
}

int sparse_unit_at(struct sparse *s, uint64_t offset, uint64_t end, uint64_t limit,
                   bool *ret_data, uint64_t *ret_len, struct err *e)
{
    uint64_t grain = s->h.grain_bytes, g = offset / grain, last, stop;
    uint32_t entry;

    assert(offset < end && end <= s->len_bytes);
    if (lookup(s, g, 1, &entry, e) < 0)
        return -1;
    if (entry && limit < end - offset)
        end = offset + limit;
    last = (end + grain - 1) / grain;
    if (run_end(s, g, last, entry != 0, &stop, e) < 0)
        return -1;
    *ret_data = entry != 0;
    *ret_len = (stop * grain < end ? stop * grain : end) - offset;
    return 0;
}

/* ----------------------------------------------------------------------- fetch */

/* Plain grains that follow each other in the file: one read. Returns how many. */
static int read_plain(struct sparse *s, const struct unpack_want *w, uint64_t g,
                      const uint32_t *entries, unsigned n, unsigned *ret_n, struct err *e)
{
    uint64_t sectors = s->h.grain_bytes / VMDK_SECTOR, skip, len, total = 0;
    unsigned k = 0;
    uint8_t *out = unpack_part(w, s->h.grain_bytes, g, &skip, &len);

    while (k < n && entries[k] == entries[0] + k * sectors) {
        uint64_t ignored;

        unpack_part(w, s->h.grain_bytes, g + k, &ignored, &len);
        total += len;
        k++;
    }
    *ret_n = k;
    return blob_read(s->blob, out, total, (uint64_t)entries[0] * VMDK_SECTOR + skip, e);
}

/* Where the record of entries[i] must end at the latest: at the next grain when that is
 * known and near, at the largest record, at the end of the file. */
static uint64_t record_end(const struct sparse *s, const uint32_t *entries, unsigned i,
                           unsigned n)
{
    uint64_t at = (uint64_t)entries[i] * VMDK_SECTOR;
    uint64_t end = at + grain_max_record(s->h.grain_bytes);

    if (i + 1 < n && entries[i + 1] > entries[i] &&
        (uint64_t)entries[i + 1] * VMDK_SECTOR < end)
        end = (uint64_t)entries[i + 1] * VMDK_SECTOR;
    return end < s->blob->len ? end : s->blob->len;
}

static int decode_one(struct sparse *s, struct unpack_tools *t,
                      const struct unpack_want *w, uint64_t g, const uint8_t *in,
                      uint64_t in_len, uint64_t at, struct err *e)
{
    uint64_t grain = s->h.grain_bytes, skip, len;
    uint8_t *out = unpack_part(w, s->h.grain_bytes, g, &skip, &len);
    bool whole = len == grain;

    if (grain_decode(t, in, in_len, g * (grain / VMDK_SECTOR), whole ? out : t->out,
                     grain, grain_len(s, g), s->blob->name, at, e) < 0)
        return -1;
    if (!whole)
        memcpy(out, t->out + skip, len);
    return 0;
}

/* Compressed grains whose records ascend and fit the window: one read, then each is
 * decoded into its place. `known` entries are valid, the first n wanted: the one after
 * them says where the last record ends. Returns how many were done. */
static int read_compressed(struct sparse *s, struct unpack_tools *t,
                           const struct unpack_want *w, uint64_t g,
                           const uint32_t *entries, unsigned n, unsigned known,
                           unsigned *ret_n, struct err *e)
{
    uint64_t start = (uint64_t)entries[0] * VMDK_SECTOR;
    uint64_t end = record_end(s, entries, 0, known);
    unsigned k = 1;

    while (k < n && entries[k] > entries[k - 1] &&
           record_end(s, entries, k, known) - start <= t->in_len) {
        end = record_end(s, entries, k, known);
        k++;
    }
    if (blob_read(s->blob, t->in, end - start, start, e) < 0)
        return -1;
    for (unsigned i = 0; i < k; i++) {
        uint64_t at = (uint64_t)entries[i] * VMDK_SECTOR;
        uint64_t stop = record_end(s, entries, i, known);

        if (decode_one(s, t, w, g + i, t->in + (at - start), stop - at, at, e) < 0)
            return -1;
    }
    *ret_n = k;
    return 0;
}

/* The entries of one batch, whatever they are. */
static int read_batch(struct sparse *s, struct unpack_tools *t,
                      const struct unpack_want *w, uint64_t g, const uint32_t *entries,
                      unsigned n, unsigned known, struct err *e)
{
    for (unsigned i = 0, done; i < n; i += done) {
        unsigned run = i;
        uint64_t skip, len;

        while (run < n && entries[run])
            run++;
        if (run == i) {
            uint8_t *out = unpack_part(w, s->h.grain_bytes, g + i, &skip, &len);

            memset(out, 0, len);
            done = 1;
        } else if (!s->h.compressed) {
            if (read_plain(s, w, g + i, entries + i, run - i, &done, e) < 0)
                return -1;
        } else {
            unsigned beyond = run < known && entries[run] ? 1 : 0;

            if (read_compressed(s, t, w, g + i, entries + i, run - i, run - i + beyond,
                                &done, e) < 0)
                return -1;
        }
    }
    return 0;
}

static int read_all(struct sparse *s, struct unpack_tools *t, const struct unpack_want *w,
                    struct err *e)
{
    uint64_t g = w->offset / s->h.grain_bytes;
    uint64_t end = (w->offset + w->len + s->h.grain_bytes - 1) / s->h.grain_bytes;
    uint32_t entries[GRAIN_BATCH + 1];

    while (g < end) {
        unsigned n = end - g < GRAIN_BATCH ? (unsigned)(end - g) : GRAIN_BATCH;
        unsigned known = g + n < s->h.n_grains ? n + 1 : n;

        if (lookup(s, g, known, entries, e) < 0 ||
            read_batch(s, t, w, g, entries, n, known, e) < 0)
            return -1;
        g += n;
    }
    return 0;
}

int sparse_read(struct sparse *s, void *buf, uint64_t len, uint64_t offset, struct err *e)
{
    struct unpack_want w = {.buf = buf, .offset = offset, .len = len};
    uint64_t window = grain_max_record(s->h.grain_bytes);
    struct unpack_tools *t = NULL;
    int r;

    assert(offset <= s->len_bytes && len <= s->len_bytes - offset);
    if (!s->h.compressed)
        return read_all(s, NULL, &w, e);
    window = window > IN_WINDOW ? window : IN_WINDOW;
    if (unpack_get(s->pool, window, s->h.grain_bytes, &t, e) < 0)
        return -1;
    r = read_all(s, t, &w, e);
    unpack_put(s->pool, t);
    return r;
}
