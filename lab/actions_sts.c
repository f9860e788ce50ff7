/* Security Token Service: who am I, and another role's credentials. */
#include "lab/creds.h"

#include "base/str.h"

static int caller_identity(struct act *a, struct err *e)
{
    if (act_put(a, "Arn", json_string(a->who->arn), e) < 0 ||
        act_put(a, "UserId", json_string(a->who->user_id), e) < 0)
        return -1;
    return act_put(a, "Account", json_string(LAB_ACCOUNT), e);
}

static bool session_name_ok(const char *s)
{
    size_t n = strlen(s);

    return n >= 2 && n <= 64 &&
           strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+=,."
                     "@-") == n;
}

/* Any role of the lab's account may be assumed by whoever has its credentials. */
static int assume_role(struct act *a, struct err *e)
{
    static const char prefix[] = "arn:aws:iam::" LAB_ACCOUNT ":role/";
    const char *arn = q_str(a->params, "RoleArn"), *role;
    const char *session = q_str(a->params, "RoleSessionName");
    json_int_t seconds = 3600;
    char user[160], session_arn[256];
    const json_t *c;

    if (!str_starts(arn, prefix) || strlen(arn) > sizeof prefix - 1 + 64)
        return refuse(
            e, "AccessDenied",
            "User: %s is not authorized to perform: sts:AssumeRole on resource: "
            "%.200s",
            a->who->arn, arn);
    role = strrchr(arn, '/') + 1;
    if (!*role || !session_name_ok(session))
        return refuse(e, "ValidationError",
                      "Value '%.80s' at 'roleSessionName' failed to satisfy constraint",
                      session);
    if (q_int(a->params, "DurationSeconds", 900, 43200, &seconds, e) < 0)
        return refuse(e, "ValidationError",
                      "The requested DurationSeconds is out of range");
    if (creds_issue(a->lab, role, session, seconds * 1000, &c, e) < 0)
        return -1;
    snprintf(user, sizeof user, "AROALABROLE000000000:%s", session);
    snprintf(session_arn, sizeof session_arn,
             "arn:aws:sts::" LAB_ACCOUNT ":assumed-role/%s/%s", role, session);
    if (act_put(a, "AssumedRoleUser",
                json_pack("{s:s, s:s}", "AssumedRoleId", user, "Arn", session_arn),
                e) < 0)
        return -1;
    return act_put(a, "Credentials",
                   json_pack("{s:O, s:O, s:O, s:O}", "AccessKeyId",
                             json_object_get(c, "accessKeyId"), "SecretAccessKey",
                             json_object_get(c, "secretAccessKey"), "SessionToken",
                             json_object_get(c, "sessionToken"), "Expiration",
                             json_object_get(c, "expiration")),
                   e);
}

const struct action actions_sts[] = {
    {"GetCallerIdentity", caller_identity, NULL},
    {"AssumeRole", assume_role, "RoleArn RoleSessionName"},
    {NULL, NULL, NULL},
};
