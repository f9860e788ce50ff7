/* Policies; see policy.h. No state. */
#include "lab/policy.h"

#include "lab/listing.h"
#include "lab/refuse.h"

#include "base/str.h"

static int malformed(struct err *e, const char *why)
{
    return refuse(e, "MalformedPolicyDocument", "%s", why);
}

/* A text, or an array of texts. */
static bool is_texts(const json_t *v)
{
    json_t *t;
    size_t i;

    if (json_is_string(v))
        return true;
    json_array_foreach (v, i, t)
        if (!json_is_string(t))
            return false;
    return json_array_size(v) > 0;
}

/* Exactly one of the two members, and it a list of texts. */
static bool has_one(const json_t *s, const char *name, const char *opposite)
{
    const json_t *a = json_object_get(s, name), *b = json_object_get(s, opposite);

    return !a != !b && is_texts(a ? a : b);
}

static int check_statement(const json_t *s, enum policy_kind kind, struct err *e)
{
    const char *effect = json_str_or(s, "Effect", "");
    const json_t *who = json_object_get(s, "Principal");
    const json_t *condition = json_object_get(s, "Condition");

    if (!json_is_object(s) || (!str_eq(effect, "Allow") && !str_eq(effect, "Deny")))
        return malformed(e, "Syntax errors in policy.");
    if (!has_one(s, "Action", "NotAction"))
        return malformed(e, "Policy statement must contain actions.");
    if (condition && !json_is_object(condition))
        return malformed(e, "Syntax errors in policy.");
    if (kind == POLICY_PERMISSIONS) {
        if (who || json_object_get(s, "NotPrincipal"))
            return malformed(e, "Policy document should not specify a principal.");
        if (!has_one(s, "Resource", "NotResource"))
            return malformed(e, "Policy statement must contain resources.");
        return 0;
    }
    if (json_object_get(s, "Resource") || json_object_get(s, "NotResource"))
        return malformed(e, "Has prohibited field Resource");
    if (!json_is_object(who) && !json_is_string(who))
        return malformed(e, "Missing required field Principal");
    return 0;
}

int policy_parse(const char *text, enum policy_kind kind, json_t **ret, struct err *e)
{
    size_t len = strlen(text), i;
    json_t *doc, *list, *s;
    int r = 0;

    if (len > POLICY_MAX_BYTES)
        return refuse(e, "LimitExceeded", "Maximum policy size of %d bytes exceeded",
                      POLICY_MAX_BYTES);
    if (json_parse(text, len, "policy", &doc, e) < 0)
        return malformed(e, "This policy contains invalid Json");
    list = json_object_get(doc, "Statement");
    if (json_is_object(list))
        r = check_statement(list, kind, e);
    else if (!json_is_array(list) || json_array_size(list) == 0)
        r = malformed(e, "Syntax errors in policy.");
    else
        json_array_foreach (list, i, s)
            if (r == 0)
                r = check_statement(s, kind, e);
    if (r < 0) {
        json_decref(doc);
        return -1;
    }
    *ret = doc;
    return 0;
}

/* ---- Does it match ---- */

static bool text_matches(const char *pattern, const char *text, bool ignore_case)
{
    auto_free char *p = NULL, *t = NULL;
    struct err e;

    if (!ignore_case)
        return wildcard_match(pattern, text);
    p = str_dup(pattern, &e);
    t = str_dup(text, &e);
    for (char *c = p; c && *c; c++)
        *c |= *c >= 'A' && *c <= 'Z' ? 0x20 : 0;
    for (char *c = t; c && *c; c++)
        *c |= *c >= 'A' && *c <= 'Z' ? 0x20 : 0;
    return p && t && wildcard_match(p, t);
}

static bool texts_match(const json_t *v, const char *text, bool ignore_case)
{
    json_t *t;
    size_t i;

    if (json_is_string(v))
        return text_matches(json_string_value(v), text, ignore_case);
    json_array_foreach (v, i, t)
        if (json_is_string(t) && text_matches(json_string_value(t), text, ignore_case))
            return true;
    return false;
}

static bool member_matches(const json_t *s, const char *name, const char *opposite,
                           const char *text, bool ignore_case)
{
    const json_t *v = json_object_get(s, name);

    return v ? texts_match(v, text, ignore_case)
             : !texts_match(json_object_get(s, opposite), text, ignore_case);
}

/* StringEquals and StringLike on the two keys that a trusted service brings. */
static bool condition_holds(const json_t *s, const char *external_id, const char *account)
{
    const char *op, *key;
    json_t *keys, *want;

    json_object_foreach (json_object_get(s, "Condition"), op, keys) {
        if (!str_eq(op, "StringEquals") && !str_eq(op, "StringLike"))
            return false;
        json_object_foreach (keys, key, want) {
            const char *have = strcasecmp(key, "sts:ExternalId") == 0      ? external_id
                               : strcasecmp(key, "aws:SourceAccount") == 0 ? account
                                                                           : NULL;

            if (!have || !texts_match(want, have, false))
                return false;
        }
    }
    return true;
}

static const json_t *statement_at(const json_t *policy, size_t i)
{
    const json_t *list = json_object_get(policy, "Statement");

    if (json_is_object(list))
        return i == 0 ? list : NULL;
    return json_array_get(list, i);
}

enum policy_verdict policy_permits(const json_t *policy, const char *action,
                                   const char *resource)
{
    enum policy_verdict verdict = POLICY_SILENT;
    const json_t *s;

    for (size_t i = 0; (s = statement_at(policy, i)); i++) {
        if (!member_matches(s, "Action", "NotAction", action, true) ||
            !member_matches(s, "Resource", "NotResource", resource, false) ||
            !condition_holds(s, NULL, NULL))
            continue;
        if (str_eq(json_str_or(s, "Effect", ""), "Deny"))
            return POLICY_DENIES;
        verdict = POLICY_ALLOWS;
    }
    return verdict;
}

static bool principal_is(const json_t *s, const char *service)
{
    const json_t *who = json_object_get(s, "Principal");

    if (json_is_string(who))
        return str_eq(json_string_value(who), "*");
    return texts_match(json_object_get(who, "Service"), service, false);
}

bool policy_trusts(const json_t *policy, const char *service, const char *external_id,
                   const char *account)
{
    bool trusts = false;
    const json_t *s;

    for (size_t i = 0; (s = statement_at(policy, i)); i++) {
        if (!principal_is(s, service) ||
            !member_matches(s, "Action", "NotAction", "sts:AssumeRole", true) ||
            !condition_holds(s, external_id, account))
            continue;
        if (str_eq(json_str_or(s, "Effect", ""), "Deny"))
            return false;
        trusts = true;
    }
    return trusts;
}
