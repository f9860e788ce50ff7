/* A sink that is read; see source_sink.h. */
#include "disk/source_sink.h"

#include "base/str.h"

#include <inttypes.h>

#define UNIT_BYTES (1u << 20)
#define ALIGN      4096u /* at least every sink's */

struct sink_source {
    struct source base;
    struct sink *sink;
    bool owned;
};

static struct sink_source *self(struct source *s)
{
    return (struct sink_source *)s;
}

static int unit_at(struct source *s, uint64_t offset, uint64_t limit_bytes,
                   struct unit *ret, struct err *e)
{
    uint64_t len = limit_bytes < UNIT_BYTES ? limit_bytes : UNIT_BYTES;

    if (len > s->size_bytes - offset)
        len = s->size_bytes - offset;
    *ret = (struct unit){.offset = offset, .len = len, .kind = UNIT_DATA};
    return 0;
}

/* The end of a disk that is no whole number of blocks, read through a block. */
static int fetch_tail(struct sink *sink, unsigned char *out, size_t len, uint64_t offset,
                      struct err *e)
{
    auto_free unsigned char *block = aligned_alloc(ALIGN, ALIGN);
    uint64_t there = sink->size_bytes - offset;

    if (!block)
        return err_nomem(e);
    if (sink->ops->read(sink, block, there < ALIGN ? (size_t)there : ALIGN, offset, e) <
        0)
        return -1;
    memcpy(out, block, len);
    return 0;
}

static int fetch(struct source *s, const struct unit *u, void *buf, struct err *e)
{
    struct sink *sink = self(s)->sink;
    size_t whole = (size_t)u->len / ALIGN * ALIGN;

    if (whole && sink->ops->read(sink, buf, whole, u->offset, e) < 0)
        return -1;
    if (whole == u->len)
        return 0;
    return fetch_tail(sink, (unsigned char *)buf + whole, (size_t)u->len - whole,
                      u->offset + whole, e);
}

static void source_done(struct source *s)
{
    if (self(s)->owned)
        sink_free(self(s)->sink);
    free(s->desc);
    free(s);
}

int source_sink_borrow(struct sink *sink, uint64_t size_bytes, struct source **ret,
                       struct err *e)
{
    static const struct source_ops ops = {
        .name = "device", .unit_at = unit_at, .fetch = fetch, .free = source_done};
    struct sink_source *s;

    if (size_bytes > sink->size_bytes)
        return err_set(e, ERR_INPUT,
                       "%s has %" PRIu64 " bytes, fewer than the %" PRIu64 " to be read",
                       sink->desc, sink->size_bytes, size_bytes);
    s = mem_zalloc(1, sizeof *s, e);
    if (!s)
        return -1;
    s->sink = sink;
    s->base = (struct source){.ops = &ops,
                              .size_bytes = size_bytes,
                              .unit_align = ALIGN,
                              .unit_max_bytes = ALIGN,
                              .desc = str_dup(sink->desc, e),
                              .data_bytes_hint = size_bytes};
    if (!s->base.desc) {
        free(s);
        return -1;
    }
    *ret = &s->base;
    return 0;
}

int source_sink_new(struct sink *sink, struct source **ret, struct err *e)
{
    if (source_sink_borrow(sink, sink->size_bytes, ret, e) < 0)
        return -1;
    self(*ret)->owned = true;
    return 0;
}
