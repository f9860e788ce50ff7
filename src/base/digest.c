/* Digests by libcrypto; see digest.h. */
#include "base/digest.h"

#include "base/str.h"

#include <assert.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

struct digest {
    EVP_MD_CTX *ctx;
    const EVP_MD *md;
};

static const char *const names[] = {[DIGEST_MD5] = "MD5",
                                    [DIGEST_SHA1] = "SHA1",
                                    [DIGEST_SHA256] = "SHA256",
                                    [DIGEST_SHA512] = "SHA512"};

/* Fetching an algorithm by name costs more than hashing a small block: once each. */
static EVP_MD *fetched[sizeof names / sizeof names[0]];
static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;

static void fetch_all(void)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        fetched[i] = EVP_MD_fetch(NULL, names[i], NULL);
}

static const EVP_MD *get(enum digest_kind kind)
{
    pthread_once(&fetch_once, fetch_all);
    return fetched[kind];
}

int digest_new(enum digest_kind kind, struct digest **ret, struct err *e)
{
    struct digest *d = mem_zalloc(1, sizeof *d, e);

    if (!d)
        return -1;
    d->md = get(kind);
    d->ctx = EVP_MD_CTX_new();
    if (!d->md || !d->ctx || !EVP_DigestInit_ex2(d->ctx, d->md, NULL)) {
        digest_free(d);
        return err_set(e, ERR_FAILED, "%s is not available in libcrypto", names[kind]);
    }
    *ret = d;
    return 0;
}

void digest_free(struct digest *d)
{
    if (!d)
        return;
    EVP_MD_CTX_free(d->ctx);
    free(d);
}

void digest_update(struct digest *d, const void *data, size_t len)
{
    int ok = EVP_DigestUpdate(d->ctx, data, len);

    assert(ok);
}

size_t digest_final(struct digest *d, unsigned char *out)
{
    unsigned int len = 0;
    int ok =
        EVP_DigestFinal_ex(d->ctx, out, &len) && EVP_DigestInit_ex2(d->ctx, d->md, NULL);

    assert(ok);
    return len;
}

void digest_sha256(const void *data, size_t len, unsigned char out[SHA256_BYTES])
{
    int ok = EVP_Digest(data, len, out, NULL, get(DIGEST_SHA256), NULL);

    assert(ok);
}
