/* The options by which commands name a repository, and what they share about one. */
#ifndef HOTADD_CLI_REPO_WORDS_H
#define HOTADD_CLI_REPO_WORDS_H

#include "cli/command.h"
#include "flow/open_repo.h"

/* The user's words, owned. */
struct repo_words {
    char *repo;
    char *ns;
    char *key;
    char *key_password_file;
    char *region;
    char *aws_profile;
};

/* A table's lines for a struct whose member `in` has these fields (struct repo_words,
 * struct restore_params). */
#define REPO_OPTIONS(owner, in)                                                          \
    {"repo",        0,                                                                   \
     OPTION_STRING, offsetof(owner, in.repo),                                            \
     "DIR|s3://…",  "repository of recovery points"},                                    \
        {"ns",          0,                                                               \
         OPTION_STRING, offsetof(owner, in.ns),                                          \
         "NAMESPACE",   "namespace in it (the root)"},                                   \
        {"key",         0,                                                               \
         OPTION_STRING, offsetof(owner, in.key),                                         \
         "FILE",        "key of encrypted or signed points"},                            \
    {                                                                                    \
        "key-password-file", 0, OPTION_STRING, offsetof(owner, in.key_password_file),    \
            "FILE", "the key's password (else $HOTADD_KEY_PASSWORD)"                     \
    }

/* The bucket's. */
#define REPO_AWS_OPTIONS(owner, in)                                                      \
    {"region",      0,                                                                   \
     OPTION_STRING, offsetof(owner, in.region),                                          \
     "REGION",      "AWS region of an s3:// repository"},                                \
    {                                                                                    \
        "aws-profile", 0, OPTION_STRING, offsetof(owner, in.aws_profile), "NAME",        \
            "profile of ~/.aws/config"                                                   \
    }

/* Borrows from the words. */
struct repo_where repo_words_where(const struct repo_words *w);

/* "vm/web01@2026-…" of an entry, with its namespace; as hotadd takes it. Owned. */
char *repo_entry_text(const struct repo_entry *x, struct err *e);

#endif
