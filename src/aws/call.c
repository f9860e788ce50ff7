/* Calls; see call.h.
 *
 * A try ends in one of: an answer; a refusal, sorted by fault.c; a lost connection. The
 * loop in send_all() is the only place that tries again. Nothing is kept but the
 * difference between our clock and AWS's. */
#include "aws/call.h"

#include "aws/fault.h"
#include "aws/retry.h"
#include "aws/sigv4.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xml.h"

#include <assert.h>

#define BACKOFF_CAP_NS (20 * NS_PER_S)
#define SKEW_MIN_S     240 /* AWS allows five minutes; smaller ones are not the cause */
/* Large bodies have time in proportion, on top of the call's timeout. */
#define SLOWEST_BYTES_PER_S (256 * 1024)

static const char *const signing_names[AWS_SERVICES] = {[AWS_EC2] = "ec2",
                                                        [AWS_STS] = "sts",
                                                        [AWS_S3] = "s3",
                                                        [AWS_EBS] = "ebs",
                                                        [AWS_IAM] = "iam"};

/* How a try ended. */
enum outcome { DONE, FAILED, AGAIN_NOT_SENT, AGAIN, AGAIN_SLOWER, RENEW, CLOCK };

/* The state of one call over all its tries. */
struct tries {
    struct aws *aws;
    const struct call *call;
    struct creds *creds; /* borrowed by each try; NULL when anonymous */
    struct retry retry;
    uint64_t after_ns; /* Retry-After of the last answer */
    bool maybe_done;
    bool renewed, clock_set;
};

void reply_release(struct reply *r)
{
    http_answer_release(&r->http);
    if (r->doc)
        xmlFreeDoc(r->doc);
    r->doc = NULL;
}

/* ---- One try ---- */

#define MAX_HEADERS 24

struct headers {
    struct http_header v[MAX_HEADERS];
    size_t n;
};

static void add_header(struct headers *h, const char *name, const char *value)
{
    assert(h->n < MAX_HEADERS);
    h->v[h->n++] = (struct http_header){name, value};
}

static const struct endpoint *endpoint_of(const struct tries *t)
{
    return t->call->endpoint ? t->call->endpoint
                             : &t->aws->client->endpoints[t->call->service];
}

static const char *region_of(const struct tries *t)
{
    return t->call->region ? t->call->region : t->aws->client->settings.region;
}

static int sign(const struct tries *t, const char *date, const char *sha256,
                struct headers *h, char **ret_auth, struct err *e)
{
    auto_free char *path = str_fmt(e, "%s%s", endpoint_of(t)->prefix, t->call->path);
    struct sigv4_request r = {
        .method = t->call->method,
        .path = path,
        .query = t->call->query,
        .headers = h->v,
        .n_headers = h->n,
        .payload_sha256 = sha256,
        .date = date,
        .region = region_of(t),
        .service = signing_names[t->call->service],
        .s3 = t->call->service == AWS_S3,
    };

    if (!path)
        return -1;
    if (sigv4_sign(&r, t->creds->access_key_id, t->creds->secret_key, ret_auth, e) < 0)
        return -1;
    add_header(h, "Authorization", *ret_auth);
    return 0;
}

/* Everything that is signed, but for the signature. */
static void add_headers(const struct tries *t, const char *date, const char *sha256,
                        struct headers *h)
{
    const struct call *call = t->call;

    add_header(h, "Host", endpoint_of(t)->host);
    add_header(h, "X-Amz-Date", date);
    if (call->content_type)
        add_header(h, "Content-Type", call->content_type);
    if (call->service == AWS_S3)
        add_header(h, "X-Amz-Content-Sha256", sha256);
    if (t->creds && t->creds->token)
        add_header(h, "X-Amz-Security-Token", secret_reveal(t->creds->token));
    for (size_t i = 0; i < call->n_headers; i++)
        add_header(h, call->headers[i].name, call->headers[i].value);
}

/* Builds and performs the request. */
static int perform(const struct tries *t, struct http_answer *ret, bool *ret_sent,
                   struct err *e)
{
    const struct call *call = t->call;
    const struct endpoint *to = endpoint_of(t);
    auto_free char *url = str_fmt(e, "%s%s%s%s%s", to->origin, to->prefix, call->path,
                                  call->query[0] ? "?" : "", call->query);
    char date[CLOCK_ISO_LEN], hex[SHA256_HEX_LEN], *auth = NULL;
    const char *sha256 = call->body_sha256;
    unsigned char sum[SHA256_BYTES];
    struct headers h = {0};
    int done = 0;

    if (!url)
        return -1;
    client_date(t->aws, date);
    if (!sha256) {
        digest_sha256(call->body ? call->body : "", call->body_len, sum);
        sha256 = str_hex(hex, sum, sizeof sum);
    }
    add_headers(t, date, sha256, &h);
    if (t->creds)
        done = sign(t, date, sha256, &h, &auth, e);
    if (done == 0) {
        struct http_request r = {
            .method = call->method,
            .url = url,
            .headers = h.v,
            .n_headers = h.n,
            .body = call->body,
            .body_len = call->body_len,
            .max_answer = call->max_answer,
            .into = call->into,
            .into_len = call->into_len,
            .sized = call->sized,
            .deadline_ns = t->retry.deadline_ns,
            .fresh = call->once, /* libcurl repeats by itself on a stale connection */
            .secret_answer = call->secret_answer,
        };
        done = http_perform(t->aws->client->http, &r, ret, ret_sent, e);
    }
    if (auth)
        secret_wipe(auth, strlen(auth));
    free(auth);
    return done;
}

/* ---- Reading what came ---- */

static uint64_t retry_after_ns(const struct http_answer *a)
{
    auto_free char *text = NULL;
    struct err ignored;
    uint64_t s;

    if (http_answer_header(a, "Retry-After", &text, &ignored) < 0 || !text ||
        str_to_u64(text, &s, &ignored) < 0)
        return 0;
    return s > 3600 ? 3600 * NS_PER_S : s * NS_PER_S;
}

/* Learns AWS's time from the answer. True when it explains the refusal. */
static bool correct_clock(struct tries *t, const struct http_answer *a)
{
    struct client *client = t->aws->client;
    auto_free char *text = NULL;
    struct err ignored;
    struct tm tm = {0};
    int64_t skew_s, known_s = atomic_load(&client->skew_s);
    const char *end;

    if (http_answer_header(a, "Date", &text, &ignored) < 0 || !text)
        return false;
    end = strptime(text, "%a, %d %b %Y %H:%M:%S", &tm); /* RFC 9110 section 5.6.7 */
    if (!end || !str_eq(end, " GMT"))
        return false;
    skew_s = (int64_t)timegm(&tm) - clock_real_s();
    if (llabs(skew_s - known_s) < SKEW_MIN_S)
        return false;
    atomic_store(&client->skew_s, skew_s);
    log_debug("our clock differs from %s's by %lld s: signing with theirs",
              endpoint_of(t)->host, (long long)skew_s);
    return true;
}

static enum outcome refused(struct tries *t, const struct http_answer *a, struct err *e)
{
    struct fault f;

    fault_read(a, t->call->service, t->creds, &f);
    if (t->call->ret_region && f.region[0] && !str_eq(f.region, region_of(t))) {
        snprintf(t->call->ret_region, CALL_REGION_LEN, "%s", f.region);
        fault_err(&f, t->call->service, t->call->action, e);
        return FAILED;
    }
    fault_err(&f, t->call->service, t->call->action, e);
    if (e->kind == ERR_DENIED && t->creds)
        err_prefix(e, "with credentials from %s", t->creds->source);
    log_debug("%s: HTTP status %d, %s, request %s", t->call->action, a->status,
              f.code[0] ? f.code : "no code", f.request_id);
    t->after_ns = retry_after_ns(a);
    switch (fault_classify(&f)) {
    case FAULT_TRANSIENT:
        t->maybe_done = true;
        return AGAIN;
    case FAULT_THROTTLE:
        return AGAIN_SLOWER;
    case FAULT_EXPIRED:
        return correct_clock(t, a) ? CLOCK : RENEW;
    case FAULT_CLOCK:
        return correct_clock(t, a) ? CLOCK : FAILED;
    default:
        return FAILED;
    }
}

/* An answer that cannot be read is as good as lost. */
static enum outcome unreadable(struct tries *t, struct err *e)
{
    err_prefix(e, "%s: answer of %s", t->call->action, endpoint_of(t)->host);
    e->retryable = true;
    t->maybe_done = true;
    return AGAIN;
}

static enum outcome lost(struct tries *t, bool sent, struct err *e)
{
    err_prefix(e, "%s", t->call->action);
    t->maybe_done |= sent;
    if (!e->retryable)
        return FAILED;
    return sent ? AGAIN : AGAIN_NOT_SENT;
}

static enum outcome one_try(struct tries *t, struct reply *reply, struct err *e)
{
    uint64_t start_ns = clock_mono_ns();
    bool sent;

    t->after_ns = 0;
    if (perform(t, &reply->http, &sent, e) < 0)
        return lost(t, sent, e);
    if (reply->http.status >= 300)
        return refused(t, &reply->http, e);
    log_debug("%s: HTTP status %d after %llu ms", t->call->action, reply->http.status,
              (unsigned long long)((clock_mono_ns() - start_ns) / NS_PER_MS));
    if (t->call->xml && xml_parse(buf_str(&reply->http.body), reply->http.body.len,
                                  t->call->max_answer, "XML", &reply->doc, e) < 0)
        return unreadable(t, e);
    /* S3 begins the answer of a long action before it knows how that will end. */
    if (reply->doc && xml_is(xml_root(reply->doc), "Error"))
        return refused(t, &reply->http, e);
    return DONE;
}

/* ---- All tries ---- */

/* 1: go on; 0: give up with the error in e; -1: the error in `stop` replaces it. */
static int next_try(struct tries *t, enum outcome o, struct err *stop)
{
    if (o == CLOCK && !t->clock_set) {
        t->clock_set = true;
        return 1;
    }
    if (t->call->once && t->maybe_done)
        return 0;
    switch (o) {
    case AGAIN_NOT_SENT:
        return retry_pause(&t->retry, RETRY_NOT_SENT, 0, stop);
    case AGAIN:
        return retry_pause(&t->retry, RETRY_TRANSIENT, t->after_ns, stop);
    case AGAIN_SLOWER:
        return retry_pause(&t->retry, RETRY_THROTTLED, t->after_ns, stop);
    default:
        return 0;
    }
}

static bool try_renewal(struct tries *t, enum outcome o, struct creds **own)
{
    struct creds *fresh;
    struct err ignored;

    if (o != RENEW || t->renewed || !own)
        return false;
    t->renewed = true;
    if (client_creds_renew(t->aws, t->creds, &fresh, &ignored) < 0) {
        log_debug("credentials were refused as expired and cannot be renewed: %s",
                  ignored.msg);
        return false;
    }
    creds_unref(*own);
    *own = t->creds = fresh;
    return true;
}

/* `own` is where the caller keeps its reference to t->creds, NULL when they may not be
 * exchanged. */
static int send_all(struct tries *t, struct creds **own, struct reply *ret, struct err *e)
{
    const struct client *client = t->aws->client;
    struct err refusal = ERR_INIT; /* the last one that had a reason */
    uint64_t now_ns = clock_mono_ns();
    uint64_t bytes = (uint64_t)t->call->body_len + t->call->into_len;

    if (t->call->ret_region)
        t->call->ret_region[0] = 0;
    t->retry = (struct retry){.base_ns = client->retry_base_ns,
                              .cap_ns = BACKOFF_CAP_NS,
                              .deadline_ns = now_ns + client->call_timeout_ns +
                                             bytes / SLOWEST_BYTES_PER_S * NS_PER_S,
                              .cancel = client->cancel};
    for (;;) {
        struct reply reply = REPLY_INIT;
        struct err stop;
        enum outcome o = one_try(t, &reply, e);
        int again;

        if (o == DONE) {
            *ret = reply;
            return 0;
        }
        reply_release(&reply);
        if (try_renewal(t, o, own))
            continue;
        again = next_try(t, o, &stop);
        if (again < 0)
            *e = stop;
        /* That the time is up says less than why it was spent. */
        if (again == 0 && e->kind == ERR_TIMEOUT && refusal.aws_code[0])
            *e = refusal;
        if (again <= 0)
            return -1;
        if (e->aws_code[0])
            refusal = *e;
        log_debug("%s: trying again after: %s", t->call->action, e->msg);
    }
}

int call_send(struct aws *aws, const struct call *call, struct reply *ret,
              bool *ret_maybe_done, struct err *e)
{
    struct tries t = {.aws = aws, .call = call};
    struct creds *creds = NULL;
    int done;

    if (ret_maybe_done)
        *ret_maybe_done = false;
    if (!call->anonymous && client_creds(aws, &creds, e) < 0)
        return -1;
    t.creds = creds;
    done = send_all(&t, &creds, ret, e);
    creds_unref(creds);
    if (ret_maybe_done)
        *ret_maybe_done = t.maybe_done;
    return done;
}

int call_send_as(struct aws *aws, const struct call *call, struct creds *creds,
                 struct reply *ret, struct err *e)
{
    struct tries t = {.aws = aws, .call = call, .creds = creds};

    return send_all(&t, NULL, ret, e);
}
