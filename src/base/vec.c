/* Growth of vectors; see vec.h. */
#include "base/vec.h"

#include <stdint.h>

int vec_grow(void **v, size_t n, size_t *cap, size_t elem_size, struct err *e)
{
    size_t want = *cap ? *cap * 2 : 8, bytes;
    void *p;

    if (n < *cap)
        return 0;
    if (want < *cap || __builtin_mul_overflow(want, elem_size, &bytes))
        return err_nomem(e);
    p = realloc(*v, bytes);
    if (!p)
        return err_nomem(e);
    *v = p;
    *cap = want;
    return 0;
}
