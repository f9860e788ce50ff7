#include "hivekit.h"

#include "guest/windows/hivelog.h"

#include <assert.h>
#include <string.h>

#define PAGE 4096u

static void put16(unsigned char *p, unsigned v)
{
    p[0] = v & 0xff;
    p[1] = (unsigned char)(v >> 8);
}

static void put32(unsigned char *p, uint32_t v)
{
    put16(p, v & 0xffff);
    put16(p + 2, v >> 16);
}

static void put64(unsigned char *p, uint64_t v)
{
    put32(p, (uint32_t)v);
    put32(p + 4, (uint32_t)(v >> 32));
}

static uint32_t get32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

/* A used cell; its data begin at the result. */
static unsigned char *cell(unsigned char *bins, uint32_t offset, uint32_t size)
{
    put32(bins + offset, (uint32_t) - (int32_t)size);
    return bins + offset + 4;
}

static void root_key(unsigned char *bins)
{
    unsigned char *nk = cell(bins, 0x20, 88), *sk = cell(bins, 0x78, 0x48);
    /* Owner and group Administrators, everyone may do everything. */
    static const unsigned char descriptor[] = {1, 0, 4, 0x80, 20, 0, 0,    0,    0, 0, 0,
                                               0, 0, 0, 0,    0,  0, 0,    0,    0, 1, 1,
                                               0, 0, 0, 0,    0,  5, 0x12, 0x00, 0, 0};

    memcpy(nk, "nk", 2);
    put16(nk + 2, 0x2c);        /* the root, not to be deleted, name in ASCII */
    put32(nk + 16, 0xffffffff); /* parent */
    put32(nk + 28, 0xffffffff); /* subkeys */
    put32(nk + 32, 0xffffffff);
    put32(nk + 40, 0xffffffff); /* values */
    put32(nk + 44, 0x78);       /* security */
    put32(nk + 48, 0xffffffff); /* class */
    put16(nk + 72, 4);
    memcpy(nk + 76, "ROOT", 4);
    memcpy(sk, "sk", 2);
    put32(sk + 4, 0x78);
    put32(sk + 8, 0x78);
    put32(sk + 12, 1);
    put32(sk + 16, sizeof descriptor);
    memcpy(sk + 20, descriptor, sizeof descriptor);
}

void hivekit_empty(struct buf *out)
{
    static const unsigned char name[] = "h\0i\0v\0e\0";
    unsigned char h[2 * PAGE] = {0}, *bins = h + PAGE;

    memcpy(h, "regf", 4);
    put32(h + 4, 1);
    put32(h + 8, 1);
    put32(h + 20, 1); /* version 1.5 */
    put32(h + 24, 5);
    put32(h + 32, 1);
    put32(h + 36, 0x20);
    put32(h + 40, PAGE);
    put32(h + 44, 1);
    memcpy(h + 48, name, sizeof name);
    put32(h + 508, hivelog_checksum(h));
    memcpy(bins, "hbin", 4);
    put32(bins + 8, PAGE);
    root_key(bins);
    put32(bins + 0xc0, PAGE - 0xc0); /* the rest is free */
    buf_add(out, h, sizeof h);
}

void hivekit_dirty(struct buf *hive, uint32_t primary, uint32_t secondary)
{
    unsigned char *p = (unsigned char *)hive->data;

    put32(p + 4, primary);
    put32(p + 8, secondary);
    put32(p + 508, hivelog_checksum(p));
}

void hivekit_log(const struct buf *hive, struct buf *out)
{
    unsigned char b[512];

    memcpy(b, hive->data, sizeof b);
    put32(b + 28, 6);
    put32(b + 508, hivelog_checksum(b));
    buf_add(out, b, sizeof b);
}

size_t hivekit_hash(unsigned char *entry, size_t len)
{
    uint32_t size = len >= 40 ? get32(entry + 4) : 0;

    if (size < 40 || size > len)
        return 0;
    put64(entry + 24, marvin32(HIVELOG_SEED, entry + 40, size - 40));
    put64(entry + 32, marvin32(HIVELOG_SEED, entry, 32));
    return size;
}

static int differs(const struct buf *old, const struct buf *now, size_t at)
{
    return at + PAGE > old->len || memcmp(old->data + at, now->data + at, PAGE) != 0;
}

void hivekit_entry(const struct buf *old, const struct buf *now, uint32_t sequence,
                   struct buf *log)
{
    struct buf refs = BUF_INIT, pages = BUF_INIT;
    unsigned char head[40] = "HvLE", ref[8];
    size_t start = log->len;
    uint32_t size;

    for (size_t at = PAGE; at < now->len; at += PAGE)
        if (differs(old, now, at)) {
            put32(ref, (uint32_t)at - PAGE);
            put32(ref + 4, PAGE);
            buf_add(&refs, ref, sizeof ref);
            buf_add(&pages, now->data + at, PAGE);
        }
    size = (uint32_t)(sizeof head + refs.len + pages.len + 511) / 512 * 512;
    put32(head + 4, size);
    put32(head + 12, sequence);
    put32(head + 16, (uint32_t)now->len - PAGE);
    put32(head + 20, (uint32_t)refs.len / 8);
    buf_add(log, head, sizeof head);
    buf_add(log, buf_str(&refs), refs.len);
    buf_add(log, buf_str(&pages), pages.len);
    while (log->len < start + size)
        buf_addc(log, 0);
    buf_release(&refs);
    buf_release(&pages);
    assert(hivekit_hash((unsigned char *)log->data + start, size) == size);
}
