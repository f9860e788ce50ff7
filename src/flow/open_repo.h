/* Opening a repository from what the user named: a folder or a place in S3, a key file,
 * and where the key's password is. */
#ifndef HOTADD_FLOW_OPEN_REPO_H
#define HOTADD_FLOW_OPEN_REPO_H

#include "base/cancel.h"
#include "base/secret.h"
#include "repo/repo.h"

struct aws;

/* Where a key's password is looked for when no file is named. */
#define KEY_PASSWORD_ENV "HOTADD_KEY_PASSWORD"

/* The user's words; all borrowed, all may be NULL. Holds no secret, so it may be kept in
 * a journal and handed to a child as arguments. */
struct repo_where {
    const char *at;            /* folder, or "s3://BUCKET/NAME"; NULL: no repository */
    const char *ns;            /* namespace of names that have none; NULL: the root */
    const char *key;           /* key file */
    const char *password_file; /* holds its password; NULL: KEY_PASSWORD_ENV */
    const char *region;        /* of the bucket; NULL: as AWS's settings say */
    const char *aws_profile;   /* the same */
};

/* A repository and what must live as long as it. */
struct flow_repo {
    struct aws *aws;      /* owned; NULL for a folder */
    struct repo_key *key; /* owned; NULL: none */
    struct repo *repo;    /* owned */
};

/* Fills *ret (zeroed by the caller), which is released with flow_repo_close() also after
 * a failure. `cancel` (may be NULL) must outlive it. Blocks on the store. Errors: those
 * of repo_open_*(), repo_key_load() and aws_new(). */
int flow_repo_open(const struct repo_where *where, enum repo_open how,
                   const struct cancel *cancel, struct flow_repo *ret,
                   struct err *e) err_warn_unused;
void flow_repo_close(struct flow_repo *r);
#define auto_flow_repo auto_call(flow_repo_close)

/* repo_name_parse(), with `where`'s namespace for a name that has none. `text` NULL gives
 * the name that stands for every machine of the namespace. */
int flow_repo_name(const struct repo_where *where, const char *text,
                   struct repo_name *ret, struct err *e) err_warn_unused;

/* "prod/vm/web01@2026-01-02T03:04:05Z": what names exactly that point. Owned; NULL when
 * out of memory. */
char *flow_point_text(const struct repo_name *name, int64_t time, struct err *e);

/* The first line of the file, else the environment's KEY_PASSWORD_ENV, else NULL.
 * Owned. */
int flow_key_password(const char *file, struct secret **ret,
                      struct err *e) err_warn_unused;

#endif
