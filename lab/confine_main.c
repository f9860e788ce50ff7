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
#include "base/landlock.h"
#include "base/str.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define INPUT_FD   3
#define OUTPUT_FD  4
#define MAX_MEMORY (4ull << 30)
#define MAX_CPU_S  7200

static int limit(int what, uint64_t most)
{
    struct rlimit l = {.rlim_cur = most, .rlim_max = most};

    return setrlimit(what, &l);
}

static int set_limits(uint64_t max_file, struct err *e)
{
    if (limit(RLIMIT_AS, MAX_MEMORY) < 0 || limit(RLIMIT_CPU, MAX_CPU_S) < 0 ||
        limit(RLIMIT_FSIZE, max_file) < 0 || limit(RLIMIT_NOFILE, 64) < 0 ||
        limit(RLIMIT_CORE, 0) < 0)
        return err_sys(e, "limits");
    return 0;
}

static int allow_all(const struct landlock *l, uint64_t n_files, struct err *e)
{
    static const char *const dirs[] = {"/usr", "/lib", "/lib64", "/bin"};
    static const char *const files[] = {"/etc/ld.so.cache", "/dev/null", "/dev/urandom"};

    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
        if (landlock_allow(l, dirs[i], LANDLOCK_READ | LANDLOCK_RUN, e) < 0)
            return -1;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (landlock_allow(l, files[i], LANDLOCK_READ, e) < 0)
            return -1;
    if (n_files > 0 && landlock_allow_fd(l, INPUT_FD, LANDLOCK_READ, e) < 0)
        return -1;
    if (n_files > 1 &&
        landlock_allow_fd(l, OUTPUT_FD, LANDLOCK_READ | LANDLOCK_WRITE, e) < 0)
        return -1;
    return landlock_enter(l, e);
}

static int close_files(uint64_t n_files, struct err *e)
{
    struct landlock l;
    int r;

    if (landlock_begin(&l, e) < 0)
        return -1;
    r = allow_all(&l, n_files, e);
    landlock_release(&l);
    return r;
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
    if (set_limits(max_file, &e) < 0 || close_files(n_files, &e) < 0) {
        fprintf(stderr, "hotadd-lab-confine: %s\n", e.msg);
        return 126;
    }
    execvp(argv[3], argv + 3);
    fprintf(stderr, "hotadd-lab-confine: %s: %s\n", argv[3], strerror(errno));
    return 127;
}
