/* The instance metadata service; see imds.h. Only its session token is kept. */
#include "aws/imds.h"

#include "aws/imds_impl.h"
#include "aws/local.h"
#include "aws/settings.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/str.h"

#include <pthread.h>

#define TOKEN_TTL_S 21600 /* the longest allowed */
#define TOKEN_USE_S 21000

struct imds {
    char *endpoint;
    bool disabled;
    struct http *http;
    bool http_owned;
    const struct cancel *cancel;
    pthread_mutex_t lock; /* guards the two below */
    struct secret *token;
    uint64_t token_until_ns;
};

int imds_new_on(const char *endpoint, bool disabled, struct http *http,
                const struct cancel *cancel, struct imds **ret, struct err *e)
{
    struct imds *i = mem_zalloc(1, sizeof *i, e);

    if (!i || str_set(&i->endpoint, endpoint, e) < 0) {
        free(i);
        return -1;
    }
    i->disabled = disabled;
    i->http = http;
    i->cancel = cancel;
    pthread_mutex_init(&i->lock, NULL);
    *ret = i;
    return 0;
}

int imds_new(const struct imds_options *options, struct imds **ret, struct err *e)
{
    auto_free char *endpoint = NULL;
    struct http *http;
    bool disabled;

    if (settings_imds(options->endpoint, &endpoint, &disabled, e) < 0 ||
        http_new(NULL, options->cancel, &http, e) < 0)
        return -1;
    if (imds_new_on(endpoint, disabled, http, options->cancel, ret, e) < 0) {
        http_free(http);
        return -1;
    }
    (*ret)->http_owned = true;
    return 0;
}

void imds_free(struct imds *i)
{
    if (!i)
        return;
    if (i->http_owned)
        http_free(i->http);
    secret_free(i->token);
    pthread_mutex_destroy(&i->lock);
    free(i->endpoint);
    free(i);
}

/* What a silent service means to the user. */
static int no_answer(struct imds *i, struct err *e)
{
    if (e->kind != ERR_NETWORK && e->kind != ERR_TIMEOUT)
        return -1;
    e->kind = ERR_NETWORK;
    return err_prefix(e,
                      "the instance metadata service does not answer at %s: is this an "
                      "EC2 instance? In a container, raise the instance's metadata hop "
                      "limit to 2 (HttpPutResponseHopLimit)",
                      i->endpoint);
}

static int token_failed(struct imds *i, int status, struct err *e)
{
    if (status == 403)
        return err_set(e, ERR_DENIED,
                       "the instance metadata service at %s is switched off for this "
                       "instance (HttpEndpoint=disabled)",
                       i->endpoint);
    return err_set(e, ERR_NETWORK,
                   "%s gives no session token (HTTP status %d): it does not speak "
                   "version 2 of the instance metadata service",
                   i->endpoint, status);
}

static int token_fetch(struct imds *i, struct err *e)
{
    const struct http_header ttl = {"X-aws-ec2-metadata-token-ttl-seconds", "21600"};
    auto_free char *url = str_fmt(e, "%s/latest/api/token", i->endpoint);
    struct http_answer a = HTTP_ANSWER_INIT;
    struct secret *token = NULL;
    int done;

    _Static_assert(TOKEN_TTL_S == 21600, "as in the header");
    if (!url)
        return -1;
    if (local_request(i->http, "PUT", url, &ttl, 1, i->cancel, &a, e) < 0)
        return no_answer(i, e);
    if (a.status != 200) {
        done = token_failed(i, a.status, e);
    } else {
        char *text = str_trim(a.body.data);

        done = strpbrk(text, "\r\n")
                   ? err_set(e, ERR_INPUT, "%s: no session token in the answer", url)
                   : secret_new(text, strlen(text), &token, e);
    }
    http_answer_release(&a);
    if (done < 0)
        return -1;
    secret_free(i->token);
    i->token = token;
    i->token_until_ns = clock_mono_ns() + TOKEN_USE_S * NS_PER_S;
    return 0;
}

/* A copy, so that the lock is not held while the request runs; wiped by the caller. */
static int token_copy(struct imds *i, bool renew, char **ret, struct err *e)
{
    int done = 0;

    pthread_mutex_lock(&i->lock);
    if (renew || !i->token || clock_mono_ns() >= i->token_until_ns)
        done = token_fetch(i, e);
    if (done == 0) {
        *ret = str_dup(secret_reveal(i->token), e);
        done = *ret ? 0 : -1;
    }
    pthread_mutex_unlock(&i->lock);
    return done;
}

static int get_once(struct imds *i, const char *url, bool renew, struct http_answer *ret,
                    struct err *e)
{
    struct http_header h = {.name = "X-aws-ec2-metadata-token"};
    char *token = NULL;
    int done;

    if (token_copy(i, renew, &token, e) < 0)
        return -1;
    h.value = token;
    done = local_request(i->http, "GET", url, &h, 1, i->cancel, ret, e);
    secret_wipe(token, strlen(token));
    free(token);
    return done < 0 ? no_answer(i, e) : 0;
}

int imds_fetch(struct imds *i, const char *path, struct http_answer *ret, struct err *e)
{
    auto_free char *url = str_fmt(e, "%s/latest/%s", i->endpoint, path);
    struct http_answer a = HTTP_ANSWER_INIT;
    int status;

    if (!url)
        return -1;
    if (i->disabled)
        return err_set(e, ERR_NETWORK,
                       "the instance metadata service is switched off by "
                       "AWS_EC2_METADATA_DISABLED");
    if (get_once(i, url, false, &a, e) < 0)
        return -1;
    if (a.status == 401) { /* the token is from before a restart of the service */
        http_answer_release(&a);
        if (get_once(i, url, true, &a, e) < 0)
            return -1;
    }
    status = a.status;
    if (status == 200) {
        *ret = a;
        return 0;
    }
    http_answer_release(&a);
    return err_set(e, status == 404 ? ERR_NOT_FOUND : ERR_NETWORK, "%s: HTTP status %d",
                   url, status);
}

int imds_get(struct imds *i, const char *path, char **ret, struct err *e)
{
    struct http_answer a = HTTP_ANSWER_INIT;
    char *text;

    if (imds_fetch(i, path, &a, e) < 0)
        return -1;
    text = str_dup(a.body.data, e);
    http_answer_release(&a);
    if (!text)
        return -1;
    *ret = text;
    return 0;
}

/* ---- Identity ---- */

void imds_identity_release(struct imds_identity *id)
{
    free(id->instance_id);
    free(id->instance_type);
    free(id->zone);
    free(id->region);
    free(id->account);
    free(id->image_id);
    free(id->architecture);
    free(id->mac);
    free(id->role);
    *id = (struct imds_identity){0};
}

static int copy_member(const json_t *doc, const char *key, bool needed, char **ret,
                       struct err *e)
{
    const char *v = json_str_or(doc, key, "");

    if (needed && !v[0])
        return err_set(e, ERR_INPUT, "\"%s\" is missing", key);
    return str_set(ret, v, e);
}

int imds_identity_parse(const char *text, size_t len, struct imds_identity *ret,
                        struct err *e)
{
    json_auto_t *doc = NULL;
    struct imds_identity id = {0};

    if (json_parse(text, len, "instance identity document", &doc, e) < 0)
        return -1;
    if (copy_member(doc, "instanceId", true, &id.instance_id, e) < 0 ||
        copy_member(doc, "instanceType", true, &id.instance_type, e) < 0 ||
        copy_member(doc, "availabilityZone", true, &id.zone, e) < 0 ||
        copy_member(doc, "region", true, &id.region, e) < 0 ||
        copy_member(doc, "accountId", false, &id.account, e) < 0 ||
        copy_member(doc, "imageId", false, &id.image_id, e) < 0 ||
        copy_member(doc, "architecture", false, &id.architecture, e) < 0) {
        imds_identity_release(&id);
        return err_prefix(e, "instance identity document");
    }
    *ret = id;
    return 0;
}

/* First line of a path; "" when there is no such path. */
static int first_line(struct imds *i, const char *path, char **ret, struct err *e)
{
    auto_free char *text = NULL;

    if (imds_get(i, path, &text, e) < 0 && e->kind != ERR_NOT_FOUND)
        return -1;
    if (text)
        text[strcspn(text, "\r\n")] = 0;
    return str_set(ret, text ? str_trim(text) : "", e);
}

int imds_role_name(struct imds *i, char **ret, struct err *e)
{
    return first_line(i, "meta-data/iam/security-credentials/", ret, e);
}

int imds_identity(struct imds *i, struct imds_identity *ret, struct err *e)
{
    struct imds_identity id = {0};
    auto_free char *doc = NULL;

    if (imds_get(i, "dynamic/instance-identity/document", &doc, e) < 0 ||
        imds_identity_parse(doc, strlen(doc), &id, e) < 0)
        return -1;
    if (first_line(i, "meta-data/mac", &id.mac, e) < 0 ||
        imds_role_name(i, &id.role, e) < 0) {
        imds_identity_release(&id);
        return -1;
    }
    *ret = id;
    return 0;
}
