/* One request from its signature to its answer; see api.h.
 *
 * A call holds the lab's lock from the look-up of its credentials to its commit; injected
 * delays are slept without it. A crash before the commit leaves the documents as they
 * were; files made by then are swept at the next start. */
#include "lab/api.h"

#include "lab/creds.h"
#include "lab/ebs.h"
#include "lab/faults.h"
#include "lab/keeper.h"
#include "lab/s3.h"
#include "lab/xmlout.h"

#include "base/log.h"
#include "base/rand.h"
#include "base/str.h"

/* A service of the Query protocol. EC2 answers in a form of its own; the others wrap
 * results and errors alike. */
struct service {
    const char *name, *version, *full_name, *xmlns;
    const struct action *const *tables;
};

static const struct action *const ec2_tables[] = {
    actions_volume,        actions_attach,  actions_snapshot,
    actions_image,         actions_run,     actions_instance,
    actions_instance_attr, actions_network, actions_group,
    actions_key,           actions_tag,     actions_zone,
    actions_type,          actions_import,  NULL};
static const struct action *const sts_tables[] = {actions_sts, NULL};
static const struct action *const iam_tables[] = {actions_iam, NULL};

static const struct service services[] = {
    {"ec2", "2016-11-15", "AmazonEC2", XMLNS_EC2, ec2_tables},
    {"sts", "2011-06-15", "AWSSecurityTokenService", XMLNS_STS, sts_tables},
    {"iam", "2010-05-08", "AWSIdentityManagementV20100508", XMLNS_IAM, iam_tables},
};

/* One request on its way through. */
struct call {
    struct lab *lab;
    const struct http_request *rq;
    struct sigv4 sig;
    struct principal who;
    struct query query;
    const struct service *service; /* NULL until it is known */
    const char *action_name;
    const struct action *action;
    struct fault_outcome fault;
    json_t *out;
    char request_id[API_ID_LEN];
};

static const struct service *find_service(const char *name)
{
    for (size_t i = 0; name && i < sizeof services / sizeof services[0]; i++)
        if (str_eq(services[i].name, name))
            return &services[i];
    return NULL;
}

const struct action *api_find_action(const char *service, const char *name)
{
    const struct service *s = find_service(service);

    for (const struct action *const *t = s ? s->tables : NULL; t && *t; t++)
        for (const struct action *a = *t; a->name; a++)
            if (str_eq(a->name, name))
                return a;
    return NULL;
}

void api_request_id(char out[API_ID_LEN])
{
    unsigned char b[16];
    char hex[33];

    rand_bytes(b, sizeof b);
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    str_hex(hex, b, sizeof b);
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
             hex + 20);
}

/* Present in the tree: "Size", "Filter.N", or one of "A|B". */
static bool has_param(const json_t *params, const char *name, size_t len)
{
    char key[80];
    const json_t *v;

    if (len >= sizeof key)
        return false;
    memcpy(key, name, len);
    key[len] = 0;
    if (str_ends(key, ".N")) {
        key[len - 2] = 0;
        return json_array_size(q_list(params, key)) > 0;
    }
    v = json_object_get(params, key);
    return v && !(json_is_string(v) && json_string_length(v) == 0);
}

static int check_required(const struct action *action, const json_t *params,
                          struct err *e)
{
    for (const char *p = action->required ? action->required : ""; *p;) {
        size_t n = strcspn(p, " ");
        bool found = false;

        for (size_t at = 0; at < n && !found;) {
            size_t len = strcspn(p + at, "| ");

            found = has_param(params, p + at, len);
            at += len + 1;
        }
        if (!found) {
            size_t first = strcspn(p, "| .");
            char name[80];

            snprintf(name, sizeof name, "%c%.*s", p[0] | 0x20, (int)first - 1, p + 1);
            return refuse_missing(e, name);
        }
        p += n;
        p += strspn(p, " ");
    }
    return 0;
}

static int authenticate(struct call *c, struct err *e)
{
    struct secret *secret = NULL;
    int r;

    if (sigv4_parse(c->rq, &c->sig, e) < 0 ||
        sigv4_check_time(&c->sig, lab_now_ms() / 1000, e) < 0)
        return -1;
    if (!str_eq(c->sig.region, LAB_REGION))
        return refuse(
            e, str_eq(c->sig.service, "ec2") ? "AuthFailure" : "SignatureDoesNotMatch",
            "Credential should be scoped to a valid Region, not '%.40s': this lab "
            "is " LAB_REGION,
            c->sig.region);
    if (creds_find(c->lab, &c->sig, &c->who, &secret, e) < 0)
        return -1;
    r = sigv4_verify(c->rq, &c->sig, secret_reveal(secret), e);
    secret_free(secret);
    return r;
}

static int read_params(struct call *c, struct err *e)
{
    const struct http_request *rq = c->rq;
    const char *type = http_header_get(rq, "content-type");
    const char *version;

    c->service = find_service(c->sig.service);
    if (!c->service)
        return refuse(e, "UnsupportedOperation",
                      "This lab serves EC2, EBS, IAM, S3 and STS on this port, not "
                      "'%.40s'",
                      c->sig.service);
    if (!str_eq(rq->method, "POST") && !str_eq(rq->method, "GET"))
        return refuse(e, "InvalidAction", "The method %.20s is not supported",
                      rq->method);
    if (rq->body.len && type && !str_starts(type, "application/x-www-form-urlencoded"))
        return refuse(e, "MalformedQueryString",
                      "The Query protocol wants application/x-www-form-urlencoded, not "
                      "%.60s",
                      type);
    if (query_parse(rq->raw_query, strlen(rq->raw_query), buf_str(&rq->body),
                    rq->body.len, &c->query, e) < 0)
        return -1;
    c->action_name = q_str(c->query.tree, "Action");
    if (!c->action_name || !*c->action_name)
        return refuse(e, "MissingAction",
                      "The request must contain the parameter Action");
    version = q_str(c->query.tree, "Version");
    if (!version)
        return refuse_missing(e, "Version");
    if (!str_eq(version, c->service->version))
        return refuse(e, "NoSuchVersion",
                      "The requested version (%.20s) of service %s does "
                      "not exist",
                      version, c->service->full_name);
    c->action = api_find_action(c->sig.service, c->action_name);
    if (!c->action)
        return refuse(e, "InvalidAction",
                      "The action %.100s is not valid for this web service.",
                      c->action_name);
    return 0;
}

static int check_params(struct call *c, bool *ret_dry_run, struct err *e)
{
    static const char common[] =
        "Action Version DryRun X-Amz-Algorithm X-Amz-Credential X-Amz-Date X-Amz-Expires "
        "X-Amz-SignedHeaders X-Amz-Signature X-Amz-Security-Token ";
    auto_buf struct buf known = BUF_INIT;

    buf_adds(&known, common);
    buf_adds(&known, q_str_or(NULL, "", params_known(c->action_name)));
    if (buf_check(&known, e) < 0 ||
        query_check_known(&c->query, buf_str(&known), e) < 0 ||
        q_bool(c->query.tree, "DryRun", ret_dry_run, e) < 0)
        return -1;
    return check_required(c->action, c->query.tree, e);
}

/* What fails before the service is known fails in EC2's words. */
static bool is_ec2(const struct call *c)
{
    return !c->service || c->service == services;
}

static int unauthorized(const struct call *c, struct err *e)
{
    if (!is_ec2(c))
        return refuse(e, "AccessDenied", "User: %s is not authorized to perform: %s:%s",
                      c->who.arn, c->service->name, c->action_name);
    return refuse(e, "UnauthorizedOperation",
                  "You are not authorized to perform this operation. User: %s is not "
                  "authorized to perform: ec2:%s with an explicit deny",
                  c->who.arn, c->action_name);
}

static int run_action(struct call *c, struct err *e)
{
    struct act a = {.lab = c->lab,
                    .name = c->action_name,
                    .params = c->query.tree,
                    .flat = c->query.flat,
                    .who = &c->who,
                    .now_ms = lab_now_ms(),
                    .request_id = c->request_id,
                    .fault = &c->fault};

    a.out = c->out = json_object();
    if (!a.out)
        return err_nomem(e);
    if (is_ec2(c) && act_put(&a, "requestId", json_string(c->request_id), e) < 0)
        return -1;
    if (c->action->run(&a, e) < 0 || store_commit(c->lab->store, e) < 0) {
        store_rollback(c->lab->store);
        return -1;
    }
    pthread_cond_broadcast(&c->lab->wake);
    return 0;
}

/* Everything between the signature and the answer; under the lock. */
static int carry_out(struct call *c, struct err *e)
{
    bool dry_run = false;

    if (authenticate(c, e) < 0 || read_params(c, e) < 0)
        return -1;
    if (faults_take(c->lab, c->action_name, &c->who, &c->fault, e) < 0)
        return -1;
    faults_delay(c->lab, &c->fault);
    if (c->fault.drop_request)
        return 0;
    if (c->fault.code[0])
        return refuse(e, c->fault.code, "%s", c->fault.message);
    if (check_params(c, &dry_run, e) < 0)
        return -1;
    if (c->fault.denied)
        return unauthorized(c, e);
    if (dry_run)
        return refuse(e, "DryRunOperation",
                      "Request would have succeeded, but DryRun flag is set.");
    keeper_settle(c->lab);
    return run_action(c, e);
}

static int write_success(struct call *c, struct buf *out, struct err *e)
{
    auto_free char *root = str_fmt(e, "%sResponse", c->action_name);
    json_t *wrapped;
    int r;

    if (!root)
        return -1;
    if (is_ec2(c))
        return xmlout_document(root, XMLNS_EC2, c->out, out, e);
    wrapped = json_object();
    auto_free char *result = str_fmt(e, "%sResult", c->action_name);
    r = !wrapped || !result || json_object_set(wrapped, result, c->out) < 0 ||
                json_object_set_new(wrapped, "ResponseMetadata",
                                    json_pack("{s:s}", "RequestId", c->request_id)) < 0
            ? err_nomem(e)
            : xmlout_document(root, c->service->xmlns, wrapped, out, e);
    json_decref(wrapped);
    return r;
}

static int write_failure(const struct call *c, const char *code, const char *message,
                         struct buf *out, struct err *e)
{
    const struct service *s = find_service(c->sig.service);
    bool wrapped = s && s != services;
    json_t *doc =
        wrapped ? json_pack("{s:{s:s, s:s, s:s}, s:s}", "Error", "Type",
                            refuse_status(code) < 500 ? "Sender" : "Receiver", "Code",
                            code, "Message", message, "RequestId", c->request_id)
                : json_pack("{s:{s:{s:s, s:s}}, s:s}", "Errors", "Error", "Code", code,
                            "Message", message, "RequestID", c->request_id);
    int r;

    if (!doc)
        return err_nomem(e);
    r = xmlout_document(wrapped ? "ErrorResponse" : "Response", wrapped ? s->xmlns : NULL,
                        doc, out, e);
    json_decref(doc);
    return r;
}

/* What the caller is told of a failure that is ours. */
static void to_api_error(struct call *c, struct err *e)
{
    if (e->kind == ERR_CLOUD)
        return;
    log_error("%s %s: %s", c->action_name ? c->action_name : "-", c->request_id, e->msg);
    snprintf(e->aws_code, sizeof e->aws_code, "InternalError");
    e->kind = ERR_CLOUD;
}

void api_log(const char *action, unsigned status, const char *code,
             const char *request_id, const char *access_key, int64_t started_ms)
{
    char when[LAB_TIME_LEN];

    log_info("%s %s %u %s %s %s %lldms", lab_time(when, started_ms), action, status,
             *code ? code : "ok", request_id, *access_key ? access_key : "-",
             (long long)(lab_now_ms() - started_ms));
}

static void log_call(const struct call *c, unsigned status, const char *code,
                     int64_t started_ms)
{
    api_log(c->action_name ? c->action_name : "-", status, code, c->request_id,
            c->who.access_key, started_ms);
}

void api_handle(void *ctx, const struct http_request *rq, struct http_reply *rp)
{
    struct call c = {.lab = ctx, .rq = rq, .query = QUERY_INIT};
    struct err e = ERR_INIT, e2 = ERR_INIT;
    int64_t started = lab_now_ms();
    int r;

    if (s3_claims(rq)) {
        s3_handle(ctx, rq, rp);
        return;
    }
    if (ebs_claims(rq)) {
        ebs_handle(ctx, rq, rp);
        return;
    }
    api_request_id(c.request_id);
    rp->content_type = "text/xml;charset=UTF-8";
    pthread_mutex_lock(&c.lab->lock);
    r = carry_out(&c, &e);
    pthread_mutex_unlock(&c.lab->lock);
    faults_delay_reply(&c.fault);
    if (c.fault.drop_request || (r == 0 && c.fault.drop_reply)) {
        rp->delivery = HTTP_DROP;
        log_call(&c, 0, c.fault.drop_request ? "drop-request" : "drop-reply", started);
    } else {
        if (r == 0)
            r = write_success(&c, &rp->body, &e);
        if (r < 0) {
            to_api_error(&c, &e);
            buf_reset(&rp->body);
            if (write_failure(&c, e.aws_code, e.msg, &rp->body, &e2) < 0)
                buf_reset(&rp->body);
        }
        rp->status = r == 0 ? 200 : refuse_status(e.aws_code);
        if (c.fault.drop_body)
            rp->delivery = HTTP_CUT;
        log_call(&c, rp->status, e.aws_code, started);
    }
    json_decref(c.out);
    query_release(&c.query);
    sigv4_release(&c.sig);
}
