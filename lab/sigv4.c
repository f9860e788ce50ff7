/* Verification of Signature Version 4; see sigv4.h. */
#include "lab/sigv4.h"

#include "lab/refuse.h"
#include "lab/query.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/secret.h"
#include "base/str.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>

#define ALGORITHM     "AWS4-HMAC-SHA256"
#define MAX_SKEW_S    (15 * 60)
#define MAX_EXPIRES_S (7 * 86400)
#define MAX_PARTS     2000

struct parts VEC(char *);

static void parts_release(struct parts *p)
{
    vec_foreach (s, p)
        free(*s);
    vec_release(p);
}
#define auto_parts auto_call(parts_release)

static int parts_add(struct parts *p, const char *s, size_t len, struct err *e)
{
    char *copy;

    if (p->n >= MAX_PARTS)
        return err_set(e, ERR_INPUT, "more than %d parts", MAX_PARTS);
    copy = str_ndup(s, len, e);
    if (!copy)
        return -1;
    if (vec_push(p, copy, e) < 0) {
        free(copy);
        return -1;
    }
    return 0;
}

static int split(const char *s, char sep, struct parts *out, struct err *e)
{
    for (;;) {
        const char *end = strchrnul(s, sep);

        if (parts_add(out, s, (size_t)(end - s), e) < 0)
            return -1;
        if (!*end)
            return 0;
        s = end + 1;
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_parts(struct parts *p)
{
    if (p->n)
        qsort(p->v, p->n, sizeof *p->v, by_text);
}

/* RFC 3986 encoding with upper-case digits; '/' is kept when `slash`. */
static void uri_encode(const char *s, size_t len, bool slash, struct buf *out)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        if (isalnum(c) || (c && strchr("-_.~", c)) || (slash && c == '/'))
            buf_addc(out, (char)c);
        else
            buf_addf(out, "%%%02X", c);
    }
}

void sigv4_release(struct sigv4 *s)
{
    free(s->access_key);
    free(s->date);
    free(s->region);
    free(s->service);
    free(s->signed_headers);
    free(s->signature);
    free(s->amz_date);
    free(s->token);
    memset(s, 0, sizeof *s);
}

static int incomplete(struct err *e, const char *why)
{
    return refuse(e, "IncompleteSignature",
                  "The request signature does not conform to AWS standards: %s", why);
}

/* AKID/20150830/us-east-1/service/aws4_request; the key id itself may not hold '/'. */
static int parse_scope(const char *s, struct sigv4 *ret, struct err *e)
{
    auto_parts struct parts p = {0};

    if (split(s, '/', &p, e) < 0)
        return -1;
    if (p.n != 5 || !str_eq(p.v[4], "aws4_request") || !*p.v[0] || strlen(p.v[1]) != 8 ||
        !*p.v[2] || !*p.v[3])
        return incomplete(e, "Credential must have exactly 5 slash-delimited elements, "
                             "e.g. keyid/date/region/service/aws4_request");
    ret->access_key = take_ptr(p.v[0]);
    ret->date = take_ptr(p.v[1]);
    ret->region = take_ptr(p.v[2]);
    ret->service = take_ptr(p.v[3]);
    return 0;
}

static bool is_signature(const char *s)
{
    return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static int parse_fields(const char *value, struct sigv4 *s, struct err *e)
{
    auto_parts struct parts p = {0};
    auto_free char *scope = NULL;

    if (split(value, ',', &p, e) < 0)
        return -1;
    vec_foreach (part, &p) {
        char *field = str_trim(*part), *eq = strchr(field, '=');
        char **slot;

        if (!eq)
            return incomplete(e, "a part of the Authorization header has no '='");
        *eq = 0;
        slot = str_eq(field, "Credential")      ? &scope
               : str_eq(field, "SignedHeaders") ? &s->signed_headers
               : str_eq(field, "Signature")     ? &s->signature
                                                : NULL;
        if (!slot || *slot)
            return incomplete(e,
                              "unexpected or repeated part in the Authorization header");
        *slot = str_dup(eq + 1, e);
        if (!*slot)
            return -1;
    }
    if (!scope)
        return incomplete(e, "Authorization header requires 'Credential' parameter");
    if (!s->signed_headers || !*s->signed_headers)
        return incomplete(e, "Authorization header requires 'SignedHeaders' parameter");
    if (!s->signature || !is_signature(s->signature))
        return incomplete(e, "Authorization header requires 'Signature' parameter");
    return parse_scope(scope, s, e);
}

int sigv4_parse_header(const char *value, struct sigv4 *ret, struct err *e)
{
    struct sigv4 s = {0};

    if (!str_starts(value, ALGORITHM " "))
        return incomplete(e, "unsupported algorithm, must be " ALGORITHM);
    if (parse_fields(value + strlen(ALGORITHM " "), &s, e) < 0) {
        sigv4_release(&s);
        return -1;
    }
    *ret = s;
    return 0;
}

/* The decoded value of a parameter of the raw query, or NULL. */
static int query_param(const char *raw, const char *name, char **ret, struct err *e)
{
    auto_parts struct parts p = {0};
    size_t n = strlen(name);

    if (split(raw, '&', &p, e) < 0)
        return -1;
    vec_foreach (part, &p) {
        auto_buf struct buf v = BUF_INIT;

        if (!str_starts(*part, name) || (*part)[n] != '=')
            continue;
        if (query_decode(*part + n + 1, strlen(*part + n + 1), false, &v, e) < 0)
            return -1;
        free(*ret);
        return buf_take(&v, ret, e);
    }
    return 0;
}

static int parse_presigned(const struct http_request *rq, struct sigv4 *s, struct err *e)
{
    auto_free char *scope = NULL;
    auto_free char *expires = NULL;
    auto_free char *algorithm = NULL;
    uint64_t n = 0;

    s->presigned = true;
    if (query_param(rq->raw_query, "X-Amz-Algorithm", &algorithm, e) < 0 ||
        query_param(rq->raw_query, "X-Amz-Credential", &scope, e) < 0 ||
        query_param(rq->raw_query, "X-Amz-SignedHeaders", &s->signed_headers, e) < 0 ||
        query_param(rq->raw_query, "X-Amz-Signature", &s->signature, e) < 0 ||
        query_param(rq->raw_query, "X-Amz-Date", &s->amz_date, e) < 0 ||
        query_param(rq->raw_query, "X-Amz-Expires", &expires, e) < 0 ||
        query_param(rq->raw_query, "X-Amz-Security-Token", &s->token, e) < 0)
        return -1;
    if (!algorithm || !str_eq(algorithm, ALGORITHM) || !scope || !s->signed_headers ||
        !s->signature || !is_signature(s->signature) || !s->amz_date)
        return incomplete(e, "a presigned request needs X-Amz-Algorithm, -Credential, "
                             "-Date, -SignedHeaders and -Signature");
    if (expires && (str_to_u64(expires, &n, e) < 0 || n > MAX_EXPIRES_S))
        return incomplete(e, "X-Amz-Expires must be at most 604800 seconds");
    s->expires_s = expires ? (int64_t)n : MAX_SKEW_S;
    return parse_scope(scope, s, e);
}

static int parse_signed(const struct http_request *rq, const char *auth, struct sigv4 *s,
                        struct err *e)
{
    const char *date = http_header_get(rq, "x-amz-date");
    const char *token = http_header_get(rq, "x-amz-security-token");

    if (sigv4_parse_header(auth, s, e) < 0)
        return -1;
    if (!date)
        date = http_header_get(rq, "date");
    if (!date)
        return incomplete(e, "the request has no X-Amz-Date header");
    if (str_set(&s->amz_date, date, e) < 0)
        return -1;
    return token ? str_set(&s->token, token, e) : 0;
}

int sigv4_parse(const struct http_request *rq, struct sigv4 *ret, struct err *e)
{
    const char *auth = http_header_get(rq, "authorization");
    struct sigv4 s = {0};
    int r;

    if (auth)
        r = parse_signed(rq, auth, &s, e);
    else if (strstr(rq->raw_query, "X-Amz-Signature="))
        r = parse_presigned(rq, &s, e);
    else
        return refuse(e, "MissingAuthenticationToken",
                      "The request is not signed: it has no Authorization header");
    if (r < 0) {
        sigv4_release(&s);
        return -1;
    }
    *ret = s;
    return 0;
}

/* 20150830T123600Z */
static int parse_amz_date(const char *s, int64_t *ret, struct err *e)
{
    struct tm tm = {0};
    const char *end = strlen(s) == 16 ? strptime(s, "%Y%m%dT%H%M%SZ", &tm) : NULL;

    if (!end || *end)
        return incomplete(e, "Date must be in ISO-8601 'basic format', like "
                             "20150830T123600Z");
    *ret = (int64_t)timegm(&tm);
    return 0;
}

int sigv4_check_time(const struct sigv4 *s, int64_t now_s, struct err *e)
{
    int64_t t = 0, late;

    if (parse_amz_date(s->amz_date, &t, e) < 0)
        return -1;
    if (!str_starts(s->amz_date, s->date))
        return refuse(e, "SignatureDoesNotMatch",
                      "Date in Credential scope does not match YYYYMMDD from ISO-8601 "
                      "version of date from HTTP: '%.16s' != '%.16s'",
                      s->date, s->amz_date);
    late = s->presigned ? s->expires_s : MAX_SKEW_S;
    if (now_s - t > late || t - now_s > MAX_SKEW_S)
        return refuse(e, "RequestExpired", "Request has expired.");
    return 0;
}

/* Removes empty, "." and ".." segments (all services but S3 sign a normalised path). */
static int normalised_path(const char *path, struct buf *out, struct err *e)
{
    auto_parts struct parts in = {0};
    auto_free char **kept = NULL;
    size_t n = 0, len = strlen(path);
    bool slash = len && path[len - 1] == '/';

    if (split(path, '/', &in, e) < 0)
        return -1;
    kept = mem_zalloc(in.n, sizeof *kept, e);
    if (!kept)
        return -1;
    vec_foreach (s, &in) {
        if (str_eq(*s, "..") && n)
            n--;
        else if (**s && !str_eq(*s, ".") && !str_eq(*s, ".."))
            kept[n++] = *s;
    }
    for (size_t i = 0; i < n; i++)
        buf_addf(out, "/%s", kept[i]);
    if (n == 0 || slash)
        buf_addc(out, '/');
    return buf_check(out, e);
}

static int canonical_path(const struct http_request *rq, const struct sigv4 *s,
                          struct buf *out, struct err *e)
{
    auto_buf struct buf path = BUF_INIT;

    if (str_eq(s->service, "s3")) {
        if (query_decode(rq->path, strlen(rq->path), false, &path, e) < 0)
            return incomplete(e, "bad percent escape in the path");
    } else if (normalised_path(rq->path, &path, e) < 0) {
        return -1;
    }
    uri_encode(buf_str(&path), path.len, true, out);
    return buf_check(out, e);
}

static int encode_pair(const char *pair, struct parts *out, struct err *e)
{
    const char *eq = strchrnul(pair, '=');
    auto_buf struct buf name = BUF_INIT;
    auto_buf struct buf value = BUF_INIT;
    auto_buf struct buf text = BUF_INIT;

    if (query_decode(pair, (size_t)(eq - pair), false, &name, e) < 0 ||
        (*eq && query_decode(eq + 1, strlen(eq + 1), false, &value, e) < 0))
        return incomplete(e, "bad percent escape in the query");
    uri_encode(buf_str(&name), name.len, false, &text);
    /* \001 sorts before every character of a name, so that "a" comes before "a-b" as the
     * names alone would; it is turned into '=' after sorting. */
    buf_addc(&text, '\001');
    uri_encode(buf_str(&value), value.len, false, &text);
    if (buf_check(&text, e) < 0)
        return -1;
    return parts_add(out, buf_str(&text), text.len, e);
}

static int canonical_query(const struct http_request *rq, const struct sigv4 *s,
                           struct buf *out, struct err *e)
{
    auto_parts struct parts in = {0}, pairs = {0};

    if (split(rq->raw_query, '&', &in, e) < 0)
        return -1;
    vec_foreach (pair, &in) {
        if (!**pair || (s->presigned && str_starts(*pair, "X-Amz-Signature=")))
            continue;
        if (encode_pair(*pair, &pairs, e) < 0)
            return -1;
    }
    sort_parts(&pairs);
    vec_foreach (pair, &pairs) {
        *strchr(*pair, '\001') = '=';
        buf_addf(out, "%s%s", pair == pairs.v ? "" : "&", *pair);
    }
    return buf_check(out, e);
}

/* Trimmed, runs of white space squeezed to one blank. */
static void add_header_value(const char *v, struct buf *out)
{
    bool gap = false, any = false;

    for (; *v; v++) {
        if (isspace((unsigned char)*v)) {
            gap = any;
            continue;
        }
        if (gap)
            buf_addc(out, ' ');
        gap = false;
        any = true;
        buf_addc(out, *v);
    }
}

static int canonical_headers(const struct http_request *rq, struct parts *names,
                             struct buf *out, struct err *e)
{
    vec_foreach (name, names) {
        bool found = false;

        buf_addf(out, "%s:", *name);
        vec_foreach (h, &rq->headers) {
            if (!str_eq(h->name, *name))
                continue;
            if (found)
                buf_addc(out, ',');
            found = true;
            add_header_value(h->value, out);
        }
        buf_addc(out, '\n');
        if (!found)
            return incomplete(e, "a header named in SignedHeaders is not in the request");
    }
    return buf_check(out, e);
}

static void payload_hash(const struct http_request *rq, const struct sigv4 *s,
                         struct buf *out)
{
    const char *claimed = http_header_get(rq, "x-amz-content-sha256");
    unsigned char sum[SHA256_BYTES];
    char hex[SHA256_HEX_LEN];

    /* S3 signs what the header says, and checks the body against it elsewhere. */
    if (str_eq(s->service, "s3") && (claimed || s->presigned)) {
        buf_adds(out, s->presigned ? "UNSIGNED-PAYLOAD" : claimed);
        return;
    }
    /* PutSnapshotBlock's checksum makes a signature of its body dispensable. */
    if (str_eq(s->service, "ebs") && claimed && str_eq(claimed, "UNSIGNED-PAYLOAD")) {
        buf_adds(out, claimed);
        return;
    }
    digest_sha256(buf_str(&rq->body), rq->body.len, sum);
    buf_adds(out, str_hex(hex, sum, sizeof sum));
}

int sigv4_canonical(const struct http_request *rq, const struct sigv4 *s, struct buf *out,
                    struct err *e)
{
    auto_parts struct parts names = {0};

    buf_addf(out, "%s\n", rq->method);
    if (canonical_path(rq, s, out, e) < 0)
        return -1;
    buf_addc(out, '\n');
    if (canonical_query(rq, s, out, e) < 0)
        return -1;
    buf_addc(out, '\n');
    if (split(s->signed_headers, ';', &names, e) < 0)
        return -1;
    sort_parts(&names);
    if (canonical_headers(rq, &names, out, e) < 0)
        return -1;
    buf_addc(out, '\n');
    vec_foreach (name, &names)
        buf_addf(out, "%s%s", name == names.v ? "" : ";", *name);
    buf_addc(out, '\n');
    payload_hash(rq, s, out);
    return buf_check(out, e);
}

static void hmac(const void *key, size_t key_len, const char *text,
                 unsigned char out[SHA256_BYTES])
{
    unsigned int len = SHA256_BYTES;

    HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, strlen(text), out,
         &len);
}

int sigv4_key(const struct sigv4 *s, const char *secret, unsigned char key[SHA256_BYTES],
              struct err *e)
{
    auto_buf struct buf first = BUF_INIT;

    buf_addf(&first, "AWS4%s", secret);
    if (buf_check(&first, e) < 0)
        return -1;
    hmac(first.data, first.len, s->date, key);
    secret_wipe(first.data, first.len);
    hmac(key, SHA256_BYTES, s->region, key);
    hmac(key, SHA256_BYTES, s->service, key);
    hmac(key, SHA256_BYTES, "aws4_request", key);
    return 0;
}

void sigv4_hmac_hex(const unsigned char key[SHA256_BYTES], const char *text,
                    char out[SIGV4_HEX_LEN])
{
    unsigned char sum[SHA256_BYTES];

    hmac(key, SHA256_BYTES, text, sum);
    str_hex(out, sum, sizeof sum);
}

int sigv4_sign(const struct http_request *rq, const struct sigv4 *s, const char *secret,
               char out[SIGV4_HEX_LEN], struct err *e)
{
    auto_buf struct buf canonical = BUF_INIT;
    auto_buf struct buf text = BUF_INIT;
    unsigned char sum[SHA256_BYTES], key[SHA256_BYTES];
    char hex[SHA256_HEX_LEN];

    if (sigv4_canonical(rq, s, &canonical, e) < 0)
        return -1;
    digest_sha256(buf_str(&canonical), canonical.len, sum);
    buf_addf(&text, ALGORITHM "\n%s\n%s/%s/%s/aws4_request\n%s", s->amz_date, s->date,
             s->region, s->service, str_hex(hex, sum, sizeof sum));
    if (buf_check(&text, e) < 0 || sigv4_key(s, secret, key, e) < 0)
        return -1;
    sigv4_hmac_hex(key, buf_str(&text), out);
    secret_wipe(key, sizeof key);
    return 0;
}

static bool signs(const struct parts *names, const char *name)
{
    vec_foreach (n, names)
        if (str_eq(*n, name))
            return true;
    return false;
}

static int check_coverage(const struct http_request *rq, const struct sigv4 *s,
                          struct err *e)
{
    auto_parts struct parts names = {0};

    if (split(s->signed_headers, ';', &names, e) < 0)
        return -1;
    if (!signs(&names, "host"))
        return refuse(e, "SignatureDoesNotMatch",
                      "'Host' or ':authority' must be a 'SignedHeader' in the AWS "
                      "Authorization.");
    vec_foreach (h, &rq->headers)
        if (str_starts(h->name, "x-amz-") && !signs(&names, h->name))
            return refuse(
                e, "SignatureDoesNotMatch",
                "The header '%.80s' is present in the request but was not signed",
                h->name);
    return 0;
}

int sigv4_verify(const struct http_request *rq, const struct sigv4 *s, const char *secret,
                 struct err *e)
{
    char want[SIGV4_HEX_LEN];

    if (check_coverage(rq, s, e) < 0 || sigv4_sign(rq, s, secret, want, e) < 0)
        return -1;
    if (CRYPTO_memcmp(want, s->signature, sizeof want) != 0)
        return refuse(
            e, "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you "
            "provided. Check your AWS Secret Access Key and signing method.");
    return 0;
}
