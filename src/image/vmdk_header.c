/* The header of a sparse extent: read, checked, and turned from sectors into bytes that
 * are known to lie inside the file. Pure: keeps nothing. */
#include "image/vmdk.h"

#include "base/str.h"

#include <endian.h>
#include <inttypes.h>

#define MAGIC 0x564d444bu /* "KDMV" */

#define FLAG_NEWLINES   0x00001u
#define FLAG_REDUNDANT  0x00002u
#define FLAG_ZERO_GTE   0x00004u
#define FLAG_COMPRESSED 0x10000u
#define FLAG_MARKERS    0x20000u
#define FLAGS_KNOWN                                                                      \
    (FLAG_NEWLINES | FLAG_REDUNDANT | FLAG_ZERO_GTE | FLAG_COMPRESSED | FLAG_MARKERS)

#define GD_AT_END     UINT64_MAX
#define MARKER_EOS    0u
#define MARKER_FOOTER 3u

#define MIN_GRAIN    (4u << 10)
#define MAX_GRAIN    (2u << 20)
#define MAX_GD_BYTES (16u << 20)
#define MAX_DESC     (1u << 20)

/* "SparseExtentHeader"; little-endian, packed. */
struct __attribute__((packed)) raw_header {
    uint32_t magic, version, flags;
    uint64_t capacity, grain, desc_offset, desc_len;
    uint32_t gtes_per_gt;
    uint64_t rgd_offset, gd_offset, overhead;
    uint8_t unclean;
    uint8_t newlines[4];
    uint16_t compress;
    uint8_t pad[433];
};
_Static_assert(sizeof(struct raw_header) == VMDK_SECTOR, "header is one sector");

struct __attribute__((packed)) raw_marker {
    uint64_t value;
    uint32_t size, type;
    uint8_t pad[496];
};
_Static_assert(sizeof(struct raw_marker) == VMDK_SECTOR, "marker is one sector");

static int bad(struct err *e, const struct blob *b, const char *what, uint64_t value)
{
    return err_set(e, ERR_INPUT, "%s: damaged VMDK header: %s %" PRIu64, b->name, what,
                   value);
}

/* A range of the header in sectors, as bytes inside the file. */
static int range(const struct blob *b, const char *what, uint64_t sector,
                 uint64_t len_bytes, uint64_t *ret_offset, struct err *e)
{
    if (sector == 0 || sector > b->len / VMDK_SECTOR ||
        len_bytes > b->len - sector * VMDK_SECTOR)
        return err_set(e, ERR_INPUT,
                       "%s: the %s (%" PRIu64 " bytes at sector %" PRIu64
                       ") does not lie inside the file of %" PRIu64
                       " bytes: the file is truncated or its header is damaged",
                       b->name, what, len_bytes, sector, b->len);
    *ret_offset = sector * VMDK_SECTOR;
    return 0;
}

static int check_kind(const struct blob *b, const struct raw_header *r, struct err *e)
{
    uint32_t version = le32toh(r->version), flags = le32toh(r->flags);

    if (le32toh(r->magic) != MAGIC)
        return err_set(e, ERR_INPUT,
                       "%s: not a sparse VMDK extent (no KDMV at its start)", b->name);
    if (version < 1 || version > 3)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: sparse VMDK of version %" PRIu32 "; 1 to 3 are read", b->name,
                       version);
    if (flags & ~FLAGS_KNOWN)
        return err_set(e, ERR_UNSUPPORTED, "%s: VMDK header with unknown flags 0x%x",
                       b->name, (unsigned)(flags & ~FLAGS_KNOWN));
    if ((flags & FLAG_NEWLINES) && memcmp(r->newlines, "\n \r\n", 4) != 0)
        return err_set(
            e, ERR_INPUT,
            "%s: its line-end check bytes (byte 73) were changed: the file was "
            "transferred in text mode and is damaged; copy it again in binary",
            b->name);
    return 0;
}

static int check_compression(const struct blob *b, const struct raw_header *r,
                             struct err *e)
{
    uint32_t flags = le32toh(r->flags);
    unsigned algorithm = le16toh(r->compress);
    bool compressed = flags & FLAG_COMPRESSED, markers = flags & FLAG_MARKERS;

    if (compressed != markers)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: VMDK with %s; only streamOptimized has both, others neither",
                       b->name,
                       compressed ? "compressed grains without markers"
                                  : "markers without compressed grains");
    if (algorithm != (compressed ? 1u : 0u))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: compression algorithm %u in the header of %s grains", b->name,
                       algorithm, compressed ? "compressed" : "plain");
    return 0;
}

static int check_sizes(const struct blob *b, const struct raw_header *r,
                       struct vmdk_header *h, struct err *e)
{
    uint64_t capacity = le64toh(r->capacity), grain = le64toh(r->grain);

    if (capacity == 0 || capacity > VMDK_MAX_BYTES / VMDK_SECTOR)
        return bad(e, b, "capacity in sectors (byte 12) is", capacity);
    if (grain < MIN_GRAIN / VMDK_SECTOR || grain > MAX_GRAIN / VMDK_SECTOR ||
        (grain & (grain - 1)))
        return bad(
            e, b, "grain size in sectors (byte 20) is not a power of two from 8 to 4096:",
            grain);
    if (le32toh(r->gtes_per_gt) != VMDK_GT_SIZE)
        return bad(e, b, "entries per grain table (byte 44) must be 512, not",
                   le32toh(r->gtes_per_gt));
    h->capacity_bytes = capacity * VMDK_SECTOR;
    h->grain_bytes = grain * VMDK_SECTOR;
    h->n_grains = (capacity + grain - 1) / grain;
    h->n_tables = (h->n_grains + VMDK_GT_SIZE - 1) / VMDK_GT_SIZE;
    if (h->n_tables * 4 > MAX_GD_BYTES)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: %" PRIu64 " grain tables: grains of %" PRIu64
                       " bytes are too small for a disk of %" PRIu64 " bytes",
                       b->name, h->n_tables, h->grain_bytes, h->capacity_bytes);
    return 0;
}

static int convert(const struct blob *b, const struct raw_header *r,
                   struct vmdk_header *ret, struct err *e)
{
    uint32_t flags = le32toh(r->flags);
    struct vmdk_header h = {.compressed = flags & FLAG_COMPRESSED,
                            .zero_entries = flags & FLAG_ZERO_GTE,
                            .unclean = r->unclean != 0};
    uint64_t desc_sectors = le64toh(r->desc_len);

    if (check_kind(b, r, e) < 0 || check_compression(b, r, e) < 0 ||
        check_sizes(b, r, &h, e) < 0)
        return -1;
    if (range(b, "grain directory", le64toh(r->gd_offset), h.n_tables * 4, &h.gd_offset,
              e) < 0) {
        /* A damaged offset of the primary directory is what the redundant one is for. */
        if (!(flags & FLAG_REDUNDANT))
            return -1;
        h.gd_offset = 0;
    }
    if ((flags & FLAG_REDUNDANT) &&
        range(b, "redundant grain directory", le64toh(r->rgd_offset), h.n_tables * 4,
              &h.rgd_offset, e) < 0) {
        if (!h.gd_offset)
            return -1;
        h.rgd_offset = 0;
    }
    if (le64toh(r->desc_offset) && desc_sectors) {
        if (desc_sectors > MAX_DESC / VMDK_SECTOR)
            return bad(e, b, "size of the descriptor in sectors (byte 36) is",
                       desc_sectors);
        h.desc_len = desc_sectors * VMDK_SECTOR;
        if (range(b, "descriptor", le64toh(r->desc_offset), h.desc_len, &h.desc_offset,
                  e) < 0)
            return -1;
    }
    *ret = h;
    return 0;
}

/* A stream whose writer could not go back ends with: footer marker, footer (a header
 * with the real directory offset), end-of-stream marker. */
static int read_footer(const struct blob *b, const struct raw_header *head,
                       struct raw_header *ret, struct err *e)
{
    struct __attribute__((packed)) {
        struct raw_marker marker;
        struct raw_header footer;
        struct raw_marker end;
    } tail;
    uint64_t at;

    if (b->len < sizeof tail + sizeof *head)
        return err_set(e, ERR_INPUT, "%s ends at byte %" PRIu64 ": too short for a VMDK",
                       b->name, b->len);
    at = b->len - sizeof tail;
    if (blob_read(b, &tail, sizeof tail, at, e) < 0)
        return -1;
    if (le32toh(tail.footer.magic) != MAGIC ||
        le32toh(tail.marker.type) != MARKER_FOOTER || tail.marker.size != 0 ||
        tail.end.value != 0 || tail.end.size != 0 || le32toh(tail.end.type) != MARKER_EOS)
        return err_set(e, ERR_INPUT,
                       "%s: no footer at byte %" PRIu64
                       ": the file is truncated (a streamOptimized VMDK ends with one); "
                       "copy or export it again",
                       b->name, at);
    if (tail.footer.capacity != head->capacity || tail.footer.grain != head->grain ||
        tail.footer.flags != head->flags || tail.footer.version != head->version)
        return err_set(e, ERR_INPUT,
                       "%s: the footer at byte %" PRIu64
                       " contradicts the header: the file is damaged",
                       b->name, at + VMDK_SECTOR);
    if (le64toh(tail.footer.gd_offset) == GD_AT_END)
        return err_set(e, ERR_INPUT,
                       "%s: the footer at byte %" PRIu64 " names no grain directory",
                       b->name, at + VMDK_SECTOR);
    *ret = tail.footer;
    /* The descriptor follows the header; some writers leave it out of the footer. */
    ret->desc_offset = head->desc_offset;
    ret->desc_len = head->desc_len;
    return 0;
}

int vmdk_header_read(const struct blob *b, struct vmdk_header *ret, struct err *e)
{
    struct raw_header head;

    if (blob_read(b, &head, sizeof head, 0, e) < 0 || check_kind(b, &head, e) < 0)
        return -1;
    if (le64toh(head.gd_offset) == GD_AT_END && read_footer(b, &head, &head, e) < 0)
        return -1;
    return convert(b, &head, ret, e);
}
