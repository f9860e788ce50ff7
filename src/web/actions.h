/* What the monitor does: runs hotadd as a child of its own process group, by a list of
 * arguments, without a shell. The job is the child's: it goes on when the monitor ends.
 */
#ifndef HOTADD_WEB_ACTIONS_H
#define HOTADD_WEB_ACTIONS_H

#include "base/err.h"
#include "base/strv.h"

#include <jansson.h>

struct actions;

/* program and journal_path are borrowed. */
int actions_new(const char *program, const char *journal_path, struct actions **ret,
                struct err *e) err_warn_unused;
/* Lets go of children that still run. NULL is fine. */
void actions_free(struct actions *a);

/* Runs `hotadd WORDS… --journal FILE --quiet`, words being taken over only as arguments.
 * *ret (owned) is as in actions_list(). ERR_BUSY: the same words run already, or too many
 * others. Any thread. */
int actions_run(struct actions *a, const struct strv *words, json_t **ret,
                struct err *e) err_warn_unused;

/* Sees which have ended; *ret (owned) is an array of these, or NULL when there are none.
 * One thread at a time. */
int actions_reap(struct actions *a, json_t **ret, struct err *e) err_warn_unused;

/* The newest first: {id, command, state ("running", "done", "failed"), started, ended,
 * exit ("exit 3", "signal 9" or null), said (the last of its standard error)}. Owned. */
int actions_list(struct actions *a, json_t **ret, struct err *e) err_warn_unused;

#endif
