/* Signature Version 4; see sigv4.h.
 *
 * canonical request -> string to sign -> HMAC with a key derived from the secret key,
 * the day, region and service. Derived keys are wiped. */
#include "aws/sigv4.h"

#include "aws/uri.h"
#include "base/buf.h"
#include "base/str.h"
#include "base/vec.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define ALGORITHM   "AWS4-HMAC-SHA256"
#define MAX_HEADERS 64
#define MAX_PARAMS  1000

static int hmac(const void *key, size_t key_len, const void *data, size_t len,
                unsigned char out[SHA256_BYTES], struct err *e)
{
    unsigned n = 0;

    if (!HMAC(EVP_sha256(), key, (int)key_len, data, len, out, &n) || n != SHA256_BYTES)
        return err_set(e, ERR_FAILED, "libcrypto cannot compute HMAC-SHA256");
    return 0;
}

/* Segments kept so far are the text of `out`; ".." removes the last of them. */
static void normal_path(struct buf *out, const char *path)
{
    const char *p = path;

    while (*p) {
        size_t len = strcspn(p, "/");

        if (len == 2 && memcmp(p, "..", 2) == 0) {
            while (out->len && out->data[--out->len] != '/')
                ;
        } else if (len && !(len == 1 && *p == '.')) {
            buf_addc(out, '/');
            buf_add(out, p, len);
        }
        p += len;
        p += *p == '/';
    }
    if (out->len == 0 || (path[0] && path[strlen(path) - 1] == '/'))
        buf_addc(out, '/');
}

static void canonical_path(struct buf *out, const struct sigv4_request *r)
{
    auto_buf struct buf normal = BUF_INIT;

    if (r->s3) {
        buf_adds(out, r->path[0] ? r->path : "/");
        return;
    }
    normal_path(&normal, r->path);
    out->failed |= normal.failed;
    uri_encode_path(out, buf_str(&normal), normal.len);
}

struct param {
    char *name, *value; /* owned, encoded */
};

struct params VEC(struct param);

static void params_release(struct params *ps)
{
    vec_foreach (p, ps) {
        free(p->name);
        free(p->value);
    }
    vec_release(ps);
}

static int recoded(const char *text, size_t len, char **ret, struct err *e)
{
    auto_buf struct buf plain = BUF_INIT, coded = BUF_INIT;

    uri_decode(&plain, text, len);
    uri_encode(&coded, buf_str(&plain), plain.len);
    if (buf_check(&plain, e) < 0)
        return -1;
    return buf_take(&coded, ret, e);
}

static int params_add(struct params *ps, const char *text, size_t len, struct err *e)
{
    const char *eq = memchr(text, '=', len);
    size_t name_len = eq ? (size_t)(eq - text) : len;
    struct param p = {0};

    if (ps->n >= MAX_PARAMS)
        return err_set(e, ERR_USAGE, "more than %d query parameters", MAX_PARAMS);
    if (recoded(text, name_len, &p.name, e) < 0 ||
        recoded(eq ? eq + 1 : "", eq ? len - name_len - 1 : 0, &p.value, e) < 0 ||
        vec_push(ps, p, e) < 0) {
        free(p.name);
        free(p.value);
        return -1;
    }
    return 0;
}

static int param_order(const void *a, const void *b)
{
    const struct param *x = a, *y = b;
    int d = strcmp(x->name, y->name);

    return d ? d : strcmp(x->value, y->value);
}

static int canonical_query(struct buf *out, const char *query, struct err *e)
{
    auto_call(params_release) struct params ps = {0};

    for (const char *p = query; *p;) {
        size_t len = strcspn(p, "&");

        if (len && params_add(&ps, p, len, e) < 0)
            return -1;
        p += len + (p[len] == '&');
    }
    if (ps.n)
        qsort(ps.v, ps.n, sizeof *ps.v, param_order);
    for (size_t i = 0; i < ps.n; i++)
        buf_addf(out, "%s%s=%s", i ? "&" : "", ps.v[i].name, ps.v[i].value);
    return 0;
}

/* Sorted by name; equal names keep their order, as their values are joined in it. */
static int header_order(const void *a, const void *b)
{
    const struct http_header *x = *(const struct http_header *const *)a;
    const struct http_header *y = *(const struct http_header *const *)b;
    int d = strcasecmp(x->name, y->name);

    return d ? d : (x > y) - (x < y);
}

static void add_lower(struct buf *out, const char *s)
{
    for (; *s; s++)
        buf_addc(out, (char)tolower((unsigned char)*s));
}

/* Trimmed, runs of spaces as one. */
static void add_value(struct buf *out, const char *s)
{
    bool space = false;

    s += strspn(s, " \t");
    for (; *s; s++) {
        if (*s == ' ' || *s == '\t') {
            space = true;
            continue;
        }
        if (space)
            buf_addc(out, ' ');
        space = false;
        buf_addc(out, *s);
    }
}

static int canonical_headers(const struct sigv4_request *r, struct buf *lines,
                             struct buf *names, struct err *e)
{
    const struct http_header *h[MAX_HEADERS];

    if (r->n_headers > MAX_HEADERS)
        return err_set(e, ERR_USAGE, "more than %d headers to sign", MAX_HEADERS);
    for (size_t i = 0; i < r->n_headers; i++)
        h[i] = &r->headers[i];
    qsort(h, r->n_headers, sizeof h[0], header_order);
    for (size_t i = 0; i < r->n_headers; i++) {
        if (i && strcasecmp(h[i]->name, h[i - 1]->name) == 0) {
            lines->len--; /* the newline: this value joins the one before */
            buf_addc(lines, ',');
        } else {
            if (names->len)
                buf_addc(names, ';');
            add_lower(names, h[i]->name);
            add_lower(lines, h[i]->name);
            buf_addc(lines, ':');
        }
        add_value(lines, h[i]->value);
        buf_addc(lines, '\n');
    }
    return 0;
}

static void sha256_hex(const struct buf *b, char out[SHA256_HEX_LEN])
{
    unsigned char sum[SHA256_BYTES];

    digest_sha256(buf_str(b), b->len, sum);
    str_hex(out, sum, sizeof sum);
}

static int signing_key(const struct sigv4_request *r, const struct secret *secret_key,
                       unsigned char key[SHA256_BYTES], struct err *e)
{
    char first[4 + 256];
    size_t len = secret_len(secret_key);
    int ret;

    if (len > sizeof first - 4)
        return err_set(e, ERR_USAGE, "the secret access key is %zu characters long", len);
    memcpy(first, "AWS4", 4);
    memcpy(first + 4, secret_reveal(secret_key), len);
    ret = hmac(first, 4 + len, r->date, 8, key, e);
    secret_wipe(first, sizeof first);
    if (ret < 0 || hmac(key, SHA256_BYTES, r->region, strlen(r->region), key, e) < 0 ||
        hmac(key, SHA256_BYTES, r->service, strlen(r->service), key, e) < 0 ||
        hmac(key, SHA256_BYTES, "aws4_request", 12, key, e) < 0)
        return -1;
    return 0;
}

static int canonical_request(const struct sigv4_request *r, struct buf *out,
                             struct buf *names, struct err *e)
{
    auto_buf struct buf lines = BUF_INIT;

    buf_addf(out, "%s\n", r->method);
    canonical_path(out, r);
    buf_addc(out, '\n');
    if (canonical_query(out, r->query, e) < 0 ||
        canonical_headers(r, &lines, names, e) < 0)
        return -1;
    buf_addf(out, "\n%s\n%s\n%s", buf_str(&lines), buf_str(names), r->payload_sha256);
    /* The session token is among the headers. */
    if (lines.data)
        secret_wipe(lines.data, lines.cap);
    if (buf_check(&lines, e) < 0 || buf_check(names, e) < 0)
        return -1;
    return buf_check(out, e);
}

int sigv4_sign(const struct sigv4_request *r, const char *access_key_id,
               const struct secret *secret_key, char **ret, struct err *e)
{
    auto_buf struct buf canonical = BUF_INIT, names = BUF_INIT, text = BUF_INIT;
    auto_buf struct buf scope = BUF_INIT, auth = BUF_INIT;
    unsigned char key[SHA256_BYTES], mac[SHA256_BYTES];
    char hex[SHA256_HEX_LEN];
    int done;

    if (strlen(r->date) != 16)
        return err_set(e, ERR_USAGE, "'%s' is no date of the form 20150830T123600Z",
                       r->date);
    buf_addf(&scope, "%.8s/%s/%s/aws4_request", r->date, r->region, r->service);
    done = canonical_request(r, &canonical, &names, e);
    if (done == 0) {
        sha256_hex(&canonical, hex);
        buf_addf(&text, ALGORITHM "\n%s\n%s\n%s", r->date, buf_str(&scope), hex);
        done = buf_check(&text, e);
    }
    if (canonical.data)
        secret_wipe(canonical.data, canonical.cap);
    if (done < 0)
        return -1;
    done = signing_key(r, secret_key, key, e);
    if (done == 0)
        done = hmac(key, sizeof key, buf_str(&text), text.len, mac, e);
    secret_wipe(key, sizeof key);
    if (done < 0)
        return -1;
    buf_addf(&auth, ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s",
             access_key_id, buf_str(&scope), buf_str(&names),
             str_hex(hex, mac, sizeof mac));
    return buf_take(&auth, ret, e);
}
