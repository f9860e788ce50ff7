/* What hotadd-reader can no longer do, tried in a child of ours that went into the same
 * sandbox. Where the kernel has no Landlock or no seccomp, that part is skipped. */
#include "test.h"

#include "base/io.h"
#include "reader/child/sandbox.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], inside[96], outside[96];
static int opened = -1;

static int setup(void **state)
{
    struct err e;

    snprintf(dir, sizeof dir, "/var/tmp/hotadd-sandbox-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(inside, sizeof inside, "%s/in", dir);
    snprintf(outside, sizeof outside, "%s/secret", dir);
    if (mkdir(inside, 0700) < 0 || io_write_file_atomic(outside, "s", 1, 0600, &e) < 0)
        return -1;
    snprintf(inside, sizeof inside, "%s/in/file", dir);
    if (io_write_file_atomic(inside, "f", 1, 0600, &e) < 0)
        return -1;
    snprintf(inside, sizeof inside, "%s/in", dir);
    opened = open(outside, O_RDONLY | O_CLOEXEC);
    return opened < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    struct err e;

    close(opened);
    return io_remove_tree(dir, &e);
}

static bool have_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0,
                   LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

/* Runs what in a child that is in the sandbox; its answer. */
static int in_sandbox(int (*what)(void))
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        struct err e = ERR_INIT;

        if (sandbox_begin((const char *[]){inside, NULL}, &e) < 0) {
            fprintf(stderr, "%s\n", e.msg);
            _exit(99);
        }
        _exit(what());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* 0: it cannot be opened so. */
static int opens(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static const char *in_dir(const char *base, const char *name)
{
    static char path[300];

    snprintf(path, sizeof path, "%s/%s", base, name);
    return path;
}

static int reads_its_folder_alone(void)
{
    if (!opens(in_dir(inside, "file"), O_RDONLY) || !opens(inside, O_RDONLY))
        return 1;
    return opens(outside, O_RDONLY) || opens("/etc/passwd", O_RDONLY) ||
                   opens("/root", O_RDONLY) || opens("/proc/1/environ", O_RDONLY)
               ? 2
               : 0;
}

static int changes_nothing(void)
{
    const char *file = in_dir(inside, "file");

    if (opens(file, O_RDWR) || opens(file, O_WRONLY | O_TRUNC))
        return 1;
    if (opens(in_dir(inside, "new"), O_CREAT | O_WRONLY) ||
        opens("/tmp/hotadd-sandbox-new", O_CREAT | O_WRONLY))
        return 2;
    if (mkdir(in_dir(inside, "folder"), 0700) == 0 ||
        unlink(in_dir(inside, "file")) == 0 || rename(inside, outside) == 0)
        return 3;
    return symlink("x", in_dir(inside, "link")) == 0 ? 4 : 0;
}

static int reaches_no_network(void)
{
    static const int families[] = {AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX};

    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        int s = socket(families[i], SOCK_STREAM, 0);

        if (s >= 0 || errno != EPERM)
            return 1 + (int)i;
    }
    return 0;
}

static int starts_no_program(void)
{
    execl("/bin/true", "true", NULL);
    return errno != EPERM;
}

static int touches_no_process(void)
{
    char c;
    struct iovec to = {&c, 1}, from = {&c, 1};

    if (ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0)
        return 1;
    if (syscall(SYS_process_vm_readv, getppid(), &to, 1, &from, 1, 0) >= 0)
        return 2;
    return unshare(CLONE_NEWUSER) == 0 ? 3 : 0;
}

/* What it has open it can read on; for the rest it is too late. */
static int closed(void)
{
    struct err e = ERR_INIT;
    char c;
    int ends[2];

    if (pipe(ends) < 0 || sandbox_close(&e) < 0)
        return 1;
    if (pread(opened, &c, 1, 0) != 1 || c != 's' || write(ends[1], "x", 1) != 1)
        return 2;
    if (opens(in_dir(inside, "file"), O_RDONLY) || reaches_no_network())
        return 3;
    if (starts_no_program())
        return 4;
    if (unlink(outside) == 0 || errno != EPERM || rmdir(dir) == 0 || errno != EPERM)
        return 7;
    if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
        MAP_FAILED)
        return 5;
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                   MAP_FAILED
               ? 6
               : 0;
}

static void test_reads_its_folder_alone(void **state)
{
    if (!have_landlock())
        skip_because("this kernel has no Landlock");
    assert_int_equal(in_sandbox(reads_its_folder_alone), 0);
}

static void test_changes_nothing(void **state)
{
    if (!have_landlock())
        skip_because("this kernel has no Landlock");
    assert_int_equal(in_sandbox(changes_nothing), 0);
}

static void test_reaches_no_network(void **state)
{
    assert_int_equal(in_sandbox(reaches_no_network), 0);
}

static void test_starts_no_program(void **state)
{
    assert_int_equal(in_sandbox(starts_no_program), 0);
}

static void test_touches_no_process(void **state)
{
    assert_int_equal(in_sandbox(touches_no_process), 0);
}

static void test_closed(void **state)
{
    assert_int_equal(in_sandbox(closed), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_its_folder_alone),
        cmocka_unit_test(test_changes_nothing),
        cmocka_unit_test(test_reaches_no_network),
        cmocka_unit_test(test_starts_no_program),
        cmocka_unit_test(test_touches_no_process),
        cmocka_unit_test(test_closed),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
