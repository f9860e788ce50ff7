/* Structs from XML by table; see shape.h. Tables nest three deep at most, so the
 * recursion is bounded by them and not by the document. */
#include "aws/shape.h"

#include "base/str.h"
#include "base/vec.h"
#include "base/xml.h"

/* Every struct VEC(type) has this layout; it is copied in and out, never aliased. */
struct any_vec {
    void *v;
    size_t n, cap;
};

#define MAX_PATH 96

static xmlNode *find(xmlNode *node, const char *path)
{
    char part[MAX_PATH];

    while (node && *path) {
        size_t len = strcspn(path, "/");

        if (len >= sizeof part)
            return NULL;
        memcpy(part, path, len);
        part[len] = 0;
        node = xml_child(node, part);
        path += len + (path[len] == '/');
    }
    return node;
}

static int read_str(xmlNode *node, char **ret, struct err *e)
{
    if (node)
        return xml_text(node, ret, e);
    *ret = str_dup("", e);
    return *ret ? 0 : -1;
}

static int read_u64(xmlNode *node, uint64_t *ret, struct err *e)
{
    auto_free char *text = NULL;

    if (read_str(node, &text, e) < 0)
        return -1;
    return text[0] ? str_to_u64(text, ret, e) : 0;
}

static int read_bool(xmlNode *node, bool *ret, struct err *e)
{
    auto_free char *text = NULL;

    if (read_str(node, &text, e) < 0)
        return -1;
    if (text[0] && !str_eq(text, "true") && !str_eq(text, "false"))
        return err_set(e, ERR_INPUT, "'%.40s' is neither true nor false", text);
    *ret = str_eq(text, "true");
    return 0;
}

static size_t count_items(xmlNode *set)
{
    size_t n = 0;

    for (XML_EACH (item, xml_child(set, "item")))
        n++;
    return n;
}

static int read_field(const struct field *f, xmlNode *parent, char *obj, struct err *e)
{
    xmlNode *node = find(parent, f->path);
    void *to = obj + f->offset;

    switch (f->type) {
    case FIELD_STR:
        return read_str(node, to, e);
    case FIELD_U64:
        return read_u64(node, to, e);
    case FIELD_BOOL:
        return read_bool(node, to, e);
    case FIELD_COUNT:
        *(size_t *)to = count_items(node);
        return 0;
    case FIELD_LIST:
        return shape_read_list(f->of, node, SIZE_MAX, to, e);
    }
    return err_set(e, ERR_FAILED, "no such field type");
}

int shape_read(const struct shape *s, xmlNode *node, void *ret, struct err *e)
{
    memset(ret, 0, s->size);
    for (size_t i = 0; i < s->n_fields; i++)
        if (read_field(&s->fields[i], node, ret, e) < 0) {
            shape_release(s, ret);
            return err_prefix(e, "<%s>", s->fields[i].path);
        }
    return 0;
}

void shape_release(const struct shape *s, void *obj)
{
    for (size_t i = 0; i < s->n_fields; i++) {
        void *at = (char *)obj + s->fields[i].offset;

        if (s->fields[i].type == FIELD_STR)
            free(*(char **)at);
        else if (s->fields[i].type == FIELD_LIST)
            shape_release_list(s->fields[i].of, at);
    }
    memset(obj, 0, s->size);
}

static int append(const struct shape *s, xmlNode *item, struct any_vec *v, size_t max,
                  struct err *e)
{
    if (v->n >= max)
        return err_set(e, ERR_UNSUPPORTED,
                       "more than %zu results: ask for fewer by a filter", max);
    if (vec_grow(&v->v, v->n, &v->cap, s->size, e) < 0 ||
        shape_read(s, item, (char *)v->v + v->n * s->size, e) < 0)
        return -1;
    v->n++;
    return 0;
}

int shape_read_list(const struct shape *s, xmlNode *set, size_t max, void *vec,
                    struct err *e)
{
    struct any_vec v;
    int done = 0;

    memcpy(&v, vec, sizeof v);
    for (xmlNode *item = xml_child(set, "item"); item && done == 0; item = xml_next(item))
        done = append(s, item, &v, max, e);
    memcpy(vec, &v, sizeof v);
    return done;
}

void shape_release_list(const struct shape *s, void *vec)
{
    struct any_vec v;

    memcpy(&v, vec, sizeof v);
    for (size_t i = 0; i < v.n; i++)
        shape_release(s, (char *)v.v + i * s->size);
    free(v.v);
    memset(vec, 0, sizeof v);
}
