/* Helpers over the source operation table; see source.h. */
#include "disk/source.h"

#include <assert.h>
#include <string.h>

void source_free(struct source *s)
{
    if (s)
        s->ops->free(s);
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
