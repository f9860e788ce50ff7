/* What all actions share: answers, client tokens; see act.h. */
#include "lab/act.h"

#include "base/digest.h"
#include "base/str.h"
#include "base/vec.h"

int act_put(struct act *a, const char *name, json_t *value, struct err *e)
{
    return json_put(a->out, name, value, e);
}

int act_true(struct act *a, struct err *e)
{
    return act_put(a, "return", json_true(), e);
}

int act_put_all(struct act *a, const json_t *doc, struct err *e)
{
    return json_object_update(a->out, (json_t *)doc) < 0 ? err_nomem(e) : 0;
}

static int by_name(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* A digest of everything the caller asked for, whatever the order. */
static int params_digest(const struct act *a, char hex[SHA256_HEX_LEN], struct err *e)
{
    struct VEC(const char *) names = {0};
    auto_buf struct buf text = BUF_INIT;
    unsigned char sum[SHA256_BYTES];
    const char *name;
    json_t *v;
    int r = 0;

    json_object_foreach ((json_t *)a->flat, name, v) {
        if (str_eq(name, "DryRun") || str_eq(name, "Version"))
            continue;
        if (r == 0)
            r = vec_push(&names, name, e);
    }
    if (names.n)
        qsort(names.v, names.n, sizeof *names.v, by_name);
    vec_foreach (n, &names)
        buf_addf(&text, "%s=%s\n", *n, q_str(a->flat, *n));
    vec_release(&names);
    if (r < 0 || buf_check(&text, e) < 0)
        return -1;
    digest_sha256(buf_str(&text), text.len, sum);
    str_hex(hex, sum, sizeof sum);
    return 0;
}

static int token_key(const struct act *a, const char *token, char **ret, struct err *e)
{
    if (strlen(token) > 64)
        return refuse_value(e, "clientToken", token, "It must not exceed 64 characters.");
    *ret = str_fmt(e, "%s:%s", a->name, token);
    return *ret ? 0 : -1;
}

int act_token_find(struct act *a, const json_t **ret_result, struct err *e)
{
    const char *token = q_str(a->params, "ClientToken");
    auto_free char *key = NULL;
    char hex[SHA256_HEX_LEN];
    const json_t *doc;

    if (!token || !*token)
        return 0;
    if (token_key(a, token, &key, e) < 0 || params_digest(a, hex, e) < 0)
        return -1;
    doc = store_get(a->lab->store, "token", key);
    if (!doc)
        return 0;
    if (!str_eq(json_str_or(doc, "digest", ""), hex))
        return refuse(e, "IdempotentParameterMismatch",
                      "The client token '%.64s' was used before with other parameters in "
                      "this API call",
                      token);
    *ret_result = json_object_get(doc, "result");
    return 1;
}

int act_token_save(struct act *a, json_t *result, struct err *e)
{
    const char *token = q_str(a->params, "ClientToken");
    auto_free char *key = NULL;
    char hex[SHA256_HEX_LEN];

    if (!token || !*token) {
        json_decref(result);
        return 0;
    }
    if (token_key(a, token, &key, e) < 0 || params_digest(a, hex, e) < 0) {
        json_decref(result);
        return -1;
    }
    return store_put(a->lab->store, "token", key,
                     json_pack("{s:s, s:s, s:o, s:I}", "key", key, "digest", hex,
                               "result", result, "_made", (json_int_t)a->now_ms),
                     e);
}
