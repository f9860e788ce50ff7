/* Parsing of what strangers send to the monitor. */
#include "test.h"

#include "base/auto.h"
#include "base/str.h"
#include "web/request.h"

static void split_fails(const char *path, const char *why)
{
    auto_strv struct strv v = {0};

    assert_fails(request_path_split(path, &v, e), ERR_INPUT, why);
    assert_int_equal(v.n, 0);
}

static void test_paths_are_split_and_decoded_once(void **state)
{
    auto_strv struct strv v = {0}, root = {0}, slash = {0};

    assert_ok(request_path_split("/api/v1/jobs/j%2D1%2541", &v, e));
    assert_int_equal(v.n, 4);
    assert_string_equal(v.v[3], "j-1%41"); /* not decoded again */
    assert_ok(request_path_split("/", &root, e));
    assert_int_equal(root.n, 0);
    assert_ok(request_path_split("/metrics/", &slash, e));
    assert_int_equal(slash.n, 1);
}

static void test_paths_that_lie_are_refused(void **state)
{
    char longer[REQUEST_MAX_PATH + 8];

    split_fails("", "slash");
    split_fails("api", "slash");
    split_fails("/a//b", "dotted");
    split_fails("/a/../b", "dotted");
    split_fails("/a/%2e%2e/b", "dotted");
    split_fails("/a%2fb", "slashed");
    split_fails("/a%5cb", "slashed");
    split_fails("/a%00b", "control");
    split_fails("/a%0ab", "control");
    split_fails("/a%", "cut off");
    split_fails("/a%4", "cut off");
    split_fails("/a%zz", "hex");
    split_fails("/1/2/3/4/5/6/7/8/9", "too many");
    memset(longer, 'a', sizeof longer);
    longer[0] = '/';
    longer[sizeof longer - 1] = 0;
    split_fails(longer, "too long");
}

static void test_parameters(void **state)
{
    auto_free char *v = NULL, *none = NULL, *empty = NULL;
    char *twice = NULL;
    uint64_t n;

    assert_ok(request_query_get("a=1&state=not+running%21&b", "state", &v, e));
    assert_string_equal(v, "not running!");
    assert_ok(request_query_get("astate=1&state2=2", "state", &none, e));
    assert_null(none);
    assert_ok(request_query_get("b&c=", "b", &empty, e));
    assert_string_equal(empty, "");
    assert_fails(request_query_get("a=1&a=2", "a", &twice, e), ERR_INPUT, "twice");
    assert_fails(request_query_get("a=%0d", "a", &twice, e), ERR_INPUT, "control");
    assert_null(twice);
    assert_ok(request_query_u64("max=7", "max", 5, 100, &n, e));
    assert_int_equal(n, 7);
    assert_ok(request_query_u64("", "max", 5, 100, &n, e));
    assert_int_equal(n, 5);
    assert_ok(request_query_u64("max=700", "max", 5, 100, &n, e));
    assert_int_equal(n, 100);
    assert_fails(request_query_u64("max=-1", "max", 5, 100, &n, e), ERR_INPUT, "max");
}

static const char *cookie(const char *header, char *out)
{
    auto_free char *v = NULL;

    assert_ok(request_cookie_get(header, "hotadd-session", &v, e));
    snprintf(out, 64, "%s", v ? v : "(none)");
    return out;
}

static void test_cookies(void **state)
{
    char out[64];

    assert_string_equal(cookie("hotadd-session=abc", out), "abc");
    assert_string_equal(cookie("a=b; hotadd-session=abc; c=d", out), "abc");
    assert_string_equal(cookie(NULL, out), "(none)");
    assert_string_equal(cookie("xhotadd-session=abc", out), "(none)");
    assert_string_equal(cookie("hotadd-session", out), "(none)");
    /* One of two was planted by somebody: neither counts. */
    assert_string_equal(cookie("hotadd-session=a; hotadd-session=b", out), "(none)");
}

static const char *host(const char *text, char *out)
{
    auto_free char *v = NULL;
    struct err e;

    snprintf(out, 64, "%s", request_host_split(text, &v, &e) < 0 ? "(bad)" : v);
    return out;
}

static void test_hosts(void **state)
{
    char out[64];

    assert_string_equal(host("LocalHost:8321", out), "localhost");
    assert_string_equal(host("127.0.0.1", out), "127.0.0.1");
    assert_string_equal(host("[::1]:80", out), "::1");
    assert_string_equal(host("[::1]", out), "::1");
    assert_string_equal(host("", out), "(bad)");
    assert_string_equal(host(":80", out), "(bad)");
    assert_string_equal(host("localhost:80:80", out), "(bad)");
    assert_string_equal(host("localhost@evil", out), "(bad)");
    assert_string_equal(host("localhost/evil", out), "(bad)");
    assert_string_equal(host("[::1", out), "(bad)");
    assert_string_equal(host("[::1]x", out), "(bad)");
    assert_string_equal(host("localhost:123456", out), "(bad)");
}

static void test_bearer(void **state)
{
    assert_string_equal(request_bearer("Bearer abc"), "abc");
    assert_string_equal(request_bearer("bearer  abc"), "abc");
    assert_null(request_bearer("Basic abc"));
    assert_null(request_bearer("Bearerabc"));
    assert_null(request_bearer(NULL));
}

static int json_of(const char *type, const char *text, struct err *e)
{
    struct buf b = BUF_INIT;
    struct request rq = {.content_type = type, .body = &b};
    json_t *o = NULL;
    int r;

    buf_adds(&b, text);
    r = request_json(&rq, &o, e);
    json_decref(o);
    buf_release(&b);
    return r;
}

static void test_bodies(void **state)
{
    assert_ok(json_of("application/json", "{\"a\": 1}", e));
    assert_ok(json_of("Application/JSON; charset=utf-8", "{}", e));
    /* What a form of another site can send without asking. */
    assert_fails(json_of("text/plain", "{}", e), ERR_INPUT, "application/json");
    assert_fails(json_of("application/jsonp", "{}", e), ERR_INPUT, "application/json");
    assert_fails(json_of(NULL, "{}", e), ERR_INPUT, "application/json");
    assert_fails(json_of("application/json", "[]", e), ERR_INPUT, "object");
    assert_fails(json_of("application/json", "{", e), ERR_INPUT, "body");
    assert_fails(json_of("application/json", "{\"a\":1,\"a\":2}", e), ERR_INPUT, "body");
}

static void test_names_cannot_become_options(void **state)
{
    assert_true(request_name_ok("j-20261122-7f3a"));
    assert_true(request_name_ok("web01.prod_2"));
    assert_false(request_name_ok(""));
    assert_false(request_name_ok("-x"));
    assert_false(request_name_ok("--done"));
    assert_false(request_name_ok(".hidden"));
    assert_false(request_name_ok("a b"));
    assert_false(request_name_ok("a;b"));
    assert_false(request_name_ok("<b>"));
}

static void test_methods(void **state)
{
    enum request_method m;

    assert_ok(request_method_parse("DELETE", &m, e));
    assert_int_equal(m, REQUEST_DELETE);
    assert_fails(request_method_parse("TRACE", &m, e), ERR_UNSUPPORTED, "TRACE");
    assert_fails(request_method_parse("get", &m, e), ERR_UNSUPPORTED, "get");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_are_split_and_decoded_once),
        cmocka_unit_test(test_paths_that_lie_are_refused),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_cookies),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_bearer),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_names_cannot_become_options),
        cmocka_unit_test(test_methods),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
