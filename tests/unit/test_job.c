#include "journal_test.h"

#include "base/str.h"

#include <signal.h>

/* A flow that does as it is told: each step looks up what to do in the script. */
struct script {
    unsigned entered[3];
    struct err fail[3];     /* what step i fails with, kind ERR_NONE: succeeds */
    unsigned fail_times[3]; /* how often */
    struct cancel *cancel_in_step_1;
    unsigned removed;
    char order[256];   /* keys in the order in which they were removed */
    const char *stuck; /* key whose removal fails */
};

static int run_nth(struct job *job, struct script *s, unsigned i, struct err *e)
{
    s->entered[i]++;
    if (i == 1 && s->cancel_in_step_1) {
        cancel_request(s->cancel_in_step_1);
        return cancel_check(job_cancel(job), e);
    }
    if (s->fail_times[i]) {
        s->fail_times[i]--;
        *e = s->fail[i];
        return -1;
    }
    return 0;
}

static int run_0(struct job *job, void *ctx, struct err *e)
{
    return run_nth(job, ctx, 0, e);
}

static int run_1(struct job *job, void *ctx, struct err *e)
{
    return run_nth(job, ctx, 1, e);
}

static int run_2(struct job *job, void *ctx, struct err *e)
{
    return run_nth(job, ctx, 2, e);
}

static int remove_thing(struct job *job, void *ctx, const struct job_resource *r,
                        struct err *e)
{
    struct script *s = ctx;
    size_t len = strlen(s->order);

    if (s->stuck && str_eq(s->stuck, r->key)) {
        err_set(e, ERR_CLOUD, "volume is in use");
        snprintf(e->aws_code, sizeof e->aws_code, "VolumeInUse");
        return -1;
    }
    s->removed++;
    snprintf(s->order + len, sizeof s->order - len, "%s ", r->key);
    return 0;
}

static const struct job_flow flow = {
    .kind = "convert",
    .steps = (const struct job_step[]){{"create-volumes", run_0},
                                       {"restore-data", run_1},
                                       {"first-boot", run_2},
                                       {0}},
    .resources = (const struct job_resource_kind[]){{"volume", remove_thing},
                                                    {"attachment", remove_thing},
                                                    {0}},
    .first_wait_ns = 1,
};

struct fixture {
    struct journal_dir dir;
    struct journal *journal;
    struct job *job;
    struct script script;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    json_auto_t *params = json_object();

    journal_dir_make(&f->dir);
    assert_ok(journal_open(f->dir.path, &f->journal, e));
    assert_ok(job_create(f->journal, "convert", "web01.ova", params, &f->job, e));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    job_close(f->job);
    journal_close(f->journal);
    journal_dir_remove(&f->dir);
    free(f);
    return 0;
}

static void info_of(struct fixture *f, struct job_info *ret)
{
    assert_ok(journal_job(f->journal, job_id(f->job), ret, e));
}

static void have(struct fixture *f, const char *kind, const char *key, const char *id)
{
    auto_job_resource struct job_resource r = {0};

    assert_ok(job_resource_intend(f->job, kind, key, NULL, &r, e));
    if (id)
        assert_ok(job_resource_made(f->job, key, id, NULL, e));
}

static void test_steps_run_once_in_order(void **state)
{
    struct fixture *f = *state;
    auto_job_info struct job_info i = {0};

    assert_ok(job_run(f->job, &flow, &f->script, NULL, e));
    assert_ok(job_run(f->job, &flow, &f->script, NULL, e));
    for (int k = 0; k < 3; k++)
        assert_int_equal(f->script.entered[k], 1);
    info_of(f, &i);
    assert_int_equal(i.state, JOB_DONE);
    assert_int_equal(i.steps.n, 3);
    assert_string_equal(i.steps.v[1].name, "restore-data");
    assert_int_equal(i.steps.v[1].state, JOB_STEP_DONE);
    assert_int_equal(i.steps.v[1].runs, 1);
    assert_null(i.step);
}

static void test_failure_is_kept_and_resumed_at_its_step(void **state)
{
    struct fixture *f = *state;
    auto_job_info struct job_info i = {0}, after = {0};

    err_set(&f->script.fail[1], ERR_CLOUD, "vol-1: volume limit exceeded");
    snprintf(f->script.fail[1].aws_code, 80, "VolumeLimitExceeded");
    snprintf(f->script.fail[1].request_id, 72, "req-1");
    f->script.fail_times[1] = 1;
    assert_fails(job_run(f->job, &flow, &f->script, NULL, e), ERR_CLOUD,
                 "volume limit exceeded");
    info_of(f, &i);
    assert_int_equal(i.state, JOB_FAILED);
    assert_string_equal(i.step, "restore-data");
    assert_string_equal(i.error_step, "restore-data");
    assert_int_equal(i.error.kind, ERR_CLOUD);
    assert_string_equal(i.error.aws_code, "VolumeLimitExceeded");
    assert_string_equal(i.error.request_id, "req-1");
    assert_int_equal(i.steps.v[1].state, JOB_STEP_FAILED);
    assert_int_equal(i.steps.v[2].state, JOB_STEP_PENDING);

    assert_ok(job_run(f->job, &flow, &f->script, NULL, e));
    assert_int_equal(f->script.entered[0], 1);
    assert_int_equal(f->script.entered[1], 2);
    info_of(f, &after);
    assert_int_equal(after.state, JOB_DONE);
    assert_int_equal(after.error.kind, ERR_NONE);
}

static void test_retryable_failure_is_tried_three_times(void **state)
{
    struct fixture *f = *state;

    err_set(&f->script.fail[1], ERR_NETWORK, "no answer");
    f->script.fail[1].retryable = true;
    f->script.fail_times[1] = 2;
    assert_ok(job_run(f->job, &flow, &f->script, NULL, e));
    assert_int_equal(f->script.entered[1], 3);
}

static void test_retries_end(void **state)
{
    struct fixture *f = *state;

    err_set(&f->script.fail[1], ERR_NETWORK, "no answer");
    f->script.fail[1].retryable = true;
    f->script.fail_times[1] = 99;
    assert_fails(job_run(f->job, &flow, &f->script, NULL, e), ERR_NETWORK, "no answer");
    assert_int_equal(f->script.entered[1], 3);
}

static void test_cancelled_job_is_interrupted_and_resumable(void **state)
{
    struct fixture *f = *state;
    auto_job_info struct job_info i = {0};
    struct cancel c;

    assert_ok(cancel_init(&c, e));
    f->script.cancel_in_step_1 = &c;
    assert_fails(job_run(f->job, &flow, &f->script, &c, e), ERR_CANCELLED, "interrupted");
    info_of(f, &i);
    assert_int_equal(i.state, JOB_INTERRUPTED);
    assert_string_equal(i.step, "restore-data");
    f->script.cancel_in_step_1 = NULL;
    assert_ok(job_run(f->job, &flow, &f->script, NULL, e));
    cancel_release(&c);
}

static void test_flow_of_another_kind_is_refused(void **state)
{
    struct fixture *f = *state;
    struct job_flow other = flow;

    other.kind = "restore";
    assert_fails(job_run(f->job, &other, &f->script, NULL, e), ERR_USAGE,
                 "is a convert, not a restore");
    assert_fails(job_undo(f->job, &other, &f->script, NULL, e), ERR_USAGE,
                 "is a convert, not a restore");
}

static void test_undo_goes_newest_first(void **state)
{
    struct fixture *f = *state;
    auto_job_info struct job_info i = {0};

    have(f, "volume", "volume/0", "vol-0");
    have(f, "volume", "volume/1", "vol-1");
    have(f, "attachment", "attachment/0", NULL);
    assert_ok(job_resource_gone(f->job, "volume/1", e));
    assert_ok(job_undo(f->job, &flow, &f->script, NULL, e));
    assert_string_equal(f->script.order, "attachment/0 volume/0 ");
    info_of(f, &i);
    assert_int_equal(i.state, JOB_UNDONE);
    assert_ok(job_undo(f->job, &flow, &f->script, NULL, e));
    assert_int_equal(f->script.removed, 2);
    assert_fails(job_run(f->job, &flow, &f->script, NULL, e), ERR_USAGE, "was undone");
}

static void test_undo_goes_on_past_failures_and_tells_all(void **state)
{
    struct fixture *f = *state;
    auto_job_info struct job_info i = {0};

    have(f, "volume", "volume/0", "vol-0");
    have(f, "volume", "volume/1", "vol-1");
    have(f, "volume", "volume/2", "vol-2");
    f->script.stuck = "volume/1";
    assert_fails(job_undo(f->job, &flow, &f->script, NULL, e), ERR_CLOUD,
                 "1 resources are left; volume/1 (vol-1): volume is in use");
    assert_string_equal(f->script.order, "volume/2 volume/0 ");
    info_of(f, &i);
    assert_int_equal(i.state, JOB_UNDOING);
    assert_string_equal(i.error.aws_code, "VolumeInUse");
    assert_fails(job_run(f->job, &flow, &f->script, NULL, e), ERR_USAGE, "half undone");
    f->script.stuck = NULL;
    assert_ok(job_undo(f->job, &flow, &f->script, NULL, e));
    assert_string_equal(f->script.order, "volume/2 volume/0 volume/1 ");
}

static void test_undo_of_an_unknown_kind_leaves_it_and_says_so(void **state)
{
    struct fixture *f = *state;

    have(f, "balloon", "balloon/0", "b-1");
    have(f, "volume", "volume/0", "vol-0");
    assert_fails(job_undo(f->job, &flow, &f->script, NULL, e), ERR_UNSUPPORTED,
                 "knows no balloon");
    assert_int_equal(f->script.removed, 1);
}

static void test_undo_can_be_cancelled_and_continued(void **state)
{
    struct fixture *f = *state;
    struct cancel c;

    assert_ok(cancel_init(&c, e));
    cancel_request(&c);
    have(f, "volume", "volume/0", "vol-0");
    assert_fails(job_undo(f->job, &flow, &f->script, &c, e), ERR_CANCELLED,
                 "1 resources left");
    assert_int_equal(job_state(f->job), JOB_UNDOING);
    assert_ok(job_undo(f->job, &flow, &f->script, NULL, e));
    cancel_release(&c);
}

static void test_events_are_kept_with_their_step(void **state)
{
    struct fixture *f = *state;
    auto_job_events struct job_events v = {0};

    assert_ok(job_run(f->job, &flow, &f->script, NULL, e));
    job_event(f->job, JOB_EVENT_WARNING, "instance %s has no name", "i-1");
    assert_ok(journal_events(f->journal, job_id(f->job), 2, &v, e));
    assert_int_equal(v.n, 2);
    assert_string_equal(v.v[0].step, "first-boot");
    assert_int_equal(v.v[1].level, JOB_EVENT_WARNING);
    assert_string_equal(v.v[1].message, "instance i-1 has no name");
    assert_null(v.v[1].step);
}

/* ---- one process per job ---- */

struct holder {
    const char *path, *id;
    int ready_fd, end_fd;
};

/* Claims the job, says so, and waits until it is killed or end_fd closes. */
static int hold(struct holder *h)
{
    struct journal *j = NULL;
    struct job *job = NULL;
    struct err e;
    char c;

    if (journal_open(h->path, &j, &e) < 0 || job_open(j, h->id, &job, &e) < 0)
        return 1;
    if (write(h->ready_fd, "r", 1) != 1)
        return 2;
    return read(h->end_fd, &c, 1) == 0 ? 0 : 3;
}

static pid_t start_holder(struct fixture *f, const char *id, int *ret_end_fd)
{
    int ready[2], end[2];
    pid_t pid;
    char c;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(end), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        /* Locks belong to open descriptions: the child must not share ours. */
        job_close(f->job);
        close(end[1]);
        close(ready[0]);
        _exit(hold(&(struct holder){f->dir.path, id, ready[1], end[0]}));
    }
    close(ready[1]);
    close(end[0]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    *ret_end_fd = end[1];
    return pid;
}

static void test_second_process_is_refused_until_the_first_is_dead(void **state)
{
    struct fixture *f = *state;
    auto_job_info struct job_info i = {0}, dead = {0};
    char id[JOB_ID_LEN], text[64];
    int end_fd, status;
    pid_t pid;

    snprintf(id, sizeof id, "%s", job_id(f->job));
    job_close(take_ptr(f->job));
    pid = start_holder(f, id, &end_fd);
    snprintf(text, sizeof text, "process %ld works on it", (long)pid);
    assert_fails(job_open(f->journal, id, &f->job, e), ERR_BUSY, text);
    assert_null(f->job);
    assert_ok(journal_job(f->journal, id, &i, e));
    assert_int_equal(i.owner_pid, pid);

    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(end_fd);
    assert_ok(journal_job(f->journal, id, &dead, e));
    assert_int_equal(dead.owner_pid, 0);
    assert_int_equal(dead.state, JOB_INTERRUPTED);
    assert_ok(job_open(f->journal, id, &f->job, e));
}

static void test_same_process_cannot_claim_twice(void **state)
{
    struct fixture *f = *state;
    struct job *again = NULL;

    assert_fails(job_open(f->journal, job_id(f->job), &again, e), ERR_BUSY,
                 "works on it");
    assert_null(again);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_steps_run_once_in_order),
        T(test_failure_is_kept_and_resumed_at_its_step),
        T(test_retryable_failure_is_tried_three_times),
        T(test_retries_end),
        T(test_cancelled_job_is_interrupted_and_resumable),
        T(test_flow_of_another_kind_is_refused),
        T(test_undo_goes_newest_first),
        T(test_undo_goes_on_past_failures_and_tells_all),
        T(test_undo_of_an_unknown_kind_leaves_it_and_says_so),
        T(test_undo_can_be_cancelled_and_continued),
        T(test_events_are_kept_with_their_step),
        T(test_second_process_is_refused_until_the_first_is_dead),
        T(test_same_process_cannot_claim_twice),
    };

    log_setup("test", LOG_QUIET, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
