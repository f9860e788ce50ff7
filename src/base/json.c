/* Reading JSON with errors that name the member; see json.h. */
#include "base/json.h"

#include "base/auto.h"
#include "base/str.h"

#include <stdlib.h>

int json_parse(const char *text, size_t len, const char *what, json_t **ret,
               struct err *e)
{
    json_error_t je;
    json_t *v = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);

    if (!v)
        return err_set(e, ERR_INPUT, "%s: not JSON: line %d: %s", what, je.line, je.text);
    *ret = v;
    return 0;
}

int json_need_str(const json_t *obj, const char *key, const char **ret, struct err *e)
{
    const char *s = json_string_value(json_object_get(obj, key));

    if (!s)
        return err_set(e, ERR_INPUT, "\"%s\" is missing or no string", key);
    *ret = s;
    return 0;
}

int json_need_u64(const json_t *obj, const char *key, uint64_t *ret, struct err *e)
{
    const json_t *v = json_object_get(obj, key);

    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return err_set(e, ERR_INPUT, "\"%s\" is missing or no whole number", key);
    *ret = (uint64_t)json_integer_value(v);
    return 0;
}

const char *json_str_or(const json_t *obj, const char *key, const char *fallback)
{
    const char *s = json_string_value(json_object_get(obj, key));

    return s ? s : fallback;
}

uint64_t json_u64_or(const json_t *obj, const char *key, uint64_t fallback)
{
    const json_t *v = json_object_get(obj, key);

    return json_is_integer(v) && json_integer_value(v) >= 0
               ? (uint64_t)json_integer_value(v)
               : fallback;
}

bool json_bool_or(const json_t *obj, const char *key, bool fallback)
{
    const json_t *v = json_object_get(obj, key);

    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

int json_text(const json_t *value, char **ret, struct err *e)
{
    char *s = json_dumps(value, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);

    if (!s)
        return err_nomem(e);
    *ret = s;
    return 0;
}

int json_put(json_t *obj, const char *key, json_t *value, struct err *e)
{
    return json_object_set_new(obj, key, value) < 0 ? err_nomem(e) : 0;
}

int json_add(json_t *array, json_t *value, struct err *e)
{
    return json_array_append_new(array, value) < 0 ? err_nomem(e) : 0;
}

json_t *json_from_strv(const struct strv *v, struct err *e)
{
    json_t *a = json_array();

    if (!a)
        err_nomem(e);
    vec_foreach (s, v)
        if (a && json_add(a, json_string(*s), e) < 0) {
            json_decref(a);
            a = NULL;
        }
    return a;
}

int json_to_strv(const json_t *array, struct strv *ret, struct err *e)
{
    const json_t *v;
    size_t i;

    json_array_foreach (array, i, v) {
        if (!json_is_string(v))
            return err_set(e, ERR_INPUT, "a list holds something that is no string");
        if (strv_add(ret, json_string_value(v), e) < 0)
            return -1;
    }
    return 0;
}

json_t *json_any_text(const char *text)
{
    json_t *v = json_string(text);
    struct err e = ERR_INIT;
    char *copy;

    if (v)
        return v;
    copy = str_dup(text, &e);
    if (!copy)
        return NULL;
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    v = json_string(copy);
    free(copy);
    return v;
}

static int blank_string(json_t *v, struct err *e)
{
    auto_free char *copy = str_ndup(json_string_value(v), json_string_length(v), e);

    if (!copy)
        return -1;
    str_blank_controls(copy);
    return json_string_set(v, copy) < 0 ? err_nomem(e) : 0;
}

int json_blank_controls(json_t *value, struct err *e)
{
    const char *key;
    json_t *v;
    size_t i;

    if (json_is_string(value))
        return blank_string(value, e);
    json_object_foreach (value, key, v)
        if (json_blank_controls(v, e) < 0)
            return -1;
    json_array_foreach (value, i, v)
        if (json_blank_controls(v, e) < 0)
            return -1;
    return 0;
}
