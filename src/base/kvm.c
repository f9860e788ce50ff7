/* Whether KVM really runs guests; see kvm.h.
 *
 * The guest: one CPU put straight into 64-bit mode (the mode that kernels live in) that
 * adds one to a counter in each of 65536 cache lines in turn, then writes to port 0x80.
 * The sum over the counters must be the number of turns, so a KVM that skips or garbles
 * instructions is found out too. Ten million turns, fifty million instructions, are some
 * 20 ms on a processor and a second under an interpreter: whoever needs more than the
 * two seconds of the deadline is slower than QEMU's own translator.
 *
 * KVM_RUN cannot be given a time limit, and a broken one may not react to signals other
 * than SIGKILL, so it runs in a forked child. fork and not posix_spawn: a library has no
 * program of its own to run, and between fork and _exit the child makes plain system
 * calls only (no memory from malloc, no stdio, no locks), which is legal in a program
 * with threads. The child is killed at the deadline; a child that even survives SIGKILL
 * for a moment (stuck inside the kernel) is not waited for longer than that moment.
 *
 * A crash leaves nothing: the child dies with its parent, the cache file is replaced
 * atomically. */
#include "base/kvm.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const state_names[] = {
    [KVM_WORKS] = "works",   [KVM_ABSENT] = "absent",     [KVM_DENIED] = "denied",
    [KVM_BROKEN] = "broken", [KVM_TOO_SLOW] = "too-slow",
};

#define N_STATES (sizeof state_names / sizeof state_names[0])

const char *kvm_state_name(enum kvm_state s)
{
    return (size_t)s < N_STATES ? state_names[s] : "unknown";
}

static void explain(enum kvm_state s, const char *device, char *why)
{
    switch (s) {
    case KVM_WORKS:
        why[0] = 0;
        break;
    case KVM_ABSENT:
        snprintf(why, KVM_WHY_LEN, "there is no usable %s on this machine", device);
        break;
    case KVM_DENIED:
        snprintf(why, KVM_WHY_LEN,
                 "%s may not be opened by this user: add the user to group kvm", device);
        break;
    case KVM_BROKEN:
        snprintf(why, KVM_WHY_LEN, "%s is there, but a trial guest failed under it",
                 device);
        break;
    case KVM_TOO_SLOW:
        snprintf(why, KVM_WHY_LEN,
                 "%s is there, but a trial guest hung or crawled under it", device);
        break;
    }
}

#ifdef __x86_64__

#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define GUEST_MEMORY  (8u << 20)
#define GUEST_TABLES  0x1000u
#define GUEST_CODE    0x8000u
#define GUEST_DATA    0x200000u
#define GUEST_LINES   65536u
#define GUEST_PORT    0x80
#define CHILD_BROKEN  3
#define CHILD_ABSENT  4
#define REAP_GRACE_NS (200 * NS_PER_MS)

static const uint8_t guest_code[] = {
    0xb9, 0,          0,    0,    0,          /* mov ecx, TURNS */
    0x31, 0xdb,                               /* xor ebx, ebx */
    0xbe, 0x00,       0x00, 0x20, 0x00,       /* mov esi, GUEST_DATA */
    0x48, 0xff,       0x04, 0x1e,             /* 1: inc qword [rsi+rbx] */
    0x83, 0xc3,       0x40,                   /* add ebx, 64 */
    0x81, 0xe3,       0xff, 0xff, 0x3f, 0x00, /* and ebx, 4 MiB - 1 */
    0xff, 0xc9,                               /* dec ecx */
    0x75, 0xef,                               /* jnz 1b */
    0xe6, GUEST_PORT,                         /* out GUEST_PORT, al */
    0xf4,                                     /* hlt */
};

static void load_guest(uint8_t *mem, uint32_t turns)
{
    /* One page each of level 4, 3 and 2 tables; the last maps 8 MiB in large pages.
     * Bits: present and writable, and for the large pages also "large". */
    uint64_t *level4 = (uint64_t *)(mem + GUEST_TABLES), *level3 = level4 + 512,
             *level2 = level3 + 512;

    level4[0] = (GUEST_TABLES + 0x1000) | 3;
    level3[0] = (GUEST_TABLES + 0x2000) | 3;
    for (uint64_t i = 0; i < GUEST_MEMORY >> 21; i++)
        level2[i] = (i << 21) | 0x83;
    memcpy(mem + GUEST_CODE, guest_code, sizeof guest_code);
    memcpy(mem + GUEST_CODE + 1, &turns, sizeof turns);
}

/* Segments, control registers and EFER of 64-bit mode (Intel SDM volume 3, 9.8.5). */
static bool enter_long_mode(int cpu)
{
    struct kvm_segment code = {.limit = 0xffffffff,
                               .selector = 8,
                               .type = 11,
                               .present = 1,
                               .s = 1,
                               .l = 1,
                               .g = 1},
                       data = {.limit = 0xffffffff,
                               .selector = 16,
                               .type = 3,
                               .present = 1,
                               .db = 1,
                               .s = 1,
                               .g = 1};
    struct kvm_regs regs = {.rip = GUEST_CODE, .rsp = GUEST_CODE, .rflags = 2};
    struct kvm_sregs s;

    if (ioctl(cpu, KVM_GET_SREGS, &s) < 0)
        return false;
    s.cs = code;
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.cr0 = 0x80000001; /* paging, protection */
    s.cr3 = GUEST_TABLES;
    s.cr4 = 0x20;   /* physical address extension */
    s.efer = 0x500; /* long mode enabled and active */
    return ioctl(cpu, KVM_SET_SREGS, &s) >= 0 && ioctl(cpu, KVM_SET_REGS, &regs) >= 0;
}

static bool sum_is(const uint8_t *mem, uint64_t want)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < GUEST_LINES; i++)
        sum += *(const uint64_t *)(mem + GUEST_DATA + i * 64u);
    return sum == want;
}

/* The child's whole life: system calls only. Its exit status is the answer. */
static int run_guest(int kvm, uint32_t turns)
{
    struct kvm_userspace_memory_region region = {.memory_size = GUEST_MEMORY};
    struct kvm_run *run;
    uint8_t *mem;
    int vm, cpu, run_len;

    if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
        return CHILD_ABSENT;
    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    run_len = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    mem = mmap(NULL, GUEST_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
               -1, 0);
    if (vm < 0 || run_len < (int)sizeof *run || mem == MAP_FAILED)
        return CHILD_BROKEN;
    load_guest(mem, turns);
    region.userspace_addr = (uintptr_t)mem;
    /* Three pages that Intel processors without "unrestricted guest" need. */
    if (ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000) < 0 ||
        ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return CHILD_BROKEN;
    cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (cpu < 0)
        return CHILD_BROKEN;
    run = mmap(NULL, (size_t)run_len, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
    if (run == MAP_FAILED || !enter_long_mode(cpu))
        return CHILD_BROKEN;
    while (ioctl(cpu, KVM_RUN, 0) < 0)
        if (errno != EINTR && errno != EAGAIN)
            return CHILD_BROKEN;
    return run->exit_reason == KVM_EXIT_IO && run->io.port == GUEST_PORT &&
                   sum_is(mem, turns)
               ? 0
               : CHILD_BROKEN;
}

static _Noreturn void child_main(int kvm, uint32_t turns)
{
    /* The parent may have died before this line; then nobody waits for the answer, and
     * the alarm ends what remains. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(60);
    _exit(run_guest(kvm, turns));
}

static bool wait_until(pid_t pid, int pid_fd, uint64_t deadline_ns, int *status)
{
    for (;;) {
        struct pollfd p = {.fd = pid_fd, .events = POLLIN};
        uint64_t now_ns = clock_mono_ns();
        int ms = now_ns >= deadline_ns
                     ? 0
                     : (int)((deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
        int n = poll(&p, 1, ms);

        if (n > 0)
            return waitpid(pid, status, 0) == pid;
        if (n == 0 && ms == 0)
            return false;
        if (n < 0 && errno != EINTR)
            return false;
    }
}

static enum kvm_state state_of(int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return KVM_WORKS;
    if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_ABSENT)
        return KVM_ABSENT;
    return KVM_BROKEN;
}

static enum kvm_state try_in_child(int kvm, uint32_t turns, uint64_t deadline_ns)
{
    uint64_t until_ns = clock_mono_ns() + deadline_ns;
    auto_fd int pid_fd = -1;
    sigset_t all, old;
    int status = 0;
    pid_t pid;

    /* No handler of the program may run in the child. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid = fork();
    if (pid == 0)
        child_main(kvm, turns);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (pid < 0)
        return KVM_BROKEN;
    pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pid_fd >= 0 && wait_until(pid, pid_fd, until_ns, &status))
        return state_of(status);
    kill(pid, SIGKILL);
    if (pid_fd >= 0)
        wait_until(pid, pid_fd, clock_mono_ns() + REAP_GRACE_NS, &status);
    return pid_fd >= 0 ? KVM_TOO_SLOW : KVM_BROKEN;
}

static enum kvm_state try_device(const char *device, uint32_t turns, uint64_t deadline_ns)
{
    struct stat st;
    auto_fd int kvm = open(device, O_RDWR | O_CLOEXEC);

    if (kvm < 0)
        return errno == EACCES || errno == EPERM ? KVM_DENIED : KVM_ABSENT;
    if (fstat(kvm, &st) < 0 || !S_ISCHR(st.st_mode))
        return KVM_ABSENT;
    return try_in_child(kvm, turns, deadline_ns);
}

#else

static enum kvm_state try_device(const char *device, uint32_t turns, uint64_t deadline_ns)
{
    return KVM_ABSENT;
}

#endif

enum kvm_state kvm_try(const char *device, uint32_t turns, uint64_t deadline_ns,
                       char *why)
{
    enum kvm_state s = try_device(device, turns, deadline_ns);

    if (why)
        explain(s, device, why);
    return s;
}

#define KVM_DEVICE      "/dev/kvm"
#define KVM_TURNS       10000000u
#define KVM_DEADLINE_NS (2 * NS_PER_S)
#define CACHE_MAX       128
#define BOOT_ID_PATH    "/proc/sys/kernel/random/boot_id"

/* "BOOT-ID UID STATE\n": the device's permissions make the answer the user's own. */
static int cache_line(enum kvm_state s, struct buf *out, struct err *e)
{
    auto_buf struct buf boot = BUF_INIT;

    if (io_read_file(BOOT_ID_PATH, CACHE_MAX, &boot, e) < 0)
        return -1;
    buf_addf(out, "%s %u %s\n", str_trim(boot.data), (unsigned)geteuid(),
             kvm_state_name(s));
    return buf_check(out, e);
}

static bool cache_read(const char *path, enum kvm_state *ret)
{
    auto_buf struct buf have = BUF_INIT;
    struct err ignored;

    if (io_read_file(path, CACHE_MAX, &have, &ignored) < 0)
        return false;
    for (size_t s = 0; s < N_STATES; s++) {
        auto_buf struct buf line = BUF_INIT;

        if (cache_line((enum kvm_state)s, &line, &ignored) == 0 &&
            str_eq(buf_str(&line), buf_str(&have))) {
            *ret = (enum kvm_state)s;
            return true;
        }
    }
    return false;
}

static void cache_write(const char *path, enum kvm_state s)
{
    auto_buf struct buf line = BUF_INIT;
    struct err e;

    /* Only speed is lost without it. */
    if (cache_line(s, &line, &e) < 0 ||
        io_write_file_atomic(path, line.data, line.len, 0600, &e) < 0)
        log_debug("KVM probe not kept: %s", e.msg);
}

enum kvm_state kvm_probe(const char *cache_path, char *why)
{
    enum kvm_state s;

    if (!cache_path || !cache_read(cache_path, &s)) {
        s = kvm_try(KVM_DEVICE, KVM_TURNS, KVM_DEADLINE_NS, NULL);
        if (cache_path)
            cache_write(cache_path, s);
    }
    if (why)
        explain(s, KVM_DEVICE, why);
    return s;
}
