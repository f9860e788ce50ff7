/* Policies of the lab's roles: JSON from strangers. */
#include "lab/policy.h"

#include "base/auto.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct err e = ERR_INIT;
    auto_free char *text = str_ndup((const char *)data, len, &e);

    if (!text)
        return 0;
    for (int kind = POLICY_PERMISSIONS; kind <= POLICY_TRUST; kind++) {
        json_t *policy;

        if (policy_parse(text, (enum policy_kind)kind, &policy, &e) < 0)
            continue;
        if (policy_permits(policy, "s3:GetObject", "arn:aws:s3:::bucket/key") ==
                POLICY_DENIES &&
            policy_trusts(policy, "vmie.amazonaws.com", "vmimport", "123456789012"))
            e.kind = ERR_NONE;
        json_decref(policy);
    }
    return 0;
}
