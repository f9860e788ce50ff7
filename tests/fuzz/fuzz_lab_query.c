/* Parameters of the lab's Query protocol: form-encoded text from strangers. */
#include "lab/query.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct query q = QUERY_INIT;
    struct err e = ERR_INIT;
    json_int_t n = 0;
    bool b = false;

    if (query_parse("Version=2016-11-15", 18, (const char *)data, len, &q, &e) < 0)
        return 0;
    if (query_check_known(&q, "Action Version Filter.N.Name Filter.N.Value.N", &e) == 0 &&
        q_list(q.tree, "Filter"))
        q_str(json_array_get(q_list(q.tree, "Filter"), 0), "Name");
    if (q_int(q.tree, "Size", 0, 100, &n, &e) >= 0 &&
        q_bool(q.tree, "DryRun", &b, &e) >= 0)
        q_sub(q.tree, "Placement");
    query_release(&q);
    return 0;
}
