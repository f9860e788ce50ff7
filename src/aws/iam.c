/* The role by which EC2 imports; see iam.h. Nothing is kept; a crash leaves what AWS
 * made, and every call may be repeated. */
#include "aws/iam.h"

#include "aws/call.h"
#include "aws/form.h"
#include "aws/iam_impl.h"
#include "aws/uri.h"
#include "base/str.h"
#include "base/xml.h"

#define IAM_VERSION    "2010-05-08"
#define IAM_MAX_ANSWER (1024 * 1024)
#define MAX_PAGES      100

void iam_role_release(struct iam_role *r)
{
    free(r->name);
    free(r->arn);
    free(r->path);
    free(r->trust);
    *r = (struct iam_role){0};
}

/* ---- Sending ---- */

static int send(struct aws *aws, const struct form *f, struct reply *ret, struct err *e)
{
    struct call call = {
        .service = AWS_IAM,
        .action = f->action,
        .method = "POST",
        .path = "/",
        .query = "",
        .content_type = "application/x-www-form-urlencoded; charset=utf-8",
        .body = f->body.data,
        .body_len = f->body.len,
        .max_answer = IAM_MAX_ANSWER,
        .xml = true,
        .region = settings_iam_region(aws_region(aws)),
    };

    return buf_check(&f->body, e) < 0 ? -1 : call_send(aws, &call, ret, NULL, e);
}

/* <ActionResponse><ActionResult>: NULL with e set when the answer has none. */
static xmlNode *result_of(const struct form *f, const struct reply *r, struct err *e)
{
    char name[80];
    xmlNode *node;

    snprintf(name, sizeof name, "%sResult", f->action);
    node = xml_child(xml_root(r->doc), name);
    if (!node)
        err_set(e, ERR_INPUT, "%s: the answer holds no <%s>: is the endpoint IAM's?",
                f->action, name);
    return node;
}

/* ---- Reading ---- */

/* Policy documents come percent-encoded (RFC 3986). Owned; "" when it is not there. */
static int document(xmlNode *parent, const char *name, char **ret, struct err *e)
{
    auto_buf struct buf plain = BUF_INIT;
    auto_free char *coded = NULL;

    if (xml_child_text(parent, name, &coded, e) < 0)
        return -1;
    if (coded)
        uri_decode(&plain, coded, strlen(coded));
    if (buf_check(&plain, e) < 0)
        return -1;
    if (plain.len != strlen(buf_str(&plain)))
        return err_set(e, ERR_INPUT, "%s has a NUL in it", name);
    return buf_take(&plain, ret, e);
}

static int text(xmlNode *parent, const char *name, char **ret, struct err *e)
{
    if (xml_child_text(parent, name, ret, e) < 0)
        return -1;
    if (*ret)
        return 0;
    *ret = str_dup("", e);
    return *ret ? 0 : -1;
}

int iam_role_read(xmlNode *result, struct iam_role *ret, struct err *e)
{
    xmlNode *n = xml_child(result, "Role");
    struct iam_role r = {0};

    if (!n)
        return err_set(e, ERR_INPUT, "the answer holds no role");
    if (text(n, "RoleName", &r.name, e) < 0 || text(n, "Arn", &r.arn, e) < 0 ||
        text(n, "Path", &r.path, e) < 0 ||
        document(n, "AssumeRolePolicyDocument", &r.trust, e) < 0) {
        iam_role_release(&r);
        return -1;
    }
    *ret = r;
    return 0;
}

int iam_members_read(xmlNode *result, const char *set, const char *field,
                     struct strv *ret, struct err *e)
{
    for (XML_EACH (m, xml_child(xml_child(result, set), "member"))) {
        auto_free char *value = NULL;

        if ((*field ? xml_child_text(m, field, &value, e) : xml_text(m, &value, e)) < 0)
            return -1;
        if (value && strv_add(ret, value, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- Roles ---- */

int iam_get_role(struct aws *aws, const char *name, struct iam_role *ret, struct err *e)
{
    auto_form struct form f = FORM_INIT;
    auto_reply struct reply reply = REPLY_INIT;
    xmlNode *result;

    form_begin(&f, "GetRole", IAM_VERSION);
    form_str(&f, name, "RoleName");
    if (send(aws, &f, &reply, e) < 0 || !(result = result_of(&f, &reply, e)))
        return -1;
    return iam_role_read(result, ret, e);
}

int iam_create_role(struct aws *aws, const char *name, const char *description,
                    const char *trust, struct iam_role *ret, struct err *e)
{
    auto_form struct form f = FORM_INIT;
    auto_reply struct reply reply = REPLY_INIT;
    xmlNode *result;

    form_begin(&f, "CreateRole", IAM_VERSION);
    form_str(&f, name, "RoleName");
    form_str(&f, description, "Description");
    form_str(&f, trust, "AssumeRolePolicyDocument");
    if (send(aws, &f, &reply, e) < 0) {
        if (str_eq(e->aws_code, "EntityAlreadyExists"))
            e->kind = ERR_EXISTS;
        return -1;
    }
    result = result_of(&f, &reply, e);
    return result ? iam_role_read(result, ret, e) : -1;
}

/* ---- Policies ---- */

static int list(struct aws *aws, const char *action, const char *role, const char *set,
                const char *field, struct strv *ret, struct err *e)
{
    auto_strv struct strv found = {0};
    auto_free char *marker = NULL;

    for (int pages = 0; pages < MAX_PAGES; pages++) {
        auto_form struct form f = FORM_INIT;
        auto_reply struct reply reply = REPLY_INIT;
        auto_free char *more = NULL;
        xmlNode *result;

        form_begin(&f, action, IAM_VERSION);
        form_str(&f, role, "RoleName");
        form_str(&f, marker, "Marker");
        if (send(aws, &f, &reply, e) < 0 || !(result = result_of(&f, &reply, e)) ||
            iam_members_read(result, set, field, &found, e) < 0 ||
            xml_child_text(result, "IsTruncated", &more, e) < 0)
            return -1;
        free(take_ptr(marker));
        if (!more || !str_eq(more, "true")) {
            *ret = found;
            found = (struct strv){0};
            return 0;
        }
        if (text(result, "Marker", &marker, e) < 0)
            return -1;
    }
    return err_set(e, ERR_INPUT, "%s: more than %d pages", action, MAX_PAGES);
}

int iam_list_role_policies(struct aws *aws, const char *role, struct strv *ret,
                           struct err *e)
{
    return list(aws, "ListRolePolicies", role, "PolicyNames", "", ret, e);
}

int iam_list_attached_role_policies(struct aws *aws, const char *role, struct strv *ret,
                                    struct err *e)
{
    return list(aws, "ListAttachedRolePolicies", role, "AttachedPolicies", "PolicyArn",
                ret, e);
}

int iam_get_role_policy(struct aws *aws, const char *role, const char *policy, char **ret,
                        struct err *e)
{
    auto_form struct form f = FORM_INIT;
    auto_reply struct reply reply = REPLY_INIT;
    xmlNode *result;

    form_begin(&f, "GetRolePolicy", IAM_VERSION);
    form_str(&f, role, "RoleName");
    form_str(&f, policy, "PolicyName");
    if (send(aws, &f, &reply, e) < 0 || !(result = result_of(&f, &reply, e)))
        return -1;
    return document(result, "PolicyDocument", ret, e);
}

int iam_put_role_policy(struct aws *aws, const char *role, const char *policy,
                        const char *doc, struct err *e)
{
    auto_form struct form f = FORM_INIT;
    auto_reply struct reply reply = REPLY_INIT;

    form_begin(&f, "PutRolePolicy", IAM_VERSION);
    form_str(&f, role, "RoleName");
    form_str(&f, policy, "PolicyName");
    form_str(&f, doc, "PolicyDocument");
    return send(aws, &f, &reply, e);
}
