/* The EBS direct APIs from signature to answer; see ebs.h. */
#include "lab/ebs.h"

#include "lab/creds.h"
#include "lab/ebs_impl.h"

#include "base/log.h"
#include "base/rand.h"
#include "base/str.h"

static const struct {
    const char *name;
    unsigned status;
    int (*run)(struct ebs_call *c, struct err *e);
} actions[] = {
    [EBS_NONE] = {"EBS", 404, NULL},
    [EBS_LIST_BLOCKS] = {"ListSnapshotBlocks", 200, ebs_list_blocks},
    [EBS_LIST_CHANGED] = {"ListChangedBlocks", 200, ebs_list_changed},
    [EBS_GET_BLOCK] = {"GetSnapshotBlock", 200, ebs_get_block},
    [EBS_START] = {"StartSnapshot", 201, ebs_start},
    [EBS_PUT_BLOCK] = {"PutSnapshotBlock", 201, ebs_put_block},
    [EBS_COMPLETE] = {"CompleteSnapshot", 202, ebs_complete},
};

bool ebs_claims(const struct http_request *rq)
{
    const char *auth = http_header_get(rq, "authorization");

    return auth && str_starts(auth, "AWS4-") && strstr(auth, "/ebs/aws4_request");
}

int ebs_key(struct lab *lab, unsigned char key[EBS_KEY_BYTES], struct err *e)
{
    const char *hex = lab_meta(lab, "ebs_secret");
    char fresh[2 * EBS_KEY_BYTES + 1];

    if (!hex) {
        hex = rand_hex(fresh, 2 * EBS_KEY_BYTES);
        if (lab_meta_set(lab, "ebs_secret", hex, e) < 0 ||
            store_commit(lab->store, e) < 0) {
            store_rollback(lab->store);
            return -1;
        }
    }
    return str_unhex(hex, key, EBS_KEY_BYTES, e);
}

int ebs_find(struct lab *lab, const char *id, const json_t **ret, struct err *e)
{
    const json_t *doc = store_get(lab->store, "snapshot", id);

    if (!doc || res_hidden(lab, doc))
        return ebs_refuse(e, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND",
                          "The snapshot '%s' does not exist.", id);
    if (!str_eq(json_str_or(doc, "ownerId", ""), LAB_ACCOUNT))
        return ebs_refuse(e, "AccessDeniedException", "UNAUTHORIZED_ACCOUNT",
                          "The snapshot '%s' is not yours: the EBS direct APIs read no "
                          "public snapshots",
                          id);
    if (!str_eq(json_str_or(doc, "status", ""), "completed"))
        return ebs_refuse(e, "ValidationException", "INVALID_SNAPSHOT_ID",
                          "The snapshot '%s' is in the '%s' state, not completed", id,
                          json_str_or(doc, "status", ""));
    *ret = doc;
    return 0;
}

char *ebs_sums_path(const struct lab *lab, const char *id, struct err *e)
{
    return str_fmt(e, "%s/snapshots/%s.sums", lab->state_dir, id);
}

/* The words of the Query protocol's refusals, in those of JSON services. */
static int in_json_words(struct err *e)
{
    static const struct {
        const char *from, *to;
    } table[] = {{"InvalidClientTokenId", "UnrecognizedClientException"},
                 {"SignatureDoesNotMatch", "InvalidSignatureException"},
                 {"IncompleteSignature", "IncompleteSignatureException"},
                 {"MissingAuthenticationToken", "MissingAuthenticationTokenException"},
                 {"RequestExpired", "InvalidSignatureException"},
                 {"ExpiredToken", "ExpiredTokenException"}};

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (str_eq(e->aws_code, table[i].from)) {
            snprintf(e->aws_code, sizeof e->aws_code, "%s", table[i].to);
            break;
        }
    return -1;
}

/* With the lab's lock. */
static int authenticate(struct ebs_call *c, struct err *e)
{
    struct secret *secret = NULL;
    int r;

    if (sigv4_parse(c->rq, &c->sig, e) < 0 ||
        sigv4_check_time(&c->sig, lab_now_ms() / 1000, e) < 0)
        return in_json_words(e);
    if (!str_eq(c->sig.region, LAB_REGION))
        return refuse(e, "InvalidSignatureException",
                      "Credential should be scoped to a valid region, not '%.40s': this "
                      "lab is " LAB_REGION,
                      c->sig.region);
    if (creds_find(c->lab, &c->sig, &c->who, &secret, e) < 0)
        return in_json_words(e);
    r = sigv4_verify(c->rq, &c->sig, secret_reveal(secret), e);
    secret_free(secret);
    return r < 0 ? in_json_words(e) : 0;
}

static int take_faults(struct ebs_call *c, struct err *e)
{
    if (faults_take(c->lab, actions[c->target.action].name, &c->who, &c->fault, e) < 0)
        return -1;
    faults_delay(c->lab, &c->fault);
    if (c->fault.drop_request)
        return 0;
    if (c->fault.code[0])
        return refuse(e, c->fault.code, "%s", c->fault.message);
    if (c->fault.denied)
        return ebs_refuse(e, "AccessDeniedException", "UNAUTHORIZED_ACCOUNT",
                          "User: %s is not authorized to perform: ebs:%s", c->who.arn,
                          actions[c->target.action].name);
    return 0;
}

static int carry_out(struct ebs_call *c, struct err *e)
{
    int r;

    pthread_mutex_lock(&c->lab->lock);
    r = authenticate(c, e);
    if (r == 0)
        r = ebs_target_parse(c->rq->method, c->rq->path, c->rq->raw_query, &c->target, e);
    if (r == 0 && c->target.action == EBS_NONE)
        r = refuse(e, "UnknownOperationException", "There is no such operation");
    if (r == 0)
        r = take_faults(c, e);
    pthread_mutex_unlock(&c->lab->lock);
    if (r < 0 || c->fault.drop_request)
        return r;
    r = actions[c->target.action].run(c, e);
    faults_delay_reply(&c->fault);
    return r;
}

/* ---- Answers ---- */

static int write_json(struct ebs_call *c, const json_t *doc, struct err *e)
{
    auto_free char *text = NULL;

    if (!doc || json_text(doc, &text, e) < 0)
        return doc ? -1 : err_nomem(e);
    c->rp->content_type = "application/json";
    buf_reset(&c->rp->body);
    buf_adds(&c->rp->body, text);
    return buf_check(&c->rp->body, e);
}

/* What a fault named without a reason has most likely for one. */
static const char *usual_reason(const char *code)
{
    return str_eq(code, "RequestThrottledException")   ? "ACCOUNT_THROTTLED"
           : str_eq(code, "ResourceNotFoundException") ? "SNAPSHOT_NOT_FOUND"
                                                       : NULL;
}

static void write_failure(struct ebs_call *c, struct err *why)
{
    char *slash = strchr(why->aws_code, '/');
    const char *reason = slash ? slash + 1 : usual_reason(why->aws_code);
    json_t *doc = json_pack("{s:s, s:s*}", "Message", why->msg, "Reason", reason);
    struct err e;

    if (slash)
        *slash = 0;
    http_reply_release(c->rp);
    c->rp->status = refuse_status(why->aws_code);
    if (write_json(c, doc, &e) < 0 ||
        http_header_add(&c->rp->headers, "x-amzn-ErrorType", why->aws_code, &e) < 0)
        log_error("%s: %s", c->request_id, e.msg);
    json_decref(doc);
}

static void answer(struct ebs_call *c, int64_t started_ms)
{
    const char *name;
    struct err e = ERR_INIT;
    int r = carry_out(c, &e);

    name = actions[c->target.action].name;
    if (r == 0 && !c->fault.drop_request && c->out)
        r = write_json(c, c->out, &e);
    if (c->fault.drop_request || (r == 0 && c->fault.drop_reply)) {
        c->rp->delivery = HTTP_DROP;
        api_log(name, 0, c->fault.drop_request ? "drop-request" : "drop-reply",
                c->request_id, c->who.access_key, started_ms);
        return;
    }
    if (r < 0 && e.kind != ERR_CLOUD) {
        log_error("%s %s: %s", name, c->request_id, e.msg);
        snprintf(e.aws_code, sizeof e.aws_code, "InternalServerException");
    }
    if (r == 0)
        c->rp->status = actions[c->target.action].status;
    else
        write_failure(c, &e);
    if (c->fault.drop_body)
        c->rp->delivery = HTTP_CUT;
    api_log(name, c->rp->status, r < 0 ? e.aws_code : "", c->request_id,
            c->who.access_key, started_ms);
    if (http_header_add(&c->rp->headers, "x-amzn-RequestId", c->request_id, &e) < 0)
        log_error("%s: %s", c->request_id, e.msg);
}

void ebs_handle(void *ctx, const struct http_request *rq, struct http_reply *rp)
{
    struct ebs_call c = {.lab = ctx, .rq = rq, .rp = rp};
    int64_t started_ms = lab_now_ms();

    api_request_id(c.request_id);
    answer(&c, started_ms);
    json_decref(c.out);
    ebs_target_release(&c.target);
    sigv4_release(&c.sig);
}
