/* The machines under the lab's instances.
 *
 * Only the keeper's thread starts, stops and frees machines, and never under the lab's
 * lock (a machine's metadata requests need that lock). Others see the copies of what was
 * last observed. */
#ifndef HOTADD_LAB_MACHINES_H
#define HOTADD_LAB_MACHINES_H

#include "lab/lab.h"
#include "lab/vm.h"

struct machine_view {
    bool exists;
    uint16_t ssh_port;
    struct vm_health health;
    int64_t since_ms; /* of its start or last reboot */
    bool was_healthy; /* at some moment since then */
};

int machines_new(struct lab *lab, struct machines **ret, struct err *e) err_warn_unused;
/* Cuts off whatever still runs. Not under the lock. */
void machines_free(struct machines *m);

/* One round, under the lab's lock, which it lets go while machines start or stop:
 * starts what is pending, stops what is stopping, looks after what runs. */
void machines_tick(struct lab *lab);

/* Under the lock: whether any machine exists (then the keeper looks more often). */
bool machines_any(const struct lab *lab);

/* Under the lock. */
struct machine_view machines_view(const struct lab *lab, const char *instance_id);

/* Under the lock, which it lets go meanwhile: appends the display of an instance's
 * machine as JPEG. 1; 0 when it has no machine. */
int machines_screenshot(struct lab *lab, const char *instance_id, bool wake_up,
                        struct buf *out, struct err *e) err_warn_unused;

#endif
