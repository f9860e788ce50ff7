/* JSON to XML; see xmlout.h. */
#include "lab/xmlout.h"

#include "base/str.h"

#include <libxml/xmlwriter.h>

#define MAX_DEPTH 30

/* XML 1.0 section 2.2; the text is known to be UTF-8, so only the C0 controls and the
 * two non-characters can be wrong. */
static int clean(const char *s, struct buf *out, struct err *e)
{
    for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
        if (*p < 0x20 && *p != '\t' && *p != '\n' && *p != '\r') {
            buf_addc(out, '?');
        } else if (p[0] == 0xef && p[1] == 0xbf && (p[2] == 0xbe || p[2] == 0xbf)) {
            buf_addc(out, '?');
            p += 2;
        } else {
            buf_addc(out, (char)*p);
        }
    }
    return buf_check(out, e);
}

static int write_text(xmlTextWriter *w, const char *s, struct err *e)
{
    auto_buf struct buf text = BUF_INIT;

    if (clean(s, &text, e) < 0)
        return -1;
    if (xmlTextWriterWriteString(w, (const xmlChar *)buf_str(&text)) < 0)
        return err_nomem(e);
    return 0;
}

static int write_value(xmlTextWriter *w, const json_t *v, int depth, struct err *e);

static int write_element(xmlTextWriter *w, const char *name, const json_t *v, int depth,
                         struct err *e)
{
    if (depth > MAX_DEPTH)
        return err_set(e, ERR_FAILED, "an answer nests deeper than %d", MAX_DEPTH);
    if (xmlTextWriterStartElement(w, (const xmlChar *)name) < 0)
        return err_nomem(e);
    if (write_value(w, v, depth + 1, e) < 0)
        return -1;
    if (xmlTextWriterEndElement(w) < 0)
        return err_nomem(e);
    return 0;
}

/* "Contents[]": [a, b] is <Contents>a</Contents><Contents>b</Contents>. */
static int write_repeated(xmlTextWriter *w, const char *key, const json_t *list,
                          int depth, struct err *e)
{
    auto_free char *name = str_ndup(key, strlen(key) - 2, e);
    size_t i;
    json_t *item;

    if (!name)
        return -1;
    json_array_foreach (list, i, item)
        if (write_element(w, name, item, depth, e) < 0)
            return -1;
    return 0;
}

static int write_members(xmlTextWriter *w, const json_t *object, int depth, struct err *e)
{
    const char *key;
    json_t *v;

    json_object_foreach ((json_t *)object, key, v) {
        int r = 0;

        if (!*key)
            r = write_value(w, v, depth, e);
        else if (str_ends(key, "[]"))
            r = write_repeated(w, key, v, depth, e);
        else if (*key != '_')
            r = write_element(w, key, v, depth, e);
        if (r < 0)
            return -1;
    }
    return 0;
}

static int write_value(xmlTextWriter *w, const json_t *v, int depth, struct err *e)
{
    char number[32];
    size_t i;
    json_t *item;

    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return write_members(w, v, depth, e);
    case JSON_ARRAY:
        json_array_foreach (v, i, item)
            if (write_element(w, "item", item, depth, e) < 0)
                return -1;
        return 0;
    case JSON_STRING:
        return write_text(w, json_string_value(v), e);
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
        return write_text(w, number, e);
    case JSON_REAL:
        snprintf(number, sizeof number, "%.6g", json_real_value(v));
        return write_text(w, number, e);
    case JSON_TRUE:
        return write_text(w, "true", e);
    case JSON_FALSE:
        return write_text(w, "false", e);
    case JSON_NULL:
        return 0;
    }
    return 0;
}

static int write_document(xmlTextWriter *w, const char *root, const char *ns,
                          const json_t *members, struct err *e)
{
    if (xmlTextWriterStartDocument(w, NULL, "UTF-8", NULL) < 0 ||
        xmlTextWriterStartElement(w, (const xmlChar *)root) < 0 ||
        (ns && xmlTextWriterWriteAttribute(w, (const xmlChar *)"xmlns",
                                           (const xmlChar *)ns) < 0))
        return err_nomem(e);
    if (write_members(w, members, 0, e) < 0)
        return -1;
    if (xmlTextWriterEndDocument(w) < 0)
        return err_nomem(e);
    return 0;
}

int xmlout_document(const char *root, const char *ns, const json_t *members,
                    struct buf *out, struct err *e)
{
    xmlBuffer *b = xmlBufferCreate();
    xmlTextWriter *w = b ? xmlNewTextWriterMemory(b, 0) : NULL;
    int r;

    if (!w) {
        xmlBufferFree(b);
        return err_nomem(e);
    }
    r = write_document(w, root, ns, members, e);
    xmlFreeTextWriter(w);
    if (r == 0) {
        buf_add(out, xmlBufferContent(b), (size_t)xmlBufferLength(b));
        r = buf_check(out, e);
    }
    xmlBufferFree(b);
    return r;
}
