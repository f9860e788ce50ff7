/* What a request to the EBS direct APIs asks for, and the tokens that it brings back.
 * All of it comes from strangers; failures are ERR_CLOUD with the service's exception
 * and reason, as "ValidationException/INVALID_PAGE_TOKEN" in aws_code. */
#ifndef HOTADD_LAB_EBS_REQUEST_H
#define HOTADD_LAB_EBS_REQUEST_H

#include "base/err.h"
#include "base/json.h"

#include <stdint.h>

#define EBS_BLOCK_BYTES   524288u
#define EBS_BLOCKS_OF_GIB 2048u
#define EBS_MAX_BLOCKS    (65536ull * EBS_BLOCKS_OF_GIB)

int ebs_refuse(struct err *e, const char *exception, const char *reason, const char *fmt,
               ...) __attribute__((format(printf, 4, 5)));

enum ebs_action {
    EBS_NONE,
    EBS_LIST_BLOCKS,
    EBS_LIST_CHANGED,
    EBS_GET_BLOCK,
    EBS_START,
    EBS_PUT_BLOCK,
    EBS_COMPLETE,
};

struct ebs_target {
    enum ebs_action action; /* EBS_NONE: no such operation */
    char snapshot[65];      /* "" for StartSnapshot */
    uint64_t block;         /* of a block's own actions */
    json_t *query;          /* owned: name → value */
};

/* From method, path and query as sent. */
int ebs_target_parse(const char *method, const char *path, const char *query,
                     struct ebs_target *ret, struct err *e) err_warn_unused;
void ebs_target_release(struct ebs_target *t);

/* A number in the query (or NULL for none): 1 when it is there, 0 when not. */
int ebs_query_number(const struct ebs_target *t, const char *name, uint64_t max,
                     uint64_t *ret, struct err *e) err_warn_unused;

/* ---- Tokens: 52 characters of base 64 that say what they are for and until when, and
 * that only who knows the key can have made ---- */

#define EBS_TOKEN_LEN 53 /* with the NUL */
#define EBS_KEY_BYTES 32

/* `purpose` is what must be the same at both ends: "block snap-…", "page snap-… …". */
void ebs_token_make(const unsigned char key[EBS_KEY_BYTES], const char *purpose,
                    uint64_t number, int64_t expires_s, char out[EBS_TOKEN_LEN]);

/* False for a token of another key or purpose, a malformed or an expired one. */
bool ebs_token_check(const unsigned char key[EBS_KEY_BYTES], const char *purpose,
                     const char *token, int64_t now_s, uint64_t *ret_number);

/* ---- StartSnapshot ---- */

struct ebs_start {
    uint64_t gib;
    const char *parent, *token, *description, *kms_key; /* borrowed from doc; or NULL */
    const json_t *tags;                                 /* borrowed; may be NULL */
    bool encrypted, has_encrypted;
    uint64_t timeout_min;
    json_t *doc; /* owned */
};

int ebs_start_parse(const char *body, size_t len, struct ebs_start *ret,
                    struct err *e) err_warn_unused;
void ebs_start_release(struct ebs_start *s);

#endif
