/* Errors, delays and lost replies on demand, kept in the store until cleared.
 *
 * A fault names an action ("*" for all) and an effect: an error code ("VolumeInUse"),
 * "delay" (before anything is done), "delay-reply" (after the action was done),
 * "drop-request" (the connection closes before anything is done), "drop-reply" (it closes
 * after the action was done), "drop-body" (it closes after half of the answer's body),
 * "deny" (UnauthorizedOperation), "fail" (the import that
 * the call starts fails later) or "eventual" (new resources are not found for a while;
 * action "*"). */
#ifndef HOTADD_LAB_FAULTS_H
#define HOTADD_LAB_FAULTS_H

#include "lab/act.h"

#define FAULT_MAX_DELAY_MS 600000

struct fault_outcome {
    int64_t delay_ms, reply_delay_ms;
    bool drop_request, drop_reply, drop_body, denied;
    bool fail_task; /* with `message` */
    char code[80];  /* "" for none */
    char message[300];
};

/* What happens to this call; counts down faults with --times. Commits. */
int faults_take(struct lab *lab, const char *action, const struct principal *who,
                struct fault_outcome *ret, struct err *e) err_warn_unused;

/* Sleeps for as long as the outcome wants, with the lab's lock let go. */
void faults_delay(struct lab *lab, const struct fault_outcome *f);

/* The same after the action was done; the caller does not hold the lock. */
void faults_delay_reply(const struct fault_outcome *f);

/* `spec`: {action, effect, times?, ms?, message?, who?} in JSON as the control socket
 * gets it; the stored document (borrowed) is returned. Commits. ERR_USAGE says what is
 * wrong with the spec. */
int faults_add(struct lab *lab, const json_t *spec, const json_t **ret,
               struct err *e) err_warn_unused;

/* Owned array of all faults. */
int faults_list(struct lab *lab, json_t **ret, struct err *e) err_warn_unused;

/* Removes one by id, or all for NULL. Commits. */
int faults_clear(struct lab *lab, const char *id, struct err *e) err_warn_unused;

#endif
