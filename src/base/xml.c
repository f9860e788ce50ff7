/* Reading XML under limits; see xml.h. */
#include "base/xml.h"

#include "base/str.h"

#include <libxml/parser.h>
#include <limits.h>

#define MAX_DEPTH 64

static int too_deep(xmlNode *node, int depth)
{
    if (depth > MAX_DEPTH)
        return 1;
    for (xmlNode *n = node; n; n = n->next)
        if (n->children && n->type == XML_ELEMENT_NODE &&
            too_deep(n->children, depth + 1))
            return 1;
    return 0;
}

/* What was wrong first: what follows in a text that is not well-formed is mostly the
 * consequence of it. */
struct complaint {
    int line;
    char text[200];
};

static void keep_first(void *ctx, xmlErrorPtr x)
{
    struct complaint *c = ctx;

    if (c->text[0] || !x || !x->message || x->level < XML_ERR_ERROR)
        return;
    snprintf(c->text, sizeof c->text, "%s", x->message);
    c->line = x->line;
}

/* Without NOENT and DTDLOAD nothing is substituted or fetched. The thread's handler hears
 * what the parser's does not, such as what a decoder of an encoding has to say; without
 * one libxml2 prints that. */
static xmlDoc *read_memory(xmlParserCtxt *ctx, const char *text, int len,
                           struct complaint *first)
{
    xmlDoc *doc;

    xmlSetStructuredErrorFunc(first, keep_first);
    doc = xmlCtxtReadMemory(ctx, text, len, NULL, NULL,
                            XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    xmlSetStructuredErrorFunc(NULL, NULL);
    return doc;
}

static int refuse(const char *what, struct complaint *c, struct err *e)
{
    const char *why = c->text[0] ? str_trim(c->text) : "it is empty";

    if (c->line < 1)
        return err_set(e, ERR_INPUT, "%s: not well-formed XML: %s", what, why);
    return err_set(e, ERR_INPUT, "%s: not well-formed XML: line %d: %s", what, c->line,
                   why);
}

int xml_parse(const char *text, size_t len, size_t max_len, const char *what,
              xmlDoc **ret, struct err *e)
{
    struct complaint first = {.text = ""};
    xmlParserCtxt *ctx;
    xmlDoc *doc;

    if (len > max_len || len > INT_MAX)
        return err_set(e, ERR_INPUT, "%s: %zu bytes of XML, at most %zu are read", what,
                       len, max_len);
    ctx = xmlNewParserCtxt();
    if (!ctx)
        return err_nomem(e);
    doc = read_memory(ctx, text, (int)len, &first);
    xmlFreeParserCtxt(ctx);
    if (!doc)
        return refuse(what, &first, e);
    if (xmlGetIntSubset(doc)) {
        xmlFreeDoc(doc);
        return err_set(e, ERR_INPUT, "%s: XML with a document type is refused", what);
    }
    if (!xmlDocGetRootElement(doc) || too_deep(xmlDocGetRootElement(doc), 0)) {
        xmlFreeDoc(doc);
        return err_set(e, ERR_INPUT, "%s: XML nested deeper than %d", what, MAX_DEPTH);
    }
    *ret = doc;
    return 0;
}

xmlNode *xml_root(xmlDoc *doc)
{
    return xmlDocGetRootElement(doc);
}

bool xml_is(const xmlNode *node, const char *name)
{
    return node && node->type == XML_ELEMENT_NODE && node->name &&
           str_eq((const char *)node->name, name);
}

static xmlNode *find_from(xmlNode *n, const char *name)
{
    for (; n; n = n->next)
        if (xml_is(n, name))
            return n;
    return NULL;
}

xmlNode *xml_child(xmlNode *parent, const char *name)
{
    return parent ? find_from(parent->children, name) : NULL;
}

xmlNode *xml_next(xmlNode *node)
{
    return find_from(node->next, (const char *)node->name);
}

/* Copies libxml2's string (may be NULL) and frees it. */
static int own(xmlChar *x, char **ret, struct err *e)
{
    char *s = str_dup(x ? (const char *)x : "", e);

    xmlFree(x);
    if (!s)
        return -1;
    memmove(s, str_trim(s), strlen(str_trim(s)) + 1);
    *ret = s;
    return 0;
}

int xml_text(xmlNode *node, char **ret, struct err *e)
{
    return own(xmlNodeGetContent(node), ret, e);
}

int xml_child_text(xmlNode *parent, const char *name, char **ret, struct err *e)
{
    xmlNode *n = xml_child(parent, name);

    if (!n) {
        *ret = NULL;
        return 0;
    }
    return xml_text(n, ret, e);
}

int xml_attr(xmlNode *node, const char *name, char **ret, struct err *e)
{
    for (xmlAttr *a = node->properties; a; a = a->next)
        if (str_eq((const char *)a->name, name))
            return own(xmlNodeListGetString(node->doc, a->children, 1), ret, e);
    *ret = NULL;
    return 0;
}
