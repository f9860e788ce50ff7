/* Configuration as the AWS CLI finds it; see settings.h. Nothing is written, ever. */
#include "aws/settings.h"

#include "aws/http.h"
#include "base/str.h"

#include <errno.h>
#include <pwd.h>

static const char *const service_words[AWS_SERVICES] = {[AWS_EC2] = "EC2",
                                                        [AWS_STS] = "STS",
                                                        [AWS_S3] = "S3",
                                                        [AWS_EBS] = "EBS",
                                                        [AWS_IAM] = "IAM"};
static const char *const service_keys[AWS_SERVICES] = {[AWS_EC2] = "ec2",
                                                       [AWS_STS] = "sts",
                                                       [AWS_S3] = "s3",
                                                       [AWS_EBS] = "ebs",
                                                       [AWS_IAM] = "iam"};

/* NULL for "not set" and for "set to nothing", which the AWS tools treat alike. */
static const char *env_get(const char *name)
{
    const char *v = getenv(name);

    return v && *v ? v : NULL;
}

static bool is_true(const char *v)
{
    return v && strcasecmp(v, "true") == 0;
}

static int env_copy(const char *name, char **ret, struct err *e)
{
    const char *v = env_get(name);

    return v ? str_set(ret, v, e) : 0;
}

static int env_secret(const char *name, struct secret **ret, struct err *e)
{
    const char *v = env_get(name);

    return v ? secret_new(v, strlen(v), ret, e) : 0;
}

static int load_env(struct settings_env *env, struct err *e)
{
    if (env_copy("AWS_ACCESS_KEY_ID", &env->access_key_id, e) < 0 ||
        env_secret("AWS_SECRET_ACCESS_KEY", &env->secret_key, e) < 0 ||
        env_secret("AWS_SESSION_TOKEN", &env->session_token, e) < 0 ||
        env_copy("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", &env->container_relative_uri,
                 e) < 0 ||
        env_copy("AWS_CONTAINER_CREDENTIALS_FULL_URI", &env->container_full_uri, e) < 0 ||
        env_secret("AWS_CONTAINER_AUTHORIZATION_TOKEN", &env->container_token, e) < 0 ||
        env_copy("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &env->container_token_file,
                 e) < 0 ||
        env_copy("AWS_WEB_IDENTITY_TOKEN_FILE", &env->web_identity_token_file, e) < 0 ||
        env_copy("AWS_ROLE_ARN", &env->role_arn, e) < 0 ||
        env_copy("AWS_ROLE_SESSION_NAME", &env->role_session_name, e) < 0)
        return -1;
    if (!env->access_key_id != !env->secret_key)
        return err_set(e, ERR_USAGE, "%s is set without %s: set both, or neither",
                       env->access_key_id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                       env->access_key_id ? "AWS_SECRET_ACCESS_KEY"
                                          : "AWS_ACCESS_KEY_ID");
    return 0;
}

/* An environment variable's path, else ~/.aws/NAME. */
static int file_path(const char *variable, const char *name, char **ret, struct err *e)
{
    const char *v = env_get(variable), *home = env_get("HOME");
    char buf[4096];
    struct passwd pw, *found = NULL;

    if (v && v[0] == '~' && v[1] == '/' && home)
        return (*ret = str_fmt(e, "%s%s", home, v + 1)) ? 0 : -1;
    if (v)
        return str_set(ret, v, e);
    if (!home && getpwuid_r(getuid(), &pw, buf, sizeof buf, &found) == 0 && found)
        home = found->pw_dir;
    *ret = str_fmt(e, "%s/.aws/%s", home ? home : "", name);
    return *ret ? 0 : -1;
}

int settings_files_read(const struct settings *c, struct settings_files *ret,
                        struct err *e)
{
    struct settings_files f = {0};

    if (aws_ini_read(c->config_path, &f.config, e) < 0 ||
        aws_ini_read(c->credentials_path, &f.credentials, e) < 0) {
        settings_files_release(&f);
        return -1;
    }
    *ret = f;
    return 0;
}

void settings_files_release(struct settings_files *f)
{
    aws_ini_free(f->config);
    aws_ini_free(f->credentials);
    *f = (struct settings_files){0};
}

/* In config, profile x is [profile x]; default may be [default] too. */
static const char *settings_get(const struct aws_ini *ini, const char *profile,
                                const char *key, const char *sub)
{
    struct err ignored;
    auto_free char *section = str_fmt(&ignored, "profile %s", profile);
    const char *v = section ? aws_ini_get(ini, section, key, sub) : NULL;

    if (!v && str_eq(profile, "default"))
        v = aws_ini_get(ini, "default", key, sub);
    return v;
}

const char *settings_profile_get(const struct settings_files *f, const char *profile,
                                 const char *key)
{
    const char *v = aws_ini_get(f->credentials, profile, key, NULL);

    if (!v || !*v)
        v = settings_get(f->config, profile, key, NULL);
    return v && *v ? v : NULL;
}

bool settings_profile_exists(const struct settings_files *f, const char *profile)
{
    struct err ignored;
    auto_free char *section = str_fmt(&ignored, "profile %s", profile);

    return aws_ini_has(f->credentials, profile) ||
           (section && aws_ini_has(f->config, section)) ||
           (str_eq(profile, "default") && aws_ini_has(f->config, "default"));
}

/* ---- Region ---- */

bool settings_is_region(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");

    return n > 0 && n < 64 && !s[n] && s[0] != '-' && s[n - 1] != '-';
}

int settings_set_region(struct settings *c, const char *region, const char *source,
                        struct err *e)
{
    if (!settings_is_region(region))
        return err_set(e, ERR_USAGE,
                       "'%.64s' (%s) is no region: one looks like eu-west-1", region,
                       source);
    if (str_set(&c->region, region, e) < 0)
        return -1;
    return str_set(&c->region_source, source, e);
}

static int load_region(struct settings *c, const struct aws_options *o,
                       const struct settings_files *f, struct err *e)
{
    const char *in_profile = settings_profile_get(f, c->profile, "region");
    auto_free char *from = str_fmt(e, "from profile %s", c->profile);

    if (!from)
        return -1;
    if (o->region)
        return settings_set_region(c, o->region, "as given", e);
    if (env_get("AWS_REGION"))
        return settings_set_region(c, env_get("AWS_REGION"), "from AWS_REGION", e);
    if (env_get("AWS_DEFAULT_REGION"))
        return settings_set_region(c, env_get("AWS_DEFAULT_REGION"),
                                   "from AWS_DEFAULT_REGION", e);
    return in_profile ? settings_set_region(c, in_profile, from, e) : 0;
}

struct partition {
    const char *prefix, *name, *suffix;
    const char *iam_host, *iam_region;
};

/* The longest fitting prefix comes first. */
static const struct partition *partition_of(const char *region)
{
    static const struct partition table[] = {
        {"cn-", "aws-cn", "amazonaws.com.cn", "iam.cn-north-1.amazonaws.com.cn",
         "cn-north-1"},
        {"us-gov-", "aws-us-gov", "amazonaws.com", "iam.us-gov.amazonaws.com",
         "us-gov-west-1"},
        {"us-isob-", "aws-iso-b", "sc2s.sgov.gov", "iam.us-isob-east-1.sc2s.sgov.gov",
         "us-isob-east-1"},
        {"us-isof-", "aws-iso-f", "csp.hci.ic.gov", "iam.us-isof-south-1.csp.hci.ic.gov",
         "us-isof-south-1"},
        {"us-iso-", "aws-iso", "c2s.ic.gov", "iam.us-iso-east-1.c2s.ic.gov",
         "us-iso-east-1"},
        {"eu-isoe-", "aws-iso-e", "cloud.adc-e.uk", "iam.eu-isoe-west-1.cloud.adc-e.uk",
         "eu-isoe-west-1"},
        {"eusc-", "aws-eusc", "amazonaws.eu", "iam.eusc-de-east-1.amazonaws.eu",
         "eusc-de-east-1"},
        {"", "aws", "amazonaws.com", "iam.amazonaws.com", "us-east-1"},
    };
    const struct partition *p = table;

    while (!str_starts(region, p->prefix))
        p++;
    return p;
}

const char *settings_partition(const char *region)
{
    return partition_of(region)->name;
}

const char *settings_dns_suffix(const char *region)
{
    return partition_of(region)->suffix;
}

const char *settings_iam_host(const char *region)
{
    return partition_of(region)->iam_host;
}

const char *settings_iam_region(const char *region)
{
    return partition_of(region)->iam_region;
}

/* ---- Endpoints ---- */

static int set_endpoint(char **ret, const char *url, const char *source,
                        enum http_reach reach, struct err *e)
{
    char *copy;
    size_t len = strlen(url);

    if (http_url_check(url, reach, e) < 0)
        return err_prefix(e, "%s", source);
    if (strpbrk(url, "?#"))
        return err_set(e, ERR_USAGE, "%s: an endpoint has no query or fragment", source);
    while (len && url[len - 1] == '/')
        len--;
    copy = str_ndup(url, len, e);
    if (!copy)
        return -1;
    free(*ret);
    *ret = copy;
    return 0;
}

/* Of one service, strongest first. Returns what it is set to (borrowed) or NULL, and
 * names where. */
static const char *find_endpoint(const struct settings *c, const struct aws_options *o,
                                 const struct settings_files *f, int service,
                                 char *source, size_t source_len)
{
    const char *services = settings_profile_get(f, c->profile, "services"), *v;
    char variable[64], section[256];

    snprintf(source, source_len, "endpoint of %s", service_words[service]);
    if (o->endpoint_urls[service])
        return o->endpoint_urls[service];
    if (o->endpoint_url)
        return o->endpoint_url;
    if (is_true(env_get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")))
        return NULL;
    snprintf(variable, sizeof variable, "AWS_ENDPOINT_URL_%s", service_words[service]);
    snprintf(source, source_len, "%s", variable);
    if ((v = env_get(variable)))
        return v;
    snprintf(source, source_len, "AWS_ENDPOINT_URL");
    if ((v = env_get("AWS_ENDPOINT_URL")))
        return v;
    snprintf(source, source_len, "endpoint_url of profile %s", c->profile);
    snprintf(section, sizeof section, "services %s", services ? services : "");
    if (services &&
        (v = aws_ini_get(f->config, section, service_keys[service], "endpoint_url")))
        return v;
    return settings_profile_get(f, c->profile, "endpoint_url");
}

static int load_endpoints(struct settings *c, const struct aws_options *o,
                          const struct settings_files *f, struct err *e)
{
    for (int i = 0; i < AWS_SERVICES; i++) {
        char source[256];
        const char *url = find_endpoint(c, o, f, i, source, sizeof source);

        if (url && set_endpoint(&c->endpoints[i], url, source, HTTP_PUBLIC, e) < 0)
            return -1;
    }
    return 0;
}

int settings_imds(const char *endpoint_option, char **ret_endpoint, bool *ret_disabled,
                  struct err *e)
{
    const char *url = endpoint_option, *source = "metadata service endpoint";
    const char *mode = env_get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");

    if (!url) {
        url = env_get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        source = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    }
    if (!url)
        url = mode && strcasecmp(mode, "IPv6") == 0 ? "http://[fd00:ec2::254]"
                                                    : "http://169.254.169.254";
    if (set_endpoint(ret_endpoint, url, source, HTTP_LINK_LOCAL, e) < 0)
        return -1;
    *ret_disabled = !endpoint_option && is_true(env_get("AWS_EC2_METADATA_DISABLED"));
    return 0;
}

/* s3 =
 *     addressing_style = path */
static int load_addressing(struct settings *c, const struct settings_files *f,
                           struct err *e)
{
    const char *v = settings_get(f->config, c->profile, "s3", "addressing_style");

    if (!v || str_eq(v, "auto"))
        c->addressing = S3_AUTO;
    else if (str_eq(v, "path"))
        c->addressing = S3_PATH;
    else if (str_eq(v, "virtual"))
        c->addressing = S3_VIRTUAL;
    else
        return err_set(e, ERR_USAGE,
                       "addressing_style of profile %s: '%.40s' is none of auto, path, "
                       "virtual",
                       c->profile, v);
    return 0;
}

/* ---- All of it ---- */

static int load_profile_name(struct settings *c, const struct aws_options *o,
                             struct err *e)
{
    const char *name = o->profile ? o->profile : env_get("AWS_PROFILE");

    if (!name)
        name = env_get("AWS_DEFAULT_PROFILE");
    c->profile_named = name != NULL;
    c->profile_by_option = o->profile != NULL;
    return str_set(&c->profile, name ? name : "default", e);
}

static int load(const struct aws_options *o, struct settings *c, struct settings_files *f,
                struct err *e)
{
    const char *ca = o->ca_bundle ? o->ca_bundle : env_get("AWS_CA_BUNDLE");

    if (load_env(&c->env, e) < 0 || load_profile_name(c, o, e) < 0 ||
        file_path("AWS_CONFIG_FILE", "config", &c->config_path, e) < 0 ||
        file_path("AWS_SHARED_CREDENTIALS_FILE", "credentials", &c->credentials_path, e) <
            0 ||
        settings_files_read(c, f, e) < 0)
        return -1;
    if (c->profile_named && !settings_profile_exists(f, c->profile))
        return err_set(e, ERR_USAGE, "there is no profile '%s' in %s or %s", c->profile,
                       c->config_path, c->credentials_path);
    if (!ca)
        ca = settings_profile_get(f, c->profile, "ca_bundle");
    if (ca && str_set(&c->ca_bundle, ca, e) < 0)
        return -1;
    if (load_region(c, o, f, e) < 0 || load_endpoints(c, o, f, e) < 0 ||
        load_addressing(c, f, e) < 0)
        return -1;
    return settings_imds(NULL, &c->imds_endpoint, &c->imds_disabled, e);
}

int settings_load(const struct aws_options *options, struct settings *ret, struct err *e)
{
    struct settings c = {0};
    struct settings_files f = {0};
    int done = load(options, &c, &f, e);

    settings_files_release(&f);
    if (done < 0) {
        settings_release(&c);
        return -1;
    }
    *ret = c;
    return 0;
}

void settings_release(struct settings *c)
{
    struct settings_env *env = &c->env;
    char *owned[] = {c->profile,
                     c->config_path,
                     c->credentials_path,
                     c->region,
                     c->region_source,
                     c->ca_bundle,
                     c->imds_endpoint,
                     env->access_key_id,
                     env->container_relative_uri,
                     env->container_full_uri,
                     env->container_token_file,
                     env->web_identity_token_file,
                     env->role_arn,
                     env->role_session_name};

    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        free(owned[i]);
    for (int i = 0; i < AWS_SERVICES; i++)
        free(c->endpoints[i]);
    secret_free(env->secret_key);
    secret_free(env->session_token);
    secret_free(env->container_token);
    *c = (struct settings){0};
}
