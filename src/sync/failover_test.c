/* `hotadd sync test`: its last steps, and the command.
 *
 * That a machine did not boot is a result: it is kept with the evidence, and the job goes
 * on to remove everything. Any other failure undoes the job. A test that was killed is in
 * the record as "test_job", and the next one removes what it left. */
#include "sync/failover_job.h"
#include "sync/failover_schedule.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

#include <ctype.h>

#define MAX_TESTS        20
#define MAX_CONSOLE      (64u << 10)
#define MAX_SCREENSHOT   (512u << 10)
#define TAIL_BYTES       2000
#define KEY_TESTS        "tests"
#define KEY_TEST_RUNNING "test_job"

/* ---- test-boot ---- */

/* The guest's bytes as text: what is no character of a console's becomes '?'. */
static int console_text(const char *data, size_t len, char **ret, struct err *e)
{
    auto_buf struct buf b = BUF_INIT;

    if (len > MAX_CONSOLE) {
        data += len - MAX_CONSOLE;
        len = MAX_CONSOLE;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)data[i];

        if (c == '\r')
            continue;
        buf_addc(&b, c == '\n' || c == '\t' || (c >= 0x20 && c < 0x7f) ? (char)c : '?');
    }
    return buf_check(&b, e) < 0 ? -1 : buf_take(&b, ret, e);
}

static char *read_console(struct failover *f, const char *id)
{
    auto_free char *data = NULL;
    struct err ignored;
    char *text = NULL;
    size_t len;

    if (ec2_get_console_output(f->aws, id, true, &data, &len, &ignored) < 0 ||
        console_text(data, len, &text, &ignored) < 0)
        return NULL;
    return text;
}

/* Owned base 64; NULL where the service gives none. */
static char *read_screen(struct failover *f, const char *id)
{
    auto_buf struct buf image = BUF_INIT;
    auto_buf struct buf text = BUF_INIT;
    struct err ignored;
    char *ret = NULL;

    if (ec2_get_console_screenshot(f->aws, id, &image, &ignored) < 0 || !image.len ||
        image.len > MAX_SCREENSHOT)
        return NULL;
    base64_encode(image.data, image.len, &text);
    if (buf_check(&text, &ignored) < 0 || buf_take(&text, &ret, &ignored) < 0)
        return NULL;
    return ret;
}

static int keep_evidence(struct job *job, struct failover *f, const char *instance,
                         const struct err *why, struct err *e)
{
    auto_free char *console = read_console(f, instance);
    auto_free char *screen = read_screen(f, instance);
    json_auto_t *o = json_pack("{s:s, s:b, s:s?, s:s?, s:s?}", "instance", instance,
                               "booted", why == NULL, "error", why ? why->msg : NULL,
                               "console", console, "screenshot_base64", screen);

    return o ? job_value_set(job, "evidence", o, e) : err_nomem(e);
}

int step_test_boot(struct job *job, void *ctx, struct err *e)
{
    struct failover *f = ctx;
    auto_job_resource struct job_resource r = {0};
    struct err why = ERR_INIT;
    int booted;

    if (job_resource_get(job, KEY_INSTANCE, &r, e) < 0)
        return -1;
    booted = step_first_boot(job, &f->ctx, &why);
    /* Asked to stop, or nobody answers: nothing is known of the machine. */
    if (booted < 0 && (why.kind == ERR_CANCELLED || why.kind == ERR_NETWORK ||
                       why.kind == ERR_DENIED || why.kind == ERR_NOMEM)) {
        *e = why;
        return -1;
    }
    return keep_evidence(job, f, r.cloud_id, booted < 0 ? &why : NULL, e);
}

/* ---- clean-up ---- */

static int remove_one(struct job *job, struct failover *f, const struct job_resource *r,
                      struct err *e)
{
    for (const struct job_resource_kind *k = test_flow.resources; k->kind; k++)
        if (str_eq(k->kind, r->kind))
            return k->remove(job, f, r, e) < 0 ? -1 : job_resource_gone(job, r->key, e);
    return err_set(e, ERR_UNSUPPORTED, "nobody knows how to remove a %s", r->kind);
}

/* As an undo, but the job is done: newest first. */
int step_clean_up(struct job *job, void *ctx, struct err *e)
{
    struct failover *f = ctx;
    auto_job_resources struct job_resources left = {0};

    if (f->keep)
        return 0;
    if (job_resources(job, NULL, &left, e) < 0)
        return -1;
    for (size_t i = left.n; i-- > 0;)
        if (remove_one(job, f, &left.v[i], e) < 0)
            return err_prefix(e, "removing %s", left.v[i].key);
    return 0;
}

/* ---- the record ---- */

static int set_running(json_t *body, void *ctx, struct err *e)
{
    return json_put(body, KEY_TEST_RUNNING, json_string(ctx), e);
}

static int add_test(json_t *body, void *ctx, struct err *e)
{
    json_t *tests = json_object_get(body, KEY_TESTS);

    json_object_del(body, KEY_TEST_RUNNING);
    if (!json_is_array(tests)) {
        if (json_put(body, KEY_TESTS, json_array(), e) < 0)
            return -1;
        tests = json_object_get(body, KEY_TESTS);
    }
    if (json_array_insert(tests, 0, ctx) < 0)
        return err_nomem(e);
    while (json_array_size(tests) > MAX_TESTS)
        json_array_remove(tests, json_array_size(tests) - 1);
    return 0;
}

static const char *tail_of(const char *console)
{
    size_t len = console ? strlen(console) : 0;

    return len > TAIL_BYTES ? console + len - TAIL_BYTES : console;
}

struct test_run {
    struct failover *f;
    struct job *job;
    json_t *started; /* owned */
    uint64_t began_ns;
    const struct err *why; /* of a job that failed; NULL: it ended */
};

/* What the record keeps of the test. NULL with e set. */
static json_t *test_record(const struct test_run *t, struct err *e)
{
    json_auto_t *evidence = NULL, *clone = NULL, *ended = failover_now();
    bool booted;
    json_t *o;

    if (job_value_get(t->job, "evidence", &evidence, e) < 0 ||
        job_value_get(t->job, "clone", &clone, e) < 0)
        return NULL;
    booted = !t->why && json_bool_or(evidence, "booted", false);
    o = json_pack("{s:s, s:s, s:s?, s:O, s:O, s:b, s:f, s:s?, s:b, s:s?, s:s?}", "sync",
                  t->f->name, "job", job_id(t->job), "point",
                  json_str_or(clone, "point", t->f->params.source), "started", t->started,
                  "ended", ended, "booted", booted, "seconds",
                  (double)(clock_mono_ns() - t->began_ns) / 1e9, "instance_id",
                  json_str_or(evidence, "instance", NULL), "kept", t->f->keep && !t->why,
                  "error", t->why ? t->why->msg : json_str_or(evidence, "error", NULL),
                  "console", tail_of(json_str_or(evidence, "console", NULL)));
    if (!o)
        err_nomem(e);
    return o;
}

/* ---- running ---- */

/* Also when interrupted: that asked the test to stop, not its clean-up. */
static int undo_deaf(struct journal *journal, struct job *job, const struct flow_env *env,
                     struct err *e)
{
    const struct flow_env deaf = {.journal_path = env->journal_path};
    auto_failover struct failover f = {0};

    if (failover_init(&f, journal, job_params(job), &deaf, e) < 0 ||
        failover_plan_of(&f, job, e) < 0)
        return -1;
    return job_undo(job, &test_flow, &f, NULL, e);
}

/* What an interrupted test left is removed before the next one begins. */
static int remove_left(struct sync *s, struct journal *journal,
                       const struct flow_env *env, struct err *e)
{
    const char *id = json_str_or(sync_body(s), KEY_TEST_RUNNING, NULL);
    auto_job struct job *job = NULL;

    if (!id)
        return 0;
    if (job_open(journal, id, &job, e) < 0) {
        if (e->kind == ERR_BUSY)
            return err_prefix(e, "another test of sync %s runs", sync_name(s));
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    }
    if (job_state(job) == JOB_DONE || job_state(job) == JOB_UNDONE)
        return 0;
    log_info("job %s: removing what an interrupted test left", id);
    return undo_deaf(journal, job, env, e);
}

static int run_test(struct test_run *t, struct sync *s, json_t **ret, struct err *e)
{
    struct err why = ERR_INIT, undo = ERR_INIT;
    json_auto_t *record = NULL;
    int r = job_run(t->job, &test_flow, t->f, t->f->env->cancel, &why);

    t->why = r < 0 ? &why : NULL;
    record = test_record(t, e);
    if (r < 0 && undo_deaf(t->f->journal, t->job, t->f->env, &undo) < 0) {
        *e = undo;
        return err_prefix(e, "%s; and its undo is not complete, run `hotadd undo %s`",
                          why.msg, job_id(t->job));
    }
    if (!record || sync_edit(s, add_test, record, e) < 0)
        return -1;
    if (r < 0) {
        *e = why;
    } else if (!json_bool_or(record, "booted", false)) {
        r = err_set(e, ERR_FAILED, "the test of sync %s failed: %s", t->f->name,
                    json_str_or(record, "error", "it did not boot"));
    }
    *ret = json_incref(record);
    return r;
}

static json_t *test_words(const struct sync *s, const struct failover_how *how,
                          struct err *e)
{
    struct failover_how with = *how;
    struct restore_params scheduled = {0};
    json_t *words = NULL;

    if (!how->scheduled)
        return failover_words(s, KIND_TEST, how, e);
    with.instance = &scheduled;
    if (failover_scheduled_instance(s, &scheduled, e) == 0)
        words = failover_words(s, KIND_TEST, &with, e);
    restore_params_release(&scheduled);
    return words;
}

int sync_test(const char *name, const struct failover_how *how,
              const struct flow_env *env, json_t **ret, struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_sync struct sync *s = NULL;
    auto_job struct job *job = NULL;
    auto_failover struct failover f = {0};
    json_auto_t *words = NULL, *started = failover_now();
    struct test_run t = {.f = &f, .started = started, .began_ns = clock_mono_ns()};

    if (journal_open(env->journal_path, &journal, e) < 0 ||
        sync_open(journal, name, SYNC_LOOK, &s, e) < 0 ||
        sync_allowed(name, sync_state(s), SYNC_TEST, e) < 0 ||
        remove_left(s, journal, env, e) < 0)
        return -1;
    words = test_words(s, how, e);
    if (!words || failover_init(&f, journal, words, env, e) < 0 ||
        failover_plan(&f, s, e) < 0 || json_put(words, "at", json_integer(f.at), e) < 0 ||
        job_create(journal, KIND_TEST, name, words, &job, e) < 0 ||
        failover_plan_keep(&f, job, e) < 0 ||
        sync_edit(s, set_running, (void *)job_id(job), e) < 0)
        return -1;
    log_info("job %s: test of sync %s with %s", job_id(job), name, f.params.source);
    t.job = job;
    return run_test(&t, s, ret, e);
}

/* ---- evidence ---- */

int sync_test_evidence(const char *name, const char *job, const struct flow_env *env,
                       json_t **ret, struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_sync struct sync *s = NULL;
    auto_job struct job *opened = NULL;

    if (journal_open(env->journal_path, &journal, e) < 0 ||
        sync_open(journal, name, SYNC_LOOK, &s, e) < 0)
        return -1;
    if (!job)
        job = json_str_or(json_array_get(json_object_get(sync_body(s), KEY_TESTS), 0),
                          "job", NULL);
    if (!job)
        return err_set(e, ERR_NOT_FOUND,
                       "sync %s has not been tested; `hotadd sync test %s`", name, name);
    if (job_open(journal, job, &opened, e) < 0 ||
        job_value_get(opened, "evidence", ret, e) < 0)
        return -1;
    return *ret ? 0 : err_set(e, ERR_NOT_FOUND, "job %s came to no boot", job);
}

/* ---- by the job's id ---- */

/* False for what cannot be read: who opens it next tells why. */
bool failover_job_is(const struct flow_env *env, const char *id)
{
    auto_journal struct journal *journal = NULL;
    auto_job_info struct job_info info = {0};
    struct err ignored;

    return journal_open(env->journal_path, &journal, &ignored) == 0 &&
           journal_job(journal, id, &info, &ignored) == 0 &&
           (str_eq(info.kind, KIND_TEST) || str_eq(info.kind, KIND_FAILOVER) ||
            str_eq(info.kind, KIND_FAILBACK));
}

static int by_sync_only(const struct job *job, const char *undo, struct err *e)
{
    bool back = str_eq(job_kind(job), KIND_FAILBACK);
    const char *name = json_str_or(job_params(job), "sync", "?");

    return err_set(e, ERR_USAGE, "job %s is the %s of sync %s: `hotadd sync %s %s`",
                   job_id(job), job_kind(job), name,
                   back   ? "failback"
                   : undo ? undo
                          : "failover",
                   name);
}

int failover_job_resume(const char *id, const struct flow_env *env, json_t **ret,
                        struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_job struct job *job = NULL;

    *ret = NULL;
    if (journal_open(env->journal_path, &journal, e) < 0 ||
        job_open(journal, id, &job, e) < 0)
        return -1;
    if (!str_eq(job_kind(job), KIND_TEST))
        return by_sync_only(job, NULL, e);
    return err_set(
        e, ERR_USAGE,
        "job %s is a test, which is not resumed: `hotadd undo %s` removes what "
        "it left, `hotadd sync test %s` begins anew",
        id, id, json_str_or(job_params(job), "sync", "?"));
}

int failover_job_undo(const char *id, const struct flow_env *env, json_t **ret,
                      struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_job_info struct job_info info = {0};
    auto_job struct job *job = NULL;

    *ret = NULL;
    if (journal_open(env->journal_path, &journal, e) < 0 ||
        job_open(journal, id, &job, e) < 0)
        return -1;
    if (!str_eq(job_kind(job), KIND_TEST))
        return by_sync_only(job, "undo-failover", e);
    if (undo_deaf(journal, job, env, e) < 0)
        return -1;
    if (journal_job(journal, id, &info, e) < 0)
        return -1;
    *ret = job_info_json(&info, e);
    return *ret ? 0 : -1;
}
