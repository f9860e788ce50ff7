/* Manifests; see manifest.h. What is not understood is kept when one is rewritten, and
 * nothing of it is used: names are validated, kinds and modes must be known ones. */
#include "repo/manifest.h"

#include "base/json.h"
#include "base/str.h"
#include "repo/key.h"
#include "repo/names.h"

#include <assert.h>
#include <openssl/crypto.h>

#define MAX_FILES 4096
#define MAX_DEPTH 64
/* Our part of `unprotected`. */
#define OUR_KEY "hotadd"

static const char *const crypt_names[] = {[REPO_CRYPT_NONE] = "none",
                                          [REPO_CRYPT_ENCRYPT] = "encrypt",
                                          [REPO_CRYPT_SIGN_ONLY] = "sign-only"};

void repo_manifest_free(struct repo_manifest *m)
{
    if (!m)
        return;
    vec_foreach (f, &m->files)
        free(f->name);
    vec_release(&m->files);
    json_decref(m->json);
    free(m->type);
    free(m->id);
    free(m);
}

const struct repo_file *repo_manifest_file(const struct repo_manifest *m,
                                           const char *name)
{
    vec_foreach (f, &m->files)
        if (str_eq(f->name, name))
            return f;
    return NULL;
}

enum repo_crypt repo_manifest_crypt(const struct repo_manifest *m)
{
    enum repo_crypt c = REPO_CRYPT_NONE;

    vec_foreach (f, &m->files)
        if (f->crypt == REPO_CRYPT_ENCRYPT)
            return REPO_CRYPT_ENCRYPT;
        else if (f->crypt == REPO_CRYPT_SIGN_ONLY)
            c = REPO_CRYPT_SIGN_ONLY;
    return c;
}

/* ---- reading ---- */

static int parse_crypt(const json_t *v, enum repo_crypt *ret, struct err *e)
{
    if (!v) {
        *ret = REPO_CRYPT_NONE;
        return 0;
    }
    for (size_t i = 0; i < sizeof crypt_names / sizeof crypt_names[0]; i++)
        if (json_is_string(v) && str_eq(json_string_value(v), crypt_names[i])) {
            *ret = (enum repo_crypt)i;
            return 0;
        }
    return err_set(e, ERR_UNSUPPORTED, "a \"crypt-mode\" that is not known");
}

static int push_file(struct repo_manifest *m, struct repo_file f, const char *name,
                     struct err *e)
{
    if (repo_manifest_file(m, name))
        return err_set(e, ERR_INPUT, "%.200s is listed twice", name);
    f.name = str_dup(name, e);
    if (!f.name)
        return -1;
    if (vec_push(&m->files, f, e) < 0) {
        free(f.name);
        return -1;
    }
    return 0;
}

static int parse_file(const json_t *o, struct repo_manifest *m, struct err *e)
{
    struct repo_file f = {0};
    const char *name, *csum;

    if (json_need_str(o, "filename", &name, e) < 0 ||
        json_need_str(o, "csum", &csum, e) < 0 ||
        json_need_u64(o, "size", &f.size_bytes, e) < 0 ||
        parse_crypt(json_object_get(o, "crypt-mode"), &f.crypt, e) < 0 ||
        str_unhex(csum, f.csum, sizeof f.csum, e) < 0)
        return -1;
    if (!repo_file_valid(name))
        return err_set(e, ERR_INPUT, "'%.200s' is not a file's name", name);
    return push_file(m, f, name, e);
}

static int parse_files(const json_t *a, struct repo_manifest *m, struct err *e)
{
    const json_t *o;
    size_t i;

    if (!json_is_array(a) || json_array_size(a) > MAX_FILES)
        return err_set(e, ERR_INPUT, "\"files\" is no list, or a very long one");
    json_array_foreach (a, i, o)
        if (parse_file(o, m, e) < 0)
            return err_prefix(e, "file %zu", i + 1);
    return 0;
}

/* "UPID:node:pid:pstart:task:starttime:…", hexadecimal: when a server's task began. */
static int64_t upid_time(const char *upid)
{
    unsigned long long t;
    char *end;

    for (int i = 0; i < 5 && upid; i++) {
        upid = strchr(upid, ':');
        upid = upid ? upid + 1 : NULL;
    }
    if (!upid)
        return 0;
    t = strtoull(upid, &end, 16);
    return *end == ':' && t <= REPO_MAX_TIME ? (int64_t)t : 0;
}

/* A server's or ours, whichever is newer. */
static void find_verified(struct repo_manifest *m, const json_t *unprotected)
{
    const json_t *theirs = json_object_get(unprotected, "verify_state");
    const json_t *ours = json_object_get(json_object_get(unprotected, OUR_KEY), "verify");
    int64_t when;

    if (theirs) {
        m->verified = upid_time(json_str_or(theirs, "upid", ""));
        m->verified = m->verified ? m->verified : 1;
        m->verified_bad = !str_eq(json_str_or(theirs, "state", ""), "ok");
        m->verified_without_key = repo_manifest_crypt(m) != REPO_CRYPT_NONE;
    }
    when = (int64_t)json_u64_or(ours, "time", 0);
    if (when && when <= REPO_MAX_TIME && when >= m->verified) {
        m->verified = when;
        m->verified_bad = !str_eq(json_str_or(ours, "state", ""), "ok");
        m->verified_without_key = json_bool_or(ours, "without-key", false);
    }
}

static int parse_head(struct repo_manifest *m, struct err *e)
{
    const char *type, *id;
    uint64_t time;

    if (json_need_str(m->json, "backup-type", &type, e) < 0 ||
        json_need_str(m->json, "backup-id", &id, e) < 0 ||
        json_need_u64(m->json, "backup-time", &time, e) < 0)
        return -1;
    if (!repo_type_valid(type))
        return err_set(e, ERR_UNSUPPORTED, "a backup of type '%.40s'", type);
    if (!repo_id_valid(id) || time < 1 || time > REPO_MAX_TIME)
        return err_set(e, ERR_INPUT, "an ID or time that cannot be");
    m->type = str_dup(type, e);
    m->id = str_dup(id, e);
    m->time = (int64_t)time;
    return m->type && m->id ? 0 : -1;
}

static int parse_all(struct repo_manifest *m, struct err *e)
{
    const json_t *sig = json_object_get(m->json, "signature");
    const json_t *unprotected = json_object_get(m->json, "unprotected");
    unsigned char raw[SHA256_BYTES];

    if (!json_is_object(m->json))
        return err_set(e, ERR_INPUT, "no JSON object");
    if (parse_head(m, e) < 0 || parse_files(json_object_get(m->json, "files"), m, e) < 0)
        return -1;
    if (sig && !json_is_null(sig)) {
        m->signature = json_string_value(sig);
        if (!m->signature || str_unhex(m->signature, raw, sizeof raw, e) < 0)
            return err_set(e, ERR_INPUT, "its signature is no digest");
    }
    if (unprotected && !json_is_object(unprotected))
        return err_set(e, ERR_INPUT, "\"unprotected\" is no object");
    m->fingerprint = json_str_or(unprotected, "key-fingerprint", NULL);
    find_verified(m, unprotected);
    return 0;
}

int repo_manifest_parse(const char *text, size_t len, struct repo_manifest **ret,
                        struct err *e)
{
    auto_manifest struct repo_manifest *m = mem_zalloc(1, sizeof *m, e);

    if (!m)
        return -1;
    if (json_parse(text, len, "manifest", &m->json, e) < 0)
        return -1;
    if (parse_all(m, e) < 0)
        return err_prefix(e, "manifest");
    *ret = take_ptr(m);
    return 0;
}

/* ---- canonical form ---- */

static void canonical_string(struct buf *b, const char *s, size_t len)
{
    static const char plain[] = "\"\\\b\f\n\r\t", escaped[] = "\"\\bfnrt";

    buf_addc(b, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        const char *p = c ? strchr(plain, c) : NULL;

        if (p) {
            buf_addc(b, '\\');
            buf_addc(b, escaped[p - plain]);
        } else if (c < 0x20) {
            buf_addf(b, "\\u%04x", c);
        } else {
            buf_addc(b, (char)c);
        }
    }
    buf_addc(b, '"');
}

static int canonical(struct buf *b, const json_t *v, int depth, struct err *e);

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_unsigned(const char *key)
{
    return str_eq(key, "unprotected") || str_eq(key, "signature");
}

static int canonical_object(struct buf *b, const json_t *o, int depth, struct err *e)
{
    struct VEC(const char *) keys = {0};
    const char *key, *sep = "";
    int r = 0;

    for (void *it = json_object_iter((json_t *)(uintptr_t)o); it && r == 0;
         it = json_object_iter_next((json_t *)(uintptr_t)o, it)) {
        key = json_object_iter_key(it);
        if (depth > 0 || !is_unsigned(key))
            r = vec_push(&keys, key, e);
    }
    if (keys.n)
        qsort(keys.v, keys.n, sizeof *keys.v, by_bytes);
    buf_addc(b, '{');
    for (size_t i = 0; i < keys.n && r == 0; i++) {
        buf_adds(b, sep);
        sep = ",";
        canonical_string(b, keys.v[i], strlen(keys.v[i]));
        buf_addc(b, ':');
        r = canonical(b, json_object_get(o, keys.v[i]), depth + 1, e);
    }
    buf_addc(b, '}');
    vec_release(&keys);
    return r;
}

static int canonical(struct buf *b, const json_t *v, int depth, struct err *e)
{
    const json_t *x;
    size_t i;

    if (depth > MAX_DEPTH)
        return err_set(e, ERR_INPUT, "nested too deeply to be signed");
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return canonical_object(b, v, depth, e);
    case JSON_ARRAY:
        buf_addc(b, '[');
        json_array_foreach (v, i, x) {
            if (i)
                buf_addc(b, ',');
            if (canonical(b, x, depth + 1, e) < 0)
                return -1;
        }
        buf_addc(b, ']');
        return 0;
    case JSON_STRING:
        canonical_string(b, json_string_value(v), json_string_length(v));
        return 0;
    case JSON_INTEGER:
        buf_addf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return 0;
    case JSON_TRUE:
    case JSON_FALSE:
        buf_adds(b, json_is_true(v) ? "true" : "false");
        return 0;
    default:
        return err_set(e, ERR_INPUT, "nulls and fractions cannot be signed");
    }
}

static int sign_json(const json_t *o, const struct repo_key *k,
                     unsigned char out[SHA256_BYTES], struct err *e)
{
    auto_buf struct buf b = BUF_INIT;

    if (canonical(&b, o, 0, e) < 0 || buf_check(&b, e) < 0)
        return -1;
    return repo_key_sign(k, b.data, b.len, out, e);
}

/* The fields that a manifest is known to have, and no others. */
static json_t *known_fields(const struct repo_manifest *m)
{
    json_t *files = json_array(), *o;

    vec_foreach (f, &m->files) {
        char csum[SHA256_HEX_LEN];

        if (json_array_append_new(
                files, json_pack("{s:s,s:s,s:I,s:s}", "filename", f->name, "crypt-mode",
                                 crypt_names[f->crypt], "size", (json_int_t)f->size_bytes,
                                 "csum", str_hex(csum, f->csum, sizeof f->csum))) < 0) {
            json_decref(files);
            return NULL;
        }
    }
    o = json_pack("{s:s,s:s,s:I,s:o}", "backup-type", m->type, "backup-id", m->id,
                  "backup-time", (json_int_t)m->time, "files", files);
    return o;
}

int repo_manifest_sign(const struct repo_manifest *m, const struct repo_key *k,
                       char out[SHA256_HEX_LEN], struct err *e)
{
    unsigned char raw[SHA256_BYTES];
    json_auto_t *o = known_fields(m);

    if (!o)
        return err_nomem(e);
    if (sign_json(o, k, raw, e) < 0)
        return -1;
    str_hex(out, raw, sizeof raw);
    return 0;
}

int repo_manifest_check(const struct repo_manifest *m, const struct repo_key *k,
                        struct err *e)
{
    unsigned char said[SHA256_BYTES], is[SHA256_BYTES];
    json_auto_t *known = NULL;

    if (!m->signature)
        return repo_manifest_crypt(m) == REPO_CRYPT_NONE
                   ? 0
                   : err_set(
                         e, ERR_INPUT,
                         "the manifest marks files as signed or encrypted, but has no "
                         "signature: it was changed");
    if (str_unhex(m->signature, said, sizeof said, e) < 0)
        return -1;
    /* Servers before 4.2 sign all that is there, later ones the fields they know. Only
     * these are used here, so either protects them. */
    if (sign_json(m->json, k, is, e) == 0 && CRYPTO_memcmp(said, is, sizeof is) == 0)
        return 0;
    known = known_fields(m);
    if (!known)
        return err_nomem(e);
    if (sign_json(known, k, is, e) < 0)
        return -1;
    if (CRYPTO_memcmp(said, is, sizeof is) != 0)
        return err_set(e, ERR_INPUT, "the manifest's signature is wrong: it was changed");
    return 0;
}

/* ---- making ---- */

int repo_manifest_new(const char *type, const char *id, int64_t time,
                      struct repo_manifest **ret, struct err *e)
{
    auto_manifest struct repo_manifest *m = mem_zalloc(1, sizeof *m, e);

    if (!m)
        return -1;
    m->type = str_dup(type, e);
    m->id = str_dup(id, e);
    m->time = time;
    m->json = json_pack("{s:n,s:{}}", "signature", "unprotected");
    if (!m->type || !m->id)
        return -1;
    if (!m->json)
        return err_nomem(e);
    *ret = take_ptr(m);
    return 0;
}

int repo_manifest_add(struct repo_manifest *m, const char *name, enum repo_crypt crypt,
                      uint64_t size_bytes, const unsigned char csum[SHA256_BYTES],
                      struct err *e)
{
    struct repo_file f = {.crypt = crypt, .size_bytes = size_bytes};

    assert(repo_file_valid(name));
    memcpy(f.csum, csum, sizeof f.csum);
    return push_file(m, f, name, e);
}

int repo_manifest_seal(struct repo_manifest *m, const struct repo_key *k, struct err *e)
{
    char sig[SHA256_HEX_LEN], fp[REPO_FINGERPRINT_LEN];

    if (repo_manifest_sign(m, k, sig, e) < 0)
        return -1;
    repo_key_fingerprint(k, fp);
    return json_put(m->json, "signature", json_string(sig), e) < 0 ||
                   json_put(json_object_get(m->json, "unprotected"), "key-fingerprint",
                            json_string(fp), e) < 0
               ? -1
               : 0;
}

int repo_manifest_set_verified(struct repo_manifest *m, int64_t when, bool bad,
                               bool without_key, struct err *e)
{
    json_t *unprotected = json_object_get(m->json, "unprotected"), *ours;

    if (!unprotected) {
        unprotected = json_object();
        if (json_put(m->json, "unprotected", unprotected, e) < 0)
            return -1;
    }
    ours = json_object_get(unprotected, OUR_KEY);
    if (!json_is_object(ours)) {
        ours = json_object();
        if (json_put(unprotected, OUR_KEY, ours, e) < 0)
            return -1;
    }
    return json_put(ours, "verify",
                    json_pack("{s:s,s:I,s:o*}", "state", bad ? "failed" : "ok", "time",
                              (json_int_t)when, "without-key",
                              without_key ? json_true() : NULL),
                    e);
}

int repo_manifest_text(const struct repo_manifest *m, char **ret, struct err *e)
{
    json_auto_t *o =
        json_object_get(m->json, "files") ? json_deep_copy(m->json) : known_fields(m);

    if (!o)
        return err_nomem(e);
    if (json_object_update_missing(o, m->json) < 0)
        return err_nomem(e);
    *ret = json_dumps(o, JSON_INDENT(2) | JSON_SORT_KEYS);
    return *ret ? 0 : err_nomem(e);
}
