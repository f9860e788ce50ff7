/* Transaction logs of hives; see hivelog.h.
 *
 * Entries are gathered from both logs and checked before anything is applied, to a copy:
 * a hive is replayed as a whole or not at all. */
#include "guest/windows/hivelog.h"

#include "base/bytes.h"
#include "base/vec.h"
#include "guest/windows/hive.h"

#include <string.h>

#define BASE_BYTES   4096u
#define PAGE_BYTES   4096u
#define SECTOR_BYTES 512u
#define ENTRY_HEAD   40u
#define MAX_ENTRIES  100000u
/* Largest difference of sequence numbers that is taken for order, not for wrapping. */
#define HALF 0x80000000u

uint32_t hivelog_checksum(const void *base_block)
{
    const unsigned char *p = base_block;
    uint32_t x = 0;

    for (size_t i = 0; i < 508; i += 4)
        x ^= le32_at(p + i);
    return x == UINT32_MAX ? UINT32_MAX - 1 : x == 0 ? 1 : x;
}

static uint32_t rotl(uint32_t v, int n)
{
    return v << n | v >> (32 - n);
}

static void mix(uint32_t *a, uint32_t *b)
{
    *b ^= *a;
    *a = rotl(*a, 20) + *b;
    *b = rotl(*b, 9) ^ *a;
    *a = rotl(*a, 27) + *b;
    *b = rotl(*b, 19);
}

uint64_t marvin32(uint64_t seed, const void *data, size_t len)
{
    const unsigned char *p = data;
    uint32_t a = (uint32_t)seed, b = (uint32_t)(seed >> 32), last = 0x80;

    for (; len >= 4; p += 4, len -= 4) {
        a += le32_at(p);
        mix(&a, &b);
    }
    while (len)
        last = last << 8 | p[--len];
    a += last;
    mix(&a, &b);
    mix(&a, &b);
    return (uint64_t)b << 32 | a;
}

struct hive_header hivelog_header(const void *data, size_t len)
{
    const unsigned char *p = data;
    struct hive_header h = {.state = HIVE_NO_HIVE};

    if (len < BASE_BYTES || memcmp(p, "regf", 4) != 0)
        return h;
    h.primary = le32_at(p + 4);
    h.secondary = le32_at(p + 8);
    h.checksum_ok = le32_at(p + 508) == hivelog_checksum(p);
    h.state = h.primary == h.secondary && h.checksum_ok ? HIVE_CLEAN : HIVE_DIRTY;
    return h;
}

/* ---- the entries of one log ---- */

struct entry {
    const unsigned char *at;
    uint32_t size, sequence, bins_bytes, pages;
};

struct log {
    const unsigned char *base; /* its copy of the base block, checked; NULL: none */
    struct VEC(struct entry) entries; /* consecutive */
    const char *fault;                /* why there are none; NULL: there are */
};

/* Hashes, sizes and places of one entry. */
static bool parse_entry(const unsigned char *p, size_t len, struct entry *ret)
{
    struct entry x = {.at = p};
    uint64_t data;

    if (len < ENTRY_HEAD || memcmp(p, "HvLE", 4) != 0)
        return false;
    x.size = le32_at(p + 4);
    x.sequence = le32_at(p + 12);
    x.bins_bytes = le32_at(p + 16);
    x.pages = le32_at(p + 20);
    if (x.size < SECTOR_BYTES || x.size % SECTOR_BYTES || x.size > len ||
        x.bins_bytes % PAGE_BYTES || !x.bins_bytes ||
        x.bins_bytes > HIVE_MAX_BYTES - BASE_BYTES)
        return false;
    if (marvin32(HIVELOG_SEED, p + ENTRY_HEAD, x.size - ENTRY_HEAD) != le64_at(p + 24) ||
        marvin32(HIVELOG_SEED, p, 32) != le64_at(p + 32))
        return false;
    data = ENTRY_HEAD + (uint64_t)x.pages * 8;
    for (uint32_t i = 0; i < x.pages && data <= x.size; i++) {
        uint32_t offset = le32_at(p + ENTRY_HEAD + 8 * i),
                 size = le32_at(p + ENTRY_HEAD + 8 * i + 4);

        /* The references are inside the entry: their end was checked with data. */
        if ((uint64_t)offset + size > x.bins_bytes)
            return false;
        data += size;
    }
    if (data > x.size)
        return false;
    *ret = x;
    return true;
}

static int read_entries(struct log *l, const unsigned char *p, size_t len, struct err *e)
{
    size_t at = SECTOR_BYTES;
    struct entry x;

    while (at < len && l->entries.n < MAX_ENTRIES && parse_entry(p + at, len - at, &x)) {
        if (l->entries.n && x.sequence != l->entries.v[l->entries.n - 1].sequence + 1)
            break; /* left from before the log was begun anew */
        if (vec_push(&l->entries, x, e) < 0)
            return -1;
        at += x.size;
    }
    if (!l->entries.n)
        l->fault = "no whole entry";
    return 0;
}

static int read_log(struct log *l, const void *data, size_t len, struct err *e)
{
    const unsigned char *p = data;

    if (len < 2 * SECTOR_BYTES) {
        l->fault = "empty";
        return 0;
    }
    if (!memcmp(p + SECTOR_BYTES, "DIRT", 4)) {
        l->fault = "of the format before Windows 8.1";
        return 0;
    }
    if (memcmp(p, "regf", 4) != 0) {
        l->fault = "no log";
        return 0;
    }
    if (le32_at(p + 508) == hivelog_checksum(p))
        l->base = p;
    return read_entries(l, p, len, e);
}

static void log_release(struct log *l)
{
    vec_release(&l->entries);
}

/* ---- which entries, in which order ---- */

static bool before(uint32_t a, uint32_t b)
{
    return (uint32_t)(a - b) >= HALF;
}

/* Entries that the hive has already are no harm at the beginning and are passed over. */
static void drop_applied(struct log *l, uint32_t secondary)
{
    size_t n = 0;

    while (n < l->entries.n && before(l->entries.v[n].sequence, secondary))
        n++;
    if (!n)
        return;
    l->entries.n -= n;
    memmove(l->entries.v, l->entries.v + n, l->entries.n * sizeof l->entries.v[0]);
    if (!l->entries.n)
        l->fault = "only entries that the hive has already";
}

static uint32_t first_of(const struct log *l)
{
    return l->entries.v[0].sequence;
}

static uint32_t last_of(const struct log *l)
{
    return l->entries.v[l->entries.n - 1].sequence;
}

/* *a becomes the older of those that have entries; *b NULL when only one has. */
static int order(struct log *l, uint32_t secondary, struct log **a, struct log **b,
                 struct err *e)
{
    if (!l[0].entries.n && !l[1].entries.n)
        return err_set(e, ERR_INPUT,
                       "its logs cannot be replayed: .LOG1 is %s, .LOG2 is %s",
                       l[0].fault, l[1].fault);
    if (!l[0].entries.n || !l[1].entries.n) {
        *a = l[0].entries.n ? &l[0] : &l[1];
        *b = NULL;
        if (first_of(*a) != secondary)
            return err_set(e, ERR_INPUT,
                           "its log begins with change %u and the hive has got as far as "
                           "%u: changes between are lost",
                           first_of(*a), secondary);
        return 0;
    }
    *a = before(first_of(&l[0]), first_of(&l[1])) ? &l[0] : &l[1];
    *b = *a == &l[0] ? &l[1] : &l[0];
    /* With both logs in use Windows may have written older changes to the hive without
     * saying so in its header; then the older log begins later than the header says. */
    if (first_of(*b) != last_of(*a) + 1)
        return err_set(e, ERR_INPUT,
                       "its logs do not join: one ends with change %u, the other begins "
                       "with %u",
                       last_of(*a), first_of(*b));
    return 0;
}

/* ---- applying ---- */

static int apply_entry(struct buf *hive, const struct entry *x, struct err *e)
{
    uint64_t end = BASE_BYTES + (uint64_t)x->bins_bytes;
    const unsigned char *refs = x->at + ENTRY_HEAD, *data = refs + 8 * (size_t)x->pages;

    if (hive->len < end) {
        size_t more = (size_t)(end - hive->len);

        if (buf_reserve(hive, more, e) < 0)
            return -1;
        memset(hive->data + hive->len, 0, more);
        hive->len = (size_t)end;
    }
    for (uint32_t i = 0; i < x->pages; i++) {
        uint32_t offset = le32_at(refs + 8 * i), size = le32_at(refs + 8 * i + 4);

        memcpy(hive->data + BASE_BYTES + offset, data, size);
        data += size;
    }
    le32_put((unsigned char *)hive->data + 4, x->sequence);
    le32_put((unsigned char *)hive->data + 8, x->sequence);
    le32_put((unsigned char *)hive->data + 40, x->bins_bytes);
    return 0;
}

static int apply_log(struct buf *hive, const struct log *l, struct err *e)
{
    vec_foreach (x, &l->entries)
        if (apply_entry(hive, x, e) < 0)
            return -1;
    return 0;
}

static int replay(struct buf *hive, struct log *l, uint32_t *ret, struct err *e)
{
    struct hive_header h = hivelog_header(hive->data, hive->len);
    struct log *a, *b;
    unsigned char *p;

    if (h.checksum_ok) {
        drop_applied(&l[0], h.secondary);
        drop_applied(&l[1], h.secondary);
        if (order(l, h.secondary, &a, &b, e) < 0)
            return -1;
    } else {
        /* The header itself is torn; the newer log has a copy of it. */
        if (order(l,
                  l[0].entries.n   ? first_of(&l[0])
                  : l[1].entries.n ? first_of(&l[1])
                                   : 0,
                  &a, &b, e) < 0)
            return -1;
        if (!(b ? b : a)->base)
            return err_set(e, ERR_INPUT,
                           "its header is damaged, and the logs' copies too");
        memcpy(hive->data, (b ? b : a)->base, SECTOR_BYTES);
    }
    if (apply_log(hive, a, e) < 0 || (b && apply_log(hive, b, e) < 0))
        return -1;
    p = (unsigned char *)hive->data;
    le32_put(p + 28, 0); /* a primary file, not a log */
    le32_put(p + 508, hivelog_checksum(p));
    *ret = (uint32_t)(a->entries.n + (b ? b->entries.n : 0));
    return 0;
}

/* The bins must follow each other; a page that went missing shows here. */
static int check_bins(const struct buf *hive, struct err *e)
{
    const unsigned char *p = (const unsigned char *)hive->data;
    uint64_t at = BASE_BYTES, end = BASE_BYTES + (uint64_t)le32_at(p + 40);

    if (end > hive->len)
        return err_set(e, ERR_INPUT, "it ends before its data do");
    while (at < end) {
        uint32_t size = end - at >= 32 ? le32_at(p + at + 8) : 0;

        if (!size || memcmp(p + at, "hbin", 4) != 0 ||
            le32_at(p + at + 4) != at - BASE_BYTES || size % PAGE_BYTES ||
            size > end - at)
            return err_set(e, ERR_INPUT,
                           "after its logs were replayed the part at %llu is "
                           "not sound",
                           (unsigned long long)at);
        at += size;
    }
    return 0;
}

int hivelog_replay(struct buf *hive, const void *log1, size_t log1_len, const void *log2,
                   size_t log2_len, uint32_t *ret_entries, struct err *e)
{
    struct hive_header h = hivelog_header(hive->data, hive->len);
    auto_buf struct buf copy = BUF_INIT;
    struct log l[2] = {0};
    uint32_t n = 0;
    int r;

    if (h.state == HIVE_NO_HIVE)
        return err_set(e, ERR_INPUT, "it is no registry hive");
    if (h.state == HIVE_CLEAN) {
        *ret_entries = 0;
        return 0;
    }
    buf_add(&copy, hive->data, hive->len);
    r = buf_check(&copy, e);
    if (r == 0)
        r = read_log(&l[0], log1, log1_len, e);
    if (r == 0)
        r = read_log(&l[1], log2, log2_len, e);
    if (r == 0)
        r = replay(&copy, l, &n, e);
    if (r == 0)
        r = check_bins(&copy, e);
    log_release(&l[0]);
    log_release(&l[1]);
    if (r < 0)
        return -1;
    buf_release(hive);
    *hive = copy;
    copy = (struct buf)BUF_INIT;
    *ret_entries = n;
    return 0;
}
