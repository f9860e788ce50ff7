/* The helper's own side of helper.h: reading the request, saying lines, and ending when
 * the client is gone. */
#ifndef HOTADD_BASE_HELPER_CHILD_H
#define HOTADD_BASE_HELPER_CHILD_H

#include "base/err.h"

#include <jansson.h>

/* The first thing in main(): no privileges by set-user-ID bits, a group of our own, no
 * core files, SIGPIPE ignored. */
void helper_child_begin(void);

/* The request line; owned. Call it before there are threads. */
int helper_child_request(json_t **ret, struct err *e) err_warn_unused;

/* A thread that ends our group as soon as standard input closes. */
int helper_child_watch(struct err *e) err_warn_unused;

/* Each says one line; `line` is taken over. Threads: one at a time. */
void helper_child_say(json_t *line);
void helper_child_result(json_t *result);
/* Returns 1, for main() to return. */
int helper_child_error(const struct err *e);

#endif
