/* The jobs of tests and failovers: their words, their plan, their tables of steps; see
 * failover_job.h. */
#include "sync/failover_job.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "flow/flows.h"
#include "repo/repo.h"

#include <inttypes.h>

static const struct job_step test_steps[] = {
    {"isolate", step_isolate},
    {"clone-volumes", step_clone_volumes},
    {"attach-volumes", step_attach_volumes},
    {"inject-drivers", step_convert_clone},
    {"detach-volumes", step_detach_volumes},
    {"create-instance", step_create_instance},
    {"test-boot", step_test_boot},
    {"clean-up", step_clean_up},
    {NULL, NULL},
};

static const struct job_step failover_steps[] = {
    {"clone-volumes", step_clone_volumes},
    {"attach-volumes", step_attach_volumes},
    {"inject-drivers", step_convert_clone},
    {"detach-volumes", step_detach_volumes},
    {"create-instance", step_create_instance},
    {"first-boot", step_first_boot},
    {NULL, NULL},
};

static int remove_group(struct job *job, void *ctx, const struct job_resource *r,
                        struct err *e);

static const struct job_resource_kind resources[] = {
    {KIND_VOLUME, remove_volume},
    {KIND_ATTACHMENT, remove_attachment},
    {KIND_SNAPSHOT, remove_snapshot},
    {KIND_IMAGE, remove_image},
    {KIND_INSTANCE, remove_instance},
    {KIND_GROUP, remove_group},
    {NULL, NULL},
};

const struct job_flow test_flow = {
    .kind = KIND_TEST, .steps = test_steps, .resources = resources};
const struct job_flow failover_flow = {
    .kind = KIND_FAILOVER, .steps = failover_steps, .resources = resources};

/* ---- words ---- */

static int set_default_name(json_t *o, const struct sync *s, bool test, struct err *e)
{
    const char *name = json_str_or(o, "name", sync_name(s));
    auto_free char *full = NULL;

    if (!test)
        return json_put(o, "name", json_string(name), e);
    full = str_fmt(e, "%s (test)", name);
    return full ? json_put(o, "name", json_string(full), e) : -1;
}

json_t *failover_words(const struct sync *s, const char *kind,
                       const struct failover_how *how, struct err *e)
{
    json_auto_t *o = restore_params_json(sync_params(s), e);
    json_auto_t *own = NULL;
    bool test = str_eq(kind, KIND_TEST);
    int64_t at = REPO_LATEST;

    if (!o)
        return NULL;
    if (how->at && !str_eq(how->at, "latest") &&
        clock_parse_iso8601(how->at, &at, e) < 0) {
        e->kind = ERR_USAGE;
        err_prefix(e, "--at %s", how->at);
        return NULL;
    }
    /* A test next to the machine it is a copy of must not take its address, nor its
     * groups, which let people in. */
    if (test) {
        json_object_del(o, "private_ip");
        json_object_del(o, "security_groups");
        json_object_del(o, "no_wait"); /* the boot is what is tested */
    }
    if (set_default_name(o, s, test, e) < 0)
        return NULL;
    if (how->instance) {
        own = restore_params_json(how->instance, e);
        if (!own)
            return NULL;
        if (json_object_update(o, own) < 0) {
            err_nomem(e);
            return NULL;
        }
    }
    /* What is launched is removed with its disks: by the job, or by who terminates it. */
    if (json_put(o, "sync", json_string(sync_name(s)), e) < 0 ||
        json_put(o, "at", json_integer(at), e) < 0 ||
        json_put(o, "keep", json_boolean(how->keep), e) < 0)
        return NULL;
    return json_incref(o);
}

/* ---- what a job works with ---- */

void failover_release(struct failover *f)
{
    aws_free(f->aws);
    plan_free(f->plan);
    restore_params_release(&f->params);
    free(f->name);
    *f = (struct failover){0};
}

int failover_init(struct failover *f, struct journal *journal, const json_t *words,
                  const struct flow_env *env, struct err *e)
{
    struct aws_options opt = {.cancel = env->cancel};
    const char *name;

    *f = (struct failover){.journal = journal, .env = env};
    if (json_need_str(words, "sync", &name, e) < 0 ||
        restore_params_from_json(words, &f->params, e) < 0 ||
        str_set(&f->name, name, e) < 0)
        return -1;
    f->at = json_is_integer(json_object_get(words, "at"))
                ? json_integer_value(json_object_get(words, "at"))
                : REPO_LATEST;
    f->keep = json_bool_or(words, "keep", false);
    opt.region = f->params.region;
    opt.profile = f->params.aws_profile;
    if (aws_new(&opt, &f->aws, e) < 0)
        return -1;
    f->ctx = (struct restore_ctx){.params = &f->params,
                                  .aws = f->aws,
                                  .cancel = env->cancel,
                                  .progress = env->progress,
                                  .paths = {.dev = f->params.device_root}};
    return 0;
}

/* ---- the plan ---- */

/* What launches need when the repository is gone with the source: the newest plan that
 * was made with it, and what the machine was like. */
static int keep_for_later(json_t *body, void *ctx, struct err *e)
{
    return json_put(body, KEY_LAST_PLAN, json_incref(ctx), e);
}

static int try_note_plan(struct failover *f, struct sync *s, struct err *e)
{
    struct source_spec spec = restore_params_source(&f->params, f->params.source);
    auto_flow_source struct flow_source source = {0};
    json_auto_t *plan = plan_json(f->plan, e), *o = NULL;

    if (!plan || flow_source_open(&spec, f->env->cancel, &source, e) < 0)
        return -1;
    o = json_pack("{s:I, s:I, s:O}", "cpus", (json_int_t)source.machine->cpus,
                  "memory_bytes", (json_int_t)source.machine->memory_bytes, "plan", plan);
    return o ? sync_edit(s, keep_for_later, o, e) : err_nomem(e);
}

/* Not having it costs a failover without the repository, not this one. */
static void note_plan(struct failover *f, struct sync *s)
{
    struct err why = ERR_INIT;

    if (try_note_plan(f, s, &why) < 0)
        log_warning("the plan of sync %s is not kept: %s", f->name, why.msg);
}

/* The repository's trouble, not the guest's or the account's. */
static bool cannot_be_read(const struct err *e)
{
    return e->kind == ERR_NETWORK || e->kind == ERR_NOT_FOUND || e->kind == ERR_SYS ||
           e->kind == ERR_TIMEOUT || e->kind == ERR_INPUT;
}

static int plan_without_source(struct failover *f, const struct sync *s,
                               const struct err *why, struct err *e)
{
    const json_t *kept = json_object_get(sync_body(s), KEY_LAST_PLAN);
    const json_t *plan = json_object_get(kept, "plan");
    struct plan *again = NULL;

    if (!plan) {
        *e = *why;
        return err_prefix(
            e, "no test has kept a plan of sync %s, so its point must be read", f->name);
    }
    log_warning(
        "the recovery point cannot be read (%s); launching by the plan of the last "
        "test",
        why->msg);
    if (plan_from_json(plan, &again, e) < 0)
        return -1;
    plan_free(f->plan);
    f->plan = f->ctx.plan = again;
    return preflight_again(&f->params, f->aws, f->env->cancel,
                           (uint32_t)json_u64_or(kept, "cpus", 0),
                           json_u64_or(kept, "memory_bytes", 0), f->plan, e);
}

/* The same requirements, findings and choices as a conversion of the point has. */
static int plan_by_source(struct failover *f, struct sync *s, struct err *e)
{
    struct err why = ERR_INIT;

    if (preflight(f->params.skip_check ? RESTORE_PLAIN : RESTORE_CONVERT, &f->params,
                  f->aws, f->env->cancel, f->env->progress, f->plan, &why) == 0) {
        note_plan(f, s);
        return 0;
    }
    if (f->plan->volumes.n || !cannot_be_read(&why)) {
        *e = why;
        return -1;
    }
    return plan_without_source(f, s, &why, e);
}

int failover_plan(struct failover *f, struct sync *s, struct err *e)
{
    auto_sync_clone struct sync_clone c = {0};

    if (sync_clone_sources(s, f->at, &c, e) < 0 ||
        str_set(&f->params.source, c.point, e) < 0 || plan_new(&f->plan, e) < 0)
        return -1;
    f->at = c.time;
    f->ctx.plan = f->plan;
    if (plan_by_source(f, s, e) < 0)
        return -1;
    if (f->env->show_plan)
        f->env->show_plan(f->env->show_ctx, f->plan);
    if (f->plan->volumes.n == c.disks.n)
        return 0;
    return err_set(e, ERR_INPUT,
                   "the replica has %zu disks and %s has %zu; `hotadd sync run %s` first",
                   c.disks.n, c.point, f->plan->volumes.n, f->name);
}

int failover_plan_of(struct failover *f, struct job *job, struct err *e)
{
    json_auto_t *plan = NULL;

    if (job_value_get(job, "plan", &plan, e) < 0)
        return -1;
    /* Died between the job's creation and its plan: nothing was made. */
    if ((plan ? plan_from_json(plan, &f->plan, e) : plan_new(&f->plan, e)) < 0)
        return -1;
    f->ctx.plan = f->plan;
    return 0;
}

int failover_plan_keep(struct failover *f, struct job *job, struct err *e)
{
    json_auto_t *plan = plan_json(f->plan, e);

    return plan ? job_value_set(job, "plan", plan, e) : -1;
}

json_t *failover_now(void)
{
    char text[CLOCK_ISO_LEN];

    return json_string(clock_iso8601(text, clock_real_s()));
}

int step_convert_clone(struct job *job, void *ctx, struct err *e)
{
    struct failover *f = ctx;

    return f->params.skip_check ? 0 : step_inject_drivers(job, &f->ctx, e);
}

/* ---- the isolated group ---- */

#define GROUP_TRIES   40 /* a terminated instance's interface lingers in it */
#define GROUP_WAIT_NS (5 * NS_PER_S)

static int remove_group(struct job *job, void *ctx, const struct job_resource *r,
                        struct err *e)
{
    struct failover *f = ctx;
    auto_free char *id = NULL;

    if (cloud_id_of(f->aws, job, r, "security-group", &id, e) < 0)
        return -1;
    for (int tries = 0; id; tries++) {
        struct err stop;

        if (ec2_delete_security_group(f->aws, id, false, e) == 0)
            return 0;
        if (e->kind != ERR_BUSY || tries == GROUP_TRIES)
            return -1;
        if (cancel_sleep_ns(job_cancel(job), GROUP_WAIT_NS, &stop) < 0) {
            *e = stop;
            return -1;
        }
    }
    return 0;
}

static int vpc_of(struct failover *f, char **ret, struct err *e)
{
    struct ec2_subnets found = {0};
    int r = 0;

    if (ec2_describe_subnets(f->aws,
                             &(struct ec2_query){.ids = EC2_STRS(f->plan->subnet_id)},
                             &found, e) < 0)
        return -1;
    *ret = found.n ? str_dup(found.v[0].vpc_id, e) : NULL;
    if (!found.n)
        r = err_set(e, ERR_NOT_FOUND, "subnet %s is gone", f->plan->subnet_id);
    ec2_subnets_release(&found);
    return *ret ? r : -1;
}

static int make_group(struct job *job, struct failover *f, char **ret, struct err *e)
{
    auto_job_resource struct job_resource r = {0};
    auto_tag_set struct tag_set tags = {0};
    auto_free char *vpc = NULL, *name = str_fmt(e, "hotadd-test-%s", job_id(job));

    if (!name || vpc_of(f, &vpc, e) < 0 ||
        job_resource_intend(job, KIND_GROUP, KIND_GROUP, NULL, &r, e) < 0)
        return -1;
    if (r.state == JOB_RESOURCE_MADE)
        return cloud_id_of(f->aws, job, &r, "security-group", ret, e);
    if (tag_set_fill(&tags, job, &f->ctx, KIND_GROUP, name, e) < 0)
        return -1;
    if (ec2_create_security_group(
            f->aws,
            &(struct ec2_create_security_group_in){
                .name = name,
                .description = "hotadd: a test boot, with no way in or out",
                .vpc_id = vpc,
                .tags = tag_set_in(&tags)},
            ret, e) < 0) {
        /* The name holds the job's id: it was this job, before a crash. */
        if (e->kind != ERR_EXISTS ||
            cloud_id_of(f->aws, job, &r, "security-group", ret, e) < 0)
            return -1;
        if (!*ret)
            return err_set(e, ERR_EXISTS, "a security group %s exists and is not ours",
                           name);
    }
    return job_resource_made(job, KIND_GROUP, *ret, NULL, e);
}

/* Nothing in, nothing out: looked at, not believed. */
static int check_isolated(struct failover *f, const char *id, struct err *e)
{
    struct ec2_security_groups g = {0};
    bool open;

    if (ec2_describe_security_groups(f->aws, &(struct ec2_query){.ids = EC2_STRS(id)}, &g,
                                     e) < 0)
        return -1;
    open = g.n != 1 || g.v[0].n_ingress || g.v[0].n_egress;
    ec2_security_groups_release(&g);
    return open
               ? err_set(e, ERR_REQUIREMENT,
                         "security group %s has rules, so the test would not be isolated",
                         id)
               : 0;
}

int step_isolate(struct job *job, void *ctx, struct err *e)
{
    struct failover *f = ctx;
    auto_free char *id = NULL;

    if (f->params.security_groups.n)
        return 0; /* the user's own for tests */
    if (make_group(job, f, &id, e) < 0 || ec2_revoke_default_egress(f->aws, id, e) < 0 ||
        check_isolated(f, id, e) < 0)
        return -1;
    if (strv_has(&f->plan->security_group_ids, id))
        return 0;
    job_event(job, JOB_EVENT_INFO, "security group %s lets nothing in or out", id);
    return strv_add(&f->plan->security_group_ids, id, e) < 0
               ? -1
               : failover_plan_keep(f, job, e);
}
