/* What whoever asks is told of a replica: clone sources in every state of a pass, pins,
 * and changes that meet. No cloud: the record alone. */
#include "journal_test.h"

#include "job/record.h"
#include "repo/repo.h"
#include "sync/sync.h"

#define OLD    "vm/web@2026-01-01T00:00:00Z"
#define NEW    "vm/web@2026-01-01T01:00:00Z"
#define OLD_S  1767225600
#define NEW_S  1767229200
#define OLDEST 1767222000

static const char whole[] =
    "{\"state\": \"active\", \"config\": {\"params\": {\"source\": \"web\"}},"
    " \"point\": \"" OLD "\", \"time\": 1767225600,"
    " \"disks\": [{\"name\": \"a\", \"size_bytes\": 1000, \"size_gib\": 1,"
    "              \"volume\": \"vol-a\"},"
    "             {\"name\": \"b\", \"size_bytes\": 2000, \"size_gib\": 2,"
    "              \"volume\": \"vol-b\"}],"
    " \"points\": [{\"point\": \"" OLD "\", \"time\": 1767225600, \"pinned_by\": [],"
    "   \"snapshots\": [{\"disk\": \"a\", \"size_bytes\": 1000, \"size_gib\": 1,"
    "                    \"snapshot\": \"snap-a\"},"
    "                   {\"disk\": \"b\", \"size_bytes\": 2000, \"size_gib\": 2,"
    "                    \"snapshot\": \"snap-b\"}]},"
    "  {\"point\": \"vm/web@2025-12-31T23:00:00Z\", \"time\": 1767222000,"
    "   \"snapshots\": [{\"disk\": \"a\", \"size_bytes\": 900, \"size_gib\": 1,"
    "                    \"snapshot\": \"snap-older\"}]}],"
    " \"dirty\": null, \"resync\": false, \"retired\": [\"snap-gone\"], \"job\": null,"
    " \"history\": []}";

struct fixture {
    struct journal_dir d;
    struct journal *j;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    json_auto_t *body = json_loads(whole, 0, NULL);

    journal_dir_make(&f->d);
    assert_ok(journal_open(f->d.path, &f->j, e));
    assert_ok(record_create(f->j, "sync", "web", body, NULL, e));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    journal_close(f->j);
    journal_dir_remove(&f->d);
    free(f);
    return 0;
}

static int edit_member(json_t *body, void *ctx, struct err *e)
{
    return json_object_update(body, ctx) < 0 ? -1 : 0;
}

static void change(struct sync *s, const char *json)
{
    json_auto_t *o = json_loads(json, 0, NULL);

    assert_non_null(o);
    assert_ok(sync_edit(s, edit_member, o, e));
}

static void test_a_replica_at_rest_is_cloned_from_its_volumes(void **state)
{
    struct fixture *f = *state;
    auto_sync struct sync *s = NULL;
    auto_sync_clone struct sync_clone c = {0};

    assert_ok(sync_open(f->j, "web", SYNC_LOOK, &s, e));
    assert_ok(sync_clone_sources(s, REPO_LATEST, &c, e));
    assert_string_equal(c.point, OLD);
    assert_int_equal(c.time, OLD_S);
    assert_int_equal(c.disks.n, 2);
    assert_string_equal(c.disks.v[0].volume_id, "vol-a");
    assert_string_equal(c.disks.v[0].snapshot_id, "snap-a");
    assert_string_equal(c.disks.v[1].volume_id, "vol-b");
    assert_int_equal(c.disks.v[1].size_bytes, 2000);
}

/* The middle of a pass, of a resync, and after somebody wrote: never the volumes. */
static void test_volumes_that_are_written_are_not_offered(void **state)
{
    static const char *const inexact[] = {
        "{\"dirty\": {\"to\": \"" NEW "\", \"mixed\": false, \"disks\": {}}}",
        "{\"dirty\": null, \"resync\": true}",
        "{\"resync\": false, \"state\": \"needs-resync\"}"};
    struct fixture *f = *state;
    auto_sync struct sync *s = NULL;

    assert_ok(sync_open(f->j, "web", SYNC_LOOK, &s, e));
    for (size_t i = 0; i < 3; i++) {
        auto_sync_clone struct sync_clone c = {0};

        change(s, inexact[i]);
        assert_ok(sync_clone_sources(s, REPO_LATEST, &c, e));
        assert_string_equal(c.point, OLD);
        assert_int_equal(c.disks.n, 2);
        assert_null(c.disks.v[0].volume_id);
        assert_null(c.disks.v[1].volume_id);
        assert_string_equal(c.disks.v[1].snapshot_id, "snap-b");
    }
}

static void test_older_points_are_cloned_from_snapshots(void **state)
{
    struct fixture *f = *state;
    auto_sync struct sync *s = NULL;
    auto_sync_clone struct sync_clone c = {0}, none = {0};

    assert_ok(sync_open(f->j, "web", SYNC_LOOK, &s, e));
    assert_ok(sync_clone_sources(s, OLDEST, &c, e));
    assert_int_equal(c.disks.n, 1);
    assert_int_equal(c.disks.v[0].size_bytes, 900);
    assert_null(c.disks.v[0].volume_id);
    assert_fails(sync_clone_sources(s, NEW_S, &none, e), ERR_NOT_FOUND,
                 "2026-01-01T00:00:00Z, 2025-12-31T23:00:00Z");
    assert_null(none.point);
}

/* A snapshot that could not be made: half a machine is no clone. */
static void test_a_point_that_lacks_a_disk_is_not_offered(void **state)
{
    struct fixture *f = *state;
    auto_sync struct sync *s = NULL;
    auto_sync_clone struct sync_clone c = {0};

    assert_ok(sync_open(f->j, "web", SYNC_LOOK, &s, e));
    change(s, "{\"points\": [{\"point\": \"" OLD "\", \"time\": 1767225600,"
              " \"snapshots\": [{\"disk\": \"a\", \"snapshot\": \"snap-a\"}]}],"
              " \"dirty\": {\"to\": \"" NEW "\"}}");
    assert_fails(sync_clone_sources(s, REPO_LATEST, &c, e), ERR_NOT_FOUND,
                 "no recovery point");
    change(s, "{\"dirty\": null}");
    assert_ok(sync_clone_sources(s, REPO_LATEST, &c, e));
    assert_string_equal(c.disks.v[1].snapshot_id, "");
    assert_string_equal(c.disks.v[1].volume_id, "vol-b");
}

static size_t pins(const struct sync *s)
{
    const json_t *p = json_array_get(json_object_get(sync_body(s), "points"), 0);

    return json_array_size(json_object_get(p, "pinned_by"));
}

static void test_pins_are_by_name_and_of_points_that_exist(void **state)
{
    struct fixture *f = *state;
    auto_sync struct sync *s = NULL;

    assert_ok(sync_open(f->j, "web", SYNC_LOOK, &s, e));
    assert_ok(sync_pin(s, OLD_S, "test j-1", e));
    assert_ok(sync_pin(s, OLD_S, "test j-1", e));
    assert_ok(sync_pin(s, OLD_S, "test j-2", e));
    assert_ok(sync_pin(s, OLDEST, "test j-2", e));
    assert_int_equal(pins(s), 2);
    assert_fails(sync_pin(s, NEW_S, "test j-1", e), ERR_NOT_FOUND, "no recovery point");
    assert_ok(sync_unpin(s, OLD_S, "test j-1", e));
    assert_ok(sync_unpin(s, OLD_S, "test j-1", e));
    assert_ok(sync_unpin(s, NEW_S, "test j-1", e));
    assert_int_equal(pins(s), 1);
}

static void test_moves_need_the_state_that_was_seen(void **state)
{
    struct fixture *f = *state;
    auto_sync struct sync *a = NULL, *b = NULL;
    auto_journal struct journal *other = NULL;
    json_auto_t *detail = json_pack("{s:s}", "job", "j-1");

    assert_ok(journal_open(f->d.path, &other, e));
    assert_ok(sync_open(f->j, "web", SYNC_LOOK, &a, e));
    assert_ok(sync_open(other, "web", SYNC_LOOK, &b, e));
    assert_ok(sync_move(a, SYNC_ACTIVE, SYNC_FAILING_OVER, "failover", detail, e));
    assert_int_equal(sync_state(a), SYNC_FAILING_OVER);
    /* b has not seen it: its change is made to what is there now, or refused. */
    assert_int_equal(sync_state(b), SYNC_ACTIVE);
    assert_fails(sync_move(b, SYNC_ACTIVE, SYNC_FAILING_OVER, "failover", detail, e),
                 ERR_BUSY, "failing-over by now");
    change(b, "{\"tests\": {\"n\": 1}}");
    assert_int_equal(sync_state(b), SYNC_FAILING_OVER);
    assert_non_null(json_object_get(sync_body(b), "failover"));
    assert_ok(sync_move(b, SYNC_FAILING_OVER, SYNC_FAILED_OVER, "failover", NULL, e));
    assert_ok(sync_reload(a, e));
    assert_int_equal(sync_state(a), SYNC_FAILED_OVER);
    assert_non_null(json_object_get(sync_body(a), "tests"));
}

static void test_the_record_accounts_for_all_that_it_names(void **state)
{
    static const char *const ids[] = {"vol-a",  "vol-b",      "snap-a",
                                      "snap-b", "snap-older", "snap-gone"};
    struct fixture *f = *state;
    auto_sync struct sync *s = NULL;
    char owner[JOB_ID_LEN];

    assert_ok(sync_open(f->j, "web", SYNC_LOOK, &s, e));
    change(s, "{\"passes\": 1}");
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        assert_ok(journal_resource_owner(f->j, ids[i], owner, e));
        assert_string_equal(owner, "sync");
    }
    change(s, "{\"retired\": []}");
    assert_ok(journal_resource_owner(f->j, "snap-gone", owner, e));
    assert_string_equal(owner, "");
}

static void test_one_claim_at_a_time_and_looks_beside_it(void **state)
{
    struct fixture *f = *state;
    auto_sync struct sync *a = NULL, *b = NULL, *look = NULL;
    auto_journal struct journal *other = NULL;

    assert_ok(journal_open(f->d.path, &other, e));
    assert_ok(sync_open(f->j, "web", SYNC_CLAIM, &a, e));
    assert_fails(sync_open(other, "web", SYNC_CLAIM, &b, e), ERR_BUSY, "another process");
    assert_ok(sync_open(other, "web", SYNC_LOOK, &look, e));
    assert_ok(sync_pin(look, OLD_S, "test j-1", e));
    sync_close(a);
    a = NULL;
    assert_ok(sync_open(other, "web", SYNC_CLAIM, &b, e));
    assert_int_equal(pins(b), 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_a_replica_at_rest_is_cloned_from_its_volumes),
        T(test_volumes_that_are_written_are_not_offered),
        T(test_older_points_are_cloned_from_snapshots),
        T(test_a_point_that_lacks_a_disk_is_not_offered),
        T(test_pins_are_by_name_and_of_points_that_exist),
        T(test_moves_need_the_state_that_was_seen),
        T(test_the_record_accounts_for_all_that_it_names),
        T(test_one_claim_at_a_time_and_looks_beside_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
