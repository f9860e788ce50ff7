/* Random bytes from the kernel. */
#ifndef HOTADD_BASE_RAND_H
#define HOTADD_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

/* Cannot fail on Linux 3.17 and later (it blocks until the pool is ready). */
void rand_bytes(void *out, size_t len);

/* n_digits lower-case hex digits and a NUL; out holds n_digits + 1. Returned. */
char *rand_hex(char *out, size_t n_digits);

/* Uniform in [0, limit); limit > 0. */
uint64_t rand_below(uint64_t limit);

#endif
