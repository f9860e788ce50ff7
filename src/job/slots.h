/* Attach slots of the proxy, leased in the journal so that several jobs never attach
 * more than the instance takes, nor two volumes under one device name. */
#ifndef HOTADD_JOB_SLOTS_H
#define HOTADD_JOB_SLOTS_H

#include "job/job.h"

struct job_slot_request {
    const char *proxy;       /* instance id */
    const char *const *keys; /* what each slot is for, unique in the job: "volume/0" */
    size_t n_keys;
    /* Device names that may be chosen, in order of preference (proxy_slot_names()). */
    const char *const *names;
    size_t n_names;
    /* Device names attached at the moment, as DescribeInstances says. */
    const char *const *in_use;
    size_t n_in_use;
    /* How many volumes the instance takes in all, those in use included; what else
     * shares the limit (network interfaces, instance store) is subtracted already. */
    size_t limit;
};

struct job_slot {
    char *key;  /* owned */
    char *name; /* owned: "/dev/sdf" */
    char job[JOB_ID_LEN];
};
struct job_slots VEC(struct job_slot);
void job_slots_release(struct job_slots *v);
#define auto_job_slots auto_call(job_slots_release)

/* Leases a slot for every key, or none: ERR_BUSY (retryable) tells how many are free and
 * who holds the others. Keys leased by the job already keep their name. The result is in
 * the order of keys.
 *
 * Leases of a dead or failed job stay until its attachments are gone: in the same
 * transaction, leases are dropped whose job is finished, or whose job nobody works on
 * and whose name is not in in_use for longer than five minutes (longer than an
 * AttachVolume can go unseen). */
int job_slots_lease(struct job *job, const struct job_slot_request *req,
                    struct job_slots *ret, struct err *e) err_warn_unused;

/* After the detach has finished. A key without a lease is fine. */
int job_slot_release(struct job *job, const char *proxy, const char *key,
                     struct err *e) err_warn_unused;

/* All leases on a proxy, by name. */
int journal_slots(struct journal *j, const char *proxy, struct job_slots *ret,
                  struct err *e) err_warn_unused;

#endif
