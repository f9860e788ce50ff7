/* Any bytes as an initramfs: parsed, walked, questioned, extended. What was extended must
 * parse again, pass the check (initrd_extend does both) and need nothing more. */
#include "base/buf.h"
#include "base/str.h"
#include "guest/initrd/initrd.h"

#include <assert.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ELF                                                                              \
    "\177ELF and so much more that sixty-four bytes are there, which a module needs"

static int read_guest(void *ctx, const char *path, struct buf *out, struct err *e)
{
    static const char *const files[][2] = {
        {"/lib/modules/1/modules.dep",
         "kernel/nvme.ko: kernel/core.ko\nkernel/core.ko:\n"},
        {"/lib/modules/1/modules.alias", "alias pci:* nvme\n"},
        {"/lib/modules/1/modules.symbols", "alias symbol:x core\n"},
        {"/lib/modules/1/modules.softdep", "softdep nvme pre: core\n"},
        {"/lib/modules/1/kernel/nvme.ko", ELF},
        {"/lib/modules/1/kernel/core.ko", ELF},
    };

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (str_eq(path, files[i][0])) {
            buf_adds(out, files[i][1]);
            return buf_check(out, e);
        }
    return err_set(e, ERR_NOT_FOUND, "no %s", path);
}

static int visit(void *ctx, const char *path, const struct initrd_stat *st, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;
    auto_free char *canonical = NULL;
    struct err ignored = ERR_INIT;

    assert(initrd_stat(ctx, path, INITRD_NOFOLLOW, NULL));
    if (S_ISREG(st->mode) && initrd_read(ctx, path, 1 << 16, &b, &ignored) == 0)
        assert(b.len == st->size_bytes);
    if (initrd_canonical(ctx, path, &canonical, &ignored) == 0 && !S_ISLNK(st->mode))
        assert(str_eq(canonical, path));
    return 0;
}

static void extend(const struct initrd *im, const struct modules *guest)
{
    static const struct initrd_want want[] = {{"nvme", INITRD_REQUIRED},
                                              {"gone", INITRD_IF_PRESENT}};
    const struct initrd_request rq = {
        .kernel = "1", .guest = guest, .want = want, .n_want = 2, .read = read_guest};
    auto_initrd_extension struct initrd_extension x = {0}, again = {0};
    auto_initrd struct initrd *made = NULL;
    struct err e = ERR_INIT;

    if (initrd_extend(im, &rq, &x, &e) < 0) {
        assert(e.kind != ERR_NONE && e.msg[0]);
        return;
    }
    if (x.nothing_to_do)
        return;
    assert(initrd_parse(x.image.data, x.image.len, NULL, &made, &e) == 0);
    assert(initrd_extend(made, &rq, &again, &e) == 0 && again.nothing_to_do);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct initrd_limits limits = {.max_unpacked_bytes = 4 << 20,
                                         .max_entries = 2000};
    auto_modules struct modules *guest = NULL;
    auto_initrd struct initrd *im = NULL;
    struct initrd_kind kind;
    struct err e = ERR_INIT;

    if (initrd_parse(data, len, &limits, &im, &e) < 0) {
        assert(e.kind != ERR_NONE && e.msg[0]);
        return 0;
    }
    if (modules_load("1", read_guest, NULL, &guest, &e) < 0)
        return 0;
    initrd_identify(im, &kind);
    if (initrd_walk(im, "", visit, im, &e) == 0)
        extend(im, guest);
    return 0;
}
