/* Random bytes from the kernel; see rand.h. */
#include "base/rand.h"

#include <assert.h>
#include <errno.h>
#include <sys/random.h>

void rand_bytes(void *out, size_t len)
{
    char *p = out;

    while (len) {
        ssize_t n = getrandom(p, len, 0);

        assert(n > 0 || errno == EINTR);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
}

char *rand_hex(char *out, size_t n_digits)
{
    static const char digits[] = "0123456789abcdef";

    rand_bytes(out, n_digits);
    for (size_t i = 0; i < n_digits; i++)
        out[i] = digits[(unsigned char)out[i] & 15];
    out[n_digits] = 0;
    return out;
}

uint64_t rand_below(uint64_t limit)
{
    /* Rejecting the uneven tail keeps it uniform. */
    uint64_t tail = UINT64_MAX - UINT64_MAX % limit, v;

    assert(limit);
    do
        rand_bytes(&v, sizeof v);
    while (v >= tail);
    return v % limit;
}
