/* Manifests (src/repo/manifest.c): parsed, checked, changed, written and read again. */
#include "repo/key.h"
#include "repo/manifest.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const unsigned char enc[KEY_BYTES] = {1, 2, 3};
    auto_manifest struct repo_manifest *m = NULL, *again = NULL;
    struct repo_key *key = NULL;
    struct err e = ERR_INIT;
    char *text = NULL;

    if (repo_manifest_parse((const char *)data, len, &m, &e) < 0)
        return 0;
    if (repo_key_new(enc, &key, &e) == 0 && repo_manifest_check(m, key, &e) == 0)
        (void)repo_manifest_crypt(m);
    repo_key_free(key);
    if (repo_manifest_set_verified(m, 1767323045, true, true, &e) == 0 &&
        repo_manifest_text(m, &text, &e) == 0) {
        int r = repo_manifest_parse(text, strlen(text), &again, &e);

        /* What was understood once is understood again, and says the same. */
        assert(r == 0 && again->files.n == m->files.n && again->time == m->time);
        assert(again->verified >= 1767323045);
    }
    free(text);
    return 0;
}
