/* Growable array of any element type:
 *
 *     struct VEC(struct disk) disks = {0};       (or `struct disks VEC(struct disk);`)
 *     if (vec_push(&disks, d, e) < 0) …
 *     vec_foreach (d, &disks) …      (d is a pointer to each element)
 *
 * Elements are plain values; what they own is released by the owner of the vector
 * before vec_release(). */
#ifndef HOTADD_BASE_VEC_H
#define HOTADD_BASE_VEC_H

#include "base/err.h"

#include <stddef.h>
#include <stdlib.h>

#define VEC(type)                                                                        \
    {                                                                                    \
        type *v; /* owned */                                                             \
        size_t n, cap;                                                                   \
    }

int vec_grow(void **v, size_t n, size_t *cap, size_t elem_size,
             struct err *e) err_warn_unused;

#define vec_push(vec, item, e)                                                           \
    (vec_grow((void **)&(vec)->v, (vec)->n, &(vec)->cap, sizeof *(vec)->v, (e)) < 0      \
         ? -1                                                                            \
         : ((vec)->v[(vec)->n++] = (item), 0))

#define vec_foreach(p, vec)                                                              \
    for (__typeof__(&*(vec)->v) p = (vec)->v; p && p < (vec)->v + (vec)->n; p++)

#define vec_release(vec)                                                                 \
    do {                                                                                 \
        free((vec)->v);                                                                  \
        (vec)->v = NULL;                                                                 \
        (vec)->n = (vec)->cap = 0;                                                       \
    } while (0)

#endif
