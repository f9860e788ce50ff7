/* The INI dialect of ~/.aws/config and ~/.aws/credentials.
 *
 * Own code, because libinih (as Debian builds it) cuts lines at 200 characters and
 * values at " ;", and session tokens are longer and passwords may hold anything. As in
 * the AWS CLI, comments are whole lines only, and indented lines below a key are
 * settings of their own ("services" sections).
 *
 * The text may hold secrets: it is kept in one piece, and wiped when freed. */
#ifndef HOTADD_AWS_INI_H
#define HOTADD_AWS_INI_H

#include "base/auto.h"
#include "base/err.h"

#include <stddef.h>

struct aws_ini;

#define AWS_INI_MAX_BYTES (1024 * 1024)

/* Copies the text. `what` names it in errors (ERR_INPUT with the line's number, never
 * its contents). Owned. */
int aws_ini_parse(const char *text, size_t len, const char *what, struct aws_ini **ret,
                  struct err *e) err_warn_unused;
/* A file that is not there reads as an empty one. */
int aws_ini_read(const char *path, struct aws_ini **ret, struct err *e) err_warn_unused;
void aws_ini_free(struct aws_ini *ini);

DEFINE_AUTO_PTR(struct aws_ini, aws_ini_free)
#define auto_ini auto_call(aws_ini_free_autop)

/* Borrowed, or NULL. Section names are compared with quotes taken off and white space
 * made one ("profile x" for [profile "x"]); of equal keys the last counts. `sub` is NULL
 * for plain settings, else the name of an indented one below `key`. */
const char *aws_ini_get(const struct aws_ini *ini, const char *section, const char *key,
                        const char *sub);
bool aws_ini_has(const struct aws_ini *ini, const char *section);

#endif
