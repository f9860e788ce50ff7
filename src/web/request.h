/* One request as the monitor sees it, and the parsing of its parts. Everything here works
 * on what strangers send: lengths are checked, nothing is kept but copies. */
#ifndef HOTADD_WEB_REQUEST_H
#define HOTADD_WEB_REQUEST_H

#include "base/buf.h"
#include "base/strv.h"

#include <jansson.h>
#include <stdint.h>

#define REQUEST_MAX_BODY     (16u << 10)
#define REQUEST_MAX_PATH     1024
#define REQUEST_MAX_SEGMENTS 8
#define REQUEST_NAME_LEN     129 /* of a job or a sync in a path, with its NUL */

enum request_method { REQUEST_GET, REQUEST_HEAD, REQUEST_POST, REQUEST_DELETE };

/* Texts are borrowed from the server until the handler returns; NULL: not sent. */
struct request {
    enum request_method method;
    const char *path;  /* as sent, percent escapes and all */
    const char *query; /* after '?', as sent; "" when none */
    const char *host, *origin, *authorization, *cookie, *content_type, *fetch_site,
        *last_event_id, *if_none_match;
    const struct buf *body;
};

/* -1 (ERR_UNSUPPORTED) for a method that no route of ours has. */
int request_method_parse(const char *text, enum request_method *ret,
                         struct err *e) err_warn_unused;

/* "/api/v1/jobs/j%2d1" to its decoded segments. ERR_INPUT: too long, too many, an empty
 * or dotted segment, an escape that is none, a NUL, a slash or a control character behind
 * an escape. A single trailing slash and the path "/" give what is before it. */
int request_path_split(const char *path, struct strv *ret, struct err *e) err_warn_unused;

/* The value of a parameter, decoded ('+' is a blank), owned; NULL when it is not there.
 * ERR_INPUT: given twice, or badly escaped. */
int request_query_get(const char *query, const char *name, char **ret,
                      struct err *e) err_warn_unused;

/* A parameter that is a number up to `max`; the fallback when it is not there. */
int request_query_u64(const char *query, const char *name, uint64_t fallback,
                      uint64_t max, uint64_t *ret, struct err *e) err_warn_unused;

/* The value of a cookie (RFC 6265), owned; NULL when there is none of that name or more
 * than one. */
int request_cookie_get(const char *header, const char *name, char **ret,
                       struct err *e) err_warn_unused;

/* The name of "name", "name:port", "[::1]:port" in lower case, without brackets, owned.
 * ERR_INPUT: neither a name nor an address. */
int request_host_split(const char *host, char **ret, struct err *e) err_warn_unused;

/* The token of "Bearer TOKEN", borrowed; NULL when it is another scheme. */
const char *request_bearer(const char *authorization);

/* The body as a JSON object. ERR_INPUT: not declared as application/json, no object. */
int request_json(const struct request *rq, json_t **ret, struct err *e) err_warn_unused;

/* Whether a segment is a name that jobs and syncs have: letters, digits, '.', '_', '-',
 * not beginning with '-' (it becomes an argument of a command). */
bool request_name_ok(const char *name);

#endif
