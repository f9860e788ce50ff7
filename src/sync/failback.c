/* `hotadd sync failback`: the instance that runs in the machine's place is backed up into
 * the repository, as a point of the machine that the source can be restored from.
 *
 * It is the backup of an EC2 instance (flow/ec2_backup.h) with the sync's states around
 * it. One that fails is undone and the state is what it was; one that is interrupted is
 * gone on with. */
#include "sync/failover_job.h"

#include "aws/wait.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "flow/ec2_backup.h"
#include "flow/ec2_machine.h"

#define MEMBER "failover"

static int step_stop_instance(struct job *job, void *ctx, struct err *e)
{
    struct ec2_backup *b = ctx;
    const char *id = ec2_source_instance(b->item.source);

    if (!json_bool_or(job_params(job), "stop", false))
        return 0;
    if (ec2_stop_instances(b->aws, id, false, false, e) < 0 ||
        ec2_wait_instance_stopped(b->aws, id, NULL, NULL, e) < 0)
        return -1;
    job_event(job, JOB_EVENT_INFO, "instance %s is stopped", id);
    return 0;
}

static const struct job_step steps[] = {
    {"stop-instance", step_stop_instance},
    {"create-snapshots", step_create_snapshots},
    {"read-volumes", step_read_volumes},
    {"retire-snapshots", step_retire_snapshots},
    {NULL, NULL},
};

const struct job_flow failback_flow = {
    .kind = KIND_FAILBACK, .steps = steps, .resources = ec2_backup_resources};

/* The words of an instance's backup, into the sync's own repository. */
static json_t *words_of(const struct sync *s, const struct failback_how *how,
                        struct err *e)
{
    const struct restore_params *p = sync_params(s);
    const char *id = json_str_or(json_object_get(sync_body(s), MEMBER), "instance", "");
    auto_free char *source = str_fmt(e, "ec2://%s", id);
    const struct backup_item item = {.source = source, .id = p->source};
    const struct backup_params backup = {.repo = restore_params_source(p, NULL).repo,
                                         .max_rate = how->max_rate,
                                         .device_root = p->device_root};
    json_auto_t *o = source ? ec2_backup_words(&backup, &item, e) : NULL;

    if (!o || json_put(o, "sync", json_string(sync_name(s)), e) < 0 ||
        json_put(o, "stop", json_boolean(how->stop), e) < 0)
        return NULL;
    return json_incref(o);
}

/* The record's member with failback's own in it. Owned; NULL with e set. */
static json_t *with_failback(const struct sync *s, json_t *failback, struct err *e)
{
    json_auto_t *o = json_copy(json_object_get(sync_body(s), MEMBER));

    if (!o) {
        json_decref(failback);
        err_nomem(e);
        return NULL;
    }
    return json_put(o, "failback", failback, e) < 0 ? NULL : json_incref(o);
}

static int begin(struct sync *s, struct journal *journal, const struct failback_how *how,
                 struct job **ret, struct err *e)
{
    json_auto_t *words = words_of(s, how, e), *o = NULL;
    enum sync_state from = sync_state(s);

    if (!words || job_create(journal, KIND_FAILBACK, sync_name(s), words, ret, e) < 0)
        return -1;
    o = with_failback(s,
                      json_pack("{s:s, s:o, s:s, s:b}", "job", job_id(*ret), "began",
                                failover_now(), "from_state", sync_state_name(from),
                                "stopped", how->stop),
                      e);
    return o ? sync_move(s, from, SYNC_FAILING_BACK, MEMBER, o, e) : -1;
}

static const json_t *failback_of(const struct sync *s)
{
    return json_object_get(json_object_get(sync_body(s), MEMBER), "failback");
}

static int move_to_failed_back(struct sync *s, struct job *job, struct err *e)
{
    json_auto_t *back = json_copy((json_t *)failback_of(s)), *o = NULL, *point = NULL;

    if (!back || job_value_get(job, "point", &point, e) < 0 ||
        json_put(back, "point", point ? json_incref(point) : json_null(), e) < 0 ||
        json_put(back, "ended", failover_now(), e) < 0)
        return -1;
    o = with_failback(s, json_incref(back), e);
    return o ? sync_move(s, SYNC_FAILING_BACK, SYNC_FAILED_BACK, MEMBER, o, e) : -1;
}

/* Failed: nothing of it is left, and the state is what it was before. */
static int take_back(struct sync *s, struct job *job, const struct flow_env *env,
                     struct err *e)
{
    const struct flow_env deaf = {.journal_path = env->journal_path};
    const char *was = json_str_or(failback_of(s), "from_state", "");
    auto_ec2_backup struct ec2_backup b = {0};

    if (ec2_backup_init(&b, (json_t *)job_params(job), &deaf, e) < 0 ||
        job_undo(job, &failback_flow, &b, NULL, e) < 0)
        return -1;
    return sync_move(s, SYNC_FAILING_BACK,
                     str_eq(was, sync_state_name(SYNC_FAILED_BACK)) ? SYNC_FAILED_BACK
                                                                    : SYNC_FAILED_OVER,
                     NULL, NULL, e);
}

static int run(struct sync *s, struct job *job, const struct flow_env *env, struct err *e)
{
    auto_ec2_backup struct ec2_backup b = {0};
    struct err undo = ERR_INIT;
    int r;

    if (ec2_backup_init(&b, (json_t *)job_params(job), env, e) < 0)
        return -1;
    r = job_run(job, &failback_flow, &b, env->cancel, e);
    if (r == 0)
        return move_to_failed_back(s, job, e);
    if (e->kind == ERR_CANCELLED)
        return err_prefix(e, "`hotadd sync failback %s` goes on with it", sync_name(s));
    if (take_back(s, job, env, &undo) < 0) {
        log_error("%s", e->msg);
        *e = undo;
        return err_prefix(e,
                          "what the failback made is not removed; `hotadd sync "
                          "failback %s` goes on with it",
                          sync_name(s));
    }
    return -1;
}

/* A failed undo leaves a job that cannot be run: a new one takes its place. */
static int open_or_begin(struct sync *s, struct journal *journal,
                         const struct failback_how *how, const struct flow_env *env,
                         struct job **ret, struct err *e)
{
    if (sync_state(s) != SYNC_FAILING_BACK)
        return begin(s, journal, how, ret, e);
    if (job_open(journal, json_str_or(failback_of(s), "job", ""), ret, e) < 0)
        return -1;
    if (job_state(*ret) != JOB_UNDOING && job_state(*ret) != JOB_UNDONE)
        return 0;
    if (take_back(s, *ret, env, e) < 0)
        return -1;
    job_close(take_ptr(*ret));
    return begin(s, journal, how, ret, e);
}

int sync_failback(const char *name, const struct failback_how *how,
                  const struct flow_env *env, json_t **ret, struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_sync struct sync *s = NULL;
    auto_job struct job *job = NULL;
    int r;

    if (journal_open(env->journal_path, &journal, e) < 0 ||
        sync_open(journal, name, SYNC_CLAIM, &s, e) < 0 ||
        sync_allowed(name, sync_state(s), SYNC_FAILBACK, e) < 0 ||
        open_or_begin(s, journal, how, env, &job, e) < 0)
        return -1;
    log_info("job %s: failback of sync %s", job_id(job), name);
    r = run(s, job, env, e);
    if (r == 0)
        *ret = json_copy(json_object_get(sync_body(s), MEMBER));
    if (r == 0 && (!*ret || json_object_set_new(*ret, "sync", json_string(name)) < 0))
        return err_nomem(e);
    return r;
}
