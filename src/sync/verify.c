/* `hotadd sync verify`: the proof that a replica holds its recovery point. Both are read
 * whole and their digests compared; a job attaches the volumes, so that a crash leaves
 * something that the next pass or verify detaches. */
#include "sync/pass.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "disk/source_sink.h"

static const struct job_step steps[] = {
    {"create-volumes", step_create_replica},
    {"attach-volumes", step_attach_replica},
    {"compare", step_compare},
    {"detach-volumes", step_detach_replica},
    {NULL, NULL},
};

static const struct job_resource_kind resources[] = {
    {KIND_VOLUME, keep_or_remove_volume},
    {KIND_ATTACHMENT, remove_attachment},
    {NULL, NULL},
};

const struct job_flow sync_verify_flow = {
    .kind = KIND_SYNC_VERIFY, .steps = steps, .resources = resources};

/* ---- compare ---- */

static int digest_of(const struct pass *pass, struct source *source, const char *what,
                     unsigned char sha256[SHA256_BYTES], struct err *e)
{
    const struct mover_options opt = {.cancel = pass->base.cancel,
                                      .progress = pass->base.progress,
                                      .max_bytes_per_s = pass->base.params->max_rate,
                                      .what = what};
    auto_sink struct sink *sink = NULL;
    struct mover_result moved;
    struct mover_disk disk;

    if (sink_drop_new(source->size_bytes, &sink, e) < 0)
        return -1;
    disk = (struct mover_disk){.source = source, .sink = sink, .sha256 = sha256};
    return mover_run(&disk, 1, &opt, &moved, e);
}

static int compare_disk(struct job *job, struct pass *pass, size_t i, json_t *list,
                        struct err *e)
{
    const json_t *d = pass_disk(pass, i);
    uint64_t size = json_u64_or(d, "size_bytes", 0);
    unsigned char is[SHA256_BYTES], shall[SHA256_BYTES];
    char is_hex[SHA256_HEX_LEN], shall_hex[SHA256_HEX_LEN];
    auto_free char *volume = NULL;
    auto_sink struct sink *sink = NULL;
    auto_source struct source *source = NULL;
    struct proxy_device device;

    if (volume_id_of(job, i, &volume, e) < 0 ||
        volume_device(job, &pass->base, i, &device, e) < 0 ||
        proxy_device_open(&pass->base.paths, &device, json_u64_or(d, "size_gib", 0) * GIB,
                          PROXY_IN_USE, job_cancel(job), &sink, e) < 0 ||
        source_sink_borrow(sink, size, &source, e) < 0 ||
        digest_of(pass, source, "verify: volume", is, e) < 0 ||
        digest_of(pass, pass->target_m->disks.v[i].source, "verify: point", shall, e) < 0)
        return -1;
    str_hex(is_hex, is, sizeof is);
    str_hex(shall_hex, shall, sizeof shall);
    return json_add(list,
                    json_pack("{s:O, s:s, s:I, s:s, s:s, s:b}", "name",
                              json_object_get(d, "name"), "volume", volume, "size_bytes",
                              (json_int_t)size, "point_digest", shall_hex,
                              "volume_digest", is_hex, "equal",
                              (int)str_eq(is_hex, shall_hex)),
                    e);
}

int step_compare(struct job *job, void *ctx, struct err *e)
{
    struct pass *pass = ctx;
    json_auto_t *list = json_array();

    if (!list)
        return err_nomem(e);
    for (size_t i = 0; i < pass_n_disks(pass); i++)
        if (compare_disk(job, pass, i, list, e) < 0)
            return -1;
    return job_value_set(job, "compared", list, e);
}

/* ---- the command ---- */

/* As a pass that changes nothing would be decided: the replica's own volumes. */
static int decide(struct pass *pass, json_t **ret, struct err *e)
{
    const json_t *body = pass->sync->record.body, *d;
    const char *point = json_str_or(body, "point", "?");
    json_auto_t *decided = NULL;
    size_t i;

    if (pass_decide(pass, point, &decided, e) < 0)
        return -1;
    json_array_foreach (json_object_get(decided, "disks"), i, d)
        if (!json_str_or(d, "volume", NULL)) {
            pass->needs_resync = true;
            return err_set(e, ERR_NOT_FOUND,
                           "the replica's volume for %s is gone: `hotadd sync resync %s` "
                           "makes it again",
                           json_str_or(d, "name", "?"), pass->sync->record.name);
        }
    *ret = json_incref(decided);
    return 0;
}

static int check_exact(const struct sync *s, struct err *e)
{
    if (json_is_null(json_object_get(s->record.body, "dirty")) &&
        json_is_null(json_object_get(s->record.body, "job")))
        return 0;
    return err_set(e, ERR_USAGE,
                   "sync %s: a pass has not finished, so its volumes hold neither point: "
                   "`hotadd sync run %s` first",
                   s->record.name, s->record.name);
}

static int edit_unequal(json_t *body, void *ctx, struct err *e)
{
    enum sync_state now;

    if (sync_body_state(body, &now, e) < 0)
        return -1;
    if (now != SYNC_ACTIVE)
        return 0;
    return json_put(body, "state", json_string(sync_state_name(SYNC_NEEDS_RESYNC)), e);
}

static int answer(struct pass *pass, struct job *job, uint64_t started_ns, json_t **ret,
                  bool *ret_equal, struct err *e)
{
    json_auto_t *list = NULL;
    bool equal = true;
    const json_t *d;
    json_t *o;
    size_t i;

    if (job_value_get(job, "compared", &list, e) < 0)
        return -1;
    json_array_foreach (list, i, d)
        equal = equal && json_bool_or(d, "equal", false);
    if (!equal && sync_edit(pass->sync, edit_unequal, NULL, e) < 0)
        return -1;
    o = json_pack("{s:s, s:O, s:b, s:O, s:f}", "sync", pass->sync->record.name, "point",
                  json_object_get(pass->decided, "to"), "equal", (int)equal, "disks",
                  list, "seconds", (double)(clock_mono_ns() - started_ns) / 1e9);
    if (!o)
        return err_nomem(e);
    *ret = o;
    *ret_equal = equal;
    return 0;
}

/* Runs the job; when it fails what it attached is detached at once. */
static int compare(struct pass *pass, struct job *job, struct err *e)
{
    struct err undo = ERR_INIT;

    if (job_run(job, &sync_verify_flow, pass, pass->base.cancel, e) == 0)
        return 0;
    if (job_undo(job, &sync_verify_flow, pass, NULL, &undo) < 0)
        log_warning("sync %s: %s", pass->sync->record.name, undo.msg);
    return -1;
}

static int verify(struct pass *pass, json_t **ret, bool *ret_equal, struct err *e)
{
    json_auto_t *params = json_pack("{s:s}", "sync", pass->sync->record.name);
    const char *point = json_str_or(pass->sync->record.body, "point", "");
    uint64_t started_ns = clock_mono_ns();
    auto_job struct job *job = NULL;
    json_t *decided = NULL;
    int r;

    if (!params)
        return err_nomem(e);
    if (pass_open_point(pass, point, &pass->target, &pass->target_m, e) < 0)
        return e->kind == ERR_NOT_FOUND
                   ? err_prefix(e, "there is nothing to compare with")
                   : -1;
    if (pass_sweep(pass, NULL, e) < 0 || decide(pass, &decided, e) < 0 ||
        pass_take(pass, decided, e) < 0 ||
        job_create(pass->sync->journal, KIND_SYNC_VERIFY, pass->sync->record.name, params,
                   &job, e) < 0)
        return -1;
    r = compare(pass, job, e);
    if (r == 0)
        r = answer(pass, job, started_ns, ret, ret_equal, e);
    return r;
}

int sync_verify(const char *name, const struct flow_env *env, json_t **ret,
                bool *ret_equal, struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_sync struct sync *s = NULL;
    auto_pass struct pass pass = {0};
    struct err lost = ERR_INIT;

    if (journal_open(env->journal_path, &journal, e) < 0 ||
        sync_open(journal, name, SYNC_CLAIM, &s, e) < 0 ||
        sync_allowed(name, s->state, SYNC_VERIFY, e) < 0 || check_exact(s, e) < 0 ||
        pass_init(&pass, s, env, e) < 0)
        return -1;
    if (verify(&pass, ret, ret_equal, e) == 0)
        return 0;
    if (pass.needs_resync && sync_edit(s, edit_unequal, NULL, &lost) < 0)
        log_warning("sync %s: %s", name, lost.msg);
    return -1;
}
