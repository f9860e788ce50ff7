/* The client as a whole; see aws.h and client.h. */
#include "aws/aws.h"

#include "aws/chain.h"
#include "aws/client.h"
#include "aws/imds_impl.h"
#include "aws/sts.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#define CALL_TIMEOUT_NS (180 * NS_PER_S)
#define RETRY_BASE_NS   (300 * NS_PER_MS)
#define SETTLE_NS       (20 * NS_PER_S)
#define RENEW_BEFORE_S  300

/* ---- Endpoints ---- */

void endpoint_release(struct endpoint *ep)
{
    free(ep->url);
    free(ep->host);
    free(ep->prefix);
    free(ep->origin);
    *ep = (struct endpoint){0};
}

static int endpoint_split(struct endpoint *ep, struct err *e)
{
    const char *p = strstr(ep->url, "://"), *path;

    if (!p)
        return err_set(e, ERR_USAGE, "'%.200s' is no URL: it begins with https://",
                       ep->url);
    p += 3;
    path = p + strcspn(p, "/");
    ep->host = str_ndup(p, (size_t)(path - p), e);
    ep->prefix = str_dup(path, e);
    ep->origin = str_ndup(ep->url, (size_t)(path - ep->url), e);
    return ep->host && ep->prefix && ep->origin ? 0 : -1;
}

int endpoint_make(const char *url, struct endpoint *ret, struct err *e)
{
    struct endpoint ep = {.url = str_dup(url, e)};

    if (!ep.url || endpoint_split(&ep, e) < 0) {
        endpoint_release(&ep);
        return -1;
    }
    *ret = ep;
    return 0;
}

static int endpoints_make(struct client *c, struct err *e)
{
    static const char *const names[AWS_SERVICES] = {
        [AWS_EC2] = "ec2", [AWS_STS] = "sts", [AWS_S3] = "s3", [AWS_EBS] = "ebs"};
    const struct settings *s = &c->settings;

    for (int i = 0; i < AWS_SERVICES; i++) {
        auto_free char *url = s->endpoints[i] ? str_dup(s->endpoints[i], e)
                              : i == AWS_IAM
                                  ? str_fmt(e, "https://%s", settings_iam_host(s->region))
                                  : str_fmt(e, "https://%s.%s.%s", names[i], s->region,
                                            settings_dns_suffix(s->region));

        if (!url || endpoint_make(url, &c->endpoints[i], e) < 0)
            return -1;
    }
    return 0;
}

/* ---- Making and unmaking ---- */

static void client_free(struct client *c)
{
    if (!c)
        return;
    imds_free(c->imds);
    http_free(c->http);
    for (int i = 0; i < AWS_SERVICES; i++)
        endpoint_release(&c->endpoints[i]);
    settings_release(&c->settings);
    free(c);
}

static int ask_region(struct client *c, struct err *e)
{
    auto_free char *region = NULL;

    if (!c->settings.imds_disabled &&
        imds_get(c->imds, "meta-data/placement/region", &region, e) == 0)
        return settings_set_region(&c->settings, str_trim(region),
                                   "from the instance metadata service", e);
    if (!c->settings.imds_disabled && e->kind == ERR_CANCELLED)
        return -1;
    return err_set(
        e, ERR_USAGE,
        "no AWS region: give --region, set AWS_REGION, or region in profile %s of %s",
        c->settings.profile, c->settings.config_path);
}

static int client_fill(struct client *c, const struct aws_options *o, struct err *e)
{
    c->cancel = o->cancel;
    c->call_timeout_ns = o->call_timeout_ns ? o->call_timeout_ns : CALL_TIMEOUT_NS;
    c->retry_base_ns = o->retry_base_ns ? o->retry_base_ns : RETRY_BASE_NS;
    c->settle_ns = o->settle_ns ? o->settle_ns : SETTLE_NS;
    if (settings_load(o, &c->settings, e) < 0 ||
        http_new(c->settings.ca_bundle, o->cancel, &c->http, e) < 0 ||
        imds_new_on(c->settings.imds_endpoint, c->settings.imds_disabled, c->http,
                    o->cancel, &c->imds, e) < 0)
        return -1;
    if (!c->settings.region && ask_region(c, e) < 0)
        return -1;
    return endpoints_make(c, e);
}

static struct aws *aws_alloc(struct client *client, struct aws *base, struct err *e)
{
    struct aws *aws = mem_zalloc(1, sizeof *aws, e);

    if (!aws)
        return NULL;
    aws->client = client;
    aws->base = base;
    pthread_mutex_init(&aws->lock, NULL);
    return aws;
}

int aws_new(const struct aws_options *options, struct aws **ret, struct err *e)
{
    struct client *c = mem_zalloc(1, sizeof *c, e);
    struct aws *aws;

    if (!c)
        return -1;
    if (client_fill(c, options, e) < 0 || !(aws = aws_alloc(c, NULL, e))) {
        client_free(c);
        return -1;
    }
    log_debug("AWS: region %s %s, EC2 at %s", c->settings.region,
              c->settings.region_source, c->endpoints[AWS_EC2].url);
    *ret = aws;
    return 0;
}

void aws_free(struct aws *aws)
{
    if (!aws)
        return;
    creds_unref(aws->creds);
    if (!aws->base)
        client_free(aws->client);
    pthread_mutex_destroy(&aws->lock);
    free(aws->role_arn);
    free(aws->session_name);
    free(aws->external_id);
    free(aws);
}

int sts_assume_role(struct aws *aws, const char *role_arn, const char *session_name,
                    const char *external_id, uint32_t duration_s, struct aws **ret,
                    struct err *e)
{
    auto_aws struct aws *as = aws_alloc(aws->client, aws, e);
    auto_creds struct creds *first = NULL;

    if (!as || str_set(&as->role_arn, role_arn, e) < 0 ||
        str_set(&as->session_name, session_name, e) < 0 ||
        str_set(&as->external_id, external_id, e) < 0)
        return -1;
    as->duration_s = duration_s;
    if (client_creds(as, &first, e) < 0)
        return -1;
    *ret = take_ptr(as);
    return 0;
}

/* ---- Questions ---- */

const char *aws_region(const struct aws *aws)
{
    return aws->client->settings.region;
}

const char *aws_region_source(const struct aws *aws)
{
    return aws->client->settings.region_source;
}

const char *aws_endpoint(const struct aws *aws, enum aws_service service)
{
    return aws->client->endpoints[service].url;
}

const char *aws_partition(const struct aws *aws)
{
    return settings_partition(aws->client->settings.region);
}

struct imds *aws_imds(struct aws *aws)
{
    return aws->client->imds;
}

int aws_credentials_source(struct aws *aws, char **ret, struct err *e)
{
    auto_creds struct creds *c = NULL;
    char *copy;

    if (client_creds(aws, &c, e) < 0)
        return -1;
    copy = str_dup(c->source, e);
    if (!copy)
        return -1;
    *ret = copy;
    return 0;
}

/* ---- Credentials and time ---- */

static int64_t aws_now_s(const struct aws *aws)
{
    return clock_real_s() + atomic_load(&aws->client->skew_s);
}

char *client_date(const struct aws *aws, char out[CLOCK_ISO_LEN])
{
    return clock_iso8601_basic(out, aws_now_s(aws));
}

static bool ends_within(const struct aws *aws, const struct creds *c, int64_t s)
{
    return c->expires_unix_s != CREDS_NO_END && c->expires_unix_s - aws_now_s(aws) < s;
}

/* Under the lock. Keeps the old ones when new ones cannot be had. */
static int fetch(struct aws *aws, struct err *e)
{
    struct creds *fresh;

    if (chain_fetch(aws, &fresh, e) < 0)
        return -1;
    log_debug("credentials from %s", fresh->source);
    creds_unref(aws->creds);
    aws->creds = fresh;
    return 0;
}

int client_creds(struct aws *aws, struct creds **ret, struct err *e)
{
    int done = 0;

    pthread_mutex_lock(&aws->lock);
    if (!aws->creds || ends_within(aws, aws->creds, RENEW_BEFORE_S))
        done = fetch(aws, e);
    if (done < 0 && aws->creds && !ends_within(aws, aws->creds, 0) &&
        e->kind != ERR_CANCELLED) {
        log_debug("credentials cannot be renewed yet: %s", e->msg);
        done = 0;
    }
    if (done == 0)
        *ret = creds_ref(aws->creds);
    pthread_mutex_unlock(&aws->lock);
    return done;
}

static bool same(const struct creds *a, const struct creds *b)
{
    return str_eq(a->access_key_id, b->access_key_id) &&
           str_eq(secret_reveal(a->token), secret_reveal(b->token));
}

int client_creds_renew(struct aws *aws, const struct creds *stale, struct creds **ret,
                       struct err *e)
{
    int done = 0;

    pthread_mutex_lock(&aws->lock);
    /* Another thread may have been here first. */
    if (!aws->creds || same(aws->creds, stale))
        done = fetch(aws, e);
    if (done == 0 && same(aws->creds, stale))
        done = err_set(e, ERR_DENIED, "%s still holds the expired credentials",
                       aws->creds->source);
    if (done == 0)
        *ret = creds_ref(aws->creds);
    pthread_mutex_unlock(&aws->lock);
    return done;
}
