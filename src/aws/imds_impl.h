/* Inside of the metadata client, for the client of the API and for fuzzing. */
#ifndef HOTADD_AWS_IMDS_IMPL_H
#define HOTADD_AWS_IMDS_IMPL_H

#include "aws/http.h"
#include "aws/imds.h"

/* On a pool of connections that outlives it. */
int imds_new_on(const char *endpoint, bool disabled, struct http *http,
                const struct cancel *cancel, struct imds **ret,
                struct err *e) err_warn_unused;

/* As imds_get(), for answers that hold credentials: wiped on release. */
int imds_fetch(struct imds *i, const char *path, struct http_answer *ret,
               struct err *e) err_warn_unused;

/* Name of the instance's role, "" when it has none. Owned. */
int imds_role_name(struct imds *i, char **ret, struct err *e) err_warn_unused;

/* The identity document; mac and role stay NULL. */
int imds_identity_parse(const char *text, size_t len, struct imds_identity *ret,
                        struct err *e) err_warn_unused;

#endif
