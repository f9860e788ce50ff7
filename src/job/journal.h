/* The journal: what every job of this machine intends, made and finished, in one SQLite
 * file (WAL, synchronous=FULL, STRICT; the schema is in docs/job.md).
 *
 * A call that returns 0 is durable: SIGKILL and power loss after it change nothing. A
 * call that fails changed nothing. Several processes may use one journal; transactions
 * are short and wait for each other up to ten seconds. A `struct journal` is one
 * database connection: one thread at a time, each thread opens its own. All calls block
 * on the disk.
 *
 * Nothing secret is ever given to these functions: parameters, attributes, values and
 * messages are stored as they are. */
#ifndef HOTADD_JOB_JOURNAL_H
#define HOTADD_JOB_JOURNAL_H

#include "base/auto.h"
#include "base/err.h"
#include "base/vec.h"

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

struct journal;

/* Opens or creates the journal; missing directories are made with mode 0700, the file
 * with 0600. ERR_UNSUPPORTED: written by a newer hotadd, both versions named. ERR_INPUT:
 * no journal of hotadd, or damaged; the file is left as it is. */
int journal_open(const char *path, struct journal **ret, struct err *e) err_warn_unused;
void journal_close(struct journal *j);
DEFINE_AUTO_PTR(struct journal, journal_close)
#define auto_journal auto_call(journal_close_autop)

/* Borrowed, for messages. */
const char *journal_path(const struct journal *j);

#define JOB_ID_LEN    20 /* "j-20261122-7f3a" and its NUL, with room for longer ones */
#define JOB_TOKEN_LEN 65 /* client tokens of EC2 have at most 64 characters */

enum job_state {
    JOB_RUNNING,     /* a live process works on it */
    JOB_FAILED,      /* stopped by an error; what it made is kept for resume or undo */
    JOB_INTERRUPTED, /* stopped by the user, or its process died */
    JOB_DONE,
    JOB_UNDOING, /* an undo began and has not removed everything yet */
    JOB_UNDONE,
};

enum job_step_state {
    JOB_STEP_PENDING,
    JOB_STEP_RUNNING,
    JOB_STEP_FAILED,
    JOB_STEP_DONE
};

enum job_resource_state {
    JOB_RESOURCE_INTENDED, /* the API call may or may not have happened */
    JOB_RESOURCE_MADE,     /* cloud_id is known */
    JOB_RESOURCE_GONE,
};

enum job_event_level { JOB_EVENT_INFO, JOB_EVENT_WARNING, JOB_EVENT_ERROR };

/* The words stored in the journal and shown to people: "running", "made", … */
const char *job_state_name(enum job_state s);
const char *job_step_state_name(enum job_step_state s);
const char *job_resource_state_name(enum job_resource_state s);
const char *job_event_level_name(enum job_event_level l);

/* Something the job made, or is about to make, in the cloud. */
struct job_resource {
    char *key;  /* owned: unique in the job, "volume/0" */
    char *kind; /* owned: "volume"; chooses the remover */
    enum job_resource_state state;
    char token[JOB_TOKEN_LEN]; /* client token of the API call, the same at each try */
    char *cloud_id;            /* owned: "vol-0123…"; NULL until made */
    json_t *attrs;             /* owned object, as given to intend and made */
    uint64_t order;            /* position in the order of intentions over all jobs */
};
void job_resource_release(struct job_resource *r); /* also of a zeroed one */
#define auto_job_resource auto_call(job_resource_release)
struct job_resources VEC(struct job_resource);
void job_resources_release(struct job_resources *v);
#define auto_job_resources auto_call(job_resources_release)

struct job_step_info {
    char *name; /* owned */
    enum job_step_state state;
    unsigned runs;              /* times entered: retries and resumes count */
    int64_t started_s, ended_s; /* unix time of the last run; 0: not yet */
};

struct job_event_info {
    uint64_t seq; /* rising over all jobs of the journal, never given twice */
    char job[JOB_ID_LEN];
    int64_t time_s;
    enum job_event_level level;
    char *step;    /* owned; NULL outside a step */
    char *message; /* owned */
};

struct job_disk_info {
    uint32_t disk;
    uint64_t done_bytes; /* durable */
    uint64_t size_bytes;
};

/* What `hotadd jobs` and the monitor show of a job: a snapshot. */
struct job_info {
    char id[JOB_ID_LEN];
    char *kind, *title; /* owned */
    json_t *params;     /* owned object */
    enum job_state state;
    pid_t owner_pid; /* of the live process, 0 when there is none */
    int64_t created_s, updated_s;
    char *step; /* owned: the running or failed step; NULL when none */
    struct VEC(struct job_step_info) steps; /* in order */
    struct VEC(struct job_disk_info) disks; /* in order, those whose size is known */
    struct job_resources resources;         /* in order of intention, gone ones too */
    uint64_t done_bytes, total_bytes;       /* of all disks; durable; total 0: unknown */
    struct err error;                       /* of the last failure; kind ERR_NONE: none */
    char *error_step;                       /* owned; NULL when none */
    int64_t error_s;
};
void job_info_release(struct job_info *i);
#define auto_job_info auto_call(job_info_release)
struct job_infos VEC(struct job_info);
void job_infos_release(struct job_infos *v);
#define auto_job_infos auto_call(job_infos_release)

/* All jobs, oldest first. A job marked running whose process is dead is reported as
 * JOB_INTERRUPTED. */
int journal_jobs(struct journal *j, struct job_infos *ret, struct err *e) err_warn_unused;

/* One job; ERR_NOT_FOUND names it. */
int journal_job(struct journal *j, const char *id, struct job_info *ret,
                struct err *e) err_warn_unused;

/* For --json and the monitor's API (docs/job.md has the members). Owned; NULL when out
 * of memory (e set). */
json_t *job_info_json(const struct job_info *i, struct err *e) err_warn_unused;

struct job_events VEC(struct job_event_info);
void job_events_release(struct job_events *v);
#define auto_job_events auto_call(job_events_release)

/* The newest `max` events of a job, oldest of them first. */
int journal_events(struct journal *j, const char *id, size_t max, struct job_events *ret,
                   struct err *e) err_warn_unused;

/* The oldest `max` events of all jobs whose seq is greater than `after`. */
int journal_events_after(struct journal *j, uint64_t after, size_t max,
                         struct job_events *ret, struct err *e) err_warn_unused;

/* The seq of the newest event ever written; 0 when there was none. */
int journal_last_event(struct journal *j, uint64_t *ret, struct err *e) err_warn_unused;

/* A number that differs from that of the last call on this connection when another one
 * has committed since. It costs no read of the file, so that watching is cheap; that a
 * job's process died is no commit and does not show in it. */
int journal_version(struct journal *j, int64_t *ret, struct err *e) err_warn_unused;

/* The jobs that are neither done nor undone, and those that changed at since_s or later,
 * oldest first; *ret_all is how many jobs the journal has. For who watches: what is
 * finished is not read again and again. */
int journal_jobs_since(struct journal *j, int64_t since_s, struct job_infos *ret,
                       uint64_t *ret_all, struct err *e) err_warn_unused;

/* A job's value as job_value_get() gives it, for who only reads; *ret (owned) is NULL
 * when there is none. */
int journal_value(struct journal *j, const char *id, const char *name, json_t **ret,
                  struct err *e) err_warn_unused;

/* Which job accounts for a cloud resource that is not gone: its id in ret_id, the kind of
 * a record (record.h) that does, or "" when nothing does. `hotadd gc` asks before it
 * calls anything an orphan. */
int journal_resource_owner(struct journal *j, const char *cloud_id,
                           char ret_id[JOB_ID_LEN], struct err *e) err_warn_unused;

/* Removes the record of a job that is done or undone and not being worked on. ERR_BUSY
 * otherwise, with what to do first. */
int journal_forget(struct journal *j, const char *id, struct err *e) err_warn_unused;

#endif
