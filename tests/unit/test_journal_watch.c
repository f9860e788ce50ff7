/* What the monitor reads of a journal: who watches sees each change once and cheaply. */
#include "journal_test.h"

#include "base/child.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"

static int set_up(void **state)
{
    struct journal_dir *d = malloc(sizeof *d);

    journal_dir_make(d);
    *state = d;
    return 0;
}

static int tear_down(void **state)
{
    journal_dir_remove(*state);
    free(*state);
    return 0;
}

static void new_job(struct journal *j, const char *title, struct job **ret)
{
    json_auto_t *params = json_object();

    assert_ok(job_create(j, "convert", title, params, ret, e));
}

static int nothing(struct job *job, void *ctx, struct err *e)
{
    return 0;
}

static const struct job_step steps[] = {{"only", nothing}, {NULL, NULL}};
static const struct job_resource_kind kinds[] = {{NULL, NULL}};
static const struct job_flow flow = {
    .kind = "convert", .steps = steps, .resources = kinds};

static void test_the_version_changes_with_commits_of_others_only(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *watch = NULL, *work = NULL;
    auto_job struct job *job = NULL;
    int64_t before, after;

    assert_ok(journal_open(d->path, &watch, e));
    assert_ok(journal_open(d->path, &work, e));
    assert_ok(journal_version(watch, &before, e));
    assert_ok(journal_version(watch, &after, e));
    assert_int_equal(before, after);
    new_job(work, "web01", &job);
    assert_ok(journal_version(watch, &after, e));
    assert_int_not_equal(before, after);
}

static void test_events_are_given_once_in_order(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *a = NULL, *b = NULL;
    auto_job_events struct job_events v = {0}, more = {0}, none = {0};
    uint64_t last;

    assert_ok(journal_open(d->path, &j, e));
    assert_ok(journal_last_event(j, &last, e));
    assert_int_equal(last, 0);
    new_job(j, "a", &a);
    new_job(j, "b", &b);
    job_event(a, JOB_EVENT_INFO, "one");
    job_event(b, JOB_EVENT_WARNING, "two");
    job_event(a, JOB_EVENT_ERROR, "three");
    assert_ok(journal_events_after(j, 0, 2, &v, e));
    assert_int_equal(v.n, 2);
    assert_string_equal(v.v[0].message, "one");
    assert_string_equal(v.v[0].job, job_id(a));
    assert_string_equal(v.v[1].message, "two");
    assert_string_equal(v.v[1].job, job_id(b));
    assert_ok(journal_events_after(j, v.v[1].seq, 100, &more, e));
    assert_int_equal(more.n, 1);
    assert_string_equal(more.v[0].message, "three");
    assert_int_equal(more.v[0].level, JOB_EVENT_ERROR);
    assert_ok(journal_last_event(j, &last, e));
    assert_int_equal(last, more.v[0].seq);
    assert_ok(journal_events_after(j, last, 100, &none, e));
    assert_int_equal(none.n, 0);
}

/* Events of a job that was forgotten must not free their numbers for others: a client
 * that saw them would miss the new ones. */
static void test_a_forgotten_job_keeps_its_event_numbers(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL, *other = NULL;
    auto_job_events struct job_events v = {0};
    char id[JOB_ID_LEN];
    uint64_t last;

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, "a", &job);
    assert_ok(job_run(job, &flow, NULL, NULL, e));
    snprintf(id, sizeof id, "%s", job_id(job));
    job_close(take_ptr(job));
    assert_ok(journal_last_event(j, &last, e));
    assert_true(last > 0);
    assert_ok(journal_forget(j, id, e));
    new_job(j, "b", &other);
    job_event(other, JOB_EVENT_INFO, "new");
    assert_ok(journal_events_after(j, last, 100, &v, e));
    assert_int_equal(v.n, 1);
    assert_string_equal(v.v[0].message, "new");
}

static void test_finished_jobs_are_left_out_once_they_are_old(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *done = NULL, *open = NULL;
    auto_job_infos struct job_infos all = {0}, now = {0};
    uint64_t n;

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, "done", &done);
    assert_ok(job_run(done, &flow, NULL, NULL, e));
    new_job(j, "open", &open);
    assert_ok(journal_jobs_since(j, clock_real_s() - 60, &all, &n, e));
    assert_int_equal(all.n, 2);
    assert_int_equal(n, 2);
    assert_ok(journal_jobs_since(j, clock_real_s() + 60, &now, &n, e));
    assert_int_equal(now.n, 1);
    assert_string_equal(now.v[0].title, "open");
    assert_int_equal(n, 2);
}

static void test_disks_tell_their_own_progress(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    auto_job_info struct job_info info = {0};
    json_auto_t *o = NULL;
    const struct extent x[] = {{0, 100}, {200, 50}};
    struct err e0;

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, "a", &job);
    assert_ok(job_disk_size(job, 0, 1000, e));
    assert_ok(job_disk_size(job, 1, 500, e));
    assert_ok(job_ranges_done(job, 1, x, 2, e));
    assert_ok(journal_job(j, job_id(job), &info, e));
    assert_int_equal(info.disks.n, 2);
    assert_int_equal(info.disks.v[0].done_bytes, 0);
    assert_int_equal(info.disks.v[0].size_bytes, 1000);
    assert_int_equal(info.disks.v[1].done_bytes, 150);
    assert_int_equal(info.done_bytes, 150);
    assert_int_equal(info.total_bytes, 1500);
    o = job_info_json(&info, &e0);
    assert_non_null(o);
    assert_int_equal(
        json_u64_or(json_array_get(json_object_get(o, "disks"), 1), "done_bytes", 0),
        150);
}

static void test_values_are_read_without_a_claim(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL, *reader = NULL;
    auto_job struct job *job = NULL;
    json_auto_t *result = json_pack("{s:s}", "instance_id", "i-1"), *got = NULL;
    json_t *none = NULL;

    assert_ok(journal_open(d->path, &j, e));
    assert_ok(journal_open(d->path, &reader, e));
    new_job(j, "a", &job);
    assert_ok(job_value_set(job, "result", result, e));
    assert_ok(journal_value(reader, job_id(job), "result", &got, e));
    assert_string_equal(json_str_or(got, "instance_id", ""), "i-1");
    assert_ok(journal_value(reader, job_id(job), "nothing", &none, e));
    assert_null(none);
    assert_fails(journal_value(reader, "j-20260101-0000", "result", &none, e),
                 ERR_NOT_FOUND, "j-20260101-0000");
}

/* In a process of its own that shares nothing with ours, SQLite's memory of locks least
 * of all: so not by fork alone. */
static int add_job(const char *path)
{
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    json_auto_t *params = json_object();
    struct err e;

    return journal_open(path, &j, &e) < 0 ||
           job_create(j, "convert", "another's", params, &job, &e) < 0;
}

/* Opening a journal a second time must not cost the first connection its locks: another
 * process, ending, would remove the WAL that it reads and writes. */
static void test_two_connections_of_a_process_keep_their_locks(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *first = NULL, *second = NULL;
    int64_t before, after;
    char wal[128];

    assert_ok(journal_open(d->path, &first, e));
    assert_ok(journal_open(d->path, &second, e));
    snprintf(wal, sizeof wal, "%s-wal", d->path);
    for (size_t i = 1; i <= 3; i++) {
        const char *const argv[] = {"/proc/self/exe", d->path, NULL};
        auto_buf struct buf out = BUF_INIT;
        auto_job_infos struct job_infos seen = {0};

        assert_ok(journal_version(first, &before, e));
        assert_ok(child_run(argv, 100, &out, NULL, 60 * NS_PER_S, e));
        assert_int_equal(access(wal, F_OK), 0); /* we have it open */
        assert_ok(journal_version(first, &after, e));
        assert_int_not_equal(before, after);
        assert_ok(journal_jobs(first, &seen, e));
        assert_int_equal(seen.n, i);
    }
}

int main(int argc, char **argv)
{
    log_setup("test", LOG_QUIET, LOG_TEXT);
    if (argc == 2)
        return add_job(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_the_version_changes_with_commits_of_others_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_events_are_given_once_in_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_forgotten_job_keeps_its_event_numbers,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_finished_jobs_are_left_out_once_they_are_old,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_disks_tell_their_own_progress, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_two_connections_of_a_process_keep_their_locks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_values_are_read_without_a_claim, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
