/* A growable list of owned strings. */
#ifndef HOTADD_BASE_STRV_H
#define HOTADD_BASE_STRV_H

#include "base/auto.h"
#include "base/vec.h"

#include <stdbool.h>

struct strv VEC(char *); /* each owned */

void strv_release(struct strv *v);
#define auto_strv auto_call(strv_release)

/* Appends a copy. */
int strv_add(struct strv *v, const char *s, struct err *e) err_warn_unused;
int strv_add_n(struct strv *v, const char *s, size_t len, struct err *e) err_warn_unused;
int strv_addf(struct strv *v, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4))) err_warn_unused;
/* Appends a copy unless it is there. */
int strv_add_once(struct strv *v, const char *s, struct err *e) err_warn_unused;

bool strv_has(const struct strv *v, const char *s);
void strv_sort(struct strv *v); /* by bytes */

/* All of them with `sep` between, owned; "" for none. */
int strv_join(const struct strv *v, const char *sep, char **ret,
              struct err *e) err_warn_unused;

#endif
