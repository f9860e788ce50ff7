/* upload-disks: the source's disks become objects of a bucket, straight from wherever
 * they are; nothing is unpacked to this machine's disks.
 *
 * The object is intended before its upload begins; its key says whose it is. A crash
 * leaves an upload with some of its parts: the journal knows which ranges are durable and
 * S3 lists the parts, and only what both know is not sent again. */
#include "aws/s3_upload.h"
#include "base/clock.h"
#include "base/rand.h"
#include "base/str.h"
#include "flow/import.h"
#include "image/vhd.h"
#include "mover/mover.h"

#include <inttypes.h>

#define DEFAULT_PREFIX "hotadd-import"
/* The network is waited for, not computed on. */
#define UPLOAD_WORKERS 8
#define UPLOAD_POOL    ((uint64_t)192 << 20)

struct upload {
    struct job *job;
    struct restore_ctx *ctx;
    struct s3_bucket *bucket; /* owned */
    struct flow_source source;
    struct one {
        char *key, *id, *zero_key; /* owned; id NULL: the object is complete */
        unsigned char footer[VHD_FOOTER_BYTES];
        struct s3_upload_target to;
        struct extent_set already;
        struct sink *sink; /* owned */
    } * disks;             /* n, owned */
    size_t n;
    struct mover_disk *work; /* owned */
    size_t *which;           /* owned: of the work, index of the disk */
    size_t n_work;
};

static void upload_release(struct upload *u)
{
    for (size_t i = 0; u->disks && i < u->n; i++) {
        struct one *d = &u->disks[i];

        sink_free(d->sink);
        extent_set_release(&d->already);
        free(d->key);
        free(d->id);
        free(d->zero_key);
    }
    free(u->disks);
    free(u->work);
    free(u->which);
    s3_bucket_free(u->bucket);
    flow_source_close(&u->source);
}

/* ---- Objects ---- */

static const char *prefix_of(const struct restore_ctx *ctx)
{
    return ctx->params->prefix ? ctx->params->prefix : DEFAULT_PREFIX;
}

char *import_key(const struct restore_ctx *ctx, const char *job, size_t i, struct err *e)
{
    return str_fmt(e, "%s/%s/disk-%zu.%s", prefix_of(ctx), job, i + 1,
                   ctx->plan->disk_format ? ctx->plan->disk_format : "raw");
}

static int abort_uploads(struct s3_bucket *b, const char *key, struct err *e)
{
    struct s3_uploads found = {0};
    int r = s3_list_multipart_uploads(b, key, &found, e);

    vec_foreach (u, &found)
        if (r == 0 && str_eq(u->key, key))
            r = s3_abort_multipart_upload(b, key, u->id, e);
    s3_uploads_release(&found);
    return r;
}

int remove_object(struct job *job, void *vctx, const struct job_resource *r,
                  struct err *e)
{
    struct restore_ctx *ctx = vctx;
    const char *bucket = json_string_value(json_object_get(r->attrs, "bucket"));
    const char *key = json_string_value(json_object_get(r->attrs, "key"));
    auto_s3_bucket struct s3_bucket *b = NULL;

    if (!bucket || !key)
        return 0;
    if (s3_bucket_new(ctx->aws, bucket, &b, e) < 0)
        return -1;
    if (abort_uploads(b, key, e) < 0 || s3_delete_object(b, key, e) < 0)
        return str_eq(e->aws_code, "NoSuchBucket") ? 0 : -1;
    return 0;
}

static int intend_object(struct upload *u, const char *name, const char *key,
                         struct job_resource *ret, struct err *e)
{
    json_auto_t *attrs =
        json_pack("{s:s, s:s}", "bucket", u->ctx->params->bucket, "key", key);

    return attrs ? job_resource_intend(u->job, KIND_OBJECT, name, attrs, ret, e)
                 : err_nomem(e);
}

static int note_object(struct upload *u, const char *name, const char *key, struct err *e)
{
    auto_free char *url = str_fmt(e, "s3://%s/%s", u->ctx->params->bucket, key);

    return url ? job_resource_made(u->job, name, url, NULL, e) : -1;
}

/* Zeros that S3 copies wherever a part has nothing else. */
static int zeros_object(struct upload *u, uint32_t part_bytes, char **ret, struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    auto_free char *key = NULL;
    auto_free void *zeros = NULL;

    key =
        str_fmt(e, "%s/%s/zeros-%" PRIu32, prefix_of(u->ctx), job_id(u->job), part_bytes);
    if (!key || intend_object(u, KEY_ZEROS, key, &r, e) < 0)
        return -1;
    if (!str_eq(json_string_value(json_object_get(r.attrs, "key")), key)) {
        *ret = NULL; /* zeros of another size are there: these are sent */
        return 0;
    }
    if (r.state != JOB_RESOURCE_MADE) {
        zeros = mem_zalloc(1, part_bytes, e);
        if (!zeros ||
            s3_put_object(u->bucket, key, zeros, part_bytes, S3_REPLACE, NULL, e) < 0 ||
            note_object(u, KEY_ZEROS, key, e) < 0)
            return -1;
    }
    *ret = take_ptr(key);
    return 0;
}

/* ---- An upload, new or old ---- */

static int old_upload(struct upload *u, size_t i, struct one *d, struct err *e)
{
    json_auto_t *was = NULL;
    char name[KEY_LEN];

    if (job_value_get(u->job, disk_key(name, "upload", i), &was, e) < 0)
        return -1;
    return json_string_value(was) ? str_set(&d->id, json_string_value(was), e) : 0;
}

static int new_upload(struct upload *u, size_t i, struct one *d, struct err *e)
{
    json_auto_t *id = NULL;
    char name[KEY_LEN];

    /* What an upload that is no more held durably counts no more. */
    if (job_ranges_forget(u->job, (uint32_t)i, e) < 0 ||
        s3_create_multipart_upload(u->bucket, d->key, &d->id, e) < 0)
        return -1;
    id = json_string(d->id);
    return id ? job_value_set(u->job, disk_key(name, "upload", i), id, e) : err_nomem(e);
}

/* 1: an earlier run completed it and died before it said so. */
static int completed_before(struct upload *u, const struct one *d, struct err *e)
{
    struct s3_head h;
    bool whole;

    if (s3_head_object(u->bucket, d->key, &h, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    whole = h.size_bytes == d->to.size_bytes + d->to.trailer_len;
    s3_head_release(&h);
    return whole;
}

/* Takes up the upload that the journal knows; 1 when there is nothing left to do. */
static int take_up(struct upload *u, size_t i, struct one *d, struct err *e)
{
    auto_extent_set struct extent_set there = {0}, durable = {0};
    uint64_t n;

    if (old_upload(u, i, d, e) < 0)
        return -1;
    if (!d->id)
        return new_upload(u, i, d, e);
    d->to.upload_id = d->id;
    if (s3_upload_ranges(&d->to, &there, e) < 0) {
        int done;

        if (e->kind != ERR_NOT_FOUND || (done = completed_before(u, d, e)) < 0)
            return -1;
        if (done)
            return 1;
        job_event(u->job, JOB_EVENT_WARNING,
                  "the upload of disk %zu is gone from the bucket: it begins anew",
                  i + 1);
        free(take_ptr(d->id));
        return new_upload(u, i, d, e);
    }
    if (job_ranges(u->job, (uint32_t)i, &durable, e) < 0)
        return -1;
    for (uint64_t at = 0; at < d->to.size_bytes; at += n)
        if (extent_set_at(&durable, at, d->to.size_bytes - at, &n)) {
            bool both = extent_set_at(&there, at, n, &n);

            if (both && extent_set_add(&d->already, at, n, e) < 0)
                return -1;
        }
    return 0;
}

/* The same on every resume: a part that was sent holds it already. */
static void make_footer(struct upload *u, size_t i, struct one *d)
{
    unsigned char sum[SHA256_BYTES];

    digest_sha256(d->key, strlen(d->key), sum);
    vhd_fixed_footer(u->ctx->plan->volumes.v[i].source_bytes, sum, 0, d->footer);
    d->to.trailer = d->footer;
    d->to.trailer_len = sizeof d->footer;
}

static int note_durable(void *ctx, size_t disk, const struct extent *v, size_t n,
                        struct err *e)
{
    struct upload *u = ctx;

    return job_ranges_done(u->job, (uint32_t)u->which[disk], v, n, e);
}

static int prepare(struct upload *u, size_t i, struct err *e)
{
    struct one *d = &u->disks[i];
    uint64_t size = u->ctx->plan->volumes.v[i].source_bytes;
    auto_job_resource struct job_resource r = {0};
    char name[KEY_LEN];
    int done;

    d->key = import_key(u->ctx, job_id(u->job), i, e);
    if (!d->key || intend_object(u, disk_key(name, "object", i), d->key, &r, e) < 0 ||
        job_disk_size(u->job, (uint32_t)i, size, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE)
        return 0;
    d->to =
        (struct s3_upload_target){.bucket = u->bucket, .key = d->key, .size_bytes = size};
    if (str_eq_null(u->ctx->plan->disk_format, "vhd"))
        make_footer(u, i, d);
    if (zeros_object(u, s3_upload_part_bytes(size), &d->zero_key, e) < 0)
        return -1;
    done = take_up(u, i, d, e);
    if (done < 0)
        return -1;
    if (done)
        return note_object(u, name, d->key, e);
    d->to.upload_id = d->id;
    d->to.zero_key = d->zero_key;
    if (s3_upload_sink_new(&d->to, &d->sink, e) < 0)
        return -1;
    u->which[u->n_work] = i;
    u->work[u->n_work++] =
        (struct mover_disk){.source = u->source.machine->disks.v[i].source,
                            .sink = d->sink,
                            .already = &d->already,
                            .durable = note_durable,
                            .durable_ctx = u};
    return 0;
}

static int complete(struct upload *u, size_t i, struct err *e)
{
    struct one *d = &u->disks[i];
    char name[KEY_LEN], size[32];

    if (s3_upload_complete(&d->to, e) < 0 ||
        note_object(u, disk_key(name, "object", i), d->key, e) < 0)
        return -1;
    job_event(u->job, JOB_EVENT_INFO, "disk %zu, %s, is s3://%s/%s", i + 1,
              str_bytes(size, sizeof size, d->to.size_bytes), u->ctx->params->bucket,
              d->key);
    return 0;
}

static int run(struct upload *u, struct err *e)
{
    struct mover_options opt = {
        .workers = UPLOAD_WORKERS,
        .pool_bytes = UPLOAD_POOL,
        .max_bytes_per_s = u->ctx->params->max_rate,
        .cancel = job_cancel(u->job),
        .progress = u->ctx->progress,
        .what = "upload-disks",
    };
    struct mover_result result;

    for (size_t i = 0; i < u->n; i++)
        if (prepare(u, i, e) < 0)
            return err_prefix(e, "disk %zu", i + 1);
    if (u->n_work && mover_run(u->work, u->n_work, &opt, &result, e) < 0)
        return -1;
    for (size_t k = 0; k < u->n_work; k++)
        if (complete(u, u->which[k], e) < 0)
            return err_prefix(e, "disk %zu", u->which[k] + 1);
    return 0;
}

int step_upload_disks(struct job *job, void *vctx, struct err *e)
{
    struct restore_ctx *ctx = vctx;
    struct source_spec spec = restore_params_source(ctx->params, ctx->plan->source);
    auto_call(upload_release) struct upload u = {
        .job = job, .ctx = ctx, .n = ctx->plan->volumes.n};

    if (source_open_again(&spec, ctx->plan, job_cancel(job), &u.source, e) < 0 ||
        s3_bucket_new(ctx->aws, ctx->params->bucket, &u.bucket, e) < 0)
        return -1;
    u.disks = mem_zalloc(u.n, sizeof *u.disks, e);
    u.work = u.disks ? mem_zalloc(u.n, sizeof *u.work, e) : NULL;
    u.which = u.work ? mem_zalloc(u.n, sizeof *u.which, e) : NULL;
    return u.which ? run(&u, e) : -1;
}
