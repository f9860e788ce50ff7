/* The credentials chain: the places where the AWS CLI looks, in its order. */
#ifndef HOTADD_AWS_CHAIN_H
#define HOTADD_AWS_CHAIN_H

#include "aws/client.h"

/* Fetches anew. The first place that is configured decides: its failure is the error.
 * ERR_DENIED listing the places when none is. One reference, the caller's.
 *
 * Order: keys in the environment (unless a profile was given by option); a web identity
 * in the environment; the profile (role, web identity, keys, credential_process); a
 * container's agent; this instance's role. */
int chain_fetch(struct aws *aws, struct creds **ret, struct err *e) err_warn_unused;

/* Splits a command line as a shell would, without expanding anything; ret_argv is one
 * owned block with a NULL at its end. */
int chain_split_command(const char *command, char ***ret_argv,
                        struct err *e) err_warn_unused;

#endif
