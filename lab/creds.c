/* Credentials; see creds.h. They live in the store: temporary ones stay valid over a
 * restart until they expire, as on AWS. */
#include "lab/creds.h"

#include "base/clock.h"
#include "base/rand.h"
#include "base/str.h"

#define DAY_MS 86400000ll

static char *random_text(char *out, size_t n, const char *alphabet)
{
    for (size_t i = 0; i < n; i++)
        out[i] = alphabet[rand_below(strlen(alphabet))];
    out[n] = 0;
    return out;
}

static const char key_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char secret_chars[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int creds_seed(struct lab *lab, struct err *e)
{
    char id[17], secret[41], key[24];

    if (lab_meta(lab, "access_key"))
        return 0;
    snprintf(key, sizeof key, "AKIA%s", random_text(id, 16, key_chars));
    if (lab_meta_set(lab, "access_key", key, e) < 0)
        return -1;
    return lab_meta_set(lab, "secret_key", random_text(secret, 40, secret_chars), e);
}

/* EC2, S3 and STS have different words for the same refusals. */
static int refuse_unknown(const struct sigv4 *s, struct err *e)
{
    if (str_eq(s->service, "ec2"))
        return refuse(e, "AuthFailure",
                      "AWS was not able to validate the provided access credentials");
    if (str_eq(s->service, "s3"))
        return refuse(
            e, "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.");
    return refuse(e, "InvalidClientTokenId",
                  "The security token included in the request is invalid.");
}

static int refuse_expired(const struct sigv4 *s, struct err *e)
{
    if (str_eq(s->service, "ec2"))
        return refuse(e, "RequestExpired", "Request has expired.");
    return refuse(e, "ExpiredToken",
                  "The security token included in the request is expired");
}

static int find_session(struct lab *lab, const struct sigv4 *s, struct principal *who,
                        struct secret **ret_secret, struct err *e)
{
    const json_t *doc = store_get(lab->store, "session", s->access_key);
    const char *secret = json_str_or(doc, "secretAccessKey", "");

    if (!doc || !s->token || !str_eq(s->token, json_str_or(doc, "sessionToken", "")))
        return refuse_unknown(s, e);
    if (lab_now_ms() >= json_integer_value(json_object_get(doc, "_expires")))
        return refuse_expired(s, e);
    snprintf(who->role, sizeof who->role, "%s", json_str_or(doc, "role", ""));
    snprintf(who->session, sizeof who->session, "%s", json_str_or(doc, "session", ""));
    snprintf(who->arn, sizeof who->arn, "arn:aws:sts::" LAB_ACCOUNT ":assumed-role/%s/%s",
             who->role, who->session);
    snprintf(who->user_id, sizeof who->user_id, "AROALABROLE000000000:%s", who->session);
    return secret_new(secret, strlen(secret), ret_secret, e);
}

int creds_find(struct lab *lab, const struct sigv4 *s, struct principal *ret,
               struct secret **ret_secret, struct err *e)
{
    const char *own = lab_meta(lab, "access_key"), *secret;
    struct principal who = {0};

    if (strlen(s->access_key) >= sizeof who.access_key)
        return refuse_unknown(s, e);
    snprintf(who.access_key, sizeof who.access_key, "%s", s->access_key);
    if (own && str_eq(own, s->access_key)) {
        secret = lab_meta(lab, "secret_key");
        if (s->token || !secret)
            return refuse_unknown(s, e);
        snprintf(who.arn, sizeof who.arn, "arn:aws:iam::" LAB_ACCOUNT ":user/lab");
        snprintf(who.user_id, sizeof who.user_id, "AIDALABUSER000000000");
        if (secret_new(secret, strlen(secret), ret_secret, e) < 0)
            return -1;
    } else if (find_session(lab, s, &who, ret_secret, e) < 0) {
        return -1;
    }
    *ret = who;
    return 0;
}

int creds_issue(struct lab *lab, const char *role, const char *session, int64_t ttl_ms,
                const json_t **ret, struct err *e)
{
    char id[17], key[24], secret[41], token[201], from[CLOCK_ISO_LEN], to[CLOCK_ISO_LEN];
    int64_t now = lab_now_ms();

    snprintf(key, sizeof key, "ASIA%s", random_text(id, 16, key_chars));
    clock_iso8601(from, now / 1000);
    clock_iso8601(to, (now + ttl_ms) / 1000);
    if (store_put(lab->store, "session", key,
                  json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I}",
                            "accessKeyId", key, "secretAccessKey",
                            random_text(secret, 40, secret_chars), "sessionToken",
                            random_text(token, 200, secret_chars), "expiration", to,
                            "updated", from, "role", role, "session", session, "_made",
                            (json_int_t)now, "_expires", (json_int_t)(now + ttl_ms)),
                  e) < 0)
        return -1;
    *ret = store_get(lab->store, "session", key);
    return 0;
}

int creds_of_instance(struct lab *lab, const char *role, const char *instance_id,
                      const json_t **ret, struct err *e)
{
    int64_t now = lab_now_ms(), ttl = lab->set.role_ttl_ms;
    int64_t spare = ttl / 2 < 300000 ? ttl / 2 : 300000;
    const json_t *best = NULL;
    json_t *docs, *d;
    size_t i;

    if (store_list(lab->store, "session", &docs, e) < 0)
        return -1;
    json_array_foreach (docs, i, d)
        if (str_eq(json_str_or(d, "role", ""), role) &&
            str_eq(json_str_or(d, "session", ""), instance_id) &&
            json_integer_value(json_object_get(d, "_expires")) - now > spare)
            best = store_get(lab->store, "session", json_str_or(d, "accessKeyId", ""));
    json_decref(docs);
    if (!best)
        return creds_issue(lab, role, instance_id, ttl, ret, e);
    *ret = best;
    return 0;
}

int creds_prune(struct lab *lab, struct err *e)
{
    int64_t now = lab_now_ms();
    json_t *docs, *d;
    size_t i;
    int r = 0;

    if (store_list(lab->store, "session", &docs, e) < 0)
        return -1;
    json_array_foreach (docs, i, d)
        if (r == 0 && now - json_integer_value(json_object_get(d, "_expires")) > DAY_MS)
            r = store_delete(lab->store, "session", json_str_or(d, "accessKeyId", ""), e);
    json_decref(docs);
    return r;
}
