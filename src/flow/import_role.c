/* The role that VM Import takes on to read a bucket; see import.h. "Required service
 * role", VM Import/Export User Guide. Policies are foreign: what is not understood is not
 * taken for a permission. */
#include "aws/ec2_import.h"
#include "aws/iam.h"
#include "aws/s3.h"
#include "base/json.h"
#include "base/str.h"
#include "flow/flow.h"
#include "flow/import.h"

#define SERVICE     "vmie.amazonaws.com"
#define POLICY_NAME "hotadd-vmimport"

/* ---- Documents ---- */

static char *text_of(json_t *o, struct err *e)
{
    char *text = NULL;

    if (!o)
        err_nomem(e);
    else if (json_text(o, &text, e) < 0)
        text = NULL;
    json_decref(o);
    return text;
}

char *import_role_trust(struct err *e)
{
    return text_of(json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:{s:{s:s}}}]}", "Version",
                             "2012-10-17", "Statement", "Effect", "Allow", "Principal",
                             "Service", SERVICE, "Action", "sts:AssumeRole", "Condition",
                             "StringEquals", "sts:Externalid", "vmimport"),
                   e);
}

char *import_role_policy(const char *partition, const char *bucket, struct err *e)
{
    auto_free char *whole = str_fmt(e, "arn:%s:s3:::%s", partition, bucket);
    auto_free char *objects = str_fmt(e, "arn:%s:s3:::%s/*", partition, bucket);

    if (!whole || !objects)
        return NULL;
    return text_of(
        json_pack("{s:s, s:[{s:s, s:[s, s, s], s:[s, s]}, {s:s, s:[s, s, s, s], s:s}]}",
                  "Version", "2012-10-17", "Statement", "Effect", "Allow", "Action",
                  "s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket", "Resource",
                  whole, objects, "Effect", "Allow", "Action",
                  "ec2:ModifySnapshotAttribute", "ec2:CopySnapshot", "ec2:RegisterImage",
                  "ec2:Describe*", "Resource", "*"),
        e);
}

/* ---- Reading policies ---- */

/* '*' and '?', as IAM has them. */
static bool glob_fits(const char *pattern, const char *text)
{
    const char *star = NULL, *back = NULL;

    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            back = text;
        } else if (*pattern && (*pattern == '?' || *pattern == *text)) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

static bool same_action(const char *pattern, const char *action)
{
    char low[200];
    size_t i = 0;

    for (; pattern[i] && i < sizeof low - 1; i++)
        low[i] =
            (char)(pattern[i] >= 'A' && pattern[i] <= 'Z' ? pattern[i] + 32 : pattern[i]);
    low[i] = 0;
    return glob_fits(low, action);
}

/* A word, or a list of them. */
static bool any(const json_t *words, bool (*fits)(const char *pattern, const char *text),
                const char *text)
{
    const json_t *w;
    size_t i;

    if (json_is_string(words))
        return fits(json_string_value(words), text);
    json_array_foreach (words, i, w)
        if (json_is_string(w) && fits(json_string_value(w), text))
            return true;
    return false;
}

typedef bool says_fn(const json_t *statement, const void *ctx);

/* Whether a statement that allows says so, and none that denies does. */
static int judge(const char *document, const char *what, says_fn *says, const void *ctx,
                 bool *ret, struct err *e)
{
    json_auto_t *doc = NULL;
    const json_t *list, *s;
    bool allowed = false, denied = false;
    size_t i;

    if (json_parse(document, strlen(document), what, &doc, e) < 0)
        return -1;
    list = json_object_get(doc, "Statement");
    if (json_is_object(list)) {
        allowed = str_eq(json_str_or(list, "Effect", ""), "Allow") && says(list, ctx);
    } else {
        json_array_foreach (list, i, s) {
            const char *effect = json_str_or(s, "Effect", "");

            allowed |= str_eq(effect, "Allow") && says(s, ctx);
            denied |= str_eq(effect, "Deny") && says(s, ctx);
        }
    }
    *ret = allowed && !denied;
    return 0;
}

static bool trusts(const json_t *s, const void *ctx)
{
    const json_t *principal = json_object_get(s, "Principal");

    return any(json_object_get(principal, "Service"), glob_fits, SERVICE) &&
           any(json_object_get(s, "Action"), same_action, "sts:assumerole");
}

int import_role_trusts(const char *document, bool *ret, struct err *e)
{
    return judge(document, "the role's trust policy", trusts, NULL, ret, e);
}

static bool reads(const json_t *s, const void *ctx)
{
    return any(json_object_get(s, "Action"), same_action, "s3:getobject") &&
           any(json_object_get(s, "Resource"), glob_fits, ctx);
}

int import_role_reads(const char *document, const char *partition, const char *bucket,
                      bool *ret, struct err *e)
{
    auto_free char *arn = str_fmt(e, "arn:%s:s3:::%s/disk", partition, bucket);

    return arn ? judge(document, "the role's policy", reads, arn, ret, e) : -1;
}

/* ---- Checking ---- */

static int mend(const char *role, const char *bucket, const char *what, struct err *e)
{
    return err_set(e, ERR_REQUIREMENT,
                   "role %s, by which VM Import reads the bucket, %s; `hotadd import "
                   "--setup --bucket %s%s%s` prints what makes it so, and does it with "
                   "--apply",
                   role, what, bucket, str_eq(role, EC2_IMPORT_ROLE) ? "" : " --role ",
                   str_eq(role, EC2_IMPORT_ROLE) ? "" : role);
}

/* 1: one of the role's own policies lets it read; 0: none does. */
static int own_policies(struct aws *aws, const char *role, const char *bucket,
                        struct err *e)
{
    auto_strv struct strv names = {0};
    bool ok = false;

    if (iam_list_role_policies(aws, role, &names, e) < 0)
        return -1;
    vec_foreach (n, &names) {
        auto_free char *document = NULL;

        if (!ok && (iam_get_role_policy(aws, role, *n, &document, e) < 0 ||
                    import_role_reads(document, aws_partition(aws), bucket, &ok, e) < 0))
            return -1;
    }
    return ok;
}

/* Attached policies may say it too; they are not read. */
static int has_attached(struct aws *aws, const char *role, struct err *e)
{
    auto_strv struct strv arns = {0};

    if (iam_list_attached_role_policies(aws, role, &arns, e) < 0)
        return e->kind == ERR_UNSUPPORTED ? 0 : -1;
    return arns.n > 0;
}

static int check(struct aws *aws, const char *role, const char *bucket,
                 enum import_role_state *ret, struct err *e)
{
    struct iam_role r = {0};
    bool trusted = false;
    int done;

    if (iam_get_role(aws, role, &r, e) < 0)
        return e->kind == ERR_NOT_FOUND ? mend(role, bucket, "does not exist", e) : -1;
    done = import_role_trusts(r.trust, &trusted, e);
    iam_role_release(&r);
    if (done < 0)
        return -1;
    if (!trusted)
        return mend(role, bucket, "does not trust " SERVICE, e);
    *ret = IMPORT_ROLE_OK;
    done = own_policies(aws, role, bucket, e);
    if (done != 0)
        return done < 0 ? -1 : 0;
    *ret = IMPORT_ROLE_UNSEEN;
    done = has_attached(aws, role, e);
    if (done != 0)
        return done < 0 ? -1 : 0;
    return mend(role, bucket, "may not read its objects", e);
}

int import_role_check(struct aws *aws, const char *role, const char *bucket,
                      enum import_role_state *ret, struct err *e)
{
    if (check(aws, role, bucket, ret, e) == 0)
        return 0;
    /* Who may import need not be allowed to look at roles. */
    if (e->kind == ERR_DENIED && (str_eq(e->aws_code, "AccessDenied") ||
                                  str_eq(e->aws_code, "AccessDeniedException"))) {
        *ret = IMPORT_ROLE_UNSEEN;
        return 0;
    }
    return -1;
}

/* ---- --setup ---- */

static int make(struct aws *aws, const char *role, const char *trust, const char *policy,
                json_t *answer, struct err *e)
{
    struct iam_role r = {0};
    bool trusted = true, made;

    made = iam_create_role(aws, role, "VM Import reads disks that hotadd uploaded", trust,
                           &r, e) == 0;
    if (!made && e->kind != ERR_EXISTS)
        return -1;
    if (!made && (iam_get_role(aws, role, &r, e) < 0 ||
                  import_role_trusts(r.trust, &trusted, e) < 0)) {
        iam_role_release(&r);
        return -1;
    }
    iam_role_release(&r);
    /* Somebody's role of that name: it is not for us to change whom it trusts. */
    if (!trusted)
        return err_set(e, ERR_EXISTS,
                       "there is a role %s that does not trust " SERVICE
                       "; give another name with --role, or change its trust policy "
                       "(aws iam update-assume-role-policy)",
                       role);
    if (iam_put_role_policy(aws, role, POLICY_NAME, policy, e) < 0)
        return -1;
    return json_put(answer, "role_made", json_boolean(made), e);
}

int flow_import_setup(const struct restore_params *params, enum flow_setup how,
                      const struct flow_env *env, json_t **ret, struct err *e)
{
    struct aws_options opt = {
        .region = params->region, .profile = params->aws_profile, .cancel = env->cancel};
    const char *role = params->role ? params->role : EC2_IMPORT_ROLE;
    auto_aws struct aws *aws = NULL;
    auto_free char *trust = NULL, *policy = NULL;
    json_auto_t *o = NULL;

    if (!params->bucket)
        return err_set(e, ERR_USAGE,
                       "--setup needs --bucket: the role may read it alone");
    if (s3_bucket_name_check(params->bucket, e) < 0 || aws_new(&opt, &aws, e) < 0 ||
        !(trust = import_role_trust(e)) ||
        !(policy = import_role_policy(aws_partition(aws), params->bucket, e)))
        return -1;
    o = json_pack("{s:s, s:s, s:s, s:s, s:b}", "role", role, "policy_name", POLICY_NAME,
                  "trust", trust, "policy", policy, "applied", how == FLOW_SETUP_APPLY);
    if (!o)
        return err_nomem(e);
    if (how == FLOW_SETUP_APPLY && make(aws, role, trust, policy, o, e) < 0)
        return -1;
    *ret = json_incref(o);
    return 0;
}
