/* Inside src/repo only: names and the paths made of them (format, section 6). No path is
 * ever built of a name that these have not accepted. */
#ifndef HOTADD_REPO_NAMES_H
#define HOTADD_REPO_NAMES_H

#include "repo/repo.h"

#define REPO_MAX_NS_DEPTH 7
#define REPO_MAX_TIME     253402300799 /* 9999-12-31T23:59:59Z */

extern const char *const repo_types[3]; /* "ct", "host", "vm": sorted */

/* [A-Za-z0-9_][A-Za-z0-9._-]*, at most 255 bytes. */
bool repo_id_valid(const char *s);
/* Components of that kind joined with '/', at most 7 and 256 characters; "" too. */
bool repo_ns_valid(const char *s);
/* Callers may have made a name themselves: ERR_USAGE unless both are such. */
int repo_name_check(const struct repo_name *n, struct err *e) err_warn_unused;
/* As repo_id_valid, with an extension "fidx", "didx" or "blob". */
bool repo_file_valid(const char *s);
bool repo_type_valid(const char *s);

/* Exactly the text that repo_time_text() makes; false for anything else. */
bool repo_time_parse(const char *text, int64_t *ret);

/* "ns/prod/ns/eu" for "prod/eu", "" for "". Owned; NULL with e set. */
char *repo_ns_path(const char *ns, struct err *e) err_warn_unused;
/* "ns/prod/vm/100". Owned. */
char *repo_group_path(const char *ns, const char *type, const char *id,
                      struct err *e) err_warn_unused;
/* "ns/prod/vm/100/TIME". Owned. */
char *repo_point_path(const char *ns, const char *type, const char *id, int64_t time,
                      struct err *e) err_warn_unused;

#endif
