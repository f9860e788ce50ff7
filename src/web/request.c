/* Parsing requests; see request.h. Nothing is guessed: what is not well-formed is refused
 * with a sentence, so that no two readers of a request can disagree about it. */
#include "web/request.h"

#include "base/json.h"
#include "base/str.h"

#include <ctype.h>

int request_method_parse(const char *text, enum request_method *ret, struct err *e)
{
    static const struct {
        const char *name;
        enum request_method method;
    } known[] = {{"GET", REQUEST_GET},
                 {"HEAD", REQUEST_HEAD},
                 {"POST", REQUEST_POST},
                 {"DELETE", REQUEST_DELETE}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (str_eq(text, known[i].name)) {
            *ret = known[i].method;
            return 0;
        }
    return err_set(e, ERR_UNSUPPORTED, "method %.20s is not used here", text);
}

/* Decodes len bytes. `plus`: '+' is a blank, as forms have it. */
static int decode(const char *text, size_t len, bool plus, char **ret, struct err *e)
{
    auto_free char *out = mem_zalloc(len + 1, 1, e);
    size_t n = 0;

    if (!out)
        return -1;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '%') {
            char hex[3] = {0};

            if (len - i < 3)
                return err_set(e, ERR_INPUT, "a percent escape is cut off");
            memcpy(hex, text + i + 1, 2);
            if (str_unhex(hex, &c, 1, e) < 0)
                return err_set(e, ERR_INPUT, "a percent escape is not two hex digits");
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        if (c < 0x20 || c == 0x7f)
            return err_set(e, ERR_INPUT, "a control character");
        out[n++] = (char)c;
    }
    *ret = take_ptr(out);
    return 0;
}

static int add_segment(const char *text, size_t len, struct strv *v, struct err *e)
{
    auto_free char *s = NULL;

    if (v->n == REQUEST_MAX_SEGMENTS)
        return err_set(e, ERR_INPUT, "the path has too many parts");
    if (decode(text, len, false, &s, e) < 0)
        return -1;
    if (!*s || *s == '.' || strpbrk(s, "/\\"))
        return err_set(e, ERR_INPUT, "the path has an empty, dotted or slashed part");
    return strv_add(v, s, e);
}

int request_path_split(const char *path, struct strv *ret, struct err *e)
{
    auto_strv struct strv v = {0};
    size_t len = strlen(path);

    if (*path != '/' || len > REQUEST_MAX_PATH)
        return err_set(e, ERR_INPUT,
                       "the path does not begin with a slash or is too long");
    for (const char *p = path + 1; *p;) {
        size_t n = strcspn(p, "/");

        if (add_segment(p, n, &v, e) < 0)
            return -1;
        p += n + (p[n] == '/');
    }
    *ret = v;
    v = (struct strv){0};
    return 0;
}

int request_query_get(const char *query, const char *name, char **ret, struct err *e)
{
    auto_free char *found = NULL;

    for (const char *p = query; *p;) {
        size_t len = strcspn(p, "&"), key_len = strcspn(p, "=&");
        auto_free char *key = NULL;

        if (decode(p, key_len, true, &key, e) < 0)
            return -1;
        if (str_eq(key, name)) {
            if (found)
                return err_set(e, ERR_INPUT, "parameter %s is given twice", name);
            key_len += key_len < len; /* the '=' */
            if (decode(p + key_len, len - key_len, true, &found, e) < 0)
                return err_prefix(e, "parameter %s", name);
        }
        p += len + (p[len] == '&');
    }
    *ret = take_ptr(found);
    return 0;
}

int request_query_u64(const char *query, const char *name, uint64_t fallback,
                      uint64_t max, uint64_t *ret, struct err *e)
{
    auto_free char *text = NULL;
    uint64_t n = fallback;

    if (request_query_get(query, name, &text, e) < 0)
        return -1;
    if (text && str_to_u64(text, &n, e) < 0) {
        e->kind = ERR_INPUT;
        return err_prefix(e, "parameter %s", name);
    }
    *ret = n < max ? n : max;
    return 0;
}

int request_cookie_get(const char *header, const char *name, char **ret, struct err *e)
{
    size_t name_len = strlen(name);
    const char *found = NULL;
    size_t found_len = 0;

    for (const char *p = header ? header : ""; *p;) {
        size_t skip = strspn(p, " ;"), len = strcspn(p + skip, ";");

        p += skip;
        if (len > name_len && p[name_len] == '=' && memcmp(p, name, name_len) == 0) {
            if (found) { /* one of them may be planted: neither is believed */
                *ret = NULL;
                return 0;
            }
            found = p + name_len + 1;
            found_len = len - name_len - 1;
        }
        p += len;
    }
    if (!found) {
        *ret = NULL;
        return 0;
    }
    *ret = str_ndup(found, found_len, e);
    return *ret ? 0 : -1;
}

/* The end of the host in "host:port" or "[v6]:port"; NULL when it is neither. */
static const char *host_end(const char *host)
{
    const char *end;

    if (*host == '[') {
        end = strchr(host, ']');
        return end && strspn(host + 1, "0123456789abcdefABCDEF:.") ==
                           (size_t)(end - host - 1)
                   ? end + 1
                   : NULL;
    }
    end = host;
    while (isalnum((unsigned char)*end) || *end == '.' || *end == '-' || *end == '_')
        end++;
    return end > host ? end : NULL;
}

int request_host_split(const char *host, char **ret, struct err *e)
{
    const char *end = strlen(host) < 300 ? host_end(host) : NULL;
    bool v6 = *host == '[';
    char *name;

    if (!end ||
        (*end && (*end != ':' || strspn(end + 1, "0123456789") != strlen(end + 1) ||
                  strlen(end + 1) > 5)))
        return err_set(e, ERR_INPUT, "the Host header is no name or address");
    name = str_ndup(host + v6, (size_t)(end - host) - 2 * v6, e);
    if (!name)
        return -1;
    for (char *c = name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    *ret = name;
    return 0;
}

const char *request_bearer(const char *authorization)
{
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return NULL;
    return authorization + 7 + strspn(authorization + 7, " ");
}

int request_json(const struct request *rq, json_t **ret, struct err *e)
{
    const char *type = rq->content_type ? rq->content_type : "";
    size_t n = strcspn(type, "; ");
    json_auto_t *o = NULL;

    /* A form of another site cannot send this type without asking first. */
    if (n != strlen("application/json") || strncasecmp(type, "application/json", n) != 0)
        return err_set(e, ERR_INPUT, "send the body as application/json");
    if (json_parse(buf_str(rq->body), rq->body->len, "body", &o, e) < 0)
        return -1;
    if (!json_is_object(o))
        return err_set(e, ERR_INPUT, "the body is not a JSON object");
    *ret = json_incref(o);
    return 0;
}

bool request_name_ok(const char *name)
{
    size_t len = strlen(name);

    return len && len < REQUEST_NAME_LEN && *name != '-' && *name != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                        "._-") == len;
}
