/* Instance metadata; see imds.h.
 *
 * A token carries its own expiry and a keyed digest over it, the instance and the lab's
 * own secret, so tokens outlive a restart of the lab and need no table. */
#include "lab/imds.h"

#include "lab/creds.h"
#include "lab/groups.h"
#include "lab/instance.h"
#include "lab/volume.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/str.h"

#include <ctype.h>
#include <openssl/crypto.h>

#define ROOT "/latest/meta-data"

struct imds_call {
    struct lab *lab;
    const json_t *doc; /* the instance */
    const char *id;
    struct buf *body;
};

static int token_digest(struct lab *lab, const char *id, long long expires_s,
                        char hex[SHA256_HEX_LEN], struct err *e)
{
    auto_buf struct buf text = BUF_INIT;
    unsigned char sum[SHA256_BYTES];
    const char *secret = lab_meta(lab, "imds_secret");

    buf_addf(&text, "%s %s %lld %s", secret ? secret : "", id, expires_s,
             secret ? secret : "");
    if (buf_check(&text, e) < 0)
        return -1;
    digest_sha256(buf_str(&text), text.len, sum);
    str_hex(hex, sum, sizeof sum);
    return 0;
}

static int make_token(struct lab *lab, const char *id, const struct http_request *rq,
                      struct http_reply *rp, struct err *e)
{
    const char *ttl = http_header_get(rq, "x-aws-ec2-metadata-token-ttl-seconds");
    char hex[SHA256_HEX_LEN];
    long long expires;
    uint64_t s;

    if (http_header_get(rq, "x-forwarded-for")) {
        rp->status = 403;
        return 0;
    }
    if (!ttl || str_to_u64(ttl, &s, e) < 0 || s < 1 || s > IMDS_MAX_TTL_S) {
        rp->status = 400;
        return 0;
    }
    expires = (long long)(lab_now_ms() / 1000) + (long long)s;
    if (token_digest(lab, id, expires, hex, e) < 0)
        return -1;
    buf_addf(&rp->body, "%llx-%s", (unsigned long long)expires, hex);
    return http_header_add(&rp->headers, "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", ttl, e);
}

static bool token_ok(struct lab *lab, const char *id, const char *token)
{
    struct err e = ERR_INIT;
    char hex[SHA256_HEX_LEN];
    const char *dash = strchr(token, '-');
    long long expires = strtoll(token, NULL, 16);

    if (!dash || strlen(dash + 1) != sizeof hex - 1 || expires < lab_now_ms() / 1000 ||
        token_digest(lab, id, expires, hex, &e) < 0)
        return false;
    return CRYPTO_memcmp(hex, dash + 1, sizeof hex - 1) == 0;
}

/* ---- Values. Each appends its text and returns 1, or 0 for "not found". ---- */

static int put_text(struct imds_call *c, const char *text)
{
    buf_adds(c->body, text);
    return 1;
}

static const json_t *interface_of(const struct imds_call *c)
{
    const char *id =
        json_string_value(json_array_get(json_object_get(c->doc, "_interfaces"), 0));

    return store_get(c->lab->store, "network-interface", id ? id : "");
}

static int put_json(struct imds_call *c, json_t *value, struct err *e)
{
    char *text = value ? json_dumps(value, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;

    json_decref(value);
    if (!text)
        return err_nomem(e);
    buf_adds(c->body, text);
    free(text);
    return 1;
}

static int role_credentials(struct imds_call *c, const char *role, struct err *e)
{
    const char *own = json_str_or(c->doc, "_role", "");
    const json_t *s;

    if (!*own)
        return 0;
    if (!*role)
        return put_text(c, own);
    if (!str_eq(role, own))
        return 0;
    if (creds_of_instance(c->lab, own, c->id, &s, e) < 0 ||
        store_commit(c->lab->store, e) < 0) {
        store_rollback(c->lab->store);
        return -1;
    }
    return put_json(c,
                    json_pack("{s:s, s:O, s:s, s:O, s:O, s:O, s:O}", "Code", "Success",
                              "LastUpdated", json_object_get(s, "updated"), "Type",
                              "AWS-HMAC", "AccessKeyId",
                              json_object_get(s, "accessKeyId"), "SecretAccessKey",
                              json_object_get(s, "secretAccessKey"), "Token",
                              json_object_get(s, "sessionToken"), "Expiration",
                              json_object_get(s, "expiration")),
                    e);
}

static int profile_info(struct imds_call *c, struct err *e)
{
    const json_t *p = json_object_get(c->doc, "iamInstanceProfile");
    char when[CLOCK_ISO_LEN];

    if (!p)
        return 0;
    return put_json(c,
                    json_pack("{s:s, s:s, s:s, s:s}", "Code", "Success", "LastUpdated",
                              clock_iso8601(when, clock_real_s()), "InstanceProfileArn",
                              json_str_or(p, "arn", ""), "InstanceProfileId",
                              json_str_or(p, "id", "")),
                    e);
}

static int identity_document(struct imds_call *c, struct err *e)
{
    const json_t *d = c->doc;

    return put_json(
        c,
        json_pack(
            "{s:s, s:s, s:n, s:s, s:s, s:s, s:s, s:n, s:n, s:s, s:s, s:n, s:s, s:s}",
            "accountId", LAB_ACCOUNT, "architecture", json_str_or(d, "architecture", ""),
            "billingProducts", "availabilityZone", instance_zone(d), "imageId",
            json_str_or(d, "imageId", ""), "instanceId", c->id, "instanceType",
            json_str_or(d, "instanceType", ""), "kernelId", "marketplaceProductCodes",
            "pendingTime", json_str_or(d, "launchTime", ""), "privateIp",
            json_str_or(d, "privateIpAddress", ""), "ramdiskId", "region", LAB_REGION,
            "version", "2017-09-30"),
        e);
}

static int public_key(struct imds_call *c, const char *path)
{
    const char *name = json_str_or(c->doc, "keyName", "");
    const json_t *key = key_by_name(c->lab, name);

    if (!*name)
        return 0;
    if (!*path) {
        buf_addf(c->body, "0=%s", name);
        return 1;
    }
    if (str_eq(path, "0") || str_eq(path, "0/"))
        return put_text(c, "openssh-key");
    if (str_eq(path, "0/openssh-key") && key)
        return put_text(c, json_str_or(key, "_public", ""));
    return 0;
}

static int user_data(struct imds_call *c, struct err *e)
{
    const char *text = json_str_or(c->doc, "_userData", "");

    if (!*text)
        return 0;
    return base64_decode(text, strlen(text), c->body, e) < 0 ? -1 : 1;
}

/* "ami", "root" and "ebs1", "ebs2", … in the order of attachment. */
static int block_devices(struct imds_call *c, const char *name, struct err *e)
{
    const char *root = json_str_or(c->doc, "rootDeviceName", "");
    json_t *volumes, *v;
    char slot[16];
    size_t i, n = 0;
    int found = 0;

    if (!*name)
        buf_adds(c->body, "ami\nroot");
    else if (str_eq(name, "root") || str_eq(name, "ami"))
        return put_text(c, root);
    if (volumes_of_instance(c->lab, c->id, &volumes, e) < 0)
        return -1;
    json_array_foreach (volumes, i, v) {
        const char *device = json_str_or(volume_attachment(v, c->id), "device", "");

        if (device_names_clash(device, root))
            continue;
        snprintf(slot, sizeof slot, "ebs%zu", ++n);
        if (!*name)
            buf_addf(c->body, "\n%s", slot);
        else if (str_eq(name, slot))
            found = put_text(c, str_starts(device, "/dev/") ? device + 5 : device);
    }
    json_decref(volumes);
    return *name ? found : 1;
}

static int network(struct imds_call *c, const char *path)
{
    const json_t *eni = interface_of(c);
    const json_t *subnet, *vpc;
    const char *mac = json_str_or(eni, "macAddress", "");
    const struct {
        const char *name, *value;
    } table[] = {
        {"device-number", "0"},
        {"interface-id", json_str_or(eni, "networkInterfaceId", "")},
        {"local-hostname", json_str_or(eni, "privateDnsName", "")},
        {"local-ipv4s", json_str_or(eni, "privateIpAddress", "")},
        {"mac", mac},
        {"owner-id", LAB_ACCOUNT},
        {"subnet-id", json_str_or(eni, "subnetId", "")},
        {"vpc-id", json_str_or(eni, "vpcId", "")},
        {"subnet-ipv4-cidr-block", NULL},
        {"vpc-ipv4-cidr-block", NULL},
        {"vpc-ipv4-cidr-blocks", NULL},
    };
    size_t n = sizeof table / sizeof table[0], len = strlen(mac);

    if (!eni)
        return 0;
    if (!*path) {
        buf_addf(c->body, "%s/", mac);
        return 1;
    }
    if (!str_starts(path, mac) || (path[len] && path[len] != '/'))
        return 0;
    path += path[len] ? len + 1 : len;
    if (!*path) {
        for (size_t i = 0; i < n; i++)
            buf_addf(c->body, "%s%s", i ? "\n" : "", table[i].name);
        return 1;
    }
    subnet = store_get(c->lab->store, "subnet", json_str_or(eni, "subnetId", ""));
    vpc = store_get(c->lab->store, "vpc", json_str_or(eni, "vpcId", ""));
    for (size_t i = 0; i < n; i++)
        if (str_eq(path, table[i].name))
            return put_text(c, table[i].value ? table[i].value
                               : str_starts(path, "subnet")
                                   ? json_str_or(subnet, "cidrBlock", "")
                                   : json_str_or(vpc, "cidrBlock", ""));
    return 0;
}

static int tag_value(struct imds_call *c, const char *key)
{
    json_t *t;
    size_t i;
    bool first = true;

    if (!str_eq(json_str_or(json_object_get(c->doc, "metadataOptions"),
                            "instanceMetadataTags", ""),
                "enabled"))
        return 0;
    json_array_foreach (json_object_get(c->doc, "tagSet"), i, t) {
        if (!*key)
            buf_addf(c->body, "%s%s", first ? "" : "\n", json_str_or(t, "key", ""));
        else if (str_eq(json_str_or(t, "key", ""), key))
            return put_text(c, json_str_or(t, "value", ""));
        first = false;
    }
    return !*key;
}

static int group_names(struct imds_call *c, const char *member)
{
    json_t *g;
    size_t i;

    json_array_foreach (json_object_get(c->doc, "groupSet"), i, g)
        buf_addf(c->body, "%s%s", i ? "\n" : "", json_str_or(g, member, ""));
    return 1;
}

/* Plain members of the instance's document. */
static int simple_value(struct imds_call *c, const char *path)
{
    const struct {
        const char *path, *value;
    } table[] = {
        {"ami-id", json_str_or(c->doc, "imageId", "")},
        {"ami-launch-index", "0"},
        {"ami-manifest-path", "(unknown)"},
        {"hostname", json_str_or(c->doc, "privateDnsName", "")},
        {"local-hostname", json_str_or(c->doc, "privateDnsName", "")},
        {"instance-action", "none"},
        {"instance-id", c->id},
        {"instance-life-cycle", "on-demand"},
        {"instance-type", json_str_or(c->doc, "instanceType", "")},
        {"local-ipv4", json_str_or(c->doc, "privateIpAddress", "")},
        {"mac", json_str_or(interface_of(c), "macAddress", "")},
        {"placement/availability-zone", instance_zone(c->doc)},
        {"placement/availability-zone-id",
         json_str_or(json_object_get(c->doc, "placement"), "availabilityZoneId", "")},
        {"placement/region", LAB_REGION},
        {"profile", "default-hvm"},
        {"reservation-id", json_str_or(c->doc, "_reservation", "")},
        {"services/domain", "amazonaws.com"},
        {"services/partition", "aws"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (str_eq(table[i].path, path))
            return put_text(c, table[i].value);
    return 0;
}

static int directory(struct imds_call *c, const char *path)
{
    static const struct {
        const char *path, *list;
    } table[] = {
        {"", "ami-id\nami-launch-index\nami-manifest-path\nblock-device-mapping/\n"
             "hostname\niam/\ninstance-action\ninstance-id\ninstance-life-cycle\n"
             "instance-type\nlocal-hostname\nlocal-ipv4\nmac\nnetwork/\nplacement/\n"
             "profile\npublic-keys/\nreservation-id\nsecurity-groups\nservices/\ntags/"},
        {"iam", "info\nsecurity-credentials/"},
        {"network", "interfaces/"},
        {"network/interfaces", "macs/"},
        {"placement", "availability-zone\navailability-zone-id\nregion"},
        {"services", "domain\npartition"},
        {"tags", "instance/"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (str_eq(table[i].path, path))
            return put_text(c, table[i].list);
    return 0;
}

/* The rest of path below a prefix, "" for the directory itself, NULL when elsewhere. */
static const char *below(const char *path, const char *prefix)
{
    size_t n = strlen(prefix);

    if (!str_starts(path, prefix))
        return NULL;
    return path[n] == '/' ? path + n + 1 : path[n] ? NULL : path + n;
}

static int meta_data(struct imds_call *c, const char *path, struct err *e)
{
    const char *rest;
    int r;

    if ((rest = below(path, "iam/security-credentials")))
        return role_credentials(c, rest, e);
    if (str_eq(path, "iam/info"))
        return profile_info(c, e);
    if ((rest = below(path, "block-device-mapping")))
        return block_devices(c, rest, e);
    if ((rest = below(path, "network/interfaces/macs")))
        return network(c, rest);
    if ((rest = below(path, "public-keys")))
        return public_key(c, rest);
    if ((rest = below(path, "tags/instance")))
        return tag_value(c, rest);
    if (str_eq(path, "security-groups"))
        return group_names(c, "groupName");
    r = simple_value(c, path);
    return r ? r : directory(c, path);
}

static int value_at(struct imds_call *c, const char *path, struct err *e)
{
    const char *rest;

    if (str_eq(path, "") || str_eq(path, "/"))
        return put_text(c, "latest");
    if (str_eq(path, "/latest"))
        return put_text(c, "dynamic\nmeta-data\nuser-data");
    if ((rest = below(path, ROOT)))
        return meta_data(c, rest, e);
    if (str_eq(path, "/latest/user-data"))
        return user_data(c, e);
    if (str_eq(path, "/latest/dynamic"))
        return put_text(c, "instance-identity/");
    if (str_eq(path, "/latest/dynamic/instance-identity"))
        return put_text(c, "document");
    if (str_eq(path, "/latest/dynamic/instance-identity/document"))
        return identity_document(c, e);
    return 0;
}

/* Single slashes, none at the end: "/latest//meta-data/" is one of many spellings. */
static int tidy_path(const char *path, char **ret, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;

    for (; *path; path++)
        if (*path != '/' || (path[1] && path[1] != '/'))
            buf_addc(&b, *path);
    return buf_take(&b, ret, e);
}

static int answer_locked(struct lab *lab, const char *id, const struct http_request *rq,
                         struct http_reply *rp, struct err *e)
{
    const json_t *doc = store_get(lab->store, "instance", id);
    const json_t *options = json_object_get(doc, "metadataOptions");
    const char *token = http_header_get(rq, "x-aws-ec2-metadata-token");
    struct imds_call c = {.lab = lab, .doc = doc, .id = id, .body = &rp->body};
    auto_free char *path = NULL;
    int r;

    if (!doc || str_eq(json_str_or(options, "httpEndpoint", ""), "disabled")) {
        rp->status = 403;
        return 0;
    }
    if (tidy_path(rq->path, &path, e) < 0)
        return -1;
    if (str_eq(path, "/latest/api/token")) {
        if (str_eq(rq->method, "PUT"))
            return make_token(lab, id, rq, rp, e);
        rp->status = 405;
        return 0;
    }
    if (!str_eq(rq->method, "GET") && !str_eq(rq->method, "HEAD")) {
        rp->status = 405;
        return 0;
    }
    if (token ? !token_ok(lab, id, token)
              : str_eq(json_str_or(options, "httpTokens", ""), "required")) {
        rp->status = 401;
        return 0;
    }
    r = value_at(&c, path, e);
    if (r == 0)
        rp->status = 404;
    return r < 0 ? -1 : 0;
}

/* What EC2 puts into the body of a refusal: a small page. */
static void refusal_body(struct http_reply *rp)
{
    static const struct {
        unsigned status;
        const char *text;
    } table[] = {{400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"}};

    buf_reset(&rp->body);
    rp->content_type = "text/html";
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].status == rp->status)
            buf_addf(&rp->body,
                     "<html><head><title>%u - %s</title></head>"
                     "<body><h1>%u - %s</h1></body></html>\n",
                     rp->status, table[i].text, rp->status, table[i].text);
}

int imds_answer(struct lab *lab, const char *instance_id, const struct http_request *rq,
                struct http_reply *rp, struct err *e)
{
    int r;

    rp->delivery = HTTP_SEND;
    rp->status = 200;
    rp->content_type = "text/plain";
    pthread_mutex_lock(&lab->lock);
    r = answer_locked(lab, instance_id, rq, rp, e);
    pthread_mutex_unlock(&lab->lock);
    if (r == 0 && rp->status != 200)
        refusal_body(rp);
    return r == 0 ? buf_check(&rp->body, e) : -1;
}

void imds_handle(void *ctx, const struct http_request *rq, struct http_reply *rp)
{
    struct lab *lab = ctx;
    struct err e = ERR_INIT;
    char id[RES_ID_LEN];
    const char *proxy;

    pthread_mutex_lock(&lab->lock);
    proxy = lab_meta(lab, "proxy");
    snprintf(id, sizeof id, "%s", proxy ? proxy : "");
    pthread_mutex_unlock(&lab->lock);
    if (imds_answer(lab, id, rq, rp, &e) < 0) {
        log_error("imds: %s", e.msg);
        buf_reset(&rp->body);
        rp->status = 500;
    }
}

static int from_vm(const struct vm_imds_request *req, struct http_request *rq,
                   struct err *e)
{
    rq->method = str_dup(req->method, e);
    rq->path = str_ndup(req->path, strcspn(req->path, "?"), e);
    if (!rq->method || !rq->path)
        return -1;
    for (size_t i = 0; i < req->n_headers; i++) {
        if (http_header_add(&rq->headers, req->headers[i].name, req->headers[i].value,
                            e) < 0)
            return -1;
        for (char *p = rq->headers.v[rq->headers.n - 1].name; *p; p++)
            *p = (char)tolower((unsigned char)*p);
    }
    return 0;
}

int imds_answer_vm(void *ctx, const struct vm_imds_request *req,
                   struct vm_imds_reply *reply, struct err *e)
{
    struct http_request rq = {0};
    struct http_reply rp = {0};
    int r = from_vm(req, &rq, e);

    if (r == 0)
        r = imds_answer(ctx, req->instance_id, &rq, &rp, e);
    if (r == 0) {
        reply->status = rp.status;
        buf_addf(&reply->headers, "Content-Type: %s\r\nServer: EC2ws\r\n",
                 rp.content_type);
        vec_foreach (h, &rp.headers)
            buf_addf(&reply->headers, "%s: %s\r\n", h->name, h->value);
        buf_add(&reply->body, rp.body.data, rp.body.len);
        r = buf_check(&reply->headers, e) < 0 ? -1 : buf_check(&reply->body, e);
    }
    http_request_release(&rq);
    http_reply_release(&rp);
    return r;
}
