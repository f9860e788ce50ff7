/* Inside src/repo only: keys, and AES-256-GCM as the format uses it. */
#ifndef HOTADD_REPO_KEY_H
#define HOTADD_REPO_KEY_H

#include "base/digest.h"
#include "repo/repo.h"

#include <openssl/evp.h>

#define KEY_BYTES 32
#define IV_BYTES  16
#define TAG_BYTES 16

/* `enc` is copied; the caller wipes its own. Owned. */
int repo_key_new(const unsigned char enc[KEY_BYTES], struct repo_key **ret,
                 struct err *e) err_warn_unused;

/* The text of a key file; `what` names it in errors. */
int repo_key_parse(const char *text, size_t len, const char *what,
                   const struct secret *password, struct repo_key **ret,
                   struct err *e) err_warn_unused;

/* Borrowed: the key of the data, and the derived one of digests and signatures. */
const unsigned char *repo_key_enc(const struct repo_key *k);
const unsigned char *repo_key_id(const struct repo_key *k);

/* HMAC-SHA256 with the derived key. */
int repo_key_sign(const struct repo_key *k, const void *data, size_t len,
                  unsigned char out[SHA256_BYTES], struct err *e) err_warn_unused;

/* len bytes from in to out, which may be the same. `key` NULL: the context has it from an
 * earlier call of the same function. */
int gcm_seal(EVP_CIPHER_CTX *ctx, const unsigned char *key,
             const unsigned char iv[IV_BYTES], const void *in, size_t len, void *out,
             unsigned char tag[TAG_BYTES], struct err *e) err_warn_unused;
/* ERR_DENIED when the tag is wrong: another key, or changed data. */
int gcm_open(EVP_CIPHER_CTX *ctx, const unsigned char *key,
             const unsigned char iv[IV_BYTES], const void *in, size_t len, void *out,
             const unsigned char tag[TAG_BYTES], struct err *e) err_warn_unused;

#endif
