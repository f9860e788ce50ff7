/* Inside src/repo only: manifests, index.json.blob (format, section 7). */
#ifndef HOTADD_REPO_MANIFEST_H
#define HOTADD_REPO_MANIFEST_H

#include "base/digest.h"
#include "repo/repo.h"

#define REPO_MANIFEST_NAME      "index.json.blob"
#define REPO_MANIFEST_MAX_BYTES (16u << 20)

struct repo_file {
    char *name; /* owned; with its extension, a valid name */
    enum repo_crypt crypt;
    uint64_t size_bytes;
    unsigned char csum[SHA256_BYTES];
};

struct repo_manifest {
    char *type, *id; /* owned */
    int64_t time;    /* Unix seconds */
    struct VEC(struct repo_file) files;
    json_t *json;            /* owned: all of it, as found */
    const char *signature;   /* borrowed from json; NULL: none */
    const char *fingerprint; /* of the key; borrowed from json; NULL: none */
    int64_t verified;        /* when; 0: never */
    bool verified_bad;
    bool verified_without_key; /* where one was needed: as servers do */
};

/* Owned. */
int repo_manifest_parse(const char *text, size_t len, struct repo_manifest **ret,
                        struct err *e) err_warn_unused;
/* An empty one, to be filled by repo_manifest_add(). */
int repo_manifest_new(const char *type, const char *id, int64_t time,
                      struct repo_manifest **ret, struct err *e) err_warn_unused;
void repo_manifest_free(struct repo_manifest *m);
DEFINE_AUTO_PTR(struct repo_manifest, repo_manifest_free)
#define auto_manifest auto_call(repo_manifest_free_autop)

int repo_manifest_add(struct repo_manifest *m, const char *name, enum repo_crypt crypt,
                      uint64_t size_bytes, const unsigned char csum[SHA256_BYTES],
                      struct err *e) err_warn_unused;
/* NULL when there is none. Borrowed. */
const struct repo_file *repo_manifest_file(const struct repo_manifest *m,
                                           const char *name);
/* Strictest of its files: encrypted before signed before none. */
enum repo_crypt repo_manifest_crypt(const struct repo_manifest *m);

/* HMAC over the canonical form. */
int repo_manifest_sign(const struct repo_manifest *m, const struct repo_key *k,
                       char out[SHA256_HEX_LEN], struct err *e) err_warn_unused;
/* ERR_INPUT when the signature is wrong, or is missing where files are marked as signed
 * or encrypted. */
int repo_manifest_check(const struct repo_manifest *m, const struct repo_key *k,
                        struct err *e) err_warn_unused;

/* Sets the signature and names the key. */
int repo_manifest_seal(struct repo_manifest *m, const struct repo_key *k,
                       struct err *e) err_warn_unused;
/* Notes the result of a verification below our own key of `unprotected`; everything else
 * stays as it was found. */
int repo_manifest_set_verified(struct repo_manifest *m, int64_t when, bool bad,
                               bool without_key, struct err *e) err_warn_unused;
/* As servers write it. Owned. */
int repo_manifest_text(const struct repo_manifest *m, char **ret,
                       struct err *e) err_warn_unused;

#endif
