/* Machines for real: QEMU boots a sector of our own that prints on the serial port and
 * then does as the letter at its offset 0x1f0 says: H halts, P switches the machine off,
 * R resets it, B waits for the power button and switches off, S prints for ever.
 *
 * Skips where QEMU is not installed. */
#include "base/auto.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "lab/vm.h"
#include "test.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <jpeglib.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define INSTANCE "i-0123456789abcdef0"
#define SPOKEN   "sector speaking\r\n"
#define DISK     (1u << 20)
#define WAIT_S   180 /* beside other machines, without KVM */

/* clang-format off */
static const uint8_t sector[] = {
    0xfa, /* cli */
    0x31, 0xc0, /* xor    %ax,%ax */
    0x8e, 0xd8, /* mov    %ax,%ds */
    0x8e, 0xd0, /* mov    %ax,%ss */
    0xbc, 0x00, 0x7c, /* mov    $0x7c00,%sp */
    0xfc, /* cld */
    0xea, 0x10, 0x7c, 0x00, 0x00, /* ljmp   $0x0,$0x7c10 */
    0xbe, 0x6b, 0x7c, /* mov    $text,%si */
    0xe8, 0x3d, 0x00, /* call   puts */
    0xa0, 0xf0, 0x7d, /* mov    (mode),%al */
    0x3c, 0x50, /* cmp    $'P',%al */
    0x74, 0x1f, /* je     off */
    0x3c, 0x52, /* cmp    $'R',%al */
    0x74, 0x24, /* je     reset */
    0x3c, 0x42, /* cmp    $'B',%al */
    0x74, 0x07, /* je     button */
    0x3c, 0x53, /* cmp    $'S',%al */
    0x74, 0x22, /* je     spam */
    0xf4, /* halt: hlt */
    0xeb, 0xfd, /* jmp    halt */
    0xba, 0x02, 0x06, /* button: mov $0x602,%dx   (PM1 enable) */
    0xb8, 0x00, 0x01, /* mov    $0x100,%ax        (power button) */
    0xef, /* out    %ax,(%dx) */
    0xba, 0x00, 0x06, /* mov    $0x600,%dx        (PM1 status) */
    0xed, /* wait: in (%dx),%ax */
    0xa9, 0x00, 0x01, /* test   $0x100,%ax */
    0x74, 0xf7, /* je     wait - 3 */
    0xba, 0x04, 0x06, /* off: mov $0x604,%dx      (PM1 control) */
    0xb8, 0x00, 0x20, /* mov    $0x2000,%ax       (sleep enable, type 0) */
    0xef, /* out    %ax,(%dx) */
    0xeb, 0xe4, /* jmp    halt */
    0xb0, 0xfe, /* reset: mov $0xfe,%al */
    0xe6, 0x64, /* out    %al,$0x64         (keyboard controller) */
    0xeb, 0xde, /* jmp    halt */
    0xbe, 0x6b, 0x7c, /* spam: mov $text,%si */
    0xe8, 0x02, 0x00, /* call   puts */
    0xeb, 0xf8, /* jmp    spam */
    0xac, /* puts: lods %ds:(%si),%al */
    0x84, 0xc0, /* test   %al,%al */
    0x74, 0x12, /* je     done */
    0x88, 0xc3, /* mov    %al,%bl */
    0xba, 0xfd, 0x03, /* mov    $0x3fd,%dx        (line status) */
    0xec, /* txwait: in (%dx),%al */
    0xa8, 0x20, /* test   $0x20,%al */
    0x74, 0xf8, /* je     txwait - 3 */
    0xba, 0xf8, 0x03, /* mov    $0x3f8,%dx */
    0x88, 0xd8, /* mov    %bl,%al */
    0xee, /* out    %al,(%dx) */
    0xeb, 0xe9, /* jmp    puts */
    0xc3, /* done: ret */
};
/* clang-format on */

struct fixture {
    char dir[64];
    char *root, *data;
    struct vm *vm;
    struct vm_disk disks[2];
    struct vm_spec spec;
    struct vm_imds imds;
};

static int answer_nothing(void *ctx, const struct vm_imds_request *req,
                          struct vm_imds_reply *reply, struct err *e)
{
    reply->status = 404;
    return 0;
}

static char *make_disk(const char *dir, const char *name, char mode)
{
    struct err err = ERR_INIT;
    char *path = str_fmt(&err, "%s/%s", dir, name);
    uint8_t boot[512] = {0};
    auto_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, DISK), 0);
    memcpy(boot, sector, sizeof sector);
    memcpy(boot + sizeof sector, SPOKEN, sizeof SPOKEN);
    boot[0x1f0] = (uint8_t)mode;
    boot[0x1fe] = 0x55;
    boot[0x1ff] = 0xaa;
    if (mode)
        assert_ok(io_pwrite_full(fd, boot, sizeof boot, 0, path, e));
    return path;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    /* A comma, which is special in QEMU's options. */
    snprintf(f->dir, sizeof f->dir, "/tmp/hotadd-test-vm,XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->root = make_disk(f->dir, "root.raw", 'H');
    f->data = make_disk(f->dir, "data.raw", 0);
    /* The data volume first: which one boots is not a matter of order. */
    f->disks[0] = (struct vm_disk){
        .volume_id = "vol-0aaaaaaaaaaaaaaa1", .path = f->data, .device_name = "/dev/sdf"};
    f->disks[1] = (struct vm_disk){.volume_id = "vol-0aaaaaaaaaaaaaaa0",
                                   .path = f->root,
                                   .device_name = "/dev/sda1",
                                   .is_root = true};
    f->spec = (struct vm_spec){.instance_id = INSTANCE,
                               .state_dir = f->dir,
                               .instance_type = "m5.large",
                               .vcpus = 2,
                               .memory_bytes = 128u << 20,
                               .disks = f->disks,
                               .n_disks = 2,
                               .mac = "02:00:00:ab:cd:ef",
                               .private_ip = "172.31.5.9",
                               .subnet_cidr = "172.31.0.0/20",
                               .hostname = "ip-172-31-5-9"};
    f->imds.answer = answer_nothing;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    vm_free(f->vm);
    assert_ok(io_remove_tree(f->dir, e));
    free(f->root);
    free(f->data);
    free(f);
    return 0;
}

static void start(struct fixture *f, char mode)
{
    auto_fd int fd = open(f->root, O_WRONLY | O_CLOEXEC);

    assert_ok(io_pwrite_full(fd, &mode, 1, 0x1f0, f->root, e));
    assert_ok(vm_start(&f->spec, &f->imds, &f->vm, e));
}

static void nap(void)
{
    struct timespec ts = {.tv_nsec = 50 * 1000 * 1000};

    nanosleep(&ts, NULL);
}

/* How often the sector has spoken on the console. */
static size_t spoken(const struct fixture *f)
{
    auto_buf struct buf b = BUF_INIT;
    size_t n = 0;

    assert_ok(vm_console(f->dir, INSTANCE, &b, e));
    for (const char *at = buf_str(&b); (at = strstr(at, SPOKEN)); at += strlen(SPOKEN))
        n++;
    return n;
}

static void wait_spoken(const struct fixture *f, size_t times)
{
    uint64_t deadline_ns = clock_mono_ns() + WAIT_S * NS_PER_S;

    while (spoken(f) < times) {
        if (clock_mono_ns() > deadline_ns)
            fail_msg("the sector has not spoken %zu times", times);
        nap();
    }
}

static void wait_ended(struct fixture *f, enum vm_power want, const char *reason)
{
    struct pollfd p = {.fd = vm_ended_fd(f->vm), .events = POLLIN};
    char why[512];

    assert_int_equal(poll(&p, 1, WAIT_S * 1000), 1);
    assert_int_equal(vm_power(f->vm), want);
    vm_power_reason(f->vm, why, sizeof why);
    if (!strstr(why, reason))
        fail_msg("ended because: %s", why);
}

static pid_t qemu_pid(const struct fixture *f, const char *instance)
{
    struct err err = ERR_INIT;
    auto_free char *path = str_fmt(&err, "%s/run/%s/pid", f->dir, instance);
    auto_buf struct buf b = BUF_INIT;
    char *rest;
    uint64_t pid;

    assert_ok(io_read_file(path, 256, &b, e));
    rest = b.data;
    strsep(&rest, " ");
    assert_ok(str_to_u64(strsep(&rest, " "), &pid, e));
    return (pid_t)pid;
}

static bool is_alive(pid_t pid)
{
    char path[32];
    auto_buf struct buf b = BUF_INIT;
    struct err ignored;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    return io_read_file(path, 4096, &b, &ignored) == 0 && !strstr(buf_str(&b), ") Z ");
}

static void wait_dead(pid_t pid)
{
    for (int i = 0; is_alive(pid); i++) {
        if (i == 200)
            fail_msg("process %d is still there", pid);
        nap();
    }
}

static void test_boots_the_root_and_keeps_its_console(void **state)
{
    struct fixture *f = *state;
    char why[64];
    pid_t pid;

    start(f, 'H');
    wait_spoken(f, 1);
    assert_int_equal(vm_power(f->vm), VM_POWER_RUNNING);
    assert_string_equal(vm_power_reason(f->vm, why, sizeof why), "");
    assert_true(vm_ssh_port(f->vm) > 0);
    assert_false(vm_health(f->vm).dhcp_lease);
    assert_false(vm_health(f->vm).answers);
    pid = qemu_pid(f, INSTANCE);
    vm_free(f->vm);
    f->vm = NULL;
    assert_false(is_alive(pid));
    assert_int_equal(spoken(f), 1);
}

static void test_guest_that_switches_itself_off_is_off(void **state)
{
    struct fixture *f = *state;

    start(f, 'P');
    wait_ended(f, VM_POWER_OFF, "the guest switched itself off");
    assert_int_equal(spoken(f), 1);
}

static void test_second_start_begins_a_new_console(void **state)
{
    struct fixture *f = *state;

    start(f, 'P');
    wait_ended(f, VM_POWER_OFF, "");
    vm_free(f->vm);
    f->vm = NULL;
    start(f, 'P');
    wait_ended(f, VM_POWER_OFF, "");
    assert_int_equal(spoken(f), 1);
}

static void test_guest_reset_boots_again_and_keeps_the_console(void **state)
{
    struct fixture *f = *state;

    start(f, 'R');
    wait_spoken(f, 3);
    assert_int_equal(vm_power(f->vm), VM_POWER_RUNNING);
}

static void test_stop_presses_the_power_button(void **state)
{
    struct fixture *f = *state;

    start(f, 'B');
    wait_spoken(f, 1);
    assert_ok(vm_stop(f->vm, false, 30 * NS_PER_S, e));
    wait_ended(f, VM_POWER_OFF, "stopped");
}

static void test_guest_that_ignores_the_button_is_cut_off(void **state)
{
    struct fixture *f = *state;

    start(f, 'H');
    wait_spoken(f, 1);
    assert_ok(vm_stop(f->vm, false, NS_PER_S, e));
    wait_ended(f, VM_POWER_OFF, "ignored the power button");
}

static void test_forced_stop_is_immediate(void **state)
{
    struct fixture *f = *state;
    uint64_t before_ns;

    start(f, 'H');
    before_ns = clock_mono_ns();
    assert_ok(vm_stop(f->vm, true, 0, e));
    wait_ended(f, VM_POWER_OFF, "cut off");
    assert_true(clock_mono_ns() - before_ns < 5 * NS_PER_S);
    assert_fails(vm_reboot(f->vm, 0, e), ERR_FAILED, "is not running");
}

static void test_reboot_by_button_boots_again(void **state)
{
    struct fixture *f = *state;

    start(f, 'B');
    wait_spoken(f, 1);
    assert_ok(vm_reboot(f->vm, 60 * NS_PER_S, e));
    wait_spoken(f, 2);
    assert_int_equal(vm_power(f->vm), VM_POWER_RUNNING);
}

static void test_reboot_resets_a_deaf_guest(void **state)
{
    struct fixture *f = *state;

    start(f, 'H');
    wait_spoken(f, 1);
    assert_ok(vm_reboot(f->vm, NS_PER_S / 2, e));
    wait_spoken(f, 2);
    assert_int_equal(vm_power(f->vm), VM_POWER_RUNNING);
}

static void test_killed_qemu_is_a_crash(void **state)
{
    struct fixture *f = *state;

    start(f, 'H');
    assert_int_equal(kill(qemu_pid(f, INSTANCE), SIGKILL), 0);
    wait_ended(f, VM_POWER_CRASHED, "signal 9");
}

static void test_console_of_a_guest_that_never_stops_stays_small(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    auto_free char *path = str_fmt(&err, "%s/run/" INSTANCE "/console.log", f->dir);
    auto_buf struct buf b = BUF_INIT;
    struct stat st = {0};

    start(f, 'S');
    for (int i = 0; i < 600 && st.st_size < 3 << 20; i++) {
        nap();
        assert_int_equal(stat(path, &st), 0);
    }
    assert_true(st.st_size > VM_CONSOLE_MAX);
    vm_free(f->vm);
    f->vm = NULL;
    assert_int_equal(stat(path, &st), 0);
    assert_true((uint64_t)st.st_blocks * 512 < 8u << 20);
    assert_ok(vm_console(f->dir, INSTANCE, &b, e));
    assert_int_equal(b.len, VM_CONSOLE_MAX);
    assert_int_equal(strlen(buf_str(&b)), VM_CONSOLE_MAX);
}

static void test_running_instance_is_not_started_twice(void **state)
{
    struct fixture *f = *state;
    struct vm *second = NULL;

    start(f, 'H');
    assert_fails(vm_start(&f->spec, &f->imds, &second, e), ERR_BUSY, "running already");
    assert_null(second);
    assert_int_equal(vm_power(f->vm), VM_POWER_RUNNING);
}

static void test_several_machines_run_at_once(void **state)
{
    struct fixture *f = *state;
    struct vm *second = NULL;
    struct vm_disk disk = {
        .volume_id = "vol-0bbbbbbbbbbbbbbb0", .path = f->data, .is_root = true};
    struct vm_spec spec = f->spec;

    spec.instance_id = "i-0bbbbbbbbbbbbbbb0";
    spec.disks = &disk;
    spec.n_disks = f->spec.n_disks = 1;
    f->spec.disks = f->disks + 1;
    start(f, 'H');
    assert_ok(vm_start(&spec, &f->imds, &second, e));
    wait_spoken(f, 1);
    assert_int_equal(vm_power(second), VM_POWER_RUNNING);
    assert_int_not_equal(vm_ssh_port(second), vm_ssh_port(f->vm));
    vm_free(second);
    assert_int_equal(vm_power(f->vm), VM_POWER_RUNNING);
}

static void test_missing_disk_is_qemus_complaint(void **state)
{
    struct fixture *f = *state;

    f->disks[0].path = "/nonexistent/volume.raw";
    assert_fails(vm_start(&f->spec, &f->imds, &f->vm, e), ERR_FAILED,
                 "/nonexistent/volume.raw");
    assert_null(f->vm);
}

static void test_missing_qemu_names_the_package(void **state)
{
    struct fixture *f = *state;
    auto_free char *path = strdup(getenv("PATH"));

    setenv("PATH", f->dir, 1);
    assert_fails(vm_start(&f->spec, &f->imds, &f->vm, e), ERR_REQUIREMENT,
                 "install qemu-system-x86");
    setenv("PATH", path, 1);
}

static void test_uefi_starts_with_variables_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    auto_free char *vars = str_fmt(&err, "%s/run/" INSTANCE "/uefi-vars.fd", f->dir);

    if (access("/usr/share/OVMF", F_OK) < 0)
        skip_because("OVMF is not installed");
    f->spec.boot = VM_BOOT_UEFI;
    start(f, 'H');
    assert_int_equal(access(vars, F_OK), 0);
    vm_free(f->vm);
    f->vm = NULL;
    assert_int_equal(access(vars, F_OK), 0);
    assert_ok(vm_forget(f->dir, INSTANCE, e));
    assert_int_equal(access(vars, F_OK), -1);
}

/* The life of a lab that is killed: starts a machine, says so, waits. */
static pid_t start_in_child(struct fixture *f)
{
    int pipe_fds[2];
    char c;
    pid_t pid;

    assert_int_equal(pipe(pipe_fds), 0);
    pid = fork();
    if (pid == 0) {
        struct err e = ERR_INIT;

        if (vm_start(&f->spec, &f->imds, &f->vm, &e) < 0 ||
            write(pipe_fds[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(pipe_fds[1]);
    assert_int_equal(read(pipe_fds[0], &c, 1), 1);
    close(pipe_fds[0]);
    return pid;
}

static void test_killed_lab_takes_its_machine_along(void **state)
{
    struct fixture *f = *state;
    pid_t lab = start_in_child(f), qemu = qemu_pid(f, INSTANCE);
    int status;

    assert_true(is_alive(qemu));
    kill(lab, SIGKILL);
    waitpid(lab, &status, 0);
    wait_dead(qemu);
    /* And nothing stands in the way of the next life. */
    assert_ok(vm_reap_stale(f->dir, e));
    start(f, 'H');
    wait_spoken(f, 1);
}

static void test_machine_left_over_is_reaped(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    auto_free char *path = str_fmt(&err, "%s/run/" INSTANCE "/pid", f->dir);
    auto_buf struct buf saved = BUF_INIT;
    pid_t qemu;

    start(f, 'H');
    qemu = qemu_pid(f, INSTANCE);
    assert_ok(vm_reap_stale(f->dir, e)); /* its owner lives: left alone */
    assert_true(is_alive(qemu));
    /* The same record, found where nobody holds the lock. */
    assert_ok(io_read_file(path, 256, &saved, e));
    auto_free char *other = str_fmt(&err, "%s/run/i-0ccccccccccccccc0", f->dir);
    auto_free char *other_pid = str_fmt(&err, "%s/pid", other);
    assert_ok(io_mkdir_all(other, 0700, e));
    assert_ok(io_write_file_atomic(other_pid, saved.data, saved.len, 0600, e));
    assert_ok(vm_reap_stale(f->dir, e));
    wait_dead(qemu);
    assert_int_equal(access(other_pid, F_OK), -1);
    wait_ended(f, VM_POWER_CRASHED, "");
}

static void test_record_of_a_stranger_kills_nobody(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    auto_free char *dir = str_fmt(&err, "%s/run/" INSTANCE, f->dir);
    auto_free char *path = str_fmt(&err, "%s/pid", dir);
    auto_buf struct buf b = BUF_INIT;

    assert_ok(io_mkdir_all(dir, 0700, e));
    assert_ok(io_read_file("/proc/sys/kernel/random/boot_id", 100, &b, e));
    b.len--;
    buf_addf(&b, " %d 12345 %d 12345\n", getpid(), getppid());
    assert_ok(io_write_file_atomic(path, b.data, b.len, 0600, e));
    assert_ok(vm_reap_stale(f->dir, e)); /* we are still here to say so */
}

static void test_user_network_is_the_fallback(void **state)
{
    struct fixture *f = *state;

    setenv("HOTADD_LAB_NETWORK", "user", 1);
    start(f, 'H');
    unsetenv("HOTADD_LAB_NETWORK");
    wait_spoken(f, 1);
    assert_non_null(strstr(vm_network_note(f->vm), "no metadata service"));
    assert_true(vm_ssh_port(f->vm) > 0);
}

/* What an imported machine's disks hang on; its firmware must know it, too. */
static void test_boots_from_the_controllers_of_old_homes(void **state)
{
    static const enum vm_disks controllers[] = {VM_DISKS_PVSCSI, VM_DISKS_LSISAS,
                                                VM_DISKS_AHCI};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof controllers / sizeof controllers[0]; i++) {
        f->spec.controller = controllers[i];
        start(f, 'P');
        wait_ended(f, VM_POWER_OFF, "the guest switched itself off");
        assert_int_equal(spoken(f), 1);
        vm_free(f->vm);
        f->vm = NULL;
    }
}

static void test_screenshot_shows_the_display(void **state)
{
    struct fixture *f = *state;
    auto_buf struct buf jpeg = BUF_INIT;
    struct err err = ERR_INIT;
    auto_free char *left = str_fmt(&err, "%s/run/" INSTANCE "/screen.ppm", f->dir);
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr mgr;
    unsigned bright = 0;

    start(f, 'H');
    wait_spoken(f, 1);
    assert_ok(vm_screenshot(f->vm, true, &jpeg, e));
    d.err = jpeg_std_error(&mgr);
    jpeg_create_decompress(&d);
    jpeg_mem_src(&d, (unsigned char *)jpeg.data, jpeg.len);
    assert_int_equal(jpeg_read_header(&d, TRUE), JPEG_HEADER_OK);
    assert_true(d.image_width >= 640 && d.image_height >= 350);
    jpeg_start_decompress(&d);
    while (d.output_scanline < d.output_height) {
        unsigned char row[3 * 4096], *at = row;

        jpeg_read_scanlines(&d, &at, 1);
        for (unsigned x = 0; x < d.output_width * 3; x++)
            bright += row[x] > 100;
    }
    jpeg_destroy_decompress(&d);
    /* The firmware's text is on it. */
    assert_true(bright > 100);
    assert_int_equal(access(left, F_OK), -1);
    assert_ok(vm_stop(f->vm, true, 0, e));
    wait_ended(f, VM_POWER_OFF, "cut off");
    assert_fails(vm_screenshot(f->vm, false, &jpeg, e), ERR_FAILED, "is not running");
}

static bool have_qemu(void)
{
    auto_free char *dirs = strdup(getenv("PATH") ? getenv("PATH") : "/usr/bin");
    char *rest = dirs, *dir;

    while ((dir = strsep(&rest, ":"))) {
        char p[4096];

        snprintf(p, sizeof p, "%s/qemu-system-x86_64", dir);
        if (access(p, X_OK) == 0)
            return true;
    }
    return false;
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_boots_the_root_and_keeps_its_console),
        CASE(test_guest_that_switches_itself_off_is_off),
        CASE(test_second_start_begins_a_new_console),
        CASE(test_guest_reset_boots_again_and_keeps_the_console),
        CASE(test_stop_presses_the_power_button),
        CASE(test_guest_that_ignores_the_button_is_cut_off),
        CASE(test_forced_stop_is_immediate),
        CASE(test_reboot_by_button_boots_again),
        CASE(test_reboot_resets_a_deaf_guest),
        CASE(test_killed_qemu_is_a_crash),
        CASE(test_console_of_a_guest_that_never_stops_stays_small),
        CASE(test_running_instance_is_not_started_twice),
        CASE(test_several_machines_run_at_once),
        CASE(test_missing_disk_is_qemus_complaint),
        CASE(test_missing_qemu_names_the_package),
        CASE(test_uefi_starts_with_variables_of_its_own),
        CASE(test_killed_lab_takes_its_machine_along),
        CASE(test_machine_left_over_is_reaped),
        CASE(test_record_of_a_stranger_kills_nobody),
        CASE(test_user_network_is_the_fallback),
        CASE(test_boots_from_the_controllers_of_old_homes),
        CASE(test_screenshot_shows_the_display),
    };

    if (!have_qemu()) {
        printf("1..0 # SKIP qemu-system-x86_64 is not installed (qemu-system-x86)\n");
        return 0;
    }
    /* The probe has tests of its own; here it would cost two seconds a machine where KVM
     * hangs. */
    setenv("HOTADD_LAB_ACCEL", "tcg", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
