/* Time. Durations and deadlines are nanoseconds of the monotonic clock. */
#ifndef HOTADD_BASE_CLOCK_H
#define HOTADD_BASE_CLOCK_H

#include "base/err.h"

#include <stdint.h>

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull

#define CLOCK_ISO_LEN 32

uint64_t clock_mono_ns(void);
int64_t clock_real_s(void);

/* "2026-01-02T03:04:05Z" (RFC 3339, UTC); returns out, which holds CLOCK_ISO_LEN. */
char *clock_iso8601(char out[CLOCK_ISO_LEN], int64_t unix_s);

/* "20260102T030405Z", as Signature Version 4 wants it. */
char *clock_iso8601_basic(char out[CLOCK_ISO_LEN], int64_t unix_s);

/* Reads "2026-01-02T03:04:05Z", with or without a fraction of a second. */
int clock_parse_iso8601(const char *s, int64_t *ret_unix_s,
                        struct err *e) err_warn_unused;

#endif
