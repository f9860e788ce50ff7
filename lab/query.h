/* Parameters of a request in the Query protocol: form-encoded text turned into a tree.
 *
 * `Filter.1.Name=a&Filter.1.Value.1=b` becomes {"Filter": [{"Name": "a", "Value":
 * ["b"]}]}: numbered members become arrays in the order of their numbers, gaps closed.
 * Every leaf is a string. The text comes from strangers: its length, its number of
 * parameters and their depth are limited, and it must be UTF-8. */
#ifndef HOTADD_LAB_QUERY_H
#define HOTADD_LAB_QUERY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

#define QUERY_MAX_PARAMS 2000
#define QUERY_MAX_DEPTH  10

struct query {
    json_t *tree; /* owned */
    json_t *flat; /* owned; full name → value, in order of arrival */
};

#define QUERY_INIT                                                                       \
    {                                                                                    \
        0                                                                                \
    }

/* Decodes %XX and, if `plus_is_space`, '+'. Appends to out. ERR_INPUT for a bad
 * escape. */
int query_decode(const char *s, size_t len, bool plus_is_space, struct buf *out,
                 struct err *e) err_warn_unused;

/* Parses URL query and body (either may be empty) as one list of parameters. Failures
 * are ERR_CLOUD with EC2's code. */
int query_parse(const char *url_query, size_t url_len, const char *body, size_t body_len,
                struct query *ret, struct err *e) err_warn_unused;
void query_release(struct query *q);

/* The parameter's name with its numbers replaced by N: "Filter.N.Value.N". */
int query_pattern(const char *name, struct buf *out, struct err *e) err_warn_unused;

/* ERR_CLOUD UnknownParameter for a name whose pattern is not among the space-separated
 * `known`. */
int query_check_known(const struct query *q, const char *known,
                      struct err *e) err_warn_unused;

/* Access to one level of the tree; `node` may be NULL. NULL when absent. */
const char *q_str(const json_t *node, const char *key);
const char *q_str_or(const json_t *node, const char *key, const char *fallback);
/* Elements of a numbered list; NULL (an empty array to jansson) when absent. */
json_t *q_list(const json_t *node, const char *key);
json_t *q_sub(const json_t *node, const char *key);

/* Absent leaves *ret alone and returns 0; present returns 1. Anything else than a
 * number in [min, max] or true/false is InvalidParameterValue. */
int q_int(const json_t *node, const char *key, json_int_t min, json_int_t max,
          json_int_t *ret, struct err *e) err_warn_unused;
int q_bool(const json_t *node, const char *key, bool *ret, struct err *e) err_warn_unused;

#endif
