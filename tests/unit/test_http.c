#include "test.h"

#include "aws_env.h"

#include "aws/http.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/io.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

struct server {
    struct fake_script script;
    struct fake_http *fake;
    struct http *http;
};

static void serve(struct server *s, const struct fake_answer *answers, size_t n)
{
    s->script = (struct fake_script){answers, n};
    s->fake = fake_http_start(fake_script_handler, &s->script, NULL, NULL);
    assert_ok(http_new(NULL, NULL, &s->http, e));
}

static void stop(struct server *s)
{
    http_free(s->http);
    fake_http_stop(s->fake);
}

static struct http_request get(const char *url)
{
    return (struct http_request){.method = "GET",
                                 .url = url,
                                 .max_answer = 100000,
                                 .deadline_ns = clock_mono_ns() + 10 * NS_PER_S};
}

static void test_answer_has_status_headers_and_body(void **state)
{
    static const struct fake_answer a = {
        .status = 404, .body = "not here", .headers = "X-One: 1\nX-Two:  two words "};
    struct http_answer got = HTTP_ANSWER_INIT;
    struct server s;
    struct http_request r;
    char *v = NULL;
    bool sent;

    serve(&s, &a, 1);
    r = get(fake_http_url(s.fake));
    assert_ok(http_perform(s.http, &r, &got, &sent, e));
    assert_int_equal(got.status, 404);
    assert_string_equal(buf_str(&got.body), "not here");
    assert_ok(http_answer_header(&got, "x-two", &v, e));
    assert_string_equal(v, "two words");
    free(v);
    assert_ok(http_answer_header(&got, "x-three", &v, e));
    assert_null(v);
    assert_true(fake_has_header(fake_http_request(s.fake, 0), "user-agent", "hotadd/"));
    http_answer_release(&got);
    stop(&s);
}

static void test_post_and_put_send_their_bodies(void **state)
{
    static const struct fake_answer a = {.status = 200};
    static const char *const methods[] = {"POST", "PUT"};
    struct server s;
    bool sent;

    serve(&s, &a, 1);
    for (size_t i = 0; i < 2; i++) {
        struct http_answer got = HTTP_ANSWER_INIT;
        struct http_request r = get(fake_http_url(s.fake));

        r.method = methods[i];
        r.body = "a=b";
        r.body_len = 3;
        assert_ok(http_perform(s.http, &r, &got, &sent, e));
        assert_string_equal(fake_http_request(s.fake, i)->method, methods[i]);
        assert_string_equal(fake_http_request(s.fake, i)->body, "a=b");
        http_answer_release(&got);
    }
    stop(&s);
}

static void test_redirect_is_not_followed(void **state)
{
    static const struct fake_answer a = {.status = 302,
                                         .headers = "Location: http://127.0.0.1:1/"};
    struct http_answer got = HTTP_ANSWER_INIT;
    struct server s;
    struct http_request r;
    bool sent;

    serve(&s, &a, 1);
    r = get(fake_http_url(s.fake));
    assert_ok(http_perform(s.http, &r, &got, &sent, e));
    assert_int_equal(got.status, 302);
    assert_int_equal(fake_http_count(s.fake), 1);
    http_answer_release(&got);
    stop(&s);
}

static void test_too_large_an_answer_is_refused_early(void **state)
{
    static const struct fake_answer a[] = {
        {.status = 200, .endless = 10ull << 30},
        {.status = 200, .endless = 10ull << 30, .chunked = true}};
    struct server s;
    bool sent;

    serve(&s, a, 2);
    for (int i = 0; i < 2; i++) {
        struct http_answer got = HTTP_ANSWER_INIT;
        struct http_request r = get(fake_http_url(s.fake));
        uint64_t start_ns = clock_mono_ns();

        assert_fails(http_perform(s.http, &r, &got, &sent, e), ERR_INPUT,
                     "larger than 100000 bytes");
        assert_true(sent);
        assert_true(clock_mono_ns() - start_ns < 5 * NS_PER_S);
    }
    stop(&s);
}

static void test_lost_answer_may_have_been_sent(void **state)
{
    static const struct fake_answer a = {.status = 0};
    struct http_answer got = HTTP_ANSWER_INIT;
    struct server s;
    struct http_request r;
    bool sent = false;

    serve(&s, &a, 1);
    r = get(fake_http_url(s.fake));
    r.fresh = true;
    assert_fails(http_perform(s.http, &r, &got, &sent, e), ERR_NETWORK, "127.0.0.1");
    assert_true(sent);
    stop(&s);
}

static void test_refused_connection_was_not_sent(void **state)
{
    struct http_answer got = HTTP_ANSWER_INIT;
    struct http *http = NULL;
    struct http_request r = get("http://127.0.0.1:1/");
    bool sent = true;

    assert_ok(http_new(NULL, NULL, &http, e));
    assert_fails(http_perform(http, &r, &got, &sent, e), ERR_NETWORK, "127.0.0.1:1");
    assert_false(sent);
    http_free(http);
}

static void test_deadline_holds(void **state)
{
    static const struct fake_answer a = {.status = 200, .delay_ms = 3000};
    struct http_answer got = HTTP_ANSWER_INIT;
    struct server s;
    struct http_request r;
    uint64_t start_ns = clock_mono_ns();
    bool sent;

    serve(&s, &a, 1);
    r = get(fake_http_url(s.fake));
    r.deadline_ns = start_ns + 200 * NS_PER_MS;
    assert_fails(http_perform(s.http, &r, &got, &sent, e), ERR_TIMEOUT, "127.0.0.1");
    assert_true(clock_mono_ns() - start_ns < 2 * NS_PER_S);
    assert_true(sent);
    stop(&s);
}

static void *cancel_soon(void *arg)
{
    usleep(100000);
    cancel_request(arg);
    return NULL;
}

static void test_cancellation_ends_a_request_at_once(void **state)
{
    static const struct fake_answer a = {.status = 200, .delay_ms = 3000};
    struct fake_script script = {&a, 1};
    struct fake_http *fake = fake_http_start(fake_script_handler, &script, NULL, NULL);
    struct http_request r = get(fake_http_url(fake));
    struct http_answer got = HTTP_ANSWER_INIT;
    uint64_t start_ns = clock_mono_ns();
    struct cancel cancel;
    struct http *http = NULL;
    pthread_t t;
    bool sent;

    assert_ok(cancel_init(&cancel, e));
    assert_ok(http_new(NULL, &cancel, &http, e));
    pthread_create(&t, NULL, cancel_soon, &cancel);
    assert_fails(http_perform(http, &r, &got, &sent, e), ERR_CANCELLED, "interrupted");
    assert_true(clock_mono_ns() - start_ns < 2 * NS_PER_S);
    pthread_join(t, NULL);
    http_free(http);
    cancel_release(&cancel);
    fake_http_stop(fake);
}

static void test_plain_http_only_where_it_is_safe(void **state)
{
    static const char *const always[] = {
        "https://ec2.eu-west-1.amazonaws.com",
        "http://localhost:4566",
        "http://bucket.localhost:4566",
        "http://127.0.0.1",
        "http://127.9.8.7:1/x",
        "http://[::1]:80",
        "https://169.254.169.254",
    };
    static const char *const link_local[] = {
        "http://169.254.169.254", "http://169.254.170.2/v2/x", "http://[fd00:ec2::254]"};
    static const char *const never[] = {
        "http://ec2.eu-west-1.amazonaws.com",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "http://evillocalhost",
        "http://127.0.0.1.example.com",
        "http://[fd00:ec3::254]",
        "http://169.255.0.1",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "http://127.0.0.1@example.com",
        "http://",
        "example.com",
        "",
    };

    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        assert_ok(http_url_check(always[i], HTTP_PUBLIC, e));
    for (size_t i = 0; i < sizeof link_local / sizeof link_local[0]; i++) {
        assert_ok(http_url_check(link_local[i], HTTP_LINK_LOCAL, e));
        assert_fails(http_url_check(link_local[i], HTTP_PUBLIC, e), ERR_USAGE,
                     "loopback only");
    }
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        assert_fails(http_url_check(never[i], HTTP_PUBLIC, e), ERR_USAGE, "");
        assert_fails(http_url_check(never[i], HTTP_LINK_LOCAL, e), ERR_USAGE, "");
    }
}

static void test_user_info_is_not_repeated(void **state)
{
    struct err e = ERR_INIT;

    assert_int_equal(http_url_check("https://me:hunter2@host/", HTTP_PUBLIC, &e), -1);
    assert_null(strstr(e.msg, "hunter2"));
}

/* ---- TLS ---- */

struct tls {
    char dir[64];
    struct buf key, cert;
    char ca[128];
};

static bool make_certificate(struct tls *t)
{
    static const char script[] =
        "cd \"$1\" && exec 2>/dev/null >/dev/null && "
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 "
        "-subj /CN=test-authority && "
        "openssl req -newkey rsa:2048 -nodes -keyout key.pem -out req.pem -subj /CN=x && "
        "printf 'subjectAltName=IP:127.0.0.1' > ext && "
        "openssl x509 -req -in req.pem -CA ca.pem -CAkey ca.key -CAcreateserial "
        "-out cert.pem -days 2 -extfile ext";
    const char *argv[] = {"sh", "-c", script, "sh", t->dir, NULL};
    auto_buf struct buf out = BUF_INIT;
    char path[128];
    struct err failure;

    snprintf(t->dir, sizeof t->dir, "/tmp/hotadd-tls-XXXXXX");
    if (!mkdtemp(t->dir))
        return false;
    if (child_run(argv, 1000, &out, NULL, 60 * NS_PER_S, &failure) < 0)
        return false;
    snprintf(t->ca, sizeof t->ca, "%s/ca.pem", t->dir);
    snprintf(path, sizeof path, "%s/key.pem", t->dir);
    assert_ok(io_read_file(path, 100000, &t->key, e));
    snprintf(path, sizeof path, "%s/cert.pem", t->dir);
    assert_ok(io_read_file(path, 100000, &t->cert, e));
    return true;
}

static void test_certificates_are_verified(void **state)
{
    static const struct fake_answer a = {.status = 200, .body = "over tls"};
    struct fake_script script = {&a, 1};
    struct tls t = {0};
    struct http_answer got = HTTP_ANSWER_INIT;
    struct http *http = NULL;
    struct fake_http *fake;
    struct http_request r;
    struct err ignored;
    char url[128];
    bool sent;

    if (!make_certificate(&t)) {
        print_message("skipped: no openssl command to make a certificate with\n");
        if (io_remove_tree(t.dir, &ignored) < 0)
            print_message("%s\n", ignored.msg);
        skip();
    }
    fake = fake_http_start(fake_script_handler, &script, t.key.data, t.cert.data);
    r = get(fake_http_url(fake));

    assert_ok(http_new(t.ca, NULL, &http, e));
    assert_ok(http_perform(http, &r, &got, &sent, e));
    assert_string_equal(buf_str(&got.body), "over tls");
    http_answer_release(&got);
    /* Right authority, other name. */
    snprintf(url, sizeof url, "https://localhost%s", strrchr(fake_http_url(fake), ':'));
    r.url = url;
    assert_fails(http_perform(http, &r, &got, &sent, e), ERR_NETWORK, "not trusted");
    assert_false(sent);
    http_free(http);
    /* The system's authorities do not know this one. */
    assert_ok(http_new(NULL, NULL, &http, e));
    r.url = fake_http_url(fake);
    assert_fails(http_perform(http, &r, &got, &sent, e), ERR_NETWORK, "AWS_CA_BUNDLE");
    assert_false(sent);
    http_free(http);

    fake_http_stop(fake);
    buf_release(&t.key);
    buf_release(&t.cert);
    assert_ok(io_remove_tree(t.dir, e));
}

static void test_missing_ca_bundle_is_named(void **state)
{
    struct http *http = NULL;

    assert_fails(http_new("/nonexistent/ca.pem", NULL, &http, e), ERR_USAGE,
                 "/nonexistent/ca.pem");
}

/* ---- answers that do not say their length ---- */

struct raw {
    int fd;
    pthread_t thread;
    char url[64];
};

/* Answers one request and closes. */
static void *serve_raw(void *arg)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello";
    struct raw *s = arg;
    char request[4096];
    int c = accept(s->fd, NULL, NULL);

    if (c >= 0 && read(c, request, sizeof request) > 0)
        io_write_best_effort(c, answer, sizeof answer - 1);
    close(c);
    return NULL;
}

static void raw_start(struct raw *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(s->fd, 1), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &len), 0);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u/", ntohs(at.sin_port));
    assert_int_equal(pthread_create(&s->thread, NULL, serve_raw, s), 0);
}

static void test_what_does_not_say_its_length_may_be_cut_off(void **state)
{
    struct http *http = NULL;
    bool sent;

    assert_ok(http_new(NULL, NULL, &http, e));
    for (int sized = 0; sized < 2; sized++) {
        struct http_answer got = HTTP_ANSWER_INIT;
        struct raw server;
        struct http_request r;

        raw_start(&server);
        r = get(server.url);
        r.sized = sized;
        if (sized)
            assert_fails(http_perform(http, &r, &got, &sent, e), ERR_NETWORK,
                         "does not say how long it is");
        else
            assert_ok(http_perform(http, &r, &got, &sent, e));
        assert_string_equal(buf_str(&got.body), sized ? "" : "hello");
        http_answer_release(&got);
        pthread_join(server.thread, NULL);
        close(server.fd);
    }
    http_free(http);
}

static void test_an_answer_goes_where_it_is_wanted(void **state)
{
    static const struct fake_answer a[] = {{.status = 200, .body = "hello"},
                                           {.status = 404, .body = "not here"},
                                           {.status = 200, .body = "too long"}};
    struct server s;
    struct http_request r;
    bool sent;

    serve(&s, a, 3);
    for (size_t i = 0; i < 3; i++) {
        struct http_answer got = HTTP_ANSWER_INIT;
        char into[6] = "......";

        r = get(fake_http_url(s.fake));
        r.into = into;
        r.into_len = 5;
        if (i == 2)
            assert_fails(http_perform(s.http, &r, &got, &sent, e), ERR_INPUT,
                         "larger than 5 bytes");
        else
            assert_ok(http_perform(s.http, &r, &got, &sent, e));
        assert_int_equal(into[5], '.');
        assert_int_equal(got.into_len, i == 0 ? 5 : 0);
        if (i == 0)
            assert_memory_equal(into, "hello", 5);
        assert_string_equal(buf_str(&got.body), i == 1 ? "not here" : "");
        http_answer_release(&got);
    }
    stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_does_not_say_its_length_may_be_cut_off),
        cmocka_unit_test(test_an_answer_goes_where_it_is_wanted),
        cmocka_unit_test(test_answer_has_status_headers_and_body),
        cmocka_unit_test(test_post_and_put_send_their_bodies),
        cmocka_unit_test(test_redirect_is_not_followed),
        cmocka_unit_test(test_too_large_an_answer_is_refused_early),
        cmocka_unit_test(test_lost_answer_may_have_been_sent),
        cmocka_unit_test(test_refused_connection_was_not_sent),
        cmocka_unit_test(test_deadline_holds),
        cmocka_unit_test(test_cancellation_ends_a_request_at_once),
        cmocka_unit_test(test_plain_http_only_where_it_is_safe),
        cmocka_unit_test(test_user_info_is_not_repeated),
        cmocka_unit_test(test_certificates_are_verified),
        cmocka_unit_test(test_missing_ca_bundle_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
