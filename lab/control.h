/* How the commands `stop`, `status` and `faults` talk to a lab that is being served: one
 * JSON object each way over the unix socket STATE/control.sock, which only the owner of
 * the state directory can reach. */
#ifndef HOTADD_LAB_CONTROL_H
#define HOTADD_LAB_CONTROL_H

#include "lab/lab.h"

struct control;

/* `stop` is called (on the control thread) when a client asks the lab to end. */
int control_start(struct lab *lab, void (*stop)(void *ctx), void *ctx,
                  struct control **ret, struct err *e) err_warn_unused;
void control_end(struct control *c);

/* Sends `request` (borrowed) to the lab of state_dir and returns its answer, owned.
 * ERR_NOT_FOUND when none is being served; an answer with "error" becomes ERR_FAILED. */
int control_ask(const char *state_dir, const json_t *request, json_t **ret,
                struct err *e) err_warn_unused;

#endif
