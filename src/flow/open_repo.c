/* Opening repositories; see open_repo.h. Nothing is written here but, when asked, the
 * layout of a new repository; what a crash leaves of that is the repository's affair. */
#include "flow/open_repo.h"

#include "aws/s3.h"
#include "aws/s3_objects.h"
#include "base/str.h"

/* ---- the key ---- */

int flow_key_password(const char *file, struct secret **ret, struct err *e)
{
    const char *env = getenv(KEY_PASSWORD_ENV);

    if (file)
        return secret_read_file(file, ret, e);
    if (env)
        return secret_new(env, strlen(env), ret, e);
    *ret = NULL;
    return 0;
}

static int load_key(const struct repo_where *w, struct repo_key **ret, struct err *e)
{
    struct secret *password = NULL;
    int r = flow_key_password(w->password_file, &password, e);

    if (r == 0)
        r = repo_key_load(w->key, password, ret, e);
    if (r < 0 && e->kind == ERR_DENIED && !password)
        err_prefix(e, "no password was given (%s, --key-password-file)",
                   KEY_PASSWORD_ENV);
    secret_free(password);
    return r;
}

/* ---- the store ---- */

/* "s3://bucket/a/b/name" is the datastore "name" below the prefix "a/b". */
static int split_url(const char *url, char **ret_bucket, char **ret_prefix,
                     char **ret_name, struct err *e)
{
    auto_free char *bucket = NULL, *path = NULL, *name = NULL;
    char *slash;

    if (s3_url_parse(url, &bucket, &path, e) < 0)
        return -1;
    if (!*path)
        return err_set(e, ERR_USAGE, "%s: the datastore's name is missing: s3://%s/NAME",
                       url, bucket);
    slash = strrchr(path, '/');
    name = str_dup(slash ? slash + 1 : path, e);
    if (!name)
        return -1;
    *(slash ? slash : path) = 0;
    *ret_bucket = take_ptr(bucket);
    *ret_prefix = take_ptr(path);
    *ret_name = take_ptr(name);
    return 0;
}

static int open_s3(const struct repo_where *w, enum repo_open how,
                   const struct repo_options *opt, struct flow_repo *ret, struct err *e)
{
    struct aws_options aws = {
        .region = w->region, .profile = w->aws_profile, .cancel = opt->cancel};
    auto_free char *bucket = NULL, *prefix = NULL, *name = NULL;
    struct objects *objects = NULL;

    if (split_url(w->at, &bucket, &prefix, &name, e) < 0 ||
        aws_new(&aws, &ret->aws, e) < 0 ||
        s3_objects_new(ret->aws, bucket, prefix, &objects, e) < 0)
        return -1;
    return repo_open_objects(objects, name, how, opt, &ret->repo, e);
}

int flow_repo_open(const struct repo_where *where, enum repo_open how,
                   const struct cancel *cancel, struct flow_repo *ret, struct err *e)
{
    struct repo_options opt = {.cancel = cancel};

    if (!where->at)
        return err_set(e, ERR_USAGE,
                       "name the repository with --repo DIR or --repo s3://BUCKET/NAME");
    if (where->key && load_key(where, &ret->key, e) < 0)
        return -1;
    opt.key = ret->key;
    if (s3_url_is(where->at))
        return open_s3(where, how, &opt, ret, e);
    return repo_open_dir(where->at, how, &opt, &ret->repo, e);
}

void flow_repo_close(struct flow_repo *r)
{
    repo_free(r->repo);
    repo_key_free(r->key);
    aws_free(r->aws);
    *r = (struct flow_repo){0};
}

/* ---- names ---- */

int flow_repo_name(const struct repo_where *where, const char *text,
                   struct repo_name *ret, struct err *e)
{
    struct repo_name n = {.time = REPO_EVERY};

    if (text && repo_name_parse(text, &n, e) < 0)
        return -1;
    if (n.ns && *n.ns && where->ns && !str_eq(n.ns, where->ns)) {
        err_set(e, ERR_USAGE, "%s: is in namespace %s, and --ns says %s", text, n.ns,
                where->ns);
        repo_name_release(&n);
        return -1;
    }
    if ((!n.ns || !*n.ns) && str_set(&n.ns, where->ns ? where->ns : "", e) < 0) {
        repo_name_release(&n);
        return -1;
    }
    *ret = n;
    return 0;
}

char *flow_point_text(const struct repo_name *name, int64_t time, struct err *e)
{
    char text[REPO_TIME_LEN];

    return str_fmt(e, "%s%svm/%s@%s", name->ns, *name->ns ? "/" : "", name->id,
                   repo_time_text(time, text));
}
