/* Roles of the account, kept by the IAM actions and asked by services that work in the
 * user's name. Under the lab's lock. */
#ifndef HOTADD_LAB_ROLE_H
#define HOTADD_LAB_ROLE_H

#include "lab/act.h"

/* Whether VM Import may assume the role: it is there and trusts vmie.amazonaws.com. */
bool role_trusts_vm_import(struct lab *lab, const char *name);

/* Whether the role's policies together allow the action on the resource. */
bool role_permits(struct lab *lab, const char *name, const char *action,
                  const char *resource);

#endif
