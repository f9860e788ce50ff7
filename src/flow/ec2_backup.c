/* Jobs that back up an instance: their words, their running, and flow_backup() itself,
 * which tells instances from what can simply be opened. See ec2_backup.h.
 *
 * A failure undoes the job at once: half a backup is worth nothing, and snapshots cost.
 * What a crash leaves is in the journal, for resume and undo. */
#include "flow/ec2_backup.h"

#include "aws/imds.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "flow/ec2_machine.h"

#include <limits.h>

#define KIND "backup"

static const struct job_step steps[] = {
    {"create-snapshots", step_create_snapshots},
    {"read-volumes", step_read_volumes},
    {"retire-snapshots", step_retire_snapshots},
    {NULL, NULL},
};

const struct job_flow ec2_backup_flow = {
    .kind = KIND,
    .steps = steps,
    .resources = ec2_backup_resources,
};

bool ec2_backup_is(const char *kind)
{
    return str_eq(kind, KIND);
}

/* ---- words ---- */

static int put_path(json_t *o, const char *key, const char *path, struct err *e)
{
    char here[PATH_MAX];
    auto_free char *full = NULL;

    if (!path)
        return 0;
    if (*path == '/' || strstr(path, "://"))
        return json_put(o, key, json_string(path), e);
    if (!getcwd(here, sizeof here))
        return err_sys(e, "the current folder");
    full = str_fmt(e, "%s/%s", here, path);
    return full ? json_put(o, key, json_string(full), e) : -1;
}

json_t *ec2_backup_words(const struct backup_params *p, const struct backup_item *item,
                         struct err *e)
{
    const struct repo_where *r = &p->repo;
    json_auto_t *o = json_pack(
        "{s:s, s:s*, s:s*, s:s*, s:s*, s:b, s:s*, s:b, s:I, s:i, s:I, s:I, s:b, s:s*}",
        "source", item->source, "vm", item->id, "ns", r->ns, "region", r->region,
        "aws_profile", r->aws_profile, "create", p->open == REPO_CREATE, "base", p->base,
        "sign_only", p->sign_only, "chunk_bytes", (json_int_t)p->chunk_bytes, "level",
        p->zstd_level, "max_rate", (json_int_t)p->max_rate, "workers",
        (json_int_t)p->workers, "drop_snapshots", p->drop_snapshots, "device_root",
        p->device_root);

    if (!o) {
        err_nomem(e);
        return NULL;
    }
    if (put_path(o, "repo", r->at, e) < 0 || put_path(o, "key", r->key, e) < 0 ||
        put_path(o, "key_password_file", r->password_file, e) < 0)
        return NULL;
    return json_incref(o);
}

static void read_words(struct ec2_backup *b)
{
    const json_t *o = b->words;

    b->item = (struct backup_item){.source = json_str_or(o, "source", ""),
                                   .id = json_str_or(o, "vm", NULL)};
    b->p = (struct backup_params){
        .repo = {.at = json_str_or(o, "repo", NULL),
                 .ns = json_str_or(o, "ns", NULL),
                 .key = json_str_or(o, "key", NULL),
                 .password_file = json_str_or(o, "key_password_file", NULL),
                 .region = json_str_or(o, "region", NULL),
                 .aws_profile = json_str_or(o, "aws_profile", NULL)},
        .open = json_bool_or(o, "create", false) ? REPO_CREATE : REPO_MUST_EXIST,
        .items = &b->item,
        .n_items = 1,
        .base = json_str_or(o, "base", NULL),
        .sign_only = json_bool_or(o, "sign_only", false),
        .chunk_bytes = (uint32_t)json_u64_or(o, "chunk_bytes", 0),
        .zstd_level = (int)json_integer_value(json_object_get(o, "level")),
        .max_rate = json_u64_or(o, "max_rate", 0),
        .workers = (unsigned)json_u64_or(o, "workers", 0),
        .drop_snapshots = json_bool_or(o, "drop_snapshots", false),
        .device_root = json_str_or(o, "device_root", NULL),
    };
}

/* ---- what a job works with ---- */

/* Reading through the EBS direct APIs works from anywhere: not being on EC2 only closes
 * the other way. */
static int find_place(struct ec2_backup *b, struct err *e)
{
    struct imds_identity me = {0};
    struct err why = ERR_INIT;
    int r;

    if (imds_identity(aws_imds(b->aws), &me, &why) < 0) {
        if (why.kind == ERR_CANCELLED || why.kind == ERR_NOMEM) {
            *e = why;
            return -1;
        }
        return plan_set(&b->plan->proxy_id, e, "%s", "");
    }
    r = plan_set(&b->plan->proxy_id, e, "%s", me.instance_id);
    imds_identity_release(&me);
    return r;
}

int ec2_backup_init(struct ec2_backup *b, json_t *words, const struct flow_env *env,
                    struct err *e)
{
    struct aws_options opt = {.region = json_str_or(words, "region", NULL),
                              .profile = json_str_or(words, "aws_profile", NULL),
                              .cancel = env->cancel};

    *b = (struct ec2_backup){.words = json_incref(words), .env = env};
    read_words(b);
    if (ec2_source_check(b->item.source, e) < 0 || plan_new(&b->plan, e) < 0 ||
        plan_set(&b->plan->name, e, "%s",
                 b->item.id ? b->item.id : ec2_source_instance(b->item.source)) < 0 ||
        aws_new(&opt, &b->aws, e) < 0 || find_place(b, e) < 0)
        return -1;
    b->ctx = (struct restore_ctx){.params = &b->no_params,
                                  .plan = b->plan,
                                  .aws = b->aws,
                                  .cancel = env->cancel,
                                  .progress = env->progress,
                                  .paths = {.dev = b->p.device_root}};
    return 0;
}

void ec2_backup_release(struct ec2_backup *b)
{
    aws_free(b->aws);
    plan_free(b->plan);
    json_decref(b->words);
    json_decref(b->result);
    *b = (struct ec2_backup){0};
}

/* ---- running ---- */

/* An interruption asked the backup to stop, not its clean-up. */
static int undo_now(struct job *job, const struct ec2_backup *b, struct err *e)
{
    const struct flow_env deaf = {.journal_path = b->env->journal_path};
    auto_ec2_backup struct ec2_backup own = {0};

    if (ec2_backup_init(&own, b->words, &deaf, e) < 0)
        return -1;
    return job_undo(job, &ec2_backup_flow, &own, NULL, e);
}

static int run(struct job *job, struct ec2_backup *b, enum flow_on_failure on_failure,
               struct err *e)
{
    struct err undo_error = ERR_INIT;

    if (job_run(job, &ec2_backup_flow, b, b->env->cancel, e) == 0)
        return 0;
    if (on_failure == FLOW_UNDO && undo_now(job, b, &undo_error) < 0) {
        log_error("%s", e->msg);
        *e = undo_error;
        return err_prefix(e, "undo of job %s is not complete; run `hotadd undo %s`",
                          job_id(job), job_id(job));
    }
    return -1;
}

/* One element of flow_backup's result for an instance that got no point. */
static int add_failed(json_t *list, const struct backup_item *item, const struct err *why,
                      struct err *e)
{
    return json_add(list,
                    json_pack("{s:s, s:s?, s:n, s:n, s:s}", "source", item->source, "vm",
                              item->id, "point", "base", "error", why->msg),
                    e);
}

static int back_up_one(const struct backup_params *p, const struct backup_item *item,
                       const struct flow_env *env, json_t *list, struct err *e)
{
    json_auto_t *words = ec2_backup_words(p, item, e);
    auto_journal struct journal *journal = NULL;
    auto_ec2_backup struct ec2_backup b = {0};
    auto_job struct job *job = NULL;
    json_t *done;

    if (!words || ec2_backup_init(&b, words, env, e) < 0 ||
        journal_open(env->journal_path, &journal, e) < 0 ||
        job_create(journal, KIND, item->source, words, &job, e) < 0)
        return -1;
    log_info("job %s: backup of %s", job_id(job), item->source);
    if (run(job, &b, FLOW_UNDO, e) < 0)
        return -1;
    done = json_array_get(json_object_get(b.result, "backups"), 0);
    return done ? json_add(list, json_incref(done), e) : 0;
}

/* ---- flow_backup ---- */

static int check_instances(const struct backup_params *p, struct err *e)
{
    for (size_t i = 0; i < p->n_items; i++) {
        if (!ec2_source_instance(p->items[i].source))
            continue;
        if (ec2_source_check(p->items[i].source, e) < 0)
            return -1;
        if (p->items[i].changed || p->bitmap)
            return err_set(e, ERR_USAGE,
                           "%s: EBS itself says what changed; leave out --changed and "
                           "--bitmap",
                           p->items[i].source);
        if (p->format || p->from.at)
            return err_set(e, ERR_USAGE,
                           "%s: an instance has no image format and is in no "
                           "repository; leave out --format and --from",
                           p->items[i].source);
    }
    return 0;
}

/* The others, all at once as ever. */
static int back_up_others(const struct backup_params *p, const struct flow_env *env,
                          json_t *list, struct err *e)
{
    auto_free struct backup_item *items = mem_zalloc(p->n_items + 1, sizeof *items, e);
    struct backup_params q = *p;
    json_auto_t *result = NULL;
    int r;

    if (!items)
        return -1;
    q.items = items;
    q.n_items = 0;
    for (size_t i = 0; i < p->n_items; i++)
        if (!ec2_source_instance(p->items[i].source))
            items[q.n_items++] = p->items[i];
    if (!q.n_items)
        return 0;
    r = flow_backup_opened(&q, env, &result, e);
    if (result && json_array_extend(list, json_object_get(result, "backups")) < 0)
        return err_nomem(e);
    return r;
}

static int back_up_instances(const struct backup_params *p, const struct flow_env *env,
                             json_t *list, size_t *ret_bad, struct err *e)
{
    for (size_t i = 0; i < p->n_items; i++) {
        struct err why = ERR_INIT, ignored;

        if (!ec2_source_instance(p->items[i].source) ||
            back_up_one(p, &p->items[i], env, list, &why) == 0)
            continue;
        if (!(*ret_bad)++)
            *e = why;
        if (why.kind == ERR_CANCELLED)
            return -1;
        if (p->n_items > 1)
            log_error("%s: %s", p->items[i].source, why.msg);
        if (add_failed(list, &p->items[i], &why, &ignored) < 0)
            log_warning("%s", ignored.msg);
    }
    return 0;
}

int flow_backup(const struct backup_params *p, const struct flow_env *env,
                json_t **ret_result, struct err *e)
{
    uint64_t started_ns = clock_mono_ns();
    json_auto_t *list = json_array();
    struct err first = ERR_INIT;
    size_t bad = 0;
    int r;

    *ret_result = NULL;
    if (backup_params_check(p, e) < 0 || check_instances(p, e) < 0)
        return -1;
    r = list ? back_up_others(p, env, list, e) : err_nomem(e);
    if (r == 0 || e->kind != ERR_CANCELLED)
        if (back_up_instances(p, env, list, &bad, &first) < 0 || (bad && r == 0)) {
            *e = first;
            r = -1;
        }
    if (json_array_size(list))
        *ret_result = json_pack("{s:O, s:f}", "backups", list, "seconds",
                                (double)(clock_mono_ns() - started_ns) / 1e9);
    return r;
}

/* ---- resume and undo ---- */

static void take_result(struct journal *journal, struct job *job, json_t **ret)
{
    auto_job_info struct job_info info = {0};
    struct err ignored = ERR_INIT;

    if (journal_job(journal, job_id(job), &info, &ignored) == 0)
        *ret = job_info_json(&info, &ignored);
}

int ec2_backup_resume(struct journal *journal, struct job *job,
                      enum flow_on_failure on_failure, const struct flow_env *env,
                      json_t **ret_result, struct err *e)
{
    auto_ec2_backup struct ec2_backup b = {0};
    int r;

    if (ec2_backup_init(&b, (json_t *)job_params(job), env, e) < 0)
        return -1;
    r = run(job, &b, on_failure, e);
    take_result(journal, job, ret_result);
    return r;
}

int ec2_backup_undo(struct journal *journal, struct job *job, const struct flow_env *env,
                    json_t **ret_result, struct err *e)
{
    auto_ec2_backup struct ec2_backup b = {0};
    int r;

    if (ec2_backup_init(&b, (json_t *)job_params(job), env, e) < 0)
        return -1;
    r = job_undo(job, &ec2_backup_flow, &b, env->cancel, e);
    take_result(journal, job, ret_result);
    return r;
}
