/* Tags, with EC2's rules ("Tag restrictions"): at most 50, keys of 1 to 128 characters,
 * values to 256, no "aws:" prefix, keys unique; see act.h. */
#include "lab/act.h"

#include "base/str.h"

#define MAX_TAGS 50

/* Characters of a UTF-8 string: its bytes that do not continue one. */
static size_t utf8_len(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

int tags_check(const json_t *tags, struct err *e)
{
    size_t i, j;
    json_t *tag, *other;

    json_array_foreach (tags, i, tag) {
        const char *key = q_str(tag, "Key"), *value = q_str_or(tag, "Value", "");

        if (!key || !*key)
            return refuse(e, "InvalidParameterValue",
                          "Tag key cannot be null. Please provide a tag key.");
        if (utf8_len(key) > 128)
            return refuse(e, "InvalidParameterValue",
                          "Tag key exceeds the maximum length of 128 characters");
        if (utf8_len(value) > 256)
            return refuse(e, "InvalidParameterValue",
                          "Tag value exceeds the maximum length of 256 characters");
        if (strncasecmp(key, "aws:", 4) == 0)
            return refuse(e, "InvalidParameterValue",
                          "Tag keys starting with 'aws:' are reserved for internal use");
        for (j = 0; j < i; j++) {
            other = json_array_get(tags, j);
            if (str_eq_null(q_str(other, "Key"), key))
                return refuse(e, "InvalidParameterValue",
                              "Duplicate tag key '%.128s' specified.", key);
        }
    }
    return 0;
}

static int set_one(json_t *set, const char *key, const char *value, struct err *e)
{
    json_t *item = json_pack("{s:s, s:s}", "key", key, "value", value), *old;
    size_t i;

    if (!item)
        return err_nomem(e);
    json_array_foreach (set, i, old)
        if (str_eq(json_str_or(old, "key", ""), key))
            return json_array_set_new(set, i, item) < 0 ? err_nomem(e) : 0;
    return json_add(set, item, e);
}

int tags_merge(json_t *doc, const json_t *tags, struct err *e)
{
    json_t *set = json_object_get(doc, "tagSet"), *tag;
    size_t i;

    if (!set) {
        set = json_array();
        if (json_put(doc, "tagSet", set, e) < 0)
            return -1;
    }
    json_array_foreach (tags, i, tag)
        if (set_one(set, q_str(tag, "Key"), q_str_or(tag, "Value", ""), e) < 0)
            return -1;
    if (json_array_size(set) > MAX_TAGS)
        return refuse(e, "TagLimitExceeded",
                      "The maximum number of Tags for a resource has been reached.");
    return 0;
}

/* Whole word of a blank-separated list. */
static bool listed(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = list; (p = strstr(p, word)); p += n)
        if ((p == list || p[-1] == ' ') && (!p[n] || p[n] == ' '))
            return n > 0;
    return false;
}

int tags_from_spec(const json_t *params, const char *type, const char *allowed,
                   json_t **ret, struct err *e)
{
    json_t *specs = q_list(params, "TagSpecification"), *spec, *doc, *set;
    size_t i;
    int r = 0;

    doc = json_pack("{s:[]}", "tagSet");
    if (!doc)
        return err_nomem(e);
    json_array_foreach (specs, i, spec) {
        const char *t = q_str(spec, "ResourceType");

        if (r < 0)
            break;
        if (!t)
            r = refuse(e, "MissingParameter",
                       "Tag specification must have resource type");
        else if (!listed(allowed, t))
            r = refuse(
                e, "InvalidParameterValue",
                "'%.60s' is not a valid taggable resource type for this operation.", t);
        else if (!q_list(spec, "Tag"))
            r = refuse(e, "InvalidParameterValue",
                       "Tag specification must have at least one tag");
        else
            r = tags_check(q_list(spec, "Tag"), e);
        if (r == 0 && str_eq(t, type))
            r = tags_merge(doc, q_list(spec, "Tag"), e);
    }
    set = r == 0 ? json_incref(json_object_get(doc, "tagSet")) : NULL;
    json_decref(doc);
    if (r == 0)
        *ret = set;
    return r;
}
