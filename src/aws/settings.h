/* Where to talk to, as whom: what the options, the environment and the profile say about
 * everything but the credentials themselves (chain.h). */
#ifndef HOTADD_AWS_SETTINGS_H
#define HOTADD_AWS_SETTINGS_H

#include "aws/aws.h"
#include "aws/ini.h"
#include "base/secret.h"

/* The environment's part in the credentials chain, kept because it may be needed again
 * at every renewal, when other threads run. NULL: not set, or set to nothing. */
struct settings_env {
    char *access_key_id;
    struct secret *secret_key;
    struct secret *session_token;
    char *container_relative_uri;
    char *container_full_uri;
    struct secret *container_token;
    char *container_token_file;
    char *web_identity_token_file;
    char *role_arn;
    char *role_session_name;
};

/* How a bucket is named in a request: s3.addressing_style of the profile. */
enum s3_addressing { S3_AUTO, S3_PATH, S3_VIRTUAL };

struct settings {
    char *profile;          /* "default" when nobody named one */
    bool profile_named;     /* by option or AWS_PROFILE: then it must exist */
    bool profile_by_option; /* then it wins over keys in the environment */
    char *config_path, *credentials_path;
    char *region; /* NULL: to be asked of the metadata service */
    char *region_source;
    char *endpoints[AWS_SERVICES]; /* NULL: AWS's own; without a trailing slash */
    enum s3_addressing addressing;
    char *ca_bundle;     /* or NULL */
    char *imds_endpoint; /* without a trailing slash */
    bool imds_disabled;
    struct settings_env env;
};

/* ERR_USAGE names the setting at fault. */
int settings_load(const struct aws_options *options, struct settings *ret,
                  struct err *e) err_warn_unused;
void settings_release(struct settings *c);

/* Only what imds_new() needs: endpoint (owned) and whether it is switched off. */
int settings_imds(const char *endpoint_option, char **ret_endpoint, bool *ret_disabled,
                  struct err *e) err_warn_unused;

/* The two files; absent ones read as empty. Owned. */
struct settings_files {
    struct aws_ini *config, *credentials;
};
int settings_files_read(const struct settings *c, struct settings_files *ret,
                        struct err *e) err_warn_unused;
void settings_files_release(struct settings_files *f);
/* Setting of a profile, from credentials, then config; borrowed, NULL when not set or
 * empty. */
const char *settings_profile_get(const struct settings_files *f, const char *profile,
                                 const char *key);
bool settings_profile_exists(const struct settings_files *f, const char *profile);

/* Sets region and its source; ERR_USAGE when it is no region's name. */
int settings_set_region(struct settings *c, const char *region, const char *source,
                        struct err *e) err_warn_unused;

bool settings_is_region(const char *s);

/* "aws" and "amazonaws.com" of a region; static strings. */
const char *settings_partition(const char *region);
const char *settings_dns_suffix(const char *region);
/* IAM has one endpoint for a whole partition, which is signed for one region; static
 * strings. */
const char *settings_iam_host(const char *region);
const char *settings_iam_region(const char *region);

#endif
