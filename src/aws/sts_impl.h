/* Calls to STS that hand out credentials, for the credentials chain. */
#ifndef HOTADD_AWS_STS_IMPL_H
#define HOTADD_AWS_STS_IMPL_H

#include "aws/client.h"
#include "aws/sts.h"

struct sts_role {
    const char *arn;
    const char *session_name; /* NULL: "hotadd" */
    const char *external_id;  /* or NULL */
    uint64_t duration_s;      /* 0: the role's default */
};

/* Acting as `as`. `source` is what the new credentials shall say of themselves. */
int sts_role_creds(struct aws *aws, const struct sts_role *role, struct creds *as,
                   const char *source, struct creds **ret, struct err *e) err_warn_unused;

/* With a token of an identity provider, read from the file anew each time. */
int sts_web_identity_creds(struct aws *aws, const struct sts_role *role,
                           const char *token_file, const char *source, struct creds **ret,
                           struct err *e) err_warn_unused;

/* The answer to GetCallerIdentity. */
int sts_identity_parse(xmlDoc *doc, struct sts_identity *ret,
                       struct err *e) err_warn_unused;

#endif
