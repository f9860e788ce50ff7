/* Files of changed blocks. What they say of two disks must never go beyond them. */
#include "flow/changed.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define SIZE ((uint64_t)1 << 30)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    auto_changed_map struct changed_map map = {0};
    struct err e = ERR_INIT;

    if (changed_map_init(&map, 2, &e) < 0 ||
        changed_parse((const char *)data, len, "fuzz", &map, &e) < 0)
        return 0;
    for (size_t i = 0; i < map.n; i++) {
        auto_extent_set struct extent_set same = {0};

        if (changed_unchanged(&map.v[i], SIZE, 65536, &same, &e) < 0)
            continue;
        for (size_t k = 0; k < same.n; k++) {
            uint64_t n, end = same.v[k].offset + same.v[k].len;

            assert(end <= SIZE && same.v[k].offset % 65536 == 0);
            assert(
                !extent_set_at(&map.v[i].changed, same.v[k].offset, same.v[k].len, &n) &&
                n == same.v[k].len);
        }
    }
    return 0;
}
