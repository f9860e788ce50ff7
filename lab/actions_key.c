/* Key pairs. The private half of a created pair is given out once and not kept. */
#include "lab/groups.h"
#include "lab/listing.h"

#include "base/base64.h"
#include "base/digest.h"
#include "base/secret.h"
#include "base/str.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

const json_t *key_by_name(struct lab *lab, const char *name)
{
    struct err e = ERR_INIT;
    json_t *docs, *d;
    const json_t *found = NULL;
    size_t i;

    if (store_list(lab->store, "key-pair", &docs, &e) < 0)
        return NULL;
    json_array_foreach (docs, i, d)
        if (str_eq(json_str_or(d, "keyName", ""), name))
            found = store_get(lab->store, "key-pair", json_str_or(d, "keyPairId", ""));
    json_decref(docs);
    return found;
}

/* RFC 4253 section 5: length, then bytes; numbers get a leading zero if negative. */
static void put_string(struct buf *b, const void *data, size_t len)
{
    unsigned char n[4] = {(unsigned char)(len >> 24), (unsigned char)(len >> 16),
                          (unsigned char)(len >> 8), (unsigned char)len};

    buf_add(b, n, 4);
    buf_add(b, data, len);
}

static int put_number(struct buf *b, const EVP_PKEY *key, const char *name, struct err *e)
{
    unsigned char bytes[600];
    BIGNUM *n = NULL;
    int len;

    if (!EVP_PKEY_get_bn_param(key, name, &n) || BN_num_bytes(n) > 599) {
        BN_free(n);
        return err_set(e, ERR_FAILED, "libcrypto does not give the key's %s", name);
    }
    bytes[0] = 0;
    len = BN_bn2bin(n, bytes + 1);
    BN_free(n);
    if (bytes[1] & 0x80)
        put_string(b, bytes, (size_t)len + 1);
    else
        put_string(b, bytes + 1, (size_t)len);
    return 0;
}

static int public_line(const EVP_PKEY *key, const char *name, struct buf *out,
                       struct err *e)
{
    auto_buf struct buf blob = BUF_INIT;

    put_string(&blob, "ssh-rsa", 7);
    if (put_number(&blob, key, OSSL_PKEY_PARAM_RSA_E, e) < 0 ||
        put_number(&blob, key, OSSL_PKEY_PARAM_RSA_N, e) < 0 || buf_check(&blob, e) < 0)
        return -1;
    buf_adds(out, "ssh-rsa ");
    base64_encode(blob.data, blob.len, out);
    buf_addf(out, " %s", name);
    return buf_check(out, e);
}

static int private_text(const EVP_PKEY *key, struct buf *out, struct err *e)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *data;
    long len;
    int ok;

    if (!bio)
        return err_nomem(e);
    ok = PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL);
    len = BIO_get_mem_data(bio, &data);
    if (ok && len > 0)
        buf_add(out, data, (size_t)len);
    BIO_free(bio);
    if (!ok)
        return err_set(e, ERR_FAILED, "libcrypto cannot write the private key");
    return buf_check(out, e);
}

/* "ab:cd:…" */
static void colon_hex(const unsigned char *sum, size_t len, struct buf *out)
{
    for (size_t i = 0; i < len; i++)
        buf_addf(out, "%s%02x", i ? ":" : "", sum[i]);
}

static int fingerprint(enum digest_kind kind, const void *data, size_t len,
                       struct buf *out, struct err *e)
{
    unsigned char sum[DIGEST_MAX_BYTES];
    struct digest *d;

    if (digest_new(kind, &d, e) < 0)
        return -1;
    digest_update(d, data, len);
    len = digest_final(d, sum);
    digest_free(d);
    if (kind == DIGEST_SHA256)
        base64_encode(sum, len, out);
    else
        colon_hex(sum, len, out);
    return buf_check(out, e);
}

/* SHA-1 of the private key in DER, as EC2 does for pairs it made. */
static int private_fingerprint(const EVP_PKEY *key, struct buf *out, struct err *e)
{
    unsigned char *der = NULL;
    PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key);
    int len = p8 ? i2d_PKCS8_PRIV_KEY_INFO(p8, &der) : -1, r;

    PKCS8_PRIV_KEY_INFO_free(p8);
    if (len <= 0)
        return err_set(e, ERR_FAILED, "libcrypto cannot write the private key");
    r = fingerprint(DIGEST_SHA1, der, (size_t)len, out, e);
    OPENSSL_clear_free(der, (size_t)len);
    return r;
}

static int put_key(struct act *a, const char *name, const char *type, const char *print,
                   const char *line, json_t *tags, struct err *e)
{
    char id[RES_ID_LEN], when[LAB_TIME_LEN];
    json_t *doc =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:O, s:s, s:I}", "keyPairId",
                  res_new_id(RES_KEY, id), "keyName", name, "keyType", type,
                  "keyFingerprint", print, "createTime", lab_time(when, a->now_ms),
                  "tagSet", tags, "_public", line, "_made", (json_int_t)a->now_ms);

    if (store_put(a->lab->store, "key-pair", id, doc, e) < 0 ||
        act_put(a, "keyPairId", json_string(id), e) < 0 ||
        act_put(a, "keyName", json_string(name), e) < 0 ||
        act_put(a, "keyFingerprint", json_string(print), e) < 0)
        return -1;
    return act_put(a, "tagSet", json_incref(tags), e);
}

static int check_name(struct act *a, const char *name, struct err *e)
{
    if (strlen(name) > 255)
        return refuse_value(e, "keyName", name, "It must not exceed 255 characters.");
    if (key_by_name(a->lab, name))
        return refuse(e, "InvalidKeyPair.Duplicate", "The keypair already exists");
    return 0;
}

static int make_rsa(struct act *a, const char *name, json_t *tags, struct err *e)
{
    auto_buf struct buf line = BUF_INIT;
    auto_buf struct buf print = BUF_INIT;
    struct buf pem = BUF_INIT;
    EVP_PKEY *key = EVP_RSA_gen(2048);
    int r;

    if (!key)
        return err_set(e, ERR_FAILED, "libcrypto cannot make a key");
    r = public_line(key, name, &line, e);
    if (r == 0)
        r = private_fingerprint(key, &print, e);
    if (r == 0)
        r = private_text(key, &pem, e);
    EVP_PKEY_free(key);
    if (r == 0)
        r = put_key(a, name, "rsa", buf_str(&print), buf_str(&line), tags, e);
    if (r == 0)
        r = act_put(a, "keyMaterial", json_string(buf_str(&pem)), e);
    if (pem.data)
        secret_wipe(pem.data, pem.len);
    buf_release(&pem);
    return r;
}

static int create_key(struct act *a, struct err *e)
{
    const char *name = q_str(a->params, "KeyName");
    const char *type = q_str_or(a->params, "KeyType", "rsa");
    json_t *tags;
    int r;

    if (!str_eq(type, "rsa"))
        return refuse(e, "UnsupportedOperation",
                      "This lab makes RSA key pairs only; import an '%.20s' one with "
                      "ImportKeyPair",
                      type);
    if (check_name(a, name, e) < 0 ||
        tags_from_spec(a->params, "key-pair", "key-pair", &tags, e) < 0)
        return -1;
    r = make_rsa(a, name, tags, e);
    json_decref(tags);
    return r;
}

/* Splits "ssh-ed25519 AAAA… comment" and decodes its blob. */
static int read_public(const char *line, const char **ret_type, struct buf *blob,
                       struct err *e)
{
    static const struct {
        const char *ssh, *type;
    } types[] = {{"ssh-rsa ", "rsa"}, {"ssh-ed25519 ", "ed25519"}};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        size_t n = strlen(types[i].ssh), len;

        if (!str_starts(line, types[i].ssh))
            continue;
        len = strcspn(line + n, " \r\n");
        if (base64_decode(line + n, len, blob, e) < 0 || blob->len < 20 ||
            memcmp(blob->data + 4, types[i].ssh, n - 1) != 0)
            break;
        *ret_type = types[i].type;
        return 0;
    }
    return refuse(e, "InvalidKey.Format",
                  "Key is not in valid OpenSSH public key format");
}

static int import_line(struct act *a, const char *name, const char *line, json_t *tags,
                       struct err *e)
{
    auto_buf struct buf blob = BUF_INIT;
    auto_buf struct buf print = BUF_INIT;
    const char *type = "";

    if (read_public(line, &type, &blob, e) < 0 ||
        fingerprint(str_eq(type, "rsa") ? DIGEST_MD5 : DIGEST_SHA256, blob.data, blob.len,
                    &print, e) < 0)
        return -1;
    return put_key(a, name, type, buf_str(&print), line, tags, e);
}

static int import_key(struct act *a, struct err *e)
{
    const char *name = q_str(a->params, "KeyName");
    const char *material = q_str(a->params, "PublicKeyMaterial");
    auto_buf struct buf line = BUF_INIT;
    json_t *tags;
    int r;

    if (check_name(a, name, e) < 0)
        return -1;
    if (base64_decode(material, strlen(material), &line, e) < 0 || line.len > 16384 ||
        memchr(buf_str(&line), 0, line.len))
        return refuse(e, "InvalidKey.Format",
                      "Key is not in valid OpenSSH public key format");
    if (line.data)
        line.data[strcspn(line.data, "\r\n")] = 0;
    if (tags_from_spec(a->params, "key-pair", "key-pair", &tags, e) < 0)
        return -1;
    r = import_line(a, name, buf_str(&line), tags, e);
    json_decref(tags);
    return r;
}

static int key_view(struct act *a, const json_t *doc, json_t **ret, struct err *e)
{
    json_t *view = json_copy((json_t *)doc);
    bool with_public = false;

    if (!view)
        return err_nomem(e);
    if (q_bool(a->params, "IncludePublicKey", &with_public, e) < 0 ||
        (with_public && json_put(view, "publicKey",
                                 json_string(json_str_or(doc, "_public", "")), e) < 0)) {
        json_decref(view);
        return -1;
    }
    *ret = view;
    return 0;
}

static bool key_named(const struct act *a, const json_t *doc)
{
    json_t *names = q_list(a->params, "KeyName");

    return !names || listing_path_matches(doc, "keyName", names);
}

static int describe_keys(struct act *a, struct err *e)
{
    static const struct filter_def filters[] = {
        {"fingerprint", "keyFingerprint"},
        {"key-name", "keyName"},
        {"key-pair-id", "keyPairId"},
        {NULL, NULL},
    };
    static const struct listing l = {.res = RES_KEY,
                                     .ids_param = "KeyPairId",
                                     .filters = filters,
                                     .max_page = 1000,
                                     .view = key_view,
                                     .show = key_named};
    json_t *v;
    size_t i;

    json_array_foreach (q_list(a->params, "KeyName"), i, v)
        if (!key_by_name(a->lab, json_string_value(v) ? json_string_value(v) : ""))
            return refuse(e, "InvalidKeyPair.NotFound",
                          "The key pair '%.255s' does not exist",
                          json_string_value(v) ? json_string_value(v) : "");
    return listing_answer(a, &l, "keySet", e);
}

/* Deleting what does not exist is fine, as on EC2. */
static int delete_key(struct act *a, struct err *e)
{
    const char *id = q_str(a->params, "KeyPairId"), *name = q_str(a->params, "KeyName");
    const json_t *key =
        id ? store_get(a->lab->store, "key-pair", id) : key_by_name(a->lab, name);

    if (key) {
        id = json_str_or(key, "keyPairId", "");
        if (act_put(a, "keyPairId", json_string(id), e) < 0 ||
            store_delete(a->lab->store, "key-pair", id, e) < 0)
            return -1;
    }
    return act_true(a, e);
}

const struct action actions_key[] = {
    {"CreateKeyPair", create_key, "KeyName"},
    {"ImportKeyPair", import_key, "KeyName PublicKeyMaterial"},
    {"DescribeKeyPairs", describe_keys, NULL},
    {"DeleteKeyPair", delete_key, "KeyName|KeyPairId"},
    {NULL, NULL, NULL},
};
