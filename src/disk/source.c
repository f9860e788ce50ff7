/* Helpers over the source operation table; see source.h. */
#include "disk/source.h"

#include <assert.h>
#include <string.h>

void source_free(struct source *s)
{
    if (s)
        s->ops->free(s);
}

bool source_may_tell(const struct source *s, const struct unit *u, uint64_t offset,
                     uint64_t limit_bytes)
{
    bool last;

    if (u->offset != offset || !u->len || u->len > s->size_bytes - offset)
        return false;
    last = offset + u->len == s->size_bytes;
    if (u->len % s->unit_align && !last)
        return false;
    return u->kind == UNIT_ZERO || (u->kind == UNIT_DATA && u->len <= limit_bytes);
}

int source_pread(struct source *s, void *buf, size_t len, uint64_t offset, void *scratch,
                 struct err *e)
{
    char *out = buf;

    assert(offset <= s->size_bytes && len <= s->size_bytes - offset);
    while (len) {
        uint64_t start = offset - offset % s->unit_align, skip = offset - start, n;
        struct unit u;

        if (source_unit_at(s, start, s->unit_max_bytes, &u, e) < 0)
            return -1;
        n = u.len - skip < len ? u.len - skip : len;
        if (u.kind == UNIT_ZERO) {
            memset(out, 0, n);
        } else {
            if (source_fetch(s, &u, scratch, e) < 0)
                return -1;
            memcpy(out, (char *)scratch + skip, n);
        }
        out += n;
        offset += n;
        len -= n;
    }
    return 0;
}
