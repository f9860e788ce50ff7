#include "journal_test.h"

#include "base/json.h"
#include "base/str.h"
#include "fault_vfs.h"

#include <errno.h>

static int set_up(void **state)
{
    struct journal_dir *d = malloc(sizeof *d);

    journal_dir_make(d);
    fault.action = FAULT_NONE;
    *state = d;
    return 0;
}

static int tear_down(void **state)
{
    fault.action = FAULT_NONE;
    journal_dir_remove(*state);
    free(*state);
    return 0;
}

static void new_job(struct journal *j, struct job **ret)
{
    json_auto_t *params = json_pack("{s:s}", "source", "/srv/web01.ova");

    assert_ok(job_create(j, "convert", "web01.ova", params, ret, e));
}

static void sql(const char *path, const char *text)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_files_are_for_the_owner_only(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    char path[128];
    struct stat st;

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, &job);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", d->path,
                 (const char *[]){"", "-wal", ".lock"}[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    snprintf(path, sizeof path, "%s/state", d->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void test_job_ids_are_short_and_distinct(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *a = NULL, *b = NULL;

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, &a);
    new_job(j, &b);
    assert_string_not_equal(job_id(a), job_id(b));
    assert_int_equal(strlen(job_id(a)), 15);
    assert_int_equal(strspn(job_id(a), "j-0123456789abcdef"), 15);
}

static void test_job_survives_reopening(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    char id[JOB_ID_LEN];

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, &job);
    snprintf(id, sizeof id, "%s", job_id(job));
    job_close(take_ptr(job));
    journal_close(take_ptr(j));

    assert_ok(journal_open(d->path, &j, e));
    assert_ok(job_open(j, id, &job, e));
    assert_string_equal(job_kind(job), "convert");
    assert_string_equal(job_title(job), "web01.ova");
    assert_string_equal(json_str_or(job_params(job), "source", ""), "/srv/web01.ova");
    assert_int_equal(job_state(job), JOB_INTERRUPTED);
}

static void test_unknown_job_is_named(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    struct job *job = NULL;

    assert_ok(journal_open(d->path, &j, e));
    assert_fails(job_open(j, "j-20260101-beef", &job, e), ERR_NOT_FOUND,
                 "j-20260101-beef is not in journal");
    assert_null(job);
}

static void test_schema_from_the_future_is_refused_by_name(void **state)
{
    struct journal_dir *d = *state;
    struct journal *j = NULL;

    assert_ok(journal_open(d->path, &j, e));
    journal_close(take_ptr(j));
    sql(d->path, "PRAGMA user_version = 7");
    assert_fails(journal_open(d->path, &j, e), ERR_UNSUPPORTED,
                 "newer hotadd (schema 7, this one knows 2)");
    assert_null(j);
}

static void test_foreign_database_is_refused_and_kept(void **state)
{
    struct journal_dir *d = *state;
    auto_buf struct buf before = BUF_INIT, after = BUF_INIT;
    struct journal *j = NULL;
    char path[128];

    snprintf(path, sizeof path, "%s/theirs.db", d->dir);
    sql(path, "CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    assert_ok(io_read_file(path, 1 << 20, &before, e));
    assert_fails(journal_open(path, &j, e), ERR_INPUT, "no hotadd journal");
    assert_ok(io_read_file(path, 1 << 20, &after, e));
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, after.len);
}

static void test_file_that_is_no_database_is_refused_and_kept(void **state)
{
    struct journal_dir *d = *state;
    auto_buf struct buf after = BUF_INIT;
    struct journal *j = NULL;
    char path[128], text[4096];

    memset(text, 'x', sizeof text);
    snprintf(path, sizeof path, "%s/notes.txt", d->dir);
    assert_ok(io_write_file_atomic(path, text, sizeof text, 0600, e));
    assert_fails(journal_open(path, &j, e), ERR_INPUT, "is damaged");
    assert_ok(io_read_file(path, 1 << 20, &after, e));
    assert_int_equal(after.len, sizeof text);
    assert_memory_equal(after.data, text, sizeof text);
}

/* Every page but the first, overwritten in turn, is noticed or harmless: opening and
 * listing fail with ERR_INPUT or succeed, and never crash. */
static void test_damaged_pages_are_noticed(void **state)
{
    struct journal_dir *d = *state;
    auto_buf struct buf good = BUF_INIT;
    struct journal *j = NULL;
    struct job *job = NULL;
    unsigned noticed = 0;

    assert_ok(journal_open(d->path, &j, e));
    for (int i = 0; i < 20; i++) {
        new_job(j, &job);
        job_close(take_ptr(job));
    }
    journal_close(take_ptr(j));
    assert_ok(io_read_file(d->path, 1 << 24, &good, e));
    for (size_t at = 4096; at < good.len; at += 4096) {
        struct err err = ERR_INIT;
        auto_job_infos struct job_infos v = {0};
        int fd = open(d->path, O_WRONLY | O_TRUNC);

        assert_ok(io_pwrite_full(fd, good.data, good.len, 0, "journal", e));
        assert_ok(io_pwrite_full(fd, "\x0d\xff\xff\xff\xff\xff\xff\xff\xff", 9, at,
                                 "journal", e));
        close(fd);
        if (journal_open(d->path, &j, &err) < 0 || journal_jobs(j, &v, &err) < 0) {
            assert_int_equal(err.kind, ERR_INPUT);
            assert_non_null(strstr(err.msg, "damaged"));
            noticed++;
        }
        journal_close(take_ptr(j));
    }
    assert_true(noticed > 10);
}

static void test_intention_is_synced_before_it_returns(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, &job);
    for (int i = 0; i < 10; i++) {
        auto_job_resource struct job_resource r = {0};
        unsigned long before = fault.syncs;
        char key[16];

        snprintf(key, sizeof key, "volume/%d", i);
        assert_ok(job_resource_intend(job, "volume", key, NULL, &r, e));
        assert_true(fault.syncs > before);
    }
}

static void test_full_disk_is_told_and_loses_nothing(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    auto_job_resource struct job_resource r = {0}, s = {0};
    auto_job_resources struct job_resources v = {0};

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, &job);
    assert_ok(job_resource_intend(job, "volume", "volume/0", NULL, &r, e));
    fault.action = FAULT_FULL;
    fault.at = fault.changes + 1;
    assert_fails(job_resource_intend(job, "volume", "volume/1", NULL, &s, e), ERR_NOSPACE,
                 "no space left");
    assert_null(s.key);
    fault.action = FAULT_NONE;
    assert_ok(job_resources(job, NULL, &v, e));
    assert_int_equal(v.n, 1);
    assert_string_equal(v.v[0].token, r.token);
    assert_ok(job_resource_intend(job, "volume", "volume/1", NULL, &s, e));
}

static void test_ranges_merge_with_their_neighbours(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    auto_extent_set struct extent_set s = {0};
    const struct extent first[] = {{0, 10}, {30, 10}, {20, 10}, {100, 1}};
    const struct extent second[] = {{5, 20}, {39, 3}};

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, &job);
    assert_ok(job_ranges_done(job, 3, first, 4, e));
    assert_ok(job_ranges_done(job, 3, second, 2, e));
    assert_ok(job_ranges(job, 3, &s, e));
    assert_int_equal(s.n, 2);
    assert_int_equal(s.v[0].offset, 0);
    assert_int_equal(s.v[0].len, 42);
    assert_int_equal(s.v[1].offset, 100);
    extent_set_release(&s);
    assert_ok(job_ranges(job, 4, &s, e));
    assert_int_equal(s.n, 0);
}

static void test_random_ranges_equal_a_bitmap(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    auto_extent_set struct extent_set s = {0};
    unsigned char map[400] = {0};
    unsigned seed = (unsigned)getpid();

    print_message("# seed %u\n", seed);
    srand(seed);
    assert_ok(journal_open(d->path, &j, e));
    new_job(j, &job);
    for (int i = 0; i < 60; i++) {
        struct extent x[3];

        for (int k = 0; k < 3; k++) {
            x[k].offset = (uint64_t)(rand() % 380);
            x[k].len = (uint64_t)(1 + rand() % (k == 2 ? 20 : 4));
            memset(map + x[k].offset, 1, x[k].len);
        }
        assert_ok(job_ranges_done(job, 0, x, 3, e));
    }
    assert_ok(job_ranges(job, 0, &s, e));
    for (uint64_t i = 0; i < 400; i++)
        assert_int_equal(extent_set_covers(&s, i, 1), map[i]);
    for (size_t i = 1; i < s.n; i++)
        assert_true(s.v[i].offset > s.v[i - 1].offset + s.v[i - 1].len);
}

static void test_range_beyond_the_number_space_is_refused(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    const struct extent x = {UINT64_MAX - 10, 5};

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, &job);
    assert_fails(job_ranges_done(job, 0, &x, 1, e), ERR_UNSUPPORTED, "beyond 2^63");
}

static void test_values_chosen_once_stay(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    json_auto_t *t3 = json_string("t3.small"), *m5 = json_string("m5.large");
    json_t *got = NULL;

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, &job);
    assert_ok(job_value_get(job, "instance-type", &got, e));
    assert_null(got);
    assert_ok(job_value_once(job, "instance-type", t3, &got, e));
    assert_string_equal(json_string_value(got), "t3.small");
    json_decref(got);
    assert_ok(job_value_once(job, "instance-type", m5, &got, e));
    assert_string_equal(json_string_value(got), "t3.small");
    json_decref(got);
    assert_ok(job_value_set(job, "instance-type", m5, e));
    assert_ok(job_value_get(job, "instance-type", &got, e));
    assert_string_equal(json_string_value(got), "m5.large");
    json_decref(got);
}

static void test_intention_keeps_token_and_attributes(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    json_auto_t *eight = json_pack("{s:i}", "gib", 8),
                *nine = json_pack("{s:i}", "gib", 9);
    auto_job_resource struct job_resource a = {0}, b = {0}, c = {0};

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, &job);
    assert_ok(job_resource_intend(job, "volume", "volume/0", eight, &a, e));
    assert_int_equal(a.state, JOB_RESOURCE_INTENDED);
    assert_null(a.cloud_id);
    assert_true(strlen(a.token) <= 64 && strstr(a.token, job_id(job)));
    assert_ok(job_resource_intend(job, "volume", "volume/0", nine, &b, e));
    assert_string_equal(a.token, b.token);
    assert_int_equal(json_u64_or(b.attrs, "gib", 0), 8);
    assert_fails(job_resource_intend(job, "snapshot", "volume/0", NULL, &c, e),
                 ERR_EXISTS, "volume/0 is a volume already");
}

static void test_gone_key_begins_anew_with_another_token(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    auto_job_resource struct job_resource a = {0}, b = {0}, c = {0};

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, &job);
    assert_ok(job_resource_intend(job, "volume", "carrier-root", NULL, &a, e));
    assert_ok(job_resource_made(job, "carrier-root", "vol-1", NULL, e));
    assert_ok(job_resource_gone(job, "carrier-root", e));
    assert_ok(job_resource_get(job, "carrier-root", &c, e));
    assert_int_equal(c.state, JOB_RESOURCE_GONE);
    assert_fails(job_resource_made(job, "carrier-root", "vol-2", NULL, e), ERR_FAILED,
                 "is gone");
    assert_ok(job_resource_intend(job, "volume", "carrier-root", NULL, &b, e));
    assert_string_not_equal(a.token, b.token);
    assert_true(b.order > a.order);
    assert_null(b.cloud_id);
}

static void test_made_merges_attributes_and_keeps_its_id(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    json_auto_t *one = json_pack("{s:i}", "gib", 8),
                *two = json_pack("{s:s}", "zone", "eu-central-1a");
    auto_job_resource struct job_resource r = {0}, s = {0};
    char owner[JOB_ID_LEN];

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, &job);
    assert_ok(job_resource_intend(job, "volume", "volume/0", one, &r, e));
    assert_ok(job_resource_made(job, "volume/0", "vol-1", two, e));
    assert_ok(job_resource_made(job, "volume/0", "vol-1", NULL, e));
    assert_fails(job_resource_made(job, "volume/0", "vol-2", NULL, e), ERR_EXISTS,
                 "is vol-1 already, not vol-2");
    assert_ok(job_resource_get(job, "volume/0", &s, e));
    assert_int_equal(json_u64_or(s.attrs, "gib", 0), 8);
    assert_string_equal(json_str_or(s.attrs, "zone", ""), "eu-central-1a");
    assert_ok(journal_resource_owner(j, "vol-1", owner, e));
    assert_string_equal(owner, job_id(job));
    assert_ok(journal_resource_owner(j, "vol-2", owner, e));
    assert_string_equal(owner, "");
    assert_ok(job_resource_gone(job, "volume/0", e));
    assert_ok(journal_resource_owner(j, "vol-1", owner, e));
    assert_string_equal(owner, "");
}

static void test_listing_shows_progress_and_json(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    auto_job_infos struct job_infos v = {0};
    auto_job_resource struct job_resource r = {0};
    const struct extent x = {0, 4096};
    json_t *o;
    struct err err;

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, &job);
    assert_ok(job_disk_size(job, 0, 8192, e));
    assert_ok(job_disk_size(job, 1, 8192, e));
    assert_ok(job_ranges_done(job, 0, &x, 1, e));
    assert_ok(job_resource_intend(job, "volume", "volume/0", NULL, &r, e));
    assert_ok(journal_jobs(j, &v, e));
    assert_int_equal(v.n, 1);
    assert_int_equal(v.v[0].done_bytes, 4096);
    assert_int_equal(v.v[0].total_bytes, 16384);
    assert_int_equal(v.v[0].owner_pid, getpid());
    o = job_info_json(&v.v[0], &err);
    assert_non_null(o);
    assert_string_equal(json_str_or(o, "state", ""), "running");
    assert_int_equal(json_array_size(json_object_get(o, "resources")), 1);
    json_decref(o);
}

static void test_forgetting_needs_a_finished_job(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    struct job *job = NULL;
    char id[JOB_ID_LEN];

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, &job);
    snprintf(id, sizeof id, "%s", job_id(job));
    assert_fails(journal_forget(j, id, e), ERR_BUSY, "works on it");
    job_close(job);
    assert_fails(journal_forget(j, id, e), ERR_BUSY, "is interrupted: `hotadd resume");
    sql(d->path, "UPDATE job SET state = 'undone'");
    assert_ok(journal_forget(j, id, e));
    assert_fails(journal_forget(j, id, e), ERR_NOT_FOUND, id);
}

static void test_guard_finds_what_is_in_the_journal(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;

    assert_ok(journal_open(d->path, &j, e));
    new_job(j, &job);
    assert_not_in_journal(d->path, "wJalrXUtnFEMI/K7MDENG");
}

struct opener {
    const char *path;
    int go_fd; /* read end: its closing is the start */
};

static int open_and_create(void *arg)
{
    struct opener *o = arg;
    struct journal *j = NULL;
    struct job *job = NULL;
    json_t *params = json_object();
    struct err e;
    char c;

    if (read(o->go_fd, &c, 1) != 0)
        return 2;
    if (journal_open(o->path, &j, &e) < 0 ||
        job_create(j, "convert", "t", params, &job, &e) < 0) {
        fprintf(stderr, "# %s\n", e.msg);
        return 1;
    }
    job_close(job);
    journal_close(j);
    json_decref(params);
    return 0;
}

static void test_processes_that_meet_at_a_new_journal_all_succeed(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job_infos struct job_infos v = {0};
    int go[2], status;
    pid_t pid[8];

    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < 8; i++) {
        pid[i] = fork();
        assert_true(pid[i] >= 0);
        if (pid[i] == 0) {
            close(go[1]);
            _exit(open_and_create(&(struct opener){d->path, go[0]}));
        }
    }
    close(go[1]);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
    close(go[0]);
    assert_ok(journal_open(d->path, &j, e));
    assert_ok(journal_jobs(j, &v, e));
    assert_int_equal(v.n, 8);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_files_are_for_the_owner_only),
        T(test_job_ids_are_short_and_distinct),
        T(test_job_survives_reopening),
        T(test_unknown_job_is_named),
        T(test_schema_from_the_future_is_refused_by_name),
        T(test_foreign_database_is_refused_and_kept),
        T(test_file_that_is_no_database_is_refused_and_kept),
        T(test_damaged_pages_are_noticed),
        T(test_intention_is_synced_before_it_returns),
        T(test_full_disk_is_told_and_loses_nothing),
        T(test_ranges_merge_with_their_neighbours),
        T(test_random_ranges_equal_a_bitmap),
        T(test_range_beyond_the_number_space_is_refused),
        T(test_values_chosen_once_stay),
        T(test_intention_keeps_token_and_attributes),
        T(test_gone_key_begins_anew_with_another_token),
        T(test_made_merges_attributes_and_keeps_its_id),
        T(test_listing_shows_progress_and_json),
        T(test_forgetting_needs_a_finished_job),
        T(test_guard_finds_what_is_in_the_journal),
        T(test_processes_that_meet_at_a_new_journal_all_succeed),
    };

    fault_vfs_register();
    log_setup("test", LOG_QUIET, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
