/* A lab for unit tests; see lab_fixture.h. */
#include "lab_fixture.h"

#include "lab/creds.h"
#include "lab/keeper.h"
#include "lab/s3.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/io.h"
#include "base/str.h"

#include <unistd.h>

int lab_fixture_setup(void **state)
{
    struct lab_fixture *f = calloc(1, sizeof *f);
    struct err e = ERR_INIT;

    snprintf(f->dir, sizeof f->dir, "/tmp/hotadd-lab-XXXXXX");
    f->set = (struct lab_settings){.delay_ms = 0,
                                   .impaired_ms = 1000,
                                   .role_ttl_ms = 3600000,
                                   .block_token_ms = 3600000,
                                   .max_volumes = 40,
                                   .max_disk_gib = 100000,
                                   .no_machines = true};
    if (!mkdtemp(f->dir) || lab_open(f->dir, &f->set, &f->lab, &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        return -1;
    }
    *state = f;
    return 0;
}

int lab_fixture_teardown(void **state)
{
    struct lab_fixture *f = *state;
    struct err e = ERR_INIT;

    http_reply_release(&f->rp);
    lab_close(f->lab);
    if (io_remove_tree(f->dir, &e) < 0)
        fprintf(stderr, "%s\n", e.msg);
    free(f);
    return 0;
}

void lab_reopen(struct lab_fixture *f)
{
    lab_close(f->lab);
    f->lab = NULL;
    assert_ok(lab_open(f->dir, &f->set, &f->lab, e));
}

/* All headers are signed. */
static void sign(struct lab_fixture *f, const char *service, const char *region,
                 struct http_request *rq)
{
    static const char any[] =
        "0000000000000000000000000000000000000000000000000000000000000000";
    const char *key = f->key ? f->key : lab_meta(f->lab, "access_key");
    const char *secret = f->secret ? f->secret : lab_meta(f->lab, "secret_key");
    auto_buf struct buf text = BUF_INIT;
    char now[CLOCK_ISO_LEN], hex[SIGV4_HEX_LEN];
    struct sigv4 s = {0};
    char *auth;

    clock_iso8601_basic(now, clock_real_s());
    assert_ok(http_header_add(&rq->headers, "x-amz-date", now, e));
    if (f->token)
        assert_ok(http_header_add(&rq->headers, "x-amz-security-token", f->token, e));
    buf_addf(&text,
             "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request, SignedHeaders=",
             key, now, region, service);
    vec_foreach (h, &rq->headers)
        buf_addf(&text, "%s%s", h == rq->headers.v ? "" : ";", h->name);
    /* First with any signature, to get the parsed form; then with the true one. */
    buf_addf(&text, ", Signature=%s", any);
    assert_ok(http_header_add(&rq->headers, "authorization", buf_str(&text), e));
    assert_ok(sigv4_parse(rq, &s, e));
    assert_ok(sigv4_sign(rq, &s, secret, hex, e));
    sigv4_release(&s);
    auth = rq->headers.v[rq->headers.n - 1].value;
    memcpy(auth + strlen(auth) - 64, hex, 64);
}

unsigned lab_call(struct lab_fixture *f, const char *service, const char *form)
{
    struct http_request rq = {
        .method = strdup("POST"), .path = strdup("/"), .raw_query = strdup("")};

    http_reply_release(&f->rp);
    f->rp.status = 500;
    buf_addf(&rq.body, "Version=%s&%s",
             str_eq(service, "sts") ? "2011-06-15" : "2016-11-15", form);
    assert_ok(http_header_add(&rq.headers, "host", "127.0.0.1", e));
    sign(f, service, LAB_REGION, &rq);
    api_handle(f->lab, &rq, &f->rp);
    http_request_release(&rq);
    return f->rp.delivery == HTTP_DROP ? 0 : f->rp.status;
}

/* As the HTTP server would: the body in pieces, to the upload when there is one. */
static void deliver(struct lab_fixture *f, struct http_request *rq,
                    const struct lab_s3_request *in)
{
    const char *body = in->body ? in->body : "";

    rq->upload = s3_uploads.begin(f->lab, rq);
    for (size_t at = 0; at < in->body_len;) {
        size_t n = in->body_len - at < 7000 ? in->body_len - at : 7000;

        if (rq->upload)
            s3_uploads.data(rq->upload, body + at, n);
        else
            buf_add(&rq->body, body + at, n);
        at += n;
    }
    if (!in->lost)
        api_handle(f->lab, rq, &f->rp);
    if (rq->upload)
        s3_uploads.free(rq->upload);
}

unsigned lab_s3(struct lab_fixture *f, const struct lab_s3_request *in)
{
    struct http_request rq = {.method = strdup(in->method)};
    size_t path_len = strcspn(in->target, "?");
    unsigned char sum[SHA256_BYTES];
    char hex[SHA256_HEX_LEN], length[24];

    rq.path = strndup(in->target, path_len);
    rq.raw_query = strdup(in->target[path_len] ? in->target + path_len + 1 : "");
    digest_sha256(in->body ? in->body : "", in->body_len, sum);
    str_hex(hex, sum, sizeof sum);
    snprintf(length, sizeof length, "%zu", in->body_len);
    assert_ok(http_header_add(&rq.headers, "host", in->host ? in->host : "127.0.0.1", e));
    assert_ok(http_header_add(&rq.headers, "content-length", length, e));
    assert_ok(http_header_add(&rq.headers, "x-amz-content-sha256",
                              in->sha256 ? in->sha256 : hex, e));
    for (size_t i = 0; i + 1 < LAB_S3_HEADERS && in->headers[i]; i += 2)
        assert_ok(http_header_add(&rq.headers, in->headers[i], in->headers[i + 1], e));
    if (!in->is_unsigned)
        sign(f, "s3", in->region ? in->region : LAB_REGION, &rq);
    http_reply_release(&f->rp);
    f->rp.status = 500;
    deliver(f, &rq, in);
    if (f->rp.file) {
        assert_ok(buf_reserve(&f->rp.body, f->rp.file->len_bytes, e));
        assert_ok(io_pread_full(f->rp.file->fd, f->rp.body.data, f->rp.file->len_bytes,
                                f->rp.file->offset, "answer", e));
        f->rp.body.len = f->rp.file->len_bytes;
        f->rp.body.data[f->rp.body.len] = 0;
    }
    http_request_release(&rq);
    return f->rp.delivery == HTTP_DROP ? 0 : f->rp.status;
}

void lab_s3_expect(struct lab_fixture *f, struct lab_s3_request in, unsigned status,
                   const char *code)
{
    unsigned got_status = lab_s3(f, &in);
    char got[80] = "";

    if (status >= 300 && !str_eq(in.method, "HEAD"))
        lab_value(f, "Code", got);
    if (got_status != status || !str_eq(got, code))
        fail_msg("%s %s: wanted %u '%s', got %u: %.500s", in.method, in.target, status,
                 code, got_status, buf_str(&f->rp.body));
}

const char *lab_header(struct lab_fixture *f, const char *name)
{
    vec_foreach (h, &f->rp.headers)
        if (str_eq(h->name, name))
            return h->value;
    return "";
}

char *lab_value(struct lab_fixture *f, const char *name, char out[80])
{
    char open[64];
    const char *at;

    snprintf(open, sizeof open, "<%s>", name);
    at = strstr(buf_str(&f->rp.body), open);
    if (!at) {
        out[0] = 0;
        return out;
    }
    at += strlen(open);
    snprintf(out, 80, "%.*s", (int)strcspn(at, "<"), at);
    return out;
}

void lab_expect(struct lab_fixture *f, const char *form, const char *code)
{
    unsigned status = lab_call(f, "ec2", form);
    char got[80];

    lab_value(f, "Code", got);
    if (!str_eq(got, code) || (!*code && status != 200))
        fail_msg("%s: wanted '%s', got %u: %s", form, code, status, buf_str(&f->rp.body));
}

void lab_pass_time(struct lab_fixture *f)
{
    pthread_mutex_lock(&f->lab->lock);
    keeper_settle(f->lab);
    pthread_mutex_unlock(&f->lab->lock);
}
