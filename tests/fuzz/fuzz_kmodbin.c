/* kmod's binary index: whatever can be read can be written, and reads the same again. */
#include "base/str.h"
#include "guest/initrd/kmodbin.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool writable(const struct kmodbin_values *v)
{
    vec_foreach (i, v) {
        if (!i->key[0])
            return false;
        for (const char *c = i->key; *c; c++)
            if (*c & 0x80)
                return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct kmodbin_values v = {0}, again = {0};
    auto_buf struct buf out = BUF_INIT;
    struct err e = ERR_INIT;

    if (kmodbin_read(data, len, &v, &e) < 0) {
        assert(v.n == 0 && e.msg[0]);
        return 0;
    }
    assert(kmodbin_write(&v, &out, &e) == 0);
    assert(kmodbin_read(out.data, out.len, &again, &e) == 0);
    if (writable(&v))
        assert(v.n == again.n);
    kmodbin_values_release(&v);
    kmodbin_values_release(&again);
    return 0;
}
