/* Inside src/job only. */
#ifndef HOTADD_JOB_PRIVATE_H
#define HOTADD_JOB_PRIVATE_H

#include "job/db.h"
#include "job/job.h"

struct job {
    struct journal *journal; /* borrowed */
    int64_t seq;
    char id[JOB_ID_LEN];
    char *kind, *title;          /* owned */
    json_t *params;              /* owned */
    int lock_fd;                 /* holds the claim; owned */
    uint64_t claimed_ns;         /* when; clock_mono_ns() */
    enum job_state state;        /* as in the journal */
    const char *step;            /* running step of the flow, NULL between steps */
    const struct cancel *cancel; /* while running or undoing */
};

/* The words of the enumerations in journal.h, NULL-terminated. */
extern const char *const job_state_words[], *const job_step_state_words[],
                                                *const job_resource_state_words[],
                                                    *const job_event_level_words[];

/* Columns of a resource, for every SELECT that reads one into a struct. */
#define RESOURCE_COLUMNS "key, kind, state, token, cloud_id, attrs, ord"
int resource_read(struct journal *j, sqlite3_stmt *s, struct job_resource *ret,
                  struct err *e) err_warn_unused;
/* Reads all rows of the query; ret is untouched on failure. */
int resources_read(struct journal *j, sqlite3_stmt *s, struct job_resources *ret,
                   struct err *e) err_warn_unused;

/* As job_value_get(). */
int value_read(struct journal *j, int64_t seq, const char *name, json_t **ret,
               struct err *e) err_warn_unused;

/* seq of a job id; ERR_NOT_FOUND. */
int job_seq(struct journal *j, const char *id, int64_t *ret,
            struct err *e) err_warn_unused;

#endif
