/* Tests by schedule: what `sync test --every` notes, and what `sync watch` does about it.
 *
 * The record has "test_every_s" and "test_instance" (the settings that such tests have
 * instead of the sync's). `watch` starts `sync test --scheduled` in a process of its own,
 * one at a time: a test takes slots, a subnet's address and minutes. A crash of the
 * service leaves a test to end by itself. */
#include "sync/failover_job.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "sync/failover_schedule.h"

#include <limits.h>
#include <sys/wait.h>

#define LOOK_NS      (10 * NS_PER_S)
#define STOP_WAIT_NS (600 * NS_PER_S) /* it removes what it made */

/* ---- the record ---- */

struct schedule {
    uint64_t every_s;
    json_t *instance; /* borrowed */
};

static int set_schedule(json_t *body, void *ctx, struct err *e)
{
    const struct schedule *s = ctx;

    if (!s->every_s) {
        json_object_del(body, KEY_TEST_EVERY);
        json_object_del(body, KEY_TEST_INSTANCE);
        return 0;
    }
    return json_put(body, KEY_TEST_EVERY, json_integer((json_int_t)s->every_s), e) < 0 ||
                   json_put(body, KEY_TEST_INSTANCE, json_incref(s->instance), e) < 0
               ? -1
               : 0;
}

int sync_test_schedule(const char *name, uint64_t every_s,
                       const struct restore_params *instance, const struct flow_env *env,
                       struct err *e)
{
    auto_journal struct journal *journal = NULL;
    auto_sync struct sync *s = NULL;
    json_auto_t *own = restore_params_json(instance, e);
    struct schedule schedule = {every_s, own};

    if (!own || journal_open(env->journal_path, &journal, e) < 0 ||
        sync_open(journal, name, SYNC_LOOK, &s, e) < 0)
        return -1;
    return sync_edit(s, set_schedule, &schedule, e);
}

int failover_scheduled_instance(const struct sync *s, struct restore_params *ret,
                                struct err *e)
{
    return restore_params_from_json(json_object_get(sync_body(s), KEY_TEST_INSTANCE), ret,
                                    e);
}

bool failover_test_due(const struct sync *s, int64_t now_s)
{
    const json_t *body = sync_body(s);
    uint64_t every_s = json_u64_or(body, KEY_TEST_EVERY, 0);
    const char *last =
        json_str_or(json_array_get(json_object_get(body, "tests"), 0), "started", NULL);
    struct err ignored;
    int64_t last_s;

    if (!every_s || sync_allowed(sync_name(s), sync_state(s), SYNC_TEST, &ignored) < 0)
        return false;
    if (!last || clock_parse_iso8601(last, &last_s, &ignored) < 0)
        return true;
    return now_s - last_s >= (int64_t)every_s;
}

/* ---- the service's part ---- */

static int start(struct test_runner *t, const char *name, const char *program,
                 const struct flow_env *env, struct err *e)
{
    char path[PATH_MAX];
    ssize_t n = -1;

    if (!program) {
        n = readlink("/proc/self/exe", path, sizeof path - 1);
        if (n < 0)
            return err_sys(e, "/proc/self/exe");
        path[n] = 0;
    }
    {
        const char *const argv[] = {program ? program : path,
                                    "sync",
                                    "test",
                                    "--scheduled",
                                    "--quiet",
                                    "--json",
                                    "--journal",
                                    env->journal_path,
                                    "--",
                                    name,
                                    NULL};

        if (str_set(&t->name, name, e) < 0 ||
            child_spawn(&(struct child_spec){.argv = argv,
                                             .in = CHILD_NULL,
                                             .out = CHILD_NULL,
                                             .err = CHILD_INHERIT,
                                             .new_group = true},
                        &t->child, e) < 0)
            return -1;
    }
    log_info("sync %s: a scheduled test begins", name);
    return 0;
}

static void reap(struct test_runner *t)
{
    struct err ignored;
    char text[40];
    int status;

    if (child_wait(&t->child, 0, NULL, &status, &ignored) < 0)
        return;
    child_stop(&t->child, 0);
    if (status == 0)
        log_info("sync %s: the scheduled test booted", t->name);
    else
        log_warning("sync %s: the scheduled test failed (%s); `hotadd sync test "
                    "--evidence %s` shows what it saw",
                    t->name, child_status_text(status, text, sizeof text), t->name);
}

int test_runner_turn(struct test_runner *t, struct journal *journal,
                     const struct strv *names, const char *program,
                     const struct flow_env *env, struct err *e)
{
    uint64_t now_ns = clock_mono_ns();

    if (t->child.pid >= 0) {
        reap(t);
        return 0;
    }
    if (now_ns < t->next_ns)
        return 0;
    t->next_ns = now_ns + LOOK_NS;
    vec_foreach (name, names) {
        auto_sync struct sync *s = NULL;
        struct err why;

        if (sync_open(journal, *name, SYNC_LOOK, &s, &why) == 0 &&
            failover_test_due(s, clock_real_s()))
            return start(t, *name, program, env, e);
    }
    return 0;
}

void test_runner_stop(struct test_runner *t)
{
    if (t->child.pid >= 0)
        child_stop(&t->child, STOP_WAIT_NS);
    free(t->name);
    t->name = NULL;
}
