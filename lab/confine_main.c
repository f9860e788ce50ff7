/* hotadd-lab-confine: runs a program that is going to read a stranger's file.
 *
 *     hotadd-lab-confine MAX-FILE-BYTES FILES PROGRAM ARGUMENT...   (by the lab only)
 *
 * The program keeps the descriptors 0 to 2, and FILES files: 1, which it may read, as
 * descriptor 3, or 2, of which it may write the other, as descriptor 4. It may open these
 * again as /proc/self/fd/N. It has the libraries under /usr. Where the kernel has
 * the means it has no network and no other file (network namespace, Landlock); it always
 * has limits on memory, time, files and the size of what it writes, no core and no way to
 * more privileges. What a kernel lacks is done without: the caller therefore names
 * formats and drivers so that a file cannot ask for another one. */
#include "base/auto.h"
#include "base/err.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define INPUT_FD   3
#define OUTPUT_FD  4
#define MAX_MEMORY (4ull << 30)
#define MAX_CPU_S  7200

/* Of ABI 1 and, where the kernel knows it, of ABI 3: what is handled is forbidden. */
#define READS                                                                            \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |                         \
     LANDLOCK_ACCESS_FS_READ_DIR)
#define ABI1_ALL ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define TRUNCATE (1ull << 14)

static int limit(int what, uint64_t most)
{
    struct rlimit l = {.rlim_cur = most, .rlim_max = most};

    return setrlimit(what, &l);
}

static int set_limits(uint64_t max_file)
{
    if (limit(RLIMIT_AS, MAX_MEMORY) < 0 || limit(RLIMIT_CPU, MAX_CPU_S) < 0 ||
        limit(RLIMIT_FSIZE, max_file) < 0 || limit(RLIMIT_NOFILE, 64) < 0 ||
        limit(RLIMIT_CORE, 0) < 0)
        return -1;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static int allow(int rules, int fd, uint64_t access)
{
    struct landlock_path_beneath_attr a = {.allowed_access = access, .parent_fd = fd};

    return (int)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &a, 0);
}

static int allow_path(int rules, const char *path, uint64_t access)
{
    auto_fd int fd = open(path, O_PATH | O_CLOEXEC);

    return fd < 0 ? errno == ENOENT ? 0 : -1 : allow(rules, fd, access);
}

static int allow_files(int rules, uint64_t n_files, uint64_t truncate)
{
    if (n_files > 0 && allow(rules, INPUT_FD, LANDLOCK_ACCESS_FS_READ_FILE) < 0)
        return -1;
    if (n_files > 1 && allow(rules, OUTPUT_FD,
                             LANDLOCK_ACCESS_FS_READ_FILE |
                                 LANDLOCK_ACCESS_FS_WRITE_FILE | truncate) < 0)
        return -1;
    return 0;
}

/* 0 also when this kernel has no Landlock. */
static int close_files(uint64_t n_files)
{
    static const char *const dirs[] = {"/usr", "/lib", "/lib64", "/bin"};
    static const char *const files[] = {"/etc/ld.so.cache", "/dev/null", "/dev/urandom"};
    long abi =
        syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    uint64_t truncate = abi >= 3 ? TRUNCATE : 0;
    struct landlock_ruleset_attr attr = {.handled_access_fs = ABI1_ALL | truncate};
    auto_fd int rules = -1;

    if (abi < 1)
        return 0;
    rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (rules < 0)
        return -1;
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
        if (allow_path(rules, dirs[i], READS) < 0)
            return -1;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (allow_path(rules, files[i], LANDLOCK_ACCESS_FS_READ_FILE) < 0)
            return -1;
    if (allow_files(rules, n_files, truncate) < 0)
        return -1;
    return (int)syscall(SYS_landlock_restrict_self, rules, 0);
}

/* A namespace of its own has no interface but a loopback that is down. */
static void close_network(void)
{
    /* Some containers grant neither. */
    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return;
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    uint64_t max_file = 0, n_files = 0;

    if (argc < 4 || str_to_u64(argv[1], &max_file, &e) < 0 ||
        str_to_u64(argv[2], &n_files, &e) < 0 || n_files > 2) {
        fprintf(stderr, "hotadd-lab-confine: is run by hotadd-lab, not by hand\n");
        return 2;
    }
    /* The lab may be killed at any moment: nobody waits for the result then. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close_range(INPUT_FD + (unsigned)n_files, ~0u, 0);
    close_network();
    if (set_limits(max_file) < 0 || close_files(n_files) < 0) {
        fprintf(stderr, "hotadd-lab-confine: %s\n", strerror(errno));
        return 126;
    }
    execvp(argv[3], argv + 3);
    fprintf(stderr, "hotadd-lab-confine: %s: %s\n", argv[3], strerror(errno));
    return 127;
}
