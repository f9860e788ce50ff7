/* Key files (src/repo/key.c). Without a password: deriving a key takes a second, and the
 * parameters are checked before. */
#include "repo/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct repo_key *k = NULL;
    struct err e = ERR_INIT;
    char fp[REPO_FINGERPRINT_LEN];

    if (repo_key_parse((const char *)data, len, "fuzz", NULL, &k, &e) == 0)
        repo_key_fingerprint(k, fp);
    repo_key_free(k);
    return 0;
}
