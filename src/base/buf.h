/* Growable byte buffer, always NUL-terminated after its contents when not empty.
 *
 * Running out of memory is remembered instead of reported at each call: build the whole
 * text, then ask once with buf_check() or take it with buf_take(). One thread at a
 * time. */
#ifndef HOTADD_BASE_BUF_H
#define HOTADD_BASE_BUF_H

#include "base/auto.h"
#include "base/err.h"

#include <stddef.h>

struct buf {
    char *data; /* owned; NULL while empty */
    size_t len; /* without the NUL */
    size_t cap;
    bool failed; /* an addition was lost to lack of memory */
};

#define BUF_INIT                                                                         \
    {                                                                                    \
        0                                                                                \
    }
#define auto_buf auto_call(buf_release)

void buf_add(struct buf *b, const void *data, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

/* Makes room for `more` bytes after len, for code that fills data itself and then
 * raises len. -1 out of memory. */
int buf_reserve(struct buf *b, size_t more, struct err *e) err_warn_unused;

/* Forgets the contents, keeps the memory. */
void buf_reset(struct buf *b);

/* -1 if an addition was lost. */
int buf_check(const struct buf *b, struct err *e) err_warn_unused;

/* Hands the contents over as an owned C string ("" when empty); b is empty after. */
int buf_take(struct buf *b, char **ret, struct err *e) err_warn_unused;

/* Borrowed C string of the contents, "" when empty. */
const char *buf_str(const struct buf *b);

void buf_release(struct buf *b);

#endif
