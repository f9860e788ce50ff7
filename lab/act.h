/* One call of the EC2 or STS API being carried out.
 *
 * Runs under the lab's lock, inside one transaction of the store: a failure rolls
 * everything back. Handlers validate first, then touch files and devices, then change
 * documents. */
#ifndef HOTADD_LAB_ACT_H
#define HOTADD_LAB_ACT_H

#include "lab/refuse.h"
#include "lab/lab.h"
#include "lab/query.h"
#include "lab/res.h"

struct fault_outcome;

struct principal {
    char access_key[132];
    char role[72]; /* "" for the account's own key */
    char session[72];
    char user_id[160];
    char arn[256];
};

struct act {
    struct lab *lab;
    const char *name;     /* of the action */
    const json_t *params; /* the tree of parameters */
    const json_t *flat;   /* name → value */
    const struct principal *who;
    int64_t now_ms;
    json_t *out; /* members of the answer, in order */
    const char *request_id;
    const struct fault_outcome *fault; /* NULL: none; lab/faults.h */
};

struct action {
    const char *name;
    int (*run)(struct act *a, struct err *e);
    /* Parameters that must be there, separated by blanks; "A|B" means one of them;
     * "L.N" a list with at least one element. NULL for none. */
    const char *required;
};

/* Tables, each ended by a NULL name. */
extern const struct action actions_volume[], actions_attach[], actions_snapshot[],
    actions_image[], actions_run[], actions_instance[], actions_instance_attr[],
    actions_network[], actions_group[], actions_key[], actions_tag[], actions_zone[],
    actions_type[], actions_import[], actions_sts[], actions_iam[];

/* Adds an answer's member, taking value over. */
int act_put(struct act *a, const char *name, json_t *value,
            struct err *e) err_warn_unused;
/* <return>true</return> */
int act_true(struct act *a, struct err *e) err_warn_unused;
/* Adds all members of a document (shallow). */
int act_put_all(struct act *a, const json_t *doc, struct err *e) err_warn_unused;

/* Client tokens. act_token_find(): 1 and the earlier call's result (borrowed JSON string
 * or array of ids) when this call repeats it, 0 when it is new or has no token,
 * IdempotentParameterMismatch when its parameters differ. act_token_save() remembers. */
int act_token_find(struct act *a, const json_t **ret_result,
                   struct err *e) err_warn_unused;
int act_token_save(struct act *a, json_t *result, struct err *e) err_warn_unused;

/* Tags. The tagSet for one resource type from TagSpecification.N; an empty array when
 * none. `allowed` lists the resource types this action can tag. */
int tags_from_spec(const json_t *params, const char *type, const char *allowed,
                   json_t **ret, struct err *e) err_warn_unused;
/* Adds or replaces tags (array of {Key, Value}) in a document. */
int tags_merge(json_t *doc, const json_t *tags, struct err *e) err_warn_unused;
int tags_check(const json_t *tags, struct err *e) err_warn_unused;

#endif
