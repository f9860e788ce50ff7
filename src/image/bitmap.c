/* Reading dirty bitmaps; see bitmap.h. A server's answer may be shorter than the question
 * and longer than it; what it does not describe is asked for again, and an answer that
 * describes nothing is an error, never "nothing changed". */
#include "image/bitmap.h"

#include "base/str.h"
#include "image/formats.h"

#include <inttypes.h>
#include <libnbd.h>

#define STRETCH     (1ull << 30) /* asked about at once */
#define STATE_DIRTY 1u           /* nbd.rst: bit 0 */

struct answer {
    const char *context;
    struct extent_set *dirty;
    uint64_t at, end; /* what is described; what was asked for */
    struct err *e;
    bool failed;
};

static int on_extents(void *ctx, const char *context, uint64_t offset, uint32_t *entries,
                      size_t n, int *error)
{
    struct answer *a = ctx;

    if (!str_eq(context, a->context))
        return 0;
    for (size_t i = 0; i + 1 < n && a->at < a->end && !a->failed; i += 2) {
        uint64_t left = a->end - a->at, len = entries[i] < left ? entries[i] : left;

        if ((entries[i + 1] & STATE_DIRTY) &&
            extent_set_add(a->dirty, a->at, len, a->e) < 0)
            a->failed = true;
        a->at += len;
    }
    return 0;
}

static int nbd_trouble(const char *uri, struct err *e)
{
    return err_set(e, ERR_NETWORK, "%s: %s", uri, nbd_get_error());
}

static int ask(struct nbd_handle *h, const char *uri, const char *context, uint64_t size,
               const struct cancel *cancel, struct extent_set *dirty, struct err *e)
{
    struct answer a = {.context = context, .dirty = dirty, .e = e};

    while (a.at < size) {
        uint64_t from = a.at, len = size - from < STRETCH ? size - from : STRETCH;

        a.end = from + len;
        if (cancel_check(cancel, e) < 0)
            return -1;
        if (nbd_block_status(
                h, len, from,
                (nbd_extent_callback){.callback = on_extents, .user_data = &a}, 0) < 0)
            return nbd_trouble(uri, e);
        if (a.failed)
            return -1;
        if (a.at == from)
            return err_set(e, ERR_INPUT,
                           "%s: the server says nothing of the bitmap at byte %" PRIu64,
                           uri, from);
    }
    return 0;
}

static int read_with(struct nbd_handle *h, const char *uri, const char *bitmap,
                     const struct cancel *cancel, struct extent_set *dirty,
                     uint64_t *ret_size, struct err *e)
{
    auto_free char *context = str_fmt(e, "qemu:dirty-bitmap:%s", bitmap);
    int64_t size;

    if (!context)
        return -1;
    if (nbd_add_meta_context(h, context) < 0 ||
        nbd_set_uri_allow_local_file(h, true) < 0 || nbd_connect_uri(h, uri) < 0)
        return nbd_trouble(uri, e);
    if (nbd_can_meta_context(h, context) != 1)
        return err_set(
            e, ERR_NOT_FOUND,
            "%s: the server offers no dirty bitmap \"%s\"; export it (qemu-nbd "
            "--bitmap=%s)",
            uri, bitmap, bitmap);
    size = nbd_get_size(h);
    if (size < 0)
        return nbd_trouble(uri, e);
    if (ask(h, uri, context, (uint64_t)size, cancel, dirty, e) < 0)
        return -1;
    nbd_shutdown(h, 0);
    *ret_size = (uint64_t)size;
    return 0;
}

int image_dirty_bitmap(const char *uri, const char *bitmap, const struct cancel *cancel,
                       struct extent_set *ret_dirty, uint64_t *ret_size_bytes,
                       struct err *e)
{
    struct nbd_handle *h;
    int r;

    if (!image_is_uri(uri))
        return err_set(e, ERR_USAGE, "%s: only an NBD export has a dirty bitmap", uri);
    h = nbd_create();
    if (!h)
        return nbd_trouble(uri, e);
    r = read_with(h, uri, bitmap, cancel, ret_dirty, ret_size_bytes, e);
    nbd_close(h);
    return r;
}
