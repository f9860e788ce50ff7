/* Failover: which of its commands may be given when, and what a launch is made of. */
#include "test.h"

#include "base/json.h"
#include "base/str.h"
#include "sync/failover_job.h"
#include "sync/failover_schedule.h"
#include "sync/private.h"

/* The transitions that docs/live-sync.md draws; all others are refused. */
static const struct {
    enum sync_command command;
    enum sync_state from[5];
    size_t n;
} legal[] = {
    {SYNC_TEST, {SYNC_ACTIVE, SYNC_PAUSED, SYNC_NEEDS_RESYNC}, 3},
    {SYNC_FAILOVER, {SYNC_ACTIVE, SYNC_PAUSED, SYNC_NEEDS_RESYNC, SYNC_FAILING_OVER}, 4},
    {SYNC_UNDO_FAILOVER,
     {SYNC_FAILING_OVER, SYNC_FAILED_OVER, SYNC_UNDOING, SYNC_FAILED_BACK},
     4},
    {SYNC_FAILBACK, {SYNC_FAILED_OVER, SYNC_FAILING_BACK, SYNC_FAILED_BACK}, 3},
    {SYNC_COMMIT, {SYNC_FAILED_OVER, SYNC_FAILED_BACK}, 2},
};

static void test_commands_are_allowed_in_their_states_only(void **state)
{
    for (size_t i = 0; i < sizeof legal / sizeof legal[0]; i++)
        for (int s = 0; s < SYNC_STATES; s++) {
            bool may = false;

            for (size_t k = 0; k < legal[i].n; k++)
                may = may || legal[i].from[k] == (enum sync_state)s;
            if (may)
                assert_ok(sync_allowed("web", (enum sync_state)s, legal[i].command, e));
            else
                assert_fails(sync_allowed("web", (enum sync_state)s, legal[i].command, e),
                             ERR_USAGE, sync_state_name((enum sync_state)s));
        }
}

static void test_a_refusal_names_the_command_to_give(void **state)
{
    for (int s = 0; s < SYNC_STATES; s++)
        for (int c = SYNC_TEST; c < SYNC_COMMANDS; c++) {
            struct err e = ERR_INIT;

            if (sync_allowed("web", (enum sync_state)s, (enum sync_command)c, &e) < 0)
                assert_non_null(strstr(e.msg, "hotadd sync "));
        }
}

/* ---- words ---- */

static char name[] = "web", ip[] = "10.0.0.9", machine[] = "vm/web", group[] = "sg-1",
            type[] = "m5.large";

struct fixture {
    struct sync sync;
    char *groups[1];
};

static const struct sync *fixture(struct fixture *f)
{
    *f = (struct fixture){.groups = {group}};
    f->sync.record.name = name;
    f->sync.params.source = machine;
    f->sync.params.private_ip = ip;
    f->sync.params.no_wait = true;
    f->sync.params.security_groups.v = f->groups;
    f->sync.params.security_groups.n = 1;
    return &f->sync;
}

static json_t *words(const char *kind, const struct failover_how *how)
{
    struct err e = ERR_INIT;
    struct fixture f;
    json_t *o = failover_words(fixture(&f), kind, how, &e);

    if (!o)
        fail_msg("%s", e.msg);
    return o;
}

static void test_a_failover_takes_the_machines_place(void **state)
{
    json_auto_t *o = words(KIND_FAILOVER, &(struct failover_how){0});

    assert_string_equal(json_str_or(o, "private_ip", ""), ip);
    assert_string_equal(json_str_or(o, "name", ""), "web");
    assert_int_equal(json_array_size(json_object_get(o, "security_groups")), 1);
    assert_true(json_bool_or(o, "no_wait", false));
    assert_int_equal(json_integer_value(json_object_get(o, "at")), REPO_LATEST);
}

static void test_a_test_takes_nothing_of_it(void **state)
{
    json_auto_t *o = words(KIND_TEST, &(struct failover_how){.keep = true});

    assert_null(json_object_get(o, "private_ip"));
    assert_null(json_object_get(o, "security_groups"));
    assert_null(json_object_get(o, "no_wait"));
    assert_string_equal(json_str_or(o, "name", ""), "web (test)");
    assert_true(json_bool_or(o, "keep", false));
}

static void test_what_is_said_counts_more(void **state)
{
    struct restore_params own = {.private_ip = ip, .instance_type = type};
    json_auto_t *o =
        words(KIND_TEST,
              &(struct failover_how){.instance = &own, .at = "2026-01-02T03:04:05Z"});

    assert_string_equal(json_str_or(o, "private_ip", ""), ip);
    assert_string_equal(json_str_or(o, "instance_type", ""), type);
    assert_int_equal(json_integer_value(json_object_get(o, "at")), 1767323045);
}

static void test_a_time_that_is_none_is_refused(void **state)
{
    struct err e = ERR_INIT;
    struct fixture f;

    assert_null(failover_words(fixture(&f), KIND_TEST,
                               &(struct failover_how){.at = "yesterday"}, &e));
    assert_int_equal(e.kind, ERR_USAGE);
    assert_non_null(strstr(e.msg, "--at yesterday"));
}

/* ---- tests by schedule ---- */

static void test_a_test_is_due_after_its_time_and_where_it_may_be(void **state)
{
    json_auto_t *body = json_pack("{s:i}", KEY_TEST_EVERY, 3600);
    const int64_t last = 1767323045; /* 2026-01-02T03:04:05Z */
    struct fixture f;

    fixture(&f);
    f.sync.record.body = body;
    f.sync.state = SYNC_ACTIVE;
    assert_true(failover_test_due(&f.sync, last)); /* never tested */
    assert_int_equal(
        json_object_set_new(body, "tests",
                            json_pack("[{s:s}]", "started", "2026-01-02T03:04:05Z")),
        0);
    assert_false(failover_test_due(&f.sync, last + 3599));
    assert_true(failover_test_due(&f.sync, last + 3600));
    f.sync.state = SYNC_FAILED_OVER;
    assert_false(failover_test_due(&f.sync, last + 3600));
    f.sync.state = SYNC_ACTIVE;
    json_object_del(body, KEY_TEST_EVERY);
    assert_false(failover_test_due(&f.sync, last + 3600));
}

/* ---- hooks ---- */

static int hook(const char *script, const char *phase, struct err *e)
{
    char sh[] = "sh", c[] = "-c", zero[] = "hook";
    char *text = strdup(script);
    char *argv[] = {sh, c, text, zero};
    const struct strv v = {.v = argv, .n = 4};
    struct fixture f;
    int r = failover_hook(&v, fixture(&f), phase, NULL, e);

    free(text);
    return r;
}

static void test_a_hook_is_told_what_it_is_for(void **state)
{
    assert_ok(
        hook("test \"$HOTADD_SYNC $HOTADD_VM $HOTADD_PHASE\" = 'web vm/web running'",
             "running", e));
    assert_fails(hook("exit 3", "stopped", e), ERR_FAILED, "(stopped) ended with exit 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_are_allowed_in_their_states_only),
        cmocka_unit_test(test_a_refusal_names_the_command_to_give),
        cmocka_unit_test(test_a_failover_takes_the_machines_place),
        cmocka_unit_test(test_a_test_takes_nothing_of_it),
        cmocka_unit_test(test_what_is_said_counts_more),
        cmocka_unit_test(test_a_time_that_is_none_is_refused),
        cmocka_unit_test(test_a_test_is_due_after_its_time_and_where_it_may_be),
        cmocka_unit_test(test_a_hook_is_told_what_it_is_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
