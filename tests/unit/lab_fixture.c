/* A lab for unit tests; see lab_fixture.h. */
#include "lab_fixture.h"

#include "lab/creds.h"
#include "lab/keeper.h"

#include "base/clock.h"
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

static void sign(struct lab_fixture *f, const char *service, struct http_request *rq)
{
    const char *key = f->key ? f->key : lab_meta(f->lab, "access_key");
    const char *secret = f->secret ? f->secret : lab_meta(f->lab, "secret_key");
    char now[CLOCK_ISO_LEN], hex[SIGV4_HEX_LEN], text[500];
    struct sigv4 s = {0};

    clock_iso8601_basic(now, clock_real_s());
    assert_ok(http_header_add(&rq->headers, "host", "127.0.0.1", e));
    assert_ok(http_header_add(&rq->headers, "x-amz-date", now, e));
    if (f->token)
        assert_ok(http_header_add(&rq->headers, "x-amz-security-token", f->token, e));
    for (int round = 0; round < 2; round++) {
        /* First with any signature, to get the parsed form; then with the true one. */
        snprintf(
            text, sizeof text,
            "AWS4-HMAC-SHA256 Credential=%s/%.8s/us-east-1/%s/aws4_request, "
            "SignedHeaders=host;x-amz-date%s, Signature=%s",
            key, now, service, f->token ? ";x-amz-security-token" : "",
            round ? hex
                  : "0000000000000000000000000000000000000000000000000000000000000000");
        if (round)
            break;
        assert_ok(http_header_add(&rq->headers, "authorization", text, e));
        assert_ok(sigv4_parse(rq, &s, e));
        assert_ok(sigv4_sign(rq, &s, secret, hex, e));
        sigv4_release(&s);
    }
    free(rq->headers.v[rq->headers.n - 1].value);
    rq->headers.v[rq->headers.n - 1].value = strdup(text);
}

unsigned lab_call(struct lab_fixture *f, const char *service, const char *form)
{
    struct http_request rq = {
        .method = strdup("POST"), .path = strdup("/"), .raw_query = strdup("")};

    http_reply_release(&f->rp);
    f->rp.status = 500;
    buf_addf(&rq.body, "Version=%s&%s",
             str_eq(service, "sts") ? "2011-06-15" : "2016-11-15", form);
    sign(f, service, &rq);
    api_handle(f->lab, &rq, &f->rp);
    http_request_release(&rq);
    return f->rp.delivery == HTTP_DROP ? 0 : f->rp.status;
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
