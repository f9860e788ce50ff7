/* Reading XML we did not write (EC2 answers, OVF) with libxml2 under limits: no network,
 * no entities, no DTD, a cap on size and on depth. Names are compared without their
 * namespace prefix. */
#ifndef HOTADD_BASE_XML_H
#define HOTADD_BASE_XML_H

#include "base/auto.h"
#include "base/err.h"

#include <libxml/tree.h>

/* `what` names the document in errors. The document is owned by the caller. */
int xml_parse(const char *text, size_t len, size_t max_len, const char *what,
              xmlDoc **ret, struct err *e) err_warn_unused;

static inline void xml_doc_autop(xmlDoc **d)
{
    if (*d)
        xmlFreeDoc(*d);
}
#define auto_xml auto_call(xml_doc_autop)

xmlNode *xml_root(xmlDoc *doc);

/* First child element of that name, or NULL; parent may be NULL. */
xmlNode *xml_child(xmlNode *parent, const char *name);
/* Next element after node with the same name, or NULL. */
xmlNode *xml_next(xmlNode *node);

/* for (XML_EACH(item, xml_child(set, "item"))) … */
#define XML_EACH(var, first)                                                             \
    xmlNode *var = (first);                                                              \
    var;                                                                                 \
    var = xml_next(var)

bool xml_is(const xmlNode *node, const char *name);

/* Text of a node whose children are text only, white space trimmed; owned; "" for
 * none. */
int xml_text(xmlNode *node, char **ret, struct err *e) err_warn_unused;
/* Text of the named child; *ret is NULL when there is none. */
int xml_child_text(xmlNode *parent, const char *name, char **ret,
                   struct err *e) err_warn_unused;
/* Attribute by local name, owned; *ret is NULL when there is none. */
int xml_attr(xmlNode *node, const char *name, char **ret, struct err *e) err_warn_unused;

#endif
