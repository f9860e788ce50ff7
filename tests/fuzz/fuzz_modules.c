/* A guest's module lists: the texts modules.dep, builtin, alias, symbols and softdep, one
 * after the other, with a byte FF between them. */
#include "base/str.h"
#include "guest/initrd/modules.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct input {
    const uint8_t *data;
    size_t len;
};

/* Texts are asked for once each, in that order. */
static int next_text(void *ctx, const char *path, struct buf *out, struct err *e)
{
    struct input *in = ctx;
    const uint8_t *end = in->len ? memchr(in->data, 0xff, in->len) : NULL;
    size_t n = end ? (size_t)(end - in->data) : in->len;

    if (!in->data)
        return err_set(e, ERR_NOT_FOUND, "no %s", path);
    buf_add(out, in->data, n);
    in->len -= end ? n + 1 : n;
    in->data = end ? end + 1 : NULL;
    return buf_check(out, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const char *const names[] = {"nvme", "a", "ext4", "xen-blkfront"};
    struct input in = {.data = data, .len = len};
    auto_modules struct modules *m = NULL;
    struct err e = ERR_INIT;

    if (modules_load("1", next_text, &in, &m, &e) < 0) {
        assert(e.kind != ERR_NONE && e.msg[0]);
        return 0;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (int soft = 0; soft < 2; soft++) {
            auto_modules_names struct modules_names names_got = {0};

            if (modules_closure(m, names[i], soft ? MODULES_HARD_AND_SOFT : MODULES_HARD,
                                &names_got, &e) < 0)
                assert(names_got.n == 0);
            vec_foreach (n, &names_got)
                assert(modules_find(m, *n, NULL) == MODULES_FILE);
        }
    return 0;
}
