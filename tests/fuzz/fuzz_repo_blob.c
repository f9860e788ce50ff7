/* Data blobs: chunks and small files, plain and encrypted (src/repo/datablob.c). The
 * first byte chooses, the next two are the length that is expected. */
#include "repo/datablob.h"
#include "repo/key.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const unsigned char enc[KEY_BYTES] = {1, 2, 3};
    unsigned char digest[SHA256_BYTES] = {0};
    struct repo_key *key = NULL;
    auto_buf struct buf out = BUF_INIT;
    struct datablob_pool pool;
    struct datablob_work *w;
    enum repo_damage_kind kind;
    enum datablob_crypt crypt;
    struct err e = ERR_INIT;
    auto_free char *plain = NULL;
    size_t want;

    if (len < 3 || repo_key_new(enc, &key, &e) < 0)
        return 0;
    crypt = (enum datablob_crypt)(data[0] % 3);
    want = data[1] | (size_t)data[2] << 8;
    datablob_pool_init(&pool, data[0] & 4 ? NULL : key);
    plain = malloc(want + 1);
    if (plain && datablob_take(&pool, len, &w, &e) == 0) {
        memcpy(datablob_raw(w), data + 3, len - 3);
        if (datablob_decode_chunk(w, len - 3, crypt, digest, plain, want, &kind, &e) < 0)
            (void)repo_damage_name(kind);
        memcpy(datablob_raw(w), data + 3, len - 3);
        if (datablob_decode(w, datablob_raw(w), len - 3, crypt, 1 << 20, &out, &kind,
                            &e) < 0)
            (void)repo_damage_name(kind);
        datablob_give(&pool, w);
    }
    datablob_pool_release(&pool);
    repo_key_free(key);
    return 0;
}
