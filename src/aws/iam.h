/* Identity and Access Management (Query API, version 2010-05-08), as far as the role
 * needs it by which EC2 imports disks: one C function per API action, named after it.
 *
 * IAM is one service for all regions of a partition. Errors, threads, lost replies: see
 * ec2.h; every call may be repeated. Results are owned, never NULL. */
#ifndef HOTADD_AWS_IAM_H
#define HOTADD_AWS_IAM_H

#include "aws/aws.h"
#include "base/strv.h"

struct iam_role {
    char *name;
    char *arn;
    char *path;
    char *trust; /* who may take it on: a policy document, JSON */
};
void iam_role_release(struct iam_role *r);

/* ERR_NOT_FOUND. */
int iam_get_role(struct aws *aws, const char *name, struct iam_role *ret,
                 struct err *e) err_warn_unused;

/* ERR_EXISTS when there is one of that name (EntityAlreadyExists). */
int iam_create_role(struct aws *aws, const char *name, const char *description,
                    const char *trust, struct iam_role *ret,
                    struct err *e) err_warn_unused;

/* Names of the policies that are part of the role. */
int iam_list_role_policies(struct aws *aws, const char *role, struct strv *ret,
                           struct err *e) err_warn_unused;
/* ARNs of those that are attached to it. */
int iam_list_attached_role_policies(struct aws *aws, const char *role, struct strv *ret,
                                    struct err *e) err_warn_unused;
/* The document, JSON. */
int iam_get_role_policy(struct aws *aws, const char *role, const char *policy, char **ret,
                        struct err *e) err_warn_unused;
/* Makes or replaces it. */
int iam_put_role_policy(struct aws *aws, const char *role, const char *policy,
                        const char *document, struct err *e) err_warn_unused;

#endif
