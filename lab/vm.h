/* Instances that run: one QEMU machine each, laid out as a Nitro instance is.
 *
 * What the guest sees: an NVMe controller per volume whose serial number is the volume
 * id without its dash (QEMU 7.2 cannot set the model name, which on EC2 is "Amazon
 * Elastic Block Store"), the root first and the only one that firmware boots; a network
 * interface with the instance's MAC address; a serial console; Amazon's DMI strings; a
 * power button. QEMU has no ENA, so the interface is an Intel 82574 (e1000e), which
 * nearly every guest drives. PCI slots are Nitro's (root 04, network 05, other volumes
 * from 1f down), so that predictable names come out as on EC2 (ens5).
 *
 * The network is a private one per instance, without a way out: DHCP gives the guest its
 * private address, router .1 and name server .2 of its subnet; http://169.254.169.254/
 * is answered by struct vm_imds; nothing else answers. The host reaches the guest's port
 * 22 through a listener on 127.0.0.1. Where the kernel grants no network namespace, the
 * machine runs on QEMU's own user network cut off from the host (`restrict=on`): DHCP
 * and port 22 work, 169.254.169.254 does not, and vm_network_note() says so.
 *
 * Each machine has one monitor thread and one supervisor process (hotadd-lab-netns),
 * which is QEMU's parent and kills it when the lab ends, however it ends. All functions
 * may be called from any thread, also at once for one machine, but nothing may be called
 * once vm_free() has begun. */
#ifndef HOTADD_LAB_VM_H
#define HOTADD_LAB_VM_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct vm; /* owned by who called vm_start(), until vm_free() */

enum vm_boot { VM_BOOT_BIOS, VM_BOOT_UEFI };

/* How disks are attached. A machine that was imported without Amazon's drivers put in has
 * those of its old home: VMware's paravirtual SCSI, LSI Logic SAS, or SATA. */
enum vm_disks { VM_DISKS_NVME, VM_DISKS_PVSCSI, VM_DISKS_LSISAS, VM_DISKS_AHCI };

#define VM_MAX_DISKS 27 /* PCI slots left by Nitro's layout */

struct vm_disk {
    const char *volume_id;   /* "vol-0123…" */
    const char *path;        /* raw file or device */
    const char *device_name; /* "/dev/sda1", for messages only */
    bool is_root;            /* exactly one disk is */
    bool read_only;
};

/* Everything is borrowed for the call of vm_start() only. */
struct vm_spec {
    const char *instance_id; /* "i-" and hex digits */
    const char *state_dir;
    const char *instance_type; /* "m5.large", shown in DMI; NULL leaves it out */
    unsigned vcpus;            /* at most the host's CPUs are given */
    /* At most HOTADD_LAB_MAX_MEMORY (environment, bytes or "2G"; default 1 GiB) and half
     * of the host's free memory are given: a laptop survives an m5.24xlarge. */
    uint64_t memory_bytes;
    enum vm_boot boot;
    enum vm_disks controller;
    const struct vm_disk *disks;
    size_t n_disks;
    const char *mac;         /* "02:…" */
    const char *private_ip;  /* "172.31.5.9" */
    const char *subnet_cidr; /* "172.31.0.0/20"; /16 to /28 */
    const char *hostname;    /* "ip-172-31-5-9" */
};

/* A request of the guest to http://169.254.169.254/. Borrowed for the callback. */
struct vm_imds_header {
    const char *name; /* as sent; compare without case */
    const char *value;
};

struct vm_imds_request {
    const char *instance_id;
    const char *method; /* "GET", "PUT", … */
    const char *path;   /* with its query, begins with '/' */
    const struct vm_imds_header *headers;
    size_t n_headers;
};

/* Filled by the callback; released by the caller of it. */
struct vm_imds_reply {
    unsigned status;    /* 200 unless set */
    struct buf headers; /* whole lines, each "Name: value\r\n"; not Content-Length */
    struct buf body;
    bool close_unanswered; /* true: hang up without a word (IMDS disabled, hop limit) */
};

struct vm_imds {
    /* Runs on the machine's monitor thread: must be quick, must not call vm_*() on that
     * machine. -1 becomes a 500. Requests end when vm_free() returns. */
    int (*answer)(void *ctx, const struct vm_imds_request *req,
                  struct vm_imds_reply *reply, struct err *e);
    void *ctx;
};

/* The value of a header by its name, NULL when absent. Borrowed. */
const char *vm_imds_header(const struct vm_imds_request *req, const char *name);

/* Boots the machine. Blocks until QEMU runs the guest or has failed to start (seconds).
 * The console of an earlier boot is truncated. `imds` is copied; its ctx must live until
 * vm_free(). ERR_REQUIREMENT names the package when QEMU or OVMF is missing. A machine of
 * the same instance that an earlier, killed lab left over is ended first. */
int vm_start(const struct vm_spec *spec, const struct vm_imds *imds, struct vm **ret,
             struct err *e) err_warn_unused;

enum vm_power {
    VM_POWER_RUNNING,
    VM_POWER_OFF,     /* the guest switched itself off, or was stopped by vm_stop() */
    VM_POWER_CRASHED, /* QEMU ended by itself; see vm_power_reason() */
};

enum vm_power vm_power(struct vm *vm);

/* Why it is off or crashed, in words ("" while running). Returned. */
char *vm_power_reason(struct vm *vm, char *out, size_t out_len);

/* A descriptor that becomes readable, and stays so, once the machine is off or crashed;
 * for poll(). Borrowed: closed by vm_free(). */
int vm_ended_fd(struct vm *vm);

#define VM_STOP_GRACE_NS (60ull * 1000000000ull)

/* Presses the power button (ACPI, through QMP); a guest that is not off after grace_ns
 * (0: VM_STOP_GRACE_NS) is cut off. `force` cuts off at once. Does not wait: vm_power()
 * tells. Stopping what is off is fine; asking again can only bring the end forward. */
int vm_stop(struct vm *vm, bool force, uint64_t grace_ns, struct err *e) err_warn_unused;

/* Reboots as EC2 does: power button, then the reset line; a guest that ignores the
 * button for grace_ns (0: VM_STOP_GRACE_NS) is reset anyway. Does not wait. Fails
 * (ERR_FAILED) when the machine is not running. */
int vm_reboot(struct vm *vm, uint64_t grace_ns, struct err *e) err_warn_unused;

/* What the guest has been seen to do since it was started or last reset. */
struct vm_health {
    bool dhcp_lease; /* it asked for, and was acknowledged, its own private address */
    bool answers;    /* lately (within 30 s) answered ARP for its address, which is
                      * EC2's own reachability check */
    bool service;    /* lately accepted a TCP connection on port 22 */
    bool imds;       /* it has asked the metadata service for something */
};

struct vm_health vm_health(struct vm *vm);

/* Appends what the display shows as JPEG. `wake_up` presses a key first, for a display
 * that sleeps. Waits some seconds at most; ERR_FAILED when the machine is not running. */
int vm_screenshot(struct vm *vm, bool wake_up, struct buf *out_jpeg,
                  struct err *e) err_warn_unused;

/* The port on 127.0.0.1 that leads to the guest's port 22. */
uint16_t vm_ssh_port(struct vm *vm);

/* What the host could not give this machine, in words for a log or "" (borrowed, lives
 * as long as the machine): no KVM, no network namespace. */
const char *vm_network_note(struct vm *vm);
const char *vm_accel_note(struct vm *vm);

/* Cuts the machine off if it runs, waits for all its processes, threads and callbacks
 * to end, and frees it. The console stays. NULL is fine. */
void vm_free(struct vm *vm);

#define VM_CONSOLE_MAX 65536

/* Appends the last 64 KiB that the instance's latest start printed on its serial port
 * (across resets, as EC2 keeps them); nothing when it never ran. Works while it runs
 * and after. */
int vm_console(const char *state_dir, const char *instance_id, struct buf *out,
               struct err *e) err_warn_unused;

/* Removes what vm_start() keeps for a stopped instance (console, UEFI variables): for
 * TerminateInstances, after the console need not be read any more. Absent is fine. */
int vm_forget(const char *state_dir, const char *instance_id,
              struct err *e) err_warn_unused;

/* For start-up: ends machines that an earlier life of the lab on this state directory
 * left running (which takes a SIGKILL at a bad moment). */
int vm_reap_stale(const char *state_dir, struct err *e) err_warn_unused;

#endif
