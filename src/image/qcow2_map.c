/* The structures before a qcow2's data: the header, and the two levels of tables that say
 * where each cluster is. All tables are read once when the image is opened; the first
 * level stays in memory, the second is read, and checked, again whenever it is used, so
 * memory does not grow with the disk. */
#include "image/qcow2.h"

#include "base/bytes.h"
#include "base/minmax.h"
#include "base/str.h"

#include <endian.h>
#include <inttypes.h>

#define HEADER_V2     72u
#define HEADER_V3     104u
#define HEADER_MAX    112u
#define OFFSET_MASK   0x00fffffffffffe00ull /* bits 9 to 55 of an entry of either level */
#define ENTRY_PACKED  (1ull << 62)
#define ENTRY_ZERO    1ull
#define PACKED_SECTOR 512u
#define ADVISE_AHEAD  16u /* tables announced to the kernel before */

/* "Header", incompatible features */
enum { DIRTY = 1, CORRUPT = 2, DATA_FILE = 4, COMPRESSION = 8, EXTENDED_L2 = 16 };

/* ---- the header ---- */

#define FLATTEN "flatten it first: qemu-img convert -O qcow2 IN OUT"

/* What cannot be read, or would make a reader open other files. */
static int refuse(const struct blob *b, const unsigned char *h, uint64_t features,
                  struct err *e)
{
    if (be64_at(h + 8))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: a qcow2 overlay on a backing file: " FLATTEN, b->name);
    if (be32_at(h + 32))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: an encrypted qcow2: decrypt it first with qemu-img convert",
                       b->name);
    if (features & DATA_FILE)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: a qcow2 with its data in another file: " FLATTEN, b->name);
    if (features & CORRUPT)
        return err_set(e, ERR_INPUT,
                       "%s: its header says it is corrupt: qemu-img check -r all repairs "
                       "it if that is possible",
                       b->name);
    features &= ~(uint64_t)(DIRTY | COMPRESSION | EXTENDED_L2);
    if (features)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: a qcow2 with features that hotadd does not know (0x%" PRIx64
                       "): " FLATTEN,
                       b->name, features);
    return 0;
}

static int read_features(const struct blob *b, const unsigned char *h,
                         struct qcow2_header *q, struct err *e)
{
    uint64_t features = be64_at(h + 72);
    uint32_t len = be32_at(h + 100);
    unsigned type = len > HEADER_V3 ? h[HEADER_V3] : 0;

    if (len < HEADER_V3 || len % 8)
        return err_set(e, ERR_INPUT, "%s: a qcow2 header of %" PRIu32 " bytes: damaged",
                       b->name, len);
    if (refuse(b, h, features, e) < 0)
        return -1;
    if (type > 1 || (type != 0) != ((features & COMPRESSION) != 0))
        return err_set(e, ERR_UNSUPPORTED, "%s: a qcow2 with compression of type %u",
                       b->name, type);
    q->zstd = type == 1;
    q->zero_flag = true;
    if (features & EXTENDED_L2) {
        q->n_subs = QCOW2_SUBS;
        q->entry_bytes = 16;
    }
    return 0;
}

/* "Header": sizes, and where the first table is. */
static int read_geometry(const struct blob *b, const unsigned char *h,
                         struct qcow2_header *q, struct err *e)
{
    uint32_t entries = be32_at(h + 36);

    q->cluster_bits = be32_at(h + 20);
    q->size_bytes = be64_at(h + 24);
    q->l1_at = be64_at(h + 40);
    if (q->cluster_bits < 9 || q->cluster_bits > 21 ||
        (q->n_subs > 1 && q->cluster_bits < 14))
        return err_set(e, ERR_INPUT,
                       "%s: a qcow2 with clusters of 2^%" PRIu32
                       " bytes: its header is damaged",
                       b->name, q->cluster_bits);
    if (q->size_bytes == 0 || q->size_bytes > QCOW2_MAX_BYTES || q->size_bytes % 512)
        return err_set(e, ERR_INPUT,
                       "%s: a qcow2 of a disk of %" PRIu64
                       " bytes: whole sectors and at most 64 TiB are read",
                       b->name, q->size_bytes);
    q->cluster_bytes = 1ull << q->cluster_bits;
    q->n_clusters = (q->size_bytes + q->cluster_bytes - 1) >> q->cluster_bits;
    q->table_clusters = q->cluster_bytes / q->entry_bytes;
    q->n_tables = (q->n_clusters + q->table_clusters - 1) / q->table_clusters;
    if (q->n_tables > entries || q->n_tables * 8 > QCOW2_MAX_L1)
        return err_set(e, ERR_INPUT,
                       "%s: a qcow2 with a first table of %" PRIu32
                       " entries, where its disk needs %" PRIu64 ": it is damaged",
                       b->name, entries, q->n_tables);
    if (q->l1_at % q->cluster_bytes || q->l1_at > b->len ||
        q->n_tables * 8 > b->len - q->l1_at)
        return err_set(e, ERR_INPUT,
                       "%s: the first table (%" PRIu64 " bytes at byte %" PRIu64
                       ") does not lie inside the file of %" PRIu64
                       " bytes: it is truncated or damaged",
                       b->name, q->n_tables * 8, q->l1_at, b->len);
    return 0;
}

int qcow2_header_read(const struct blob *b, struct qcow2_header *ret, struct err *e)
{
    struct qcow2_header q = {.n_subs = 1, .entry_bytes = 8};
    unsigned char h[HEADER_MAX] = {0};
    uint32_t version;

    if (b->len < HEADER_V2)
        return err_set(e, ERR_INPUT, "%s is too short for a qcow2", b->name);
    if (blob_read(b, h, b->len < sizeof h ? (size_t)b->len : sizeof h, 0, e) < 0)
        return -1;
    version = be32_at(h + 4);
    if (version != 2 && version != 3)
        return err_set(e, ERR_UNSUPPORTED, "%s: qcow2 of version %" PRIu32, b->name,
                       version);
    if (version == 3 ? read_features(b, h, &q, e) < 0 : refuse(b, h, 0, e) < 0)
        return -1;
    if (read_geometry(b, h, &q, e) < 0)
        return -1;
    *ret = q;
    return 0;
}

/* ---- entries of the second level ---- */

/* Bytes of cluster c that belong to the disk. */
static uint64_t cluster_len(const struct qcow2_header *h, uint64_t c)
{
    return min64(h->cluster_bytes, h->size_bytes - c * h->cluster_bytes);
}

static int damaged(const struct qcow2_map *m, uint64_t c, const char *how, struct err *e)
{
    return err_set(e, ERR_INPUT,
                   "%s: the table's entry of disk byte %" PRIu64 " %s: it is damaged",
                   m->blob->name, c * m->h.cluster_bytes, how);
}

static int check_inside(const struct qcow2_map *m, uint64_t c, uint64_t at, uint64_t need,
                        struct err *e)
{
    if (at > m->blob->len || need > m->blob->len - at)
        return err_set(e, ERR_INPUT,
                       "%s: the data of disk byte %" PRIu64 " is at byte %" PRIu64
                       ", but the file ends at %" PRIu64
                       ": it is truncated or its tables are damaged",
                       m->blob->name, c * m->h.cluster_bytes, at, m->blob->len);
    return 0;
}

/* "Compressed Clusters Descriptor": the byte where it begins, and the sectors it reaches
 * into beyond the first. The last may end inside its sectors, and so may the file. */
static int take_packed(const struct qcow2_map *m, uint64_t c, uint64_t entry,
                       struct qcow2_place *ret, struct err *e)
{
    unsigned shift = 62 - (m->h.cluster_bits - 8);
    uint64_t at = entry & ((1ull << shift) - 1);
    uint64_t sectors = (entry & (ENTRY_PACKED - 1)) >> shift;
    uint64_t len = (sectors + 1) * PACKED_SECTOR - at % PACKED_SECTOR;

    if (check_inside(m, c, at, 1, e) < 0)
        return -1;
    *ret = (struct qcow2_place){.at = at,
                                .packed = (uint32_t)min64(len, m->blob->len - at),
                                .present = UINT32_MAX};
    return 0;
}

/* "Standard Cluster Descriptor", and "Extended L2 Entries" for the bitmap. */
static int take_plain(const struct qcow2_map *m, uint64_t c, uint64_t entry,
                      uint64_t bitmap, struct qcow2_place *ret, struct err *e)
{
    uint32_t present = (uint32_t)bitmap, zeros = (uint32_t)(bitmap >> 32);
    uint64_t at = entry & OFFSET_MASK, sub = m->h.cluster_bytes / m->h.n_subs;
    uint64_t end;

    if (m->h.n_subs == 1) {
        if (entry & ENTRY_ZERO && !m->h.zero_flag)
            return damaged(m, c, "has a flag of a later version", e);
        present = at && !(entry & ENTRY_ZERO) ? UINT32_MAX : 0;
    } else if (entry & ENTRY_ZERO || present & zeros || (present && !at)) {
        return damaged(m, c, "contradicts itself", e);
    }
    *ret = (struct qcow2_place){.at = at, .present = present};
    if (!present)
        return 0;
    if (at % m->h.cluster_bytes)
        return damaged(m, c, "names no whole cluster", e);
    end = m->h.n_subs == 1 ? sub : (32 - (uint64_t)__builtin_clz(present)) * sub;
    return check_inside(m, c, at, min64(end, cluster_len(&m->h, c)), e);
}

int qcow2_map_at(const struct qcow2_map *m, uint64_t c, uint64_t n,
                 struct qcow2_place out[QCOW2_BATCH], uint64_t *ret_n, bool *ret_absent,
                 struct err *e)
{
    uint64_t table = c / m->h.table_clusters, first = c % m->h.table_clusters;
    uint64_t words[QCOW2_BATCH * 2];
    unsigned step = m->h.entry_bytes / 8;

    n = min64(min64(n, m->h.table_clusters - first), m->h.n_clusters - c);
    *ret_absent = !m->l1[table];
    if (!*ret_absent) {
        n = min64(n, QCOW2_BATCH);
        if (blob_read(m->blob, words, n * m->h.entry_bytes,
                      m->l1[table] + first * m->h.entry_bytes, e) < 0)
            return -1;
    }
    for (uint64_t i = 0; i < n && !*ret_absent; i++) {
        uint64_t entry = be64toh(words[i * step]);
        uint64_t bitmap = step > 1 ? be64toh(words[i * step + 1]) : 0;

        if (entry & ENTRY_PACKED ? take_packed(m, c + i, entry, &out[i], e) < 0
                                 : take_plain(m, c + i, entry, bitmap, &out[i], e) < 0)
            return -1;
    }
    *ret_n = n;
    return 0;
}

/* ---- all of it, once ---- */

static int read_l1(struct qcow2_map *m, struct err *e)
{
    uint64_t present = 0, len = m->blob->len;

    m->l1 = mem_zalloc(m->h.n_tables, sizeof *m->l1, e);
    if (!m->l1 || blob_read(m->blob, m->l1, m->h.n_tables * 8, m->h.l1_at, e) < 0)
        return -1;
    for (uint64_t i = 0; i < m->h.n_tables; i++) {
        uint64_t at = be64toh(m->l1[i]) & OFFSET_MASK;

        m->l1[i] = at;
        if (!at)
            continue;
        if (at % m->h.cluster_bytes || at > len || m->h.cluster_bytes > len - at)
            return err_set(e, ERR_INPUT,
                           "%s: entry %" PRIu64 " of the first table points to byte "
                           "%" PRIu64 " of a file of %" PRIu64
                           ": it is truncated or the table is damaged",
                           m->blob->name, i, at, len);
        /* Nor can reading them cost more than reading the file. */
        if (++present > len / m->h.cluster_bytes)
            return err_set(e, ERR_INPUT,
                           "%s: its first table names more tables than the file has "
                           "room for: it is damaged",
                           m->blob->name);
    }
    return 0;
}

/* Bytes of data in a cluster: what is compressed counts as what it becomes. */
static uint64_t data_in(const struct qcow2_map *m, const struct qcow2_place *p)
{
    if (m->h.n_subs == 1)
        return p->present ? m->h.cluster_bytes : 0;
    return (uint64_t)__builtin_popcount(p->present) * (m->h.cluster_bytes / QCOW2_SUBS);
}

static int read_table(struct qcow2_map *m, uint64_t table, struct err *e)
{
    uint64_t c = table * m->h.table_clusters, n, before = m->data_bytes;
    uint64_t end = min64(c + m->h.table_clusters, m->h.n_clusters);
    struct qcow2_place places[QCOW2_BATCH];
    bool absent;

    for (; c < end; c += n) {
        if (qcow2_map_at(m, c, end - c, places, &n, &absent, e) < 0)
            return -1;
        for (uint64_t i = 0; i < n && !absent; i++) {
            m->data_bytes += data_in(m, &places[i]);
            m->any_packed |= places[i].packed != 0;
        }
    }
    if (m->data_bytes == before)
        m->l1[table] = 0;
    return 0;
}

int qcow2_map_open(const struct blob *b, struct qcow2_map *ret, struct err *e)
{
    struct qcow2_map m = {0};

    if (qcow2_header_read(b, &m.h, e) < 0 ||
        blob_slice(b, 0, b->len, b->name, &m.blob, e) < 0 || read_l1(&m, e) < 0)
        goto fail;
    for (uint64_t i = 0, advised = 0; i < m.h.n_tables; i++) {
        for (; advised < m.h.n_tables && advised < i + ADVISE_AHEAD; advised++)
            if (m.l1[advised])
                blob_advise_willneed(m.blob, m.l1[advised], m.h.cluster_bytes);
        if (read_table(&m, i, e) < 0)
            goto fail;
    }
    m.data_bytes = min64(m.data_bytes, m.h.size_bytes);
    *ret = m;
    return 0;

fail:
    qcow2_map_release(&m);
    return -1;
}

void qcow2_map_release(struct qcow2_map *m)
{
    blob_free(m->blob);
    free(m->l1);
    *m = (struct qcow2_map){0};
}
