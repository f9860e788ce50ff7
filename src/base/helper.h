/* Helper programs: children of ours, in libexec, that do what must not be done beside
 * credentials. A helper gets an environment of a few named variables, one request of
 * JSON on its standard input, and answers in lines of JSON on its standard output:
 *
 *     {"progress": {"what", "done", "total"}}     any number of them
 *     {"note": "…"}                                any number of them
 *     {"result": …} or {"error": {"kind", "message"}}
 *
 * It leads a process group, so that one signal ends it with its own children, and ends
 * by itself when its standard input closes, however we end. What it says is not trusted
 * more than what it read. helper_child.h is the other side. */
#ifndef HOTADD_BASE_HELPER_H
#define HOTADD_BASE_HELPER_H

#include "base/child.h"
#include "base/json.h"
#include "base/progress.h"

struct helper {
    const char *name; /* borrowed */
    struct child child;
    struct buf out, err;
};

#define HELPER_INIT                                                                      \
    {                                                                                    \
        .child = CHILD_INIT                                                              \
    }

struct helper_spec {
    const char *name;    /* "hotadd-guest"; borrowed until helper_stop() */
    const char *folder;  /* of src/, where it is in a build tree */
    const char *program; /* NULL: the one that belongs to us */
    /* One more variable of its environment, "NAME=VALUE"; may be NULL. */
    const char *variable;
    const int *fds; /* become 3, 4, …; borrowed for the call */
    size_t n_fds;
};

/* *ret is HELPER_INIT, and stopped with helper_stop() also after a failure. */
int helper_start(const struct helper_spec *spec, struct helper *ret,
                 struct err *e) err_warn_unused;

struct helper_ask {
    const json_t *request;
    uint64_t deadline_ns;            /* of the monotonic clock; UINT64_MAX: none */
    const struct cancel *cancel;     /* may be NULL */
    const struct progress *progress; /* may be NULL */
    void (*note)(void *ctx, const char *text); /* may be NULL */
    void *note_ctx;
};

/* Sends the request and waits for the result, which is owned. Errors: the helper's own
 * with its kind; ERR_FAILED with its last words when it ended without an answer;
 * ERR_TIMEOUT, ERR_CANCELLED. */
int helper_ask(struct helper *h, const struct helper_ask *ask, json_t **ret,
               struct err *e) err_warn_unused;

/* Why it is gone: how it ended and its last words, as an ERR_FAILED. Returns -1. */
int helper_gone(struct helper *h, struct err *e);

/* SIGTERM for the group, SIGKILL after grace_ns (at once if 0); reaps. Nothing to do for
 * one that was never started. */
void helper_stop(struct helper *h, uint64_t grace_ns);

#endif
