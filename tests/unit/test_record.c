/* Records: versions, what they account for, claims, and journals of the first schema. */
#include "journal_test.h"

#include "job/record.h"

#include <sqlite3.h>

static int set_up(void **state)
{
    struct journal_dir *d = calloc(1, sizeof *d);

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

static json_t *body(const char *word)
{
    return json_pack("{s:s}", "word", word);
}

static const char *word_of(const struct record *r)
{
    return json_string_value(json_object_get(r->body, "word"));
}

static void sql(const char *path, const char *text)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_record_survives_reopening(void **state)
{
    struct journal_dir *d = *state;
    struct journal *j = NULL;
    json_auto_t *b = body("one");
    auto_record struct record r = {0};

    assert_ok(journal_open(d->path, &j, e));
    assert_ok(record_create(j, "sync", "web", b, NULL, e));
    assert_fails(record_create(j, "sync", "web", b, NULL, e), ERR_EXISTS, "sync web");
    assert_ok(record_create(j, "other", "web", b, NULL, e));
    journal_close(j);
    assert_ok(journal_open(d->path, &j, e));
    assert_ok(record_get(j, "sync", "web", &r, e));
    assert_string_equal(r.name, "web");
    assert_string_equal(word_of(&r), "one");
    assert_int_equal(r.version, 1);
    journal_close(j);
}

static void test_unknown_record_names_the_others(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    json_auto_t *b = body("x");
    struct record r = {0};

    assert_ok(journal_open(d->path, &j, e));
    assert_fails(record_get(j, "sync", "db", &r, e), ERR_NOT_FOUND, "there are none");
    assert_ok(record_create(j, "sync", "web", b, NULL, e));
    assert_fails(record_get(j, "sync", "db", &r, e), ERR_NOT_FOUND, "web");
    assert_fails(record_put(j, "sync", "db", 1, b, NULL, e), ERR_NOT_FOUND, "web");
    assert_null(r.name);
}

static void test_stale_version_changes_nothing(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL, *other = NULL;
    json_auto_t *one = body("one"), *two = body("two"), *three = body("three");
    auto_record struct record r = {0};

    assert_ok(journal_open(d->path, &j, e));
    assert_ok(journal_open(d->path, &other, e));
    assert_ok(record_create(j, "sync", "web", one, NULL, e));
    assert_ok(record_put(other, "sync", "web", 1, two, NULL, e));
    assert_fails(record_put(j, "sync", "web", 1, three, NULL, e), ERR_BUSY, "meanwhile");
    assert_fails(record_remove(j, "sync", "web", 1, e), ERR_BUSY, "meanwhile");
    assert_ok(record_get(j, "sync", "web", &r, e));
    assert_string_equal(word_of(&r), "two");
    assert_int_equal(r.version, 2);
    assert_ok(record_remove(j, "sync", "web", 2, e));
    assert_ok(record_remove(j, "sync", "web", 2, e));
}

static void test_record_accounts_for_its_resources(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_strv struct strv ids = {0}, fewer = {0};
    json_auto_t *b = body("x");
    char owner[JOB_ID_LEN];

    assert_ok(journal_open(d->path, &j, e));
    assert_ok(strv_add(&ids, "vol-1", e));
    assert_ok(strv_add(&ids, "vol-2", e));
    assert_ok(strv_add(&ids, "vol-2", e));
    assert_ok(strv_add(&fewer, "vol-2", e));
    assert_ok(record_create(j, "sync", "web", b, &ids, e));
    assert_ok(journal_resource_owner(j, "vol-1", owner, e));
    assert_string_equal(owner, "sync");
    assert_ok(record_put(j, "sync", "web", 1, b, &fewer, e));
    assert_ok(journal_resource_owner(j, "vol-1", owner, e));
    assert_string_equal(owner, "");
    assert_ok(journal_resource_owner(j, "vol-2", owner, e));
    assert_string_equal(owner, "sync");
    assert_ok(record_remove(j, "sync", "web", 2, e));
    assert_ok(journal_resource_owner(j, "vol-2", owner, e));
    assert_string_equal(owner, "");
}

static int claim_and_die(void *path)
{
    struct journal *j = NULL;
    struct record_claim *c = NULL;
    struct err e = ERR_INIT;

    if (journal_open(path, &j, &e) < 0)
        return 1;
    return record_claim(j, "sync", "web", &c, &e) < 0 ? 2 : 0;
}

static void test_claim_excludes_and_ends_with_its_process(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL, *other = NULL;
    struct record_claim *c = NULL, *second = NULL;
    json_auto_t *b = body("x");

    assert_ok(journal_open(d->path, &j, e));
    assert_ok(record_create(j, "sync", "web", b, NULL, e));
    assert_int_equal(in_child(claim_and_die, d->path), 0);
    assert_false(record_claimed(j, "sync", "web"));
    assert_ok(record_claim(j, "sync", "web", &c, e));
    assert_ok(journal_open(d->path, &other, e));
    assert_true(record_claimed(other, "sync", "web"));
    assert_fails(record_claim(other, "sync", "web", &second, e), ERR_BUSY,
                 "another process works on it");
    assert_int_equal(in_child(claim_and_die, d->path), 2);
    /* A claim does not keep others from small changes. */
    assert_ok(record_put(other, "sync", "web", 1, b, NULL, e));
    record_claim_drop(c);
    assert_ok(record_claim(other, "sync", "web", &second, e));
    record_claim_drop(second);
}

/* A journal as the first version left it. */
static void test_first_schema_is_brought_forward_with_its_jobs(void **state)
{
    struct journal_dir *d = *state;
    auto_journal struct journal *j = NULL;
    auto_job struct job *job = NULL;
    auto_job_info struct job_info info = {0};
    json_auto_t *params = json_object(), *b = body("x");
    char id[JOB_ID_LEN];

    assert_ok(journal_open(d->path, &j, e));
    assert_ok(job_create(j, "convert", "web01", params, &job, e));
    snprintf(id, sizeof id, "%s", job_id(job));
    job_close(take_ptr(job));
    journal_close(take_ptr(j));
    sql(d->path,
        "DROP TABLE record_resource; DROP TABLE record; PRAGMA user_version = 1");
    assert_ok(journal_open(d->path, &j, e));
    assert_ok(journal_job(j, id, &info, e));
    assert_string_equal(info.title, "web01");
    assert_ok(record_create(j, "sync", "web", b, NULL, e));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_record_survives_reopening),
        T(test_unknown_record_names_the_others),
        T(test_stale_version_changes_nothing),
        T(test_record_accounts_for_its_resources),
        T(test_claim_excludes_and_ends_with_its_process),
        T(test_first_schema_is_brought_forward_with_its_jobs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
