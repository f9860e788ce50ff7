/* Landlock, and seccomp through libseccomp; see sandbox.h. */
#include "reader/child/sandbox.h"

#include "base/landlock.h"

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>

/* ---- Landlock ---- */

static const char *const system_paths[] = {
    "/usr",
    "/lib",
    "/lib64", /* encodings of a description's text */
    "/etc/ld.so.cache",
    "/proc/self",
    "/sys/devices/system/cpu",
    "/dev/urandom",
};

static int allow_all(const struct landlock *l, const char *const *folders, struct err *e)
{
    for (size_t i = 0; i < sizeof system_paths / sizeof system_paths[0]; i++)
        if (landlock_allow(l, system_paths[i], LANDLOCK_READ, e) < 0)
            return -1;
    for (; *folders; folders++)
        if (landlock_allow(l, *folders, LANDLOCK_READ, e) < 0)
            return -1;
    return landlock_enter(l, e);
}

static int restrict_files(const char *const *folders, struct err *e)
{
    struct landlock l;
    int r;

    if (landlock_begin(&l, e) < 0)
        return -1;
    if (l.rules < 0)
        fprintf(stderr, "no Landlock here: files are not confined\n");
    r = allow_all(&l, folders, e);
    landlock_release(&l);
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
    /* The instance's credentials are an HTTP request away. */
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "execve",
    "execveat",
};
/* clang-format on */

static int forbid(scmp_filter_ctx filter, struct err *e)
{
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        if (add(filter, SCMP_ACT_ERRNO(EPERM), never[i], e) < 0)
            return -1;
    return 0;
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
    "shutdown", "getrandom", "getrusage", "sysinfo", "restart_syscall",
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
    if (restrict_files(folders, e) < 0)
        return -1;
    return enter(SCMP_ACT_ALLOW, forbid, e);
}

int sandbox_close(struct err *e)
{
    return enter(SCMP_ACT_ERRNO(EPERM), permit, e);
}
