/* Requests of the EBS direct APIs; see ebs_request.h. The shapes are those of the service
 * model 2019-11-02. No state. */
#include "lab/ebs_request.h"

#include "lab/query.h"
#include "lab/refuse.h"

#include "base/base64.h"
#include "base/bytes.h"
#include "base/str.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#define MAX_GIB     65536u
#define MAC_BYTES   23
#define TOKEN_BYTES 39 /* 13 quads of base 64 */

int ebs_refuse(struct err *e, const char *exception, const char *reason, const char *fmt,
               ...)
{
    va_list ap;

    va_start(ap, fmt);
    err_vset(e, ERR_CLOUD, fmt, ap);
    va_end(ap);
    snprintf(e->aws_code, sizeof e->aws_code, "%s/%s", exception, reason);
    return -1;
}

static int invalid(struct err *e, const char *what, const char *value)
{
    return ebs_refuse(e, "ValidationException", "INVALID_PARAMETER_VALUE",
                      "Invalid parameter value for %s: %.100s", what, value);
}

/* ---- Where it goes ---- */

static bool is_snapshot_id(const char *s, size_t len)
{
    size_t n = strlen("snap-");

    return len > n && len <= 64 && strncmp(s, "snap-", n) == 0 &&
           strspn(s + n, "0123456789abcdef") >= len - n;
}

static int take_snapshot(struct ebs_target *t, const char *s, size_t len, struct err *e)
{
    if (!is_snapshot_id(s, len))
        return ebs_refuse(e, "ValidationException", "INVALID_SNAPSHOT_ID",
                          "The snapshot ID '%.*s' is not valid",
                          (int)(len > 64 ? 64 : len), s);
    memcpy(t->snapshot, s, len);
    t->snapshot[len] = 0;
    return 0;
}

static int take_block(struct ebs_target *t, const char *s, struct err *e)
{
    struct err bad;

    if (str_to_u64(s, &t->block, &bad) < 0 || t->block >= EBS_MAX_BLOCKS)
        return ebs_refuse(e, "ValidationException", "INVALID_BLOCK",
                          "The block index '%.20s' is not valid", s);
    return 0;
}

/* "/snapshots", "/snapshots/completion/ID", "/snapshots/ID/blocks[/N]",
 * "/snapshots/ID/changedblocks" */
static int parse_path(struct ebs_target *t, const char *method, const char *path,
                      struct err *e)
{
    static const char base[] = "/snapshots", completion[] = "completion/";
    bool get = str_eq(method, "GET"), post = str_eq(method, "POST");
    const char *rest, *what;

    if (!str_starts(path, base))
        return 0;
    rest = path + sizeof base - 1;
    if (!*rest || str_eq(rest, "/")) {
        t->action = post ? EBS_START : EBS_NONE;
        return 0;
    }
    rest++;
    if (str_starts(rest, completion)) {
        t->action = post ? EBS_COMPLETE : EBS_NONE;
        rest += sizeof completion - 1;
        return take_snapshot(t, rest, strlen(rest), e);
    }
    what = strchr(rest, '/');
    if (!what)
        return 0;
    if (str_eq(what, "/blocks") && get)
        t->action = EBS_LIST_BLOCKS;
    else if (str_eq(what, "/changedblocks") && get)
        t->action = EBS_LIST_CHANGED;
    else if (str_starts(what, "/blocks/"))
        t->action = get                     ? EBS_GET_BLOCK
                    : str_eq(method, "PUT") ? EBS_PUT_BLOCK
                                            : EBS_NONE;
    if (t->action == EBS_NONE)
        return 0;
    if (take_snapshot(t, rest, (size_t)(what - rest), e) < 0)
        return -1;
    return what[strlen("/blocks")] == '/' ? take_block(t, what + strlen("/blocks/"), e)
                                          : 0;
}

static int decoded(const char *s, size_t len, char **ret, struct err *e)
{
    auto_buf struct buf plain = BUF_INIT;

    if (query_decode(s, len, false, &plain, e) < 0 ||
        memchr(buf_str(&plain), 0, plain.len))
        return invalid(e, "the query", s);
    return buf_take(&plain, ret, e);
}

static int parse_query(struct ebs_target *t, const char *query, struct err *e)
{
    for (const char *p = query; *p;) {
        size_t len = strcspn(p, "&"), name_len = strcspn(p, "=&");
        auto_free char *name = NULL, *value = NULL;
        json_t *text;

        if (json_object_size(t->query) >= 20)
            return invalid(e, "the query", "too long");
        if (decoded(p, name_len, &name, e) < 0 ||
            decoded(p + name_len + (name_len < len), len - name_len - (name_len < len),
                    &value, e) < 0)
            return -1;
        text = json_string(value); /* NULL for what is not UTF-8 */
        if (!text || json_object_set_new(t->query, name, text) < 0)
            return invalid(e, "the query", "not UTF-8");
        p += len + (p[len] == '&');
    }
    return 0;
}

int ebs_target_parse(const char *method, const char *path, const char *query,
                     struct ebs_target *ret, struct err *e)
{
    struct ebs_target t = {.query = json_object()};

    if (!t.query)
        return err_nomem(e);
    if (parse_path(&t, method, path, e) < 0 || parse_query(&t, query, e) < 0) {
        ebs_target_release(&t);
        return -1;
    }
    *ret = t;
    return 0;
}

void ebs_target_release(struct ebs_target *t)
{
    json_decref(t->query);
    t->query = NULL;
}

int ebs_query_number(const struct ebs_target *t, const char *name, uint64_t max,
                     uint64_t *ret, struct err *e)
{
    const char *text = json_string_value(json_object_get(t->query, name));
    struct err bad;
    uint64_t v;

    if (!text)
        return 0;
    if (str_to_u64(text, &v, &bad) < 0 || v > max)
        return invalid(e, name, text);
    *ret = v;
    return 1;
}

/* ---- Tokens ---- */

static void token_mac(const unsigned char key[EBS_KEY_BYTES], const char *purpose,
                      const unsigned char said[16], unsigned char out[MAC_BYTES])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = sizeof sum;
    auto_buf struct buf text = BUF_INIT;

    buf_add(&text, said, 16);
    buf_adds(&text, purpose);
    HMAC(EVP_sha256(), key, EBS_KEY_BYTES, (const unsigned char *)buf_str(&text),
         text.len, sum, &len);
    memcpy(out, sum, MAC_BYTES);
}

void ebs_token_make(const unsigned char key[EBS_KEY_BYTES], const char *purpose,
                    uint64_t number, int64_t expires_s, char out[EBS_TOKEN_LEN])
{
    unsigned char raw[TOKEN_BYTES];
    auto_buf struct buf text = BUF_INIT;

    be64_put(raw, number);
    be64_put(raw + 8, (uint64_t)expires_s);
    token_mac(key, purpose, raw, raw + 16);
    base64_encode(raw, sizeof raw, &text);
    snprintf(out, EBS_TOKEN_LEN, "%s", buf_str(&text));
}

bool ebs_token_check(const unsigned char key[EBS_KEY_BYTES], const char *purpose,
                     const char *token, int64_t now_s, uint64_t *ret_number)
{
    auto_buf struct buf raw = BUF_INIT;
    unsigned char mac[MAC_BYTES];
    struct err e;

    if (strlen(token) != EBS_TOKEN_LEN - 1 ||
        base64_decode(token, strlen(token), &raw, &e) < 0 || raw.len != TOKEN_BYTES)
        return false;
    token_mac(key, purpose, (unsigned char *)raw.data, mac);
    if (CRYPTO_memcmp(mac, raw.data + 16, MAC_BYTES) != 0 ||
        (int64_t)be64_at((unsigned char *)raw.data + 8) <= now_s)
        return false;
    *ret_number = be64_at((unsigned char *)raw.data);
    return true;
}

/* ---- StartSnapshot ---- */

static int check_tags(const json_t *tags, struct err *e)
{
    json_t *t;
    size_t i;

    if (tags && !json_is_array(tags))
        return invalid(e, "Tags", "not a list");
    json_array_foreach (tags, i, t) {
        const char *key = json_str_or(t, "Key", "");

        if (!*key || strlen(key) > 127 || strlen(json_str_or(t, "Value", "")) > 255 ||
            str_starts(key, "aws:"))
            return ebs_refuse(e, "ValidationException", "INVALID_TAG",
                              "The tag '%.100s' is not valid", key);
    }
    return 0;
}

/* A member that may be left out, but must be a text of that length at most. */
static int take_text(const json_t *doc, const char *name, size_t max, const char **ret,
                     struct err *e)
{
    const json_t *v = json_object_get(doc, name);

    if (!v || json_is_null(v))
        return 0;
    if (!json_is_string(v) || json_string_length(v) == 0 || json_string_length(v) > max)
        return invalid(e, name, json_is_string(v) ? json_string_value(v) : "not a text");
    *ret = json_string_value(v);
    return 0;
}

static int read_start(struct ebs_start *s, struct err *e)
{
    const json_t *size = json_object_get(s->doc, "VolumeSize"),
                 *timeout = json_object_get(s->doc, "Timeout"),
                 *encrypted = json_object_get(s->doc, "Encrypted");

    if (!json_is_integer(size) || json_integer_value(size) < 1 ||
        json_integer_value(size) > MAX_GIB)
        return ebs_refuse(e, "ValidationException", "INVALID_VOLUME_SIZE",
                          "VolumeSize must be from 1 to %u GiB", MAX_GIB);
    s->gib = (uint64_t)json_integer_value(size);
    s->timeout_min = timeout ? (uint64_t)json_integer_value(timeout) : 60;
    if (s->timeout_min < 10 || s->timeout_min > 4320)
        return invalid(e, "Timeout", "it must be from 10 to 4320 minutes");
    if (encrypted && !json_is_boolean(encrypted))
        return invalid(e, "Encrypted", "not true or false");
    s->has_encrypted = encrypted != NULL;
    s->encrypted = json_is_true(encrypted);
    s->tags = json_object_get(s->doc, "Tags");
    if (take_text(s->doc, "ParentSnapshotId", 64, &s->parent, e) < 0 ||
        take_text(s->doc, "ClientToken", 255, &s->token, e) < 0 ||
        take_text(s->doc, "Description", 255, &s->description, e) < 0 ||
        take_text(s->doc, "KmsKeyArn", 2048, &s->kms_key, e) < 0)
        return -1;
    if (s->parent && !is_snapshot_id(s->parent, strlen(s->parent)))
        return ebs_refuse(e, "ValidationException", "INVALID_SNAPSHOT_ID",
                          "The snapshot ID '%.64s' is not valid", s->parent);
    if (s->kms_key && !s->encrypted)
        return invalid(e, "KmsKeyArn", "the snapshot is not to be encrypted");
    return check_tags(s->tags, e);
}

int ebs_start_parse(const char *body, size_t len, struct ebs_start *ret, struct err *e)
{
    struct ebs_start s = {0};
    struct err bad;

    if (json_parse(body, len, "request", &s.doc, &bad) < 0 || !json_is_object(s.doc)) {
        json_decref(s.doc);
        return invalid(e, "the body", "not a JSON object");
    }
    if (read_start(&s, e) < 0) {
        json_decref(s.doc);
        return -1;
    }
    *ret = s;
    return 0;
}

void ebs_start_release(struct ebs_start *s)
{
    json_decref(s->doc);
    s->doc = NULL;
}
