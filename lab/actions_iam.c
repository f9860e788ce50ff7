/* Identity and access management: roles and their inline policies, which is what VM
 * Import's service role is made of. Nothing else of IAM is here, and no policy is held
 * against the callers themselves ('hotadd-lab faults … deny' does that).
 *
 * A role is a document {RoleName, …, _trust, _policies}; _trust and the members of
 * _policies are the policies' own text. */
#include "lab/policy.h"
#include "lab/role.h"

#include "base/clock.h"
#include "base/rand.h"
#include "base/str.h"

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+=,.@-"

static int check_name(const char *member, const char *name, size_t max, struct err *e)
{
    size_t n = strlen(name);

    if (n == 0 || n > max || strspn(name, NAME_CHARS) != n)
        return refuse(e, "ValidationError",
                      "The specified value for %s is invalid. It must contain only "
                      "alphanumeric characters and/or the following: +=,.@_-, and be at "
                      "most %zu long",
                      member, max);
    return 0;
}

static int no_such_role(const char *name, struct err *e)
{
    return refuse(e, "NoSuchEntity", "The role with name %.64s cannot be found.", name);
}

static int find_role(struct act *a, const json_t **ret, struct err *e)
{
    const char *name = q_str(a->params, "RoleName");

    if (check_name("roleName", name, 64, e) < 0)
        return -1;
    *ret = store_get(a->lab->store, "role", name);
    return *ret ? 0 : no_such_role(name, e);
}

static int edit_role(struct act *a, json_t **ret, struct err *e)
{
    const json_t *doc;

    if (find_role(a, &doc, e) < 0)
        return -1;
    return store_edit(a->lab->store, "role", q_str(a->params, "RoleName"), ret, e);
}

/* Policies travel URL-encoded (RFC 3986) in answers. */
static json_t *encoded(const char *text, struct err *e)
{
    auto_buf struct buf out = BUF_INIT;

    for (; *text; text++)
        if (strchr(NAME_CHARS "~", *text) && !strchr("+=,@", *text))
            buf_addc(&out, *text);
        else
            buf_addf(&out, "%%%02X", (unsigned char)*text);
    return buf_check(&out, e) < 0 ? NULL : json_string(buf_str(&out));
}

static int role_view(const json_t *doc, json_t **ret, struct err *e)
{
    json_t *view = json_object(), *v;
    const char *name;
    int r = view ? 0 : err_nomem(e);

    json_object_foreach ((json_t *)doc, name, v)
        if (r == 0 && name[0] != '_' && json_object_set(view, name, v) < 0)
            r = err_nomem(e);
    if (r == 0)
        r = json_put(view, "AssumeRolePolicyDocument",
                     encoded(json_str_or(doc, "_trust", ""), e), e);
    if (r < 0) {
        json_decref(view);
        return -1;
    }
    *ret = view;
    return 0;
}

static int answer_role(struct act *a, const json_t *doc, struct err *e)
{
    json_t *view;

    if (role_view(doc, &view, e) < 0)
        return -1;
    return act_put(a, "Role", view, e);
}

static int get_role(struct act *a, struct err *e)
{
    const json_t *doc;

    return find_role(a, &doc, e) < 0 ? -1 : answer_role(a, doc, e);
}

static int check_path(const char *path, struct err *e)
{
    size_t n = strlen(path);

    if (n == 0 || n > 512 || path[0] != '/' || path[n - 1] != '/')
        return refuse(e, "ValidationError",
                      "The specified value for path is invalid. It must begin and end "
                      "with / and contain only alphanumeric characters and/or / "
                      "characters.");
    return 0;
}

static int read_tags(struct act *a, json_t *doc, struct err *e)
{
    json_t *list = json_array(), *t;
    size_t i;

    if (!list)
        return err_nomem(e);
    json_array_foreach (q_list(q_sub(a->params, "Tags"), "member"), i, t)
        if (json_add(list,
                     json_pack("{s:s, s:s}", "Key", q_str_or(t, "Key", ""), "Value",
                               q_str_or(t, "Value", "")),
                     e) < 0) {
            json_decref(list);
            return -1;
        }
    if (json_array_size(list) == 0) {
        json_decref(list);
        return 0;
    }
    return json_put(doc, "Tags", json_pack("{s:o}", "member[]", list), e);
}

static int create_role(struct act *a, struct err *e)
{
    const char *name = q_str(a->params, "RoleName"),
               *trust = q_str(a->params, "AssumeRolePolicyDocument"),
               *path = q_str_or(a->params, "Path", "/");
    const char *about = q_str(a->params, "Description");
    json_int_t seconds = 3600;
    char id[20], arn[700], when[CLOCK_ISO_LEN];
    json_t *policy, *doc;

    if (check_name("roleName", name, 64, e) < 0 || check_path(path, e) < 0 ||
        policy_parse(trust, POLICY_TRUST, &policy, e) < 0)
        return -1;
    json_decref(policy);
    if (q_int(a->params, "MaxSessionDuration", 3600, 43200, &seconds, e) < 0)
        return refuse(e, "ValidationError", "MaxSessionDuration is out of range");
    if (store_get(a->lab->store, "role", name))
        return refuse(e, "EntityAlreadyExists", "Role with name %s already exists.",
                      name);
    snprintf(arn, sizeof arn, "arn:aws:iam::" LAB_ACCOUNT ":role%s%s", path, name);
    rand_hex(id, 17);
    for (char *c = id; *c; c++)
        *c = (char)(*c >= 'a' ? *c - 0x20 : *c);
    clock_iso8601(when, a->now_ms / 1000);
    doc = json_pack("{s:s, s:s, s:s+, s:s, s:s, s:s*, s:I, s:s, s:{}, s:I}", "Path", path,
                    "RoleName", name, "RoleId", "AROA", id, "Arn", arn, "CreateDate",
                    when, "Description", about, "MaxSessionDuration", seconds, "_trust",
                    trust, "_policies", "_made", (json_int_t)a->now_ms);
    if (store_put(a->lab->store, "role", name, doc, e) < 0 || read_tags(a, doc, e) < 0)
        return -1;
    return answer_role(a, doc, e);
}

static int delete_role(struct act *a, struct err *e)
{
    const json_t *doc;

    if (find_role(a, &doc, e) < 0)
        return -1;
    if (json_object_size(json_object_get(doc, "_policies")))
        return refuse(e, "DeleteConflict",
                      "Cannot delete entity, must delete policies first.");
    return store_delete(a->lab->store, "role", q_str(a->params, "RoleName"), e);
}

static int update_assume_role_policy(struct act *a, struct err *e)
{
    const char *trust = q_str(a->params, "PolicyDocument");
    json_t *doc, *policy;

    if (edit_role(a, &doc, e) < 0 || policy_parse(trust, POLICY_TRUST, &policy, e) < 0)
        return -1;
    json_decref(policy);
    return json_put(doc, "_trust", json_string(trust), e);
}

static int put_role_policy(struct act *a, struct err *e)
{
    const char *name = q_str(a->params, "PolicyName"),
               *text = q_str(a->params, "PolicyDocument");
    json_t *doc, *policy;

    if (check_name("policyName", name, 128, e) < 0 || edit_role(a, &doc, e) < 0 ||
        policy_parse(text, POLICY_PERMISSIONS, &policy, e) < 0)
        return -1;
    json_decref(policy);
    return json_put(json_object_get(doc, "_policies"), name, json_string(text), e);
}

static int no_such_policy(const char *name, struct err *e)
{
    return refuse(e, "NoSuchEntity", "The role policy with name %.128s cannot be found.",
                  name);
}

static int get_role_policy(struct act *a, struct err *e)
{
    const char *name = q_str(a->params, "PolicyName");
    const json_t *doc, *text;

    if (find_role(a, &doc, e) < 0)
        return -1;
    text = json_object_get(json_object_get(doc, "_policies"), name);
    if (!text)
        return no_such_policy(name, e);
    if (act_put(a, "RoleName", json_incref(json_object_get(doc, "RoleName")), e) < 0 ||
        act_put(a, "PolicyName", json_string(name), e) < 0)
        return -1;
    return act_put(a, "PolicyDocument", encoded(json_string_value(text), e), e);
}

static int list_role_policies(struct act *a, struct err *e)
{
    json_t *names = json_array(), *v;
    const json_t *doc;
    const char *name;

    if (!names)
        return err_nomem(e);
    if (act_put(a, "PolicyNames", json_pack("{s:o}", "member[]", names), e) < 0 ||
        find_role(a, &doc, e) < 0)
        return -1;
    json_object_foreach (json_object_get(doc, "_policies"), name, v)
        if (json_add(names, json_string(name), e) < 0)
            return -1;
    return act_put(a, "IsTruncated", json_false(), e);
}

static int delete_role_policy(struct act *a, struct err *e)
{
    const char *name = q_str(a->params, "PolicyName");
    json_t *doc;

    if (edit_role(a, &doc, e) < 0)
        return -1;
    return json_object_del(json_object_get(doc, "_policies"), name) < 0
               ? no_such_policy(name, e)
               : 0;
}

/* ---- For the services ---- */

bool role_trusts_vm_import(struct lab *lab, const char *name)
{
    const json_t *doc = store_get(lab->store, "role", name);
    json_t *policy;
    struct err e;
    bool trusts;

    if (!doc ||
        policy_parse(json_str_or(doc, "_trust", ""), POLICY_TRUST, &policy, &e) < 0)
        return false;
    trusts = policy_trusts(policy, "vmie.amazonaws.com", "vmimport", LAB_ACCOUNT);
    json_decref(policy);
    return trusts;
}

bool role_permits(struct lab *lab, const char *name, const char *action,
                  const char *resource)
{
    const json_t *doc = store_get(lab->store, "role", name);
    bool allowed = false, denied = false;
    const char *key;
    json_t *text;

    json_object_foreach (json_object_get(doc, "_policies"), key, text) {
        enum policy_verdict v;
        json_t *policy;
        struct err e;

        if (policy_parse(json_string_value(text), POLICY_PERMISSIONS, &policy, &e) < 0)
            continue;
        v = policy_permits(policy, action, resource);
        allowed = allowed || v == POLICY_ALLOWS;
        denied = denied || v == POLICY_DENIES;
        json_decref(policy);
    }
    return allowed && !denied;
}

const struct action actions_iam[] = {
    {"GetRole", get_role, "RoleName"},
    {"CreateRole", create_role, "RoleName AssumeRolePolicyDocument"},
    {"DeleteRole", delete_role, "RoleName"},
    {"UpdateAssumeRolePolicy", update_assume_role_policy, "RoleName PolicyDocument"},
    {"PutRolePolicy", put_role_policy, "RoleName PolicyName PolicyDocument"},
    {"GetRolePolicy", get_role_policy, "RoleName PolicyName"},
    {"ListRolePolicies", list_role_policies, "RoleName"},
    {"DeleteRolePolicy", delete_role_policy, "RoleName PolicyName"},
    {NULL, NULL, NULL},
};
