/* Data blobs: chunks and small files, plain and encrypted (src/repo/datablob.c). Of the
 * first byte the lowest bits say what the manifest would, then whether there is no key,
 * whether the CRC is left as it is, and whether the tag is: made right, they let the
 * fuzzer get behind them. The next two are the length that is expected. */
#include "base/bytes.h"
#include "repo/datablob.h"
#include "repo/key.h"

#include <assert.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define CRYPT     3
#define NO_KEY    4
#define LEAVE_CRC 8
#define LEAVE_TAG 16

#define MAX_PLAIN (64u << 10) /* bytes: small, or growing buffers take all the time */

static const unsigned char key_bytes[KEY_BYTES] = {1, 2, 3};

/* Kept from run to run, with the key and without: contexts are dear. */
static struct datablob_pool *pool_for(uint8_t flags)
{
    static struct datablob_pool pools[2];
    static struct repo_key *key;
    struct err e;

    if (!key) {
        assert(repo_key_new(key_bytes, &key, &e) == 0);
        datablob_pool_init(&pools[0], key);
        datablob_pool_init(&pools[1], NULL);
    }
    return &pools[(flags & NO_KEY) != 0];
}

static void seal(uint8_t *raw, size_t len)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t *body = raw + DATABLOB_CRYPT_HEAD;
    struct err e;

    assert(ctx &&
           gcm_seal(ctx, key_bytes, raw + DATABLOB_IV_AT, body, len - DATABLOB_CRYPT_HEAD,
                    body, raw + DATABLOB_TAG_AT, &e) == 0);
    EVP_CIPHER_CTX_free(ctx);
}

/* Told by the first byte of the magic: what does not begin as a blob is refused before
 * its sums are looked at. */
static void make_right(uint8_t *raw, size_t len, uint8_t flags)
{
    bool crypt = len && (raw[0] == 0x7b || raw[0] == 0xe6);
    size_t head = crypt ? DATABLOB_CRYPT_HEAD : DATABLOB_HEAD;

    if (len < head)
        return;
    if (crypt && !(flags & LEAVE_TAG))
        seal(raw, len);
    if (!(flags & LEAVE_CRC))
        le32_put(raw + DATABLOB_CRC_AT, libdeflate_crc32(0, raw + head, len - head));
}

static void decode(struct datablob_work *w, const uint8_t *raw, size_t len,
                   enum datablob_crypt crypt, size_t want)
{
    unsigned char digest[1][SHA256_BYTES] = {{0}};
    auto_free char *plain = malloc(want + 1);
    auto_free uint8_t *own = malloc(len + 1);
    auto_buf struct buf out = BUF_INIT;
    enum repo_damage_kind kind;
    struct err e = ERR_INIT;
    size_t which;
    int r;

    assert(plain && own);
    memcpy(datablob_raw(w), raw, len);
    r = datablob_unpack_chunk(w, len, crypt, plain, want, &kind, &e);
    if (r == 0)
        r = datablob_check(w, crypt, digest, 1, plain, want, &which, &kind, &e);
    if (r < 0)
        assert(e.msg[0] && repo_damage_name(kind));
    memcpy(own, raw, len);
    if (datablob_decode(w, own, len, crypt, MAX_PLAIN, &out, &kind, &e) < 0)
        assert(e.msg[0] && repo_damage_name(kind));
    else
        assert(out.len <= MAX_PLAIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct datablob_pool *pool;
    struct datablob_work *w;
    auto_free uint8_t *raw = NULL;
    struct err e;

    if (len < 3 || (data[0] & CRYPT) > DATABLOB_SEALED)
        return 0;
    raw = malloc(len);
    pool = pool_for(data[0]);
    assert(raw && datablob_take(pool, len, &w, &e) == 0);
    memcpy(raw, data + 3, len - 3);
    make_right(raw, len - 3, data[0]);
    decode(w, raw, len - 3, (enum datablob_crypt)(data[0] & CRYPT),
           data[1] | (size_t)data[2] << 8);
    datablob_give(pool, w);
    return 0;
}
