/* Parts of iam.c, for its tests. */
#ifndef HOTADD_AWS_IAM_IMPL_H
#define HOTADD_AWS_IAM_IMPL_H

#include "aws/iam.h"

#include <libxml/tree.h>

/* The role below <GetRoleResult> or <CreateRoleResult>. */
int iam_role_read(xmlNode *result, struct iam_role *ret, struct err *e) err_warn_unused;
/* The text of `field` in each member of `set`; "" is the member itself. Appends. */
int iam_members_read(xmlNode *result, const char *set, const char *field,
                     struct strv *ret, struct err *e) err_warn_unused;

#endif
