/* newc archives; see cpio.h.
 *
 * The reader is a state machine over a byte stream, because members straddle the pieces
 * a decompressor hands out. `pos` counts eaten bytes and is what alignment refers to:
 * headers start at multiples of 4, a name is padded so that header and name together
 * fill a multiple of 4, and so is a body. Memory: one header, one name, one link. */
#include "guest/initrd/cpio.h"

#include "base/str.h"

#include <sys/stat.h>

void cpio_reader_init(struct cpio_reader *r, enum cpio_place place,
                      const struct cpio_events *events, void *ctx)
{
    *r = (struct cpio_reader){.events = events, .ctx = ctx, .place = place};
}

void cpio_reader_release(struct cpio_reader *r)
{
    buf_release(&r->part);
    free(r->name);
    r->name = NULL;
}

static int bad(const struct cpio_reader *r, struct err *e, const char *what)
{
    return err_set(e, ERR_INPUT, "archive is damaged near its byte %llu: %s",
                   (unsigned long long)r->pos, what);
}

static void eat(struct cpio_reader *r, const uint8_t **data, size_t *len, size_t n)
{
    r->pos += n;
    *data += n;
    *len -= n;
}

/* Gathers into part until `need` bytes are there. 1 when they are. */
static int gather(struct cpio_reader *r, const uint8_t **data, size_t *len, struct err *e)
{
    size_t n = *len < r->need ? *len : (size_t)r->need;

    buf_add(&r->part, *data, n);
    if (buf_check(&r->part, e) < 0)
        return -1;
    r->need -= n;
    eat(r, data, len, n);
    return r->need == 0;
}

/* Zeros between members; then a header, the end of this segment, or an error. */
static int between(struct cpio_reader *r, const uint8_t **data, size_t *len,
                   struct err *e)
{
    size_t n = 0;

    while (n < *len && !(*data)[n])
        n++;
    eat(r, data, len, n);
    if (!*len)
        return 0;
    if (r->pos & 3)
        return bad(r, e, "what follows is not aligned to 4 bytes");
    if (r->place == CPIO_IN_IMAGE && (**data != '0' || r->after_trailer)) {
        r->ended = true;
        return 0;
    }
    if (**data != '0')
        return bad(r, e, "junk where a member should begin");
    r->after_trailer = false;
    buf_reset(&r->part);
    r->need = CPIO_HEADER_BYTES;
    r->state = CPIO_HEADER;
    return 0;
}

static int hex_field(const char *p, uint32_t *ret)
{
    uint32_t v = 0;

    for (int i = 0; i < 8; i++) {
        char c = p[i], l = (char)(c | 0x20);

        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if (l >= 'a' && l <= 'f')
            v = v << 4 | (uint32_t)(l - 'a' + 10);
        else
            return -1;
    }
    *ret = v;
    return 0;
}

static int got_header(struct cpio_reader *r, struct err *e)
{
    const char *h = r->part.data;
    struct initrd_entry *m = &r->member;
    uint32_t f[13], name_len;

    if (!memcmp(h, "070707", 6))
        return err_set(e, ERR_UNSUPPORTED,
                       "the archive is of cpio's old portable format; "
                       "the kernel reads only newc");
    if (memcmp(h, "070701", 6) && memcmp(h, "070702", 6))
        return bad(r, e, "no newc header where a member should begin");
    for (int i = 0; i < 13; i++)
        if (hex_field(h + 6 + 8 * i, &f[i]) < 0)
            return bad(r, e, "a number in the header is not hexadecimal");
    *m = (struct initrd_entry){.ino = f[0],
                               .mode = f[1],
                               .uid = f[2],
                               .gid = f[3],
                               .nlink = f[4],
                               .mtime = f[5],
                               .size_bytes = f[6],
                               .dev_major = f[7],
                               .dev_minor = f[8],
                               .rdev_major = f[9],
                               .rdev_minor = f[10],
                               .header_offset = r->pos - CPIO_HEADER_BYTES};
    name_len = f[11];
    r->has_sum = h[5] == '2';
    r->want_sum = f[12];
    r->sum = 0;
    if (!name_len || name_len > CPIO_NAME_MAX)
        return err_set(e, ERR_INPUT,
                       "archive is damaged near its byte %llu: a name of %u bytes (1 to "
                       "%u are possible)",
                       (unsigned long long)r->pos, name_len, CPIO_NAME_MAX);
    buf_reset(&r->part);
    r->need = name_len + (2 - name_len % 4 + 4) % 4;
    r->state = CPIO_NAME;
    /* The name must be terminated within its own length, not by its padding. */
    r->data_left = name_len;
    return 0;
}

static int member_ends(struct cpio_reader *r, struct err *e)
{
    if (r->has_sum && S_ISREG(r->member.mode) && r->member.size_bytes &&
        r->sum != r->want_sum)
        return bad(r, e, "the checksum of the member before is wrong");
    r->end_pos = r->pos;
    r->state = CPIO_BETWEEN;
    return 0;
}

static int announce(struct cpio_reader *r, const char *name, const char *link,
                    struct err *e)
{
    r->member.path = name;
    r->member.link = link;
    return r->events->member(r->ctx, &r->member, e);
}

static int got_name(struct cpio_reader *r, struct err *e)
{
    struct initrd_entry *m = &r->member;
    const char *name = r->part.data;
    uint32_t size = m->size_bytes;
    int s = 0;

    if (name[r->data_left - 1])
        return bad(r, e, "a name without its end");
    m->data_offset = r->pos;
    r->data_left = size;
    r->need = (uint64_t)size + (4 - size % 4) % 4;
    r->state = CPIO_DATA;
    if (str_eq(name, CPIO_TRAILER)) {
        if (size)
            return bad(r, e, "a trailer with data");
        r->after_trailer = true;
        s = r->events->trailer(r->ctx, e);
    } else if (S_ISLNK(m->mode)) {
        if (!size || size > CPIO_NAME_MAX)
            return bad(r, e, "a symbolic link without a target, or with too long a one");
        if (!(r->name = str_dup(name, e)))
            return -1;
        buf_reset(&r->part);
        r->state = CPIO_LINK;
        return 0;
    } else {
        if (size && !S_ISREG(m->mode))
            return bad(r, e, "data in something that is no regular file");
        s = announce(r, name, NULL, e);
    }
    if (s < 0)
        return -1;
    return !r->need && member_ends(r, e) < 0 ? -1 : s;
}

static int got_link(struct cpio_reader *r, struct err *e)
{
    auto_free char *name = take_ptr(r->name);
    int s;

    /* The target ends at its size or at a NUL before that, as the kernel reads it. */
    r->part.data[r->member.size_bytes] = 0;
    s = announce(r, name, r->part.data, e);
    return s < 0 || member_ends(r, e) < 0 ? -1 : s;
}

static int body(struct cpio_reader *r, const uint8_t **data, size_t *len, struct err *e)
{
    size_t n = *len < r->data_left ? *len : (size_t)r->data_left;
    int s = 0;

    if (n) {
        if (r->has_sum)
            for (size_t i = 0; i < n; i++)
                r->sum += (*data)[i];
        s = r->events->data(r->ctx, *data, n, e);
        if (s < 0)
            return -1;
    } else {
        n = *len < r->need ? *len : (size_t)r->need;
    }
    r->data_left -= r->data_left ? n : 0;
    r->need -= n;
    eat(r, data, len, n);
    if (!r->need && member_ends(r, e) < 0)
        return -1;
    return s;
}

static int step(struct cpio_reader *r, const uint8_t **data, size_t *len, struct err *e)
{
    int s;

    switch (r->state) {
    case CPIO_BETWEEN:
        return between(r, data, len, e);
    case CPIO_DATA:
        return body(r, data, len, e);
    default:
        break;
    }
    if ((s = gather(r, data, len, e)) <= 0)
        return s;
    if (r->state == CPIO_HEADER)
        return got_header(r, e);
    return r->state == CPIO_NAME ? got_name(r, e) : got_link(r, e);
}

int cpio_reader_feed(struct cpio_reader *r, const uint8_t *data, size_t len,
                     size_t *ret_eaten, struct err *e)
{
    size_t left = len;
    int s = 0;

    while (left && !s && !r->ended)
        s = step(r, &data, &left, e);
    *ret_eaten = len - left;
    return s;
}

int cpio_reader_finish(const struct cpio_reader *r, struct err *e)
{
    if (r->state == CPIO_BETWEEN)
        return 0;
    return err_set(e, ERR_INPUT,
                   "archive ends inside a member that began at its byte %llu: truncated",
                   (unsigned long long)(r->state == CPIO_HEADER
                                            ? r->pos - r->part.len
                                            : r->member.header_offset));
}

static void pad_to(struct buf *b, size_t multiple)
{
    while (b->len % multiple && !b->failed)
        buf_addc(b, 0);
}

static void add_member(struct cpio_writer *w, const char *path, uint32_t mode,
                       uint32_t ino, uint32_t nlink, const void *data, size_t len)
{
    if (len > UINT32_MAX || strlen(path) >= CPIO_NAME_MAX) {
        w->out.failed = true;
        return;
    }
    buf_addf(&w->out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", ino,
             mode, 0u, 0u, nlink, 0u, (unsigned)len, 0u, 0u, 0u, 0u,
             (unsigned)strlen(path) + 1, 0u);
    buf_add(&w->out, path, strlen(path) + 1);
    pad_to(&w->out, 4);
    buf_add(&w->out, data, len);
    pad_to(&w->out, 4);
}

void cpio_writer_add(struct cpio_writer *w, const char *path, uint32_t mode,
                     const void *data, size_t len)
{
    add_member(w, path, mode, w->next_ino++, S_ISDIR(mode) ? 2 : 1, data, len);
    w->members++;
}

void cpio_writer_end(struct cpio_writer *w)
{
    add_member(w, CPIO_TRAILER, 0, 0, 1, NULL, 0);
    pad_to(&w->out, 512);
}

void cpio_writer_release(struct cpio_writer *w)
{
    buf_release(&w->out);
}
