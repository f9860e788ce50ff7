/* Answers in XML, written by libxml2's writer from JSON whose members are the elements:
 * objects nest, arrays become <item> children (under a name that ends in "[]" they become
 * elements of that name without it, one each), a member without a name is the element's
 * own text, true and false and numbers are text,
 * null is an empty element. Members beginning with '_' are left out. Characters that
 * XML 1.0 cannot hold are replaced by '?'. */
#ifndef HOTADD_LAB_XMLOUT_H
#define HOTADD_LAB_XMLOUT_H

#include "base/buf.h"
#include "base/json.h"

#define XMLNS_EC2 "http://ec2.amazonaws.com/doc/2016-11-15/"
#define XMLNS_S3  "http://s3.amazonaws.com/doc/2006-03-01/"
#define XMLNS_IAM "https://iam.amazonaws.com/doc/2010-05-08/"
#define XMLNS_STS "https://sts.amazonaws.com/doc/2011-06-15/"

/* Appends a document <root xmlns="ns">members…</root>. `ns` may be NULL. */
int xmlout_document(const char *root, const char *ns, const json_t *members,
                    struct buf *out, struct err *e) err_warn_unused;

#endif
