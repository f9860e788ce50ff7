/* The Security Token Service; see sts.h. */
#include "aws/sts.h"

#include "aws/call.h"
#include "aws/form.h"
#include "aws/sts_impl.h"
#include "base/io.h"
#include "base/str.h"
#include "base/xml.h"

#define STS_VERSION    "2011-06-15"
#define STS_MAX_ANSWER (64 * 1024)

static struct call sts_call(const struct form *f)
{
    return (struct call){
        .service = AWS_STS,
        .action = f->action,
        .method = "POST",
        .path = "/",
        .query = "",
        .content_type = "application/x-www-form-urlencoded; charset=utf-8",
        .body = f->body.data,
        .body_len = f->body.len,
        .max_answer = STS_MAX_ANSWER,
        .xml = true,
    };
}

void sts_identity_release(struct sts_identity *id)
{
    free(id->account);
    free(id->arn);
    free(id->user_id);
    *id = (struct sts_identity){0};
}

int sts_identity_parse(xmlDoc *doc, struct sts_identity *ret, struct err *e)
{
    xmlNode *r = xml_child(xml_root(doc), "GetCallerIdentityResult");
    struct sts_identity id = {0};

    if (xml_child_text(r, "Account", &id.account, e) < 0 ||
        xml_child_text(r, "Arn", &id.arn, e) < 0 ||
        xml_child_text(r, "UserId", &id.user_id, e) < 0) {
        sts_identity_release(&id);
        return -1;
    }
    if (!id.account || !id.arn || !id.user_id) {
        sts_identity_release(&id);
        return err_set(e, ERR_INPUT, "GetCallerIdentity: the answer holds no identity");
    }
    *ret = id;
    return 0;
}

int sts_get_caller_identity(struct aws *aws, struct sts_identity *ret, struct err *e)
{
    auto_form struct form f = FORM_INIT;
    auto_reply struct reply reply = REPLY_INIT;
    struct call call;

    form_begin(&f, "GetCallerIdentity", STS_VERSION);
    if (buf_check(&f.body, e) < 0)
        return -1;
    call = sts_call(&f);
    if (call_send(aws, &call, &reply, NULL, e) < 0)
        return -1;
    return sts_identity_parse(reply.doc, ret, e);
}

static void role_form(struct form *f, const char *action, const struct sts_role *role)
{
    form_begin(f, action, STS_VERSION);
    form_str(f, role->arn, "RoleArn");
    form_str(f, role->session_name ? role->session_name : "hotadd", "RoleSessionName");
    form_u64(f, role->duration_s, "DurationSeconds");
}

int sts_role_creds(struct aws *aws, const struct sts_role *role, struct creds *as,
                   const char *source, struct creds **ret, struct err *e)
{
    auto_form struct form f = FORM_INIT;
    auto_reply struct reply reply = REPLY_INIT;
    struct call call;

    role_form(&f, "AssumeRole", role);
    form_str(&f, role->external_id, "ExternalId");
    if (buf_check(&f.body, e) < 0)
        return -1;
    call = sts_call(&f);
    call.secret_answer = true;
    if (call_send_as(aws, &call, as, &reply, e) < 0)
        return err_prefix(e, "role %s", role->arn);
    return creds_from_sts(reply.doc, source, ret, e);
}

/* The token goes into the body; both copies are wiped. */
static int add_token(struct form *f, const char *token_file, struct err *e)
{
    auto_buf struct buf text = BUF_INIT;
    int done;

    if (buf_reserve(&text, 3 * 65536, e) < 0 || buf_reserve(&f->body, 262144, e) < 0)
        return -1;
    done = io_read_file(token_file, 65536, &text, e);
    if (done == 0)
        form_str(f, str_trim(text.data), "WebIdentityToken");
    secret_wipe(text.data, text.cap);
    return done;
}

int sts_web_identity_creds(struct aws *aws, const struct sts_role *role,
                           const char *token_file, const char *source, struct creds **ret,
                           struct err *e)
{
    auto_form struct form f = FORM_INIT;
    auto_reply struct reply reply = REPLY_INIT;
    struct call call;
    int done;

    role_form(&f, "AssumeRoleWithWebIdentity", role);
    done = add_token(&f, token_file, e);
    if (done == 0)
        done = buf_check(&f.body, e);
    call = sts_call(&f);
    call.secret_answer = true;
    call.anonymous = true;
    if (done == 0)
        done = call_send_as(aws, &call, NULL, &reply, e);
    secret_wipe(f.body.data, f.body.cap);
    if (done < 0)
        return err_prefix(e, "role %s", role->arn);
    return creds_from_sts(reply.doc, source, ret, e);
}
