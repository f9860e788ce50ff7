/* Does KVM really run guests here?
 *
 * /dev/kvm opening is no proof: in some clouds and containers the device is there and a
 * guest under it stands still, or every instruction is emulated a thousand times too
 * slowly to boot. So a small 64-bit guest (a few million instructions over some memory)
 * is run in a child process with a deadline. On hardware that has KVM it takes some
 * 10 ms. */
#ifndef HOTADD_BASE_KVM_H
#define HOTADD_BASE_KVM_H

#include <stdint.h>

enum kvm_state {
    KVM_WORKS,
    KVM_ABSENT,  /* no /dev/kvm, or another architecture */
    KVM_DENIED,  /* there, but this user may not open it */
    KVM_BROKEN,  /* a guest fails under it */
    KVM_TOO_SLOW /* a guest hangs or crawls under it */
};

#define KVM_WHY_LEN 160

/* Tries once, at most about 2.5 seconds (the whole of which is spent only on
 * KVM_TOO_SLOW). Never fails: whatever goes wrong is a reason not to use KVM. The answer
 * holds for this boot of the machine; with a `cache_path` (may be NULL) it is kept in
 * that file together with the boot's id and read back from there next time. A file that
 * is damaged or of another boot or user is replaced. `why` (KVM_WHY_LEN bytes, may be
 * NULL) receives a sentence for the user, "" when KVM works. */
enum kvm_state kvm_probe(const char *cache_path, char *why);

/* The same without cache, with the device, the guest's work (loop turns of five
 * instructions) and the deadline chosen. */
enum kvm_state kvm_try(const char *device, uint32_t turns, uint64_t deadline_ns,
                       char *why);

/* "works", "absent", … */
const char *kvm_state_name(enum kvm_state s);

#endif
