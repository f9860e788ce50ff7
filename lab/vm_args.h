/* From an instance's description to QEMU's command line. Pure but for looking at the
 * disks and the environment. */
#ifndef HOTADD_LAB_VM_ARGS_H
#define HOTADD_LAB_VM_ARGS_H

#include "lab/vm.h"
#include "lab/vm_dhcp.h"

/* Refuses what cannot be right (ERR_USAGE) and reads the addresses. */
int vm_spec_check(const struct vm_spec *spec, struct dhcp_lease *ret_lease,
                  struct err *e) err_warn_unused;

#define VM_MEMORY_MIN     (128ull << 20)
#define VM_MEMORY_DEFAULT (1ull << 30)

/* What the guest gets of the memory that its instance type claims: whole MiB, at most
 * `limit` (NULL: VM_MEMORY_DEFAULT; a size as in HOTADD_LAB_MAX_MEMORY) and half of what
 * the host has free, at least VM_MEMORY_MIN. */
int vm_memory_for(uint64_t wanted_bytes, uint64_t host_free_bytes, const char *limit,
                  uint64_t *ret_bytes, struct err *e) err_warn_unused;

/* How this host runs it. Borrowed. */
struct vm_plan {
    bool kvm;
    bool sandbox; /* QEMU's seccomp filter */
    unsigned vcpus;
    uint64_t memory_bytes;
    const char *console_path;
    const char *uefi_code, *uefi_vars; /* NULL: BIOS */
    int qmp_fd;
    int tap_fd;         /* -1: QEMU's user network, cut off from the host */
    uint16_t user_port; /* with it: the host's port that leads to the guest's 22 */
    const struct dhcp_lease *lease;
};

struct vm_args {
    char **v; /* owned, NULL-terminated, for execvp */
    size_t n, cap;
};

int vm_args_build(const struct vm_spec *spec, const struct vm_plan *plan,
                  struct vm_args *ret, struct err *e) err_warn_unused;
void vm_args_release(struct vm_args *a);

#endif
