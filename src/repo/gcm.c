/* AES-256-GCM with an IV of 16 bytes and no additional data (format, section 2.2); see
 * key.h. */
#include "repo/key.h"

#include <assert.h>

/* Not the 12 bytes that libcrypto supposes. */
static int begin(EVP_CIPHER_CTX *ctx, const unsigned char *key, const unsigned char *iv,
                 int encrypt)
{
    if (key && (!EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, NULL, NULL, encrypt) ||
                !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, IV_BYTES, NULL)))
        return 0;
    return EVP_CipherInit_ex(ctx, NULL, NULL, key, iv, encrypt);
}

int gcm_seal(EVP_CIPHER_CTX *ctx, const unsigned char *key,
             const unsigned char iv[IV_BYTES], const void *in, size_t len, void *out,
             unsigned char tag[TAG_BYTES], struct err *e)
{
    unsigned char rest[EVP_MAX_BLOCK_LENGTH];
    int n;

    assert(len <= INT32_MAX);
    if (!begin(ctx, key, iv, 1) || !EVP_CipherUpdate(ctx, out, &n, in, (int)len) ||
        !EVP_CipherFinal_ex(ctx, rest, &n) ||
        !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag))
        return err_set(e, ERR_FAILED, "AES-256-GCM failed in libcrypto");
    return 0;
}

int gcm_open(EVP_CIPHER_CTX *ctx, const unsigned char *key,
             const unsigned char iv[IV_BYTES], const void *in, size_t len, void *out,
             const unsigned char tag[TAG_BYTES], struct err *e)
{
    unsigned char rest[EVP_MAX_BLOCK_LENGTH], copy[TAG_BYTES];
    int n;

    assert(len <= INT32_MAX);
    memcpy(copy, tag, sizeof copy);
    if (!begin(ctx, key, iv, 0) || !EVP_CipherUpdate(ctx, out, &n, in, (int)len) ||
        !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, copy))
        return err_set(e, ERR_FAILED, "AES-256-GCM failed in libcrypto");
    if (EVP_CipherFinal_ex(ctx, rest, &n) <= 0)
        return err_set(e, ERR_DENIED,
                       "authentication failed: another key, or changed data");
    return 0;
}
