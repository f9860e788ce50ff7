/* Machines: their beginning and their end; see vm.h. What happens in between is the
 * monitor thread's (vm_loop.c).
 *
 * Kept in STATE/run/INSTANCE/:
 *   lock          flock of the one lab that runs this instance
 *   pid           QEMU and its supervisor, each with its start time, and the boot's id
 *   console.log   the serial console since the latest start
 *   uefi-vars.fd  the firmware's variables, which outlive a stop
 * A killed lab leaves `pid` behind and, in the worst case of the kernel's bookkeeping, a
 * process; vm_start() and vm_reap_stale() end it by number, start time and boot, so a
 * stranger that got the number meanwhile is safe. */
#include "lab/vm_priv.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/kvm.h"
#include "base/log.h"
#include "base/str.h"
#include "lab/screen.h"
#include "lab/vm_args.h"
#include "lab/vm_files.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define READY_TIMEOUT_NS (30 * NS_PER_S)
#define SHOT_TIMEOUT_S   10
#define ANSWERS_NS       (30 * NS_PER_S)  /* "lately", see vm_health */
#define SERVICE_NS       (150 * NS_PER_S) /* longer than the pause between two looks */

/* ---- the host ---- */

static unsigned host_cpus(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) < 0 ? 1 : (unsigned)CPU_COUNT(&set);
}

/* MemAvailable of /proc/meminfo; 0 when unknown. */
static uint64_t host_free_bytes(void)
{
    auto_buf struct buf b = BUF_INIT;
    struct err ignored;
    const char *at;
    uint64_t kib = 0;
    size_t n;

    if (io_read_file("/proc/meminfo", 1 << 16, &b, &ignored) < 0)
        return 0;
    at = strstr(buf_str(&b), "MemAvailable:");
    if (!at)
        return 0;
    at += strlen("MemAvailable:");
    at += strspn(at, " ");
    n = strspn(at, "0123456789");
    auto_free char *digits = str_ndup(at, n, &ignored);
    return digits && str_to_u64(digits, &kib, &ignored) == 0 ? kib << 10 : 0;
}

/* HOTADD_LAB_ACCEL=kvm or tcg overrules the probe. */
static int choose_accel(struct vm *vm, const char *state_dir, struct vm_plan *plan,
                        struct err *e)
{
    const char *asked = getenv("HOTADD_LAB_ACCEL");
    auto_free char *cache = str_fmt(e, "%s/run/kvm", state_dir);
    char why[KVM_WHY_LEN];

    if (!cache)
        return -1;
    if (asked && *asked && !str_eq(asked, "auto")) {
        if (!str_eq(asked, "kvm") && !str_eq(asked, "tcg"))
            return err_set(e, ERR_USAGE,
                           "HOTADD_LAB_ACCEL is \"%s\", not kvm, tcg or auto", asked);
        plan->kvm = str_eq(asked, "kvm");
        return 0;
    }
    plan->kvm = kvm_probe(cache, why) == KVM_WORKS;
    if (!plan->kvm)
        snprintf(vm->accel_note, sizeof vm->accel_note,
                 "%s; QEMU interprets the guest instead, which is several times slower",
                 why);
    return 0;
}

static int make_plan(struct vm *vm, const struct vm_spec *spec, struct vm_plan *plan,
                     struct err *e)
{
    unsigned cpus = host_cpus();

    *plan = (struct vm_plan){.sandbox = true,
                             .console_path = vm->console_path,
                             .qmp_fd = NETNS_FD_QMP,
                             .tap_fd = NETNS_FD_TAP,
                             .lease = &vm->lease};
    plan->vcpus = spec->vcpus < 1 ? 1 : spec->vcpus > cpus ? cpus : spec->vcpus;
    if (vm_memory_for(spec->memory_bytes, host_free_bytes(),
                      getenv("HOTADD_LAB_MAX_MEMORY"), &plan->memory_bytes, e) < 0)
        return -1;
    return choose_accel(vm, spec->state_dir, plan, e);
}

/* ---- start ---- */

/* An eventfd, or -1 with e set. */
static int make_eventfd(struct err *e)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    return fd < 0 ? err_sys(e, "eventfd") : fd;
}

static struct vm *vm_new(const struct vm_spec *spec, const struct vm_imds *imds,
                         struct err *e)
{
    struct vm *vm = mem_zalloc(1, sizeof *vm, e);

    if (!vm)
        return NULL;
    vm->lock_fd = vm->wake_fd = vm->ended_fd = -1;
    vm->ns = (struct netns)NETNS_INIT;
    vm->qmp.fd = vm->imds.listen_fd = vm->relay.listen_fd = vm->probe.fd = -1;
    vm->imds.imds = *imds;
    pthread_mutex_init(&vm->lock, NULL);
    pthread_cond_init(&vm->changed, NULL);
    vm->instance_id = str_dup(spec->instance_id, e);
    vm->dir = vm->instance_id ? vm_dir(spec->state_dir, spec->instance_id, e) : NULL;
    vm->console_path = vm->dir ? str_fmt(e, "%s/" VM_CONSOLE_FILE, vm->dir) : NULL;
    if (vm->console_path)
        vm->wake_fd = make_eventfd(e);
    if (vm->wake_fd >= 0)
        vm->ended_fd = make_eventfd(e);
    if (vm->ended_fd < 0) {
        vm_free(vm);
        return NULL;
    }
    vm->imds.instance_id = vm->qmp.who = vm->instance_id;
    return vm;
}

/* A port of 127.0.0.1 that was free just now, for QEMU to listen on. */
static int free_port(uint16_t *ret, struct err *e)
{
    struct relay_set probe = {.listen_fd = -1};
    int r = relay_listen(&probe, ret, e);

    relay_release(&probe);
    return r;
}

/* The supervisor with its network, or the poorer network of QEMU itself. */
static int make_network(struct vm *vm, struct vm_plan *plan, int qmp_child_fd,
                        struct err *e)
{
    const char *mode = getenv("HOTADD_LAB_NETWORK");
    struct netns_config config = {.router = vm->lease.router,
                                  .dns = vm->lease.dns,
                                  .prefix_len = vm->lease.prefix_len,
                                  .no_network = mode && str_eq(mode, "user")};

    if (netns_open(&config, qmp_child_fd, &vm->ns, e) < 0)
        return -1;
    if (vm->ns.dhcp_fd < 0) {
        snprintf(vm->network_note, sizeof vm->network_note,
                 "no network of its own (%s): the guest gets DHCP and SSH from QEMU, but "
                 "no metadata service",
                 vm->ns.why_no_network);
        plan->tap_fd = -1;
        if (free_port(&vm->ssh_port, e) < 0)
            return -1;
        plan->user_port = vm->ssh_port;
        return 0;
    }
    vm->imds.listen_fd = vm->ns.imds_fd;
    vm->relay.ns = &vm->ns;
    vm->relay.guest = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr = vm->lease.address, .sin_port = htons(22)};
    return relay_listen(&vm->relay, &vm->ssh_port, e);
}

static int find_qemu(struct err *e)
{
    const char *path = getenv("PATH");
    auto_free char *dirs = str_dup(path ? path : "/usr/bin:/bin", e);
    char *rest = dirs, *dir;

    if (!dirs)
        return -1;
    while ((dir = strsep(&rest, ":"))) {
        auto_free char *p = str_fmt(e, "%s/qemu-system-x86_64", *dir ? dir : ".");

        if (!p)
            return -1;
        if (access(p, X_OK) == 0)
            return 0;
    }
    return err_set(e, ERR_REQUIREMENT,
                   "qemu-system-x86_64 is not there: install qemu-system-x86");
}

static int run_qemu(struct vm *vm, const struct vm_spec *spec, const struct vm_plan *plan,
                    struct err *e)
{
    auto_call(vm_args_release) struct vm_args args = {0};

    if (vm_args_build(spec, plan, &args, e) < 0)
        return -1;
    for (size_t i = 0; i < args.n && args.v[i]; i++)
        log_debug("%s: qemu argument %zu: %s", vm->instance_id, i, args.v[i]);
    if (netns_run(&vm->ns, (const char *const *)args.v, e) < 0)
        return -1;
    return vm_pid_write(vm->dir, vm->ns.qemu_pid, vm->ns.child.pid, e);
}

/* Everything up to a QEMU process and its sockets. */
static int launch(struct vm *vm, const struct vm_spec *spec, struct vm_plan *plan,
                  struct err *e)
{
    auto_fd int child_end = -1;
    int pair[2], r;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(e, "socketpair");
    vm->qmp.fd = pair[0];
    child_end = pair[1];
    if (fcntl(vm->qmp.fd, F_SETFL, O_NONBLOCK) < 0)
        return err_sys(e, "QMP socket");
    r = make_network(vm, plan, child_end, e);
    if (r == 0 && fcntl(vm->ns.child.stderr_fd, F_SETFL, O_NONBLOCK) < 0)
        r = err_sys(e, "pipe");
    return r < 0 ? -1 : run_qemu(vm, spec, plan, e);
}

/* Waits until QEMU has answered on QMP (then the guest runs) or has ended. */
static int wait_ready(struct vm *vm, struct err *e)
{
    struct timespec until;
    int r = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(READY_TIMEOUT_NS / NS_PER_S);
    pthread_mutex_lock(&vm->lock);
    while (!vm->ready && vm->power == VM_POWER_RUNNING && r == 0)
        r = pthread_cond_timedwait(&vm->changed, &vm->lock, &until);
    if (vm->ready)
        r = 0;
    else if (vm->power != VM_POWER_RUNNING)
        r = err_set(e, ERR_FAILED, "%s did not start: %s", vm->instance_id, vm->reason);
    else
        r = err_set(e, ERR_TIMEOUT, "%s did not start: QEMU does not answer",
                    vm->instance_id);
    pthread_mutex_unlock(&vm->lock);
    return r;
}

static int start_thread(struct vm *vm, struct err *e)
{
    sigset_t all, old;
    int r;

    /* Signals are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&vm->thread, NULL, vm_loop, vm);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r)
        return err_sys_n(e, r, "monitor thread of %s", vm->instance_id);
    vm->started = true;
    return 0;
}

static int start_once(const struct vm_spec *spec, const struct vm_imds *imds,
                      const struct dhcp_lease *lease, bool sandbox, struct vm **ret,
                      struct err *e)
{
    struct vm *vm = vm_new(spec, imds, e);
    auto_free char *vars = NULL;
    struct vm_plan plan;
    int r;

    if (!vm)
        return -1;
    vm->lease = *lease;
    r = vm_dir_prepare(vm->dir, &vm->lock_fd, e);
    if (r == 0)
        r = make_plan(vm, spec, &plan, e);
    if (r == 0 && spec->boot == VM_BOOT_UEFI)
        r = vm_uefi_prepare(vm->dir, &plan.uefi_code, &vars, e);
    if (r == 0) {
        plan.uefi_vars = vars;
        plan.sandbox = sandbox;
        r = launch(vm, spec, &plan, e);
    }
    if (r == 0)
        r = start_thread(vm, e);
    if (r == 0)
        r = wait_ready(vm, e);
    if (r < 0) {
        vm_free(vm);
        return -1;
    }
    *ret = vm;
    return 0;
}

int vm_start(const struct vm_spec *spec, const struct vm_imds *imds, struct vm **ret,
             struct err *e)
{
    struct dhcp_lease lease;

    if (vm_spec_check(spec, &lease, e) < 0 || find_qemu(e) < 0)
        return -1;
    if (start_once(spec, imds, &lease, true, ret, e) == 0)
        return 0;
    /* A QEMU built without seccomp, or a kernel without it, says so and ends. */
    if (e->kind != ERR_FAILED || !strstr(e->msg, "seccomp"))
        return -1;
    log_debug("%s: without QEMU's sandbox: %s", spec->instance_id, e->msg);
    return start_once(spec, imds, &lease, false, ret, e);
}

/* ---- while it runs ---- */

static void wake(struct vm *vm)
{
    uint64_t one = 1;

    /* Only a full counter makes this fail, and then the thread wakes anyway. */
    if (write(vm->wake_fd, &one, sizeof one) < 0)
        return;
}

enum vm_power vm_power(struct vm *vm)
{
    enum vm_power p;

    pthread_mutex_lock(&vm->lock);
    p = vm->power;
    pthread_mutex_unlock(&vm->lock);
    return p;
}

char *vm_power_reason(struct vm *vm, char *out, size_t out_len)
{
    pthread_mutex_lock(&vm->lock);
    snprintf(out, out_len, "%s", vm->reason);
    pthread_mutex_unlock(&vm->lock);
    return out;
}

int vm_ended_fd(struct vm *vm)
{
    return vm->ended_fd;
}

static uint64_t until(uint64_t grace_ns)
{
    uint64_t t;

    return __builtin_add_overflow(clock_mono_ns(), grace_ns ? grace_ns : VM_STOP_GRACE_NS,
                                  &t)
               ? UINT64_MAX
               : t;
}

int vm_stop(struct vm *vm, bool force, uint64_t grace_ns, struct err *e)
{
    uint64_t at_ns = until(grace_ns);

    pthread_mutex_lock(&vm->lock);
    if (force)
        vm->orders.cut = true;
    if (!vm->orders.stop || at_ns < vm->orders.stop_until_ns)
        vm->orders.stop_until_ns = at_ns;
    vm->orders.stop = true;
    pthread_mutex_unlock(&vm->lock);
    wake(vm);
    return 0;
}

int vm_reboot(struct vm *vm, uint64_t grace_ns, struct err *e)
{
    int r = 0;

    pthread_mutex_lock(&vm->lock);
    if (vm->power != VM_POWER_RUNNING || vm->orders.stop || vm->orders.cut)
        r = err_set(e, ERR_FAILED, "%s is not running", vm->instance_id);
    else if (!vm->orders.reboot) {
        vm->orders.reboot = true;
        vm->orders.reboot_until_ns = until(grace_ns);
    }
    pthread_mutex_unlock(&vm->lock);
    wake(vm);
    return r;
}

static bool lately(uint64_t seen_ns, uint64_t window_ns)
{
    return seen_ns && clock_mono_ns() - seen_ns < window_ns;
}

struct vm_health vm_health(struct vm *vm)
{
    struct vm_health h = {0};

    pthread_mutex_lock(&vm->lock);
    if (vm->power == VM_POWER_RUNNING) {
        h.dhcp_lease = vm->dhcp_lease;
        h.answers = lately(vm->answered_ns, ANSWERS_NS);
        h.service = lately(vm->service_ns, SERVICE_NS);
        h.imds = vm->imds_asked;
        /* Without ARP to watch (no namespace), the rarer look at the service counts. */
        if (vm->network_note[0])
            h.answers = h.service;
    }
    pthread_mutex_unlock(&vm->lock);
    return h;
}

/* With the machine's lock: until the picture is there, the machine is off, or it takes
 * too long. */
static int wait_for_shot(struct vm *vm, const struct timespec *deadline, struct err *e)
{
    while (vm->power == VM_POWER_RUNNING && vm->shot == SHOT_NONE)
        if (pthread_cond_timedwait(&vm->changed, &vm->lock, deadline) == ETIMEDOUT)
            break;
    if (vm->power != VM_POWER_RUNNING)
        return err_set(e, ERR_FAILED, "%s is not running", vm->instance_id);
    if (vm->shot != SHOT_DONE)
        return err_set(e, ERR_TIMEOUT, "QEMU gives no picture of %s", vm->instance_id);
    return 0;
}

static int order_shot(struct vm *vm, bool wake_up, struct err *e)
{
    struct timespec deadline;
    int r;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += SHOT_TIMEOUT_S;
    pthread_mutex_lock(&vm->lock);
    while (vm->shot_busy)
        pthread_cond_wait(&vm->changed, &vm->lock);
    vm->shot_busy = true;
    vm->shot = SHOT_NONE;
    vm->orders.wake_up = wake_up;
    vm->orders.shot = true;
    wake(vm);
    r = wait_for_shot(vm, &deadline, e);
    vm->orders.shot = false;
    pthread_mutex_unlock(&vm->lock);
    return r;
}

int vm_screenshot(struct vm *vm, bool wake_up, struct buf *out_jpeg, struct err *e)
{
    auto_free char *path = str_fmt(e, "%s/" VM_SCREEN_FILE, vm->dir);
    auto_buf struct buf ppm = BUF_INIT;
    int r;

    if (!path)
        return -1;
    r = order_shot(vm, wake_up, e);
    if (r == 0)
        r = io_read_file(path, SCREEN_MAX_PPM, &ppm, e);
    unlink(path);
    pthread_mutex_lock(&vm->lock);
    vm->shot_busy = false;
    pthread_cond_broadcast(&vm->changed);
    pthread_mutex_unlock(&vm->lock);
    return r < 0 ? -1 : screen_jpeg(buf_str(&ppm), ppm.len, out_jpeg, e);
}

uint16_t vm_ssh_port(struct vm *vm)
{
    return vm->ssh_port;
}

const char *vm_network_note(struct vm *vm)
{
    return vm->network_note;
}

const char *vm_accel_note(struct vm *vm)
{
    return vm->accel_note;
}

void vm_free(struct vm *vm)
{
    struct err ignored;

    if (!vm)
        return;
    if (vm->started) {
        if (vm_stop(vm, true, 0, &ignored) == 0)
            pthread_join(vm->thread, NULL);
    } else {
        relay_release(&vm->relay);
        netns_close(&vm->ns);
        qmp_release(&vm->qmp);
    }
    if (vm->lock_fd >= 0)
        vm_pid_remove(vm->dir);
    close(vm->lock_fd);
    close(vm->wake_fd);
    close(vm->ended_fd);
    pthread_mutex_destroy(&vm->lock);
    pthread_cond_destroy(&vm->changed);
    free(vm->instance_id);
    free(vm->dir);
    free(vm->console_path);
    free(vm);
}
