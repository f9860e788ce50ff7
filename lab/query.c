/* The Query protocol's parameters; see query.h. No state of its own. */
#include "lab/query.h"

#include "lab/refuse.h"

#include "base/str.h"

#include <ctype.h>
#include <errno.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int query_decode(const char *s, size_t len, bool plus_is_space, struct buf *out,
                 struct err *e)
{
    for (size_t i = 0; i < len; i++) {
        int hi, lo;

        if (s[i] == '+' && plus_is_space) {
            buf_addc(out, ' ');
            continue;
        }
        if (s[i] != '%') {
            buf_addc(out, s[i]);
            continue;
        }
        hi = len - i > 2 ? hex_value(s[i + 1]) : -1;
        lo = len - i > 2 ? hex_value(s[i + 2]) : -1;
        if (hi < 0 || lo < 0)
            return err_set(e, ERR_INPUT, "bad percent escape at byte %zu", i);
        buf_addc(out, (char)(hi << 4 | lo));
        i += 2;
    }
    return buf_check(out, e);
}

static bool all_digits(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isdigit((unsigned char)s[i]))
            return false;
    return len > 0;
}

int query_pattern(const char *name, struct buf *out, struct err *e)
{
    for (const char *p = name; *p;) {
        size_t n = strcspn(p, ".");

        if (p != name && all_digits(p, n))
            buf_addc(out, 'N');
        else
            buf_add(out, p, n);
        p += n;
        if (*p == '.') {
            buf_addc(out, '.');
            p++;
        }
    }
    return buf_check(out, e);
}

/* Puts value at the place of the dotted name. */
static int insert(json_t *node, const char *name, const char *value, struct err *e)
{
    const char *p = name;
    json_t *next;
    char part[129];

    for (int depth = 0;; depth++) {
        size_t n = strcspn(p, ".");

        if (n == 0 || n >= sizeof part || depth == QUERY_MAX_DEPTH)
            return refuse(e, "MalformedQueryString",
                          "The parameter name %.100s is malformed", name);
        memcpy(part, p, n);
        part[n] = 0;
        p += n;
        next = json_object_get(node, part);
        if (!*p)
            break;
        p++;
        if (!next) {
            next = json_object();
            if (json_object_set_new(node, part, next) < 0)
                return err_nomem(e);
        }
        if (!json_is_object(next))
            return refuse(e, "InvalidParameterCombination",
                          "The parameter %.100s is given both as a value and a structure",
                          name);
        node = next;
    }
    if (next)
        return refuse(e, "InvalidParameterCombination",
                      "The parameter %.100s is given more than once", name);
    return json_put(node, part, json_string(value), e);
}

static int add_pair(struct query *q, const char *s, size_t len, struct err *e)
{
    const char *eq = memchr(s, '=', len);
    size_t name_len = eq ? (size_t)(eq - s) : len;
    auto_buf struct buf name = BUF_INIT;
    auto_buf struct buf value = BUF_INIT;
    json_t *v;

    if (query_decode(s, name_len, true, &name, e) < 0 ||
        (eq && query_decode(eq + 1, len - name_len - 1, true, &value, e) < 0))
        return refuse(e, "MalformedQueryString", "The query string is malformed: %s",
                      "bad percent escape");
    if (memchr(buf_str(&name), 0, name.len) || memchr(buf_str(&value), 0, value.len))
        return refuse(e, "MalformedQueryString", "The query string contains a NUL");
    if (json_object_size(q->flat) >= QUERY_MAX_PARAMS)
        return refuse(e, "MalformedQueryString",
                      "The request has more than %d parameters", QUERY_MAX_PARAMS);
    /* json_string() refuses what is not UTF-8. */
    v = json_string(buf_str(&value));
    if (!v || json_object_set_new(q->flat, buf_str(&name), v) < 0)
        return refuse(e, "MalformedQueryString", "The query string is not UTF-8");
    return insert(q->tree, buf_str(&name), buf_str(&value), e);
}

static int add_text(struct query *q, const char *s, size_t len, struct err *e)
{
    while (len) {
        const char *amp = memchr(s, '&', len);
        size_t n = amp ? (size_t)(amp - s) : len;

        if (n && add_pair(q, s, n, e) < 0)
            return -1;
        s += n;
        len -= n;
        if (len) {
            s++;
            len--;
        }
    }
    return 0;
}

struct numbered {
    unsigned long number;
    json_t *value;
};

static int by_number(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;

    return x->number < y->number ? -1 : x->number > y->number;
}

static bool is_numbered(json_t *node)
{
    const char *key;
    json_t *v;

    json_object_foreach (node, key, v)
        if (!all_digits(key, strlen(key)) || strlen(key) > 9)
            return false;
    return json_object_size(node) > 0;
}

static int to_array(json_t *node, json_t **ret, struct err *e)
{
    size_t n = json_object_size(node), i = 0;
    auto_free struct numbered *items = mem_zalloc(n, sizeof *items, e);
    json_t *list = json_array(), *v;
    const char *key;

    if (!items || !list) {
        json_decref(list);
        return err_nomem(e);
    }
    json_object_foreach (node, key, v)
        items[i++] = (struct numbered){strtoul(key, NULL, 10), v};
    qsort(items, n, sizeof *items, by_number);
    for (i = 0; i < n; i++)
        if (json_array_append(list, items[i].value) < 0) {
            json_decref(list);
            return err_nomem(e);
        }
    *ret = list;
    return 0;
}

/* Turns numbered objects below node into arrays; depth is bounded by insert(). */
static int number_lists(json_t *node, struct err *e)
{
    const char *key;
    void *tmp;
    json_t *v, *list = NULL;

    json_object_foreach_safe(node, tmp, key, v)
    {
        if (!json_is_object(v))
            continue;
        if (number_lists(v, e) < 0)
            return -1;
        if (is_numbered(v) &&
            (to_array(v, &list, e) < 0 || json_put(node, key, list, e) < 0))
            return -1;
    }
    return 0;
}

int query_parse(const char *url_query, size_t url_len, const char *body, size_t body_len,
                struct query *ret, struct err *e)
{
    struct query q = {.tree = json_object(), .flat = json_object()};

    if (!q.tree || !q.flat) {
        query_release(&q);
        return err_nomem(e);
    }
    if (add_text(&q, url_query, url_len, e) < 0 || add_text(&q, body, body_len, e) < 0 ||
        number_lists(q.tree, e) < 0) {
        query_release(&q);
        return -1;
    }
    *ret = q;
    return 0;
}

void query_release(struct query *q)
{
    json_decref(q->tree);
    json_decref(q->flat);
    q->tree = q->flat = NULL;
}

static bool in_words(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (const char *p = words; *p;) {
        size_t n = strcspn(p, " ");

        if (n == len && memcmp(p, word, n) == 0)
            return true;
        p += n;
        p += strspn(p, " ");
    }
    return false;
}

int query_check_known(const struct query *q, const char *known, struct err *e)
{
    const char *name;
    json_t *v;

    json_object_foreach (q->flat, name, v) {
        auto_buf struct buf pattern = BUF_INIT;

        if (query_pattern(name, &pattern, e) < 0)
            return -1;
        if (!in_words(known, buf_str(&pattern)))
            return refuse(e, "UnknownParameter", "The parameter %.100s is not recognized",
                          name);
    }
    return 0;
}

const char *q_str(const json_t *node, const char *key)
{
    return json_string_value(json_object_get(node, key));
}

const char *q_str_or(const json_t *node, const char *key, const char *fallback)
{
    const char *s = q_str(node, key);

    return s ? s : fallback;
}

json_t *q_list(const json_t *node, const char *key)
{
    json_t *v = json_object_get(node, key);

    return json_is_array(v) ? v : NULL;
}

json_t *q_sub(const json_t *node, const char *key)
{
    json_t *v = json_object_get(node, key);

    return json_is_object(v) ? v : NULL;
}

int q_int(const json_t *node, const char *key, json_int_t min, json_int_t max,
          json_int_t *ret, struct err *e)
{
    const char *s = q_str(node, key);
    char *end;
    long long v;

    if (!s)
        return 0;
    errno = 0;
    v = strtoll(s, &end, 10);
    if (errno || end == s || *end || isspace((unsigned char)*s))
        return refuse(e, "InvalidParameterValue",
                      "Value (%.100s) for parameter %s is invalid. Must be an integer", s,
                      key);
    if (v < min || v > max)
        return refuse(
            e, "InvalidParameterValue",
            "Value (%.100s) for parameter %s is invalid. It must be between %lld "
            "and %lld",
            s, key, (long long)min, (long long)max);
    *ret = v;
    return 1;
}

int q_bool(const json_t *node, const char *key, bool *ret, struct err *e)
{
    const char *s = q_str(node, key);

    if (!s)
        return 0;
    if (strcasecmp(s, "true") == 0)
        *ret = true;
    else if (strcasecmp(s, "false") == 0)
        *ret = false;
    else
        return refuse(e, "InvalidParameterValue",
                      "Value (%.100s) for parameter %s is invalid. Must be true or false",
                      s, key);
    return 1;
}
