/* One call of S3 being carried out. Only the s3_*.c files include it.
 *
 * Unlike EC2's actions these run without the lab's lock: the store of objects has its
 * own, and data are moved under none. */
#ifndef HOTADD_LAB_S3_IMPL_H
#define HOTADD_LAB_S3_IMPL_H

#include "lab/act.h"
#include "lab/api.h"
#include "lab/faults.h"
#include "lab/s3_body.h"
#include "lab/s3_request.h"

#define S3_OWNER "7009a8971cd538e11f6b6606438875e7c86c5b672f46db45460ddcd087d36c32"

struct s3_action;

struct s3_call {
    struct lab *lab;
    const struct http_request *rq;
    struct http_reply *rp;
    struct sigv4 sig;
    struct principal who;
    struct s3_chain chain; /* for chunks that are signed */
    struct s3_target target;
    const struct s3_action *action;
    struct fault_outcome fault;
    char request_id[API_ID_LEN];
    char region[64];      /* of the bucket, else the lab's */
    struct s3_body *body; /* what was uploaded, or NULL */
    bool failed;          /* with this: before the handler was called */
    struct err why;

    /* What the action answers: a document, or headers alone. */
    unsigned status;
    const char *root;
    json_t *out;
};

enum s3_level { S3_SERVICE, S3_BUCKET, S3_KEY };

struct s3_action {
    const char *name;
    const char *method;
    enum s3_level level;
    const char *param;  /* a parameter that must be there; NULL: none */
    const char *header; /* the same of headers */
    int (*run)(struct s3_call *c, struct err *e);
};

/* Tables, each ended by a NULL name; the first action that fits is taken. */
extern const struct s3_action s3_bucket_actions[], s3_list_actions[],
    s3_multipart_actions[], s3_object_actions[];

/* Begins the answer <root>: c->out. */
int s3_answer(struct s3_call *c, const char *root, struct err *e) err_warn_unused;
int s3_put_str(struct s3_call *c, const char *name, const char *value,
               struct err *e) err_warn_unused;
int s3_put_int(struct s3_call *c, const char *name, int64_t value,
               struct err *e) err_warn_unused;
int s3_put_bool(struct s3_call *c, const char *name, bool value,
                struct err *e) err_warn_unused;
/* Text that encoding-type=url encodes. */
int s3_put_name(struct s3_call *c, const char *name, const char *value,
                struct err *e) err_warn_unused;
int s3_header_add(struct s3_call *c, const char *name, const char *value,
                  struct err *e) err_warn_unused;
json_t *s3_owner(void);

/* NoSuchBucket. */
int s3_need_bucket(struct s3_call *c, struct err *e) err_warn_unused;

/* The headers of a request that its object repeats: content-type, x-amz-meta-…; owned
 * JSON object. MetadataTooLarge. */
int s3_kept_headers(const struct http_request *rq, json_t **ret,
                    struct err *e) err_warn_unused;

/* Of the table of lists, with the other actions on uploads. */
int s3_list_uploads(struct s3_call *c, struct err *e) err_warn_unused;

/* Opens the object that x-amz-copy-source names. NoSuchKey… */
int s3_open_source(struct s3_call *c, struct s3_object *ret, int *ret_fd,
                   struct err *e) err_warn_unused;

#endif
