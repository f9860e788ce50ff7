/* One call of the EBS direct APIs being carried out. Only the ebs_*.c files include it.
 *
 * Blocks are read and written without the lab's lock: a completed snapshot's file does
 * not change, and of a pending one a block is whole or another writer's. */
#ifndef HOTADD_LAB_EBS_IMPL_H
#define HOTADD_LAB_EBS_IMPL_H

#include "lab/act.h"
#include "lab/api.h"
#include "lab/ebs_request.h"
#include "lab/faults.h"
#include "lab/sigv4.h"

struct ebs_call {
    struct lab *lab;
    const struct http_request *rq;
    struct http_reply *rp;
    struct sigv4 sig;
    struct principal who;
    struct ebs_target target;
    struct fault_outcome fault;
    char request_id[API_ID_LEN];
    json_t *out; /* the answer; NULL when the handler filled rp->body */
};

/* The key of tokens, made when it is first needed. Under the lab's lock. */
int ebs_key(struct lab *lab, unsigned char key[EBS_KEY_BYTES],
            struct err *e) err_warn_unused;

/* The snapshot, of ours and completed. Under the lab's lock; borrowed. */
int ebs_find(struct lab *lab, const char *id, const json_t **ret,
             struct err *e) err_warn_unused;

/* STATE/snapshots/snap-….sums: for each block that PutSnapshotBlock wrote, a 1 and its
 * SHA-256. Owned. */
char *ebs_sums_path(const struct lab *lab, const char *id, struct err *e) err_warn_unused;

int ebs_list_blocks(struct ebs_call *c, struct err *e) err_warn_unused;
int ebs_list_changed(struct ebs_call *c, struct err *e) err_warn_unused;
int ebs_get_block(struct ebs_call *c, struct err *e) err_warn_unused;
int ebs_start(struct ebs_call *c, struct err *e) err_warn_unused;
int ebs_put_block(struct ebs_call *c, struct err *e) err_warn_unused;
int ebs_complete(struct ebs_call *c, struct err *e) err_warn_unused;

#endif
