/* One machine from the inside: shared by vm.c (its beginning and end) and vm_loop.c (its
 * monitor thread). */
#ifndef HOTADD_LAB_VM_PRIV_H
#define HOTADD_LAB_VM_PRIV_H

#include "lab/netns.h"
#include "lab/vm.h"
#include "lab/vm_conn.h"
#include "lab/vm_dhcp.h"
#include "lab/vm_qmp.h"

#include <pthread.h>

#define VM_STDERR_MAX  4096
#define VM_SCREEN_FILE "screen.ppm" /* in the machine's folder, for a moment */

/* A look at port 22: see vm_probe.c. */
struct vm_probe {
    int fd; /* owned; -1: none under way */
    bool connected;
    uint64_t until_ns, next_ns;
};

/* What the outside asks of the monitor thread. */
struct vm_orders {
    bool cut;           /* end it now */
    bool stop, reboot;  /* press the button … */
    bool shot, wake_up; /* the display's picture is wanted, a key pressed first */
    uint64_t stop_until_ns, reboot_until_ns; /* … and at this time do without */
};

struct vm {
    /* Set before the thread starts, then constant. */
    char *instance_id, *dir, *console_path; /* owned */
    struct dhcp_lease lease;
    int lock_fd;  /* flock on DIR/lock: one machine per instance */
    int wake_fd;  /* eventfd: there are orders */
    int ended_fd; /* eventfd: readable once it is over */
    uint16_t ssh_port;
    char network_note[320], accel_note[320];
    bool started; /* the thread exists */
    pthread_t thread;

    /* The monitor thread's own. */
    struct netns ns;
    struct qmp qmp;
    struct imds_set imds;
    struct relay_set relay;
    struct vm_probe probe;
    char err_tail[VM_STDERR_MAX + 1]; /* the end of what QEMU said on stderr */
    size_t err_len;
    uint64_t next_tick_ns, next_button_ns;
    bool button_pressed;
    enum vm_power outcome; /* how it ended; published as `power` at the very end */
    char outcome_reason[512];

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t changed;
    bool ready; /* QEMU has answered */
    enum vm_power power;
    char reason[512];
    struct vm_orders orders;
    bool shot_busy; /* one asks at a time */
    enum { SHOT_NONE, SHOT_DONE, SHOT_FAILED } shot;
    bool dhcp_lease, imds_asked;
    uint64_t answered_ns, service_ns; /* last seen; 0 never */
};

/* The thread's body; arg is the struct vm. */
void *vm_loop(void *arg);

/* Health: vm_probe.c, on the monitor thread. */
void vm_probe_tick(struct vm *vm, uint64_t now_ns);
short vm_probe_events(const struct vm *vm);
void vm_probe_serve(struct vm *vm, short events, uint64_t now_ns);
void vm_arp_serve(struct vm *vm);
void vm_probe_end(struct vm *vm);

#endif
