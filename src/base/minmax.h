/* The smaller and the larger of two numbers of bytes. */
#ifndef HOTADD_BASE_MINMAX_H
#define HOTADD_BASE_MINMAX_H

#include <stdint.h>

static inline uint64_t min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
