#include "journal_test.h"

#include "base/str.h"
#include "job/slots.h"

#include <sqlite3.h>

static const char *const names[] = {"/dev/sdf", "/dev/sdg", "/dev/sdh", "/dev/sdi"};

struct fixture {
    struct journal_dir dir;
    struct journal *journal;
    struct job *a, *b;
};

static void new_job(struct fixture *f, struct job **ret)
{
    json_auto_t *params = json_object();

    assert_ok(job_create(f->journal, "convert", "t", params, ret, e));
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    journal_dir_make(&f->dir);
    assert_ok(journal_open(f->dir.path, &f->journal, e));
    new_job(f, &f->a);
    new_job(f, &f->b);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    job_close(f->a);
    job_close(f->b);
    journal_close(f->journal);
    journal_dir_remove(&f->dir);
    free(f);
    return 0;
}

/* A request for volume/0 to volume/n-1 with nothing but the root attached. */
static struct job_slot_request want(size_t n, size_t limit)
{
    static const char *const keys[] = {"volume/0", "volume/1", "volume/2", "volume/3",
                                       "volume/4"};
    static const char *const root[] = {"/dev/xvda"};

    return (struct job_slot_request){.proxy = "i-1",
                                     .keys = keys,
                                     .n_keys = n,
                                     .names = names,
                                     .n_names = 4,
                                     .in_use = root,
                                     .n_in_use = 1,
                                     .limit = limit};
}

static void age_leases(struct fixture *f)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(f->dir.path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE slot SET leased_s = leased_s - 301", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
}

static void test_two_jobs_get_distinct_names(void **state)
{
    struct fixture *f = *state;
    auto_job_slots struct job_slots a = {0}, b = {0}, all = {0};
    struct job_slot_request r = want(2, 28);

    assert_ok(job_slots_lease(f->a, &r, &a, e));
    assert_ok(job_slots_lease(f->b, &r, &b, e));
    assert_string_equal(a.v[0].name, "/dev/sdf");
    assert_string_equal(a.v[1].name, "/dev/sdg");
    assert_string_equal(b.v[0].name, "/dev/sdh");
    assert_string_equal(b.v[1].name, "/dev/sdi");
    assert_ok(journal_slots(f->journal, "i-1", &all, e));
    assert_int_equal(all.n, 4);
    assert_string_equal(all.v[3].job, job_id(f->b));
}

static void test_lease_is_the_same_when_asked_again(void **state)
{
    struct fixture *f = *state;
    auto_job_slots struct job_slots a = {0}, b = {0};
    struct job_slot_request r = want(2, 28);

    assert_ok(job_slots_lease(f->a, &r, &a, e));
    r = want(3, 28);
    assert_ok(job_slots_lease(f->a, &r, &b, e));
    assert_string_equal(b.v[0].name, a.v[0].name);
    assert_string_equal(b.v[1].name, a.v[1].name);
    assert_string_equal(b.v[2].name, "/dev/sdh");
}

static void test_names_in_use_are_passed_over(void **state)
{
    struct fixture *f = *state;
    auto_job_slots struct job_slots a = {0};
    struct job_slot_request r = want(1, 28);
    const char *const in_use[] = {"/dev/xvda", "/dev/sdf", "/dev/sdg"};

    r.in_use = in_use;
    r.n_in_use = 3;
    assert_ok(job_slots_lease(f->a, &r, &a, e));
    assert_string_equal(a.v[0].name, "/dev/sdh");
}

static void test_limit_leases_all_or_nothing_and_names_the_holder(void **state)
{
    struct fixture *f = *state;
    auto_job_slots struct job_slots a = {0}, b = {0}, all = {0};
    struct job_slot_request r = want(2, 4);
    struct err err = ERR_INIT;

    assert_ok(job_slots_lease(f->a, &r, &a, e));
    assert_int_equal(job_slots_lease(f->b, &r, &b, &err), -1);
    assert_int_equal(err.kind, ERR_BUSY);
    assert_true(err.retryable);
    assert_non_null(strstr(err.msg, "takes 4 and has 3"));
    assert_non_null(strstr(err.msg, job_id(f->a)));
    assert_ok(journal_slots(f->journal, "i-1", &all, e));
    assert_int_equal(all.n, 2);
}

static void test_attached_lease_counts_once(void **state)
{
    struct fixture *f = *state;
    auto_job_slots struct job_slots a = {0}, b = {0};
    struct job_slot_request r = want(2, 4);
    const char *const in_use[] = {"/dev/xvda", "/dev/sdf", "/dev/sdg"};

    assert_ok(job_slots_lease(f->a, &r, &a, e));
    r = want(1, 4);
    r.in_use = in_use;
    r.n_in_use = 3;
    assert_ok(job_slots_lease(f->b, &r, &b, e));
}

static void test_no_name_left_is_told(void **state)
{
    struct fixture *f = *state;
    auto_job_slots struct job_slots a = {0};
    struct job_slot_request r = want(5, 28);

    assert_fails(job_slots_lease(f->a, &r, &a, e), ERR_BUSY, "no device name is free");
}

static void test_released_slot_is_free(void **state)
{
    struct fixture *f = *state;
    auto_job_slots struct job_slots a = {0}, b = {0};
    struct job_slot_request r = want(1, 28);

    assert_ok(job_slots_lease(f->a, &r, &a, e));
    assert_ok(job_slot_release(f->a, "i-1", "volume/0", e));
    assert_ok(job_slot_release(f->a, "i-1", "volume/0", e));
    assert_ok(job_slots_lease(f->b, &r, &b, e));
    assert_string_equal(b.v[0].name, "/dev/sdf");
}

static void test_dead_jobs_lease_stays_while_attached(void **state)
{
    struct fixture *f = *state;
    auto_job_slots struct job_slots a = {0}, b = {0};
    struct job_slot_request r = want(1, 28);
    const char *const in_use[] = {"/dev/xvda", "/dev/sdf"};

    assert_ok(job_slots_lease(f->a, &r, &a, e));
    job_close(take_ptr(f->a));
    age_leases(f);
    r.in_use = in_use;
    r.n_in_use = 2;
    assert_ok(job_slots_lease(f->b, &r, &b, e));
    assert_string_equal(b.v[0].name, "/dev/sdg");
}

static void test_dead_jobs_fresh_lease_stays_though_unseen(void **state)
{
    struct fixture *f = *state;
    auto_job_slots struct job_slots a = {0}, b = {0};
    struct job_slot_request r = want(1, 28);

    assert_ok(job_slots_lease(f->a, &r, &a, e));
    job_close(take_ptr(f->a));
    assert_ok(job_slots_lease(f->b, &r, &b, e));
    assert_string_equal(b.v[0].name, "/dev/sdg");
}

static void test_dead_jobs_old_lease_without_attachment_is_dropped(void **state)
{
    struct fixture *f = *state;
    auto_job_slots struct job_slots a = {0}, b = {0};
    struct job_slot_request r = want(1, 28);

    assert_ok(job_slots_lease(f->a, &r, &a, e));
    job_close(take_ptr(f->a));
    age_leases(f);
    assert_ok(job_slots_lease(f->b, &r, &b, e));
    assert_string_equal(b.v[0].name, "/dev/sdf");
}

static void test_live_jobs_old_lease_is_kept(void **state)
{
    struct fixture *f = *state;
    auto_job_slots struct job_slots a = {0}, b = {0};
    struct job_slot_request r = want(1, 28);

    assert_ok(job_slots_lease(f->a, &r, &a, e));
    age_leases(f);
    assert_ok(job_slots_lease(f->b, &r, &b, e));
    assert_string_equal(b.v[0].name, "/dev/sdg");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_two_jobs_get_distinct_names),
        T(test_lease_is_the_same_when_asked_again),
        T(test_names_in_use_are_passed_over),
        T(test_limit_leases_all_or_nothing_and_names_the_holder),
        T(test_attached_lease_counts_once),
        T(test_no_name_left_is_told),
        T(test_released_slot_is_free),
        T(test_dead_jobs_lease_stays_while_attached),
        T(test_dead_jobs_fresh_lease_stays_though_unseen),
        T(test_dead_jobs_old_lease_without_attachment_is_dropped),
        T(test_live_jobs_old_lease_is_kept),
    };

    log_setup("test", LOG_QUIET, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
