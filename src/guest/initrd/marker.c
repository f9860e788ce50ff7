/* Recognising and removing a supplement of our own; see internal.h.
 *
 * Every supplement begins with a small file at the root of the tree that says what it is
 * and how many members it has. Only when exactly those members end the image is it
 * taken out: whatever somebody added behind it stays, and then so does ours. */
#include "guest/initrd/internal.h"

#include "base/str.h"
#include "guest/initrd/codec.h"
#include "guest/initrd/cpio.h"

#define NO_MARKER SIZE_MAX

/* The number after a "members " line, 0 if there is none. */
static uint64_t members_of(const struct buf *marker)
{
    const char *text = buf_str(marker), *p = strstr(text, "\nmembers ");
    struct err ignored = ERR_INIT;
    char digits[24];
    uint64_t n = 0;
    size_t len;

    if (!str_starts(text, INITRD_MARKER_MAGIC) || !p)
        return 0;
    p += strlen("\nmembers ");
    len = strcspn(p, "\n");
    if (len >= sizeof digits)
        return 0;
    memcpy(digits, p, len);
    digits[len] = 0;
    return str_to_u64(digits, &n, &ignored) < 0 ? 0 : n;
}

/* The member that begins a supplement of ours which ends the image. */
static size_t find_marker(const struct initrd *im)
{
    for (size_t i = im->kept.n; i-- > 0;) {
        const struct initrd_kept *k = &im->kept.v[i];
        const struct initrd_entry *m = &im->entries.v[k->entry];

        if (!str_eq(m->path, INITRD_MARKER) || m->segment != im->segments.n - 1)
            continue;
        return members_of(&k->data) == im->entries.n - k->entry ? k->entry : NO_MARKER;
    }
    return NO_MARKER;
}

/* Does what unpacks from here begin, after zeros, with our marker? */
struct peek {
    uint8_t head[CPIO_HEADER_BYTES + sizeof INITRD_MARKER];
    size_t n;
};

static int peek_sink(void *ctx, const uint8_t *data, size_t len, struct err *e)
{
    struct peek *p = ctx;

    for (size_t i = 0; i < len && p->n < sizeof p->head; i++)
        if (data[i] || p->n)
            p->head[p->n++] = data[i];
    return p->n == sizeof p->head;
}

struct restart {
    const struct initrd *im;
    const struct initrd_segment *segment;
    uint64_t found; /* 0: none; offset in the image */
};

static int on_restart(void *ctx, size_t offset, struct err *e)
{
    struct restart *r = ctx;
    struct peek p = {0};
    size_t used;

    if (codec_unpack(INITRD_LZ4, r->im->image + r->segment->offset + offset,
                     r->segment->len_bytes - offset, peek_sink, &p, &used, e) < 0)
        return -1;
    if (p.n == sizeof p.head && !memcmp(p.head, "070701", 6) &&
        !memcmp(p.head + CPIO_HEADER_BYTES, INITRD_MARKER, sizeof INITRD_MARKER))
        r->found = r->segment->offset + offset;
    return 0;
}

int initrd_base_make(const struct initrd *im, struct initrd_base *ret, struct err *e)
{
    const struct initrd_segment *s = &im->segments.v[im->segments.n - 1];
    struct initrd_base b = {.join = INITRD_JOIN_RAW};
    struct restart r = {.im = im, .segment = s};
    size_t marker = find_marker(im);
    uint64_t cut = s->offset;
    int rc = 0;

    if (marker == NO_MARKER || (s->format == INITRD_RAW && marker != s->first_entry) ||
        marker == 0) {
        *ret = (struct initrd_base){.found = false};
        return 0;
    }
    if (s->format == INITRD_LZ4) {
        b.join = INITRD_JOIN_LZ4;
        if (codec_lz4_restarts(im->image + s->offset, s->len_bytes, on_restart, &r, e) <
            0)
            return -1;
        cut = r.found;
    } else if (s->format != INITRD_RAW) {
        b.join = INITRD_JOIN_RECOMPRESS;
    }
    b.found = s->format != INITRD_LZ4 || cut;
    if (b.found)
        buf_add(&b.image, im->image, cut);
    if (b.join == INITRD_JOIN_RECOMPRESS)
        rc = initrd_recompress(im, im->entries.v[marker].header_offset, NULL, 0, &b.image,
                               e);
    if (rc < 0 || buf_check(&b.image, e) < 0) {
        initrd_base_release(&b);
        return -1;
    }
    *ret = b;
    return 0;
}

void initrd_base_release(struct initrd_base *b)
{
    buf_release(&b->image);
}
