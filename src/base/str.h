/* Small helpers on C strings and sizes. Owned results are freed with free(). */
#ifndef HOTADD_BASE_STR_H
#define HOTADD_BASE_STR_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Owned zeroed memory for n items, or NULL with e set (also on overflow). */
void *mem_zalloc(size_t n, size_t size, struct err *e) err_warn_unused;

/* Owned, or NULL with e set. */
char *str_dup(const char *s, struct err *e) err_warn_unused;
char *str_ndup(const char *s, size_t len, struct err *e) err_warn_unused;
char *str_fmt(struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))) err_warn_unused;

/* Replaces the owned string *s by a copy of `value` (may be NULL). */
int str_set(char **s, const char *value, struct err *e) err_warn_unused;

static inline bool str_eq(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* NULL equals only NULL. */
static inline bool str_eq_null(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

/* Whole string must be a decimal number in range. The error does not name its place:
 * prefix it. */
int str_to_u64(const char *s, uint64_t *ret, struct err *e) err_warn_unused;

/* A size in bytes: decimal digits with an optional K, M, G, T (powers of 1024; also
 * KiB, MiB, …). */
int str_to_bytes(const char *s, uint64_t *ret_bytes, struct err *e) err_warn_unused;

/* "1.5 GiB"; buffer of at least 16 bytes, returned. */
char *str_bytes(char *out, size_t out_len, uint64_t bytes);

/* Lower-case hex of len bytes, NUL-terminated; out holds 2*len+1. Returned. */
char *str_hex(char *out, const void *data, size_t len);

/* Exactly 2*len hex digits, either case; else -1 (ERR_INPUT). */
int str_unhex(const char *hex, void *out, size_t len, struct err *e) err_warn_unused;

/* Control characters (C0, DEL, C1 in UTF-8) become blanks in place: text that others
 * wrote can then neither command a terminal nor begin a line. */
void str_blank_controls(char *s);

/* Removes white space at both ends in place; returns the new start. */
char *str_trim(char *s);

#endif
