/* Reading JSON we did not write, with errors that name the member. Writing is plain
 * jansson (json_pack). Results are borrowed from the object. */
#ifndef HOTADD_BASE_JSON_H
#define HOTADD_BASE_JSON_H

#include "base/err.h"

#include "base/strv.h"

#include <jansson.h>
#include <stdint.h>

/* `what` names the text in errors; the result is owned. Duplicate members are refused. */
int json_parse(const char *text, size_t len, const char *what, json_t **ret,
               struct err *e) err_warn_unused;

/* The member must be there and of the type. */
int json_need_str(const json_t *obj, const char *key, const char **ret,
                  struct err *e) err_warn_unused;
int json_need_u64(const json_t *obj, const char *key, uint64_t *ret,
                  struct err *e) err_warn_unused;

/* Default when absent or of another type. */
const char *json_str_or(const json_t *obj, const char *key, const char *fallback);
uint64_t json_u64_or(const json_t *obj, const char *key, uint64_t fallback);
bool json_bool_or(const json_t *obj, const char *key, bool fallback);

/* Compact, members in order of insertion; owned C string. */
int json_text(const json_t *value, char **ret, struct err *e) err_warn_unused;

/* A string of text that may be anything, such as a file's name or a console's line: if it
 * is not UTF-8, each byte that is not ASCII becomes '?'. Owned; NULL when out of memory.
 */
json_t *json_any_text(const char *text);

/* str_blank_controls() in every string of the value; ERR_NOMEM. */
int json_blank_controls(json_t *value, struct err *e) err_warn_unused;

/* Adds or replaces a member, taking over `value` (NULL counts as out of memory). */
int json_put(json_t *obj, const char *key, json_t *value, struct err *e) err_warn_unused;
/* An array of the strings, owned; NULL with e set when out of memory. */
json_t *json_from_strv(const struct strv *v, struct err *e) err_warn_unused;
/* Appends an array's strings; NULL is an empty array, another element ERR_INPUT. */
int json_to_strv(const json_t *array, struct strv *ret, struct err *e) err_warn_unused;

/* Appends to an array, taking over `value`. */
int json_add(json_t *array, json_t *value, struct err *e) err_warn_unused;

#endif
