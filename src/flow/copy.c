/* One disk from a source to a device or file, by the engine that jobs use, but without a
 * job: nothing is made in the cloud and there is nothing to resume. See copy.h. */
#include "flow/copy.h"

#include "base/json.h"
#include "base/str.h"
#include "flow/open_source.h"
#include "mover/mover.h"
#include "proxy/target.h"

#define MAX_WORKERS 64

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

int flow_copy(const struct copy_params *p, const struct flow_env *env, json_t **ret,
              struct err *e)
{
    struct source_spec spec = {.source = p->source, .format = p->format, .repo = p->repo};
    struct proxy_paths paths = {0};
    struct proxy_target_how how = {.force = p->force, .is_zero = p->target_is_zero};
    struct mover_options opt = {
        .workers = (unsigned)(p->workers < MAX_WORKERS ? p->workers : MAX_WORKERS),
        .max_bytes_per_s = p->max_rate,
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

    if (flow_source_open_disk(&spec, NULL, env->cancel, &opened, e) < 0)
        return -1;
    source = opened.machine->disks.v[0].source;
    how.size_bytes = source->size_bytes;
    if (proxy_target_open(&paths, p->target, &how, env->cancel, &target, e) < 0)
        return -1;
    disk.source = source;
    disk.sink = proxy_target_sink(target);
    if (mover_run(&disk, 1, &opt, &result, e) < 0 || proxy_target_keep(target, e) < 0)
        return -1;
    return answer(p, source, disk.sink, &result, disk.sha256, ret, e);
}
