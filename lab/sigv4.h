/* Signature Version 4, the verifying side, written from Amazon's description of the
 * protocol ("Create a signed AWS API request"); shares nothing with hotadd's signer.
 *
 * A request carries its signature in the Authorization header or, presigned, in
 * X-Amz-* query parameters. Nothing here keeps state; failures are ERR_CLOUD with the
 * code the service answers. */
#ifndef HOTADD_LAB_SIGV4_H
#define HOTADD_LAB_SIGV4_H

#include "lab/http.h"

#include <stdint.h>

#define SIGV4_HEX_LEN 65

/* What a request claims about itself; owned strings. */
struct sigv4 {
    char *access_key;
    char *date; /* YYYYMMDD of the credential scope */
    char *region;
    char *service;
    char *signed_headers; /* as sent: "host;x-amz-date" */
    char *signature;      /* 64 hex digits */
    char *amz_date;       /* YYYYMMDDTHHMMSSZ */
    char *token;          /* session token or NULL */
    bool presigned;
    int64_t expires_s; /* of a presigned request */
};

/* Splits "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…". Fills the
 * members from access_key to signature. */
int sigv4_parse_header(const char *value, struct sigv4 *ret,
                       struct err *e) err_warn_unused;

/* Finds the signature in either place. MissingAuthenticationToken when there is none. */
int sigv4_parse(const struct http_request *rq, struct sigv4 *ret,
                struct err *e) err_warn_unused;
void sigv4_release(struct sigv4 *s);

/* RequestExpired when the request's time is off by more than 15 minutes from now_s, or
 * a presigned one is over. */
int sigv4_check_time(const struct sigv4 *s, int64_t now_s, struct err *e) err_warn_unused;

/* The canonical request, for the test vectors and for the message of a mismatch. */
int sigv4_canonical(const struct http_request *rq, const struct sigv4 *s, struct buf *out,
                    struct err *e) err_warn_unused;

/* The signature that `secret` gives. */
int sigv4_sign(const struct http_request *rq, const struct sigv4 *s, const char *secret,
               char out[SIGV4_HEX_LEN], struct err *e) err_warn_unused;

/* What signs under this scope, for what is signed piece by piece; the caller wipes it. */
int sigv4_key(const struct sigv4 *s, const char *secret, unsigned char key[32],
              struct err *e) err_warn_unused;
/* HMAC-SHA256 of the text in hex. */
void sigv4_hmac_hex(const unsigned char key[32], const char *text,
                    char out[SIGV4_HEX_LEN]);

/* SignatureDoesNotMatch unless the signature is that of `secret` and covers the host
 * and every x-amz- header. */
int sigv4_verify(const struct http_request *rq, const struct sigv4 *s, const char *secret,
                 struct err *e) err_warn_unused;

#endif
