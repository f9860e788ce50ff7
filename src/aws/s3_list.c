/* ListObjectsV2; see s3.h. S3 gives each page's keys and common prefixes in two lists;
 * they are merged here. That every name comes after the one before is checked, so that a
 * server which repeats itself cannot hold us for ever. */
#include "aws/s3_impl.h"

#include "base/str.h"
#include "base/xml.h"

#include <inttypes.h>

struct names {
    struct VEC(struct name {
        char *name; /* owned */
        uint64_t size_bytes;
        bool is_prefix;
    });
};

static void names_release(struct names *v)
{
    vec_foreach (n, v)
        free(n->name);
    vec_release(v);
}

static int add_name(struct names *v, xmlNode *node, bool coded, bool is_prefix,
                    struct err *e)
{
    struct name n = {.is_prefix = is_prefix};

    if (s3_text(node, is_prefix ? "Prefix" : "Key", coded, &n.name, e) < 0)
        return -1;
    if ((!is_prefix && s3_u64(node, "Size", &n.size_bytes, e) < 0) ||
        vec_push(v, n, e) < 0) {
        free(n.name);
        return -1;
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->name, ((const struct name *)b)->name);
}

static int read_names(xmlNode *root, struct names *v, struct err *e)
{
    auto_free char *coding = NULL;
    bool coded;

    if (s3_text(root, "EncodingType", false, &coding, e) < 0)
        return -1;
    coded = str_eq(coding, "url");
    for (XML_EACH (n, xml_child(root, "Contents")))
        if (add_name(v, n, coded, false, e) < 0)
            return -1;
    for (XML_EACH (n, xml_child(root, "CommonPrefixes")))
        if (add_name(v, n, coded, true, e) < 0)
            return -1;
    if (v->n)
        qsort(v->v, v->n, sizeof *v->v, by_name);
    return 0;
}

static int next_token(xmlNode *root, char **token, struct err *e)
{
    auto_free char *next = NULL;

    if (s3_text(root, "NextContinuationToken", false, &next, e) < 0)
        return -1;
    if (s3_is_true(root, "IsTruncated") && !next[0])
        return err_set(e, ERR_INPUT, "there is more, but the answer does not say where");
    if (*token && str_eq(*token, next))
        return err_set(e, ERR_INPUT, "the same page twice");
    free(*token);
    *token = next[0] && s3_is_true(root, "IsTruncated") ? take_ptr(next) : NULL;
    return 0;
}

int s3_list_page(xmlNode *root, s3_each *each, void *ctx, char **last, char **token,
                 struct err *e)
{
    auto_call(names_release) struct names names = {0};

    if (read_names(root, &names, e) < 0)
        return -1;
    vec_foreach (n, &names) {
        if (s3_key_check(n->name, e) < 0) {
            e->kind = ERR_INPUT;
            return -1;
        }
        if (*last && strcmp(n->name, *last) <= 0)
            return err_set(e, ERR_INPUT, "'%.200s' comes after '%.200s'", n->name, *last);
        if (each(ctx, n->name, n->size_bytes, n->is_prefix, e) < 0)
            return -1;
        free(*last);
        *last = take_ptr(n->name);
    }
    return next_token(root, token, e);
}

/* Which errors are the caller's and which the answer's cannot be told apart later, so
 * the caller's `each` is wrapped. */
struct walk {
    s3_each *each;
    void *ctx;
    bool theirs;
};

static int pass_on(void *ctx, const char *key, uint64_t size_bytes, bool is_prefix,
                   struct err *e)
{
    struct walk *w = ctx;
    int done = w->each(w->ctx, key, size_bytes, is_prefix, e);

    w->theirs = done < 0;
    return done;
}

static int one_page(struct s3_bucket *b, const struct s3_list *what, struct walk *w,
                    char **last, char **token, struct err *e)
{
    auto_reply struct reply reply = REPLY_INIT;
    auto_buf struct buf query = BUF_INIT;
    char delimiter[2] = {what->delimiter, 0}, page[16];
    struct call call = {.action = "ListObjectsV2",
                        .method = "GET",
                        .max_answer = S3_MAX_XML,
                        .xml = true};

    snprintf(page, sizeof page, "%u", what->page);
    s3_query(&query, "continuation-token", *token);
    s3_query(&query, "delimiter", what->delimiter ? delimiter : NULL);
    s3_query(&query, "encoding-type", "url");
    s3_query(&query, "list-type", "2");
    s3_query(&query, "max-keys", what->page ? page : NULL);
    s3_query(&query, "prefix", what->prefix && *what->prefix ? what->prefix : NULL);
    s3_query(&query, "start-after", what->start_after);
    if (buf_check(&query, e) < 0)
        return -1;
    call.query = buf_str(&query);
    if (s3_send(b, NULL, &call, &reply, NULL, e) < 0)
        return -1;
    if (s3_check_root(&reply, "ListBucketResult", e) == 0 &&
        s3_list_page(xml_root(reply.doc), pass_on, w, last, token, e) == 0)
        return 0;
    if (!w->theirs)
        err_prefix(e, "s3://%s: ListObjectsV2", s3_bucket_name(b));
    return -1;
}

int s3_list_objects_v2(struct s3_bucket *b, const struct s3_list *what, s3_each *each,
                       void *ctx, struct err *e)
{
    struct walk w = {.each = each, .ctx = ctx};
    auto_free char *last = NULL, *token = NULL;

    do
        if (one_page(b, what, &w, &last, &token, e) < 0)
            return -1;
    while (token);
    return 0;
}
