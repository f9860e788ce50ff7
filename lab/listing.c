/* Selection, filters, pages; see listing.h. No state. */
#include "lab/listing.h"

#include "base/rand.h"
#include "base/str.h"

#define MAX_FILTERS       50
#define MAX_FILTER_VALUES 200
#define DEFAULT_PAGE      1000

bool wildcard_match(const char *p, const char *s)
{
    const char *star = NULL, *retry = NULL;

    /* Only the last '*' needs another try, so the time is at most |p| * |s|. */
    while (*s) {
        if (*p == '*') {
            star = ++p;
            retry = s;
        } else if (*p == '\\' && p[1] && p[1] == *s) {
            p += 2;
            s++;
        } else if (*p != '\\' && (*p == '?' || *p == *s) && *p) {
            p++;
            s++;
        } else if (star) {
            p = star;
            s = ++retry;
        } else {
            return false;
        }
    }
    while (*p == '*')
        p++;
    return !*p;
}

static bool value_matches(const json_t *v, const json_t *patterns)
{
    char number[32];
    const char *text;
    size_t i;
    json_t *p;

    if (json_is_string(v))
        text = json_string_value(v);
    else if (json_is_boolean(v))
        text = json_is_true(v) ? "true" : "false";
    else if (json_is_integer(v)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
        text = number;
    } else
        return false;
    json_array_foreach (patterns, i, p)
        if (wildcard_match(json_string_value(p), text))
            return true;
    return false;
}

/* Recursion is bounded by the depth of our own documents. */
bool listing_path_matches(const json_t *doc, const char *path, const json_t *values)
{
    size_t n = strcspn(path, "."), i;
    char key[64];
    json_t *v;

    if (json_is_array(doc)) {
        json_array_foreach (doc, i, v)
            if (listing_path_matches(v, path, values))
                return true;
        return false;
    }
    if (!*path)
        return value_matches(doc, values);
    if (n >= sizeof key || !json_is_object(doc))
        return false;
    memcpy(key, path, n);
    key[n] = 0;
    v = json_object_get(doc, key);
    return v && listing_path_matches(v, path[n] ? path + n + 1 : "", values);
}

static bool tag_matches(const json_t *doc, const char *key, const json_t *values)
{
    size_t i;
    json_t *t;

    json_array_foreach (json_object_get(doc, "tagSet"), i, t)
        if (str_eq(json_str_or(t, "key", ""), key) &&
            value_matches(json_object_get(t, "value"), values))
            return true;
    return false;
}

/* A few actions of EC2 spell the parameter in the plural. */
static json_t *filters_of(const struct act *a)
{
    json_t *f = q_list(a->params, "Filter");

    return f ? f : q_list(a->params, "Filters");
}

static const struct filter_def *find_def(const struct filter_def *defs, const char *name)
{
    for (; defs && defs->name; defs++)
        if (str_eq(defs->name, name))
            return defs;
    return NULL;
}

static const struct filter_def tag_defs[] = {
    {"tag-key", "tagSet.key"},
    {"tag-value", "tagSet.value"},
    {NULL, NULL},
};

static int check_filters(const struct act *a, const struct listing *l, struct err *e)
{
    json_t *filters = filters_of(a), *f;
    size_t i;

    if (json_array_size(filters) > MAX_FILTERS)
        return refuse(e, "FilterLimitExceeded",
                      "The maximum number of filters is %d per request", MAX_FILTERS);
    json_array_foreach (filters, i, f) {
        const char *name = q_str(f, "Name");
        size_t n = json_array_size(q_list(f, "Value"));

        if (!name)
            return refuse_missing(e, "Filter.Name");
        if (!str_starts(name, "tag:") && !find_def(tag_defs, name) &&
            !find_def(l->filters, name))
            return refuse(e, "InvalidParameterValue", "The filter '%.100s' is invalid",
                          name);
        if (n == 0)
            return refuse(e, "InvalidParameterValue",
                          "The filter '%.100s' must have at least one value", name);
        if (n > MAX_FILTER_VALUES)
            return refuse(
                e, "FilterLimitExceeded",
                "The maximum number of filter values specified on a single call is "
                "%d",
                MAX_FILTER_VALUES);
    }
    return 0;
}

static bool filters_match(const struct act *a, const struct listing *l, const json_t *doc)
{
    json_t *f;
    size_t i;

    json_array_foreach (filters_of(a), i, f) {
        const char *name = q_str(f, "Name");
        const json_t *values = q_list(f, "Value");
        const struct filter_def *d = find_def(tag_defs, name);

        if (str_starts(name, "tag:")) {
            if (!tag_matches(doc, name + 4, values))
                return false;
            continue;
        }
        if (!d)
            d = find_def(l->filters, name);
        if (d->path && !listing_path_matches(doc, d->path, values))
            return false;
    }
    return true;
}

const json_t *listing_filter_values(const struct act *a, const char *name)
{
    json_t *f;
    size_t i;

    json_array_foreach (filters_of(a), i, f)
        if (str_eq_null(q_str(f, "Name"), name))
            return q_list(f, "Value");
    return NULL;
}

struct page {
    json_int_t max;   /* documents on this page */
    json_int_t after; /* `_seq` of the last document of the page before */
};

static int read_page(const struct act *a, const struct listing *l, struct page *ret,
                     struct err *e)
{
    struct page page = {.max = DEFAULT_PAGE, .after = -1};
    const char *token = q_str(a->params, "NextToken");
    int r = q_int(a->params, "MaxResults", 1, 1 << 30, &page.max, e);
    unsigned long long seq;
    char end;

    if (r < 0)
        return -1;
    if (r > 0 && page.max < 5)
        return refuse(
            e, "InvalidParameterValue",
            "Value ( %lld ) for parameter maxResults is invalid. Expecting a value "
            "greater than 5.",
            (long long)page.max);
    if (r > 0 && l->ids_param && q_list(a->params, l->ids_param))
        return refuse(e, "InvalidParameterCombination",
                      "The parameter %s cannot be used with the parameter maxResults",
                      l->ids_param);
    if (r > 0 && page.max > l->max_page)
        page.max = l->max_page;
    if (token && *token) {
        if (strlen(token) > 60 ||
            sscanf(token, "hlab-%*16[0-9a-f]-%llx%c", &seq, &end) != 1)
            return refuse(e, "InvalidNextToken", "The token '%.60s' is invalid.", token);
        page.after = (json_int_t)seq;
    }
    *ret = page;
    return 0;
}

static int put_token(struct act *a, json_int_t seq, struct err *e)
{
    char token[64], salt[17];

    snprintf(token, sizeof token, "hlab-%s-%llx", rand_hex(salt, 16),
             (unsigned long long)seq);
    return act_put(a, "nextToken", json_string(token), e);
}

/* The documents asked for by id, in their stored order like EC2's. */
static int pick_ids(struct act *a, const struct listing *l, struct err *e)
{
    json_t *ids = l->ids_param ? q_list(a->params, l->ids_param) : NULL, *id;
    const json_t *doc;
    size_t i;

    json_array_foreach (ids, i, id) {
        if (!json_is_string(id))
            return refuse_missing(e, l->ids_param);
        if (res_find(a->lab, l->res, json_string_value(id), &doc, e) < 0)
            return -1;
    }
    return 0;
}

static bool asked_for(const struct act *a, const struct listing *l, const json_t *doc)
{
    json_t *ids = l->ids_param ? q_list(a->params, l->ids_param) : NULL, *id;
    const char *own = json_str_or(doc, res_type(l->res)->id_member, "");
    size_t i;

    if (!ids)
        return true;
    json_array_foreach (ids, i, id)
        if (str_eq(json_string_value(id), own))
            return true;
    return false;
}

static int add_one(struct act *a, const struct listing *l, json_t *doc, json_t *out,
                   struct err *e)
{
    json_t *view = NULL;

    if (!l->view)
        view = json_incref(doc);
    else if (l->view(a, doc, &view, e) < 0)
        return -1;
    if (!filters_match(a, l, view)) {
        json_decref(view);
        return 0;
    }
    return json_add(out, view, e) < 0 ? -1 : 1;
}

static json_int_t place(const json_t *doc, size_t index)
{
    const json_t *seq = json_object_get(doc, "_seq");

    return seq ? json_integer_value(seq) : (json_int_t)index;
}

int listing_select(struct act *a, const struct listing *l, json_t *docs, json_t **ret,
                   struct err *e)
{
    json_t *out = json_array(), *doc;
    struct page page = {0};
    json_int_t last = -1;
    size_t i;
    int r = out ? 0 : err_nomem(e);

    if (r == 0 && (check_filters(a, l, e) < 0 || read_page(a, l, &page, e) < 0))
        r = -1;
    json_array_foreach (docs, i, doc) {
        if (r < 0)
            break;
        if (place(doc, i) <= page.after || (l->show && !l->show(a, doc)) ||
            res_hidden(a->lab, doc) || !asked_for(a, l, doc))
            continue;
        if ((json_int_t)json_array_size(out) == page.max) {
            /* Something may follow: EC2 too hands out tokens to empty last pages. */
            r = put_token(a, last, e);
            break;
        }
        r = add_one(a, l, doc, out, e);
        if (r > 0)
            last = place(doc, i);
    }
    json_decref(docs);
    if (r < 0) {
        json_decref(out);
        return -1;
    }
    *ret = out;
    return 0;
}

int listing_run(struct act *a, const struct listing *l, json_t **ret, struct err *e)
{
    json_t *docs;

    if (pick_ids(a, l, e) < 0 ||
        store_list(a->lab->store, res_type(l->res)->kind, &docs, e) < 0)
        return -1;
    return listing_select(a, l, docs, ret, e);
}

int listing_answer(struct act *a, const struct listing *l, const char *set, struct err *e)
{
    json_t *items;

    if (listing_run(a, l, &items, e) < 0)
        return -1;
    return act_put(a, set, items, e);
}
