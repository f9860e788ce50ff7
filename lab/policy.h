/* Policies of identity and access management, as far as a service role needs them: are
 * they well formed, do they allow an action on a resource, do they let a service in.
 *
 * Written from Amazon's "Policy evaluation logic" and "IAM JSON policy element
 * reference". What is not understood (a condition on anything else than below) never
 * matches, so it neither allows nor denies. */
#ifndef HOTADD_LAB_POLICY_H
#define HOTADD_LAB_POLICY_H

#include "base/err.h"
#include "base/json.h"

#define POLICY_MAX_BYTES 10240

enum policy_kind {
    POLICY_PERMISSIONS, /* statements with Resource, without Principal */
    POLICY_TRUST,       /* statements with Principal, without Resource */
};

/* The document, owned; MalformedPolicyDocument. */
int policy_parse(const char *text, enum policy_kind kind, json_t **ret,
                 struct err *e) err_warn_unused;

enum policy_verdict { POLICY_SILENT, POLICY_ALLOWS, POLICY_DENIES };

/* What the policy says about an action ("s3:GetObject") on a resource, by its ARN. */
enum policy_verdict policy_permits(const json_t *policy, const char *action,
                                   const char *resource);

/* Whether the service ("vmie.amazonaws.com") may assume a role with this trust policy. It
 * says its external id and the account it works for; conditions are checked against
 * these. */
bool policy_trusts(const json_t *policy, const char *service, const char *external_id,
                   const char *account);

#endif
