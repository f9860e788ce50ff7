/* Credentials: a key id, a secret key, perhaps a session token and an end. Immutable and
 * counted, so that threads may sign with them while another renews them. */
#ifndef HOTADD_AWS_CREDS_H
#define HOTADD_AWS_CREDS_H

#include "base/auto.h"
#include "base/err.h"
#include "base/secret.h"

#include <jansson.h>
#include <libxml/tree.h>
#include <stdatomic.h>
#include <stdint.h>

#define CREDS_NO_END INT64_MAX

struct creds {
    atomic_uint refs;
    char *access_key_id;
    struct secret *secret_key;
    struct secret *token;   /* or NULL */
    int64_t expires_unix_s; /* CREDS_NO_END when they do not */
    char *source;           /* "profile x in FILE" */
};

/* Texts are borrowed (the caller wipes its own); token may be NULL or "". One reference,
 * the caller's. ERR_INPUT when a value is one that could not be sent in a header. */
int creds_new(const char *access_key_id, const char *secret_key, const char *token,
              int64_t expires_unix_s, const char *source, struct creds **ret,
              struct err *e) err_warn_unused;
struct creds *creds_ref(struct creds *c);
void creds_unref(struct creds *c);

DEFINE_AUTO_PTR(struct creds, creds_unref)
#define auto_creds auto_call(creds_unref_autop)

/* What the metadata service, container agents and credential_process print. The token's
 * member has two names: "Token" (services) or "SessionToken" (processes). */
int creds_from_json(const char *text, size_t len, const char *source, struct creds **ret,
                    struct err *e) err_warn_unused;
/* Answer of AssumeRole and AssumeRoleWithWebIdentity. The document is wiped. */
int creds_from_sts(xmlDoc *doc, const char *source, struct creds **ret,
                   struct err *e) err_warn_unused;

#endif
