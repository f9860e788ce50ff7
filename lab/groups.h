/* Security groups and key pairs, as other actions look them up. */
#ifndef HOTADD_LAB_GROUPS_H
#define HOTADD_LAB_GROUPS_H

#include "lab/act.h"

/* [{groupId, groupName}] of the groups named by id and by name, all of one VPC; the
 * VPC's default group when neither list has any. Owned. */
int groups_resolve(struct lab *lab, const char *vpc_id, const json_t *ids,
                   const json_t *names, json_t **ret, struct err *e) err_warn_unused;

/* The key pair of that name, or NULL. Borrowed. */
const json_t *key_by_name(struct lab *lab, const char *name);

#endif
