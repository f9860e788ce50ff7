/* One disk from a source to a device or file, by the engine that jobs use, but without a
 * job: nothing is made in the cloud and there is nothing to resume. See copy.h. */
#include "flow/copy.h"

#include "base/json.h"
#include "base/str.h"
#include "flow/open_source.h"
#include "mover/mover.h"
#include "proxy/target.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORKERS 64

/* Places of the target that are compared with what it is said to hold: one that holds
 * another disk is told by the first of them. */
#define SAMPLES 32

static double seconds(const struct mover_result *r)
{
    return (double)r->elapsed_ns / 1e9;
}

static uint64_t rate(const struct mover_result *r, uint64_t bytes)
{
    return r->elapsed_ns ? (uint64_t)((double)bytes / seconds(r)) : 0;
}

static json_t *digest_json(const unsigned char sha256[SHA256_BYTES])
{
    char hex[SHA256_HEX_LEN];

    return json_pack("{s:s, s:s}", "algorithm", "sha256-of-4MiB-sha256s", "value",
                     str_hex(hex, sha256, SHA256_BYTES));
}

static int answer(const struct copy_params *p, const struct source *s,
                  const struct sink *sink, const struct mover_result *r,
                  const unsigned char *sha256, json_t **ret, struct err *e)
{
    json_auto_t *o = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:i, s:b}",
        "source", s->desc, "format", s->ops->name, "target", sink->desc, "what",
        p->verify ? "copied and verified" : "copied", "size_bytes",
        (json_int_t)s->size_bytes, "target_bytes", (json_int_t)sink->size_bytes,
        "data_bytes", (json_int_t)r->data_bytes, "written_bytes",
        (json_int_t)r->written_bytes, "zeroed_bytes", (json_int_t)r->zeroed_bytes,
        "verified_bytes", (json_int_t)r->verified_bytes, "seconds", seconds(r),
        "data_bytes_per_s", (json_int_t)rate(r, r->data_bytes), "disk_bytes_per_s",
        (json_int_t)rate(r, r->total_bytes), "workers", (int)r->workers, "io_uring",
        (int)r->io_uring);

    if (!o)
        return err_nomem(e);
    if (sha256 && json_put(o, "digest", digest_json(sha256), e) < 0)
        return -1;
    *ret = json_incref(o);
    return 0;
}

/* ---- a target that holds an older version ---- */

/* The bytes of `s` at offset, where it has some; else zeros, which the target holds
 * behind a disk that is smaller. */
static int sample(struct source *s, void *buf, size_t len, uint64_t offset, void *scratch,
                  struct err *e)
{
    uint64_t n = offset < s->size_bytes ? s->size_bytes - offset : 0;

    n = n < len ? n : len;
    memset((char *)buf + n, 0, len - n);
    return n ? source_pread(s, buf, n, offset, scratch, e) : 0;
}

/* A copy that was interrupted left some of the new version, which is right too. */
static int check_sample(const struct mover_disk *d, uint64_t offset, void *scratch,
                        struct err *e)
{
    auto_free void *have = NULL;
    unsigned char old[4096], new[4096];
    uint64_t left = d->base->size_bytes - offset;
    size_t n = left < sizeof old ? (size_t)left : sizeof old;

    if (posix_memalign(&have, 4096, sizeof old))
        return err_nomem(e);
    if (sample(d->base, old, n, offset, scratch, e) < 0 ||
        d->sink->ops->read(d->sink, have, n, offset, e) < 0)
        return -1;
    if (memcmp(old, have, n) == 0)
        return 0;
    if (sample(d->source, new, n, offset, scratch, e) < 0)
        return -1;
    if (memcmp(new, have, n) == 0)
        return 0;
    return err_set(e, ERR_REQUIREMENT,
                   "%s does not hold %s: the %zu bytes at %" PRIu64
                   " differ; without --base all of the disk is written",
                   d->sink->desc, d->base->desc, n, offset);
}

static int check_base(const struct mover_disk *d, struct err *e)
{
    auto_free void *scratch = NULL;
    uint64_t size = d->base->size_bytes, step = size / SAMPLES / 4096 * 4096 + 4096;
    size_t n = d->base->unit_max_bytes > d->source->unit_max_bytes
                   ? d->base->unit_max_bytes
                   : d->source->unit_max_bytes;

    if (size > d->sink->size_bytes)
        return err_set(e, ERR_REQUIREMENT,
                       "%s has %" PRIu64 " bytes, fewer than %s, which it should hold",
                       d->sink->desc, d->sink->size_bytes, d->base->desc);
    if (posix_memalign(&scratch, 4096, n))
        return err_nomem(e);
    for (uint64_t at = 0; at < size; at += step)
        if (check_sample(d, at, scratch, e) < 0)
            return -1;
    return 0;
}

/* The base opened, and what is known to be equal in both without reading. */
struct base {
    struct flow_source opened;
    struct extent_set equal;
};

static void base_close(struct base *b)
{
    extent_set_release(&b->equal);
    flow_source_close(&b->opened);
}

static int base_open(const struct copy_params *p, const struct flow_source *source,
                     const struct cancel *cancel, struct base *b, struct err *e)
{
    struct source_spec spec = {.source = p->base, .format = NULL, .repo = p->repo};

    if (p->digest)
        return err_set(e, ERR_USAGE,
                       "--digest reads the whole disk, --base only what changed: choose "
                       "one");
    if (flow_source_open_disk(&spec, NULL, cancel, &b->opened, e) < 0)
        return err_prefix(e, "--base");
    if (!source->point || !b->opened.point)
        return 0;
    return repo_point_equal(source->point, source->point_disk, b->opened.point,
                            b->opened.point_disk, &b->equal, e);
}

static int copy_delta(const struct copy_params *p, const struct flow_source *source,
                      const struct flow_env *env, struct mover_disk *disk,
                      const struct mover_options *opt, struct mover_result *result,
                      struct err *e)
{
    auto_call(base_close) struct base b = {0};

    if (base_open(p, source, env->cancel, &b, e) < 0)
        return -1;
    disk->base = b.opened.machine->disks.v[0].source;
    disk->already = &b.equal;
    if (check_base(disk, e) < 0)
        return -1;
    return mover_run(disk, 1, opt, result, e);
}

int flow_copy(const struct copy_params *p, const struct flow_env *env, json_t **ret,
              struct err *e)
{
    struct source_spec spec = {.source = p->source, .format = p->format, .repo = p->repo};
    struct proxy_paths paths = {0};
    struct proxy_target_how how = {
        .force = p->force, .is_zero = p->target_is_zero, .has_base = p->base};
    struct mover_options opt = {
        .workers = (unsigned)(p->workers < MAX_WORKERS ? p->workers : MAX_WORKERS),
        .max_bytes_per_s = p->max_rate,
        .shared_buffers = true,
        .verify = p->verify ? MOVER_VERIFY_READ_BACK : MOVER_VERIFY_NONE,
        .cancel = env->cancel,
        .progress = env->progress,
        .what = "copy",
    };
    auto_flow_source struct flow_source opened = {0};
    struct source *source;
    auto_proxy_target struct proxy_target *target = NULL;
    unsigned char sha256[SHA256_BYTES];
    struct mover_disk disk = {.sha256 = p->digest ? sha256 : NULL};
    struct mover_result result;
    int r;

    if (p->base && p->target_is_zero)
        return err_set(e, ERR_USAGE,
                       "--base says that the target holds a disk, --target-is-zero that "
                       "it holds nothing");
    if (flow_source_open_disk(&spec, NULL, env->cancel, &opened, e) < 0)
        return -1;
    source = opened.machine->disks.v[0].source;
    how.source = source;
    if (proxy_target_open(&paths, p->target, &how, env->cancel, &target, e) < 0)
        return -1;
    disk.source = source;
    disk.sink = proxy_target_sink(target);
    r = p->base ? copy_delta(p, &opened, env, &disk, &opt, &result, e)
                : mover_run(&disk, 1, &opt, &result, e);
    if (r < 0 || proxy_target_keep(target, e) < 0)
        return -1;
    return answer(p, source, disk.sink, &result, disk.sha256, ret, e);
}
