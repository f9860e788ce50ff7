/* A string that must never reach a log, an error, a journal or a core of ours.
 *
 * The text is reachable only through secret_reveal(), which reviewers grep for. Memory
 * is locked where allowed, left out of core dumps, and wiped on release. */
#ifndef HOTADD_BASE_SECRET_H
#define HOTADD_BASE_SECRET_H

#include "base/auto.h"
#include "base/err.h"

#include <stddef.h>

#define SECRET_FILE_BYTES 4096u

struct secret; /* NULL means "none" */

/* Copies len bytes; the caller wipes its own copy. */
int secret_new(const char *text, size_t len, struct secret **ret,
               struct err *e) err_warn_unused;
/* The first line of a file of at most SECRET_FILE_BYTES. */
int secret_read_file(const char *path, struct secret **ret,
                     struct err *e) err_warn_unused;
void secret_free(struct secret *s);
DEFINE_AUTO_PTR(struct secret, secret_free)
#define auto_secret auto_call(secret_free_autop)

/* Borrowed, NUL-terminated, "" for NULL. Call only where the bytes are used. */
const char *secret_reveal(const struct secret *s);
size_t secret_len(const struct secret *s);

/* Overwrites memory in a way the compiler keeps. */
void secret_wipe(void *data, size_t len);

#endif
