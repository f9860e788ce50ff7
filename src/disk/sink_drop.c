/* A sink that keeps nothing: what is read through the mover only to be looked at ends
 * here. */
#include "disk/sink.h"

#include "base/str.h"

static int drop_write(struct sink *s, const void *buf, size_t len, uint64_t offset,
                      struct err *e)
{
    return 0;
}

static int drop_zero(struct sink *s, uint64_t offset, uint64_t len, struct err *e)
{
    return 0;
}

static int drop_flush(struct sink *s, struct err *e)
{
    return 0;
}

static int drop_read(struct sink *s, void *buf, size_t len, uint64_t offset,
                     struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "%s: nothing is kept here", s->desc);
}

static void drop_free(struct sink *s)
{
    free(s->desc);
    free(s);
}

int sink_drop_new(uint64_t size_bytes, struct sink **ret, struct err *e)
{
    static const struct sink_ops ops = {.name = "drop",
                                        .write = drop_write,
                                        .zero = drop_zero,
                                        .flush = drop_flush,
                                        .read = drop_read,
                                        .free = drop_free};
    struct sink *s = mem_zalloc(1, sizeof *s, e);

    if (!s)
        return -1;
    *s = (struct sink){.ops = &ops,
                       .size_bytes = size_bytes,
                       .align = 1,
                       .fd = -1,
                       .known_zero = true,
                       .desc = str_dup("nowhere", e)};
    if (!s->desc) {
        free(s);
        return -1;
    }
    *ret = s;
    return 0;
}
