/* Pages of the EBS direct APIs' lists, as either list, and as a second page. */
#include "aws/ebs_impl.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int count(void *ctx, const struct ebs_shape *shape, uint64_t index,
                 const char *token, struct err *e)
{
    /* What is handed out must be usable without further checks. */
    if (index >= shape->volume_bytes / shape->block_bytes)
        abort();
    *(uint64_t *)ctx += index + (token ? 1 : 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    for (int kind = EBS_SNAPSHOT_BLOCKS; kind <= EBS_CHANGED_BLOCKS; kind++) {
        struct ebs_cursor c = {.next_index = 1};
        uint64_t sum = 0;
        struct err e = ERR_INIT;

        for (int page = 0; page < 2; page++)
            if (ebs_page_read((const char *)data, len, (enum ebs_list)kind, &c, count,
                              &sum, &e) < 0)
                break;
        ebs_cursor_release(&c);
    }
    return 0;
}
