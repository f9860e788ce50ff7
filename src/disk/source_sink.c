/* A sink that is read; see source_sink.h. */
#include "disk/source_sink.h"

#include "base/str.h"

#define UNIT_BYTES (1u << 20)
#define ALIGN      4096u /* at least every sink's */

struct sink_source {
    struct source base;
    struct sink *sink; /* owned */
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

static int fetch(struct source *s, const struct unit *u, void *buf, struct err *e)
{
    struct sink *sink = self(s)->sink;

    return sink->ops->read(sink, buf, u->len, u->offset, e);
}

static void source_done(struct source *s)
{
    sink_free(self(s)->sink);
    free(s->desc);
    free(s);
}

int source_sink_new(struct sink *sink, struct source **ret, struct err *e)
{
    static const struct source_ops ops = {
        .name = "device", .unit_at = unit_at, .fetch = fetch, .free = source_done};
    struct sink_source *s = mem_zalloc(1, sizeof *s, e);

    if (!s)
        return -1;
    s->base = (struct source){.ops = &ops,
                              .size_bytes = sink->size_bytes,
                              .unit_align = ALIGN,
                              .unit_max_bytes = ALIGN,
                              .data_bytes_hint = sink->size_bytes};
    s->base.desc = str_dup(sink->desc, e);
    if (!s->base.desc) {
        free(s);
        return -1;
    }
    s->sink = sink;
    *ret = &s->base;
    return 0;
}
