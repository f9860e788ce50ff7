/* An attached volume read as a source: to compare it with a recovery point, or to find
 * out what it holds before it is written; see pass.h. All of it is data, since a device
 * cannot say where it has none. */
#include "sync/pass.h"

#include "base/str.h"

#define ALIGN      4096u
#define UNIT_BYTES (4u << 20)

struct volume_source {
    struct source base;
    struct sink *sink; /* borrowed */
};

static int unit_at(struct source *s, uint64_t offset, uint64_t limit_bytes,
                   struct unit *ret, struct err *e)
{
    uint64_t len = s->size_bytes - offset;

    if (len > limit_bytes)
        len = limit_bytes;
    if (len > UNIT_BYTES)
        len = UNIT_BYTES;
    *ret = (struct unit){.offset = offset, .len = len, .kind = UNIT_DATA};
    return 0;
}

/* The end of a disk that is no whole number of blocks, read through a block. */
static int fetch_tail(struct sink *sink, unsigned char *out, size_t len, uint64_t offset,
                      struct err *e)
{
    auto_free unsigned char *block = NULL;
    size_t whole = (len + ALIGN - 1) / ALIGN * ALIGN;

    if (whole > sink->size_bytes - offset)
        whole = (size_t)(sink->size_bytes - offset);
    block = aligned_alloc(ALIGN, (len + ALIGN - 1) / ALIGN * ALIGN);
    if (!block)
        return err_nomem(e);
    if (sink->ops->read(sink, block, whole, offset, e) < 0)
        return -1;
    memcpy(out, block, len);
    return 0;
}

static int fetch(struct source *s, const struct unit *u, void *buf, struct err *e)
{
    struct sink *sink = ((struct volume_source *)s)->sink;
    size_t whole = (size_t)u->len / ALIGN * ALIGN;

    if (whole && sink->ops->read(sink, buf, whole, u->offset, e) < 0)
        return -1;
    if (whole == u->len)
        return 0;
    return fetch_tail(sink, (unsigned char *)buf + whole, (size_t)u->len - whole,
                      u->offset + whole, e);
}

static void done(struct source *s)
{
    free(s->desc);
    free(s);
}

int volume_source_new(struct sink *sink, uint64_t size_bytes, struct source **ret,
                      struct err *e)
{
    static const struct source_ops ops = {
        .name = "volume", .unit_at = unit_at, .fetch = fetch, .free = done};
    struct volume_source *v = mem_zalloc(1, sizeof *v, e);

    if (!v)
        return -1;
    v->sink = sink;
    v->base = (struct source){.ops = &ops,
                              .size_bytes = size_bytes,
                              .unit_align = ALIGN,
                              .unit_max_bytes = ALIGN,
                              .desc = str_dup(sink->desc, e),
                              .data_bytes_hint = size_bytes};
    if (!v->base.desc) {
        free(v);
        return -1;
    }
    *ret = &v->base;
    return 0;
}
