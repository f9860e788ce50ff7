/* Raw images and block devices: the bytes are the disk. Holes of the file are zero
 * units; elsewhere the mover looks for zeros itself. Keeps nothing but the descriptor,
 * so a crash leaves nothing. */
#include "base/str.h"
#include "image/formats.h"

/* Units begin at multiples of what file systems and O_DIRECT writers like. */
#define RAW_ALIGN 4096u
/* Anything can be asked for in small parts; callers' buffers should still be worth a
 * system call. */
#define RAW_UNIT_MAX 65536u

struct raw {
    struct source base;
    struct blob *blob; /* owned; NULL: all zeros */
};

static struct raw *self(struct source *s)
{
    return (struct raw *)s;
}

static int raw_unit_at(struct source *s, uint64_t offset, uint64_t limit_bytes,
                       struct unit *ret, struct err *e)
{
    struct unit u = {.offset = offset, .len = s->size_bytes - offset, .kind = UNIT_ZERO};
    bool data;

    if (self(s)->blob) {
        if (blob_unit_at(self(s)->blob, offset, s->size_bytes - offset, limit_bytes,
                         s->unit_align, &data, &u.len, e) < 0)
            return -1;
        u.kind = data ? UNIT_DATA : UNIT_ZERO;
    }
    *ret = u;
    return 0;
}

static int raw_fetch(struct source *s, const struct unit *u, void *buf, struct err *e)
{
    return blob_read(self(s)->blob, buf, u->len, u->offset, e);
}

static void raw_free(struct source *s)
{
    blob_free(self(s)->blob);
    free(s->desc);
    free(self(s));
}

static const struct source_ops raw_ops = {
    .name = "raw", .unit_at = raw_unit_at, .fetch = raw_fetch, .free = raw_free};

static const struct source_ops zero_ops = {
    .name = "zero", .unit_at = raw_unit_at, .fetch = raw_fetch, .free = raw_free};

static int raw_new(const struct source_ops *ops, uint64_t size, const char *desc,
                   struct source **ret, struct err *e)
{
    struct raw *r = mem_zalloc(1, sizeof *r, e);

    if (!r)
        return -1;
    r->base = (struct source){.ops = ops,
                              .size_bytes = size,
                              .unit_align = RAW_ALIGN,
                              .unit_max_bytes = RAW_UNIT_MAX,
                              .desc = str_dup(desc, e)};
    if (!r->base.desc) {
        free(r);
        return -1;
    }
    *ret = &r->base;
    return 0;
}

int raw_open(const struct blob *b, struct source **ret, struct err *e)
{
    auto_source struct source *s = NULL;

    if (b->len == 0)
        return err_set(e, ERR_INPUT, "%s is empty", b->name);
    if (raw_new(&raw_ops, b->len, b->name, &s, e) < 0 ||
        blob_slice(b, 0, b->len, b->name, &self(s)->blob, e) < 0)
        return -1;
    blob_advise_sequential(b);
    s->data_bytes_hint = blob_allocated_bytes(b);
    *ret = take_ptr(s);
    return 0;
}

int zero_open(uint64_t size_bytes, const char *desc, struct source **ret, struct err *e)
{
    return raw_new(&zero_ops, size_bytes, desc, ret, e);
}
