/* What the EC2 calls share. Only the ec2_*.c files, wait.c and tests include it. */
#ifndef HOTADD_AWS_EC2_IMPL_H
#define HOTADD_AWS_EC2_IMPL_H

#include "aws/call.h"
#include "aws/ec2.h"
#include "aws/form.h"
#include "aws/shape.h"

/* Where our own token is kept on things whose API action has none. */
#define EC2_TOKEN_TAG "hotadd:token"

/* How EC2 writes each struct of ec2.h. */
extern const struct shape ec2_volume_shape, ec2_snapshot_shape, ec2_image_shape,
    ec2_instance_shape;

void ec2_form_begin(struct form *f, const char *action, bool dry_run);
/* TagSpecification.N with the tags and, when token is not NULL, our token's tag. Nothing
 * is added when there are no tags at all. Returns n + 1 if it was, else n. */
size_t ec2_form_tags(struct form *f, size_t n, const char *resource_type,
                     struct ec2_tags_in tags, const char *token);
void ec2_form_mappings(struct form *f, const struct ec2_mapping_in *v, size_t n);
void ec2_form_flag(struct form *f, enum ec2_flag value, const char *name);
/* NAME.1=…&NAME.2=… */
void ec2_form_strs(struct form *f, struct ec2_strs strs, const char *name);

enum ec2_repeat {
    EC2_REPEAT, /* harmless, or guarded by a client token */
    EC2_ONCE,   /* see `once` in call.h */
};

/* Sends the form. 0 with the answer; 1 when it was a dry run and would be allowed. */
int ec2_send(struct aws *aws, const struct form *f, enum ec2_repeat repeat,
             struct reply *ret, bool *ret_maybe_done, struct err *e) err_warn_unused;

/* Same where only success matters: 0 or -1. */
int ec2_do(struct aws *aws, const struct form *f, bool *ret_maybe_done,
           struct err *e) err_warn_unused;

/* Same where the answer holds one object: below `set`/item, or the answer itself when
 * set is NULL. A dry run zeroes it. */
int ec2_make(struct aws *aws, const struct form *f, enum ec2_repeat repeat,
             const char *set, const struct shape *shape, void *ret, bool *ret_maybe_done,
             struct err *e) err_warn_unused;

/* Deleting: "not found" is success, but only once EC2 has had time to know a thing just
 * made (settle time), or when an earlier try of ours may have done it. */
int ec2_delete(struct aws *aws, const struct form *f, struct err *e) err_warn_unused;

/* A Describe action. */
struct ec2_listing {
    const char *action;
    const char *ids_name;  /* "VolumeId" */
    const char *set;       /* "volumeSet" */
    const char *inner_set; /* "instancesSet" in each item of set, or NULL */
    unsigned page;         /* MaxResults when there are no ids; 0: not sent */
    const struct shape *shape;
};

extern const struct ec2_listing ec2_volume_listing, ec2_snapshot_listing,
    ec2_image_listing, ec2_instance_listing, ec2_import_image_listing,
    ec2_import_snapshot_listing;

/* Fills a struct VEC(…), which is overwritten. `query` may be NULL. */
int ec2_list(struct aws *aws, const struct ec2_listing *l, const struct ec2_query *query,
             void *ret_vec, struct err *e) err_warn_unused;

/* Exactly the one with this id; ERR_NOT_FOUND. */
int ec2_one(struct aws *aws, const struct ec2_listing *l, const char *id, void *ret,
            struct err *e) err_warn_unused;

/* Pauses between looks while EC2 settles: 1 after a pause, 0 when settle time is over,
 * -1 cancelled. Begin with a zeroed struct. */
struct ec2_settle {
    uint64_t deadline_ns, pause_ns;
};
int ec2_settle_pause(struct aws *aws, struct ec2_settle *s,
                     struct err *e) err_warn_unused;

#endif
