/* SHA-256 of two messages of the same length at once (FIPS 180-4).
 *
 * An x86 processor with SHA extensions spends most of a single digest waiting for its own
 * last result: two that take turns are about half as fast again, and libcrypto has no way
 * to ask for that (docs/decisions/sha256-in-pairs.md). */
#ifndef HOTADD_BASE_SHA256_PAIR_H
#define HOTADD_BASE_SHA256_PAIR_H

#include "base/digest.h"

#include <stdbool.h>

#define SHA256_PAIR_TAIL 64

/* Has this processor the SHA extensions? Thread-safe. */
bool sha256_pair_pays(void);

/* The digests of a and of b, `len` bytes each, each followed by the same tail_len bytes
 * (at most SHA256_PAIR_TAIL; tail may be NULL if there are none). False, and out is
 * untouched, on a processor for which that does not pay. Thread-safe. */
bool sha256_pair(const void *a, const void *b, size_t len, const void *tail,
                 size_t tail_len, unsigned char out[2][SHA256_BYTES]);

#endif
