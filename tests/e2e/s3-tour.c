/* Leads the store of objects on S3, and the calls below it, through what repositories do
 * with them, against whatever endpoint the environment names:
 *
 *     s3-tour table URL      every function of the table, odd keys, a listing in pages
 *     s3-tour threads URL    eight threads at once
 *     s3-tour parts URL      a multipart upload completed, another aborted
 *     s3-tour put URL KEY    one conditional put: prints "new" or "there"
 *     s3-tour get URL KEY    one get
 *
 * Exit code 0 when all is as it should be. */
#include "aws/s3.h"
#include "aws/s3_objects.h"
#include "base/clock.h"
#include "base/rand.h"
#include "base/str.h"

#include <pthread.h>

#define N_THREADS 8
#define N_EACH    20

struct tour {
    struct aws *aws;
    char *bucket, *prefix; /* owned */
    struct objects *store;
};

static int wrong(struct err *e, const char *what)
{
    return err_set(e, ERR_FAILED, "wrong: %s", what);
}

static int put_text(struct objects *o, const char *key, const char *text, struct err *e)
{
    return o->ops->put(o, key, text, strlen(text), OBJECTS_REPLACE, NULL, e);
}

static int expect_text(struct objects *o, const char *key, const char *text,
                       struct err *e)
{
    auto_buf struct buf got = BUF_INIT;

    if (o->ops->get(o, key, 1000, &got, e) < 0)
        return -1;
    return str_eq(buf_str(&got), text) ? 0 : wrong(e, key);
}

/* ---- table ---- */

static int conditional(struct objects *o, struct err *e)
{
    bool existed = true;

    if (o->ops->put(o, "once", "1", 1, OBJECTS_IF_ABSENT, &existed, e) < 0)
        return -1;
    if (existed)
        return wrong(e, "a new object existed");
    if (o->ops->put(o, "once", "2", 1, OBJECTS_IF_ABSENT, &existed, e) < 0)
        return -1;
    if (!existed)
        return wrong(e, "an object was made twice");
    return expect_text(o, "once", "1", e);
}

static int ranges(struct objects *o, struct err *e)
{
    struct err why;
    char buf[4];

    if (put_text(o, "digits", "0123456789", e) < 0 ||
        o->ops->get_range(o, "digits", 3, buf, 4, e) < 0)
        return -1;
    if (memcmp(buf, "3456", 4) != 0)
        return wrong(e, "a range");
    if (o->ops->get_range(o, "digits", 8, buf, 4, &why) == 0 || why.kind != ERR_INPUT ||
        o->ops->get_range(o, "digits", 10, buf, 4, &why) == 0 || why.kind != ERR_INPUT)
        return wrong(e, "a range beyond the end");
    return 0;
}

static int absence(struct objects *o, struct err *e)
{
    auto_buf struct buf out = BUF_INIT;
    struct err why;
    uint64_t n;
    char c;

    if (o->ops->get(o, "none", 10, &out, &why) == 0 || why.kind != ERR_NOT_FOUND ||
        o->ops->get_range(o, "none", 0, &c, 1, &why) == 0 || why.kind != ERR_NOT_FOUND ||
        o->ops->stat(o, "none", &n, &why) == 0 || why.kind != ERR_NOT_FOUND)
        return wrong(e, "an absent object");
    if (o->ops->get(o, "digits", 9, &out, &why) == 0 || why.kind != ERR_INPUT)
        return wrong(e, "an object larger than the limit");
    if (o->ops->stat(o, "digits", &n, e) < 0 || o->ops->remove(o, "digits", e) < 0 ||
        o->ops->remove(o, "digits", e) < 0)
        return -1;
    return n == 10 ? 0 : wrong(e, "a size");
}

static int note(void *ctx, const char *key, uint64_t bytes, bool is_prefix, struct err *e)
{
    buf_addf(ctx, "%s%s\n", key, is_prefix ? "*" : "");
    return 0;
}

static int expect_list(struct objects *o, const char *prefix, char delimiter,
                       const char *want, struct err *e)
{
    auto_buf struct buf got = BUF_INIT;

    if (o->ops->list(o, prefix, delimiter, note, &got, e) < 0)
        return -1;
    if (str_eq(buf_str(&got), want))
        return 0;
    return err_set(e, ERR_FAILED, "wrong: listing of '%s': %s", prefix, buf_str(&got));
}

static int odd_keys(struct objects *o, struct err *e)
{
    static const char *const keys[] = {" odd ",
                                       "odd//slash",
                                       "odd/../dots",
                                       "odd/.",
                                       "odd/a b+c",
                                       "odd/%2F?#&",
                                       "odd/\xc3\xa4\xe2\x82\xac",
                                       "odd/\x01"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (put_text(o, keys[i], keys[i], e) < 0)
            return -1;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (expect_text(o, keys[i], keys[i], e) < 0)
            return -1;
    if (expect_list(o, "odd/", 0,
                    "odd/\x01\nodd/%2F?#&\nodd/.\nodd/../dots\nodd//slash\nodd/a b+c\n"
                    "odd/\xc3\xa4\xe2\x82\xac\n",
                    e) < 0)
        return -1;
    if (expect_list(o, "", '/', " odd \nodd/*\nonce\n", e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (o->ops->remove(o, keys[i], e) < 0)
            return -1;
    return 0;
}

static int count(void *ctx, const char *key, uint64_t bytes, bool is_prefix,
                 struct err *e)
{
    ++*(unsigned *)ctx;
    return 0;
}

/* In pages of seven, by the call itself, and many deleted at once. */
static int pages(struct tour *t, struct err *e)
{
    auto_s3_bucket struct s3_bucket *b = NULL;
    auto_free char *prefix = str_fmt(e, "%s/pages/", t->prefix);
    struct s3_list what = {.prefix = prefix, .page = 7};
    auto_strv struct strv keys = {0};
    unsigned n = 0;

    if (!prefix || s3_bucket_new(t->aws, t->bucket, &b, e) < 0)
        return -1;
    for (unsigned i = 0; i < 30; i++)
        if (strv_addf(&keys, e, "%s%03u", prefix, i) < 0 ||
            s3_put_object(b, keys.v[i], "x", 1, S3_REPLACE, NULL, e) < 0)
            return -1;
    if (s3_list_objects_v2(b, &what, count, &n, e) < 0)
        return -1;
    if (n != 30)
        return wrong(e, "pages");
    if (s3_delete_objects(b, &keys, e) < 0 ||
        s3_list_objects_v2(b, &what, count, &n, e) < 0)
        return -1;
    return n == 30 ? 0 : wrong(e, "deleting many");
}

static int table(struct tour *t, struct err *e)
{
    if (conditional(t->store, e) < 0 || ranges(t->store, e) < 0 ||
        absence(t->store, e) < 0 || odd_keys(t->store, e) < 0 || pages(t, e) < 0)
        return -1;
    return t->store->ops->remove(t->store, "once", e);
}

/* ---- threads ---- */

struct worker {
    struct objects *store;
    unsigned id;
    int result;
    struct err e;
};

/* All make the same objects; each is made by one. */
static void *work(void *arg)
{
    struct worker *w = arg;

    for (unsigned i = 0; i < N_EACH && w->result >= 0; i++) {
        char key[40], data[40];
        bool existed = false;

        snprintf(key, sizeof key, "threads/%u", i);
        snprintf(data, sizeof data, "content %u", i);
        if (w->store->ops->put(w->store, key, data, strlen(data), OBJECTS_IF_ABSENT,
                               &existed, &w->e) < 0 ||
            expect_text(w->store, key, data, &w->e) < 0)
            w->result = -1;
        else
            w->result += !existed;
    }
    return NULL;
}

static int threads(struct tour *t, struct err *e)
{
    struct worker w[N_THREADS] = {0};
    pthread_t ids[N_THREADS];
    int made = 0;

    for (unsigned i = 0; i < N_THREADS; i++) {
        w[i] = (struct worker){.store = t->store, .id = i};
        if (pthread_create(&ids[i], NULL, work, &w[i]) != 0)
            abort();
    }
    for (unsigned i = 0; i < N_THREADS; i++) {
        pthread_join(ids[i], NULL);
        if (w[i].result < 0) {
            *e = w[i].e;
            made = -1;
        }
        made = made < 0 ? -1 : made + w[i].result;
    }
    if (made < 0)
        return -1;
    return made == N_EACH ? 0 : wrong(e, "who made the objects");
}

/* ---- parts ---- */

static int two_parts(struct s3_bucket *b, const char *key, const char *large,
                     struct err *e)
{
    auto_call(s3_parts_release) struct s3_parts parts = {0};
    auto_free char *id = NULL;
    struct s3_part first = {.number = 1}, second = {.number = 2};
    char tail[8];

    if (s3_create_multipart_upload(b, key, &id, e) < 0 ||
        s3_upload_part(b, key, id, 2, "the end", 7, &second.etag, e) < 0)
        return -1;
    if (s3_upload_part(b, key, id, 1, large, S3_MIN_PART, &first.etag, e) < 0 ||
        vec_push(&parts, first, e) < 0 || vec_push(&parts, second, e) < 0 ||
        s3_complete_multipart_upload(b, key, id, &parts, e) < 0 ||
        s3_get_object_range(b, key, S3_MIN_PART - 1, tail, 8, e) < 0)
        return -1;
    return memcmp(tail, "pthe end", 8) == 0 ? 0 : wrong(e, "an object of parts");
}

static int aborted(struct s3_bucket *b, const char *key, struct err *e)
{
    auto_call(s3_parts_release) struct s3_parts parts = {0};
    auto_call(s3_uploads_release) struct s3_uploads before = {0}, after = {0};
    auto_free char *id = NULL, *etag = NULL;

    if (s3_create_multipart_upload(b, key, &id, e) < 0 ||
        s3_upload_part(b, key, id, 3, "x", 1, &etag, e) < 0 ||
        s3_list_parts(b, key, id, &parts, e) < 0 ||
        s3_list_multipart_uploads(b, key, &before, e) < 0 ||
        s3_abort_multipart_upload(b, key, id, e) < 0 ||
        s3_abort_multipart_upload(b, key, id, e) < 0 ||
        s3_list_multipart_uploads(b, key, &after, e) < 0)
        return -1;
    if (parts.n != 1 || parts.v[0].number != 3 || parts.v[0].size_bytes != 1 ||
        !str_eq(parts.v[0].etag, etag) || before.n != 1 || !str_eq(before.v[0].id, id) ||
        after.n != 0)
        return wrong(e, "an upload that was aborted");
    return 0;
}

static int parts(struct tour *t, struct err *e)
{
    auto_s3_bucket struct s3_bucket *b = NULL;
    auto_free char *key = str_fmt(e, "%s/of parts", t->prefix);
    auto_free char *large = mem_zalloc(S3_MIN_PART, 1, e);

    if (!key || !large || s3_bucket_new(t->aws, t->bucket, &b, e) < 0)
        return -1;
    memset(large, 'p', S3_MIN_PART);
    if (two_parts(b, key, large, e) < 0 || aborted(b, key, e) < 0)
        return -1;
    return s3_delete_object(b, key, e);
}

/* ---- one call ---- */

static int put_one(struct tour *t, const char *key, struct err *e)
{
    bool existed;

    if (t->store->ops->put(t->store, key, "data", 4, OBJECTS_IF_ABSENT, &existed, e) < 0)
        return -1;
    puts(existed ? "there" : "new");
    return 0;
}

static int get_one(struct tour *t, const char *key, struct err *e)
{
    auto_buf struct buf out = BUF_INIT;

    if (t->store->ops->get(t->store, key, 64 << 20, &out, e) < 0)
        return -1;
    fwrite(buf_str(&out), 1, out.len, stdout);
    return 0;
}

static int lead(struct tour *t, int argc, char **argv, struct err *e)
{
    struct aws_options o = {.retry_base_ns = 20 * NS_PER_MS};
    const char *what = argc > 2 ? argv[1] : "";

    if (argc < 3 || s3_url_parse(argv[2], &t->bucket, &t->prefix, e) < 0 ||
        aws_new(&o, &t->aws, e) < 0 ||
        s3_objects_new(t->aws, t->bucket, t->prefix, &t->store, e) < 0)
        return argc < 3 ? wrong(e, "arguments") : -1;
    if (str_eq(what, "table"))
        return table(t, e);
    if (str_eq(what, "threads"))
        return threads(t, e);
    if (str_eq(what, "parts"))
        return parts(t, e);
    if (argc == 4 && str_eq(what, "put"))
        return put_one(t, argv[3], e);
    if (argc == 4 && str_eq(what, "get"))
        return get_one(t, argv[3], e);
    return wrong(e, "arguments");
}

int main(int argc, char **argv)
{
    struct tour t = {0};
    struct err e = ERR_INIT;
    int done = lead(&t, argc, argv, &e);

    if (done < 0)
        fprintf(stderr, "s3-tour: %s\n", e.msg);
    objects_free(t.store);
    aws_free(t.aws);
    free(t.bucket);
    free(t.prefix);
    return done < 0;
}
