/* Who signs: the account's own key pair, made at first start, and temporary credentials
 * of roles, given out by STS and IMDS and valid until they expire. */
#ifndef HOTADD_LAB_CREDS_H
#define HOTADD_LAB_CREDS_H

#include "lab/act.h"
#include "lab/sigv4.h"

#include "base/secret.h"

/* Makes the account's key pair if there is none yet. */
int creds_seed(struct lab *lab, struct err *e) err_warn_unused;

/* The signer of a request and the secret to check its signature with (owned). Errors as
 * the service named in the signature answers them: unknown key, wrong or expired session
 * token. */
int creds_find(struct lab *lab, const struct sigv4 *s, struct principal *ret,
               struct secret **ret_secret, struct err *e) err_warn_unused;

/* New temporary credentials of a role, as a document {accessKeyId, secretAccessKey,
 * sessionToken, expiration, role, session, …}; borrowed; the caller commits. */
int creds_issue(struct lab *lab, const char *role, const char *session, int64_t ttl_ms,
                const json_t **ret, struct err *e) err_warn_unused;

/* The role's credentials as the instance metadata gives them: the newest pair while it
 * lives for five more minutes (or half its life), else a new one. The caller commits. */
int creds_of_instance(struct lab *lab, const char *role, const char *instance_id,
                      const json_t **ret, struct err *e) err_warn_unused;

/* Removes what expired a day ago. The caller commits. */
int creds_prune(struct lab *lab, struct err *e) err_warn_unused;

#endif
