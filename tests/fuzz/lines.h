/* For targets whose input begins with lines. */
#ifndef HOTADD_TESTS_FUZZ_LINES_H
#define HOTADD_TESTS_FUZZ_LINES_H

#include "base/str.h"

/* The next line of the input as a C string, owned; NULL with e set. */
static inline char *fuzz_line(const char **p, const char *end, struct err *e)
{
    const char *nl = memchr(*p, '\n', (size_t)(end - *p));
    const char *stop = nl ? nl : end;
    char *s = str_ndup(*p, (size_t)(stop - *p), e);

    *p = nl ? nl + 1 : end;
    return s;
}

#endif
