/* Tags of anything that has an id. */
#include "lab/listing.h"

#include "base/str.h"

/* Every resource named by ResourceId must exist and be ours. */
static int find_resource(struct act *a, const char *id, enum res *ret, struct err *e)
{
    const struct res_type *t = id ? res_type_of_id(id) : NULL;
    const json_t *doc;

    if (!t)
        return refuse(e, "InvalidID", "The ID '%.60s' is not valid", id ? id : "");
    for (int i = 0; i < RES_N; i++)
        if (res_type((enum res)i) == t)
            *ret = (enum res)i;
    return res_find(a->lab, *ret, id, &doc, e);
}

static int each_resource(struct act *a,
                         int (*change)(struct act *a, json_t *doc, struct err *e),
                         struct err *e)
{
    json_t *v, *doc;
    enum res res = RES_VOLUME;
    size_t i;

    json_array_foreach (q_list(a->params, "ResourceId"), i, v)
        if (find_resource(a, json_string_value(v), &res, e) < 0 ||
            res_edit(a->lab, res, json_string_value(v), &doc, e) < 0 ||
            change(a, doc, e) < 0)
            return -1;
    return act_true(a, e);
}

static int add_tags(struct act *a, json_t *doc, struct err *e)
{
    return tags_merge(doc, q_list(a->params, "Tag"), e);
}

static int create_tags(struct act *a, struct err *e)
{
    if (tags_check(q_list(a->params, "Tag"), e) < 0)
        return -1;
    return each_resource(a, add_tags, e);
}

/* A tag goes if the key matches and, where one was given, the value too. */
static bool to_delete(const json_t *wanted, const json_t *tag)
{
    json_t *w;
    size_t i;

    if (!wanted)
        return !str_starts(json_str_or(tag, "key", ""), "aws:");
    json_array_foreach (wanted, i, w) {
        const char *value = q_str(w, "Value");

        if (str_eq(q_str_or(w, "Key", ""), json_str_or(tag, "key", "")) &&
            (!value || str_eq(value, json_str_or(tag, "value", ""))))
            return true;
    }
    return false;
}

static int drop_tags(struct act *a, json_t *doc, struct err *e)
{
    const json_t *wanted = q_list(a->params, "Tag");
    json_t *set = json_object_get(doc, "tagSet");

    for (size_t i = json_array_size(set); i-- > 0;)
        if (to_delete(wanted, json_array_get(set, i)))
            json_array_remove(set, i);
    return 0;
}

static int delete_tags(struct act *a, struct err *e)
{
    return each_resource(a, drop_tags, e);
}

static int list_tags_of(struct act *a, const struct res_type *t, json_t *out,
                        struct err *e)
{
    json_t *docs, *d, *tag;
    size_t i, j;
    int r = 0;

    if (store_list(a->lab->store, t->kind, &docs, e) < 0)
        return -1;
    json_array_foreach (docs, i, d)
        json_array_foreach (json_object_get(d, "tagSet"), j, tag)
            if (r == 0)
                r = json_add(out,
                             json_pack("{s:s, s:s, s:s, s:s}", "resourceId",
                                       json_str_or(d, t->id_member, ""), "resourceType",
                                       t->kind, "key", json_str_or(tag, "key", ""),
                                       "value", json_str_or(tag, "value", "")),
                             e);
    json_decref(docs);
    return r;
}

static int describe_tags(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"key", "key"},
        {"resource-id", "resourceId"},
        {"resource-type", "resourceType"},
        {"value", "value"},
        {NULL, NULL},
    };
    static const struct listing l = {.filters = filters, .max_page = 1000};
    json_t *docs = json_array(), *out;

    if (!docs)
        return err_nomem(e);
    for (int i = 0; i < RES_N; i++)
        if (list_tags_of(a, res_type((enum res)i), docs, e) < 0) {
            json_decref(docs);
            return -1;
        }
    if (listing_select(a, &l, docs, &out, e) < 0)
        return -1;
    return act_put(a, "tagSet", out, e);
}

const struct action actions_tag[] = {
    {"CreateTags", create_tags, "ResourceId.N Tag.N"},
    {"DeleteTags", delete_tags, "ResourceId.N"},
    {"DescribeTags", describe_tags, NULL},
    {NULL, NULL, NULL},
};
