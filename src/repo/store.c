/* What both kinds of store share; see store.h. */
#include "repo/store.h"

#include "base/str.h"

#include <inttypes.h>

void store_free(struct store *s)
{
    if (s)
        s->ops->free(s);
}

char *store_chunk_path(const unsigned char digest[SHA256_BYTES],
                       char out[STORE_CHUNK_PATH_LEN])
{
    char hex[SHA256_HEX_LEN];

    str_hex(hex, digest, SHA256_BYTES);
    snprintf(out, STORE_CHUNK_PATH_LEN, ".chunks/%.4s/%s", hex, hex);
    return out;
}

int store_read(struct store *s, const char *path, size_t max_bytes, struct buf *out,
               struct err *e)
{
    struct store_file f = STORE_FILE_INIT;
    int r;

    if (s->ops->open(s, path, &f, e) < 0)
        return -1;
    if (f.size_bytes > max_bytes)
        r = err_set(e, ERR_INPUT,
                    "%s/%s: its %" PRIu64 " bytes are more than the %zu "
                    "allowed",
                    s->desc, path, f.size_bytes, max_bytes);
    else
        r = buf_reserve(out, (size_t)f.size_bytes + 1, e);
    if (r == 0)
        r = s->ops->pread(s, &f, out->data + out->len, (size_t)f.size_bytes, 0, e);
    if (r == 0) {
        out->len += (size_t)f.size_bytes;
        out->data[out->len] = 0;
    }
    s->ops->close(s, &f);
    return r;
}
