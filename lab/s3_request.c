/* Reading requests; see s3_request.h. No state. */
#include "lab/s3_request.h"

#include "lab/query.h"
#include "lab/refuse.h"

#include "base/str.h"
#include "base/xml.h"

#include <ctype.h>

#define MAX_KEY     1024
#define MAX_PARAMS  100
#define MAX_PARTS   10000
#define MAX_DELETES 1000

/* ---- Where it goes ---- */

size_t s3_host_bucket(const char *host)
{
    static const char suffix[] = ".localhost";
    size_t len = strcspn(host, ":"), n = sizeof suffix - 1;

    return len > n && strncasecmp(host + len - n, suffix, n) == 0 ? len - n : 0;
}

/* Decoded text that must be UTF-8 without NUL; owned. */
static int decoded(const char *s, size_t len, char **ret, struct err *e)
{
    auto_buf struct buf plain = BUF_INIT;
    json_t *check;

    if (query_decode(s, len, false, &plain, e) < 0)
        return refuse(e, "InvalidURI", "Couldn't parse the specified URI.");
    check = json_stringn(buf_str(&plain), plain.len);
    json_decref(check);
    if (!check || memchr(buf_str(&plain), 0, plain.len))
        return refuse(e, "InvalidURI", "The URI is not UTF-8 text.");
    return buf_take(&plain, ret, e);
}

static int add_param(json_t *params, const char *s, size_t len, struct err *e)
{
    const char *eq = memchr(s, '=', len);
    size_t name_len = eq ? (size_t)(eq - s) : len;
    auto_free char *name = NULL, *value = NULL;

    if (json_object_size(params) >= MAX_PARAMS)
        return refuse(e, "InvalidURI", "More than %d parameters", MAX_PARAMS);
    if (decoded(s, name_len, &name, e) < 0 ||
        decoded(eq ? eq + 1 : "", eq ? len - name_len - 1 : 0, &value, e) < 0)
        return -1;
    return json_put(params, name, json_string(value), e);
}

static int parse_query(const char *query, json_t *params, struct err *e)
{
    for (const char *p = query; *p;) {
        size_t len = strcspn(p, "&");

        if (len && add_param(params, p, len, e) < 0)
            return -1;
        p += len + (p[len] == '&');
    }
    return 0;
}

static int parse_path(const char *path, struct s3_target *t, struct err *e)
{
    const char *key;

    if (*path != '/')
        return refuse(e, "InvalidURI", "Couldn't parse the specified URI.");
    key = path + 1;
    if (!t->bucket) {
        size_t len = strcspn(key, "/");

        if (len && decoded(key, len, &t->bucket, e) < 0)
            return -1;
        key += len + (key[len] == '/');
    }
    if (!*key)
        return 0;
    if (!t->bucket)
        return refuse(e, "InvalidURI", "Couldn't parse the specified URI.");
    if (decoded(key, strlen(key), &t->key, e) < 0)
        return -1;
    if (strlen(t->key) > MAX_KEY)
        return refuse(e, "KeyTooLongError", "Your key is too long");
    return 0;
}

int s3_target_parse(const struct http_request *rq, struct s3_target *ret, struct err *e)
{
    const char *host = http_header_get(rq, "host");
    size_t len = host ? s3_host_bucket(host) : 0;
    struct s3_target t = {.params = json_object()};

    if (!t.params)
        return err_nomem(e);
    if ((len && !(t.bucket = str_ndup(host, len, e))) ||
        parse_path(rq->path, &t, e) < 0 || parse_query(rq->raw_query, t.params, e) < 0) {
        s3_target_release(&t);
        return -1;
    }
    *ret = t;
    return 0;
}

void s3_target_release(struct s3_target *t)
{
    free(t->bucket);
    free(t->key);
    json_decref(t->params);
    *t = (struct s3_target){0};
}

const char *s3_param(const struct s3_target *t, const char *name)
{
    return json_string_value(json_object_get(t->params, name));
}

int s3_param_number(const struct s3_target *t, const char *name, uint64_t max,
                    uint64_t *ret, struct err *e)
{
    const char *v = s3_param(t, name);
    uint64_t n;

    if (!v || !*v)
        return 0;
    if (str_to_u64(v, &n, e) < 0 || n > max)
        return refuse(e, "InvalidArgument",
                      "Argument %s must be an integer between 0 "
                      "and %llu",
                      name, (unsigned long long)max);
    *ret = n;
    return 0;
}

int s3_name_check(const char *name, struct err *e)
{
    size_t len = strlen(name);
    bool good = len >= 3 && len <= 63;

    for (const char *p = name; *p && good; p++)
        good =
            islower((unsigned char)*p) || isdigit((unsigned char)*p) ||
            ((*p == '-' || *p == '.') && p > name && p[1] && !(*p == '.' && p[1] == '.'));
    if (good && strspn(name, "0123456789.") < len)
        return 0;
    return refuse(e, "InvalidBucketName", "The specified bucket is not valid.");
}

int s3_copy_source(const char *header, char **ret_bucket, char **ret_key, struct err *e)
{
    const char *p = header + (*header == '/'), *slash = strchr(p, '/');
    auto_free char *bucket = NULL, *key = NULL;

    if (!slash || slash == p || !slash[1] || strchr(slash, '?'))
        return refuse(e, "InvalidArgument",
                      "Copy Source must mention the source bucket and key: "
                      "sourcebucket/sourcekey");
    if (decoded(p, (size_t)(slash - p), &bucket, e) < 0 ||
        decoded(slash + 1, strlen(slash + 1), &key, e) < 0)
        return -1;
    *ret_bucket = take_ptr(bucket);
    *ret_key = take_ptr(key);
    return 0;
}

/* Digits at *p up to `end`; false when there are none or too many. */
static bool digits(const char **p, uint64_t *ret)
{
    const char *start = *p;

    *ret = 0;
    for (; isdigit((unsigned char)**p) && *p - start < 19; (*p)++)
        *ret = *ret * 10 + (uint64_t)(**p - '0');
    return *p > start && !isdigit((unsigned char)**p);
}

/* RFC 9110 section 14.1.2; what is not one range of bytes is ignored, as S3 does. */
int s3_range_parse(const char *header, uint64_t size_bytes, uint64_t *ret_offset,
                   uint64_t *ret_len, struct err *e)
{
    const char *p = header + strlen("bytes=");
    uint64_t first = 0, last = UINT64_MAX;

    if (!str_starts(header, "bytes="))
        return 0;
    if (*p == '-') {
        p++;
        if (!digits(&p, &last) || *p)
            return 0;
        first = last < size_bytes ? size_bytes - last : 0;
        if (last == 0)
            first = size_bytes;
        last = UINT64_MAX;
    } else if (!digits(&p, &first) || *p++ != '-' || (*p && !digits(&p, &last)) || *p ||
               last < first) {
        return 0;
    }
    if (first >= size_bytes)
        return refuse(e, "InvalidRange", "The requested range is not satisfiable");
    if (last >= size_bytes)
        last = size_bytes - 1;
    *ret_offset = first;
    *ret_len = last - first + 1;
    return 1;
}

/* ---- Documents ---- */

static int malformed(struct err *e)
{
    return refuse(e, "MalformedXML",
                  "The XML you provided was not well-formed or did not validate against "
                  "our published schema");
}

static int parse_xml(const struct buf *body, const char *root, xmlDoc **ret,
                     struct err *e)
{
    xmlDoc *doc;

    if (xml_parse(buf_str(body), body->len, HTTP_MAX_BODY, "body", &doc, e) < 0)
        return malformed(e);
    if (!xml_is(xml_root(doc), root)) {
        xmlFreeDoc(doc);
        return malformed(e);
    }
    *ret = doc;
    return 0;
}

/* Untrimmed: keys may begin and end with blanks. JSON string, owned; NULL with e set. */
static json_t *child_text(xmlNode *parent, const char *name, struct err *e)
{
    xmlNode *child = xml_child(parent, name);
    xmlChar *text = child ? xmlNodeGetContent(child) : NULL;
    json_t *v = text ? json_string((const char *)text) : NULL;

    xmlFree(text);
    if (!v)
        malformed(e);
    return v;
}

static int add_part(json_t *list, xmlNode *node, struct err *e)
{
    json_t *number = child_text(node, "PartNumber", e);
    json_t *etag = number ? child_text(node, "ETag", e) : NULL;
    const char *text = etag ? json_string_value(etag) : "";
    uint64_t n;
    char quoted[64];
    int r = -1;

    snprintf(quoted, sizeof quoted, *text == '"' ? "%s" : "\"%s\"", text);
    if (etag && (str_to_u64(json_string_value(number), &n, e) < 0 || n > MAX_PARTS ||
                 json_array_size(list) >= MAX_PARTS))
        malformed(e);
    else if (etag)
        r = json_add(list,
                     json_pack("{s:I, s:s}", "number", (json_int_t)n, "etag", quoted), e);
    json_decref(number);
    json_decref(etag);
    return r;
}

int s3_complete_parse(const struct buf *body, json_t **ret, struct err *e)
{
    auto_xml xmlDoc *doc = NULL;
    json_t *list;
    int r = 0;

    if (parse_xml(body, "CompleteMultipartUpload", &doc, e) < 0)
        return -1;
    list = json_array();
    if (!list)
        return err_nomem(e);
    for (XML_EACH (n, xml_child(xml_root(doc), "Part")))
        if (r == 0)
            r = add_part(list, n, e);
    if (r == 0 && json_array_size(list) == 0)
        r = malformed(e);
    if (r < 0) {
        json_decref(list);
        return -1;
    }
    *ret = list;
    return 0;
}

int s3_delete_parse(const struct buf *body, json_t **ret_keys, bool *ret_quiet,
                    struct err *e)
{
    auto_xml xmlDoc *doc = NULL;
    json_t *keys, *quiet;
    int r = 0;

    if (parse_xml(body, "Delete", &doc, e) < 0)
        return -1;
    keys = json_array();
    if (!keys)
        return err_nomem(e);
    for (XML_EACH (n, xml_child(xml_root(doc), "Object"))) {
        json_t *key = r == 0 ? child_text(n, "Key", e) : NULL;

        r = key ? json_add(keys, key, e) : -1;
    }
    if (r == 0 && (json_array_size(keys) == 0 || json_array_size(keys) > MAX_DELETES))
        r = malformed(e);
    if (r < 0) {
        json_decref(keys);
        return -1;
    }
    quiet = child_text(xml_root(doc), "Quiet", e);
    *ret_quiet = quiet && str_eq(json_string_value(quiet), "true");
    json_decref(quiet);
    *ret_keys = keys;
    return 0;
}

int s3_location_parse(const struct buf *body, char **ret, struct err *e)
{
    auto_xml xmlDoc *doc = NULL;
    auto_free char *region = NULL;
    size_t n;

    if (body->len == 0)
        return (*ret = str_dup("", e)) ? 0 : -1;
    if (parse_xml(body, "CreateBucketConfiguration", &doc, e) < 0 ||
        xml_child_text(xml_root(doc), "LocationConstraint", &region, e) < 0)
        return -1;
    if (!region && !(region = str_dup("", e)))
        return -1;
    n = strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-");
    if (region[n] || n > 30)
        return refuse(e, "InvalidLocationConstraint",
                      "The specified location-constraint is not valid");
    *ret = take_ptr(region);
    return 0;
}

void s3_url_encode(const char *text, struct buf *out)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (isalnum(c) || strchr("-_.*/", c))
            buf_addc(out, (char)c);
        else if (c == ' ')
            buf_addc(out, '+');
        else
            buf_addf(out, "%%%02X", c);
    }
}
