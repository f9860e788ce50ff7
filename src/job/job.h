/* One job: claimed by one process at a time, run as a table of steps, undone resource by
 * resource. See docs/job.md for what a crash at each point leaves.
 *
 * The rule that all else rests on, *intent first*: job_resource_intend() before the API
 * call, job_resource_made() after it. A step that is entered again asks the journal
 * what it has, then the cloud, then acts. */
#ifndef HOTADD_JOB_JOB_H
#define HOTADD_JOB_JOB_H

#include "base/cancel.h"
#include "disk/extent.h"
#include "job/journal.h"

/* Uses its journal's connection: same thread rules. Closed before its journal. */
struct job;

/* A new job, claimed by this process; the title is for people ("web01.ova"), params (an
 * object, borrowed) what it needs to be resumed. */
int job_create(struct journal *j, const char *kind, const char *title,
               const json_t *params, struct job **ret, struct err *e) err_warn_unused;

/* Claims a job that exists. ERR_NOT_FOUND; ERR_BUSY names the live process working on
 * it. The claim is a lock that the kernel drops with the process, so that a dead owner's
 * job can be claimed at once. A job found running is marked interrupted. */
int job_open(struct journal *j, const char *id, struct job **ret,
             struct err *e) err_warn_unused;

/* Gives the claim up. The job stays in the state it is in. */
void job_close(struct job *job);
DEFINE_AUTO_PTR(struct job, job_close)
#define auto_job auto_call(job_close_autop)

/* Borrowed; valid as long as the job is open. */
const char *job_id(const struct job *job);
const char *job_kind(const struct job *job);
const char *job_title(const struct job *job);
const json_t *job_params(const struct job *job);
enum job_state job_state(const struct job *job);

/* When this process took the job into its hands, by clock_mono_ns(): every call of
 * another process of it began before. */
uint64_t job_claimed_ns(const struct job *job);

/* ---- The engine ---- */

struct job_step {
    const char *name; /* as documented: "create-volumes" */
    /* Every step may be entered again after any crash or failure of it. ctx is
     * job_run()'s. May call everything below, job_run() and job_undo() excepted. */
    int (*run)(struct job *job, void *ctx, struct err *e);
};

struct job_resource_kind {
    const char *kind; /* "volume", "attachment", … */
    /* Makes the resource gone, waiting as long as that takes (detach before delete).
     * Gone already is success. With state JOB_RESOURCE_INTENDED there is no cloud_id:
     * look it up by client token or tag; not found is success, once the service's
     * eventual consistency allows that verdict. Honours job_cancel(). */
    int (*remove)(struct job *job, void *ctx, const struct job_resource *r,
                  struct err *e);
};

struct job_flow {
    const char *kind;                          /* of the jobs it runs */
    const struct job_step *steps;              /* ends with name NULL */
    const struct job_resource_kind *resources; /* ends with kind NULL */
    /* A step that fails with err.retryable is entered again, `attempts` times in all
     * (0: 3), after first_wait_ns (0: 2 s), doubled each time up to a minute, jittered.
     */
    unsigned attempts;
    uint64_t first_wait_ns;
};

/* Runs the steps that are not done, in order, and journals beginning, end and failure of
 * each. Returns 0 when the job is done (also when it was already). -1: ERR_CANCELLED
 * leaves it interrupted, anything else failed, with the error in the journal; both can
 * be run again. ERR_USAGE: another flow's job, or one that is undone or being undone. */
int job_run(struct job *job, const struct job_flow *flow, void *ctx,
            const struct cancel *cancel, struct err *e) err_warn_unused;

/* Removes every resource that is not gone, newest first, and goes on past failures; 0
 * when all are gone and the job is undone. Otherwise the job stays JOB_UNDOING, e tells
 * of each resource that is left, and undo can be called again (resume cannot). A job
 * that is done may be undone too: whether that is wanted is asked by the caller. */
int job_undo(struct job *job, const struct job_flow *flow, void *ctx,
             const struct cancel *cancel, struct err *e) err_warn_unused;

/* What job_run() or job_undo() was given; NULL outside of them. For waits in steps. */
const struct cancel *job_cancel(const struct job *job);

/* ---- Resources ---- */

/* Notes that the job is about to make a resource. The client token is made once and
 * kept: asked again for a key that is not gone, the stored resource comes back as it is
 * (attrs of the first call included), so one API call may be repeated with equal
 * parameters. A key that is gone begins anew with a new token. attrs is a borrowed
 * object or NULL. ret is filled for job_resource_release(). */
int job_resource_intend(struct job *job, const char *kind, const char *key,
                        const json_t *attrs, struct job_resource *ret,
                        struct err *e) err_warn_unused;

/* The resource exists under this id. attrs (borrowed, may be NULL) are merged into those
 * stored. The same again is fine; another id for it is ERR_EXISTS. */
int job_resource_made(struct job *job, const char *key, const char *cloud_id,
                      const json_t *attrs, struct err *e) err_warn_unused;

/* The resource was removed (or never came to be). Unknown keys are ERR_NOT_FOUND. */
int job_resource_gone(struct job *job, const char *key, struct err *e) err_warn_unused;

/* ERR_NOT_FOUND when the key was never intended; gone ones are found. */
int job_resource_get(struct job *job, const char *key, struct job_resource *ret,
                     struct err *e) err_warn_unused;

/* Those that are not gone, in order of intention; kind NULL: of all kinds. */
int job_resources(struct job *job, const char *kind, struct job_resources *ret,
                  struct err *e) err_warn_unused;

/* ---- Facts chosen once and kept over resume: instance type, plan, zone ---- */

/* value is borrowed; replaces an older one. */
int job_value_set(struct job *job, const char *name, const json_t *value,
                  struct err *e) err_warn_unused;
/* Owned; *ret is NULL when there is none. */
int job_value_get(struct job *job, const char *name, json_t **ret,
                  struct err *e) err_warn_unused;
/* Keeps the value that is there, else stores `proposal` (borrowed). Either way the one
 * that counts comes back, owned. */
int job_value_once(struct job *job, const char *name, const json_t *proposal,
                   json_t **ret, struct err *e) err_warn_unused;

/* ---- Progress ---- */

/* Size of a disk, for "done of total"; repeating it is fine. */
int job_disk_size(struct job *job, uint32_t disk, uint64_t size_bytes,
                  struct err *e) err_warn_unused;

/* These ranges of the disk are durable: written, then flushed. One transaction. Ranges
 * may overlap what is there; neighbours are merged. */
int job_ranges_done(struct job *job, uint32_t disk, const struct extent *v, size_t n,
                    struct err *e) err_warn_unused;

/* Adds the durable ranges of the disk to ret. */
int job_ranges(struct job *job, uint32_t disk, struct extent_set *ret,
               struct err *e) err_warn_unused;

/* Forgets the durable ranges of the disk: its volume is gone, and another takes its
 * place. */
int job_ranges_forget(struct job *job, uint32_t disk, struct err *e) err_warn_unused;

/* ---- Events ---- */

/* A line for `hotadd jobs JOB` and the monitor: kept with time and step, and logged. A
 * journal that cannot take it costs the line, not the job: failure is logged only. */
void job_event(struct job *job, enum job_event_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
