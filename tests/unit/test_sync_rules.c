/* What Live Sync decides without looking anywhere: retention, windows, states. */
#include "test.h"

#include "sync/retention.h"
#include "sync/sync.h"

/* ---- retention ---- */

static const int64_t day0 = 1767225600; /* 2026-01-01T00:00:00Z, a Thursday */

/* Backups every `step` seconds, n of them, the newest at `last`. */
static void every(int64_t *times, size_t n, int64_t last, int64_t step)
{
    for (size_t i = 0; i < n; i++)
        times[i] = last - (int64_t)i * step;
}

struct keep_case {
    const char *rules;
    int64_t last, step;
    size_t n;
    const char *kept; /* a '#' for each that is kept, newest first; the rest '.' */
};

static void test_retention_table(void **state)
{
    static const struct keep_case cases[] = {
        {"none", 0, 300, 5, "....."},
        {"last=3", 0, 300, 5, "###.."},
        {"last=9", 0, 300, 5, "#####"},
        /* Hours: the newest of each, and those count only that no rule has yet. */
        {"hourly=2", 0, 1800, 6, "##...."},
        {"last=1,hourly=2", 0, 1800, 6, "##.#.."},
        {"last=3,hourly=1", 0, 1800, 8, "####...."},
        /* One a day at noon. */
        {"daily=3", 43200, 86400, 6, "###..."},
        {"last=1,daily=2", 43200, 86400, 6, "###..."},
        /* Four a day: one of each is kept, the newest. */
        {"daily=2", 64800, 21600, 9, "#...#...."},
        /* Weeks begin on Monday: the 5th, 4 days after the first of January. */
        {"weekly=2", 5 * 86400, 86400, 9, "#.#......"},
        {"last=2,weekly=1", 5 * 86400, 86400, 9, "###......"},
        {"monthly=2", 2 * 86400, 86400, 5, "#..#."},
        {"yearly=2", 0, 86400, 3, "##."},
        {"last=0,hourly=0", 0, 300, 2, ".."},
    };

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct keep_rules rules;
        int64_t times[16];
        bool keep[16];
        char got[17];

        assert_ok(keep_rules_parse(cases[c].rules, &rules, e));
        every(times, cases[c].n, day0 + cases[c].last, cases[c].step);
        keep_choose(&rules, times, cases[c].n, keep);
        for (size_t i = 0; i < cases[c].n; i++)
            got[i] = keep[i] ? '#' : '.';
        got[cases[c].n] = 0;
        if (strcmp(got, cases[c].kept) != 0)
            fail_msg("%s: %s, not %s", cases[c].rules, got, cases[c].kept);
    }
}

/* Run after run over a year of hourly backups, as passes do it: what stays is bounded by
 * the rules, and the coverage is what they promise. */
static void test_retention_settles(void **state)
{
    struct keep_rules rules;
    int64_t times[64];
    bool keep[64];
    size_t n = 0;

    assert_ok(keep_rules_parse("last=3,hourly=5,daily=7,weekly=4,monthly=12", &rules, e));
    for (int h = 0; h < 365 * 24; h++) {
        size_t left = 0;

        memmove(times + 1, times, n * sizeof *times);
        times[0] = day0 + (int64_t)h * 3600;
        n++;
        keep_choose(&rules, times, n, keep);
        assert_true(keep[0]);
        for (size_t i = 0; i < n; i++)
            if (keep[i])
                times[left++] = times[i];
        n = left;
        assert_true(n <= 3 + 5 + 7 + 4 + 12);
    }
    assert_true(times[n - 1] < day0 + 100 * 86400);
    assert_true(n >= 28);
}

static void test_rules_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {
        "",        "last",  "last=",   "last=x",   "last=-1",
        "last=1,", "all=3", ",last=1", "last=1;2", "last=99999999999999999999",
        "None"};
    struct keep_rules r;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(keep_rules_parse(bad[i], &r, e), ERR_USAGE, "keep");
    assert_ok(keep_rules_parse(NULL, &r, e));
    assert_int_equal(r.n[KEEP_LAST], 3);
}

/* ---- windows ---- */

static void test_windows(void **state)
{
    static const struct {
        const char *text;
        unsigned minute;
        bool in;
    } cases[] = {
        {NULL, 0, true},
        {"08:00-18:00", 479, false},
        {"08:00-18:00", 480, true},
        {"08:00-18:00", 1079, true},
        {"08:00-18:00", 1080, false},
        {"22:00-06:00", 1320, true},
        {"22:00-06:00", 1439, true},
        {"22:00-06:00", 0, true},
        {"22:00-06:00", 359, true},
        {"22:00-06:00", 360, false},
        {"22:00-06:00", 1319, false},
        {"00:00-24:00", 0, true},
        {"00:00-24:00", 1439, true},
        {"01:00-02:00,12:30-12:45", 90, true},
        {"01:00-02:00,12:30-12:45", 700, false},
        {"01:00-02:00,12:30-12:45", 750, true},
    };
    static const char *const bad[] = {"",
                                      "8:00-9:00",
                                      "08:00",
                                      "08:00-25:00",
                                      "08:00-08:00",
                                      "08:60-09:00",
                                      "08:00-09:00,",
                                      "24:00-01:00",
                                      "08:00-09:00 "};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_ok(window_check(cases[i].text, e));
        if (window_contains(cases[i].text, cases[i].minute) != cases[i].in)
            fail_msg("%s at minute %u", cases[i].text, cases[i].minute);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(window_check(bad[i], e), ERR_USAGE, "window");
}

/* ---- states ---- */

static void test_every_refusal_says_what_to_do_and_names_the_sync(void **state)
{
    size_t allowed = 0;

    for (int s = 0; s < SYNC_STATES; s++) {
        size_t ways_on = 0;

        assert_non_null(sync_state_name((enum sync_state)s));
        for (int c = 0; c < SYNC_COMMANDS; c++) {
            struct err e = ERR_INIT;

            if (sync_allowed("web01", (enum sync_state)s, (enum sync_command)c, &e) ==
                0) {
                ways_on++;
                continue;
            }
            assert_int_equal(e.kind, ERR_USAGE);
            assert_non_null(strstr(e.msg, "web01"));
            assert_non_null(strstr(e.msg, sync_command_name((enum sync_command)c)));
            assert_null(strstr(e.msg, "NAME"));
            assert_null(strstr(e.msg, "sync sync"));
        }
        /* No state is a dead end. */
        assert_true(ways_on > 0);
        allowed += ways_on;
    }
    assert_true(allowed < (size_t)SYNC_STATES * SYNC_COMMANDS / 2);
}

static void test_states_allow_what_they_should(void **state)
{
    static const struct {
        enum sync_state s;
        enum sync_command c;
        const char *instead; /* NULL: allowed */
    } cases[] = {
        {SYNC_NEW, SYNC_RUN, NULL},
        {SYNC_NEW, SYNC_VERIFY, "sync run web"},
        {SYNC_NEW, SYNC_FAILOVER, "sync run web"},
        {SYNC_ACTIVE, SYNC_TEST, NULL},
        {SYNC_ACTIVE, SYNC_COMMIT, "sync failover web"},
        {SYNC_PAUSED, SYNC_RUN, "sync resume web"},
        {SYNC_PAUSED, SYNC_FAILOVER, NULL},
        {SYNC_NEEDS_RESYNC, SYNC_RUN, "sync resync web"},
        /* A disaster does not wait for a resync: the points are snapshots. */
        {SYNC_NEEDS_RESYNC, SYNC_FAILOVER, NULL},
        {SYNC_FAILING_OVER, SYNC_FAILOVER, NULL},
        {SYNC_FAILING_OVER, SYNC_UNDO_FAILOVER, NULL},
        {SYNC_FAILED_OVER, SYNC_RUN, "undo-failover web"},
        {SYNC_FAILED_OVER, SYNC_DELETE, "commit"},
        {SYNC_FAILED_BACK, SYNC_COMMIT, NULL},
        {SYNC_COMMITTED, SYNC_DELETE, NULL},
        {SYNC_COMMITTED, SYNC_UNDO_FAILOVER, "nothing follows a commit"},
        {SYNC_DELETING, SYNC_DELETE, NULL},
        {SYNC_DELETING, SYNC_RUN, "sync delete web"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = ERR_INIT;
        int r = sync_allowed("web", cases[i].s, cases[i].c, &e);

        if (cases[i].instead ? r == 0 || !strstr(e.msg, cases[i].instead) : r < 0)
            fail_msg("%s in %s: %s", sync_command_name(cases[i].c),
                     sync_state_name(cases[i].s), r == 0 ? "allowed" : e.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retention_table),
        cmocka_unit_test(test_retention_settles),
        cmocka_unit_test(test_rules_that_are_none_are_refused),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_every_refusal_says_what_to_do_and_names_the_sync),
        cmocka_unit_test(test_states_allow_what_they_should),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
