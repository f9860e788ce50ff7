/* A lab in a directory of its own, without ports or machines, and calls made on it as a
 * signed client would make them. */
#ifndef HOTADD_TESTS_UNIT_LAB_FIXTURE_H
#define HOTADD_TESTS_UNIT_LAB_FIXTURE_H

#include "test.h"

#include "lab/api.h"

struct lab_fixture {
    char dir[64];
    struct lab_settings set;
    struct lab *lab;
    struct http_reply rp; /* the last answer */
    /* Who signs; NULL: the account's own key. */
    const char *key, *secret, *token;
};

int lab_fixture_setup(void **state);
int lab_fixture_teardown(void **state);

/* Calls EC2 (or "sts") with form text without Version; returns the HTTP status, 0 for a
 * dropped connection. */
unsigned lab_call(struct lab_fixture *f, const char *service, const char *form);

/* The call must be answered with that code ("" for success). */
void lab_expect(struct lab_fixture *f, const char *form, const char *code);

/* A request to S3. */
#define LAB_S3_HEADERS 16
struct lab_s3_request {
    const char *method, *target;         /* path and query as sent */
    const char *headers[LAB_S3_HEADERS]; /* lower-case name, value, name, …; all signed */
    const char *body;
    size_t body_len;
    const char *sha256; /* of x-amz-content-sha256; NULL: the body's */
    const char *host, *region;
    bool is_unsigned;
    bool lost; /* the connection ends before the answer */
};

/* Returns the HTTP status; the body is in f->rp.body, also when it is a file. */
unsigned lab_s3(struct lab_fixture *f, const struct lab_s3_request *in);
/* With that status and, for errors, that code. */
void lab_s3_expect(struct lab_fixture *f, struct lab_s3_request in, unsigned status,
                   const char *code);
/* Value of a header of the last answer, "" when it is not there. */
const char *lab_header(struct lab_fixture *f, const char *name);

/* Text of the first <name> in the last answer, copied to out (80 bytes); returned. */
char *lab_value(struct lab_fixture *f, const char *name, char out[80]);

/* Lets all that is due happen, as the keeper would. */
void lab_pass_time(struct lab_fixture *f);

/* Closes the lab and opens it again, as after a crash when the process is gone. */
void lab_reopen(struct lab_fixture *f);

#endif
