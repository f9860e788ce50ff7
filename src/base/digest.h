/* Digests by libcrypto. */
#ifndef HOTADD_BASE_DIGEST_H
#define HOTADD_BASE_DIGEST_H

#include "base/err.h"

#include <stddef.h>

enum digest_kind { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA512 };

#define DIGEST_MAX_BYTES 64
#define SHA256_BYTES     32
#define SHA256_HEX_LEN   65 /* with the NUL */

struct digest; /* one running digest; one thread at a time */

int digest_new(enum digest_kind kind, struct digest **ret, struct err *e) err_warn_unused;
void digest_free(struct digest *d);
/* Feeding cannot fail with the algorithms above. */
void digest_update(struct digest *d, const void *data, size_t len);
/* Stores the result (out holds DIGEST_MAX_BYTES), returns its length, and starts anew. */
size_t digest_final(struct digest *d, unsigned char *out);

/* At once; out holds SHA256_BYTES. Thread-safe. */
void digest_sha256(const void *data, size_t len, unsigned char out[SHA256_BYTES]);

#endif
