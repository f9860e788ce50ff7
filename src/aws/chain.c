/* The credentials chain; see chain.h. Files are read anew each time, so that another
 * program may rotate what is in them. Nothing is kept. */
#include "aws/chain.h"

#include "aws/imds_impl.h"
#include "aws/local.h"
#include "aws/sts_impl.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"

#define MAX_ROLE_CHAIN   8
#define PROCESS_MAX_OUT  (64 * 1024)
#define CONTAINER_ORIGIN "http://169.254.170.2"

/* Every provider: 1 with *ret set, 0 when it is not configured, -1 when it is and
 * fails. */

/* ---- The environment ---- */

static int from_env(struct aws *aws, struct creds **ret, struct err *e)
{
    const struct settings_env *env = &aws->client->settings.env;

    if (!env->access_key_id)
        return 0;
    return creds_new(env->access_key_id, secret_reveal(env->secret_key),
                     secret_reveal(env->session_token), CREDS_NO_END,
                     "environment variable AWS_ACCESS_KEY_ID", ret, e) < 0
               ? -1
               : 1;
}

static int from_env_web_identity(struct aws *aws, struct creds **ret, struct err *e)
{
    const struct settings_env *env = &aws->client->settings.env;
    struct sts_role role = {.arn = env->role_arn, .session_name = env->role_session_name};
    auto_free char *source = NULL;

    if (!env->web_identity_token_file || !env->role_arn)
        return 0;
    source = str_fmt(e, "role %s by the web identity in %s", role.arn,
                     env->web_identity_token_file);
    if (!source || sts_web_identity_creds(aws, &role, env->web_identity_token_file,
                                          source, ret, e) < 0)
        return -1;
    return 1;
}

/* ---- A container's agent ---- */

/* The Authorization header's value; *ret is NULL when none is wanted. Wiped by the
 * caller. */
static int container_token(const struct settings_env *env, char **ret, struct err *e)
{
    auto_buf struct buf text = BUF_INIT;
    char *token;

    if (!env->container_token_file) {
        const char *t = secret_reveal(env->container_token);

        *ret = NULL;
        return !t[0] || (*ret = str_dup(t, e)) ? 0 : -1;
    }
    if (buf_reserve(&text, 3 * 65536, e) < 0)
        return -1;
    if (io_read_file(env->container_token_file, 65536, &text, e) < 0)
        return err_prefix(e, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    token = str_dup(str_trim(text.data), e);
    secret_wipe(text.data, text.cap);
    if (!token)
        return -1;
    *ret = token;
    return 0;
}

static int container_answer(struct aws *aws, const char *url, struct http_answer *ret,
                            struct err *e)
{
    struct http_header h[2] = {{"Accept", "application/json"}, {"Authorization", NULL}};
    char *token = NULL;
    int done;

    if (container_token(&aws->client->settings.env, &token, e) < 0)
        return -1;
    if (token && strpbrk(token, "\r\n")) {
        done = err_set(e, ERR_USAGE, "the container authorization token holds a newline");
    } else {
        h[1].value = token;
        done = local_request(aws->client->http, "GET", url, h, token ? 2 : 1,
                             aws->client->cancel, ret, e);
    }
    if (token)
        secret_wipe(token, strlen(token));
    free(token);
    return done;
}

static int from_container(struct aws *aws, struct creds **ret, struct err *e)
{
    const struct settings_env *env = &aws->client->settings.env;
    struct http_answer a = HTTP_ANSWER_INIT;
    auto_free char *url = NULL;
    int done;

    if (!env->container_relative_uri && !env->container_full_uri)
        return 0;
    url = env->container_relative_uri
              ? str_fmt(e, CONTAINER_ORIGIN "%s", env->container_relative_uri)
              : str_dup(env->container_full_uri, e);
    if (!url)
        return -1;
    if (container_answer(aws, url, &a, e) < 0)
        return err_prefix(e, "credentials of the container's role");
    if (a.status == 200)
        done = creds_from_json(a.body.data, a.body.len, "container's role", ret, e);
    else
        done = err_set(e, ERR_DENIED,
                       "credentials of the container's role: %s: HTTP status %d", url,
                       a.status);
    http_answer_release(&a);
    return done < 0 ? -1 : 1;
}

/* ---- This instance's role ---- */

static int from_instance(struct aws *aws, struct creds **ret, struct err *e)
{
    auto_free char *role = NULL, *path = NULL, *source = NULL;
    struct http_answer a = HTTP_ANSWER_INIT;
    int done;

    if (aws->client->settings.imds_disabled)
        return 0;
    if (imds_role_name(aws->client->imds, &role, e) < 0)
        return -1;
    if (!role[0])
        return err_set(e, ERR_DENIED, "this instance has no IAM role: attach one to it");
    path = str_fmt(e, "meta-data/iam/security-credentials/%s", role);
    source = str_fmt(e, "role %s of this instance", role);
    if (!path || !source || imds_fetch(aws->client->imds, path, &a, e) < 0)
        return -1;
    done = creds_from_json(a.body.data, a.body.len, source, ret, e);
    http_answer_release(&a);
    return done < 0 ? -1 : 1;
}

/* ---- credential_process ---- */

/* One word, quotes and backslashes undone, written over `out`. Returns where the rest
 * begins, NULL when a quote is not closed. */
static const char *split_word(const char *p, char **out)
{
    char quote = 0, *w = *out;

    for (; *p && (quote || !strchr(" \t", *p)); p++) {
        if (quote ? *p == quote : *p == '\'' || *p == '"') {
            quote = quote ? 0 : *p;
            continue;
        }
        if (*p == '\\' && quote != '\'') {
            if (!p[1])
                return NULL;
            p++;
        }
        *w++ = *p;
    }
    *w++ = 0;
    *out = w;
    return quote ? NULL : p;
}

int chain_split_command(const char *command, char ***ret_argv, struct err *e)
{
    size_t len = strlen(command), most = len / 2 + 2, n = 0;
    /* Pointers, then the words: each word with its NUL takes at most its own text and
     * the blank after it. */
    char **argv = mem_zalloc(most * sizeof *argv + len + 1, 1, e);
    char *out;
    const char *p = command;

    if (!argv)
        return -1;
    out = (char *)(argv + most);
    for (p += strspn(p, " \t"); *p; p += strspn(p, " \t")) {
        argv[n++] = out;
        p = split_word(p, &out);
        if (!p) {
            free(argv);
            return err_set(e, ERR_USAGE, "a quote is not closed");
        }
    }
    if (n == 0) {
        free(argv);
        return err_set(e, ERR_USAGE, "the command is empty");
    }
    *ret_argv = argv;
    return 0;
}

static int from_process(struct aws *aws, const char *profile, const char *command,
                        struct creds **ret, struct err *e)
{
    auto_free char *source = str_fmt(e, "credential_process of profile %s", profile);
    auto_free char **argv = NULL;
    auto_buf struct buf out = BUF_INIT;
    int done;

    if (!source)
        return -1;
    if (chain_split_command(command, &argv, e) < 0)
        return err_prefix(e, "%s", source);
    if (buf_reserve(&out, PROCESS_MAX_OUT + 2 * 65536, e) < 0)
        return -1;
    done = child_run((const char *const *)argv, PROCESS_MAX_OUT, &out,
                     aws->client->cancel, 60 * NS_PER_S, e);
    if (done == 0)
        done = creds_from_json(buf_str(&out), out.len, source, ret, e);
    else if (e->kind == ERR_FAILED) /* its stderr is not ours to show: it may hold keys */
        err_set(e, ERR_DENIED, "%s failed: run '%s' by hand to see why", source, argv[0]);
    else
        err_prefix(e, "%s", source);
    secret_wipe(out.data, out.cap);
    return done < 0 ? -1 : 1;
}

/* ---- Profiles ---- */

/* One look at the files, and how deep we are in a chain of roles. */
struct look {
    struct aws *aws;
    const struct settings_files *files;
    int depth;
};

static int from_profile(struct look *look, const char *profile, struct creds **ret,
                        struct err *e);

static const char *get(const struct look *look, const char *profile, const char *key)
{
    return settings_profile_get(look->files, profile, key);
}

static int from_keys(struct look *look, const char *profile, struct creds **ret,
                     struct err *e)
{
    const struct settings *s = &look->aws->client->settings;
    const char *id = get(look, profile, "aws_access_key_id");
    const char *key = get(look, profile, "aws_secret_access_key");
    bool in_credentials =
        aws_ini_get(look->files->credentials, profile, "aws_access_key_id", NULL);
    auto_free char *source =
        str_fmt(e, "profile %s in %s", profile,
                in_credentials ? s->credentials_path : s->config_path);

    if (!source)
        return -1;
    if (!id && !key)
        return 0;
    if (!id || !key)
        return err_set(e, ERR_USAGE, "%s has %s without %s", source,
                       id ? "aws_access_key_id" : "aws_secret_access_key",
                       id ? "aws_secret_access_key" : "aws_access_key_id");
    return creds_new(id, key, get(look, profile, "aws_session_token"), CREDS_NO_END,
                     source, ret, e) < 0
               ? -1
               : 1;
}

/* The credentials with which a profile's role is assumed. */
static int role_base(struct look *look, const char *profile, struct creds **ret,
                     struct err *e)
{
    const char *source = get(look, profile, "source_profile");
    const char *place = get(look, profile, "credential_source");
    int r = 0;

    if (source && place)
        return err_set(e, ERR_USAGE,
                       "profile %s has both source_profile and credential_source",
                       profile);
    if (source && str_eq(source, profile))
        r = from_keys(look, profile, ret, e);
    else if (source && !settings_profile_exists(look->files, source))
        return err_set(e, ERR_USAGE, "profile %s: there is no source_profile '%s'",
                       profile, source);
    else if (source)
        r = from_profile(look, source, ret, e);
    else if (place && str_eq(place, "Environment"))
        r = from_env(look->aws, ret, e);
    else if (place && str_eq(place, "Ec2InstanceMetadata"))
        r = from_instance(look->aws, ret, e);
    else if (place && str_eq(place, "EcsContainer"))
        r = from_container(look->aws, ret, e);
    else
        return err_set(e, ERR_USAGE,
                       "profile %s has a role_arn; it also needs a source_profile, or a "
                       "credential_source of Environment, Ec2InstanceMetadata or "
                       "EcsContainer",
                       profile);
    if (r == 0)
        return err_set(e, ERR_DENIED, "profile %s: its %s holds no credentials", profile,
                       source ? "source_profile" : "credential_source");
    return r < 0 ? -1 : 0;
}

static int role_duration(const char *profile, const char *text, uint64_t *ret,
                         struct err *e)
{
    if (text && str_to_u64(text, ret, e) < 0)
        return err_prefix(e, "profile %s: duration_seconds", profile);
    return 0;
}

static int from_role(struct look *look, const char *profile, struct creds **ret,
                     struct err *e)
{
    struct sts_role role = {.arn = get(look, profile, "role_arn"),
                            .session_name = get(look, profile, "role_session_name"),
                            .external_id = get(look, profile, "external_id")};
    const char *web = get(look, profile, "web_identity_token_file");
    auto_free char *source = NULL;
    auto_creds struct creds *base = NULL;

    if (!role.arn)
        return 0;
    if (get(look, profile, "mfa_serial"))
        return err_set(e, ERR_UNSUPPORTED,
                       "profile %s wants a code from an MFA device, which hotadd cannot "
                       "ask for: get a session with the AWS CLI and export its keys",
                       profile);
    source = str_fmt(e, "role %s of profile %s", role.arn, profile);
    if (!source || role_duration(profile, get(look, profile, "duration_seconds"),
                                 &role.duration_s, e) < 0)
        return -1;
    if (web && !get(look, profile, "source_profile"))
        return sts_web_identity_creds(look->aws, &role, web, source, ret, e) < 0 ? -1 : 1;
    if (role_base(look, profile, &base, e) < 0 ||
        sts_role_creds(look->aws, &role, base, source, ret, e) < 0)
        return -1;
    return 1;
}

static int from_profile(struct look *look, const char *profile, struct creds **ret,
                        struct err *e)
{
    const char *command;
    int r;

    if (++look->depth > MAX_ROLE_CHAIN)
        return err_set(e, ERR_USAGE,
                       "profile %s: more than %d source_profiles in a row: they go in a "
                       "circle",
                       profile, MAX_ROLE_CHAIN);
    r = from_role(look, profile, ret, e);
    if (r == 0)
        r = from_keys(look, profile, ret, e);
    if (r != 0)
        return r;
    command = get(look, profile, "credential_process");
    if (command)
        return from_process(look->aws, profile, command, ret, e);
    if (get(look, profile, "sso_session") || get(look, profile, "sso_start_url") ||
        get(look, profile, "login_session"))
        return err_set(e, ERR_UNSUPPORTED,
                       "profile %s signs in through a browser, which hotadd cannot: add "
                       "'credential_process = aws configure export-credentials "
                       "--profile %s' to another profile and use that",
                       profile, profile);
    return 0;
}

/* ---- The chain ---- */

static int from_files(struct aws *aws, struct creds **ret, struct err *e)
{
    const struct settings *s = &aws->client->settings;
    struct settings_files files;
    struct look look = {.aws = aws, .files = &files};
    int r;

    if (settings_files_read(s, &files, e) < 0)
        return -1;
    r = from_profile(&look, s->profile, ret, e);
    settings_files_release(&files);
    return r;
}

/* The last place failed with `e`; says where else we looked. */
static int nothing_found(struct aws *aws, struct err *e)
{
    const struct settings *s = &aws->client->settings;
    struct err last = *e;

    if (last.kind != ERR_NONE && last.kind != ERR_NETWORK && last.kind != ERR_DENIED)
        return -1;
    err_set(e, ERR_DENIED,
            "no AWS credentials: looked at AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, profile %s in %s and %s, the container variables, "
            "and the instance metadata service (%s)",
            s->profile, s->credentials_path, s->config_path,
            last.kind == ERR_NONE ? "switched off by AWS_EC2_METADATA_DISABLED"
                                  : last.msg);
    return -1;
}

static int assume(struct aws *aws, struct creds **ret, struct err *e)
{
    struct sts_role role = {.arn = aws->role_arn,
                            .session_name = aws->session_name,
                            .external_id = aws->external_id,
                            .duration_s = aws->duration_s};
    auto_free char *source = str_fmt(e, "role %s", aws->role_arn);
    auto_creds struct creds *base = NULL;

    if (!source || client_creds(aws->base, &base, e) < 0)
        return -1;
    return sts_role_creds(aws->base, &role, base, source, ret, e);
}

int chain_fetch(struct aws *aws, struct creds **ret, struct err *e)
{
    int r = 0;

    if (aws->base)
        return assume(aws, ret, e);
    if (!aws->client->settings.profile_by_option) {
        r = from_env(aws, ret, e);
        if (r == 0)
            r = from_env_web_identity(aws, ret, e);
    }
    if (r == 0)
        r = from_files(aws, ret, e);
    if (r == 0)
        r = from_container(aws, ret, e);
    if (r != 0)
        return r < 0 ? -1 : 0;
    err_clear(e);
    r = from_instance(aws, ret, e);
    return r > 0 ? 0 : nothing_found(aws, e);
}
