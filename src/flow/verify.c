/* Verifying; see verify.h. The repository's source of chunks is copied, in parallel, to a
 * sink that drops everything. The only thing written is each point's verify state, when
 * its last chunk was read: an interrupted run loses at most the point it was in. */
#include "flow/verify.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "disk/sink.h"
#include "mover/mover.h"

DEFINE_AUTO_PTR(struct repo_verify, repo_verify_free)
#define auto_repo_verify auto_call(repo_verify_free_autop)

/* ---- reading everything ---- */

static int read_all(struct source *chunks, const struct verify_params *p,
                    const struct flow_env *env, struct mover_result *ret, struct err *e)
{
    const struct mover_options opt = {.workers = p->workers,
                                      .max_bytes_per_s = p->max_rate,
                                      .cancel = env->cancel,
                                      .progress = env->progress,
                                      .what = "verify"};
    auto_sink struct sink *sink = NULL;
    struct mover_disk disk;

    if (sink_drop_new(chunks->size_bytes, &sink, e) < 0)
        return -1;
    disk = (struct mover_disk){.source = chunks, .sink = sink};
    return mover_run(&disk, 1, &opt, ret, e);
}

static json_t *damage_json(const struct repo_damage *d)
{
    return json_pack("{s:s, s:s?, s:s?, s:I, s:s?, s:s?}", "kind",
                     repo_damage_name(d->kind), "point", d->point, "disk", d->disk,
                     "offset", (json_int_t)d->offset, "file", d->file, "message",
                     d->message);
}

static int result_json(const struct repo_verify_stats *s,
                       const struct repo_damages *found, const struct mover_result *moved,
                       double seconds, json_t **ret, struct err *e)
{
    json_auto_t *list = json_array();
    json_t *o;

    vec_foreach (d, found)
        if (json_add(list, damage_json(d), e) < 0)
            return -1;
    o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:O}", "points",
                  (json_int_t)s->points, "points_bad", (json_int_t)s->points_bad,
                  "points_skipped", (json_int_t)s->points_skipped, "points_without_key",
                  (json_int_t)s->points_without_key, "chunks", (json_int_t)s->chunks,
                  "chunks_bad", (json_int_t)s->chunks_bad, "bytes",
                  (json_int_t)moved->data_bytes, "seconds", seconds, "damages", list);
    if (!o)
        return err_nomem(e);
    *ret = o;
    return 0;
}

int flow_verify(const struct verify_params *p, const struct flow_env *env,
                json_t **ret_result, bool *ret_damaged, struct err *e)
{
    auto_flow_repo struct flow_repo repo = {0};
    auto_repo_verify struct repo_verify *v = NULL;
    struct repo_damages found = {0};
    struct repo_verify_stats stats = {0};
    struct mover_result moved = {0};
    uint64_t started_ns = clock_mono_ns();
    struct repo_name name = {0};
    int r;

    if (flow_repo_name(&p->repo, p->name, &name, e) < 0)
        return -1;
    r = flow_repo_open(&p->repo, REPO_MUST_EXIST, env->cancel, &repo, e);
    if (r == 0)
        r = repo_verify_begin(repo.repo, &name, &p->options, &v, e);
    repo_name_release(&name);
    if (r < 0)
        return -1;
    if (repo_verify_source(v) && read_all(repo_verify_source(v), p, env, &moved, e) < 0)
        return -1;
    if (repo_verify_finish(v, &stats, &found, e) < 0)
        return -1;
    r = result_json(&stats, &found, &moved, (double)(clock_mono_ns() - started_ns) / 1e9,
                    ret_result, e);
    *ret_damaged = found.n > 0;
    repo_damages_release(&found);
    return r;
}
