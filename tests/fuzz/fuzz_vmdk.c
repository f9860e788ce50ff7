/* A sparse VMDK extent: header, descriptor, both levels of tables, grains. Units tile the
 * disk, and every one can be fetched or says why not. */
#include "image_fuzz.h"

#include <stdlib.h>
#include <string.h>

#define MAX_UNITS 64 /* read of one input: a small file may claim a disk of terabytes */
#define LIMIT     (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void read_units(struct source *s)
{
    static unsigned char *buf;
    uint64_t at = 0;
    struct err e = ERR_INIT;

    if (!buf)
        assert(posix_memalign((void **)&buf, 4096, LIMIT) == 0);
    assert(s->size_bytes && s->unit_max_bytes <= LIMIT);
    for (int i = 0; i < MAX_UNITS && at < s->size_bytes; i++) {
        struct unit u;

        if (source_unit_at(s, at, LIMIT, &u, &e) < 0) {
            assert(e.msg[0]);
            return;
        }
        assert(u.offset == at && u.len && u.len <= s->size_bytes - at);
        assert(u.kind == UNIT_ZERO || u.len <= LIMIT);
        if (u.kind == UNIT_DATA && source_fetch(s, &u, buf, &e) < 0) {
            assert(e.msg[0]);
            return;
        }
        at += u.len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct blob *b = fuzz_blob(data, len);
    struct source *s = NULL;
    struct err e = ERR_INIT;

    if (vmdk_open(b, FORMAT_VMDK_SPARSE, NULL, NULL, &s, &e) < 0)
        assert(e.msg[0] && !s);
    else
        read_units(s);
    source_free(s);
    blob_free(b);
    return 0;
}
