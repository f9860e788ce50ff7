/* An OVF description's text. */
#include "image/ovf.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct ovf o = {0};
    struct err e = ERR_INIT;

    if (ovf_parse((const char *)data, len, "fuzz", &o, &e) < 0) {
        assert(e.msg[0] && o.items.n == 0 && !o.name);
        return 0;
    }
    vec_foreach (f, &o.files)
        assert(f->id && f->href && f->href[0]);
    vec_foreach (d, &o.disks)
        assert(d->id && d->capacity_bytes <= (uint64_t)1 << 60);
    ovf_release(&o);
    return 0;
}
