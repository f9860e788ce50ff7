/* A machine's private network without a machine: sockets of the namespace, the metadata
 * service end to end, isolation, and the supervisor's care for its child. Skips where the
 * kernel grants no namespace. */
#include "base/auto.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "lab/netns.h"
#include "lab/vm_conn.h"
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    struct netns ns;
    int qmp[2];
    struct imds_set imds;
    char seen[128]; /* the last request: instance, method, path, one header */
    bool hang_up, fail;
};

static int answer(void *ctx, const struct vm_imds_request *req,
                  struct vm_imds_reply *reply, struct err *e)
{
    struct fixture *f = ctx;
    const char *token = vm_imds_header(req, "x-aws-ec2-metadata-token");

    snprintf(f->seen, sizeof f->seen, "%s %s %s %s", req->instance_id, req->method,
             req->path, token ? token : "-");
    reply->close_unanswered = f->hang_up;
    if (f->fail)
        return err_set(e, ERR_FAILED, "on purpose");
    buf_adds(&reply->headers, "Content-Type: text/plain\r\n");
    buf_adds(&reply->body, "i-0123456789abcdef0");
    return 0;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct netns_config config = {.prefix_len = 20};

    inet_pton(AF_INET, "172.31.0.1", &config.router);
    inet_pton(AF_INET, "172.31.0.2", &config.dns);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->qmp), 0);
    assert_ok(netns_open(&config, f->qmp[1], &f->ns, e));
    f->imds = (struct imds_set){.listen_fd = f->ns.imds_fd,
                                .instance_id = "i-0123456789abcdef0",
                                .imds = {.answer = answer, .ctx = f}};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    imds_release(&f->imds);
    netns_close(&f->ns);
    close(f->qmp[0]);
    close(f->qmp[1]);
    free(f);
    return 0;
}

static void need_network(const struct fixture *f)
{
    if (f->ns.dhcp_fd >= 0)
        return;
    printf("# %s\n", f->ns.why_no_network);
    skip();
}

static int connect_inside(struct fixture *f, const char *ip, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct err err = ERR_INIT;
    int fd = netns_socket(&f->ns, &err);

    assert_true(fd >= 0);
    inet_pton(AF_INET, ip, &to.sin_addr);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
        int saved = errno;

        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* Drives the service until the other end of fd has had its say; what it said. */
static void serve(struct fixture *f, int fd, struct buf *out)
{
    uint64_t deadline_ns = clock_mono_ns() + 10 * NS_PER_S;
    bool ended = false;

    while (!ended && clock_mono_ns() < deadline_ns) {
        struct pollfd p[1 + CONN_POLL_MAX];
        size_t n = imds_poll(&f->imds, p);
        char data[512];
        ssize_t got;

        p[n] = (struct pollfd){.fd = fd, .events = POLLIN};
        assert_true(poll(p, n + 1, 1000) >= 0);
        imds_serve(&f->imds, p);
        if (!p[n].revents)
            continue;
        got = read(fd, data, sizeof data);
        if (got > 0)
            buf_add(out, data, (size_t)got);
        ended = got <= 0;
    }
    assert_true(ended);
}

static void ask(struct fixture *f, const char *request, struct buf *out)
{
    auto_fd int fd = connect_inside(f, "169.254.169.254", 80);

    assert_true(fd >= 0);
    assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
    serve(f, fd, out);
}

static void test_metadata_is_answered_inside(void **state)
{
    struct fixture *f = *state;
    auto_buf struct buf out = BUF_INIT;

    need_network(f);
    ask(f,
        "GET /latest/meta-data/instance-id HTTP/1.1\r\nHost: x\r\n"
        "X-aws-ec2-metadata-token: abc=\r\n\r\n",
        &out);
    assert_string_equal(f->seen, "i-0123456789abcdef0 GET "
                                 "/latest/meta-data/instance-id abc=");
    assert_true(str_starts(buf_str(&out), "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(buf_str(&out), "Content-Type: text/plain\r\n"));
    assert_non_null(strstr(buf_str(&out), "Content-Length: 19\r\n"));
    assert_true(str_ends(buf_str(&out), "\r\n\r\ni-0123456789abcdef0"));
    assert_true(f->imds.asked);
}

static void test_malformed_request_is_a_400(void **state)
{
    struct fixture *f = *state;
    auto_buf struct buf out = BUF_INIT;

    need_network(f);
    ask(f, "nonsense\r\n\r\n", &out);
    assert_true(str_starts(buf_str(&out), "HTTP/1.1 400 "));
    assert_string_equal(f->seen, "");
}

static void test_failing_callback_is_a_500(void **state)
{
    struct fixture *f = *state;
    auto_buf struct buf out = BUF_INIT;

    need_network(f);
    f->fail = true;
    ask(f, "GET / HTTP/1.1\r\n\r\n", &out);
    assert_true(str_starts(buf_str(&out), "HTTP/1.1 500 "));
    assert_null(strstr(buf_str(&out), "on purpose"));
}

static void test_switched_off_service_hangs_up(void **state)
{
    struct fixture *f = *state;
    auto_buf struct buf out = BUF_INIT;

    need_network(f);
    f->hang_up = true;
    ask(f, "GET / HTTP/1.1\r\n\r\n", &out);
    assert_int_equal(out.len, 0);
}

static void test_idle_connections_do_not_lock_others_out(void **state)
{
    struct fixture *f = *state;
    auto_buf struct buf out = BUF_INIT;
    int idle[CONN_MAX + 4];

    need_network(f);
    for (size_t i = 0; i < CONN_MAX + 4; i++) {
        struct pollfd p[CONN_POLL_MAX];

        idle[i] = connect_inside(f, "169.254.169.254", 80);
        assert_true(idle[i] >= 0);
        poll(p, imds_poll(&f->imds, p), 100);
        imds_serve(&f->imds, p);
    }
    ask(f, "GET / HTTP/1.1\r\n\r\n", &out);
    assert_true(str_starts(buf_str(&out), "HTTP/1.1 200 "));
    for (size_t i = 0; i < CONN_MAX + 4; i++)
        close(idle[i]);
}

static int connect_error(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t len = sizeof error;

    if (fd < 0)
        return errno;
    poll(&p, 1, 3000);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return error;
}

/* A service of the host, on loopback, that the namespace must not see; and the world. */
static void test_namespace_has_no_way_out(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    auto_fd int host = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof sin;

    need_network(f);
    assert_int_equal(bind(host, (struct sockaddr *)&sin, sizeof sin), 0);
    assert_int_equal(listen(host, 1), 0);
    assert_int_equal(getsockname(host, (struct sockaddr *)&sin, &len), 0);
    auto_fd int local = connect_inside(f, "127.0.0.1", ntohs(sin.sin_port));
    assert_int_equal(connect_error(local), ECONNREFUSED);
    errno = 0;
    auto_fd int world = connect_inside(f, "192.0.2.1", 80);
    assert_int_equal(connect_error(world), ENETUNREACH);
    auto_fd int dns = connect_inside(f, "172.31.0.2", 53);
    assert_int_equal(connect_error(dns), ECONNREFUSED);
}

/* A reader of the descriptor that QEMU would have: its end shows the process's end. */
static pid_t run_sleeper(struct fixture *f)
{
    const char *const argv[] = {"sleep", "300", NULL};

    assert_ok(netns_run(&f->ns, argv, e));
    return f->ns.qemu_pid;
}

static void wait_gone(pid_t pid)
{
    for (int i = 0; kill(pid, 0) == 0; i++) {
        struct timespec ts = {.tv_nsec = 20 * 1000 * 1000};

        assert_true(i < 500);
        nanosleep(&ts, NULL);
    }
}

static void test_child_dies_with_the_control_socket(void **state)
{
    struct fixture *f = *state;
    pid_t pid = run_sleeper(f);

    assert_int_equal(kill(pid, 0), 0);
    netns_close(&f->ns);
    wait_gone(pid);
}

static void test_child_dies_with_its_supervisor(void **state)
{
    struct fixture *f = *state;
    pid_t pid = run_sleeper(f);

    assert_int_equal(kill(f->ns.child.pid, SIGKILL), 0);
    wait_gone(pid);
    for (int i = 0; !f->ns.ended && i < 100; i++)
        netns_check(&f->ns);
    assert_true(f->ns.ended);
}

static void test_end_of_the_child_is_told(void **state)
{
    struct fixture *f = *state;
    const char *const argv[] = {"sh", "-c", "exit 7", NULL};
    struct pollfd p = {.fd = f->ns.control_fd, .events = POLLIN};

    assert_ok(netns_run(&f->ns, argv, e));
    assert_int_equal(poll(&p, 1, 10000), 1);
    netns_check(&f->ns);
    assert_true(f->ns.ended);
    assert_true(WIFEXITED(f->ns.end_status));
    assert_int_equal(WEXITSTATUS(f->ns.end_status), 7);
}

/* Neither capabilities nor descriptors beyond its own reach what runs inside. */
static void test_child_is_given_little(void **state)
{
    struct fixture *f = *state;
    const char *const argv[] = {
        "sh", "-c",
        "grep -h -e CapEff -e NoNewPrivs /proc/self/status >&2; ls /proc/$$/fd >&2",
        NULL};
    auto_buf struct buf out = BUF_INIT;

    assert_ok(netns_run(&f->ns, argv, e));
    for (;;) {
        char data[512];
        ssize_t n = read(f->ns.child.stderr_fd, data, sizeof data);

        if (n <= 0)
            break;
        buf_add(&out, data, (size_t)n);
    }
    assert_non_null(strstr(buf_str(&out), "NoNewPrivs:\t1"));
    assert_true(strstr(buf_str(&out), "CapEff:\t0000000000000000") ||
                strstr(buf_str(&out), "CapEff:\t0000000000000002"));
    assert_non_null(strstr(buf_str(&out), "\n4\n"));
    assert_null(strstr(buf_str(&out), "\n3\n"));
    assert_null(strstr(buf_str(&out), "\n6\n"));
}

/* The same as an ordinary user, in a user namespace: the way most people run it. */
static void test_network_needs_no_root(void **state)
{
    pid_t pid;
    int status;

    if (geteuid() != 0)
        skip();
    pid = fork();
    if (pid == 0) {
        struct netns_config config = {.prefix_len = 20};
        struct netns ns = NETNS_INIT;
        struct err e = ERR_INIT;
        int r, fd;

        inet_pton(AF_INET, "10.0.0.1", &config.router);
        inet_pton(AF_INET, "10.0.0.2", &config.dns);
        if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
            _exit(2);
        r = netns_open(&config, 0, &ns, &e);
        if (r < 0)
            fprintf(stderr, "# %s\n", e.msg);
        else if (ns.dhcp_fd < 0)
            fprintf(stderr, "# %s\n", ns.why_no_network);
        fd = r == 0 && ns.dhcp_fd >= 0 ? netns_socket(&ns, &e) : -1;
        _exit(r < 0 ? 1 : ns.dhcp_fd < 0 ? 77 : fd >= 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_metadata_is_answered_inside),
        CASE(test_malformed_request_is_a_400),
        CASE(test_failing_callback_is_a_500),
        CASE(test_switched_off_service_hangs_up),
        CASE(test_idle_connections_do_not_lock_others_out),
        CASE(test_namespace_has_no_way_out),
        CASE(test_child_dies_with_the_control_socket),
        CASE(test_child_dies_with_its_supervisor),
        CASE(test_end_of_the_child_is_told),
        CASE(test_child_is_given_little),
        cmocka_unit_test(test_network_needs_no_root),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
