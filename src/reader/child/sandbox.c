/* Landlock (Documentation/userspace-api/landlock.rst of the kernel) and seccomp through
 * libseccomp; see sandbox.h. */
#include "reader/child/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than Debian 12's headers. */
#define RIGHT_REFER     (1ULL << 13) /* ABI 2 */
#define RIGHT_TRUNCATE  (1ULL << 14) /* ABI 3 */
#define RIGHT_IOCTL_DEV (1ULL << 15) /* ABI 5 */

#define READ_ALL (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define SOCKETS                                                                          \
    (LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK |                        \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE)
/* Those that make sense for a file that is no folder. */
#define FILE_RIGHTS                                                                      \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |                         \
     LANDLOCK_ACCESS_FS_WRITE_FILE | RIGHT_IOCTL_DEV)

/* ---- Landlock ---- */

static const struct {
    const char *path;
    uint64_t rights;
} system_paths[] = {
    {"/usr", READ_ALL | LANDLOCK_ACCESS_FS_EXECUTE},
    {"/lib", READ_ALL | LANDLOCK_ACCESS_FS_EXECUTE},
    {"/lib64", READ_ALL | LANDLOCK_ACCESS_FS_EXECUTE},
    {"/bin", READ_ALL | LANDLOCK_ACCESS_FS_EXECUTE},
    {"/etc/ld.so.cache", LANDLOCK_ACCESS_FS_READ_FILE},
    {"/proc/self", READ_ALL},
    {"/sys/devices/system/cpu", READ_ALL},
    {"/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE},
    {"/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE},
    {"/tmp", SOCKETS},
};

static uint64_t rights_known(long abi)
{
    uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

    return all | (abi >= 2 ? RIGHT_REFER : 0) | (abi >= 3 ? RIGHT_TRUNCATE : 0);
}

/* What is not there cannot be allowed, nor opened. */
static int allow(int rules, const char *path, uint64_t rights, struct err *e)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = rights};
    struct stat st;
    int r;

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return errno == ENOENT || errno == EACCES ? 0 : err_sys(e, "%s: open", path);
    if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed_access &= FILE_RIGHTS;
    r = (int)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    if (r < 0)
        err_sys(e, "%s: Landlock rule", path);
    close(rule.parent_fd);
    return r;
}

static int restrict_files(int rules, const char *const *folders, struct err *e)
{
    for (size_t i = 0; i < sizeof system_paths / sizeof system_paths[0]; i++)
        if (allow(rules, system_paths[i].path, system_paths[i].rights, e) < 0)
            return -1;
    for (; *folders; folders++)
        if (allow(rules, *folders, READ_ALL, e) < 0)
            return -1;
    if (syscall(SYS_landlock_restrict_self, rules, 0) < 0)
        return err_sys(e, "Landlock");
    return 0;
}

static int begin_landlock(const char *const *folders, struct err *e)
{
    long abi =
        syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct landlock_ruleset_attr attr = {.handled_access_fs = rights_known(abi)};
    int rules, r;

    if (abi < 1) {
        fprintf(stderr, "no Landlock here: files are not confined\n");
        return 0;
    }
    rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (rules < 0)
        return err_sys(e, "Landlock");
    r = restrict_files(rules, folders, e);
    close(rules);
    return r;
}

/* ---- seccomp ---- */

static int refused(int r, const char *what, struct err *e)
{
    return err_sys_n(e, -r, "seccomp: %s", what);
}

static int add(scmp_filter_ctx filter, uint32_t action, const char *name, struct err *e)
{
    int nr = seccomp_syscall_resolve_name(name), r;

    if (nr == __NR_SCMP_ERROR)
        return 0; /* libseccomp is older than the call */
    r = seccomp_rule_add(filter, action, nr, 0);
    /* -EFAULT: not on this architecture. */
    return r < 0 && r != -EFAULT && r != -EDOM ? refused(r, name, e) : 0;
}

/* A kernel without seccomp, or a container that keeps it, is said and lived with. */
static int load(scmp_filter_ctx filter, struct err *e)
{
    int r = seccomp_load(filter);

    if (r == -EINVAL || r == -ENOSYS || r == -EOPNOTSUPP || r == -EPERM || r == -EACCES) {
        fprintf(stderr, "no seccomp here: system calls are not confined\n");
        return 0;
    }
    return r < 0 ? refused(r, "load", e) : 0;
}

/* clang-format off */
static const char *const never[] = {
    "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp",
    "process_madvise", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup",
    "io_uring_enter", "io_uring_register", "keyctl", "add_key", "request_key",
    "mount", "umount2", "fsopen", "fsmount", "move_mount", "open_tree",
    "mount_setattr", "pivot_root", "chroot", "unshare", "setns", "kexec_load",
    "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot",
    "swapon", "swapoff", "settimeofday", "clock_settime", "adjtimex", "clock_adjtime",
    "acct", "quotactl", "open_by_handle_at", "name_to_handle_at", "personality",
    "vhangup", "syslog", "sethostname", "setdomainname", "iopl", "ioperm", "mknod",
    "mknodat", "symlink", "symlinkat", "link", "linkat", "chmod", "fchmod",
    "fchmodat", "chown", "fchown", "lchown", "fchownat", "setxattr", "lsetxattr",
    "fsetxattr", "removexattr", "lremovexattr", "fremovexattr", "utime", "utimes",
    "utimensat", "futimesat",
};
/* clang-format on */

static int forbid(scmp_filter_ctx filter, struct err *e)
{
    int r;

    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        if (add(filter, SCMP_ACT_ERRNO(EPERM), never[i], e) < 0)
            return -1;
    /* The instance's credentials are an HTTP request away. */
    r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1,
                         SCMP_A0(SCMP_CMP_NE, AF_UNIX));
    return r < 0 ? refused(r, "socket", e) : 0;
}

/* clang-format off */
static const char *const needed[] = {
    "read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "lseek",
    "close", "fstat", "newfstatat", "statx", "fcntl", "fadvise64", "munmap", "mremap",
    "madvise", "brk", "futex", "clone", "clone3", "exit", "exit_group",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait",
    "sigaltstack", "set_robust_list", "rseq", "gettid", "getpid", "getppid", "tgkill",
    "kill", "sched_yield", "sched_getaffinity", "clock_gettime", "clock_nanosleep",
    "nanosleep", "poll", "ppoll", "recvfrom", "recvmsg", "sendto", "sendmsg",
    "shutdown", "getrandom", "getrusage", "sysinfo", "restart_syscall", "wait4",
    "waitid",
};
/* clang-format on */

static int permit(scmp_filter_ctx filter, struct err *e)
{
    static const int protecting[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
    int r;

    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (add(filter, SCMP_ACT_ALLOW, needed[i], e) < 0)
            return -1;
    /* No new code. */
    for (size_t i = 0; i < sizeof protecting / sizeof protecting[0]; i++) {
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, protecting[i], 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        if (r < 0)
            return refused(r, "memory", e);
    }
    return 0;
}

static int enter(uint32_t others, int (*fill)(scmp_filter_ctx, struct err *),
                 struct err *e)
{
    scmp_filter_ctx filter = seccomp_init(others);
    int r;

    if (!filter)
        return err_nomem(e);
    r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1); /* every thread */
    r = r < 0 ? refused(r, "threads", e) : fill(filter, e);
    if (r == 0)
        r = load(filter, e);
    seccomp_release(filter);
    return r;
}

int sandbox_begin(const char *const *folders, struct err *e)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(e, "no_new_privs");
    if (begin_landlock(folders, e) < 0)
        return -1;
    return enter(SCMP_ACT_ALLOW, forbid, e);
}

int sandbox_close(struct err *e)
{
    return enter(SCMP_ACT_ERRNO(EPERM), permit, e);
}
