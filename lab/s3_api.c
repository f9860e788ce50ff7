/* One request to S3 from its signature to its answer; see s3.h.
 *
 * The signature covers the headers, which claim what the body hashes to; so it is
 * checked before the first byte of a body is taken, and the claim when all have come. */
#include "lab/s3.h"

#include "lab/creds.h"
#include "lab/s3_impl.h"
#include "lab/xmlout.h"

#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"

#include <ctype.h>

/* ---- Which requests ---- */

bool s3_claims(const struct http_request *rq)
{
    const char *auth = http_header_get(rq, "authorization");
    const char *host = http_header_get(rq, "host");

    if (auth && str_starts(auth, "AWS4-"))
        return strstr(auth, "/s3/aws4_request") != NULL;
    if (auth)
        return str_starts(auth, "AWS "); /* version 2, which S3 alone knew */
    if (strstr(rq->raw_query, "X-Amz-Signature="))
        return strcasestr(rq->raw_query, "%2Fs3%2Faws4_request") ||
               strstr(rq->raw_query, "/s3/aws4_request");
    return !str_eq(rq->path, "/") || (host && s3_host_bucket(host)) ||
           !(str_eq(rq->method, "POST") || str_eq(rq->method, "GET"));
}

/* ---- Who asks ---- */

/* The words of the other services' refusals, in S3's. */
static int in_s3_words(const struct s3_call *c, struct err *e)
{
    const char *to = NULL;

    if (str_eq(e->aws_code, "MissingAuthenticationToken"))
        to = "AccessDenied";
    else if (str_eq(e->aws_code, "IncompleteSignature"))
        to = "AuthorizationHeaderMalformed";
    else if (str_eq(e->aws_code, "RequestExpired"))
        to = c->sig.presigned ? "AccessDenied" : "RequestTimeTooSkewed";
    if (to)
        snprintf(e->aws_code, sizeof e->aws_code, "%s", to);
    return -1;
}

/* A bucket of another region wants requests signed for that. */
static int check_region(struct s3_call *c, struct err *e)
{
    struct err ignored;

    if (!c->target.bucket ||
        s3_bucket_find(c->lab->s3, c->target.bucket, c->region, &ignored) < 0)
        snprintf(c->region, sizeof c->region, "%s", LAB_REGION);
    if (str_eq(c->sig.region, c->region))
        return 0;
    return refuse(e, "AuthorizationHeaderMalformed",
                  "The authorization header is malformed; the region '%.40s' is wrong; "
                  "expecting '%s'",
                  c->sig.region, c->region);
}

static int begin_chain(struct s3_call *c, const char *secret, struct err *e)
{
    snprintf(c->chain.date, sizeof c->chain.date, "%s", c->sig.amz_date);
    snprintf(c->chain.scope, sizeof c->chain.scope, "%s/%s/%s/aws4_request", c->sig.date,
             c->sig.region, c->sig.service);
    snprintf(c->chain.before, sizeof c->chain.before, "%s", c->sig.signature);
    return sigv4_key(&c->sig, secret, c->chain.key, e);
}

static int authenticate(struct s3_call *c, struct err *e)
{
    const char *auth = http_header_get(c->rq, "authorization");
    struct secret *secret = NULL;
    int r;

    if (auth && str_starts(auth, "AWS "))
        return refuse(e, "InvalidRequest",
                      "The authorization mechanism you have provided is not supported. "
                      "Please use AWS4-HMAC-SHA256.");
    if (sigv4_parse(c->rq, &c->sig, e) < 0 ||
        sigv4_check_time(&c->sig, lab_now_ms() / 1000, e) < 0)
        return in_s3_words(c, e);
    if (!c->sig.presigned && !http_header_get(c->rq, "x-amz-content-sha256"))
        return refuse(e, "InvalidRequest",
                      "Missing required header for this request: x-amz-content-sha256");
    if (check_region(c, e) < 0)
        return -1;
    pthread_mutex_lock(&c->lab->lock);
    r = creds_find(c->lab, &c->sig, &c->who, &secret, e);
    pthread_mutex_unlock(&c->lab->lock);
    if (r == 0)
        r = sigv4_verify(c->rq, &c->sig, secret_reveal(secret), e);
    if (r == 0)
        r = begin_chain(c, secret_reveal(secret), e);
    secret_free(secret);
    return r < 0 ? in_s3_words(c, e) : 0;
}

/* ---- What it asks ---- */

static bool fits(const struct s3_action *a, const struct s3_call *c)
{
    enum s3_level level = c->target.key      ? S3_KEY
                          : c->target.bucket ? S3_BUCKET
                                             : S3_SERVICE;

    return a->level == level && str_eq(a->method, c->rq->method) &&
           (!a->param || s3_param(&c->target, a->param)) &&
           (!a->header || http_header_get(c->rq, a->header));
}

/* The parameter that makes another action of a request, one that is not here, or NULL. */
static const char *other_action(const struct s3_target *t)
{
    static const char names[] =
        " accelerate acl analytics attributes cors encryption intelligent-tiering "
        "inventory legal-hold lifecycle logging metrics notification object-lock "
        "ownershipControls policy policyStatus publicAccessBlock replication "
        "requestPayment restore retention select tagging torrent versioning versions "
        "versionId website ";
    const char *name;
    json_t *v;

    json_object_foreach (t->params, name, v) {
        size_t len = strlen(name);

        for (const char *p = names; len && (p = strstr(p + 1, name));)
            if (p[-1] == ' ' && p[len] == ' ')
                return name;
    }
    return NULL;
}

static int route(struct s3_call *c, struct err *e)
{
    static const struct s3_action *const tables[] = {
        s3_bucket_actions, s3_list_actions, s3_multipart_actions, s3_object_actions};
    const char *owner = http_header_get(c->rq, "x-amz-expected-bucket-owner");
    const char *other = other_action(&c->target);

    for (size_t i = 0; i < sizeof tables / sizeof tables[0] && !c->action; i++)
        for (const struct s3_action *a = tables[i]; a->name && !c->action; a++)
            if (fits(a, c))
                c->action = a;
    if (other && !(c->action && str_eq_null(c->action->param, other)))
        return refuse(e, "NotImplemented", "The lab's S3 knows no '%s'", other);
    if (!c->action)
        return refuse(e, "MethodNotAllowed",
                      "The specified method is not allowed against this resource.");
    if (owner && !str_eq(owner, LAB_ACCOUNT))
        return refuse(e, "AccessDenied", "Access Denied");
    return 0;
}

/* ---- Uploads ---- */

static int call_open(struct s3_call *c, struct lab *lab, const struct http_request *rq,
                     struct err *e)
{
    c->lab = lab;
    c->rq = rq;
    c->status = 200;
    api_request_id(c->request_id);
    if (s3_target_parse(rq, &c->target, e) < 0 || authenticate(c, e) < 0)
        return -1;
    return route(c, e);
}

static void call_release(struct s3_call *c)
{
    s3_body_free(c->body);
    s3_target_release(&c->target);
    sigv4_release(&c->sig);
    secret_wipe(&c->chain, sizeof c->chain);
    json_decref(c->out);
}

static void *upload_begin(void *ctx, const struct http_request *rq)
{
    struct lab *lab = ctx;
    struct s3_call *c;
    struct err e;

    if (!str_eq(rq->method, "PUT") || !s3_claims(rq))
        return NULL;
    c = mem_zalloc(1, sizeof *c, &e);
    if (!c)
        return NULL;
    c->failed = call_open(c, lab, rq, &c->why) < 0;
    /* What is named by a header comes from elsewhere. */
    if (!c->failed && c->action->level == S3_KEY && !c->action->header)
        c->failed = s3_body_new(lab->s3, rq, &c->chain, &c->body, &c->why) < 0;
    if (c->failed || c->body)
        return c;
    call_release(c);
    free(c);
    return NULL;
}

static void upload_data(void *upload, const void *data, size_t len)
{
    struct s3_call *c = upload;

    if (!c->failed)
        c->failed = s3_body_add(c->body, data, len, &c->why) < 0;
}

static void upload_free(void *upload)
{
    call_release(upload);
    free(upload);
}

const struct http_uploads s3_uploads = {upload_begin, upload_data, upload_free};

/* ---- Answers ---- */

int s3_answer(struct s3_call *c, const char *root, struct err *e)
{
    c->root = root;
    c->out = json_object();
    return c->out ? 0 : err_nomem(e);
}

int s3_put_str(struct s3_call *c, const char *name, const char *value, struct err *e)
{
    return json_put(c->out, name, json_string(value), e);
}

int s3_put_int(struct s3_call *c, const char *name, int64_t value, struct err *e)
{
    return json_put(c->out, name, json_integer(value), e);
}

int s3_put_bool(struct s3_call *c, const char *name, bool value, struct err *e)
{
    return json_put(c->out, name, json_boolean(value), e);
}

int s3_put_name(struct s3_call *c, const char *name, const char *value, struct err *e)
{
    auto_buf struct buf coded = BUF_INIT;

    if (!s3_param(&c->target, "encoding-type"))
        return s3_put_str(c, name, value, e);
    s3_url_encode(value, &coded);
    if (buf_check(&coded, e) < 0)
        return -1;
    return s3_put_str(c, name, buf_str(&coded), e);
}

int s3_header_add(struct s3_call *c, const char *name, const char *value, struct err *e)
{
    return http_header_add(&c->rp->headers, name, value, e);
}

json_t *s3_owner(void)
{
    return json_pack("{s:s, s:s}", "ID", S3_OWNER, "DisplayName", "lab");
}

int s3_need_bucket(struct s3_call *c, struct err *e)
{
    return s3_bucket_find(c->lab->s3, c->target.bucket, c->region, e);
}

static int write_success(struct s3_call *c, struct err *e)
{
    if (!c->root)
        return 0;
    c->rp->content_type = "application/xml";
    return xmlout_document(c->root, XMLNS_S3, c->out, &c->rp->body, e);
}

/* Replaces what the action may have begun. */
static void write_failure(struct s3_call *c, const struct err *why)
{
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:s}", "Code", why->aws_code, "Message",
                            why->msg, "Resource", c->rq->path, "RequestId", c->request_id,
                            "HostId", c->request_id);
    bool moved = str_eq(why->aws_code, "AuthorizationHeaderMalformed") && c->region[0];
    struct err e;

    http_reply_release(c->rp);
    c->rp->status = refuse_status(why->aws_code);
    c->rp->content_type = "application/xml";
    if (moved && (json_put(doc, "Region", json_string(c->region), &e) < 0 ||
                  s3_header_add(c, "x-amz-bucket-region", c->region, &e) < 0))
        log_error("%s: %s", c->request_id, e.msg);
    /* 304 has no body. */
    if (doc && c->rp->status != 304 &&
        xmlout_document("Error", NULL, doc, &c->rp->body, &e) < 0)
        buf_reset(&c->rp->body);
    json_decref(doc);
}

static int take_faults(struct s3_call *c, struct err *e)
{
    int r;

    pthread_mutex_lock(&c->lab->lock);
    r = faults_take(c->lab, c->action->name, &c->who, &c->fault, e);
    pthread_mutex_unlock(&c->lab->lock);
    if (r < 0)
        return -1;
    if (c->fault.delay_ms)
        usleep((useconds_t)c->fault.delay_ms * 1000);
    if (c->fault.drop_request)
        return 0;
    if (c->fault.code[0])
        return refuse(e, c->fault.code, "%s", c->fault.message);
    if (c->fault.denied)
        return refuse(e, "AccessDenied",
                      "User: %s is not authorized to perform this with an explicit deny",
                      c->who.arn);
    return 0;
}

static int carry_out(struct s3_call *c, struct err *e)
{
    if (c->failed) {
        *e = c->why;
        return -1;
    }
    if (take_faults(c, e) < 0)
        return -1;
    if (c->fault.drop_request)
        return 0;
    if (!c->body && s3_body_check(c->rq, e) < 0)
        return -1;
    if (c->action->run(c, e) < 0)
        return -1;
    return write_success(c, e);
}

static int add_ids(struct s3_call *c, struct err *e)
{
    if (s3_header_add(c, "x-amz-request-id", c->request_id, e) < 0)
        return -1;
    return s3_header_add(c, "x-amz-id-2", c->request_id, e);
}

static void answer(struct s3_call *c, int64_t started_ms)
{
    const char *name = c->action ? c->action->name : "S3";
    struct err e = ERR_INIT;
    int r = carry_out(c, &e);

    faults_delay_reply(&c->fault);
    if (c->fault.drop_request || (r == 0 && c->fault.drop_reply)) {
        c->rp->delivery = HTTP_DROP;
        api_log(name, 0, c->fault.drop_request ? "drop-request" : "drop-reply",
                c->request_id, c->who.access_key, started_ms);
        return;
    }
    if (r < 0 && e.kind != ERR_CLOUD) {
        log_error("%s %s: %s", name, c->request_id, e.msg);
        snprintf(e.aws_code, sizeof e.aws_code, "InternalError");
    }
    if (r == 0)
        c->rp->status = c->status;
    else
        write_failure(c, &e);
    if (c->fault.drop_body)
        c->rp->delivery = HTTP_CUT;
    api_log(name, c->rp->status, r < 0 ? e.aws_code : "", c->request_id,
            c->who.access_key, started_ms);
    if (add_ids(c, &e) < 0)
        log_error("%s: %s", c->request_id, e.msg);
}

void s3_handle(void *ctx, const struct http_request *rq, struct http_reply *rp)
{
    int64_t started_ms = lab_now_ms();
    struct s3_call own = {0}, *c = rq->upload ? rq->upload : &own;

    if (!rq->upload)
        own.failed = call_open(&own, ctx, rq, &own.why) < 0;
    c->rp = rp;
    answer(c, started_ms);
    if (!rq->upload)
        call_release(&own);
}
