/* Policies of a role, which anyone in the account may have written. */
#include "base/auto.h"
#include "base/str.h"
#include "flow/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct err e = ERR_INIT;
    auto_free char *text = str_ndup((const char *)data, len, &e);
    bool ok;

    if (!text)
        return 0;
    if (import_role_trusts(text, &ok, &e) < 0 ||
        import_role_reads(text, "aws", "b", &ok, &e) < 0)
        e.kind = ERR_NONE;
    return 0;
}
