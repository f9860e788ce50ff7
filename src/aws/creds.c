/* Credentials and the two forms in which services hand them out; see creds.h. Parsed
 * copies are overwritten before they are freed. */
#include "aws/creds.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "base/xml.h"

/* Values end up in HTTP headers. */
static bool printable(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s <= 0x20 || (unsigned char)*s >= 0x7f)
            return false;
    return true;
}

int creds_new(const char *access_key_id, const char *secret_key, const char *token,
              int64_t expires_unix_s, const char *source, struct creds **ret,
              struct err *e)
{
    auto_creds struct creds *c = NULL;

    if (!access_key_id[0] || !secret_key[0])
        return err_set(e, ERR_INPUT, "%s: an empty key", source);
    if (!printable(access_key_id) || !printable(secret_key) ||
        (token && !printable(token)) || strlen(access_key_id) > 128)
        return err_set(e, ERR_INPUT,
                       "%s: a key holds a space or another character that no AWS key has",
                       source);
    c = mem_zalloc(1, sizeof *c, e);
    if (!c)
        return -1;
    atomic_init(&c->refs, 1);
    c->expires_unix_s = expires_unix_s;
    c->access_key_id = str_dup(access_key_id, e);
    c->source = str_dup(source, e);
    if (!c->access_key_id || !c->source ||
        secret_new(secret_key, strlen(secret_key), &c->secret_key, e) < 0)
        return -1;
    if (token && token[0] && secret_new(token, strlen(token), &c->token, e) < 0)
        return -1;
    *ret = take_ptr(c);
    return 0;
}

struct creds *creds_ref(struct creds *c)
{
    atomic_fetch_add(&c->refs, 1);
    return c;
}

void creds_unref(struct creds *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    free(c->access_key_id);
    secret_free(c->secret_key);
    secret_free(c->token);
    free(c->source);
    free(c);
}

/* ---- JSON ---- */

/* Jansson hands out the address of the string it owns. */
static void wipe_members(json_t *obj)
{
    const char *key;
    json_t *v;

    json_object_foreach (obj, key, v)
        if (json_is_string(v))
            secret_wipe((char *)(uintptr_t)json_string_value(v), json_string_length(v));
}

static int expiration(const char *text, int64_t *ret, struct err *e)
{
    if (!text || !text[0]) {
        *ret = CREDS_NO_END;
        return 0;
    }
    return clock_parse_iso8601(text, ret, e);
}

/* Members as the metadata service names them; "Code" is its own. */
static int read_members(json_t *obj, const char *source, struct creds **ret,
                        struct err *e)
{
    const char *id, *key, *code = json_str_or(obj, "Code", "Success");
    const char *token = json_str_or(obj, "Token", json_str_or(obj, "SessionToken", NULL));
    int64_t expires;

    if (!str_eq(code, "Success"))
        return err_set(e, ERR_DENIED, "%s: %.100s: %.300s", source, code,
                       json_str_or(obj, "Message", "no message"));
    if (json_u64_or(obj, "Version", 1) != 1)
        return err_set(e, ERR_INPUT, "%s: credentials of an unknown version", source);
    if (json_need_str(obj, "AccessKeyId", &id, e) < 0 ||
        json_need_str(obj, "SecretAccessKey", &key, e) < 0 ||
        expiration(json_str_or(obj, "Expiration", NULL), &expires, e) < 0)
        return err_prefix(e, "%s", source);
    return creds_new(id, key, token, expires, source, ret, e);
}

int creds_from_json(const char *text, size_t len, const char *source, struct creds **ret,
                    struct err *e)
{
    json_error_t je;
    json_t *obj = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
    int done;

    /* Jansson's own message quotes what it met: here that could be the secret. */
    if (!json_is_object(obj)) {
        json_decref(obj);
        return err_set(e, ERR_INPUT, "%s: not a JSON object with credentials (line %d)",
                       source, je.line);
    }
    done = read_members(obj, source, ret, e);
    wipe_members(obj);
    json_decref(obj);
    return done;
}

/* ---- XML ---- */

static void wipe_nodes(xmlNode *n)
{
    for (; n; n = n->next) {
        if (n->type == XML_TEXT_NODE && n->content)
            secret_wipe(n->content, strlen((char *)n->content));
        else if (n->type == XML_ELEMENT_NODE)
            wipe_nodes(n->children); /* base/xml limits the depth */
    }
}

/* Borrowed from the document; "" when there is none. */
static const char *leaf(xmlNode *parent, const char *name)
{
    xmlNode *n = xml_child(parent, name);

    return n && n->children && n->children->type == XML_TEXT_NODE && n->children->content
               ? (const char *)n->children->content
               : "";
}

int creds_from_sts(xmlDoc *doc, const char *source, struct creds **ret, struct err *e)
{
    xmlNode *root = xml_root(doc), *result = xml_child(root, "AssumeRoleResult"), *c;
    int64_t expires;
    int done;

    if (!result)
        result = xml_child(root, "AssumeRoleWithWebIdentityResult");
    c = xml_child(result, "Credentials");
    if (!c)
        return err_set(e, ERR_INPUT, "%s: STS answered without credentials", source);
    done = expiration(leaf(c, "Expiration"), &expires, e);
    if (done == 0)
        done = creds_new(leaf(c, "AccessKeyId"), leaf(c, "SecretAccessKey"),
                         leaf(c, "SessionToken"), expires, source, ret, e);
    else
        err_prefix(e, "%s", source);
    wipe_nodes(root);
    return done;
}
