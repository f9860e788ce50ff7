/* The Security Token Service, as far as hotadd needs it. API version 2011-06-15. */
#ifndef HOTADD_AWS_STS_H
#define HOTADD_AWS_STS_H

#include "aws/aws.h"

struct sts_identity {
    char *account; /* twelve digits */
    char *arn;
    char *user_id;
};

/* Who we are. Needs no permission: the cheapest proof that credentials work. The
 * result is released by the caller. */
int sts_get_caller_identity(struct aws *aws, struct sts_identity *ret,
                            struct err *e) err_warn_unused;
void sts_identity_release(struct sts_identity *id);

/* A `struct aws` like `aws` (same region, endpoints, policy) that acts as the role,
 * renewing the role's credentials through `aws`, which must outlive it. `external_id`
 * may be NULL; `session_name` NULL means "hotadd". The role is assumed at once, so a
 * refusal shows here. Owned. */
int sts_assume_role(struct aws *aws, const char *role_arn, const char *session_name,
                    const char *external_id, uint32_t duration_s, struct aws **ret,
                    struct err *e) err_warn_unused;

#endif
