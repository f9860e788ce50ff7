/* Resources: their ids, and finding their documents with EC2's errors. */
#ifndef HOTADD_LAB_RES_H
#define HOTADD_LAB_RES_H

#include "lab/lab.h"

#include <stddef.h>

#define RES_ID_LEN 40

enum res {
    RES_VOLUME,
    RES_SNAPSHOT,
    RES_IMAGE,
    RES_INSTANCE,
    RES_SUBNET,
    RES_VPC,
    RES_GROUP,
    RES_INTERFACE,
    RES_KEY,
    RES_IMPORT_IMAGE,
    RES_IMPORT_SNAPSHOT,
    RES_N,
};

struct res_type {
    const char *kind;      /* of the store, and its name as a taggable resource */
    const char *prefix;    /* "vol" */
    const char *id_member; /* "volumeId" */
    const char *not_found; /* code */
    const char *malformed; /* code */
    const char *text;      /* of the not-found message, with one %s */
};

const struct res_type *res_type(enum res r);
/* By the prefix of an id ("vol-…"), NULL when it is none of ours. */
const struct res_type *res_type_of_id(const char *id);

/* "vol-0123456789abcdef0"; returned. */
char *res_new_id(enum res r, char out[RES_ID_LEN]);

/* prefix, dash, 8 or 17 hex digits. */
bool res_id_ok(enum res r, const char *id);

/* The document, borrowed from the store; or EC2's malformed or not-found error. A
 * resource that a fault still hides (eventual consistency) is not found either. */
int res_find(struct lab *lab, enum res r, const char *id, const json_t **ret,
             struct err *e) err_warn_unused;
/* Same, to change it. */
int res_edit(struct lab *lab, enum res r, const char *id, json_t **ret,
             struct err *e) err_warn_unused;

/* True while the eventual-consistency fault hides this document. */
bool res_hidden(struct lab *lab, const json_t *doc);

#endif
