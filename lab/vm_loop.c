/* The monitor thread of one machine: everything that happens between QEMU, the guest's
 * network, the host's SSH clients and the lab's orders, in one poll loop.
 *
 * Invariants: the thread alone touches sockets and QMP; what others may ask or learn
 * passes through the part of struct vm that its mutex guards; no callback (struct
 * vm_imds) runs under it. The thread ends only after QEMU and its supervisor are dead
 * and reaped. A killed lab takes the supervisor and QEMU with it (netns.h). */
#include "lab/vm_priv.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_BOOTING_NS NS_PER_S
#define TICK_RUNNING_NS (5 * NS_PER_S)
#define BUTTON_NS       (5 * NS_PER_S) /* a guest still booting hears the button later */

/* The console file is kept under this by punching out its beginning. */
#define CONSOLE_FILE_MAX (1 << 20)

enum { P_WAKE, P_CONTROL, P_QMP, P_STDERR, P_DHCP, P_ARP, P_PROBE, P_FIXED };

struct round {
    struct pollfd p[P_FIXED + 2 * CONN_POLL_MAX];
    size_t imds_at, relay_at, n;
};

/* The first to speak decides how it ended. Others learn of it when it has come true, at
 * the end of the thread: whoever sees a machine off may use its volumes. */
static void set_over(struct vm *vm, enum vm_power power, const char *reason)
{
    if (vm->outcome != VM_POWER_RUNNING)
        return;
    vm->outcome = power;
    snprintf(vm->outcome_reason, sizeof vm->outcome_reason, "%s", reason);
}

static struct vm_orders orders_of(struct vm *vm)
{
    struct vm_orders o;

    pthread_mutex_lock(&vm->lock);
    o = vm->orders;
    pthread_mutex_unlock(&vm->lock);
    return o;
}

static void command(struct vm *vm, const char *name)
{
    struct err e;

    if (qmp_send(&vm->qmp, name, &e) < 0)
        log_debug("%s: %s", vm->instance_id, e.msg);
}

/* ---- what QEMU tells ---- */

/* Before a reset nothing was asked for that still counts. */
static void on_reset(struct vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    vm->orders.reboot = false;
    vm->dhcp_lease = vm->imds_asked = false;
    vm->answered_ns = vm->service_ns = 0;
    pthread_mutex_unlock(&vm->lock);
    vm->imds.asked = false;
    vm->button_pressed = false;
    vm->probe.next_ns = 0;
    /* After a reset out of the guest's own power-off QEMU stands still. */
    command(vm, "cont");
}

static void on_event(void *ctx, enum qmp_event event)
{
    struct vm *vm = ctx;
    struct vm_orders o;

    switch (event) {
    case QMP_READY:
        pthread_mutex_lock(&vm->lock);
        vm->ready = true;
        pthread_cond_broadcast(&vm->changed);
        pthread_mutex_unlock(&vm->lock);
        break;
    case QMP_SHUTDOWN:
        o = orders_of(vm);
        if (o.reboot && !o.stop)
            command(vm, "system_reset");
        else
            set_over(vm, VM_POWER_OFF,
                     o.stop ? "stopped" : "the guest switched itself off");
        break;
    case QMP_RESET:
        on_reset(vm);
        break;
    case QMP_SHOT:
    case QMP_NO_SHOT:
        pthread_mutex_lock(&vm->lock);
        vm->shot = event == QMP_SHOT ? SHOT_DONE : SHOT_FAILED;
        pthread_cond_broadcast(&vm->changed);
        pthread_mutex_unlock(&vm->lock);
        break;
    case QMP_OTHER:
        break;
    }
}

static void read_qmp(struct vm *vm)
{
    struct err e;

    if (qmp_read(&vm->qmp, on_event, vm, &e) == 0)
        return;
    /* QEMU is ending; its status follows through the supervisor. */
    log_debug("%s: %s", vm->instance_id, e.msg);
    close(vm->qmp.fd);
    vm->qmp.fd = -1;
}

static void read_stderr(struct vm *vm)
{
    char data[1024];
    ssize_t n = read(vm->ns.child.stderr_fd, data, sizeof data);
    size_t drop, len = n > 0 ? (size_t)n : 0;

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close(vm->ns.child.stderr_fd);
        vm->ns.child.stderr_fd = -1;
        return;
    }
    drop = vm->err_len + len > VM_STDERR_MAX ? vm->err_len + len - VM_STDERR_MAX : 0;
    memmove(vm->err_tail, vm->err_tail + drop, vm->err_len - drop);
    vm->err_len -= drop;
    memcpy(vm->err_tail + vm->err_len, data, len);
    vm->err_len += len;
    vm->err_tail[vm->err_len] = 0;
}

/* The last line that QEMU printed, "" when it said nothing. */
static const char *last_words(struct vm *vm)
{
    char *end = vm->err_tail + vm->err_len, *nl;

    while (vm->ns.child.stderr_fd >= 0) {
        struct pollfd p = {.fd = vm->ns.child.stderr_fd, .events = POLLIN};

        if (poll(&p, 1, 0) <= 0)
            break;
        read_stderr(vm);
        end = vm->err_tail + vm->err_len;
    }
    while (end > vm->err_tail && end[-1] == '\n')
        *--end = 0;
    nl = strrchr(vm->err_tail, '\n');
    return nl ? nl + 1 : vm->err_tail;
}

static void check_supervisor(struct vm *vm)
{
    char status[32], why[512];
    const char *words;

    netns_check(&vm->ns);
    if (!vm->ns.ended)
        return;
    words = last_words(vm);
    child_status_text(vm->ns.end_status, status, sizeof status);
    snprintf(why, sizeof why, "QEMU ended by itself (%s)%s%.400s", status,
             *words ? ": " : "", words);
    set_over(vm, VM_POWER_CRASHED, why);
}

/* ---- orders ---- */

static void take_picture(struct vm *vm, bool wake_up)
{
    auto_free char *path = NULL;
    struct err e;

    pthread_mutex_lock(&vm->lock);
    vm->orders.shot = false;
    pthread_mutex_unlock(&vm->lock);
    path = str_fmt(&e, "%s/" VM_SCREEN_FILE, vm->dir);
    if (path && (!wake_up || qmp_press_key(&vm->qmp, &e) == 0) &&
        qmp_screendump(&vm->qmp, path, &e) == 0)
        return;
    log_debug("%s: %s", vm->instance_id, e.msg);
    on_event(vm, QMP_NO_SHOT);
}

/* The next moment at which carry_out() has something to do. */
static uint64_t carry_out(struct vm *vm, uint64_t now_ns)
{
    struct vm_orders o = orders_of(vm);
    uint64_t next_ns = UINT64_MAX;

    if (o.shot)
        take_picture(vm, o.wake_up);
    if (o.cut)
        set_over(vm, VM_POWER_OFF, "cut off");
    if (o.stop && now_ns >= o.stop_until_ns)
        set_over(vm, VM_POWER_OFF, "cut off: the guest ignored the power button");
    if (o.stop)
        next_ns = o.stop_until_ns;
    if (o.reboot && !o.stop) {
        if (now_ns >= o.reboot_until_ns) {
            command(vm, "system_reset");
            pthread_mutex_lock(&vm->lock);
            vm->orders.reboot = false;
            pthread_mutex_unlock(&vm->lock);
            return 0;
        }
        next_ns = o.reboot_until_ns;
    }
    if ((o.stop || o.reboot) && (!vm->button_pressed || now_ns >= vm->next_button_ns)) {
        command(vm, "system_powerdown");
        vm->button_pressed = true;
        vm->next_button_ns = now_ns + BUTTON_NS;
    }
    if ((o.stop || o.reboot) && vm->next_button_ns < next_ns)
        next_ns = vm->next_button_ns;
    return next_ns;
}

/* ---- the guest's network ---- */

static void serve_dhcp(struct vm *vm)
{
    uint8_t in[DHCP_PACKET_MAX], out[DHCP_PACKET_MAX];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(68)};
    size_t out_len;
    ssize_t n;

    for (int i = 0; i < 16; i++) {
        enum dhcp_answer a;

        n = recv(vm->ns.dhcp_fd, in, sizeof in, MSG_DONTWAIT);
        if (n < 0)
            return;
        a = dhcp_answer(&vm->lease, in, (size_t)n, out, &out_len, &to.sin_addr);
        if (a == DHCP_SILENT)
            continue;
        if (sendto(vm->ns.dhcp_fd, out, out_len, MSG_DONTWAIT, (struct sockaddr *)&to,
                   sizeof to) < 0)
            log_debug("%s: DHCP: %m", vm->instance_id);
        else if (a == DHCP_ACK) {
            pthread_mutex_lock(&vm->lock);
            vm->dhcp_lease = true;
            pthread_mutex_unlock(&vm->lock);
        }
    }
}

/* A guest that prints without end must not fill the host's disk. Punching keeps every
 * offset, so neither QEMU, which appends, nor a reader is disturbed. */
static void trim_console(struct vm *vm)
{
    auto_fd int fd = open(vm->console_path, O_WRONLY | O_CLOEXEC);
    struct stat st;
    off_t drop;

    if (fd < 0 || fstat(fd, &st) < 0 || (off_t)st.st_blocks * 512 < CONSOLE_FILE_MAX)
        return;
    drop = (st.st_size - VM_CONSOLE_MAX) & ~(off_t)4095;
    if (drop > 0 &&
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, drop) < 0)
        log_debug("%s: %m", vm->console_path);
}

static void tick(struct vm *vm, uint64_t now_ns)
{
    bool well;

    if (now_ns < vm->next_tick_ns)
        return;
    pthread_mutex_lock(&vm->lock);
    well = vm->answered_ns && vm->service_ns;
    pthread_mutex_unlock(&vm->lock);
    vm->next_tick_ns = now_ns + (well ? TICK_RUNNING_NS : TICK_BOOTING_NS);
    vm_probe_tick(vm, now_ns);
    trim_console(vm);
}

/* ---- the loop ---- */

static void fill(struct vm *vm, struct round *r)
{
    r->p[P_WAKE] = (struct pollfd){.fd = vm->wake_fd, .events = POLLIN};
    r->p[P_CONTROL] = (struct pollfd){.fd = vm->ns.control_fd, .events = POLLIN};
    r->p[P_QMP] = (struct pollfd){.fd = vm->qmp.fd, .events = POLLIN};
    r->p[P_STDERR] = (struct pollfd){.fd = vm->ns.child.stderr_fd, .events = POLLIN};
    r->p[P_DHCP] = (struct pollfd){.fd = vm->ns.dhcp_fd, .events = POLLIN};
    r->p[P_ARP] = (struct pollfd){.fd = vm->ns.arp_fd, .events = POLLIN};
    r->p[P_PROBE] = (struct pollfd){.fd = vm->probe.fd, .events = vm_probe_events(vm)};
    r->imds_at = P_FIXED;
    r->relay_at = r->imds_at + imds_poll(&vm->imds, r->p + r->imds_at);
    r->n = r->relay_at + relay_poll(&vm->relay, r->p + r->relay_at);
}

static void serve(struct vm *vm, const struct round *r, uint64_t now_ns)
{
    uint64_t count;

    if (r->p[P_WAKE].revents && read(vm->wake_fd, &count, sizeof count) < 0)
        log_debug("%s: eventfd: %m", vm->instance_id);
    if (r->p[P_STDERR].revents)
        read_stderr(vm);
    if (r->p[P_QMP].revents)
        read_qmp(vm);
    if (r->p[P_CONTROL].revents)
        check_supervisor(vm);
    if (r->p[P_DHCP].revents)
        serve_dhcp(vm);
    if (r->p[P_ARP].revents)
        vm_arp_serve(vm);
    vm_probe_serve(vm, r->p[P_PROBE].revents, now_ns);
    imds_serve(&vm->imds, r->p + r->imds_at);
    if (vm->imds.asked) {
        pthread_mutex_lock(&vm->lock);
        vm->imds_asked = true;
        pthread_mutex_unlock(&vm->lock);
    }
    relay_serve(&vm->relay, r->p + r->relay_at);
    /* Asking the supervisor for a socket may have brought the news that QEMU ended. */
    if (vm->ns.ended)
        check_supervisor(vm);
}

static int poll_ms(const struct vm *vm, uint64_t next_ns, uint64_t now_ns)
{
    if (vm->next_tick_ns < next_ns)
        next_ns = vm->next_tick_ns;
    return next_ns <= now_ns ? 0 : (int)((next_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

/* QEMU dies here, whatever it was doing: for its disks that is the plug being pulled,
 * and every write it had acknowledged is in the host's kernel already. */
static void end(struct vm *vm)
{
    uint64_t one = 1;

    imds_release(&vm->imds);
    relay_release(&vm->relay);
    vm_probe_end(vm);
    netns_close(&vm->ns);
    qmp_release(&vm->qmp);
    pthread_mutex_lock(&vm->lock);
    vm->power = vm->outcome;
    memcpy(vm->reason, vm->outcome_reason, sizeof vm->reason);
    pthread_cond_broadcast(&vm->changed);
    pthread_mutex_unlock(&vm->lock);
    if (write(vm->ended_fd, &one, sizeof one) < 0)
        log_debug("%s: eventfd: %m", vm->instance_id);
}

void *vm_loop(void *arg)
{
    struct vm *vm = arg;
    struct round r;

    while (vm->outcome == VM_POWER_RUNNING) {
        uint64_t now_ns = clock_mono_ns(), next_ns = carry_out(vm, now_ns);

        tick(vm, now_ns);
        if (vm->outcome != VM_POWER_RUNNING)
            break;
        fill(vm, &r);
        if (poll(r.p, r.n, poll_ms(vm, next_ns, now_ns)) < 0) {
            if (errno != EINTR)
                set_over(vm, VM_POWER_CRASHED, "the monitor cannot poll");
            continue;
        }
        serve(vm, &r, clock_mono_ns());
    }
    end(vm);
    return NULL;
}
