/* What happens by itself: states that change when their time has come, devices that go
 * away, machines that start and stop.
 *
 * A document that is on its way to another state carries `_due` (milliseconds since
 * 1970), so a restart finds everything that is still to be done. */
#ifndef HOTADD_LAB_KEEPER_H
#define HOTADD_LAB_KEEPER_H

#include "lab/lab.h"

struct keeper; /* the thread */

int keeper_start(struct lab *lab, struct keeper **ret, struct err *e) err_warn_unused;
void keeper_stop(struct keeper *k);

/* Under the lab's lock, outside a transaction: advances whatever is due and needs no
 * waiting. Failures are logged; what could not be written is tried again. */
void keeper_settle(struct lab *lab);

/* Before any thread: puts documents of an earlier life right (machines are gone, devices
 * made anew) and sweeps files without documents. */
int keeper_recover(struct lab *lab, struct err *e) err_warn_unused;

#endif
