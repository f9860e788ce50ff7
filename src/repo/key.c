/* Keys and key files (format, sections 2.2 and 8); see key.h.
 *
 * Key material lives in a struct secret or in locals that are wiped. A key file appears
 * whole or not at all; a crash may leave NAME.tmpXXXXXX. */
#include "repo/key.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/rand.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/stat.h>

#define MAX_KEY_FILE_BYTES (1u << 20)
#define MAX_SALT_BYTES     1024u
#define MIN_PASSWORD       5

/* A file may ask for more memory or time than anybody means; these are sixteen times
 * and more what proxmox-backup-client writes. */
#define MAX_SCRYPT_BYTES (1ull << 30)
#define MAX_PBKDF2_ITER  10000000ull

struct repo_key {
    struct secret *bytes; /* owned: enc_key, id_key */
    unsigned char fingerprint[SHA256_BYTES];
};

DEFINE_AUTO_PTR(struct repo_key, repo_key_free)

struct kdf {
    enum repo_kdf kind;
    uint64_t n, r, p, iter;
    struct buf salt; /* owned */
};

void repo_key_free(struct repo_key *k)
{
    if (!k)
        return;
    secret_free(k->bytes);
    free(k);
}

const unsigned char *repo_key_enc(const struct repo_key *k)
{
    return (const unsigned char *)secret_reveal(k->bytes);
}

const unsigned char *repo_key_id(const struct repo_key *k)
{
    return repo_key_enc(k) + KEY_BYTES;
}

void repo_key_fingerprint(const struct repo_key *k, char out[REPO_FINGERPRINT_LEN])
{
    for (size_t i = 0; i < SHA256_BYTES; i++)
        snprintf(out + 3 * i, 4, i + 1 < SHA256_BYTES ? "%02x:" : "%02x",
                 k->fingerprint[i]);
}

int repo_key_sign(const struct repo_key *k, const void *data, size_t len,
                  unsigned char out[SHA256_BYTES], struct err *e)
{
    unsigned int n;

    if (!HMAC(EVP_sha256(), repo_key_id(k), KEY_BYTES, data, len, out, &n))
        return err_set(e, ERR_FAILED, "HMAC-SHA256 failed in libcrypto");
    return 0;
}

static int pbkdf2(const void *password, size_t len, const void *salt, size_t salt_len,
                  uint64_t iter, unsigned char out[KEY_BYTES], struct err *e)
{
    if (!PKCS5_PBKDF2_HMAC(password, (int)len, salt, (int)salt_len, (int)iter,
                           EVP_sha256(), KEY_BYTES, out))
        return err_set(e, ERR_FAILED, "PBKDF2 failed in libcrypto");
    return 0;
}

int repo_key_new(const unsigned char enc[KEY_BYTES], struct repo_key **ret, struct err *e)
{
    static const char id_salt[] = "_id_key";
    static const char fp_text[] = "Proxmox Backup Encryption Key Fingerprint";
    auto_call(repo_key_free_autop) struct repo_key *k = mem_zalloc(1, sizeof *k, e);
    unsigned char both[2 * KEY_BYTES], fp[SHA256_BYTES + KEY_BYTES];
    int r;

    if (!k)
        return -1;
    memcpy(both, enc, KEY_BYTES);
    r = pbkdf2(enc, KEY_BYTES, id_salt, strlen(id_salt), 10, both + KEY_BYTES, e);
    digest_sha256(fp_text, strlen(fp_text), fp);
    memcpy(fp + SHA256_BYTES, both + KEY_BYTES, KEY_BYTES);
    digest_sha256(fp, sizeof fp, k->fingerprint);
    if (r == 0)
        r = secret_new((const char *)both, sizeof both, &k->bytes, e);
    secret_wipe(both, sizeof both);
    secret_wipe(fp, sizeof fp);
    if (r < 0)
        return -1;
    *ret = take_ptr(k);
    return 0;
}

/* ---- passwords ---- */

static int derive(const struct kdf *f, const struct secret *password,
                  unsigned char out[KEY_BYTES], struct err *e)
{
    const char *pw = secret_reveal(password);
    size_t len = secret_len(password);

    if (f->kind == REPO_KDF_PBKDF2)
        return pbkdf2(pw, len, buf_str(&f->salt), f->salt.len, f->iter, out, e);
    if (!EVP_PBE_scrypt(pw, len, (const unsigned char *)buf_str(&f->salt), f->salt.len,
                        f->n, f->r, f->p, MAX_SCRYPT_BYTES + (1u << 20), out, KEY_BYTES))
        return err_set(e, ERR_FAILED,
                       "scrypt failed in libcrypto (it needs %llu MiB of memory)",
                       (unsigned long long)(f->n * f->r * 128 >> 20));
    return 0;
}

static int parse_salt(const json_t *o, struct kdf *f, struct err *e)
{
    const char *salt;

    if (json_need_str(o, "salt", &salt, e) < 0)
        return -1;
    if (strlen(salt) > 2 * MAX_SALT_BYTES)
        return err_set(e, ERR_INPUT, "its salt is too long");
    return base64_decode(salt, strlen(salt), &f->salt, e);
}

static int parse_scrypt(const json_t *o, struct kdf *f, struct err *e)
{
    uint64_t bytes;

    f->kind = REPO_KDF_SCRYPT;
    if (json_need_u64(o, "n", &f->n, e) < 0 || json_need_u64(o, "r", &f->r, e) < 0 ||
        json_need_u64(o, "p", &f->p, e) < 0)
        return -1;
    if (f->n < 2 || (f->n & (f->n - 1)) || !f->r || !f->p || f->p > 16 ||
        __builtin_mul_overflow(f->n, f->r, &bytes) ||
        __builtin_mul_overflow(bytes, 128, &bytes) || bytes > MAX_SCRYPT_BYTES / 2 ||
        f->r > 1024)
        return err_set(e, ERR_UNSUPPORTED, "its scrypt parameters are out of bounds");
    return parse_salt(o, f, e);
}

static int parse_kdf(const json_t *v, struct kdf *f, struct err *e)
{
    const json_t *o;

    if (!v || json_is_null(v))
        return 0;
    if ((o = json_object_get(v, "Scrypt")))
        return parse_scrypt(o, f, e);
    o = json_object_get(v, "PBKDF2");
    if (!o)
        return err_set(e, ERR_UNSUPPORTED,
                       "its key derivation is neither none, scrypt nor PBKDF2");
    f->kind = REPO_KDF_PBKDF2;
    if (json_need_u64(o, "iter", &f->iter, e) < 0)
        return -1;
    if (!f->iter || f->iter > MAX_PBKDF2_ITER)
        return err_set(e, ERR_UNSUPPORTED, "its PBKDF2 parameters are out of bounds");
    return parse_salt(o, f, e);
}

/* ---- reading ---- */

static int unlock(const struct kdf *f, const struct secret *password,
                  const struct buf *data, unsigned char out[KEY_BYTES], struct err *e)
{
    const unsigned char *d = (const unsigned char *)buf_str(data);
    unsigned char kek[KEY_BYTES];
    EVP_CIPHER_CTX *ctx;
    int r;

    if (f->kind == REPO_KDF_NONE) {
        if (data->len != KEY_BYTES)
            return err_set(e, ERR_INPUT, "its key has %zu bytes instead of %d", data->len,
                           KEY_BYTES);
        memcpy(out, d, KEY_BYTES);
        return 0;
    }
    if (data->len != IV_BYTES + TAG_BYTES + KEY_BYTES)
        return err_set(e, ERR_INPUT, "its encrypted key has %zu bytes instead of %d",
                       data->len, IV_BYTES + TAG_BYTES + KEY_BYTES);
    if (!password)
        return err_set(e, ERR_DENIED, "it is protected by a password: give it");
    ctx = EVP_CIPHER_CTX_new();
    if (!ctx)
        return err_nomem(e);
    r = derive(f, password, kek, e);
    if (r == 0 && (r = gcm_open(ctx, kek, d, d + IV_BYTES + TAG_BYTES, KEY_BYTES, out,
                                d + IV_BYTES, e)) < 0)
        err_set(e, ERR_DENIED, "the password is wrong");
    EVP_CIPHER_CTX_free(ctx);
    secret_wipe(kek, sizeof kek);
    return r;
}

static int check_fingerprint(const struct repo_key *k, const char *said, struct err *e)
{
    char is[REPO_FINGERPRINT_LEN];

    repo_key_fingerprint(k, is);
    if (said && strcasecmp(said, is) != 0)
        return err_set(e, ERR_INPUT,
                       "it says fingerprint %.100s, but its key has %s: it is damaged",
                       said, is);
    return 0;
}

/* A string that jansson holds: it frees memory as it is. */
static void wipe_text(const char *text)
{
    secret_wipe((char *)(uintptr_t)text, strlen(text));
}

static int parse_object(const json_t *o, const struct secret *password,
                        struct repo_key **ret, struct err *e)
{
    auto_call(repo_key_free_autop) struct repo_key *k = NULL;
    struct kdf f = {0};
    struct buf data = BUF_INIT;
    unsigned char enc[KEY_BYTES];
    const char *text;
    int r = parse_kdf(json_object_get(o, "kdf"), &f, e);

    if (r == 0)
        r = json_need_str(o, "data", &text, e);
    if (r == 0) {
        r = base64_decode(text, strlen(text), &data, e);
        wipe_text(text);
    }
    if (r == 0)
        r = buf_check(&data, e) < 0 || buf_check(&f.salt, e) < 0 ? -1 : 0;
    if (r == 0)
        r = unlock(&f, password, &data, enc, e);
    if (r == 0)
        r = repo_key_new(enc, &k, e);
    if (r == 0)
        r = check_fingerprint(k, json_str_or(o, "fingerprint", NULL), e);
    secret_wipe(enc, sizeof enc);
    if (data.data)
        secret_wipe(data.data, data.cap);
    buf_release(&data);
    buf_release(&f.salt);
    if (r < 0)
        return -1;
    *ret = take_ptr(k);
    return 0;
}

int repo_key_parse(const char *text, size_t len, const char *what,
                   const struct secret *password, struct repo_key **ret, struct err *e)
{
    json_auto_t *o = NULL;

    if (json_parse(text, len, what, &o, e) < 0)
        return -1;
    if (!json_is_object(o))
        return err_set(e, ERR_INPUT, "%s: not a key file", what);
    if (parse_object(o, password, ret, e) < 0)
        return err_prefix(e, "%s", what);
    return 0;
}

int repo_key_load(const char *path, const struct secret *password, struct repo_key **ret,
                  struct err *e)
{
    struct buf b = BUF_INIT;
    int r = io_read_file(path, MAX_KEY_FILE_BYTES, &b, e);

    if (r == 0)
        r = repo_key_parse(buf_str(&b), b.len, path, password, ret, e);
    if (b.data)
        secret_wipe(b.data, b.cap);
    buf_release(&b);
    return r;
}

/* ---- making ---- */

static json_t *kdf_json(const struct kdf *f)
{
    struct buf salt = BUF_INIT;
    json_t *v;

    if (f->kind == REPO_KDF_NONE)
        return json_null();
    base64_encode(buf_str(&f->salt), f->salt.len, &salt);
    if (f->kind == REPO_KDF_SCRYPT)
        v = json_pack("{s:{s:I,s:I,s:I,s:s}}", "Scrypt", "n", (json_int_t)f->n, "r",
                      (json_int_t)f->r, "p", (json_int_t)f->p, "salt", buf_str(&salt));
    else
        v = json_pack("{s:{s:I,s:s}}", "PBKDF2", "iter", (json_int_t)f->iter, "salt",
                      buf_str(&salt));
    buf_release(&salt);
    return v;
}

/* Appends what "data" holds: the key, or IV, tag and encrypted key. */
static int lock(const struct kdf *f, const struct secret *password,
                const unsigned char enc[KEY_BYTES], struct buf *out, struct err *e)
{
    unsigned char kek[KEY_BYTES], d[IV_BYTES + TAG_BYTES + KEY_BYTES];
    EVP_CIPHER_CTX *ctx;
    int r;

    if (f->kind == REPO_KDF_NONE) {
        buf_add(out, enc, KEY_BYTES);
        return 0;
    }
    ctx = EVP_CIPHER_CTX_new();
    if (!ctx)
        return err_nomem(e);
    rand_bytes(d, IV_BYTES);
    r = derive(f, password, kek, e);
    if (r == 0)
        r = gcm_seal(ctx, kek, d, enc, KEY_BYTES, d + IV_BYTES + TAG_BYTES, d + IV_BYTES,
                     e);
    EVP_CIPHER_CTX_free(ctx);
    secret_wipe(kek, sizeof kek);
    if (r == 0)
        buf_add(out, d, sizeof d);
    return r;
}

static int key_text(const struct kdf *f, const struct secret *password, char **ret,
                    struct err *e)
{
    auto_call(repo_key_free_autop) struct repo_key *k = NULL;
    unsigned char enc[KEY_BYTES];
    char now[CLOCK_ISO_LEN], fp[REPO_FINGERPRINT_LEN];
    struct buf data = BUF_INIT, b64 = BUF_INIT;
    json_auto_t *o = NULL;
    int r;

    rand_bytes(enc, sizeof enc);
    r = lock(f, password, enc, &data, e);
    if (r == 0)
        r = repo_key_new(enc, &k, e);
    secret_wipe(enc, sizeof enc);
    if (r == 0) {
        clock_iso8601(now, clock_real_s());
        repo_key_fingerprint(k, fp);
        base64_encode(buf_str(&data), data.len, &b64);
        o = json_pack("{s:o,s:s,s:s,s:s,s:s}", "kdf", kdf_json(f), "created", now,
                      "modified", now, "data", buf_str(&b64), "fingerprint", fp);
        r = o ? json_text(o, ret, e) : err_nomem(e);
        if (o)
            wipe_text(json_string_value(json_object_get(o, "data")));
    }
    if (data.data)
        secret_wipe(data.data, data.cap);
    if (b64.data)
        secret_wipe(b64.data, b64.cap);
    buf_release(&data);
    buf_release(&b64);
    return r;
}

/* link(2) refuses an existing name, so no older key is ever lost. */
static int write_new_file(const char *path, const char *text, struct err *e)
{
    auto_free char *tmp = str_fmt(e, "%s.tmpXXXXXX", path);
    auto_fd int fd = -1;
    int r;

    if (!tmp)
        return -1;
    fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, "%s: create", tmp);
    r = io_write_full(fd, text, strlen(text), tmp, e);
    if (r == 0 && (fchmod(fd, 0600) < 0 || fsync(fd) < 0))
        r = err_sys(e, "%s: sync", tmp);
    if (r == 0 && link(tmp, path) < 0) {
        r = errno == EEXIST
                ? err_set(e, ERR_EXISTS, "%s exists: a key is never overwritten", path)
                : err_sys(e, "%s: link", path);
    }
    unlink(tmp);
    return r;
}

int repo_key_create(const char *path, enum repo_kdf kdf, const struct secret *password,
                    struct err *e)
{
    struct kdf f = {.kind = kdf, .n = 65536, .r = 8, .p = 1, .iter = 65535};
    unsigned char salt[32];
    char *text = NULL;
    int r;

    if (kdf != REPO_KDF_NONE && secret_len(password) < MIN_PASSWORD)
        return err_set(e, ERR_USAGE, "%s: the password needs at least %d characters",
                       path, MIN_PASSWORD);
    rand_bytes(salt, sizeof salt);
    buf_add(&f.salt, salt, sizeof salt);
    r = buf_check(&f.salt, e);
    if (r == 0)
        r = key_text(&f, password, &text, e);
    if (r == 0)
        r = write_new_file(path, text, e);
    if (text)
        secret_wipe(text, strlen(text));
    free(text);
    buf_release(&f.salt);
    return r;
}
