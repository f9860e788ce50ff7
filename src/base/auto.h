/* Cleanup attributes: a local that owns something says so and is released when it
 * leaves scope. `take_ptr` and `take_fd` hand the thing over to the caller. */
#ifndef HOTADD_BASE_AUTO_H
#define HOTADD_BASE_AUTO_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void auto_free_fn(void *p)
{
    free(*(void **)p);
}

static inline void auto_fd_fn(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}

static inline void auto_file_fn(FILE **f)
{
    if (*f) {
        int saved = errno;
        fclose(*f);
        errno = saved;
    }
}

#define auto_call(fn) __attribute__((cleanup(fn)))
#define auto_free     auto_call(auto_free_fn)
#define auto_fd       auto_call(auto_fd_fn)
#define auto_file     auto_call(auto_file_fn)

/* Defines NAME_autop(), for `auto_call(NAME_autop) struct x *x = NULL;` */
#define DEFINE_AUTO_PTR(type, fn)                                                        \
    static inline void fn##_autop(type **p)                                              \
    {                                                                                    \
        if (*p)                                                                          \
            fn(*p);                                                                      \
    }

#define take_ptr(p)                                                                      \
    __extension__({                                                                      \
        __typeof__(p) take_ptr_v_ = (p);                                                 \
        (p) = NULL;                                                                      \
        take_ptr_v_;                                                                     \
    })

static inline int take_fd(int *fd)
{
    int v = *fd;
    *fd = -1;
    return v;
}

#endif
