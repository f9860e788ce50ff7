/* The parts of a machine that need no machine: its description and QEMU's command line,
 * DHCP, the metadata service's HTTP, QMP. */
#include "base/auto.h"
#include "base/rand.h"
#include "base/str.h"
#include "lab/vm_args.h"
#include "lab/vm_dhcp.h"
#include "lab/vm_files.h"
#include "lab/vm_http.h"
#include "lab/vm_qmp.h"
#include "test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the description ---- */

static struct vm_disk disks[] = {
    {.volume_id = "vol-0aaaaaaaaaaaaaaa1", .path = "/nonexistent/data"},
    {.volume_id = "vol-0aaaaaaaaaaaaaaa0", .path = "/nonexistent/root", .is_root = true},
    {.volume_id = "vol-0aaaaaaaaaaaaaaa2", .path = "/nonexistent/ro", .read_only = true},
};

static struct vm_spec good_spec(void)
{
    return (struct vm_spec){.instance_id = "i-0123456789abcdef0",
                            .state_dir = "/nonexistent",
                            .instance_type = "m5.large",
                            .vcpus = 2,
                            .memory_bytes = 8ull << 30,
                            .disks = disks,
                            .n_disks = 3,
                            .mac = "02:00:00:ab:cd:ef",
                            .private_ip = "172.31.5.9",
                            .subnet_cidr = "172.31.0.0/20",
                            .hostname = "ip-172-31-5-9"};
}

static void test_spec_gives_the_lease(void **state)
{
    struct vm_spec spec = good_spec();
    struct dhcp_lease l;
    char text[INET_ADDRSTRLEN];

    assert_ok(vm_spec_check(&spec, &l, e));
    assert_int_equal(l.prefix_len, 20);
    assert_string_equal(inet_ntop(AF_INET, &l.router, text, sizeof text), "172.31.0.1");
    assert_string_equal(inet_ntop(AF_INET, &l.dns, text, sizeof text), "172.31.0.2");
    assert_memory_equal(l.mac, "\x02\x00\x00\xab\xcd\xef", 6);
    assert_string_equal(l.hostname, "ip-172-31-5-9");
}

#define REFUSES(field, value, text)                                                      \
    do {                                                                                 \
        struct vm_spec spec_ = good_spec();                                              \
        struct dhcp_lease l_;                                                            \
        spec_.field = (value);                                                           \
        assert_fails(vm_spec_check(&spec_, &l_, e), ERR_USAGE, text);                    \
    } while (0)

static void test_specs_that_cannot_be_right_are_refused(void **state)
{
    REFUSES(instance_id, "i-../../x", "is not an instance id");
    REFUSES(instance_id, NULL, "is not an instance id");
    REFUSES(instance_type, "m5,large", "is not an instance type");
    REFUSES(mac, "02:00:00:ab:cd", "is not a MAC address");
    REFUSES(mac, "01:00:00:ab:cd:ef", "is not a MAC address");
    REFUSES(mac, "02:00:00:ab:cd:eg", "is not a MAC address");
    REFUSES(mac, "02:00:00:ab:cd:ef,x", "is not a MAC address");
    REFUSES(subnet_cidr, "172.31.0.0", "is not a subnet");
    REFUSES(subnet_cidr, "172.31.0.0/8", "/16 to /28");
    REFUSES(subnet_cidr, "172.31.0.0/29", "/16 to /28");
    REFUSES(private_ip, "172.31.16.9", "not an address an instance may have");
    REFUSES(private_ip, "172.31.0.3", "not an address an instance may have");
    REFUSES(private_ip, "172.31.15.255", "not an address an instance may have");
    REFUSES(private_ip, "somewhere", "is not an IPv4 address");
    REFUSES(hostname, "a,b", "is not a host name");
    REFUSES(n_disks, 1, "0 root volumes");
}

static void test_too_many_disks_are_refused(void **state)
{
    struct vm_disk many[VM_MAX_DISKS + 1];
    struct vm_spec spec = good_spec();
    struct dhcp_lease l;

    for (size_t i = 0; i <= VM_MAX_DISKS; i++)
        many[i] = disks[i == 0];
    spec.disks = many;
    spec.n_disks = VM_MAX_DISKS + 1;
    assert_fails(vm_spec_check(&spec, &l, e), ERR_UNSUPPORTED, "slots for 27");
    spec.n_disks = VM_MAX_DISKS;
    assert_ok(vm_spec_check(&spec, &l, e));
}

static uint64_t memory_for(uint64_t wanted_mib, uint64_t free_mib, const char *limit)
{
    uint64_t bytes;

    assert_ok(vm_memory_for(wanted_mib << 20, free_mib << 20, limit, &bytes, e));
    return bytes >> 20;
}

static void test_memory_is_what_a_laptop_can_bear(void **state)
{
    uint64_t bytes;

    assert_int_equal(memory_for(512, 32768, NULL), 512);
    assert_int_equal(memory_for(8192, 32768, NULL), 1024);
    assert_int_equal(memory_for(8192, 32768, "3G"), 3072);
    assert_int_equal(memory_for(8192, 2048, "3G"), 1024);
    assert_int_equal(memory_for(8192, 0, NULL), 128);
    assert_fails(vm_memory_for(1, 1, "much", &bytes, e), ERR_USAGE,
                 "HOTADD_LAB_MAX_MEMORY");
}

/* ---- the command line ---- */

static bool has(const struct vm_args *a, const char *text)
{
    for (size_t i = 0; a->v[i]; i++)
        if (strstr(a->v[i], text))
            return true;
    return false;
}

static struct vm_plan good_plan(struct dhcp_lease *l)
{
    struct vm_spec spec = good_spec();

    assert_ok(vm_spec_check(&spec, l, e));
    return (struct vm_plan){.sandbox = true,
                            .vcpus = 2,
                            .memory_bytes = 512u << 20,
                            .console_path = "/tmp/a,b/console.log",
                            .qmp_fd = 4,
                            .tap_fd = 5,
                            .lease = l};
}

static void test_machine_is_laid_out_as_nitro(void **state)
{
    struct vm_spec spec = good_spec();
    struct dhcp_lease l;
    struct vm_plan plan = good_plan(&l);
    auto_call(vm_args_release) struct vm_args a = {0};

    assert_ok(vm_args_build(&spec, &plan, &a, e));
    assert_string_equal(a.v[0], "qemu-system-x86_64");
    assert_true(has(&a, "serial=vol0aaaaaaaaaaaaaaa0,addr=04.0,bootindex=0"));
    assert_true(has(&a, "serial=vol0aaaaaaaaaaaaaaa1,addr=1f.0"));
    assert_true(has(&a, "serial=vol0aaaaaaaaaaaaaaa2,addr=1e.0"));
    assert_false(has(&a, "addr=1f.0,bootindex"));
    assert_true(has(&a, "e1000e,netdev=net0,mac=02:00:00:ab:cd:ef,addr=05.0"));
    assert_true(has(&a, "tap,id=net0,fd=5"));
    assert_true(has(&a, "manufacturer=Amazon EC2,product=m5.large,"
                        "serial=ec200000-0000-0000-1234-56789abcdef0"));
    assert_true(has(&a, "asset=i-0123456789abcdef0"));
    assert_true(has(&a, "/tmp/a,,b/console.log"));
    assert_true(has(&a, "tcg"));
    assert_false(has(&a, "pflash"));
    assert_true(has(&a, "-sandbox"));
}

static void test_uefi_and_kvm_and_user_network_are_choices(void **state)
{
    struct vm_spec spec = good_spec();
    struct dhcp_lease l;
    struct vm_plan plan = good_plan(&l);
    auto_call(vm_args_release) struct vm_args a = {0};

    plan.uefi_code = "/x/CODE.fd";
    plan.uefi_vars = "/x/VARS.fd";
    plan.kvm = true;
    plan.tap_fd = -1;
    plan.user_port = 4022;
    plan.sandbox = false;
    assert_ok(vm_args_build(&spec, &plan, &a, e));
    assert_true(has(&a, "pflash0=uefi-code,pflash1=uefi-vars"));
    assert_true(has(&a, "/x/VARS.fd"));
    assert_true(has(&a, "kvm"));
    assert_true(has(&a, "restrict=on"));
    assert_true(has(&a, "hostfwd=tcp:127.0.0.1:4022-172.31.5.9:22"));
    assert_false(has(&a, "tap,"));
    assert_false(has(&a, "-sandbox"));
}

static void test_ids_never_become_paths(void **state)
{
    struct err err = ERR_INIT;

    assert_null(vm_dir("/state", "i-0123/../../etc", &err));
    assert_int_equal(err.kind, ERR_USAGE);
    auto_free char *dir = vm_dir("/state", "i-0123456789abcdef0", &err);
    assert_string_equal(dir, "/state/run/i-0123456789abcdef0");
}

/* ---- DHCP ---- */

struct packet {
    uint8_t data[DHCP_PACKET_MAX];
    size_t len;
};

static void add_option(struct packet *p, uint8_t code, const void *data, uint8_t n)
{
    p->data[p->len++] = code;
    p->data[p->len++] = n;
    memcpy(p->data + p->len, data, n);
    p->len += n;
}

static struct packet question(const struct dhcp_lease *l, uint8_t type)
{
    struct packet p = {.len = 240};

    p.data[0] = 1;
    p.data[1] = 1;
    p.data[2] = 6;
    memcpy(p.data + 4, "\x12\x34\x56\x78", 4);
    memcpy(p.data + 28, l->mac, 6);
    memcpy(p.data + 236, "\x63\x82\x53\x63", 4);
    add_option(&p, 53, &type, 1);
    return p;
}

static struct packet finish(struct packet p)
{
    p.data[p.len++] = 255;
    return p;
}

static const uint8_t *option(const uint8_t *data, size_t len, uint8_t code)
{
    for (size_t at = 240; at + 1 < len && data[at] != 255; at += 2u + data[at + 1])
        if (data[at] == code)
            return data + at;
    return NULL;
}

struct dhcp_test {
    struct dhcp_lease l;
    uint8_t reply[DHCP_PACKET_MAX];
    size_t len;
    struct in_addr to;
};

static enum dhcp_answer ask(struct dhcp_test *t, struct packet p)
{
    return dhcp_answer(&t->l, p.data, p.len, t->reply, &t->len, &t->to);
}

static struct dhcp_test dhcp_test(void)
{
    struct dhcp_test t = {0};
    struct vm_spec spec = good_spec();

    assert_ok(vm_spec_check(&spec, &t.l, e));
    return t;
}

static void test_discover_is_offered_the_private_address(void **state)
{
    struct dhcp_test t = dhcp_test();
    const uint8_t *o;

    assert_int_equal(ask(&t, finish(question(&t.l, 1))), DHCP_OFFER);
    assert_true(t.len >= 300);
    assert_int_equal(t.reply[0], 2);
    assert_memory_equal(t.reply + 4, "\x12\x34\x56\x78", 4);
    assert_memory_equal(t.reply + 16, &t.l.address, 4);
    assert_int_equal(t.to.s_addr, htonl(INADDR_BROADCAST));
    o = option(t.reply, t.len, 53);
    assert_true(o && o[2] == 2);
    o = option(t.reply, t.len, 1);
    assert_true(o && memcmp(o + 2, "\xff\xff\xf0\x00", 4) == 0);
    o = option(t.reply, t.len, 3);
    assert_true(o && memcmp(o + 2, &t.l.router, 4) == 0);
    o = option(t.reply, t.len, 6);
    assert_true(o && memcmp(o + 2, &t.l.dns, 4) == 0);
    o = option(t.reply, t.len, 28);
    assert_true(o && memcmp(o + 2, "\xac\x1f\x0f\xff", 4) == 0);
}

static void test_request_of_the_own_address_is_acknowledged(void **state)
{
    struct dhcp_test t = dhcp_test();
    struct packet p = question(&t.l, 3);

    add_option(&p, 50, &t.l.address, 4);
    add_option(&p, 54, &t.l.router, 4);
    assert_int_equal(ask(&t, finish(p)), DHCP_ACK);
    assert_non_null(option(t.reply, t.len, 51));
}

static void test_renewal_is_answered_to_the_address(void **state)
{
    struct dhcp_test t = dhcp_test();
    struct packet p = question(&t.l, 3);

    memcpy(p.data + 12, &t.l.address, 4);
    assert_int_equal(ask(&t, finish(p)), DHCP_ACK);
    assert_int_equal(t.to.s_addr, t.l.address.s_addr);
}

static void test_address_of_another_network_is_refused(void **state)
{
    struct dhcp_test t = dhcp_test();
    struct packet p = question(&t.l, 3);

    add_option(&p, 50, "\xc0\xa8\x01\x05", 4);
    assert_int_equal(ask(&t, finish(p)), DHCP_NAK);
    assert_int_equal(t.to.s_addr, htonl(INADDR_BROADCAST));
    assert_memory_equal(t.reply + 16, "\0\0\0\0", 4);
}

static void test_dhcp_is_silent_to_others(void **state)
{
    struct dhcp_test t = dhcp_test();
    struct packet p = finish(question(&t.l, 1));

    p.data[28 + 5] ^= 1; /* another MAC address */
    assert_int_equal(ask(&t, p), DHCP_SILENT);
    p = question(&t.l, 3);
    add_option(&p, 54, "\xc0\xa8\x01\x01", 4); /* another server was chosen */
    add_option(&p, 50, &t.l.address, 4);
    assert_int_equal(ask(&t, finish(p)), DHCP_SILENT);
    p = finish(question(&t.l, 7)); /* release */
    assert_int_equal(ask(&t, p), DHCP_SILENT);
    p = question(&t.l, 1);
    p.data[p.len++] = 50; /* an option that runs over the end */
    p.data[p.len++] = 200;
    assert_int_equal(ask(&t, p), DHCP_SILENT);
    for (size_t n = 0; n < 243; n++) {
        p = finish(question(&t.l, 1));
        p.len = n;
        assert_int_equal(ask(&t, p), DHCP_SILENT);
    }
}

/* ---- HTTP ---- */

/* Parses a copy, byte for byte as long as the text. */
static int parse(const char *text, struct http_head *h, char **copy, struct err *e)
{
    *copy = strdup(text);
    return http_parse_head(*copy, strlen(text), h, e);
}

static void test_request_of_imds(void **state)
{
    static const char text[] =
        "PUT /latest/api/token HTTP/1.1\r\nHost: 169.254.169.254\r\n"
        "X-aws-ec2-metadata-token-ttl-seconds:  21600 \r\n"
        "Content-Length: 0\r\n\r\nrest";
    auto_free char *copy = NULL;
    struct http_head h;

    assert_ok(parse(text, &h, &copy, e));
    assert_string_equal(h.req.method, "PUT");
    assert_string_equal(h.req.path, "/latest/api/token");
    assert_int_equal(h.req.n_headers, 3);
    assert_string_equal(vm_imds_header(&h.req, "X-AWS-EC2-Metadata-Token-TTL-Seconds"),
                        "21600");
    assert_null(vm_imds_header(&h.req, "X-Forwarded-For"));
    assert_int_equal(h.head_len, strlen(text) - 4);
}

static void test_request_in_slices_is_parsed_at_its_end_only(void **state)
{
    static const char text[] = "GET / HTTP/1.0\nA: b\n\n";

    for (size_t n = 0; n < strlen(text); n++) {
        auto_free char *copy = strndup(text, n);
        struct http_head h;
        struct err e = ERR_INIT;

        assert_int_equal(http_parse_head(copy, n, &h, &e), 0);
        assert_memory_equal(copy, text, n);
    }
}

static void test_malformed_requests_are_refused(void **state)
{
    static const char *const bad[] = {
        "\r\n\r\n",
        "GET\r\n\r\n",
        "GET /\r\n\r\n",
        "GET x HTTP/1.1\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "G\x01T / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\n folded: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        auto_free char *copy = NULL;
        struct err e = ERR_INIT;
        struct http_head h;

        if (parse(bad[i], &h, &copy, &e) >= 0)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void test_endless_head_is_refused(void **state)
{
    auto_free char *text = malloc(HTTP_HEAD_MAX + 1);
    struct http_head h;

    memset(text, 'A', HTTP_HEAD_MAX);
    text[HTTP_HEAD_MAX] = 0;
    assert_fails(http_parse_head(text, HTTP_HEAD_MAX, &h, e), ERR_INPUT, "too long");
}

static void test_chunked_body_is_unsupported(void **state)
{
    auto_free char *copy = NULL;
    struct http_head h;

    assert_fails(
        parse("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", &h, &copy, e),
        ERR_UNSUPPORTED, "transfer codings");
}

/* ---- QMP ---- */

struct seen {
    enum qmp_event events[16];
    size_t n;
};

static void note(void *ctx, enum qmp_event event)
{
    struct seen *s = ctx;

    assert_true(s->n < 16);
    s->events[s->n++] = event;
}

static void test_qmp_greets_and_reports_events(void **state)
{
    static const char said[] =
        "{\"QMP\": {}}\r\n{\"return\": {}}\r\n{\"event\": \"RESET\", \"data\": {}}\r\n"
        "{\"error\": {\"desc\": \"no\"}}\r\n{\"event\": \"SHUTDOWN\"}\r\n";
    struct qmp q = {.fd = -1, .who = "test"};
    struct seen s = {0};
    char got[128];
    int pair[2];
    ssize_t n;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    q.fd = pair[0];
    /* Byte by byte: lines need not come whole. */
    for (size_t i = 0; i < strlen(said); i++) {
        assert_int_equal(write(pair[1], said + i, 1), 1);
        assert_ok(qmp_read(&q, note, &s, e));
    }
    assert_int_equal(s.n, 3);
    assert_int_equal(s.events[0], QMP_READY);
    assert_int_equal(s.events[1], QMP_RESET);
    assert_int_equal(s.events[2], QMP_SHUTDOWN);
    n = read(pair[1], got, sizeof got - 1);
    assert_true(n > 0);
    got[n] = 0;
    assert_string_equal(got, "{\"execute\": \"qmp_capabilities\"}\n");
    close(pair[1]);
    assert_fails(qmp_read(&q, note, &s, e), ERR_FAILED, "closed");
    qmp_release(&q);
}

static void test_qmp_nonsense_ends_the_talk(void **state)
{
    struct qmp q = {.who = "test"};
    struct seen s = {0};
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    q.fd = pair[0];
    assert_int_equal(write(pair[1], "hello\n", 6), 6);
    assert_fails(qmp_read(&q, note, &s, e), ERR_INPUT, "QMP");
    close(pair[1]);
    qmp_release(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spec_gives_the_lease),
        cmocka_unit_test(test_specs_that_cannot_be_right_are_refused),
        cmocka_unit_test(test_too_many_disks_are_refused),
        cmocka_unit_test(test_memory_is_what_a_laptop_can_bear),
        cmocka_unit_test(test_machine_is_laid_out_as_nitro),
        cmocka_unit_test(test_uefi_and_kvm_and_user_network_are_choices),
        cmocka_unit_test(test_ids_never_become_paths),
        cmocka_unit_test(test_discover_is_offered_the_private_address),
        cmocka_unit_test(test_request_of_the_own_address_is_acknowledged),
        cmocka_unit_test(test_renewal_is_answered_to_the_address),
        cmocka_unit_test(test_address_of_another_network_is_refused),
        cmocka_unit_test(test_dhcp_is_silent_to_others),
        cmocka_unit_test(test_request_of_imds),
        cmocka_unit_test(test_request_in_slices_is_parsed_at_its_end_only),
        cmocka_unit_test(test_malformed_requests_are_refused),
        cmocka_unit_test(test_endless_head_is_refused),
        cmocka_unit_test(test_chunked_body_is_unsupported),
        cmocka_unit_test(test_qmp_greets_and_reports_events),
        cmocka_unit_test(test_qmp_nonsense_ends_the_talk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
