/* The event stream: framing, what a client gets when it joins and comes back, and paces.
 */
#include "journal_test.h"

#include "base/clock.h"
#include "base/str.h"
#include "web/feed.h"
#include "web/sse.h"

static void test_no_text_can_forge_a_field(void **state)
{
    auto_buf struct buf b = BUF_INIT;

    sse_add(&b, "line", 7, "one\ntwo\r\nevent: evil\rdata: x");
    assert_string_equal(buf_str(&b), "event: line\nid: 7\ndata: one\ndata: two\n"
                                     "data: event: evil\ndata: data: x\n\n");
    buf_reset(&b);
    sse_add(&b, "hello", SSE_NO_ID, "");
    assert_string_equal(buf_str(&b), "event: hello\ndata: \n\n");
    assert_int_equal(sse_last_id("12"), 12);
    assert_true(sse_last_id(NULL) == SSE_NO_ID);
    assert_true(sse_last_id("") == SSE_NO_ID);
    assert_true(sse_last_id("-1") == SSE_NO_ID);
    assert_true(sse_last_id("1 OR 1") == SSE_NO_ID);
}

/* ---- pace ---- */

static void test_rate_and_eta_follow_the_last_samples(void **state)
{
    struct pace_meter m = {0};
    struct job_info i = {.state = JOB_RUNNING, .total_bytes = 100 << 20};
    struct pace p;

    /* Fast at first, then 1 MiB a second: only the window counts. */
    pace_note(&m, 0, 0);
    pace_note(&m, NS_PER_S, 50 << 20);
    for (uint64_t s = 60; s <= 80; s++)
        pace_note(&m, s * NS_PER_S, (s - 9) << 20);
    i.done_bytes = 71 << 20;
    p = pace_of(&m, &i, 80 * NS_PER_S, 80);
    assert_int_equal(p.bytes_per_s, 1 << 20);
    assert_int_equal(p.eta_s, 29);
    /* It stalls: the rate falls. */
    p = pace_of(&m, &i, 100 * NS_PER_S, 100);
    assert_int_equal(p.bytes_per_s, (20 << 20) / 40);
    i.state = JOB_FAILED;
    assert_true(pace_of(&m, &i, 80 * NS_PER_S, 80).bytes_per_s == PACE_UNKNOWN);
}

static void test_a_new_monitor_takes_the_mean_of_the_step(void **state)
{
    struct pace_meter m = {0};
    struct job_step_info step = {.state = JOB_STEP_RUNNING, .runs = 1, .started_s = 1000};
    struct job_info i = {.state = JOB_RUNNING,
                         .done_bytes = 100,
                         .total_bytes = 300,
                         .steps = {&step, 1, 1}};
    struct pace p;

    pace_note(&m, 5 * NS_PER_S, 100);
    p = pace_of(&m, &i, 5 * NS_PER_S, 1010);
    assert_int_equal(p.bytes_per_s, 10);
    assert_int_equal(p.eta_s, 20);
    step.runs = 2; /* an earlier run copied some of it */
    assert_true(pace_of(&m, &i, 5 * NS_PER_S, 1010).bytes_per_s == PACE_UNKNOWN);
}

static void test_a_meter_keeps_its_newest_samples(void **state)
{
    struct pace_meter m = {0};
    struct job_info i = {.state = JOB_RUNNING, .total_bytes = UINT64_MAX / 2};

    for (uint64_t s = 0; s < 500; s++)
        pace_note(&m, s * NS_PER_S, s * 10);
    i.done_bytes = 4990;
    assert_int_equal(pace_of(&m, &i, 499 * NS_PER_S, 0).bytes_per_s, 10);
    pace_note(&m, 500 * NS_PER_S, 0); /* another volume took the place of one */
    assert_int_equal(m.n, 1);
}

/* ---- the feed ---- */

struct fixture {
    struct journal_dir d;
    struct journal *j;
    struct feed *feed;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct feed_options o;

    journal_dir_make(&f->d);
    assert_ok(journal_open(f->d.path, &f->j, e));
    o = (struct feed_options){
        .journal_path = f->d.path, .tail = "", .hello = "{\"version\":\"1\"}"};
    assert_ok(feed_start(&o, &f->feed, e));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    feed_stop(f->feed);
    journal_close(f->j);
    journal_dir_remove(&f->d);
    free(f);
    return 0;
}

static void valve_count(void *ctx)
{
    ++*(int *)ctx;
}

/* A client and all that it was given. */
struct listener {
    struct feed_client *c;
    struct buf got;
    bool ended;
};

static void listener_join(struct fixture *f, struct listener *l, uint64_t last_id)
{
    memset(l, 0, sizeof *l);
    assert_ok(feed_join(f->feed, f->j, last_id, &l->c, e));
}

static void listener_read(struct listener *l)
{
    static struct feed_valve valve; /* the feed keeps its address while it is parked */
    static int counts[2];
    char chunk[100];
    ssize_t n;

    valve = (struct feed_valve){valve_count, valve_count, counts};
    while ((n = feed_read(l->c, chunk, sizeof chunk, &valve)) > 0)
        buf_add(&l->got, chunk, (size_t)n);
    l->ended = n < 0;
}

/* Until the text was given, at most five seconds. */
static bool listener_gets(struct listener *l, const char *text)
{
    for (int i = 0; i < 250; i++) {
        listener_read(l);
        if (strstr(buf_str(&l->got), text))
            return true;
        usleep(20 * 1000);
    }
    return false;
}

static void listener_leave(struct listener *l)
{
    feed_leave(l->c);
    buf_release(&l->got);
}

static void new_job(struct fixture *f, const char *title, struct job **ret)
{
    json_auto_t *params = json_pack("{s:s}", "source", "x");

    assert_ok(job_create(f->j, "convert", title, params, ret, e));
}

static void test_a_client_gets_the_picture_and_then_the_changes(void **state)
{
    struct fixture *f = *state;
    auto_job struct job *a = NULL, *b = NULL;
    struct listener l;

    new_job(f, "before", &a);
    listener_join(f, &l, SSE_NO_ID);
    listener_read(&l);
    assert_non_null(strstr(buf_str(&l.got), "event: hello\ndata: {\"version\":\"1\"}"));
    assert_true(listener_gets(&l, "\"title\":\"before\""));
    new_job(f, "after", &b);
    assert_true(listener_gets(&l, "event: job\ndata: {\"id\""));
    assert_true(listener_gets(&l, "\"title\":\"after\""));
    job_event(b, JOB_EVENT_WARNING, "a \"line\"\nof two");
    assert_true(listener_gets(&l, "\"message\":\"a \\\"line\\\"\\nof two\""));
    listener_leave(&l);
}

/* A file's name and a console's line can be any bytes: they must not end the stream. */
static void test_text_that_is_not_utf8_is_told_all_the_same(void **state)
{
    struct fixture *f = *state;
    auto_job struct job *job = NULL;
    struct listener l;

    listener_join(f, &l, SSE_NO_ID);
    new_job(f, "caf\xe9.ova", &job);
    assert_true(listener_gets(&l, "\"title\":\"caf?.ova\""));
    job_event(job, JOB_EVENT_INFO, "\xff login:");
    assert_true(listener_gets(&l, "\"message\":\"? login:\""));
    listener_leave(&l);
}

static void test_who_comes_back_misses_no_event_and_gets_none_twice(void **state)
{
    struct fixture *f = *state;
    auto_job struct job *job = NULL;
    struct listener first, again;
    const char *at;
    uint64_t id;

    new_job(f, "vm", &job);
    listener_join(f, &first, SSE_NO_ID);
    job_event(job, JOB_EVENT_INFO, "line one");
    assert_true(listener_gets(&first, "line one"));
    at = strstr(buf_str(&first.got), "\nid: ");
    assert_non_null(at);
    id = strtoull(at + 5, NULL, 10);
    listener_leave(&first);
    job_event(job, JOB_EVENT_INFO, "line two");
    job_event(job, JOB_EVENT_INFO, "line three");
    listener_join(f, &again, id);
    assert_true(listener_gets(&again, "line three"));
    assert_non_null(strstr(buf_str(&again.got), "line two"));
    assert_null(strstr(buf_str(&again.got), "line one"));
    at = strstr(buf_str(&again.got), "line three");
    assert_null(strstr(at + 1, "line three"));
    listener_leave(&again);
}

static void test_a_forgotten_job_is_taken_away(void **state)
{
    struct fixture *f = *state;
    static const struct job_step steps[] = {{NULL, NULL}};
    static const struct job_resource_kind kinds[] = {{NULL, NULL}};
    static const struct job_flow flow = {
        .kind = "convert", .steps = steps, .resources = kinds};
    struct job *job = NULL;
    char id[JOB_ID_LEN], want[80];
    struct listener l;

    new_job(f, "vm", &job);
    snprintf(id, sizeof id, "%s", job_id(job));
    assert_ok(job_run(job, &flow, NULL, NULL, e));
    job_close(job);
    listener_join(f, &l, SSE_NO_ID);
    assert_true(listener_gets(&l, "\"state\":\"done\""));
    assert_ok(journal_forget(f->j, id, e));
    snprintf(want, sizeof want, "event: job-removed\ndata: {\"id\":\"%s\"}", id);
    assert_true(listener_gets(&l, want));
    listener_leave(&l);
}

/* The death of a job's process is no commit; it must be seen all the same. */
static void test_a_dead_owner_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct job *job = NULL;
    struct listener l;

    new_job(f, "vm", &job);
    listener_join(f, &l, SSE_NO_ID);
    assert_true(listener_gets(&l, "\"state\":\"running\""));
    job_close(job);
    assert_true(listener_gets(&l, "\"state\":\"interrupted\""));
    assert_true(listener_gets(&l, "hotadd resume j-"));
    listener_leave(&l);
}

static void test_the_number_of_clients_is_limited(void **state)
{
    struct fixture *f = *state;
    struct feed_client *c[FEED_MAX_CLIENTS], *more;

    for (size_t i = 0; i < FEED_MAX_CLIENTS; i++)
        assert_ok(feed_join(f->feed, f->j, SSE_NO_ID, &c[i], e));
    assert_int_equal(feed_clients(f->feed), FEED_MAX_CLIENTS);
    assert_fails(feed_join(f->feed, f->j, SSE_NO_ID, &more, e), ERR_BUSY, "64");
    for (size_t i = 0; i < FEED_MAX_CLIENTS; i++)
        feed_leave(c[i]);
    assert_int_equal(feed_clients(f->feed), 0);
}

/* Its browser comes back and gets the picture anew. */
static void test_who_does_not_read_is_ended(void **state)
{
    struct fixture *f = *state;
    char *large = malloc(1 << 20);
    struct listener l;

    memset(large, 'x', (1 << 20) - 1);
    large[(1 << 20) - 1] = 0;
    listener_join(f, &l, SSE_NO_ID);
    for (int i = 0; i < 20; i++)
        feed_tell(f->feed, "action", large);
    listener_read(&l);
    assert_true(l.ended);
    listener_leave(&l);
    free(large);
}

static void test_the_end_reaches_every_client(void **state)
{
    struct fixture *f = *state;
    struct listener l;

    listener_join(f, &l, SSE_NO_ID);
    listener_read(&l);
    assert_false(l.ended);
    feed_close(f->feed);
    listener_read(&l);
    assert_true(l.ended);
    listener_leave(&l);
}

#define FEED_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    log_setup("test", LOG_QUIET, LOG_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_text_can_forge_a_field),
        cmocka_unit_test(test_rate_and_eta_follow_the_last_samples),
        cmocka_unit_test(test_a_new_monitor_takes_the_mean_of_the_step),
        cmocka_unit_test(test_a_meter_keeps_its_newest_samples),
        FEED_TEST(test_a_client_gets_the_picture_and_then_the_changes),
        FEED_TEST(test_text_that_is_not_utf8_is_told_all_the_same),
        FEED_TEST(test_who_comes_back_misses_no_event_and_gets_none_twice),
        FEED_TEST(test_a_forgotten_job_is_taken_away),
        FEED_TEST(test_a_dead_owner_is_noticed),
        FEED_TEST(test_the_number_of_clients_is_limited),
        FEED_TEST(test_who_does_not_read_is_ended),
        FEED_TEST(test_the_end_reaches_every_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
