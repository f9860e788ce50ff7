/* A store of objects on S3; see s3_objects.h. Keeps nothing but names. */
#include "aws/s3_objects.h"

#include "aws/s3.h"
#include "base/str.h"

/* A chunk takes the service some tens of milliseconds. */
#define CALLS_AT_ONCE 16

struct s3_objects {
    struct objects objects;
    struct s3_bucket *bucket;
    char *prefix; /* with its '/', or "" */
};

static struct s3_objects *of(struct objects *o)
{
    return (struct s3_objects *)o;
}

/* The key as S3 has it; owned, NULL with e set. */
static char *full_key(struct objects *o, const char *key, struct err *e)
{
    if (key[0] == '/') {
        err_set(e, ERR_USAGE, "%s: the key '%.200s' begins with '/'", o->desc, key);
        return NULL;
    }
    return str_fmt(e, "%s%s", of(o)->prefix, key);
}

static int get(struct objects *o, const char *key, size_t max_bytes, struct buf *out,
               struct err *e)
{
    auto_free char *full = full_key(o, key, e);

    return full ? s3_get_object(of(o)->bucket, full, max_bytes, out, e) : -1;
}

static int get_range(struct objects *o, const char *key, uint64_t offset, void *buf,
                     size_t len, struct err *e)
{
    auto_free char *full = full_key(o, key, e);

    return full ? s3_get_object_range(of(o)->bucket, full, offset, buf, len, e) : -1;
}

static int put(struct objects *o, const char *key, const void *data, size_t len,
               enum objects_put how, bool *ret_existed, struct err *e)
{
    auto_free char *full = full_key(o, key, e);

    if (!full)
        return -1;
    return s3_put_object(of(o)->bucket, full, data, len,
                         how == OBJECTS_IF_ABSENT ? S3_IF_ABSENT : S3_REPLACE,
                         ret_existed, e);
}

static int remove_one(struct objects *o, const char *key, struct err *e)
{
    auto_free char *full = full_key(o, key, e);

    return full ? s3_delete_object(of(o)->bucket, full, e) : -1;
}

static int stat_one(struct objects *o, const char *key, uint64_t *ret_bytes,
                    struct err *e)
{
    auto_free char *full = full_key(o, key, e);
    struct s3_head h;

    if (!full || s3_head_object(of(o)->bucket, full, &h, e) < 0)
        return -1;
    *ret_bytes = h.size_bytes;
    s3_head_release(&h);
    return 0;
}

struct walk {
    const char *prefix; /* the store's own */
    int (*each)(void *ctx, const char *key, uint64_t bytes, bool is_prefix,
                struct err *e);
    void *ctx;
};

static int give(void *ctx, const char *key, uint64_t size_bytes, bool is_prefix,
                struct err *e)
{
    const struct walk *w = ctx;

    size_t skip = strlen(w->prefix);

    if (strncmp(key, w->prefix, skip) != 0)
        return err_set(e, ERR_INPUT, "S3 lists '%.200s', which was not asked for", key);
    /* What a console made to show the prefix as a folder. */
    if (!key[skip])
        return 0;
    return w->each(w->ctx, key + skip, size_bytes, is_prefix, e);
}

static int list(struct objects *o, const char *prefix, char delimiter,
                int (*each)(void *ctx, const char *key, uint64_t bytes, bool is_prefix,
                            struct err *e),
                void *ctx, struct err *e)
{
    auto_free char *full = full_key(o, prefix, e);
    struct s3_list what = {.prefix = full, .delimiter = delimiter};
    struct walk w = {of(o)->prefix, each, ctx};

    return full ? s3_list_objects_v2(of(o)->bucket, &what, give, &w, e) : -1;
}

static void free_objects(struct objects *o)
{
    s3_bucket_free(of(o)->bucket);
    free(of(o)->prefix);
    free(o->desc);
    free(o);
}

static const struct objects_ops ops = {
    .name = "s3",
    .get = get,
    .get_range = get_range,
    .put = put,
    .remove = remove_one,
    .stat = stat_one,
    .list = list,
    .free = free_objects,
};

int s3_objects_new(struct aws *aws, const char *bucket, const char *prefix,
                   struct objects **ret, struct err *e)
{
    struct s3_objects *o;

    if (*prefix && s3_key_check(prefix, e) < 0)
        return err_prefix(e, "s3://%s", bucket);
    o = mem_zalloc(1, sizeof *o, e);
    if (!o)
        return -1;
    o->objects.ops = &ops;
    o->objects.calls_at_once = CALLS_AT_ONCE;
    o->objects.desc = str_fmt(e, "s3://%s%s%s", bucket, *prefix ? "/" : "", prefix);
    o->prefix = str_fmt(e, "%s%s", prefix, *prefix ? "/" : "");
    if (!o->objects.desc || !o->prefix || s3_bucket_new(aws, bucket, &o->bucket, e) < 0) {
        objects_free(&o->objects);
        return -1;
    }
    *ret = &o->objects;
    return 0;
}
