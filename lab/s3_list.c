/* ListObjectsV2 and its forerunner. Keys come from the index in byte order; a common
 * prefix is given once, and the index then asked for what follows all that it covers. */
#include "lab/s3_impl.h"

#include "base/base64.h"
#include "base/str.h"

#define MAX_KEYS 1000

struct listing {
    struct s3_call *c;
    bool v1;
    const char *prefix, *delimiter, *skip; /* skip: a common prefix given before */
    uint64_t max_keys, n;
    struct buf from; /* where to look on: after this, or at it when `at` */
    bool at;
    struct buf last; /* name given last */
    bool last_is_prefix;
    bool truncated;
    json_t *contents, *prefixes;
};

static json_t *name_json(const struct s3_call *c, const char *name)
{
    auto_buf struct buf coded = BUF_INIT;

    if (!s3_param(&c->target, "encoding-type"))
        return json_string(name);
    s3_url_encode(name, &coded);
    return coded.failed ? NULL : json_string(buf_str(&coded));
}

static int add_object(struct listing *l, const struct s3_object *o, struct err *e)
{
    const char *owner = s3_param(&l->c->target, "fetch-owner");
    char when[LAB_TIME_LEN];
    json_t *doc =
        json_pack("{s:o, s:s, s:s, s:I, s:s}", "Key", name_json(l->c, o->key),
                  "LastModified", lab_time(when, o->modified_ms), "ETag", o->etag, "Size",
                  (json_int_t)o->size_bytes, "StorageClass", "STANDARD");

    if (doc && (l->v1 || (owner && str_eq(owner, "true"))) &&
        json_put(doc, "Owner", s3_owner(), e) < 0) {
        json_decref(doc);
        return -1;
    }
    return json_add(l->contents, doc, e);
}

/* One key or common prefix. */
static int add(struct listing *l, const struct s3_object *o, struct err *e)
{
    const char *deeper =
        l->delimiter ? strstr(o->key + strlen(l->prefix), l->delimiter) : NULL;
    auto_free char *common = NULL;

    buf_reset(&l->from);
    l->at = false;
    if (!deeper) {
        buf_adds(&l->from, o->key);
    } else {
        common = str_ndup(o->key, (size_t)(deeper - o->key) + strlen(l->delimiter), e);
        if (!common)
            return -1;
        /* No byte of UTF-8 is as large: after everything below the prefix. */
        buf_addf(&l->from, "%s\xff", common);
        if (l->skip && str_eq(l->skip, common))
            return buf_check(&l->from, e);
    }
    if (l->n >= l->max_keys) {
        l->truncated = true;
        return 0;
    }
    l->n++;
    buf_reset(&l->last);
    buf_adds(&l->last, common ? common : o->key);
    l->last_is_prefix = common != NULL;
    if (buf_check(&l->from, e) < 0 || buf_check(&l->last, e) < 0)
        return -1;
    return common ? json_add(l->prefixes,
                             json_pack("{s:o}", "Prefix", name_json(l->c, common)), e)
                  : add_object(l, o, e);
}

static int walk(struct listing *l, struct err *e)
{
    const char *bucket = l->c->target.bucket;

    while (!l->truncated) {
        auto_s3_object struct s3_object o = {0};
        int r = s3_object_next(l->c->lab->s3, bucket, buf_str(&l->from), l->at, &o, e);

        if (r < 0)
            return -1;
        if (r == 0 || !str_starts(o.key, l->prefix))
            return 0;
        if (add(l, &o, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- Where to begin ---- */

/* A continuation token is the name after which to go on, with a mark when it stands for
 * all that begins with it. */
static int read_token(struct listing *l, const char *token, struct err *e)
{
    auto_buf struct buf text = BUF_INIT;

    if (base64_decode(token, strlen(token), &text, e) < 0 || text.len < 2 ||
        memchr(buf_str(&text), 0, text.len))
        return refuse(e, "InvalidArgument",
                      "The continuation token provided is "
                      "incorrect");
    buf_adds(&l->from, buf_str(&text) + 1);
    if (buf_str(&text)[0] == 'p')
        buf_addc(&l->from, '\xff');
    return buf_check(&l->from, e);
}

static int write_token(const struct listing *l, struct err *e)
{
    auto_buf struct buf text = BUF_INIT, token = BUF_INIT;

    buf_addf(&text, "%c%s", l->last_is_prefix ? 'p' : 'k', buf_str(&l->last));
    base64_encode(buf_str(&text), text.len, &token);
    if (buf_check(&text, e) < 0 || buf_check(&token, e) < 0)
        return -1;
    return s3_put_str(l->c, "NextContinuationToken", buf_str(&token), e);
}

static int begin(struct listing *l, struct err *e)
{
    const struct s3_target *t = &l->c->target;
    const char *after = s3_param(t, l->v1 ? "marker" : "start-after");
    const char *token = l->v1 ? NULL : s3_param(t, "continuation-token");
    const char *coding = s3_param(t, "encoding-type");

    if (coding && !str_eq(coding, "url"))
        return refuse(e, "InvalidArgument",
                      "Invalid Encoding Method specified in Request");
    l->prefix = s3_param(t, "prefix") ? s3_param(t, "prefix") : "";
    l->delimiter = s3_param(t, "delimiter");
    if (l->delimiter && !*l->delimiter)
        l->delimiter = NULL;
    l->max_keys = MAX_KEYS;
    if (s3_param_number(t, "max-keys", INT32_MAX, &l->max_keys, e) < 0)
        return -1;
    if (l->max_keys > MAX_KEYS)
        l->max_keys = MAX_KEYS;
    if (token)
        return read_token(l, token, e);
    if (after && strcmp(after, l->prefix) >= 0) {
        buf_adds(&l->from, after);
        l->skip = l->v1 ? after : NULL;
    } else {
        buf_adds(&l->from, l->prefix);
        l->at = true;
    }
    return buf_check(&l->from, e);
}

/* ---- The answer ---- */

/* A parameter repeated in the answer, if it was given. */
static int echo(struct s3_call *c, const char *element, const char *param, struct err *e)
{
    const char *v = s3_param(&c->target, param);

    return v ? s3_put_name(c, element, v, e) : 0;
}

static int write_answer(struct listing *l, struct err *e)
{
    struct s3_call *c = l->c;
    const char *token = s3_param(&c->target, "continuation-token");

    if (s3_answer(c, "ListBucketResult", e) < 0 ||
        s3_put_str(c, "Name", c->target.bucket, e) < 0 ||
        s3_put_name(c, "Prefix", l->prefix, e) < 0 ||
        echo(c, "Delimiter", "delimiter", e) < 0 ||
        echo(c, "StartAfter", "start-after", e) < 0 ||
        (s3_param(&c->target, "encoding-type") &&
         s3_put_str(c, "EncodingType", "url", e) < 0) ||
        s3_put_int(c, "MaxKeys", (int64_t)l->max_keys, e) < 0 ||
        s3_put_bool(c, "IsTruncated", l->truncated, e) < 0)
        return -1;
    if (l->v1) {
        const char *marker = s3_param(&c->target, "marker");

        if (s3_put_name(c, "Marker", marker ? marker : "", e) < 0 ||
            (l->truncated && l->delimiter &&
             s3_put_name(c, "NextMarker", buf_str(&l->last), e) < 0))
            return -1;
    } else if (s3_put_int(c, "KeyCount", (int64_t)l->n, e) < 0 ||
               (token && s3_put_str(c, "ContinuationToken", token, e) < 0) ||
               (l->truncated && write_token(l, e) < 0)) {
        return -1;
    }
    if (json_object_set(c->out, "Contents[]", l->contents) < 0 ||
        json_object_set(c->out, "CommonPrefixes[]", l->prefixes) < 0)
        return err_nomem(e);
    return 0;
}

static int list(struct s3_call *c, bool v1, struct err *e)
{
    struct listing l = {
        .c = c, .v1 = v1, .contents = json_array(), .prefixes = json_array()};
    int r = l.contents && l.prefixes ? s3_need_bucket(c, e) : err_nomem(e);

    if (r == 0)
        r = begin(&l, e);
    if (r == 0 && l.max_keys > 0)
        r = walk(&l, e);
    if (r == 0)
        r = write_answer(&l, e);
    json_decref(l.contents);
    json_decref(l.prefixes);
    buf_release(&l.from);
    buf_release(&l.last);
    return r;
}

static int list_objects_v2(struct s3_call *c, struct err *e)
{
    if (!str_eq(s3_param(&c->target, "list-type"), "2"))
        return refuse(e, "InvalidArgument", "Invalid List Type specified in Request");
    return list(c, false, e);
}

static int list_objects(struct s3_call *c, struct err *e)
{
    return list(c, true, e);
}

const struct s3_action s3_list_actions[] = {
    {"ListObjectsV2", "GET", S3_BUCKET, "list-type", NULL, list_objects_v2},
    {"ListMultipartUploads", "GET", S3_BUCKET, "uploads", NULL, s3_list_uploads},
    {"ListObjects", "GET", S3_BUCKET, NULL, NULL, list_objects},
    {NULL, NULL, 0, NULL, NULL, NULL},
};
