/* A machine with a real Linux in it (tests/e2e/tiny-guest): what only a guest's network
 * driver, DHCP client and firmware can prove. Skips where the guest cannot be made. */
#include "base/auto.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "lab/vm.h"
#include "test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define INSTANCE "i-0123456789abcdef0"
#define TOKEN    "AQAEtoken=="
#define WAIT_S   400 /* beside other machines, without KVM */

struct fixture {
    char dir[64];
    char *root, *data;
    struct vm *vm;
    struct vm_disk disks[2];
    struct vm_spec spec;
    struct vm_imds imds;
    pthread_mutex_t lock; /* guards the rest, which the monitor thread writes */
    bool token_given;
    char asked[256]; /* paths asked with the token */
};

/* As much of IMDSv2 as the guest asks for. */
static int answer(void *ctx, const struct vm_imds_request *req,
                  struct vm_imds_reply *reply, struct err *e)
{
    struct fixture *f = ctx;
    const char *token = vm_imds_header(req, "x-aws-ec2-metadata-token");

    if (str_eq(req->method, "PUT") && str_eq(req->path, "/latest/api/token")) {
        f->token_given =
            vm_imds_header(req, "X-AWS-EC2-Metadata-Token-TTL-Seconds") != NULL;
        buf_adds(&reply->headers, "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 300\r\n");
        buf_adds(&reply->body, TOKEN);
        return 0;
    }
    if (!token || !str_eq(token, TOKEN)) {
        reply->status = 401;
        return 0;
    }
    pthread_mutex_lock(&f->lock);
    snprintf(f->asked + strlen(f->asked), sizeof f->asked - strlen(f->asked), "%s ",
             req->path);
    pthread_mutex_unlock(&f->lock);
    if (str_eq(req->path, "/latest/meta-data/instance-id"))
        buf_adds(&reply->body, req->instance_id);
    else
        reply->status = 404;
    return 0;
}

static int make_guest(const char *path, struct err *e)
{
    const char *script = getenv("HOTADD_TINY_GUEST");
    const char *argv[] = {script, path, NULL};
    auto_buf struct buf out = BUF_INIT;

    if (!script)
        return err_set(e, ERR_NOT_FOUND, "HOTADD_TINY_GUEST is not set");
    return child_run(argv, 65536, &out, NULL, 120 * NS_PER_S, e);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err err = ERR_INIT;

    snprintf(f->dir, sizeof f->dir, "/tmp/hotadd-test-guest-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    pthread_mutex_init(&f->lock, NULL);
    f->root = str_fmt(&err, "%s/root.raw", f->dir);
    f->data = str_fmt(&err, "%s/data.raw", f->dir);
    assert_ok(make_guest(f->root, e));
    assert_ok(io_write_file_atomic(f->data, "", 0, 0600, e));
    assert_int_equal(truncate(f->data, 8 << 20), 0);
    f->disks[0] = (struct vm_disk){
        .volume_id = "vol-0aaaaaaaaaaaaaaa1", .path = f->data, .read_only = true};
    f->disks[1] = (struct vm_disk){
        .volume_id = "vol-0aaaaaaaaaaaaaaa0", .path = f->root, .is_root = true};
    f->spec = (struct vm_spec){.instance_id = INSTANCE,
                               .state_dir = f->dir,
                               .instance_type = "m5.large",
                               .vcpus = 1,
                               .memory_bytes = 512u << 20,
                               .disks = f->disks,
                               .n_disks = 2,
                               .mac = "02:00:00:ab:cd:ef",
                               .private_ip = "172.31.5.9",
                               .subnet_cidr = "172.31.0.0/20",
                               .hostname = "ip-172-31-5-9"};
    f->imds = (struct vm_imds){.answer = answer, .ctx = f};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    vm_free(f->vm);
    assert_ok(io_remove_tree(f->dir, e));
    pthread_mutex_destroy(&f->lock);
    free(f->root);
    free(f->data);
    free(f);
    return 0;
}

/* Waits until the console holds the text that many times. */
static void wait_console(const struct fixture *f, const char *text, size_t times)
{
    uint64_t deadline_ns = clock_mono_ns() + WAIT_S * NS_PER_S;

    for (;;) {
        auto_buf struct buf b = BUF_INIT;
        struct timespec ts = {.tv_nsec = 200 * 1000 * 1000};
        size_t n = 0;

        assert_ok(vm_console(f->dir, INSTANCE, &b, e));
        for (const char *at = buf_str(&b); (at = strstr(at, text)); at += strlen(text))
            n++;
        if (n >= times)
            return;
        if (clock_mono_ns() > deadline_ns)
            fail_msg("\"%s\" not seen %zu times on the console:\n%s", text, times,
                     buf_str(&b));
        nanosleep(&ts, NULL);
    }
}

static void wait_health(struct fixture *f)
{
    uint64_t deadline_ns = clock_mono_ns() + WAIT_S * NS_PER_S;

    for (;;) {
        struct vm_health h = vm_health(f->vm);
        struct timespec ts = {.tv_nsec = 200 * 1000 * 1000};

        if (h.dhcp_lease && h.answers && h.service)
            return;
        if (clock_mono_ns() > deadline_ns)
            fail_msg("lease %d, answers %d, service %d", h.dhcp_lease, h.answers,
                     h.service);
        nanosleep(&ts, NULL);
    }
}

static void read_line(int fd, char *out, size_t out_len)
{
    size_t n = 0;

    while (n + 1 < out_len) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (poll(&p, 1, WAIT_S * 1000) != 1 || read(fd, out + n, 1) != 1 ||
            out[n++] == '\n')
            break;
    }
    out[n] = 0;
}

/* Through 127.0.0.1 to the guest's port 22: greeting, an echo, and the end passed on. */
static void check_relay(struct fixture *f)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(vm_ssh_port(f->vm)),
                             .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    auto_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char line[64];

    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    read_line(fd, line, sizeof line);
    assert_string_equal(line, "SSH-2.0-tiny_guest\r\n");
    assert_ok(io_write_full(fd, "hello guest\n", 12, "relay", e));
    read_line(fd, line, sizeof line);
    assert_string_equal(line, "hello guest\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    read_line(fd, line, sizeof line);
    assert_string_equal(line, "");
}

static void test_linux_on_bios_has_all_of_nitro(void **state)
{
    struct fixture *f = *state;

    assert_ok(vm_start(&f->spec, &f->imds, &f->vm, e));
    wait_console(f, "GRUB on pc", 1);
    wait_console(f, "serial=vol0aaaaaaaaaaaaaaa0 sectors=131072", 1);
    wait_console(f, "serial=vol0aaaaaaaaaaaaaaa1 sectors=16384", 1);
    wait_console(f, "tiny login:", 1);
    if (vm_network_note(f->vm)[0]) {
        printf("# %s\n", vm_network_note(f->vm));
        return;
    }
    wait_console(f, "address 172.31.5.9/20 router 172.31.0.1 dns 172.31.0.2", 1);
    wait_console(f, "instance-id " INSTANCE, 1);
    wait_health(f);
    assert_true(vm_health(f->vm).imds);
    assert_true(f->token_given);
    pthread_mutex_lock(&f->lock);
    assert_non_null(strstr(f->asked, "/latest/meta-data/instance-id "));
    pthread_mutex_unlock(&f->lock);
    check_relay(f);
    /* A clean reboot, and then a clean stop, by the power button. */
    assert_ok(vm_reboot(f->vm, 120 * NS_PER_S, e));
    wait_console(f, "power button", 1);
    wait_console(f, "boot 2", 1);
    wait_console(f, "tiny login:", 2);
    wait_health(f);
    assert_ok(vm_stop(f->vm, false, 120 * NS_PER_S, e));
    wait_console(f, "power button", 2);
    struct pollfd p = {.fd = vm_ended_fd(f->vm), .events = POLLIN};
    char why[256];
    assert_int_equal(poll(&p, 1, WAIT_S * 1000), 1);
    assert_int_equal(vm_power(f->vm), VM_POWER_OFF);
    assert_string_equal(vm_power_reason(f->vm, why, sizeof why), "stopped");
    assert_false(vm_health(f->vm).dhcp_lease);
}

/* The other firmware and, to save a boot, without a namespace: QEMU's own network, which
 * cut off as it is names no router. */
static void test_linux_on_uefi_and_the_user_network(void **state)
{
    struct fixture *f = *state;

    if (access("/usr/share/OVMF", F_OK) < 0)
        skip_because("OVMF is not installed");
    f->spec.boot = VM_BOOT_UEFI;
    setenv("HOTADD_LAB_NETWORK", "user", 1);
    assert_ok(vm_start(&f->spec, &f->imds, &f->vm, e));
    unsetenv("HOTADD_LAB_NETWORK");
    wait_console(f, "GRUB on efi", 1);
    wait_console(f, "address 172.31.5.9/20", 1);
    wait_console(f, "tiny login:", 1);
    wait_health(f);
    check_relay(f);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_linux_on_bios_has_all_of_nitro),
        CASE(test_linux_on_uefi_and_the_user_network),
    };
    char probe[] = "/tmp/hotadd-test-guest-XXXXXX";
    struct err e = ERR_INIT;
    int fd = mkstemp(probe), made;

    close(fd);
    made = make_guest(probe, &e);
    unlink(probe);
    if (made < 0 || access("/usr/bin/qemu-system-x86_64", X_OK) < 0) {
        printf("1..0 # SKIP no guest to boot: %s\n",
               made < 0 ? e.msg : "install qemu-system-x86");
        return 0;
    }
    setenv("HOTADD_LAB_ACCEL", "tcg", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
