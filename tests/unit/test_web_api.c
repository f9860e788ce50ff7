/* What each path answers, and to whom: requests in, replies out, without sockets. */
#include "journal_test.h"

#include "base/json.h"
#include "base/str.h"
#include "web/api.h"

#define TOKEN "0123456789abcdef0123456789abcdef"
#define AUTH  "Bearer " TOKEN

struct fixture {
    struct journal_dir d;
    char token_file[128], program[128], said[128];
    struct journal *j;
    struct web_options o;
    struct api api;
    struct reply rp;
};

static void write_file(const char *path, const char *text, mode_t mode)
{
    assert_ok(io_write_file_atomic(path, text, strlen(text), mode, e));
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    auto_strv struct strv hosts = {0};
    struct feed_options fo;
    char script[400];

    journal_dir_make(&f->d);
    assert_ok(journal_open(f->d.path, &f->j, e));
    snprintf(f->token_file, sizeof f->token_file, "%s/token", f->d.dir);
    snprintf(f->program, sizeof f->program, "%s/hotadd", f->d.dir);
    snprintf(f->said, sizeof f->said, "%s/said", f->d.dir);
    write_file(f->token_file, TOKEN "\n", 0600);
    /* Stands for hotadd: notes its words, a line each. */
    snprintf(script, sizeof script,
             "#!/bin/sh\nprintf '%%s\\n' \"$@\" >%s.new\nmv %s.new %s\n"
             "echo 'no such thing' >&2\nexit 3\n",
             f->said, f->said, f->said);
    write_file(f->program, script, 0700);
    f->o = (struct web_options){.journal_path = f->d.path, .program = f->program};
    f->api.o = &f->o;
    f->api.tail = "";
    assert_ok(strv_add(&hosts, "localhost", e));
    assert_ok(auth_init(&f->api.auth, AUTH_TOKEN_FILE, f->token_file, &hosts, e));
    assert_ok(actions_new(f->program, f->d.path, &f->api.actions, e));
    fo = (struct feed_options){.journal_path = f->d.path, .tail = "", .hello = "{}"};
    assert_ok(feed_start(&fo, &f->api.feed, e));
    *state = f;
    return 0;
}

static void reply_reset(struct fixture *f)
{
    buf_release(&f->rp.body);
    free(f->rp.cookie);
    if (f->rp.stream)
        feed_leave(f->rp.stream);
    memset(&f->rp, 0, sizeof f->rp);
}

/* An action outlives its monitor; it must not write into a directory being removed. */
static void wait_for_actions(struct fixture *f)
{
    bool running = true;

    while (running) {
        json_auto_t *ended = NULL, *list = NULL;
        json_t *action;
        size_t i;

        assert_ok(actions_reap(f->api.actions, &ended, e));
        assert_ok(actions_list(f->api.actions, &list, e));
        running = false;
        json_array_foreach (list, i, action)
            running |= str_eq(json_str_or(action, "state", ""), "running");
        if (running)
            usleep(5 * 1000);
    }
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    reply_reset(f);
    wait_for_actions(f);
    feed_stop(f->api.feed);
    actions_free(f->api.actions);
    api_release(&f->api);
    journal_close(f->j);
    journal_dir_remove(&f->d);
    free(f);
    return 0;
}

/* Asks with the right host and token, unless rq says otherwise; returns the status. */
static unsigned ask(struct fixture *f, struct request rq)
{
    static const struct buf nothing;

    if (!rq.host)
        rq.host = "localhost:8321";
    if (!rq.query)
        rq.query = "";
    if (!rq.body)
        rq.body = &nothing;
    reply_reset(f);
    f->rp.status = 500;
    api_handle(&f->api, &rq, &f->rp);
    return f->rp.status;
}

static unsigned get(struct fixture *f, const char *path)
{
    return ask(f, (struct request){.path = path, .authorization = AUTH});
}

static unsigned post(struct fixture *f, const char *path, const char *body,
                     const char *origin)
{
    auto_buf struct buf b = BUF_INIT;

    buf_adds(&b, body);
    return ask(f, (struct request){.method = REQUEST_POST,
                                   .path = path,
                                   .authorization = AUTH,
                                   .content_type = "application/json",
                                   .origin = origin,
                                   .body = &b});
}

static json_t *body_json(struct fixture *f)
{
    json_t *o = NULL;

    assert_ok(json_parse(buf_str(&f->rp.body), f->rp.body.len, "reply", &o, e));
    return o;
}

static void new_job(struct fixture *f, const char *title, struct job **ret)
{
    json_auto_t *params = json_pack("{s:s}", "source", "/srv/x.ova");

    assert_ok(job_create(f->j, "convert", title, params, ret, e));
}

/* ---- who may ---- */

static void test_nothing_is_told_without_the_token(void **state)
{
    static const char *const paths[] = {"/metrics",
                                        "/api/v1/about",
                                        "/api/v1/jobs",
                                        "/api/v1/jobs/j-1",
                                        "/api/v1/events",
                                        "/api/v1/stream",
                                        "/api/v1/syncs",
                                        "/api/v1/syncs/web1",
                                        "/api/v1/actions",
                                        "/api/v1/jobs/j-1/events",
                                        "/api/v1/jobs/j-1/console"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_int_equal(ask(f, (struct request){.path = paths[i]}), 401);
        assert_int_equal(
            ask(f, (struct request){.path = paths[i], .authorization = "Bearer wrong"}),
            401);
        assert_int_equal(
            ask(f, (struct request){.path = paths[i], .authorization = AUTH "0"}), 401);
        assert_int_equal(
            ask(f, (struct request){.path = paths[i], .cookie = AUTH_COOKIE "=" TOKEN}),
            401);
    }
    assert_int_equal(get(f, "/api/v1/jobs"), 200);
    assert_true(f->api.counts.wrong_tokens >= 20);
}

static void test_the_page_and_health_are_open_and_tell_nothing(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask(f, (struct request){.path = "/"}), 200);
    assert_non_null(memmem(f->rp.fixed, f->rp.fixed_len, "<!doctype html>", 15));
    assert_int_equal(ask(f, (struct request){.path = "/app.js"}), 200);
    assert_int_equal(ask(f, (struct request){.path = "/healthz", .host = "10.0.0.1"}),
                     200);
    assert_string_equal(buf_str(&f->rp.body), "ok\n");
}

static void test_other_names_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        ask(f,
            (struct request){.path = "/", .host = "evil.example", .authorization = AUTH}),
        421);
    assert_int_equal(ask(f, (struct request){.path = "/api/v1/jobs",
                                             .host = "localhost.evil.example",
                                             .authorization = AUTH}),
                     421);
    assert_int_equal(ask(f, (struct request){.path = "/", .host = "LOCALHOST"}), 200);
    assert_int_equal(f->api.counts.wrong_hosts, 2);
}

static void test_a_session_stands_for_the_token(void **state)
{
    struct fixture *f = *state;
    auto_free char *cookie = NULL;
    struct err e;

    assert_int_equal(post(f, "/api/v1/session", "{\"token\":\"wrong\"}", NULL), 401);
    assert_null(f->rp.cookie);
    assert_int_equal(post(f, "/api/v1/session", "{\"token\":\"" TOKEN "\"}", NULL), 204);
    assert_non_null(strstr(f->rp.cookie, "; HttpOnly; SameSite=Strict"));
    assert_null(strstr(f->rp.cookie, TOKEN));
    cookie = str_ndup(f->rp.cookie, strcspn(f->rp.cookie, ";"), &e);
    assert_int_equal(ask(f, (struct request){.path = "/api/v1/jobs", .cookie = cookie}),
                     200);
    cookie[strlen(cookie) - 1] ^= 1;
    assert_int_equal(ask(f, (struct request){.path = "/api/v1/jobs", .cookie = cookie}),
                     401);
    f->api.auth.tls = true;
    assert_int_equal(post(f, "/api/v1/session", "{\"token\":\"" TOKEN "\"}", NULL), 204);
    assert_non_null(strstr(f->rp.cookie, "; Secure"));
}

static void test_requests_of_other_sites_are_refused(void **state)
{
    struct fixture *f = *state;
    auto_job struct job *job = NULL;
    char path[100], body[100];
    auto_buf struct buf b = BUF_INIT;

    new_job(f, "vm", &job);
    snprintf(path, sizeof path, "/api/v1/jobs/%s/actions/undo", job_id(job));
    snprintf(body, sizeof body, "{\"confirm\":\"%s\"}", job_id(job));
    job_close(take_ptr(job));
    assert_int_equal(post(f, path, body, "http://evil.example"), 403);
    assert_int_equal(post(f, path, body, "null"), 403);
    assert_int_equal(post(f, path, body, "https://localhost:8321"), 403);
    assert_int_equal(post(f, path, body, "http://localhost:9999"), 403);
    buf_adds(&b, body);
    assert_int_equal(ask(f, (struct request){.method = REQUEST_POST,
                                             .path = path,
                                             .authorization = AUTH,
                                             .content_type = "application/json",
                                             .fetch_site = "cross-site",
                                             .body = &b}),
                     403);
    assert_int_equal(post(f, path, body, "http://localhost:8321"), 202);
}

static void test_a_read_only_monitor_starts_nothing(void **state)
{
    struct fixture *f = *state;

    f->o.read_only = true;
    assert_int_equal(
        post(f, "/api/v1/jobs/j-1/actions/undo", "{\"confirm\":\"j-1\"}", NULL), 403);
    assert_int_equal(access(f->said, F_OK), -1);
}

static void token_file_refused(const char *file, mode_t mode, const char *text,
                               const char *why)
{
    struct auth a;

    write_file(file, text, mode);
    assert_fails(auth_init(&a, AUTH_TOKEN_FILE, file, NULL, e), ERR_USAGE, why);
}

static void test_token_files_must_be_private_and_long(void **state)
{
    struct fixture *f = *state;
    struct auth a;

    token_file_refused(f->token_file, 0640, TOKEN, "chmod 600");
    token_file_refused(f->token_file, 0604, TOKEN, "chmod 600");
    token_file_refused(f->token_file, 0600, "short", "32");
    token_file_refused(f->token_file, 0600, TOKEN "\n" TOKEN, "one line");
    token_file_refused(f->token_file, 0600, "", "32");
    assert_fails(auth_init(&a, AUTH_TOKEN_FILE, "/nonexistent/token", NULL, e), ERR_USAGE,
                 "/nonexistent/token");
}

/* ---- routing ---- */

static void test_paths_and_methods(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(get(f, "/api/v1/nothing"), 404);
    assert_int_equal(get(f, "/api/v1/jobs/a/b/c"), 404);
    assert_int_equal(get(f, "/etc/passwd"), 404);
    assert_int_equal(get(f, "/%2e%2e/etc/passwd"), 400);
    assert_int_equal(get(f, "/page/app.js"), 404);
    assert_int_equal(get(f, "/api/v1/jobs/%3Cscript%3E"), 404);
    assert_int_equal(post(f, "/api/v1/jobs", "{}", NULL), 405);
    assert_string_equal(f->rp.allow, "GET, HEAD");
    assert_int_equal(ask(f, (struct request){.method = REQUEST_HEAD,
                                             .path = "/api/v1/jobs",
                                             .authorization = AUTH}),
                     200);
    assert_int_equal(get(f, "/api/v1/jobs/j-20260101-0000"), 404);
    assert_non_null(strstr(buf_str(&f->rp.body), "j-20260101-0000"));
}

static void test_page_files_are_kept_by_browsers_while_they_are_the_same(void **state)
{
    struct fixture *f = *state;
    const char *etag;

    assert_int_equal(get(f, "/style.css"), 200);
    assert_string_equal(f->rp.type, "text/css; charset=utf-8");
    etag = f->rp.etag;
    assert_int_equal(
        ask(f, (struct request){.path = "/style.css", .if_none_match = etag}), 304);
    assert_int_equal(f->rp.fixed_len, 0);
}

/* ---- jobs ---- */

static int fails(struct job *job, void *ctx, struct err *e)
{
    return err_set(e, ERR_DENIED, "ec2:CreateVolume is not allowed");
}

static void run_failing(struct job *job)
{
    static const struct job_step steps[] = {{"create-volumes", fails}, {NULL, NULL}};
    static const struct job_resource_kind kinds[] = {{NULL, NULL}};
    static const struct job_flow flow = {
        .kind = "convert", .steps = steps, .resources = kinds};
    struct err e = ERR_INIT;

    assert_int_equal(job_run(job, &flow, NULL, NULL, &e), -1);
}

static void test_a_failed_job_says_what_mends_it(void **state)
{
    struct fixture *f = *state;
    auto_job struct job *job = NULL;
    json_auto_t *o = NULL;
    const json_t *p, *mend;
    char path[100], want[64];

    new_job(f, "web01", &job);
    run_failing(job);
    snprintf(path, sizeof path, "/api/v1/jobs/%s", job_id(job));
    assert_int_equal(get(f, path), 200);
    o = body_json(f);
    p = json_object_get(o, "problem");
    assert_string_equal(json_str_or(p, "what", ""), "failed");
    assert_string_equal(json_str_or(p, "step", ""), "create-volumes");
    assert_string_equal(json_str_or(p, "message", ""), "ec2:CreateVolume is not allowed");
    assert_non_null(strstr(json_str_or(p, "hint", ""), "hotadd-aws(7)"));
    mend = json_object_get(p, "mend");
    assert_int_equal(json_array_size(mend), 2);
    snprintf(want, sizeof want, "hotadd resume %s", job_id(job));
    assert_string_equal(json_str_or(json_array_get(mend, 0), "command", ""), want);
    snprintf(want, sizeof want, "hotadd undo %s", job_id(job));
    assert_string_equal(json_str_or(json_array_get(mend, 1), "command", ""), want);
}

static void test_lists_filter_and_are_short(void **state)
{
    struct fixture *f = *state;
    auto_job struct job *a = NULL, *b = NULL;
    json_auto_t *all = NULL, *failed = NULL, *one = NULL;

    new_job(f, "a", &a);
    new_job(f, "b", &b);
    run_failing(b);
    assert_int_equal(get(f, "/api/v1/jobs"), 200);
    all = body_json(f);
    assert_int_equal(json_array_size(json_object_get(all, "jobs")), 2);
    assert_null(
        json_object_get(json_array_get(json_object_get(all, "jobs"), 0), "params"));
    assert_int_equal(ask(f, (struct request){.path = "/api/v1/jobs",
                                             .query = "state=failed",
                                             .authorization = AUTH}),
                     200);
    failed = body_json(f);
    assert_int_equal(json_array_size(json_object_get(failed, "jobs")), 1);
    assert_int_equal(ask(f, (struct request){.path = "/api/v1/jobs",
                                             .query = "max=1",
                                             .authorization = AUTH}),
                     200);
    one = body_json(f);
    assert_string_equal(
        json_str_or(json_array_get(json_object_get(one, "jobs"), 0), "title", ""), "b");
    assert_int_equal(ask(f, (struct request){.path = "/api/v1/jobs",
                                             .query = "max=x",
                                             .authorization = AUTH}),
                     400);
}

static void test_evidence_is_told(void **state)
{
    struct fixture *f = *state;
    auto_job struct job *job = NULL;
    json_auto_t *result =
        json_pack("{s:s, s:s}", "instance_id", "i-1", "console", "web01 login:\n<b>");
    char path[100];

    new_job(f, "web01", &job);
    snprintf(path, sizeof path, "/api/v1/jobs/%s/console", job_id(job));
    assert_int_equal(get(f, path), 404);
    assert_ok(job_value_set(job, "result", result, e));
    assert_int_equal(get(f, path), 200);
    assert_string_equal(f->rp.type, "text/plain; charset=utf-8");
    assert_string_equal(buf_str(&f->rp.body), "web01 login:\n<b>");
}

/* ---- actions ---- */

static void wait_said(struct fixture *f, struct buf *b)
{
    struct err e;

    for (int i = 0; i < 500 && access(f->said, F_OK) < 0; i++)
        usleep(10 * 1000);
    if (io_read_file(f->said, 4096, b, &e) < 0)
        fail_msg("the action did not run: %s", e.msg);
}

static void test_an_action_wants_the_name_and_runs_hotadd(void **state)
{
    struct fixture *f = *state;
    auto_job struct job *job = NULL;
    auto_buf struct buf said = BUF_INIT;
    char path[100], body[100], want[300];

    new_job(f, "vm", &job);
    snprintf(path, sizeof path, "/api/v1/jobs/%s/actions/undo", job_id(job));
    snprintf(body, sizeof body, "{\"confirm\":\"%s\",\"done\":true}", job_id(job));
    snprintf(want, sizeof want, "undo\n%s\n--done\n--quiet\n--journal\n%s\n", job_id(job),
             f->d.path);
    assert_int_equal(post(f, path, "{}", NULL), 400);
    assert_int_equal(post(f, path, "{\"confirm\":\"j\"}", NULL), 400);
    assert_int_equal(post(f, path, body, NULL), 409); /* somebody works on it: we do */
    assert_int_equal(access(f->said, F_OK), -1);
    job_close(take_ptr(job));
    assert_int_equal(post(f, path, body, NULL), 202);
    wait_said(f, &said);
    assert_string_equal(buf_str(&said), want);
    assert_int_equal(post(f, "/api/v1/jobs/j-1/actions/explode", "{}", NULL), 404);
    assert_int_equal(post(f, "/api/v1/jobs/-x/actions/undo", "{}", NULL), 404);
}

static void test_what_an_action_said_is_kept(void **state)
{
    struct fixture *f = *state;
    auto_job struct job *job = NULL;
    json_auto_t *ended = NULL;
    char path[100], body[100];

    new_job(f, "vm", &job);
    snprintf(path, sizeof path, "/api/v1/jobs/%s/actions/resume", job_id(job));
    snprintf(body, sizeof body, "{\"confirm\":\"%s\"}", job_id(job));
    job_close(take_ptr(job));
    assert_int_equal(post(f, path, body, NULL), 202);
    for (int i = 0; i < 500 && !ended; i++) {
        assert_ok(actions_reap(f->api.actions, &ended, e));
        usleep(10 * 1000);
    }
    assert_non_null(ended);
    assert_string_equal(json_str_or(json_array_get(ended, 0), "state", ""), "failed");
    assert_string_equal(json_str_or(json_array_get(ended, 0), "exit", ""), "exit 3");
    assert_string_equal(json_str_or(json_array_get(ended, 0), "said", ""),
                        "no such thing\n");
    assert_int_equal(get(f, "/api/v1/actions"), 200);
    assert_non_null(strstr(buf_str(&f->rp.body), "no such thing"));
}

/* ---- syncs, as a table of functions gives them ---- */

static int fake_list(void *ctx, json_t **ret, struct err *e)
{
    *ret = json_pack("[{s:s, s:s, s:i, s:i, s:b, s:i}]", "name", "we\"b", "state",
                     "active", "lag_s", 90, "rpo_s", 60, "rpo_met", 0, "passes", 7);
    return *ret ? 0 : err_nomem(e);
}

static int fake_show(void *ctx, const char *name, json_t **ret, struct err *e)
{
    if (!str_eq(name, "web"))
        return err_set(e, ERR_NOT_FOUND, "there is no sync %s", name);
    *ret = json_pack("{s:s, s:s}", "name", "web", "state", "active");
    return *ret ? 0 : err_nomem(e);
}

static const struct web_syncs fake = {fake_list, fake_show, NULL};

static void test_syncs_pass_through(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(get(f, "/api/v1/syncs/web"), 404);
    assert_int_equal(get(f, "/api/v1/syncs"), 200);
    assert_string_equal(buf_str(&f->rp.body), "{\"syncs\":[]}\n");
    f->o.syncs = &fake;
    assert_int_equal(get(f, "/api/v1/syncs/web"), 200);
    assert_non_null(strstr(buf_str(&f->rp.body), "\"state\":\"active\""));
    assert_int_equal(get(f, "/api/v1/syncs/other"), 404);
}

static void set_screenshot(struct job *job, const char *base64)
{
    json_auto_t *evidence = json_pack("{s:s, s:s, s:b}", "console", "up",
                                      "screenshot_base64", base64, "booted", 1);

    assert_ok(job_value_set(job, "evidence", evidence, e));
}

static void test_pictures_have_addresses_and_are_pictures(void **state)
{
    struct fixture *f = *state;
    auto_job struct job *job = NULL;
    char path[100], picture[100];

    new_job(f, "web01", &job);
    snprintf(path, sizeof path, "/api/v1/jobs/%s", job_id(job));
    snprintf(picture, sizeof picture, "%s/screenshot", path);
    assert_int_equal(get(f, picture), 404);
    set_screenshot(job, "iVBORw0KGgoAAA==");
    assert_int_equal(get(f, path), 200);
    assert_non_null(strstr(buf_str(&f->rp.body), "\"screenshot\":true"));
    assert_null(strstr(buf_str(&f->rp.body), "iVBOR"));
    assert_int_equal(get(f, picture), 200);
    assert_string_equal(f->rp.type, "image/png");
    assert_int_equal(f->rp.body.len, 10);
    /* "<script>" is no picture, whatever its place says. */
    set_screenshot(job, "PHNjcmlwdD4=");
    assert_int_equal(get(f, picture), 404);
    snprintf(picture, sizeof picture, "%s/console", path);
    assert_int_equal(get(f, picture), 200);
    assert_string_equal(buf_str(&f->rp.body), "up");
}

static void test_failover_runs_the_command_with_checked_words(void **state)
{
    struct fixture *f = *state;
    auto_buf struct buf said = BUF_INIT;
    const char *path = "/api/v1/syncs/web/actions/failover";
    char want[300];

    f->o.syncs = &fake;
    assert_int_equal(post(f, path, "{\"confirm\":\"we\"}", NULL), 400);
    assert_int_equal(post(f, path, "{\"confirm\":\"web\",\"at\":\"--help\"}", NULL), 400);
    assert_int_equal(post(f, "/api/v1/syncs/web/actions/delete", "{}", NULL), 404);
    assert_int_equal(post(f, path,
                          "{\"confirm\":\"web\",\"at\":\"2026-11-26T05:00:00Z\","
                          "\"planned\":true}",
                          NULL),
                     202);
    wait_said(f, &said);
    snprintf(want, sizeof want,
             "sync\nfailover\nweb\n--at\n2026-11-26T05:00:00Z\n--planned\n--quiet\n"
             "--journal\n%s\n",
             f->d.path);
    assert_string_equal(buf_str(&said), want);
}

/* ---- metrics ---- */

static void test_metrics_escape_labels_and_follow_the_naming_rules(void **state)
{
    struct fixture *f = *state;
    auto_job struct job *job = NULL;
    char *save = NULL;

    f->o.syncs = &fake;
    new_job(f, "a\"b\\c\nd", &job);
    assert_ok(job_disk_size(job, 0, 1000, e));
    assert_int_equal(get(f, "/metrics"), 200);
    assert_string_equal(f->rp.type, "text/plain; version=0.0.4; charset=utf-8");
    assert_non_null(strstr(buf_str(&f->rp.body), "title=\"a\\\"b\\\\c\\nd\""));
    assert_non_null(strstr(buf_str(&f->rp.body), "hotadd_jobs{state=\"running\"} 1\n"));
    assert_non_null(
        strstr(buf_str(&f->rp.body), "hotadd_sync_lag_seconds{sync=\"we\\\"b\"} 90\n"));
    assert_non_null(
        strstr(buf_str(&f->rp.body), "hotadd_sync_rpo_met{sync=\"we\\\"b\"} 0\n"));
    assert_non_null(strstr(buf_str(&f->rp.body), "\"} 1000\n"));
    for (char *line = strtok_r(f->rp.body.data, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        char name[100], type[20];

        if (sscanf(line, "# TYPE %99s %19s", name, type) != 2)
            continue;
        assert_int_equal(str_ends(name, "_total"), str_eq(type, "counter"));
        assert_true(str_starts(name, "hotadd_"));
    }
}

#define API_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    log_setup("test", LOG_QUIET, LOG_TEXT);
    const struct CMUnitTest tests[] = {
        API_TEST(test_nothing_is_told_without_the_token),
        API_TEST(test_the_page_and_health_are_open_and_tell_nothing),
        API_TEST(test_other_names_are_refused),
        API_TEST(test_a_session_stands_for_the_token),
        API_TEST(test_requests_of_other_sites_are_refused),
        API_TEST(test_a_read_only_monitor_starts_nothing),
        API_TEST(test_token_files_must_be_private_and_long),
        API_TEST(test_paths_and_methods),
        API_TEST(test_page_files_are_kept_by_browsers_while_they_are_the_same),
        API_TEST(test_a_failed_job_says_what_mends_it),
        API_TEST(test_lists_filter_and_are_short),
        API_TEST(test_evidence_is_told),
        API_TEST(test_an_action_wants_the_name_and_runs_hotadd),
        API_TEST(test_what_an_action_said_is_kept),
        API_TEST(test_syncs_pass_through),
        API_TEST(test_pictures_have_addresses_and_are_pictures),
        API_TEST(test_failover_runs_the_command_with_checked_words),
        API_TEST(test_metrics_escape_labels_and_follow_the_naming_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
