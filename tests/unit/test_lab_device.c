/* Attached volumes as devices: links to loop devices as root, to the file otherwise. The
 * unprivileged tests run in a child that gave root away, so both kinds run for root. */
#include "base/auto.h"
#include "base/io.h"
#include "base/str.h"
#include "lab/device.h"
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define VOL     "vol-0123456789abcdef0"
#define VOL_TWO "vol-0123456789abcdef1"
#define SIZE    (1u << 20)

struct fixture {
    char dir[64];
    char *raw, *raw_two, *link;
};

static char *make_raw(const char *dir, const char *name)
{
    struct err err = ERR_INIT;
    char *path = str_fmt(&err, "%s/%s", dir, name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    assert_int_equal(fchmod(fd, 0666), 0);
    close(fd);
    return path;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err err = ERR_INIT;

    snprintf(f->dir, sizeof f->dir, "/tmp/hotadd-test-device-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(chmod(f->dir, 0777), 0);
    f->raw = make_raw(f->dir, "one.raw");
    f->raw_two = make_raw(f->dir, "two.raw");
    f->link = device_path(f->dir, VOL, &err);
    assert_non_null(f->link);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    assert_ok(device_resync(f->dir, NULL, 0, e));
    assert_ok(io_remove_tree(f->dir, e));
    free(f->raw);
    free(f->raw_two);
    free(f->link);
    free(f);
    return 0;
}

static bool detach_is_busy(const struct fixture *f, bool force)
{
    bool busy = false;

    assert_ok(device_detach(f->dir, VOL, force, &busy, e));
    return busy;
}

/* Skips where loop devices are not to be had; returns the device attached. */
static char *attach_loop_or_skip(const struct fixture *f)
{
    char target[256];
    ssize_t n;

    if (geteuid() != 0 || access("/dev/loop-control", W_OK) < 0)
        skip_because("loop devices need root");
    assert_ok(device_attach(f->dir, VOL, f->raw, e));
    n = readlink(f->link, target, sizeof target - 1);
    assert_true(n > 0);
    target[n] = 0;
    if (!str_starts(target, "/dev/loop"))
        skip_because("no loop device was free");
    return strdup(target);
}

/* Runs the body as nobody, whose asserts end the child with a failure. */
static void as_nobody(void (*body)(struct fixture *), struct fixture *f)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        if (geteuid() == 0 &&
            (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0))
            _exit(9);
        body(f);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define child_check(cond)                                                                \
    do {                                                                                 \
        if (!(cond)) {                                                                   \
            fprintf(stderr, "# line %d: %s\n", __LINE__, #cond);                         \
            _exit(1);                                                                    \
        }                                                                                \
    } while (0)

static void test_names_are_ec2s(void **state)
{
    const struct fixture *f = *state;

    assert_true(str_ends(f->link, "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"
                                  "vol0123456789abcdef0"));
}

static void test_ids_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "vol-",
                                      "vol-1234567",
                                      "vol-0123456789abcdef01",
                                      "vol-../../../etc",
                                      "vol-0123ABCD",
                                      "snap-01234567"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(device_attach(f->dir, bad[i], f->raw, e), ERR_USAGE,
                     "is not a volume id");
}

static void test_loop_device_reads_and_writes_the_file(void **state)
{
    struct fixture *f = *state;
    auto_free char *dev = attach_loop_or_skip(f);
    char data[4096] = "written through the device", back[4096];
    auto_fd int fd = open(f->link, O_RDWR | O_EXCL | O_CLOEXEC);
    auto_fd int raw = open(f->raw, O_RDONLY | O_CLOEXEC);
    struct stat st, named;

    assert_true(fd >= 0 && raw >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(S_ISBLK(st.st_mode));
    assert_int_equal(stat(dev, &named), 0);
    assert_int_equal(named.st_rdev, st.st_rdev);
    assert_int_equal(lseek(fd, 0, SEEK_END), SIZE);
    assert_ok(io_pwrite_full(fd, data, sizeof data, 8192, "dev", e));
    assert_int_equal(fsync(fd), 0);
    assert_ok(io_pread_full(raw, back, sizeof back, 8192, "raw", e));
    assert_memory_equal(data, back, sizeof data);
}

static void test_attaching_twice_keeps_the_device(void **state)
{
    struct fixture *f = *state;
    auto_free char *dev = attach_loop_or_skip(f), *again = attach_loop_or_skip(f);

    assert_string_equal(dev, again);
}

static void test_loop_detach_frees_the_device(void **state)
{
    struct fixture *f = *state;
    auto_free char *dev = attach_loop_or_skip(f);
    auto_fd int fd = -1;

    assert_false(detach_is_busy(f, false));
    assert_int_equal(access(f->link, F_OK), -1);
    fd = open(dev, O_RDONLY | O_CLOEXEC);
    assert_true(fd < 0 || lseek(fd, 0, SEEK_END) == 0);
}

static void test_open_loop_is_busy_and_goes_on_working(void **state)
{
    struct fixture *f = *state;
    char data[4096];
    int fd;

    free(attach_loop_or_skip(f));
    fd = open(f->link, O_RDWR | O_CLOEXEC);
    assert_true(detach_is_busy(f, false));
    assert_int_equal(access(f->link, F_OK), 0);
    /* Still there after the holder is gone, too: a refused detach must not free it. */
    close(fd);
    fd = open(f->link, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_ok(io_pread_full(fd, data, sizeof data, 0, "dev", e));
    close(fd);
    assert_false(detach_is_busy(f, false));
}

static void test_forced_loop_detach_waits_for_nobody(void **state)
{
    struct fixture *f = *state;
    auto_free char *dev = attach_loop_or_skip(f);
    int fd = open(dev, O_RDWR | O_CLOEXEC);

    assert_false(detach_is_busy(f, true));
    assert_int_equal(access(f->link, F_OK), -1);
    close(fd);
    fd = open(dev, O_RDONLY | O_CLOEXEC);
    assert_true(fd < 0 || lseek(fd, 0, SEEK_END) == 0);
    if (fd >= 0)
        close(fd);
}

static void file_life(struct fixture *f)
{
    struct err err = ERR_INIT;
    bool busy = true;
    char *real = realpath(f->raw, NULL), *seen;
    int fd;

    child_check(device_attach(f->dir, VOL, f->raw, &err) == 0);
    seen = realpath(f->link, NULL);
    child_check(seen && str_eq(seen, real));
    child_check(device_attach(f->dir, VOL, f->raw, &err) == 0);
    child_check(device_attach(f->dir, VOL, f->raw_two, &err) < 0 &&
                err.kind == ERR_EXISTS);
    fd = open(f->link, O_RDWR | O_CLOEXEC);
    child_check(fd >= 0);
    child_check(device_detach(f->dir, VOL, false, &busy, &err) == 0 && busy);
    child_check(access(f->link, F_OK) == 0);
    close(fd);
    /* Files of another owner have no leases to give: here nobody owns none. */
    child_check(device_detach(f->dir, VOL, false, &busy, &err) == 0 && !busy);
    child_check(access(f->link, F_OK) < 0);
    free(real);
    free(seen);
}

static void test_unprivileged_life_with_a_file(void **state)
{
    struct fixture *f = *state;

    if (geteuid() == 0)
        assert_int_equal(chown(f->raw, 65534, 65534), 0);
    as_nobody(file_life, f);
}

static void test_detach_of_nothing_is_fine(void **state)
{
    assert_false(detach_is_busy(*state, false));
}

static void test_missing_file_is_named(void **state)
{
    struct fixture *f = *state;

    assert_fails(device_attach(f->dir, VOL, "/nonexistent/x.raw", e), ERR_SYS,
                 "/nonexistent/x.raw");
}

static void test_resync_drops_what_is_not_wanted(void **state)
{
    struct fixture *f = *state;
    struct device_attached want = {.volume_id = VOL_TWO, .raw_path = f->raw_two};
    struct err err = ERR_INIT;
    auto_free char *two = device_path(f->dir, VOL_TWO, &err);
    struct stat st;

    assert_ok(device_attach(f->dir, VOL, f->raw, e));
    assert_ok(device_resync(f->dir, &want, 1, e));
    assert_int_equal(access(f->link, F_OK), -1);
    assert_int_equal(stat(two, &st), 0);
}

static void test_resync_adopts_a_loop_without_its_link(void **state)
{
    struct fixture *f = *state;
    struct device_attached want = {.volume_id = VOL, .raw_path = f->raw};
    auto_free char *dev = attach_loop_or_skip(f), *after = NULL;

    assert_int_equal(unlink(f->link), 0);
    assert_ok(device_resync(f->dir, &want, 1, e));
    after = realpath(f->link, NULL);
    assert_string_equal(after, dev);
}

static void test_resync_frees_loops_nobody_names(void **state)
{
    struct fixture *f = *state;
    auto_free char *dev = attach_loop_or_skip(f);
    auto_fd int fd = -1;

    assert_int_equal(unlink(f->link), 0);
    assert_ok(device_resync(f->dir, NULL, 0, e));
    fd = open(dev, O_RDONLY | O_CLOEXEC);
    assert_true(fd < 0 || lseek(fd, 0, SEEK_END) == 0);
}

static void test_resync_frees_what_a_removed_lab_left(void **state)
{
    struct fixture *f = *state;
    char other[] = "/tmp/hotadd-test-device-other-XXXXXX";
    auto_free char *dev = attach_loop_or_skip(f);
    auto_fd int fd = -1;

    assert_int_equal(unlink(f->raw), 0);
    assert_non_null(mkdtemp(other));
    assert_ok(device_resync(other, NULL, 0, e));
    assert_int_equal(rmdir(other), 0);
    fd = open(dev, O_RDONLY | O_CLOEXEC);
    assert_true(fd < 0 || lseek(fd, 0, SEEK_END) == 0);
}

static void test_stale_link_of_another_boot_is_replaced(void **state)
{
    struct fixture *f = *state;

    assert_ok(device_attach(f->dir, VOL_TWO, f->raw_two, e)); /* makes the folder */
    assert_int_equal(symlink("/dev/loop4242", f->link), 0);
    assert_ok(device_attach(f->dir, VOL, f->raw, e));
    assert_int_equal(access(f->link, R_OK), 0);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_names_are_ec2s),
        CASE(test_ids_that_are_none_are_refused),
        CASE(test_loop_device_reads_and_writes_the_file),
        CASE(test_attaching_twice_keeps_the_device),
        CASE(test_loop_detach_frees_the_device),
        CASE(test_open_loop_is_busy_and_goes_on_working),
        CASE(test_forced_loop_detach_waits_for_nobody),
        CASE(test_unprivileged_life_with_a_file),
        CASE(test_detach_of_nothing_is_fine),
        CASE(test_missing_file_is_named),
        CASE(test_resync_drops_what_is_not_wanted),
        CASE(test_resync_adopts_a_loop_without_its_link),
        CASE(test_resync_frees_loops_nobody_names),
        CASE(test_resync_frees_what_a_removed_lab_left),
        CASE(test_stale_link_of_another_boot_is_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
